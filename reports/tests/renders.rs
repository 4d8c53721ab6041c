//! Reports of hand-built hunts, held as snapshots: a change of what people read shows in the diff.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{collections::BTreeMap, time::Duration};

use stormproof_reports::{
    Mode, ReplayCommand, ReplayReport, RunReport, Trial, html, json, junit, list, plain, replay::Recorded, text,
};
use stormproof_sim::{
    check::{
        history::Overlap,
        invariant::{Claim, Invariant, Probes, Violation},
    },
    hunt::{AnyPlan, Case, CaseReport, Divergence, Failure, Loaded, Run, Suite, SuiteReport, scenario::PlanError},
    world::{
        RunResult, Settings,
        coverage::{Passed, Step},
        fault::FaultKind,
        trace::{Happened, Lane, Line},
    },
};

const D1: Claim = Claim { id: "D1", sentence: "an acknowledged commit survives every crash and disk fault" };
const D2: Claim = Claim { id: "D2", sentence: "a transaction is wholly there or not at all, in every tier" };
const POINTS: [&str; 3] = ["commit.begin", "commit.log_synced", "commit.done"];
const CASES: [Case; 2] = [
    Case {
        name: "kill",
        hypothesis: "a process killed while it votes recovers to the state before",
        injection: "a kill at every disk call and point of the vote",
        criterion: "nothing of the batch is there after recovery",
        faults: &[FaultKind::Kill],
        sometimes: &["died in the vote"],
    },
    Case {
        name: "power",
        hypothesis: "power lost while it votes leaves the state before",
        injection: "power loss at every disk call and point of the vote",
        criterion: "nothing of the batch is there after recovery",
        faults: &[FaultKind::PowerLoss],
        sometimes: &[],
    },
];

/// A suite that is only ever talked about.
struct Commit;

impl Suite for Commit {
    fn name(&self) -> &'static str {
        "commit"
    }
    fn about(&self) -> &'static str {
        "one transaction over a log and an index, killed and cut off at every step of its way to durability"
    }
    fn cases(&self) -> &[Case] {
        &CASES
    }
    fn invariants(&self) -> Vec<Invariant> {
        vec![
            Invariant { claim: D1, sometimes: &["recovered a commit", "the tail was torn"] },
            Invariant { claim: D2, sometimes: &[] },
        ]
    }
    fn points(&self) -> &'static [&'static str] {
        &POINTS
    }
    fn seeds_needed(&self) -> u64 {
        200
    }
    fn overlap_percent_min(&self) -> u64 {
        30
    }
    fn run_seed(&self, _: u64, _: &Settings) -> Run {
        unreachable!("reports run nothing")
    }
    fn run_plan(&self, _: &str, _: &Settings) -> Result<Run, PlanError> {
        unreachable!("reports run nothing")
    }
    fn sketch(&self, _: u64) -> AnyPlan {
        unreachable!("reports run nothing")
    }
    fn load(&self, _: &AnyPlan) -> Result<Box<dyn Loaded + '_>, PlanError> {
        unreachable!("reports run nothing")
    }
    fn simpler(&self, _: &toml::Value) -> Vec<toml::Value> {
        Vec::new()
    }
}

fn probes(names: &[(&str, u64)]) -> Probes {
    let mut probes = Probes::default();
    for (name, times) in names {
        (0..*times).for_each(|_| probes.reach(name));
    }
    probes
}

fn step(after: &'static str, call: &'static str, path: &str, times: u64, deaths: u64) -> (Step, Passed) {
    (Step { after, call, path: path.into() }, Passed { times, deaths })
}

/// Two cases, everything reached.
fn held() -> SuiteReport {
    let case = |name: &str, delivered: &[(FaultKind, u64)], reached: &[(&str, u64)]| CaseReport {
        name: name.into(),
        seeds: 6_172,
        delivered: delivered.iter().copied().collect(),
        probes: probes(reached),
    };
    SuiteReport {
        seeds: 12_344,
        cases: vec![
            case("kill", &[(FaultKind::Kill, 6_020)], &[("died in the vote", 57), ("recovered a commit", 44)]),
            case("power", &[(FaultKind::PowerLoss, 5_811), (FaultKind::SlowDisk, 912)], &[("the tail was torn", 12)]),
        ],
        checked: [("D1", 12_344), ("D2", 12_344), ("V1", 12_344)].into(),
        overlap: Overlap { operations: 143_002, overlapping: 91_521 },
        answered: [140_000, 2, 3_000],
        events: 2_345_678,
        simulated_ns: 11_520_000_000_000,
        busy_ns: 10_260_000_000,
        steps: [
            step("boot", "open", "wal.#", 13_000, 12),
            step("commit.begin", "point", "commit.begin", 140_000, 80),
            step("commit.begin", "write", "wal.#", 140_000, 90),
            step("commit.log_synced", "point", "commit.log_synced", 139_000, 0),
        ]
        .into(),
        rerun: 617,
        ..SuiteReport::new(&Commit)
    }
}

fn fallen() -> SuiteReport {
    let witness = "key 7: committed as version 3 by op12, acknowledged at 31ms\nafter recovery: version 2\n".to_owned()
        + &"op12: Put { id: 7, version: 3 } acknowledged, ".repeat(24);
    let failure = |seed, runs, plan: Option<&str>, violation: Violation| {
        let failure =
            Failure { seed, case: "kill".into(), violation, runs, plan: plan.map(Into::into), smallest: None };
        (failure.violation.fingerprint(), failure)
    };
    let lost = Violation::new(&D1, "lost commit", witness, 37_000_000);
    let half = Violation::new(&D2, "half a transaction", "op9: 1 of 2 records", 12_500);
    SuiteReport {
        failures: [failure(1_234, 17, Some(".stormproof/commit-1234.toml"), lost), failure(98, 1, None, half)].into(),
        failed: 18,
        differing: vec![40],
        ..held()
    }
}

fn unproven() -> SuiteReport {
    let mut report = held();
    report.cases[0].delivered = BTreeMap::new();
    report.cases[0].probes = Probes::default();
    report.overlap.overlapping = 3;
    report.gave_up = vec![(8, "the history of key 3 needs more than 1,000,000 states".into())];
    report
}

fn run(report: SuiteReport) -> RunReport<'static> {
    RunReport {
        regressions: Vec::new(),
        trials: vec![Trial { suite: &Commit, report, whole: true }],
        wall: Duration::from_millis(5_432),
        threads: 2,
        replay: ReplayCommand { program: "target/release/stormproof".into(), options: String::new() },
    }
}

#[test]
fn a_hunt_that_held_reads_as_text() {
    insta::assert_snapshot!(text::render(&run(held())));
}

#[test]
fn a_hunt_that_fell_reads_as_text() {
    insta::assert_snapshot!(text::render(&run(fallen())));
}

#[test]
fn a_hunt_that_proved_nothing_reads_as_text() {
    insta::assert_snapshot!(text::render(&run(unproven())));
}

#[test]
fn no_line_is_wider_than_a_terminal() {
    for report in [held(), fallen(), unproven(), SuiteReport::new(&Commit)] {
        for line in text::render(&run(report)).lines() {
            assert!(line.chars().count() <= 100, "{line}");
        }
    }
}

#[test]
fn a_hunt_that_fell_reads_as_junit() {
    insta::assert_snapshot!(junit::render(&run(fallen())).unwrap());
}

#[test]
fn a_hunt_that_proved_nothing_is_not_green_in_junit() {
    insta::assert_snapshot!(junit::render(&run(unproven())).unwrap());
}

#[test]
fn a_hunt_that_fell_reads_as_json() {
    insta::assert_snapshot!(json::render(&run(fallen())).unwrap());
}

#[test]
fn json_of_the_same_runs_differs_in_times_only() {
    let fast = run(held());
    let mut slow = run(SuiteReport { busy_ns: 99, ..held() });
    slow.wall = Duration::from_secs(99);
    slow.threads = 7;
    let [fast, slow] = [fast, slow].map(|run| {
        let mut value: serde_json::Value = serde_json::from_str(&json::render(&run).unwrap()).unwrap();
        let times = value.as_object_mut().unwrap().remove("times");
        (value, times)
    });
    assert_eq!(fast.0, slow.0);
    assert_ne!(fast.1, slow.1);
}

/// Its words are what a system on trial might say to be taken for more than words.
fn story_of(seed: u64) -> Run {
    let mut run = played(Some(Violation::new(&D1, "lost commit", "<script>alert(1)</script>", 37_000_000)));
    let line = |at, what, lane, detail, words: &str| Line { at, hash: at, what, lane, detail, words: words.into() };
    run.seed = seed;
    run.plan = Some("why = \"</pre><script>\"".into());
    run.result.lines = vec![
        line(1_000, Happened::Booted, Lane::Node(0), [1, 0], "n0 is up, life 1"),
        line(
            2_000,
            Happened::Invoked,
            Lane::Client(0),
            [0, 5],
            "c0 asks op0: Put(\"</li><img src=x onerror=alert(1)>\")",
        ),
        line(9_000, Happened::Delivered, Lane::Node(0), [0, 0], "op0 arrives at n0"),
        line(9_000, Happened::DiskCall, Lane::Node(0), [9, 9], "n0   point commit.begin"),
        line(9_500, Happened::Fault, Lane::Node(0), [1, 2], "fault 1 strikes n0: kill"),
        line(9_500, Happened::Died, Lane::Node(0), [0, 1], "n0 dies in life 1: Kill"),
    ];
    run
}

fn page_of(report: &RunReport<'_>) -> String {
    let run = story_of(1_234);
    html::render(report, &[html::Story { suite: &Commit, run: &run }])
}

#[test]
fn a_page_shows_verdict_matrix_and_story_and_what_was_never_struck() {
    let page = page_of(&run(fallen()));
    for words in ["✗ FELL", "c0 asks op0", "fault 1 strikes n0: kill", "Its events were not kept", "8 of 8 cells"] {
        assert!(page.contains(words), "{words}");
    }
    assert_eq!(page.matches("data-timeline=").count(), 1, "the other failure has no story");
}

#[test]
fn nothing_that_a_run_says_becomes_part_of_the_page() {
    let page = page_of(&run(fallen()));
    for words in ["<script>alert", "<img", "</pre><script>"] {
        assert!(!page.contains(words), "{words}");
    }
    assert_eq!(page.matches("<script").count(), 2, "the data of one picture, and the script of the page");
}

#[test]
fn a_page_names_nothing_outside_itself() {
    let pages = [page_of(&run(fallen())), page_of(&run(unproven())), html::plain(&outcomes())];
    for page in pages {
        let page = page.replace("http://www.w3.org/2000/svg", "");
        for words in ["://", " src=\"", "@import", "<link", "url(h", "fetch("] {
            assert!(!page.contains(words), "{words}");
        }
    }
}

#[test]
fn pages_of_the_same_runs_differ_in_times_only() {
    let mut slow = run(SuiteReport { busy_ns: 99, ..fallen() });
    slow.wall = Duration::from_secs(99);
    let [fast, slow] = [page_of(&run(fallen())), page_of(&slow)].map(|page| {
        let (before, times) = page.split_once("<footer id=\"times\">").unwrap();
        let (times, after) = times.split_once("</footer>").unwrap();
        ([before.to_owned(), after.to_owned()], times.to_owned())
    });
    assert!(fast.0 == slow.0);
    assert_ne!(fast.1, slow.1);
}

fn outcomes() -> plain::PlainReport {
    let outcome = |name: &str, status, why: &[&str]| plain::Outcome {
        name: name.into(),
        about: "it holds".into(),
        status,
        why: why.iter().map(|why| (*why).to_owned()).collect(),
        facts: vec![("lives".into(), "3".into())],
        took_ms: 1_500,
    };
    plain::PlainReport {
        title: "real".into(),
        summary: "a claim fell".into(),
        outcomes: vec![
            outcome("CE-01", plain::Status::Held, &[]),
            outcome("CE-02", plain::Status::Unproven, &["no kill met it"]),
            outcome("CE-03", plain::Status::Fell, &["D1: lost"]),
        ],
    }
}

#[test]
fn plain_cases_are_told_as_junit_and_as_a_page() {
    insta::assert_snapshot!(junit::plain(&outcomes()).unwrap());
    let page = html::plain(&outcomes());
    assert!(page.contains("✗ FELL") && page.contains("no kill met it"));
}

#[test]
fn a_replay_is_told_as_junit_and_as_a_page() {
    let run = story_of(7);
    let report = ReplayReport { suite: &Commit, run: &run, mode: Mode::Seed };
    insta::assert_snapshot!(junit::replay(&report).unwrap());
    let page = html::replay(&report);
    assert!(page.contains("commit/kill seed 7") && page.contains("seen broken"));
}

fn played(violation: Option<Violation>) -> Run {
    let result = RunResult {
        violation,
        trace_hash: 0xfeed,
        outcome_hash: 1,
        events: 4_321,
        simulated: 512_000_000,
        delivered: [(FaultKind::Kill, 2)].into(),
        idle_faults: vec![3],
        checked: BTreeMap::new(),
        probes: Probes::default(),
        gave_up: Vec::new(),
        overlap: Overlap::default(),
        answered: [12, 0, 1],
        steps: Vec::new(),
        struck: Vec::new(),
        strikes: BTreeMap::new(),
        lines: Vec::new(),
        unused: vec!["net op4 0>1 = 12ms".into()],
    };
    Run { case: 0, seed: 1_234, result, plan: None }
}

fn recorded() -> Recorded {
    Recorded { why: "D1: lost commit".into(), trace_hash: "000000000000beef".into() }
}

#[test]
fn a_plan_that_fails_as_it_did_says_so_and_names_its_unused_draws() {
    let run = played(Some(Violation::new(&D1, "lost commit", "key 7: version 3 is gone", 37_000_000)));
    let report = ReplayReport { suite: &Commit, run: &run, mode: Mode::Plan(recorded()) };
    assert_eq!(report.exit_code(), 1);
    insta::assert_snapshot!(report.text());
}

#[test]
fn an_exact_replay_that_parts_shows_both_lines_and_is_a_failure() {
    let parted = Divergence { line: 17, expected: Some("37ms fsync wal.1".into()), found: None };
    let report = ReplayReport { suite: &Commit, run: &played(None), mode: Mode::Exact(recorded(), Some(parted)) };
    assert_eq!(report.exit_code(), 1);
    insta::assert_snapshot!(report.text());
    insta::assert_snapshot!(report.json().unwrap());
}

#[test]
fn a_seed_that_holds_is_no_failure() {
    let report = ReplayReport { suite: &Commit, run: &played(None), mode: Mode::Seed };
    assert_eq!(report.exit_code(), 0);
    assert!(report.text().contains("000000000000feed"), "{}", report.text());
}

#[test]
fn suites_cases_claims_and_points_can_be_listed() {
    let suites: Vec<Box<dyn Suite>> = vec![Box::new(Commit)];
    let topics = [list::Topic::Suites, list::Topic::Cases, list::Topic::Invariants, list::Topic::Points];
    let all: Vec<_> = topics.map(|topic| list::text(topic, &suites)).into();
    insta::assert_snapshot!(all.join("----\n"));
}

#[test]
fn every_kind_of_fault_is_listed_in_both_forms() {
    let text = list::text(list::Topic::Faults, &[]);
    let json = list::json(list::Topic::Faults, &[]).unwrap();
    for kind in FaultKind::ALL {
        assert!(text.contains(kind.name()) && json.contains(kind.name()), "{}", kind.name());
    }
}
