//! A range of records in the order of their ids, as a query reads it: what was written since the last flush and the groups
//! of every segment, merged. Of each record the newest writing counts.
//!
//! Keys are read first, a group of each segment at a time, until it is known which records are the answer; then [`Fetch`]
//! reads them. Whatever the range holds in all, no more is in memory than the answer, the keys of the groups
//! that it is in, and those of one more group of each segment.

use std::sync::Arc;

use stormproof_contract::Reads;

use super::{
    fetch::{Fetch, Place},
    view::View,
};
use crate::{
    ids::RecordId,
    store::{
        StoreResult,
        segment::{Keys, Segment},
    },
};

/// How many entries a step passes before others get a turn.
const STEP_ENTRIES: usize = 4096;

/// A range on its way.
pub(super) struct Range {
    /// Everything before this is settled; `None` once everything is.
    next: Option<RecordId>,
    limit: usize,
    /// Of each segment: which group comes next, or is at hand.
    runs: Vec<Run>,
    /// The segments whose groups are being read, in the order of the reads.
    reading: Vec<usize>,
    found: Vec<(RecordId, Place)>,
}

struct Run {
    group: usize,
    keys: Option<Arc<Keys>>,
    /// The next of the keys.
    at: usize,
}

impl Range {
    /// Begins to read up to `limit` records from `from` on.
    pub(super) fn new(view: &View, from: RecordId, limit: usize) -> Range {
        let run = |segment: &Arc<Segment>| Run { group: segment.group_from(from), keys: None, at: 0 };
        let runs = view.segments.iter().map(run).collect();
        Range { next: Some(from), limit, runs, reading: Vec::new(), found: Vec::new() }
    }

    /// Takes what was read, and states what is to be read next. `Some` once it is known which records it is.
    pub(super) fn step(&mut self, view: &View, io: &mut Reads) -> StoreResult<Option<Fetch>> {
        for (segment, bytes) in std::mem::take(&mut self.reading).into_iter().zip(io.take()) {
            let (run, segment) = (&mut self.runs[segment], &view.segments[segment]);
            let keys = segment.keys(run.group, &bytes?)?;
            run.at = self.next.map_or(0, |next| keys.first_from(next));
            run.keys = Some(Arc::new(keys));
        }
        for _ in 0..STEP_ENTRIES {
            if self.found.len() == self.limit || self.next.is_none() {
                let found = std::mem::take(&mut self.found);
                return Ok(Some(Fetch::at(found)));
            }
            if self.wants(view, io) {
                break;
            }
            self.pass(view);
        }
        Ok(None)
    }

    /// States the groups that have to be read before it is known what comes next.
    fn wants(&mut self, view: &View, io: &mut Reads) -> bool {
        for (at, (run, segment)) in self.runs.iter_mut().zip(&*view.segments).enumerate() {
            if run.keys.as_ref().is_some_and(|keys| run.at == keys.len()) {
                (run.keys, run.at) = (None, 0);
                run.group += 1;
            }
            if run.keys.is_none() && run.group < segment.groups() {
                let span = segment.keys_span(run.group);
                io.want(segment.file(), span.offset, span.len);
                self.reading.push(at);
            }
        }
        !self.reading.is_empty()
    }

    /// Passes the least record that is left.
    fn pass(&mut self, view: &View) {
        let Some(from) = self.next else { return };
        let written = view.records.range_from(from).next();
        let least = self.runs.iter().filter_map(Run::first).chain(written.map(|(id, _)| id)).min();
        let Some(id) = least else {
            self.next = None;
            return;
        };
        let mut newest = None;
        for (segment, run) in self.runs.iter_mut().enumerate().filter(|(_, run)| run.first() == Some(id)) {
            let keys = run.keys.as_ref().expect("its first is known");
            let place = Place::Segment { segment, group: run.group, keys: Arc::clone(keys), at: run.at };
            newest = keys.row(run.at).map(|_| place);
            run.at += 1;
        }
        if let Some((_, entry)) = written.filter(|(first, _)| *first == id) {
            newest = entry.record().map(|record| Place::Memory(Arc::clone(record)));
        }
        self.found.extend(newest.map(|place| (id, place)));
        self.next = id.0.checked_add(1).map(RecordId);
    }
}

impl Run {
    fn first(&self) -> Option<RecordId> {
        let keys = self.keys.as_ref()?;
        (self.at < keys.len()).then(|| keys.id(self.at))
    }
}
