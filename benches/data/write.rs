//! Writing `.fvecs` and `.ivecs`. A file appears under its name once all of it is written: whoever is interrupted leaves no file
//! that looks whole.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use super::DataError;

/// Writes rows of as many components each; returns how many there were. Each item is any number of whole rows.
pub fn write_fvecs(
    path: &Path,
    dim: usize,
    blocks: impl IntoIterator<Item = Result<Vec<f32>, DataError>>,
) -> Result<u64, DataError> {
    let mut out = Out::create(path)?;
    let mut rows = 0;
    for block in blocks {
        for row in block?.chunks_exact(dim) {
            out.row(row.iter().map(|component| component.to_le_bytes()), dim)?;
            rows += 1;
        }
    }
    out.finish()?;
    Ok(rows)
}

/// Writes rows of row numbers, `k` each.
pub fn write_ivecs(path: &Path, k: usize, rows: &[u32]) -> Result<(), DataError> {
    let mut out = Out::create(path)?;
    for row in rows.chunks_exact(k) {
        out.row(row.iter().map(|id| id.to_le_bytes()), k)?;
    }
    out.finish()
}

struct Out<'a> {
    path: &'a Path,
    part: PathBuf,
    to: BufWriter<File>,
}

impl<'a> Out<'a> {
    fn create(path: &'a Path) -> Result<Out<'a>, DataError> {
        let mut part = path.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        let file = File::create(&part).map_err(|source| DataError::Io { path: part.clone(), source })?;
        Ok(Out { path, part, to: BufWriter::with_capacity(1 << 20, file) })
    }

    fn row(&mut self, words: impl Iterator<Item = [u8; 4]>, len: usize) -> Result<(), DataError> {
        let head = i32::try_from(len).expect("a row is bounded where it is made").to_le_bytes();
        let mut words = std::iter::once(head).chain(words);
        words.try_for_each(|word| self.to.write_all(&word)).map_err(|source| self.failed(source))
    }

    fn finish(mut self) -> Result<(), DataError> {
        let written = self.to.flush().and_then(|()| fs::rename(&self.part, self.path));
        written.map_err(|source| self.failed(source))
    }

    fn failed(&self, source: io::Error) -> DataError {
        DataError::Io { path: self.part.clone(), source }
    }
}
