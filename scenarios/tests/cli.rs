//! The command as a process: what it prints, and above all how it exits, since scripts decide by that.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;
use stormproof_sim::world::Settings;

fn stormproof(arguments: &[&str]) -> Output {
    stormproof_in(Path::new("."), arguments)
}

fn stormproof_in(dir: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stormproof"));
    command.args(arguments).current_dir(dir).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn complained(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The name of a suite that exists.
fn some_suite() -> String {
    let suites = json(&stormproof(&["list", "suites", "--json"]));
    suites["suites"][0]["name"].as_str().expect("there is a suite").to_owned()
}

#[test]
fn wrong_use_exits_with_2_and_says_what_was_expected() {
    let cases: [(&[&str], &str); 12] = [
        (&[], "Usage"),
        (&["run", "--no-such-option"], "--no-such-option"),
        (&["run", "no-such-suite"], "there is no suite `no-such-suite`; there are: "),
        (&["run", "--shard", "0/4"], "expected a share from 1 to 4, found 0"),
        (&["run", "--shard", "5/4"], "expected a share from 1 to 4, found 5"),
        (&["run", "--seeds", "0"], "--seeds"),
        (&["run", "--time", "60"], "--time"),
        (&["run", "--time", "1s", "--seeds", "1"], "cannot be used with"),
        (&["run", "--vectors", "no-such.fvecs"], "no-such.fvecs"),
        (&["run", "--json", "no-such-folder/report.json"], "no-such-folder"),
        (&["replay", "no-such-suite:1"], "there is no suite `no-such-suite`"),
        (&["list", "no-such-topic"], "no-such-topic"),
    ];
    for (arguments, words) in cases {
        let output = stormproof(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", complained(&output));
        assert!(complained(&output).contains(words), "{arguments:?}: {}", complained(&output));
    }
}

#[test]
fn an_unknown_case_is_answered_with_those_that_exist() {
    let suite = some_suite();
    let cases = json(&stormproof(&["list", "cases", "--json"]));
    let known = cases["cases"][0]["name"].as_str().unwrap();
    let output = stormproof(&["run", &format!("{suite}/no-such-case")]);
    assert_eq!(output.status.code(), Some(2));
    assert!(complained(&output).contains(known), "{}", complained(&output));
}

#[test]
fn every_list_has_something_in_it_in_both_forms() {
    for topic in ["suites", "cases", "invariants", "faults", "points"] {
        let output = stormproof(&["list", topic]);
        assert_eq!(output.status.code(), Some(0), "{topic}");
        assert!(said(&output).lines().count() > 1, "{topic}: {}", said(&output));
        let listed = json(&stormproof(&["list", topic, "--json"]));
        assert_eq!(listed["schema"], 1, "{topic}");
        assert!(!listed[topic].as_array().unwrap().is_empty(), "{topic}");
    }
}

#[test]
fn a_malformed_plan_is_refused_with_file_line_and_column() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("broken.toml"), "format = 1\nsuite = \"x\ncase = 3\n").unwrap();
    let output = stormproof_in(dir.path(), &["replay", "broken.toml"]);
    assert_eq!(output.status.code(), Some(2));
    let words = complained(&output);
    assert!(words.contains("broken.toml: ") && words.contains("line 2, column"), "{words}");
}

#[test]
fn a_plan_that_is_no_text_is_refused_with_its_offset() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("bytes.toml"), b"abc\xff").unwrap();
    let output = stormproof_in(dir.path(), &["replay", "bytes.toml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(complained(&output).contains("bytes.toml: offset 3"), "{}", complained(&output));
}

#[test]
fn a_malformed_file_of_vectors_is_refused_with_its_offset() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("cut.fvecs"), [2, 0, 0, 0, 1, 2]).unwrap();
    let output = stormproof_in(dir.path(), &["run", "--vectors", "cut.fvecs", "--seeds", "1"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(complained(&output).contains("cut.fvecs: offset 4: expected 8 bytes"), "{}", complained(&output));
}

#[test]
fn a_seed_replayed_in_two_processes_has_one_trace() {
    let source = format!("{}:7", some_suite());
    let [first, second] = [(); 2].map(|()| stormproof(&["replay", &source, "--trace"]));
    assert_eq!(first.status.code(), Some(0), "{}", complained(&first));
    assert!(said(&first).contains("trace hash"), "{}", said(&first));
    assert_eq!(said(&first), said(&second));
}

#[test]
fn a_hunt_ends_in_a_report_in_every_form_and_repeats_a_share_of_its_runs() {
    let dir = tempfile::tempdir().unwrap();
    let suite = some_suite();
    let arguments = ["run", &suite, "--seeds", "30", "--from", "1000", "--json", "r.json", "--junit", "r.xml"];
    let output = stormproof_in(dir.path(), &arguments);
    assert_eq!(output.status.code(), Some(0), "{}{}", said(&output), complained(&output));
    assert!(said(&output).contains("Verdict: "), "{}", said(&output));
    let report: Value = serde_json::from_slice(&std::fs::read(dir.path().join("r.json")).unwrap()).unwrap();
    assert_eq!(report["suites"][0]["seeds"], 30);
    assert!(report["suites"][0]["self_check"]["repeated"].as_u64() > Some(0), "{report}");
    let junit = std::fs::read_to_string(dir.path().join("r.xml")).unwrap();
    assert!(junit.contains(&format!("<testsuite name=\"{suite}\"")), "{junit}");
}

#[test]
fn two_hunts_over_the_same_seeds_report_the_same_but_for_times() {
    let dir = tempfile::tempdir().unwrap();
    let suite = some_suite();
    let [first, second] = ["1", "2"].map(|jobs| {
        let arguments = ["run", &suite, "--seeds", "20", "--jobs", jobs, "--json", "r.json"];
        assert_eq!(stormproof_in(dir.path(), &arguments).status.code(), Some(0));
        let text = std::fs::read(dir.path().join("r.json")).unwrap();
        let mut report: Value = serde_json::from_slice(&text).unwrap();
        report.as_object_mut().unwrap().remove("times");
        report
    });
    assert_eq!(first, second);
}

#[test]
fn every_form_of_report_is_written_of_a_hunt_and_of_a_replay() {
    let dir = tempfile::tempdir().unwrap();
    let suite = some_suite();
    let forms = ["--json", "r.json", "--junit", "r.xml", "--html", "r.html"];
    for arguments in [vec!["run", &suite, "--seeds", "5"], vec!["replay", &format!("{suite}:7")]] {
        let output = stormproof_in(dir.path(), &[arguments, forms.to_vec()].concat());
        assert_eq!(output.status.code(), Some(0), "{}", complained(&output));
        let page = std::fs::read_to_string(dir.path().join("r.html")).unwrap();
        assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>\n"));
        assert!(std::fs::read_to_string(dir.path().join("r.xml")).unwrap().contains("<testsuite "));
    }
}

#[test]
fn a_hunt_is_compared_with_an_older_one() {
    let dir = tempfile::tempdir().unwrap();
    let suite = some_suite();
    for (seeds, file) in [("60", "many.json"), ("4", "few.json")] {
        let output = stormproof_in(dir.path(), &["run", &suite, "--seeds", seeds, "--json", file]);
        assert_eq!(output.status.code(), Some(0), "{}", complained(&output));
    }
    let report = |arguments: &[&str]| stormproof_in(dir.path(), &[&["report"], arguments].concat());
    assert_eq!(report(&["few.json"]).status.code(), Some(0));
    assert_eq!(report(&["many.json", "--against", "few.json"]).status.code(), Some(0));
    let worse = report(&["few.json", "--against", "many.json", "--html", "r.html", "--json", "r.json"]);
    assert_eq!(worse.status.code(), Some(1), "{}", said(&worse));
    assert!(said(&worse).contains("LOST"), "{}", said(&worse));
    let told: Value = serde_json::from_slice(&std::fs::read(dir.path().join("r.json")).unwrap()).unwrap();
    assert_eq!((&told["command"], &told["exit_code"]), (&"report".into(), &1.into()));
}

#[test]
fn what_is_no_report_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("other.json"), r#"{ "schema": 1, "command": "replay" }"#).unwrap();
    for (arguments, words) in [
        (["report", "none.json"].as_slice(), "none.json: "),
        (&["report", "other.json"], "other.json: expected what `run --json` writes, found a document of `replay`"),
    ] {
        let output = stormproof_in(dir.path(), arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(complained(&output).contains(words), "{}", complained(&output));
    }
}

/// Plan and trace of a seed, as a hunt saves them of a failing one.
fn saved(dir: &Path) -> (String, Vec<String>) {
    let suites = stormproof::suites::all(None);
    let run = suites[0].run_seed(3, &Settings { words: true, record: true });
    let plan = run.plan.expect("it was recorded");
    std::fs::write(dir.join("saved.toml"), &plan).unwrap();
    let lines: Vec<String> = run.result.lines.iter().map(ToString::to_string).collect();
    std::fs::write(dir.join("saved.trace"), lines.join("\n")).unwrap();
    (plan, lines)
}

#[test]
fn a_saved_run_is_played_again_event_for_event() {
    let dir = tempfile::tempdir().unwrap();
    saved(dir.path());
    for how in ["--plan", "--exact"] {
        let output = stormproof_in(dir.path(), &["replay", "saved.toml", how]);
        assert_eq!(output.status.code(), Some(0), "{}{}", said(&output), complained(&output));
        assert!(said(&output).contains("the recorded run, event for event"), "{how}: {}", said(&output));
    }
}

#[test]
fn an_exact_replay_stops_at_the_first_event_that_differs_and_shows_both() {
    let dir = tempfile::tempdir().unwrap();
    let (_, mut lines) = saved(dir.path());
    let now = std::mem::replace(&mut lines[6], "what was recorded".into());
    std::fs::write(dir.path().join("saved.trace"), lines.join("\n")).unwrap();
    let output = stormproof_in(dir.path(), &["replay", "saved.toml", "--exact", "--json", "r.json"]);
    assert_eq!(output.status.code(), Some(1), "{}", complained(&output));
    let report: Value = serde_json::from_slice(&std::fs::read(dir.path().join("r.json")).unwrap()).unwrap();
    let divergence = &report["divergence"];
    assert_eq!(divergence["line"], 7);
    assert_eq!((&divergence["recorded"], &divergence["now"]), (&"what was recorded".into(), &Value::from(now)));
}

#[test]
fn an_exact_replay_without_a_trace_is_wrong_use() {
    let dir = tempfile::tempdir().unwrap();
    saved(dir.path());
    std::fs::remove_file(dir.path().join("saved.trace")).unwrap();
    let output = stormproof_in(dir.path(), &["replay", "saved.toml", "--exact"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(complained(&output).contains("saved.trace"), "{}", complained(&output));
}

#[test]
fn a_plan_with_a_field_that_does_not_exist_is_refused_with_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let (plan, _) = saved(dir.path());
    std::fs::write(dir.path().join("saved.toml"), format!("misspelt = 1\n{plan}")).unwrap();
    let output = stormproof_in(dir.path(), &["replay", "saved.toml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(complained(&output).contains("line 1, column 1"), "{}", complained(&output));
}

#[cfg(target_os = "linux")]
#[test]
fn a_report_that_cannot_be_written_is_a_failure_of_the_tool() {
    let output = stormproof(&["replay", &format!("{}:7", some_suite()), "--json", "/dev/full"]);
    assert_eq!(output.status.code(), Some(3), "{}", complained(&output));
    assert!(complained(&output).contains("cannot write /dev/full"), "{}", complained(&output));
}
