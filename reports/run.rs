//! What is reported of a hunt: each suite with what came of it, and what all of them together amount to.

use std::time::Duration;

use stormproof_sim::{
    check::invariant::{Claim, Violation},
    hunt::{Failure, Suite, SuiteReport, Verdict},
    world::stage::{LIVENESS, NO_PANIC},
};

/// A whole hunt.
pub struct RunReport<'a> {
    /// Plans that once failed, played first.
    pub regressions: Vec<Regression>,
    /// Suite by suite.
    pub trials: Vec<Trial<'a>>,
    /// How long it took.
    pub wall: Duration,
    /// On how many threads.
    pub threads: usize,
    /// How a failing run is played again.
    pub replay: ReplayCommand,
}

/// One suite and what came of it.
pub struct Trial<'a> {
    /// The suite.
    pub suite: &'a dyn Suite,
    /// What its runs add up to.
    pub report: SuiteReport,
    /// Whether all its cases were asked for. A part of a suite answers for its cases only, not for its claims.
    pub whole: bool,
}

/// A plan that once failed, and how it ended now.
#[derive(Clone, Debug)]
pub struct Regression {
    /// Its name.
    pub name: String,
    /// Its suite.
    pub suite: String,
    /// The bug it once showed, and the claim that fell then.
    pub why: String,
    /// How it ended.
    pub end: RegressionEnd,
}

/// How a plan that once failed ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RegressionEnd {
    /// It holds.
    Holds,
    /// It fell.
    Fell(Violation),
    /// It holds, but these of its faults struck nobody.
    Idle(Vec<u32>),
    /// It cannot be read.
    Unreadable(String),
}

impl Regression {
    /// What it has shown.
    pub fn verdict(&self) -> Verdict {
        let named = |words: String| vec![format!("regression {}: {words}", self.name)];
        match &self.end {
            RegressionEnd::Holds => Verdict::Holds,
            RegressionEnd::Fell(violation) => Verdict::Fell(named(violation.fingerprint())),
            RegressionEnd::Idle(ids) => {
                let ids: Vec<String> = ids.iter().map(u32::to_string).collect();
                Verdict::Unproven(named(format!("fault {} struck nobody", ids.join(" and "))))
            }
            RegressionEnd::Unreadable(words) => Verdict::Unproven(named(words.clone())),
        }
    }
}

/// The words by which a failing run is played again.
#[derive(Clone, Debug)]
pub struct ReplayCommand {
    /// The command, as it was called.
    pub program: String,
    /// Options that the run needs to be the same run, with a space before them; empty if there are none.
    pub options: String,
}

impl RunReport<'_> {
    /// The gravest verdict of all suites. No suite at all proves nothing.
    pub fn verdict(&self) -> Verdict {
        let nothing = || Verdict::Unproven(vec!["no suite was run".into()]);
        let regressions = self.regressions.iter().map(Regression::verdict);
        self.trials.iter().map(Trial::verdict).chain(regressions).max_by_key(gravity).unwrap_or_else(nothing)
    }
}

impl Trial<'_> {
    /// What its runs have shown.
    pub fn verdict(&self) -> Verdict {
        self.report.verdict(self.suite, self.whole)
    }

    /// The promise behind the id of a claim.
    pub fn sentence(&self, id: &str) -> &'static str {
        sentence(self.suite, id)
    }

    /// How often each *sometimes* of the suite was reached: those of its claims, then those of its cases.
    pub fn sometimes(&self) -> Vec<(&'static str, u64)> {
        let probes = self.report.probes();
        let of_claims = self.suite.invariants().into_iter().flat_map(|invariant| invariant.sometimes);
        let of_cases = self.suite.cases().iter().flat_map(|case| case.sometimes);
        let mut names: Vec<&'static str> = Vec::new();
        for name in of_claims.chain(of_cases) {
            if !names.contains(name) {
                names.push(name);
            }
        }
        names.into_iter().map(|name| (name, probes.count(name))).collect()
    }

    /// Its failures, by the lowest seed.
    pub fn failures(&self) -> Vec<&Failure> {
        let mut failures: Vec<_> = self.report.failures.values().collect();
        failures.sort_by_key(|failure| failure.seed);
        failures
    }
}

impl ReplayCommand {
    /// Plays a seed again.
    pub fn of_seed(&self, suite: &str, seed: u64) -> String {
        format!("{} replay {suite}:{seed}{}", self.program, self.options)
    }

    /// Explains a saved plan.
    pub fn explain(&self, plan: &str) -> String {
        format!("{} explain {plan}{}", self.program, self.options)
    }

    /// Plays a saved plan again.
    pub fn of_plan(&self, plan: &str) -> String {
        format!("{} replay {plan}{}", self.program, self.options)
    }
}

/// The promise behind the id of a claim.
pub fn sentence(suite: &dyn Suite, id: &str) -> &'static str {
    let claims = suite.invariants().into_iter().map(|invariant| invariant.claim);
    claims.chain([LIVENESS, NO_PANIC]).find(|claim: &Claim| claim.id == id).map_or("", |claim| claim.sentence)
}

/// The exit code of a verdict.
pub fn exit_code(verdict: &Verdict) -> u8 {
    match verdict {
        Verdict::Holds | Verdict::Warning(_) => 0,
        Verdict::Fell(_) => 1,
        Verdict::Unproven(_) => 4,
    }
}

fn gravity(verdict: &Verdict) -> u8 {
    match verdict {
        Verdict::Holds => 0,
        Verdict::Warning(_) => 1,
        Verdict::Unproven(_) => 2,
        Verdict::Fell(_) => 3,
    }
}
