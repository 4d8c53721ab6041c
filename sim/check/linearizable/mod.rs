//! Linearizability: does each key behave as if its operations happened one at a time, each at some moment between its
//! call and its return?
//!
//! Keys are checked apart, which is exact: a history is linearizable if and only if its part on each object is
//! (Herlihy and Wing, *Linearizability*, 1990, theorem 1). What a key does is told by a [`Model`]. Operations that
//! failed are dropped; those without a reply may take effect at any moment after their call, or never.
//!
//! The search has a stated bound. Past it the verdict is [`Verdict::GaveUp`], which is not a pass.

mod bits;
#[cfg(test)]
mod generated;
mod schedule;
mod search;
#[cfg(test)]
mod tests;
mod witness;

use std::collections::BTreeMap;
use std::fmt::Debug;

use super::history::{History, Operation};
use schedule::Schedule;
use search::{Found, Search};
pub use witness::{Line, Witness};

/// A bound for [`check`] that suits histories of some thousand operations: under a second where it is reached.
/// An honest history needs about ten configurations for each operation, even with eight clients at once.
pub const CONFIGURATIONS_MAX: u64 = 1_000_000;

/// What an object does, one operation at a time: the sequential specification.
pub trait Model {
    /// Names one object. Use `()` where the whole history is about one.
    type Key: Clone + Ord + Debug;
    /// What one object holds.
    type State: Clone + Ord + Debug;
    /// What a client may ask.
    type Op: PartialEq + Debug;
    /// What it may be told.
    type Reply: Debug;

    /// The one object that `op` concerns. An operation on several at once is a transaction: see [`super::isolation`].
    fn key(&self, op: &Self::Op) -> Self::Key;

    /// What the object holds before its first operation.
    fn init(&self, key: &Self::Key) -> Self::State;

    /// The state after `op`, or `None` if `op` cannot be answered with `reply` in this state.
    /// Without a reply (`None`) the operation takes whatever effect it has in this state.
    fn step(&self, state: &Self::State, op: &Self::Op, reply: Option<&Self::Reply>) -> Option<Self::State>;

    /// Whether `op`, answered so, leaves *every* state as it was. To say `true` of reads and of refused
    /// compare-and-swaps makes the search much faster; `false` is always safe.
    fn only_observes(&self, op: &Self::Op, reply: Option<&Self::Reply>) -> bool {
        let _ = (op, reply);
        false
    }
}

/// What the checker found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Some order explains every reply.
    Holds {
        /// How many configurations the search visited, over all keys.
        explored: u64,
    },
    /// No order does.
    Violated(Box<Witness>),
    /// The search of one key passed its bound: nothing is proven.
    GaveUp {
        /// The key.
        key: String,
        /// How many configurations it was allowed.
        bound: u64,
    },
}

/// Checks every key of `history`, visiting at most `configurations_max` configurations for each.
///
/// A violation on any key outweighs having given up on another; among equals the first in order of key is reported.
pub fn check<M: Model>(model: &M, history: &History<M::Op, M::Reply>, configurations_max: u64) -> Verdict {
    let mut total = 0;
    let mut gave_up = None;
    for (key, operations) in by_key(model, history) {
        let schedule = Schedule::new(model, &operations);
        let mut search = Search::new(model, &schedule);
        match search.run(model.init(&key), configurations_max) {
            Found::Order => total += search.explored,
            Found::Stuck { level, states } => {
                return Verdict::Violated(Box::new(Witness::new(&key, &schedule, level, &states)));
            }
            Found::TooMany => {
                let key = format!("{key:?}");
                gave_up.get_or_insert(Verdict::GaveUp { key, bound: configurations_max });
            }
        }
    }
    gave_up.unwrap_or(Verdict::Holds { explored: total })
}

type ByKey<'a, M> = BTreeMap<<M as Model>::Key, Vec<&'a Operation<<M as Model>::Op, <M as Model>::Reply>>>;

fn by_key<'a, M: Model>(model: &M, history: &'a History<M::Op, M::Reply>) -> ByKey<'a, M> {
    let mut keys = ByKey::<M>::new();
    for operation in history.operations() {
        keys.entry(model.key(&operation.op)).or_default().push(operation);
    }
    keys
}
