//! Suite `commit`: one transaction over two tiers, and over foreign managers, killed, cut off and refused at every step.

use std::sync::Arc;

use stormproof_engine::memory::{L1Persist, LedgerConfig};
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

use super::single::{DEATHS, Params, Single, death_behind, tuning};
use crate::{
    invariants::claims::{D1, D2, D3, D4, D5, D7, Q1, Q3, Q4, T1},
    vectors::Vectors,
};

const CASES: [Case; 11] = [
    Case {
        name: "CE-01-kill",
        hypothesis: "a process killed while it votes recovers to the state before the transaction",
        injection: "kill at every disk call and point from the beginning of a commit to its decision",
        criterion: "nothing of the batch is there after recovery; all that was acknowledged before is",
        faults: &[FaultKind::Kill],
        sometimes: &["died before the decision"],
    },
    Case {
        name: "CE-01-power",
        hypothesis: "power lost while it votes leaves the state before the transaction",
        injection: "power loss at every disk call and point from the beginning of a commit to its decision",
        criterion: "nothing of the batch is there after recovery; all that was acknowledged before is",
        faults: &[FaultKind::PowerLoss],
        sometimes: &["died before the decision"],
    },
    Case {
        name: "decision",
        hypothesis: "a transaction that was not acknowledged is wholly there or not at all",
        injection: "kill or power loss at every disk call and point of decision, finish and recovery",
        criterion: "every tier agrees after recovery; an acknowledged commit is there",
        faults: &[FaultKind::Kill, FaultKind::PowerLoss],
        sometimes: &["recover.redone"],
    },
    Case {
        name: "CE-02",
        hypothesis: "a rename that fails in finish does not undo the commit; the index is found stale and repaired",
        injection: "the rename of the index's file fails, done or not; sometimes a kill follows",
        criterion: "the commit is acknowledged and stays; `l1.stale`, then `l1.repaired` or `l1.rebuilt`",
        faults: &[FaultKind::RenameError],
        sometimes: &["l1.stale", "l1.repaired"],
    },
    Case {
        name: "log-sync-fails",
        hypothesis: "a log that cannot be synced is never taken for an abort, and its cached bytes are never believed",
        injection: "a sync of the log fails; then perhaps a kill, and perhaps power is lost",
        criterion: "the node halts, nobody is told that the batch failed; after recovery it is wholly there or not",
        faults: &[FaultKind::SyncError],
        sometimes: &["world.halted"],
    },
    Case {
        name: "cached-frame",
        hypothesis: "a frame of several pages that only the page cache holds is made durable before it is believed",
        injection: "a sync of the log fails, the node recovers from what its cache shows, then power is lost",
        criterion: "what was acknowledged after the recovery, a retry of the doubtful batch above all, is there",
        faults: &[FaultKind::SyncError, FaultKind::PowerLoss],
        sometimes: &["world.halted", "retry.deduplicated"],
    },
    Case {
        name: "new-file",
        hypothesis: "the log goes on in a new file whatever becomes of it, of the manifest that names it, or of both",
        injection: "death while a file is made and named, or the manifest's rename or sync fails; then power is lost",
        criterion: "what was acknowledged in either file is there; the boot finds every file that it is told of",
        faults: &[FaultKind::Kill, FaultKind::PowerLoss, FaultKind::RenameError, FaultKind::SyncDirError],
        sometimes: &["world.killed", "world.power_lost"],
    },
    Case {
        name: "manager-refuses",
        hypothesis: "a manager's no aborts its own transaction and no other",
        injection: "a foreign manager refuses every third transaction; sometimes a kill",
        criterion: "the refused transaction leaves nothing on any participant; others commit",
        faults: &[],
        sometimes: &["participant.refused", "a manager took part"],
    },
    Case {
        name: "manager-hangs",
        hypothesis: "a manager that does not vote delays its own transaction and no other, and only for a while",
        injection: "a foreign manager says neither yes nor no, for longer than it is waited for",
        criterion: "the transaction is refused when its time is up, every other one is answered",
        faults: &[],
        sometimes: &["participant.timed_out"],
    },
    Case {
        name: "manager-in-doubt",
        hypothesis: "a manager that voted yes and died with the node is told how the transaction ended",
        injection: "kill or power loss between its vote and its finish",
        criterion: "it finishes what the log decided, and aborts all else",
        faults: &[FaultKind::Kill, FaultKind::PowerLoss],
        sometimes: &["participant.redriven", "a manager took part"],
    },
    Case {
        name: "manager-fails",
        hypothesis: "a manager whose disk fails says yes to nothing that it could lose, and hears every end at last",
        injection: "writes, syncs and renames of the managers' books fail, done or not; then perhaps a death",
        criterion: "every participant agrees with the log; whoever was not told is told again",
        faults: &[FaultKind::WriteError, FaultKind::SyncError, FaultKind::SyncDirError, FaultKind::RenameError],
        sometimes: &["participant.redriven", "a manager took part"],
    },
];

const INVARIANTS: [Invariant; 10] = [
    Invariant { claim: D1, sometimes: &["world.killed", "world.power_lost"] },
    Invariant { claim: D2, sometimes: &["died before the decision", "transactions shared a batch"] },
    Invariant { claim: D3, sometimes: &["l1.stale"] },
    Invariant { claim: D4, sometimes: &["participant.refused"] },
    Invariant { claim: D5, sometimes: &["recover.redone"] },
    Invariant { claim: D7, sometimes: &["world.killed"] },
    Invariant { claim: Q1, sometimes: &[] },
    Invariant { claim: Q3, sometimes: &[] },
    Invariant { claim: Q4, sometimes: &[] },
    Invariant { claim: T1, sometimes: &["conflict"] },
];

/// The suite.
pub fn suite(vectors: Option<Arc<Vectors>>) -> Single {
    Single {
        name: "commit",
        about: "two-phase commit over log, exact index and foreign managers, under every crash",
        cases: &CASES,
        invariants: &INVARIANTS,
        seeds_needed: 2_000,
        overlap_percent_min: 0,
        draw,
        vectors,
    }
}

fn draw(case: usize, dice: &mut Dice) -> Drawn<Params> {
    let mut params = Params::draw(dice);
    let tuning = tuning(dice);
    let faults = match CASES[case].name {
        "CE-01-kill" => deaths(dice, &[FaultKind::Kill], "commit.begin", 9),
        "CE-01-power" => deaths(dice, &[FaultKind::PowerLoss], "commit.begin", 9),
        "decision" if dice.percent(30) => deaths_in_recovery(dice),
        "decision" if dice.percent(25) => vec![death_at_a_file(dice, &["l1/*", "log*", "manifest*"])],
        "decision" => {
            let from = *dice.pick(&DECISION);
            deaths(dice, &DEATHS, from, 12)
        }
        "CE-02" => ce_02(&mut params, dice),
        "log-sync-fails" => sync_fails(dice),
        "cached-frame" => cached_frame(&mut params, dice),
        "new-file" => new_file(&mut params, dice),
        "manager-refuses" => {
            with_managers(&mut params, LedgerConfig { refuse_every: 3, ..LedgerConfig::default() }, dice);
            sometimes_a_death(dice)
        }
        "manager-hangs" => {
            let hangs =
                LedgerConfig { hang_every: 3, hang_votes: dice.between(1, 40) as u32, ..LedgerConfig::default() };
            with_managers(&mut params, hangs, dice);
            sometimes_a_death(dice)
        }
        "manager-fails" => {
            with_managers(&mut params, LedgerConfig::default(), dice);
            managers_fail(dice)
        }
        _ => {
            with_managers(&mut params, LedgerConfig::default(), dice);
            let from = *dice.pick(&IN_DOUBT);
            if dice.percent(30) {
                deaths_in_recovery(dice)
            } else if dice.percent(40) {
                vec![death_at_a_file(dice, &["managers*"])]
            } else {
                deaths(dice, &DEATHS, from, 20)
            }
        }
    };
    Drawn { params, tuning, faults }
}

/// Where decision and finish are under way, and what follows from them: merging, a new log file, a new manifest.
const DECISION: [&str; 8] = [
    "recover.begun",
    "commit.decide.begun",
    "commit.decide.log_synced",
    "commit.finish.published",
    "l1.merge.begun",
    "l1.merge.synced",
    "log.roll.begun",
    "manifest.renamed",
];

/// Where a manager has not voted yet, has voted, or is being told the end.
const IN_DOUBT: [&str; 5] = [
    "commit.prepare.begun",
    "commit.begin",
    "commit.decide.log_synced",
    "commit.finish.published",
    "l1.merge.installed",
];

/// A death in a commit, and one or two more in the recoveries that follow.
fn deaths_in_recovery(dice: &mut Dice) -> Vec<Fault> {
    let mut faults = deaths(dice, &DEATHS, "commit.begin", 20);
    faults.truncate(1);
    for boot in 2..=dice.between(2, 3) as u32 {
        faults.push(death_behind(boot, &DEATHS, "recover.begun", boot, 40, dice));
    }
    faults
}

/// A death at some call on some file, wherever in the protocol that is.
fn death_at_a_file(dice: &mut Dice, files: &[&str]) -> Fault {
    let path = Some((*dice.pick(files)).to_owned());
    let at = Trigger::Call { op: None, path, nth: dice.between(1, 60) as u32, after: dice.percent(50) };
    Fault::new(1, *dice.pick(&DEATHS), at)
}

/// One to three deaths, each at a disk call behind a point.
fn deaths(dice: &mut Dice, kinds: &[FaultKind], from: &str, calls: u64) -> Vec<Fault> {
    let count = dice.between(1, 3) as u32;
    let mut hit = 0;
    (1..=count)
        .map(|id| {
            hit += dice.between(1, 5) as u32;
            death_behind(id, kinds, from, hit, calls, dice)
        })
        .collect()
}

fn sometimes_a_death(dice: &mut Dice) -> Vec<Fault> {
    if dice.percent(50) { deaths(dice, &DEATHS, "commit.begin", 20) } else { Vec::new() }
}

fn ce_02(params: &mut Params, dice: &mut Dice) -> Vec<Fault> {
    if dice.percent(50) {
        params.l1_persist = L1Persist::Delta { merge_after: dice.between(2, 6) as u32 };
    }
    let nth = dice.between(1, 4) as u32;
    let at = Trigger::Call { op: None, path: None, nth, after: false };
    let mut faults = vec![Fault::new(1, FaultKind::RenameError, at).path("l1/*").amount(dice.below(2))];
    if dice.percent(40) {
        let kind = *dice.pick(&DEATHS);
        let at = Trigger::Beyond {
            name: "commit.decide.log_synced".into(),
            hit: nth + dice.below(2) as u32,
            nth: dice.between(1, 8) as u32,
            after: dice.percent(50),
        };
        faults.push(Fault::new(2, kind, at));
    }
    faults
}

fn sync_fails(dice: &mut Dice) -> Vec<Fault> {
    let nth = dice.between(1, 6) as u32;
    let mut faults = vec![sync_of_the_log_fails(nth)];
    if dice.percent(30) {
        // Right behind the commit whose sync has failed, if the engine went on in spite of it.
        let at = Trigger::Beyond {
            name: "commit.decide.log_synced".into(),
            hit: nth.saturating_sub(1).max(1),
            nth: dice.between(1, 9) as u32,
            after: dice.percent(50),
        };
        faults.push(Fault::new(2, FaultKind::PowerLoss, at));
    } else if dice.percent(60) {
        let kind = *dice.pick(&DEATHS);
        let at = Trigger::Point { name: "recover.log_resumed".into(), hit: dice.between(1, 3) as u32 };
        faults.push(Fault::new(2, kind, at));
    }
    faults
}

fn sync_of_the_log_fails(nth: u32) -> Fault {
    let at = Trigger::Call { op: None, path: None, nth, after: false };
    Fault::new(1, FaultKind::SyncError, at).path("log*")
}

/// The page that a recovery cuts is written by the cut. Only frames that begin pages before it tell whether recovery
/// has made them durable.
fn cached_frame(params: &mut Params, dice: &mut Dice) -> Vec<Fault> {
    params.log_file_bytes = 65_536;
    params.habits.text_bytes = dice.between(1, 8) as usize * 1500;
    params.habits.clients += 1;
    let at = Trigger::Beyond {
        // The first is that of the creation.
        name: "recover.redriven".into(),
        hit: 2,
        nth: dice.between(1, 9) as u32,
        after: dice.percent(50),
    };
    vec![sync_of_the_log_fails(dice.between(2, 6) as u32), Fault::new(2, FaultKind::PowerLoss, at)]
}

/// A file takes a few frames. Half of the runs die while the next one is made or named; in the others the manifest that
/// names it fails, and the log goes on for a while in spite of it.
fn new_file(params: &mut Params, dice: &mut Dice) -> Vec<Fault> {
    params.log_file_bytes = 4096;
    params.habits.text_bytes = dice.between(1, 8) as usize * 100;
    params.habits.ops_per_client += 4;
    let hit = dice.between(1, 4) as u32;
    let first = if dice.percent(50) {
        let point = *dice.pick(&["log.roll.begun", "log.roll.created"]);
        death_behind(1, &[FaultKind::Kill, FaultKind::Kill, FaultKind::PowerLoss], point, hit, 14, dice)
    } else {
        let at = Trigger::Point { name: "log.roll.created".into(), hit };
        let failure = Fault::new(1, *dice.pick(&[FaultKind::RenameError, FaultKind::SyncDirError]), at);
        failure.amount(dice.below(2))
    };
    let hit = dice.between(1, 12) as u32;
    let mut faults = vec![first, death_behind(2, &DEATHS, "commit.finish.published", hit, 9, dice)];
    if dice.percent(40) {
        let boot = dice.between(2, 3) as u32;
        faults.push(death_behind(3, &[FaultKind::PowerLoss], "recover.redriven", boot, 20, dice));
    }
    faults
}

/// One to three failures of the managers' disks, some of which last; then perhaps a death, and perhaps one more.
fn managers_fail(dice: &mut Dice) -> Vec<Fault> {
    let kinds = [
        FaultKind::WriteError,
        FaultKind::ShortWrite,
        FaultKind::SyncError,
        FaultKind::SyncDirError,
        FaultKind::RenameError,
    ];
    let mut faults = Vec::new();
    for id in 1..=dice.between(1, 3) as u32 {
        let at = Trigger::Call { op: None, path: None, nth: dice.between(1, 9) as u32, after: false };
        let once = Fault::new(id, *dice.pick(&kinds), at).path("managers/*").amount(dice.below(2));
        let goes_on = dice.percent(30);
        let (time, chance) = (Time::millis(dice.between(1, 40)), Ppm(*dice.pick(&[300_000, 1_000_000])));
        faults.push(if goes_on { once.lasting(time, chance) } else { once });
    }
    for id in 4..4 + dice.below(3) as u32 {
        let calls = dice.between(1, 70) as u32;
        let mut death = death_at_a_file(dice, &["managers*"]);
        if dice.percent(50) {
            let (name, hit) = ((*dice.pick(&IN_DOUBT)).into(), dice.between(1, 8) as u32);
            death.at = Trigger::Beyond { name, hit, nth: calls.min(20), after: dice.percent(50) };
        }
        faults.push(Fault { id, ..death });
    }
    faults
}

fn with_managers(params: &mut Params, ledger: LedgerConfig, dice: &mut Dice) {
    params.ledger = ledger;
    params.habits.managers = (0..dice.between(1, 2)).map(|n| format!("ledger-{n}")).collect();
    params.habits.managers_percent = 60;
    params.habits.ops_per_client += 4;
}
