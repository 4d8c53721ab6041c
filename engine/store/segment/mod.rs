//! Segments: immutable sorted runs of what is known of records, each in one file, `segments/<number>`.
//!
//! A segment holds, for each of its records, the newest writing that it was made from, or that the record is gone. It is
//! written once, front to back, and synced; only then does the manifest name it. Nothing in it ever changes, so readers
//! need no locks, and whoever holds an open segment may go on reading it after it was replaced and its name removed.
//!
//! | part | what |
//! |---|---|
//! | groups | up to 256 records each: their [keys](Keys) with links, their texts and attributes, their vectors |
//! | decisions | what the frames decided that the segment was made from ([`Decided`]) |
//! | filter | tells most ids that are not in here, without reading more ([`filter`]) |
//! | index | where each group begins, and with which id |
//! | footer | where filter and index are, and whose segment this is; a fixed size, at the very end |
//!
//! Invariants:
//! - ids ascend through the file, each once;
//! - every part is covered by a checksum which also covers *where* it is: database, number of the segment, offset. That
//!   of a vector covers the record and its version as well. So what was moved, or is left over from another life of the
//!   same space, is refused;
//! - nothing read from the file is believed before its checksum was compared, and no length of it allocates more than
//!   its bound.
//!
//! A footer leaves room for one more part, an index over the vectors of this segment alone.

mod decided;
mod footer;
mod group;
mod name;
mod read;
mod salvage;
mod seal;
mod write;

pub mod filter;

#[cfg(test)]
mod tests;

pub use decided::Decided;
pub use group::{Facts, Keys};
pub use name::{SegmentName, SegmentNo};
pub use read::{Segment, Span};
pub use write::SegmentWriter;

use stormproof_contract::Disk;

use super::{StoreResult, files::list_paths};

/// The points of making a segment.
pub const POINTS: [&str; 2] = ["segment.written", "segment.synced"];

/// The directory of segments.
pub const DIRECTORY: &str = "segments";

/// The paths of all files in [`DIRECTORY`], whatever they are; none if there is no such directory.
pub fn list(disk: &dyn Disk) -> StoreResult<Vec<String>> {
    list_paths(disk, DIRECTORY)
}
