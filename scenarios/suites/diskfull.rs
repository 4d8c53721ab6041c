//! Suite `diskfull`: the disk is full, once or again and again, in whatever the store does; then there is room again.

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

use super::single::{DEATHS, Params, Single, busy, death_behind, tuning};
use crate::{
    invariants::claims::{B1, D1, D2, D3, D4, D5, D7, Q1, Q3, Q4, T1},
    vectors::Vectors,
};

const CASES: [Case; 5] = [
    Case {
        name: "commits",
        hypothesis: "what does not fit is refused before it is decided, or held; nothing is decided by half",
        injection: "the disk is full from some commit on, for a while",
        criterion: "what was refused leaves nothing, what was held is written or lost as its answer said",
        faults: &[FaultKind::NoSpace],
        sometimes: &["degraded", "write.drained"],
    },
    Case {
        name: "flush",
        hypothesis: "a flush that finds no room leaves the log whole, and is done again",
        injection: "the disk is full from some step of a flush on, for a while",
        criterion: "nothing is lost; when there is room, the log is cut",
        faults: &[FaultKind::NoSpace],
        sometimes: &["flush.failed", "flush"],
    },
    Case {
        name: "merge",
        hypothesis: "a merge that finds no room leaves the segments as they were, and removes what it has begun",
        injection: "the disk is full from some step of a merge on, for a while",
        criterion: "nothing is lost; when there is room, the segments are merged",
        faults: &[FaultKind::NoSpace],
        sometimes: &["compaction.failed", "compacted"],
    },
    Case {
        name: "again-and-again",
        hypothesis: "however often it happens, no failure leaves more behind than the one before",
        injection: "the disk is full two to four times, each time for a short while",
        criterion: "nothing is lost; when there is room, all that was put off is done",
        faults: &[FaultKind::NoSpace],
        sometimes: &["degraded", "degraded.over"],
    },
    Case {
        name: "death",
        hypothesis: "whoever dies while the disk is full starts again, at the latest when there is room",
        injection: "the disk is full from some step on; meanwhile the process is killed, or power is lost",
        criterion: "every acknowledged commit is there; what was only held may be gone, and is not there by half",
        faults: &[FaultKind::NoSpace, FaultKind::Kill, FaultKind::PowerLoss],
        sometimes: &["world.killed", "world.power_lost"],
    },
];

const INVARIANTS: [Invariant; 11] = [
    Invariant { claim: B1, sometimes: &["degraded", "write.drained"] },
    Invariant { claim: D1, sometimes: &["world.power_lost", "flush.failed"] },
    Invariant { claim: D2, sometimes: &["world.power_lost"] },
    Invariant { claim: D3, sometimes: &["degraded"] },
    Invariant { claim: D4, sometimes: &["degraded"] },
    Invariant { claim: D5, sometimes: &["flush.failed"] },
    Invariant { claim: D7, sometimes: &["world.killed"] },
    Invariant { claim: Q1, sometimes: &["degraded"] },
    Invariant { claim: Q3, sometimes: &["degraded"] },
    Invariant { claim: Q4, sometimes: &["degraded"] },
    Invariant { claim: T1, sometimes: &["conflict"] },
];

/// The suite.
pub fn suite(vectors: Option<Arc<Vectors>>) -> Single {
    Single {
        name: "diskfull",
        about: "a disk that is full, once or again and again, in whatever the store does",
        cases: &CASES,
        invariants: &INVARIANTS,
        seeds_needed: 600,
        overlap_percent_min: 0,
        draw,
        vectors,
    }
}

fn draw(case: usize, dice: &mut Dice) -> Drawn<Params> {
    let mut params = busy(dice);
    params.degrade.failures_max = dice.between(1, 3) as u32;
    params.degrade.open_ms = dice.between(2, 20);
    params.log_file_bytes = *dice.pick(&[1024, 4096]);
    let mut tuning = tuning(dice);
    tuning.patience = Time::millis(200);
    let full = |id, point: &str, hits, dice: &mut Dice| {
        let at = Trigger::Point { name: point.into(), hit: dice.between(1, hits) as u32 };
        let lasting = Time::millis(dice.between(1, 60));
        Fault::new(id, FaultKind::NoSpace, at).lasting(lasting, Ppm(1_000_000))
    };
    let faults = match CASES[case].name {
        "commits" => {
            let point = *dice.pick(&["commit.begin", "commit.vote.begun", "commit.decide.begun"]);
            vec![full(1, point, 12, dice)]
        }
        "flush" => {
            let point = *dice.pick(&FLUSH);
            vec![full(1, point, 4, dice)]
        }
        "merge" => {
            let point = *dice.pick(&MERGE);
            vec![full(1, point, 3, dice)]
        }
        "again-and-again" => {
            let n = dice.between(2, 4) as u32;
            let mut faults = Vec::new();
            for id in 1..=n {
                let point = *dice.pick(&ANY);
                faults.push(full(id, point, 8, dice));
            }
            faults
        }
        _ => {
            let point = *dice.pick(&ANY);
            let hit = dice.between(1, 4) as u32;
            let full = full(1, point, 3, dice);
            vec![full, death_behind(2, &DEATHS, point, hit, 40, dice)]
        }
    };
    Drawn { params, tuning, faults }
}

const FLUSH: [&str; 5] = ["flush.begun", "log.roll.begun", "flush.frozen", "segment.written", "segment.synced"];
const MERGE: [&str; 4] = ["compact.begun", "compact.begun", "segment.written", "segment.synced"];
const ANY: [&str; 7] = [
    "commit.begin",
    "commit.begin",
    "flush.begun",
    "flush.frozen",
    "segment.written",
    "compact.begun",
    "consolidate.proposed",
];
