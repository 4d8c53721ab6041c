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
//! And to recover: [`scan()`] what is there, without touching it; compare with what else is known; [`Log::resume`].

use std::fmt;

use self::header::Header;
use super::StoreError;
use crate::ids::Lsn;

mod binary;
mod frame;
mod header;
mod json;
mod scan;
mod write;

#[cfg(test)]
mod tests;

pub(super) use scan::holds_frames;
pub use scan::{Alone, End, Reach, last_after, last_known, look, reach, scan};
pub use write::{Log, create_after, cut};

/// The points of growing a log and of taking it up again.
pub const POINTS: [&str; 5] =
    ["log.roll.begun", "log.roll.created", "recover.log_cut", "recover.log_rewritten", "recover.log_synced"];

/// The longest file of a log that is read: no file is made longer.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// Tells one database from another. Drawn at random when it is created.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct LogId(pub u128);

/// A file of the log, `log.<number>`. Numbers grow by one from file to file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct LogNo(pub u64);

/// How frames are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
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
    /// The length that files are preallocated to, in bytes. A frame that needs more gets more.
    pub file_bytes: u64,
}

/// A batch as a frame of the log will hold it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EncodedBatch {
    payload: Vec<u8>,
}

/// The log's end as [`scan()`] found it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tail {
    /// The last frame that counts, or what is before the first.
    pub lsn: Lsn,
    /// The log's last file.
    pub path: Box<str>,
    /// Where in it the last frame ends.
    pub end: u64,
    /// If a write was cut off behind the end: what was expected there and what was found.
    pub torn: Option<Box<str>>,
    crc: u32,
    /// The last frame, which alone can be in the page cache without being on the disk.
    last: Option<(u64, Box<[u8]>)>,
    header: Header,
}

/// A frame's number and checksum: what the next frame must follow.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Chain {
    lsn: Lsn,
    crc: u32,
}

impl Tail {
    /// The error of `path`, which was made from a later frame than the log has.
    pub fn lost(&self, path: &str, expected: Lsn) -> StoreError {
        StoreError::LostTail {
            path: path.into(),
            log_path: self.path.clone(),
            offset: self.end,
            expected,
            found: self.lsn,
        }
    }
}

impl LogFormat {
    /// Both formats.
    pub const ALL: [LogFormat; 2] = [LogFormat::Binary, LogFormat::JsonLines];

    fn number(self) -> u32 {
        match self {
            LogFormat::Binary => 1,
            LogFormat::JsonLines => 2,
        }
    }

    fn of_number(number: u32) -> Option<LogFormat> {
        LogFormat::ALL.into_iter().find(|format| format.number() == number)
    }
}

impl LogNo {
    /// The first file of a log.
    pub const FIRST: LogNo = LogNo(1);

    /// The file's path.
    pub fn path(self) -> String {
        format!("log.{}", self.0)
    }

    fn next(self) -> LogNo {
        LogNo(self.0 + 1)
    }

    /// The file of that path, if it is one of a log.
    pub fn of_path(path: &str) -> Option<LogNo> {
        let no = LogNo(path.strip_prefix("log.")?.parse().ok()?);
        (no.path() == path).then_some(no)
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}
