//! What the node holds, against what clients had asked for.

use std::collections::{BTreeMap, BTreeSet};

use stormproof_engine::memory::{Draft, Facts, Op, Outcome, Record, RecordId, Reply, RetryId, Transaction, Version};
use stormproof_sim::check::history::{History, OpId, Outcome as Ended};

/// What the node has proposed by itself, to consolidate its memory, in all of its lives.
pub type Proposed = BTreeMap<RetryId, Transaction>;

/// Numbers of operations from here on stand for what the node has proposed: no client comes near them.
const PROPOSALS_FROM: u64 = 1 << 40;

/// What clients, or the node itself, had asked for, by transaction.
#[derive(Debug, Default)]
pub struct Asked<'a> {
    /// Which operation asked for it, and how.
    pub by_retry: BTreeMap<RetryId, (OpId, &'a Transaction)>,
    /// Which transaction made a version of a record.
    pub writers: BTreeMap<(RecordId, Version), RetryId>,
}

impl<'a> Asked<'a> {
    /// Everything in a history and all that the node has proposed by itself, with the writers as the decisions have them.
    pub fn of(history: &'a History<Op, Reply>, proposed: &'a Proposed, facts: &Facts) -> Self {
        let commits = history.operations().iter().filter_map(|operation| match &operation.op {
            Op::Commit(transaction) => Some((transaction.retry, (operation.id, transaction))),
            Op::Get { .. }
            | Op::Count
            | Op::Range { .. }
            | Op::Walk { .. }
            | Op::Search { .. }
            | Op::Activate { .. }
            | Op::Consolidate { .. }
            | Op::Rebuild => None,
        });
        let own = (PROPOSALS_FROM..).map(OpId).zip(proposed.values());
        let own = own.map(|(op, transaction)| (transaction.retry, (op, transaction)));
        let mut writers = BTreeMap::new();
        for (retry, decision) in &facts.decisions {
            if let Outcome::Committed { versions, .. } = &decision.outcome {
                writers.extend(versions.iter().map(|write| (*write, *retry)));
            }
        }
        Asked { by_retry: commits.chain(own).collect(), writers }
    }

    /// Transactions that no client has asked for.
    pub fn own(&self) -> impl Iterator<Item = (OpId, &'a Transaction)> {
        self.by_retry.values().copied().filter(|(op, _)| op.0 >= PROPOSALS_FROM)
    }

    /// What a transaction writes to a record; `None` if it removes it.
    pub fn write(transaction: &'a Transaction, id: RecordId) -> Option<&'a Draft> {
        transaction.inserts.iter().chain(&transaction.upserts).find(|draft| draft.id == id)
    }

    /// A record is what the writer of its version had asked for.
    pub fn is_genuine(&self, record: &Record) -> Result<(), String> {
        let name = format!("record {} in version {}", record.id.0, record.version.0);
        let retry = self.writers.get(&(record.id, record.version)).ok_or(format!("{name} was written by nobody"))?;
        let (op, transaction) = self.by_retry.get(retry).ok_or(format!("{name}: nobody asked for {:x}", retry.0))?;
        let draft = Self::write(transaction, record.id).ok_or(format!("{name}: {op} does not write it"))?;
        let same = draft.text == record.text
            && draft.links == record.links
            && draft.kappa.to_bits() == record.kappa.to_bits()
            && draft.attributes == record.attributes
            && bits(&draft.vector) == bits(&record.vector);
        if same { Ok(()) } else { Err(format!("{name} is {record:?}, {op} wrote {draft:?}")) }
    }
}

/// D6: every record and every row of the index is what the writer of its version had asked for.
pub fn are_genuine(facts: &Facts, asked: &Asked<'_>) -> Result<(), String> {
    facts.records.iter().try_for_each(|record| asked.is_genuine(record))?;
    facts.rows.iter().try_for_each(|row| {
        let name = format!("the row of record {} in version {}", row.id.0, row.version.0);
        let retry = asked.writers.get(&(row.id, row.version)).ok_or(format!("{name} was written by nobody"))?;
        let (op, transaction) = asked.by_retry.get(retry).ok_or(format!("{name}: nobody asked for {:x}", retry.0))?;
        let draft = Asked::write(transaction, row.id).ok_or(format!("{name}: {op} does not write it"))?;
        match &row.vector {
            Some(vector) if bits(&draft.vector) != bits(vector) => {
                Err(format!("{name} is {vector:?}, {op} wrote {:?}", draft.vector))
            }
            Some(_) | None => Ok(()),
        }
    })
}

fn bits(vector: &[f32]) -> Vec<u32> {
    vector.iter().map(|x| x.to_bits()).collect()
}

/// D2: every record was asked for, and every committed transaction wrote all that it was asked to write.
pub fn are_whole(facts: &Facts, asked: &Asked<'_>) -> Result<(), String> {
    facts.records.iter().try_for_each(|record| asked.is_genuine(record))?;
    for (retry, decision) in &facts.decisions {
        let Outcome::Committed { versions, .. } = &decision.outcome else { continue };
        let Some((op, transaction)) = asked.by_retry.get(retry) else {
            return Err(format!("nobody asked for transaction {:x}, which is committed", retry.0));
        };
        let drafts = transaction.inserts.iter().chain(&transaction.upserts).map(|draft| draft.id);
        let mut wanted: Vec<RecordId> = drafts.chain(transaction.deletes.iter().copied()).collect();
        let mut written: Vec<RecordId> = versions.iter().map(|(id, _)| *id).collect();
        wanted.sort_unstable();
        written.sort_unstable();
        if wanted != written {
            return Err(format!("{op} asked to write {wanted:?}, its commit wrote {written:?}"));
        }
    }
    Ok(())
}

/// D4: what was refused is not there: transactions that had no effect, and those whose clients were told no.
pub fn refused_left_nothing(
    facts: &Facts,
    history: &History<Op, Reply>,
    told_no: &BTreeSet<RetryId>,
) -> Result<(), String> {
    for operation in history.operations() {
        let Op::Commit(transaction) = &operation.op else { continue };
        if !matches!(operation.outcome, Ended::Fail { .. }) && !told_no.contains(&transaction.retry) {
            continue;
        }
        let decision = facts.decisions.iter().find(|(retry, _)| *retry == transaction.retry);
        if let Some((_, decision)) = decision
            && matches!(decision.outcome, Outcome::Committed { .. })
        {
            return Err(format!("{} was refused, and is committed at {:?}", operation.id, decision.lsn));
        }
    }
    Ok(())
}
