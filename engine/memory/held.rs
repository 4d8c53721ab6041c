//! Writes that are held while the disk cannot take them: performs what [`protocol::degrade`](crate::protocol::degrade)
//! says.
//!
//! A write is held as it was asked for, and judged when it is tried: what it rests on may have changed by then. Whatever
//! becomes of it goes into the log under its retry id, refusals too, since nobody is waiting for an answer any more; whoever
//! asks again is told. Transactions that name foreign managers are not held: their managers' votes are asked for now. Nor are bulk
//! loads.

use std::sync::Arc;

use stormproof_contract::{Effects, RequestId};

use super::{
    admit::{self, Obstacle},
    batch::{Fate, Joined, OpenBatch},
    flush::Flush,
    node::MemoryNode,
    op::{Refusal, Reply, Transaction, Unavailable},
};
use crate::{
    protocol::{
        breaker,
        degrade::{Input, Level, NodeLevel, Output},
    },
    store::RetryId,
};

/// So many trials in a row may come to nothing because the disk cannot be read. Then the write that needs it is refused.
const UNREADABLE_MAX: u32 = 3;

/// How a batch ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ended {
    /// Nothing of it had to be written.
    Unwritten,
    /// It is durable.
    Durable,
    /// It came to nothing.
    Off,
    /// Nobody knows: the node has to stop.
    Doubtful,
}

impl MemoryNode {
    /// Whether the disk takes writes: if not, it is not asked for large ones either.
    pub(super) fn is_well(&self) -> bool {
        self.writes.level() == Level::Normal
    }

    /// Whether a transaction of this name is held; then the attempt is told so again.
    pub(super) fn is_held(&self, retry: RetryId, attempt: RequestId, out: &mut Effects<Reply>) -> bool {
        let place = self.writes.held().position(|held| held.retry == retry);
        if let Some(ahead) = place {
            out.reply(attempt, Reply::Queued { ahead: ahead as u64 });
        }
        place.is_some()
    }

    /// How much the node can do.
    pub(super) fn level(&self) -> NodeLevel {
        NodeLevel::of(self.writes.level(), self.fallback.reads())
    }

    /// Notes what has become of queries, which cannot do so themselves.
    pub(super) fn note_reads(&mut self, out: &mut Effects<Reply>) {
        let refused = self.level() == NodeLevel::InMemory;
        if std::mem::replace(&mut self.reads_refused, refused) != refused {
            out.note(if refused { "reads.refused" } else { "reads.allowed" }, &[]);
        }
        let n = self.fallback.take_answered();
        if n > 0 {
            out.note("reads.from_memory", &[("n", n)]);
        }
    }

    /// Gives the transaction back if it can be tried at once. Else it is held, or refused.
    pub(super) fn let_in(
        &mut self,
        attempt: RequestId,
        transaction: Transaction,
        out: &mut Effects<Reply>,
    ) -> Option<Transaction> {
        if self.is_well() || admit::only_watches(&transaction) {
            return Some(transaction);
        }
        if transaction.bulk || !transaction.managers.is_empty() {
            out.reply(attempt, Reply::Unavailable(Unavailable::Degraded));
            return None;
        }
        let bytes = transaction.weight();
        let mut said = Vec::new();
        self.writes.step(Input::Arrived(Arc::new(transaction), bytes), &mut said);
        if let Some(Output::Held(ahead)) = said.pop() {
            let ahead = ahead as u64;
            out.note("write.queued", &[("ahead", ahead)]);
            out.reply(attempt, Reply::Queued { ahead });
        } else {
            out.note("write.turned_away", &[]);
            out.reply(attempt, Reply::Unavailable(Unavailable::Degraded));
        }
        None
    }

    /// Tries what is held, if it is time.
    pub(super) fn try_held(&mut self, out: &mut Effects<Reply>) {
        let now = self.clock.now();
        if self.writes.due().is_none_or(|due| due > now) {
            return;
        }
        let (mut said, before) = (Vec::new(), self.writes.breaker());
        self.writes.step(Input::Boundary(now), &mut said);
        self.note_breaker(before, out);
        let Some(Output::Try(writes)) = said.pop() else { return };
        assert!(self.open.joined.is_empty(), "arrivals are a batch of their own");
        // Leftovers that could not be removed may be why the disk is full; or a flush or a load that was cut off.
        self.flush.iter_mut().for_each(Flush::give_up);
        self.loads.give_up();
        self.sweep_segments();
        let ended = if writes.iter().all(|write| self.rejoin(write)) {
            self.unreadable = 0;
            self.try_batch(true, out)
        } else {
            self.open = OpenBatch::default();
            self.unreadable += 1;
            Ended::Off
        };
        if ended == Ended::Durable {
            out.note("write.drained", &[("n", writes.len() as u64)]);
        }
        self.hear_of_batch(ended, out);
    }

    /// Has a write that was held join the batch, or its refusal. False: the disk could not be read.
    fn rejoin(&mut self, transaction: &Transaction) -> bool {
        let id = self.take_tx();
        let retry = transaction.retry;
        let fate = match self.judge(transaction) {
            Ok(writes) => {
                let transaction = crate::store::Transaction {
                    id,
                    retry: Some(retry),
                    votes: Vec::new(),
                    writes,
                    loaded: None,
                    rebuilding: None,
                };
                Fate::Commit { transaction, votes: Vec::new() }
            }
            Err(Obstacle { answer: Reply::Unavailable(Unavailable::Disk(_)), .. })
                if self.unreadable < UNREADABLE_MAX =>
            {
                return false;
            }
            // One that rests on a bad place must not stand in the way of all others.
            Err(Obstacle { answer: Reply::Unavailable(Unavailable::Disk(words)), .. }) => {
                Fate::Closed { id, answer: Reply::Refused(Refusal::Damaged(words)) }
            }
            Err(Obstacle { answer: Reply::Unavailable(_), .. }) => {
                let (found, max) = (self.views.newest().index.len() as u64, self.config.records_max);
                Fate::Closed { id, answer: Reply::Refused(Refusal::TooLarge { what: "records".into(), found, max }) }
            }
            Err(Obstacle { answer, .. }) => Fate::Closed { id, answer },
        };
        self.push(Joined { asked: Vec::new(), retry, fate });
        true
    }

    /// Notes the state of the breaker, unless it is of the kind that it was.
    fn note_breaker(&self, before: breaker::State, out: &mut Effects<Reply>) {
        let number = |state| match state {
            breaker::State::Closed { .. } => 0,
            breaker::State::Open { .. } => 1,
            breaker::State::HalfOpen { .. } => 2,
        };
        let (before, now) = (number(before), number(self.writes.breaker()));
        if before != now {
            out.note("breaker", &[("state", now)]);
        }
    }

    /// Takes note of how a batch ended.
    pub(super) fn hear_of_batch(&mut self, ended: Ended, out: &mut Effects<Reply>) {
        let input = match ended {
            Ended::Durable => Input::Succeeded,
            Ended::Off => Input::Failed(self.clock.now()),
            Ended::Unwritten | Ended::Doubtful => return,
        };
        let (mut said, before) = (Vec::new(), self.writes.breaker());
        self.writes.step(input, &mut said);
        self.note_breaker(before, out);
        for output in said {
            match output {
                Output::Changed(Level::Normal) => out.note("degraded.over", &[]),
                Output::Changed(Level::ReadOnly) => out.note("degraded", &[]),
                Output::Join(_) | Output::Held(_) | Output::Full(_) | Output::Try(_) => {
                    unreachable!("the end of a batch only changes the level")
                }
            }
        }
    }
}
