//! The replicated register on trial: the suite `replica`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stormproof_contract::{OpId, Role};

use super::{Bug, DRIFT_PPM_MAX, Op, POINTS, Replica, Reply};
use crate::{
    check::{
        invariant::{Claim, Invariant},
        linearizable::{self, Model, Verdict},
    },
    hunt::{Atlas, Case, Drawn, Scenario},
    world::{
        dice::Dice,
        draw::Ppm,
        fault::{Fault, FaultKind, Target, Trigger},
        span::{Span, Time},
        stage::{Class, Ended, Findings, Judge, LIVENESS, NodeSpec, Phase, Seen, Stage, Workload},
        tuning::Tuning,
    },
};

const NODES: u32 = 3;
/// Beyond so many configurations of one key the checker of histories gives up.
const CONFIGURATIONS_MAX: u64 = 200_000;

/// At most one node is elected in a term.
pub const ONE_LEADER: Claim = Claim { id: "R1", sentence: "at most one leader is elected in a term" };
/// Every holder of the log holds the same, and no operation took effect twice.
pub const SAME_LOG: Claim = Claim {
    id: "R2",
    sentence: "each operation takes effect exactly once, and equal logs make equal states on every node",
};
/// Clients see single registers.
pub const LINEARIZABLE: Claim = Claim { id: "T1", sentence: "every register is linearizable, read by whomever" };

/// The suite, for the correct replica or a broken one.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReplicaTrial {
    /// What is wrong with the nodes.
    pub bug: Option<Bug>,
}

/// What differs from run to run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    clients: u32,
    ops_each: u64,
    keys: u64,
}

/// The cases, by name. A seed's case is its number modulo their count.
const CASES: &[Case] = &[
    Case {
        name: "one-way",
        hypothesis: "a node that is heard and cannot hear, or the other way about, makes no second leader",
        injection: "links that lose messages in one direction, and processes killed beside",
        criterion: "one leader in a term; histories are linearizable",
        faults: &[FaultKind::PartitionOneWay, FaultKind::Kill],
        sometimes: &["replica.reelected"],
    },
    Case {
        name: "at-election",
        hypothesis: "a leader that is cut off the moment it is elected tells nobody of the past",
        injection: "a node is isolated when it passes the point `replica.elected`",
        criterion: "histories are linearizable; another leader is elected",
        faults: &[FaultKind::Isolate],
        sometimes: &["replica.reelected", "replica.read_alone"],
    },
    Case {
        name: "clocks",
        hypothesis: "leases hold while wall clocks leap and all clocks drift within the stated bound",
        injection: "wall clocks that leap while a node is isolated, and clocks that run too fast throughout",
        criterion: "histories are linearizable",
        faults: &[FaultKind::ClockJump, FaultKind::ClockSkew, FaultKind::ClockDrift, FaultKind::Isolate],
        sometimes: &["replica.reelected", "replica.read_alone"],
    },
    Case {
        name: "reordering",
        hypothesis: "a request or a message that arrives late, or again, has no effect of its own",
        injection: "messages lost, doubled, damaged, held back and overtaken; replies lost",
        criterion: "each operation takes effect once; histories are linearizable",
        faults: &[FaultKind::Duplicate, FaultKind::Reorder, FaultKind::Corrupt, FaultKind::Loss, FaultKind::LostReply],
        sometimes: &["replica.repeated"],
    },
    Case {
        name: "crashes",
        hypothesis: "what a majority has on disk survives",
        injection: "processes killed, machines without power, syncs and writes that fail, disks that stall",
        criterion: "one leader in a term; equal logs; histories are linearizable",
        faults: &[FaultKind::Kill, FaultKind::PowerLoss, FaultKind::SyncError, FaultKind::Pause],
        sometimes: &["replica.reelected"],
    },
];

const ONE_WAY: usize = 0;
const AT_ELECTION: usize = 1;
const CLOCKS: usize = 2;
const REORDERING: usize = 3;

impl Scenario for ReplicaTrial {
    type System = Replica;
    type Params = Params;
    type Workload = Clients;
    type Judge = Referee;

    fn name(&self) -> &'static str {
        "replica"
    }

    fn about(&self) -> &'static str {
        "three nodes that agree on every write, under partitions, bad clocks and crashes"
    }

    fn cases(&self) -> &[Case] {
        CASES
    }

    fn overlap_percent_min(&self) -> u64 {
        30
    }

    fn draw(&self, case: usize, dice: &mut Dice) -> Drawn<Params> {
        // Where clocks leap, clients must still be busy when it happens.
        let ops_each = if case == CLOCKS { dice.between(40, 100) } else { dice.between(5, 25) };
        let params = Params { clients: dice.between(2, 5) as u32, ops_each, keys: dice.between(1, 3) };
        let mut tuning = Tuning::swarm(dice);
        // An election takes half a second: clients go on for longer than that, and do not lose heart before.
        tuning.think = Span::new(Time::millis(10), Time(0), *dice.pick(&[Time::millis(30), Time::millis(300)]));
        tuning.backoff = Span::new(Time::millis(20), Time::millis(1), Time::millis(200));
        tuning.attempts_max = 40;
        Drawn { params, tuning, faults: faults(case, dice) }
    }

    fn stage(
        &self,
        _case: usize,
        params: &Params,
        tuning: Tuning,
        faults: Vec<Fault>,
    ) -> Stage<Replica, Clients, Referee> {
        let node = |machine| NodeSpec { machine, role: Role::default(), config: () };
        Stage {
            system: Replica { nodes: NODES, bug: self.bug },
            nodes: (0..NODES).map(node).collect(),
            clients: params.clients,
            workload: Clients::new(*params),
            judge: Referee::default(),
            tuning,
            faults,
        }
    }
}

fn faults(case: usize, dice: &mut Dice) -> Vec<Fault> {
    let atlas = Atlas::new(NODES, POINTS).within(Time::millis(2_000)).calls(300).at_most(6);
    let drawn = match case {
        ONE_WAY => atlas.allow(&[FaultKind::PartitionOneWay, FaultKind::PartitionOneWay, FaultKind::Kill]).draw(dice),
        AT_ELECTION => return (0..NODES).map(|node| cut_off_when_elected(node, dice)).collect(),
        CLOCKS => return leap_when_cut_off(dice),
        REORDERING => atlas
            .allow(&[FaultKind::Duplicate, FaultKind::Reorder, FaultKind::Delay, FaultKind::Bandwidth])
            .allow(&[FaultKind::Loss, FaultKind::LostReply, FaultKind::Corrupt, FaultKind::HalfOpen])
            .draw(dice),
        _ => atlas
            .allow(&[FaultKind::Kill, FaultKind::PowerLoss, FaultKind::Pause, FaultKind::RestartLoop])
            .allow(&[FaultKind::SyncError, FaultKind::WriteError, FaultKind::ShortWrite, FaultKind::SyncDirError])
            .allow(&[FaultKind::NoSpace, FaultKind::SlowDisk, FaultKind::DiskStall, FaultKind::Split])
            .draw(dice),
    };
    drawn.into_iter().map(|fault| outlast_an_election(fault, dice)).collect()
}

fn cut_off_when_elected(node: u32, dice: &mut Dice) -> Fault {
    let at = Trigger::Point { name: "replica.elected".into(), hit: dice.between(1, 2) as u32 };
    outlast_an_election(Fault::new(node + 1, FaultKind::Isolate, at).on(Target::Node(node)), dice)
}

/// What a lease by the wall clock would not survive: just when one node, perhaps the leader, is cut off, the clocks of
/// the others leap over what they have promised it.
fn leap_when_cut_off(dice: &mut Dice) -> Vec<Fault> {
    let lonely = dice.below(u64::from(NODES)) as u32;
    let at = Time::millis(dice.between(600, 1_500));
    let isolated = Fault::new(1, FaultKind::Isolate, Trigger::Time(at)).on(Target::Node(lonely));
    let mut faults = vec![isolated.lasting(Time::millis(dice.between(200, 1_000)), Ppm(1_000_000))];
    for other in (0..NODES).filter(|node| *node != lonely) {
        let kind = *dice.pick(&[FaultKind::ClockJump, FaultKind::ClockSkew]);
        let leap = Fault::new(2 + other, kind, Trigger::Time(Time(at.0 + Time::millis(dice.below(150)).0)));
        faults.push(leap.on(Target::Node(other)).amount(Time::millis(dice.between(10, 3_000)).0));
    }
    for node in 0..NODES {
        let drift = Fault::new(6 + node, FaultKind::ClockDrift, Trigger::Time(Time(0))).on(Target::Node(node));
        faults.push(drift.amount(dice.between(1, DRIFT_PPM_MAX)));
    }
    faults
}

/// A partition shorter than an election shows nothing.
fn outlast_an_election(mut fault: Fault, dice: &mut Dice) -> Fault {
    if matches!(
        fault.kind,
        FaultKind::PartitionOneWay
            | FaultKind::PartitionTwoWay
            | FaultKind::Isolate
            | FaultKind::Split
            | FaultKind::HalfOpen
    ) {
        fault.lasting = Some(Time::millis(dice.between(200, 2_000)));
    }
    fault
}

/// Clients that write values nobody else writes.
pub struct Clients {
    params: Params,
    asked: BTreeMap<(u32, Phase), u64>,
    /// What each register was last seen to hold, so that some swaps succeed.
    seen: BTreeMap<u64, u64>,
}

impl Clients {
    fn new(params: Params) -> Self {
        Clients { params, asked: BTreeMap::new(), seen: BTreeMap::new() }
    }

    fn storm(&self, client: u32, nth: u64, dice: &mut Dice) -> Op {
        let key = dice.below(self.params.keys);
        let value = u64::from(client + 1) * 1_000 + nth;
        match dice.below(10) {
            0..4 => Op::Put { key, value },
            4..8 => Op::Get { key },
            _ => Op::Swap { key, expected: self.seen.get(&key).copied().unwrap_or(0), value },
        }
    }
}

impl Workload<Op, Reply> for Clients {
    fn next(&mut self, client: u32, phase: Phase, dice: &mut Dice) -> Option<Op> {
        let asked = self.asked.entry((client, phase)).or_default();
        let nth = *asked;
        *asked += 1;
        match phase {
            Phase::Storm => (nth < self.params.ops_each).then(|| self.storm(client, nth, dice)),
            Phase::Calm => (nth < self.params.keys).then_some(Op::Get { key: nth }),
        }
    }

    fn heard(&mut self, _client: u32, op: &Op, reply: Option<&Reply>) {
        if let (Op::Get { key }, Some(Reply::Value(value))) = (op, reply) {
            self.seen.insert(*key, *value);
        }
    }

    fn class(&self, _op: &Op, reply: &Reply) -> Class {
        match reply {
            Reply::Written | Reply::Value(_) | Reply::Swapped(_) => Class::Done,
            Reply::NotLeader => Class::TryAgain,
        }
    }
}

/// Watches elections and logs, and judges the history.
#[derive(Default)]
pub struct Referee {
    /// Who was elected, by term.
    leaders: BTreeMap<u64, u64>,
    /// What was applied, by index: the operation, whether it was new, and the state after it.
    applied: BTreeMap<u64, [u64; 3]>,
    /// At which index an operation took effect.
    took_effect: BTreeMap<OpId, u64>,
}

impl Referee {
    fn elected(&mut self, term: u64, node: u64, findings: &mut Findings) {
        if !self.leaders.is_empty() && !self.leaders.contains_key(&term) {
            findings.reach("replica.reelected");
        }
        let leader = *self.leaders.entry(term).or_insert(node);
        let one = if leader == node { Ok(()) } else { Err(format!("n{leader} and n{node} in term {term}")) };
        findings.check(&ONE_LEADER, "two leaders in one term", one);
    }

    fn applied(&mut self, index: u64, now: [u64; 3], findings: &mut Findings) {
        let [op, new, _] = now;
        if new == 0 {
            findings.reach("replica.repeated");
        }
        let before = *self.applied.entry(index).or_insert(now);
        let took_effect = if new == 1 { *self.took_effect.entry(OpId(op)).or_insert(index) } else { index };
        if before != now {
            let witness = format!("entry {index} is op{} here and op{op} there: {before:x?}, {now:x?}", before[0]);
            findings.broken(&SAME_LOG, "two nodes applied different entries", witness);
        } else if took_effect != index {
            let witness = format!("op{op} took effect at entry {took_effect} and again at {index}");
            findings.broken(&SAME_LOG, "an operation took effect twice", witness);
        } else {
            findings.holds(&SAME_LOG);
        }
    }
}

impl Judge<Replica> for Referee {
    fn invariants(&self) -> Vec<Invariant> {
        vec![
            Invariant { claim: ONE_LEADER, sometimes: &["replica.reelected"] },
            Invariant { claim: SAME_LOG, sometimes: &["replica.repeated"] },
            Invariant { claim: LINEARIZABLE, sometimes: &["replica.read_alone"] },
            Invariant { claim: LIVENESS, sometimes: &[] },
        ]
    }

    fn see(&mut self, seen: Seen<'_, Replica>, findings: &mut Findings) {
        match seen {
            Seen::Noted { name: "replica.elected", values: &[(_, term), (_, node)], .. } => {
                self.elected(term, node, findings);
            }
            Seen::Noted { name: "replica.applied", values: &[(_, index), (_, op), (_, new), (_, state)], .. } => {
                self.applied(index, [op, new, state], findings);
            }
            // Everything else is judged by the history.
            Seen::Noted { .. }
            | Seen::Refused { .. }
            | Seen::Booted { .. }
            | Seen::Settled { .. }
            | Seen::Died { .. }
            | Seen::Replied { .. } => {}
        }
    }

    fn end(&mut self, ended: &Ended<'_, Replica>, findings: &mut Findings) {
        match linearizable::check(&Registers, ended.history, CONFIGURATIONS_MAX) {
            Verdict::Holds { .. } => findings.holds(&LINEARIZABLE),
            Verdict::Violated(witness) => findings.broken(&LINEARIZABLE, "no order explains a reply", witness),
            Verdict::GaveUp { key, bound } => {
                findings.gave_up(format_args!("{}: register {key}, after {bound} configurations", LINEARIZABLE.id));
            }
        }
    }
}

/// What one register does, one operation at a time.
struct Registers;

impl Model for Registers {
    type Key = u64;
    type State = u64;
    type Op = Op;
    type Reply = Reply;

    fn key(&self, op: &Op) -> u64 {
        match op {
            Op::Put { key, .. } | Op::Get { key } | Op::Swap { key, .. } => *key,
        }
    }

    fn init(&self, _key: &u64) -> u64 {
        0
    }

    fn step(&self, state: &u64, op: &Op, reply: Option<&Reply>) -> Option<u64> {
        let (next, answer) = match op {
            Op::Get { .. } => (*state, Reply::Value(*state)),
            Op::Put { value, .. } => (*value, Reply::Written),
            Op::Swap { expected, value, .. } if expected == state => (*value, Reply::Swapped(true)),
            Op::Swap { .. } => (*state, Reply::Swapped(false)),
        };
        reply.is_none_or(|seen| *seen == answer).then_some(next)
    }

    fn only_observes(&self, op: &Op, reply: Option<&Reply>) -> bool {
        matches!(op, Op::Get { .. }) || reply == Some(&Reply::Swapped(false))
    }
}
