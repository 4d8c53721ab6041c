//! What a suite brings to a world: machines and nodes, clients with something to do, and a judge.

use std::fmt::Display;

use stormproof_contract::{Node, NodeId, Role, System};

use super::{core::Death, dice::Dice, fault::Fault, trace::debug_hash, tuning::Tuning};
use crate::check::{
    history::{History, OpId},
    invariant::{Claim, Invariant, Probes, Violation},
};

/// The operations of a system.
pub type OpOf<S> = <<S as System>::Node as Node>::Op;
/// The replies of a system.
pub type ReplyOf<S> = <<S as System>::Node as Node>::Reply;
/// The history of a system's clients.
pub type HistoryOf<S> = History<OpOf<S>, ReplyOf<S>>;

/// Everything that one run is made of, but for the seed.
pub struct Stage<S: System, W, J> {
    /// The system on trial.
    pub system: S,
    /// Its nodes. Their place in the list is their id.
    pub nodes: Vec<NodeSpec<S::Config>>,
    /// How many clients there are.
    pub clients: u32,
    /// What they do.
    pub workload: W,
    /// What must hold.
    pub judge: J,
    /// How the world behaves.
    pub tuning: Tuning,
    /// What goes wrong.
    pub faults: Vec<Fault>,
}

/// One node.
pub struct NodeSpec<Config> {
    /// Which machine it runs on: nodes of one machine share power, disk space and clocks.
    pub machine: u32,
    /// What it is there for.
    pub role: Role,
    /// What it is told at boot.
    pub config: Config,
}

/// Which part of a run it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Faults strike.
    Storm,
    /// All is healed: what is asked now must be answered, and shows what survived.
    Calm,
}

/// What a reply means for the history.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// The operation was done.
    Done,
    /// It was not, and never will be.
    NoEffect,
    /// It was not done by this attempt: the client should try again.
    TryAgain,
    /// It may yet be done by this attempt: the client should ask again to find out, and cannot take it for a failure.
    Pending,
}

/// What clients do.
///
/// The next operation may depend on earlier replies, never on the time or on another source of chance than `dice`.
pub trait Workload<Op, Reply> {
    /// A client's next operation; `None` when it has no more to do in this phase.
    fn next(&mut self, client: u32, phase: Phase, dice: &mut Dice) -> Option<Op>;

    /// What came of a client's operation; `None` if it will never know.
    fn heard(&mut self, client: u32, op: &Op, reply: Option<&Reply>) {
        let _ = (client, op, reply);
    }

    /// What a reply means.
    fn class(&self, op: &Op, reply: &Reply) -> Class;

    /// Whom an attempt is sent to.
    fn route(&self, client: u32, op: &Op, attempt: u32, nodes: u32) -> NodeId {
        let _ = op;
        NodeId((client + attempt) % nodes)
    }

    /// A hash of an operation for the trace, as [`reply_hash`](Self::reply_hash).
    fn op_hash(&self, op: &Op) -> u64
    where
        Op: std::fmt::Debug,
    {
        debug_hash(op)
    }

    /// A hash of a reply for the trace. The default hashes its debug form; a faster one may be worth its lines.
    fn reply_hash(&self, reply: &Reply) -> u64
    where
        Reply: std::fmt::Debug,
    {
        debug_hash(reply)
    }
}

/// What a judge is shown as it happens.
pub enum Seen<'a, S: System> {
    /// A node has booted.
    Booted {
        /// Which.
        node: NodeId,
        /// How many times before.
        incarnation: u32,
        /// The node, to inspect.
        state: &'a S::Node,
        /// Lists the files of the node's directory, for those who look for leftovers.
        files: &'a dyn Fn() -> Vec<String>,
        /// How often each kind of fault was delivered so far.
        delivered: &'a Delivered,
        /// All operations so far.
        history: &'a HistoryOf<S>,
    },
    /// A node has finished a batch.
    Settled {
        /// Which.
        node: NodeId,
        /// The node, to inspect.
        state: &'a S::Node,
    },
    /// A node has died.
    Died {
        /// Which.
        node: NodeId,
        /// How.
        death: Death,
        /// The point it had passed last; `boot` before the first.
        after: &'static str,
    },
    /// A node has noted something.
    Noted {
        /// Which.
        node: NodeId,
        /// What.
        name: &'static str,
        /// The numbers that belong to it.
        values: &'a [(&'static str, u64)],
    },
    /// A client was told that its operation was not done and never will be. Whether a copy of the request is still
    /// under way, which makes the outcome unknown to the history, changes nothing in what was said.
    Refused {
        /// The operation.
        op: OpId,
        /// All operations so far.
        history: &'a HistoryOf<S>,
    },
    /// A client has heard from its operation.
    Replied {
        /// The operation.
        op: OpId,
        /// All operations so far.
        history: &'a HistoryOf<S>,
    },
}

/// What a judge is shown at the end.
pub struct Ended<'a, S: System> {
    /// Everything the clients did and saw.
    pub history: &'a HistoryOf<S>,
    /// The nodes that are up, by id.
    pub nodes: Vec<(NodeId, &'a S::Node)>,
    /// How often each kind of fault was delivered.
    pub delivered: &'a std::collections::BTreeMap<super::fault::FaultKind, u64>,
}

/// Says what must hold, and looks whether it does.
pub trait Judge<S: System> {
    /// What it claims.
    fn invariants(&self) -> Vec<Invariant>;

    /// Something has happened.
    fn see(&mut self, seen: Seen<'_, S>, findings: &mut Findings) {
        let _ = (seen, findings);
    }

    /// A node refuses to start. Whether it may, after what was done to its disk; if not, that is a violation.
    fn may_refuse(&mut self, node: NodeId, words: &str, delivered: &Delivered) -> bool {
        let _ = (node, words, delivered);
        false
    }

    /// The run is over and all is healed.
    fn end(&mut self, ended: &Ended<'_, S>, findings: &mut Findings);
}

/// How often each kind of fault was delivered.
pub type Delivered = std::collections::BTreeMap<super::fault::FaultKind, u64>;

/// What a judge has found.
#[derive(Debug, Default)]
pub struct Findings {
    pub(crate) now: u64,
    pub(crate) violation: Option<Violation>,
    pub(crate) checked: std::collections::BTreeMap<&'static str, u64>,
    pub(crate) probes: Probes,
    pub(crate) gave_up: Vec<String>,
}

impl Findings {
    /// A claim was checked and held.
    pub fn holds(&mut self, claim: &Claim) {
        *self.checked.entry(claim.id).or_default() += 1;
    }

    /// A claim was found broken. The first such finding of a run counts, and ends it.
    pub fn broken(&mut self, claim: &Claim, kind: &str, witness: impl Display) {
        *self.checked.entry(claim.id).or_default() += 1;
        let at = self.now;
        self.violation.get_or_insert_with(|| Violation::new(claim, kind, witness, at));
    }

    /// A claim was checked: holds, or is broken in this way.
    pub fn check<W: Display>(&mut self, claim: &Claim, kind: &str, result: Result<(), W>) {
        match result {
            Ok(()) => self.holds(claim),
            Err(witness) => self.broken(claim, kind, witness),
        }
    }

    /// The run has reached something that it should reach sometimes.
    pub fn reach(&mut self, probe: &str) {
        self.probes.reach(probe);
    }

    /// A checker gave up: nothing is proven by this run.
    pub fn gave_up(&mut self, words: impl Display) {
        self.gave_up.push(words.to_string());
    }

    /// Whether something was found broken.
    pub fn is_broken(&self) -> bool {
        self.violation.is_some()
    }
}

/// All that was asked completes, once nothing fails any more. Checked by the world itself.
pub const LIVENESS: Claim = Claim {
    id: "V1",
    sentence: "once faults stop, every request completes and every background task converges, in bounded time",
};

/// No process of the system panics. Checked by the world itself.
pub const NO_PANIC: Claim = Claim { id: "P1", sentence: "no process panics while it is alive" };
