//! What is reported of one run played again: its verdict, whether it is the failure it was, and its trace hash.

use std::fmt::Write as _;

use serde::Serialize;
use stormproof_sim::{
    hunt::{Divergence, Run, Suite, SuiteReport},
    world::fault::FaultKind,
};

use super::{
    json::{SCHEMA, document},
    layout::{count, duration, field, list, verbatim},
    run::Trial,
};

/// How a run was played again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Mode {
    /// From its seed.
    Seed,
    /// By a plan, whatever the code is now.
    Plan(Recorded),
    /// By a plan, against the trace of then.
    Exact(Recorded, Option<Divergence>),
}

/// What a plan says of the run it was recorded from.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Recorded {
    /// How it failed; empty if it did not.
    pub why: String,
    /// The hash of its trace.
    pub trace_hash: String,
}

/// A run played again.
pub struct ReplayReport<'a> {
    /// The suite.
    pub suite: &'a dyn Suite,
    /// The run.
    pub run: &'a Run,
    /// How it was played.
    pub mode: Mode,
}

impl ReplayReport<'_> {
    /// 1 if a claim fell, or an exact replay was not the same run; 0 otherwise.
    pub fn exit_code(&self) -> u8 {
        u8::from(self.run.result.violation.is_some() || matches!(self.mode, Mode::Exact(_, Some(_))))
    }

    pub(crate) fn case(&self) -> &'static str {
        self.suite.cases()[self.run.case].name
    }

    pub(crate) fn sentence(&self, claim: &str) -> &'static str {
        Trial { suite: self.suite, report: SuiteReport::new(self.suite), whole: false }.sentence(claim)
    }

    fn fingerprint(&self) -> String {
        self.run
            .result
            .violation
            .as_ref()
            .map(stormproof_sim::check::invariant::Violation::fingerprint)
            .unwrap_or_default()
    }

    fn recorded(&self) -> Option<&Recorded> {
        match &self.mode {
            Mode::Seed => None,
            Mode::Plan(recorded) | Mode::Exact(recorded, _) => Some(recorded),
        }
    }

    fn trace_hash(&self) -> String {
        format!("{:016x}", self.run.result.trace_hash)
    }

    /// The report as text.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let result = &self.run.result;
        let verdict = if result.violation.is_some() { "FELL" } else { "holds" };
        let _ = writeln!(out, "{}/{} seed {}: {verdict}", self.suite.name(), self.case(), self.run.seed);
        if let Some(violation) = &result.violation {
            field(&mut out, "claim", &format!("{}: {}", violation.claim, self.sentence(violation.claim)));
            field(&mut out, "broken by", &violation.kind);
            field(&mut out, "when", &format!("{} into the run", duration(violation.at)));
            verbatim(&mut out, "evidence", &violation.witness);
        }
        self.compared(&mut out);
        let faults = result.delivered.iter().map(|(kind, times)| format!("{} {}", kind.name(), count(*times)));
        list(&mut out, "faults", &faults.collect::<Vec<_>>(), "none was delivered");
        let idle: Vec<_> = result.idle_faults.iter().map(|id| format!("number {id}")).collect();
        if !idle.is_empty() {
            list(&mut out, "idle faults", &idle, "");
        }
        for words in &result.gave_up {
            field(&mut out, "gave up", words);
        }
        let (events, simulated) = (count(result.events), duration(result.simulated));
        field(&mut out, "length", &format!("{events} events in {simulated} of simulated time"));
        field(&mut out, "trace hash", &self.trace_hash());
        out
    }

    /// Where an exact replay parts from the recorded run.
    pub(crate) fn parted(&self) -> Option<&Divergence> {
        if let Mode::Exact(_, Some(parted)) = &self.mode { Some(parted) } else { None }
    }

    /// Whether the run fails as it did when it was recorded.
    pub(crate) fn compared_in_words(&self) -> Option<String> {
        self.recorded().map(|recorded| same_failure(&recorded.why, &self.fingerprint()))
    }

    fn compared(&self, out: &mut String) {
        let Some((recorded, failure)) = self.recorded().zip(self.compared_in_words()) else { return };
        field(out, "failure", &failure);
        match &self.mode {
            Mode::Seed => {}
            Mode::Plan(_) => {
                let same = if recorded.trace_hash == self.trace_hash() {
                    "the recorded run, event for event"
                } else {
                    "another run than the recorded one: code or plan has changed"
                };
                field(out, "run", same);
                list(out, "unused", &self.run.result.unused, "every draw of the plan was asked for");
            }
            Mode::Exact(_, None) => field(out, "run", "the recorded run, event for event"),
            Mode::Exact(_, Some(parted)) => {
                field(out, "run", &format!("parts from the recorded one at line {} of its trace", parted.line));
                verbatim(out, "recorded", parted.expected.as_deref().unwrap_or("(it had ended)"));
                verbatim(out, "now", parted.found.as_deref().unwrap_or("(it has ended)"));
            }
        }
    }

    /// The report as JSON.
    pub fn json(&self) -> Result<String, serde_json::Error> {
        let result = &self.run.result;
        let recorded = self.recorded();
        let violation = result.violation.as_ref().map(|violation| ViolationDocument {
            claim: violation.claim,
            sentence: self.sentence(violation.claim),
            fingerprint: violation.fingerprint(),
            kind: &violation.kind,
            witness: &violation.witness,
            at_ns: violation.at,
        });
        document(&Document {
            schema: SCHEMA,
            command: "replay",
            mode: match self.mode {
                Mode::Seed => "seed",
                Mode::Plan(_) => "plan",
                Mode::Exact(..) => "exact",
            },
            suite: self.suite.name(),
            case: self.case(),
            seed: self.run.seed,
            verdict: if violation.is_some() { "fell" } else { "holds" },
            exit_code: self.exit_code(),
            violation,
            recorded,
            same_failure: recorded.map(|recorded| recorded.why == self.fingerprint()),
            divergence: self.divergence(),
            trace_hash: self.trace_hash(),
            faults: &result.delivered,
            idle_faults: &result.idle_faults,
            unused_draws: &result.unused,
            gave_up: &result.gave_up,
            events: result.events,
            simulated_ns: result.simulated,
        })
    }

    fn divergence(&self) -> Option<DivergenceDocument<'_>> {
        let parted = self.parted()?;
        let (recorded, now) = (parted.expected.as_deref(), parted.found.as_deref());
        Some(DivergenceDocument { line: parted.line, recorded, now })
    }
}

fn same_failure(then: &str, now: &str) -> String {
    match (then, now) {
        ("", "") => "none then, none now".into(),
        (then, "") => format!("gone: it was `{then}`"),
        ("", now) => format!("new: `{now}`; the recorded run held"),
        (then, now) if then == now => "the same as recorded".into(),
        (then, now) => format!("another one: it was `{then}`, it is `{now}`"),
    }
}

/// What `replay --json` writes. It holds nothing that depends on how fast a machine is.
#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    /// Always `replay`.
    command: &'static str,
    /// `seed`, `plan` or `exact`.
    mode: &'static str,
    suite: &'static str,
    case: &'static str,
    seed: u64,
    /// `holds` or `fell`.
    verdict: &'static str,
    exit_code: u8,
    violation: Option<ViolationDocument<'a>>,
    /// What the plan says of the run it was recorded from.
    recorded: Option<&'a Recorded>,
    /// Whether the run failed as it did when it was recorded.
    same_failure: Option<bool>,
    /// Where an exact replay parts from the recorded trace.
    divergence: Option<DivergenceDocument<'a>>,
    trace_hash: String,
    faults: &'a std::collections::BTreeMap<FaultKind, u64>,
    /// Faults that met nobody, by their number in the plan.
    idle_faults: &'a [u32],
    /// Draws of the plan that nothing asked for.
    unused_draws: &'a [String],
    gave_up: &'a [String],
    events: u64,
    simulated_ns: u64,
}

#[derive(Serialize)]
struct ViolationDocument<'a> {
    claim: &'static str,
    sentence: &'static str,
    fingerprint: String,
    kind: &'a str,
    witness: &'a str,
    at_ns: u64,
}

#[derive(Serialize)]
struct DivergenceDocument<'a> {
    /// The line of the trace, counted from 1.
    line: usize,
    recorded: Option<&'a str>,
    now: Option<&'a str>,
}
