//! Suite `isolation`: many clients on few records, beside queries that see everything half-way.

use std::sync::Arc;

use stormproof_sim::{
    check::invariant::Invariant,
    hunt::{Atlas, Case, Drawn},
    world::{
        dice::Dice,
        draw::Ppm,
        fault::{Fault, FaultKind, Trigger},
        span::{Span, Time},
    },
};

use super::single::{Params, Single, tuning};
use crate::{
    invariants::claims::{D1, D2, D3, D4, D5, D7, Q1, Q3, Q4, T1},
    vectors::Vectors,
    workloads::Mix,
};

const CASES: [Case; 4] = [
    Case {
        name: "contention",
        hypothesis: "transactions that rest on what others change conflict; those that commit have one serial order",
        injection: "five to eight clients on two to four records, reading before they write",
        criterion: "no cycle of dependencies, in agreement with real time",
        faults: &[],
        sometimes: &["conflict", "transactions shared a batch"],
    },
    Case {
        name: "queries",
        hypothesis: "a query sees one state, and never one that could still be lost",
        injection: "queries start and run between the disk calls of the writer, which then dies before its decision is durable",
        criterion: "every answer is the state at its LSN, which is not before any commit acknowledged earlier, and is not lost",
        faults: &[FaultKind::Kill, FaultKind::PowerLoss],
        sometimes: &["transactions shared a batch"],
    },
    Case {
        name: "long-searches",
        hypothesis: "a search that is cut in pieces sees one state from its first piece to its last",
        injection: "searches over several blocks of long vectors, cut after each, while the writer commits in between",
        criterion: "every answer is exactly what brute force finds in the state at its LSN",
        faults: &[],
        sometimes: &["transactions shared a batch"],
    },
    Case {
        name: "crashes",
        hypothesis: "a crash between two transactions, or in one, leaves a state that some serial order explains",
        injection: "contention and queries, with kills, power losses and lost replies",
        criterion: "no cycle of dependencies over the whole history, Unknown operations included",
        faults: &[FaultKind::Kill, FaultKind::PowerLoss],
        sometimes: &["conflict"],
    },
];

const INVARIANTS: [Invariant; 10] = [
    Invariant { claim: D1, sometimes: &["world.killed"] },
    Invariant { claim: D2, sometimes: &["transactions shared a batch"] },
    Invariant { claim: D3, sometimes: &["transactions shared a batch"] },
    Invariant { claim: D4, sometimes: &["conflict"] },
    Invariant { claim: D5, sometimes: &["world.power_lost"] },
    Invariant { claim: D7, sometimes: &["world.killed"] },
    Invariant { claim: Q1, sometimes: &[] },
    Invariant { claim: Q3, sometimes: &[] },
    Invariant { claim: Q4, sometimes: &[] },
    Invariant { claim: T1, sometimes: &["conflict", "transactions shared a batch"] },
];

/// The suite.
pub fn suite(vectors: Option<Arc<Vectors>>) -> Single {
    Single {
        name: "isolation",
        about: "concurrent clients on few records: one serial order, in agreement with real time",
        cases: &CASES,
        invariants: &INVARIANTS,
        seeds_needed: 300,
        overlap_percent_min: 30,
        draw,
        vectors,
    }
}

fn draw(case: usize, dice: &mut Dice) -> Drawn<Params> {
    let mut params = Params::draw(dice);
    let mut tuning = tuning(dice);
    let habits = &mut params.habits;
    habits.clients = dice.between(5, 8) as u32;
    habits.ops_per_client = dice.between(6, 14) as u32;
    habits.keys = dice.between(2, 4);
    habits.mix = Mix {
        upsert: 10,
        read_modify_write: 50,
        insert: 5,
        delete: 8,
        get: 15,
        count: 4,
        search: 8,
        range: 4,
        walk: 4,
        activate: 0,
        consolidate: 0,
        bulk: 0,
        rebuild: 0,
    };
    tuning.think = Span::new(Time::micros(50), Time(0), Time::millis(2));
    let faults = match CASES[case].name {
        "queries" => {
            habits.mix = Mix { get: 40, search: 40, ..habits.mix };
            // Seldom is often better: who gets a turn at every call is done before the one that matters.
            tuning.interleave = *dice.pick(&[Ppm(100_000), Ppm(300_000), Ppm(900_000)]);
            // Whoever waits for a turn is there when the writer syncs.
            tuning.query_latency = Span::new(Time::millis(2), Time::micros(500), Time::millis(20));
            (1..=dice.between(1, 4) as u32).map(|id| death_in_decision(id, dice)).collect()
        }
        "long-searches" => {
            // A block holds 64 KiB: eight rows of these.
            (habits.dim, params.search_step_rows) = (2048, 1);
            (habits.clients, habits.ops_per_client) = (dice.between(3, 4) as u32, dice.between(5, 8) as u32);
            habits.keys = dice.between(10, 16);
            habits.mix = Mix { upsert: 40, read_modify_write: 5, search: 30, ..habits.mix };
            tuning.interleave = *dice.pick(&[Ppm(60_000), Ppm(200_000), Ppm(900_000)]);
            tuning.query_latency = Span::new(Time::millis(2), Time::micros(500), Time::millis(20));
            Vec::new()
        }
        "crashes" => Atlas::new(1, &[])
            .allow(&[FaultKind::Kill, FaultKind::PowerLoss, FaultKind::LostReply])
            .calls(300)
            .draw(dice),
        _ => Vec::new(),
    };
    Drawn { params, tuning, faults }
}

/// A death between the first byte of a frame and the end of its sync.
fn death_in_decision(id: u32, dice: &mut Dice) -> Fault {
    // The write, its point, and the sync: before the last of them a view of the frame would be shown too early.
    let (hit, nth) = (dice.between(1, 12) as u32, *dice.pick(&[1, 2, 3, 3, 3, 3]));
    let at = Trigger::Beyond { name: "commit.decide.reserved".into(), hit, nth, after: false };
    Fault::new(id, *dice.pick(&[FaultKind::Kill, FaultKind::PowerLoss, FaultKind::PowerLoss, FaultKind::PowerLoss]), at)
}
