//! Why a plan fails: which of its faults it takes, where it parts from the nearest run that holds, and since when the
//! failure could not be averted any more.

use std::collections::BTreeMap;

use serde::Serialize;

use super::scenario::{AnyPlan, Loaded, PlanError, Run, Suite};
use crate::{
    check::invariant::Violation,
    world::{
        Settings,
        coverage::Struck,
        fault::Fault,
        mix::mix,
        study::Study,
        trace::{Happened, Line},
    },
};

/// So many moments are tried at most.
const MOMENTS_MAX: usize = 32;
/// Events around the parting that are shown.
const CONTEXT: usize = 4;

/// Why a plan fails.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// What fell, with its witness.
    pub violation: Violation,
    /// The faults, in the order of the plan.
    pub faults: Vec<Role>,
    /// The nearest run that holds, if one change of the plan is enough.
    pub nearest: Option<Nearest>,
    /// How likely the run fails, if all is drawn anew from some moment on.
    pub chances: Vec<Chance>,
    /// What happened.
    #[serde(skip)]
    pub story: Vec<Line>,
}

/// What a fault has to do with it.
#[derive(Clone, Debug, Serialize)]
pub struct Role {
    /// The fault, in words.
    pub words: String,
    /// Its number.
    pub id: u32,
    /// Whether the run does not fail like this without it.
    pub necessary: bool,
    /// How the run ends without it: holds, or another fingerprint.
    pub without: String,
    /// Where it struck; `None` if it never did.
    pub struck: Option<Struck>,
}

/// A run that holds.
#[derive(Clone, Debug, Serialize)]
pub struct Nearest {
    /// What is different in its plan.
    pub change: String,
    /// How many events the two have in common.
    pub common: usize,
    /// The last of them, in words.
    pub before: Vec<String>,
    /// What happens next in the run that fails.
    pub failing: Vec<String>,
    /// What happens next in the run that holds.
    pub passing: Vec<String>,
}

/// How often the run fails if all is drawn anew from a moment on.
#[derive(Clone, Debug, Serialize)]
pub struct Chance {
    /// The moment, in simulated nanoseconds.
    pub at: u64,
    /// The event before it, in words.
    pub after: String,
    /// Runs that failed with the same fingerprint.
    pub failed: u32,
    /// Of how many.
    pub of: u32,
}

impl Explanation {
    /// The faults that it takes.
    pub fn necessary(&self) -> Vec<u32> {
        self.faults.iter().filter(|role| role.necessary).map(|role| role.id).collect()
    }

    /// The first moment from which on every run failed.
    pub fn inevitable(&self) -> Option<&Chance> {
        let averted = self.chances.iter().rposition(|chance| chance.failed < chance.of);
        self.chances.get(averted.map_or(0, |last| last + 1))
    }
}

/// Explains a failing plan. `None` if it does not fail. `reseeds` runs are tried from each moment.
///
/// ```no_run
/// use stormproof_sim::{
///     examples::replica::{Bug, trial::ReplicaTrial},
///     hunt::{explain, failing_plan},
/// };
///
/// let suite = ReplicaTrial { bug: Some(Bug::VotesTwice) };
/// if let Some(plan) = failing_plan(&suite, 1)?
///     && let Some(explanation) = explain(&suite, &plan, 20, &|_| {})?
/// {
///     for fault in &explanation.faults {
///         println!("{}: {}", fault.words, if fault.necessary { "needed" } else { "not needed" });
///     }
///     if let Some(moment) = explanation.inevitable() {
///         println!("inevitable {} ns into the run, after: {}", moment.at, moment.after);
///     }
/// }
/// # Ok::<(), stormproof_sim::hunt::PlanError>(())
/// ```
pub fn explain(
    suite: &dyn Suite,
    plan: &AnyPlan,
    reseeds: u32,
    progress: &dyn Fn(&str),
) -> Result<Option<Explanation>, PlanError> {
    let loaded = suite.load(plan)?;
    let words = Settings { words: true, record: false };
    let (run, _) = loaded.run(&plan.faults, Study::default(), &words);
    let Some(violation) = run.result.violation.clone() else { return Ok(None) };
    let told = Told { suite, plan, loaded: &*loaded, run: &run, fingerprint: violation.fingerprint() };
    progress("which faults it takes");
    let faults = plan.faults.iter().map(|fault| told.role(fault)).collect();
    progress("the nearest run that holds");
    let nearest = told.nearest();
    progress("since when it was inevitable");
    let chances = told.chances(reseeds);
    Ok(Some(Explanation { violation, faults, nearest, chances, story: run.result.lines }))
}

/// A failing run under examination.
struct Told<'a> {
    suite: &'a dyn Suite,
    plan: &'a AnyPlan,
    loaded: &'a dyn Loaded,
    run: &'a Run,
    fingerprint: String,
}

impl Told<'_> {
    fn role(&self, fault: &Fault) -> Role {
        let others: Vec<Fault> = self.plan.faults.iter().filter(|other| other.id != fault.id).cloned().collect();
        let (run, _) = self.loaded.run(&others, Study::default(), &Settings::default());
        let without = run.result.violation.as_ref().map(Violation::fingerprint);
        Role {
            words: fault.to_string(),
            id: fault.id,
            necessary: without.as_ref() != Some(&self.fingerprint),
            without: without.unwrap_or_else(|| "it holds".into()),
            struck: self.run.result.struck.iter().find(|struck| struck.fault == fault.id).copied(),
        }
    }

    /// Of all plans with one override less, the one that holds and parts latest.
    fn nearest(&self) -> Option<Nearest> {
        let without_fault = self.plan.faults.iter().map(|fault| {
            let mut plan = self.plan.clone();
            plan.faults.retain(|other| other.id != fault.id);
            (format!("without fault {}: {fault}", fault.id), plan)
        });
        let without_draw = self.plan.draws.iter().map(|(key, value)| {
            let mut plan = self.plan.clone();
            plan.draws.remove(key);
            (format!("without the draw `{key}` = `{value}`"), plan)
        });
        let holding = without_fault.chain(without_draw).filter_map(|(change, plan)| {
            let loaded = self.suite.load(&plan).ok()?;
            let (run, _) = loaded.run(&plan.faults, Study::default(), &Settings { words: true, record: false });
            run.result.violation.is_none().then(|| self.parted(change, &run.result.lines))
        });
        holding.max_by_key(|nearest| nearest.common)
    }

    fn parted(&self, change: String, passing: &[Line]) -> Nearest {
        let failing = &self.run.result.lines;
        let same = |(a, b): &(&Line, &Line)| a.hash == b.hash;
        let common = failing.iter().zip(passing).take_while(same).count();
        let told = |lines: &[Line]| lines.iter().map(|line| line.words.clone()).collect();
        let after = |lines: &[Line]| told(&lines[common..(common + CONTEXT).min(lines.len())]);
        let before = told(&failing[common.saturating_sub(CONTEXT)..common]);
        Nearest { change, common, before, failing: after(failing), passing: after(passing) }
    }

    fn chances(&self, reseeds: u32) -> Vec<Chance> {
        let moments = moments(&self.run.result.lines);
        moments
            .into_iter()
            .map(|(at, after)| Chance { at, after, failed: self.failed(at, reseeds), of: reseeds })
            .collect()
    }

    fn failed(&self, at: u64, reseeds: u32) -> u32 {
        let fails = |n: u32| {
            let seed = mix(mix(self.plan.seed, at), u64::from(n) + 1);
            let study = Study { reseed: Some((at, seed)), ..Study::default() };
            let (run, _) = self.loaded.run(&self.plan.faults, study, &Settings::default());
            run.result.violation.as_ref().map(Violation::fingerprint).as_ref() == Some(&self.fingerprint)
        };
        (0..reseeds).map(|n| u32::from(fails(n))).sum()
    }
}

/// Moments to draw anew from: right after each fault, death, start and answer, and between others, in order.
fn moments(lines: &[Line]) -> Vec<(u64, String)> {
    let matters = |line: &Line| {
        matches!(
            line.what,
            Happened::Fault
                | Happened::Disturbed
                | Happened::Died
                | Happened::Booted
                | Happened::Invoked
                | Happened::Replied
        )
    };
    // What a node does, it does at its own clock: lines are in the order of cause, not quite in that of time.
    let mut by_time = BTreeMap::from([(0, "the start".into())]);
    by_time.extend(lines.iter().filter(|line| matters(line)).map(|line| (line.at + 1, line.words.clone())));
    let moments: Vec<(u64, String)> = by_time.into_iter().collect();
    let step = moments.len().div_ceil(MOMENTS_MAX).max(1);
    let last = moments.len() - 1;
    moments.into_iter().enumerate().filter(|(n, _)| n % step == 0 || *n == last).map(|(_, moment)| moment).collect()
}
