//! Flushing: what was written since the last flush becomes a segment, and the log begins anew behind it.
//!
//! 1. What was written is *frozen*: its view is kept, and the log goes on in a new file.
//! 2. The segment is written, a slice between any two batches, so that commits go on meanwhile; then it is synced. Nothing
//!    names it yet.
//! 3. One manifest names the segment, and no file of the log before the one of step 1.
//! 4. The view is published again, of the same frame: what is in the segment is read from it from now on. The rows of the
//!    oldest segments leave the index, if there are too many.
//!
//! A crash before the manifest is durable leaves the log as it was, and a segment that the next recovery removes. After
//! it, the segment has all that the dropped files had: the newest writing of each record as of the frame at which it was
//! frozen, and what was decided up to there. If the installation fails, either manifest may be found, so the segment stays
//! until another one is in force; only then is a segment that it does not name removed. What the log still has to say is not
//! lost on a participant: the files stay while one of them was not told the end of a transaction.
//!
//! What is not needed any more is removed in the settlings after that, one kind in each: removing a file can take as long as
//! writing one.
//!
//! An attempt that fails is repeated with what is frozen, and a segment that was made and could not be put in force is not
//! made again: so failures, however many, leave one file of the log and one segment, while it is not known which manifest a
//! crash would find.

use std::sync::Arc;

use stormproof_contract::{Effects, Tick};

use super::{bulk::Unnamed, compact::Pause, maintain::Leftovers, node::MemoryNode, op::Reply, view::View};
use crate::{
    ids::{Lsn, RecordId},
    store::{
        Memtable, StoreResult,
        log::LogNo,
        manifest::{Flushed, SEGMENTS_MAX},
        segment::{self, SegmentName, SegmentNo, SegmentWriter},
    },
};

/// The points of a flush, beside those of a segment and of the log.
pub(super) const POINTS: [&str; 4] = ["flush.begun", "flush.frozen", "flush.installed", "flush.published"];

/// A flush under way.
pub(super) struct Flush {
    /// What is frozen.
    frozen: Arc<Frozen>,
    /// How far it is.
    state: State,
}

/// What is frozen to be flushed: the state as of a frame. Not all of its view, which holds files open that were merged since.
struct Frozen {
    records: Memtable,
    lsn: Lsn,
    changed: Lsn,
    rebuilding: bool,
    /// The file of the log that begins behind it.
    log: LogNo,
    /// How many changes the deltas of the index had then.
    delta_rows: u64,
}

/// How far a flush is.
enum State {
    /// An attempt is to be made.
    Waiting,
    /// Its segment is being written.
    Writing(Box<Writing>),
    /// Its segment is durable, and was not put in force.
    Made(SegmentName),
}

/// A segment on its way.
struct Writing {
    made: Slices,
    /// How much had been written since it was frozen, when the last slice was done.
    grown: usize,
}

/// A segment that is written in slices, of records that do not change meanwhile.
pub(super) struct Slices {
    pub(super) no: SegmentNo,
    pub(super) writer: SegmentWriter,
    /// The next record.
    next: RecordId,
}

impl Flush {
    /// Gives up the attempt that is being made. What is frozen stays so.
    pub(super) fn give_up(&mut self) {
        if let State::Writing(_) = self.state {
            self.state = State::Waiting;
        }
    }

    /// The segment that is being made: no manifest names it, and yet it is no leftover.
    fn making(&self) -> Option<SegmentNo> {
        match &self.state {
            State::Waiting => None,
            State::Writing(writing) => Some(writing.made.no),
            State::Made(name) => Some(name.no),
        }
    }
}

impl Slices {
    fn new(no: SegmentNo, writer: SegmentWriter) -> Slices {
        Slices { no, writer, next: RecordId(0) }
    }

    /// Adds about so many bytes of the records; true if that is all.
    pub(super) fn push(&mut self, records: &Memtable, bytes: usize) -> StoreResult<bool> {
        let mut left = bytes;
        for (id, entry) in records.range_from(self.next) {
            if left == 0 {
                return self.writer.sync().map(|()| false);
            }
            self.writer.push(id, entry)?;
            left = left.saturating_sub(entry.weight());
            // An id behind the last would begin from the last again, but then there is no other.
            self.next = RecordId(id.0.saturating_add(1));
        }
        Ok(true)
    }
}

impl MemoryNode {
    /// From when on a flush should begin, if so much was written since the last one, or be tried again. Once there are as many
    /// segments as a manifest can name, the log grows instead.
    pub(super) fn flush_wanted(&self) -> Option<Tick> {
        let view = self.views.newest();
        let much =
            view.records.entries() >= self.config.flush_records || view.records.weight() > self.config.flush_bytes;
        let flushed = self.manifest.current().flushed.lsn;
        let asked = self.consolidation.wants_flush(flushed)
            || self.loads.wants_flush(flushed)
            || self.rebuild.wants_flush(flushed);
        let waits = self.flush.is_some() || much || asked;
        let may = self.is_well() && !self.is_flushing() && view.segments.len() < SEGMENTS_MAX;
        (waits && may).then_some(self.flush_pause.until())
    }

    /// How many attempts to flush have failed since one succeeded.
    pub(super) fn flush_failures(&self) -> u32 {
        self.flush_pause.failures()
    }

    pub(super) fn is_flushing(&self) -> bool {
        self.flush.as_ref().is_some_and(|flush| matches!(flush.state, State::Writing(_)))
    }

    /// When the next slice is to be written: at once, if one is.
    pub(super) fn flush_due(&self) -> Option<Tick> {
        (self.is_well() && self.is_flushing()).then_some(Tick(0))
    }

    /// Begins to flush, or goes on where an attempt has failed; or leaves all as it was, to be tried again.
    pub(super) fn begin_flush(&mut self, out: &mut Effects<Reply>) {
        let begun = self.try_begin_flush();
        self.hear_of_flush(&begun, out);
    }

    /// Writes the next slice; after the last one, puts the segment in force.
    pub(super) fn go_on_flushing(&mut self, out: &mut Effects<Reply>) {
        let gone_on = self.try_slice();
        self.hear_of_flush(&gone_on, out);
    }

    fn hear_of_flush(&mut self, outcome: &StoreResult<Option<u64>>, out: &mut Effects<Reply>) {
        match outcome {
            Ok(None) => {}
            Ok(Some(records)) => {
                self.flush_pause = Pause::default();
                out.note("flush", &[("lsn", self.manifest.current().flushed.lsn.0), ("records", *records)]);
            }
            Err(_) => {
                self.flush.iter_mut().for_each(Flush::give_up);
                out.note("flush.failed", &[]);
                // What it has left may hold the space that the disk is short of.
                self.sweep_segments();
                self.flush_pause.lengthen(self.clock.now(), self.config.again_after);
            }
        }
    }

    /// Says how many records were flushed, if that was all.
    fn try_begin_flush(&mut self) -> StoreResult<Option<u64>> {
        self.disk.point(POINTS[0])?;
        self.sweep_segments();
        if self.flush.is_none() {
            let log = self.log.begin_file(&mut self.manifest)?;
            let (view, delta_rows) = (self.views.newest(), self.l1.delta_rows);
            let View { records, lsn, changed, rebuilding, .. } = View::clone(&view);
            let frozen = Arc::new(Frozen { records, lsn, changed, rebuilding, log, delta_rows });
            self.flush = Some(Flush { frozen, state: State::Waiting });
        }
        self.disk.point(POINTS[1])?;
        let grown = self.grown_since_frozen();
        let flush = self.flush.as_mut().expect("frozen above");
        if let State::Made(name) = flush.state {
            return self.install_flush(name).map(Some);
        }
        let made = self.begin_segment()?;
        let flush = self.flush.as_mut().expect("frozen above");
        flush.state = State::Writing(Box::new(Writing { made, grown }));
        Ok(None)
    }

    /// By how much the weight of what is not flushed has grown since the flush under way was frozen.
    fn grown_since_frozen(&self) -> usize {
        let weight = self.views.newest().records.weight();
        self.flush.as_ref().map_or(0, |flush| weight.saturating_sub(flush.frozen.records.weight()))
    }

    /// Writes twice what the memory of what is not flushed has grown by since the last slice, and some more: so where records
    /// are added, the flush ends before half as much again came in. Says how many records were flushed, once all are.
    fn try_slice(&mut self) -> StoreResult<Option<u64>> {
        let grown = self.grown_since_frozen();
        let Some(flush) = &mut self.flush else { return Ok(None) };
        let State::Writing(writing) = &mut flush.state else { return Ok(None) };
        let slice = self.config.flush_slice_bytes.saturating_add(2 * grown.saturating_sub(writing.grown));
        writing.grown = grown;
        if !writing.made.push(&flush.frozen.records, slice)? {
            return Ok(None);
        }
        let State::Writing(writing) = std::mem::replace(&mut flush.state, State::Waiting) else { return Ok(None) };
        let upto = flush.frozen.lsn;
        let decided = self.decided.between(self.manifest.current().flushed.lsn, upto);
        let name = writing.made.writer.finish(upto, &decided)?;
        flush.state = State::Made(name);
        self.install_flush(name).map(Some)
    }

    /// Puts the segment in force, and says how many records it has.
    fn install_flush(&mut self, name: SegmentName) -> StoreResult<u64> {
        let frozen = Arc::clone(&self.flush.as_ref().expect("a flush is under way").frozen);
        let opened = self.open_segment(&name);
        if opened.as_ref().is_err_and(|error| !error.is_passing()) {
            // What was written is not what is there: it is written again.
            self.flush.iter_mut().for_each(|flush| flush.state = State::Waiting);
        }
        let segment = opened?;
        let flushed = Flushed { lsn: frozen.lsn, changed: frozen.changed };
        let l1 = self.l1.base_of_flush(frozen.lsn, self.manifest.current().l1);
        let unnamed = &self.unnamed;
        self.log.drop_before(frozen.log, &mut self.manifest, !self.owed.is_empty(), |manifest| {
            // The frames that say so may go now.
            unnamed.name(manifest);
            manifest.segments.push(name);
            manifest.flushed = flushed;
            manifest.rebuilding = frozen.rebuilding;
            manifest.l1 = l1;
        })?;
        self.unnamed = Unnamed::default();
        // Nothing below can fail: an error at a point has nothing to befall.
        let _ = self.disk.point(POINTS[2]);
        self.flush = None;
        if let Some(shown) = &mut self.shown {
            shown.add_flushed(&frozen.records);
        }
        let view = self.views.newest();
        let segments = view.segments.iter().cloned().chain([Arc::new(segment)]).collect();
        let mut next = View { records: view.records.without(&frozen.records), segments, ..View::clone(&view) };
        self.send_away(&mut next);
        self.views.publish(next);
        self.l1.rebase(frozen.lsn, frozen.delta_rows);
        self.leftovers.extend([Leftovers::Log, Leftovers::L1]);
        let _ = self.disk.point(POINTS[3]);
        Ok(frozen.records.entries() as u64)
    }

    /// Begins a segment of the next number.
    pub(super) fn begin_segment(&mut self) -> StoreResult<Slices> {
        let no = self.take_segment_no();
        Ok(Slices::new(no, SegmentWriter::create(&self.disk, self.l1.log, no, self.l1.components)?))
    }

    /// The next number. Whatever comes of it, it is used up: what a failed attempt has left is never written into.
    pub(super) fn take_segment_no(&mut self) -> SegmentNo {
        let no = self.next_segment;
        self.next_segment = SegmentNo(no.0 + 1);
        no
    }

    /// Removes segments that the manifest in force does not name: what failed attempts have left, and what was merged. What
    /// cannot be removed is left: nothing believes it.
    pub(super) fn sweep_segments(&self) {
        if !self.manifest.is_certain() {
            return;
        }
        let Ok(found) = segment::list(&*self.disk) else { return };
        let flushing = self.flush.as_ref().and_then(Flush::making);
        let others = [self.compaction.making(), flushing, self.loads.making()].into_iter().flatten();
        let making: Vec<String> = others.chain(self.unnamed.segments()).map(SegmentNo::path).collect();
        let counts = |path: &String| self.manifest.current().names_segment(path) || making.contains(path);
        for path in found.iter().filter(|path| !counts(path)) {
            let _ = self.disk.remove(path);
        }
    }
}

/// The number of a life's first segment: no other life gives the same.
pub(super) fn first_segment(incarnation: u32) -> SegmentNo {
    SegmentNo(u64::from(incarnation) << 32)
}
