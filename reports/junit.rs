//! A hunt as JUnit: a test suite per suite, a test case per case, as CI servers show them.
//!
//! What concerns no single case (a run that was not the same when repeated, a claim never put to the test) fails a test
//! case of its own, `(the whole suite)`: a server that reads nothing but this file must not show green.

use std::time::Duration;

pub use quick_junit::SerializeError as RenderError;
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use stormproof_sim::hunt::{CaseReport, Failure, Verdict};

use super::{
    layout::plural,
    plain::{PlainReport, Status},
    replay::ReplayReport,
    run::{Regression, ReplayCommand, RunReport, Trial},
};

/// A hunt.
pub fn render(run: &RunReport<'_>) -> Result<String, RenderError> {
    let mut report = Report::new("stormproof");
    report.set_time(run.wall);
    if !run.regressions.is_empty() {
        report.add_test_suite(regressions(&run.regressions));
    }
    report.add_test_suites(run.trials.iter().map(|trial| suite(trial, &run.replay)));
    report.to_string()
}

fn regressions(all: &[Regression]) -> TestSuite {
    let mut suite = TestSuite::new("regressions");
    for regression in all {
        let status = match regression.verdict() {
            Verdict::Holds | Verdict::Warning(_) => TestCaseStatus::success(),
            Verdict::Unproven(why) => non_success(NonSuccessKind::Error, "unproven", &why),
            Verdict::Fell(why) => non_success(NonSuccessKind::Failure, "fell", &why),
        };
        let mut case = TestCase::new(regression.name.as_str(), status);
        case.set_classname("stormproof.regressions");
        suite.add_test_case(case);
    }
    suite
}

/// A run played again: one test case, named by its seed.
pub fn replay(played: &ReplayReport<'_>) -> Result<String, RenderError> {
    let status = match (&played.run.result.violation, played.parted()) {
        (Some(violation), _) => {
            let why = [format!("{}: {}", violation.kind, violation.witness)];
            non_success(NonSuccessKind::Failure, violation.claim, &why)
        }
        (None, Some(parted)) => {
            let why = [format!("parts from the recorded run at line {} of its trace", parted.line)];
            non_success(NonSuccessKind::Failure, "not the recorded run", &why)
        }
        (None, None) => TestCaseStatus::success(),
    };
    let mut case = TestCase::new(format!("{} seed {}", played.case(), played.run.seed), status);
    case.set_classname(format!("stormproof.{}", played.suite.name()));
    let mut suite = TestSuite::new(played.suite.name());
    suite.add_test_case(case);
    in_full(suite)
}

/// A run of plain cases: a test case each.
pub fn plain(report: &PlainReport) -> Result<String, RenderError> {
    let mut suite = TestSuite::new(report.title.as_str());
    suite.add_test_cases(report.outcomes.iter().map(|outcome| {
        let status = match outcome.status {
            Status::Held => TestCaseStatus::success(),
            Status::Unproven => non_success(NonSuccessKind::Error, "unproven", &outcome.why),
            Status::Fell => non_success(NonSuccessKind::Failure, "fell", &outcome.why),
        };
        let mut case = TestCase::new(outcome.name.as_str(), status);
        case.set_time(Duration::from_millis(outcome.took_ms));
        case.set_classname("stormproof.real");
        case
    }));
    in_full(suite)
}

fn in_full(suite: TestSuite) -> Result<String, RenderError> {
    let mut report = Report::new("stormproof");
    report.add_test_suite(suite);
    report.to_string()
}

fn suite(trial: &Trial<'_>, replay: &ReplayCommand) -> TestSuite {
    let mut suite = TestSuite::new(trial.report.suite.as_str());
    suite.set_time(Duration::from_nanos(trial.report.busy_ns));
    suite.add_test_cases(trial.report.cases.iter().map(|report| case(trial, report, replay)));
    suite.add_test_case(whole(trial));
    suite
}

fn case(trial: &Trial<'_>, report: &CaseReport, replay: &ReplayCommand) -> TestCase {
    let failures = trial.failures().into_iter().filter(|failure| failure.case == report.name);
    let failures: Vec<_> = failures.collect();
    let status = match failures.first() {
        Some(first) => fallen(trial, first, &failures, replay),
        None if report.seeds == 0 => TestCaseStatus::skipped(),
        None => TestCaseStatus::success(),
    };
    let mut case = test_case(trial, &report.name, status);
    case.set_system_out(plural(report.seeds, "seed"));
    case
}

fn fallen(trial: &Trial<'_>, first: &Failure, all: &[&Failure], replay: &ReplayCommand) -> TestCaseStatus {
    let claim = first.violation.claim;
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
    status.set_type(claim);
    status.set_message(format!("{claim}: {} ({})", trial.sentence(claim), first.violation.kind));
    let told: Vec<_> = all.iter().map(|failure| told(trial, failure, replay)).collect();
    status.set_description(told.join("\n\n"));
    status
}

fn told(trial: &Trial<'_>, failure: &Failure, replay: &ReplayCommand) -> String {
    let suite = &trial.report.suite;
    let of_seed = || replay.of_seed(suite, failure.seed);
    let again = failure.plan.as_deref().map_or_else(of_seed, |plan| replay.of_plan(plan));
    format!("seed {}, {}\n{}\nreplay: {again}", failure.seed, plural(failure.runs, "run"), failure.violation)
}

/// What concerns the suite and none of its cases.
fn whole(trial: &Trial<'_>) -> TestCase {
    let differing = trial.report.differing_words();
    let status = match trial.verdict() {
        Verdict::Holds | Verdict::Warning(_) => TestCaseStatus::success(),
        Verdict::Unproven(why) => non_success(NonSuccessKind::Error, "unproven", &why),
        Verdict::Fell(_) => differing.map_or_else(TestCaseStatus::success, |words| {
            non_success(NonSuccessKind::Failure, "not deterministic", &[words])
        }),
    };
    let mut case = test_case(trial, "(the whole suite)", status);
    if let Verdict::Warning(why) = trial.verdict() {
        case.set_system_out(format!("too few seeds to prove: {}", why.join("; ")));
    }
    case
}

fn non_success(kind: NonSuccessKind, type_name: &str, why: &[String]) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_type(type_name);
    if let [first, rest @ ..] = why {
        let more = if rest.is_empty() { String::new() } else { format!(" (and {} more)", rest.len()) };
        status.set_message(format!("{first}{more}"));
    }
    status.set_description(why.join("\n"));
    status
}

fn test_case(trial: &Trial<'_>, name: &str, status: TestCaseStatus) -> TestCase {
    let mut case = TestCase::new(name, status);
    case.set_classname(format!("stormproof.{}", trial.report.suite));
    case
}
