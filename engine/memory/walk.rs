//! Following links, as a query does: which records can be reached from one, and in how many steps.
//!
//! Breadth first, a ring of records after the other, each in pieces. Of what was flushed only keys are read, which have the
//! links; texts and vectors are not. A link to a record that is not there leads nowhere.

use std::collections::{BTreeSet, btree_set};

use stormproof_contract::Reads;

use super::{fetch::Fetch, view::View};
use crate::{ids::RecordId, store::StoreResult};

/// The most records of a ring that are read at a time.
const PIECE_RECORDS: usize = 1024;
/// The most records that a walk keeps in mind. What they link to may be without a bound.
const SEEN_MAX: usize = 1 << 20;

/// A walk on its way.
pub(super) struct Walk {
    seen: BTreeSet<RecordId>,
    /// The rest of the records that are `hops` steps away.
    ring: btree_set::IntoIter<RecordId>,
    /// Those of them that are being read.
    piece: Vec<RecordId>,
    fetch: Fetch,
    /// The records that are one step further.
    next: BTreeSet<RecordId>,
    hops: u32,
    hops_max: u32,
    limit: usize,
    reached: Vec<(RecordId, u32)>,
}

/// Where a walk has led to.
pub(super) struct Walked {
    /// The records with their distance, nearest first, those equally far by id.
    pub(super) reached: Vec<(RecordId, u32)>,
    /// Whether a bound was met before the end.
    pub(super) more: bool,
}

impl Walk {
    /// Begins at a record: up to `limit` records, none further than `hops_max` steps.
    pub(super) fn new(view: &View, from: RecordId, hops_max: u32, limit: usize) -> Walk {
        let fetch = Fetch::links(view, std::iter::once(from));
        let (ring, next) = (BTreeSet::new().into_iter(), BTreeSet::new());
        let (seen, piece) = ([from].into(), vec![from]);
        Walk { seen, ring, piece, fetch, next, hops: 0, hops_max, limit, reached: Vec::new() }
    }

    /// Takes what was read, and states what is to be read next. `Some` once all is known.
    pub(super) fn step(&mut self, view: &View, io: &mut Reads) -> StoreResult<Option<Walked>> {
        if !self.fetch.step(view, io)? {
            return Ok(None);
        }
        for (id, links) in std::mem::take(&mut self.piece).into_iter().zip(self.fetch.take_links()) {
            let Some(links) = links else { continue };
            if self.reached.len() == self.limit || self.seen.len() > SEEN_MAX {
                return Ok(Some(Walked { reached: std::mem::take(&mut self.reached), more: true }));
            }
            self.reached.push((id, self.hops));
            self.next.extend(links.iter().copied().filter(|link| self.seen.insert(*link)));
        }
        if self.ring.len() == 0 {
            if self.next.is_empty() || self.hops == self.hops_max {
                return Ok(Some(Walked { reached: std::mem::take(&mut self.reached), more: false }));
            }
            self.hops += 1;
            self.ring = std::mem::take(&mut self.next).into_iter();
        }
        self.piece = self.ring.by_ref().take(PIECE_RECORDS).collect();
        self.fetch = Fetch::links(view, self.piece.iter().copied());
        // States the reads of the piece; where it needs none, the next step takes it up.
        self.fetch.step(view, io).map(|_| None)
    }
}
