//! Which steps a run has passed, and at which of them somebody died.
//!
//! A step is a disk call seen from the protocol: the point passed last, the call, the class of its path. A point is a
//! step as well. Counting both sides shows which crashes were never tried.

use std::{collections::BTreeMap, sync::Arc};

use serde::Serialize;
use stormproof_contract::DiskOp;

use super::{
    draw::PathClass,
    fault::FaultKind,
    mix::{MixedMap, mix, mix_bytes},
};

/// One step of the system on trial.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
pub struct Step {
    /// The point that the node had passed last; `boot` before the first.
    pub after: &'static str,
    /// The call.
    pub call: &'static str,
    /// The class of the path; the name for a point.
    pub path: Arc<str>,
}

/// How often a step was passed, and how often somebody died at it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Passed {
    /// Times passed.
    pub times: u64,
    /// Deaths at it, before or after it took effect.
    pub deaths: u64,
}

/// Where a node is in its protocol: so many steps behind the point that it passed last.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
pub struct Place {
    /// The point; `boot` before the first of a life.
    pub point: &'static str,
    /// The how-manieth passing of it in the run, counted from 1.
    pub hit: u32,
    /// Disk calls and points since.
    pub steps: u32,
}

/// A fault that was delivered, and where: at its first delivery, if it strikes more than once.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Struck {
    /// The fault, by its number.
    pub fault: u32,
    /// What it does.
    pub kind: FaultKind,
    /// When, in simulated nanoseconds.
    pub at: u64,
    /// Whom; for messages, a node at one of the ends.
    pub node: u32,
    /// Where that node was.
    pub place: Place,
}

/// How often a kind of fault was delivered to a node that had passed a point last.
pub type Strikes = BTreeMap<(FaultKind, &'static str), u64>;

/// The steps of a run.
#[derive(Default)]
pub(crate) struct Coverage {
    places: MixedMap<u32>,
    steps: Vec<(Step, Passed)>,
}

impl Coverage {
    /// A step is about to be taken. Returns its place, to report a death at it.
    #[inline]
    pub(crate) fn pass(&mut self, after: &'static str, op: DiskOp, path: PathClass<'_>) -> u32 {
        let key = mix(mix_bytes(op as u64, after.as_bytes()), path.hash);
        let steps = &mut self.steps;
        let place = *self.places.entry(key).or_insert_with(|| {
            steps.push((Step { after, call: op.name(), path: path.words.into() }, Passed::default()));
            steps.len() as u32 - 1
        });
        steps[place as usize].1.times += 1;
        place
    }

    /// Somebody died at a step.
    pub(crate) fn died_at(&mut self, place: u32) {
        self.steps[place as usize].1.deaths += 1;
    }

    pub(crate) fn into_steps(self) -> Vec<(Step, Passed)> {
        self.steps
    }
}
