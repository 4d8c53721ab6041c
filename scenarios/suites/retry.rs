//! Suite `retry`: replies that are lost, requests that arrive twice, late, or in another order.

use std::sync::Arc;

use stormproof_sim::{
    check::invariant::Invariant,
    hunt::{Atlas, Case, Drawn},
    world::{
        dice::Dice,
        draw::Ppm,
        fault::{Fault, FaultKind, Trigger},
        span::Time,
    },
};

use super::single::{Params, Single, flush_records, tuning};
use crate::{
    invariants::claims::{D1, D2, D3, D4, D5, D7, Q1, Q3, Q4, T1},
    vectors::Vectors,
};

const CASES: [Case; 3] = [
    Case {
        name: "lost-replies",
        hypothesis: "a transaction whose reply was lost takes effect once, however often it is asked for",
        injection: "replies are lost; clients try again under the same name",
        criterion: "each transaction is decided at most once, and each attempt at it gets the same answer",
        faults: &[FaultKind::LostReply],
        sometimes: &["retry.deduplicated"],
    },
    Case {
        name: "duplicates",
        hypothesis: "a request that arrives twice, or late, takes effect once",
        injection: "requests are duplicated, delayed, reordered and lost",
        criterion: "each transaction is decided at most once; what was refused stays refused",
        faults: &[FaultKind::Duplicate, FaultKind::Reorder, FaultKind::Loss],
        sometimes: &["retry.deduplicated"],
    },
    Case {
        name: "across-crashes",
        hypothesis: "what was decided before a crash is known after it",
        injection: "lost replies and duplicates, and the process killed or its machine cut off",
        criterion: "a retry after the crash gets the answer of the attempt before it",
        faults: &[FaultKind::Kill, FaultKind::PowerLoss],
        sometimes: &["retry.deduplicated"],
    },
];

const INVARIANTS: [Invariant; 10] = [
    Invariant { claim: D1, sometimes: &["world.killed"] },
    Invariant { claim: D2, sometimes: &["retry.deduplicated"] },
    Invariant { claim: D3, sometimes: &["world.killed"] },
    Invariant { claim: D4, sometimes: &["conflict"] },
    Invariant { claim: D5, sometimes: &["world.power_lost"] },
    Invariant { claim: D7, sometimes: &["world.killed"] },
    Invariant { claim: Q1, sometimes: &[] },
    Invariant { claim: Q3, sometimes: &[] },
    Invariant { claim: Q4, sometimes: &[] },
    Invariant { claim: T1, sometimes: &["retry.deduplicated", "conflict"] },
];

/// The suite.
pub fn suite(vectors: Option<Arc<Vectors>>) -> Single {
    Single {
        name: "retry",
        about: "lost replies, duplicated and late requests: exactly once, whatever the network does",
        cases: &CASES,
        invariants: &INVARIANTS,
        seeds_needed: 600,
        overlap_percent_min: 0,
        draw,
        vectors,
    }
}

fn draw(case: usize, dice: &mut Dice) -> Drawn<Params> {
    let mut params = Params::draw(dice);
    params.habits.clients += 1;
    let mut tuning = tuning(dice);
    tuning.patience = *dice.pick(&[Time::millis(3), Time::millis(30)]);
    if tuning.patience == Time::millis(3) {
        // Who waits as shortly never hears of a query that has to read much.
        params.flush_records = flush_records();
    }
    tuning.attempts_max = *dice.pick(&[3, 8]);
    let storm = |id, kind, dice: &mut Dice| {
        let fault = Fault::new(id, kind, Trigger::Time(Time(0)));
        let likely = Ppm(*dice.pick(&[100_000, 300_000, 600_000]));
        fault.lasting(Time::secs(2), likely).amount(Time::millis(dice.between(1, 200)).0)
    };
    let faults = match CASES[case].name {
        "lost-replies" => vec![storm(1, FaultKind::LostReply, dice)],
        "duplicates" => vec![
            storm(1, FaultKind::Duplicate, dice),
            storm(2, FaultKind::Reorder, dice),
            storm(3, FaultKind::Loss, dice),
        ],
        _ => {
            let mut faults = Atlas::new(1, &[]).allow(&[FaultKind::Kill, FaultKind::PowerLoss]).calls(120).draw(dice);
            faults.push(storm(8, FaultKind::LostReply, dice));
            faults.push(storm(9, FaultKind::Duplicate, dice));
            faults
        }
    };
    Drawn { params, tuning, faults }
}
