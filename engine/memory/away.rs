//! Rows of the exact index that are not in memory: which they are, and how a search compares them all the same.
//!
//! Whatever was written since the last flush has its row in memory. Of what was flushed, the newest segments have, as many
//! as [`Config::l1_bytes`](super::Config::l1_bytes) lets in; of the older ones the index keeps which records are live, in
//! which version, and a search reads their vectors. So a segment is either *away*, with all older ones, or all its live
//! rows are in memory. (That a row of a segment that is away is in memory as well does no harm: a merge across the border
//! may leave some. Each is compared once, where the index has it.)

use std::{ops::Range, sync::Arc};

use stormproof_contract::Reads;

use super::{node::MemoryNode, recover::foreign_vector, view::View};
use crate::{
    store::{
        StoreResult,
        segment::{Keys, Segment},
    },
    vector::{FlatIndex, Scan},
};

/// How many groups a search reads at a time: about 2 MiB of vectors.
const STEP_GROUPS: usize = 8;

/// How many of the segments, from the oldest on, are away if so many rows may be in memory. `live`: how many records each has.
pub(super) fn segments_away(live: impl DoubleEndedIterator<Item = u64> + ExactSizeIterator, rows_max: u64) -> usize {
    let (all, mut rows) = (live.len(), 0_u64);
    let fits = |live: &u64| {
        rows = rows.saturating_add(*live);
        rows <= rows_max
    };
    all - live.rev().take_while(fits).count()
}

/// How many of the oldest segments are counted once the run at `place` is one of them, of which `count` were: that one too, if
/// one of the run was.
pub(super) fn after_merge(count: usize, place: &Range<usize>) -> usize {
    if count <= place.start { count } else { count.max(place.end) - (place.len() - 1) }
}

/// Takes what a segment says of a group's records into the index, without their rows.
pub(super) fn add_keys(index: &mut FlatIndex, keys: &Keys) {
    for at in 0..keys.len() {
        match keys.row(at) {
            Some(_) => drop(index.send_away(keys.id(at), keys.version(at))),
            None => drop(index.remove(keys.id(at))),
        }
    }
}

/// Sends the rows away that the index has of a segment.
fn send_rows_away(index: &mut FlatIndex, segment: &Segment) -> StoreResult<()> {
    for group in 0..segment.groups() {
        let keys = segment.keys_of(group)?;
        for at in (0..keys.len()).filter(|at| keys.row(*at).is_some()) {
            let (id, version) = (keys.id(at), keys.version(at));
            if index.get(id).is_some_and(|row| row.version == version) {
                index.send_away(id, version);
            }
        }
    }
    Ok(())
}

impl MemoryNode {
    /// Sends the rows of as many segments away as there are too many in memory.
    ///
    /// A segment that cannot be read now keeps its rows, and so do the newer ones, until there is another one.
    pub(super) fn send_away(&self, view: &mut View) {
        let live = view.segments.iter().map(|segment| segment.live());
        for at in view.away..segments_away(live, self.config.l1_rows()) {
            if !view.send_segment_away(at) {
                return;
            }
            view.away = at + 1;
        }
    }
}

impl View {
    /// Whether the rows of a segment could be sent away: all of them, or none.
    pub(super) fn send_segment_away(&mut self, at: usize) -> bool {
        let mut index = self.index.clone();
        let sent = send_rows_away(&mut index, &self.segments[at]).is_ok();
        if sent {
            self.index = index;
        }
        sent
    }
}

/// The rows that are not in memory, on their way to be compared. All are compared once `step` says so.
#[derive(Default)]
pub(super) struct AwayScan {
    /// Where the groups begin that nothing was read of: in which segment, and which of its groups.
    next: (usize, usize),
    reading: Reading,
}

/// What is being read of some groups.
#[derive(Default)]
enum Reading {
    #[default]
    Nothing,
    /// The keys of those that none are at hand of.
    Keys(Vec<(Place, Option<Arc<Keys>>)>),
    /// The vectors.
    Rows(Vec<(Place, Arc<Keys>)>),
}

/// A segment by its place in the view, and one of its groups.
type Place = (usize, usize);

impl AwayScan {
    /// Leaves so many segments out, the oldest.
    pub(super) fn behind(segments: usize) -> AwayScan {
        AwayScan { next: (segments, 0), reading: Reading::Nothing }
    }

    /// Takes what was read, and states what is to be read next. True once all rows were compared.
    pub(super) fn step(&mut self, view: &View, scan: &mut Scan, io: &mut Reads) -> StoreResult<bool> {
        if scan.wants_none() {
            return Ok(true);
        }
        let mut got = io.take().into_iter();
        let mut next_read = || got.next().expect("each read that was stated has its answer");
        match std::mem::take(&mut self.reading) {
            Reading::Nothing => {}
            Reading::Keys(groups) => {
                let mut rows = Vec::new();
                for ((segment, group), known) in groups {
                    let it = &view.segments[segment];
                    let keys = match known {
                        Some(keys) => keys,
                        // Not to be held: one search would drive out all that commits and gets have read.
                        None => Arc::new(it.keys(group, &next_read()?)?),
                    };
                    if has_away(view, &keys) {
                        let span = it.rows_span(group);
                        io.want(it.file(), span.offset, span.len);
                        rows.push(((segment, group), keys));
                    }
                }
                if !rows.is_empty() {
                    self.reading = Reading::Rows(rows);
                    return Ok(false);
                }
            }
            Reading::Rows(groups) => {
                for ((segment, group), keys) in groups {
                    compare(view, (segment, group), &keys, &next_read()?, scan)?;
                }
            }
        }
        let groups = self.next_groups(view);
        for ((segment, group), _) in groups.iter().filter(|(_, keys)| keys.is_none()) {
            let span = view.segments[*segment].keys_span(*group);
            io.want(view.segments[*segment].file(), span.offset, span.len);
        }
        let done = groups.is_empty();
        self.reading = Reading::Keys(groups);
        Ok(done)
    }

    /// Some more groups of the segments that are away, with their keys if they are at hand.
    fn next_groups(&mut self, view: &View) -> Vec<(Place, Option<Arc<Keys>>)> {
        let mut groups = Vec::new();
        while groups.len() < STEP_GROUPS && self.next.0 < view.away {
            let (segment, group) = self.next;
            let it = &view.segments[segment];
            if group == it.groups() {
                self.next = (segment + 1, 0);
                continue;
            }
            groups.push(((segment, group), view.cache.get(it.no(), group)));
            self.next = (segment, group + 1);
        }
        groups
    }
}

/// Whether a row of the group counts that is not in memory.
fn has_away(view: &View, keys: &Keys) -> bool {
    (0..keys.len()).any(|at| keys.row(at).is_some() && view.index.is_away(keys.id(at), keys.version(at)))
}

/// Compares the rows of a group that count: damage of one that does not is nobody's business here.
fn compare(view: &View, (segment, group): Place, keys: &Keys, bytes: &[u8], scan: &mut Scan) -> StoreResult<()> {
    let segment = &view.segments[segment];
    for at in 0..keys.len() {
        let Some(row) = keys.row(at).filter(|_| view.index.is_away(keys.id(at), keys.version(at))) else { continue };
        let vector = segment.vector_among(group, keys, at, bytes)?;
        let (id, offset) = (keys.id(at), segment.row_span(group, row).offset);
        let foreign = |error| foreign_vector(segment.no().path(), offset, id, error);
        scan.offer(id, keys.version(at), &vector).map_err(foreign)?;
    }
    Ok(())
}
