//! What was decided in the frames that a segment was made from: it outlives them, so that a late copy of a request is
//! still answered as the first was, when the log no longer has its frame.

use crate::{
    ids::{Lsn, RecordId, Version},
    store::{
        RetryId, Transaction, TransactionId, Vote,
        batch::{decode_votes, encode_votes},
        codec::{Cursor, Flaw, put_u32, put_u64},
    },
};

/// A transaction that was decided, without the records that it wrote.
#[derive(Clone, PartialEq, Debug)]
pub struct Decided {
    /// The frame that decided it.
    pub lsn: Lsn,
    /// Its place among the transactions of that frame.
    pub place: u32,
    /// Its name among the participants.
    pub id: TransactionId,
    /// The client's name for it.
    pub retry: RetryId,
    /// Votes of those who took part in this transaction only.
    pub votes: Vec<Vote>,
    /// The version that each write made.
    pub versions: Vec<(RecordId, Version)>,
}

/// The least bytes of a decision.
pub(super) const BYTES_MIN: usize = 8 + 4 + 8 + 16 + 4 + 4;

impl Decided {
    /// What is kept of a transaction of a frame; `None` if nobody can ask for it again.
    pub fn of(lsn: Lsn, place: u32, transaction: &Transaction) -> Option<Decided> {
        let versions = transaction.writes.iter().map(|write| (write.id(), write.version())).collect();
        let votes = transaction.votes.clone();
        Some(Decided { lsn, place, id: transaction.id, retry: transaction.retry?, votes, versions })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        put_u64(out, self.lsn.0);
        put_u32(out, self.place);
        put_u64(out, self.id.0);
        out.extend_from_slice(&self.retry.0.to_le_bytes());
        encode_votes(&self.votes, out);
        put_u32(out, self.versions.len() as u32);
        for (id, version) in &self.versions {
            put_u64(out, id.0);
            put_u64(out, version.0);
        }
    }

    fn decode(from: &mut Cursor<'_>) -> Result<Decided, Flaw> {
        let (lsn, place, id) = (Lsn(from.u64()?), from.u32()?, TransactionId(from.u64()?));
        let (retry, votes) = (RetryId(from.u128()?), decode_votes(from)?);
        let count = from.count("versions", usize::MAX, 16)?;
        let version = |_| Ok((RecordId(from.u64()?), Version(from.u64()?)));
        Ok(Decided { lsn, place, id, retry, votes, versions: (0..count).map(version).collect::<Result<_, _>>()? })
    }
}

/// All of them, in the order of decision.
pub(super) fn encode(decisions: &[Decided]) -> Vec<u8> {
    let mut out = Vec::new();
    put_u32(&mut out, decisions.len() as u32);
    for decided in decisions {
        decided.encode(&mut out);
    }
    out
}

/// How many of these bytes [`encode`] has written, if it has.
pub(super) fn encoded_bytes(bytes: &[u8]) -> Option<usize> {
    let mut from = Cursor::new(bytes);
    let count = from.count("decisions", usize::MAX, BYTES_MIN).ok()?;
    for _ in 0..count {
        Decided::decode(&mut from).ok()?;
    }
    Some(from.position())
}

/// Reads what [`encode`] wrote.
pub(super) fn decode(bytes: &[u8]) -> Result<Vec<Decided>, Flaw> {
    let mut from = Cursor::new(bytes);
    let count = from.count("decisions", usize::MAX, BYTES_MIN)?;
    let decisions: Vec<Decided> = (0..count).map(|_| Decided::decode(&mut from)).collect::<Result<_, _>>()?;
    from.end()?;
    if !decisions.is_sorted_by_key(|decided| (decided.lsn, decided.place)) {
        return Err(Flaw::new(4, "decisions in their order", "another order"));
    }
    Ok(decisions)
}
