//! Data sets: vectors from the files in which they are published, exact answers to compare with, and files written.
//!
//! | file | what |
//! |---|---|
//! | `input` | a file byte by byte, packed or not: what is read is counted, so that an error can say where |
//! | `vectors` | vectors of any kind of file, block by block |
//! | `headed` | `.fvecs` and `.bvecs`: each row says how long it is |
//! | `idx`, `npy` | one head, then all rows |
//! | `hdf5`, `no_hdf5` | the files of ann-benchmarks, with the feature `hdf5`, and what is said without it |
//! | `truth` | the nearest rows of each query: read from `.ivecs`, or found by comparing every row |
//! | `write` | `.fvecs` and `.ivecs` |
//! | `fashion` | the images of Fashion-MNIST, from Debian's package |
//!
//! # Invariants
//! - A file is hostile until it was read: no length that it names is believed before it was bounded, and what is wrong is
//!   said with file, offset, what was expected and what was found.
//! - A base of any size is read in blocks; nothing here holds more of it than one block for each thread.

mod fashion;
#[cfg(feature = "hdf5")]
mod hdf5;
#[cfg(not(feature = "hdf5"))]
#[path = "no_hdf5.rs"]
mod hdf5;
mod headed;
mod idx;
mod input;
mod npy;
#[cfg(test)]
mod tests;
mod truth;
mod vectors;
mod write;

use std::{io, path::PathBuf};

pub use fashion::{FASHION_DIR, Made, fashion_mnist};
pub use truth::{Agreement, Nearest, Truth};
pub use vectors::{Format, Vectors};
pub use write::{write_fvecs, write_ivecs};

/// The most components that a vector may have: as many as an index takes.
pub const DIM_MAX: usize = 1 << 16;

/// The most rows of a file that has to be held as a whole: queries, and the answers to them.
pub const HELD_MAX: usize = 1 << 20;

/// Why a file is of no use.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// It cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not what its name says.
    #[error("{}: offset {offset}: expected {expected}, found {found}", path.display())]
    Malformed {
        /// Which.
        path: PathBuf,
        /// Where, in bytes; of what was packed, if it is packed.
        offset: u64,
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
    },
    /// One of the tables of a file is not what it should be.
    #[error("{}: {place}: expected {expected}, found {found}", path.display())]
    Within {
        /// Which file.
        path: PathBuf,
        /// Which table, and where in it.
        place: String,
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
    },
    /// Nothing here reads such files.
    #[error("{}: {why}", path.display())]
    Unknown {
        /// Which.
        path: PathBuf,
        /// What could be read instead.
        why: String,
    },
    /// Two files do not belong together.
    #[error("{}: expected {expected}, found {found}", path.display())]
    Unlike {
        /// Which of them is read second.
        path: PathBuf,
        /// What the first has.
        expected: String,
        /// What this one has.
        found: String,
    },
}
