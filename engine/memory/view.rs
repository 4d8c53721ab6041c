//! What readers see: the state as of one LSN, which never changes, and where to find the newest.
//!
//! A view is published when its frame is durable, and before any transaction of it is answered. So whoever was
//! answered finds what was committed, and nobody finds what a crash can take back.

use std::sync::{Arc, Mutex, PoisonError};

use crate::{
    ids::{Lsn, RecordId, Version},
    store::{Memtable, Write},
    vector::FlatIndex,
};

/// The state as of one LSN. A clone costs a few words and shares the rest.
#[derive(Clone, Debug)]
pub(super) struct View {
    pub(super) lsn: Lsn,
    /// The last frame that changed a record.
    pub(super) changed: Lsn,
    pub(super) records: Memtable,
    /// A row for each live record.
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

    /// Whether this is the present writing of a live record.
    pub(super) fn is_current(&self, id: RecordId, version: Version) -> bool {
        self.records.get(id).and_then(|entry| entry.record()).is_some_and(|record| record.version == version)
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
