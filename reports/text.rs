//! A hunt as text: each suite in full, a table of all of them, how to read it, and what fell.
//!
//! What matters most stands last, where a terminal leaves the eye: the failures, then the verdict.

use std::fmt::Write as _;

use stormproof_sim::{
    hunt::{CaseReport, Failure, Verdict},
    world::coverage::{Passed, Step},
};

use super::{
    json::is_point,
    layout::{count, duration, field, list, plural, table, verbatim},
    run::{Regression, RegressionEnd, ReplayCommand, RunReport, Trial, exit_code},
    shrink::size,
};

/// Reasons, steps and lines of evidence that are said in full; the rest is counted, and stands in the JSON.
const REASONS_MAX: usize = 6;
const STEPS_MAX: usize = 3;
const EVIDENCE_LINES_MAX: usize = 8;

/// The whole report.
pub fn render(run: &RunReport<'_>) -> String {
    let mut out = String::new();
    regressions(&mut out, &run.regressions);
    for trial in &run.trials {
        block(&mut out, trial);
        out.push('\n');
    }
    overview(&mut out, run);
    out.push('\n');
    legend(&mut out);
    for trial in &run.trials {
        for failure in trial.failures() {
            fallen(&mut out, trial, failure, &run.replay);
        }
        differing(&mut out, trial, &run.replay);
    }
    conclusion(&mut out, run);
    out
}

fn regressions(out: &mut String, all: &[Regression]) {
    if all.is_empty() {
        return;
    }
    let (held, other): (Vec<_>, Vec<_>) = all.iter().partition(|regression| regression.end == RegressionEnd::Holds);
    let _ = writeln!(out, "regressions: {} of {} plans that once failed hold", held.len(), all.len());
    for regression in other {
        if let Verdict::Fell(why) | Verdict::Unproven(why) = regression.verdict() {
            field(out, "", &why.join("; "));
            field(out, "", &format!("it once showed: {}", regression.why));
        }
    }
    out.push('\n');
}

pub(crate) const LEGEND: [(&str, &str); 6] = [
    ("seed", "A number from which one simulated life of the system is drawn: the same number, the same life."),
    ("faults", "How often each kind of fault changed what somebody saw. One that met nobody does not count."),
    (
        "steps",
        "Disk calls of the system, told apart by the named point it passed last and the kind of file; a named point is \
         a step, too. A crash at a step is a process killed, or power cut, right there.",
    ),
    ("claims", "What must always hold. `list invariants` has their sentences."),
    (
        "sometimes",
        "Situations that put a claim in danger. While one is not reached, its claim was not tried and the verdict is \
         `unproven`. None: the suite names no such situation.",
    ),
    ("overlap", "The share of operations in flight together with another one."),
];

fn legend(out: &mut String) {
    out.push_str("How to read this\n");
    for (word, meaning) in LEGEND {
        field(out, word, meaning);
    }
}

fn block(out: &mut String, trial: &Trial<'_>) {
    let report = &trial.report;
    let verdict = trial.verdict();
    let _ = writeln!(out, "{}: {}", report.suite, words(&verdict));
    field(out, "about", trial.suite.about());
    reasons(out, &verdict);
    let needed = trial.suite.seeds_needed();
    field(out, "seeds", &format!("{} run; it takes {} to call something unproven", count(report.seeds), count(needed)));
    list(out, "cases", &cases(&trial.report.cases, trial.whole), "none");
    self_check(out, trial);
    let delivered = report.delivered();
    let faults: Vec<_> = delivered.iter().map(|(kind, times)| format!("{} {}", kind.name(), count(*times))).collect();
    list(out, "faults", &faults, "none was delivered");
    steps(out, trial);
    let checked: Vec<_> = report.checked.iter().map(|(id, times)| format!("{id} {}", count(*times))).collect();
    list(out, "claims", &checked, "none was checked");
    sometimes(out, trial);
    operations(out, trial);
    field(out, "time", &time(report.simulated_ns, report.busy_ns));
}

fn words(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Holds => "holds",
        Verdict::Warning(_) => "holds so far (too few seeds for a verdict)",
        Verdict::Unproven(_) => "UNPROVEN",
        Verdict::Fell(_) => "FELL",
    }
}

fn reasons(out: &mut String, verdict: &Verdict) {
    let (Verdict::Warning(why) | Verdict::Unproven(why) | Verdict::Fell(why)) = verdict else { return };
    for (place, reason) in why.iter().take(REASONS_MAX).enumerate() {
        field(out, if place == 0 { "because" } else { "" }, reason);
    }
    if why.len() > REASONS_MAX {
        field(out, "", &format!("and {} more, which `--json` lists", why.len() - REASONS_MAX));
    }
}

fn cases(cases: &[CaseReport], whole: bool) -> Vec<String> {
    let shown = cases.iter().filter(|case| whole || case.seeds > 0);
    shown.map(|case| format!("{} {}", case.name, count(case.seeds))).collect()
}

fn self_check(out: &mut String, trial: &Trial<'_>) {
    let (rerun, differing) = (trial.report.rerun, trial.report.differing.len() as u64);
    let value = match (rerun, differing) {
        (0, _) => "no run was repeated".into(),
        (_, 0) => format!("{} repeated in a fresh process, none differs", plural(rerun, "run")),
        _ => format!("{} repeated in a fresh process, {} DIFFER", plural(rerun, "run"), count(differing)),
    };
    field(out, "self-check", &value);
}

fn steps(out: &mut String, trial: &Trial<'_>) {
    let steps = &trial.report.steps;
    let crashed = steps.values().filter(|passed| passed.deaths > 0).count();
    let points = trial.suite.points();
    let (passed, missed): (Vec<_>, Vec<_>) =
        points.iter().partition(|name| steps.keys().any(|step| is_point(step, name)));
    let mut value = format!("{} passed, a crash at {}", count(steps.len() as u64), count(crashed as u64));
    if !points.is_empty() {
        let _ = write!(value, "; named points: {} of {} passed", passed.len(), points.len());
    }
    field(out, "steps", &value);
    if !missed.is_empty() {
        let missed: Vec<_> = missed.into_iter().map(|name: &&str| (*name).to_owned()).collect();
        list(out, "NOT passed", &missed, "");
    }
    // A suite that crashes nothing has no crash to miss.
    if crashed > 0 && crashed < steps.len() {
        let mut missed: Vec<_> = steps.iter().filter(|(_, passed)| passed.deaths == 0).collect();
        missed.sort_by_key(|(_, passed)| std::cmp::Reverse(passed.times));
        list(out, "no crash at", &some_of(&missed), "");
    }
}

fn some_of(steps: &[(&Step, &Passed)]) -> Vec<String> {
    let said = steps.iter().take(STEPS_MAX).map(|(step, passed)| {
        let Step { after, call, path } = step;
        format!("{call} {path} after {after} (passed {})", count(passed.times))
    });
    let more = steps.len().saturating_sub(STEPS_MAX);
    said.chain((more > 0).then(|| format!("and {more} more"))).collect()
}

fn sometimes(out: &mut String, trial: &Trial<'_>) {
    let (reached, missed): (Vec<_>, Vec<_>) = trial.sometimes().into_iter().partition(|(_, times)| *times > 0);
    let reached: Vec<_> = reached.into_iter().map(|(name, times)| format!("{name} {}", count(times))).collect();
    let empty = if missed.is_empty() { "none: this suite names no such situation" } else { "none was reached" };
    list(out, "sometimes", &reached, empty);
    if !missed.is_empty() {
        let missed: Vec<_> = missed.into_iter().map(|(name, _)| name.to_owned()).collect();
        list(out, "NOT reached", &missed, "");
    }
}

fn operations(out: &mut String, trial: &Trial<'_>) {
    let report = &trial.report;
    let [answered, refused, unknown] = report.answered;
    let least = match trial.suite.overlap_percent_min() {
        0 => String::new(),
        least => format!(" (at least {least}% is needed)"),
    };
    let (operations, percent) = (count(report.overlap.operations), report.overlap.percent());
    field(out, "overlap", &format!("{percent}% of {operations} operations{least}"));
    let [answered, refused, unknown] = [answered, refused, unknown].map(count);
    field(out, "answers", &format!("{answered} done, {refused} refused without effect, {unknown} never known"));
}

fn time(simulated_ns: u64, busy_ns: u64) -> String {
    let factor = simulated_ns.checked_div(busy_ns).unwrap_or(0);
    let (simulated, busy) = (duration(simulated_ns), duration(busy_ns));
    format!("{simulated} simulated in {busy} of thread time: {} times real time", count(factor))
}

fn overview(out: &mut String, run: &RunReport<'_>) {
    let head = ["suite", "seeds", "faults", "crashed at", "claims", "sometimes", "overlap", "simulated", "verdict"];
    let head: Vec<String> = head.map(Into::into).to_vec();
    let rows: Vec<_> = [head].into_iter().chain(run.trials.iter().map(row)).collect();
    table(out, &rows);
    let simulated = run.trials.iter().map(|trial| trial.report.simulated_ns).sum();
    let seeds = run.trials.iter().map(|trial| trial.report.seeds).sum();
    let (wall, threads) = (duration(run.wall.as_nanos() as u64), plural(run.threads as u64, "thread"));
    let _ = writeln!(out, "\n{}, {} simulated in {wall} on {threads}", plural(seeds, "seed"), duration(simulated));
}

fn row(trial: &Trial<'_>) -> Vec<String> {
    let verdict = verdict_word(&trial.verdict()).to_owned();
    [trial.report.suite.clone()].into_iter().chain(numbers(trial)).chain([verdict]).collect()
}

/// A suite in numbers: seeds, faults, steps crashed at, claims checked, situations reached, overlap, simulated time.
pub(crate) fn numbers(trial: &Trial<'_>) -> [String; 7] {
    let report = &trial.report;
    let crashed = report.steps.values().filter(|passed| passed.deaths > 0).count();
    let invariants = trial.suite.invariants();
    let checked = invariants.iter().filter(|invariant| report.checked.contains_key(invariant.claim.id)).count();
    let sometimes = trial.sometimes();
    let reached = sometimes.iter().filter(|(_, times)| *times > 0).count();
    [
        count(report.seeds),
        count(report.delivered().values().sum()),
        format!("{crashed}/{} steps", report.steps.len()),
        format!("{checked}/{}", invariants.len()),
        format!("{reached}/{}", sometimes.len()),
        format!("{}%", report.overlap.percent()),
        duration(report.simulated_ns),
    ]
}

fn verdict_word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Holds => "holds",
        Verdict::Warning(_) => "warning",
        Verdict::Unproven(_) => "UNPROVEN",
        Verdict::Fell(_) => "FELL",
    }
}

fn fallen(out: &mut String, trial: &Trial<'_>, failure: &Failure, replay: &ReplayCommand) {
    let (suite, claim) = (&trial.report.suite, failure.violation.claim);
    let _ = writeln!(out, "\nFELL: {claim} in {suite}/{}", failure.case);
    field(out, "claim", &format!("{claim}: {}", trial.sentence(claim)));
    field(out, "broken by", &failure.violation.kind);
    let others = match failure.runs {
        0 | 1 => String::new(),
        runs => format!(", the lowest of {} that failed like this", plural(runs, "run")),
    };
    let at = duration(failure.violation.at);
    field(out, "seed", &format!("{}{others}; seen {at} into the run", failure.seed));
    evidence(out, &failure.violation.witness);
    match &failure.plan {
        Some(plan) => {
            field(out, "plan", &format!("{plan} (the trace lies beside it)"));
            verbatim(out, "replay", &replay.of_plan(plan));
            verbatim(out, "or", &replay.of_seed(suite, failure.seed));
        }
        None => verbatim(out, "replay", &replay.of_seed(suite, failure.seed)),
    }
    if let Some(smallest) = &failure.smallest {
        let tried = count(smallest.candidates);
        field(out, "smallest", &format!("{} ({tried} candidates tried)", size(smallest.size)));
        verbatim(out, "", &replay.of_plan(&smallest.plan));
        verbatim(out, "", &replay.explain(&smallest.plan));
    }
}

fn evidence(out: &mut String, witness: &str) {
    let mut whole = String::new();
    verbatim(&mut whole, "evidence", witness);
    let more = whole.lines().count().saturating_sub(EVIDENCE_LINES_MAX);
    whole.lines().take(EVIDENCE_LINES_MAX).for_each(|line| out.extend([line, "\n"]));
    if more > 0 {
        field(out, "", &format!("... and {more} more, which `replay` shows"));
    }
}

fn differing(out: &mut String, trial: &Trial<'_>, replay: &ReplayCommand) {
    let Some(first) = trial.report.differing.first() else { return };
    let differing = trial.report.differing.len() as u64;
    let _ = writeln!(out, "\nNOT DETERMINISTIC: {} of {} differed", plural(differing, "run"), trial.report.suite);
    let meaning = "the same seed gave another trace in another process: something in the system on trial depends on \
                   more than its inputs (a clock, a thread, the order of a hash map, an address)";
    field(out, "meaning", meaning);
    verbatim(out, "replay", &replay.of_seed(&trial.report.suite, *first));
}

fn conclusion(out: &mut String, run: &RunReport<'_>) {
    let verdict = run.verdict();
    let (word, meaning) = (verdict_word(&verdict), meaning(&verdict));
    let _ = writeln!(out, "\nVerdict: {word} ({meaning}). Exit code {}.", exit_code(&verdict));
}

/// What a verdict means.
pub(crate) fn meaning(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Holds => "everything held, and was put to the test",
        Verdict::Warning(_) => "everything held; some suites had too few seeds to prove it",
        Verdict::Unproven(_) => "nothing fell, but something was not put to the test",
        Verdict::Fell(_) => "a claim fell, or a run repeated was not the same run",
    }
}
