//! Two small hunts, written by hand, compared.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use serde_json::{Value, json};
use stormproof_reports::{
    compare::{
        Comparison,
        read::{Document, ReadError},
    },
    html,
};

/// The older hunt: one suite, one failure.
fn old() -> Value {
    json!({
        "schema": 1, "command": "run", "verdict": "fell", "exit_code": 1, "a field of tomorrow": [],
        "suites": [{
            "name": "commit", "verdict": "fell", "seeds": 1_000,
            "cases": [{
                "name": "kill",
                "faults": { "kill": 800, "sync_error": 0 },
                "sometimes": { "died in the vote": 7 },
            }],
            "claims": [{ "id": "D1", "sometimes": { "the tail was torn": 0 } }],
            "points": [{ "name": "commit.begin", "passed": 9_000, "deaths": 30 }, { "name": "commit.done", "passed": 8_000, "deaths": 0 }],
            "steps": [
                { "after": "commit.begin", "call": "write", "path": "wal.#", "passed": 9_000, "deaths": 4 },
                { "after": "boot", "call": "open", "path": "wal.#", "passed": 9_000, "deaths": 0 },
            ],
            "strikes": [{ "fault": "kill", "after": "commit.begin", "times": 80 }],
            "failures": [
                { "claim": "D1", "fingerprint": "D1: lost commit", "seed": 120 },
                { "claim": "D2", "fingerprint": "D2: half a transaction", "seed": 300 },
            ],
            "self_check": { "repeated": 50, "differing": [] },
        }],
        "times": { "wall_ns": 1, "threads": 1, "busy_ns": { "commit": 2_000_000_000 } },
    })
}

/// The newer one: it found one failure sooner, one no more, and one that is new; it gained, and it lost.
fn new() -> Value {
    let mut new = old();
    let suite = &mut new["suites"][0];
    suite["seeds"] = 600.into();
    suite["cases"][0]["faults"]["sync_error"] = 3.into();
    suite["claims"][0]["sometimes"]["the tail was torn"] = 2.into();
    suite["steps"][0]["deaths"] = 0.into();
    suite["steps"][1]["deaths"] = 1.into();
    suite["points"][1]["passed"] = 0.into();
    suite["strikes"][0]["after"] = "commit.done".into();
    suite["failures"] = json!([
        { "claim": "D1", "fingerprint": "D1: lost commit", "seed": 12 },
        { "claim": "V1", "fingerprint": "V1: never answered", "seed": 5 },
    ]);
    new["times"]["busy_ns"]["commit"] = 600_000_000.into();
    new
}

fn read(value: &Value) -> Document {
    Document::parse(&value.to_string()).unwrap()
}

fn compared() -> Comparison {
    Comparison::of(&read(&new()), Some(&read(&old())))
}

#[test]
fn what_was_gained_lost_and_found_sooner_reads_as_text() {
    assert_eq!(compared().exit_code(), 1);
    insta::assert_snapshot!(compared().text());
}

#[test]
fn what_was_gained_lost_and_found_sooner_reads_as_json() {
    insta::assert_snapshot!(compared().json().unwrap());
}

#[test]
fn what_was_gained_lost_and_found_sooner_is_a_page() {
    let page = html::compare(&compared());
    for words in
        ["✗ WORSE", "V1 fell", "write wal.# after commit.begin", "D1: lost commit sooner: at seed 12, was at seed 120"]
    {
        assert!(page.contains(words), "{words}");
    }
}

#[test]
fn a_hunt_like_the_older_one_is_no_worse_though_a_claim_falls_in_both() {
    let same = Comparison::of(&read(&old()), Some(&read(&old())));
    assert_eq!(same.exit_code(), 0);
    assert!(same.text().contains("Nothing was lost, and nothing fell anew"), "{}", same.text());
}

#[test]
fn a_hunt_alone_is_only_told() {
    let alone = Comparison::of(&read(&new()), None);
    assert_eq!(alone.exit_code(), 0);
    insta::assert_snapshot!(alone.text());
}

#[test]
fn a_suite_that_is_not_run_any_more_is_lost() {
    let mut none = new();
    none["suites"] = json!([]);
    let compared = Comparison::of(&read(&none), Some(&read(&old())));
    assert_eq!(compared.exit_code(), 1);
    assert!(compared.text().contains("not run any more"), "{}", compared.text());
}

#[test]
fn runs_that_begin_to_differ_are_worse() {
    let mut differs = old();
    differs["suites"][0]["self_check"]["differing"] = json!([40]);
    assert_eq!(Comparison::of(&read(&differs), Some(&read(&old()))).exit_code(), 1);
    assert_eq!(Comparison::of(&read(&differs), Some(&read(&differs))).exit_code(), 0);
}

#[test]
fn a_document_of_before_faults_were_counted_by_point_can_be_read() {
    let mut before = old();
    before["suites"][0].as_object_mut().unwrap().remove("strikes");
    assert_eq!(Comparison::of(&read(&old()), Some(&read(&before))).exit_code(), 0);
}

#[test]
fn what_is_no_report_of_a_hunt_is_refused_with_what_was_expected() {
    let parse = |value: Value| Document::parse(&value.to_string()).unwrap_err();
    let mut other = old();
    other["schema"] = 2.into();
    assert_eq!(parse(other), ReadError::Schema(2));
    assert_eq!(parse(json!({ "schema": 1, "command": "replay" })), ReadError::Command("replay".into()));
    let malformed = parse(json!({ "schema": 1, "command": "run", "verdict": "holds", "suites": [{ "name": "x" }] }));
    assert!(malformed.to_string().contains("missing field `verdict`"), "{malformed}");
    assert!(Document::parse("{").unwrap_err().to_string().contains("line 1 column"));
}
