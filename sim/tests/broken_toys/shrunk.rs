//! Shrinking, held against every planted bug: the same failure, in a story that a person can take in.

#![allow(clippy::disallowed_methods, reason = "shrinks several bugs at once; nothing here is inside a world")]

use std::{
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use stormproof_sim::{
    check::invariant::Violation,
    hunt::{Budget, Hunt, Shard, Shrinking, Shrunk, Suite, failing_plan},
    world::Settings,
};

use crate::{Planted, SEEDS_MAX, planted};

/// So many candidates are enough for a small story; the time is for machines that are busy with something else.
const SHRINKING: Shrinking = Shrinking { time: Duration::from_mins(1), candidates_max: 2_500 };

/// The plan of the first seed that fails, shrunk. One thread looks for it, so that it is the same each time.
pub(crate) fn first_failure_shrunk(suite: &dyn Suite, case: Option<usize>) -> Shrunk {
    let shard = Shard { index: 0, of: 1 };
    let budget = Budget::Seeds(SEEDS_MAX);
    let hunt = Hunt { budget, from: 0, threads: 1, shard, case, sample_every: 0, failures_max: 1 };
    let report = hunt.run(suite, &|_| {});
    let failure = report.failures.values().next().expect("the planted bug is found");
    let plan =
        failing_plan(suite, failure.seed).expect("the plan can be played").expect("a seed that failed fails again");
    SHRINKING.run(suite, &plan, &|_, _| {}).expect("the plan can be played").expect("a recorded failure fails again")
}

/// All planted bugs, shrunk, on two threads.
fn all_shrunk() -> Vec<(Planted, Shrunk)> {
    let all = planted();
    let next = AtomicUsize::new(0);
    let shrunk: Vec<Mutex<Option<Shrunk>>> = all.iter().map(|_| Mutex::default()).collect();
    let work = || {
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            let Some(Planted { suite, case, .. }) = all.get(place) else { return };
            *shrunk[place].lock().expect("no thread has panicked") = Some(first_failure_shrunk(&**suite, *case));
        }
    };
    thread::scope(|scope| {
        scope.spawn(work);
        scope.spawn(work);
    });
    let shrunk: Vec<Shrunk> = shrunk
        .into_iter()
        .map(|shrunk| shrunk.into_inner().expect("no thread has panicked").expect("each place was taken"))
        .collect();
    all.into_iter().zip(shrunk).collect()
}

fn median(numbers: impl Iterator<Item = usize>) -> usize {
    let mut numbers: Vec<usize> = numbers.collect();
    numbers.sort_unstable();
    numbers[numbers.len() / 2]
}

#[test]
fn every_planted_bug_shrinks_to_a_short_story_that_fails_in_the_same_way_from_its_file() {
    let all = all_shrunk();
    println!(
        "| planted bug | faults | operations | clients | draws | candidates | done |\n|---|---|---|---|---|---|---|"
    );
    for (Planted { bug, suite, .. }, Shrunk { fingerprint, before, after, candidates, finished, plan }) in &all {
        println!(
            "| {bug} | {} to {} | {} to {} | {} to {} | {} to {} | {candidates} | {finished} |",
            before.faults,
            after.faults,
            before.operations,
            after.operations,
            before.clients,
            after.clients,
            before.draws,
            after.draws
        );
        let again = suite.run_plan(&plan.to_toml(), &Settings::default()).expect("the plan can be played");
        let fell = again.result.violation.as_ref().map(Violation::fingerprint);
        assert_eq!(fell.as_ref(), Some(fingerprint), "{bug}: the file tells another story\n{}", plan.to_toml());
        assert!(after.faults <= before.faults && after.operations <= before.operations, "{bug}: {before:?}, {after:?}");
        assert!(after.clients <= before.clients && after.draws <= before.draws, "{bug}: {before:?}, {after:?}");
    }
    let faults = median(all.iter().map(|(_, shrunk)| shrunk.after.faults));
    let operations = median(all.iter().map(|(_, shrunk)| shrunk.after.operations));
    println!("median: {faults} faults, {operations} operations");
    assert!(faults <= 2 && operations <= 6, "the median story has {faults} faults and {operations} operations");
}
