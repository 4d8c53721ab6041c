//! Every answer, against the state at its LSN, made again from the decisions.
//!
//! An answer names the LSN it was read at. The state at an LSN is what the decisions up to it wrote, in their order;
//! it needs nothing of the engine but that order. So each answer can be computed again in the plainest way.

use std::collections::{BTreeMap, BTreeSet};

use stormproof_engine::{
    memory::{Completeness, Facts, Hit, Lsn, Op, Outcome, Record, RecordId, Reply, Route, Version},
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
    /// It lacks what the archive's graph is not needed for.
    Missed(String),
    /// It shows what is not there any more.
    Outdated(String),
    /// It does not show what was acknowledged before it was asked for.
    Late(String),
    /// It shows what nobody wrote.
    Damaged(String),
}

/// The live records and their versions, as of some LSN.
type State = BTreeMap<RecordId, Version>;

/// What was checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Answers {
    /// How many answers.
    pub all: u64,
    /// What those found for which the archive's graph was asked.
    pub recall: Recall,
}

/// How many of the nearest were found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Recall {
    /// As near as those that were to be found.
    pub found: u64,
    /// How many were to be found.
    pub wanted: u64,
}

/// A search that keeps so many candidates can find nearly all, in the small graphs that suites build.
const COMPLEXITY_MIN: u32 = 100;

impl Recall {
    /// Q2. A single answer says little.
    pub fn is_enough(self) -> Result<(), String> {
        if self.wanted < 16 || self.found * 100 >= self.wanted * 80 {
            return Ok(());
        }
        Err(format!("{} of {}", self.found, self.wanted))
    }
}

/// Checks every answer of a history. Returns how many there were, and the first that is wrong.
pub fn check(history: &History<Op, Reply>, facts: &Facts, asked: &Asked<'_>) -> (Answers, Result<(), Wrong>) {
    let states = Timeline::of(facts, asked);
    let mut answers = Answers::default();
    for operation in history.operations() {
        let Ended::Ok { reply, .. } = &operation.outcome else { continue };
        let Some(at) = read_at(reply) else { continue };
        answers.all += 1;
        match check_answer(operation, reply, at, history, facts, asked, &states) {
            Ok(Recall { found, wanted }) => {
                answers.recall.found += found;
                answers.recall.wanted += wanted;
            }
            Err(wrong) => return (answers, Err(wrong)),
        }
    }
    (answers, Ok(()))
}

/// The live records as of a frame, by id.
pub fn live_at(facts: &Facts, asked: &Asked<'_>) -> impl Fn(Lsn) -> Vec<(RecordId, Version)> + use<> {
    let states = Timeline::of(facts, asked);
    move |lsn| states.at(lsn).iter().map(|(id, version)| (*id, *version)).collect()
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
        | Reply::Consolidated { .. }
        | Reply::Rebuilt { .. } => None,
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
) -> Result<Recall, Wrong> {
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
            records.iter().try_for_each(|record| genuine(asked, record)).map(|()| Recall::default())
        }
        (Op::Range { from, limit }, Reply::Records { records, .. }) => {
            let wanted = state.range(from..).take(*limit as usize).map(|(id, version)| (*id, *version));
            let found = records.iter().map(|record| (record.id, record.version));
            if !wanted.clone().eq(found.clone()) {
                let (wanted, found): (Vec<_>, Vec<_>) = (wanted.collect(), found.collect());
                return Err(Wrong::Outdated(format!("{id} at {at:?}: found {found:?}, there was {wanted:?}")));
            }
            records.iter().try_for_each(|record| genuine(asked, record)).map(|()| Recall::default())
        }
        (Op::Walk { from, hops, limit }, Reply::Reached { records, more, .. }) => {
            let all = reachable(state, asked, *from, *hops);
            let cut = all.len() > *limit as usize;
            let wanted = &all[..all.len().min(*limit as usize)];
            if wanted == records && *more == cut {
                return Ok(Recall::default());
            }
            Err(Wrong::Outdated(format!("{id} at {at:?}: reached {records:?} (more: {more}), there was {all:?}")))
        }
        (Op::Count, Reply::Count { n, .. }) if *n != state.len() as u64 => {
            Err(Wrong::Outdated(format!("{id} counted {n} at {at:?}, there were {}", state.len())))
        }
        (Op::Search { vector, k, complexity, route }, Reply::Hits { hits, archive, completeness, .. }) => {
            hits.iter().try_for_each(|hit| genuine(asked, &hit.record))?;
            let outdated = |hit: &&Hit| state.get(&hit.record.id) != Some(&hit.record.version);
            if let Some(hit) = hits.iter().find(outdated) {
                let (record, now) = (&hit.record, state.get(&hit.record.id));
                return Err(Wrong::Outdated(format!("{id} at {at:?}: a hit is {record:?}, there was {now:?}")));
            }
            let all = ranked(facts.shape, state, asked, vector);
            let found: Vec<_> = hits.iter().map(|hit| (hit.record.id, hit.distance)).collect();
            let answer = Answer { found: &found, all: &all, k: *k as usize };
            let about = format!("{id} at {at:?}");
            let may = match route {
                Route::Exact => archive.is_none() && *completeness == Completeness::Full,
                Route::Auto | Route::Archive => *completeness == Completeness::Full,
                Route::Realtime => archive.is_none(),
            };
            let since = match completeness {
                Completeness::WithoutArchive { built } => *built,
                Completeness::Full => archive.map_or(Lsn(0), |searched| searched.built),
            };
            if !may || since > at {
                return Err(Wrong::Inexact(format!("{about}: by {route:?} from {archive:?}, {completeness:?}")));
            }
            match (archive, completeness) {
                (None, Completeness::Full) => answer.is_exact(&about),
                // Of the rest nothing is said.
                (None, Completeness::WithoutArchive { built }) => {
                    answer.has_all_but(&about, |it| states.is_before(it, state, *built))
                }
                (Some(searched), _) => {
                    answer.has_as_many(&about)?;
                    answer.has_all_but(&about, |it| states.is_before(it, state, searched.built))?;
                    // What a short list of candidates has missed says nothing.
                    return Ok(if *complexity >= COMPLEXITY_MIN { answer.recall() } else { Recall::default() });
                }
            }
            .map(|()| Recall::default())
        }
        (Op::Count, Reply::Count { .. }) => Ok(Recall::default()),
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
fn ranked(shape: Shape, state: &State, asked: &Asked<'_>, vector: &[f32]) -> Vec<(RecordId, f32)> {
    let far = |(id, version): (&RecordId, &Version)| {
        let (_, transaction) = asked.by_retry.get(asked.writers.get(&(*id, *version))?)?;
        let draft = Asked::write(transaction, *id)?;
        Some((*id, shape.distance(Kernels::scalar(), &draft.vector, vector).unwrap_or(f32::NAN)))
    };
    let mut all: Vec<_> = state.iter().filter_map(far).collect();
    all.sort_by(|one, other| one.1.total_cmp(&other.1).then(one.0.cmp(&other.0)));
    all
}

/// What a search has found, and what there was to find.
struct Answer<'a> {
    found: &'a [(RecordId, f32)],
    all: &'a [(RecordId, f32)],
    k: usize,
}

impl Answer<'_> {
    fn nearest(&self) -> &[(RecordId, f32)] {
        &self.all[..self.all.len().min(self.k)]
    }

    /// Q1.
    fn is_exact(&self, about: &str) -> Result<(), Wrong> {
        if bits(self.found) == bits(self.nearest()) {
            return Ok(());
        }
        let (found, wanted) = (self.found, self.nearest());
        Err(Wrong::Inexact(format!("{about}: found {found:?}, brute force finds {wanted:?}")))
    }

    /// Distances are right and in order, and of those records that the graph is not needed for none is missing that is nearer than
    /// the last that was found.
    fn has_all_but(&self, about: &str, is_archived: impl Fn(RecordId) -> bool) -> Result<(), Wrong> {
        let among: Vec<_> =
            self.all.iter().filter(|one| self.found.iter().any(|hit| hit.0 == one.0)).copied().collect();
        if bits(&among) != bits(self.found) {
            return Err(Wrong::Inexact(format!("{about}: found {:?}, which is {among:?}", self.found)));
        }
        let is_missing = |(id, far): &&(RecordId, f32)| {
            let last = self.found.last().filter(|_| self.found.len() >= self.k);
            let counts = last.is_none_or(|last| (*far, *id) < (last.1, last.0)) && self.k > 0;
            counts && !is_archived(*id) && !self.found.iter().any(|hit| hit.0 == *id)
        };
        match self.all.iter().find(is_missing) {
            Some(missing) => Err(Wrong::Missed(format!("{about}: found {:?} without {missing:?}", self.found))),
            None => Ok(()),
        }
    }

    /// However bad the graph is, it leads everywhere.
    fn has_as_many(&self, about: &str) -> Result<(), Wrong> {
        if self.found.len() == self.nearest().len() {
            return Ok(());
        }
        Err(Wrong::Missed(format!("{about}: found {:?} of {} records", self.found, self.all.len())))
    }

    fn recall(&self) -> Recall {
        let Some(worst) = self.nearest().last() else { return Recall::default() };
        let found = self.found.iter().filter(|hit| hit.1 <= worst.1).count();
        Recall { found: found as u64, wanted: self.nearest().len() as u64 }
    }
}

fn bits(hits: &[(RecordId, f32)]) -> Vec<(RecordId, u32)> {
    hits.iter().map(|(id, far)| (*id, far.to_bits())).collect()
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
    /// Which frame has made a version of a record.
    written: BTreeMap<(RecordId, Version), Lsn>,
    empty: State,
}

impl Timeline {
    fn of(facts: &Facts, asked: &Asked<'_>) -> Self {
        let (mut states, mut written) = (BTreeMap::new(), BTreeMap::new());
        let mut state = State::new();
        for (retry, decision) in &facts.decisions {
            let Outcome::Committed { versions, .. } = &decision.outcome else { continue };
            let transaction = asked.by_retry.get(retry).map(|(_, transaction)| *transaction);
            for (id, version) in versions {
                written.insert((*id, *version), decision.lsn);
                match transaction.and_then(|transaction| Asked::write(transaction, *id)) {
                    Some(_) => drop(state.insert(*id, *version)),
                    None => drop(state.remove(id)),
                }
            }
            states.insert(decision.lsn, state.clone());
        }
        Timeline { states, written, empty: State::new() }
    }

    /// Whether the record is, in that state, as it was written up to a frame.
    fn is_before(&self, id: RecordId, state: &State, frame: Lsn) -> bool {
        state.get(&id).and_then(|version| self.written.get(&(id, *version))).is_some_and(|lsn| *lsn <= frame)
    }

    fn at(&self, lsn: Lsn) -> &State {
        self.states.range(..=lsn).next_back().map_or(&self.empty, |(_, state)| state)
    }
}
