//! Why a command could not do its work. What it found in the tree is a [`Finding`](crate::tidy::finding::Finding) instead.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{}: cannot be read: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{}: cannot be written: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
    /// Asked wrongly: exit code 2.
    #[error("{0}")]
    Usage(String),
    #[error(
        "`git {arguments}` did not start: {source}\n  git is needed for this command: install it, as in `apt-get install git`"
    )]
    Git { arguments: String, source: io::Error },
    #[error("`git {arguments}` failed:\n{stderr}")]
    GitFailed { arguments: String, stderr: String },
    #[error("{}: {words}; expected the lines `about`, `claim`, `suite`, perhaps `also`, then a diff", path.display())]
    Header { path: PathBuf, words: String },
    #[error("{patches} patches of the catalogue do not apply: make them anew, with little context")]
    Stale { patches: usize },
    #[error("`stormproof {arguments}`: {words}")]
    Hunt { arguments: String, words: String },
    #[error("without any bug {claim} falls in {suite}, with seed {seed}: mend that first")]
    NotGreen { suite: String, claim: String, seed: u64 },
    #[error("without any bug the engine's own tests fail: mend that first")]
    TestsFail,
    #[error("`cargo {arguments}` did not start: {source}")]
    Start { arguments: String, source: io::Error },
    #[error("`cargo {arguments}` ended with {status}")]
    Ended { arguments: String, status: ExitStatus },
    #[error("`cargo {arguments}` failed:\n{stderr}")]
    Cargo { arguments: String, stderr: String },
    #[error("`cargo metadata` answered something else than expected: {found} at `{at}`")]
    Metadata { at: String, found: String },
}
