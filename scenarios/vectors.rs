//! Embeddings from a `.fvecs` file: for each vector a little-endian 32-bit count of components, then as many 32-bit
//! floats. It is the format in which GIST-1M and its like are published (<http://corpus-texmex.irisa.fr>).
//!
//! The file is hostile until it was read: every length is bounded before anything is allocated by it, and what is wrong
//! is said with file, offset, what was expected and what was found. Read vectors are finite, of one dimension, and at
//! least one.

use std::{
    fs::File,
    io::{self, BufReader, Read},
    path::{Path, PathBuf},
};

/// The most components that a vector may have: far above any embedding in use, far below what exhausts memory.
const DIM_MAX: usize = 1 << 16;

/// Embeddings.
#[derive(Debug)]
pub struct Vectors {
    dim: usize,
    rows: Vec<f32>,
}

/// A file that holds no usable vectors.
#[derive(Debug, thiserror::Error)]
pub enum VectorsError {
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

#[expect(clippy::len_without_is_empty, reason = "there is always one: `read` sees to it")]
impl Vectors {
    /// The first vectors of a file, at most so many.
    pub fn read(path: &Path, rows_max: usize) -> Result<Vectors, VectorsError> {
        let io = |source| VectorsError::Io { path: path.into(), source };
        let file = File::open(path).map_err(io)?;
        let mut reader = Reader { path, from: BufReader::new(file), offset: 0 };
        let Some(dim) = reader.dim(None)? else { return Err(reader.malformed(0, "a vector", "an empty file")) };
        let mut rows = reader.row(dim)?;
        while rows.len() < rows_max.saturating_mul(dim) && reader.dim(Some(dim))?.is_some() {
            rows.extend(reader.row(dim)?);
        }
        Ok(Vectors { dim, rows })
    }

    /// Components of each.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.rows.len() / self.dim
    }

    /// The `n`-th.
    pub fn get(&self, n: usize) -> &[f32] {
        &self.rows[n * self.dim..][..self.dim]
    }
}

struct Reader<'a> {
    path: &'a Path,
    from: BufReader<File>,
    /// Bytes read so far.
    offset: u64,
}

impl Reader<'_> {
    /// The dimension of the next vector; `None` at the end of the file.
    fn dim(&mut self, wanted: Option<usize>) -> Result<Option<usize>, VectorsError> {
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
    fn row(&mut self, dim: usize) -> Result<Vec<f32>, VectorsError> {
        let at = self.offset;
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
    fn bytes(&mut self, len: usize) -> Result<Vec<u8>, VectorsError> {
        let mut bytes = Vec::with_capacity(len);
        let io = |source| VectorsError::Io { path: self.path.into(), source };
        (&mut self.from).take(len as u64).read_to_end(&mut bytes).map_err(io)?;
        self.offset += bytes.len() as u64;
        Ok(bytes)
    }

    fn malformed(&self, offset: u64, expected: &str, found: &str) -> VectorsError {
        VectorsError::Malformed { path: self.path.into(), offset, expected: expected.into(), found: found.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(dim: i32, components: &[f32]) -> Vec<u8> {
        let components = components.iter().flat_map(|component| component.to_le_bytes());
        dim.to_le_bytes().into_iter().chain(components).collect()
    }

    fn read(bytes: &[u8], rows_max: usize) -> Result<Vectors, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("v.fvecs");
        std::fs::write(&path, bytes).unwrap();
        Vectors::read(&path, rows_max).map_err(|error| error.to_string())
    }

    #[test]
    fn vectors_are_read_in_order_up_to_a_bound() {
        let file = [row(2, &[1.0, 2.0]), row(2, &[3.0, 4.0]), row(2, &[5.0, 6.0])].concat();
        let all = read(&file, 10).unwrap();
        assert_eq!((all.dim(), all.len(), all.get(2)), (2, 3, &[5.0, 6.0][..]));
        assert_eq!(read(&file, 2).unwrap().len(), 2);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_offset() {
        let good = row(2, &[1.0, 2.0]);
        let cases: [(Vec<u8>, &str); 8] = [
            (vec![], "offset 0: expected a vector, found an empty file"),
            (vec![2, 0], "offset 0: expected 4 bytes that count components, found 2 bytes"),
            (row(0, &[]), "offset 0: expected 1 to 65536 components, found 0"),
            (row(-1, &[]), "offset 0: expected 1 to 65536 components, found -1"),
            (row(i32::MAX, &[]), "offset 0: expected 1 to 65536 components, found 2147483647"),
            ([good.clone(), row(3, &[1.0; 3])].concat(), "offset 12: expected 2 components, as before, found 3"),
            ([good.clone(), row(2, &[1.0])].concat(), "offset 16: expected 8 bytes of 2 components, found 4 bytes"),
            ([good, row(2, &[1.0, f32::NAN])].concat(), "offset 20: expected a finite number, found NaN"),
        ];
        for (bytes, words) in cases {
            let error = read(&bytes, 10).unwrap_err();
            assert!(error.contains("v.fvecs") && error.ends_with(words), "{error}\n{words}");
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = Vectors::read(Path::new("nowhere.fvecs"), 1).unwrap_err();
        assert!(error.to_string().starts_with("nowhere.fvecs: "), "{error}");
    }
}
