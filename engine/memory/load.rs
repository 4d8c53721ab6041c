//! Reading the exact index back from its files, as far as they can be believed.
//!
//! A file is believed if its digest is the one that the log's frame, or the manifest, names: never for its name, its
//! LSN, or its place in the directory. A vote that was decided but not renamed before the crash has that digest too, and
//! is renamed now. At the first file that is missing, damaged, or not the one that was decided, reading stops, and the
//! index is made from the ground truth instead; its files are then written afresh.
//!
//! Deltas build on the base that the manifest names, if it names one, and that on what the segments hold.

use std::collections::BTreeMap;

use super::{config::L1Persist, l1::L1Files};
use crate::{
    ids::{Lsn, RecordId},
    store::{
        Digest, Entry, Memtable,
        l1::{self, L1File, L1Kind, L1Name},
        manifest::L1Base,
    },
    vector::FlatIndex,
};

/// What the log and the manifest say about the files.
pub(super) struct Named {
    /// The last frame.
    pub(super) end: Lsn,
    /// The last frame whose effect is in the segments.
    pub(super) flushed: Lsn,
    /// The base that the manifest names.
    pub(super) base: Option<L1Base>,
    /// The votes that the frames name.
    pub(super) votes: BTreeMap<Lsn, Digest>,
}

/// The index as it was read or made.
pub(super) struct Loaded {
    pub(super) index: FlatIndex,
    /// Whether the files are whole, and it was read from them.
    pub(super) whole: bool,
    /// How many finishes were done that a crash had cut off.
    pub(super) redone: u64,
}

/// Reads the index, or makes it from the ground truth: the rows of the segments, and the records since the last flush.
pub(super) fn load(
    files: &mut L1Files,
    named: &Named,
    segments: &FlatIndex,
    records: &Memtable,
    empty: FlatIndex,
) -> Loaded {
    let mut redone = 0;
    let made = made_from(records, segments.clone());
    let read = match files.persist {
        L1Persist::Delta { .. } => files.read_deltas(named, segments, &mut redone),
        L1Persist::Rewrite => files.read_index(named, empty, &mut redone),
    };
    if let Some(index) = read.filter(|index| agrees(index, &made)) {
        return Loaded { index, whole: true, redone };
    }
    files.forget();
    Loaded { index: made, whole: named.end == Lsn(0), redone }
}

impl L1Files {
    /// The base, and the delta of each frame after it.
    fn read_deltas(&mut self, named: &Named, segments: &FlatIndex, redone: &mut u64) -> Option<FlatIndex> {
        let mut index = segments.clone();
        (self.base, self.base_rows) = (named.flushed, 0);
        if let Some(base) = named.base {
            let name = L1Name { kind: L1Kind::Index, lsn: base.lsn, temporary: false };
            let file = self.believed(name, base.lsn, base.digest)?;
            add(&mut index, &file)?;
            (self.base, self.base_rows) = (base.lsn, changes(&file));
        }
        self.upto = self.base;
        for lsn in (self.base.0 + 1..=named.end.0).map(Lsn) {
            let name = L1Name { kind: L1Kind::Delta, lsn, temporary: false };
            let delta = self.decided(name, Lsn(lsn.0 - 1), *named.votes.get(&lsn)?, redone)?;
            add(&mut index, &delta)?;
            self.upto = lsn;
            self.delta_rows += changes(&delta);
        }
        Some(index)
    }

    /// The one index, as of the last frame: the log names it, or the manifest, if that frame was flushed.
    fn read_index(&mut self, named: &Named, empty: FlatIndex, redone: &mut u64) -> Option<FlatIndex> {
        let mut index = empty;
        let name = L1Name { kind: L1Kind::Index, lsn: named.end, temporary: false };
        let flushed = named.base.filter(|base| base.lsn == named.end).map(|base| base.digest);
        let digest = named.votes.get(&named.end).copied().or(flushed)?;
        add(&mut index, &self.decided(name, named.end, digest, redone)?)?;
        (self.base, self.upto, self.digest) = (named.end, named.end, Some(digest));
        Some(index)
    }

    /// The file that was voted on, under its own name or still under the one it was written by.
    fn decided(&self, name: L1Name, before: Lsn, digest: Digest, redone: &mut u64) -> Option<L1File> {
        if let Some(file) = self.believed(name, before, digest) {
            return Some(file);
        }
        let voted = L1Name { temporary: true, ..name };
        let file = self.believed(voted, before, digest)?;
        self.disk.rename(&voted.path(), &name.path()).ok()?;
        *redone += 1;
        Some(file)
    }

    fn believed(&self, name: L1Name, before: Lsn, digest: Digest) -> Option<L1File> {
        let file = l1::read(&*self.disk, name).ok()?;
        (file.digest == digest && file.head == self.head(name, before)).then_some(file)
    }
}

fn changes(file: &L1File) -> u64 {
    (file.rows.len() + file.tombstones.len()) as u64
}

/// Puts a file's rows into the index; `None` if one of them cannot be in it.
fn add(index: &mut FlatIndex, file: &L1File) -> Option<()> {
    for &(id, version) in &file.tombstones {
        // A base may be older than a load, which has no delta.
        if index.version(id).is_none_or(|known| known < version) {
            index.remove(id);
        }
    }
    file.rows().try_for_each(|row| index.upsert(row.id, row.version, &row.vector).ok().map(drop))
}

/// Whether the index knows the records of the one that was made, in the same versions, and no other, and has as many rows.
fn agrees(index: &FlatIndex, made: &FlatIndex) -> bool {
    index.rows() == made.rows() && index.versions().eq(made.versions())
}

/// The index of what is known of records, on top of an older one.
fn made_from(records: &Memtable, mut index: FlatIndex) -> FlatIndex {
    records.iter().for_each(|(id, entry)| put(&mut index, id, entry));
    index
}

/// Puts what is known of a record into the index.
pub(super) fn put(index: &mut FlatIndex, id: RecordId, entry: &Entry) {
    match entry {
        Entry::Live(record) => {
            let put = index.upsert(record.id, record.version, &record.vector);
            assert!(put.is_ok(), "vectors are checked when they are read: {put:?}");
        }
        Entry::Deleted(_) => drop(index.remove(id)),
    }
}
