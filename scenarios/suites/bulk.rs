//! Suite `bulk`: many new records at a time go into a segment of their own, around the log, beside all else that the store does.

use std::sync::Arc;

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

use super::single::{DEATHS, Params, Single, busy, death_behind, death_later, deaths, tuning};
use crate::{
    invariants::claims::{B2, D1, D2, D3, D4, D5, D6, D7, Q1, Q3, Q4, T1},
    vectors::Vectors,
    workloads::Mix,
};

const CASES: [Case; 5] = [
    Case {
        name: "races",
        hypothesis: "a load is one commit among others, whatever is written, removed, flushed and merged meanwhile",
        injection: "none but the world's delays: loads, commits, flushes, merges and passes of consolidation overlap",
        criterion: "its records are found all at once, no record is written while it is staged, and no older one hides it",
        faults: &[],
        sometimes: &["bulk.added", "flush", "compacted", "conflict"],
    },
    Case {
        name: "death",
        hypothesis: "whenever it dies, a load is whole or was never there",
        injection: "kill or power loss at every disk call of a load, and again in those after it",
        criterion: "what was answered as committed is there; what was only staged may be gone, and is not there by half",
        faults: &[FaultKind::Kill, FaultKind::PowerLoss],
        sometimes: &["bulk.staged", "bulk.added", "world.killed", "world.power_lost"],
    },
    Case {
        name: "disk-fails",
        hypothesis: "a load that fails leaves all as it was, and is done again; one that is committed gets its name in the end",
        injection: "writes, syncs and renames of segment, log and manifest fail, done or not; then perhaps it dies",
        criterion: "commits go on; no segment is removed that a frame or a manifest names; nothing is left over",
        faults: &[
            FaultKind::WriteError,
            FaultKind::SyncError,
            FaultKind::SyncDirError,
            FaultKind::RenameError,
            FaultKind::OpenError,
        ],
        sometimes: &["bulk.failed", "bulk.added"],
    },
    Case {
        name: "disk-full",
        hypothesis: "a load that finds no room is put off",
        injection: "the disk is full for a while, from some step of a load on",
        criterion: "what was staged is committed when there is room; nothing else is lost",
        faults: &[FaultKind::NoSpace],
        sometimes: &["bulk.failed", "bulk.added"],
    },
    Case {
        name: "rot",
        hypothesis: "a bit that flips in a segment that was loaded is found before anything of it is believed",
        injection: "a bit of a segment flips at rest; then the process is killed",
        criterion: "answers say that they could not read; a boot that reads it is refused, naming file and offset",
        faults: &[FaultKind::BitRot, FaultKind::Kill],
        sometimes: &["bulk.added", "world.boot_refused"],
    },
];

const INVARIANTS: [Invariant; 12] = [
    Invariant { claim: B2, sometimes: &["bulk.staged", "bulk.added"] },
    Invariant { claim: D1, sometimes: &["bulk.added", "world.power_lost"] },
    Invariant { claim: D2, sometimes: &["bulk.added", "world.killed"] },
    Invariant { claim: D3, sometimes: &["bulk.added"] },
    Invariant { claim: D4, sometimes: &["bulk.failed", "world.killed"] },
    Invariant { claim: D5, sometimes: &["bulk.added"] },
    Invariant { claim: D6, sometimes: &["world.boot_refused"] },
    Invariant { claim: D7, sometimes: &["bulk.added"] },
    Invariant { claim: Q1, sometimes: &["bulk.added"] },
    Invariant { claim: Q3, sometimes: &["bulk.added"] },
    Invariant { claim: Q4, sometimes: &["bulk.added"] },
    Invariant { claim: T1, sometimes: &["bulk.added", "conflict"] },
];

/// The suite.
pub fn suite(vectors: Option<Arc<Vectors>>) -> Single {
    Single {
        name: "bulk",
        about: "bulk loads: segments around the log, under death, failure, rot and all else that the store does",
        cases: &CASES,
        invariants: &INVARIANTS,
        seeds_needed: 1_000,
        overlap_percent_min: 0,
        draw,
        vectors,
    }
}

/// The steps of a load.
const LOAD: [&str; 7] = [
    "bulk.begun",
    "bulk.begun",
    "segment.synced",
    "commit.decide.frame_written",
    "commit.finish.published",
    "bulk.added",
    "bulk.named",
];

fn draw(case: usize, dice: &mut Dice) -> Drawn<Params> {
    let mut params = busy(dice);
    params.flush_records = *dice.pick(&[2, 5, 10_000]);
    params.flush_slice_bytes = *dice.pick(&[1, 200, params.flush_slice_bytes]);
    params.habits.keys += dice.between(4, 16);
    params.habits.mix = Mix { upsert: 20, insert: 5, delete: 25, bulk: 30, ..params.habits.mix };
    let mut tuning = tuning(dice);
    // Whoever is told that a load is staged asks again, and a load waits for flushes.
    tuning.patience = Time::millis(200);
    let faults = match CASES[case].name {
        "death" => deaths(&LOAD, 3, 16, dice),
        "disk-fails" => failures(CASES[case].faults, dice),
        "disk-full" => {
            let point = *dice.pick(&["bulk.begun", "bulk.begun", "segment.written", "bulk.added"]);
            let at = Trigger::Point { name: point.into(), hit: dice.between(1, 3) as u32 };
            vec![Fault::new(1, FaultKind::NoSpace, at).lasting(Time::millis(dice.between(1, 60)), Ppm(1_000_000))]
        }
        "rot" => {
            params.l1_rows = *dice.pick(&[0, params.l1_rows]);
            // What the cache still holds would hide the rot.
            tuning.evict = *dice.pick(&[tuning.evict, Ppm(1_000_000)]);
            let at = Trigger::Point { name: "bulk.added".into(), hit: dice.between(1, 3) as u32 };
            vec![Fault::new(1, FaultKind::BitRot, at).path("segments/*"), death_later(2, 2..=12, dice)]
        }
        _ => Vec::new(),
    };
    Drawn { params, tuning, faults }
}

/// One or two failing calls behind a step of a load, and perhaps a death.
fn failures(kinds: &[FaultKind], dice: &mut Dice) -> Vec<Fault> {
    let mut faults = Vec::new();
    for id in 1..=dice.between(1, 2) as u32 {
        let (name, hit) = ((*dice.pick(&LOAD)).into(), dice.between(1, 3) as u32);
        let at = Trigger::Beyond { name, hit, nth: dice.between(1, 12) as u32, after: dice.percent(50) };
        faults.push(Fault::new(id, *dice.pick(kinds), at).path("*").amount(dice.below(2)));
    }
    if dice.percent(50) {
        let (step, hit) = (*dice.pick(&LOAD), dice.between(1, 4) as u32);
        faults.push(death_behind(9, &DEATHS, step, hit, 14, dice));
    }
    faults
}
