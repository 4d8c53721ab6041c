//! Every kind of fault must be able to change what clients see. One that cannot is not in the world, whatever its name.
//!
//! A run is repeated with one more fault, everything else alike. The kind counts if it was delivered, and the clients'
//! history (what was answered, in order, without times) is another one.

use std::collections::BTreeMap;

use serde::{Serialize, de::DeserializeOwned};
use stormproof_sim::{
    examples::replica::{self, trial::ReplicaTrial},
    hunt::{Atlas, Drawn, Scenario},
    world::{
        RunResult, Settings,
        dice::Dice,
        fault::{Fault, FaultKind, Target, Trigger},
        run_seed,
        stage::OpOf,
    },
};

use crate::{toy, trial::ToyTrial};

/// So many seeds are tried for each kind.
const SEEDS_MAX: u64 = 400;

/// A run with these faults and no others.
fn run<T: Scenario>(suite: &T, case: usize, seed: u64, faults: Vec<Fault>) -> RunResult
where
    OpOf<T::System>: Serialize + DeserializeOwned,
{
    let Drawn { params, tuning, .. } = suite.draw(case, &mut Dice::new(seed, 1));
    run_seed(seed, suite.stage(case, &params, tuning, faults), &Settings::default()).0
}

/// The first seed for which one more fault of a kind makes a difference.
fn first_difference<T: Scenario>(suite: &T, case: usize, atlas: &Atlas, kind: FaultKind) -> Option<u64>
where
    OpOf<T::System>: Serialize + DeserializeOwned,
{
    (0..SEEDS_MAX).find(|&seed| {
        let mut dice = Dice::new(seed, 2);
        let context = context(kind, &mut dice);
        let without = run(suite, case, seed, context.clone());
        let with =
            run(suite, case, seed, context.into_iter().chain([atlas.fault(1, (kind, None), &mut dice)]).collect());
        with.delivered.contains_key(&kind) && with.outcome_hash != without.outcome_hash
    })
}

/// What a disk got wrong shows once its cache is gone; a bad wall clock, where a leader has just been cut off.
fn context(kind: FaultKind, dice: &mut Dice) -> Vec<Fault> {
    match kind {
        FaultKind::LostWrite | FaultKind::MisdirectedWrite | FaultKind::TornWrite | FaultKind::BitRot => {
            let at = Trigger::Call { op: None, path: None, nth: dice.between(30, 120) as u32, after: false };
            vec![Fault::new(2, FaultKind::PowerLoss, at)]
        }
        FaultKind::ClockSkew | FaultKind::ClockJump | FaultKind::ClockDrift => {
            let at = Trigger::Point { name: "replica.elected".into(), hit: 1 };
            let cut = |node| {
                let fault = Fault::new(2 + node, FaultKind::Isolate, at.clone()).on(Target::Node(node));
                fault.lasting(stormproof_sim::world::span::Time::secs(1), stormproof_sim::world::draw::Ppm(1_000_000))
            };
            (0..3).map(cut).collect()
        }
        _ => Vec::new(),
    }
}

#[test]
fn every_kind_of_fault_has_changed_the_outcome_of_a_run() {
    let single = Atlas::new(1, toy::POINTS);
    let several = Atlas::new(3, replica::POINTS);
    let toy = ToyTrial { bug: None };
    let replica = ReplicaTrial { bug: None };
    let by_wall_clock = ReplicaTrial { bug: Some(replica::Bug::LeaseByWallClock) };
    let mut first = BTreeMap::new();
    for kind in FaultKind::ALL {
        let found = first_difference(&toy, 0, &single, kind)
            .or_else(|| first_difference(&replica, 0, &several, kind))
            .or_else(|| first_difference(&by_wall_clock, 0, &several, kind));
        println!("{:<20} seed {found:?}", kind.name());
        first.insert(kind.name(), found);
    }
    let without: Vec<_> = first.iter().filter(|(_, found)| found.is_none()).map(|(name, _)| *name).collect();
    assert!(without.is_empty(), "never made a difference: {}", without.join(", "));
}
