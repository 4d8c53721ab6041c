//! Keys of groups that were read and verified: most reads of a segment begin with some, and many with the same.
//!
//! Bounded by the bytes that they take in memory; what was not used for longest goes first. A segment never changes, so what is
//! held is never wrong; that of a segment which was merged away is not asked for any more, and goes in time.

use std::sync::{Arc, Mutex, PoisonError};

use lru::LruCache;

use crate::store::segment::{Keys, SegmentNo};

/// See the file's description.
pub(super) struct KeysCache {
    bytes_max: usize,
    held: Mutex<Held>,
}

struct Held {
    keys: LruCache<(SegmentNo, usize), Arc<Keys>>,
    bytes: usize,
}

impl KeysCache {
    /// An empty one, of so many bytes at most; 0: nothing is held.
    pub(super) fn new(bytes_max: usize) -> Self {
        KeysCache { bytes_max, held: Mutex::new(Held { keys: LruCache::unbounded(), bytes: 0 }) }
    }

    /// The keys of a group, if they are held.
    pub(super) fn get(&self, segment: SegmentNo, group: usize) -> Option<Arc<Keys>> {
        self.with(|held| held.keys.get(&(segment, group)).cloned())
    }

    /// Holds the keys of a group.
    pub(super) fn put(&self, segment: SegmentNo, group: usize, keys: &Arc<Keys>) {
        self.with(|held| {
            held.bytes += keys.bytes_in_memory();
            if let Some(replaced) = held.keys.put((segment, group), Arc::clone(keys)) {
                held.bytes -= replaced.bytes_in_memory();
            }
            while held.bytes > self.bytes_max {
                let (_, oldest) = held.keys.pop_lru().expect("what has bytes is held");
                held.bytes -= oldest.bytes_in_memory();
            }
        });
    }

    fn with<T>(&self, work: impl FnOnce(&mut Held) -> T) -> T {
        // Nothing in here panics half-way.
        work(&mut self.held.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl std::fmt::Debug for KeysCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeysCache").field("bytes_max", &self.bytes_max).finish_non_exhaustive()
    }
}
