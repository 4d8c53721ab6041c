//! Embeddings from a `.fvecs` file ([`Fvecs`]), in memory, for clients to draw from.

use std::path::Path;

use stormproof_engine::driver::{Fvecs, FvecsError};

/// Embeddings.
#[derive(Debug)]
pub struct Vectors {
    dim: usize,
    rows: Vec<f32>,
}

#[expect(clippy::len_without_is_empty, reason = "there is always one: `read` sees to it")]
impl Vectors {
    /// The first vectors of a file, at most so many, and at least one.
    pub fn read(path: &Path, rows_max: usize) -> Result<Vectors, FvecsError> {
        let file = Fvecs::open(path)?;
        let dim = file.dim();
        let mut rows = Vec::new();
        for row in file.take(rows_max.max(1)) {
            rows.extend(row?);
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
