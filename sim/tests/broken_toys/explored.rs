//! Explorations: crash bugs are found, correct systems hold, and the numbers say no more than what was done.

use std::collections::{BTreeMap, BTreeSet};

use stormproof_sim::{
    check::invariant::Violation,
    examples::replica::trial::ReplicaTrial,
    hunt::{AnyPlan, Exploration, ExploreReport, Suite},
    world::{
        Settings,
        fault::{Fault, FaultKind, Target},
        fs::Profile,
        stage::Phase,
        study::{Question, Rest, Script, Spot, Study},
    },
};

use crate::{register, toy::Bug, trial::ToyTrial};

/// The case of the toy whose only faults are deaths, which an exploration chooses by itself.
const CALM_CASE: usize = 2;
/// A toy writes a snapshot after six writes, and about every second operation is one.
const WITH_A_SNAPSHOT: usize = 20;
/// What clients ask is drawn: in so many workloads there is a bit of everything.
const WORKLOADS: u64 = 8;
const BOTH: [Profile; 2] = [Profile::Weakest, Profile::Ordered];

fn exploration(operations: usize, profile: Profile) -> Exploration {
    let (case, workloads) = (Some(CALM_CASE), WORKLOADS);
    Exploration { operations, profile, case, workloads, threads: 2, bound: 4_000, ..Exploration::default() }
}

fn explore(suite: &dyn Suite, exploration: Exploration) -> ExploreReport {
    let report = exploration.run(suite, &|_| {}).expect("the plan can be played");
    let Exploration { operations, profile, depth, .. } = exploration;
    println!("{}, {profile:?}, {operations} operations, depth {depth}: {:?}", suite.name(), report.total());
    for found in report.failures.values() {
        println!("  {} states: {}", found.states, found.violation.fingerprint());
        assert!(found.reproduced, "its plan tells another story: {}\n{}", found.violation, found.plan);
        assert!(found.states > 0);
    }
    assert!(report.unproven.is_empty(), "{:?}", report.unproven);
    report
}

/// A crash bug, and which claim falls under each profile.
struct Expected {
    bug: Bug,
    operations: usize,
    depth: u32,
    weakest: Option<&'static str>,
    ordered: Option<&'static str>,
}

const EXPECTED: &[Expected] = &[
    // Any death between the reply and the write will do, and no profile has a say in that.
    Expected { bug: Bug::RepliesBeforeSync, operations: 5, depth: 1, weakest: Some("D1"), ordered: Some("D1") },
    // Nor between the two files.
    Expected { bug: Bug::UpdatesTwoFilesApart, operations: 9, depth: 1, weakest: Some("D2"), ordered: Some("D2") },
    // The rename is lost and the removal of the old logs, on other names, is not: a journal keeps their order.
    Expected {
        bug: Bug::ForgetsDirectorySync,
        operations: WITH_A_SNAPSHOT,
        depth: 1,
        weakest: Some("D1"),
        ordered: None,
    },
    // The name survives and the bytes do not: `ordered` writes appended bytes before their length.
    Expected { bug: Bug::RenamesBeforeSync, operations: WITH_A_SNAPSHOT, depth: 1, weakest: Some("S2"), ordered: None },
    // The first crash leaves a frame without its bytes, a write goes behind it, and the next boot does not see that. So
    // it takes two crashes, and a file that grew without its bytes, which `ordered` never leaves.
    Expected { bug: Bug::LosesTheTailBehindATornFrame, operations: 5, depth: 2, weakest: Some("D1"), ordered: None },
];

#[test]
fn crash_bugs_are_found_under_the_profiles_and_at_the_depth_that_they_need() {
    for Expected { bug, operations, depth, weakest, ordered } in EXPECTED {
        let suite = ToyTrial { bug: Some(*bug) };
        println!("{}", bug.words());
        for (profile, falls) in BOTH.into_iter().zip([weakest, ordered]) {
            let at_depth = |depth| {
                let exploration = Exploration { depth, failures_max: 50, ..exploration(*operations, profile) };
                let report = explore(&suite, exploration);
                report.failures.values().map(|found| found.violation.claim).collect::<BTreeSet<_>>()
            };
            let found = at_depth(*depth);
            match falls {
                Some(claim) => assert!(found.contains(claim), "{bug:?}, {profile:?}: {found:?} instead of {claim}"),
                None => assert!(found.is_empty(), "{bug:?}, {profile:?}: {found:?}"),
            }
            if *depth > 1 {
                assert!(at_depth(depth - 1).is_empty(), "{bug:?}, {profile:?}: found with a crash less");
            }
        }
    }
}

#[test]
fn correct_systems_hold_after_every_crash_and_after_a_second_one() {
    for profile in BOTH {
        let toy = ToyTrial { bug: None };
        let small = |operations, depth| Exploration { depth, ..exploration(operations, profile) };
        let alone = |operations, depth| Exploration { case: None, workloads: 3, ..small(operations, depth) };
        for (suite, explorations) in [
            (&toy as &dyn Suite, [small(WITH_A_SNAPSHOT, 1), small(3, 2)]),
            (&register::suite(), [alone(6, 1), alone(3, 2)]),
        ] {
            for exploration in explorations {
                let report = explore(suite, exploration);
                assert!(report.failures.is_empty(), "{:?}", report.failures);
                assert_eq!(report.total().left_out, 0, "{:?}", report.total());
                assert!(report.total().executed > 30, "{:?}", report.total());
            }
        }
    }
}

#[test]
fn the_correct_replica_holds_after_every_crash_of_a_small_workload() {
    let exploration = Exploration {
        operations: 2,
        profile: Profile::Weakest,
        case: Some(4),
        threads: 2,
        bound: 16,
        ..Exploration::default()
    };
    let report = explore(&ReplicaTrial { bug: None }, exploration);
    assert!(report.failures.is_empty(), "{:?}", report.failures);
    assert!(report.total().executed > 50, "{:?}", report.total());
}

#[test]
fn an_exploration_comes_to_the_same_on_any_number_of_threads() {
    let suite = ToyTrial { bug: Some(Bug::RepliesBeforeSync) };
    let on = |threads| {
        let report = explore(&suite, Exploration { threads, depth: 2, ..exploration(3, Profile::Weakest) });
        let plans: Vec<_> = report.failures.values().map(|found| (found.states, found.plan.clone())).collect();
        let depths: Vec<_> = report.workloads.into_iter().map(|workload| workload.depths).collect();
        (depths, plans)
    };
    let one = on(1);
    assert!(!one.1.is_empty());
    assert_eq!(one, on(2));
}

#[test]
fn what_a_bound_has_left_out_is_said() {
    let suite = ToyTrial { bug: None };
    let whole = explore(&suite, exploration(WITH_A_SNAPSHOT, Profile::Weakest)).total();
    let bounded = Exploration { bound: 2, ..exploration(WITH_A_SNAPSHOT, Profile::Weakest) };
    let cut = explore(&suite, bounded).total();
    assert!(whole.left_out == 0 && cut.left_out > 0, "{whole:?}, {cut:?}");
    assert!(cut.states < whole.states, "{whole:?}, {cut:?}");
}

// ---- An exploration without its savings. ----

/// The workload that an [`Exploration`] takes, bounded by hand: the first operations of all clients in turn.
fn workload(suite: &dyn Suite, seed: u64, operations: usize, profile: Profile) -> AnyPlan {
    let mut plan = suite.sketch(seed);
    plan.tuning.power = profile;
    let mut nth = BTreeMap::<u32, usize>::new();
    let mut turns: Vec<(usize, u32)> = Vec::new();
    for op in plan.ops.iter().filter(|op| op.phase == Phase::Storm) {
        let n = nth.entry(op.client).or_default();
        turns.push((*n, op.client));
        *n += 1;
    }
    turns.sort_unstable();
    turns.truncate(operations);
    nth.clear();
    plan.ops.retain(|op| {
        if op.phase == Phase::Calm {
            return op.client == 0;
        }
        let n = nth.entry(op.client).or_default();
        *n += 1;
        turns.contains(&(*n - 1, op.client))
    });
    plan
}

fn death(spot: &Spot, kind: FaultKind) -> Fault {
    Fault::new(1, kind, spot.at.trigger()).on(Target::Node(spot.node))
}

/// The next list of answers, like the reading of an odometer.
fn next(asked: &[Question]) -> Option<Vec<u32>> {
    let place = asked.iter().rposition(|question| question.answer + 1 < question.options)?;
    let mut given: Vec<u32> = asked[..=place].iter().map(|question| question.answer).collect();
    given[place] += 1;
    Some(given)
}

/// How many ways there are to go on after a death, and which failures they end in.
fn ways(suite: &dyn Suite, plan: &AnyPlan, death: &Fault) -> (u64, BTreeSet<String>) {
    let loaded = suite.load(plan).expect("the plan can be played");
    let (mut states, mut failures) = (0, BTreeSet::new());
    let mut given = Some(Vec::new());
    while let Some(answers) = given {
        let study = Study { script: Some(Script::new(answers, Rest::Kept)), ..Study::default() };
        let (run, studied) = loaded.run(std::slice::from_ref(death), study, &Settings::default());
        states += 1;
        failures.extend(run.result.violation.as_ref().map(Violation::fingerprint));
        given = next(&studied.asked);
    }
    (states, failures)
}

fn spots(suite: &dyn Suite, plan: &AnyPlan) -> Vec<Spot> {
    let study = Study { survey_from: Some(1), ..Study::default() };
    suite.load(plan).expect("the plan can be played").run(&[], study, &Settings::default()).1.spots
}

#[test]
fn without_its_savings_an_exploration_finds_the_same_failures_and_as_many_states() {
    for (bug, operations) in [(None, 3), (Some(Bug::RepliesBeforeSync), 3), (Some(Bug::UpdatesTwoFilesApart), 6)] {
        let suite = ToyTrial { bug };
        for profile in BOTH {
            let report = explore(&suite, Exploration { workloads: 1, ..exploration(operations, profile) });
            let plan = workload(&suite, CALM_CASE as u64, operations, profile);
            let (mut states, mut failures) = (0, BTreeSet::new());
            for spot in spots(&suite, &plan) {
                for kind in [FaultKind::Kill, FaultKind::PowerLoss] {
                    let (more, fell) = ways(&suite, &plan, &death(&spot, kind));
                    states += more;
                    failures.extend(fell);
                }
            }
            let total = report.total();
            assert!(total.saved > 0, "nothing was saved: {total:?}");
            assert_eq!(total.states, states, "{bug:?}, {profile:?}");
            assert_eq!(report.failures.keys().cloned().collect::<BTreeSet<_>>(), failures, "{bug:?}, {profile:?}");
        }
    }
}

#[test]
fn deaths_that_are_taken_for_one_end_in_the_same_answers() {
    let suite = ToyTrial { bug: None };
    let mut plan = workload(&suite, CALM_CASE as u64, WITH_A_SNAPSHOT, Profile::Weakest);
    // Of several clients, another may be asking while the node is down, or just not yet: what each is told is legal, and
    // may differ. That the verdict does not is what the test above says.
    plan.ops.retain(|op| op.client == 0);
    let loaded = suite.load(&plan).expect("the plan can be played");
    let mut alike: BTreeMap<(u64, u64, u32, &str), Vec<Spot>> = BTreeMap::new();
    for spot in spots(&suite, &plan) {
        alike.entry((spot.disk.digest(), spot.promises, spot.life, spot.point)).or_default().push(spot);
    }
    let groups: Vec<_> = alike.into_values().filter(|group| group.len() > 1).collect();
    assert!(groups.len() > 10, "{}", groups.len());
    for group in groups {
        let ends = |kind, rest| {
            let end = |spot| {
                let study = Study { script: Some(Script::new(Vec::new(), rest)), ..Study::default() };
                loaded.run(&[death(spot, kind)], study, &Settings::default()).0.result.outcome_hash
            };
            group.iter().map(end).collect::<BTreeSet<u64>>()
        };
        for (kind, rest) in
            [(FaultKind::Kill, Rest::Kept), (FaultKind::PowerLoss, Rest::Kept), (FaultKind::PowerLoss, Rest::Lost)]
        {
            let ends = ends(kind, rest);
            assert_eq!(ends.len(), 1, "{kind:?}, {rest:?}: {ends:x?} of {:?}", group[0].at);
        }
    }
}
