//! Why a command could not do its work. What it found in the tree is a [`Finding`](crate::tidy::finding::Finding) instead.

use std::io;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{}: cannot be read: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("`cargo {arguments}` did not start: {source}")]
    Start { arguments: String, source: io::Error },
    #[error("`cargo {arguments}` failed:\n{stderr}")]
    Cargo { arguments: String, stderr: String },
    #[error("`cargo metadata` answered something else than expected: {found} at `{at}`")]
    Metadata { at: String, found: String },
}
