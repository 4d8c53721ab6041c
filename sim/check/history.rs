//! What the clients did and saw: the only evidence that the checkers accept.
//!
//! A [`History`] is recorded at the client, never inside the system on trial, so the system cannot testify for itself.
//! It is a flat list of [`Operation`]s in the order of their invocation. Invariants: an operation's id is its place in
//! that list, moments never go back, and an operation ends at most once. Who retries, and when a client gives up, is
//! decided by the world: all attempts of one operation share one entry here.

use std::fmt;

pub use stormproof_contract::OpId;

/// A moment as the world orders it: by time, and within one time by the sequence number of the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment {
    /// Virtual time, in ticks.
    pub at: u64,
    /// The world's global event sequence: it orders events of equal time.
    pub seq: u64,
}

/// How an operation ended, as its client knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome<Reply> {
    /// Not ended: the client still waits. Judged as `Unknown`, but its client has not given up.
    Open,
    /// The reply arrived.
    Ok {
        /// What the client was told.
        reply: Reply,
        /// When it was told.
        at: Moment,
    },
    /// Refused, with proof that it has no effect and never will.
    Fail {
        /// When the refusal arrived.
        at: Moment,
    },
    /// The client gave up. The operation may have taken effect, or may do so at any later moment, or never.
    Unknown {
        /// When the client stopped waiting; the operation itself stays open to the end of the history.
        at: Moment,
    },
}

/// One request of one client, from its first attempt to its outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation<Op, Reply> {
    /// Its place in the history.
    pub id: OpId,
    /// Who asked. A client has one operation at a time.
    pub client: u32,
    /// When the first attempt left the client.
    pub invoked: Moment,
    /// What was asked.
    pub op: Op,
    /// What came of it.
    pub outcome: Outcome<Reply>,
}

impl<Op, Reply> Operation<Op, Reply> {
    /// When the client stopped waiting, whatever it was told. `None` while it waits.
    pub fn ended(&self) -> Option<Moment> {
        match &self.outcome {
            Outcome::Open => None,
            Outcome::Ok { at, .. } | Outcome::Fail { at } | Outcome::Unknown { at } => Some(*at),
        }
    }
}

/// The operations of one run, in order of invocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History<Op, Reply> {
    operations: Vec<Operation<Op, Reply>>,
}

impl<Op, Reply> Default for History<Op, Reply> {
    fn default() -> Self {
        Self { operations: Vec::new() }
    }
}

impl<Op, Reply> History<Op, Reply> {
    /// A history in which nothing has happened yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Everything recorded, in order of invocation.
    pub fn operations(&self) -> &[Operation<Op, Reply>] {
        &self.operations
    }

    /// Records the first attempt of an operation.
    ///
    /// # Panics
    /// If `at` lies before the invocation recorded last: the recorder has mixed up its clock.
    pub fn invoke(&mut self, client: u32, at: Moment, op: Op) -> OpId {
        let last = self.operations.last().map(|last| last.invoked);
        assert!(last <= Some(at), "recorded out of order: {at:?} after {last:?}");
        let id = OpId(self.operations.len() as u64);
        self.operations.push(Operation { id, client, invoked: at, op, outcome: Outcome::Open });
        id
    }

    /// Records the reply that the client received.
    pub fn ok(&mut self, id: OpId, at: Moment, reply: Reply) {
        self.end(id, at, Outcome::Ok { reply, at });
    }

    /// Records a refusal that proves the operation had no effect. A timeout proves nothing: that is [`Self::unknown`].
    pub fn fail(&mut self, id: OpId, at: Moment) {
        self.end(id, at, Outcome::Fail { at });
    }

    /// Records that the client gave up without knowing what became of the operation.
    pub fn unknown(&mut self, id: OpId, at: Moment) {
        self.end(id, at, Outcome::Unknown { at });
    }

    fn end(&mut self, id: OpId, at: Moment, outcome: Outcome<Reply>) {
        let operation = &mut self.operations[id.0 as usize];
        assert!(matches!(operation.outcome, Outcome::Open), "op{} ended twice", id.0);
        assert!(operation.invoked < at, "op{} ended at {at:?}, not after its call at {:?}", id.0, operation.invoked);
        operation.outcome = outcome;
    }

    /// How many operations overlapped another one, from call until the client stopped waiting.
    ///
    /// An Unknown operation counts until its client gave up and not to the end of the history: it would otherwise
    /// overlap everything after it and make a sequential run look concurrent.
    pub fn overlap(&self) -> Overlap {
        let mut overlaps = vec![false; self.operations.len()];
        let mut longest: Option<usize> = None;
        for (place, operation) in self.operations.iter().enumerate() {
            if let Some(other) = longest.filter(|&other| ends_after(&self.operations[other], operation.invoked)) {
                overlaps[other] = true;
                overlaps[place] = true;
            }
            let outlasts = |other: usize| match (operation.ended(), self.operations[other].ended()) {
                (_, None) => false,
                (None, Some(_)) => true,
                (Some(ours), Some(theirs)) => ours > theirs,
            };
            if longest.is_none_or(outlasts) {
                longest = Some(place);
            }
        }
        Overlap {
            operations: overlaps.len() as u64,
            overlapping: overlaps.iter().filter(|&&overlapped| overlapped).count() as u64,
        }
    }
}

fn ends_after<Op, Reply>(operation: &Operation<Op, Reply>, moment: Moment) -> bool {
    operation.ended().is_none_or(|ended| ended > moment)
}

/// How concurrent a history was. A checker of concurrency has proven little over one that was not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Overlap {
    /// All operations.
    pub operations: u64,
    /// Those that overlapped at least one other in time.
    pub overlapping: u64,
}

impl Overlap {
    /// The share that overlapped, in whole percent, rounded down; 0 for an empty history.
    pub fn percent(self) -> u64 {
        (self.overlapping * 100).checked_div(self.operations).unwrap_or(0)
    }

    /// Adds the counts of another history.
    pub fn merge(&mut self, other: Self) {
        self.operations += other.operations;
        self.overlapping += other.overlapping;
    }
}

impl fmt::Display for Overlap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} operations overlapped ({}%)", self.overlapping, self.operations, self.percent())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(at: u64) -> Moment {
        Moment { at, seq: at }
    }

    #[test]
    fn operations_in_turn_do_not_overlap() {
        let mut history = History::new();
        for turn in 0..5 {
            let id = history.invoke(0, at(2 * turn), ());
            history.ok(id, at(2 * turn + 1), ());
        }
        assert_eq!(history.overlap(), Overlap { operations: 5, overlapping: 0 });
    }

    #[test]
    fn events_of_equal_time_are_ordered_by_sequence() {
        let mut history = History::new();
        let first = history.invoke(0, Moment { at: 7, seq: 1 }, ());
        history.ok(first, Moment { at: 7, seq: 2 }, ());
        history.invoke(1, Moment { at: 7, seq: 3 }, ());
        assert_eq!(history.overlap().overlapping, 0);
    }

    #[test]
    fn a_long_operation_overlaps_all_that_fit_inside_it() {
        let mut history = History::new();
        let long = history.invoke(0, at(0), ());
        for turn in 0..3 {
            let id = history.invoke(1, at(10 * turn + 1), ());
            history.ok(id, at(10 * turn + 2), ());
        }
        history.ok(long, at(25), ());
        let alone = history.invoke(0, at(30), ());
        history.fail(alone, at(31));
        assert_eq!(history.overlap(), Overlap { operations: 5, overlapping: 4 });
    }

    #[test]
    fn an_unknown_operation_overlaps_only_until_its_client_gave_up() {
        let mut history = History::<(), ()>::new();
        let lost = history.invoke(0, at(0), ());
        history.unknown(lost, at(5));
        history.invoke(0, at(6), ());
        assert_eq!(history.overlap().overlapping, 0);
    }

    #[test]
    fn an_open_operation_overlaps_to_the_end() {
        let mut history = History::<(), ()>::new();
        history.invoke(0, at(0), ());
        let late = history.invoke(1, at(1_000), ());
        history.fail(late, at(1_001));
        assert_eq!(history.overlap().to_string(), "2 of 2 operations overlapped (100%)");
    }

    #[test]
    fn merging_adds_the_counts() {
        let mut all = Overlap { operations: 10, overlapping: 2 };
        all.merge(Overlap { operations: 10, overlapping: 5 });
        assert_eq!(all.percent(), 35);
        assert_eq!(Overlap::default().percent(), 0);
    }

    #[test]
    #[should_panic(expected = "ended twice")]
    fn an_operation_ends_at_most_once() {
        let mut history = History::<(), ()>::new();
        let id = history.invoke(0, at(0), ());
        history.unknown(id, at(1));
        history.fail(id, at(2));
    }
}
