//! What readers see: the state as of one LSN, which never changes, and where to find the newest.
//!
//! A view is published when its frame is durable, and before any transaction of it is answered. So whoever was
//! answered finds what was committed, and nobody finds what a crash can take back.

use std::sync::{Arc, Mutex, PoisonError};

use stormproof_contract::WallTime;

use super::{archive::Archive, bulk::Loaded, cache::KeysCache, load};
use crate::{
    ids::{Lsn, RecordId, Version},
    store::{
        Entry, Memtable, StoreResult, Write,
        segment::{Keys, Segment},
    },
    vector::FlatIndex,
};

/// The state as of one LSN. A clone costs a few words and shares the rest.
#[derive(Clone, Debug)]
pub(super) struct View {
    pub(super) lsn: Lsn,
    /// The last frame that changed a record.
    pub(super) changed: Lsn,
    /// What was written since the last flush.
    pub(super) records: Memtable,
    /// Above it begin the versions of a record that nothing is known of.
    pub(super) version_floor: Version,
    /// What was flushed, the oldest first: a record counts as the last of them has it that knows it, unless it was
    /// written since.
    pub(super) segments: Arc<[Arc<Segment>]>,
    /// So many of them, the oldest, have rows that are not in memory.
    pub(super) away: usize,
    /// Whether a rebuild of the archive is under way, by what was decided.
    pub(super) rebuilding: bool,
    /// The generation of the archive that is searched.
    pub(super) archive: Option<Arc<Archive>>,
    /// It has every live record that counts in one of so many segments, the oldest; 0 without one.
    pub(super) covered: usize,
    /// Keys of what was flushed.
    pub(super) cache: Arc<KeysCache>,
    /// Every live record, and its row unless it is away.
    pub(super) index: FlatIndex,
}

impl View {
    /// Makes a change of the frame `lsn`.
    pub(super) fn apply(&mut self, lsn: Lsn, write: &Write) {
        match write {
            Write::Put(record) => {
                let put = self.index.upsert(record.id, record.version, &record.vector);
                assert!(put.is_ok(), "a record was accepted that the index cannot hold: {put:?}");
            }
            Write::Delete { id, .. } => drop(self.index.remove(*id)),
        }
        self.records.apply(write);
        self.changed = lsn;
    }

    /// Adds what the frame `lsn` has loaded: records that were not there before.
    pub(super) fn add(&mut self, lsn: Lsn, loaded: &Loaded) {
        loaded.records.iter().for_each(|(id, entry)| load::put(&mut self.index, id, entry));
        self.segments = self.segments.iter().chain([&loaded.segment]).cloned().collect();
        self.changed = lsn;
    }

    /// Whether this is the present writing of a live record, as far as is known without the disk: of what was flushed,
    /// the index has it.
    pub(super) fn is_current(&self, id: RecordId, version: Version) -> bool {
        match self.records.get(id) {
            Some(entry) => entry.record().is_some_and(|record| record.version == version),
            None => self.index.version(id) == Some(version),
        }
    }

    /// The version of a live record.
    pub(super) fn version_of_live(&self, id: RecordId) -> Option<Version> {
        self.index.version(id)
    }

    /// What the next writing of a record follows. Reads the disk for what was flushed.
    pub(super) fn stamp(&self, id: RecordId) -> StoreResult<Option<Stamp>> {
        if let Some(entry) = self.records.get(id) {
            return Ok(Some(Stamp::of(entry)));
        }
        for segment in self.segments.iter().rev() {
            let Some(group) = segment.group_of(id) else { continue };
            let keys = self.keys_of(segment, group)?;
            if let Some(at) = keys.find(id) {
                let created_at = keys.row(at).map(|row| keys.created_at(row));
                return Ok(Some(Stamp { version: keys.version(at), created_at }));
            }
        }
        Ok(None)
    }

    fn keys_of(&self, segment: &Segment, group: usize) -> StoreResult<Arc<Keys>> {
        if let Some(keys) = self.cache.get(segment.no(), group) {
            return Ok(keys);
        }
        Ok(self.keep_keys(segment, group, segment.keys_of(group)?))
    }

    /// Holds keys that were read.
    pub(super) fn keep_keys(&self, segment: &Segment, group: usize, keys: Keys) -> Arc<Keys> {
        let keys = Arc::new(keys);
        self.cache.put(segment.no(), group, &keys);
        keys
    }
}

/// What is known of a record without its contents.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Stamp {
    /// Its version, or that of its absence.
    pub(super) version: Version,
    /// When it was created; `None` if it is gone.
    pub(super) created_at: Option<WallTime>,
}

impl Stamp {
    pub(super) fn of(entry: &Entry) -> Stamp {
        Stamp { version: entry.version(), created_at: entry.record().map(|record| record.created_at) }
    }
}

/// The newest view.
#[derive(Debug)]
pub(super) struct Published(Mutex<Arc<View>>);

impl Published {
    pub(super) fn new(first: View) -> Self {
        Published(Mutex::new(Arc::new(first)))
    }

    /// The newest view. Whoever holds it keeps it as it is.
    pub(super) fn newest(&self) -> Arc<View> {
        // A pointer is swapped or it is not: a panic elsewhere cannot leave it half done.
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn publish(&self, view: View) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(view);
    }
}
