//! What the node would make of its memory by itself, against what is there.
//!
//! A proposal is seen when the node has settled, and decided when it settles next. Nothing comes between the two but what is
//! decided behind it. So what it rests on can be looked at; that it is then done as proposed is for the claims on transactions.

use std::collections::{BTreeMap, BTreeSet};

use stormproof_engine::memory::{
    ConsolidationRules, Draft, Facts, PINNED, PROTOTYPE, PROTOTYPES_FROM, Record, RecordId, Transaction,
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
        let Some(proposed) = &facts.proposed else { return };
        self.proposed.insert(proposed.retry, proposed.clone());
        // Of what cannot be read nobody knows what it was.
        if !facts.unread.is_empty() {
            return;
        }
        let state = State::of(facts);
        let Transaction { reads, upserts, inserts, deletes, .. } = proposed;
        if let Some(read) = reads.iter().find(|read| state.records.get(&read.id).map(|it| it.version) != read.version) {
            let words = format!("{read:?} is {:?}", state.records.get(&read.id));
            findings.broken(&K1, "a proposal rests on what is not so", words);
        }
        if !upserts.is_empty() {
            findings.reach("a record became firmer");
            let firmer = upserts.iter().try_for_each(|draft| state.firmer(draft, self.times(draft.id)));
            findings.check(&K1, "a record is changed by being active", firmer);
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

/// The live records, before the proposal.
struct State<'a> {
    rules: ConsolidationRules,
    records: BTreeMap<RecordId, &'a Record>,
    shape_dim: usize,
}

impl<'a> State<'a> {
    fn of(facts: &'a Facts) -> Self {
        let records = facts.records.iter().map(|record| (record.id, &**record)).collect();
        State { rules: facts.rules, records, shape_dim: facts.shape.dim.get() }
    }

    fn live(&self, id: RecordId) -> Result<&'a Record, String> {
        self.records.get(&id).copied().ok_or(format!("{id} is not there"))
    }

    /// K1, of a record that was active so often since ever.
    fn firmer(&self, draft: &Draft, times: u64) -> Result<(), String> {
        let record = self.live(draft.id)?;
        let as_it_was = draft.vector == record.vector
            && draft.text == record.text
            && draft.attributes == record.attributes
            && draft.links.iter().map(|link| link.to).eq(record.links.iter().map(|link| link.to));
        // What clients write begins anew at one of these, at most at the greatest.
        let begins = KAPPAS.into_iter().fold(0.0, f32::max);
        let greatest = (0..times).fold(begins, |kappa, _| self.rules.firmer(kappa));
        let bounded = record.kappa <= draft.kappa && draft.kappa <= greatest.max(record.kappa);
        // The kappa of a prototype begins anywhere.
        let bounded = bounded || (record.id >= PROTOTYPES_FROM && record.kappa <= draft.kappa && draft.kappa <= 1.0);
        let weighed = draft.links.iter().all(|link| (0.0..=1.0).contains(&link.weight));
        if as_it_was && bounded && weighed {
            return Ok(());
        }
        Err(format!("{record:?}, active {times} times, is to become {draft:?}; kappa is at most {greatest}"))
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
        let middle: Vec<f32> = (0..self.shape_dim).map(mean).collect();
        let told = draft.attributes.get(PROTOTYPE).is_some_and(|n| *n == members.len().to_string());
        let firm = members.iter().all(|member| member.kappa >= self.rules.rem_kappa_min);
        let enough = members.len() >= self.rules.rem_members_min as usize;
        if draft.vector == middle && told && firm && enough && draft.id >= PROTOTYPES_FROM {
            return Ok(());
        }
        Err(format!("{draft:?} is to stand for {members:?}, whose middle is {middle:?}"))
    }

    /// K3.
    fn lets_go(&self, id: RecordId) -> Result<(), String> {
        let record = self.live(id)?;
        let links = |other: &&&Record| other.id != id && other.links.iter().any(|link| link.to == id);
        if let Some(other) = self.records.values().find(links) {
            return Err(format!("{record:?} is to go, and {other:?} links to it"));
        }
        if record.kappa < self.rules.prune_kappa && !record.attributes.contains_key(PINNED) {
            return Ok(());
        }
        Err(format!("{record:?} is to go"))
    }
}
