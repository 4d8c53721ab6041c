//! The toy on trial: what clients do, what may go wrong, what must hold.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stormproof_contract::{DiskOp, Role};
use stormproof_sim::{
    hunt::{Atlas, Case, Drawn, Scenario},
    world::{
        dice::Dice,
        draw::Ppm,
        fault::{Fault, FaultKind, Trigger},
        span::Time,
        stage::{Class, NodeSpec, Phase, Stage, Workload},
        tuning::Tuning,
    },
};

use crate::{
    judge::Witness,
    toy::{Bug, Op, POINTS, Reply, Toy},
};

/// How many lists there are.
pub(crate) const KEYS: u64 = 6;
/// The lists below this one are emptied at times; a token in any other stays for ever.
pub(crate) const DELETABLE: u64 = 2;

/// The suite, for the toy as it should be or with a bug.
pub(crate) struct ToyTrial {
    pub(crate) bug: Option<Bug>,
}

/// What differs from run to run.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Params {
    clients: u32,
    ops_each: u64,
}

const CASES: &[Case] = &[
    Case {
        name: "storm",
        hypothesis: "the toy survives everything that can befall a node alone, but for damage to its one copy",
        injection: "deaths, failing disk calls, jobs killed and orphaned, bad networks",
        criterion: "the claims of its judge",
        faults: &[FaultKind::Kill, FaultKind::PowerLoss, FaultKind::SyncError, FaultKind::JobKill],
        sometimes: &["world.power_lost", "toy.snapshot", "toy.repeated"],
    },
    Case {
        name: "torn",
        hypothesis: "a frame that is not durable is shown to nobody, and one that is torn is not believed",
        injection: "the log is written in pieces, a sync fails, and power is lost before the next",
        criterion: "what was acknowledged or shown survives; the node starts",
        faults: &[FaultKind::ShortWrite, FaultKind::SyncError, FaultKind::PowerLoss],
        sometimes: &["world.power_lost"],
    },
    Case {
        name: "orphans",
        hypothesis: "a job that outlives its node does no harm",
        injection: "the node is killed soon after it has started a job, and the job lives on",
        criterion: "no snapshot in force but what its own node asked for",
        faults: &[FaultKind::JobOrphan],
        sometimes: &["toy.snapshot"],
    },
];

const STORM: usize = 0;
const TORN: usize = 1;
const ORPHANS: usize = 2;

impl Scenario for ToyTrial {
    type System = Toy;
    type Params = Params;
    type Workload = Clients;
    type Judge = Witness;

    fn name(&self) -> &'static str {
        "toy"
    }

    fn about(&self) -> &'static str {
        "a toy with every part that engines get wrong"
    }

    fn cases(&self) -> &[Case] {
        CASES
    }

    fn draw(&self, case: usize, dice: &mut Dice) -> Drawn<Params> {
        let params = Params { clients: dice.between(1, 4) as u32, ops_each: dice.between(5, 25) };
        let faults = match case {
            STORM => storm().draw(dice),
            TORN => torn(dice),
            ORPHANS => orphans(dice),
            _ => Vec::new(),
        };
        let mut tuning = Tuning::swarm(dice);
        if case == ORPHANS {
            // A slow job has a long life after its node.
            tuning.job_latency.max = Time::millis(20);
            tuning.query_latency.max = Time::millis(20);
        }
        Drawn { params, tuning, faults }
    }

    fn stage(&self, _case: usize, params: &Params, tuning: Tuning, faults: Vec<Fault>) -> Stage<Toy, Clients, Witness> {
        Stage {
            system: Toy { bug: self.bug },
            nodes: vec![NodeSpec { machine: 0, role: Role::default(), config: () }],
            clients: params.clients,
            workload: Clients { params: *params, asked: BTreeMap::new() },
            judge: Witness::default(),
            tuning,
            faults,
        }
    }
}

/// Not the bytes at rest: there is one copy of them. Everything else that can befall a node alone.
fn storm() -> Atlas {
    Atlas::new(1, POINTS)
        .allow(&[FaultKind::Kill, FaultKind::PowerLoss, FaultKind::RestartLoop, FaultKind::Pause])
        .allow(&[FaultKind::JobKill, FaultKind::JobOrphan, FaultKind::SlowDisk, FaultKind::DiskStall])
        .allow(&[FaultKind::OpenError, FaultKind::ReadError, FaultKind::WriteError, FaultKind::SyncError])
        .allow(&[FaultKind::RenameError, FaultKind::RemoveError, FaultKind::ListError, FaultKind::SyncDirError])
        .allow(&[FaultKind::NoSpace, FaultKind::ShortRead, FaultKind::ShortWrite])
        .allow(&[FaultKind::Loss, FaultKind::Duplicate, FaultKind::Reorder, FaultKind::LostReply])
}

fn torn(dice: &mut Dice) -> Vec<Fault> {
    let short = Fault::new(1, FaultKind::ShortWrite, Trigger::Time(Time(0))).path("log.*");
    let mut faults = vec![short.lasting(Time::secs(1), Ppm(600_000))];
    let sync = |nth| Trigger::Call { op: Some(DiskOp::Sync), path: Some("log.*".into()), nth, after: false };
    for id in 1..=3 {
        let nth = dice.between(1, 40) as u32;
        faults.push(Fault::new(2 * id, FaultKind::SyncError, sync(nth)));
        // One sync lies between for whoever believes that it helps to try again.
        faults.push(Fault::new(2 * id + 1, FaultKind::PowerLoss, sync(nth + dice.below(3) as u32)));
    }
    faults
}

/// A job is started right after the log was rotated.
fn orphans(dice: &mut Dice) -> Vec<Fault> {
    let killed = |(id, hit)| {
        let at = Trigger::Beyond { name: "toy.rotated".into(), hit, nth: dice.between(1, 20) as u32, after: true };
        Fault::new(id, FaultKind::JobOrphan, at)
    };
    (1..=4).zip(1..=4).map(killed).collect()
}

/// Clients that read, add to one list or two, and empty some.
pub(crate) struct Clients {
    params: Params,
    asked: BTreeMap<(u32, Phase), u64>,
}

impl Workload<Op, Reply> for Clients {
    fn next(&mut self, client: u32, phase: Phase, dice: &mut Dice) -> Option<Op> {
        let asked = self.asked.entry((client, phase)).or_default();
        *asked += 1;
        match phase {
            Phase::Storm if *asked > self.params.ops_each => None,
            Phase::Storm => Some(ask(*asked * 10 + u64::from(client), dice)),
            Phase::Calm => (*asked <= KEYS).then(|| Op::Get { key: *asked - 1 }),
        }
    }

    fn class(&self, _op: &Op, reply: &Reply) -> Class {
        match reply {
            Reply::Unavailable => Class::TryAgain,
            // The judge is told of what should not be.
            Reply::Done | Reply::List(_) | Reply::CutShort | Reply::Damaged => Class::Done,
        }
    }
}

fn ask(unique: u64, dice: &mut Dice) -> Op {
    let key = dice.below(KEYS);
    let lasting = DELETABLE + dice.below(KEYS - DELETABLE);
    let keys = match dice.below(10) {
        0..4 => return Op::Get { key },
        4 => return Op::Delete { key: dice.below(DELETABLE) },
        5..8 => vec![key],
        _ if lasting + 1 < KEYS => vec![lasting, lasting + 1],
        _ => vec![lasting],
    };
    Op::Append { token: token(unique, &keys), keys }
}

/// A token says which lists it belongs to, so that half a write can be told from a whole one.
fn token(unique: u64, keys: &[u64]) -> u64 {
    keys.iter().fold(unique << KEYS, |token, key| token | 1 << key)
}

/// The lists that a token belongs to.
pub(crate) fn keys_of(token: u64) -> impl Iterator<Item = u64> {
    (0..KEYS).filter(move |key| token >> key & 1 == 1)
}
