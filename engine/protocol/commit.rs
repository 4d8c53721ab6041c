//! The second half of a commit: one batch of transactions, decided by one frame of the log.
//!
//! ```text
//! New -Start-> Voting -Voted-> Deciding -Durable-> Finishing -(each told)-> Committed
//!                 |                |  \
//!              VoteFailed     NotWritten Doubtful
//!                 v                v      v
//!              Aborted          Aborted  Halted
//! ```
//!
//! The crash argument. The batch is committed at the moment its frame is durable, and at no other.
//! - Killed before [`Input::Durable`]: the frame is on the disk or it is not, and recovery takes the log's word. No
//!   client was answered and no reader saw anything, so either is right. Participants hold at most what they voted
//!   on, and [`redrive`](super::redrive) ends it the log's way.
//! - Killed after it: the frame is durable, so recovery finds the batch whole and drives every finish again.
//! - So [`Output::Publish`] and [`Output::Answer`] come only after `Durable`; the tests try every order to prove it.
//!
//! A failed write or sync of the frame ([`Input::Doubtful`]) is **never** an abort: the frame may survive. Only the
//! disk knows, and it can no longer be asked, so the process halts, and answers nobody. A failure of which it is
//! certain that no byte of the frame was written ([`Input::NotWritten`]) is an abort.
//!
//! A participant that fails to finish does not hold up the others or the answer: its verdict is owed to it.

use super::{Digest, ManagerId, Participant};

/// Where the commit of one batch stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Commit<T> {
    /// Who is told how it ended: L1, then the managers of the batch's transactions.
    participants: Vec<Participant<T>>,
    /// The managers' votes, and L1's when it has voted.
    votes: Vec<(Participant<T>, Digest)>,
    state: State,
}

/// The states. `at` is the index of the participant that was told last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    New,
    Voting,
    Deciding,
    Finishing { at: usize },
    Committed,
    Aborted,
    Halted,
}

/// What happens to it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Input {
    /// Commit the batch.
    Start,
    /// L1 promises to finish.
    Voted(Digest),
    /// L1 cannot promise, for this reason.
    VoteFailed(Box<str>),
    /// The frame is durable.
    Durable,
    /// Nothing of the frame was written, for this reason.
    NotWritten(Box<str>),
    /// The frame may or may not be durable, for this reason.
    Doubtful(Box<str>),
    /// The participant told to finish has finished.
    Finished,
    /// The participant told to finish could not.
    FinishFailed,
}

/// What is to be done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output<T> {
    /// Have L1 write what the batch changes aside. Answer: [`Input::Voted`] or [`Input::VoteFailed`].
    VoteL1,
    /// Write the frame with these votes, and sync it. Answer: [`Input::Durable`], [`Input::NotWritten`] or
    /// [`Input::Doubtful`].
    Decide(Vec<(Participant<T>, Digest)>),
    /// Tell a participant that the batch is committed. Answer: [`Input::Finished`] or [`Input::FinishFailed`].
    Finish(Participant<T>),
    /// A participant is still to be told that the batch is committed.
    Owe(Participant<T>),
    /// Show the batch to readers.
    Publish,
    /// Answer every transaction of the batch: committed.
    Answer,
    /// Tell a participant that the batch is off. If that fails, it is told again later.
    Abort(Participant<T>),
    /// Answer every transaction of the batch: refused, for this reason, and without effect.
    Refuse(Box<str>),
    /// Stop the process for this reason, and answer nobody.
    Halt(Box<str>),
}

impl<T: Clone> Commit<T> {
    /// Before anything was done, for transactions whose managers have voted thus.
    pub fn new(managers: Vec<(ManagerId, T, Digest)>) -> Self {
        let votes: Vec<_> =
            managers.into_iter().map(|(manager, tx, digest)| (Participant::Manager { manager, tx }, digest)).collect();
        let participants = std::iter::once(Participant::L1).chain(votes.iter().map(|(who, _)| who.clone())).collect();
        Commit { participants, votes, state: State::New }
    }

    /// One step.
    pub fn step(&mut self, input: Input, out: &mut Vec<Output<T>>) {
        use {Input as I, State as S};
        match (self.state, input) {
            (S::New, I::Start) => {
                self.state = S::Voting;
                out.push(Output::VoteL1);
            }
            (S::Voting, I::Voted(digest)) => {
                self.votes.insert(0, (Participant::L1, digest));
                self.state = S::Deciding;
                out.push(Output::Decide(self.votes.clone()));
            }
            (S::Voting, I::VoteFailed(why)) | (S::Deciding, I::NotWritten(why)) => self.abort(why, out),
            (S::Deciding, I::Durable) => self.finish(0, out),
            (S::Deciding, I::Doubtful(why)) => {
                self.state = S::Halted;
                out.push(Output::Halt(why));
            }
            (S::Finishing { at }, I::Finished) => self.finish(at + 1, out),
            (S::Finishing { at }, I::FinishFailed) => {
                out.push(Output::Owe(self.participants[at].clone()));
                self.finish(at + 1, out);
            }

            // Outputs are performed one at a time, each answered before the next, and the ends ask nothing more: an
            // answer that nobody asked for is a mistake of the caller. None is ignored, for a lost answer would be a
            // lost verdict.
            (
                S::New,
                I::Voted(_)
                | I::VoteFailed(_)
                | I::Durable
                | I::NotWritten(_)
                | I::Doubtful(_)
                | I::Finished
                | I::FinishFailed,
            )
            | (S::Voting, I::Start | I::Durable | I::NotWritten(_) | I::Doubtful(_) | I::Finished | I::FinishFailed)
            | (S::Deciding, I::Start | I::Voted(_) | I::VoteFailed(_) | I::Finished | I::FinishFailed)
            | (
                S::Finishing { .. },
                I::Start | I::Voted(_) | I::VoteFailed(_) | I::Durable | I::NotWritten(_) | I::Doubtful(_),
            )
            | (
                S::Committed | S::Aborted | S::Halted,
                I::Start
                | I::Voted(_)
                | I::VoteFailed(_)
                | I::Durable
                | I::NotWritten(_)
                | I::Doubtful(_)
                | I::Finished
                | I::FinishFailed,
            ) => panic!("an answer out of turn in {:?}", self.state),
        }
    }

    /// Tells the participant at `at`; when all were told, shows the batch and answers.
    fn finish(&mut self, at: usize, out: &mut Vec<Output<T>>) {
        if let Some(who) = self.participants.get(at) {
            self.state = State::Finishing { at };
            out.push(Output::Finish(who.clone()));
        } else {
            self.state = State::Committed;
            out.extend([Output::Publish, Output::Answer]);
        }
    }

    fn abort(&mut self, why: Box<str>, out: &mut Vec<Output<T>>) {
        self.state = State::Aborted;
        out.extend(self.participants.iter().cloned().map(Output::Abort));
        out.push(Output::Refuse(why));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TX: u32 = 5;

    fn with_manager() -> Commit<u32> {
        Commit::new(vec![(ManagerId(0), TX, Digest(9))])
    }

    fn all_inputs() -> Vec<Input> {
        vec![
            Input::Start,
            Input::Voted(Digest(1)),
            Input::VoteFailed("v".into()),
            Input::Durable,
            Input::NotWritten("n".into()),
            Input::Doubtful("d".into()),
            Input::Finished,
            Input::FinishFailed,
        ]
    }

    /// Outputs in few words.
    fn say(out: &[Output<u32>]) -> String {
        let words: Vec<String> = out
            .iter()
            .map(|output| match output {
                Output::VoteL1 => "vote l1".into(),
                Output::Decide(votes) => {
                    let votes: Vec<_> = votes.iter().map(|(who, digest)| format!("{who}={:x}", digest.0)).collect();
                    format!("decide {}", votes.join(" "))
                }
                Output::Finish(who) => format!("finish {who}"),
                Output::Owe(who) => format!("owe {who}"),
                Output::Publish => "publish".into(),
                Output::Answer => "answer".into(),
                Output::Abort(who) => format!("abort {who}"),
                Output::Refuse(why) => format!("refuse: {why}"),
                Output::Halt(why) => format!("halt: {why}"),
            })
            .collect();
        words.join(", ")
    }

    fn transcript(inputs: Vec<Input>) -> String {
        let mut machine = with_manager();
        let mut lines = Vec::new();
        for input in inputs {
            let (said, mut out) = (format!("{input:?}"), Vec::new());
            machine.step(input, &mut out);
            lines.push(format!("{said} -> {}", say(&out)));
        }
        lines.join("\n")
    }

    #[test]
    fn publishes_and_answers_after_every_participant_was_told() {
        let story =
            transcript(vec![Input::Start, Input::Voted(Digest(1)), Input::Durable, Input::Finished, Input::Finished]);
        assert_eq!(
            story,
            "Start -> vote l1\n\
             Voted(Digest(1)) -> decide l1=1 m0/5=9\n\
             Durable -> finish l1\n\
             Finished -> finish m0/5\n\
             Finished -> publish, answer"
        );
    }

    #[test]
    fn a_vote_that_fails_aborts_everyone_and_refuses() {
        let story = transcript(vec![Input::Start, Input::VoteFailed("disk full".into())]);
        assert!(story.ends_with("-> abort l1, abort m0/5, refuse: disk full"), "{story}");
    }

    #[test]
    fn a_frame_of_which_nothing_was_written_is_an_abort() {
        let story = transcript(vec![Input::Start, Input::Voted(Digest(1)), Input::NotWritten("disk full".into())]);
        assert!(story.ends_with("-> abort l1, abort m0/5, refuse: disk full"), "{story}");
    }

    #[test]
    fn a_frame_that_may_survive_halts_and_answers_nobody() {
        let story = transcript(vec![Input::Start, Input::Voted(Digest(1)), Input::Doubtful("sync failed".into())]);
        assert!(story.ends_with("-> halt: sync failed"), "{story}");
    }

    #[test]
    fn a_participant_that_cannot_finish_is_owed_and_holds_up_nobody() {
        let story = transcript(vec![
            Input::Start,
            Input::Voted(Digest(1)),
            Input::Durable,
            Input::FinishFailed,
            Input::FinishFailed,
        ]);
        assert!(
            story.ends_with(
                "FinishFailed -> owe l1, finish m0/5\n\
                 FinishFailed -> owe m0/5, publish, answer"
            ),
            "{story}"
        );
    }

    type Check<'a> = &'a mut dyn FnMut(&[Input], &[Output<u32>]);

    /// Walks every sequence of inputs that the machine accepts, and hands each with its outputs to `check`.
    fn walk(machine: &Commit<u32>, path: &[Input], outs: &[Output<u32>], check: Check<'_>) {
        check(path, outs);
        for input in all_inputs() {
            let mut next = machine.clone();
            let mut out = Vec::new();
            let accepted =
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| next.step(input.clone(), &mut out)));
            if accepted.is_ok() {
                walk(&next, &[path, &[input]].concat(), &[outs, &out].concat(), check);
            }
        }
    }

    #[test]
    fn publishes_only_after_the_decision_is_durable() {
        let mut ends = 0;
        walk(&with_manager(), &[], &[], &mut |path, outs| {
            let shown = outs.iter().any(|out| matches!(out, Output::Publish | Output::Answer | Output::Finish(_)));
            let durable = path.contains(&Input::Durable);
            assert!(!shown || durable, "{path:?} -> {}", say(outs));
            ends += usize::from(outs.contains(&Output::Answer));
        });
        assert_eq!(ends, 4, "each of two participants finishes or fails to");
    }

    #[test]
    fn aborts_and_refuses_only_before_a_byte_of_the_frame_is_written() {
        let mut ends = 0;
        walk(&with_manager(), &[], &[], &mut |path, outs| {
            let off = outs.iter().any(|out| matches!(out, Output::Abort(_) | Output::Refuse(_)));
            let written = path.iter().any(|input| matches!(input, Input::Durable | Input::Doubtful(_)));
            assert!(!(off && written), "{path:?} -> {}", say(outs));
            ends += usize::from(off);
        });
        assert_eq!(ends, 2, "a failed vote, and a frame that was not written");
    }
}
