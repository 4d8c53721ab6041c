//! A hunt as a page: the verdict, a table of all suites, then each suite in full, and the story of whatever fell.

use std::collections::BTreeSet;

use maud::{Markup, html};
use stormproof_sim::{
    hunt::{Failure, Verdict},
    world::fault::FaultKind,
};

use super::{
    matrix::matrix,
    page::{Cell, banner, facts, page, table, words},
    story::Story,
    words::{look, moment, reached, verdict_word},
};
use crate::{
    json::reasons,
    layout::{count, duration, plural},
    run::{RegressionEnd, RunReport, Trial, exit_code},
    text,
};

/// A hunt as a page. Each failure finds its story by suite and seed; one without a story is told without a picture.
/// Everything that depends on how fast a machine is stands at the very end, in the block `times`.
pub fn render(run: &RunReport<'_>, stories: &[Story<'_>]) -> String {
    let verdict = run.verdict();
    let (class, sign, word) = look(&verdict);
    let meaning = format!("{}. Exit code {}.", text::meaning(&verdict), exit_code(&verdict));
    let body = html! {
        (banner(class, sign, word, &meaning))
        p.quiet { (totals(run)) }
        (regressions(run))
        (overview(run))
        @for (place, trial) in run.trials.iter().enumerate() {
            @for (number, failure) in trial.failures().into_iter().enumerate() {
                (fallen(run, trial, failure, stories, &format!("f{place}-{number}")))
            }
            (differing(run, trial))
        }
        @for trial in &run.trials { (suite(trial)) }
        (legend())
        (times(run))
    };
    page("Stormproof: a hunt", &body)
}

fn totals(run: &RunReport<'_>) -> String {
    let sum = |of: fn(&Trial<'_>) -> u64| run.trials.iter().map(of).sum::<u64>();
    let seeds = plural(sum(|trial| trial.report.seeds), "seed");
    let simulated = duration(sum(|trial| trial.report.simulated_ns));
    format!("{} and {seeds}; {simulated} of simulated time.", plural(run.trials.len() as u64, "suite"))
}

fn regressions(run: &RunReport<'_>) -> Markup {
    let other = run.regressions.iter().filter(|regression| regression.end != RegressionEnd::Holds);
    let other: Vec<_> = other.map(|regression| (reasons(regression.verdict()).join("; "), &regression.why)).collect();
    let (all, held) = (run.regressions.len(), run.regressions.len() - other.len());
    html! {
        @if all > 0 { p.quiet { (held) " of " (plural(all as u64, "plan")) " that once failed hold." } }
        @for (words, why) in other { p { b.bad { (words) } " It once showed: " (why) } }
    }
}

const HEADS: [&str; 9] =
    ["suite", "verdict", "seeds", "faults", "crashed at", "claims", "sometimes", "overlap", "simulated"];

fn overview(run: &RunReport<'_>) -> Markup {
    let row = |trial: &Trial<'_>| {
        let numbers = text::numbers(trial).map(Cell::Number);
        let name = &trial.report.suite;
        let first = [html! { a href={ "#suite-" (name) } { (name) } }, verdict_word(&trial.verdict())];
        first.map(Cell::Shown).into_iter().chain(numbers).collect()
    };
    let rows: Vec<Vec<Cell>> = run.trials.iter().map(row).collect();
    table("verdicts of all suites", &HEADS, &rows)
}

fn fallen(run: &RunReport<'_>, trial: &Trial<'_>, failure: &Failure, stories: &[Story<'_>], id: &str) -> Markup {
    let (suite, violation) = (&trial.report.suite, &failure.violation);
    let of_seed = || run.replay.of_seed(suite, failure.seed);
    let again = failure.plan.as_deref().map_or_else(of_seed, |plan| run.replay.of_plan(plan));
    let story = stories.iter().find(|story| story.suite.name() == suite && story.run.seed == failure.seed);
    html! {
        section.box id=(id) {
            h2 { span.bad { "✗ FELL: " } (violation.claim) " in " (suite) "/" (failure.case) }
            (facts(&[
                ("claim", words(trial.sentence(violation.claim))),
                ("broken by", html! { b { (violation.kind) } }),
                ("evidence", html! { pre tabindex="0" { (violation.witness) } }),
                ("seed", words(&format!("{}, the lowest of {}", failure.seed, plural(failure.runs, "run")))),
                ("seen", words(&format!("{} into the run", moment(violation.at)))),
                ("replay", html! { code { (again) } }),
            ]))
            @match story {
                Some(story) => { (story.summary()) h3 { "What happened" } (story.draw(id)) }
                None => p.quiet { "Its events were not kept; the command above shows them." }
            }
        }
    }
}

fn differing(run: &RunReport<'_>, trial: &Trial<'_>) -> Markup {
    let Some(first) = trial.report.differing.first() else { return html! {} };
    let suite = &trial.report.suite;
    html! {
        section.box {
            h2 { span.bad { "✗ NOT DETERMINISTIC: " } (suite) }
            p { "The same seed gave another trace when it was run again: something in the system on trial depends on more "
                "than its inputs (a clock, a thread, the order of a hash map, an address)." }
            (facts(&[
                ("seeds", words(&trial.report.differing.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))),
                ("replay", html! { code { (run.replay.of_seed(suite, *first)) } }),
            ]))
        }
    }
}

fn suite(trial: &Trial<'_>) -> Markup {
    let verdict = trial.verdict();
    html! {
        section.box id={ "suite-" (trial.report.suite) } {
            h2 { (trial.report.suite) ": " (verdict_word(&verdict)) }
            p { (trial.suite.about()) }
            (because(verdict))
            (effort(trial))
            h3 { "Faults by protocol step" }
            (matrix(trial.suite.points(), &needed(trial), &trial.report.strikes))
            h3 { "Claims" }
            (claims(trial))
            h3 { "Sometimes: was it ever in danger?" }
            (sometimes(trial))
            h3 { "Cases" }
            (cases(trial))
        }
    }
}

fn because(verdict: Verdict) -> Markup {
    let why = reasons(verdict);
    html! { @if !why.is_empty() { ul.plain { @for reason in why { li { (reason) } } } } }
}

fn effort(trial: &Trial<'_>) -> Markup {
    let report = &trial.report;
    let [answered, refused, unknown] = report.answered.map(count);
    let needed = count(trial.suite.seeds_needed());
    let crashed = report.steps.values().filter(|passed| passed.deaths > 0).count() as u64;
    let steps = format!("{} passed, a crash at {}", count(report.steps.len() as u64), count(crashed));
    let check = format!("{} repeated, {} differ", plural(report.rerun, "run"), report.differing.len());
    facts(&[
        ("seeds", words(&format!("{} run; it takes {needed} to call something unproven", count(report.seeds)))),
        ("steps", words(&steps)),
        ("self-check", words(&check)),
        ("answers", words(&format!("{answered} done, {refused} refused without effect, {unknown} never known"))),
    ])
}

/// The kinds that the cases of the suite exist for.
fn needed(trial: &Trial<'_>) -> BTreeSet<FaultKind> {
    trial.suite.cases().iter().flat_map(|case| case.faults).copied().collect()
}

fn claims(trial: &Trial<'_>) -> Markup {
    let row = |invariant: stormproof_sim::check::invariant::Invariant| {
        let claim = invariant.claim;
        let checked = trial.report.checked.get(claim.id).copied().unwrap_or(0);
        let checked = if checked == 0 { "never".into() } else { count(checked) };
        vec![Cell::Text(claim.id.into()), Cell::Sentence(claim.sentence.into()), Cell::Number(checked)]
    };
    let rows: Vec<_> = trial.suite.invariants().into_iter().map(row).collect();
    table("claims", &["claim", "what must always hold", "checked"], &rows)
}

fn sometimes(trial: &Trial<'_>) -> Markup {
    let sometimes = trial.sometimes();
    if sometimes.is_empty() {
        return html! { p.quiet { "This suite names no such situation." } };
    }
    let row = |(name, times): &(&str, u64)| vec![Cell::Text((*name).into()), Cell::Shown(reached(*times))];
    table("situations", &["situation", "reached"], &sometimes.iter().map(row).collect::<Vec<_>>())
}

fn cases(trial: &Trial<'_>) -> Markup {
    let cases = trial.report.cases.iter().zip(trial.suite.cases());
    let row = |(report, case): (&stormproof_sim::hunt::CaseReport, &stormproof_sim::hunt::Case)| {
        let faults: Vec<_> =
            report.delivered.iter().map(|(kind, n)| format!("{} {}", kind.name(), count(*n))).collect();
        let sentences = [case.hypothesis, case.injection, case.criterion, &faults.join(", ")];
        let first = [Cell::Text(case.name.into()), Cell::Number(count(report.seeds))];
        first.into_iter().chain(sentences.map(|words| Cell::Sentence(words.into()))).collect()
    };
    let rows: Vec<Vec<Cell>> = cases.map(row).collect();
    table("cases", &["case", "seeds", "hypothesis", "what is done", "how one can tell", "faults delivered"], &rows)
}

fn legend() -> Markup {
    let entries: Vec<_> = text::LEGEND.iter().map(|(word, meaning)| (*word, words(meaning))).collect();
    html! { section.box { h2 { "How to read this" } (facts(&entries)) } }
}

/// All that another machine would answer differently.
fn times(run: &RunReport<'_>) -> Markup {
    let busy = |trial: &Trial<'_>| format!("{} {}", trial.report.suite, duration(trial.report.busy_ns));
    let busy: Vec<_> = run.trials.iter().map(busy).collect();
    let wall = duration(run.wall.as_nanos() as u64);
    html! {
        footer id="times" {
            p { "Took " (wall) " on " (plural(run.threads as u64, "thread")) ". Thread time: " (busy.join(", ")) "." }
        }
    }
}
