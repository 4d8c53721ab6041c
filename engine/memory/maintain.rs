//! What is done beside commits: verdicts that are still owed are told again, the index on disk is repaired or merged, slices
//! of a flush are written, and what nothing needs any more is removed.
//!
//! It runs after the answers of a batch are out, at a time of its own: whatever fails is tried again a while later.

use std::collections::VecDeque;

use stormproof_contract::{Effects, Tick};

use super::{node::MemoryNode, op::Reply};
use crate::{
    protocol::{
        Participant, Verdict,
        redrive::{Input, Output},
    },
    store::{StoreResult, TransactionId},
};

/// Files of a kind that nothing needs any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Leftovers {
    /// Files of the log that were flushed.
    Log,
    /// Files of the index from before a flush.
    L1,
    /// Segments that were merged.
    Segments,
    /// Generations of the archive that came to nothing.
    Archive,
}

impl MemoryNode {
    /// Does what is due.
    pub(super) fn maintain(&mut self, out: &mut Effects<Reply>) {
        if self.leftovers_due().is_some() {
            self.remove_leftovers();
        } else if self.flush_due().is_some() {
            self.go_on_flushing(out);
        }
        let now = self.clock.now();
        if self.again_at.is_some_and(|at| at <= now) {
            self.again_at = None;
            self.redrive(out);
            self.name_loaded();
            if self.flush_wanted().is_some_and(|at| at <= now) {
                self.begin_flush(out);
            }
            if self.wants_merge() {
                self.merge(out);
            }
        }
        if self.wants_compaction() {
            self.compact(out);
        }
        // In a batch of its own, so that the answers of this one need not wait for it. A flush has a pause of its own after a
        // failure; a merge waits for whatever is tried again.
        let merge = (self.again_at.is_none() && self.wants_merge()).then_some(now);
        let flush = self.flush_wanted().map(|at| at.max(now));
        self.again_at = [self.again_at, merge, flush].into_iter().flatten().min();
    }

    /// When the next leftovers are to be removed: at once, if there are any, and it is known that they are.
    pub(super) fn leftovers_due(&self) -> Option<Tick> {
        (!self.leftovers.is_empty() && self.manifest.is_certain()).then_some(Tick(0))
    }

    /// What cannot be removed now, the next boot removes.
    fn remove_leftovers(&mut self) {
        match self.leftovers.pop_front() {
            None => {}
            Some(Leftovers::L1) => self.l1.sweep_all(),
            Some(Leftovers::Log) => drop(self.log.sweep(self.manifest.current())),
            Some(Leftovers::Segments) => self.sweep_segments(),
            Some(Leftovers::Archive) => self.sweep_archive(),
        }
    }

    fn wants_merge(&self) -> bool {
        self.is_well() && !self.is_flushing() && self.l1.wants_merge()
    }

    /// Has what failed be tried again a while later.
    pub(super) fn again_later(&mut self) {
        let later = self.clock.now() + self.config.again_after;
        self.again_at = Some(self.again_at.map_or(later, |at| at.min(later)));
    }

    /// Tells every participant what it is owed.
    pub(super) fn redrive(&mut self, out: &mut Effects<Reply>) {
        let (mut todo, mut outputs) = (VecDeque::new(), Vec::new());
        self.owed.step(Input::Again, &mut outputs);
        todo.extend(outputs.drain(..));
        while let Some(Output::Tell(who, verdict)) = todo.pop_front() {
            let heard = if self.tell(who, verdict, out) { Input::Told } else { Input::Failed };
            self.owed.step(heard, &mut outputs);
            todo.extend(outputs.drain(..));
        }
        if !self.owed.is_empty() {
            self.again_later();
        }
    }

    fn tell(&mut self, who: Participant<TransactionId>, verdict: Verdict, out: &mut Effects<Reply>) -> bool {
        let (done, note) = match (who, verdict) {
            (Participant::L1, Verdict::Committed) => (self.repair().is_ok(), "l1.repaired"),
            (Participant::Manager { manager, tx }, Verdict::Committed) => {
                (self.managers.get(manager).finish(tx).is_ok(), "participant.redriven")
            }
            (Participant::Manager { manager, tx }, Verdict::Aborted) => {
                (self.managers.get(manager).abort(tx).is_ok(), "participant.redriven")
            }
            (Participant::L1, Verdict::Aborted) => unreachable!("what the index voted in vain is overwritten or swept"),
        };
        if done {
            out.note(note, &[]);
        }
        done
    }

    /// Writes the index afresh, unless a later batch already did.
    fn repair(&mut self) -> StoreResult<()> {
        let view = self.views.newest();
        if self.l1.upto == view.lsn { Ok(()) } else { self.l1.write_afresh(&view, &mut self.manifest) }
    }

    fn merge(&mut self, out: &mut Effects<Reply>) {
        match self.l1.write_afresh(&self.views.newest(), &mut self.manifest) {
            Ok(()) => out.note("l1.merged", &[("lsn", self.l1.base.0)]),
            Err(_) => self.again_later(),
        }
    }
}
