//! A replicated register: a few nodes that agree on every write before anyone hears of it.
//!
//! The protocol is Raft (Ongaro and Ousterhout, *In Search of an Understandable Consensus Algorithm*, 2014) without
//! snapshots and without changes of membership: terms, votes, and one log whose entries are committed once a majority
//! has them on disk. Reads are answered by a leader that holds a lease, else they go through the log.
//!
//! # Invariants
//! - At most one leader in a term: a node votes once in a term, and its vote is durable before anyone hears of it.
//! - A committed entry is never replaced: whoever is elected has it, since a vote is given only to a log at least as
//!   good as the voter's own.
//! - Whatever a message or a reply says is durable before it leaves: [`node`] collects in `handle`, and in `settle`
//!   saves first and speaks then.
//! - An operation takes effect once, however often its request arrives: [`machine`] remembers every operation's reply.
//! - While a leader's lease runs, nobody else can be elected. The argument is at [`LEASE`].
//!
//! # The lease
//! Whoever hears from a leader gives nobody a vote, and asks for none, for [`PROMISE`] after it. A node that was
//! just booted may have forgotten such a promise, and so begins with one. A leader counts from when it *sent* what a
//! majority has answered: each of that majority heard it later than that, and every other majority has one of them in it.
//! The clocks of two machines may run at different speeds, so the lease is shorter than the promise by more than twice
//! the drift allowed. Monotonic clocks only: a wall clock that jumps would take the promise back.
//!
//! # Bounds
//! The journal and the table of replies grow for ever: a run is short. Values are words; a register that was never
//! written holds 0.

mod journal;
mod machine;
mod node;
mod office;
pub mod trial;
mod wire;

use serde::{Deserialize, Serialize};
use stormproof_contract::{Boot, BootError, NodeId, System, Tick};

pub use node::ReplicaNode;

/// How long a node that heard from its leader helps nobody to replace it. Also the shortest election timeout.
pub const PROMISE: Tick = Tick::millis(300);
/// How much longer than [`PROMISE`] an election timeout may be. It is drawn anew each time, so that ties end.
pub const TIMEOUT_SPREAD: Tick = Tick::millis(300);
/// How often a leader with nothing to say says so.
pub const HEARTBEAT: Tick = Tick::millis(50);
/// How fast or slow against true time a machine's monotonic clock may run.
pub const DRIFT_PPM_MAX: u64 = 50_000;
/// How long after a message left its answer by a majority lets the leader read alone.
///
/// A promise lasts at least `PROMISE / (1 + d)` of true time and a lease at most `LEASE / (1 - d)`, for a drift `d` of at
/// most 0.05; 240 / 0.95 = 253 is less than 300 / 1.05 = 286.
pub const LEASE: Tick = Tick::millis(240);

/// The points that a node passes.
pub const POINTS: &[&str] = &["replica.elected", "replica.saved", "replica.committed"];

/// What a client asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// Set a register.
    Put {
        /// Which.
        key: u64,
        /// To what.
        value: u64,
    },
    /// Read a register.
    Get {
        /// Which.
        key: u64,
    },
    /// Set a register if it holds what is expected.
    Swap {
        /// Which.
        key: u64,
        /// What it must hold.
        expected: u64,
        /// What it will then hold.
        value: u64,
    },
}

/// What a client is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// The write is done.
    Written,
    /// What the register holds.
    Value(u64),
    /// Whether the register held what was expected, and so was set.
    Swapped(bool),
    /// Ask another node. This attempt had no effect; an earlier one may have.
    NotLeader,
}

/// A way to be wrong. Each differs from the correct node in one place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bug {
    /// A voter forgets that it has voted in this term: two leaders act at once.
    VotesTwice,
    /// A leader reads alone without a lease: cut off, it tells of the past.
    ReadsWithoutLease,
    /// Lease and promise are measured by the wall clock.
    LeaseByWallClock,
    /// An operation that arrives again, late, is done again.
    AppliesTwice,
}

/// A replicated register on nodes 0 to `nodes - 1`.
#[derive(Clone, Copy, Debug)]
pub struct Replica {
    /// How many nodes there are; at least 2.
    pub nodes: u32,
    /// What is wrong with them.
    pub bug: Option<Bug>,
}

impl System for Replica {
    type Config = ();
    type Node = ReplicaNode;

    fn boot(&self, at: Boot<'_, ()>) -> Result<ReplicaNode, BootError> {
        let peers = (0..self.nodes).map(NodeId).filter(|&peer| peer != at.node).collect();
        ReplicaNode::open(at, peers, self.bug)
    }

    fn points(&self) -> &'static [&'static str] {
        POINTS
    }
}
