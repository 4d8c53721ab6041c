//! A suite from a few closures: for whoever has an engine and wants to see it on trial before writing a suite.
//!
//! A [`Trial`] knows one case, clients that do the same number of operations each, faults from a list, and rules over
//! what came of it. What it cannot say (several cases, roles, a judge with a memory) a [`Scenario`] of one's own can.
//!
//! ```
//! use stormproof_contract::{Boot, BootError, Disk, Effects, Input, Node, Open, System};
//! use stormproof_sim::hunt::{Budget, Hunt, Trial};
//! # use std::sync::Arc;
//! use stormproof_sim::check::invariant::Claim;
//!
//! /// An engine: it counts how often it was started, in the length of a file.
//! #[derive(Clone)]
//! struct Starts;
//!
//! struct Counter(u64);
//!
//! impl System for Starts {
//!     type Config = ();
//!     type Node = Counter;
//!     fn boot(&self, at: Boot<'_, ()>) -> Result<Counter, BootError> {
//!         count(&*at.disk).map(Counter).map_err(|error| BootError::Retry(error.to_string().into()))
//!     }
//! }
//!
//! fn count(disk: &dyn Disk) -> stormproof_contract::DiskResult<u64> {
//!     let file = disk.open("starts", Open::Create)?;
//!     let starts = file.meta()?.len + 1;
//!     file.set_len(starts)?;
//!     file.sync()?;
//!     disk.sync_dir("").map(|()| starts)
//! }
//!
//! impl Node for Counter {
//!     type Op = ();
//!     type Reply = u64;
//!     type Ask = ();
//!     type Facts = ();
//!     fn handle(&mut self, input: Input<()>, out: &mut Effects<u64>) {
//!         if let Input::Request { id, .. } = input {
//!             out.reply(id, self.0);
//!         }
//!     }
//! }
//!
//! const GROWS: Claim = Claim { id: "G1", sentence: "the number of starts never falls" };
//!
//! let trial = Trial::new("starts", Starts, |_client, _nth, _dice| ()).clients(1, 5).at_end(GROWS, |ended| {
//!     let told = ended.history.operations().iter().filter_map(|operation| match &operation.outcome {
//!         stormproof_sim::check::history::Outcome::Ok { reply, .. } => Some(*reply),
//!         _ => None,
//!     });
//!     if told.is_sorted() { Ok(()) } else { Err("it fell".into()) }
//! });
//! let report = Hunt { budget: Budget::Seeds(300), ..Hunt::default() }.run(&trial, &|_| {});
//! assert!(report.failures.is_empty());
//! ```

mod judge;
mod registers;

use std::{collections::BTreeMap, fmt::Debug, sync::Arc};

use serde::{Deserialize, Serialize};
use stormproof_contract::{Role, System};

pub use self::{judge::Rules, registers::Access};
use super::{
    atlas::Atlas,
    scenario::{Case, Drawn, Scenario},
};
use crate::{
    check::{invariant::Claim, linearizable::Model},
    world::{
        dice::Dice,
        fault::{Fault, FaultKind},
        stage::{Class, Ended, NodeSpec, OpOf, Phase, ReplyOf, Stage, Workload},
        tuning::Tuning,
    },
};
use judge::Rule;

/// Every register, or whatever a [`Trial`] takes for one, is linearizable.
pub const LINEARIZABLE: Claim = Claim { id: "T1", sentence: "every object is linearizable, over crashes and retries" };

/// What a single node with one disk should survive: deaths, disk calls that fail, and a network that loses, doubles and
/// reorders. Not damage to bytes at rest, of which it has the only copy.
pub const ALONE: &[FaultKind] = &[
    FaultKind::Kill,
    FaultKind::PowerLoss,
    FaultKind::RestartLoop,
    FaultKind::OpenError,
    FaultKind::ReadError,
    FaultKind::WriteError,
    FaultKind::SyncError,
    FaultKind::RenameError,
    FaultKind::SyncDirError,
    FaultKind::NoSpace,
    FaultKind::ShortRead,
    FaultKind::ShortWrite,
    FaultKind::Loss,
    FaultKind::Duplicate,
    FaultKind::Reorder,
    FaultKind::LostReply,
];

/// The deaths that a trial must have delivered, or nothing is proven.
const DEATHS: &[FaultKind] = &[FaultKind::Kill, FaultKind::PowerLoss];

type Ask<S> = dyn Fn(u32, u64, &mut Dice) -> OpOf<S> + Send + Sync;
type Look<S> = dyn Fn(u64) -> Option<OpOf<S>> + Send + Sync;
type Means<S> = dyn Fn(&OpOf<S>, &ReplyOf<S>) -> Class + Send + Sync;

/// A system on trial. See the head of this file for an example.
pub struct Trial<S: System> {
    name: &'static str,
    about: &'static str,
    system: S,
    nodes: u32,
    params: Params,
    kinds: &'static [FaultKind],
    cases: [Case; 1],
    clients: Asking<S>,
    rules: Vec<Arc<Rule<S>>>,
}

/// How many clients, and what each of them does.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    clients: u32,
    operations: u64,
}

impl<S: System + 'static> Trial<S> {
    /// A system, and what its clients ask: which client, its how-manieth operation (from 0), and dice.
    ///
    /// One node, three clients with ten operations each, and faults from [`ALONE`], until something else is said.
    pub fn new(
        name: &'static str,
        system: S,
        ask: impl Fn(u32, u64, &mut Dice) -> OpOf<S> + Send + Sync + 'static,
    ) -> Self {
        let clients = Asking {
            ask: Arc::new(ask),
            look: Arc::new(|_| None),
            class: Arc::new(|_, _| Class::Done),
            operations: 0,
            asked: BTreeMap::new(),
        };
        Trial {
            name,
            about: "what its clients were told holds",
            system,
            nodes: 1,
            params: Params { clients: 3, operations: 10 },
            kinds: ALONE,
            cases: [case(ALONE)],
            clients,
            rules: Vec::new(),
        }
    }

    /// What it is about, in a sentence.
    #[must_use]
    pub fn about(mut self, about: &'static str) -> Self {
        self.about = about;
        self
    }

    /// So many nodes, each on a machine of its own. A client's attempts go to one after another.
    #[must_use]
    pub fn nodes(mut self, nodes: u32) -> Self {
        self.nodes = nodes;
        self
    }

    /// So many clients, with so many operations each while faults strike.
    #[must_use]
    pub fn clients(mut self, clients: u32, operations: u64) -> Self {
        self.params = Params { clients, operations };
        self
    }

    /// What each client asks once all is healed, to see what is left: its how-manieth look, from 0, until `None`.
    #[must_use]
    pub fn look(mut self, look: impl Fn(u64) -> Option<OpOf<S>> + Send + Sync + 'static) -> Self {
        self.clients.look = Arc::new(look);
        self
    }

    /// What a reply means, where it is not always that the operation was done.
    #[must_use]
    pub fn means(mut self, class: impl Fn(&OpOf<S>, &ReplyOf<S>) -> Class + Send + Sync + 'static) -> Self {
        self.clients.class = Arc::new(class);
        self
    }

    /// What may go wrong, instead of [`ALONE`].
    #[must_use]
    pub fn survives(mut self, kinds: &'static [FaultKind]) -> Self {
        self.kinds = kinds;
        self.cases = [case(kinds)];
        self
    }

    /// What must hold of each node whenever it has booted, and after each batch. `Err` is the evidence.
    #[must_use]
    pub fn always(self, claim: Claim, check: impl Fn(&S::Node) -> Result<(), String> + Send + Sync + 'static) -> Self {
        self.rule(Rule::Always(claim, Box::new(check)))
    }

    /// What must hold of the whole history, and of the nodes that are up, once all is over. `Err` is the evidence.
    #[must_use]
    pub fn at_end(
        self,
        claim: Claim,
        check: impl Fn(&Ended<'_, S>) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        let check = move |ended: &Ended<'_, S>, findings: &mut crate::world::stage::Findings| {
            findings.check(&claim, "it does not hold in the end", check(ended));
        };
        self.rule(Rule::AtEnd(claim, Box::new(check)))
    }

    /// The history of all clients must have an order in which every reply is right, as this model has it.
    #[must_use]
    pub fn linearizable<M>(self, model: M) -> Self
    where
        M: Model<Op = OpOf<S>, Reply = ReplyOf<S>> + Send + Sync + 'static,
    {
        self.rule(Rule::AtEnd(LINEARIZABLE, Box::new(judge::linearizable(model))))
    }

    /// The same for a store of registers, or a map with a default: which operation reads or writes which key, and the
    /// value that the reply to a read shows. Every register starts at `V::default()`.
    #[must_use]
    pub fn registers<K, V>(
        self,
        access: impl Fn(&OpOf<S>) -> Access<K, V> + Send + Sync + 'static,
        shown: impl Fn(&ReplyOf<S>) -> V + Send + Sync + 'static,
    ) -> Self
    where
        K: Clone + Ord + Debug + 'static,
        V: Clone + Ord + Debug + Default + 'static,
        OpOf<S>: PartialEq,
    {
        self.linearizable(registers::Registers::new(access, shown))
    }

    fn rule(mut self, rule: Rule<S>) -> Self {
        self.rules.push(Arc::new(rule));
        self
    }
}

fn case(kinds: &[FaultKind]) -> Case {
    let (kills, cuts) = (kinds.contains(&FaultKind::Kill), kinds.contains(&FaultKind::PowerLoss));
    Case {
        name: "all",
        hypothesis: "what clients were told holds, whatever goes wrong",
        injection: "faults of the kinds that the system claims to survive",
        criterion: "the rules of the trial",
        faults: &DEATHS[usize::from(!kills)..=usize::from(cuts)],
        sometimes: if cuts { &["world.power_lost"] } else { &[] },
    }
}

impl<S: System<Config = ()> + Clone + Send + Sync> Scenario for Trial<S>
where
    OpOf<S>: Serialize + serde::de::DeserializeOwned,
{
    type System = S;
    type Params = Params;
    type Workload = Asking<S>;
    type Judge = Rules<S>;

    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn cases(&self) -> &[Case] {
        &self.cases
    }

    fn draw(&self, _case: usize, dice: &mut Dice) -> Drawn<Params> {
        let atlas = Atlas::new(self.nodes, self.system.points()).allow(self.kinds);
        Drawn { params: self.params, tuning: Tuning::swarm(dice), faults: atlas.draw(dice) }
    }

    fn simpler(&self, params: &Params) -> Vec<Params> {
        (1..params.clients).map(|clients| Params { clients, ..*params }).collect()
    }

    fn stage(
        &self,
        _case: usize,
        params: &Params,
        tuning: Tuning,
        faults: Vec<Fault>,
    ) -> Stage<S, Asking<S>, Rules<S>> {
        let node = |machine| NodeSpec { machine, role: Role::default(), config: () };
        Stage {
            system: self.system.clone(),
            nodes: (0..self.nodes).map(node).collect(),
            clients: params.clients,
            workload: self.clients.begin(*params),
            judge: Rules::new(&self.rules, self.cases[0].sometimes),
            tuning,
            faults,
        }
    }
}

/// What the clients of a [`Trial`] do.
pub struct Asking<S: System> {
    ask: Arc<Ask<S>>,
    look: Arc<Look<S>>,
    class: Arc<Means<S>>,
    operations: u64,
    asked: BTreeMap<(u32, Phase), u64>,
}

impl<S: System> Asking<S> {
    fn begin(&self, params: Params) -> Self {
        Asking {
            ask: Arc::clone(&self.ask),
            look: Arc::clone(&self.look),
            class: Arc::clone(&self.class),
            operations: params.operations,
            asked: BTreeMap::new(),
        }
    }
}

impl<S: System> Workload<OpOf<S>, ReplyOf<S>> for Asking<S> {
    fn next(&mut self, client: u32, phase: Phase, dice: &mut Dice) -> Option<OpOf<S>> {
        let asked = self.asked.entry((client, phase)).or_default();
        let nth = *asked;
        *asked += 1;
        match phase {
            Phase::Storm => (nth < self.operations).then(|| (self.ask)(client, nth, dice)),
            Phase::Calm => (self.look)(nth),
        }
    }

    fn class(&self, op: &OpOf<S>, reply: &ReplyOf<S>) -> Class {
        (self.class)(op, reply)
    }
}
