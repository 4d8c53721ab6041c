//! Bulk loads: many new records at a time go into a segment of their own, around the log and the index on disk.
//!
//! 1. A transaction that says so is judged as any other, kept in memory, and answered [`Reply::Staged`]. From then on it holds its
//!    records: whatever else rests on one of them, or changes it, is in conflict.
//! 2. Its segment is written, a slice between any two batches, and synced. The decision is in it, as of the frame to come. Nothing
//!    names it yet.
//! 3. One frame names it. That is its commit: the records are published with it, all at once.
//! 4. A manifest names it, at once or when the next flush is put in force; until then the frame stays in the log.
//!
//! A crash before the frame is durable forgets what was staged, and leaves a file that the next recovery removes. After it,
//! recovery finds the frame, and by its digest the segment. A frame that fails is not this segment's any more, whose decision
//! tells another LSN: the segment is written again.
//!
//! A segment is the newest one when it is added, so nothing older may be flushed behind it: a record that was removed since the
//! last flush can be loaded after the next one, which is begun then.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

use stormproof_contract::{Effects, RequestId, Tick};

use super::{
    batch::{Fate, Joined},
    compact::Pause,
    flush::Slices,
    held::Ended,
    node::{Candidate, MemoryNode},
    op::{Reply, Transaction, Unavailable},
    view::View,
};
use crate::{
    ids::{Lsn, RecordId, Version},
    store::{
        self, Memtable, RetryId, StoreResult, TransactionId,
        manifest::{Manifest, SEGMENTS_MAX},
        segment::{Decided, Segment, SegmentName, SegmentNo},
    },
};

/// The points of a bulk load, beside those of a segment, of a commit and of a manifest.
pub(super) const POINTS: [&str; 3] = ["bulk.begun", "bulk.added", "bulk.named"];

/// The most records of a bulk transaction.
pub const BULK_RECORDS_MAX: usize = 65_536;
/// The most bytes of its records in the log's binary format.
pub const BULK_BYTES_MAX: usize = 64 << 20;
/// How many may be staged at a time, and how much, in bytes of memory, but for the first.
const STAGED_MAX: usize = 64;
const STAGED_BYTES_MAX: usize = 2 * BULK_BYTES_MAX;

/// What is staged, in the order of arrival.
#[derive(Default)]
pub(super) struct Loads {
    queue: VecDeque<Load>,
    /// The records of all.
    ids: BTreeSet<RecordId>,
    /// What they weigh.
    bytes: usize,
    pause: Pause,
    /// Something was turned away that can be staged once all up to this frame was flushed.
    flush_upto: Lsn,
}

/// A transaction that is staged.
struct Load {
    retry: RetryId,
    id: TransactionId,
    records: Memtable,
    /// In the order given.
    versions: Vec<(RecordId, Version)>,
    /// Whether it was passed over once, so that whoever looks at the node when it has settled has seen it staged before
    /// anything of it is done.
    seen: bool,
    /// Its segment, once that was begun.
    slices: Option<Box<Slices>>,
}

/// What a frame adds beside its writes.
pub(super) struct Loaded {
    pub(super) segment: Arc<Segment>,
    pub(super) records: Memtable,
    /// In the order given.
    pub(super) versions: Vec<(RecordId, Version)>,
}

/// Segments that frames have added, and no manifest names yet.
#[derive(Default)]
pub(super) struct Unnamed {
    names: Vec<SegmentName>,
    /// The last of those frames.
    upto: Lsn,
}

impl Loads {
    /// How many were staged before the transaction of this name, if it is staged.
    pub(super) fn place_of(&self, retry: RetryId) -> Option<u64> {
        self.queue.iter().position(|load| load.retry == retry).map(|place| place as u64)
    }

    /// Whether one of them has this record.
    pub(super) fn holds(&self, id: RecordId) -> bool {
        self.ids.contains(&id)
    }

    /// The transactions, in the order of arrival.
    pub(super) fn staged(&self) -> impl Iterator<Item = RetryId> {
        self.queue.iter().map(|load| load.retry)
    }

    /// How many records they have.
    pub(super) fn records(&self) -> u64 {
        self.ids.len() as u64
    }

    /// The segment that is being made: nothing names it, and yet it is no leftover.
    pub(super) fn making(&self) -> Option<SegmentNo> {
        self.queue.front()?.slices.as_ref().map(|slices| slices.no)
    }

    /// Whether a flush should begin, all up to a frame being flushed.
    pub(super) fn wants_flush(&self, flushed: Lsn) -> bool {
        self.flush_upto > flushed
    }

    fn has_room(&self, bytes: usize) -> bool {
        let fits = self.queue.len() < STAGED_MAX && self.bytes.saturating_add(bytes) <= STAGED_BYTES_MAX;
        self.queue.is_empty() || fits
    }

    fn push(&mut self, load: Load) {
        self.bytes += load.records.weight();
        self.ids.extend(load.records.iter().map(|(id, _)| id));
        self.queue.push_back(load);
    }

    /// Lets go of the first, which is committed.
    fn pop(&mut self) {
        let Some(load) = self.queue.pop_front() else { return };
        self.bytes -= load.records.weight();
        for (id, _) in &load.records {
            self.ids.remove(&id);
        }
    }

    /// Gives up the segment that is being made. What is staged stays so.
    pub(super) fn give_up(&mut self) {
        for load in &mut self.queue {
            load.slices = None;
        }
    }
}

impl Unnamed {
    /// Adds the segment of a frame.
    pub(super) fn add(&mut self, name: SegmentName, frame: Lsn) {
        self.names.push(name);
        self.upto = frame;
    }

    pub(super) fn segments(&self) -> impl Iterator<Item = SegmentNo> {
        self.names.iter().map(|name| name.no)
    }

    /// Has a manifest name them, as the newest.
    pub(super) fn name(&self, manifest: &mut Manifest) {
        manifest.segments.extend(&self.names);
        manifest.loaded = manifest.loaded.max(self.upto);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}

impl MemoryNode {
    /// Takes a bulk transaction that was not taken before.
    pub(super) fn stage(&mut self, attempt: RequestId, transaction: Transaction, out: &mut Effects<Reply>) {
        let busy = Reply::Unavailable(Unavailable::Busy);
        if !self.loads.has_room(transaction.weight()) {
            return out.reply(attempt, busy);
        }
        let id = self.take_tx();
        let retry = transaction.retry;
        let writes = match self.judge(&transaction) {
            Ok(writes) => writes,
            Err(obstacle) => {
                let candidate = Candidate { asked: vec![attempt], id, transaction, votes: Vec::new() };
                return self.turn_down(candidate, obstacle, out);
            }
        };
        let view = self.views.newest();
        if writes.iter().any(|write| view.records.get(write.id()).is_some()) {
            self.loads.flush_upto = view.lsn;
            return out.reply(attempt, busy);
        }
        if writes.iter().any(|write| self.open.touched(write.id()).is_some()) {
            return out.reply(attempt, busy);
        }
        let mut records = Memtable::default();
        for write in &writes {
            records.apply(write);
        }
        let versions = writes.iter().map(|write| (write.id(), write.version())).collect();
        let ahead = self.loads.queue.len() as u64;
        out.note("bulk.staged", &[("records", records.entries() as u64), ("ahead", ahead)]);
        self.loads.push(Load { retry, id, records, versions, seen: false, slices: None });
        out.reply(attempt, Reply::Staged { ahead });
    }

    /// When the next slice is to be written: at once, unless something has failed or a flush is under way. Half of the segments
    /// that a manifest can name are left for what is flushed.
    pub(super) fn loads_due(&self) -> Option<Tick> {
        let may = self.is_well()
            && !self.is_flushing()
            && !self.rebuild.is_sourcing()
            && self.views.newest().segments.len() < SEGMENTS_MAX / 2;
        (may && !self.loads.queue.is_empty()).then_some(self.loads.pause.until())
    }

    /// Writes the next slice; after the last one, commits. No batch may be open.
    pub(super) fn go_on_loading(&mut self, out: &mut Effects<Reply>) {
        if self.loads_due().is_none_or(|due| due > self.clock.now()) {
            return;
        }
        assert!(self.open.joined.is_empty(), "a load's frame follows the last one");
        let first = self.loads.queue.front_mut().expect("there is one, or nothing is due");
        if !std::mem::replace(&mut first.seen, true) {
            return;
        }
        match self.try_load() {
            Ok(None) => {}
            Ok(Some((name, segment))) => self.add_loaded(name, segment, out),
            Err(_) => self.load_failed(out),
        }
    }

    /// Gives the segment of the first, once it is durable.
    fn try_load(&mut self) -> StoreResult<Option<(SegmentName, Segment)>> {
        let (before, bytes) = (self.views.newest().lsn, self.config.flush_slice_bytes);
        let begun = self.loads.queue.front_mut().and_then(|load| load.slices.take());
        let mut slices = if let Some(slices) = begun {
            slices
        } else {
            self.disk.point(POINTS[0])?;
            Box::new(self.begin_segment()?)
        };
        let load = self.loads.queue.front_mut().expect("there is one, or nothing is due");
        if !slices.push(&load.records, bytes)? {
            load.slices = Some(slices);
            return Ok(None);
        }
        let (id, retry, versions) = (load.id, load.retry, load.versions.clone());
        let decided = Decided { lsn: before.next(), place: 0, id, retry, votes: Vec::new(), versions };
        let name = slices.writer.finish(before.next(), &[decided])?;
        Ok(Some((name, self.open_segment(&name)?)))
    }

    /// Commits the first, whose segment this is.
    fn add_loaded(&mut self, name: SegmentName, segment: Segment, out: &mut Effects<Reply>) {
        let Load { retry, id, records, versions, .. } = self.loads.queue.front().expect("it was written");
        let (retry, records) = (*retry, records.clone());
        let n = records.entries() as u64;
        let transaction = store::Transaction {
            id: *id,
            retry: Some(retry),
            votes: Vec::new(),
            writes: Vec::new(),
            loaded: Some(name),
            rebuilding: None,
        };
        let loaded = Arc::new(Loaded { segment: Arc::new(segment), records, versions: versions.clone() });
        self.push(Joined { asked: Vec::new(), retry, fate: Fate::Load { transaction, loaded } });
        let ended = self.try_batch(false, out);
        self.hear_of_batch(ended, out);
        match ended {
            Ended::Durable => {
                self.loads.pop();
                self.loads.pause = Pause::default();
                out.note("bulk.added", &[("lsn", self.views.newest().lsn.0), ("records", n)]);
                self.unnamed.add(name, self.views.newest().lsn);
                // Nothing below can fail: an error at a point has nothing to befall.
                let _ = self.disk.point(POINTS[1]);
                let mut next = View::clone(&self.views.newest());
                self.send_away(&mut next);
                self.views.publish(next);
                self.name_loaded();
            }
            Ended::Off => self.load_failed(out),
            Ended::Unwritten | Ended::Doubtful => {}
        }
    }

    fn load_failed(&mut self, out: &mut Effects<Reply>) {
        out.note("bulk.failed", &[]);
        // What it has left may hold the space that the disk is short of.
        self.sweep_segments();
        self.loads.pause.lengthen(self.clock.now(), self.config.again_after);
    }

    /// Has a manifest name what frames have added, now or later.
    pub(super) fn name_loaded(&mut self) {
        if self.unnamed.is_empty() {
            return;
        }
        let unnamed = &self.unnamed;
        if self.manifest.install(|manifest| unnamed.name(manifest)).is_err() {
            return self.again_later();
        }
        self.unnamed = Unnamed::default();
        let _ = self.disk.point(POINTS[2]);
    }

    pub(super) fn open_segment(&self, name: &SegmentName) -> StoreResult<Segment> {
        Segment::open(&*self.disk, self.l1.log, name, self.l1.components)
    }
}
