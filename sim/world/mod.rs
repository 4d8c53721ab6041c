//! The simulated world: machines, disks, networks, clocks and clients, in virtual time.
//!
//! | room | what it decides |
//! |---|---|
//! | [`run`] | the event loop: what happens next |
//! | [`life`], [`side`], [`client`] | nodes, what runs beside them, who asks |
//! | [`core`] | what they share: time, who is alive, machines |
//! | [`disk`] over [`fs`] | what a disk call does, and what power loss leaves of it |
//! | [`net`] | what becomes of a message |
//! | [`fault`], [`armory`] | what goes wrong, and when |
//! | [`draw`], [`dice`], [`tuning`] | what is left to chance |
//! | [`plan`], [`trace`], [`coverage`], [`result`] | what is kept of a run |
//! | [`stage`] | what a suite brings along |
//! | [`study`] | a run played with other answers, and looked at wherever it might die |
//!
//! Invariants: a run is a function of its stage and its draws. Nothing here knows a thread, a real clock, or a map
//! whose order changes from one process to the next.

mod armory;
mod client;
mod core;
pub mod coverage;
mod dials;
pub mod dice;
mod disk;
pub mod draw;
pub mod fault;
pub mod fs;
mod life;
pub(crate) mod mix;
mod net;
mod panics;
pub mod plan;
mod queue;
mod result;
mod run;
mod side;
pub mod span;
pub mod stage;
pub mod study;
pub mod trace;
pub mod tuning;

pub use self::core::Death;
pub use result::{Recorded, RunResult, Settings};

use draw::Draws;
use plan::{Plan, Script};
use stage::{Judge, OpOf, ReplyOf, Stage, Workload};
use stormproof_contract::System;
use study::{Studied, Study};

/// Runs a stage with everything drawn from a seed.
pub fn run_seed<S, W, J>(seed: u64, stage: Stage<S, W, J>, settings: &Settings) -> (RunResult, Recorded<OpOf<S>>)
where
    S: System,
    W: Workload<OpOf<S>, ReplyOf<S>>,
    J: Judge<S>,
{
    let mut draws = Draws::seeded(seed);
    if settings.record {
        draws.record();
    }
    let (result, recorded, _) =
        run::World::new(seed, stage, draws, None, settings.words).run(*settings, Study::default());
    (result, recorded)
}

/// Runs a stage by a plan, whose tuning and faults the stage must have. The error names what cannot be read.
pub fn run_plan<S, W, J>(
    plan: &Plan<OpOf<S>>,
    stage: Stage<S, W, J>,
    settings: &Settings,
) -> Result<(RunResult, Recorded<OpOf<S>>), String>
where
    S: System,
    W: Workload<OpOf<S>, ReplyOf<S>>,
    J: Judge<S>,
{
    let (result, recorded, _) = study_plan(plan, stage, settings, Study::default())?;
    Ok((result, recorded))
}

/// Runs a stage by a plan and studies it. Nothing of the plan's own list of faults is read: the stage has them.
pub fn study_plan<S, W, J>(
    plan: &Plan<OpOf<S>>,
    stage: Stage<S, W, J>,
    settings: &Settings,
    study: Study,
) -> Result<(RunResult, Recorded<OpOf<S>>, Studied), String>
where
    S: System,
    W: Workload<OpOf<S>, ReplyOf<S>>,
    J: Judge<S>,
{
    let mut draws = Draws::planned(plan.seed, &plan.draws)?;
    if settings.record {
        draws.record();
    }
    let scripts = Script::of_plan(plan, stage.clients);
    Ok(run::World::new(plan.seed, stage, draws, Some(scripts), settings.words).run(*settings, study))
}

/// Runs a stage with every draw mild, and keeps what its clients asked.
pub fn run_mildly<S, W, J>(seed: u64, stage: Stage<S, W, J>) -> (RunResult, Recorded<OpOf<S>>)
where
    S: System,
    W: Workload<OpOf<S>, ReplyOf<S>>,
    J: Judge<S>,
{
    let mut draws = Draws::mild(seed);
    draws.record();
    let settings = Settings { words: false, record: true };
    let (result, recorded, _) = run::World::new(seed, stage, draws, None, false).run(settings, Study::default());
    (result, recorded)
}
