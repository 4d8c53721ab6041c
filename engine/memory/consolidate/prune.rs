//! PRUNE: what never became firm, and nothing needs, goes.
//!
//! **Rule.** A record goes if its kappa is low, it is old enough, it is not pinned, and no other record links to it. Removals
//! themselves are collected when segments are merged.
//!
//! **Conserved**: every record of which one of these is not so. A view that began before still has what was pruned since, as
//! with every deletion.
//!
//! Some records that may go are gathered, then everything is read for links to one of them; and so on, so that no more of them
//! are in memory than [`GATHERED_MAX`]. What was linked to since the pass began is not in the segments: the node looks.

use std::collections::BTreeMap;

use stormproof_contract::WallTime;

use super::{
    job::{Went, nothing},
    rules::ConsolidationRules,
};
use crate::{
    ids::{RecordId, Version},
    memory::op::Read,
    store::{StoreResult, compact::Entries},
};

/// How many are gathered at a time.
const GATHERED_MAX: usize = 65_536;
/// How many go in one transaction.
const RECORDS_MAX: usize = 64;

/// A pass on its way.
pub(super) struct Prune {
    rules: ConsolidationRules,
    before: WallTime,
    at: At,
    /// Where to gather on; `None` if everything was looked at.
    next: Option<RecordId>,
    gathered: BTreeMap<RecordId, Version>,
}

/// How far a pass is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Begin,
    /// Records that may go are gathered.
    Gathering,
    /// Those that something links to are taken out.
    Sparing,
    /// The others are told.
    Telling,
}

impl Prune {
    pub(super) fn new(rules: ConsolidationRules, before: WallTime) -> Prune {
        Prune { rules, before, at: At::Begin, next: Some(RecordId(0)), gathered: BTreeMap::new() }
    }

    pub(super) fn go_on(&mut self, entries: &mut Entries, units: u32) -> StoreResult<Went> {
        self.at = match self.at {
            At::Begin => match self.next {
                Some(next) => {
                    entries.seek(next, false)?;
                    At::Gathering
                }
                None => return Ok(Went::Done),
            },
            At::Gathering => self.gather(entries, units)?,
            At::Sparing => self.spare(entries, units)?,
            At::Telling if self.gathered.is_empty() => At::Begin,
            At::Telling => return Ok(self.tell()),
        };
        Ok(Went::On)
    }

    fn gather(&mut self, entries: &mut Entries, units: u32) -> StoreResult<At> {
        for _ in 0..units {
            let found = entries.next()?;
            if let Some((id, entry)) = &found
                && self.gathered.len() < GATHERED_MAX
            {
                if let Some(record) = entry.record().filter(|record| self.rules.lets_go(record, self.before)) {
                    self.gathered.insert(*id, record.version);
                }
                continue;
            }
            self.next = found.map(|(id, _)| id);
            entries.seek(RecordId(0), false)?;
            return Ok(At::Sparing);
        }
        Ok(At::Gathering)
    }

    fn spare(&mut self, entries: &mut Entries, units: u32) -> StoreResult<At> {
        for _ in 0..units {
            let Some((id, entry)) = entries.next()? else { return Ok(At::Telling) };
            let links = entry.record().into_iter().flat_map(|record| &record.links);
            for link in links.filter(|link| link.to != id) {
                self.gathered.remove(&link.to);
            }
        }
        Ok(At::Sparing)
    }

    fn tell(&mut self) -> Went {
        let mut transaction = nothing();
        while let Some((id, version)) = self.gathered.pop_first() {
            transaction.reads.push(Read { id, version: Some(version) });
            transaction.deletes.push(id);
            if transaction.deletes.len() == RECORDS_MAX {
                break;
            }
        }
        Went::Say(transaction)
    }
}
