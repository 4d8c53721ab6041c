//! Suite `compaction`: segments are merged by a job beside the node, while either dies, the disk fails, rots or lies, and
//! queries read the files that are replaced.

use std::sync::Arc;

use stormproof_contract::DiskOp;
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

const CASES: [Case; 7] = [
    Case {
        name: "death",
        hypothesis: "whenever it dies, the manifest names the old segments or the new one, and all that it names is there",
        injection: "kill or power loss at every disk call of node and job, and again in the merges and recoveries after it",
        criterion: "every acknowledged commit is there; no removed record comes back; what was left behind is removed",
        faults: &[FaultKind::Kill, FaultKind::PowerLoss],
        sometimes: &["compacted", "world.killed", "world.power_lost"],
    },
    Case {
        name: "job-dies",
        hypothesis: "a job that is killed leaves a file that nobody believes, and is started again under another number",
        injection: "the job is killed at every disk call, its node lives",
        criterion: "commits and queries go on; the segments are merged in the end",
        faults: &[FaultKind::JobKill],
        sometimes: &["compaction.failed", "compacted"],
    },
    Case {
        name: "orphan",
        hypothesis: "a job that outlives its node writes where no other writer ever does",
        injection: "the process is killed, its job goes on; perhaps it dies again",
        criterion: "the next life merges the same segments; nothing of the orphan's is believed",
        faults: &[FaultKind::JobOrphan],
        sometimes: &["compacted"],
    },
    Case {
        name: "disk-fails",
        hypothesis: "a merge that fails leaves all as it was, or as if it had succeeded, and is done again",
        injection: "opens, reads, writes, syncs and renames of segments and manifest fail, done or not; then perhaps it dies",
        criterion: "no file is removed that a manifest names which may be found; nothing is lost",
        faults: &[
            FaultKind::OpenError,
            FaultKind::ReadError,
            FaultKind::WriteError,
            FaultKind::SyncError,
            FaultKind::SyncDirError,
            FaultKind::RenameError,
            FaultKind::RemoveError,
        ],
        sometimes: &["compaction.failed", "compacted"],
    },
    Case {
        name: "rot",
        hypothesis: "damage in a segment ends the merge: it does not come out under a checksum that is right",
        injection: "a bit of a segment flips at rest before, while, or after it is merged; then the process is killed",
        criterion: "nothing shows what nobody wrote; the boot is refused, naming file and offset",
        faults: &[FaultKind::BitRot, FaultKind::Kill],
        sometimes: &["compaction.failed", "world.boot_refused"],
    },
    Case {
        name: "lying-disk",
        hypothesis: "a write of the merged segment that was acknowledged, synced and never done is found when it is read",
        injection: "a write of a segment is lost, torn or lands elsewhere; then the process is killed, its cache dropped",
        criterion: "no answer shows what was not written; the boot is refused, naming file and offset",
        faults: &[FaultKind::LostWrite, FaultKind::TornWrite, FaultKind::MisdirectedWrite, FaultKind::Kill],
        sometimes: &["compacted", "world.boot_refused"],
    },
    Case {
        name: "readers",
        hypothesis: "a query reads on in the segments that it began with, whatever takes their place",
        injection: "every disk call takes long for a while, so that queries span merges",
        criterion: "each answer is exact as of the LSN that it names",
        faults: &[FaultKind::SlowDisk],
        sometimes: &["compacted"],
    },
];

const INVARIANTS: [Invariant; 11] = [
    Invariant { claim: D1, sometimes: &["compacted", "world.power_lost"] },
    Invariant { claim: D2, sometimes: &["world.power_lost"] },
    Invariant { claim: D3, sometimes: &["compacted"] },
    Invariant { claim: D4, sometimes: &["compaction.failed", "world.killed"] },
    Invariant { claim: D5, sometimes: &["compacted"] },
    Invariant { claim: D6, sometimes: &["world.boot_refused"] },
    Invariant { claim: D7, sometimes: &["compacted"] },
    Invariant { claim: Q1, sometimes: &["compacted"] },
    Invariant { claim: Q3, sometimes: &["compacted"] },
    Invariant { claim: Q4, sometimes: &["compacted"] },
    Invariant { claim: T1, sometimes: &["conflict"] },
];

/// The suite.
pub fn suite(vectors: Option<Arc<Vectors>>) -> Single {
    Single {
        name: "compaction",
        about: "merging segments under death of node and job, failure, rot and lies, while queries read them",
        cases: &CASES,
        invariants: &INVARIANTS,
        seeds_needed: 1_800,
        overlap_percent_min: 0,
        draw,
        vectors,
    }
}

/// Few records, written and removed often, flushed every one or two and merged in pairs.
fn draw(case: usize, dice: &mut Dice) -> Drawn<Params> {
    let mut params = Params::draw(dice);
    params.flush_records = dice.between(1, 3) as usize;
    params.merge_run_min = dice.between(2, 3) as usize;
    params.tombstones_percent = *dice.pick(&[0, 20, 20, 100]);
    params.habits.clients = params.habits.clients.max(2);
    params.habits.ops_per_client += 6;
    params.habits.mix = Mix { delete: 25, insert: 25, ..params.habits.mix };
    let mut tuning = tuning(dice);
    // Reading what was flushed takes a while, and only the answer to its last attempt tells a client that a file is damaged.
    tuning.patience = Time::millis(200);
    tuning.job_latency.max = *dice.pick(&[Time::micros(200), Time::millis(2), Time::millis(20)]);
    let faults = match CASES[case].name {
        "death" => deaths(&STEPS, 2, 30, dice),
        "job-dies" => {
            let job_dies = |id, dice: &mut Dice| behind(id, FaultKind::JobKill, dice);
            (1..=dice.between(1, 3) as u32).map(|id| job_dies(id, dice)).collect()
        }
        "orphan" => {
            // A slow job has a long life after its node, and one that was only begun still has all its files to open.
            (tuning.job_latency.max, tuning.query_latency.max) = (Time::millis(20), Time::millis(20));
            // And the next life flushes, and gives numbers, while it is still there.
            (params.flush_records, params.flush_slice_bytes) = (dice.between(1, 2) as usize, 1 << 20);
            let (hit, nth) = (dice.between(1, 3) as u32, dice.between(1, 40).min(dice.between(1, 40)) as u32);
            let at = Trigger::Beyond { name: "compact.begun".into(), hit, nth, after: dice.percent(50) };
            let mut faults = vec![Fault::new(1, FaultKind::JobOrphan, at)];
            if dice.percent(50) {
                let (step, hit) = (*dice.pick(&STEPS), dice.between(1, 3) as u32);
                faults.push(death_behind(2, &DEATHS, step, hit, 20, dice));
            }
            faults
        }
        "disk-fails" => failures(dice),
        "rot" => {
            let point = *dice.pick(&["flush.published", "compact.begun", "segment.synced", "compact.published"]);
            let at = Trigger::Point { name: point.into(), hit: dice.between(1, 5) as u32 };
            vec![Fault::new(1, FaultKind::BitRot, at).path("segments/*"), death_later(2, 4..=16, dice)]
        }
        "lying-disk" => {
            // What the cache still holds would hide the lie.
            tuning.evict = Ppm(1_000_000);
            let kind = *dice.pick(&[FaultKind::LostWrite, FaultKind::TornWrite, FaultKind::MisdirectedWrite]);
            // Of several writes to a page the last one counts.
            params.habits.text_bytes = *dice.pick(&[0, 600, 2000]);
            let (op, path) = (Some(DiskOp::Write), Some("segments/*".into()));
            let at = Trigger::Call { op, path, nth: dice.between(10, 80) as u32, after: false };
            vec![Fault::new(1, kind, at).path("segments/*"), death_later(2, 4..=16, dice)]
        }
        _ => {
            params.habits.mix = Mix { get: 40, search: 30, ..params.habits.mix };
            let at = Trigger::Point { name: "compact.begun".into(), hit: dice.between(1, 2) as u32 };
            let slow = Fault::new(1, FaultKind::SlowDisk, at).amount(dice.between(100_000, 5_000_000));
            vec![slow.lasting(Time::millis(dice.between(5, 200)), Ppm(1_000_000))]
        }
    };
    Drawn { params, tuning, faults }
}

/// The steps of a merge, of the job and of the node.
const STEPS: [&str; 6] =
    ["compact.begun", "compact.begun", "segment.written", "segment.synced", "compact.installed", "compact.published"];

/// Strikes at one of the disk calls that follow the beginning of a merge.
fn behind(id: u32, kind: FaultKind, dice: &mut Dice) -> Fault {
    let (hit, nth) = (dice.between(1, 3) as u32, dice.between(1, 40) as u32);
    let at = Trigger::Beyond { name: "compact.begun".into(), hit, nth, after: dice.percent(50) };
    Fault::new(id, kind, at)
}

/// A manifest is installed, and the node is told that it is not; then it dies.
fn told_that_it_failed(dice: &mut Dice) -> Vec<Fault> {
    let hit = dice.between(3, 16) as u32;
    let at = Trigger::Point { name: "manifest.synced".into(), hit };
    let failure = Fault::new(1, *dice.pick(&[FaultKind::RenameError, FaultKind::SyncDirError]), at).amount(1);
    vec![failure, death_behind(2, &DEATHS, "manifest.synced", hit, 24, dice)]
}

fn failures(dice: &mut Dice) -> Vec<Fault> {
    if dice.percent(30) {
        return told_that_it_failed(dice);
    }
    let mut faults = Vec::new();
    for id in 1..=dice.between(1, 2) as u32 {
        let name = (*dice.pick(&["compact.begun", "segment.written", "segment.synced", "manifest.written"])).into();
        let at = Trigger::Point { name, hit: dice.between(1, 4) as u32 };
        let kind = *dice.pick(CASES[3].faults);
        let path = if matches!(kind, FaultKind::RenameError | FaultKind::SyncDirError) { "*" } else { "segments/*" };
        faults.push(Fault::new(id, kind, at).path(path).amount(dice.below(2)));
    }
    if dice.percent(60) {
        let (step, hit) = (*dice.pick(&STEPS), dice.between(1, 4) as u32);
        faults.push(death_behind(9, &DEATHS, step, hit, 20, dice));
    }
    faults
}
