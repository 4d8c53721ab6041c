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
//! An attempt that fails is repeated with what is frozen, so that failures, however many, begin one file of the log.

use std::sync::Arc;

use stormproof_contract::{Effects, Tick};

use super::{maintain::Leftovers, node::MemoryNode, op::Reply, view::View};
use crate::{
    ids::RecordId,
    store::{
        StoreResult,
        log::LogNo,
        manifest::{Flushed, SEGMENTS_MAX},
        segment::{self, Segment, SegmentNo, SegmentWriter},
    },
};

/// The points of a flush, beside those of a segment and of the log.
pub(super) const POINTS: [&str; 4] = ["flush.begun", "flush.frozen", "flush.installed", "flush.published"];

/// A flush under way.
pub(super) struct Flush {
    /// What is frozen.
    view: Arc<View>,
    /// The file of the log that begins behind it.
    log: LogNo,
    /// How many changes the deltas of the index had then.
    delta_rows: u64,
    /// The attempt to write it; `None` after one has failed.
    writing: Option<Writing>,
}

/// A segment on its way.
struct Writing {
    no: SegmentNo,
    writer: SegmentWriter,
    /// The next record.
    next: RecordId,
    /// How much had been written since it was frozen, when the last slice was done.
    grown: usize,
}

impl Writing {
    /// Adds about so many bytes of what is frozen; true if that is all.
    fn push(&mut self, view: &View, bytes: usize) -> StoreResult<bool> {
        let mut left = bytes;
        for (id, entry) in view.records.range_from(self.next) {
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
    /// Whether so much was written since the last flush that it should be flushed. Once there are as many segments as a
    /// manifest can name, the log grows instead.
    pub(super) fn wants_flush(&self) -> bool {
        let view = self.views.newest();
        let much =
            view.records.entries() >= self.config.flush_records || view.records.weight() > self.config.flush_bytes;
        self.is_well() && much && !self.is_flushing() && view.segments.len() < SEGMENTS_MAX
    }

    fn is_flushing(&self) -> bool {
        self.flush.as_ref().is_some_and(|flush| flush.writing.is_some())
    }

    /// When the next slice is to be written: at once, if one is.
    pub(super) fn flush_due(&self) -> Option<Tick> {
        (self.is_well() && self.is_flushing()).then_some(Tick(0))
    }

    /// Begins to flush, or leaves all as it was, to be tried again.
    pub(super) fn begin_flush(&mut self, out: &mut Effects<Reply>) {
        if self.try_begin_flush().is_err() {
            self.flush_failed(out);
        }
    }

    /// Writes the next slice; after the last one, puts the segment in force.
    pub(super) fn go_on_flushing(&mut self, out: &mut Effects<Reply>) {
        match self.try_slice() {
            Ok(None) => {}
            Ok(Some(records)) => {
                out.note("flush", &[("lsn", self.manifest.current().flushed.lsn.0), ("records", records)]);
            }
            Err(_) => self.flush_failed(out),
        }
    }

    fn flush_failed(&mut self, out: &mut Effects<Reply>) {
        if let Some(flush) = &mut self.flush {
            flush.writing = None;
        }
        out.note("flush.failed", &[]);
        // What it has left may hold the space that the disk is short of.
        self.sweep_segments();
        self.again_later();
    }

    fn try_begin_flush(&mut self) -> StoreResult<()> {
        self.disk.point(POINTS[0])?;
        self.sweep_segments();
        if self.flush.is_none() {
            let log = self.log.begin_file(&mut self.manifest)?;
            let (view, delta_rows) = (self.views.newest(), self.l1.delta_rows);
            self.flush = Some(Flush { view, log, delta_rows, writing: None });
        }
        self.disk.point(POINTS[1])?;
        let no = self.take_segment_no();
        let writer = SegmentWriter::create(&self.disk, self.l1.log, no, self.l1.components)?;
        let flush = self.flush.as_mut().expect("frozen above");
        flush.writing = Some(Writing { no, writer, next: RecordId(0), grown: 0 });
        Ok(())
    }

    /// Writes as much as was decided since the last slice, twice, and some more: so the flush ends before as much again as it
    /// flushes was written half. Says how many records were flushed, once all are.
    fn try_slice(&mut self) -> StoreResult<Option<u64>> {
        let weight = self.views.newest().records.weight();
        let Some(flush) = &mut self.flush else { return Ok(None) };
        let Some(writing) = &mut flush.writing else { return Ok(None) };
        let grown = weight.saturating_sub(flush.view.records.weight());
        let slice = self.config.flush_slice_bytes.saturating_add(2 * grown.saturating_sub(writing.grown));
        writing.grown = grown;
        if !writing.push(&flush.view, slice)? {
            return Ok(None);
        }
        let writing = flush.writing.take().expect("it was there above");
        let (view, log) = (Arc::clone(&flush.view), flush.log);
        self.install_flush(writing, &view, log)?;
        Ok(Some(view.records.entries() as u64))
    }

    fn install_flush(&mut self, writing: Writing, frozen: &View, log: LogNo) -> StoreResult<()> {
        let decided = self.decided.between(self.manifest.current().flushed.lsn, frozen.lsn);
        let name = writing.writer.finish(frozen.lsn, &decided)?;
        let segment = Segment::open(&*self.disk, self.l1.log, &name, self.l1.components)?;
        let flushed = Flushed { lsn: frozen.lsn, changed: frozen.changed };
        let l1 = self.l1.base_of_flush(frozen.lsn, self.manifest.current().l1);
        self.log.drop_before(log, &mut self.manifest, !self.owed.is_empty(), |manifest| {
            manifest.segments.push(name);
            manifest.flushed = flushed;
            manifest.l1 = l1;
        })?;
        // Nothing below can fail: an error at a point has nothing to befall.
        let _ = self.disk.point(POINTS[2]);
        let flush = self.flush.take().expect("a flush is under way");
        if let Some(shown) = &mut self.shown {
            shown.add_flushed(&frozen.records);
        }
        let view = self.views.newest();
        let segments = view.segments.iter().cloned().chain([Arc::new(segment)]).collect();
        let mut next = View { records: view.records.without(&frozen.records), segments, ..View::clone(&view) };
        self.send_away(&mut next, &self.manifest.current().segments);
        self.views.publish(next);
        self.l1.rebase(frozen.lsn, flush.delta_rows);
        self.leftovers.extend([Leftovers::Log, Leftovers::L1]);
        let _ = self.disk.point(POINTS[3]);
        Ok(())
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
        let flushing = self.flush.as_ref().and_then(|flush| flush.writing.as_ref()).map(|writing| writing.no);
        let making: Vec<String> = self.compaction.making().into_iter().chain(flushing).map(SegmentNo::path).collect();
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
