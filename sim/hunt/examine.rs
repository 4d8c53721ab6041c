//! From a failing seed to something to read: its smallest story, and why that fails.

use std::fmt;

use super::{
    explain::{Explanation, explain},
    scenario::{PlanError, Suite, failing_plan},
    shrink::{Shrinking, Shrunk},
};

/// Runs are tried so often from each moment when it is asked since when a failure was inevitable.
const RESEEDS: u32 = 10;

/// A failure, shrunk and explained. Its `Display` is for people.
#[derive(Clone, Debug)]
pub struct Examined {
    /// The smallest plan.
    pub shrunk: Shrunk,
    /// Why it fails.
    pub explanation: Explanation,
}

/// Shrinks and explains the run of a seed, with the defaults of both. `None` if it holds.
pub fn examine(suite: &dyn Suite, seed: u64) -> Result<Option<Examined>, PlanError> {
    let Some(plan) = failing_plan(suite, seed)? else { return Ok(None) };
    let Some(shrunk) = Shrinking::default().run(suite, &plan, &|_, _| {})? else { return Ok(None) };
    let explanation = explain(suite, &shrunk.plan, RESEEDS, &|_| {})?;
    Ok(explanation.map(|explanation| Examined { shrunk, explanation }))
}

impl fmt::Display for Examined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Examined { shrunk, explanation } = self;
        writeln!(f, "{}\n\n{}\n\nwhat happened:", explanation.violation, shrunk.plan.note)?;
        explanation.story.iter().try_for_each(|line| writeln!(f, "{line}"))?;
        writeln!(f, "\nthe faults:")?;
        explanation
            .faults
            .iter()
            .try_for_each(|fault| writeln!(f, "  {}; without it: {}", fault.words, fault.without))?;
        if let Some(moment) = explanation.inevitable() {
            writeln!(f, "inevitable after: {}", moment.after)?;
        }
        writeln!(f, "\nthe plan:\n\n{}", shrunk.plan.to_toml())
    }
}
