//! The cases of the real lane. Those that the simulated lane has as well bear the same names.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use stormproof_contract::System;
use stormproof_engine::memory::{Engine, L1Persist, LedgerConfig, LogFormat, Metric};

use super::{
    damage,
    lane::{Blow, CLIENTS, Lane, Lived, Tools, Trouble},
    process::Death,
    report::Tally,
    trial::Broken,
    wire::{How, Setup},
};
use crate::invariants::claims::{D1, D3};

/// Components of a vector that comes from no file.
const DIM: usize = 64;

/// Passes in which a fault is tried until it strikes.
const TRIES: u32 = 3;

/// A case.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it holds to be true.
    pub hypothesis: &'static str,
    /// What is done to the engine.
    pub injection: &'static str,
    /// When it has failed.
    pub criterion: &'static str,
    pub(super) script: fn(&mut Run<'_>) -> Result<(), Trouble>,
}

/// All of them.
pub const CASES: [Case; 7] = [
    Case {
        name: "CE-01",
        hypothesis: "a process killed while it votes recovers to the state before the transaction",
        injection: "abort at every point of the commit path and before disk calls of it; SIGKILL at random moments",
        criterion: "nothing of the batch is there after a death before the decision; all that was acknowledged is",
        script: ce_01,
    },
    Case {
        name: "CE-02",
        hypothesis: "a rename that fails in finish does not undo the commit; the index is found stale and repaired",
        injection: "a rename fails once, or from some moment on for ever, with a kill while the index is stale",
        criterion: "commits go on; `l1.stale`, then `l1.repaired`, or after a kill the index is made whole by recovery",
        script: ce_02,
    },
    Case {
        name: "CE-03",
        hypothesis: "killed between a build of the archive and its publication, it recovers with the old generation",
        injection: "abort at every point of a rebuild; the process that builds is aborted at each of its own; SIGKILL",
        criterion: "the generation served is whole, and the one in force; all that was acknowledged is found",
        script: ce_03,
    },
    Case {
        name: "random-kills",
        hypothesis: "whatever it is doing, a process that is killed loses nothing that it has acknowledged",
        injection: "SIGKILL at random moments of recovery and of work, in each format of log and index",
        criterion: "every tier agrees after recovery; an acknowledged commit is there; recovered twice, it is the same",
        script: random_kills,
    },
    Case {
        name: "failed-sync",
        hypothesis: "a log that cannot be synced is never taken for an abort",
        injection: "the sync of a commit fails",
        criterion: "the node halts, nobody is told that the batch failed; after recovery it is wholly there or not",
        script: failed_sync,
    },
    Case {
        name: "recovery",
        hypothesis: "a recovery that is killed can be done again, from wherever it was",
        injection: "abort at every point of recovery, of the manifest, of a new log file and of a merge",
        criterion: "the next recovery gives what the first would have given",
        script: recovery,
    },
    Case {
        name: "damage",
        hypothesis: "damage is found and named, and never returned as data",
        injection: "bits flipped, files cut and removed while no process runs",
        criterion: "it refuses to open and says where, or is whole",
        script: damage::script,
    },
];

/// A case that runs.
pub(super) struct Run<'a> {
    tools: &'a Tools<'a>,
    dir: &'a Path,
    keep: bool,
    pub(super) kills: u32,
    seed: u64,
    lanes: u64,
    pub(super) tally: Tally,
    pub(super) unproven: Vec<String>,
}

impl<'a> Run<'a> {
    pub(super) fn new(tools: &'a Tools<'a>, dir: &'a Path, keep: bool, kills: u32, seed: u64) -> Self {
        Run { tools, dir, keep, kills, seed, lanes: 0, tally: Tally::default(), unproven: Vec::new() }
    }

    /// The home of the directory that was used last: of the one that has failed, if one has.
    pub(super) fn kept(&self) -> PathBuf {
        self.dir.join(self.lanes.to_string())
    }

    /// Does something to a new directory, and then looks at everything.
    pub(super) fn lane(
        &mut self,
        setup: Setup,
        script: impl FnOnce(&mut Lane<'_>) -> Result<(), Trouble>,
    ) -> Result<(), Trouble> {
        self.lanes += 1;
        let home = self.kept();
        let mut lane = Lane::new(self.tools, &mut self.tally, setup, home.clone(), self.seed ^ self.lanes)?;
        let done = script(&mut lane).and_then(|()| lane.look_at_everything());
        lane.close();
        if done.is_ok() && !self.keep {
            fs::remove_dir_all(home)?;
            // Succeeds when it is empty.
            let _ = fs::remove_dir(self.dir);
        }
        done
    }

    /// The usual directory: a log of short files, an index that is merged often.
    pub(super) fn setup(&self) -> Setup {
        let dim = self.tools.vectors.as_ref().map_or(DIM, |vectors| vectors.dim());
        Setup {
            dim,
            metric: Metric::L2,
            log_format: LogFormat::Binary,
            // Some dozens of commits.
            log_file_bytes: 64 * (512 + 4 * dim as u64),
            l1_persist: L1Persist::Delta { merge_after: 4 },
            flush_records: 40,
            merge_run_min: 2,
            rebuilds: false,
            managers: Vec::new(),
            ledger: LedgerConfig::default(),
            clients: CLIENTS,
        }
    }

    /// A directory in which nothing is merged or flushed, so that the renames and syncs of its work are those of commits and
    /// loads.
    fn setup_without_merges(&self) -> Setup {
        let l1_persist = L1Persist::Delta { merge_after: u32::MAX };
        Setup { log_file_bytes: 16 << 20, l1_persist, flush_records: usize::MAX, merge_run_min: 0, ..self.setup() }
    }

    fn needs(&mut self, met: bool, what: impl FnOnce() -> String) {
        if !met {
            self.unproven.push(what());
        }
    }
}

fn ce_01(run: &mut Run<'_>) -> Result<(), Trouble> {
    let ledger = LedgerConfig { refuse_every: 5, ..LedgerConfig::default() };
    let setup = Setup { managers: vec!["ledger".into()], ledger, ..run.setup() };
    let (kills, mut spared) = (run.kills, Vec::new());
    run.lane(setup, |lane| {
        lane.live(&Blow::None)?;
        for point in points(|name| name.starts_with("commit.")) {
            if !abort_at(lane, point, 6)? {
                spared.push(point);
            }
        }
        for call in ["disk.open", "disk.write", "disk.sync", "disk.rename", "disk.remove"] {
            // Where no such call comes after so many, nothing is shown, and nothing was claimed.
            abort_at(lane, call, 40)?;
        }
        (0..kills).try_for_each(|_| kill(lane))
    })?;
    run.needs(spared.is_empty(), || format!("no process died at {}", spared.join(", ")));
    Ok(())
}

/// The points that the process passes which builds.
const BUILDER: &str = "archive.";

fn ce_03(run: &mut Run<'_>) -> Result<(), Trouble> {
    let setup = Setup { rebuilds: true, ..run.setup() };
    let (kills, mut spared, mut builders) = (run.kills, Vec::new(), 0);
    run.lane(setup, |lane| {
        lane.live(&Blow::None)?;
        for point in points(|name| name.starts_with("swap.")) {
            if !abort_at(lane, point, 2)? {
                spared.push(point);
            }
        }
        for point in points(|name| name.starts_with(BUILDER)) {
            let armed = format!("{point}=return(kill)");
            let lived = lane.live(&Blow::Fault { armed, until: None, kill: false })?;
            if lived.notes.count("archive.failed") > 0 {
                lane.count_fault("builder killed, node unharmed");
                builders += 1;
            }
            lane.look(&Blow::KillInStorm(Duration::ZERO))?;
        }
        (0..kills).try_for_each(|_| kill(lane))
    })?;
    run.needs(spared.is_empty(), || format!("no process died at {}", spared.join(", ")));
    run.needs(builders > 0, || "no process that builds was killed".into());
    Ok(())
}

fn random_kills(run: &mut Run<'_>) -> Result<(), Trouble> {
    let usual = run.setup();
    let setups = [
        usual.clone(),
        Setup { log_format: LogFormat::JsonLines, metric: Metric::InnerProduct, ..usual.clone() },
        Setup { l1_persist: L1Persist::Rewrite, metric: Metric::Cosine, ..usual },
    ];
    for (place, setup) in setups.into_iter().enumerate() {
        let share = (run.kills as usize + place) / 3;
        run.lane(setup, |lane| (0..share).try_for_each(|_| kill(lane)))?;
    }
    let kills = run.tally.kills.values().sum::<u64>();
    run.needs(kills > 0, || "no process was killed".into());
    Ok(())
}

fn recovery(run: &mut Run<'_>) -> Result<(), Trouble> {
    let ledger = LedgerConfig { refuse_every: 5, ..LedgerConfig::default() };
    let usual = Setup { managers: vec!["ledger".into()], ledger, ..run.setup() };
    // Flushes so soon that there is time to merge the segments before the life is over; the index is not merged then.
    let often = Setup { flush_records: 12, ..usual.clone() };
    let merging = |name: &str| name.starts_with("compact.");
    let mut spared = Vec::new();
    for (setup, of_merges) in [(usual, false), (often, true)] {
        run.lane(setup, |lane| {
            let rebuilds = |name: &str| name.starts_with("swap.") || name.starts_with(BUILDER);
            for point in points(|name| !name.starts_with("commit.") && !rebuilds(name) && merging(name) == of_merges) {
                kill_in_storm(lane)?;
                if !abort_at(lane, point, 1)? {
                    spared.push(point);
                }
            }
            Ok(())
        })?;
    }
    run.needs(spared.is_empty(), || format!("no process died at {}", spared.join(", ")));
    Ok(())
}

/// The points of the engine whose names are wanted. Nobody asks for consolidation here: what the node then proposes by itself
/// could not be told from what nobody wrote.
fn points(wanted: impl Fn(&str) -> bool) -> impl Iterator<Item = &'static str> {
    Engine.points().iter().copied().filter(move |name| wanted(name) && !name.starts_with("consolidate."))
}

/// Has a process die where it passes a point, or makes a call; and looks at what it left. Tells whether it died.
fn abort_at(lane: &mut Lane<'_>, point: &str, passes_max: u64) -> Result<bool, Trouble> {
    let mut passes = lane.dice.below(passes_max) as u32;
    for _ in 0..TRIES {
        let lived = lane.live(&Blow::Abort { point: point.into(), passes })?;
        if lived.death == Death::Aborted {
            // Killed again at once: the next life must find what this look has found.
            lane.look(&Blow::KillInStorm(Duration::ZERO))?;
            return Ok(true);
        }
        passes /= 4;
    }
    Ok(false)
}

/// Kills a process at a random moment, and looks at what it left.
fn kill(lane: &mut Lane<'_>) -> Result<(), Trouble> {
    if lane.dice.percent(25) {
        let after = Duration::from_micros(lane.dice.below(20_000));
        lane.live(&Blow::KillWhileOpening(after))?;
    } else {
        kill_in_storm(lane)?;
    }
    lane.look(&Blow::KillInStorm(Duration::ZERO))?;
    Ok(())
}

fn kill_in_storm(lane: &mut Lane<'_>) -> Result<(), Trouble> {
    let after = Duration::from_micros(lane.dice.below(60_000));
    lane.live(&Blow::KillInStorm(after)).map(drop)
}

fn ce_02(run: &mut Run<'_>) -> Result<(), Trouble> {
    let usual = run.setup_without_merges();
    let (mut repaired, mut found) = (0, 0);
    for setup in [usual.clone(), Setup { l1_persist: L1Persist::Rewrite, ..usual }] {
        run.lane(setup, |lane| {
            lane.live(&Blow::None)?;
            for place in ["disk.rename", "commit.decide.log_synced"] {
                repaired += u32::from(repaired_while_it_runs(lane, place)?);
                found += u32::from(found_by_recovery(lane, place)?);
            }
            Ok(())
        })?;
    }
    run.needs(repaired > 0, || "no index was stale and then repaired".into());
    run.needs(found > 0, || "no index was stale when its process was killed".into());
    Ok(())
}

/// One rename of the index's file fails, or the step that leads to it.
fn repaired_while_it_runs(lane: &mut Lane<'_>, place: &str) -> Result<bool, Trouble> {
    for _ in 0..TRIES {
        let armed = format!("{place}={}*off->1*return(eio)", lane.dice.between(6, 20));
        let lived = lane.live(&Blow::Fault { armed, until: Some(("l1.stale", "l1.repaired")), kill: false })?;
        if lived.notes.count("l1.stale") > 0 {
            lane.count_fault("rename failed once");
            commits_went_on(&lived)?;
            lane.look(&Blow::KillInStorm(Duration::ZERO))?;
            return Ok(true);
        }
    }
    Ok(false)
}

/// Every such rename fails from some moment on, so that nothing can be repaired before the process is killed.
fn found_by_recovery(lane: &mut Lane<'_>, place: &str) -> Result<bool, Trouble> {
    for _ in 0..TRIES {
        // A repair is no commit: it passes the renames, not the points.
        let forever = if place.starts_with("disk.") { "" } else { ";disk.rename=8*off->return(eio)" };
        let armed = format!("{place}={}*off->return(eio){forever}", lane.dice.between(8, 20));
        let lived = lane.live(&Blow::Fault { armed, until: None, kill: true })?;
        if lived.notes.count("l1.stale") == 0 {
            continue;
        }
        lane.count_fault("rename failed until the end");
        commits_went_on(&lived)?;
        let next = lane.look(&Blow::None)?;
        let noticed = ["l1.rebuilt", "l1.repaired", "recover.redone"].iter().any(|name| next.notes.count(name) > 0);
        if !noticed {
            let witness = format!("stale in the life before; the next one noted {:?}", next.notes.counts);
            return Err(Broken { claim: D3, kind: "recovery took a stale index for a whole one", witness }.into());
        }
        return Ok(true);
    }
    Ok(false)
}

fn commits_went_on(lived: &Lived) -> Result<(), Broken> {
    if lived.acknowledged > 0 && lived.notes.stopped_by_itself().is_none() {
        return Ok(());
    }
    let witness = format!("{} commits; stopped: {:?}", lived.acknowledged, lived.notes.stopped);
    Err(Broken { claim: D1, kind: "a failed rename stopped the commits", witness })
}

fn failed_sync(run: &mut Run<'_>) -> Result<(), Trouble> {
    let mut halts = 0;
    let rounds = run.kills.div_ceil(4).max(1);
    run.lane(run.setup_without_merges(), |lane| {
        lane.live(&Blow::None)?;
        for _ in 0..rounds {
            for (place, passes_min) in [("disk.sync", 16), ("commit.decide.frame_written", 0)] {
                let armed = format!("{place}={}*off->1*return(eio)", lane.dice.between(passes_min, passes_min + 16));
                let lived = lane.live(&Blow::Fault { armed, until: None, kill: false })?;
                if let Some(How::Halted(_)) = lived.notes.stopped {
                    halts += 1;
                    lane.count_fault("sync failed, node halted");
                    lane.look(&Blow::KillInStorm(Duration::ZERO))?;
                }
            }
        }
        Ok(())
    })?;
    run.needs(halts > 0, || "no sync of a commit failed".into());
    Ok(())
}
