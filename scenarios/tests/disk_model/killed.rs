//! What a process leaves that is killed in the middle of its calls: one of the states that the model has at that moment.
//!
//! The moments are as random as the machine: no two runs of these tests kill at the same places. A failure names the
//! seed, which gives the calls, and how many of them were acknowledged; the directory is kept.

use std::{collections::BTreeMap, time::Duration};

use stormproof_engine::driver::RealDisk;
use stormproof_sim::world::{dice::Dice, fs::Profile};

use super::{
    calls::{Call, of_seed},
    player::{perform, tree},
    process::{self, Left, Moment},
    simulated::on_simulated_disk,
    within::{Done, within},
};

/// Processes, and calls that each would make.
const PROCESSES: u64 = 60;
const CALLS: usize = 100;

/// The test that the children run.
const CHILD: &str = "killed::what_a_killed_process_leaves_is_what_the_model_allows";

fn calls(seed: u64) -> Vec<Call> {
    of_seed(seed, CALLS)
}

#[test]
fn what_a_killed_process_leaves_is_what_the_model_allows() {
    process::be_the_child_if_asked(calls);
    let mut dice = Dice::new(9, 0);
    let mut counts = BTreeMap::new();
    for seed in 0..PROCESSES {
        let calls = calls(seed);
        let left = process::run(CHILD, seed, CALLS, Some(moment(&calls, &mut dice)));
        let Some(done) = judge(&calls, &left) else {
            let Left { dir, acknowledged, .. } = left;
            panic!("seed {seed}, {acknowledged} acknowledged: no state of the model is in {}", dir.keep().display());
        };
        *counts.entry((left.killed, done)).or_insert(0) += 1;
    }
    println!("(killed, how much of the call in progress was done): {counts:?}");
    let killed: u64 = counts.iter().filter(|((killed, _), _)| *killed).map(|(_, count)| count).sum();
    assert!(killed > PROCESSES / 4, "too few died before their end to show anything: {counts:?}");
}

/// When to kill: most often soon after a long write may have begun, else anywhere.
fn moment(calls: &[Call], dice: &mut Dice) -> Moment {
    let bytes = |call: &Call| match call {
        Call::Write { parts, .. } => parts.iter().map(|part| part.len).sum(),
        _ => 0,
    };
    let long: Vec<usize> = (0..calls.len()).filter(|at| bytes(&calls[*at]) > 100_000).collect();
    let anywhere = long.is_empty() || dice.percent(30);
    let acknowledged = if anywhere { dice.below(calls.len() as u64) as usize } else { *dice.pick(&long) };
    Moment { acknowledged, then: Duration::from_micros(dice.below(300)) }
}

#[test]
fn a_model_that_forgets_one_call_is_found_out() {
    for seed in 0..8 {
        let mut calls = calls(seed);
        let last = last_to_change_anything(&calls);
        calls.truncate(last + 1);
        let left = process::run(CHILD, seed, calls.len(), None);
        assert_eq!((left.killed, left.acknowledged), (false, calls.len()));
        assert!(judge(&calls, &left).is_some(), "seed {seed}: the true model");
        let forgotten = std::mem::replace(&mut calls[last], Call::Meta { slot: 0 });
        assert_eq!(judge(&calls, &left), None, "seed {seed}: nobody missed {forgotten:?}");
    }
}

fn judge(calls: &[Call], left: &Left) -> Option<Done> {
    let disk = RealDisk::open(left.dir.path()).expect("it is there");
    within(calls, left.acknowledged, &tree(&disk))
}

/// The last call after which the disk shows something else than before.
fn last_to_change_anything(calls: &[Call]) -> usize {
    on_simulated_disk(Profile::Weakest, |disk| {
        let (mut shown, mut at, mut last) = (tree(disk), 0, 0);
        perform(disk, calls, |disk| {
            let now = tree(disk);
            if now != shown {
                (shown, last) = (now, at);
            }
            at += 1;
        });
        last
    })
}
