//! Performs the commit of a batch: does what [`protocol::commit`](crate::protocol::commit) says, in its order, and tells
//! it what came of each step.
//!
//! The state after the batch is made first, aside; it is what the index votes on, and what is published once the frame
//! is durable. An aborted batch is that state thrown away.

use std::collections::VecDeque;

use stormproof_contract::{DiskResult, Effects};

use super::{
    batch::OpenBatch,
    held::Ended,
    node::MemoryNode,
    op::{Reply, Unavailable},
    view::View,
};
use crate::{
    ids::Lsn,
    protocol::{
        Digest, Participant, Verdict,
        commit::{Commit, Input, Output},
        redrive,
    },
    store::{self, Batch, StoreError, TransactionId, Vote, segment::Decided},
};

/// The points of a commit.
pub(super) const POINTS: [&str; 9] = [
    "commit.begin",
    "commit.vote.begun",
    "commit.vote.l1_written",
    "commit.decide.begun",
    "commit.decide.reserved",
    "commit.decide.frame_written",
    "commit.decide.log_synced",
    "commit.finish.l1_renamed",
    "commit.finish.published",
];

/// The name of the exact index among the votes of a batch.
pub(super) const L1: &str = "l1";

/// A batch on its way.
struct Flight {
    batch: OpenBatch,
    /// The state after it.
    next: View,
    /// What the log holds of it.
    frame: Batch,
    /// What to answer if it comes to nothing.
    unavailable: Unavailable,
    /// How it has ended.
    ended: Ended,
}

impl Flight {
    fn new(batch: OpenBatch, before: &View) -> Flight {
        let (mut next, lsn) = (before.clone(), before.lsn.next());
        next.lsn = lsn;
        let frame = Batch { votes: Vec::new(), transactions: batch.transactions() };
        frame.writes().for_each(|write| next.apply(lsn, write));
        let said = frame.transactions.iter().filter_map(|transaction| transaction.rebuilding).next_back();
        next.rebuilding = said.unwrap_or(next.rebuilding);
        batch.loaded().into_iter().for_each(|loaded| next.add(lsn, loaded));
        Flight { batch, next, frame, unavailable: Unavailable::Busy, ended: Ended::Unwritten }
    }

    fn lsn(&self) -> Lsn {
        self.next.lsn
    }

    /// Notes why the batch will come to nothing.
    fn failed(&mut self, error: &StoreError) -> Box<str> {
        let words: Box<str> = error.to_string().into();
        self.unavailable = if error.is_no_space() { Unavailable::NoSpace } else { Unavailable::Disk(words.clone()) };
        words
    }

    /// Writes the votes into the frame.
    fn add_votes(
        &mut self,
        votes: &[(Participant<TransactionId>, Digest)],
        name: impl Fn(&Participant<TransactionId>) -> store::Participant,
    ) {
        for (who, digest) in votes {
            let vote = Vote { participant: name(who), digest: store::Digest(digest.0.to_le_bytes()) };
            match who {
                Participant::L1 => self.frame.votes.push(vote),
                Participant::Manager { tx, .. } => {
                    let transaction = self.frame.transactions.iter_mut().find(|transaction| transaction.id == *tx);
                    transaction.expect("votes are those of the batch's transactions").votes.push(vote);
                }
            }
        }
    }
}

impl MemoryNode {
    /// Commits the open batch, and answers all of it, unless the process has to stop.
    pub(super) fn commit_batch(&mut self, out: &mut Effects<Reply>) {
        let ended = self.try_batch(false, out);
        self.hear_of_batch(ended, out);
    }

    /// The same, and says how it ended. If `even_empty`, a frame is written also where nothing needs one: to find out whether
    /// that is possible.
    pub(super) fn try_batch(&mut self, even_empty: bool, out: &mut Effects<Reply>) -> Ended {
        let batch = std::mem::take(&mut self.open);
        if !batch.needs_frame() && !even_empty {
            let lsn = self.views.newest().lsn;
            batch.joined.iter().for_each(|joined| joined.answer(lsn, out));
            return Ended::Unwritten;
        }
        let mut machine = Commit::new(batch.votes());
        let mut flight = Flight::new(batch, &self.views.newest());
        let (mut todo, mut outputs) = (VecDeque::new(), Vec::new());
        machine.step(Input::Start, &mut outputs);
        todo.extend(outputs.drain(..));
        while let Some(output) = todo.pop_front() {
            if let Some(heard) = self.perform(output, &mut flight, out) {
                machine.step(heard, &mut outputs);
                todo.extend(outputs.drain(..));
            }
        }
        flight.ended
    }

    /// Does one thing, and says what came of it where the machine waits for that.
    fn perform(
        &mut self,
        output: Output<TransactionId>,
        flight: &mut Flight,
        out: &mut Effects<Reply>,
    ) -> Option<Input> {
        match output {
            Output::VoteL1 => return Some(self.vote_l1(flight)),
            Output::Decide(votes) => return Some(self.decide(&votes, flight)),
            Output::Finish(who) => return Some(self.finish(who, flight)),
            Output::Owe(who) => self.owe(who, Verdict::Committed, out),
            Output::Publish => self.publish(flight, out),
            Output::Answer => {
                flight.ended = Ended::Durable;
                flight.batch.joined.iter().for_each(|joined| joined.answer(flight.lsn(), out));
            }
            Output::Abort(who) => self.abort(who, flight, out),
            Output::Refuse(_) => {
                flight.ended = Ended::Off;
                let answer = Reply::Unavailable(flight.unavailable.clone());
                flight.batch.joined.iter().for_each(|joined| joined.tell(&answer, out));
            }
            Output::Halt(why) => {
                flight.ended = Ended::Doubtful;
                self.halted = true;
                out.halt(why);
            }
        }
        None
    }

    fn vote_l1(&mut self, flight: &mut Flight) -> Input {
        match self.write_vote(flight) {
            Ok(digest) => Input::Voted(digest),
            Err(error) => Input::VoteFailed(flight.failed(&error)),
        }
    }

    fn write_vote(&self, flight: &Flight) -> Result<Digest, StoreError> {
        self.disk.point("commit.begin")?;
        self.disk.point("commit.vote.begun")?;
        let before = Lsn(flight.lsn().0 - 1);
        let digest = self.l1.vote(before, &flight.next, flight.batch.changes())?;
        self.disk.point("commit.vote.l1_written")?;
        Ok(Digest(u128::from_le_bytes(digest.0)))
    }

    /// Writes the frame, in four steps. In the first two nothing of it is on the disk, and a failure is an abort. From
    /// the write on, only the disk knows.
    fn decide(&mut self, votes: &[(Participant<TransactionId>, Digest)], flight: &mut Flight) -> Input {
        let managers = &self.managers;
        flight.add_votes(votes, |who| {
            let name = match who {
                Participant::L1 => L1,
                Participant::Manager { manager, .. } => managers.name(*manager),
            };
            store::Participant::new(name).expect("names were checked at boot")
        });
        let reserved = (|| {
            self.disk.point("commit.decide.begun")?;
            let encoded = self.log.encode(&flight.frame)?;
            self.log.reserve(&encoded, &mut self.manifest)?;
            self.disk.point("commit.decide.reserved")?;
            Ok(encoded)
        })();
        let encoded = match reserved {
            Ok(encoded) => encoded,
            Err(error) => return Input::NotWritten(flight.failed(&error)),
        };
        let durable = (|| {
            let lsn = self.log.write(&encoded)?;
            assert_eq!(lsn, flight.lsn(), "the log counts frames as the views do");
            self.disk.point("commit.decide.frame_written")?;
            self.log.sync()
        })();
        match durable {
            Ok(()) => Input::Durable,
            Err(error) => Input::Doubtful(flight.failed(&error)),
        }
    }

    fn finish(&mut self, who: Participant<TransactionId>, flight: &Flight) -> Input {
        let finished = match who {
            Participant::L1 => self.finish_l1(flight).is_ok(),
            Participant::Manager { manager, tx } => self.managers.get(manager).finish(tx).is_ok(),
        };
        if finished { Input::Finished } else { Input::FinishFailed }
    }

    fn finish_l1(&mut self, flight: &Flight) -> DiskResult<()> {
        self.disk.point("commit.decide.log_synced")?;
        let vote = flight.frame.votes.iter().find(|vote| vote.participant.as_str() == L1);
        let digest = vote.expect("the index votes on every batch").digest;
        self.l1.finish(flight.lsn(), flight.batch.changes().len(), digest)?;
        self.pass("commit.finish.l1_renamed");
        Ok(())
    }

    fn publish(&mut self, flight: &Flight, out: &mut Effects<Reply>) {
        let before = self.views.newest();
        self.saw_changes(&before, flight.batch.changes().keys().copied());
        drop(before);
        self.views.publish(flight.next.clone());
        let loaded = flight.batch.loaded();
        let records = loaded.into_iter().flat_map(|loaded| &loaded.records).filter_map(|(_, entry)| entry.record());
        flight.frame.puts().for_each(|record| self.fallback.put(record));
        self.consolidation.saw(
            flight.frame.puts().chain(records),
            flight.next.changed == flight.lsn(),
            self.clock.now(),
        );
        if let (Some(shown), Some(loaded)) = (&mut self.shown, loaded) {
            shown.add_flushed(&loaded.records);
        }
        for (place, transaction) in flight.frame.transactions.iter().enumerate() {
            let answer = flight.batch.closed_answer(transaction.id);
            if let Some(decided) = Decided::of(flight.lsn(), place as u32, transaction) {
                let versions = loaded.map_or(decided.versions, |loaded| loaded.versions.clone());
                self.decided.add(Decided { versions, ..decided }, answer);
            }
        }
        let n = flight.frame.transactions.len() as u64;
        out.note("commit.batch", &[("lsn", flight.lsn().0), ("n", n)]);
        self.pass("commit.finish.published");
    }

    /// Passes a point behind which nothing can fail, so that an error there has nothing to befall.
    fn pass(&self, point: &'static str) {
        let _ = self.disk.point(point);
    }

    fn abort(&mut self, who: Participant<TransactionId>, flight: &Flight, out: &mut Effects<Reply>) {
        match who {
            Participant::L1 => self.l1.abort(flight.lsn()),
            Participant::Manager { manager, tx } => self.call_off(manager, tx, out),
        }
    }

    /// Notes that a participant did not take its verdict, and when to tell it again.
    pub(super) fn owe(&mut self, who: Participant<TransactionId>, verdict: Verdict, out: &mut Effects<Reply>) {
        if who == Participant::L1 {
            out.note("l1.stale", &[("upto", self.l1.upto.0)]);
        }
        let mut told = Vec::new();
        self.owed.step(redrive::Input::Owe(who, verdict), &mut told);
        assert!(told.is_empty(), "owing asks for nothing");
        self.again_later();
    }
}
