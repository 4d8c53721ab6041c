//! What an exploration has come to, in numbers that never claim more than was done.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{check::invariant::Violation, world::fs::Profile};

/// What an exploration of a suite has come to.
#[derive(Clone, Debug, Serialize)]
pub struct ExploreReport {
    /// The suite.
    pub suite: String,
    /// What power loss may leave.
    pub profile: Profile,
    /// At most so many states of one image.
    pub bound: u64,
    /// Workload by workload.
    pub workloads: Vec<WorkloadReport>,
    /// The first failure of each fingerprint, in the order of the exploration.
    pub failures: BTreeMap<String, Found>,
    /// Why nothing is proven, if it is not.
    pub unproven: Vec<String>,
    /// Time that the recoveries took, added up over threads, in nanoseconds.
    #[serde(skip)]
    pub busy_ns: u64,
}

/// What an exploration of one bounded workload has come to.
#[derive(Clone, Debug, Serialize)]
pub struct WorkloadReport {
    /// The case whose parameters it has.
    pub case: String,
    /// The seed that they were drawn from.
    pub seed: u64,
    /// Operations of its clients while crashes strike.
    pub operations: u64,
    /// Whether power was never lost, because the workload's disk lies: where it keeps what it was never given, a power loss may
    /// take the last trace of it, and no system could tell.
    pub kills_only: bool,
    /// One entry for each crash in a row: the first, and the one during the recovery from it.
    pub depths: Vec<DepthReport>,
}

/// What crashes at one depth have come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct DepthReport {
    /// Moments at which a node might die: before and after each disk call and named point, and after each effect.
    pub points: u64,
    /// Legal states of the disk over all of them, by kill and by power loss, as far as they were told apart.
    pub states: u64,
    /// Recoveries that were run.
    pub executed: u64,
    /// Recoveries that were not, since another death had left the same image, promises and boot inputs.
    pub saved: u64,
    /// States that the bound has left out: a lower estimate.
    pub left_out: u64,
    /// The most questions that a recovery has left open until it read.
    pub questions_max: u64,
}

/// A state from which the system does not recover as it promised.
#[derive(Clone, Debug, Serialize)]
pub struct Found {
    /// The case.
    pub case: String,
    /// What fell.
    pub violation: Violation,
    /// How many states failed like this.
    pub states: u64,
    /// The state, as a plan.
    #[serde(skip)]
    pub plan: String,
    /// Whether playing the plan fails in the same way, as it must.
    pub reproduced: bool,
    /// Where the plan was saved.
    pub saved: Option<String>,
}

impl DepthReport {
    /// Adds another of the same depth.
    pub(super) fn merge(&mut self, other: DepthReport) {
        self.points += other.points;
        self.states += other.states;
        self.executed += other.executed;
        self.saved += other.saved;
        self.left_out += other.left_out;
        self.questions_max = self.questions_max.max(other.questions_max);
    }
}

impl ExploreReport {
    /// All depths of all workloads together.
    pub fn total(&self) -> DepthReport {
        let mut total = DepthReport::default();
        self.workloads.iter().flat_map(|workload| &workload.depths).for_each(|depth| total.merge(*depth));
        total
    }
}
