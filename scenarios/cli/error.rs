//! What can go wrong with a command, and whose fault it is: the one who asked (exit code 2), or the tool's (3).

use std::{io, path::PathBuf};

use stormproof_engine::driver::FvecsError;

use crate::real::RealError;

/// Why a command was not done.
#[derive(Debug, thiserror::Error)]
pub(super) enum CliError {
    #[error("there is no suite `{found}`; there are: {known}")]
    NoSuite { found: String, known: String },
    #[error("suite `{suite}` has no case `{found}`; it has: {known}")]
    NoCase { suite: String, found: String, known: String },
    #[error("`{found}` is neither a file nor a seed of a suite, as in `commit:42`")]
    NoSource { found: String },
    #[error("`--exact` and `--plan` are ways to play a saved plan; `{found}` is a seed")]
    SeedHasNoPlan { found: String },
    #[error("{}: {source}", path.display())]
    Input { path: PathBuf, source: io::Error },
    #[error("{}: offset {offset}: expected text (UTF-8)", path.display())]
    NotText { path: PathBuf, offset: usize },
    #[error("{}: expected at most {max} bytes, found {found}", path.display())]
    TooLong { path: PathBuf, max: u64, found: u64 },
    #[error("the plan of a seed cannot be read back: {words}")]
    Sketch { words: String },
    #[error("{}: {source}", path.display())]
    Report { path: PathBuf, source: stormproof_reports::compare::read::ReadError },
    #[error("{}: {words}", path.display())]
    Plan { path: PathBuf, words: String },
    #[error("{source}")]
    Vectors {
        #[from]
        source: FvecsError,
    },
    #[error("{source}")]
    Real {
        #[from]
        source: RealError,
    },
    #[error("cannot write {}: {source}", path.display())]
    Output { path: PathBuf, source: io::Error },
    #[error("cannot repeat runs in a fresh process: {words}")]
    Fresh { words: String },
    #[error("cannot write the report: {source}")]
    Json {
        #[from]
        source: serde_json::Error,
    },
    #[error("cannot write the report: {source}")]
    JUnit {
        #[from]
        source: stormproof_reports::junit::RenderError,
    },
}

impl CliError {
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            CliError::NoSuite { .. }
            | CliError::NoCase { .. }
            | CliError::NoSource { .. }
            | CliError::SeedHasNoPlan { .. }
            | CliError::Input { .. }
            | CliError::NotText { .. }
            | CliError::TooLong { .. }
            | CliError::Plan { .. }
            | CliError::Report { .. }
            | CliError::Vectors { .. } => 2,
            CliError::Real { source } => source.exit_code(),
            CliError::Output { .. }
            | CliError::Sketch { .. }
            | CliError::Fresh { .. }
            | CliError::Json { .. }
            | CliError::JUnit { .. } => 3,
        }
    }
}
