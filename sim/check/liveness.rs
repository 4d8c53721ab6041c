//! Safety, then liveness: once the faults have stopped, every request completes in bounded time.
//!
//! A request is judged if its client waited at the heal or asked after it. Its deadline is `bound_ticks` after the
//! later of the two. To give up is not to complete. A run that ends before a deadline has not judged that request:
//! it is counted apart, so that a run cut short is not taken for a live system.

use std::fmt::{self, Debug};

use super::history::{History, OpId, Operation, Outcome};

/// When the faults stopped, and what is then demanded.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    /// When the last fault ended, in ticks.
    pub healed_at: u64,
    /// How long a request may then take.
    pub bound_ticks: u64,
    /// When the run, and so the evidence, ended.
    pub run_ended_at: u64,
}

/// What became of the requests after the heal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Liveness {
    /// Requests that completed in time or did not: those that could be judged.
    pub judged: u64,
    /// Requests that were not completed in time.
    pub overdue: Vec<Overdue>,
    /// Requests still open when the run ended, before their deadline.
    pub undecided: Vec<OpId>,
}

/// One request that outlived its deadline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overdue {
    /// The request.
    pub id: OpId,
    /// Whose it was.
    pub client: u32,
    /// What was asked, in words.
    pub op: String,
    /// When it was asked, in ticks.
    pub invoked_at: u64,
    /// When it had to be complete, in ticks.
    pub due_at: u64,
    /// What happened instead.
    pub fate: Fate,
}

/// What a request did instead of completing in time. In ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It completed, too late.
    Late(u64),
    /// Its client gave up.
    GivenUp(u64),
    /// It was still open at the end of the run.
    StillOpen(u64),
}

impl fmt::Display for Overdue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, client, op, invoked_at, due_at, fate } = self;
        write!(f, "op{} of client {client}, {op}, asked at tick {invoked_at}, due at {due_at}: ", id.0)?;
        match fate {
            Fate::Late(at) => write!(f, "completed late, at {at}"),
            Fate::GivenUp(at) => write!(f, "its client gave up at {at}"),
            Fate::StillOpen(at) => write!(f, "still open when the run ended at {at}"),
        }
    }
}

/// Judges every request that was open at the heal or asked after it.
pub fn check<Op: Debug, Reply>(history: &History<Op, Reply>, deadline: Deadline) -> Liveness {
    let mut liveness = Liveness::default();
    for operation in history.operations() {
        if operation.ended().is_some_and(|ended| ended.at < deadline.healed_at) {
            continue;
        }
        match judge(operation, deadline) {
            Judgement::InTime => liveness.judged += 1,
            Judgement::Undecided => liveness.undecided.push(operation.id),
            Judgement::Overdue(fate) => {
                liveness.judged += 1;
                liveness.overdue.push(overdue(operation, deadline, fate));
            }
        }
    }
    liveness
}

enum Judgement {
    InTime,
    Undecided,
    Overdue(Fate),
}

fn due_at<Op, Reply>(operation: &Operation<Op, Reply>, deadline: Deadline) -> u64 {
    operation.invoked.at.max(deadline.healed_at).saturating_add(deadline.bound_ticks)
}

fn judge<Op, Reply>(operation: &Operation<Op, Reply>, deadline: Deadline) -> Judgement {
    let due_at = due_at(operation, deadline);
    match &operation.outcome {
        // A refusal completes a request: the client knows where it stands.
        Outcome::Ok { at, .. } | Outcome::Fail { at } if at.at <= due_at => Judgement::InTime,
        Outcome::Ok { at, .. } | Outcome::Fail { at } => Judgement::Overdue(Fate::Late(at.at)),
        Outcome::Unknown { at } => Judgement::Overdue(Fate::GivenUp(at.at)),
        Outcome::Open if deadline.run_ended_at > due_at => Judgement::Overdue(Fate::StillOpen(deadline.run_ended_at)),
        Outcome::Open => Judgement::Undecided,
    }
}

fn overdue<Op: Debug, Reply>(operation: &Operation<Op, Reply>, deadline: Deadline, fate: Fate) -> Overdue {
    Overdue {
        id: operation.id,
        client: operation.client,
        op: format!("{:?}", operation.op),
        invoked_at: operation.invoked.at,
        due_at: due_at(operation, deadline),
        fate,
    }
}

#[cfg(test)]
mod tests {
    use super::super::history::Moment;
    use super::*;

    const DEADLINE: Deadline = Deadline { healed_at: 100, bound_ticks: 50, run_ended_at: 1_000 };

    fn at(at: u64) -> Moment {
        Moment { at, seq: at }
    }

    /// A history of one request, invoked at `invoked` and then left to `end`.
    fn one(invoked: u64, end: impl FnOnce(&mut History<&'static str, ()>, OpId)) -> History<&'static str, ()> {
        let mut history = History::new();
        let id = history.invoke(0, at(invoked), "ask");
        end(&mut history, id);
        history
    }

    #[test]
    fn what_ended_before_the_heal_is_not_judged() {
        let lost = one(10, |history, id| history.unknown(id, at(99)));
        assert_eq!(check(&lost, DEADLINE), Liveness::default());
    }

    #[test]
    fn a_request_open_at_the_heal_has_the_bound_from_the_heal() {
        let in_time = one(10, |history, id| history.ok(id, at(150), ()));
        assert_eq!(check(&in_time, DEADLINE), Liveness { judged: 1, ..Liveness::default() });
        let late = one(10, |history, id| history.ok(id, at(151), ()));
        assert_eq!(check(&late, DEADLINE).overdue[0].fate, Fate::Late(151));
    }

    #[test]
    fn a_request_asked_after_the_heal_has_the_bound_from_its_call() {
        let in_time = one(400, |history, id| history.fail(id, at(450)));
        assert!(check(&in_time, DEADLINE).overdue.is_empty());
        let late = one(400, |history, id| history.fail(id, at(451)));
        assert_eq!(check(&late, DEADLINE).overdue[0].due_at, 450);
    }

    #[test]
    fn to_give_up_after_the_heal_is_not_to_complete() {
        let lost = one(120, |history, id| history.unknown(id, at(130)));
        let verdict = check(&lost, DEADLINE);
        assert_eq!(
            verdict.overdue[0].to_string(),
            "op0 of client 0, \"ask\", asked at tick 120, due at 170: its client gave up at 130"
        );
    }

    #[test]
    fn a_request_that_never_ended_is_overdue_once_its_deadline_passed() {
        let open = one(200, |_, _| ());
        assert_eq!(check(&open, DEADLINE).overdue[0].fate, Fate::StillOpen(1_000));
    }

    #[test]
    fn a_run_cut_short_leaves_the_request_undecided() {
        let open = one(980, |_, _| ());
        assert_eq!(check(&open, DEADLINE), Liveness { undecided: vec![OpId(0)], ..Liveness::default() });
    }
}
