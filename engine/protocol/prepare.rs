//! The first half of a commit for a transaction that names foreign managers: gather their votes, outside any batch.
//!
//! Managers are asked one after another and in order: every one is begun before any votes, and the first "no" stops
//! the asking. A manager may say "pending"; it is asked again at [`Input::Again`], until the deadline, which counts
//! as a "no" of the first that is still pending.
//!
//! What holds: every manager that was begun hears an abort if the transaction is refused, and nothing is refused once
//! [`Output::Join`] is out: from there the batch decides ([`commit`](super::commit)). A refusal here is an abort for
//! sure, since nothing of the transaction can have reached the log.
//!
//! Decided elsewhere: when the deadline is, when to ask again, and what the transaction's records are.

use super::{Digest, ManagerId};

/// Where the votes of one transaction stand.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Prepare {
    managers: Vec<ManagerId>,
    /// One for each manager, `None` while it has not said yes.
    votes: Vec<Option<Digest>>,
    state: State,
}

/// The states. `at` is an index of the manager that was asked last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    New,
    Beginning { at: usize },
    Voting { at: usize },
    Waiting,
    Prepared,
    Refused,
}

/// What happens to it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Input {
    /// Ask the managers.
    Start,
    /// The manager asked to begin has begun.
    Begun,
    /// The manager asked to vote promises to finish.
    Yes(Digest),
    /// The manager asked to begin or to vote will not, for this reason.
    No(Box<str>),
    /// The manager asked to vote cannot say yet.
    Pending,
    /// Ask those that are pending again.
    Again,
    /// The votes were due by now.
    TimeUp,
}

/// What is to be done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output {
    /// Tell a manager that the transaction begins. Answer: [`Input::Begun`] or [`Input::No`].
    Begin(ManagerId),
    /// Ask for a manager's vote. Answer: [`Input::Yes`], [`Input::No`] or [`Input::Pending`].
    Vote(ManagerId),
    /// Tell a manager that the transaction is off. If that fails, the manager is told again later.
    Abort(ManagerId),
    /// All votes are in: join the next batch.
    Join,
    /// Refuse the transaction.
    Refuse(Refusal),
}

/// Why a transaction was refused before it came to a batch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// A manager voted no.
    Voted {
        /// Which.
        manager: ManagerId,
        /// Its reason.
        why: Box<str>,
    },
    /// A manager had not voted in time.
    TimedOut {
        /// Which: the first.
        manager: ManagerId,
    },
}

impl Prepare {
    /// Before anyone was asked.
    pub fn new(managers: Vec<ManagerId>) -> Self {
        let votes = vec![None; managers.len()];
        Prepare { managers, votes, state: State::New }
    }

    /// The votes, once all are in.
    pub fn votes(&self) -> Option<Vec<(ManagerId, Digest)>> {
        let all = self.managers.iter().zip(&self.votes).map(|(&manager, vote)| vote.map(|digest| (manager, digest)));
        (self.state == State::Prepared).then(|| all.collect::<Option<_>>()).flatten()
    }

    /// One step.
    pub fn step(&mut self, input: Input, out: &mut Vec<Output>) {
        use {Input as I, State as S};
        match (self.state, input) {
            (S::New, I::Start) => self.begin(0, out),
            (S::Beginning { at }, I::Begun) => self.begin(at + 1, out),
            (S::Beginning { at }, I::No(why)) => self.refuse(self.voted_no(at, why), at + 1, out),
            (S::Voting { at }, I::Yes(digest)) => {
                self.votes[at] = Some(digest);
                self.vote(at, out);
            }
            (S::Voting { at }, I::Pending) => self.vote(at + 1, out),
            (S::Voting { at }, I::No(why)) => self.refuse(self.voted_no(at, why), self.managers.len(), out),
            (S::Waiting, I::Again) => self.vote(0, out),
            (S::Waiting, I::TimeUp) => self.refuse(self.timed_out(), self.managers.len(), out),

            // Boundaries and deadlines are the caller's and come whenever they come. Nobody is waiting for votes
            // before the first round ended, and none is missing, or matters, once the outcome is known.
            (S::New | S::Prepared | S::Refused, I::Again | I::TimeUp) => {}

            // Outputs are performed one at a time, each answered before the next: an answer that nobody asked for, a
            // second start, or time passing in the middle of an answer is a mistake of the caller.
            (S::New, I::Begun | I::Yes(_) | I::No(_) | I::Pending)
            | (S::Beginning { .. }, I::Start | I::Yes(_) | I::Pending | I::Again | I::TimeUp)
            | (S::Voting { .. }, I::Start | I::Begun | I::Again | I::TimeUp)
            | (S::Waiting | S::Prepared | S::Refused, I::Start | I::Begun | I::Yes(_) | I::No(_) | I::Pending) => {
                panic!("an answer out of turn in {:?}", self.state)
            }
        }
    }

    /// Begins the manager at `at`, or has the first vote when all are begun.
    fn begin(&mut self, at: usize, out: &mut Vec<Output>) {
        let Some(&manager) = self.managers.get(at) else { return self.vote(0, out) };
        self.state = State::Beginning { at };
        out.push(Output::Begin(manager));
    }

    /// Asks the next manager from `from` on that has not said yes. After the last, the round is over.
    fn vote(&mut self, from: usize, out: &mut Vec<Output>) {
        if let Some(at) = (from..self.managers.len()).find(|&at| self.votes[at].is_none()) {
            self.state = State::Voting { at };
            out.push(Output::Vote(self.managers[at]));
        } else if self.votes.iter().all(Option::is_some) {
            self.state = State::Prepared;
            out.push(Output::Join);
        } else {
            self.state = State::Waiting;
        }
    }

    /// Aborts the first `begun` managers: all that may hold something of the transaction, the refusing one included.
    fn refuse(&mut self, refusal: Refusal, begun: usize, out: &mut Vec<Output>) {
        self.state = State::Refused;
        out.extend(self.managers[..begun].iter().map(|&manager| Output::Abort(manager)));
        out.push(Output::Refuse(refusal));
    }

    fn voted_no(&self, at: usize, why: Box<str>) -> Refusal {
        Refusal::Voted { manager: self.managers[at], why }
    }

    fn timed_out(&self) -> Refusal {
        let first = self.votes.iter().position(Option::is_none).expect("whoever waits, waits for someone");
        Refusal::TimedOut { manager: self.managers[first] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ManagerId = ManagerId(0);
    const B: ManagerId = ManagerId(1);

    /// Feeds the inputs and renders what came of each.
    fn transcript(machine: &mut Prepare, inputs: Vec<Input>) -> String {
        let mut lines = Vec::new();
        for input in inputs {
            let mut out = Vec::new();
            let said = format!("{input:?}");
            machine.step(input, &mut out);
            lines.push(format!("{said} -> {out:?}"));
        }
        lines.join("\n")
    }

    fn no() -> Input {
        Input::No("full".into())
    }

    #[test]
    fn joins_only_when_every_manager_has_said_yes() {
        let mut machine = Prepare::new(vec![A, B]);
        let story = transcript(
            &mut machine,
            vec![Input::Start, Input::Begun, Input::Begun, Input::Yes(Digest(7)), Input::Yes(Digest(8))],
        );
        assert_eq!(
            story,
            "Start -> [Begin(ManagerId(0))]\n\
             Begun -> [Begin(ManagerId(1))]\n\
             Begun -> [Vote(ManagerId(0))]\n\
             Yes(Digest(7)) -> [Vote(ManagerId(1))]\n\
             Yes(Digest(8)) -> [Join]"
        );
        assert_eq!(machine.votes(), Some(vec![(A, Digest(7)), (B, Digest(8))]));
    }

    #[test]
    fn asks_only_the_pending_ones_again() {
        let mut machine = Prepare::new(vec![A, B]);
        let story = transcript(
            &mut machine,
            vec![
                Input::Start,
                Input::Begun,
                Input::Begun,
                Input::Pending,
                Input::Yes(Digest(8)),
                Input::Again,
                Input::Pending,
                Input::Again,
                Input::Yes(Digest(7)),
            ],
        );
        assert!(
            story.ends_with(
                "Pending -> [Vote(ManagerId(1))]\n\
                 Yes(Digest(8)) -> []\n\
                 Again -> [Vote(ManagerId(0))]\n\
                 Pending -> []\n\
                 Again -> [Vote(ManagerId(0))]\n\
                 Yes(Digest(7)) -> [Join]"
            ),
            "{story}"
        );
    }

    #[test]
    fn a_no_aborts_all_that_were_begun_and_refuses() {
        let mut machine = Prepare::new(vec![A, B]);
        let story = transcript(&mut machine, vec![Input::Start, Input::Begun, Input::Begun, no()]);
        assert!(
            story.ends_with(
                "No(\"full\") -> [Abort(ManagerId(0)), Abort(ManagerId(1)), \
                 Refuse(Voted { manager: ManagerId(0), why: \"full\" })]"
            ),
            "{story}"
        );
        assert_eq!(machine.votes(), None);
    }

    #[test]
    fn a_manager_that_cannot_begin_is_aborted_and_later_ones_are_left_alone() {
        let mut machine = Prepare::new(vec![A, B]);
        let story = transcript(&mut machine, vec![Input::Start, no()]);
        assert!(
            story.ends_with("-> [Abort(ManagerId(0)), Refuse(Voted { manager: ManagerId(0), why: \"full\" })]"),
            "{story}"
        );
    }

    #[test]
    fn the_deadline_refuses_in_the_name_of_the_first_that_hangs() {
        let mut machine = Prepare::new(vec![A, B]);
        let story = transcript(
            &mut machine,
            vec![
                Input::Start,
                Input::Begun,
                Input::Begun,
                Input::Yes(Digest(7)),
                Input::Pending,
                Input::TimeUp,
                Input::TimeUp,
                Input::Again,
            ],
        );
        assert!(
            story.ends_with(
                "Pending -> []\n\
                 TimeUp -> [Abort(ManagerId(0)), Abort(ManagerId(1)), Refuse(TimedOut { manager: ManagerId(1) })]\n\
                 TimeUp -> []\n\
                 Again -> []"
            ),
            "{story}"
        );
    }

    #[test]
    fn a_deadline_after_the_last_yes_changes_nothing() {
        let mut machine = Prepare::new(vec![A]);
        let story = transcript(&mut machine, vec![Input::Start, Input::Begun, Input::Yes(Digest(7)), Input::TimeUp]);
        assert!(story.ends_with("Yes(Digest(7)) -> [Join]\nTimeUp -> []"), "{story}");
    }

    #[test]
    #[should_panic(expected = "an answer out of turn")]
    fn a_vote_that_nobody_asked_for_is_a_bug() {
        transcript(&mut Prepare::new(vec![A]), vec![Input::Start, Input::Yes(Digest(7))]);
    }
}
