//! The simulated disk against a real one: the same calls on both must have the same answers, and leave the same files.
//!
//! | file | what |
//! |---|---|
//! | `calls` | what can be asked, and how it is drawn |
//! | `player` | asks it of any disk, and looks at the whole tree |
//! | `simulated` | the simulated disk, as a node sees it |
//! | `agree` | when two answers are the same, and each difference that is allowed, with its reason |
//! | `stories` | what was found by it |
//! | `killed` | what a process leaves that is killed in the middle |
//! | `within` | whether a tree is one that the model allows at that moment |
//! | `process` | that process, and the parent's side of it |
#![allow(
    clippy::disallowed_methods,
    reason = "real processes live by the machine's clock, and their parent hears them on a thread"
)]

mod agree;
mod calls;
mod killed;
mod player;
mod process;
mod simulated;
mod stories;
mod within;

use proptest::{prelude::*, test_runner::Config};
use stormproof_engine::driver::RealDisk;
use stormproof_sim::world::fs::Profile;

use self::{
    calls::{Call, short_call},
    player::{Life, live, tree_difference},
    simulated::on_simulated_disk,
};

/// Where the two differ first, in words.
fn difference(calls: &[Call], simulated: &Life, real: &Life) -> Result<(), String> {
    for ((call, ours), theirs) in calls.iter().zip(&simulated.answers).zip(&real.answers) {
        if !agree::agree(call, ours, theirs) {
            return Err(format!("{call:?}\n  simulated: {ours:?}\n  real:      {theirs:?}"));
        }
    }
    tree_difference(&simulated.tree, &real.tree)
}

proptest! {
    // A minimal failing case belongs in a test with a name, not in a file beside it.
    #![proptest_config(Config { cases: 300, failure_persistence: None, ..Config::default() })]

    #[test]
    fn the_simulated_disk_answers_what_a_real_one_answers(
        calls in proptest::collection::vec(short_call(), 1..60),
        profile in prop_oneof![Just(Profile::Weakest), Just(Profile::Ordered)],
    ) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let real = live(&RealDisk::open(dir.path()).expect("it is there"), &calls);
        let simulated = on_simulated_disk(profile, |disk| live(disk, &calls));
        prop_assert_eq!(difference(&calls, &simulated, &real), Ok(()));
    }
}
