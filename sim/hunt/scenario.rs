//! A suite: a system on trial, what its clients do, what may go wrong, and what must hold.

use serde::{Serialize, de::DeserializeOwned};
use stormproof_contract::System;

use crate::{
    check::invariant::Invariant,
    world::{
        Recorded, RunResult, Settings,
        dice::Dice,
        draw::Draws,
        fault::{Fault, FaultKind},
        plan::{FORMAT, Heading, Plan},
        run_mildly, run_plan, run_seed,
        stage::{Judge, OpOf, ReplyOf, Stage, Workload},
        study::{Studied, Study},
        study_plan,
        tuning::Tuning,
    },
};

/// A suite for a system of any kind. Whoever implements it gets a [`Suite`].
pub trait Scenario: Send + Sync {
    /// The system on trial.
    type System: System;
    /// What differs from run to run in the suite's own terms. Saved in plans.
    type Params: Serialize + DeserializeOwned + Send + Sync;
    /// What clients do.
    type Workload: Workload<OpOf<Self::System>, ReplyOf<Self::System>>;
    /// What must hold.
    type Judge: Judge<Self::System>;

    /// The name on the command line.
    fn name(&self) -> &'static str;
    /// What the suite is about, in a sentence.
    fn about(&self) -> &'static str;
    /// Its cases. A seed belongs to one: `seed % cases`.
    fn cases(&self) -> &[Case];
    /// Fewer seeds than this prove nothing either way.
    fn seeds_needed(&self) -> u64 {
        200
    }
    /// The share of operations, in percent, that must have overlapped another.
    fn overlap_percent_min(&self) -> u64 {
        0
    }
    /// Draws what is particular to a run.
    fn draw(&self, case: usize, dice: &mut Dice) -> Drawn<Self::Params>;
    /// Parameters that make a simpler run than these, simplest first: fewer nodes or clients, plainer settings. What a
    /// shrinking of failing runs tries.
    fn simpler(&self, params: &Self::Params) -> Vec<Self::Params> {
        let _ = params;
        Vec::new()
    }
    /// Sets the stage for it.
    fn stage(
        &self,
        case: usize,
        params: &Self::Params,
        tuning: Tuning,
        faults: Vec<Fault>,
    ) -> Stage<Self::System, Self::Workload, Self::Judge>;
}

/// One case of a suite: an experiment with its hypothesis.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// The name on the command line.
    pub name: &'static str,
    /// What should hold.
    pub hypothesis: &'static str,
    /// What is done to it.
    pub injection: &'static str,
    /// How one can tell.
    pub criterion: &'static str,
    /// Faults that this case exists for: if none of one kind was delivered, nothing is proven.
    pub faults: &'static [FaultKind],
    /// What some run of it must have reached, or nothing is proven.
    pub sometimes: &'static [&'static str],
}

/// What is particular to a run.
pub struct Drawn<Params> {
    /// In the suite's own terms.
    pub params: Params,
    /// How the world behaves.
    pub tuning: Tuning,
    /// What goes wrong.
    pub faults: Vec<Fault>,
}

/// A suite whose system is of no concern.
pub trait Suite: Send + Sync {
    /// The name on the command line.
    fn name(&self) -> &'static str;
    /// What it is about.
    fn about(&self) -> &'static str;
    /// Its cases.
    fn cases(&self) -> &[Case];
    /// What it claims.
    fn invariants(&self) -> Vec<Invariant>;
    /// The points that its system can pass.
    fn points(&self) -> &'static [&'static str];
    /// Fewer seeds than this prove nothing either way.
    fn seeds_needed(&self) -> u64;
    /// The share of operations that must have overlapped.
    fn overlap_percent_min(&self) -> u64;
    /// One run, drawn from a seed.
    fn run_seed(&self, seed: u64, settings: &Settings) -> Run;
    /// One run, by a plan. What is wrong with the plan is said with its line and column.
    fn run_plan(&self, text: &str, settings: &Settings) -> Result<Run, PlanError>;
    /// The plan of a seed as it would be lived if nobody died and nothing took unusually long.
    fn sketch(&self, seed: u64) -> AnyPlan;
    /// Makes a plan ready to be played many times, with other faults and other answers.
    fn load(&self, plan: &AnyPlan) -> Result<Box<dyn Loaded + '_>, PlanError>;
    /// Parameters that make a simpler run than these.
    fn simpler(&self, params: &toml::Value) -> Vec<toml::Value>;
}

/// A plan whose operations nobody needs to understand.
pub type AnyPlan = Plan<toml::Value>;

/// A plan that is ready to be played.
pub trait Loaded: Send + Sync {
    /// Plays it, with these faults instead of its own.
    fn run(&self, faults: &[Fault], study: Study, settings: &Settings) -> (Run, Studied);
}

/// A finished run of a suite.
#[derive(Debug)]
pub struct Run {
    /// Which case it was.
    pub case: usize,
    /// The seed.
    pub seed: u64,
    /// What came of it.
    pub result: RunResult,
    /// The run as a plan, if it was recorded.
    pub plan: Option<String>,
}

/// A plan that cannot be played.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct PlanError(pub String);

impl<T: Scenario> Suite for T
where
    OpOf<T::System>: Serialize + DeserializeOwned,
{
    fn name(&self) -> &'static str {
        Scenario::name(self)
    }

    fn about(&self) -> &'static str {
        Scenario::about(self)
    }

    fn cases(&self) -> &[Case] {
        Scenario::cases(self)
    }

    fn invariants(&self) -> Vec<Invariant> {
        let mut dice = Dice::new(0, 0);
        let Drawn { params, tuning, .. } = self.draw(0, &mut dice);
        self.stage(0, &params, tuning, Vec::new()).judge.invariants()
    }

    fn points(&self) -> &'static [&'static str] {
        let mut dice = Dice::new(0, 0);
        let Drawn { params, tuning, .. } = self.draw(0, &mut dice);
        self.stage(0, &params, tuning, Vec::new()).system.points()
    }

    fn seeds_needed(&self) -> u64 {
        Scenario::seeds_needed(self)
    }

    fn overlap_percent_min(&self) -> u64 {
        Scenario::overlap_percent_min(self)
    }

    fn run_seed(&self, seed: u64, settings: &Settings) -> Run {
        let case = case_of(Suite::cases(self), seed);
        let mut dice = Dice::new(seed, 0xca5e);
        let Drawn { params, tuning, faults } = self.draw(case, &mut dice);
        let stage = self.stage(case, &params, tuning.clone(), faults.clone());
        let (result, recorded) = run_seed(seed, stage, settings);
        let drawn = Drawn { params, tuning, faults };
        let plan = settings.record.then(|| plan_text(self, case, seed, &drawn, recorded, &result));
        Run { case, seed, result, plan }
    }

    fn run_plan(&self, text: &str, settings: &Settings) -> Result<Run, PlanError> {
        let heading = Heading::from_toml(text).map_err(PlanError)?;
        let case = case_named(self, &heading.case)?;
        let plan: Plan<OpOf<T::System>> = Plan::from_toml(text).map_err(PlanError)?;
        let params = plan.params.clone().try_into().map_err(|error| PlanError(format!("params: {error}")))?;
        let stage = self.stage(case, &params, plan.tuning.clone(), plan.faults.clone());
        let (result, recorded) = run_plan(&plan, stage, settings).map_err(PlanError)?;
        let seed = plan.seed;
        let drawn = Drawn { params, tuning: plan.tuning, faults: plan.faults };
        let plan = settings.record.then(|| plan_text(self, case, seed, &drawn, recorded, &result));
        Ok(Run { case, seed, result, plan })
    }

    fn sketch(&self, seed: u64) -> AnyPlan {
        let case = case_of(Suite::cases(self), seed);
        let Drawn { params, tuning, mut faults } = self.draw(case, &mut Dice::new(seed, 0xca5e));
        faults.retain(|fault| !fault.kind.is_death());
        let stage = self.stage(case, &params, tuning.clone(), faults.clone());
        let (result, mut recorded) = run_mildly(seed, stage);
        recorded.draws.clear();
        let drawn = Drawn { params, tuning, faults };
        plan_of(self, case, seed, &drawn, recorded, &result).into_any()
    }

    fn load(&self, plan: &AnyPlan) -> Result<Box<dyn Loaded + '_>, PlanError> {
        let case = case_named(self, &plan.case)?;
        let params =
            plan.params.clone().try_into().map_err(|error: toml::de::Error| PlanError(format!("params: {error}")))?;
        let plan = plan.clone().of_ops().map_err(PlanError)?;
        Draws::planned(plan.seed, &plan.draws).map_err(PlanError)?;
        Ok(Box::new(LoadedPlan { suite: self, case, params, plan }))
    }

    fn simpler(&self, params: &toml::Value) -> Vec<toml::Value> {
        let Ok(params) = params.clone().try_into() else { return Vec::new() };
        let value = |params| toml::Value::try_from(params).expect("what a suite draws can be written as TOML");
        Scenario::simpler(self, &params).iter().map(value).collect()
    }
}

struct LoadedPlan<'a, T: Scenario> {
    suite: &'a T,
    case: usize,
    params: T::Params,
    plan: Plan<OpOf<T::System>>,
}

impl<T: Scenario> Loaded for LoadedPlan<'_, T>
where
    OpOf<T::System>: Serialize + DeserializeOwned,
{
    fn run(&self, faults: &[Fault], study: Study, settings: &Settings) -> (Run, Studied) {
        let LoadedPlan { suite, case, params, plan } = self;
        let tuning = plan.tuning.clone();
        let stage = suite.stage(*case, params, tuning.clone(), faults.to_vec());
        let (result, recorded, studied) =
            study_plan(plan, stage, settings, study).expect("its draws were read when it was loaded");
        let text = |recorded| {
            let faults = faults.to_vec();
            plan_with(*suite, *case, plan.seed, plan.params.clone(), (tuning, faults), recorded, &result).to_toml()
        };
        let plan = settings.record.then(|| text(recorded));
        (Run { case: *case, seed: self.plan.seed, result, plan }, studied)
    }
}

/// The run of a seed as a plan, for shrinking and explaining. `None` if it holds.
pub fn failing_plan(suite: &dyn Suite, seed: u64) -> Result<Option<AnyPlan>, PlanError> {
    let run = suite.run_seed(seed, &Settings { words: false, record: true });
    if run.result.violation.is_none() {
        return Ok(None);
    }
    run.plan.map(|text| AnyPlan::from_toml(&text).map_err(PlanError)).transpose()
}

fn case_named<T: Scenario>(suite: &T, name: &str) -> Result<usize, PlanError> {
    let case = Scenario::cases(suite).iter().position(|case| case.name == name);
    case.ok_or_else(|| PlanError(format!("suite {} has no case {name}", Scenario::name(suite))))
}

/// The case that a seed belongs to.
pub fn case_of(cases: &[Case], seed: u64) -> usize {
    (seed % cases.len() as u64) as usize
}

fn plan_text<T: Scenario>(
    suite: &T,
    case: usize,
    seed: u64,
    drawn: &Drawn<T::Params>,
    recorded: Recorded<OpOf<T::System>>,
    result: &RunResult,
) -> String
where
    OpOf<T::System>: Serialize + DeserializeOwned,
{
    plan_of(suite, case, seed, drawn, recorded, result).to_toml()
}

fn plan_of<T: Scenario>(
    suite: &T,
    case: usize,
    seed: u64,
    drawn: &Drawn<T::Params>,
    recorded: Recorded<OpOf<T::System>>,
    result: &RunResult,
) -> Plan<OpOf<T::System>> {
    let params = toml::Value::try_from(&drawn.params).expect("what a suite draws can be written as TOML");
    plan_with(suite, case, seed, params, (drawn.tuning.clone(), drawn.faults.clone()), recorded, result)
}

fn plan_with<T: Scenario>(
    suite: &T,
    case: usize,
    seed: u64,
    params: toml::Value,
    (tuning, faults): (Tuning, Vec<Fault>),
    recorded: Recorded<OpOf<T::System>>,
    result: &RunResult,
) -> Plan<OpOf<T::System>> {
    let why = result.violation.as_ref().map(crate::check::invariant::Violation::fingerprint);
    Plan {
        format: FORMAT,
        suite: Scenario::name(suite).into(),
        case: Scenario::cases(suite)[case].name.into(),
        seed,
        why: why.unwrap_or_default(),
        note: String::new(),
        trace: format!("{:016x}", result.trace_hash),
        params,
        tuning,
        faults,
        ops: recorded.ops,
        draws: recorded.draws,
    }
}
