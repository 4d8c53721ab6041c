//! Suite `degrade`: the disk takes no writes for a while, so that they are held and tried again, in their order.

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

use super::single::{DEATHS, Params, Single, death_behind, tuning};
use crate::{
    invariants::claims::{B1, D1, D2, D3, D4, D5, D6, D7, Q1, Q3, Q4, T1},
    vectors::Vectors,
    workloads::Mix,
};

const CASES: [Case; 6] = [
    Case {
        name: "disk-full",
        hypothesis: "writes that find no room are held, and take effect in their order when there is some",
        injection: "the disk is full for a while",
        criterion: "reads go on; every write that is held is decided in the end, once; the rest is told that it is not held",
        faults: &[FaultKind::NoSpace],
        sometimes: &["degraded", "write.queued", "write.drained", "degraded.over", "write.turned_away"],
    },
    Case {
        name: "disk-fails",
        hypothesis: "a disk that fails before anything is decided degrades the node, and one that works again restores it",
        injection: "files cannot be opened, made longer or written for a while, always or now and then",
        criterion: "a trial that fails leaves the queue as it was",
        faults: &[FaultKind::OpenError, FaultKind::WriteError],
        sometimes: &["degraded", "write.queued", "write.drained", "degraded.over"],
    },
    Case {
        name: "death",
        hypothesis: "what was only held may die with the process; what was tried with success is not tried again",
        injection: "the disk is full for a while; then the process dies while the queue is drained, or before",
        criterion: "no write takes effect twice; what was acknowledged as committed is there",
        faults: &[FaultKind::NoSpace, FaultKind::Kill, FaultKind::PowerLoss],
        sometimes: &["degraded", "write.queued", "write.drained", "world.killed", "world.power_lost"],
    },
    Case {
        name: "log-fails",
        hypothesis: "a sync of the log that fails while the queue is drained stops the node: that is never an abort",
        injection: "the disk is full for a while; then a sync or a write of the log fails",
        criterion: "nothing is lost that was acknowledged, nothing takes effect twice",
        faults: &[FaultKind::NoSpace, FaultKind::SyncError, FaultKind::WriteError],
        sometimes: &["degraded", "write.drained", "world.halted"],
    },
    Case {
        name: "unreadable",
        hypothesis: "while the disk cannot be read, what is at hand is answered, and the disk is not asked by everybody",
        injection: "segments cannot be read for a while",
        criterion: "each answer is exact or says that the disk was not read; when it works again, so do they",
        faults: &[FaultKind::ReadError, FaultKind::ShortRead],
        sometimes: &["reads.refused", "reads.from_memory", "reads.allowed"],
    },
    Case {
        name: "checks",
        hypothesis: "health checks find what nobody has met yet, and change nothing but the last frame's number",
        injection: "a bit of a segment flips at rest, or the disk is full for a while; all is looked at every few milliseconds",
        criterion: "damage is noted, an alert is raised and cleared; answers are as exact as without",
        faults: &[FaultKind::BitRot, FaultKind::NoSpace],
        sometimes: &["health.damaged", "health.alert", "health.clear"],
    },
];

const INVARIANTS: [Invariant; 12] = [
    Invariant { claim: B1, sometimes: &["write.queued", "write.drained"] },
    Invariant { claim: D1, sometimes: &["write.drained", "world.killed"] },
    Invariant { claim: D2, sometimes: &["world.power_lost"] },
    Invariant { claim: D3, sometimes: &["degraded"] },
    Invariant { claim: D4, sometimes: &["degraded", "world.killed"] },
    Invariant { claim: D5, sometimes: &["write.drained"] },
    Invariant { claim: D6, sometimes: &["health.damaged", "world.boot_refused"] },
    Invariant { claim: D7, sometimes: &["degraded"] },
    Invariant { claim: Q1, sometimes: &["degraded"] },
    Invariant { claim: Q3, sometimes: &["degraded"] },
    Invariant { claim: Q4, sometimes: &["write.drained"] },
    Invariant { claim: T1, sometimes: &["write.drained", "conflict"] },
];

/// The suite.
pub fn suite(vectors: Option<Arc<Vectors>>) -> Single {
    Single {
        name: "degrade",
        about: "a disk that takes no writes for a while: they are held, in memory, and tried again in their order",
        cases: &CASES,
        invariants: &INVARIANTS,
        seeds_needed: 1_500,
        overlap_percent_min: 0,
        draw,
        vectors,
    }
}

/// Many clients that write, a breaker that opens soon, a short queue.
fn draw(case: usize, dice: &mut Dice) -> Drawn<Params> {
    let mut params = Params::draw(dice);
    params.degrade.failures_max = dice.between(1, 3) as u32;
    params.degrade.successes_needed = dice.between(1, 3) as u32;
    params.degrade.open_ms = dice.between(2, 40);
    params.degrade.queue_writes = *dice.pick(&[2, 4, 100]);
    params.degrade.drain_max = dice.between(1, 4) as usize;
    params.log_file_bytes = 4096;
    params.habits.clients = dice.between(2, 5) as u32;
    params.habits.ops_per_client += 8;
    params.habits.mix = Mix { upsert: 50, insert: 20, ..params.habits.mix };
    let mut tuning = tuning(dice);
    tuning.attempts_max = *dice.pick(&[2, 6]);
    let always = Ppm(1_000_000);
    let full = |id, dice: &mut Dice| {
        let at = Trigger::Point { name: "commit.finish.published".into(), hit: dice.between(1, 8) as u32 };
        Fault::new(id, FaultKind::NoSpace, at).lasting(Time::millis(dice.between(5, 150)), always)
    };
    let faults = match CASES[case].name {
        "disk-full" => vec![full(1, dice)],
        "disk-fails" => {
            let kind = *dice.pick(CASES[1].faults);
            let at = Trigger::Point { name: "commit.finish.published".into(), hit: dice.between(1, 8) as u32 };
            let fails = Fault::new(1, kind, at).path("l1/*");
            vec![fails.lasting(Time::millis(dice.between(5, 150)), *dice.pick(&[always, always, Ppm(700_000)]))]
        }
        "death" => {
            let (point, hit) = (*dice.pick(&["commit.begin", "commit.decide.log_synced"]), dice.between(4, 24) as u32);
            vec![full(1, dice), death_behind(2, &DEATHS, point, hit, 10, dice)]
        }
        "log-fails" => {
            let kind = *dice.pick(&[FaultKind::SyncError, FaultKind::WriteError]);
            let at = Trigger::Point { name: "commit.decide.reserved".into(), hit: dice.between(3, 16) as u32 };
            vec![full(1, dice), Fault::new(2, kind, at).path("log.*")]
        }
        "unreadable" => {
            params.flush_records = dice.between(1, 3) as usize;
            params.fallback_records = *dice.pick(&[1, 3, 1000]);
            params.l1_rows = *dice.pick(&[3, params.l1_rows]);
            params.habits.mix = Mix { get: 60, search: 30, range: 4, walk: 4, ..params.habits.mix };
            let at = Trigger::Point { name: "flush.published".into(), hit: dice.between(1, 4) as u32 };
            let fails = Fault::new(1, *dice.pick(CASES[case].faults), at).path("segments/*");
            vec![fails.lasting(Time::millis(dice.between(5, 100)), *dice.pick(&[always, always, Ppm(700_000)]))]
        }
        _ => {
            params.degrade.health_ms = dice.between(1, 8);
            params.flush_records = dice.between(1, 4) as usize;
            params.habits.mix = Mix { get: 2, search: 2, range: 1, walk: 1, ..params.habits.mix };
            if dice.percent(50) {
                let at = Trigger::Point { name: "flush.published".into(), hit: dice.between(1, 4) as u32 };
                vec![Fault::new(1, FaultKind::BitRot, at).path("segments/*")]
            } else {
                vec![full(1, dice)]
            }
        }
    };
    Drawn { params, tuning, faults }
}
