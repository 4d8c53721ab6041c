//! Suite `wal`: a log whose tail is torn, whose middle rots, and whose disk lies about it.
//!
//! What no log can survive is left out: the last frame rots, or never reaches the disk, *and* power is lost before the
//! index's file is durable. Nothing is left then that knows of that frame. Where only the process dies, the index's
//! file still shows that the log once was longer, and recovery has to say so.

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

use super::single::{Params, Single, death_later, tuning};
use crate::{
    invariants::claims::{D1, D2, D3, D4, D5, D6, D7, Q1, Q3, Q4, T1},
    vectors::Vectors,
};

const CASES: [Case; 7] = [
    Case {
        name: "torn-tail",
        hypothesis: "a frame that is not wholly on the disk was never acknowledged, and is cut off",
        injection: "power loss at every disk call of the decision, leaving any legal choice of what was not synced",
        criterion: "every acknowledged commit is there; the tail is cut at the first frame that is not whole",
        faults: &[FaultKind::PowerLoss],
        sometimes: &["log.tail_truncated"],
    },
    Case {
        name: "rot",
        hypothesis: "a bit that flips in the log is found before its frame is believed",
        injection: "a bit of a log file flips at rest; then the process is killed",
        criterion: "recovery refuses, naming file and offset, or the bit was in bytes that nobody needs",
        faults: &[FaultKind::BitRot, FaultKind::Kill],
        sometimes: &["world.boot_refused"],
    },
    Case {
        name: "rot-beside",
        hypothesis: "rot in the index's files is healed from the log, and rot in the manifest is named",
        injection: "a bit of the manifest, or of an index file, flips at rest; then the process is killed",
        criterion: "the index is made again, or the boot is refused, naming file and offset; no rotten byte is shown",
        faults: &[FaultKind::BitRot, FaultKind::Kill],
        sometimes: &["world.boot_refused", "l1.rebuilt"],
    },
    Case {
        name: "lying-disk",
        hypothesis: "a write that was acknowledged, synced and never done is found when the log is read again",
        injection: "a write of the log is lost, torn or lands elsewhere; then the process is killed and its cache dropped",
        criterion: "recovery refuses, naming file and offset; what is served is what was acknowledged",
        faults: &[FaultKind::LostWrite, FaultKind::TornWrite, FaultKind::MisdirectedWrite, FaultKind::Kill],
        sometimes: &["world.boot_refused"],
    },
    Case {
        name: "reads-fail",
        hypothesis: "a log that cannot be read is not taken for a short one",
        injection: "while it recovers, reads and opens fail, are short, or return what stands elsewhere",
        criterion: "recovery tries again, or refuses and names the place; it never serves less than was acknowledged",
        faults: &[FaultKind::ReadError, FaultKind::ShortRead, FaultKind::MisdirectedRead],
        sometimes: &["world.boot_retried"],
    },
    Case {
        name: "writes-fail",
        hypothesis: "a log that takes a frame in part, or not at all, never shows half of it",
        injection: "writes of the log fail or are short",
        criterion: "what was refused is gone, what was acknowledged stays, what is not known is whole or gone",
        faults: &[FaultKind::WriteError, FaultKind::ShortWrite],
        sometimes: &[],
    },
    Case {
        name: "disk-full",
        hypothesis: "a full disk refuses what it cannot hold, before it is decided, and loses nothing",
        injection: "the disk is full for a while",
        criterion: "what was refused for want of space leaves nothing; when there is room, commits go on",
        faults: &[FaultKind::NoSpace],
        sometimes: &[],
    },
];

const INVARIANTS: [Invariant; 11] = [
    Invariant { claim: D1, sometimes: &["world.power_lost", "world.killed"] },
    Invariant { claim: D2, sometimes: &["world.power_lost"] },
    Invariant { claim: D3, sometimes: &["world.power_lost"] },
    Invariant { claim: D4, sometimes: &["world.killed"] },
    Invariant { claim: D5, sometimes: &["log.tail_truncated"] },
    Invariant { claim: D6, sometimes: &["world.boot_refused"] },
    Invariant { claim: D7, sometimes: &["world.boot_retried"] },
    Invariant { claim: Q1, sometimes: &[] },
    Invariant { claim: Q3, sometimes: &[] },
    Invariant { claim: Q4, sometimes: &[] },
    Invariant { claim: T1, sometimes: &["conflict"] },
];

/// The suite.
pub fn suite(vectors: Option<Arc<Vectors>>) -> Single {
    Single {
        name: "wal",
        about: "the write-ahead log: torn tails, rot, lying disks, failing reads and writes",
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
    params.habits.ops_per_client += 3;
    let mut tuning = tuning(dice);
    let name = CASES[case].name;
    let faults = match name {
        "torn-tail" => {
            vec![death_in_decision(1, FaultKind::PowerLoss, dice), death_in_decision(2, FaultKind::PowerLoss, dice)]
        }
        "rot" => vec![on_the_log(1, FaultKind::BitRot, dice), death_later(2, 2..=10, dice)],
        "rot-beside" => {
            // Only what was synced can rot: the whole index, or a base that deltas were merged into.
            params.l1_persist = if dice.percent(50) { L1Persist::Rewrite } else { L1Persist::Delta { merge_after: 1 } };
            let path = *dice.pick(&["manifest", "l1/*", "l1/*"]);
            vec![on_the_log(1, FaultKind::BitRot, dice).path(path), death_later(2, 2..=10, dice)]
        }
        "lying-disk" => {
            // What the cache still holds would hide the lie.
            tuning.evict = Ppm(1_000_000);
            if dice.percent(50) {
                in_several_files(&mut params);
            }
            let kind = *dice.pick(&[FaultKind::LostWrite, FaultKind::TornWrite, FaultKind::MisdirectedWrite]);
            vec![on_the_log(1, kind, dice), death_later(2, 2..=10, dice)]
        }
        "reads-fail" => {
            if dice.percent(50) {
                in_several_files(&mut params);
            }
            let kind = *dice.pick(&[
                FaultKind::ReadError,
                FaultKind::ShortRead,
                FaultKind::MisdirectedRead,
                FaultKind::OpenError,
            ]);
            let at = Trigger::Point { name: "recover.begun".into(), hit: dice.between(2, 3) as u32 };
            let path = *dice.pick(&["*", "log*", "log*", "l1/*"]);
            let fault = Fault::new(1, kind, at).path(path);
            let fault =
                if dice.percent(50) { fault.lasting(Time::millis(dice.between(1, 60)), Ppm(300_000)) } else { fault };
            vec![death_in_decision(2, FaultKind::Kill, dice), fault, death_later(3, 2..=10, dice)]
        }
        "writes-fail" => {
            let kind = *dice.pick(&[FaultKind::WriteError, FaultKind::ShortWrite]);
            vec![on_the_log(1, kind, dice), on_the_log(2, kind, dice)]
        }
        _ => {
            let at = Trigger::Call { op: None, path: None, nth: dice.between(8, 60) as u32, after: false };
            let full =
                Fault::new(1, FaultKind::NoSpace, at).lasting(Time::millis(dice.between(1, 100)), Ppm(1_000_000));
            params.log_file_bytes = 4096;
            vec![full]
        }
    };
    Drawn { params, tuning, faults }
}

/// A log of several files, which is not cut: each of them may be the one that lies, or cannot be read.
fn in_several_files(params: &mut Params) {
    (params.log_file_bytes, params.flush_records) = (4096, 10_000);
    params.habits.text_bytes = 600;
}

fn death_in_decision(id: u32, kind: FaultKind, dice: &mut Dice) -> Fault {
    let (hit, nth) = (dice.between(1, 8) as u32, dice.between(1, 6) as u32);
    let at = Trigger::Beyond { name: "commit.decide.begun".into(), hit, nth, after: dice.percent(50) };
    Fault::new(id, kind, at)
}

fn on_the_log(id: u32, kind: FaultKind, dice: &mut Dice) -> Fault {
    let at = match kind {
        FaultKind::BitRot => Trigger::Point { name: "commit.finish.published".into(), hit: dice.between(1, 8) as u32 },
        _ => Trigger::Call { op: None, path: None, nth: dice.between(2, 9) as u32, after: false },
    };
    Fault::new(id, kind, at).path("log*")
}
