//! What can go wrong with bytes on disk: where, what was expected, what was found, and what an operator can do.
//!
//! The world causes every one of these; a bug of ours is an assertion instead. [`StoreError::is_passing`] tells a
//! failure that another try may survive from a state of the disk that must not be served.

use std::fmt;

use stormproof_contract::{DiskError, DiskErrorKind};

use crate::ids::{Lsn, RecordId};

/// What the store's functions give back.
pub type StoreResult<T> = Result<T, StoreError>;

/// What went wrong.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum StoreError {
    /// A disk call failed. Nothing is known to be wrong with the bytes.
    #[error("{0}; the device or its file system failed: look at the system's log, then try again")]
    Disk(#[from] DiskError),

    /// Something that was to be written is larger than the format allows.
    #[error("{what}: {found} is more than the {max} allowed; send less")]
    TooBig {
        /// What, with its unit.
        what: &'static str,
        /// Its size.
        found: u64,
        /// The bound.
        max: u64,
    },

    /// A number that was to be written is infinite or not a number.
    #[error("{what} {at} is not a finite number; correct the record")]
    NotFinite {
        /// What holds it.
        what: &'static str,
        /// Which, from 0.
        at: usize,
    },

    /// A link that was to be written is weaker than nothing, or stronger than all.
    #[error("the link to {to} has the weight {weight}: it must be from 0 to 1; correct the record")]
    BadWeight {
        /// Where it leads.
        to: RecordId,
        /// Its weight.
        weight: Box<str>,
    },

    /// Bytes that were complete once are wrong now: rot, or a write that landed elsewhere.
    #[error(
        "`{path}` at offset {offset} is damaged: expected {expected}, found {found}; restore the file from a backup"
    )]
    Damaged {
        /// The file.
        path: Box<str>,
        /// Where in it.
        offset: u64,
        /// What belongs there.
        expected: Box<str>,
        /// What is there.
        found: Box<str>,
    },

    /// The log is damaged before its end: what follows proves that the frame was complete once, so cutting the log
    /// there would lose decided transactions.
    #[error(
        "`{path}` at offset {offset} is damaged before the end of the log: expected {expected}, found {found}, although \
         {proof}; restore the file from a backup, or accept the loss of every transaction from this frame on"
    )]
    DamagedLog {
        /// The file.
        path: Box<str>,
        /// Where the frame begins that cannot be read.
        offset: u64,
        /// What belongs there.
        expected: Box<str>,
        /// What is there.
        found: Box<str>,
        /// How it is known that the log went on.
        proof: Proof,
    },

    /// The log ends before something that was derived from it: its tail was lost after it was decided.
    #[error(
        "`{log_path}` ends at offset {offset} with {found}, but `{path}` was made from {expected}: the end of the log is \
         lost; restore it from a backup, or remove `{path}` to accept the loss"
    )]
    LostTail {
        /// What was derived.
        path: Box<str>,
        /// The last file of the log.
        log_path: Box<str>,
        /// Where the log ends.
        offset: u64,
        /// The frame it was derived from.
        expected: Lsn,
        /// The last frame of the log.
        found: Lsn,
    },

    /// There is a log but no manifest to say which of its files count.
    #[error("`{path}` is missing, although `{found}` holds decided transactions; restore it from a backup")]
    MissingManifest {
        /// The manifest's path.
        path: Box<str>,
        /// The file that proves that there was one.
        found: Box<str>,
    },

    /// The file is whole, but of another database, or not what its name says.
    #[error(
        "`{path}` at offset {offset} belongs elsewhere: expected {expected}, found {found}; put back the file that \
         belongs here"
    )]
    Foreign {
        /// The file.
        path: Box<str>,
        /// Where in it.
        offset: u64,
        /// What belongs there.
        expected: Box<str>,
        /// What is there.
        found: Box<str>,
    },

    /// The file was written by a program that knows a later format.
    #[error("`{path}` at offset {offset} has format {found}, and this program reads {expected}; use a later program")]
    UnknownFormat {
        /// The file.
        path: Box<str>,
        /// Where in it.
        offset: u64,
        /// The format this program reads.
        expected: u32,
        /// The file's format.
        found: u32,
    },
}

/// How it is known that the log went on behind a frame that cannot be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Proof {
    /// Another frame of this log, at home at its offset, which was written only once the damaged one was durable.
    Frame {
        /// Where it begins.
        offset: u64,
        /// Which it says it is.
        lsn: Lsn,
    },
    /// The next file of the log, which was begun only once this one was complete.
    File {
        /// Its path.
        path: Box<str>,
    },
    /// Every sector of the frame was written, so that no crash can have torn it.
    Whole,
}

impl StoreError {
    /// Whether another try may go well. All else needs an operator, or a smaller request.
    pub fn is_passing(&self) -> bool {
        matches!(self, StoreError::Disk(_))
    }

    /// Whether the disk has no room: a clean refusal when it comes before anything is decided.
    pub fn is_no_space(&self) -> bool {
        matches!(self, StoreError::Disk(error) if error.kind == DiskErrorKind::NoSpace)
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Proof::Frame { offset, lsn } => write!(f, "the frame of {lsn} stands at offset {offset}"),
            Proof::File { path } => write!(f, "`{path}` goes on after it"),
            Proof::Whole => f.write_str("all of its sectors were written"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_of_the_log_says_how_it_is_known_that_it_went_on() {
        let damaged = |proof| StoreError::DamagedLog {
            path: "log.3".into(),
            offset: 64,
            expected: "a frame".into(),
            found: "zeros".into(),
            proof,
        };
        for (proof, words) in [
            (Proof::Frame { offset: 512, lsn: Lsn(9) }, "although the frame of LSN 9 stands at offset 512;"),
            (Proof::File { path: "log.4".into() }, "although `log.4` goes on after it;"),
            (Proof::Whole, "although all of its sectors were written;"),
        ] {
            let error = damaged(proof);
            assert!(error.to_string().contains(words), "{error}");
            assert!(!error.is_passing() && !error.is_no_space());
        }
    }

    #[test]
    fn only_a_failure_of_the_disk_is_passing_and_only_a_full_one_is_no_space() {
        let failed = |kind| StoreError::Disk(DiskError::new(stormproof_contract::DiskOp::Write, "file", kind));
        let (full, broken) = (failed(DiskErrorKind::NoSpace), failed(DiskErrorKind::Io));
        assert!(full.is_passing() && full.is_no_space());
        assert!(broken.is_passing() && !broken.is_no_space());
    }
}
