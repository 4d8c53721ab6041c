//! Generations of the archive: each a graph over the vectors of many records, with those vectors, in one file,
//! `archive/<number>`.
//!
//! | part | what |
//! |---|---|
//! | rows | the vector of each record, in the order of their ids: a row never lies across more pages than it must |
//! | body | how vectors were made into codes; then for each record its id, its version, the checksum of its row, its code, and the nodes that its own leads to |
//! | footer | of which records, as of which frame; a digest of the body; a fixed size, at the very end |
//!
//! A generation is written once, front to back, and synced; only then does the manifest name it, by the digest of its footer.
//! Nothing in it ever changes. It is made of what segments hold, so a damaged one costs time, and no record.
//!
//! Whoever searches has the body in memory ([`Generation`]), and reads rows.
//!
//! Invariants:
//! - the body is cut into blocks, each with a checksum that also covers *where* it is: database, number, offset. The checksum of
//!   a row stands in the body, and covers the record and its version as well. So a row of another life of the same space, or
//!   one that was written elsewhere, is refused;
//! - nothing is believed before its checksum was compared, and no length allocates more than what the footer can vouch for:
//!   as many bytes as the file has.

mod footer;
mod load;
mod name;
mod row;
mod write;

#[cfg(test)]
mod tests;

pub use load::{Generation, GraphParts, Loading};
pub use name::{GenerationName, GenerationNo};
pub use row::RowFormat;
pub use write::{GenerationWriter, GraphFacts};

use stormproof_contract::Disk;

use super::{StoreResult, files::list_paths};

/// The points of making a generation.
pub const POINTS: [&str; 3] = ["archive.rows_written", "archive.written", "archive.synced"];

/// The directory of generations.
pub const DIRECTORY: &str = "archive";

/// The bytes of a page: rows are laid out so that few of them lie on two.
const PAGE_BYTES: u64 = 4096;
/// The bytes of a block of the body, before its checksum.
const BLOCK_BYTES: usize = 1 << 16;
/// The bytes of a checksum.
const SEAL_BYTES: usize = 4;

/// The paths of all files in [`DIRECTORY`], whatever they are; none if there is no such directory.
pub fn list(disk: &dyn Disk) -> StoreResult<Vec<String>> {
    list_paths(disk, DIRECTORY)
}
