//! Vectors of a file, block by block, whatever kind of file it is. The kind is told by its name, since most have no magic number.
//!
//! # Invariants
//! - All vectors have the same number of components, from 1 to [`DIM_MAX`](super::DIM_MAX), and each is a finite number.
//! - A file that says how many rows it has is read to the last of them, and has nothing behind it; unless fewer were asked for.

use std::path::{Path, PathBuf};

use super::{DataError, hdf5, headed, idx, input::Input, npy};

/// A kind of file that holds vectors.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// A count before each row of floats.
    Fvecs,
    /// A count before each row of bytes.
    Bvecs,
    /// `NumPy`'s.
    Npy,
    /// That of the MNIST family.
    Idx,
    /// That of ann-benchmarks, which has base, queries and answers in one file.
    Hdf5,
}

/// How a component is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Component {
    U8,
    F16,
    F32,
    F32Big,
}

impl Component {
    fn bytes(self) -> usize {
        match self {
            Component::U8 => 1,
            Component::F16 => 2,
            Component::F32 | Component::F32Big => 4,
        }
    }

    fn decode(self, bytes: &[u8], into: &mut Vec<f32>) {
        match self {
            Component::U8 => into.extend(bytes.iter().copied().map(f32::from)),
            Component::F16 => into.extend(bytes.as_chunks().0.iter().map(|it| half(u16::from_le_bytes(*it)))),
            Component::F32 => into.extend(bytes.as_chunks().0.iter().map(|it| f32::from_le_bytes(*it))),
            Component::F32Big => into.extend(bytes.as_chunks().0.iter().map(|it| f32::from_be_bytes(*it))),
        }
    }
}

/// The number that 16 bits of IEEE 754 stand for.
fn half(bits: u16) -> f32 {
    let sign = if bits >> 15 == 0 { 1.0 } else { -1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1f), f32::from(bits & 0x3ff));
    sign * match exponent {
        0 => fraction * 2_f32.powi(-24),
        0x1f if fraction == 0.0 => f32::INFINITY,
        0x1f => f32::NAN,
        _ => (1024.0 + fraction) * 2_f32.powi(exponent - 25),
    }
}

impl Format {
    /// By the extension of a file, that before `.gz` if it is packed.
    pub fn of(path: &Path) -> Result<Format, DataError> {
        let whole = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        let name = whole.strip_suffix(".gz").unwrap_or(&whole);
        let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
        let unknown = |why: &str| Err(DataError::Unknown { path: path.into(), why: why.into() });
        match extension {
            "fvecs" => Ok(Format::Fvecs),
            "bvecs" => Ok(Format::Bvecs),
            "npy" => Ok(Format::Npy),
            "idx" => Ok(Format::Idx),
            // The original files of the MNIST family have no extension, but `idx3-ubyte` at the end.
            _ if name.contains("-idx") || name.contains(".idx") => Ok(Format::Idx),
            "hdf5" | "h5" if name == whole => Ok(Format::Hdf5),
            "hdf5" | "h5" => unknown("HDF5 is not read from its beginning to its end: unpack it first"),
            _ => unknown(
                "no known kind of file: vectors are read from .fvecs, .bvecs, .npy and .idx, each also with .gz, and from .hdf5",
            ),
        }
    }
}

/// What a file of HDF5 calls the vectors to load.
const BASE: &str = "train";
/// And those to search for.
const QUERIES: &str = "test";

/// Where a file of vectors was read to.
pub struct Vectors {
    path: PathBuf,
    source: Source,
    dim: usize,
    /// How many rows there are in all, as far as that is known.
    rows: Option<u64>,
    /// How many are read at most.
    limit: u64,
    read: u64,
    ended: bool,
}

enum Source {
    Plain(Plain),
    Hdf5(Box<hdf5::Rows>),
}

/// A file that is read from its beginning to its end.
struct Plain {
    input: Input,
    component: Component,
    /// Whether each row has a head; that of the first was read.
    headed: bool,
    at_first: bool,
}

impl Vectors {
    /// Opens a file, of which up to `limit` rows are read: those to load, if it has others as well.
    pub fn open(path: &Path, limit: Option<u64>) -> Result<Vectors, DataError> {
        Vectors::open_table(path, BASE, limit)
    }

    /// The same, of those to search for.
    pub fn open_queries(path: &Path, limit: Option<u64>) -> Result<Vectors, DataError> {
        Vectors::open_table(path, QUERIES, limit)
    }

    fn open_table(path: &Path, table: &'static str, limit: Option<u64>) -> Result<Vectors, DataError> {
        let format = Format::of(path)?;
        let mut input = Input::open(path)?;
        let (source, dim, rows) = match format {
            Format::Fvecs => Source::headed(input, Component::F32)?,
            Format::Bvecs => Source::headed(input, Component::U8)?,
            Format::Npy => {
                let npy::Head { rows, dim, component } = npy::head(&mut input)?;
                Source::counted(input, component, dim, rows)?
            }
            Format::Idx => {
                let idx::Head { rows, dim, component } = idx::head(&mut input)?;
                Source::counted(input, component, dim, rows)?
            }
            Format::Hdf5 => {
                let rows = hdf5::Rows::open(path, table)?;
                let (dim, len) = (rows.dim(), rows.len());
                (Source::Hdf5(rows.into()), dim, Some(len))
            }
        };
        let limit = limit.unwrap_or(u64::MAX);
        Ok(Vectors { path: path.into(), source, dim, rows, limit, read: 0, ended: false })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Components of each vector.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// How many rows will be read, if that is known.
    pub fn expected(&self) -> Option<u64> {
        Some(self.rows?.min(self.limit))
    }

    /// Whether the file has more rows than are read of it, as far as that is known.
    pub fn is_cut(&self) -> bool {
        self.rows.is_some_and(|rows| rows > self.limit)
    }

    /// How many rows were read.
    pub fn read(&self) -> u64 {
        self.read
    }

    /// Up to so many rows, one after the other; none at the end.
    pub fn block(&mut self, rows: usize) -> Result<Vec<f32>, DataError> {
        let mut block = Vec::new();
        for _ in 0..rows {
            if !self.row(&mut block)? {
                break;
            }
        }
        Ok(block)
    }

    /// All rows, of which there are at most `max`.
    pub fn all(mut self, max: usize) -> Result<Vec<f32>, DataError> {
        let rows = self.block(max)?;
        if self.limit > self.read && self.row(&mut Vec::new())? {
            let (expected, found) = (format!("at most {max} rows"), "more".into());
            return Err(match self.source {
                Source::Plain(Plain { input, .. }) => input.malformed(input.offset(), expected, found),
                Source::Hdf5(_) => DataError::Within { path: self.path, place: "its vectors".into(), expected, found },
            });
        }
        Ok(rows)
    }

    fn row(&mut self, into: &mut Vec<f32>) -> Result<bool, DataError> {
        if self.ended || self.read >= self.limit {
            return Ok(false);
        }
        let is_last = self.rows == Some(self.read);
        let is_read = match &mut self.source {
            Source::Plain(plain) => plain.row(self.dim, is_last, into)?,
            Source::Hdf5(rows) => rows.row(into)?,
        };
        self.ended = !is_read;
        self.read += u64::from(is_read);
        Ok(is_read)
    }
}

impl Source {
    /// Rows that say how long they are. With the components of a row, and how many rows there are if the file's length says it.
    fn headed(mut input: Input, component: Component) -> Result<(Source, usize, Option<u64>), DataError> {
        let dim = headed::head(&mut input, None)?;
        let dim = dim.ok_or_else(|| input.malformed(0, "a vector", "an empty file"))?;
        let rows = headed::rows(&input, headed::HEAD_BYTES + (dim * component.bytes()) as u64)?;
        Ok((Source::Plain(Plain { input, component, headed: true, at_first: true }), dim, rows))
    }

    /// Rows that were counted by the file's head, which was read.
    fn counted(
        input: Input,
        component: Component,
        dim: usize,
        rows: u64,
    ) -> Result<(Source, usize, Option<u64>), DataError> {
        if rows == 0 {
            return Err(input.malformed(input.offset(), "a vector", "a file of no rows"));
        }
        input.check_len(input.offset() + rows * (dim * component.bytes()) as u64)?;
        Ok((Source::Plain(Plain { input, component, headed: false, at_first: true }), dim, Some(rows)))
    }
}

impl Plain {
    /// The next row, if there is one; `is_last` says that all that were counted are read.
    fn row(&mut self, dim: usize, is_last: bool, into: &mut Vec<f32>) -> Result<bool, DataError> {
        if self.headed {
            if !std::mem::take(&mut self.at_first) && headed::head(&mut self.input, Some(dim))?.is_none() {
                return Ok(false);
            }
        } else if is_last {
            self.input.end()?;
            return Ok(false);
        }
        let (at, begin) = (self.input.offset(), into.len());
        let bytes = self.input.all(dim * self.component.bytes(), &format!("{dim} components"))?;
        self.component.decode(&bytes, into);
        if let Some(nth) = into[begin..].iter().position(|component| !component.is_finite()) {
            let at = at + (nth * self.component.bytes()) as u64;
            return Err(self.input.malformed(at, "a finite number", into[begin + nth].to_string()));
        }
        Ok(true)
    }
}
