//! What a run of the real lane has shown, for the forms of report that every command has: cases, and what came of each.

use std::{collections::BTreeMap, fmt::Display};

use stormproof_reports::plain::{Outcome, PlainReport, Status};

use super::report::{CaseReport, Failure, Kill, Report, Tally};

impl Report {
    /// The report for forms that know nothing of the lane.
    pub fn plain(&self) -> PlainReport {
        PlainReport {
            title: "Stormproof: the engine killed for real".into(),
            summary: self.summary(),
            outcomes: self.cases.iter().map(outcome).collect(),
        }
    }
}

fn outcome(case: &CaseReport) -> Outcome {
    let status = match (&case.failure, case.unproven.is_empty()) {
        (Some(_), _) => Status::Fell,
        (None, false) => Status::Unproven,
        (None, true) => Status::Held,
    };
    let fact = |(label, words): (&str, String)| (label.to_owned(), words);
    let sentences = [("what is done", case.injection.into()), ("how one can tell", case.criterion.into())];
    Outcome {
        name: case.name.into(),
        about: case.hypothesis.into(),
        status,
        why: case.failure.iter().map(evidence).chain(case.unproven.iter().cloned()).collect(),
        facts: sentences.into_iter().chain(facts(&case.tally)).map(fact).collect(),
        took_ms: case.wall_ms,
    }
}

fn evidence(Failure { claim, sentence, kind, witness, directory }: &Failure) -> String {
    format!("{claim}: {sentence}\n{kind}: {witness}\nkept in {}", directory.display())
}

fn facts(tally: &Tally) -> Vec<(&'static str, String)> {
    let kill = |kind| tally.kills.get(&kind).copied().unwrap_or(0);
    let (point, call, moment) = (kill(Kill::Point), kill(Kill::DiskCall), kill(Kill::Moment));
    let Tally { lives, reopenings, acknowledged, refused, unknown, asked_again, batch_max, .. } = tally;
    vec![
        ("lives", format!("{lives} lives, {reopenings} reopenings")),
        ("kills", format!("{point} at points, {call} before disk calls, {moment} at random moments")),
        (
            "commits",
            format!("{acknowledged} acknowledged, {refused} refused, {unknown} unknown, {asked_again} asked again"),
        ),
        ("batches", format!("up to {batch_max} commits")),
        ("queries", format!("{} answered; {}", tally.answers, tally.overlap)),
        ("died at", counts(&tally.points)),
        ("faults", counts(&tally.faults)),
        ("notes", counts(&tally.notes)),
        ("checked", counts(&tally.checked)),
    ]
}

fn counts<K: Display>(counts: &BTreeMap<K, u64>) -> String {
    let list: Vec<String> = counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
    if list.is_empty() { "none".into() } else { list.join(", ") }
}
