//! Every answer, against the state at its LSN, made again from the decisions.
//!
//! An answer names the LSN it was read at. The state at an LSN is what the decisions up to it wrote, in their order;
//! it needs nothing of the engine but that order. So each answer can be computed again in the plainest way.

use std::collections::{BTreeMap, BTreeSet};

use stormproof_engine::{
    memory::{Facts, Hit, Lsn, Op, Outcome, Record, RecordId, Reply, Version},
    vector::{Kernels, Shape},
};
use stormproof_sim::check::history::{History, Operation, Outcome as Ended};

use super::contents::Asked;

/// What is wrong with an answer, and which claim that breaks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Wrong {
    /// It shows a commit that was lost, or had not been decided.
    Unfounded(String),
    /// It is not what an exact search finds.
    Inexact(String),
    /// It shows what is not there any more.
    Outdated(String),
    /// It does not show what was acknowledged before it was asked for.
    Late(String),
    /// It shows what nobody wrote.
    Damaged(String),
}

/// The live records and their versions, as of some LSN.
type State = BTreeMap<RecordId, Version>;

/// Checks every answer of a history. Returns how many there were, and the first that is wrong.
pub fn check(history: &History<Op, Reply>, facts: &Facts, asked: &Asked<'_>) -> (u64, Result<(), Wrong>) {
    let states = Timeline::of(facts, asked);
    let mut answers = 0;
    for operation in history.operations() {
        let Ended::Ok { reply, .. } = &operation.outcome else { continue };
        let Some(at) = read_at(reply) else { continue };
        answers += 1;
        if let Err(wrong) = check_answer(operation, reply, at, history, facts, asked, &states) {
            return (answers, Err(wrong));
        }
    }
    (answers, Ok(()))
}

/// The LSN that a query was answered at.
pub fn read_at(reply: &Reply) -> Option<Lsn> {
    match reply {
        Reply::Records { at, .. } | Reply::Count { at, .. } | Reply::Reached { at, .. } | Reply::Hits { at, .. } => {
            Some(*at)
        }
        Reply::Committed { .. }
        | Reply::Conflict(_)
        | Reply::Refused(_)
        | Reply::Unavailable(_)
        | Reply::Queued { .. }
        | Reply::Staged { .. }
        | Reply::Activated { .. }
        | Reply::Consolidated { .. } => None,
    }
}

fn check_answer(
    operation: &Operation<Op, Reply>,
    reply: &Reply,
    at: Lsn,
    history: &History<Op, Reply>,
    facts: &Facts,
    asked: &Asked<'_>,
    states: &Timeline,
) -> Result<(), Wrong> {
    let id = operation.id;
    if at > facts.lsn {
        return Err(Wrong::Unfounded(format!("{id} was answered at {at:?}; the log ends at {:?}", facts.lsn)));
    }
    shows_the_acknowledged(operation, at, history).map_err(Wrong::Late)?;
    let state = states.at(at);
    match (&operation.op, reply) {
        (Op::Get { ids }, Reply::Records { records, .. }) => {
            let wanted: Vec<_> = ids.iter().filter_map(|id| Some((*id, *state.get(id)?))).collect();
            let found: Vec<_> = records.iter().map(|record| (record.id, record.version)).collect();
            if wanted != found {
                return Err(Wrong::Outdated(format!("{id} at {at:?}: found {found:?}, there was {wanted:?}")));
            }
            records.iter().try_for_each(|record| genuine(asked, record))
        }
        (Op::Range { from, limit }, Reply::Records { records, .. }) => {
            let wanted = state.range(from..).take(*limit as usize).map(|(id, version)| (*id, *version));
            let found = records.iter().map(|record| (record.id, record.version));
            if !wanted.clone().eq(found.clone()) {
                let (wanted, found): (Vec<_>, Vec<_>) = (wanted.collect(), found.collect());
                return Err(Wrong::Outdated(format!("{id} at {at:?}: found {found:?}, there was {wanted:?}")));
            }
            records.iter().try_for_each(|record| genuine(asked, record))
        }
        (Op::Walk { from, hops, limit }, Reply::Reached { records, more, .. }) => {
            let all = reachable(state, asked, *from, *hops);
            let cut = all.len() > *limit as usize;
            let wanted = &all[..all.len().min(*limit as usize)];
            if wanted == records && *more == cut {
                return Ok(());
            }
            Err(Wrong::Outdated(format!("{id} at {at:?}: reached {records:?} (more: {more}), there was {all:?}")))
        }
        (Op::Count, Reply::Count { n, .. }) if *n != state.len() as u64 => {
            Err(Wrong::Outdated(format!("{id} counted {n} at {at:?}, there were {}", state.len())))
        }
        (Op::Search { vector, k }, Reply::Hits { hits, .. }) => {
            hits.iter().try_for_each(|hit| genuine(asked, &hit.record))?;
            let outdated = |hit: &&Hit| state.get(&hit.record.id) != Some(&hit.record.version);
            if let Some(hit) = hits.iter().find(outdated) {
                let (record, now) = (&hit.record, state.get(&hit.record.id));
                return Err(Wrong::Outdated(format!("{id} at {at:?}: a hit is {record:?}, there was {now:?}")));
            }
            let wanted = nearest(facts.shape, state, asked, vector, *k as usize);
            let found: Vec<_> = hits.iter().map(|hit| (hit.record.id, hit.distance.to_bits())).collect();
            let wanted: Vec<_> = wanted.into_iter().map(|(id, far)| (id, far.to_bits())).collect();
            if wanted == found {
                return Ok(());
            }
            Err(Wrong::Inexact(format!("{id} at {at:?}: found {found:?}, brute force finds {wanted:?}")))
        }
        (Op::Count, Reply::Count { .. }) => Ok(()),
        (op, reply) => Err(Wrong::Unfounded(format!("{id} asked {op:?} and was answered {reply:?}"))),
    }
}

fn genuine(asked: &Asked<'_>, record: &Record) -> Result<(), Wrong> {
    asked.is_genuine(record).map_err(Wrong::Damaged)
}

/// Q4: no commit that was acknowledged before a query was asked is later than what the query was answered at.
pub fn shows_the_acknowledged(
    query: &Operation<Op, Reply>,
    at: Lsn,
    history: &History<Op, Reply>,
) -> Result<(), String> {
    let missed = history.operations().iter().find_map(|commit| match &commit.outcome {
        Ended::Ok { reply: Reply::Committed { lsn, .. }, at: told } if *told < query.invoked && *lsn > at => {
            Some(format!("{} was answered at {at:?}; {} had been acknowledged at {lsn:?}", query.id, commit.id))
        }
        _ => None,
    });
    missed.map_or(Ok(()), Err)
}

/// Every record compared, nearest first, those equally far by id.
fn nearest(shape: Shape, state: &State, asked: &Asked<'_>, vector: &[f32], k: usize) -> Vec<(RecordId, f32)> {
    let far = |(id, version): (&RecordId, &Version)| {
        let (_, transaction) = asked.by_retry.get(asked.writers.get(&(*id, *version))?)?;
        let draft = Asked::write(transaction, *id)?;
        Some((*id, shape.distance(Kernels::scalar(), &draft.vector, vector).unwrap_or(f32::NAN)))
    };
    let mut all: Vec<_> = state.iter().filter_map(far).collect();
    all.sort_by(|one, other| one.1.total_cmp(&other.1).then(one.0.cmp(&other.0)));
    all.truncate(k);
    all
}

/// What links lead to, a ring of records after the other.
fn reachable(state: &State, asked: &Asked<'_>, from: RecordId, hops_max: u32) -> Vec<(RecordId, u32)> {
    let links = |id: RecordId| {
        let version = state.get(&id)?;
        let (_, transaction) = asked.by_retry.get(asked.writers.get(&(id, *version))?)?;
        Asked::write(transaction, id).map(|draft| &draft.links)
    };
    let (mut seen, mut ring, mut reached) = (BTreeSet::from([from]), BTreeSet::from([from]), Vec::new());
    for hops in 0..=hops_max {
        let there: Vec<_> = ring.iter().filter_map(|&id| Some((id, links(id)?))).collect();
        reached.extend(there.iter().map(|(id, _)| (*id, hops)));
        let next = there.iter().flat_map(|(_, links)| links.iter().map(|link| link.to));
        ring = next.filter(|link| seen.insert(*link)).collect();
        if ring.is_empty() {
            break;
        }
    }
    reached
}

/// The states after each frame.
struct Timeline {
    states: BTreeMap<Lsn, State>,
    empty: State,
}

impl Timeline {
    fn of(facts: &Facts, asked: &Asked<'_>) -> Self {
        let mut states = BTreeMap::new();
        let mut state = State::new();
        for (retry, decision) in &facts.decisions {
            let Outcome::Committed { versions, .. } = &decision.outcome else { continue };
            let transaction = asked.by_retry.get(retry).map(|(_, transaction)| *transaction);
            for (id, version) in versions {
                match transaction.and_then(|transaction| Asked::write(transaction, *id)) {
                    Some(_) => drop(state.insert(*id, *version)),
                    None => drop(state.remove(id)),
                }
            }
            states.insert(decision.lsn, state.clone());
        }
        Timeline { states, empty: State::new() }
    }

    fn at(&self, lsn: Lsn) -> &State {
        self.states.range(..=lsn).next_back().map_or(&self.empty, |(_, state)| state)
    }
}
