//! Files that the user names.
//!
//! What is written at the end of a run is opened before it: a minute of hunting is not lost to a misspelt folder.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
};

use super::error::CliError;

/// The longest file that is read whole: far above any plan or trace, far below what exhausts memory.
const TEXT_BYTES_MAX: u64 = 1 << 28;

/// A text file, whole.
pub(super) fn read_text(path: &Path) -> Result<String, CliError> {
    let input = |source| CliError::Input { path: path.into(), source };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(input)?;
    file.take(TEXT_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(input)?;
    if bytes.len() as u64 > TEXT_BYTES_MAX {
        return Err(CliError::TooLong { path: path.into(), max: TEXT_BYTES_MAX, found: bytes.len() as u64 });
    }
    String::from_utf8(bytes)
        .map_err(|error| CliError::NotText { path: path.into(), offset: error.utf8_error().valid_up_to() })
}

/// A file to be written later.
pub(super) struct Output {
    path: PathBuf,
    file: File,
}

impl Output {
    /// Opens the file, if one was asked for. One that cannot be opened was named wrongly.
    pub(super) fn open(path: Option<&Path>) -> Result<Option<Output>, CliError> {
        let open = |path: &Path| match File::create(path) {
            Ok(file) => Ok(Output { path: path.into(), file }),
            Err(source) => Err(CliError::Input { path: path.into(), source }),
        };
        path.map(open).transpose()
    }

    /// Writes it.
    pub(super) fn write(mut self, text: &str) -> Result<(), CliError> {
        let written = self.file.write_all(text.as_bytes());
        written.map_err(|source| CliError::Output { path: self.path, source })
    }
}
