//! Health checks: does what [`protocol::health`](crate::protocol::health) asks for, and tells the observer.
//!
//! A check of the log is a frame that is empty, unless a batch became durable since the last round, or every frame costs a
//! whole index. A check of segments reads one group, the next at each round, so that rot is found before a query meets it;
//! after the last group of a segment, its decisions; after the last segment, some rows of the archive, the next at each round.

use stormproof_contract::{DiskErrorKind, Effects};

use super::{config::L1Persist, held::Ended, node::MemoryNode, op::Reply};
use crate::protocol::health::{Check, Input, Output};

/// Rows of the archive that one check reads.
const ROWS: usize = 64;

/// Where the reading of segments, and then of the archive, is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Scrub {
    segment: usize,
    group: usize,
    row: usize,
}

impl MemoryNode {
    /// Does the checks, if they are due.
    pub(super) fn check_health(&mut self, out: &mut Effects<Reply>) {
        let mut todo = Vec::new();
        self.health.step(Input::Look(self.clock.now()), &mut todo);
        for asked in todo {
            let Output::Do(check) = asked else { continue };
            let began = self.clock.now();
            let well = self.check(check, out);
            if self.halted {
                return;
            }
            let took = self.clock.now().since(began);
            if !well {
                out.note("health.missed", &[("check", check as u64)]);
            }
            let mut told = Vec::new();
            self.health.step(Input::Done { check, well, took }, &mut told);
            for output in told {
                match output {
                    Output::Alert(check) => out.note("health.alert", &[("check", check as u64)]),
                    Output::Clear(check) => out.note("health.clear", &[("check", check as u64)]),
                    Output::Do(_) => unreachable!("a check that was done asks for no other"),
                }
            }
        }
    }

    fn check(&mut self, check: Check, out: &mut Effects<Reply>) -> bool {
        match check {
            Check::Log => self.check_log(out),
            Check::Segments => self.check_segments(out),
            Check::Space => self.has_room_for(0),
        }
    }

    /// While writes are held, the breaker finds out by itself when it is over.
    fn check_log(&mut self, out: &mut Effects<Reply>) -> bool {
        let lsn = self.views.newest().lsn;
        if std::mem::replace(&mut self.checked_at, lsn) != lsn {
            return true;
        }
        if !self.is_well() {
            return false;
        }
        if self.config.l1_persist == L1Persist::Rewrite {
            // The index would be written whole for it.
            return true;
        }
        let ended = self.try_batch(true, out);
        self.hear_of_batch(ended, out);
        self.checked_at = self.views.newest().lsn;
        ended == Ended::Durable
    }

    /// Reads the next group of the segments, or what follows the last, or the next rows of the archive.
    fn check_segments(&mut self, out: &mut Effects<Reply>) -> bool {
        let view = self.views.newest();
        if self.scrub.segment >= view.segments.len() {
            if let Some(archive) = view.archive.as_ref().filter(|archive| self.scrub.row < archive.len()) {
                let from = self.scrub.row;
                self.scrub.row += ROWS;
                // What is damaged is served no longer, and said to be so, before anybody meets it.
                return archive.check_rows(from, ROWS).is_ok();
            }
            self.scrub = Scrub::default();
        }
        let Some(segment) = view.segments.get(self.scrub.segment) else { return true };
        let group = self.scrub.group;
        // Whatever comes of it, the next round looks elsewhere: one bad place must not hide another.
        let read = if group < segment.groups() {
            self.scrub.group += 1;
            segment.group(group).map(drop)
        } else {
            // Where rows were read last stays as it is: segments are added all the time.
            self.scrub = Scrub { segment: self.scrub.segment + 1, group: 0, row: self.scrub.row };
            segment.decisions().map(drop)
        };
        if read.as_ref().is_err_and(|error| !error.is_passing()) {
            // No waiting for more of them: this will not pass.
            out.note("health.damaged", &[("segment", segment.no().0), ("group", group as u64)]);
        }
        read.is_ok()
    }

    /// Whether the disk takes so many bytes, as far as it knows, and is not full then.
    pub(super) fn has_room_for(&self, bytes: u64) -> bool {
        match self.disk.free() {
            Ok(free) => free >= bytes.saturating_add(self.config.free_bytes_min),
            Err(error) => error.kind == DiskErrorKind::Unsupported,
        }
    }
}
