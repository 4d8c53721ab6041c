//! What the node would make of its memory by itself, against what is there.
//!
//! A proposal is seen when the node has settled, and decided when it settles next. Nothing comes between the two but what is
//! decided behind it. So what it rests on can be looked at; that it is then done as proposed is for the claims on transactions.
//! The rules are said again here, in the plainest way.

use std::collections::{BTreeMap, BTreeSet};

use stormproof_engine::{
    memory::{
        ConsolidationRules, Draft, Facts, PINNED, PROTOTYPE, PROTOTYPES_FROM, Proposal, Record, RecordId, Transaction,
    },
    vector::{Kernels, Shape},
};
use stormproof_sim::world::stage::Findings;

use super::{
    claims::{K1, K2, K3},
    contents::Proposed,
};
use crate::workloads::KAPPAS;

/// What was seen so far.
#[derive(Default)]
pub struct Consolidation {
    /// Everything that was proposed.
    pub proposed: Proposed,
    /// How often each record was active in earlier lives, and in this one.
    before: BTreeMap<RecordId, u64>,
    now: BTreeMap<RecordId, u64>,
}

impl Consolidation {
    /// A new life: what was active in it is counted from nothing.
    pub fn booted(&mut self) {
        for (id, times) in std::mem::take(&mut self.now) {
            *self.before.entry(id).or_default() += times;
        }
    }

    /// Looks at what is proposed now, if something is.
    pub fn settled(&mut self, facts: &Facts, findings: &mut Findings) {
        self.now = facts.activations.iter().copied().collect();
        let Some(proposal) = &facts.proposed else { return };
        let proposed = &proposal.transaction;
        self.proposed.insert(proposed.retry, proposed.clone());
        // Of what cannot be read nobody knows what it was.
        if !facts.unread.is_empty() {
            return;
        }
        let state = State::of(facts, proposal);
        let Transaction { reads, upserts, inserts, deletes, .. } = proposed;
        if let Some(read) = reads.iter().find(|read| state.records.get(&read.id).map(|it| it.version) != read.version) {
            let words = format!("{read:?} is {:?}", state.records.get(&read.id));
            findings.broken(&K1, "a proposal rests on what is not so", words);
        }
        if !upserts.is_empty() {
            let firmer = upserts.iter().try_for_each(|draft| state.firmer(draft, self.times(draft.id)));
            findings.check(&K1, "a record is changed by being active", firmer);
            if upserts.iter().any(|draft| state.rises(draft)) {
                findings.reach("a record became firmer");
            }
            if upserts.iter().any(|draft| state.learns(draft)) {
                findings.reach("a link has learned");
            }
        }
        if !inserts.is_empty() {
            findings.reach("a prototype was made");
            let made = inserts.iter().try_for_each(|draft| state.is_prototype(draft));
            findings.check(&K2, "a prototype is not what it stands for", made);
        }
        if !deletes.is_empty() {
            findings.reach("a record was pruned");
            let pruned = deletes.iter().try_for_each(|id| state.lets_go(*id));
            findings.check(&K3, "a record is pruned that should stay", pruned);
        }
    }

    fn times(&self, id: RecordId) -> u64 {
        [&self.before, &self.now].into_iter().filter_map(|life| life.get(&id)).sum()
    }
}

/// The live records, before the proposal, and what it rests on beside them.
struct State<'a> {
    rules: ConsolidationRules,
    shape: Shape,
    records: BTreeMap<RecordId, &'a Record>,
    proposal: &'a Proposal,
}

impl<'a> State<'a> {
    fn of(facts: &'a Facts, proposal: &'a Proposal) -> Self {
        let records = facts.records.iter().map(|record| (record.id, &**record)).collect();
        State { rules: facts.rules, shape: facts.shape, records, proposal }
    }

    fn live(&self, id: RecordId) -> Result<&'a Record, String> {
        self.records.get(&id).copied().ok_or(format!("{id} is not there"))
    }

    fn rises(&self, draft: &Draft) -> bool {
        self.records.get(&draft.id).is_some_and(|record| draft.kappa > record.kappa)
    }

    fn learns(&self, draft: &Draft) -> bool {
        self.records.get(&draft.id).is_some_and(|record| draft.links != record.links)
    }

    /// K1, of a record that was active so often since ever.
    fn firmer(&self, draft: &Draft, times: u64) -> Result<(), String> {
        let record = self.live(draft.id)?;
        let (kappa, weights) = self.told_by_episodes(record);
        let links = record.links.iter().map(|link| link.to).zip(weights);
        let as_told = draft.kappa.to_bits() == kappa.to_bits()
            && draft.links.iter().map(|link| (link.to, link.weight)).eq(links)
            && draft.vector == record.vector
            && draft.text == record.text
            && draft.attributes == record.attributes;
        // What clients write begins anew at one of these, at most at the greatest; the kappa of a prototype begins anywhere.
        let begins = KAPPAS.into_iter().fold(0.0, f32::max);
        let greatest = (0..times).fold(begins, |kappa, _| self.firmed(kappa));
        let bounded = record.id >= PROTOTYPES_FROM || draft.kappa <= greatest.max(record.kappa);
        if as_told && bounded && times > 0 {
            return Ok(());
        }
        Err(format!("{record:?}, active {times} times, is to become {draft:?}; kappa {kappa}, at most {greatest}"))
    }

    fn firmed(&self, kappa: f32) -> f32 {
        kappa + self.rules.kappa_gain * (1.0 - kappa).max(0.0)
    }

    /// What the episodes of the pass make of the kappa of a record, and of the weights of its links.
    fn told_by_episodes(&self, record: &Record) -> (f32, Vec<f32>) {
        let (mut kappa, mut weights): (f32, Vec<f32>) =
            (record.kappa, record.links.iter().map(|it| it.weight).collect());
        for episode in &self.proposal.episodes {
            let place = |id: RecordId| episode.iter().position(|other| *other == id);
            let Some(own) = place(record.id) else { continue };
            kappa = self.firmed(kappa);
            for (weight, link) in weights.iter_mut().zip(&record.links) {
                let Some(other) = place(link.to).filter(|other| *other != own) else { continue };
                let apart = other.abs_diff(own);
                if apart > self.rules.reach as usize {
                    continue;
                }
                let gain = (1..apart).fold(self.rules.link_gain, |gain, _| gain / 2.0);
                *weight = if other > own { *weight + gain * (1.0 - *weight) } else { *weight - gain * *weight };
                *weight = weight.clamp(0.0, 1.0);
            }
        }
        (kappa, weights)
    }

    /// K2.
    fn is_prototype(&self, draft: &Draft) -> Result<(), String> {
        let members: Vec<&Record> = draft.links.iter().map(|link| self.live(link.to)).collect::<Result<_, _>>()?;
        let others = self.records.values().filter(|record| record.attributes.contains_key(PROTOTYPE));
        let taken: BTreeSet<RecordId> = others.flat_map(|record| record.links.iter().map(|link| link.to)).collect();
        if let Some(member) = members.iter().find(|member| taken.contains(&member.id)) {
            return Err(format!("{draft:?}: {} has a prototype", member.id));
        }
        let n = members.len() as f32;
        let mean = |at: usize| members.iter().map(|member| member.vector[at]).fold(0.0, |sum: f32, x| sum + x) / n;
        let middle: Vec<f32> = (0..self.shape.dim.get()).map(mean).collect();
        let told = draft.attributes.get(PROTOTYPE).is_some_and(|n| *n == members.len().to_string());
        let enough = members.len() >= self.rules.rem_members_min as usize;
        let is_one = draft.vector == middle && told && enough && draft.id >= PROTOTYPES_FROM;
        if is_one && self.is_firm(draft, &members) && self.are_near(&members) {
            return Ok(());
        }
        Err(format!("{draft:?} is to stand for {members:?}, whose middle is {middle:?}"))
    }

    /// A prototype is as firm as its members, which all are firm enough.
    fn is_firm(&self, draft: &Draft, members: &[&Record]) -> bool {
        let kappas = || members.iter().map(|member| member.kappa);
        let (least, most) = (kappas().fold(f32::MAX, f32::min), kappas().fold(f32::MIN, f32::max));
        let mean = kappas().map(f64::from).sum::<f64>() / members.len() as f64;
        let is_mean = (f64::from(draft.kappa) - mean).abs() < 1e-6;
        least >= self.rules.rem_kappa_min && (least..=most).contains(&draft.kappa) && is_mean
    }

    fn are_near(&self, members: &[&Record]) -> bool {
        let far = |one: &Record, other: &Record| self.shape.distance(Kernels::scalar(), &one.vector, &other.vector);
        let near = |member: &&&Record| far(members[0], member).is_ok_and(|far| far <= self.rules.rem_radius);
        members.iter().skip(1).filter(near).count() + 1 == members.len()
    }

    /// K3.
    fn lets_go(&self, id: RecordId) -> Result<(), String> {
        let record = self.live(id)?;
        let links = |other: &&&Record| other.id != id && other.links.iter().any(|link| link.to == id);
        if let Some(other) = self.records.values().find(links) {
            return Err(format!("{record:?} is to go, and {other:?} links to it"));
        }
        let is_old = record.created_at.0 <= self.proposal.before;
        if record.kappa < self.rules.prune_kappa && is_old && !record.attributes.contains_key(PINNED) {
            return Ok(());
        }
        Err(format!("{record:?} is to go, of those made up to {}", self.proposal.before))
    }
}
