//! What the clients of one directory did and saw over all its lives, and what must therefore be true of it.
//!
//! The claims, and the functions that check them, are those of the simulated lane. What is different here is what they
//! are told: the clock is real, a process that dies takes its last words with it, and an attempt that nobody answered
//! stays open until it is made again, under the same retry id, or given up.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
    time::Instant,
};

use stormproof_engine::memory::{Facts, Lsn, Op, Reply, audit};
use stormproof_sim::{
    check::{
        history::{History, Moment, OpId, Outcome},
        invariant::Claim,
    },
    world::stage::Class,
};

use super::wire::Answer;
use crate::{
    invariants::{
        archive,
        claims::{D1, D2, D3, D4, D5, D6, D7, Q1, Q2, Q3, Q4, S1, S2, T1},
        contents::{self, Asked, Proposed},
        reads::{self, Wrong},
        recovery::{self, Acknowledged, Known},
        transactions,
    },
    workloads,
};

/// Here nothing is consolidated.
static NONE_PROPOSED: Proposed = Proposed::new();

/// The history, and the clock that it is written by.
#[derive(Debug)]
pub(super) struct Trace {
    pub(super) history: History<Op, Reply>,
    /// Commits that were acknowledged.
    pub(super) acknowledged: u64,
    began: Instant,
    last: Moment,
}

/// A commit without an answer.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) id: OpId,
    pub(super) op: Op,
    /// Attempts made.
    pub(super) attempts: u32,
}

/// A claim that does not hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Broken {
    pub(super) claim: Claim,
    pub(super) kind: &'static str,
    pub(super) witness: String,
}

/// How often each claim was checked, by id.
pub(super) type Checked = BTreeMap<&'static str, u64>;

/// What a directory must live up to.
pub(super) struct Trial {
    pub(super) checked: Checked,
    known: Known,
    /// What recovery made of it last, if nothing was asked of it since.
    recovered: Option<Facts>,
}

/// Where the last process died.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Died {
    /// At no particular place.
    Somewhere,
    /// Before the decision on the frame after this one.
    Undecided { point: String, published: Lsn },
    /// After the frame after this one was durable.
    Decided { point: String, published: Lsn },
}

impl Trace {
    pub(super) fn new() -> Self {
        Trace { history: History::new(), acknowledged: 0, began: Instant::now(), last: Moment { at: 0, seq: 0 } }
    }

    /// No two moments are equal, and none is earlier than the one before it.
    fn moment(&mut self) -> Moment {
        let at = self.began.elapsed().as_nanos() as u64;
        self.last = Moment { at: at.max(self.last.at), seq: self.last.seq + 1 };
        self.last
    }

    /// A client is about to make the first attempt at an operation.
    pub(super) fn invoke(&mut self, client: u32, op: Op) -> OpId {
        let at = self.moment();
        self.history.invoke(client, at, op)
    }

    /// Writes down what a client was answered to an attempt at an operation, of which it had made others `before`. If
    /// there was no answer, a commit stays open.
    pub(super) fn hear(&mut self, id: OpId, op: &Op, before: u32, answer: Option<Answer>) -> Heard {
        let at = self.moment();
        match (answer, op) {
            (Some(Answer::Reply(reply)), _) => {
                self.acknowledged += u64::from(matches!(reply, Reply::Committed { .. }));
                match workloads::class(&reply) {
                    Class::Done => self.history.ok(id, at, reply.clone()),
                    Class::NoEffect => self.history.fail(id, at),
                    Class::TryAgain | Class::Pending => self.history.unknown(id, at),
                }
                Heard::Reply(reply)
            }
            // Never taken: that says something of this attempt alone.
            (Some(Answer::Closed), _) if before == 0 => {
                self.history.fail(id, at);
                Heard::Gone
            }
            (Some(Answer::Closed | Answer::Unknown) | None, Op::Commit(_)) => Heard::Open,
            (Some(Answer::Closed | Answer::Unknown) | None, _) => {
                self.history.unknown(id, at);
                Heard::Gone
            }
        }
    }

    /// A client gives up.
    pub(super) fn give_up(&mut self, id: OpId) {
        let at = self.moment();
        self.history.unknown(id, at);
    }
}

/// What a client is left with.
pub(super) enum Heard {
    Reply(Reply),
    /// The process is gone, and with it a query; or the operation was never taken.
    Gone,
    /// The process is gone, and the commit may have been made or not.
    Open,
}

impl Trial {
    pub(super) fn new() -> Self {
        Trial { checked: Checked::new(), known: Known::default(), recovered: None }
    }

    /// The last frame that is known of.
    pub(super) fn lsn(&self) -> Lsn {
        self.known.lsn
    }

    /// From now on, its state may change.
    pub(super) fn goes_on(&mut self) {
        self.recovered = None;
    }

    /// The node has just been opened and nothing was asked of it. `files` are temporary ones that it has left.
    pub(super) fn opened(
        &mut self,
        facts: &Facts,
        files: &[String],
        died: &Died,
        history: &History<Op, Reply>,
    ) -> Result<(), Broken> {
        let asked = Asked::of(history, &NONE_PROPOSED, facts);
        self.check(
            &D1,
            "an acknowledged commit is lost",
            recovery::keeps_the_acknowledged(facts, &acknowledged(history)),
        )?;
        self.check(&D5, "what was recovered is no prefix", recovery::is_a_prefix(facts, &self.known))?;
        self.check(&D5, "decisions are out of order", audit::decisions_are_ordered(facts))?;
        match died {
            Died::Somewhere => {}
            Died::Undecided { point, published } => {
                let before = Known { lsn: *published, decisions: Vec::new() };
                let nothing = recovery::adds_nothing(facts, &before, &BTreeSet::new(), point);
                self.check(&D2, "killed during the vote, and committed", nothing)?;
            }
            Died::Decided { point, published } => {
                self.check(&D5, "a durable batch is lost", has_more(facts, *published, point))?;
            }
        }
        self.check(&D2, "a record is not what was asked for", contents::are_whole(facts, &asked))?;
        self.check(&D2, "a manager disagrees", audit::managers_agree(facts))?;
        self.check(&D3, "the index is not the records", audit::index_agrees(facts))?;
        // Every no that was heard is a failed operation in the history of this lane.
        let told = contents::refused_left_nothing(facts, history, &BTreeSet::new());
        self.check(&D4, "a refused transaction is committed", told)?;
        self.check(&D4, "a temporary file is left", recovery::has_swept(files, facts))?;
        let served = if facts.archive.generation == facts.archive.named { Ok(()) } else { Err("not the one in force") };
        self.check(&S1, "the generation served is not the one in force", served)?;
        let complete = archive::is_complete(facts, reads::live_at(facts, &asked));
        self.check(&S2, "a generation is incomplete", complete)?;
        if let Some(mut before) = self.recovered.take() {
            // What takes back the mark of a rebuild is a frame of its own, and changes nothing else.
            if before.archive.marked && facts.lsn == before.lsn.next() {
                before.lsn = facts.lsn;
            }
            self.check(&D7, "recovered again, it differs", recovery::is_the_same(&before, facts))?;
        }
        self.recovered = Some(facts.clone());
        self.known = Known::of(facts);
        Ok(())
    }

    /// A copy to which something was `done` was refused, in these words.
    pub(super) fn refused(&mut self, words: &str, done: &str) -> Result<(), Broken> {
        let named = if words.contains('`') { Ok(()) } else { Err(format!("{done}: {words}")) };
        self.check(&D6, "a refusal does not say what is damaged", named)
    }

    /// A copy to which something was `done` was opened nevertheless.
    pub(super) fn opened_damaged(
        &mut self,
        facts: &Facts,
        done: &str,
        history: &History<Op, Reply>,
    ) -> Result<(), Broken> {
        let asked = Asked::of(history, &NONE_PROPOSED, facts);
        let whole = recovery::keeps_the_acknowledged(facts, &acknowledged(history))
            .and_then(|()| contents::are_whole(facts, &asked))
            .and_then(|()| audit::index_agrees(facts).map_err(String::from));
        self.check(&D6, "damage was not found", whole.map_err(|words| format!("{done}: {words}")))
    }

    /// No life is left to come: every answer of all lives, against the order of commits that the node remembers.
    pub(super) fn ended(&mut self, facts: &Facts, history: &History<Op, Reply>) -> Result<(), Broken> {
        let asked = Asked::of(history, &NONE_PROPOSED, facts);
        let (reads::Answers { all: answers, .. }, verdict) = reads::check(history, facts, &asked);
        for claim in [Q1, Q3, Q4] {
            *self.checked.entry(claim.id).or_default() += answers;
        }
        let (claim, kind, result) = match verdict {
            Ok(()) => (Q1, "", Ok(())),
            Err(Wrong::Unfounded(words)) => (D5, "an answer shows what was never durable", Err(words)),
            Err(Wrong::Missed(words)) => (Q2, "what the archive does not have is not found", Err(words)),
            Err(Wrong::Inexact(words)) => (Q1, "an answer is not exact", Err(words)),
            Err(Wrong::Outdated(words)) => (Q3, "an answer is outdated", Err(words)),
            Err(Wrong::Late(words)) => (Q4, "an acknowledged commit is not seen", Err(words)),
            Err(Wrong::Damaged(words)) => (D6, "an answer shows what nobody wrote", Err(words)),
        };
        result.map_err(|witness| Broken { claim, kind, witness })?;
        let cycles = transactions::serializable(history, &asked);
        self.check(&T1, "no serial order", cycles.first().map_or(Ok(()), |cycle| Err(format!("{cycle:?}"))))
    }

    /// Counts a check of a claim, and says so if it does not hold.
    pub(super) fn check<W: Display>(
        &mut self,
        claim: &Claim,
        kind: &'static str,
        result: Result<(), W>,
    ) -> Result<(), Broken> {
        *self.checked.entry(claim.id).or_default() += 1;
        result.map_err(|witness| Broken { claim: *claim, kind, witness: witness.to_string() })
    }
}

fn acknowledged(history: &History<Op, Reply>) -> Vec<Acknowledged> {
    let told = history.operations().iter().filter_map(|operation| match (&operation.op, &operation.outcome) {
        (Op::Commit(transaction), Outcome::Ok { reply: Reply::Committed { lsn, versions }, .. }) => {
            Some(Acknowledged { retry: transaction.retry, lsn: *lsn, versions: versions.clone() })
        }
        _ => None,
    });
    told.collect()
}

/// A process that is killed loses nothing of what it gave to the kernel, so a frame that was synced is there.
fn has_more(facts: &Facts, published: Lsn, point: &str) -> Result<(), String> {
    if facts.lsn > published {
        return Ok(());
    }
    Err(format!(
        "the node died after `{point}`, when frame {} was durable; the log ends at {}",
        published.next(),
        facts.lsn
    ))
}

#[cfg(test)]
mod tests {
    use stormproof_engine::{
        driver,
        memory::{Config, Draft, Engine, RecordId, RetryId, Transaction},
    };

    use super::*;

    fn commit(n: u64) -> Op {
        let draft = Draft { text: format!("n{n}"), ..Draft::new(RecordId(n), vec![n as f32, 1.0]) };
        Op::Commit(Transaction { inserts: vec![draft], ..Transaction::new(RetryId(n.into())) })
    }

    /// What a node knows after some commits, and what their client saw.
    fn committed(numbers: impl Iterator<Item = u64>) -> (Facts, Trace) {
        let dir = tempfile::tempdir().expect("a directory");
        let config = Config { dim: 2, inspectable: true, ..Config::default() };
        let node = driver::open(&Engine, &config, dir.path(), driver::Options::default()).expect("a new node");
        let (client, mut trace) = (node.client(), Trace::new());
        for n in numbers {
            let id = trace.invoke(0, commit(n));
            let reply = client.call(commit(n)).expect("it runs");
            trace.hear(id, &commit(n), 0, Some(Answer::Reply(reply)));
        }
        let facts = client.inspect(()).expect("it runs").expect("it answers");
        (facts, trace)
    }

    fn broken(died: &Died, facts: &Facts, trace: &Trace) -> &'static str {
        let broken = Trial::new().opened(facts, &[], died, &trace.history).expect_err("a lie");
        broken.claim.id
    }

    #[test]
    fn what_the_clients_saw_is_what_the_node_knows() {
        let (facts, trace) = committed(1..=3);
        let mut trial = Trial::new();
        trial.opened(&facts, &[], &Died::Somewhere, &trace.history).expect("it holds");
        trial.opened(&facts, &[], &Died::Somewhere, &trace.history).expect("it holds again");
        trial.ended(&facts, &trace.history).expect("it held all the time");
    }

    #[test]
    fn an_acknowledged_commit_that_is_gone_is_found_out() {
        let (facts, _) = committed(1..=2);
        let (_, trace) = committed(1..=3);
        assert_eq!(broken(&Died::Somewhere, &facts, &trace), "D1");
    }

    #[test]
    fn a_record_that_nobody_wrote_is_found_out() {
        let (facts, _) = committed(1..=3);
        let (_, trace) = committed(1..=2);
        assert_eq!(broken(&Died::Somewhere, &facts, &trace), "D2");
    }

    #[test]
    fn a_batch_that_was_not_decided_must_not_be_there_and_a_durable_one_must() {
        let (facts, trace) = committed(1..=3);
        let point = || "a point".to_owned();
        let undecided = |published| Died::Undecided { point: point(), published: Lsn(published) };
        let decided = |published| Died::Decided { point: point(), published: Lsn(published) };
        assert_eq!(broken(&undecided(2), &facts, &trace), "D2");
        assert_eq!(broken(&decided(3), &facts, &trace), "D5");
        for died in [undecided(3), decided(2)] {
            Trial::new().opened(&facts, &[], &died, &trace.history).expect("as it should be");
        }
    }

    #[test]
    fn a_temporary_file_that_is_left_is_found_out() {
        let (facts, trace) = committed(1..=1);
        let left = ["l1/delta.2.tmp".to_owned()];
        let broken = Trial::new().opened(&facts, &left, &Died::Somewhere, &trace.history).expect_err("left");
        assert_eq!(broken.claim.id, "D4");
    }

    #[test]
    fn a_recovery_that_gives_something_else_the_second_time_is_found_out() {
        let (facts, trace) = committed(1..=2);
        let mut trial = Trial::new();
        trial.opened(&facts, &[], &Died::Somewhere, &trace.history).expect("it holds");
        let more = Facts { changed: Lsn(1), ..facts };
        let broken = trial.opened(&more, &[], &Died::Somewhere, &trace.history).expect_err("it differs");
        assert_eq!(broken.claim.id, "D7");
    }

    #[test]
    fn a_commit_that_nobody_answered_stays_open_and_a_query_does_not() {
        let mut trace = Trace::new();
        let (op, query) = (commit(1), Op::Count);
        let id = trace.invoke(0, op.clone());
        assert!(matches!(trace.hear(id, &op, 0, None), Heard::Open));
        let asked = trace.invoke(1, query.clone());
        assert!(matches!(trace.hear(asked, &query, 0, Some(Answer::Unknown)), Heard::Gone));
        let outcomes: Vec<_> = trace.history.operations().iter().map(|operation| operation.outcome.clone()).collect();
        assert!(matches!(outcomes[..], [Outcome::Open, Outcome::Unknown { .. }]), "{outcomes:?}");
    }
    /// Seen in a run: a node halted with a commit in its hands, the next one halted before it took the commit up again,
    /// and the first attempt had committed.
    #[test]
    fn that_a_later_attempt_was_never_taken_says_nothing_of_the_first() {
        let mut trace = Trace::new();
        let op = commit(1);
        let id = trace.invoke(0, op.clone());
        assert!(matches!(trace.hear(id, &op, 0, Some(Answer::Unknown)), Heard::Open));
        assert!(matches!(trace.hear(id, &op, 1, Some(Answer::Closed)), Heard::Open));
        let first = trace.invoke(0, op.clone());
        assert!(matches!(trace.hear(first, &op, 0, Some(Answer::Closed)), Heard::Gone));
        let outcomes: Vec<_> = trace.history.operations().iter().map(|operation| &operation.outcome).collect();
        assert!(matches!(outcomes[..], [Outcome::Open, Outcome::Fail { .. }]), "{outcomes:?}");
    }
}
