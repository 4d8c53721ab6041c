//! Operations of any kind, seen as reads and writes of registers.

use std::{fmt::Debug, marker::PhantomData};

use crate::check::linearizable::Model;

/// What an operation does to a register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access<K, V> {
    /// Reads this one.
    Read(K),
    /// Writes this value to this one.
    Write(K, V),
}

type Types<Op, Reply, K, V> = PhantomData<fn(&Op, &Reply) -> Access<K, V>>;

/// A store of registers, as a model.
pub(super) struct Registers<Op, Reply, A, R, K, V> {
    access: A,
    shown: R,
    types: Types<Op, Reply, K, V>,
}

impl<Op, Reply, A, R, K, V> Registers<Op, Reply, A, R, K, V> {
    pub(super) fn new(access: A, shown: R) -> Self {
        Registers { access, shown, types: PhantomData }
    }
}

impl<Op, Reply, A, R, K, V> Model for Registers<Op, Reply, A, R, K, V>
where
    Op: PartialEq + Debug,
    Reply: Debug,
    A: Fn(&Op) -> Access<K, V>,
    R: Fn(&Reply) -> V,
    K: Clone + Ord + Debug,
    V: Clone + Ord + Debug + Default,
{
    type Key = K;
    type State = V;
    type Op = Op;
    type Reply = Reply;

    fn key(&self, op: &Op) -> K {
        let (Access::Read(key) | Access::Write(key, _)) = (self.access)(op);
        key
    }

    fn init(&self, _key: &K) -> V {
        V::default()
    }

    fn step(&self, state: &V, op: &Op, reply: Option<&Reply>) -> Option<V> {
        match (self.access)(op) {
            Access::Write(_, value) => Some(value),
            Access::Read(_) => reply.is_none_or(|reply| (self.shown)(reply) == *state).then(|| state.clone()),
        }
    }

    fn only_observes(&self, op: &Op, _reply: Option<&Reply>) -> bool {
        matches!((self.access)(op), Access::Read(_))
    }
}
