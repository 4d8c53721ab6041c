//! What tests write: records and batches, plain ones and arbitrary ones.

use std::sync::Arc;

use proptest::{collection::vec, prelude::*};
use stormproof_contract::WallTime;

use super::{
    Batch, Digest, Link, Lsn, Participant, Record, RecordId, RetryId, Transaction, TransactionId, Version, Vote, Write,
    segment::{SegmentName, SegmentNo},
};

/// A small record without zero bytes where it matters, told from others by its number.
pub(super) fn record(number: u64) -> Record {
    Record {
        id: RecordId(number),
        version: Version(number + 1),
        vector: vec![0.1, -0.7, 1.3, number as f32],
        text: format!("the text of record {number}"),
        attributes: [("colour".to_owned(), "gr\"ey\n".to_owned())].into(),
        links: vec![Link { to: RecordId(number / 2), weight: 0.75 }],
        created_at: WallTime(1_763_000_000_000_000_000),
        kappa: 0.25,
    }
}

/// A batch of one transaction that puts `record(number)`.
pub(super) fn batch(number: u64) -> Batch {
    let writes = vec![Write::Put(Arc::new(record(number)))];
    let retry = Some(RetryId(u128::from(number) << 64 | 7));
    let transaction = Transaction {
        id: TransactionId(number),
        retry,
        votes: vec![vote("ledger", number)],
        writes,
        loaded: None,
        rebuilding: None,
    };
    Batch { votes: vec![vote("l1", number)], transactions: vec![transaction] }
}

fn vote(participant: &str, number: u64) -> Vote {
    let participant = Participant::new(participant).expect("a short name");
    Vote { participant, digest: Digest::of(&number.to_le_bytes()) }
}

fn any_finite() -> impl Strategy<Value = f32> {
    any::<u32>().prop_map(f32::from_bits).prop_filter("finite", |number| number.is_finite())
}

pub(super) fn any_record() -> impl Strategy<Value = Record> {
    let attributes = proptest::collection::btree_map(any::<String>(), any::<String>(), 0..3);
    let links = vec((any::<u64>(), 0.0..=1.0_f32).prop_map(|(to, weight)| Link { to: RecordId(to), weight }), 0..4);
    let numbers = (any::<u64>(), any::<u64>(), any::<u64>());
    (numbers, vec(any_finite(), 0..40), any::<String>(), attributes, links, any_finite()).prop_map(
        |((id, version, created_at), vector, text, attributes, links, kappa)| Record {
            id: RecordId(id),
            version: Version(version),
            vector,
            text,
            attributes,
            links,
            created_at: WallTime(created_at),
            kappa,
        },
    )
}

pub(super) fn any_write() -> impl Strategy<Value = Write> {
    prop_oneof![
        any_record().prop_map(|record| Write::Put(Arc::new(record))),
        any::<(u64, u64)>().prop_map(|(id, version)| Write::Delete { id: RecordId(id), version: Version(version) }),
    ]
}

fn any_vote() -> impl Strategy<Value = Vote> {
    (".{1,16}", any::<[u8; 16]>()).prop_map(|(name, digest)| Vote {
        participant: Participant::new(&name).expect("short"),
        digest: Digest(digest),
    })
}

fn any_segment_name() -> impl Strategy<Value = SegmentName> {
    let number = || 0..1_u64 << 62;
    (number(), number(), any::<[u8; 16]>(), number(), number(), number()).prop_map(
        |(no, bytes, digest, upto, entries, live)| SegmentName {
            no: SegmentNo(no),
            bytes,
            digest: Digest(digest),
            upto: Lsn(upto),
            entries,
            live,
        },
    )
}

fn any_transaction() -> impl Strategy<Value = Transaction> {
    let beside = (proptest::option::of(any_segment_name()), any::<Option<bool>>());
    (any::<u64>(), any::<Option<u128>>(), vec(any_vote(), 0..3), vec(any_write(), 0..4), beside).prop_map(
        |(id, retry, votes, writes, (loaded, rebuilding))| {
            let (id, retry) = (TransactionId(id), retry.map(RetryId));
            Transaction { id, retry, votes, writes, loaded, rebuilding }
        },
    )
}

pub(super) fn any_batch() -> impl Strategy<Value = Batch> {
    (vec(any_vote(), 0..3), vec(any_transaction(), 0..3))
        .prop_map(|(votes, transactions)| Batch { votes, transactions })
}
