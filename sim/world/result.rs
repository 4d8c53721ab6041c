//! What is left of a run when it is over.

use stormproof_contract::System;

use super::{
    coverage::{Passed, Step, Strikes, Struck},
    draw::Overrides,
    mix::mix,
    plan::{PlannedOp, Script},
    run::World,
    stage::{Delivered, Judge, OpOf, ReplyOf, Workload},
    study::{Script as Answers, Studied, Survey},
    trace::{Happened, Line, debug_hash},
};
use crate::check::{
    history::{Outcome, Overlap},
    invariant::{Probes, Violation},
};

/// What to keep of a run beyond its verdict.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings {
    /// The trace in words.
    pub words: bool,
    /// What a plan is made of: operations and draws.
    pub record: bool,
}

/// A finished run.
#[derive(Debug)]
pub struct RunResult {
    /// The first violation.
    pub violation: Option<Violation>,
    /// The hash of the trace.
    pub trace_hash: u64,
    /// A hash of what the clients saw, in order, without times.
    pub outcome_hash: u64,
    /// How many events the world had.
    pub events: u64,
    /// How long it lasted, in simulated nanoseconds.
    pub simulated: u64,
    /// How often each kind of fault was delivered.
    pub delivered: Delivered,
    /// The faults that were never delivered, by number.
    pub idle_faults: Vec<u32>,
    /// How often each claim was checked.
    pub checked: std::collections::BTreeMap<&'static str, u64>,
    /// What was reached.
    pub probes: Probes,
    /// What the checkers could not decide.
    pub gave_up: Vec<String>,
    /// How concurrent the clients were.
    pub overlap: Overlap,
    /// Operations that were answered, refused, and never known.
    pub answered: [u64; 3],
    /// Steps passed, and deaths at them.
    pub steps: Vec<(Step, Passed)>,
    /// The faults that were delivered, in the order of their first delivery.
    pub struck: Vec<Struck>,
    /// How often each kind of fault was delivered behind each point.
    pub strikes: Strikes,
    /// The trace in words, if asked for.
    pub lines: Vec<Line>,
    /// Overrides of the plan that no draw asked for.
    pub unused: Vec<String>,
}

/// What a plan is made of, as far as a run knows it.
#[derive(Debug)]
pub struct Recorded<Op> {
    /// The operations, if asked for.
    pub ops: Vec<PlannedOp<Op>>,
    /// The draws that were not mild, if asked for.
    pub draws: Overrides,
}

impl RunResult {
    pub(crate) fn new<S, W, J>(
        world: World<S, W, J>,
        events: u64,
        delivered: Delivered,
    ) -> (Self, Recorded<OpOf<S>>, Studied)
    where
        S: System,
        W: Workload<OpOf<S>, ReplyOf<S>>,
        J: Judge<S>,
    {
        let mut answered = [0; 3];
        let mut outcome_hash = 0;
        for (operation, state) in world.history.operations().iter().zip(&world.ops) {
            let kind = match &operation.outcome {
                Outcome::Ok { .. } => 0,
                Outcome::Fail { .. } => 1,
                Outcome::Unknown { .. } | Outcome::Open => 2,
            };
            answered[kind] += 1;
            outcome_hash = mix(mix(outcome_hash, kind as u64), state.reply_hash);
        }
        let overlap = world.history.overlap();
        let World { shared, sides, nodes, findings, performed, .. } = world;
        // Nodes and queries hold files, which hold the world: they go first.
        sides.clear();
        drop(nodes);
        let mut core = shared.lock();
        let now = core.dials.now();
        let verdict = findings.violation.as_ref().map_or(0, |violation| debug_hash(&violation.fingerprint()));
        core.record(Happened::Ended, 0, [verdict, outcome_hash], || "the end".into());
        let trace = std::mem::replace(&mut core.trace, super::trace::Trace::new(false));
        let coverage = std::mem::take(&mut core.coverage);
        let ops = performed.map(Script::to_plan).unwrap_or_default();
        let recorded = Recorded { ops, draws: core.draws.recorded() };
        let result = RunResult {
            violation: findings.violation,
            trace_hash: trace.hash(),
            outcome_hash,
            events,
            simulated: now,
            delivered,
            idle_faults: core.armory.idle(),
            checked: findings.checked,
            probes: findings.probes,
            gave_up: findings.gave_up,
            overlap,
            answered,
            steps: coverage.into_steps(),
            struck: std::mem::take(&mut core.struck),
            strikes: std::mem::take(&mut core.strikes),
            lines: trace.into_lines(),
            unused: core.draws.unused(),
        };
        let asked = core.script.take().map(Answers::into_asked).unwrap_or_default();
        let spots = core.survey.take().map(Survey::into_spots).unwrap_or_default();
        (result, recorded, Studied { asked, spots })
    }
}
