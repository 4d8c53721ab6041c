//! Following links, as a query does: which records can be reached from one, and in how many steps.
//!
//! Breadth first. Of what was flushed only keys are read, which have the links; texts and vectors are not. A link to a record
//! that is not there leads nowhere.

use std::collections::BTreeSet;

use stormproof_contract::Reads;

use super::{fetch::Fetch, view::View};
use crate::{ids::RecordId, store::StoreResult};

/// A walk on its way.
pub(super) struct Walk {
    seen: BTreeSet<RecordId>,
    /// The records that are `hops` steps away, in order, and what is known of them.
    frontier: Vec<RecordId>,
    fetch: Fetch,
    hops: u32,
    hops_max: u32,
    limit: usize,
    reached: Vec<(RecordId, u32)>,
}

/// Where a walk has led to.
pub(super) struct Walked {
    /// The records with their distance, nearest first, those equally far by id.
    pub(super) reached: Vec<(RecordId, u32)>,
    /// Whether the limit was met before the end.
    pub(super) more: bool,
}

impl Walk {
    /// Begins at a record: up to `limit` records, none further than `hops_max` steps.
    pub(super) fn new(view: &View, from: RecordId, hops_max: u32, limit: usize) -> Walk {
        let fetch = Fetch::links(view, std::iter::once(from));
        Walk { seen: [from].into(), frontier: vec![from], fetch, hops: 0, hops_max, limit, reached: Vec::new() }
    }

    /// Takes what was read, and states what is to be read next. `Some` once all is known.
    pub(super) fn step(&mut self, view: &View, io: &mut Reads) -> StoreResult<Option<Walked>> {
        while self.fetch.step(view, io)? {
            let all: Vec<_> = self.frontier.iter().copied().zip(self.fetch.take_links()).collect();
            let mut next = BTreeSet::new();
            for (id, links) in all {
                let Some(links) = links else { continue };
                if self.reached.len() == self.limit {
                    return Ok(Some(self.end(true)));
                }
                self.reached.push((id, self.hops));
                next.extend(links.iter().copied().filter(|link| self.seen.insert(*link)));
            }
            if next.is_empty() || self.hops == self.hops_max {
                return Ok(Some(self.end(false)));
            }
            self.hops += 1;
            self.frontier = next.into_iter().collect();
            self.fetch = Fetch::links(view, self.frontier.iter().copied());
        }
        Ok(None)
    }

    fn end(&mut self, more: bool) -> Walked {
        Walked { reached: std::mem::take(&mut self.reached), more }
    }
}
