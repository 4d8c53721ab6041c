//! Suite `routes`: searches take all routes through the tiers, beside writes, flushes, merges, rebuilds and deaths; what each may
//! leave out, and nothing else, may be missing.

use std::sync::Arc;

use stormproof_sim::{
    check::invariant::Invariant,
    hunt::{Case, Drawn},
    world::{
        dice::Dice,
        fault::{Fault, FaultKind, Trigger},
        span::Time,
    },
};

use super::single::{Params, Single, archiving, deaths, tuning};
use crate::{
    invariants::claims::{D1, D3, D5, Q1, Q2, Q3, Q4, S1, T1},
    vectors::Vectors,
    workloads::Mix,
};

const CASES: [Case; 4] = [
    Case {
        name: "changed",
        hypothesis: "what was changed since a generation was built is found at once, and its old version never",
        injection: "none but the world's delays: few records are written again and again behind generations that stay",
        criterion: "an answer has every record that is nearer than its last and was changed since; no hit is outdated",
        faults: &[],
        sometimes: &["the archive was asked", "a generation is served"],
    },
    Case {
        name: "merges",
        hypothesis: "merges move records between files, and never across the border of what a generation stands for",
        injection: "flushes every record or two, and merges of any two segments, beside rebuilds",
        criterion: "no record is passed over by both the graph and the comparison, and none is found twice",
        faults: &[],
        sometimes: &["the archive was asked", "compacted", "a generation replaced another"],
    },
    Case {
        name: "death",
        hypothesis: "after a death each route finds what it found before",
        injection: "kill or power loss behind flushes, merges and publications",
        criterion: "all that was acknowledged is found, by the routes that lead to it",
        faults: &[FaultKind::Kill, FaultKind::PowerLoss],
        sometimes: &["the archive was asked", "world.killed", "world.power_lost"],
    },
    Case {
        name: "reads-fail",
        hypothesis: "a search that cannot read says so, and finds nothing wrong",
        injection: "reads of generations and segments fail now and then",
        criterion: "no answer lacks what it says that it has",
        faults: &[FaultKind::ReadError],
        sometimes: &["the archive was asked"],
    },
];

const INVARIANTS: [Invariant; 9] = [
    Invariant { claim: Q1, sometimes: &["the archive was asked"] },
    Invariant { claim: Q2, sometimes: &["the archive was asked"] },
    Invariant { claim: Q3, sometimes: &["the archive was asked"] },
    Invariant { claim: Q4, sometimes: &["the archive was asked"] },
    Invariant { claim: S1, sometimes: &["a generation replaced another"] },
    Invariant { claim: D1, sometimes: &["world.power_lost"] },
    Invariant { claim: D3, sometimes: &["a generation is served"] },
    Invariant { claim: D5, sometimes: &["world.killed"] },
    Invariant { claim: T1, sometimes: &["conflict"] },
];

/// The suite.
pub fn suite(vectors: Option<Arc<Vectors>>) -> Single {
    Single {
        name: "routes",
        about: "searches by all routes through the tiers, and what each may leave out",
        cases: &CASES,
        invariants: &INVARIANTS,
        seeds_needed: 600,
        overlap_percent_min: 0,
        draw,
        vectors,
    }
}

fn draw(case: usize, dice: &mut Dice) -> Drawn<Params> {
    let mut params = archiving(dice);
    params.habits.mix = Mix { rebuild: 8, search: 50, delete: 12, bulk: *dice.pick(&[0, 8]), ..params.habits.mix };
    let mut tuning = tuning(dice);
    tuning.patience = Time::millis(200);
    tuning.job_latency.max = *dice.pick(&[Time::micros(100), Time::millis(1)]);
    let faults = match CASES[case].name {
        "changed" => {
            params.habits.keys = dice.between(3, 8);
            params.habits.ops_per_client += 6;
            Vec::new()
        }
        "merges" => {
            (params.flush_records, params.merge_run_min) = (dice.between(1, 2) as usize, 2);
            params.tombstones_percent = *dice.pick(&[10, 30, 100]);
            Vec::new()
        }
        "death" => {
            let steps = ["swap.installed", "flush.installed", "compact.installed", "flush.published", "swap.cleared"];
            deaths(&steps, 3, 20, dice)
        }
        _ => {
            let fails = |id, dice: &mut Dice| {
                let point =
                    *dice.pick(&["swap.installed", "swap.cleared", "flush.published", "commit.finish.published"]);
                let (hit, nth) = (dice.between(1, 3) as u32, dice.between(1, 20) as u32);
                let at = Trigger::Beyond { name: point.into(), hit, nth, after: false };
                let path = *dice.pick(&["archive/*", "archive/*", "segments/*"]);
                Fault::new(id, FaultKind::ReadError, at).path(path)
            };
            (1..=dice.between(1, 4) as u32).map(|id| fails(id, dice)).collect()
        }
    };
    Drawn { params, tuning, faults }
}
