//! The write-ahead log: the decisions, in order.
//!
//! A log is a chain of frames in preallocated files. Each frame carries its LSN, the checksum of the frame before it
//! and its own, which also covers the log's id, the file's number and the frame's offset. So a frame that was moved,
//! that is left over from another life of the same space, or that follows another past than ours, is refused.
//!
//! The writer holds to one rule, from which recovery gets all that it knows: *no byte of a frame is written before
//! the frame ahead of it is durable*. Hence at most one frame is ever in doubt, the last.
//!
//! How to use it, in this order; what fails in a step marked (*) is not an abort, and ends this process:
//! 1. [`Log::encode`] the batch;
//! 2. [`Log::reserve`] room for it, perhaps in a new file;
//! 3. [`Log::write`] the frame (*);
//! 4. [`Log::sync`] it (*): now the batch is decided.
//!
//! And to recover: [`scan`] what is there, without touching it; compare with what else is known; [`Log::resume`].

use std::{fmt, sync::Arc};

use stormproof_contract::Disk;

use super::{
    Batch, StoreResult,
    manifest::{Manifest, ManifestFile},
};
use crate::ids::Lsn;

/// The points of growing and of resuming a log.
pub const POINTS: [&str; 5] =
    ["log.roll.begun", "log.roll.created", "recover.log_cut", "recover.log_rewritten", "recover.log_synced"];

/// Tells one database from another. Drawn at random when it is created.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct LogId(pub u128);

/// A file of the log, `log.<number>`. Numbers grow, with gaps where a file was begun in vain.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct LogNo(pub u64);

/// How frames are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogFormat {
    /// Compact, and checked header first.
    Binary,
    /// One line of JSON for each frame.
    JsonLines,
}

/// How a log is to be kept. May change from boot to boot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogOptions {
    /// The format of new files.
    pub format: LogFormat,
    /// The length that files are preallocated to, in bytes.
    pub file_bytes: u64,
}

/// A batch as a frame of the log will hold it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EncodedBatch {
    bytes: Vec<u8>,
}

/// The log's end as [`scan`] found it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tail {
    /// The last frame that counts, or what is before the first.
    pub lsn: Lsn,
    /// The log's last file.
    pub path: Box<str>,
    /// Where in it the last frame ends.
    pub end: u64,
    /// What is left of a frame that was being written when the log was cut off: what was expected and found.
    pub torn: Option<Box<str>>,
}

/// The log, open for writing.
pub struct Log {
    disk: Arc<dyn Disk>,
}

/// Reads the log that a manifest names, hands each batch to `apply` in order, and says where it ends. Changes nothing
/// on the disk.
pub fn scan(
    disk: &Arc<dyn Disk>,
    manifest: &Manifest,
    apply: &mut dyn FnMut(Lsn, Batch) -> StoreResult<()>,
) -> StoreResult<Tail> {
    let _ = (disk, manifest, apply);
    unimplemented!()
}

impl Log {
    /// Begins the log of a new database with its first file, made durable. Nothing names it yet: that is what
    /// [`ManifestFile::create`] does next, with this log's id and [`LogNo::FIRST`].
    pub fn create(disk: &Arc<dyn Disk>, id: LogId, options: LogOptions) -> StoreResult<Log> {
        let _ = (disk, id, options);
        unimplemented!()
    }

    /// Takes the log up again behind `tail`: cuts what is torn, rewrites the frame in doubt, makes all of it durable,
    /// installs the manifest afresh (it, too, may have been seen in the page cache only), and removes log files that
    /// it does not name. Nothing may be served before this succeeded.
    pub fn resume(
        disk: &Arc<dyn Disk>,
        tail: Tail,
        options: LogOptions,
        manifest: &mut ManifestFile,
    ) -> StoreResult<Log> {
        let _ = (disk, tail, options, manifest);
        unimplemented!()
    }

    /// The last frame that was written.
    pub fn lsn(&self) -> Lsn {
        let _ = &self.disk;
        unimplemented!()
    }

    /// The bytes of a batch. Fails if it is too big, with no effect.
    pub fn encode(&self, batch: &Batch) -> StoreResult<EncodedBatch> {
        let _ = batch;
        unimplemented!()
    }

    /// Makes sure that there is room for a batch, in a new file if need be. If it fails, for want of space or
    /// otherwise, the batch has had no effect and may be tried again.
    pub fn reserve(&mut self, batch: &EncodedBatch, manifest: &mut ManifestFile) -> StoreResult<()> {
        let _ = (batch, manifest);
        unimplemented!()
    }

    /// Writes the next frame and gives its LSN. If it fails, the frame may or may not survive: this process must end.
    ///
    /// # Panics
    /// If there was no [`reserve`](Self::reserve) for it, or a write or sync failed before.
    pub fn write(&mut self, batch: &EncodedBatch) -> StoreResult<Lsn> {
        let _ = batch;
        unimplemented!()
    }

    /// Makes the frame durable. If it fails, the frame may or may not survive: this process must end.
    pub fn sync(&mut self) -> StoreResult<()> {
        unimplemented!()
    }
}

impl LogNo {
    /// The first file of a log.
    pub const FIRST: LogNo = LogNo(1);

    /// The file's path.
    pub fn path(self) -> String {
        format!("log.{}", self.0)
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}
