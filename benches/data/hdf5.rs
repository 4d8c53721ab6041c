//! The HDF5 files of ann-benchmarks (<https://github.com/erikbern/ann-benchmarks>): rows of their tables `train`, `test` and
//! `neighbors`, some at a time.
//!
//! # Invariants
//! - No more of a table is in memory than a few times [`BLOCK_BYTES`] (as read, as numbers, as `f32`), and what the reader unpacks on
//!   the way: parts of it, if it was written in parts, of which none is larger than [`PART_BYTES_MAX`], and as much that it keeps.
//! - Answers in the file are those of its own metric, so a file that names another than ours is refused.
//! - Other files are never opened, whatever this one says of them.

use std::{path::Path, vec::IntoIter};

use hdf5_reader::{Dataset, Datatype, H5Type, Hdf5File, OpenOptions, SliceInfo, SliceInfoElem, error::Error};

use super::{DIM_MAX, DataError, HELD_MAX, Truth};

/// Read at a time.
const BLOCK_BYTES: u64 = 8 << 20;
/// The largest part of a table that is unpacked; usual programs write parts of about 1 MiB.
const PART_BYTES_MAX: usize = 64 << 20;
/// More nearest rows of a query than any published file names; others are left out.
const NEAREST_MAX: u64 = 1000;

/// What the attribute `distance` may be.
const OURS: &[&str] = &["euclidean", "l2"];

/// A table of two dimensions.
struct Table {
    path: Box<Path>,
    name: &'static str,
    set: Dataset,
    rows: u64,
    width: u64,
}

impl Table {
    fn open(path: &Path, name: &'static str) -> Result<Table, DataError> {
        let options = OpenOptions { max_read_bytes: BLOCK_BYTES as usize, ..OpenOptions::default() };
        let options = OpenOptions { max_chunk_bytes: PART_BYTES_MAX, chunk_cache_bytes: PART_BYTES_MAX, ..options };
        let file = Hdf5File::open_with_options(path, options).map_err(|error| failed(path, "the file", error))?;
        check_len(path, &file)?;
        check_metric(path, &file)?;
        let set = file.dataset(name).map_err(|error| failed(path, name, error))?;
        let lengths = match *set.shape() {
            [rows, width] => Some((rows, width)),
            _ => None,
        };
        let wrong = |expected: String| within(path, name, expected, format!("{:?}", set.shape()));
        let (rows, width) = lengths.ok_or_else(|| wrong("two dimensions".into()))?;
        if !(1..=DIM_MAX as u64).contains(&width) {
            return Err(wrong(format!("rows of 1 to {DIM_MAX} components")));
        }
        if rows == 0 {
            return Err(wrong("a row".into()));
        }
        Ok(Table { path: path.into(), name, set, rows, width })
    }

    /// The first `width` numbers of each of some rows.
    fn read<T: H5Type>(&self, first: u64, rows: u64, width: u64) -> Result<Vec<T>, DataError> {
        let part = |start, end| SliceInfoElem::Slice { start, end, step: 1 };
        let selection = SliceInfo { selections: vec![part(first, first + rows), part(0, width)] };
        let numbers = self.set.read_slice::<T>(&selection).map_err(|error| self.failed(error))?;
        // They are in one piece; number by number takes several times as long.
        Ok(numbers.as_slice().map_or_else(|| numbers.iter().cloned().collect(), <[T]>::to_vec))
    }

    fn failed(&self, error: Error) -> DataError {
        failed(&self.path, self.name, error)
    }

    fn wrong(&self, row: u64, expected: &str, found: String) -> DataError {
        within(&self.path, &format!("{}, row {row}", self.name), expected.into(), found)
    }

    fn of_another_type(&self, expected: &str) -> DataError {
        within(&self.path, self.name, expected.into(), format!("{:?}", self.set.dtype()))
    }
}

/// What is missing at the end is missed before anything is read: whoever loads for minutes hears at once of a file that was cut off.
fn check_len(path: &Path, file: &Hdf5File) -> Result<(), DataError> {
    let (expected, found) = (file.superblock().eof_address, file.storage().len());
    // Nothing is said of a length of all ones; what lies before a file within a file is not counted.
    if expected == u64::MAX || file.superblock().base_address != 0 || found >= expected {
        return Ok(());
    }
    let (expected, words) = (format!("{expected} bytes in all"), format!("{found} bytes"));
    Err(DataError::Malformed { path: path.into(), offset: found, expected, found: words })
}

fn check_metric(path: &Path, file: &Hdf5File) -> Result<(), DataError> {
    let place = "the attribute distance";
    let attribute = match file.root_group().and_then(|root| root.attribute("distance")) {
        Ok(attribute) => attribute,
        Err(Error::AttributeNotFound(_)) => return Ok(()),
        Err(error) => return Err(failed(path, place, error)),
    };
    let name = attribute.read_string().map_err(|error| failed(path, place, error))?;
    if OURS.contains(&name.to_lowercase().as_str()) {
        return Ok(());
    }
    let expected = "euclidean, by which rows are compared here".into();
    Err(within(path, place, expected, name.escape_debug().to_string()))
}

/// Vectors of a table, row by row.
pub(super) struct Rows {
    table: Table,
    /// The number of the first row that was not read.
    next: u64,
    held: IntoIter<f32>,
}

impl Rows {
    pub(super) fn open(path: &Path, name: &'static str) -> Result<Rows, DataError> {
        let table = Table::open(path, name)?;
        match table.set.dtype() {
            Datatype::FloatingPoint { size: 4 | 8, .. } => Ok(Rows { table, next: 0, held: Vec::new().into_iter() }),
            _ => Err(table.of_another_type("floats of 32 or 64 bits")),
        }
    }

    pub(super) fn dim(&self) -> usize {
        self.table.width as usize
    }

    pub(super) fn len(&self) -> u64 {
        self.table.rows
    }

    /// The next row, if there is one.
    pub(super) fn row(&mut self, into: &mut Vec<f32>) -> Result<bool, DataError> {
        if self.held.as_slice().is_empty() {
            if self.next == self.table.rows {
                return Ok(false);
            }
            self.held = self.block()?.into_iter();
        }
        into.extend(self.held.by_ref().take(self.table.width as usize));
        Ok(true)
    }

    fn block(&mut self) -> Result<Vec<f32>, DataError> {
        let Table { set, rows, width, .. } = &self.table;
        let count = (BLOCK_BYTES / (8 * width)).max(1).min(rows - self.next);
        let block = if matches!(set.dtype(), Datatype::FloatingPoint { size: 8, .. }) {
            let wide = self.table.read::<f64>(self.next, count, *width)?;
            wide.into_iter().map(|component| component as f32).collect()
        } else {
            self.table.read::<f32>(self.next, count, *width)?
        };
        if let Some(at) = block.iter().position(|component| !component.is_finite()) {
            let row = self.next + at as u64 / width;
            return Err(self.table.wrong(row, "a finite number of 32 bits", block[at].to_string()));
        }
        self.next += count;
        Ok(block)
    }
}

/// Reads answers to so many queries at least; those of others are left out.
pub(super) fn neighbors(path: &Path, queries: usize) -> Result<Truth, DataError> {
    let table = Table::open(path, "neighbors")?;
    let queries = queries.min(HELD_MAX) as u64;
    if table.rows < queries {
        let (expected, found) = (format!("answers to {queries} queries"), table.rows.to_string());
        return Err(DataError::Unlike { path: path.into(), expected, found });
    }
    let k = table.width.min(NEAREST_MAX);
    let mut ids = Vec::new();
    let step = BLOCK_BYTES / (8 * k);
    for first in (0..queries).step_by(step as usize) {
        let count = step.min(queries - first);
        let block: Vec<i64> = match table.set.dtype() {
            Datatype::FixedPoint { size: 4, signed: true, .. } => {
                table.read::<i32>(first, count, k)?.into_iter().map(i64::from).collect()
            }
            Datatype::FixedPoint { size: 8, signed: true, .. } => table.read::<i64>(first, count, k)?,
            _ => return Err(table.of_another_type("signed numbers of 32 or 64 bits")),
        };
        for (at, id) in (0..).zip(block) {
            let wrong = |_| table.wrong(first + at / k, "a row number", id.to_string());
            ids.push(u32::try_from(id).map_err(wrong)?);
        }
    }
    Ok(Truth { k: k as usize, ids })
}

fn within(path: &Path, place: &str, expected: String, found: String) -> DataError {
    DataError::Within { path: path.into(), place: place.into(), expected, found }
}

fn failed(path: &Path, place: &str, error: Error) -> DataError {
    match error {
        Error::Context { source, .. } => failed(path, place, *source),
        Error::Io(source) => DataError::Io { path: path.into(), source },
        Error::UnexpectedEof { offset, needed, available } => {
            let (expected, found) = (format!("{needed} bytes of {place}"), format!("{available} bytes"));
            DataError::Malformed { path: path.into(), offset, expected, found }
        }
        Error::DatasetNotFound(_) | Error::GroupNotFound(_) => {
            within(path, place, "a table of that name".into(), "none".into())
        }
        other => within(path, place, "what can be read as HDF5".into(), other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::data::Vectors;

    fn fixture(name: &str) -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("data/fixtures").join(name)
    }

    /// A new file in place of the old one: some file systems flush a file that is cut and written again.
    fn put(dir: &Path, name: &str, bytes: &[u8]) -> std::path::PathBuf {
        let path = dir.join(name);
        let _ = fs::remove_file(&path);
        fs::write(&path, bytes).expect("written");
        path
    }

    /// As `make.py` has it.
    fn row(nth: u8) -> [f32; 3] {
        [0, 1, 2].map(|component| f32::from(3 * nth + component) / 4.0)
    }

    #[test]
    fn rows_queries_and_answers_are_read_however_they_were_written() {
        for name in ["euclidean.hdf5", "chunked.hdf5"] {
            let path = fixture(name);
            let base = Vectors::open(&path, None).expect(name);
            assert_eq!((base.dim(), base.expected()), (3, Some(20)), "{name}");
            assert_eq!(base.all(20).expect(name), (0..20).flat_map(row).collect::<Vec<_>>(), "{name}");
            let queries = Vectors::open_queries(&path, Some(3)).expect(name);
            assert!(queries.is_cut(), "{name}");
            assert_eq!(queries.all(20).expect(name), [0, 5, 10].map(row).concat(), "{name}");
            let truth = Truth::read(&path, 3).expect(name);
            assert_eq!(truth, Truth { k: 3, ids: vec![0, 1, 2, 5, 4, 6, 10, 9, 11] }, "{name}");
            assert!(matches!(Truth::read(&path, 5), Err(DataError::Unlike { .. })), "{name}");
            assert!(Vectors::open(&path, None).expect(name).all(19).is_err(), "{name}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        type Open = fn(&Path) -> Result<(), DataError>;
        let base: Open = |path| Vectors::open(path, None)?.all(100).map(drop);
        let queries: Open = |path| Vectors::open_queries(path, None)?.all(100).map(drop);
        let truth: Open = |path| Truth::read(path, 2).map(drop);
        for (name, open, words) in [
            (
                "angular.hdf5",
                base,
                "the attribute distance: expected euclidean, by which rows are compared here, found angular",
            ),
            ("angular.hdf5", truth, "found angular"),
            ("wrong.hdf5", base, "train: expected floats of 32 or 64 bits, found FixedPoint"),
            ("wrong.hdf5", queries, "test: expected two dimensions, found [2, 3, 4]"),
            ("wrong.hdf5", truth, "neighbors, row 1: expected a row number, found -1"),
            ("infinite.hdf5", base, "train, row 1: expected a finite number of 32 bits, found inf"),
            ("infinite.hdf5", queries, "test: expected a row, found [0, 2]"),
            ("infinite.hdf5", truth, "neighbors: expected a table of that name, found none"),
            ("make.py", truth, "exact answers are read from .ivecs"),
        ] {
            let error = open(&fixture(name)).expect_err(name).to_string();
            assert!(error.contains(words) && error.contains(name), "{error}");
        }
    }

    #[test]
    fn a_file_that_is_cut_off_is_an_error_that_names_file_and_offset() {
        let dir = tempfile::tempdir().expect("a directory");
        for name in ["euclidean.hdf5", "chunked.hdf5"] {
            let bytes = fs::read(fixture(name)).expect("there");
            for len in (0..bytes.len()).step_by(7).chain([bytes.len() - 1]) {
                let path = put(dir.path(), name, &bytes[..len]);
                let error = Vectors::open(&path, None).err().expect("cut off").to_string();
                let is_told = error.contains("offset") || error.contains("the file");
                assert!(error.contains(name) && is_told, "{len} bytes: {error}");
            }
        }
    }

    #[test]
    fn a_damaged_byte_is_an_error_or_other_numbers_and_never_the_end_of_the_program() {
        let dir = tempfile::tempdir().expect("a directory");
        for name in ["euclidean.hdf5", "chunked.hdf5"] {
            let whole = fs::read(fixture(name)).expect("there");
            for (at, by) in (0..whole.len()).zip([0xff, 0x01].into_iter().cycle()) {
                let mut bytes = whole.clone();
                bytes[at] ^= by;
                let path = put(dir.path(), name, &bytes);
                let read = |vectors: Result<Vectors, _>| vectors.and_then(|it| it.all(100));
                let _ = (read(Vectors::open(&path, None)), read(Vectors::open_queries(&path, None)));
                let _ = Truth::read(&path, 4);
            }
        }
    }
}
