//! Suite `rot`: bits flip at rest, in every kind of file, while the store does all that it does: commits, flushes, merges,
//! consolidation, searches over what is not in memory, health checks.

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

use super::single::{Params, Single, busy, death_later, tuning};
use crate::{
    invariants::claims::{D1, D2, D3, D4, D5, D6, D7, Q1, Q3, Q4, T1},
    vectors::Vectors,
};

const CASES: [Case; 5] = [
    Case {
        name: "log",
        hypothesis: "a log that is damaged before its end is not taken for a short one",
        injection: "a bit of a file of the log flips; then the process is killed",
        criterion: "the boot is refused, naming file and offset, or nothing that was acknowledged was there",
        faults: &[FaultKind::BitRot, FaultKind::Kill],
        sometimes: &["world.boot_refused"],
    },
    Case {
        name: "segments",
        hypothesis: "damage in a segment is met by whoever reads there, and comes out under no checksum that is right",
        injection: "bits of segments flip before, while and after they are merged; then the process is killed",
        criterion: "no answer shows what nobody wrote; the boot is refused, or whoever reads there is told where",
        faults: &[FaultKind::BitRot, FaultKind::Kill],
        sometimes: &["world.boot_refused", "compacted", "damage waits to be met"],
    },
    Case {
        name: "index-files",
        hypothesis: "a file of the exact index that rots is made again from the ground truth",
        injection: "bits of the files of the index flip; then the process is killed",
        criterion: "the boot succeeds; every answer is exact",
        faults: &[FaultKind::BitRot, FaultKind::Kill],
        sometimes: &["l1.rebuilt"],
    },
    Case {
        name: "several",
        hypothesis: "whichever damage is met first, none is returned as data",
        injection: "bits flip in two to four places of any files; then the process is killed",
        criterion: "no answer shows what nobody wrote; a refusal names file and offset",
        faults: &[FaultKind::BitRot, FaultKind::Kill],
        sometimes: &["world.boot_refused"],
    },
    Case {
        name: "scrubbed",
        hypothesis: "health checks find damage in a segment before a query does",
        injection: "a bit of a segment flips; health is checked every few milliseconds",
        criterion: "the damage is noted",
        faults: &[FaultKind::BitRot],
        sometimes: &["health.damaged"],
    },
];

const INVARIANTS: [Invariant; 11] = [
    Invariant { claim: D6, sometimes: &["world.boot_refused", "damage waits to be met"] },
    Invariant { claim: D1, sometimes: &["world.killed"] },
    Invariant { claim: D2, sometimes: &["world.killed"] },
    Invariant { claim: D3, sometimes: &["l1.rebuilt"] },
    Invariant { claim: D4, sometimes: &["world.killed"] },
    Invariant { claim: D5, sometimes: &["world.killed"] },
    Invariant { claim: D7, sometimes: &["world.killed"] },
    Invariant { claim: Q1, sometimes: &["damage waits to be met"] },
    Invariant { claim: Q3, sometimes: &["damage waits to be met"] },
    Invariant { claim: Q4, sometimes: &["damage waits to be met"] },
    Invariant { claim: T1, sometimes: &["conflict"] },
];

/// The suite.
pub fn suite(vectors: Option<Arc<Vectors>>) -> Single {
    Single {
        name: "rot",
        about: "bits that flip at rest, in every kind of file, in a store that does all that it does",
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
    let mut tuning = tuning(dice);
    // What the cache still holds hides the rot.
    tuning.evict = *dice.pick(&[tuning.evict, Ppm(1_000_000)]);
    // Only the answer to its last attempt tells a client that a file is damaged.
    tuning.patience = Time::millis(200);
    let flip = |id, path: &str, dice: &mut Dice| {
        let point = *dice.pick(&["commit.finish.published", "flush.published", "compact.begun", "compact.published"]);
        let at = Trigger::Point { name: point.into(), hit: dice.between(1, 5) as u32 };
        Fault::new(id, FaultKind::BitRot, at).path(path)
    };
    let faults = match CASES[case].name {
        "log" => vec![flip(1, "log.*", dice), death_later(9, 2..=14, dice)],
        "segments" => {
            let n = dice.between(1, 2) as u32;
            let flips = (1..=n).map(|id| flip(id, "segments/*", dice));
            flips.collect::<Vec<_>>().into_iter().chain([death_later(9, 4..=16, dice)]).collect()
        }
        "index-files" => {
            // Only what was synced can rot: the whole index, or a base that deltas were merged into.
            // And a flush replaces them.
            (params.flush_records, params.habits.mix.consolidate) = (*dice.pick(&[4, 10_000]), 0);
            params.l1_persist = if dice.percent(50) { L1Persist::Rewrite } else { L1Persist::Delta { merge_after: 1 } };
            vec![flip(1, "l1/*", dice), flip(2, "l1/*", dice), death_later(9, 2..=14, dice)]
        }
        "several" => {
            let n = dice.between(2, 4) as u32;
            let flips = (1..=n).map(|id| {
                let path = *dice.pick(&["log.*", "segments/*", "l1/*", "manifest"]);
                flip(id, path, dice)
            });
            flips.collect::<Vec<_>>().into_iter().chain([death_later(9, 4..=16, dice)]).collect()
        }
        _ => {
            params.degrade.health_ms = dice.between(5, 20);
            vec![flip(1, "segments/*", dice)]
        }
    };
    Drawn { params, tuning, faults }
}
