//! Every crash, and everything that it may leave: a bounded workload, explored rather than sampled.
//!
//! 1. The workload is lived once with nothing unusual, and each moment at which a node might die is looked at: before and
//!    after each disk call and named point, and after each effect ([`Spot`](crate::world::study::Spot)).
//! 2. Each moment gives images of the disk: what a kill leaves, and every legal choice of names and lengths that power
//!    loss may leave. Images are told apart by digest; deaths that agree in image, promises and boot inputs are one.
//! 3. Each image is recovered from by playing the run again up to the death, once for each way to answer what recovery
//!    asks when it reads: which version a page shows. Then the clients go on, look at everything, and the judge judges.
//! 4. At depth 2 the same is done with the moments of each of those recoveries.
//!
//! Deaths that are one for 2 may differ in what is on its way meanwhile: with several clients, a request may find the node
//! dead after the one and alive again after the other. Each client is told what is legal either way, and tests hold the
//! failures against those of an exploration that takes no two deaths for one.
//!
//! Playing again rather than forking a world costs the time up to the death, and buys that every kind of system can be
//! explored, several nodes included, and that what is found is a plan.

mod candidates;
mod enumerate;
mod report;
#[cfg(test)]
mod states;

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Instant,
};

use candidates::{Candidate, Candidates, Scene, kills_only};
use enumerate::{Counted, answers, enumerate};
pub use report::{DepthReport, ExploreReport, Found, WorkloadReport};

use super::{
    run::cores,
    scenario::{AnyPlan, Loaded, PlanError, Suite},
};
use crate::{
    check::invariant::Violation,
    world::{
        Settings,
        fault::Fault,
        fs::Profile,
        stage::Phase,
        study::{Rest, Script, Study},
    },
};

/// So many candidates are recovered from before what they have found is put together.
const CHUNK: usize = 512;

/// How far an exploration goes.
///
/// ```no_run
/// use stormproof_sim::{examples::replica::trial::ReplicaTrial, hunt::Exploration, world::fs::Profile};
///
/// let exploration = Exploration { operations: 3, profile: Profile::Ordered, ..Exploration::default() };
/// let report = exploration.run(&ReplicaTrial::default(), &|_| {})?;
/// let total = report.total();
/// // Only where nothing was left out was everything tried.
/// println!("{} states, {} left out", total.states, total.left_out);
/// for found in report.failures.values() {
///     println!("{}\n{}", found.violation, found.plan);
/// }
/// # Ok::<(), stormproof_sim::hunt::PlanError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Exploration {
    /// Operations of each workload while crashes strike.
    pub operations: usize,
    /// What power loss may leave.
    pub profile: Profile,
    /// 1: crashes; 2: crashes during the recoveries from them as well.
    pub depth: u32,
    /// At most so many states of one image.
    pub bound: u64,
    /// Workloads of each case.
    pub workloads: u64,
    /// The first seed that they are drawn from.
    pub from: u64,
    /// Only this case.
    pub case: Option<usize>,
    /// On how many threads.
    pub threads: usize,
    /// After so many failing states a workload is left.
    pub failures_max: u64,
}

impl Default for Exploration {
    /// One workload of five operations in each case, one crash, whatever POSIX lets it leave.
    fn default() -> Self {
        Exploration {
            operations: 5,
            profile: Profile::Weakest,
            depth: 1,
            bound: 1_000,
            workloads: 1,
            from: 0,
            case: None,
            threads: cores(),
            failures_max: 1_000,
        }
    }
}

/// How far an exploration has come.
#[derive(Clone, Copy, Debug)]
pub struct ExploreProgress {
    /// Recoveries that were run.
    pub executed: u64,
    /// States that failed.
    pub failed: u64,
    /// The share of the workloads that is done, from 0 to 1.
    pub spent: f64,
}

impl Exploration {
    /// Explores a suite.
    pub fn run(
        &self,
        suite: &dyn Suite,
        progress: &(dyn Fn(ExploreProgress) + Sync),
    ) -> Result<ExploreReport, PlanError> {
        let mut report = ExploreReport {
            suite: suite.name().into(),
            profile: self.profile,
            bound: self.bound,
            workloads: Vec::new(),
            failures: BTreeMap::new(),
            unproven: Vec::new(),
            busy_ns: 0,
        };
        let seeds = self.seeds(suite);
        for (place, seed) in seeds.iter().enumerate() {
            let plan = self.bounded(suite.sketch(*seed));
            let mut trip = Trip {
                suite,
                loaded: suite.load(&plan)?,
                plan: &plan,
                settings: *self,
                report: &mut report,
                progress,
                spent: (place as f64, seeds.len() as f64),
            };
            trip.explore();
        }
        if report.total().executed == 0 && report.failures.is_empty() {
            report.unproven.push("no recovery was run".into());
        }
        Ok(report)
    }

    /// So many seeds of each case.
    fn seeds(&self, suite: &dyn Suite) -> Vec<u64> {
        let cases = suite.cases().len() as u64;
        let all = (self.from..).take((self.workloads * cases) as usize);
        all.filter(|seed| self.case.is_none_or(|case| (seed % cases) as usize == case)).collect()
    }

    /// The plan with so many operations, of all clients in turn, and one client that looks at what is left.
    fn bounded(&self, mut plan: AnyPlan) -> AnyPlan {
        plan.tuning.power = self.profile;
        let mut nth = BTreeMap::<u32, usize>::new();
        let mut order: Vec<(usize, u32, usize)> = Vec::new();
        for (place, op) in plan.ops.iter().enumerate().filter(|(_, op)| op.phase == Phase::Storm) {
            let n = nth.entry(op.client).or_default();
            order.push((*n, op.client, place));
            *n += 1;
        }
        order.sort_unstable();
        order.truncate(self.operations);
        let mut place = 0;
        plan.ops.retain(|op| {
            place += 1;
            match op.phase {
                Phase::Storm => order.iter().any(|(_, _, kept)| *kept == place - 1),
                Phase::Calm => op.client == 0,
            }
        });
        plan
    }
}

/// The exploration of one workload.
struct Trip<'a> {
    suite: &'a dyn Suite,
    loaded: Box<dyn Loaded + 'a>,
    plan: &'a AnyPlan,
    settings: Exploration,
    report: &'a mut ExploreReport,
    progress: &'a (dyn Fn(ExploreProgress) + Sync),
    /// Workloads done, of how many.
    spent: (f64, f64),
}

/// What came of one candidate.
#[derive(Default)]
struct Outcome {
    counted: Counted,
    /// The first failing state of each fingerprint, by its answers, and how many there were.
    failures: BTreeMap<String, (Violation, Vec<u32>, u64)>,
    /// Deaths during the recoveries.
    next: Candidates,
    /// Runs whose death did not come: the run was not the one that was looked at.
    idle: u64,
    busy_ns: u64,
}

impl Trip<'_> {
    fn explore(&mut self) {
        let (first, alone) = self.survey();
        let storm = self.plan.ops.iter().filter(|op| op.phase == Phase::Storm).count();
        let mut workload = WorkloadReport {
            case: self.plan.case.clone(),
            seed: self.plan.seed,
            operations: storm as u64,
            kills_only: kills_only(&self.plan.faults),
            depths: Vec::new(),
        };
        let mut known = BTreeMap::new();
        let mut todo = first;
        for depth in 1..=self.settings.depth.max(1) {
            let (report, next) = self.descend(todo, &mut known, depth < self.settings.depth, alone);
            workload.depths.push(report);
            todo = next;
        }
        self.report.workloads.push(workload);
    }

    /// Lives the workload once, without a death, and looks at every moment of it. Says whether there is but one node.
    fn survey(&mut self) -> (Candidates, bool) {
        // With a script that loses nothing, so that questions before the first crash are counted as they will be.
        let script = Some(Script::new(Vec::new(), Rest::Kept));
        let study = Study { survey_from: Some(1), script, reseed: None };
        let (run, studied) = self.loaded.run(&self.plan.faults, study, &Settings::default());
        if let Some(violation) = run.result.violation {
            self.book(violation, &self.plan.faults, Vec::new(), 1);
        }
        let alone = studied.spots.iter().all(|spot| spot.node == 0);
        let mut candidates = Candidates::default();
        let given = answers(&studied.asked);
        let scene = Scene { faults: &self.plan.faults, answers: &given, bound: self.settings.bound, alone };
        studied.spots.iter().for_each(|spot| candidates.add(spot, scene));
        (candidates, alone)
    }

    /// Recovers from every candidate that is not known yet. `known` holds how many states each came to.
    fn descend(
        &mut self,
        todo: Candidates,
        known: &mut BTreeMap<u64, u64>,
        deeper: bool,
        alone: bool,
    ) -> (DepthReport, Candidates) {
        let mut depth = DepthReport { points: todo.points, left_out: todo.left_out, ..DepthReport::default() };
        let mut next = Candidates::default();
        let (fresh, familiar): (Vec<_>, Vec<_>) =
            todo.list.into_iter().partition(|candidate| !known.contains_key(&candidate.key));
        let mut failed = 0;
        for chunk in fresh.chunks(CHUNK) {
            if failed >= self.settings.failures_max {
                depth.left_out += chunk.iter().map(|candidate| candidate.times).sum::<u64>();
                continue;
            }
            for (candidate, outcome) in chunk.iter().zip(self.recover_all(chunk, deeper, alone)) {
                let Outcome { counted, failures, next: deaths, idle, busy_ns } = outcome;
                known.insert(candidate.key, counted.states);
                depth.executed += counted.states;
                depth.states += counted.states * candidate.times;
                depth.left_out += counted.left_out;
                depth.questions_max = depth.questions_max.max(counted.questions_max);
                self.report.busy_ns += busy_ns;
                next.absorb(deaths);
                failed += failures.values().map(|(_, _, states)| states).sum::<u64>();
                if let (1.., Some(death)) = (idle, candidate.faults.last()) {
                    let case = &self.plan.case;
                    self.report.unproven.push(format!("{idle} runs of {case} did not die as they were to: {death}"));
                }
                for (violation, answers, states) in failures.into_values() {
                    self.book(violation, &candidate.faults, answers, states);
                }
            }
            let total = self.report.total().executed + depth.executed;
            let spent = self.spent.0 / self.spent.1;
            (self.progress)(ExploreProgress { executed: total, failed, spent });
        }
        depth.states += familiar.iter().map(|candidate| known[&candidate.key] * candidate.times).sum::<u64>();
        depth.saved = depth.states - depth.executed;
        (depth, next)
    }

    /// Recovers from these candidates on all threads. What came of each stands at its place.
    #[allow(clippy::disallowed_methods, reason = "worlds are run on threads; nothing here is inside one")]
    fn recover_all(&self, chunk: &[Candidate], deeper: bool, alone: bool) -> Vec<Outcome> {
        let (loaded, settings) = (&*self.loaded, self.settings);
        let taken = AtomicUsize::new(0);
        let outcomes: Vec<Mutex<Outcome>> = chunk.iter().map(|_| Mutex::default()).collect();
        let work = || {
            loop {
                let place = taken.fetch_add(1, Ordering::Relaxed);
                let Some(candidate) = chunk.get(place) else { return };
                let outcome = recover(loaded, &settings, candidate, deeper, alone);
                *outcomes[place].lock().unwrap_or_else(PoisonError::into_inner) = outcome;
            }
        };
        thread::scope(|scope| {
            for _ in 0..self.settings.threads.max(1) {
                scope.spawn(work);
            }
        });
        outcomes.into_iter().map(|outcome| outcome.into_inner().unwrap_or_else(PoisonError::into_inner)).collect()
    }

    /// Books a failing state: the first of each fingerprint as a plan, which has to fail in the same way.
    fn book(&mut self, violation: Violation, faults: &[Fault], answers: Vec<u32>, states: u64) {
        let fingerprint = violation.fingerprint();
        if let Some(known) = self.report.failures.get_mut(&fingerprint) {
            known.states += states;
            return;
        }
        let study = Study { script: Some(Script::new(answers, Rest::Kept)), ..Study::default() };
        let (run, _) = self.loaded.run(faults, study, &Settings { words: false, record: true });
        let plan = run.plan.unwrap_or_default();
        let again = self.suite.run_plan(&plan, &Settings::default());
        let reproduced = again
            .is_ok_and(|run| run.result.violation.as_ref().map(Violation::fingerprint).as_ref() == Some(&fingerprint));
        let case = self.plan.case.clone();
        self.report.failures.insert(fingerprint, Found { case, violation, states, plan, reproduced, saved: None });
    }
}

/// Plays the run up to the death, and on from each state that recovery may find.
#[allow(clippy::disallowed_methods, reason = "tells a person how long it took; no run sees it")]
fn recover(loaded: &dyn Loaded, settings: &Exploration, candidate: &Candidate, deeper: bool, alone: bool) -> Outcome {
    let begun = Instant::now();
    let mut outcome = Outcome::default();
    let survey_from = deeper.then_some(candidate.life + 1);
    outcome.counted = enumerate(&candidate.answers, settings.bound, |script| {
        let study = Study { script: Some(script), survey_from, reseed: None };
        let (run, studied) = loaded.run(&candidate.faults, study, &Settings::default());
        let given = answers(&studied.asked);
        let last = candidate.faults.last().map(|fault| fault.id);
        outcome.idle += u64::from(run.result.idle_faults.iter().any(|id| Some(*id) == last));
        if let Some(violation) = run.result.violation {
            let first = (violation.clone(), given.clone(), 0);
            outcome.failures.entry(violation.fingerprint()).or_insert(first).2 += 1;
        }
        let scene = Scene { faults: &candidate.faults, answers: &given, bound: settings.bound, alone };
        studied.spots.iter().for_each(|spot| outcome.next.add(spot, scene));
        studied.asked
    });
    outcome.busy_ns = begun.elapsed().as_nanos() as u64;
    outcome
}
