//! The judge of a trial: rules, each with a claim of its own.

use std::sync::Arc;

use stormproof_contract::System;

use super::LINEARIZABLE;
use crate::{
    check::{
        invariant::{Claim, Invariant},
        linearizable::{self, Model, Verdict},
    },
    world::stage::{Ended, Findings, Judge, LIVENESS, OpOf, ReplyOf, Seen},
};

/// Beyond so many configurations of one object the checker of histories gives up. A trial has some dozen operations.
const CONFIGURATIONS_MAX: u64 = 100_000;

type Always<S> = dyn Fn(&<S as System>::Node) -> Result<(), String> + Send + Sync;
type AtEnd<S> = dyn Fn(&Ended<'_, S>, &mut Findings) + Send + Sync;

/// What must hold.
pub(super) enum Rule<S: System> {
    /// Of each node, whenever it has booted or finished a batch.
    Always(Claim, Box<Always<S>>),
    /// When all is over.
    AtEnd(Claim, Box<AtEnd<S>>),
}

/// The rules of a [`Trial`](super::Trial), at work.
pub struct Rules<S: System> {
    rules: Vec<Arc<Rule<S>>>,
    sometimes: &'static [&'static str],
}

impl<S: System> Rules<S> {
    /// `sometimes` are the dangers that each rule must have been in.
    pub(super) fn new(rules: &[Arc<Rule<S>>], sometimes: &'static [&'static str]) -> Self {
        Rules { rules: rules.to_vec(), sometimes }
    }
}

impl<S: System> Judge<S> for Rules<S> {
    fn invariants(&self) -> Vec<Invariant> {
        let claimed = self.rules.iter().map(|rule| match &**rule {
            Rule::Always(claim, _) | Rule::AtEnd(claim, _) => Invariant { claim: *claim, sometimes: self.sometimes },
        });
        // The world looks after this one by itself.
        claimed.chain([Invariant { claim: LIVENESS, sometimes: &[] }]).collect()
    }

    fn see(&mut self, seen: Seen<'_, S>, findings: &mut Findings) {
        let (Seen::Booted { state, .. } | Seen::Settled { state, .. }) = seen else { return };
        for rule in &self.rules {
            if let Rule::Always(claim, check) = &**rule {
                findings.check(claim, "it does not hold of a node", check(state));
            }
        }
    }

    fn end(&mut self, ended: &Ended<'_, S>, findings: &mut Findings) {
        for rule in &self.rules {
            if let Rule::AtEnd(_, check) = &**rule {
                check(ended, findings);
            }
        }
    }
}

/// Looks for an order of all operations that explains every reply.
pub(super) fn linearizable<S: System, M>(model: M) -> impl Fn(&Ended<'_, S>, &mut Findings) + Send + Sync
where
    M: Model<Op = OpOf<S>, Reply = ReplyOf<S>> + Send + Sync,
{
    move |ended, findings| match linearizable::check(&model, ended.history, CONFIGURATIONS_MAX) {
        Verdict::Holds { .. } => findings.holds(&LINEARIZABLE),
        Verdict::Violated(witness) => findings.broken(&LINEARIZABLE, "no order explains a reply", witness),
        Verdict::GaveUp { key, bound } => findings.gave_up(format_args!("{key}, after {bound} configurations")),
    }
}
