//! Rebuilding the archive's index and putting the new one in the place of the old, while both the old one and the node go on
//! answering. The six steps of the specification, as one machine:
//!
//! | step | here |
//! |---|---|
//! | 1 initiation | [`Output::Mark`]: a transaction says that a rebuild is under way; only then does one begin, and no second |
//! | 2 data sourcing | [`Output::Source`]: all that was changed before is flushed, so that one set of files has it as of one LSN |
//! | 3 execution, 4 awaiting | [`Output::Build`]: a job makes a generation beside the node, under a name of its own |
//! | 5 swap | [`Output::Load`], so that nobody is served what was not verified; then [`Output::Publish`]: one manifest names the new generation and no longer the old one |
//! | 6 finalization | [`Output::Drain`]: who reads the old generation reads on, then it is removed; [`Output::Clear`]: a transaction says that the rebuild is over |
//!
//! The specification publishes by two renames (active to old, new to active), between which there is no index. A manifest has
//! no such moment: whatever fails, it names the old generation or the new one.
//!
//! What holds:
//! - nothing is published that was not built, made durable, and loaded with every checksum compared;
//! - the mark is taken back however a rebuild ends, and by a recovery that finds it: a rebuild does not outlive its node;
//! - a publication in doubt is tried again until one is certain, and meanwhile neither generation is removed.

/// A rebuild, or none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Swap {
    state: State,
}

/// How far a rebuild is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum State {
    /// There is none.
    #[default]
    Idle,
    /// The transaction that marks it is under way.
    Marking,
    /// What was changed before is being flushed.
    Sourcing,
    /// The job is at work.
    Building,
    /// What it has made is being read.
    Loading,
    /// The manifest is being replaced.
    Publishing,
    /// The old generation has readers, or could not be removed.
    Draining,
    /// It is over; the transaction that says so is under way.
    Clearing,
}

/// What happens to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Input {
    /// Somebody asks for a rebuild, or a rule does.
    Trigger,
    /// A recovery has found the mark of a rebuild that died with its node.
    Found,
    /// What was to be done last is done: the mark is durable, the files have it all, the generation is built, or loaded, or
    /// published, or the old one is gone, or the mark is taken back.
    Done,
    /// It came to nothing, and trying it again promises no more.
    Failed,
    /// It came to nothing, or it is in doubt what it came to; it can be tried again.
    NotNow,
    /// A while has passed.
    Again,
}

/// What is to be done. Each is answered by [`Input::Done`], [`Input::Failed`] or [`Input::NotNow`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Output {
    /// Decide by a transaction that a rebuild is under way.
    Mark,
    /// Have everything flushed that was changed up to the mark.
    Source,
    /// Start the job.
    Build,
    /// Read what it has made, comparing every checksum.
    Load,
    /// Have the manifest name it, and serve it.
    Publish,
    /// Remove the generation before, once nobody reads it.
    Drain,
    /// Remove what was made, or begun: nothing names it.
    Discard,
    /// Decide by a transaction that the rebuild is over.
    Clear,
}

impl Swap {
    /// How far it is.
    pub fn state(&self) -> State {
        self.state
    }

    /// Whether a rebuild is under way.
    pub fn is_rebuilding(&self) -> bool {
        self.state != State::Idle
    }

    /// One step.
    #[expect(clippy::match_same_arms, reason = "each case is told apart, with its reason")]
    pub fn step(&mut self, input: Input, out: &mut Vec<Output>) {
        use {Input as I, Output as O, State as S};
        let (next, todo): (State, &[Output]) = match (self.state, input) {
            (S::Idle, I::Trigger) => (S::Marking, &[O::Mark]),
            (S::Idle, I::Found) => (S::Clearing, &[O::Clear]),

            (S::Marking, I::Done) => (S::Sourcing, &[O::Source]),
            // Nothing was decided, so there is nothing to take back.
            (S::Marking, I::Failed | I::NotNow) => (S::Idle, &[]),

            (S::Sourcing, I::Done) => (S::Building, &[O::Build]),
            (S::Sourcing, I::Failed | I::NotNow) => (S::Clearing, &[O::Clear]),

            (S::Building, I::Done) => (S::Loading, &[O::Load]),
            (S::Loading, I::Done) => (S::Publishing, &[O::Publish]),
            // What cannot be read or verified now is made again another time. The old generation was never touched.
            (S::Building | S::Loading, I::Failed | I::NotNow) => (S::Clearing, &[O::Discard, O::Clear]),

            (S::Publishing, I::Done) => (S::Draining, &[O::Drain]),
            // Either manifest may be found: both generations stay until one is certain.
            (S::Publishing, I::NotNow) => (S::Publishing, &[]),
            (S::Publishing, I::Again) => (S::Publishing, &[O::Publish]),

            (S::Draining, I::Done) => (S::Clearing, &[O::Clear]),
            (S::Draining, I::NotNow) => (S::Draining, &[]),
            (S::Draining, I::Again) => (S::Draining, &[O::Drain]),

            (S::Clearing, I::Done) => (S::Idle, &[]),
            (S::Clearing, I::NotNow) => (S::Clearing, &[]),
            (S::Clearing, I::Again) => (S::Clearing, &[O::Clear]),

            // One at a time: a trigger during a rebuild asks for nothing that it does not get.
            (state, I::Trigger) => (state, &[]),
            // Only what is tried again waits for time.
            (state @ (S::Idle | S::Marking | S::Sourcing | S::Building | S::Loading), I::Again) => (state, &[]),

            (S::Idle, I::Done | I::Failed | I::NotNow) => panic!("an answer to nothing"),
            (S::Publishing | S::Draining | S::Clearing, I::Failed) => panic!("what must be done is not given up"),
            (
                S::Marking | S::Sourcing | S::Building | S::Loading | S::Publishing | S::Draining | S::Clearing,
                I::Found,
            ) => panic!("a recovery comes first"),
        };
        self.state = next;
        out.extend_from_slice(todo);
    }
}

#[cfg(test)]
mod tests {
    use super::{Input as I, *};

    fn transcript(inputs: &[Input]) -> String {
        let mut machine = Swap::default();
        let line = |input: &Input| {
            let mut out = Vec::new();
            machine.step(*input, &mut out);
            format!("{input:?} -> {:?} {out:?}", machine.state())
        };
        inputs.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_rebuild_goes_through_six_steps_and_a_second_trigger_changes_nothing() {
        let story = transcript(&[
            I::Trigger,
            I::Trigger,
            I::Done,
            I::Done,
            I::Trigger,
            I::Done,
            I::Done,
            I::Done,
            I::Done,
            I::Trigger,
            I::Done,
        ]);
        assert_eq!(
            story,
            "Trigger -> Marking [Mark]\n\
             Trigger -> Marking []\n\
             Done -> Sourcing [Source]\n\
             Done -> Building [Build]\n\
             Trigger -> Building []\n\
             Done -> Loading [Load]\n\
             Done -> Publishing [Publish]\n\
             Done -> Draining [Drain]\n\
             Done -> Clearing [Clear]\n\
             Trigger -> Clearing []\n\
             Done -> Idle []"
        );
    }

    #[test]
    fn a_failure_before_the_publication_discards_what_was_made_and_takes_the_mark_back() {
        for done in [2, 3] {
            let inputs: Vec<_> = [I::Trigger].into_iter().chain([I::Done].repeat(done)).chain([I::Failed]).collect();
            let story = transcript(&inputs);
            assert!(story.ends_with("Failed -> Clearing [Discard, Clear]"), "{story}");
        }
        assert!(transcript(&[I::Trigger, I::NotNow]).ends_with("NotNow -> Idle []"));
        assert!(transcript(&[I::Trigger, I::Done, I::Failed]).ends_with("Failed -> Clearing [Clear]"));
    }

    #[test]
    fn a_publication_in_doubt_is_tried_until_it_is_certain_and_nothing_is_removed_before() {
        let inputs =
            [I::Trigger, I::Done, I::Done, I::Done, I::Done, I::NotNow, I::Again, I::NotNow, I::Again, I::Done];
        let story = transcript(&inputs);
        assert_eq!(
            story.lines().skip(5).collect::<Vec<_>>(),
            [
                "NotNow -> Publishing []",
                "Again -> Publishing [Publish]",
                "NotNow -> Publishing []",
                "Again -> Publishing [Publish]",
                "Done -> Draining [Drain]"
            ]
        );
    }

    #[test]
    fn a_mark_that_a_recovery_finds_is_taken_back_however_often_it_takes() {
        let story = transcript(&[I::Found, I::NotNow, I::Again, I::Done]);
        assert_eq!(
            story,
            "Found -> Clearing [Clear]\n\
             NotNow -> Clearing []\n\
             Again -> Clearing [Clear]\n\
             Done -> Idle []"
        );
    }
}
