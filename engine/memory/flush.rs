//! Flushing: what was written since the last flush becomes a segment, and the log begins anew behind it.
//!
//! 1. The segment is written and synced. Nothing names it yet.
//! 2. A new file of the log is made. Then one manifest names the segment and that file, and no older one.
//! 3. The view is published again, of the same frame: what was in memory is read from the segment from now on. The rows of
//!    the oldest segments leave the index, if there are too many.
//!
//! A crash before the manifest is durable leaves the log as it was, and a segment that the next recovery removes. After
//! it, the segment has all that the dropped files had: the newest writing of each record, and what was decided. If the
//! installation fails, either manifest may be found, so the segment stays until another one is in force; only then is a
//! segment that it does not name removed. What the log still has to say is not lost on a participant: the files stay
//! while one of them was not told the end of a transaction.

use std::sync::Arc;

use stormproof_contract::Effects;

use super::{node::MemoryNode, op::Reply, view::View};
use crate::store::{
    Memtable, StoreResult,
    manifest::{Flushed, SEGMENTS_MAX},
    segment::{self, Segment, SegmentName, SegmentNo, SegmentWriter},
};

/// The points of a flush, beside those of a segment and of the log.
pub(super) const POINTS: [&str; 3] = ["flush.begun", "flush.installed", "flush.published"];

impl MemoryNode {
    /// Whether so much was written since the last flush that it should be flushed. Once there are as many segments as a
    /// manifest can name, the log grows instead.
    pub(super) fn wants_flush(&self) -> bool {
        let view = self.views.newest();
        let much =
            view.records.entries() >= self.config.flush_records || view.records.weight() > self.config.flush_bytes;
        self.is_well() && much && view.segments.len() < SEGMENTS_MAX
    }

    /// Flushes, or leaves all as it was, to be tried again.
    pub(super) fn flush(&mut self, out: &mut Effects<Reply>) {
        if let Ok(records) = self.try_flush() {
            out.note("flush", &[("lsn", self.views.newest().lsn.0), ("records", records)]);
        } else {
            out.note("flush.failed", &[]);
            // What it has left may hold the space that the disk is short of.
            self.sweep_segments();
            self.again_later();
        }
    }

    fn try_flush(&mut self) -> StoreResult<u64> {
        self.disk.point(POINTS[0])?;
        self.sweep_segments();
        let view = self.views.newest();
        let name = self.write_segment(&view)?;
        let segment = Segment::open(&*self.disk, self.l1.log, &name, self.l1.components)?;
        let flushed = Flushed { lsn: view.lsn, changed: view.changed };
        let (l1, keeps_log) = (self.l1.base_of_flush(view.lsn), !self.owed.is_empty());
        self.log.restart(&mut self.manifest, keeps_log, |manifest| {
            manifest.segments.push(name);
            manifest.flushed = flushed;
            manifest.l1 = l1;
        })?;
        // Nothing below can fail: an error at a point has nothing to befall.
        let _ = self.disk.point(POINTS[1]);
        if let Some(shown) = &mut self.shown {
            shown.add_flushed(&view.records);
        }
        let segments = view.segments.iter().cloned().chain([Arc::new(segment)]).collect();
        let mut next = View { records: Memtable::default(), segments, ..View::clone(&view) };
        self.send_away(&mut next, &self.manifest.current().segments);
        self.views.publish(next);
        self.l1.rebase(view.lsn);
        let _ = self.disk.point(POINTS[2]);
        Ok(view.records.entries() as u64)
    }

    fn write_segment(&mut self, view: &View) -> StoreResult<SegmentName> {
        let no = self.take_segment_no();
        let mut writer = SegmentWriter::create(&self.disk, self.l1.log, no, self.l1.components)?;
        view.records.iter().try_for_each(|(id, entry)| writer.push(id, entry))?;
        writer.finish(view.lsn, &self.decided.since(self.manifest.current().flushed.lsn))
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
        let making = self.compaction.making().map(SegmentNo::path);
        let counts = |path: &String| self.manifest.current().names_segment(path) || making.as_ref() == Some(path);
        for path in found.iter().filter(|path| !counts(path)) {
            let _ = self.disk.remove(path);
        }
    }
}

/// The number of a life's first segment: no other life gives the same.
pub(super) fn first_segment(incarnation: u32) -> SegmentNo {
    SegmentNo(u64::from(incarnation) << 32)
}
