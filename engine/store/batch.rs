//! What a frame of the log says: that these transactions are decided, in this order.
//!
//! One batch is one frame, so it is decided as a whole, and the order of frames with the order inside each is the
//! order of decisions. A batch names the votes it rests on by digest, and the retry ids it answers, so that recovery
//! can tell a file that was decided from one that was only tried, and rebuild what a retry is to be told.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::{
    Digest, Record, StoreResult,
    codec::{Cursor, Flaw, put_text, put_u32, put_u64},
    record::within,
    segment::SegmentName,
};
use crate::ids::{RecordId, Version};

/// The most that the transactions of a batch may weigh ([`Batch::weight`]), in bytes.
pub const WEIGHT_MAX: usize = 10 << 20;
/// The most bytes that a batch of some weight takes in JSON: six for a control character, and a little around it all.
pub(super) const fn json_bytes_max(weight: usize) -> usize {
    6 * weight + 64
}
/// The most votes on one transaction, and the most on a batch.
pub const VOTES_MAX: usize = 64;
/// The longest name of a participant, in bytes.
pub const PARTICIPANT_BYTES_MAX: usize = 64;

/// Transactions that are decided together.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    /// Votes of those who take part in every batch.
    pub votes: Vec<Vote>,
    /// In the order of their decision.
    pub transactions: Vec<Transaction>,
}

/// A transaction that is decided.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transaction {
    /// Its name among the participants.
    pub id: TransactionId,
    /// The client's name for it, by which a retry is recognised.
    pub retry: Option<RetryId>,
    /// Votes of those who take part in this transaction only.
    pub votes: Vec<Vote>,
    /// What it changes, in this order.
    pub writes: Vec<Write>,
    /// A segment whose records it adds, none of which was there before. The segment has their versions, and this decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loaded: Option<SegmentName>,
    /// Whether, from this transaction on, a rebuild of the archive is under way; `None` if it does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rebuilding: Option<bool>,
}

/// Names a transaction among its participants. Never given twice, not even over restarts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TransactionId(pub u64);

/// The client's name for a transaction: the same in every retry, and unlike any other that any client uses.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RetryId(pub u128);

/// A participant's yes, by the digest of what it made durable.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vote {
    /// Who.
    pub participant: Participant,
    /// What.
    pub digest: Digest,
}

/// The name of someone who takes part in commits: 1 to [`PARTICIPANT_BYTES_MAX`] bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(transparent)]
pub struct Participant(Box<str>);

/// One change.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Write {
    /// The record is as follows.
    Put(Arc<Record>),
    /// There is no such record any more.
    Delete {
        /// Which.
        id: RecordId,
        /// The version of its absence, greater than that of what was deleted.
        version: Version,
    },
}

impl Participant {
    /// A name, if it is neither empty nor too long.
    pub fn new(name: &str) -> Option<Participant> {
        (1..=PARTICIPANT_BYTES_MAX).contains(&name.len()).then(|| Participant(name.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Participant {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let name = String::deserialize(from)?;
        Participant::new(&name).ok_or_else(|| D::Error::custom("a participant's name is empty or too long"))
    }
}

impl Serialize for RetryId {
    /// Hexadecimal digits: many readers of JSON have no numbers of 128 bits.
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("{:032x}", self.0))
    }
}

impl<'de> Deserialize<'de> for RetryId {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let digits = String::deserialize(from)?;
        u128::from_str_radix(&digits, 16).map(RetryId).map_err(D::Error::custom)
    }
}

impl Write {
    /// The record it changes.
    pub fn id(&self) -> RecordId {
        match self {
            Write::Put(record) => record.id,
            Write::Delete { id, .. } => *id,
        }
    }

    /// The version it makes.
    pub fn version(&self) -> Version {
        match self {
            Write::Put(record) => record.version,
            Write::Delete { version, .. } => *version,
        }
    }

    fn weight(&self) -> usize {
        match self {
            Write::Put(record) => 1 + record.weight(),
            Write::Delete { .. } => 1 + 8 + 8,
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Write::Put(record) => {
                out.push(PUT);
                record.encode(out);
            }
            Write::Delete { id, version } => {
                out.push(DELETE);
                put_u64(out, id.0);
                put_u64(out, version.0);
            }
        }
    }

    fn decode(from: &mut Cursor<'_>) -> Result<Write, Flaw> {
        let begin = from.position();
        match from.u8()? {
            PUT => Ok(Write::Put(Arc::new(Record::decode(from)?))),
            DELETE => Ok(Write::Delete { id: RecordId(from.u64()?), version: Version(from.u64()?) }),
            other => Err(Flaw::new(begin, "1 (put) or 2 (delete)", other.to_string())),
        }
    }
}

const PUT: u8 = 1;
const DELETE: u8 = 2;

impl Transaction {
    /// The bytes it takes in the binary format.
    pub fn weight(&self) -> usize {
        let writes: usize = self.writes.iter().map(Write::weight).sum();
        let loaded = self.loaded.map_or(0, |_| SegmentName::BYTES);
        8 + 1 + 16 + votes_weight(&self.votes) + 4 + writes + 1 + loaded + 1
    }

    fn encode(&self, out: &mut Vec<u8>) {
        put_u64(out, self.id.0);
        out.push(u8::from(self.retry.is_some()));
        out.extend_from_slice(&self.retry.map_or(0, |retry| retry.0).to_le_bytes());
        encode_votes(&self.votes, out);
        put_u32(out, self.writes.len() as u32);
        self.writes.iter().for_each(|write| write.encode(out));
        out.push(u8::from(self.loaded.is_some()));
        self.loaded.iter().for_each(|name| name.encode(out));
        out.push(self.rebuilding.map_or(0, |rebuilding| 1 + u8::from(rebuilding)));
    }

    fn decode(from: &mut Cursor<'_>) -> Result<Transaction, Flaw> {
        let id = TransactionId(from.u64()?);
        let begin = from.position();
        let retry = match (from.u8()?, from.u128()?) {
            (0, 0) => None,
            (1, retry) => Some(RetryId(retry)),
            (flag, _) => return Err(Flaw::new(begin, "0 with no retry id, or 1 with one", flag.to_string())),
        };
        let votes = decode_votes(from)?;
        let count = from.count("writes", WEIGHT_MAX, 17)?;
        let writes = (0..count).map(|_| Write::decode(from)).collect::<Result<_, _>>()?;
        let begin = from.position();
        let loaded = match from.u8()? {
            0 => None,
            1 => Some(SegmentName::decode(from)?),
            other => return Err(Flaw::new(begin, "0 (no segment) or 1", other.to_string())),
        };
        let begin = from.position();
        let rebuilding = match from.u8()? {
            0 => None,
            said @ (1 | 2) => Some(said == 2),
            other => return Err(Flaw::new(begin, "0, or 1 (no rebuild) or 2 (a rebuild)", other.to_string())),
        };
        Ok(Transaction { id, retry, votes, writes, loaded, rebuilding })
    }
}

impl Batch {
    /// The bytes it takes in the binary format; the JSON form of a batch within [`WEIGHT_MAX`] fits in a frame too.
    pub fn weight(&self) -> usize {
        let transactions: usize = self.transactions.iter().map(Transaction::weight).sum();
        votes_weight(&self.votes) + 4 + transactions
    }

    /// Whether the format can hold it.
    pub fn check(&self) -> StoreResult<()> {
        within("the bytes of a batch", self.weight(), WEIGHT_MAX)?;
        within("the votes on a batch", self.votes.len(), VOTES_MAX)?;
        for transaction in &self.transactions {
            within("the votes on a transaction", transaction.votes.len(), VOTES_MAX)?;
        }
        self.writes().try_for_each(|write| match write {
            Write::Put(record) => record.check(),
            Write::Delete { .. } => Ok(()),
        })
    }

    pub(super) fn encode_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("maps have texts for keys, and nothing else can fail in memory")
    }

    pub(super) fn decode_json(bytes: &[u8]) -> Result<Batch, Flaw> {
        let batch: Batch = serde_json::from_slice(bytes).map_err(|error| Flaw::new(0, "a batch", error.to_string()))?;
        batch.check().map_err(|error| Flaw::new(0, "a batch within its bounds", error.to_string()))?;
        Ok(batch)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.weight());
        encode_votes(&self.votes, &mut out);
        put_u32(&mut out, self.transactions.len() as u32);
        self.transactions.iter().for_each(|transaction| transaction.encode(&mut out));
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Batch, Flaw> {
        let mut from = Cursor::new(bytes);
        let votes = decode_votes(&mut from)?;
        let count = from.count("transactions", WEIGHT_MAX, 34)?;
        let transactions = (0..count).map(|_| Transaction::decode(&mut from)).collect::<Result<_, _>>()?;
        from.end()?;
        Ok(Batch { votes, transactions })
    }

    /// Every change of the batch, in the order of decision.
    pub fn writes(&self) -> impl Iterator<Item = &Write> {
        self.transactions.iter().flat_map(|transaction| &transaction.writes)
    }

    /// The records that it puts.
    pub fn puts(&self) -> impl Iterator<Item = &Arc<Record>> {
        self.writes().filter_map(|write| match write {
            Write::Put(record) => Some(record),
            Write::Delete { .. } => None,
        })
    }

    /// The segments whose records it adds.
    pub fn loaded(&self) -> impl Iterator<Item = SegmentName> {
        self.transactions.iter().filter_map(|transaction| transaction.loaded)
    }
}

fn votes_weight(votes: &[Vote]) -> usize {
    let votes: usize = votes.iter().map(|vote| 4 + vote.participant.0.len() + Digest::LEN).sum();
    4 + votes
}

pub(super) fn encode_votes(votes: &[Vote], out: &mut Vec<u8>) {
    put_u32(out, votes.len() as u32);
    for vote in votes {
        put_text(out, &vote.participant.0);
        out.extend_from_slice(&vote.digest.0);
    }
}

pub(super) fn decode_votes(from: &mut Cursor<'_>) -> Result<Vec<Vote>, Flaw> {
    let count = from.count("votes", VOTES_MAX, 4 + Digest::LEN)?;
    (0..count).map(|_| decode_vote(from)).collect()
}

fn decode_vote(from: &mut Cursor<'_>) -> Result<Vote, Flaw> {
    let begin = from.position();
    let name = from.text(PARTICIPANT_BYTES_MAX)?;
    let participant = Participant::new(name).ok_or_else(|| Flaw::new(begin, "a participant's name", "nothing"))?;
    Ok(Vote { participant, digest: Digest(from.array()?) })
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::{super::samples::any_batch, *};

    proptest! {
        #[test]
        fn a_batch_comes_back_from_both_formats_as_it_was(batch in any_batch()) {
            prop_assert_eq!(&Batch::decode(&batch.encode()).expect("binary"), &batch);
            prop_assert_eq!(&Batch::decode_json(&batch.encode_json()).expect("JSON"), &batch);
        }

        #[test]
        fn the_weight_is_the_length_in_binary_and_bounds_that_in_json(batch in any_batch()) {
            prop_assert_eq!(batch.encode().len(), batch.weight());
            prop_assert!(batch.encode_json().len() <= json_bytes_max(batch.weight()));
        }

        #[test]
        fn json_holds_no_zero_byte_and_no_line_feed(batch in any_batch()) {
            prop_assert!(!batch.encode_json().iter().any(|byte| matches!(byte, 0 | b'\n')));
        }

        #[test]
        fn arbitrary_bytes_are_refused_or_are_what_would_be_written(bytes in vec(any::<u8>(), 0..300)) {
            if let Ok(batch) = Batch::decode(&bytes) {
                prop_assert_eq!(batch.encode(), bytes);
            }
        }

        #[test]
        fn a_changed_byte_is_refused_or_is_what_would_be_written(
            batch in any_batch(), at in any::<prop::sample::Index>(), byte in any::<u8>()
        ) {
            let mut bytes = batch.encode();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            // Attributes that are not in order are read, and would be written in order.
            if let Ok(batch) = Batch::decode(&bytes) {
                prop_assert_eq!(batch.encode().len(), bytes.len());
            }
        }
    }

    #[test]
    fn a_count_is_refused_before_room_is_made_for_it() {
        let mut bytes = Batch::default().encode();
        let at = bytes.len() - 4;
        bytes[at..].copy_from_slice(&u32::MAX.to_le_bytes());
        let flaw = Batch::decode(&bytes).expect_err("there are no transactions in no bytes");
        assert_eq!((&*flaw.expected, &*flaw.found), ("at most 0 transactions", "4294967295"));
    }

    #[test]
    fn a_record_with_an_infinite_component_is_refused_before_it_is_written() {
        let mut record = super::super::samples::record(1);
        record.vector[2] = f32::INFINITY;
        let error = record.check().expect_err("infinite");
        assert_eq!(error.to_string(), "component 2 is not a finite number; correct the record");
    }
}
