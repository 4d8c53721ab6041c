//! The model of a store of independent registers: read, write, compare-and-swap.
//!
//! A store's `get` is a read, `put` a write of `Some`, `delete` a write of `None`: choose `V` accordingly. Every
//! register starts at `V::default()`.

use std::fmt::Debug;

use super::linearizable::Model;

/// What a client may ask of one register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op<K, V> {
    /// Read the value.
    Read {
        /// Which register.
        key: K,
    },
    /// Replace the value, whatever it was.
    Write {
        /// Which register.
        key: K,
        /// The new value.
        value: V,
    },
    /// Replace the value if it is the expected one.
    Swap {
        /// Which register.
        key: K,
        /// What it must hold.
        expected: V,
        /// What it will then hold.
        value: V,
    },
}

/// What a register answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply<V> {
    /// The value read.
    Value(V),
    /// The write is done.
    Written,
    /// Whether the compare-and-swap found what it expected, and so took effect.
    Swapped(bool),
}

/// Registers of type `V`, one for each key, as a model for [`super::linearizable::check`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Registers<K, V>(std::marker::PhantomData<(K, V)>);

impl<K, V> Registers<K, V> {
    /// The model; it has no parameters.
    pub const fn new() -> Self {
        Self(std::marker::PhantomData)
    }
}

impl<K: Clone + Ord + Debug, V: Clone + Ord + Debug + Default> Model for Registers<K, V> {
    type Key = K;
    type State = V;
    type Op = Op<K, V>;
    type Reply = Reply<V>;

    fn key(&self, op: &Self::Op) -> K {
        match op {
            Op::Read { key } | Op::Write { key, .. } | Op::Swap { key, .. } => key.clone(),
        }
    }

    fn init(&self, _: &K) -> V {
        V::default()
    }

    fn step(&self, state: &V, op: &Self::Op, reply: Option<&Self::Reply>) -> Option<V> {
        let (next, answer) = match op {
            Op::Read { .. } => (state, Reply::Value(state.clone())),
            Op::Write { value, .. } => (value, Reply::Written),
            Op::Swap { expected, value, .. } if expected == state => (value, Reply::Swapped(true)),
            Op::Swap { .. } => (state, Reply::Swapped(false)),
        };
        reply.is_none_or(|seen| *seen == answer).then(|| next.clone())
    }

    fn only_observes(&self, op: &Self::Op, reply: Option<&Self::Reply>) -> bool {
        match op {
            Op::Read { .. } => true,
            Op::Write { .. } => false,
            Op::Swap { .. } => reply == Some(&Reply::Swapped(false)),
        }
    }
}
