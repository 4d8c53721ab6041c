//! What many runs of a suite add up to: what was proven, what was not, and what fell.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    scenario::{Run, Suite},
    shrink::Size,
};
use crate::{
    check::{
        history::Overlap,
        invariant::{Probes, Violation},
    },
    world::{
        coverage::{Passed, Step, Strikes},
        fault::FaultKind,
    },
};

/// What a suite's runs add up to.
#[derive(Clone, Debug, Serialize)]
pub struct SuiteReport {
    /// The suite.
    pub suite: String,
    /// Runs.
    pub seeds: u64,
    /// Case by case.
    pub cases: Vec<CaseReport>,
    /// How often each claim was checked.
    pub checked: BTreeMap<&'static str, u64>,
    /// How concurrent the clients were.
    pub overlap: Overlap,
    /// Operations that were answered, refused, and never known.
    pub answered: [u64; 3],
    /// Events of all worlds.
    pub events: u64,
    /// Simulated time, in nanoseconds.
    pub simulated_ns: u64,
    /// Time that the runs took, added up over threads, in nanoseconds.
    pub busy_ns: u64,
    /// Steps passed, and deaths at them.
    #[serde(serialize_with = "steps")]
    pub steps: BTreeMap<Step, Passed>,
    /// How often each kind of fault was delivered to a node behind each point, by point and kind.
    #[serde(serialize_with = "strikes")]
    pub strikes: Strikes,
    /// The first failure of each fingerprint, by the lowest seed.
    pub failures: BTreeMap<String, Failure>,
    /// How many runs failed.
    pub failed: u64,
    /// What the checkers could not decide, with the seed.
    pub gave_up: Vec<(u64, String)>,
    /// Runs that were run again in a fresh process, and those of them that differed.
    pub rerun: u64,
    /// The seeds whose second run differed.
    pub differing: Vec<u64>,
    /// A share of the runs with their trace hashes, for running them again.
    #[serde(skip)]
    pub sample: Vec<(u64, u64)>,
}

/// What a case's runs add up to.
#[derive(Clone, Debug, Default, Serialize)]
pub struct CaseReport {
    /// The case.
    pub name: String,
    /// Runs.
    pub seeds: u64,
    /// How often each kind of fault was delivered.
    pub delivered: BTreeMap<FaultKind, u64>,
    /// What was reached.
    pub probes: Probes,
}

/// A failing run.
#[derive(Clone, Debug, Serialize)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// The case.
    pub case: String,
    /// What fell.
    pub violation: Violation,
    /// How many runs failed like this.
    pub runs: u64,
    /// Where the plan was saved.
    pub plan: Option<String>,
    /// The smallest plan that fails in the same way, if one was looked for.
    pub smallest: Option<Smallest>,
}

/// The smallest plan that was found for a failure.
#[derive(Clone, Debug, Serialize)]
pub struct Smallest {
    /// Its size.
    pub size: Size,
    /// How many candidates were tried.
    pub candidates: u64,
    /// Whether nothing more could be taken out, rather than time.
    pub finished: bool,
    /// Where it was saved.
    pub plan: String,
}

/// What a suite's runs have shown.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case", tag = "verdict", content = "reasons")]
pub enum Verdict {
    /// Everything held, and was put to the test.
    Holds,
    /// Everything held, but fewer runs than needed cannot prove it; what is missing.
    Warning(Vec<String>),
    /// Everything held, and nothing was proven: why.
    Unproven(Vec<String>),
    /// Something fell.
    Fell(Vec<String>),
}

impl SuiteReport {
    /// No runs yet.
    pub fn new(suite: &dyn Suite) -> Self {
        let case = |case: &super::Case| CaseReport { name: case.name.into(), ..CaseReport::default() };
        SuiteReport {
            suite: suite.name().into(),
            seeds: 0,
            cases: suite.cases().iter().map(case).collect(),
            checked: BTreeMap::new(),
            overlap: Overlap::default(),
            answered: [0; 3],
            events: 0,
            simulated_ns: 0,
            busy_ns: 0,
            steps: BTreeMap::new(),
            strikes: Strikes::new(),
            failures: BTreeMap::new(),
            failed: 0,
            gave_up: Vec::new(),
            rerun: 0,
            differing: Vec::new(),
            sample: Vec::new(),
        }
    }

    /// Adds a run.
    pub fn add(&mut self, run: Run) {
        let Run { case, seed, result, .. } = run;
        self.seeds += 1;
        let place = &mut self.cases[case];
        place.seeds += 1;
        for (kind, count) in result.delivered {
            *place.delivered.entry(kind).or_default() += count;
        }
        place.probes.merge(&result.probes);
        for (claim, count) in result.checked {
            *self.checked.entry(claim).or_default() += count;
        }
        self.overlap.merge(result.overlap);
        for (sum, count) in self.answered.iter_mut().zip(result.answered) {
            *sum += count;
        }
        self.events += result.events;
        self.simulated_ns += result.simulated;
        for (step, passed) in result.steps {
            merge_step(&mut self.steps, step, passed);
        }
        merge_strikes(&mut self.strikes, result.strikes);
        self.gave_up.extend(result.gave_up.into_iter().map(|words| (seed, words)));
        if let Some(violation) = result.violation {
            self.failed += 1;
            let case = self.cases[case].name.clone();
            self.add_failure(Failure { seed, case, violation, runs: 1, plan: None, smallest: None });
        }
    }

    fn add_failure(&mut self, failure: Failure) {
        let fingerprint = failure.violation.fingerprint();
        match self.failures.get_mut(&fingerprint) {
            None => drop(self.failures.insert(fingerprint, failure)),
            Some(known) => {
                let runs = known.runs + failure.runs;
                if failure.seed < known.seed {
                    *known = failure;
                }
                known.runs = runs;
            }
        }
    }

    /// Adds another report of the same suite.
    pub fn merge(&mut self, other: SuiteReport) {
        self.seeds += other.seeds;
        for (case, more) in self.cases.iter_mut().zip(other.cases) {
            case.seeds += more.seeds;
            for (kind, count) in more.delivered {
                *case.delivered.entry(kind).or_default() += count;
            }
            case.probes.merge(&more.probes);
        }
        for (claim, count) in other.checked {
            *self.checked.entry(claim).or_default() += count;
        }
        self.overlap.merge(other.overlap);
        for (sum, count) in self.answered.iter_mut().zip(other.answered) {
            *sum += count;
        }
        self.events += other.events;
        self.simulated_ns += other.simulated_ns;
        self.busy_ns += other.busy_ns;
        for (step, passed) in other.steps {
            merge_step(&mut self.steps, step, passed);
        }
        merge_strikes(&mut self.strikes, other.strikes);
        self.failed += other.failed;
        for failure in other.failures.into_values() {
            self.add_failure(failure);
        }
        self.gave_up.extend(other.gave_up);
        self.gave_up.sort();
        self.sample.extend(other.sample);
        self.sample.sort_unstable();
    }

    /// How often each kind of fault was delivered in all cases.
    pub fn delivered(&self) -> BTreeMap<FaultKind, u64> {
        let mut all = BTreeMap::new();
        for (kind, count) in self.cases.iter().flat_map(|case| &case.delivered) {
            *all.entry(*kind).or_default() += count;
        }
        all
    }

    /// What was reached in all cases.
    pub fn probes(&self) -> Probes {
        let mut all = Probes::default();
        for case in &self.cases {
            all.merge(&case.probes);
        }
        all
    }

    /// What the runs have shown. `whole` says whether every case was to be run, or some were left out by wish.
    pub fn verdict(&self, suite: &dyn Suite, whole: bool) -> Verdict {
        let fell: Vec<String> = self.failures.keys().cloned().chain(self.differing_words()).collect();
        if !fell.is_empty() {
            return Verdict::Fell(fell);
        }
        let missing = self.missing(suite, whole);
        if missing.is_empty() {
            return Verdict::Holds;
        }
        let needed = if whole { suite.seeds_needed() } else { suite.seeds_needed() / suite.cases().len() as u64 };
        if self.seeds < needed { Verdict::Warning(missing) } else { Verdict::Unproven(missing) }
    }

    /// That runs differed when they were run again, if some did.
    pub fn differing_words(&self) -> Option<String> {
        let first = self.differing.first()?;
        Some(format!(
            "{} of {} runs differ when run again, the first with seed {first}",
            self.differing.len(),
            self.rerun
        ))
    }

    /// Why nothing is proven.
    fn missing(&self, suite: &dyn Suite, whole: bool) -> Vec<String> {
        let mut missing = Vec::new();
        for (report, case) in self.cases.iter().zip(suite.cases()) {
            if report.seeds == 0 && !whole {
                continue;
            }
            for kind in case.faults.iter().filter(|kind| !report.delivered.contains_key(kind)) {
                missing.push(format!("case {}: no {} was delivered", case.name, kind.name()));
            }
            for name in case.sometimes.iter().filter(|name| report.probes.count(name) == 0) {
                missing.push(format!("case {}: `{name}` was never reached", case.name));
            }
        }
        if whole {
            let probes = self.probes();
            for invariant in suite.invariants() {
                let id = invariant.claim.id;
                if !self.checked.contains_key(id) {
                    missing.push(format!("{id} was never checked"));
                }
                for name in invariant.unreached(&probes) {
                    missing.push(format!("{id}: `{name}` was never reached"));
                }
            }
            let (percent, least) = (self.overlap.percent(), suite.overlap_percent_min());
            if percent < least {
                missing.push(format!("{percent}% of the operations overlapped, {least}% are needed"));
            }
        }
        if let Some((seed, words)) = self.gave_up.first() {
            missing.push(format!("{} checks gave up, the first with seed {seed}: {words}", self.gave_up.len()));
        }
        missing
    }
}

fn merge_step(steps: &mut BTreeMap<Step, Passed>, step: Step, passed: Passed) {
    let sum = steps.entry(step).or_default();
    sum.times += passed.times;
    sum.deaths += passed.deaths;
}

fn merge_strikes(strikes: &mut Strikes, more: Strikes) {
    for (place, times) in more {
        *strikes.entry(place).or_default() += times;
    }
}

fn strikes<S: serde::Serializer>(strikes: &Strikes, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(strikes.iter())
}

fn steps<S: serde::Serializer>(steps: &BTreeMap<Step, Passed>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(steps.iter())
}
