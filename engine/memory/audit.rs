//! What must be true of the facts, as pure functions: for invariants, and for tests.
//!
//! They compute from the ground truth again what the engine keeps beside it, in the plainest way.

use super::{
    decided::{Decision, Outcome},
    facts::{Facts, ManagerFacts},
    op::Reply,
};
use crate::{
    ids::{Lsn, RecordId, Version},
    protocol::Verdict,
    store::{RetryId, TransactionId},
    vector::Kernels,
};

/// What is not as it must be, in words.
pub type Breach = Box<str>;

/// The exact index knows each live record, in its version, and no other; and has its vector, which it must of those
/// written since the last flush.
pub fn index_agrees(facts: &Facts) -> Result<(), Breach> {
    let known = facts.rows.iter().map(|row| (row.id, row.version));
    let live = facts.records.iter().map(|record| (record.id, record.version));
    let (known, live): (Vec<_>, Vec<_>) = (known.collect(), live.collect());
    if known != live {
        let names = |list: &[(RecordId, Version)]| {
            list.iter().map(|(id, version)| format!("{}v{}", id.0, version.0)).collect::<Vec<_>>().join(" ")
        };
        return Err(format!("index: [{}], records: [{}]", names(&known), names(&live)).into());
    }
    facts.rows.iter().zip(&facts.records).try_for_each(|(row, record)| match &row.vector {
        Some(vector) if bits(vector) == bits(&record.vector) => Ok(()),
        Some(vector) => Err(format!("index: {} is {vector:?}, record: {:?}", row.id, record.vector).into()),
        None if facts.recent.contains(&row.id) => {
            Err(format!("index: no row of {}, which is not flushed", row.id).into())
        }
        None => Ok(()),
    })
}

/// What a search must find: every record compared, nearest first, those equally far by ascending id.
pub fn nearest(facts: &Facts, vector: &[f32], k: usize) -> Vec<(RecordId, f32)> {
    let far = |row: &[f32]| facts.shape.distance(Kernels::scalar(), row, vector).unwrap_or(f32::NAN);
    let mut all: Vec<_> = facts.records.iter().map(|record| (record.id, far(&record.vector))).collect();
    all.sort_by(|one, other| one.1.total_cmp(&other.1).then(one.0.cmp(&other.0)));
    all.truncate(k);
    all
}

/// Every manager has finished, or is owed, exactly the transactions that were decided with its vote; none that was
/// decided is lost on it, none that was not shows, and none is left in doubt that nobody will tell it the end of.
pub fn managers_agree(facts: &Facts) -> Result<(), Breach> {
    facts.managers.iter().try_for_each(|manager| manager_agrees(facts, manager))
}

fn manager_agrees(facts: &Facts, manager: &ManagerFacts) -> Result<(), Breach> {
    let decided: Vec<_> =
        facts.decisions.iter().filter(|(_, it)| names(it, &manager.name)).map(|(_, it)| it.id).collect();
    let owed = |tx: &TransactionId| {
        let mut to_it = facts.owed.iter().filter(|owed| owed.manager.as_deref() == Some(&*manager.name));
        to_it.find(|owed| owed.tx == Some(*tx)).map(|owed| owed.verdict)
    };
    let finishes = |tx: &TransactionId| owed(tx) == Some(Verdict::Committed);
    if let Some(tx) = decided.iter().find(|tx| !manager.finished.contains(tx) && !finishes(tx)) {
        return Err(format!("`{}` has lost transaction {}, which was decided", manager.name, tx.0).into());
    }
    let waits = |tx: &TransactionId| facts.waiting.iter().any(|(_, waiting)| waiting == tx);
    if let Some(tx) = manager.in_doubt.iter().find(|tx| owed(tx).is_none() && !waits(tx)) {
        return Err(format!("`{}` is left in doubt about transaction {}", manager.name, tx.0).into());
    }
    match manager.finished.iter().find(|tx| !decided.contains(tx)) {
        Some(tx) => Err(format!("`{}` has finished transaction {}, which was not decided", manager.name, tx.0).into()),
        None => Ok(()),
    }
}

fn names(decision: &Decision, manager: &str) -> bool {
    match &decision.outcome {
        Outcome::Committed { managers, .. } => managers.iter().any(|(name, _)| **name == *manager),
        Outcome::Refused(_) => false,
    }
}

/// No two decisions share a place, every write has a version, and no record's versions go back.
pub fn decisions_are_ordered(facts: &Facts) -> Result<(), Breach> {
    let mut last = std::collections::BTreeMap::new();
    let mut before = None;
    for (retry, decision) in &facts.decisions {
        let place = (decision.lsn, decision.place);
        if before.replace(place).is_some_and(|before| before >= place) || decision.lsn > facts.lsn {
            return Err(format!("the decision on {:032x} stands at {place:?}", retry.0).into());
        }
        let Outcome::Committed { versions, .. } = &decision.outcome else { continue };
        for &(id, version) in versions {
            if last.insert(id, version).is_some_and(|last| last >= version) {
                return Err(format!("{id} has {version} again, at {}", decision.lsn).into());
            }
        }
    }
    let ends = facts.records.iter().map(|record| (record.id, record.version)).chain(facts.deleted.iter().copied());
    match ends.into_iter().find(|(id, version)| last.get(id) != Some(version)) {
        Some((id, version)) => Err(format!("{id} has {version}, and was last given {:?}", last.get(&id)).into()),
        None => Ok(()),
    }
}

/// What a crash and a recovery must not change: the records, and what was decided. Why a transaction was refused is
/// forgotten by design, and so may the removals be up to `version_floor`.
pub fn lasting(facts: &Facts, version_floor: Version) -> Lasting {
    let decisions = facts.decisions.iter().map(|(retry, decision)| (*retry, forget_why(decision))).collect();
    let records = facts.records.iter().map(|record| (**record).clone()).collect();
    let deleted = facts.deleted.iter().copied().filter(|(_, version)| *version > version_floor).collect();
    Lasting { lsn: facts.lsn, changed: facts.changed, records, deleted, decisions }
}

/// See [`lasting`].
#[derive(Clone, PartialEq, Debug)]
pub struct Lasting {
    /// The last frame.
    pub lsn: Lsn,
    /// The last frame that changed a record.
    pub changed: Lsn,
    /// The live records.
    pub records: Vec<crate::store::Record>,
    /// The records that are gone, those above the floor.
    pub deleted: Vec<(RecordId, Version)>,
    /// What was decided.
    pub decisions: Vec<(RetryId, Decision)>,
}

fn forget_why(decision: &Decision) -> Decision {
    let outcome = match &decision.outcome {
        Outcome::Committed { .. } => decision.outcome.clone(),
        Outcome::Refused(_) => Outcome::Refused(Reply::Refused(super::op::Refusal::Earlier)),
    };
    Decision { outcome, ..decision.clone() }
}

fn bits(vector: &[f32]) -> Vec<u32> {
    vector.iter().map(|x| x.to_bits()).collect()
}
