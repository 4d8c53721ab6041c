//! The engine of the quickstart: a reader breaks its promise and must see it found, by the hunt and by the exploration.

use stormproof_sim::{
    hunt::{Budget, Exploration, Hunt, Verdict, examine},
    world::{fault::FaultKind, fs::Profile},
};

use crate::quickstart::trial;

/// More than the quickstart itself lives through, so that its readers see it hold.
const SEEDS: u64 = 5_000;

#[test]
fn the_engine_of_the_quickstart_holds_over_thousands_of_lives_and_every_crash_of_a_short_one() {
    let trial = trial(true);
    let report = Hunt { budget: Budget::Seeds(SEEDS), ..Hunt::default() }.run(&trial, &|_| {});
    assert_eq!(report.verdict(&trial, true), Verdict::Holds, "{:?}", report.failures);
    for profile in [Profile::Weakest, Profile::Ordered] {
        for (operations, depth) in [(5, 1), (2, 2)] {
            let exploration = Exploration { operations, depth, profile, ..Exploration::default() };
            let explored = exploration.run(&trial, &|_| {}).unwrap();
            let total = explored.total();
            assert!(explored.failures.is_empty(), "{:?}", explored.failures);
            assert!(total.executed > 10 && total.left_out == 0 && explored.unproven.is_empty(), "{total:?}");
            println!("pocket, {profile:?}, {operations} operations, depth {depth}: {total:?}");
        }
    }
}

#[test]
fn without_its_sync_it_is_caught_by_both_and_the_story_is_a_write_a_power_loss_and_a_read() {
    let trial = trial(false);
    let explored = Exploration::default().run(&trial, &|_| {}).unwrap();
    let found: Vec<&str> = explored.failures.keys().map(String::as_str).collect();
    assert_eq!(found, ["T1: no order explains a reply"]);
    assert!(explored.failures.values().all(|found| found.reproduced));

    let hunt = Hunt { budget: Budget::Seeds(SEEDS), threads: 1, ..Hunt::default() };
    let report = hunt.run(&trial, &|_| {});
    let failure = report.failures.get("T1: no order explains a reply").expect("the hunt finds it too");
    let examined = examine(&trial, failure.seed).unwrap().expect("it fails");
    let plan = &examined.shrunk.plan;
    let kinds: Vec<FaultKind> = plan.faults.iter().map(|fault| fault.kind).collect();
    // Nothing else loses what a write has put into the page cache, and one read, during the storm or after it, shows it.
    assert_eq!(kinds, [FaultKind::PowerLoss], "{}", plan.to_toml());
    assert!(examined.shrunk.after.operations <= 2 && plan.ops.len() == 2, "{}", plan.to_toml());
    assert_eq!(examined.explanation.necessary(), [plan.faults[0].id]);
    let words = examined.to_string();
    assert!(words.contains("power_loss on n0") && words.contains("without it: it holds"), "{words}");
    println!("{words}");
}
