//! The operations of one key, laid out for the search: in what order they returned, and what was pending at each
//! return.
//!
//! Fails are gone (they had no effect), and so are operations without a reply that only observe (they tell nothing).
//! An answered operation has a slot while it is pending, reused after its return, so that the sets of a search stay as
//! small as the concurrency and do not grow with the history. An unanswered one is pending from its call to the end.

use std::collections::BTreeSet;

use super::super::history::{Moment, Operation, Outcome};
use super::Model;

type Recorded<'a, M> = &'a Operation<<M as Model>::Op, <M as Model>::Reply>;

/// One key's part of a history.
pub(super) struct Schedule<'a, M: Model> {
    /// Operations with a reply, in order of their return.
    pub(super) answered: Vec<Answered<'a, M>>,
    /// Operations without one, in order of invocation.
    pub(super) unanswered: Vec<Unanswered<'a, M>>,
    /// How many slots there are: the most answered operations that were ever pending at once.
    pub(super) slots: usize,
}

pub(super) struct Answered<'a, M: Model> {
    pub(super) operation: Recorded<'a, M>,
    pub(super) reply: &'a M::Reply,
    pub(super) returned: Moment,
    /// Its place in a configuration's set of placed operations.
    pub(super) slot: usize,
    /// All answered operations pending at this return, as indices, in order of their return: this one comes first.
    pub(super) pending: Vec<usize>,
    /// How many of the unanswered operations were invoked before this return.
    pub(super) unanswered: usize,
}

pub(super) struct Unanswered<'a, M: Model> {
    pub(super) operation: Recorded<'a, M>,
    /// The latest earlier unanswered operation that asks the same. The two are interchangeable, and the earlier is
    /// pending whenever the later is, so it is enough to try them in order.
    pub(super) twin: Option<usize>,
}

impl<'a, M: Model> Schedule<'a, M> {
    /// Lays out `operations`, which are in order of invocation.
    pub(super) fn new(model: &M, operations: &[Recorded<'a, M>]) -> Self {
        let unanswered = unanswered(model, operations);
        let mut answered = answered(operations);
        let slots = assign_slots(&mut answered);
        find_pending(&mut answered);
        for returning in &mut answered {
            let returned = returning.returned;
            returning.unanswered = unanswered.partition_point(|open| open.operation.invoked < returned);
        }
        Self { answered, unanswered, slots }
    }
}

fn unanswered<'a, M: Model>(model: &M, operations: &[Recorded<'a, M>]) -> Vec<Unanswered<'a, M>> {
    let mut unanswered: Vec<Unanswered<'a, M>> = Vec::new();
    for &operation in operations {
        let open = matches!(operation.outcome, Outcome::Open | Outcome::Unknown { .. });
        if open && !model.only_observes(&operation.op, None) {
            let twin = unanswered.iter().rposition(|earlier| earlier.operation.op == operation.op);
            unanswered.push(Unanswered { operation, twin });
        }
    }
    unanswered
}

fn answered<'a, M: Model>(operations: &[Recorded<'a, M>]) -> Vec<Answered<'a, M>> {
    let mut answered: Vec<_> = operations
        .iter()
        .filter_map(|&operation| match &operation.outcome {
            Outcome::Ok { reply, at } => {
                Some(Answered { operation, reply, returned: *at, slot: 0, pending: Vec::new(), unanswered: 0 })
            }
            Outcome::Open | Outcome::Unknown { .. } | Outcome::Fail { .. } => None,
        })
        .collect();
    answered.sort_by_key(|operation| operation.returned);
    answered
}

/// Notes each operation at every return from its call up to its own.
fn find_pending<M: Model>(answered: &mut [Answered<'_, M>]) {
    for place in 0..answered.len() {
        let invoked = answered[place].operation.invoked;
        let first = answered.partition_point(|earlier| earlier.returned <= invoked);
        for returning in &mut answered[first..=place] {
            returning.pending.push(place);
        }
    }
}

/// Gives each operation the lowest slot that is free at its invocation; returns how many it took.
fn assign_slots<M: Model>(answered: &mut [Answered<'_, M>]) -> usize {
    // At one moment returns come first: an operation invoked then does not overlap one that returned then.
    let mut events = BTreeSet::new();
    for (place, operation) in answered.iter().enumerate() {
        events.insert((operation.returned, false, place));
        events.insert((operation.operation.invoked, true, place));
    }
    let mut free = BTreeSet::new();
    let mut slots = 0;
    for (_, invoked, place) in events {
        if !invoked {
            free.insert(answered[place].slot);
            continue;
        }
        answered[place].slot = free.pop_first().unwrap_or_else(|| {
            slots += 1;
            slots - 1
        });
    }
    slots
}
