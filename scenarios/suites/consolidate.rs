//! Suite `consolidate`: memory makes something of itself (kappa, weights, prototypes, pruning) while clients write the very
//! records, and node, job and disk fail.

use std::sync::Arc;

use stormproof_engine::memory::ConsolidationRules;
use stormproof_sim::{
    check::invariant::Invariant,
    hunt::{Case, Drawn},
    world::{
        dice::Dice,
        fault::{Fault, FaultKind, Trigger},
        span::Time,
    },
};

use super::single::{DEATHS, Params, Single, death_behind, death_later, deaths, tuning};
use crate::{
    invariants::claims::{D1, D2, D3, D4, D5, D6, D7, K1, K2, K3, Q1, Q3, Q4, T1},
    vectors::Vectors,
    workloads::Mix,
};

const CASES: [Case; 5] = [
    Case {
        name: "races",
        hypothesis: "what a pass proposes rests on what is so when it is decided, however long ago it was read",
        injection: "slow jobs, while clients write, remove and link to the records that they look at",
        criterion: "nothing is pruned that is linked to; no writing of a client is lost; one serial order holds all",
        faults: &[],
        sometimes: &["consolidated", "a record became firmer", "a prototype was made", "a record was pruned"],
    },
    Case {
        name: "death",
        hypothesis: "a proposal is wholly there or not at all; what was not proposed is as if the pass had not begun",
        injection: "kill or power loss at every disk call of a pass, of its flush and of its commits, and in the recovery",
        criterion: "every acknowledged commit is there; no activation counts twice; no record has two prototypes",
        faults: &[FaultKind::Kill, FaultKind::PowerLoss],
        sometimes: &["consolidated", "world.killed", "world.power_lost"],
    },
    Case {
        name: "job-dies",
        hypothesis: "a job that is killed, or outlives its node, leaves what it has proposed and nothing else",
        injection: "the job is killed at every disk call, or goes on when its node was killed",
        criterion: "commits go on; whoever asked is told; another pass can begin",
        faults: &[FaultKind::JobKill, FaultKind::JobOrphan],
        sometimes: &["consolidate.failed", "consolidated"],
    },
    Case {
        name: "disk-fails",
        hypothesis: "a disk that fails a pass fails that pass alone",
        injection: "opens, reads, writes and syncs fail during a pass; then perhaps it dies",
        criterion: "nothing is lost, and nothing is done by half",
        faults: &[
            FaultKind::OpenError,
            FaultKind::ReadError,
            FaultKind::WriteError,
            FaultKind::SyncError,
            FaultKind::RenameError,
        ],
        sometimes: &["consolidate.failed", "consolidated"],
    },
    Case {
        name: "rot",
        hypothesis: "nothing is made of what is damaged: the pass ends, and says where",
        injection: "a bit of a segment flips at rest before or while it is read; then the process is killed",
        criterion: "nothing shows what nobody wrote; the boot is refused, naming file and offset",
        faults: &[FaultKind::BitRot, FaultKind::Kill],
        sometimes: &["consolidate.failed", "world.boot_refused"],
    },
];

const INVARIANTS: [Invariant; 14] = [
    Invariant { claim: K1, sometimes: &["a record became firmer", "a link has learned"] },
    Invariant { claim: K2, sometimes: &["a prototype was made"] },
    Invariant { claim: K3, sometimes: &["a record was pruned"] },
    Invariant { claim: D1, sometimes: &["consolidated", "world.power_lost"] },
    Invariant { claim: D2, sometimes: &["world.power_lost"] },
    Invariant { claim: D3, sometimes: &["consolidated"] },
    Invariant { claim: D4, sometimes: &["consolidate.failed", "world.killed"] },
    Invariant { claim: D5, sometimes: &["consolidated"] },
    Invariant { claim: D6, sometimes: &["world.boot_refused"] },
    Invariant { claim: D7, sometimes: &["consolidated"] },
    Invariant { claim: Q1, sometimes: &["consolidated"] },
    Invariant { claim: Q3, sometimes: &["a record was pruned"] },
    Invariant { claim: Q4, sometimes: &["consolidated"] },
    Invariant { claim: T1, sometimes: &["conflict"] },
];

/// The suite.
pub fn suite(vectors: Option<Arc<Vectors>>) -> Single {
    Single {
        name: "consolidate",
        about: "kappa, weights of links, prototypes and pruning beside clients, under death, failure and rot",
        cases: &CASES,
        invariants: &INVARIANTS,
        seeds_needed: 600,
        overlap_percent_min: 0,
        draw,
        vectors,
    }
}

/// Few records that are often active, passes that come often, and large steps.
fn draw(case: usize, dice: &mut Dice) -> Drawn<Params> {
    let mut params = Params::draw(dice);
    params.flush_records = *dice.pick(&[2, 5, 10_000]);
    let rem_kappa_min = *dice.pick(&[0.2, 0.45]);
    params.consolidation = ConsolidationRules {
        kappa_gain: 0.25,
        link_gain: 0.25,
        nrem_episodes: *dice.pick(&[0, 1, 3]),
        rem_kappa_min,
        rem_radius: *dice.pick(&[0.5, 4.0, 1000.0]),
        rem_members_min: *dice.pick(&[1, 2, 2]),
        rem_every_ms: *dice.pick(&[0, 5, 50]),
        prune_kappa: *dice.pick(&[0.2, rem_kappa_min]),
        prune_age_ms: *dice.pick(&[0, 0, 40]),
        prune_every_ms: *dice.pick(&[0, 7, 70]),
        ..ConsolidationRules::default()
    };
    params.habits.clients = params.habits.clients.max(2);
    params.habits.ops_per_client += 6;
    params.habits.mix = Mix { upsert: 35, activate: 25, consolidate: 20, search: 10, ..params.habits.mix };
    let mut tuning = tuning(dice);
    // A pass waits for a flush, and for its job.
    tuning.patience = Time::millis(200);
    tuning.job_latency.max = *dice.pick(&[Time::micros(200), Time::millis(2), Time::millis(20)]);
    let faults = match CASES[case].name {
        "death" => deaths(&STEPS, 3, 40, dice),
        "job-dies" => {
            tuning.job_latency.max = Time::millis(20);
            let kind = *dice.pick(CASES[case].faults);
            (1..=dice.between(1, 3) as u32).map(|id| behind(id, kind, dice)).collect()
        }
        "disk-fails" => {
            let failures = (1..=dice.between(1, 2) as u32).map(|id| {
                let kind = *dice.pick(CASES[case].faults);
                behind(id, kind, dice).path("*").amount(dice.below(2))
            });
            let mut faults: Vec<Fault> = failures.collect();
            if dice.percent(50) {
                let (step, hit) = (*dice.pick(&STEPS), dice.between(1, 4) as u32);
                faults.push(death_behind(9, &DEATHS, step, hit, 20, dice));
            }
            faults
        }
        "rot" => {
            let point = *dice.pick(&["flush.published", "consolidate.begun", "consolidate.reading"]);
            let at = Trigger::Point { name: point.into(), hit: dice.between(1, 4) as u32 };
            vec![Fault::new(1, FaultKind::BitRot, at).path("segments/*"), death_later(2, 4..=16, dice)]
        }
        _ => {
            tuning.job_latency.max = *dice.pick(&[Time::millis(2), Time::millis(20)]);
            Vec::new()
        }
    };
    Drawn { params, tuning, faults }
}

/// The steps of a pass; `consolidate.proposed` is followed by the commit.
const STEPS: [&str; 5] =
    ["consolidate.begun", "consolidate.reading", "consolidate.proposed", "consolidate.proposed", "flush.frozen"];

/// Strikes at one of the disk calls that follow the beginning of a pass.
fn behind(id: u32, kind: FaultKind, dice: &mut Dice) -> Fault {
    let (hit, nth) = (dice.between(1, 3) as u32, dice.between(1, 30) as u32);
    let at = Trigger::Beyond { name: "consolidate.begun".into(), hit, nth, after: dice.percent(50) };
    Fault::new(id, kind, at)
}
