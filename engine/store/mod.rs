//! Bytes on disk: the ground truth (tier L3) and the files that the exact index (tier L1) leaves beside it.
//!
//! | file | what |
//! |---|---|
//! | `manifest` | names everything else that counts ([`manifest`]) |
//! | `log.<number>` | the write-ahead log: one frame for each batch of transactions ([`log`], [`batch`]) |
//! | `segments/<number>` | immutable sorted runs: what the frames made of records that the log no longer has ([`segment`]) |
//! | `archive/<number>` | a graph over the vectors of many records, with those vectors ([`archive`]) |
//! | `l1/index.<lsn>`, `l1/delta.<lsn>` | L1's rows, as of a frame of the log; a cache that the log can redo ([`l1`]) |
//!
//! `FORMAT.md` beside this file has the byte layouts, and argues by cases what a crash can leave and what is made of
//! it. In memory, the log's effect is the [`Memtable`].
//!
//! Invariants:
//! - every byte that is believed was covered by a checksum that also covers *where* it belongs;
//! - no length from the disk is trusted before it was compared with a bound and with what is left of the file;
//! - a failure before [`log::Log::write`] has no effect on what is decided; one in it or after it is never an abort.
//!
//! When to commit, what a transaction may see, and which L1 file to believe is decided in `memory`.

pub mod archive;
pub mod batch;
mod codec;
pub mod compact;
mod digest;
mod error;
pub(crate) mod files;
pub mod inspect;
pub mod l1;
pub mod log;
pub mod manifest;
mod memtable;
mod place;
pub mod record;
pub mod segment;

#[cfg(test)]
mod samples;
#[cfg(test)]
pub(crate) mod test_disk;

pub use batch::{Batch, Participant, RetryId, Transaction, TransactionId, Vote, Write};
pub use digest::{Digest, DigestBuilder};
pub use error::{Proof, StoreError, StoreResult};
pub use memtable::{Entry, Memtable};
pub use record::{Link, Record};

pub use crate::ids::{Lsn, RecordId, Version};

/// The points this room passes, by module.
pub const POINTS: [&[&str]; 4] = [&log::POINTS, &manifest::POINTS, &segment::POINTS, &archive::POINTS];
