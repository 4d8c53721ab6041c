//! A comparison as text and as JSON. Its page is in `html`.

use std::fmt::Write as _;

use serde::Serialize;

use super::{Area, Compared, Comparison, Covered, Detection};
use crate::{
    json::{SCHEMA, document},
    layout::{count, field, list, plural},
};

impl Comparison {
    /// What `report --json` writes.
    pub fn json(&self) -> Result<String, serde_json::Error> {
        #[derive(Serialize)]
        struct Told<'a> {
            schema: u32,
            command: &'static str,
            exit_code: u8,
            #[serde(flatten)]
            comparison: &'a Comparison,
        }
        document(&Told { schema: SCHEMA, command: "report", exit_code: self.exit_code(), comparison: self })
    }

    /// The comparison as text.
    pub fn text(&self) -> String {
        let mut out = String::new();
        for suite in &self.suites {
            block(&mut out, suite);
            out.push('\n');
        }
        let _ = writeln!(out, "{}. Exit code {}.", self.conclusion(), self.exit_code());
        out
    }

    /// What it amounts to, in a sentence.
    pub(crate) fn conclusion(&self) -> String {
        if !self.against {
            return format!("Verdict: {}", self.verdict);
        }
        let worse: Vec<_> = self.suites.iter().filter(|suite| suite.is_worse()).map(Compared::worse_in_words).collect();
        if worse.is_empty() { "Nothing was lost, and nothing fell anew".into() } else { worse.join("; ") }
    }
}

impl Compared {
    fn worse_in_words(&self) -> String {
        let fell = self.fell_anew.iter().map(|claim| format!("{claim} fell"));
        let differs = self.newly_differs.then(|| "runs repeated differ".to_owned());
        let lost: usize = self.lost.values().map(std::collections::BTreeSet::len).sum();
        let lost = (lost > 0).then(|| format!("{} of coverage lost", plural(lost as u64, "piece")));
        let all: Vec<_> = fell.chain(differs).chain(lost).collect();
        format!("{}: {}", self.name, all.join(", "))
    }

    pub(crate) fn seeds_in_words(&self) -> String {
        match (self.seeds.new, self.seeds.old) {
            (None, _) => "not run any more".into(),
            (Some(new), None) => count(new),
            (Some(new), Some(old)) => {
                let fewer = if new < old { "; with fewer seeds, what is lost may only not have been met" } else { "" };
                format!("{} (before: {}){fewer}", count(new), count(old))
            }
        }
    }

    pub(crate) fn speed_in_words(&self) -> String {
        let Some(new) = self.times.seeds_per_second.new else { return "not known".into() };
        let ratio = self.times.ratio.map_or_else(String::new, |ratio| format!(", {ratio:.2} times as fast as before"));
        format!("{new:.0} seeds in a second of thread time{ratio}")
    }
}

impl Detection {
    pub(crate) fn words(&self) -> String {
        let at = |seed: Option<u64>| seed.map_or_else(String::new, |seed| format!("seed {}", count(seed)));
        let (new, old) = (at(self.seed.new), at(self.seed.old));
        match self.change {
            "fell" => format!("{} at {new}", self.fingerprint),
            "new" => format!("NEW {} at {new}", self.fingerprint),
            "gone" => format!("gone: {}, was at {old}", self.fingerprint),
            "same" => format!("{} at {new}, as before", self.fingerprint),
            change => format!("{} {change}: at {new}, was at {old}", self.fingerprint),
        }
    }
}

impl Area {
    pub(crate) fn words(self) -> &'static str {
        match self {
            Area::Deaths => "crashes at steps",
            Area::Points => "points passed",
            Area::Strikes => "faults by point",
            Area::Faults => "faults by case",
            Area::Sometimes => "sometimes reached",
        }
    }
}

fn block(out: &mut String, suite: &Compared) {
    let _ = writeln!(out, "{}: {}", suite.name, suite.verdict.as_deref().unwrap_or("not run"));
    field(out, "seeds", &suite.seeds_in_words());
    let covered: Vec<_> = suite.covered.iter().map(|(area, n)| format!("{} {}", area.words(), count(*n))).collect();
    list(out, "coverage", &covered, "none");
    areas(out, "gained", &suite.gained);
    areas(out, "LOST", &suite.lost);
    for (place, detection) in suite.failures.iter().enumerate() {
        field(out, if place == 0 { "failures" } else { "" }, &detection.words());
    }
    if suite.newly_differs {
        field(out, "self-check", "runs repeated DIFFER, and did not before");
    }
    field(out, "speed", &suite.speed_in_words());
}

fn areas(out: &mut String, label: &str, areas: &Covered) {
    for (place, (area, words)) in areas.iter().enumerate() {
        let label = if place == 0 { label } else { "" };
        let words: Vec<_> = words.iter().cloned().collect();
        field(out, label, &format!("{}: {}", area.words(), words.join(", ")));
    }
}
