//! Reading records by id, as a query does: what it needs from the disk it states, and is resumed with.
//!
//! What was written since the last flush is in memory. Of all else, each record is looked for in the newest segment
//! first: its group's keys are read, and if they have it, its facts and its vector. All records are at it together, so
//! that one step states a read for each.

use std::sync::Arc;

use stormproof_contract::{Bytes, DiskResult, Reads};

use super::view::View;
use crate::{
    ids::RecordId,
    store::{
        Entry, Record, StoreResult,
        segment::{Keys, Segment, Span},
    },
};

/// Some records, on their way.
pub(super) struct Fetch {
    wanted: Vec<Wanted>,
}

/// A record, and how far its reading is.
struct Wanted {
    id: RecordId,
    at: At,
}

enum At {
    /// To be looked for in so many of the segments, the last first.
    Before(usize),
    /// Its group's keys are being read.
    Keys { segment: usize, group: usize },
    /// Its facts and its vector are being read.
    Body { segment: usize, group: usize, keys: Keys, at: usize },
    /// Read; `None` if there is no such record.
    Known(Option<Arc<Record>>),
}

impl Fetch {
    /// Begins to read records of a view.
    pub(super) fn new(view: &View, ids: impl Iterator<Item = RecordId>) -> Fetch {
        let at = |id| match view.records.get(id) {
            Some(entry) => At::Known(entry.record().cloned()),
            None => At::Before(view.segments.len()),
        };
        Fetch { wanted: ids.map(|id| Wanted { id, at: at(id) }).collect() }
    }

    /// Takes what was read, and states what is to be read next. True once all are known.
    pub(super) fn step(&mut self, view: &View, io: &mut Reads) -> StoreResult<bool> {
        let mut got = io.take().into_iter();
        for wanted in &mut self.wanted {
            wanted.step(&view.segments, &mut got, io)?;
        }
        Ok(self.wanted.iter().all(|wanted| matches!(wanted.at, At::Known(_))))
    }

    /// The records, in the order asked; `None` for one that does not exist.
    pub(super) fn finish(self) -> impl Iterator<Item = Option<Arc<Record>>> {
        self.wanted.into_iter().map(|wanted| match wanted.at {
            At::Known(record) => record,
            At::Before(_) | At::Keys { .. } | At::Body { .. } => unreachable!("the last step said that all are known"),
        })
    }
}

impl Wanted {
    fn step(
        &mut self,
        segments: &[Arc<Segment>],
        got: &mut impl Iterator<Item = DiskResult<Bytes>>,
        io: &mut Reads,
    ) -> StoreResult<()> {
        let mut next = || got.next().expect("each read that was stated has a result");
        self.at = match std::mem::replace(&mut self.at, At::Known(None)) {
            At::Known(record) => At::Known(record),
            At::Before(segment) => look_before(segment, self.id, segments, io),
            At::Keys { segment, group } => {
                let keys = segments[segment].keys(group, &next()?)?;
                match keys.find(self.id).map(|at| (at, keys.row(at))) {
                    None => look_before(segment, self.id, segments, io),
                    Some((_, None)) => At::Known(None),
                    Some((at, Some(row))) => {
                        let it = &segments[segment];
                        want(it, it.facts_span(group), io);
                        want(it, it.row_span(group, row), io);
                        At::Body { segment, group, keys, at }
                    }
                }
            }
            At::Body { segment, group, keys, at } => {
                let it = &segments[segment];
                let (facts, row) = (it.facts(group, &next()?)?, next()?);
                let entry = it.entry(group, &keys, at, &facts, || it.vector(group, &keys, at, &row))?;
                match entry {
                    Entry::Live(record) => At::Known(Some(record)),
                    Entry::Deleted(_) => At::Known(None),
                }
            }
        };
        Ok(())
    }
}

/// States the read of the keys in the newest segment before `segment` that may have the record.
fn look_before(segment: usize, id: RecordId, segments: &[Arc<Segment>], io: &mut Reads) -> At {
    let newest = (0..segment).rev().find_map(|at| Some((at, segments[at].group_of(id)?)));
    let Some((segment, group)) = newest else { return At::Known(None) };
    want(&segments[segment], segments[segment].keys_span(group), io);
    At::Keys { segment, group }
}

fn want(segment: &Segment, span: Span, io: &mut Reads) {
    io.want(segment.file(), span.offset, span.len);
}
