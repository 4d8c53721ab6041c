//! The smallest story that still fails: a failing plan, with everything taken out of it that the failure does not need.
//!
//! A candidate counts only if it fails with the same fingerprint (claim and kind of witness): a shrinker that is content
//! with any failure ends up explaining another bug. Passes are tried in order of what they save a reader, and repeated
//! until none of them helps: draws, settings, faults, operations, parameters, values.
//!
//! Two things make plans small that plain delta debugging leaves big. What power loss left behind was drawn by place; as
//! soon as an operation goes, those places mean something else. So each candidate that changes what is written is also
//! tried with the two plain answers, *everything unsynced survives* and *nothing does*. And a fault that struck at a
//! time, or at the n-th call of the run, is moved to where in the protocol it struck ([`Struck`](crate::world::coverage::Struck)), which is what lets the
//! plan outlive changes of the code. A death is also moved to the earliest moment that will do: all that came between is
//! free to go then, other faults included.
//!
//! What clients ask is simplified without knowing what it means, so a simpler value may be one that no client would ever
//! send, and the story one of a wrong request. A plan that held without its faults must therefore go on doing so.

mod moved;
mod values;
mod weaken;

use std::time::{Duration, Instant};

use serde::Serialize;

use super::scenario::{AnyPlan, PlanError, Run, Suite};
use crate::{
    check::invariant::Violation,
    world::{
        Settings,
        fault::FaultKind,
        span::Time,
        stage::Phase,
        study::Study,
        tuning::{Tuning, Unsynced},
    },
};

/// How long a plan is shrunk for.
///
/// ```no_run
/// use stormproof_sim::{
///     examples::replica::{Bug, trial::ReplicaTrial},
///     hunt::{Shrinking, failing_plan},
/// };
///
/// let suite = ReplicaTrial { bug: Some(Bug::VotesTwice) };
/// if let Some(plan) = failing_plan(&suite, 1)?
///     && let Some(shrunk) = Shrinking::default().run(&suite, &plan, &|_, _| {})?
/// {
///     println!("{} faults, {} operations", shrunk.after.faults, shrunk.after.operations);
///     println!("{}", shrunk.plan.to_toml());
/// }
/// # Ok::<(), stormproof_sim::hunt::PlanError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Shrinking {
    /// At most so long.
    pub time: Duration,
    /// At most so many candidates.
    pub candidates_max: u64,
}

/// How big a plan is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Size {
    /// Faults.
    pub faults: usize,
    /// Operations, but for the look at what is left when all is over.
    pub operations: usize,
    /// Clients that have any.
    pub clients: usize,
    /// Draws that are not mild.
    pub draws: usize,
}

/// What shrinking has come to.
#[derive(Clone, Debug, Serialize)]
pub struct Shrunk {
    /// What fails.
    pub fingerprint: String,
    /// The plan that it began with.
    pub before: Size,
    /// The plan that it ended with.
    pub after: Size,
    /// Candidates that were run.
    pub candidates: u64,
    /// Whether nothing more could be taken out, rather than time.
    pub finished: bool,
    /// The smallest plan.
    #[serde(skip)]
    pub plan: AnyPlan,
}

impl Default for Shrinking {
    /// Ten seconds, or as many candidates as a patient person would wait for.
    fn default() -> Self {
        Shrinking { time: Duration::from_secs(10), candidates_max: 20_000 }
    }
}

impl Size {
    /// The size of a plan.
    pub fn of(plan: &AnyPlan) -> Self {
        let storm = || plan.ops.iter().filter(|op| op.phase == Phase::Storm);
        let mut clients: Vec<u32> = storm().map(|op| op.client).collect();
        clients.sort_unstable();
        clients.dedup();
        Size { faults: plan.faults.len(), operations: storm().count(), clients: clients.len(), draws: plan.draws.len() }
    }
}

impl Shrinking {
    /// Shrinks a failing plan. `None` if it does not fail.
    #[allow(clippy::disallowed_methods, reason = "a person waits; what is shrunk sees no clock")]
    pub fn run(
        &self,
        suite: &dyn Suite,
        plan: &AnyPlan,
        progress: &dyn Fn(u64, Size),
    ) -> Result<Option<Shrunk>, PlanError> {
        let (run, _) = suite.load(plan)?.run(&plan.faults, Study::default(), &Settings::default());
        let Some(violation) = run.result.violation else { return Ok(None) };
        let mut work = Work {
            suite,
            best: plan.clone(),
            fingerprint: violation.fingerprint(),
            needs_faults: true,
            candidates: 1,
            until: Instant::now() + self.time,
            candidates_max: self.candidates_max,
            progress,
        };
        work.needs_faults = work.holds_in_peace(plan);
        let finished = work.shrink();
        Ok(Some(work.end(Size::of(plan), finished)))
    }
}

/// A shrinking under way.
struct Work<'a> {
    suite: &'a dyn Suite,
    /// The smallest plan so far.
    best: AnyPlan,
    fingerprint: String,
    /// It holds without any fault.
    needs_faults: bool,
    candidates: u64,
    until: Instant,
    candidates_max: u64,
    progress: &'a dyn Fn(u64, Size),
}

impl Work<'_> {
    /// Pass after pass, until none helps. Says whether it came to an end by itself.
    fn shrink(&mut self) -> bool {
        let passes: [fn(&mut Self); 10] = [
            Self::calm_draws,
            Self::calm_tuning,
            Self::drop_faults,
            Self::weaken_faults,
            Self::drop_operations,
            Self::heal_sooner,
            Self::number_clients,
            Self::simplify_params,
            Self::simplify_values,
            Self::calm_each_draw,
        ];
        loop {
            let before = self.best.clone();
            for pass in passes {
                pass(self);
                if self.is_over() {
                    return false;
                }
            }
            // This one tries much: it is for plans of which the others have left little.
            if self.best == before {
                self.move_deaths();
            }
            if self.best == before {
                return !self.is_over();
            }
        }
    }

    #[allow(clippy::disallowed_methods, reason = "a person waits; what is shrunk sees no clock")]
    fn is_over(&self) -> bool {
        self.candidates >= self.candidates_max || Instant::now() >= self.until
    }

    fn play(&mut self, plan: &AnyPlan) -> Option<Run> {
        self.candidates += 1;
        let loaded = self.suite.load(plan).ok()?;
        Some(loaded.run(&plan.faults, Study::default(), &Settings::default()).0)
    }

    /// Whether a plan holds if none of its faults strikes.
    fn holds_in_peace(&mut self, plan: &AnyPlan) -> bool {
        let peaceful = AnyPlan { faults: Vec::new(), ..plan.clone() };
        self.play(&peaceful).is_some_and(|run| run.result.violation.is_none())
    }

    /// Takes a candidate if it fails in the same way.
    fn take(&mut self, plan: AnyPlan) -> bool {
        if self.is_over() || plan == self.best {
            return false;
        }
        let failed = self.play(&plan).and_then(|run| run.result.violation);
        let taken = failed.as_ref().map(Violation::fingerprint).as_ref() == Some(&self.fingerprint);
        if taken {
            self.best = plan;
            (self.progress)(self.candidates, Size::of(&self.best));
        }
        taken
    }

    /// Takes a candidate that writes something else than before, as it is or with a plain answer to what survives.
    fn take_some_way(&mut self, plan: &AnyPlan) -> bool {
        let loses_power = plan.faults.iter().any(|fault| fault.kind == FaultKind::PowerLoss);
        if self.take(plan.clone()) {
            return true;
        }
        loses_power && [Unsynced::Lost, Unsynced::Kept].into_iter().any(|unsynced| self.take(plainly(plan, unsynced)))
    }

    fn calm_draws(&mut self) {
        if self.best.draws.is_empty() {
            return;
        }
        for unsynced in [self.best.tuning.unsynced, Unsynced::Lost] {
            let mut plan = self.best.clone();
            plan.draws.clear();
            plan.tuning.unsynced = unsynced;
            if self.take(plan) {
                return;
            }
        }
        for (powers, others) in [(true, false), (false, true)] {
            let mut plan = self.best.clone();
            plan.draws.retain(|key, _| if is_of_power(key) { powers } else { others });
            self.take(plan);
        }
        // One by one they are tried when nothing else is left to do: by then there are few.
        self.thin_draws(self.best.draws.len().div_ceil(16));
    }

    fn calm_each_draw(&mut self) {
        self.thin_draws(1);
    }

    fn thin_draws(&mut self, least: usize) {
        let keys: Vec<String> = self.best.draws.keys().cloned().collect();
        let drop = |plan: &mut AnyPlan, dropped: std::ops::Range<usize>| {
            keys[dropped].iter().for_each(|key| drop(plan.draws.remove(key)));
        };
        self.thin(keys.len(), least, drop, Self::take);
    }

    fn calm_tuning(&mut self) {
        let Tuning { power, unsynced, .. } = self.best.tuning;
        let mild = Tuning { power, unsynced, ..Tuning::default() };
        let mut plan = self.best.clone();
        plan.tuning = mild.clone();
        if self.take(plan) {
            return;
        }
        let settings: [fn(&mut Tuning, &Tuning); 12] = [
            |to, mild| to.encore = mild.encore,
            |to, mild| to.net_latency = mild.net_latency,
            |to, mild| to.disk_latency = mild.disk_latency,
            |to, mild| to.sync_latency = mild.sync_latency,
            |to, mild| to.query_latency = mild.query_latency,
            |to, mild| to.job_latency = mild.job_latency,
            |to, mild| to.linger = mild.linger,
            |to, mild| to.interleave = mild.interleave,
            |to, mild| to.think = mild.think,
            |to, mild| (to.backoff, to.restart, to.evict) = (mild.backoff, mild.restart, mild.evict),
            |to, mild| (to.patience, to.attempts_max) = (mild.patience, mild.attempts_max),
            |to, mild| (to.heal_at, to.converge_within) = (mild.heal_at, mild.converge_within),
        ];
        for set in settings {
            let mut plan = self.best.clone();
            set(&mut plan.tuning, &mild);
            self.take(plan);
        }
    }

    fn drop_faults(&mut self) {
        let ids: Vec<u32> = self.best.faults.iter().map(|fault| fault.id).collect();
        let drop = |plan: &mut AnyPlan, dropped: std::ops::Range<usize>| {
            plan.faults.retain(|fault| !ids[dropped.clone()].contains(&fault.id));
        };
        self.thin(ids.len(), 1, drop, |work, plan| {
            work.take_some_way(&plan) || work.take(moved::in_an_earlier_life(plan))
        });
    }

    fn drop_operations(&mut self) {
        let all = self.best.ops.clone();
        let mut kept: Vec<bool> = vec![true; all.len()];
        // The plan is made anew from what is kept: places stay what they were, however much has gone.
        let mut size = all.len().div_ceil(2);
        while size > 0 {
            for first in (0..all.len()).step_by(size) {
                let gone = first..(first + size).min(all.len());
                if !kept[gone.clone()].iter().any(|kept| *kept) {
                    continue;
                }
                let mut fewer = kept.clone();
                fewer[gone].fill(false);
                let mut plan = self.best.clone();
                plan.ops = all.iter().zip(&fewer).filter(|(_, kept)| **kept).map(|(op, _)| op.clone()).collect();
                if self.take_some_way(&plan) || self.take_some_way(&weaken::sooner(plan)) {
                    kept = fewer;
                }
            }
            size /= 2;
        }
    }

    /// Few operations, and the end of all faults while the last of them still waits: a request that is never answered
    /// fails as one only if it is under way by then.
    fn heal_sooner(&mut self) {
        let storm = Size::of(&self.best).operations;
        for kept in [1, 2, 4, 8].into_iter().filter(|kept| *kept < storm) {
            for heal_at in [10, 100, 1_000, 5_000].map(Time::millis) {
                let mut plan = self.best.clone();
                plan.tuning.heal_at = heal_at;
                let mut left = kept;
                plan.ops.retain(|op| {
                    let stays = op.phase == Phase::Calm || left > 0;
                    left -= usize::from(op.phase == Phase::Storm && left > 0);
                    stays
                });
                if self.take(plan) {
                    return;
                }
            }
        }
    }

    /// Gives the clients that are left the first numbers.
    fn number_clients(&mut self) {
        let mut clients: Vec<u32> = self.best.ops.iter().map(|op| op.client).collect();
        clients.sort_unstable();
        clients.dedup();
        let mut plan = self.best.clone();
        for op in &mut plan.ops {
            op.client = clients.partition_point(|client| *client < op.client) as u32;
        }
        self.take(plan);
    }

    fn simplify_params(&mut self) {
        // What is simpler than the simplest is asked again, since one change makes room for the next.
        while self.suite.simpler(&self.best.params).into_iter().any(|params| {
            let plan = AnyPlan { params, ..self.best.clone() };
            self.take_some_way(&plan)
        }) {}
    }

    fn simplify_values(&mut self) {
        for place in 0..self.best.ops.len() {
            let mut n = 0;
            while let Some(ask) = values::simpler(&self.best.ops[place].ask, n) {
                let mut plan = self.best.clone();
                plan.ops[place].ask = ask;
                if self.is_over() {
                    return;
                }
                let before = self.best.clone();
                let taken = self.take(plan.clone());
                if taken && self.needs_faults && !self.holds_in_peace(&plan) {
                    self.best = before;
                    n += 1;
                } else if !taken {
                    n += 1;
                }
            }
        }
    }

    fn weaken_faults(&mut self) {
        let struck = self.play(&self.best.clone()).map(|run| run.result.struck).unwrap_or_default();
        for place in 0..self.best.faults.len() {
            let mut n = 0;
            while let Some(fault) = weaken::weaker(&self.best.faults[place], &struck).into_iter().nth(n) {
                let mut plan = self.best.clone();
                plan.faults[place] = fault;
                if self.is_over() {
                    return;
                }
                if self.take_some_way(&plan) { n = 0 } else { n += 1 }
            }
        }
    }

    /// Drops shares of a list, from halves down to so many items.
    fn thin(
        &mut self,
        len: usize,
        least: usize,
        drop: impl Fn(&mut AnyPlan, std::ops::Range<usize>),
        take: impl Fn(&mut Self, AnyPlan) -> bool,
    ) {
        let mut size = len.div_ceil(2);
        while size >= least.max(1) {
            for first in (0..len).step_by(size) {
                let mut plan = self.best.clone();
                drop(&mut plan, first..(first + size).min(len));
                if plan != self.best {
                    take(self, plan);
                }
            }
            size /= 2;
        }
    }

    /// The smallest plan as a file says it: what was drawn, why it fails, and how it came about.
    fn end(self, before: Size, finished: bool) -> Shrunk {
        let Work { suite, best, fingerprint, candidates, .. } = self;
        let loaded = suite.load(&best).expect("it was played");
        let (run, _) = loaded.run(&best.faults, Study::default(), &Settings::default());
        let after = Size::of(&best);
        let note = format!(
            "shrunk from {} faults, {} operations and {} draws to {}, {} and {}; {candidates} candidates were tried",
            before.faults, before.operations, before.draws, after.faults, after.operations, after.draws
        );
        let plan = AnyPlan { why: fingerprint.clone(), note, trace: format!("{:016x}", run.result.trace_hash), ..best };
        Shrunk { fingerprint, before, after, candidates, finished, plan }
    }
}

fn is_of_power(key: &str) -> bool {
    key.starts_with("power.")
}

/// The plan with a plain answer to what survives a power loss.
fn plainly(plan: &AnyPlan, unsynced: Unsynced) -> AnyPlan {
    let mut plan = plan.clone();
    plan.draws.retain(|key, _| !is_of_power(key));
    plan.tuning.unsynced = unsynced;
    plan
}
