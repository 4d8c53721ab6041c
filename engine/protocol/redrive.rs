//! Verdicts that are still owed: to a participant that failed when it was told, or that died in doubt.
//!
//! A participant that voted must hear how it ended, however often it takes; hearing it twice does no harm. After a
//! crash a participant names the transactions it is in doubt about, and the log has the word: what it decided is
//! finished, everything else is aborted ([`in_doubt`]). That is presumed abort: no record of an abort is ever needed,
//! since an absent decision is one.
//!
//! What holds: a verdict leaves the list only when its participant took it, and never changes.

use std::{collections::BTreeMap, ops::Bound};

use super::{ManagerId, Participant, Verdict};

/// The verdicts owed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Redrive<T> {
    owed: BTreeMap<Participant<T>, Verdict>,
    state: State<T>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum State<T> {
    Idle,
    Telling { who: Participant<T> },
}

/// What happens to it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Input<T> {
    /// A participant did not take its verdict.
    Owe(Participant<T>, Verdict),
    /// Tell everyone again.
    Again,
    /// The participant told took it.
    Told,
    /// The participant told failed.
    Failed,
}

/// What is to be done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output<T> {
    /// Tell a participant its verdict. Answer: [`Input::Told`] or [`Input::Failed`].
    Tell(Participant<T>, Verdict),
}

/// The verdicts of transactions that managers are in doubt about, by what the log decided.
pub fn in_doubt<T: Ord>(
    listed: impl IntoIterator<Item = (ManagerId, T)>,
    decided: impl Fn(ManagerId, &T) -> bool,
) -> Redrive<T> {
    let verdict = |by_the_log| if by_the_log { Verdict::Committed } else { Verdict::Aborted };
    let owed = listed.into_iter().map(|(manager, tx)| {
        let verdict = verdict(decided(manager, &tx));
        (Participant::Manager { manager, tx }, verdict)
    });
    Redrive { owed: owed.collect(), state: State::Idle }
}

impl<T: Clone + Ord> Redrive<T> {
    /// What is owed, and to whom.
    pub fn owed(&self) -> impl Iterator<Item = (&Participant<T>, Verdict)> {
        self.owed.iter().map(|(who, &verdict)| (who, verdict))
    }

    /// Whether nothing is.
    pub fn is_empty(&self) -> bool {
        self.owed.is_empty()
    }

    /// One step.
    pub fn step(&mut self, input: Input<T>, out: &mut Vec<Output<T>>) {
        use {Input as I, State as S};
        match (&self.state, input) {
            (S::Idle, I::Owe(who, verdict)) => {
                let former = self.owed.insert(who, verdict);
                assert!(former.is_none_or(|former| former == verdict), "a verdict changed");
            }
            (S::Idle, I::Again) => self.tell(Bound::Unbounded, out),
            (S::Telling { who }, I::Told) => {
                let who = who.clone();
                self.owed.remove(&who);
                self.tell(Bound::Excluded(who), out);
            }
            (S::Telling { who }, I::Failed) => {
                let who = who.clone();
                self.tell(Bound::Excluded(who), out);
            }

            // Outputs are performed one at a time, each answered before anything else is said.
            (S::Idle, I::Told | I::Failed) | (S::Telling { .. }, I::Owe(..) | I::Again) => {
                panic!("an answer out of turn")
            }
        }
    }

    /// Tells the next one.
    fn tell(&mut self, from: Bound<Participant<T>>, out: &mut Vec<Output<T>>) {
        let next = self.owed.range((from, Bound::Unbounded)).next();
        self.state = match next {
            Some((who, &verdict)) => {
                out.push(Output::Tell(who.clone(), verdict));
                State::Telling { who: who.clone() }
            }
            None => State::Idle,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(manager: u16, tx: u32) -> Participant<u32> {
        Participant::Manager { manager: ManagerId(manager), tx }
    }

    fn transcript(machine: &mut Redrive<u32>, inputs: Vec<Input<u32>>) -> String {
        let mut lines = Vec::new();
        for input in inputs {
            let (said, mut out) = (format!("{input:?}"), Vec::new());
            machine.step(input, &mut out);
            let out: Vec<_> = out.iter().map(|Output::Tell(who, verdict)| format!("tell {who} {verdict:?}")).collect();
            lines.push(format!("{said} -> {}", out.join(", ")));
        }
        lines.join("\n")
    }

    #[test]
    fn finishes_what_the_log_decided_and_aborts_the_rest() {
        let mut machine = in_doubt([(ManagerId(0), 1), (ManagerId(0), 2), (ManagerId(1), 1)], |_, &tx| tx == 1);
        let story = transcript(&mut machine, vec![Input::Again, Input::Told, Input::Told, Input::Told]);
        assert_eq!(
            story,
            "Again -> tell m0/1 Committed\n\
             Told -> tell m0/2 Aborted\n\
             Told -> tell m1/1 Committed\n\
             Told -> "
        );
        assert!(machine.is_empty());
    }

    #[test]
    fn a_participant_that_fails_stays_owed_and_holds_up_nobody() {
        let mut machine = in_doubt([(ManagerId(0), 1), (ManagerId(1), 1)], |_, _| true);
        let story = transcript(&mut machine, vec![Input::Again, Input::Failed, Input::Told, Input::Again, Input::Told]);
        assert_eq!(
            story,
            "Again -> tell m0/1 Committed\n\
             Failed -> tell m1/1 Committed\n\
             Told -> \n\
             Again -> tell m0/1 Committed\n\
             Told -> "
        );
    }

    #[test]
    #[should_panic(expected = "a verdict changed")]
    fn a_verdict_never_changes() {
        let mut machine = in_doubt([(ManagerId(0), 1)], |_, _| true);
        transcript(&mut machine, vec![Input::Owe(at(0, 1), Verdict::Aborted)]);
    }
}
