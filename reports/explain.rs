//! What is reported of an explanation: the faults that it takes, the nearest run that holds, and since when the failure
//! was inevitable.

use std::fmt::Write as _;

use serde::Serialize;
use stormproof_sim::hunt::{
    Explanation, Suite,
    explain::{Chance, Nearest, Role},
};

use super::{
    json::{SCHEMA, document},
    layout::{count, duration, field, verbatim},
    run::sentence,
};

/// The widest bar of the chances.
const BAR: usize = 20;

/// An explanation of a plan.
pub struct ExplainReport<'a> {
    /// The suite.
    pub suite: &'a dyn Suite,
    /// The case.
    pub case: &'a str,
    /// The seed of the plan.
    pub seed: u64,
    /// What was found out.
    pub explanation: &'a Explanation,
}

impl ExplainReport<'_> {
    /// The report as text.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let Explanation { violation, faults, nearest, .. } = self.explanation;
        let _ = writeln!(out, "{}/{} seed {}: {}", self.suite.name(), self.case, self.seed, violation.fingerprint());
        field(&mut out, "claim", &format!("{}: {}", violation.claim, sentence(self.suite, violation.claim)));
        field(&mut out, "when", &format!("{} into the run", duration(violation.at)));
        verbatim(&mut out, "evidence", &violation.witness);
        out.push_str("\nWhat it takes\n");
        for role in faults {
            role_text(&mut out, role);
        }
        if faults.is_empty() {
            field(&mut out, "faults", "none: it fails without any");
        }
        out.push_str("\nWhere it parts from the nearest run that holds\n");
        match nearest {
            None => field(&mut out, "nearest", "no single change of the plan is enough to make it hold"),
            Some(nearest) => nearest_text(&mut out, nearest),
        }
        out.push_str("\nHow likely it fails, if all is drawn anew from some moment on\n");
        self.explanation.chances.iter().for_each(|chance| chance_text(&mut out, chance));
        let inevitable = self.explanation.inevitable();
        let since = |chance: &Chance| format!("from {} ms on, after: {}", millis(chance.at), chance.after);
        field(&mut out, "inevitable", &inevitable.map_or("never before the end".into(), since));
        out
    }

    /// The report as JSON.
    pub fn json(&self) -> Result<String, serde_json::Error> {
        document(&Document {
            schema: SCHEMA,
            command: "explain",
            suite: self.suite.name(),
            case: self.case,
            seed: self.seed,
            fingerprint: self.explanation.violation.fingerprint(),
            necessary: self.explanation.necessary(),
            inevitable: self.explanation.inevitable(),
            explanation: self.explanation,
        })
    }
}

fn role_text(out: &mut String, role: &Role) {
    let verdict = match (role.struck.is_some(), role.necessary) {
        (false, _) => "never struck".into(),
        (true, true) => format!("NECESSARY: without it {}", role.without),
        (true, false) => "not needed: it fails without it as well".into(),
    };
    field(out, &format!("fault {}", role.id), &role.words);
    field(out, "", &verdict);
    if let Some(struck) = role.struck {
        let place = struck.place;
        let words = format!(
            "struck n{} at {} ms, {} steps behind {} (passing {})",
            struck.node,
            millis(struck.at),
            place.steps,
            place.point,
            place.hit
        );
        field(out, "", &words);
    }
}

fn nearest_text(out: &mut String, nearest: &Nearest) {
    field(out, "change", &nearest.change);
    field(out, "common", &format!("{} events, the last of them:", count(nearest.common as u64)));
    let lists = [("", &nearest.before), ("it fails:", &nearest.failing), ("it holds:", &nearest.passing)];
    for (label, lines) in lists {
        for (place, line) in lines.iter().enumerate() {
            verbatim(out, if place == 0 { label } else { "" }, line.trim_start());
        }
    }
}

/// A moment in milliseconds, fine enough to tell it from the next.
fn millis(ns: u64) -> String {
    format!("{}.{:03}", ns / 1_000_000, ns / 1_000 % 1_000)
}

fn chance_text(out: &mut String, chance: &Chance) {
    let filled = (chance.failed as usize * BAR).checked_div(chance.of as usize).unwrap_or(0);
    let percent = (chance.failed * 100).checked_div(chance.of).unwrap_or(0);
    let bar = "#".repeat(filled) + &".".repeat(BAR - filled);
    let mut after: String = chance.after.chars().take(50).collect();
    if after.len() < chance.after.len() {
        after.push_str("...");
    }
    let _ = writeln!(out, "  {:>9} ms  {bar} {percent:>3}%  {after}", millis(chance.at));
}

/// What `explain --json` writes.
#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    /// Always `explain`.
    command: &'static str,
    suite: &'a str,
    case: &'a str,
    seed: u64,
    fingerprint: String,
    necessary: Vec<u32>,
    inevitable: Option<&'a Chance>,
    #[serde(flatten)]
    explanation: &'a Explanation,
}
