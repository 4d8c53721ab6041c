//! A hunt as JSON, for programs.
//!
//! The shape is versioned by [`SCHEMA`], the first field of every document: fields may be added under one number, a
//! field that goes away or changes its meaning raises it. Everything that depends on how fast a machine is stands under
//! `times`, so that two runs of the same seeds with the same program differ there and nowhere else.

use std::collections::BTreeMap;

use serde::Serialize;
use stormproof_sim::{
    hunt::{Case, CaseReport, Failure, Size, Smallest, Verdict},
    world::{
        coverage::{Passed, Step},
        fault::FaultKind,
    },
};

use super::run::{Regression, RunReport, Trial, exit_code};

/// The version of every JSON document of this command.
pub const SCHEMA: u32 = 1;

/// The whole report, ending in a line break.
pub fn render(run: &RunReport<'_>) -> Result<String, serde_json::Error> {
    document(&Document::of(run))
}

/// A document as it is written to a file.
pub fn document(value: &impl Serialize) -> Result<String, serde_json::Error> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}

/// What `run --json` writes.
#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    /// Always `run`.
    command: &'static str,
    /// `holds`, `warning`, `unproven` or `fell`.
    verdict: &'static str,
    exit_code: u8,
    regressions: Vec<RegressionDocument<'a>>,
    suites: Vec<SuiteDocument<'a>>,
    times: Times<'a>,
}

/// A plan that once failed.
#[derive(Serialize)]
struct RegressionDocument<'a> {
    name: &'a str,
    suite: &'a str,
    why: &'a str,
    verdict: &'static str,
    reasons: Vec<String>,
}

/// One suite.
#[derive(Serialize)]
struct SuiteDocument<'a> {
    name: &'a str,
    about: &'static str,
    verdict: &'static str,
    /// Why the verdict is not `holds`.
    reasons: Vec<String>,
    /// Whether all cases were asked for.
    whole: bool,
    seeds: u64,
    seeds_needed: u64,
    /// Runs that failed.
    failed: u64,
    cases: Vec<CaseDocument<'a>>,
    claims: Vec<ClaimDocument>,
    /// Everything that was reached, by name, whether a claim asks for it or not.
    probes: BTreeMap<String, u64>,
    points: Vec<PointDocument>,
    steps: Vec<StepDocument<'a>>,
    strikes: Vec<StrikeDocument>,
    operations: Operations,
    events: u64,
    simulated_ns: u64,
    /// The first failure of each kind.
    failures: Vec<FailureDocument<'a>>,
    gave_up: Vec<GaveUp<'a>>,
    self_check: SelfCheck<'a>,
}

/// One case of a suite.
#[derive(Serialize)]
struct CaseDocument<'a> {
    name: &'a str,
    hypothesis: &'static str,
    injection: &'static str,
    criterion: &'static str,
    seeds: u64,
    /// How often each kind of fault was delivered.
    faults: &'a BTreeMap<FaultKind, u64>,
    /// Kinds that the case exists for.
    faults_needed: &'static [FaultKind],
    /// Probes that some run of the case must have reached, and how often they were.
    sometimes: BTreeMap<&'static str, u64>,
}

/// One claim of a suite.
#[derive(Serialize)]
struct ClaimDocument {
    id: &'static str,
    sentence: &'static str,
    checked: u64,
    sometimes: BTreeMap<&'static str, u64>,
}

/// A named point of the system on trial.
#[derive(Serialize)]
struct PointDocument {
    name: &'static str,
    passed: u64,
    /// Processes that died there.
    deaths: u64,
}

/// A disk call as the protocol sees it.
#[derive(Serialize)]
struct StepDocument<'a> {
    /// The point passed last; `boot` before the first.
    after: &'static str,
    call: &'static str,
    /// The kind of path.
    path: &'a str,
    passed: u64,
    deaths: u64,
}

/// How often a kind of fault was delivered to a node that had passed a point last.
#[derive(Serialize)]
struct StrikeDocument {
    fault: FaultKind,
    after: &'static str,
    times: u64,
}

/// What became of what clients asked.
#[derive(Serialize)]
struct Operations {
    total: u64,
    overlapping: u64,
    overlap_percent: u64,
    overlap_percent_needed: u64,
    done: u64,
    refused: u64,
    unknown: u64,
}

/// A claim seen broken.
#[derive(Serialize)]
struct FailureDocument<'a> {
    claim: &'static str,
    sentence: &'static str,
    /// What all failures of the same cause share.
    fingerprint: String,
    kind: &'a str,
    witness: &'a str,
    /// Simulated time since the run began.
    at_ns: u64,
    case: &'a str,
    seed: u64,
    /// How many runs failed like this.
    runs: u64,
    /// Where the plan was saved.
    plan: Option<&'a str>,
    replay: String,
    /// The smallest plan that fails in the same way, if one was looked for.
    shrunk: Option<ShrunkDocument<'a>>,
}

/// The smallest plan of a failure.
#[derive(Serialize)]
struct ShrunkDocument<'a> {
    faults: usize,
    operations: usize,
    clients: usize,
    draws: usize,
    /// How many were tried.
    candidates: u64,
    /// Whether nothing more could be taken out, rather than time.
    finished: bool,
    plan: &'a str,
}

/// A check that could not decide.
#[derive(Serialize)]
struct GaveUp<'a> {
    seed: u64,
    words: &'a str,
}

/// Runs repeated in a fresh process.
#[derive(Serialize)]
struct SelfCheck<'a> {
    repeated: u64,
    /// Seeds whose second run had another trace.
    differing: &'a [u64],
}

/// Everything that another machine would answer differently.
#[derive(Serialize)]
struct Times<'a> {
    wall_ns: u64,
    threads: usize,
    /// Time of all threads together, by suite.
    busy_ns: BTreeMap<&'a str, u64>,
}

impl<'a> Document<'a> {
    fn of(run: &'a RunReport<'_>) -> Self {
        let verdict = run.verdict();
        let busy = |trial: &'a Trial<'_>| (trial.report.suite.as_str(), trial.report.busy_ns);
        Document {
            schema: SCHEMA,
            command: "run",
            verdict: verdict_name(&verdict),
            exit_code: exit_code(&verdict),
            regressions: run.regressions.iter().map(regression).collect(),
            suites: run.trials.iter().map(|trial| suite(run, trial)).collect(),
            times: Times {
                wall_ns: run.wall.as_nanos() as u64,
                threads: run.threads,
                busy_ns: run.trials.iter().map(busy).collect(),
            },
        }
    }
}

fn regression(regression: &Regression) -> RegressionDocument<'_> {
    let verdict = regression.verdict();
    let Regression { name, suite, why, .. } = regression;
    RegressionDocument { name, suite, why, verdict: verdict_name(&verdict), reasons: reasons(verdict) }
}

fn suite<'a>(run: &'a RunReport<'_>, trial: &'a Trial<'_>) -> SuiteDocument<'a> {
    let report = &trial.report;
    let verdict = trial.verdict();
    let cases = report.cases.iter().zip(trial.suite.cases());
    SuiteDocument {
        name: &report.suite,
        about: trial.suite.about(),
        verdict: verdict_name(&verdict),
        reasons: reasons(verdict),
        whole: trial.whole,
        seeds: report.seeds,
        seeds_needed: trial.suite.seeds_needed(),
        failed: report.failed,
        cases: cases.map(|(report, case)| case_document(report, case)).collect(),
        claims: claims(trial),
        probes: report.probes().iter().map(|(name, times)| (name.to_owned(), times)).collect(),
        points: trial.suite.points().iter().map(|name| point(trial, name)).collect(),
        steps: report.steps.iter().map(|(step, passed)| step_document(step, *passed)).collect(),
        strikes: report.strikes.iter().map(strike_document).collect(),
        operations: operations(trial),
        events: report.events,
        simulated_ns: report.simulated_ns,
        failures: trial.failures().into_iter().map(|failure| failure_document(run, trial, failure)).collect(),
        gave_up: report.gave_up.iter().map(|(seed, words)| GaveUp { seed: *seed, words }).collect(),
        self_check: SelfCheck { repeated: report.rerun, differing: &report.differing },
    }
}

/// A verdict in one word.
pub(crate) fn verdict_name(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Holds => "holds",
        Verdict::Warning(_) => "warning",
        Verdict::Unproven(_) => "unproven",
        Verdict::Fell(_) => "fell",
    }
}

pub(crate) fn reasons(verdict: Verdict) -> Vec<String> {
    match verdict {
        Verdict::Holds => Vec::new(),
        Verdict::Warning(why) | Verdict::Unproven(why) | Verdict::Fell(why) => why,
    }
}

fn case_document<'a>(report: &'a CaseReport, case: &Case) -> CaseDocument<'a> {
    CaseDocument {
        name: &report.name,
        hypothesis: case.hypothesis,
        injection: case.injection,
        criterion: case.criterion,
        seeds: report.seeds,
        faults: &report.delivered,
        faults_needed: case.faults,
        sometimes: case.sometimes.iter().map(|name| (*name, report.probes.count(name))).collect(),
    }
}

fn claims(trial: &Trial<'_>) -> Vec<ClaimDocument> {
    let probes = trial.report.probes();
    let document = |invariant: stormproof_sim::check::invariant::Invariant| ClaimDocument {
        id: invariant.claim.id,
        sentence: invariant.claim.sentence,
        checked: trial.report.checked.get(invariant.claim.id).copied().unwrap_or(0),
        sometimes: invariant.sometimes.iter().map(|name| (*name, probes.count(name))).collect(),
    };
    trial.suite.invariants().into_iter().map(document).collect()
}

fn point(trial: &Trial<'_>, name: &'static str) -> PointDocument {
    let passed = trial.report.steps.iter().filter(|(step, _)| is_point(step, name)).map(|(_, passed)| passed);
    let (times, deaths) = passed.fold((0, 0), |(times, deaths), more| (times + more.times, deaths + more.deaths));
    PointDocument { name, passed: times, deaths }
}

fn shrunk_document(smallest: &Smallest) -> ShrunkDocument<'_> {
    let Smallest { size: Size { faults, operations, clients, draws }, candidates, finished, plan } = smallest;
    let (candidates, finished) = (*candidates, *finished);
    ShrunkDocument {
        faults: *faults,
        operations: *operations,
        clients: *clients,
        draws: *draws,
        candidates,
        finished,
        plan,
    }
}

/// Whether a step is the passing of a named point.
pub(crate) fn is_point(step: &Step, name: &str) -> bool {
    step.call == "point" && &*step.path == name
}

fn step_document(step: &Step, passed: Passed) -> StepDocument<'_> {
    StepDocument { after: step.after, call: step.call, path: &step.path, passed: passed.times, deaths: passed.deaths }
}

fn strike_document(((fault, after), times): (&(FaultKind, &'static str), &u64)) -> StrikeDocument {
    StrikeDocument { fault: *fault, after, times: *times }
}

fn operations(trial: &Trial<'_>) -> Operations {
    let report = &trial.report;
    let [done, refused, unknown] = report.answered;
    Operations {
        total: report.overlap.operations,
        overlapping: report.overlap.overlapping,
        overlap_percent: report.overlap.percent(),
        overlap_percent_needed: trial.suite.overlap_percent_min(),
        done,
        refused,
        unknown,
    }
}

fn failure_document<'a>(run: &RunReport<'_>, trial: &Trial<'_>, failure: &'a Failure) -> FailureDocument<'a> {
    let violation = &failure.violation;
    let of_seed = || run.replay.of_seed(&trial.report.suite, failure.seed);
    FailureDocument {
        claim: violation.claim,
        sentence: trial.sentence(violation.claim),
        fingerprint: violation.fingerprint(),
        kind: &violation.kind,
        witness: &violation.witness,
        at_ns: violation.at,
        case: &failure.case,
        seed: failure.seed,
        runs: failure.runs,
        plan: failure.plan.as_deref(),
        replay: failure.plan.as_deref().map_or_else(of_seed, |plan| run.replay.of_plan(plan)),
        shrunk: failure.smallest.as_ref().map(shrunk_document),
    }
}
