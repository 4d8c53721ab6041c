//! Plans that once failed. `run` plays them first, since what broke once breaks again.
//!
//! Each is the smallest plan that showed a bug, so far one that was planted (`scenarios/mutants`, by the same name): `why`
//! is the claim that fell, `note` says in a line what the bug was. The engine as it is must hold under all of them, and each must still deliver its faults: a plan whose faults strike
//! nobody any more proves nothing, and is to be recorded again.

use stormproof_reports::run::{Regression, RegressionEnd};
use stormproof_sim::{
    hunt::{AnyPlan, Suite},
    world::Settings,
};

macro_rules! plans {
    ($($name:literal),* $(,)?) => {
        /// Every plan, by the name of its file.
        pub const PLANS: &[(&str, &str)] = &[$(($name, include_str!(concat!($name, ".toml")))),*];
    };
}

plans![
    "aborted-batch-kept",
    "absence-forgotten",
    "cached-frame-is-believed",
    "chain-between-files-uncompared",
    "deltas-in-reverse",
    "directory-synced-before-rename",
    "every-fourth-frame-unsynced",
    "frame-checksum-unchecked",
    "ids-before-vectors",
    "in-doubt-is-aborted",
    "index-digest-unchecked",
    "leftovers-unswept",
    "manager-told-too-early",
    "manifest-renamed-before-sync",
    "middle-taken-for-the-end",
    "position-reused-after-abort",
];

/// Plays those plans that belong to one of the suites.
pub fn play(suites: &[&dyn Suite]) -> Vec<Regression> {
    PLANS.iter().filter_map(|(name, text)| play_one(name, text, suites)).collect()
}

fn play_one(name: &str, text: &str, suites: &[&dyn Suite]) -> Option<Regression> {
    let regression = |suite: &str, why, end| Regression { name: name.into(), suite: suite.into(), why, end };
    let plan = match AnyPlan::from_toml(text) {
        Ok(plan) => plan,
        Err(words) => return Some(regression("", String::new(), RegressionEnd::Unreadable(words))),
    };
    let suite = suites.iter().find(|suite| suite.name() == plan.suite)?;
    let end = match suite.run_plan(text, &Settings::default()) {
        Err(error) => RegressionEnd::Unreadable(error.0),
        Ok(run) => match run.result.violation {
            Some(violation) => RegressionEnd::Fell(violation),
            None if !run.result.idle_faults.is_empty() => RegressionEnd::Idle(run.result.idle_faults),
            None => RegressionEnd::Holds,
        },
    };
    Some(regression(&plan.suite, format!("{} ({})", plan.note, plan.why), end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suites;

    #[test]
    fn every_file_of_the_folder_is_played() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/regressions");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .filter_map(|entry| entry.unwrap().file_name().to_str()?.strip_suffix(".toml").map(Into::into))
            .collect();
        files.sort();
        let listed: Vec<&str> = PLANS.iter().map(|(name, _)| *name).collect();
        assert_eq!(listed, files);
    }

    #[test]
    fn the_engine_holds_under_each_and_each_delivers_its_faults() {
        let suites = suites::all(None);
        let suites: Vec<&dyn Suite> = suites.iter().map(|suite| &**suite).collect();
        for regression in play(&suites) {
            assert_eq!(regression.end, RegressionEnd::Holds, "{}", regression.name);
            assert!(!regression.why.starts_with(" ("), "{} says nothing of its bug", regression.name);
        }
    }

    #[test]
    fn a_plan_that_cannot_be_read_is_no_plan_that_holds() {
        let suites = suites::all(None);
        let suites: Vec<&dyn Suite> = suites.iter().map(|suite| &**suite).collect();
        let played = play_one("bad", "format = 1\nsuite = 7", &suites).unwrap();
        assert!(matches!(played.end, RegressionEnd::Unreadable(_)), "{played:?}");
    }
}
