//! Is the harness telling the truth? Engines with one planted bug each must be caught by the claim that names the bug;
//! the same engines without the bug must hold.
//!
//! Two engines: the [`toy`], a single node with logs, a snapshot, a job and queries; and the replicated register of the
//! library's `examples`. The same bugs are what the tools for a failure are held against: the exploration ([`explored`]),
//! the shrinking ([`shrunk`]), the explanation ([`explained`]). What a hunt needs to catch each bug is printed by
//! `cargo test -p stormproof-sim --test broken_toys -- --nocapture table`.

mod explained;
mod explored;
mod faults;
mod judge;
mod pocket;
#[path = "../../examples/quickstart.rs"]
#[allow(dead_code, reason = "its `main` is for readers of the quickstart")]
mod quickstart;
#[path = "../../examples/register.rs"]
#[allow(dead_code, reason = "its `main` is for readers of the tutorial")]
mod register;
mod shards;
mod shrunk;
mod toy;
mod trial;

use stormproof_sim::{
    check::invariant::Claim,
    examples::replica::{
        self,
        trial::{LINEARIZABLE as ONE_REGISTER, ONE_LEADER, ReplicaTrial, SAME_LOG},
    },
    hunt::{Budget, Hunt, Shard, Suite, SuiteReport, Verdict},
    world::{
        Settings,
        stage::{LIVENESS, NO_PANIC},
    },
};

use crate::{
    judge::{DURABLE, LINEARIZABLE, NEVER_IN_THE_WAY, ONCE, STAYS_DELETED, VERIFIED, WHOLE},
    toy::Bug,
    trial::ToyTrial,
};

/// A bug must be found within so many runs, from wherever the hunt starts.
const SEEDS_MAX: u64 = 10_000;
/// Each hunt is repeated on other seeds, so that what is reported is not one lucky number.
const HUNTS: u64 = 5;

/// A planted bug, and what must catch it.
struct Planted {
    bug: &'static str,
    /// The claims that name it. Two where it depends on whether a reply arrives before the crash.
    claims: &'static [Claim],
    suite: Box<dyn Suite>,
    /// The case of the suite that exists for this danger.
    case: Option<usize>,
}

fn in_toy(bug: Bug, case: &str, claims: &'static [Claim]) -> Planted {
    Planted::new(bug.words(), Box::new(ToyTrial { bug: Some(bug) }), case, claims)
}

fn in_replica(bug: replica::Bug, words: &'static str, case: &str, claims: &'static [Claim]) -> Planted {
    Planted::new(words, Box::new(ReplicaTrial { bug: Some(bug) }), case, claims)
}

impl Planted {
    fn new(bug: &'static str, suite: Box<dyn Suite>, case: &str, claims: &'static [Claim]) -> Self {
        let case = suite.cases().iter().position(|known| known.name == case);
        assert!(case.is_some(), "{} has a case for: {bug}", suite.name());
        Planted { bug, claims, suite, case }
    }
}

fn planted() -> Vec<Planted> {
    vec![
        in_toy(Bug::RepliesBeforeSync, "storm", &[DURABLE]),
        in_toy(Bug::ForgetsDirectorySync, "storm", &[DURABLE]),
        in_toy(Bug::RenamesBeforeSync, "storm", &[VERIFIED]),
        in_toy(Bug::AppliesTwiceAfterRestart, "storm", &[ONCE]),
        in_toy(Bug::LosesTheTailBehindATornFrame, "torn", &[DURABLE]),
        in_toy(Bug::TrustsALength, "torn", &[NO_PANIC]),
        in_toy(Bug::BelievesARetriedSync, "torn", &[DURABLE, LINEARIZABLE]),
        in_toy(Bug::ResurrectsADelete, "storm", &[STAYS_DELETED]),
        in_toy(Bug::UpdatesTwoFilesApart, "storm", &[WHOLE]),
        in_toy(Bug::PublishesBeforeSync, "torn", &[DURABLE, LINEARIZABLE]),
        in_toy(Bug::CutsAFileThatAQueryReads, "storm", &[NEVER_IN_THE_WAY]),
        in_toy(Bug::KeepsItsLock, "storm", &[LIVENESS]),
        in_toy(Bug::BelievesAFileByItsName, "orphans", &[VERIFIED]),
        in_replica(replica::Bug::VotesTwice, "split brain under a one-way partition", "one-way", &[ONE_LEADER]),
        in_replica(replica::Bug::ReadsWithoutLease, "stale read while isolated", "at-election", &[ONE_REGISTER]),
        in_replica(replica::Bug::LeaseByWallClock, "lease under clock skew", "clocks", &[ONE_REGISTER]),
        in_replica(replica::Bug::AppliesTwice, "duplicate after reordering", "reordering", &[SAME_LOG]),
    ]
}

fn hunt(suite: &dyn Suite, from: u64, seeds: u64, case: Option<usize>, failures_max: u64) -> SuiteReport {
    let shard = Shard { index: 0, of: 1 };
    let hunt = Hunt { budget: Budget::Seeds(seeds), from, threads: 2, shard, case, sample_every: 0, failures_max };
    hunt.run(suite, &|_| {})
}

/// How many seeds it took to the first failure, and which claim fell.
fn first_failure(planted: &Planted, from: u64) -> Option<(u64, &'static str)> {
    let suite = &*planted.suite;
    let report = hunt(suite, from, SEEDS_MAX, planted.case, 1);
    let failure = report.failures.values().min_by_key(|failure| failure.seed)?;
    let seeds = (failure.seed - from) / suite.cases().len() as u64 + 1;
    Some((seeds, failure.violation.claim))
}

#[test]
fn every_planted_bug_is_caught_by_the_claim_that_names_it_and_the_table_says_how_soon() {
    println!("| planted bug | caught by | seeds to detection: least, median, most of {HUNTS} hunts |\n|---|---|---|");
    let mut missed = Vec::new();
    for planted in planted() {
        let hunts: Vec<_> = (0..HUNTS).map(|n| first_failure(&planted, n * 1_000_000)).collect();
        let mut seeds: Vec<u64> = hunts.iter().flatten().map(|(seeds, _)| *seeds).collect();
        seeds.sort_unstable();
        let (least, median, most) = (seeds.first(), seeds.get(seeds.len() / 2), seeds.last());
        let shown = |seeds: Option<&u64>| seeds.map_or("none".into(), u64::to_string);
        let (least, median, most) = (shown(least), shown(median), shown(most));
        let claims = planted.claims.iter().map(|claim| claim.id).collect::<Vec<_>>().join(" or ");
        println!("| {} | {claims} | {least}, {median}, {most} |", planted.bug);
        let caught = |hunt: &Option<(u64, &str)>| {
            hunt.is_some_and(|(_, fell)| planted.claims.iter().any(|claim| claim.id == fell))
        };
        if !hunts.iter().all(caught) {
            missed.push(format!("{}: {hunts:?} instead of {claims}", planted.bug));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[test]
fn answers_in_hash_order_are_caught_by_running_a_seed_again() {
    let differs = |bug, seed| {
        let run = || ToyTrial { bug }.run_seed(seed, &Settings::default()).result.trace_hash;
        run() != run()
    };
    let first = (0..SEEDS_MAX).find(|seed| differs(Some(Bug::AnswersInHashOrder), *seed));
    println!("| {} | trace hash | {first:?} |", Bug::AnswersInHashOrder.words());
    assert!(first.is_some(), "{SEEDS_MAX} seeds ran twice alike");
    assert_eq!((0..200).find(|seed| differs(None, *seed)), None, "the toy as it should be differs");
}

fn holds(suite: &dyn Suite, seeds: u64) {
    let report = hunt(suite, 0, seeds, None, 1);
    if let Some(failure) = report.failures.values().next() {
        let story = suite.run_seed(failure.seed, &Settings { words: true, record: false }).result.lines;
        let story: Vec<String> = story.iter().map(ToString::to_string).collect();
        panic!("{}\nseed {}: {}", story.join("\n"), failure.seed, failure.violation);
    }
    assert_eq!(report.verdict(suite, true), Verdict::Holds);
    println!("{}: {} seeds held, {}", suite.name(), report.seeds, report.overlap);
}

#[test]
fn the_toy_as_it_should_be_keeps_every_promise() {
    holds(&ToyTrial { bug: None }, 10_000);
}

#[test]
fn the_replica_as_it_should_be_keeps_every_promise() {
    holds(&ReplicaTrial { bug: None }, 10_000);
}

#[test]
fn the_register_of_the_tutorial_keeps_every_promise() {
    holds(&register::suite(), 10_000);
}
