//! A file, read from its beginning to its end, as it is or unpacked on the way.
//!
//! Invariant: `offset` is how many bytes came out so far. An error that names it therefore points into what was packed, which
//! is what whoever looks for the damage can see.

use std::{
    fs::File,
    io::{self, BufReader, Read},
    path::{Path, PathBuf},
};

use flate2::read::MultiGzDecoder;

use super::DataError;

/// Read at a time: long enough for a disk to read ahead.
const BUFFER_BYTES: usize = 1 << 20;

pub(super) struct Input {
    path: PathBuf,
    from: Box<dyn Read + Send>,
    offset: u64,
    /// How long it is, where that is known beforehand: packed files and pipes do not say.
    len: Option<u64>,
}

impl Input {
    pub(super) fn open(path: &Path) -> Result<Input, DataError> {
        let io = |source| DataError::Io { path: path.into(), source };
        let file = File::open(path).map_err(io)?;
        let meta = file.metadata().map_err(io)?;
        if meta.is_dir() {
            return Err(io(io::Error::from(io::ErrorKind::IsADirectory)));
        }
        let from = BufReader::with_capacity(BUFFER_BYTES, file);
        let (from, len): (Box<dyn Read + Send>, _) = if path.extension().is_some_and(|it| it == "gz") {
            (Box::new(BufReader::with_capacity(BUFFER_BYTES, MultiGzDecoder::new(from))), None)
        } else {
            (Box::new(from), meta.is_file().then_some(meta.len()))
        };
        Ok(Input { path: path.into(), from, offset: 0, len })
    }

    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    pub(super) fn len(&self) -> Option<u64> {
        self.len
    }

    /// So many bytes, or what is left. `len` was bounded by the caller.
    pub(super) fn some(&mut self, len: usize) -> Result<Vec<u8>, DataError> {
        let mut bytes = Vec::with_capacity(len);
        let read = (&mut self.from).take(len as u64).read_to_end(&mut bytes);
        self.offset += bytes.len() as u64;
        match read {
            Ok(_) => Ok(bytes),
            // The file could be read, but is not packed as it should be.
            Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData) => {
                Err(self.malformed(self.offset, "packed bytes", error.to_string()))
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(self.malformed(self.offset, "packed bytes", "the end of the file"))
            }
            Err(source) => Err(DataError::Io { path: self.path.clone(), source }),
        }
    }

    /// Exactly so many bytes of `what`.
    pub(super) fn all(&mut self, len: usize, what: &str) -> Result<Vec<u8>, DataError> {
        let at = self.offset;
        let bytes = self.some(len)?;
        if bytes.len() == len {
            return Ok(bytes);
        }
        Err(self.malformed(at, format!("{len} bytes of {what}"), format!("{} bytes", bytes.len())))
    }

    pub(super) fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], DataError> {
        let bytes = self.all(N, what)?;
        Ok(bytes.try_into().expect("as many bytes as were asked for"))
    }

    /// That nothing follows.
    pub(super) fn end(&mut self) -> Result<(), DataError> {
        let at = self.offset;
        match self.some(1)?.as_slice() {
            [] => Ok(()),
            _ => Err(self.malformed(at, "the end of the file", "more bytes")),
        }
    }

    pub(super) fn malformed(&self, offset: u64, expected: impl Into<String>, found: impl Into<String>) -> DataError {
        DataError::Malformed { path: self.path.clone(), offset, expected: expected.into(), found: found.into() }
    }

    /// That the file is so long, if it says how long it is.
    pub(super) fn check_len(&self, expected: u64) -> Result<(), DataError> {
        match self.len {
            Some(found) if found != expected => {
                let at = found.min(expected);
                Err(self.malformed(at, format!("{expected} bytes in all"), format!("{found} bytes")))
            }
            _ => Ok(()),
        }
    }
}
