//! `explore`, `shrink` and `explain` as commands: what they say, what they save, and how they exit.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;
use stormproof_sim::world::Settings;

fn stormproof_in(dir: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_stormproof")).args(arguments).current_dir(dir).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn code(output: &Output) -> Option<i32> {
    if output.status.code() == Some(3) {
        eprintln!("{}", String::from_utf8_lossy(&output.stderr));
    }
    output.status.code()
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// A plan that fails although the engine is right: few runs converge in so short a time.
fn save_failing(dir: &Path) {
    for seed in 0..20 {
        let settings = Settings { words: false, record: true };
        let plan = stormproof::suites::all(None)[0].run_seed(seed, &settings).plan.unwrap();
        let plan = plan.replace("[tuning]\n", "[tuning]\nconverge_within = \"1ms\"\n");
        assert!(plan.contains("converge_within"), "{plan}");
        std::fs::write(dir.join("failing.toml"), plan).unwrap();
        if code(&stormproof_in(dir, &["replay", "failing.toml"])) == Some(1) {
            return;
        }
    }
    panic!("each of twenty runs converges within a millisecond");
}

#[test]
fn an_exploration_adds_up_and_does_not_depend_on_threads() {
    let dir = tempfile::tempdir().unwrap();
    let [one, two] = ["1", "2"].map(|jobs| {
        let arguments =
            ["explore", "commit/decision", "--ops", "2", "--jobs", jobs, "--json", "e.json", "--junit", "e.xml"];
        let output = stormproof_in(dir.path(), &arguments);
        assert_eq!(code(&output), Some(0), "{}", said(&output));
        let mut report = read(&dir.path().join("e.json"));
        report.as_object_mut().unwrap().remove("times");
        report
    });
    assert_eq!(one, two);
    let number = |name: &str| one["total"][name].as_u64().unwrap();
    assert!(number("points") > 20 && number("executed") > 20, "{one}");
    assert_eq!(number("executed") + number("saved"), number("states"));
    assert_eq!(number("left_out"), 0);
    assert!(std::fs::read_to_string(dir.path().join("e.xml")).unwrap().contains("explore commit"));
}

#[test]
fn an_exploration_that_the_bound_has_cut_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let output = stormproof_in(dir.path(), &["explore", "commit/CE-01-power", "--ops", "2", "--bound", "1"]);
    assert_eq!(code(&output), Some(0));
    assert!(said(&output).contains("NOT all states were looked at"), "{}", said(&output));
}

/// A write that the disk has lost, and the power loss that takes what was made of it: nothing is left that could show it.
#[test]
fn a_disk_that_lies_is_explored_without_power_loss_and_that_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let output = stormproof_in(dir.path(), &["explore", "wal/lying-disk", "--ops", "6", "--json", "e.json"]);
    assert_eq!(code(&output), Some(0), "{}", said(&output));
    assert!(said(&output).contains("kills only"), "{}", said(&output));
    let report = read(&dir.path().join("e.json"));
    assert_eq!(report["workloads"][0]["kills_only"], true, "{report}");
}

#[test]
fn exploring_nothing_in_particular_is_wrong_use() {
    let wrong: [&[&str]; 5] = [
        &["explore"],
        &["explore", "no-such-suite"],
        &["explore", "commit", "--depth", "3"],
        &["explore", "commit", "--bound", "0"],
        &["explore", "commit", "--profile", "strongest"],
    ];
    for arguments in wrong {
        assert_eq!(code(&stormproof_in(Path::new("."), arguments)), Some(2), "{arguments:?}");
    }
}

#[test]
fn a_failing_plan_shrinks_to_one_that_fails_in_the_same_way_and_can_be_explained() {
    let dir = tempfile::tempdir().unwrap();
    save_failing(dir.path());
    let output = stormproof_in(dir.path(), &["shrink", "failing.toml", "--json", "s.json"]);
    assert_eq!(code(&output), Some(0), "{}", said(&output));
    let report = read(&dir.path().join("s.json"));
    assert_eq!(report["after"]["faults"], 0, "{report}");
    assert!(report["after"]["draws"].as_u64() < report["before"]["draws"].as_u64(), "{report}");
    let replayed = stormproof_in(dir.path(), &["replay", "failing.min.toml"]);
    assert_eq!(code(&replayed), Some(1));
    let words = said(&replayed);
    assert!(words.contains("the same as recorded") && words.contains("event for event"), "{words}");
    let explained = stormproof_in(dir.path(), &["explain", "failing.min.toml", "--reseeds", "3", "--json", "x.json"]);
    assert_eq!(code(&explained), Some(0), "{}", said(&explained));
    assert!(said(&explained).contains("it fails without any"), "{}", said(&explained));
    assert_eq!(read(&dir.path().join("x.json"))["fingerprint"], report["fingerprint"]);
}

#[test]
fn a_plan_that_holds_has_nothing_to_shrink_or_to_explain() {
    let dir = tempfile::tempdir().unwrap();
    let plan = stormproof::suites::all(None)[0].run_seed(2, &Settings { words: false, record: true }).plan.unwrap();
    std::fs::write(dir.path().join("holds.toml"), plan).unwrap();
    for command in ["shrink", "explain"] {
        let output = stormproof_in(dir.path(), &[command, "holds.toml"]);
        assert_eq!(code(&output), Some(4), "{command}: {}", said(&output));
        assert!(said(&output).contains("the run holds"), "{}", said(&output));
        assert_eq!(code(&stormproof_in(dir.path(), &[command, "missing.toml"])), Some(2));
    }
}
