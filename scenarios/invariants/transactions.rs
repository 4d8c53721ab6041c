//! The history as a whole, from what clients saw alone: is there one serial order, in agreement with real time?

use stormproof_engine::memory::{Op, Reply, Transaction};
use stormproof_sim::check::{
    history::{History, Moment, Outcome},
    isolation::{Access, Demand, Finding, Seen, Status, Transaction as Txn, TxnId, check},
};

use super::contents::Asked;

/// T1: the cycles that forbid a serial order.
pub fn serializable(history: &History<Op, Reply>, asked: &Asked<'_>) -> Vec<Finding> {
    let transactions: Vec<Txn<u64>> = history
        .operations()
        .iter()
        .filter_map(|operation| {
            let accesses = match (&operation.op, &operation.outcome) {
                (Op::Commit(transaction), _) => commit(transaction, &operation.outcome, asked),
                (_, Outcome::Ok { reply: Reply::Records { records, .. }, .. }) => {
                    records.iter().map(|record| read(record.id.0, (record.id, record.version), asked)).collect()
                }
                (_, Outcome::Ok { reply: Reply::Hits { hits, .. }, .. }) => {
                    hits.iter().map(|hit| read(hit.record.id.0, (hit.record.id, hit.record.version), asked)).collect()
                }
                _ => return None,
            };
            let status = match &operation.outcome {
                Outcome::Ok { at, .. } => Status::Committed { at: *at },
                Outcome::Fail { .. } => Status::Aborted,
                Outcome::Unknown { .. } | Outcome::Open => Status::Unknown,
            };
            Some(Txn { id: TxnId(operation.id.0), began: operation.invoked, status, accesses })
        })
        .chain(asked.own().map(|(op, transaction)| {
            // It has no client who would be told, and so no place in real time.
            let accesses = commit(transaction, &Outcome::Open, asked);
            let (id, began) = (TxnId(op.0), Moment { at: 0, seq: 0 });
            Txn { id, began, status: Status::Unknown, accesses }
        }))
        .collect();
    check(&transactions, Demand::StrictlySerializable)
}

type Written = (stormproof_engine::memory::RecordId, stormproof_engine::memory::Version);

/// What a transaction rested on, then what it wrote.
fn commit(transaction: &Transaction, outcome: &Outcome<Reply>, asked: &Asked<'_>) -> Vec<Access<u64>> {
    let told = match outcome {
        Outcome::Ok { reply: Reply::Committed { versions, .. }, .. } => versions.as_slice(),
        _ => &[],
    };
    let version_of = |record| {
        let told = told.iter().find(|(id, _)| *id == record).map(|(_, version)| *version);
        // A commit whose acknowledgement was lost: its versions are known from where they were seen.
        let seen = || asked.writers.iter().find(|((id, _), retry)| *id == record && **retry == transaction.retry);
        told.or_else(|| seen().map(|((_, version), _)| *version)).map(|version| version.0)
    };
    // Without a version the client read that there was no record: whether there had never been one, or it had been
    // removed, and by whom, the client cannot tell.
    let rests_on = transaction.reads.iter().filter_map(|it| Some(read(it.id.0, (it.id, it.version?), asked)));
    let drafts = transaction.inserts.iter().chain(&transaction.upserts).map(|draft| draft.id);
    let writes = drafts.chain(transaction.deletes.iter().copied());
    let writes = writes.map(|record| Access::Write { key: record.0, version: version_of(record) });
    rests_on.chain(writes).collect()
}

fn read(key: u64, written: Written, asked: &Asked<'_>) -> Access<u64> {
    let writer = asked.writers.get(&written).and_then(|retry| asked.by_retry.get(retry));
    let seen = match writer {
        Some((op, _)) => Seen::Write { by: TxnId(op.0), nth: 0 },
        None => Seen::Unwritten,
    };
    Access::Read { key, seen }
}
