//! Suite `recovery`: a recovery that is itself killed, cut off and refused, again and again.

use std::sync::Arc;

use stormproof_sim::{
    check::invariant::Invariant,
    hunt::{Atlas, Case, Drawn},
    world::{
        dice::Dice,
        fault::{Fault, FaultKind, Trigger},
    },
};

use super::single::{DEATHS, Params, Single, death_behind, tuning};
use crate::{
    invariants::claims::{D1, D2, D3, D4, D5, D7, Q1, Q3, Q4, T1},
    vectors::Vectors,
};

const CASES: [Case; 4] = [
    Case {
        name: "crash-in-recovery",
        hypothesis: "a recovery that is killed, or loses power, can be repeated until it is done",
        injection: "a death in a commit, then up to three more at every disk call and point of recovery",
        criterion: "the state is the same after each recovery",
        faults: &[FaultKind::Kill, FaultKind::PowerLoss],
        sometimes: &["world.power_lost"],
    },
    Case {
        name: "restart-loop",
        hypothesis: "a process that dies in each of its boots still comes up when it is left alone",
        injection: "the process is killed in up to five boots in a row",
        criterion: "it starts, and everything acknowledged is there",
        faults: &[FaultKind::RestartLoop],
        sometimes: &["world.killed"],
    },
    Case {
        name: "failing-disk",
        hypothesis: "a recovery whose disk calls fail tries again, and believes nothing it could not make durable",
        injection: "syncs, writes, renames, removes and listings fail while it recovers; then it dies",
        criterion: "it comes up once the disk works, and everything acknowledged is there",
        faults: &[FaultKind::SyncError, FaultKind::SyncDirError, FaultKind::RenameError],
        sometimes: &["world.boot_retried"],
    },
    Case {
        name: "swarm",
        hypothesis: "the engine survives every mixture of faults that its claims allow",
        injection: "one to three kinds of fault out of fourteen, at calls, points and times",
        criterion: "all claims hold",
        faults: &[FaultKind::Pause, FaultKind::SlowDisk, FaultKind::DiskStall, FaultKind::ClockJump],
        sometimes: &["world.killed", "world.power_lost"],
    },
];

const INVARIANTS: [Invariant; 10] = [
    Invariant { claim: D1, sometimes: &["world.killed", "world.power_lost"] },
    Invariant { claim: D2, sometimes: &["world.power_lost"] },
    Invariant { claim: D3, sometimes: &["l1.rebuilt"] },
    Invariant { claim: D4, sometimes: &["world.killed"] },
    Invariant { claim: D5, sometimes: &["log.tail_truncated"] },
    Invariant { claim: D7, sometimes: &["world.boot_retried"] },
    Invariant { claim: Q1, sometimes: &[] },
    Invariant { claim: Q3, sometimes: &[] },
    Invariant { claim: Q4, sometimes: &[] },
    Invariant { claim: T1, sometimes: &["conflict"] },
];

/// What the engine claims to survive in any mixture.
const SURVIVES: [FaultKind; 14] = [
    FaultKind::Kill,
    FaultKind::PowerLoss,
    FaultKind::RestartLoop,
    FaultKind::Pause,
    FaultKind::SlowDisk,
    FaultKind::DiskStall,
    FaultKind::SyncError,
    FaultKind::SyncDirError,
    FaultKind::RenameError,
    FaultKind::RemoveError,
    FaultKind::ListError,
    FaultKind::NoSpace,
    FaultKind::ClockJump,
    FaultKind::LostReply,
];

/// The suite.
pub fn suite(vectors: Option<Arc<Vectors>>) -> Single {
    Single {
        name: "recovery",
        about: "crashes during recovery, repeatedly, on disks that go on failing",
        cases: &CASES,
        invariants: &INVARIANTS,
        seeds_needed: 1_000,
        overlap_percent_min: 0,
        draw,
        vectors,
    }
}

fn draw(case: usize, dice: &mut Dice) -> Drawn<Params> {
    let params = Params::draw(dice);
    let tuning = tuning(dice);
    let name = CASES[case].name;
    let faults = match name {
        "crash-in-recovery" => {
            let mut faults = vec![in_commit(1, dice)];
            let more = dice.between(1, 3) as u32;
            faults.extend((0..more).map(|n| in_recovery(2 + n, 2 + n, *dice.pick(&DEATHS), dice)));
            faults
        }
        "restart-loop" => {
            let at = Trigger::Call { op: None, path: None, nth: dice.between(10, 90) as u32, after: false };
            vec![Fault::new(1, FaultKind::RestartLoop, at).amount(dice.between(1, 5))]
        }
        "failing-disk" => failing_disk(dice),
        _ => Atlas::new(1, &[]).allow(&SURVIVES).calls(160).at_most(5).draw(dice),
    };
    Drawn { params, tuning, faults }
}

fn in_commit(id: u32, dice: &mut Dice) -> Fault {
    let hit = dice.between(1, 6) as u32;
    death_behind(id, &DEATHS, "commit.begin", hit, 12, dice)
}

/// A fault in the `boot`-th recovery, counted with the first start.
fn in_recovery(id: u32, boot: u32, kind: FaultKind, dice: &mut Dice) -> Fault {
    let at = Trigger::Beyond {
        name: "recover.begun".into(),
        hit: boot,
        nth: dice.between(1, 24) as u32,
        after: dice.percent(50),
    };
    Fault::new(id, kind, at)
}

fn failing_disk(dice: &mut Dice) -> Vec<Fault> {
    let kinds = [
        FaultKind::SyncError,
        FaultKind::SyncDirError,
        FaultKind::RenameError,
        FaultKind::WriteError,
        FaultKind::RemoveError,
    ];
    let mut faults = vec![in_commit(1, dice)];
    for n in 0..dice.between(1, 3) as u32 {
        let kind = *dice.pick(&kinds);
        faults.push(in_recovery(2 + n, 2 + n, kind, dice).amount(dice.below(2)));
    }
    let last = faults.len() as u32;
    faults.push(in_recovery(last + 1, last + 1, *dice.pick(&DEATHS), dice));
    faults
}
