//! A `.fvecs` file, vector by vector: for each a little-endian 32-bit count of components, then as many 32-bit floats. It is
//! the format in which GIST-1M and its like are published (<http://corpus-texmex.irisa.fr>).
//!
//! The file is hostile until it was read: every length is bounded before anything is allocated by it, and what is wrong
//! is said with file, offset, what was expected and what was found. Vectors are finite, of one dimension, and at least one.

use std::{
    fs::File,
    io::{self, BufReader, Read},
    path::{Path, PathBuf},
};

/// The most components that a vector may have: far above any embedding in use, far below what exhausts memory.
const DIM_MAX: usize = 1 << 16;

/// A file that holds no usable vectors.
#[derive(Debug, thiserror::Error)]
pub enum FvecsError {
    /// It cannot be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is no `.fvecs` file.
    #[error("{}: offset {offset}: expected {expected}, found {found}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where, in bytes.
        offset: u64,
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
    },
}

/// The vectors of a file, in order.
pub struct Fvecs {
    path: PathBuf,
    from: BufReader<File>,
    /// Bytes read so far.
    offset: u64,
    dim: usize,
    /// The first vector's components come next.
    at_first: bool,
    /// The file's length, if it has one.
    len: Option<u64>,
}

impl Fvecs {
    /// Opens a file that holds one vector at least.
    pub fn open(path: &Path) -> Result<Fvecs, FvecsError> {
        let io = |source| FvecsError::Io { path: path.into(), source };
        let file = File::open(path).map_err(io)?;
        let meta = file.metadata().map_err(io)?;
        let len = meta.is_file().then_some(meta.len());
        let from = BufReader::with_capacity(1 << 20, file);
        let mut fvecs = Fvecs { path: path.into(), from, offset: 0, dim: 0, at_first: true, len };
        let Some(dim) = fvecs.read_dim(None)? else { return Err(fvecs.malformed(0, "a vector", "an empty file")) };
        fvecs.dim = dim;
        Ok(fvecs)
    }

    /// Components of each vector.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// How many vectors there are, if the file has a length (a pipe has none) and is whole.
    pub fn expected(&self) -> Option<u64> {
        Some(self.len? / (4 + 4 * self.dim as u64))
    }

    fn read_next(&mut self) -> Result<Option<Vec<f32>>, FvecsError> {
        if !std::mem::take(&mut self.at_first) && self.read_dim(Some(self.dim))?.is_none() {
            return Ok(None);
        }
        self.read_row().map(Some)
    }

    /// The dimension of the next vector; `None` at the end of the file.
    fn read_dim(&mut self, wanted: Option<usize>) -> Result<Option<usize>, FvecsError> {
        let at = self.offset;
        let bytes = self.bytes(4)?;
        let Ok(head) = <[u8; 4]>::try_from(bytes.as_slice()) else {
            return match bytes.len() {
                0 => Ok(None),
                found => Err(self.malformed(at, "4 bytes that count components", &format!("{found} bytes"))),
            };
        };
        let found = i32::from_le_bytes(head);
        let dim = usize::try_from(found).ok().filter(|dim| (1..=DIM_MAX).contains(dim));
        match (dim, wanted) {
            (Some(dim), None) => Ok(Some(dim)),
            (Some(dim), Some(wanted)) if dim == wanted => Ok(Some(dim)),
            (_, Some(wanted)) => {
                Err(self.malformed(at, &format!("{wanted} components, as before"), &format!("{found}")))
            }
            (None, None) => Err(self.malformed(at, &format!("1 to {DIM_MAX} components"), &format!("{found}"))),
        }
    }

    /// The components of a vector.
    fn read_row(&mut self) -> Result<Vec<f32>, FvecsError> {
        let (at, dim) = (self.offset, self.dim);
        let bytes = self.bytes(dim * 4)?;
        if bytes.len() < dim * 4 {
            let expected = format!("{} bytes of {dim} components", dim * 4);
            return Err(self.malformed(at, &expected, &format!("{} bytes", bytes.len())));
        }
        let (words, _) = bytes.as_chunks::<4>();
        let row: Vec<f32> = words.iter().map(|word| f32::from_le_bytes(*word)).collect();
        match row.iter().position(|component| !component.is_finite()) {
            None => Ok(row),
            Some(n) => Err(self.malformed(at + n as u64 * 4, "a finite number", &row[n].to_string())),
        }
    }

    /// So many bytes, or what is left of the file.
    fn bytes(&mut self, len: usize) -> Result<Vec<u8>, FvecsError> {
        let mut bytes = Vec::with_capacity(len);
        let io = |source| FvecsError::Io { path: self.path.clone(), source };
        (&mut self.from).take(len as u64).read_to_end(&mut bytes).map_err(io)?;
        self.offset += bytes.len() as u64;
        Ok(bytes)
    }

    fn malformed(&self, offset: u64, expected: &str, found: &str) -> FvecsError {
        FvecsError::Malformed { path: self.path.clone(), offset, expected: expected.into(), found: found.into() }
    }
}

impl Iterator for Fvecs {
    type Item = Result<Vec<f32>, FvecsError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read_next().transpose()
    }
}
