//! Suite `swap`: the archive is rebuilt and the new generation put in the place of the old one, while clients write and search,
//! and node, job and disk fail.

use std::sync::Arc;

use stormproof_engine::memory::L1Persist;
use stormproof_sim::{
    check::invariant::Invariant,
    hunt::{Case, Drawn},
    world::{
        dice::Dice,
        draw::Ppm,
        fault::{Fault, FaultKind, Trigger},
        span::Time,
    },
};

use super::single::{DEATHS, Params, Single, archiving, death_behind, death_later, deaths, tuning};
use crate::{
    invariants::claims::{D1, D2, D3, D4, D5, D6, D7, Q1, Q2, Q3, Q4, S1, S2, T1},
    vectors::Vectors,
    workloads::Mix,
};

const CASES: [Case; 7] = [
    Case {
        name: "races",
        hypothesis: "a swap is nothing that anybody notices: whatever is written, removed, flushed, merged and asked meanwhile",
        injection: "slow jobs, queries that are interrupted between two reads, and rebuilds asked for by clients and by rules",
        criterion: "each answer is of one generation, and has all that was changed since; one generation is left",
        faults: &[],
        sometimes: &["a generation replaced another", "the archive was asked", "flush"],
    },
    Case {
        name: "CE-03",
        hypothesis: "killed after a build and before its publication is durable, it recovers with the old generation",
        injection: "kill or power loss at one of the disk calls behind the points between build and publication",
        criterion: "it serves the old generation or the new one, whole; the rebuild's mark is taken back; nothing is lost",
        faults: &[FaultKind::Kill, FaultKind::PowerLoss],
        sometimes: &["archive.built", "archive.abandoned", "a generation replaced another"],
    },
    Case {
        name: "death",
        hypothesis: "whenever it dies, one generation is in force, whole, or none ever was",
        injection: "kill or power loss at every disk call of a rebuild, from the mark to its end, and in the recovery",
        criterion: "the generation served is complete; no file of an attempt is left",
        faults: &[FaultKind::Kill, FaultKind::PowerLoss],
        sometimes: &["archive.abandoned", "world.killed", "world.power_lost", "a generation replaced another"],
    },
    Case {
        name: "job-dies",
        hypothesis: "a job that is killed, or outlives its node, leaves the server unharmed and the old generation served",
        injection: "the job is killed at any of its disk calls, or goes on when its node was killed",
        criterion: "whoever asked is told; another rebuild can begin; an orphan publishes nothing",
        faults: &[FaultKind::JobKill, FaultKind::JobOrphan],
        sometimes: &["archive.failed", "a generation is served"],
    },
    Case {
        name: "disk-fails",
        hypothesis: "a disk that fails a rebuild fails that rebuild alone",
        injection: "opens, reads, writes, syncs, renames and removals fail during a rebuild; then perhaps it dies",
        criterion: "nothing that a manifest may name is removed; the mark is taken back in the end",
        faults: &[
            FaultKind::OpenError,
            FaultKind::ReadError,
            FaultKind::WriteError,
            FaultKind::SyncError,
            FaultKind::SyncDirError,
            FaultKind::RenameError,
            FaultKind::RemoveError,
        ],
        sometimes: &["archive.failed", "a generation replaced another"],
    },
    Case {
        name: "disk-full",
        hypothesis: "a rebuild that finds no room is given up, and what it has taken is given back",
        injection: "the disk is full for a while, from some step of a rebuild on",
        criterion: "commits go on when there is room; the old generation is served",
        faults: &[FaultKind::NoSpace],
        sometimes: &["archive.failed", "a generation is served"],
    },
    Case {
        name: "rot",
        hypothesis: "a generation that is damaged is named and served no longer, and everything is found by comparing",
        injection: "a bit of a generation flips, of the old one or the new one, before or after it is published; then it dies",
        criterion: "no answer is wrong for it, no record is lost, and the next rebuild makes another",
        faults: &[FaultKind::BitRot, FaultKind::Kill],
        sometimes: &["archive.damaged", "a generation is served"],
    },
];

const INVARIANTS: [Invariant; 14] = [
    Invariant { claim: S1, sometimes: &["a generation replaced another"] },
    Invariant { claim: S2, sometimes: &["archive.abandoned", "archive.failed", "a generation replaced another"] },
    Invariant { claim: Q2, sometimes: &["the archive was asked"] },
    Invariant { claim: D1, sometimes: &["a generation is served", "world.power_lost"] },
    Invariant { claim: D2, sometimes: &["world.power_lost"] },
    Invariant { claim: D3, sometimes: &["a generation replaced another"] },
    Invariant { claim: D4, sometimes: &["archive.failed", "world.killed"] },
    Invariant { claim: D5, sometimes: &["a generation is served"] },
    Invariant { claim: D6, sometimes: &["archive.damaged"] },
    Invariant { claim: D7, sometimes: &["a generation is served"] },
    Invariant { claim: Q1, sometimes: &["a generation is served"] },
    Invariant { claim: Q3, sometimes: &["the archive was asked"] },
    Invariant { claim: Q4, sometimes: &["the archive was asked"] },
    Invariant { claim: T1, sometimes: &["conflict"] },
];

/// The suite.
pub fn suite(vectors: Option<Arc<Vectors>>) -> Single {
    Single {
        name: "swap",
        about: "rebuilding the archive and swapping generations beside clients, under death, failure and rot",
        cases: &CASES,
        invariants: &INVARIANTS,
        seeds_needed: 900,
        overlap_percent_min: 0,
        draw,
        vectors,
    }
}

/// The steps of a rebuild.
const STEPS: [&str; 8] = [
    "swap.marked",
    "swap.building",
    "archive.rows_written",
    "archive.synced",
    "swap.built",
    "swap.loaded",
    "swap.installed",
    "swap.cleared",
];

fn draw(case: usize, dice: &mut Dice) -> Drawn<Params> {
    let mut params = archiving(dice);
    params.habits.mix = Mix { rebuild: 14, search: 30, delete: 15, bulk: *dice.pick(&[0, 8]), ..params.habits.mix };
    let mut tuning = tuning(dice);
    // A rebuild waits for a flush, and for its job.
    tuning.patience = Time::millis(300);
    tuning.job_latency.max = *dice.pick(&[Time::micros(100), Time::micros(500), Time::millis(4)]);
    let faults = match CASES[case].name {
        "CE-03" => {
            let points = ["archive.written", "archive.synced", "swap.built", "swap.loaded", "swap.loaded"];
            let (point, hit) = (*dice.pick(&points), dice.between(1, 3) as u32);
            vec![death_behind(1, &DEATHS, point, hit, 8, dice)]
        }
        "death" => deaths(&STEPS, 2, 30, dice),
        "job-dies" => {
            let kind = *dice.pick(CASES[case].faults);
            (1..=dice.between(1, 3) as u32).map(|id| behind(id, kind, 60, dice)).collect()
        }
        "disk-fails" => {
            let failures = (1..=dice.between(1, 3) as u32).map(|id| {
                let kind = *dice.pick(CASES[case].faults);
                let path = *dice.pick(&["archive/*", "archive/*", "manifest*", "*"]);
                behind(id, kind, 25, dice).path(path).amount(dice.below(2))
            });
            let mut faults: Vec<Fault> = failures.collect();
            if dice.percent(50) {
                let (step, hit) = (*dice.pick(&STEPS), dice.between(1, 3) as u32);
                faults.push(death_behind(9, &DEATHS, step, hit, 20, dice));
            }
            faults
        }
        "disk-full" => {
            let at = behind(1, FaultKind::NoSpace, 40, dice).at;
            vec![Fault::new(1, FaultKind::NoSpace, at).lasting(Time::millis(dice.between(1, 60)), Ppm(1_000_000))]
        }
        "rot" => {
            // What the cache still holds hides the rot.
            tuning.evict = *dice.pick(&[tuning.evict, Ppm(1_000_000)]);
            let points = ["archive.synced", "swap.built", "swap.installed", "swap.cleared", "commit.finish.published"];
            let at = Trigger::Point { name: (*dice.pick(&points)).into(), hit: dice.between(1, 2) as u32 };
            let rot = Fault::new(1, FaultKind::BitRot, at).path("archive/*");
            let late = dice.percent(50).then(|| death_later(2, 6..=20, dice));
            [rot].into_iter().chain(late).collect()
        }
        _ => {
            tuning.job_latency.max = *dice.pick(&[Time::micros(500), Time::millis(4)]);
            if dice.percent(20) {
                params.l1_persist = L1Persist::Rewrite;
            }
            Vec::new()
        }
    };
    Drawn { params, tuning, faults }
}

/// Strikes at one of the `calls` disk calls that follow a step of a rebuild.
fn behind(id: u32, kind: FaultKind, calls: u64, dice: &mut Dice) -> Fault {
    let (step, hit, nth) = (*dice.pick(&STEPS[..7]), dice.between(1, 2) as u32, dice.between(1, calls) as u32);
    let at = Trigger::Beyond { name: step.into(), hit, nth, after: dice.percent(50) };
    Fault::new(id, kind, at)
}
