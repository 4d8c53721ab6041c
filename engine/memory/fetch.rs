//! Reading records by id, as a query does: what it needs from the disk it states, and is resumed with.
//!
//! What was written since the last flush is in memory. Of all else, each record is looked for in the newest segment
//! first: its group's keys are read, and if they have it, its facts and its vector. All records are at it together, so
//! that one step states the reads of all, and neighbours share them.

use std::{collections::BTreeMap, sync::Arc};

use stormproof_contract::{Bytes, DiskResult, Reads};

use super::{cache::KeysCache, fallback::AtHand, view::View};
use crate::{
    ids::RecordId,
    store::{
        Entry, Record, StoreResult,
        segment::{Facts, Keys, Segment, Span},
    },
};

/// Some records, on their way.
pub(super) struct Fetch {
    wanted: Vec<Wanted>,
    /// Their links will do.
    links_only: bool,
}

/// Where the newest writing of a live record is.
pub(super) enum Place {
    /// It was written since the last flush.
    Memory(Arc<Record>),
    /// At a place of a group's keys.
    Segment {
        /// The place of the segment in the view.
        segment: usize,
        group: usize,
        keys: Arc<Keys>,
        at: usize,
    },
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
    Keys { segment: usize, group: usize, read: ReadNo },
    /// Its facts and its vector are being read.
    Body { segment: usize, group: usize, keys: Arc<Keys>, at: usize, facts: ReadNo, row: ReadNo },
    /// Known to be at a place of a group's keys, of which nothing was read.
    Found { segment: usize, group: usize, keys: Arc<Keys>, at: usize },
    /// Read; `None` if there is no such record.
    Known(Option<Arc<Record>>),
    /// Its links are.
    Linked(Vec<RecordId>),
    /// It could not be read.
    Unread,
}

/// The place of a read among those of a step.
type ReadNo = usize;

/// What a step states, each span of a segment once.
#[derive(Default)]
struct ToRead {
    reads: Vec<(usize, Span)>,
    by_place: BTreeMap<(usize, u64), ReadNo>,
}

impl ToRead {
    fn want(&mut self, segment: usize, span: Span) -> ReadNo {
        let next = self.reads.len();
        let no = *self.by_place.entry((segment, span.offset)).or_insert(next);
        if no == next {
            self.reads.push((segment, span));
        }
        no
    }
}

/// What was read, and what was made of it for all who share it.
struct Got {
    bytes: Vec<DiskResult<Bytes>>,
    keys: BTreeMap<ReadNo, Arc<Keys>>,
    facts: BTreeMap<ReadNo, Arc<Facts>>,
}

impl Got {
    fn bytes(&self, read: ReadNo) -> DiskResult<Bytes> {
        self.bytes[read].clone()
    }

    fn keys(&mut self, read: ReadNo, segment: &Segment, group: usize, cache: &KeysCache) -> StoreResult<Arc<Keys>> {
        if let Some(keys) = self.keys.get(&read) {
            return Ok(Arc::clone(keys));
        }
        let keys = Arc::new(segment.keys(group, &self.bytes(read)?)?);
        cache.put(segment.no(), group, &keys);
        self.keys.insert(read, Arc::clone(&keys));
        Ok(keys)
    }

    fn facts(&mut self, read: ReadNo, segment: &Segment, group: usize) -> StoreResult<Arc<Facts>> {
        if let Some(facts) = self.facts.get(&read) {
            return Ok(Arc::clone(facts));
        }
        let facts = Arc::new(segment.facts(group, &self.bytes(read)?)?);
        self.facts.insert(read, Arc::clone(&facts));
        Ok(facts)
    }
}

impl Fetch {
    /// Begins to read records of a view.
    pub(super) fn new(view: &View, ids: impl Iterator<Item = RecordId>) -> Fetch {
        let at = |id| match view.records.get(id) {
            Some(entry) => At::Known(entry.record().cloned()),
            None => At::Before(view.segments.len()),
        };
        Fetch { wanted: ids.map(|id| Wanted { id, at: at(id) }).collect(), links_only: false }
    }

    /// Begins to read the links of records.
    pub(super) fn links(view: &View, ids: impl Iterator<Item = RecordId>) -> Fetch {
        Fetch { links_only: true, ..Fetch::new(view, ids) }
    }

    /// Begins to read records whose places are known.
    pub(super) fn at(places: Vec<(RecordId, Place)>) -> Fetch {
        let wanted = |(id, place)| match place {
            Place::Memory(record) => Wanted { id, at: At::Known(Some(record)) },
            Place::Segment { segment, group, keys, at } => Wanted { id, at: At::Found { segment, group, keys, at } },
        };
        Fetch { wanted: places.into_iter().map(wanted).collect(), links_only: false }
    }

    /// Does without reading those that were read already, of the same view.
    pub(super) fn knowing(mut self, records: &[Arc<Record>]) -> Fetch {
        let records: BTreeMap<RecordId, &Arc<Record>> = records.iter().map(|record| (record.id, record)).collect();
        for wanted in &mut self.wanted {
            if let Some(record) = records.get(&wanted.id) {
                wanted.at = At::Known(Some(Arc::clone(record)));
            }
        }
        self
    }

    /// Takes what was read, and states what is to be read next. True once all are known.
    pub(super) fn step(&mut self, view: &View, io: &mut Reads) -> StoreResult<bool> {
        let mut got = Got { bytes: io.take(), keys: BTreeMap::new(), facts: BTreeMap::new() };
        let mut to_read = ToRead::default();
        for wanted in &mut self.wanted {
            wanted.step(view, self.links_only, &mut got, &mut to_read)?;
        }
        for (segment, span) in to_read.reads {
            io.want(view.segments[segment].file(), span.offset, span.len);
        }
        Ok(self.wanted.iter().all(|wanted| matches!(wanted.at, At::Known(_) | At::Linked(_))))
    }

    /// The records, in the order asked; `None` for one that does not exist.
    pub(super) fn finish(self) -> impl Iterator<Item = Option<Arc<Record>>> {
        self.wanted.into_iter().map(|wanted| match wanted.at {
            At::Known(record) => record,
            _ => unreachable!("the last step said that all are known"),
        })
    }

    /// The records, in the order asked, those that are not read yet as `known` has them; `None` if that does not know one.
    pub(super) fn or_known(self, known: impl Fn(RecordId) -> AtHand) -> Option<Vec<Option<Arc<Record>>>> {
        let record = |wanted: Wanted| match wanted.at {
            At::Known(record) => Some(record),
            _ => match known(wanted.id) {
                AtHand::Record(record) => Some(Some(record)),
                AtHand::Gone => Some(None),
                AtHand::Unknown => None,
            },
        };
        self.wanted.into_iter().map(record).collect()
    }

    /// The links of the records, in the order asked; `None` for one that does not exist.
    pub(super) fn take_links(&mut self) -> impl Iterator<Item = Option<Vec<RecordId>>> {
        std::mem::take(&mut self.wanted).into_iter().map(|wanted| match wanted.at {
            At::Known(record) => record.map(|record| record.links.iter().map(|link| link.to).collect()),
            At::Linked(links) => Some(links),
            _ => unreachable!("the last step said that all are known"),
        })
    }
}

impl Wanted {
    fn step(&mut self, view: &View, links_only: bool, got: &mut Got, to_read: &mut ToRead) -> StoreResult<()> {
        let segments = &*view.segments;
        // What fails in here leaves it unread.
        self.at = match std::mem::replace(&mut self.at, At::Unread) {
            known @ (At::Known(_) | At::Linked(_) | At::Unread) => known,
            At::Before(segment) => look_before(segment, self.id, view, links_only, to_read),
            At::Keys { segment, group, read } => {
                let it = &segments[segment];
                let keys = got.keys(read, it, group, &view.cache)?;
                let found = look_in(&keys, self.id, segments, (segment, group), links_only, to_read);
                found.unwrap_or_else(|| look_before(segment, self.id, view, links_only, to_read))
            }
            At::Found { segment, group, keys, at } => body(segments, segment, group, keys, at, to_read),
            At::Body { segment, group, keys, at, facts, row } => {
                let it = &segments[segment];
                let (facts, row) = (got.facts(facts, it, group)?, got.bytes(row)?);
                match it.entry(group, &keys, at, &facts, || it.vector(group, &keys, at, &row))? {
                    Entry::Live(record) => At::Known(Some(record)),
                    Entry::Deleted(_) => At::Known(None),
                }
            }
        };
        Ok(())
    }
}

/// Has the facts and the vector of a live record read.
fn body(
    segments: &[Arc<Segment>],
    segment: usize,
    group: usize,
    keys: Arc<Keys>,
    at: usize,
    to_read: &mut ToRead,
) -> At {
    let it = &segments[segment];
    let row = keys.row(at).expect("only live records have facts and a vector");
    let facts = to_read.want(segment, it.facts_span(group));
    let row = to_read.want(segment, it.row_span(group, row));
    At::Body { segment, group, keys, at, facts, row }
}

/// Looks for the record in the newest segment before `segment` that may have it: in its group's keys, if they are at hand;
/// else has them read.
fn look_before(segment: usize, id: RecordId, view: &View, links_only: bool, to_read: &mut ToRead) -> At {
    let segments = &*view.segments;
    for (at, it) in segments[..segment].iter().enumerate().rev() {
        let Some(group) = it.group_of(id) else { continue };
        let Some(keys) = view.cache.get(it.no(), group) else {
            return At::Keys { segment: at, group, read: to_read.want(at, it.keys_span(group)) };
        };
        if let Some(found) = look_in(&keys, id, segments, (at, group), links_only, to_read) {
            return found;
        }
    }
    At::Known(None)
}

/// What a group's keys say of a record; `None` if they do not have it.
fn look_in(
    keys: &Arc<Keys>,
    id: RecordId,
    segments: &[Arc<Segment>],
    (segment, group): (usize, usize),
    links_only: bool,
    to_read: &mut ToRead,
) -> Option<At> {
    let at = keys.find(id)?;
    Some(match keys.row(at) {
        None => At::Known(None),
        Some(row) if links_only => At::Linked(keys.links(row).to_vec()),
        Some(_) => body(segments, segment, group, Arc::clone(keys), at, to_read),
    })
}
