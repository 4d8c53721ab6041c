//! Suite `flush`: what the log had goes into a segment and the log is cut behind it, while the process dies, the disk
//! fails, rots or lies, and queries read.
//!
//! A segment is the only copy of what it holds, so rot of one cannot be survived, only told: by the boot, or, of a vector that
//! it does not read, by the query that does.

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

use super::single::{DEATHS, Params, Single, death_behind, death_later, deaths, tuning};
use crate::{
    invariants::claims::{D1, D2, D3, D4, D5, D6, D7, Q1, Q3, Q4, T1},
    vectors::Vectors,
    workloads::Mix,
};

const CASES: [Case; 6] = [
    Case {
        name: "death",
        hypothesis: "whenever it dies, what is flushed is in the log or in a segment that the manifest names",
        injection: "kill or power loss at every disk call of a flush, and again in the flushes and recoveries after it",
        criterion: "every acknowledged commit is there; what an attempt left behind is removed",
        faults: &[FaultKind::Kill, FaultKind::PowerLoss],
        sometimes: &["flush", "world.killed", "world.power_lost"],
    },
    Case {
        name: "disk-fails",
        hypothesis: "a flush that fails leaves all as it was, or as if it had succeeded, and is done again",
        injection: "writes, syncs and renames of segment and manifest fail, done or not; then perhaps it dies",
        criterion: "commits go on; no file is removed that a manifest names which may be found; nothing is lost",
        faults: &[FaultKind::WriteError, FaultKind::SyncError, FaultKind::SyncDirError, FaultKind::RenameError],
        sometimes: &["flush.failed", "flush"],
    },
    Case {
        name: "disk-full",
        hypothesis: "a flush that finds no room is put off, and neither it nor a commit loses anything",
        injection: "the disk is full for a while",
        criterion: "what was refused for want of space leaves nothing; when there is room, it is flushed",
        faults: &[FaultKind::NoSpace],
        sometimes: &["flush"],
    },
    Case {
        name: "rot",
        hypothesis: "a bit that flips in a segment is found before anything of it is believed",
        injection: "a bit of a segment flips at rest; queries read it, then the process is killed",
        criterion: "answers say that they could not read; a boot that reads it is refused, naming file and offset",
        faults: &[FaultKind::BitRot, FaultKind::Kill],
        sometimes: &["world.boot_refused"],
    },
    Case {
        name: "lying-disk",
        hypothesis: "a write of a segment that was acknowledged, synced and never done is found when it is read",
        injection: "a write of a segment is lost, torn or lands elsewhere; then the process is killed, its cache dropped",
        criterion: "no answer shows what was not written; the boot is refused, naming file and offset",
        faults: &[FaultKind::LostWrite, FaultKind::TornWrite, FaultKind::MisdirectedWrite, FaultKind::Kill],
        sometimes: &["world.boot_refused"],
    },
    Case {
        name: "reads-fail",
        hypothesis: "a query, or a commit, that cannot read a segment says so, and shows nothing else instead",
        injection: "reads of segments fail, are short, or return what stands elsewhere, for a while",
        criterion: "each answer is exact or says that the disk failed; when it works again, so do they",
        faults: &[FaultKind::ReadError, FaultKind::ShortRead, FaultKind::MisdirectedRead],
        sometimes: &["flush"],
    },
];

const INVARIANTS: [Invariant; 11] = [
    Invariant { claim: D1, sometimes: &["flush", "world.power_lost"] },
    Invariant { claim: D2, sometimes: &["world.power_lost"] },
    Invariant { claim: D3, sometimes: &["flush"] },
    Invariant { claim: D4, sometimes: &["flush.failed", "world.killed"] },
    Invariant { claim: D5, sometimes: &["flush"] },
    Invariant { claim: D6, sometimes: &["world.boot_refused"] },
    Invariant { claim: D7, sometimes: &["flush"] },
    Invariant { claim: Q1, sometimes: &["flush"] },
    Invariant { claim: Q3, sometimes: &["flush"] },
    Invariant { claim: Q4, sometimes: &["flush"] },
    Invariant { claim: T1, sometimes: &["conflict"] },
];

/// The suite.
pub fn suite(vectors: Option<Arc<Vectors>>) -> Single {
    Single {
        name: "flush",
        about: "segments: flushing under death, failure, rot and lies, and reading what was flushed",
        cases: &CASES,
        invariants: &INVARIANTS,
        seeds_needed: 1_500,
        overlap_percent_min: 0,
        draw,
        vectors,
    }
}

fn draw(case: usize, dice: &mut Dice) -> Drawn<Params> {
    let mut params = Params::draw(dice);
    params.flush_records = dice.between(1, 6) as usize;
    params.habits.ops_per_client += 4;
    params.habits.keys += dice.below(8);
    if dice.percent(20) {
        // So long a flush, in so many slices, that the log goes on in a further file meanwhile.
        (params.flush_records, params.flush_slice_bytes, params.log_file_bytes) = (10, 1, 1024);
        params.habits.ops_per_client += 6;
    }
    let mut tuning = tuning(dice);
    // Reading what was flushed takes a while, and only the answer to its last attempt tells a client that a file is damaged.
    tuning.patience = Time::millis(200);
    let faults = match CASES[case].name {
        "death" => deaths(&FLUSH, 3, 16, dice),
        "disk-fails" => failures(dice),
        "disk-full" => {
            let at = Trigger::Call { op: None, path: None, nth: dice.between(20, 120) as u32, after: false };
            vec![Fault::new(1, FaultKind::NoSpace, at).lasting(Time::millis(dice.between(1, 100)), Ppm(1_000_000))]
        }
        "rot" => {
            params.l1_rows = *dice.pick(&[0, params.l1_rows]);
            // What the cache still holds would hide the rot.
            tuning.evict = *dice.pick(&[tuning.evict, Ppm(1_000_000)]);
            params.habits.mix = Mix { get: 25, search: 25, ..params.habits.mix };
            let at = Trigger::Point { name: "flush.published".into(), hit: dice.between(1, 4) as u32 };
            vec![Fault::new(1, FaultKind::BitRot, at).path("segments/*"), death_later(2, 4..=14, dice)]
        }
        "lying-disk" => {
            params.habits.mix = Mix { search: 25, ..params.habits.mix };
            // What the cache still holds would hide the lie.
            tuning.evict = Ppm(1_000_000);
            let kind = *dice.pick(&[FaultKind::LostWrite, FaultKind::TornWrite, FaultKind::MisdirectedWrite]);
            let at = Trigger::Call { op: None, path: None, nth: dice.between(1, 9) as u32, after: false };
            vec![Fault::new(1, kind, at).path("segments/*"), death_later(2, 4..=14, dice)]
        }
        _ => {
            params.habits.mix = Mix { get: 25, search: 25, ..params.habits.mix };
            let kind = *dice.pick(&[FaultKind::ReadError, FaultKind::ShortRead, FaultKind::MisdirectedRead]);
            let at = Trigger::Point { name: "flush.published".into(), hit: dice.between(1, 3) as u32 };
            let fault = Fault::new(1, kind, at).path("segments/*");
            vec![fault.lasting(Time::millis(dice.between(1, 60)), Ppm(*dice.pick(&[200_000, 1_000_000])))]
        }
    };
    Drawn { params, tuning, faults }
}

/// The steps of a flush.
const FLUSH: [&str; 9] = [
    "flush.begun",
    "log.roll.begun",
    "log.roll.created",
    "flush.frozen",
    "segment.written",
    "segment.synced",
    "flush.installed",
    "flush.published",
    "commit.finish.published",
];

/// The manifest is installed, and the node is told that it is not; it dies when it tries again.
fn told_that_it_failed(dice: &mut Dice) -> Vec<Fault> {
    let hit = dice.between(1, 3) as u32;
    let at = Trigger::Point { name: "segment.synced".into(), hit };
    let failure = Fault::new(1, *dice.pick(&[FaultKind::RenameError, FaultKind::SyncDirError]), at).amount(1);
    vec![failure, death_behind(2, &DEATHS, "flush.begun", hit + 1, 20, dice)]
}

fn failures(dice: &mut Dice) -> Vec<Fault> {
    if dice.percent(40) {
        return told_that_it_failed(dice);
    }
    let kinds = [
        FaultKind::WriteError,
        FaultKind::SyncError,
        FaultKind::SyncDirError,
        FaultKind::RenameError,
        FaultKind::OpenError,
    ];
    let mut faults = Vec::new();
    for id in 1..=dice.between(1, 2) as u32 {
        let name =
            (*dice.pick(&["flush.begun", "flush.frozen", "segment.written", "segment.synced", "log.roll.created"]))
                .into();
        let at = Trigger::Point { name, hit: dice.between(1, 4) as u32 };
        faults.push(Fault::new(id, *dice.pick(&kinds), at).amount(dice.below(2)));
    }
    if dice.percent(60) {
        let point = *dice.pick(&["flush.begun", "commit.finish.published", "flush.published"]);
        let hit = dice.between(1, 6) as u32;
        faults.push(death_behind(9, &DEATHS, point, hit, 12, dice));
    }
    faults
}
