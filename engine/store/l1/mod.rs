//! The files of L1: a base (`l1/index.<lsn>`) as of a frame of the log, with every row or what changed since the last
//! flush, and deltas (`l1/delta.<lsn>`) with what one frame changed.
//!
//! They are a cache: each can be made again from the ground truth, so none is believed for its name. A file says which
//! database it belongs to, which frame it was made from and which frame it builds on, and ends in a digest of all that;
//! a reader gives back rows only once the digest is right. Which digest is *decided*, the log or the manifest says, and
//! what to do with a file that is missing, stale or too new, `memory` does.

use std::borrow::Cow;

use stormproof_contract::{Disk, Open};

use super::{Digest, StoreResult, log::LogId};
use crate::ids::{Lsn, RecordId, Version};

mod head;
mod read;
mod write;

pub use read::{read, read_alone};
pub use write::write;

#[cfg(test)]
mod tests;

/// The directory of L1's files.
pub const DIRECTORY: &str = "l1";

/// What an L1 file is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum L1Kind {
    /// All that the files before it had.
    Index,
    /// What one frame changed.
    Delta,
}

/// An L1 file's name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct L1Name {
    /// What it is.
    pub kind: L1Kind,
    /// The frame it is as of.
    pub lsn: Lsn,
    /// Whether it still has the name it is written under, before its rename.
    pub temporary: bool,
}

/// What an L1 file says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct L1Head {
    /// What it is.
    pub kind: L1Kind,
    /// Which database it belongs to.
    pub log: LogId,
    /// Components of each row.
    pub components: u32,
    /// The metric, as `vector` numbers it.
    pub metric: u8,
    /// The frame whose state a delta builds on; for a base, the same as `lsn`.
    pub before: Lsn,
    /// The frame it is as of.
    pub lsn: Lsn,
}

/// A row to be written.
#[derive(Clone, PartialEq, Debug)]
pub struct L1Row<'a> {
    /// Of which record.
    pub id: RecordId,
    /// Of which writing.
    pub version: Version,
    /// Its vector, with as many components as the head says.
    pub vector: Cow<'a, [f32]>,
}

/// An L1 file, read and verified.
#[derive(Clone, PartialEq, Debug)]
pub struct L1File {
    /// What it says of itself.
    pub head: L1Head,
    /// What it is recognised by.
    pub digest: Digest,
    /// Rows without their vectors, in the order they were written.
    pub rows: Vec<(RecordId, Version)>,
    /// The rows' vectors, one after another.
    pub vectors: Vec<f32>,
    /// Records that are gone, and the version of their absence.
    pub tombstones: Vec<(RecordId, Version)>,
}

impl L1Kind {
    fn word(self) -> &'static str {
        match self {
            L1Kind::Index => "index",
            L1Kind::Delta => "delta",
        }
    }

    fn number(self) -> u8 {
        match self {
            L1Kind::Index => 1,
            L1Kind::Delta => 2,
        }
    }

    fn of_number(number: u8) -> Option<L1Kind> {
        [L1Kind::Index, L1Kind::Delta].into_iter().find(|kind| kind.number() == number)
    }
}

impl L1Name {
    /// The path of the file.
    pub fn path(&self) -> String {
        format!("{DIRECTORY}/{}", self.file_name())
    }

    /// The name it has, or will have, after its rename.
    #[must_use]
    pub fn renamed(self) -> L1Name {
        L1Name { temporary: false, ..self }
    }

    fn file_name(self) -> String {
        let suffix = if self.temporary { ".tmp" } else { "" };
        format!("{}.{}{suffix}", self.kind.word(), self.lsn.0)
    }

    fn of_file_name(name: &str) -> Option<L1Name> {
        let (stem, temporary) = name.strip_suffix(".tmp").map_or((name, false), |stem| (stem, true));
        let (word, lsn) = stem.split_once('.')?;
        let kind = [L1Kind::Index, L1Kind::Delta].into_iter().find(|kind| kind.word() == word)?;
        let parsed = L1Name { kind, lsn: Lsn(lsn.parse().ok()?), temporary };
        (parsed.file_name() == name).then_some(parsed)
    }
}

impl L1File {
    /// The rows, with their vectors.
    pub fn rows(&self) -> impl Iterator<Item = L1Row<'_>> {
        let components = self.head.components as usize;
        self.rows.iter().enumerate().map(move |(row, &(id, version))| {
            let vector = &self.vectors[row * components..(row + 1) * components];
            L1Row { id, version, vector: vector.into() }
        })
    }
}

/// Makes a file that was written durable (its bytes, not its name).
pub fn sync(disk: &dyn Disk, name: L1Name) -> StoreResult<()> {
    Ok(disk.open(&name.path(), Open::Write)?.sync()?)
}

/// The L1 files there are, in order; none if there is no directory for them. Other names are not looked at.
pub fn list(disk: &dyn Disk) -> StoreResult<Vec<L1Name>> {
    let entries = match disk.list(DIRECTORY) {
        Err(error) if error.is_not_found() => return Ok(Vec::new()),
        listed => listed?,
    };
    let mut names: Vec<L1Name> = entries.iter().filter_map(|entry| L1Name::of_file_name(&entry.name)).collect();
    names.sort_unstable();
    Ok(names)
}
