//! A group: some neighbouring records of a segment, in columns.
//!
//! Three parts follow each other: **keys** (what there is, and what it links to: enough to walk links and to see what
//! is current), **facts** (texts and attributes), and **rows**, one vector each, every row with a checksum of its own so
//! that one can be read without its neighbours. Links are one list for the whole group, with the place in it at which
//! each record's begin (compressed sparse rows).

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use stormproof_contract::WallTime;

use super::seal::SEAL_BYTES;
use crate::{
    ids::{RecordId, Version},
    store::{
        Entry, Link, Record,
        codec::{Cursor, Flaw, put_f32s, put_text, put_u32, put_u64},
        record::{self, LINKS_MAX, TEXT_BYTES_MAX},
    },
};

/// The most records of a group.
pub(super) const ENTRIES_MAX: usize = 256;
/// With this many links, or bytes of facts, or bytes of rows, a group is complete.
const LINKS_FULL: usize = 4096;
const FACTS_BYTES_FULL: usize = 32 << 10;
const ROWS_BYTES_FULL: usize = 256 << 10;
/// The longest keys: one record may add all the links that a record can have.
pub(super) const KEYS_BYTES_MAX: usize = 64 + ENTRIES_MAX * 33 + Link::BYTES * (LINKS_FULL + LINKS_MAX);
/// The longest facts: one record may add all the text and attributes that a record can have.
pub(super) const FACTS_BYTES_MAX: usize = FACTS_BYTES_FULL + 4 * ENTRIES_MAX + record::FACTS_BYTES_MAX;

pub(super) const LIVE: u8 = 1;
const DELETED: u8 = 2;

/// How long a row is in the file.
pub(super) fn row_bytes(components: u32) -> u64 {
    4 * u64::from(components) + SEAL_BYTES as u64
}

/// A group that is being gathered.
#[derive(Default)]
pub(super) struct Gathered {
    keys: Keys,
    /// Where in `facts` each live record's begin, and one more for the end.
    fact_ends: Vec<u32>,
    facts: Vec<u8>,
    /// Each row without its checksum, which needs its place.
    pub(super) rows: Vec<(RecordId, Version, Vec<u8>)>,
    rows_bytes: usize,
}

impl Gathered {
    pub(super) fn len(&self) -> usize {
        self.keys.ids.len()
    }

    pub(super) fn first(&self) -> Option<RecordId> {
        self.keys.ids.first().copied()
    }

    pub(super) fn is_full(&self) -> bool {
        self.len() == ENTRIES_MAX
            || self.keys.targets.len() >= LINKS_FULL
            || self.facts.len() >= FACTS_BYTES_FULL
            || self.rows_bytes >= ROWS_BYTES_FULL
    }

    pub(super) fn push(&mut self, id: RecordId, entry: &Entry) {
        self.keys.ids.push(id);
        self.keys.versions.push(entry.version());
        let Entry::Live(record) = entry else { return self.keys.rows.push(None) };
        self.keys.rows.push(Some(self.rows.len()));
        self.keys.created_at.push(record.created_at);
        self.keys.kappa.push(record.kappa);
        self.keys.targets.extend(record.links.iter().map(|link| link.to));
        self.keys.weights.extend(record.links.iter().map(|link| link.weight));
        self.keys.link_ends.push(self.keys.targets.len());
        put_text(&mut self.facts, &record.text);
        record::put_attributes(&mut self.facts, &record.attributes);
        self.fact_ends.push(self.facts.len() as u32);
        let mut row = Vec::with_capacity(4 * record.vector.len());
        put_f32s(&mut row, &record.vector);
        self.rows_bytes += row.len();
        self.rows.push((id, record.version, row));
    }

    /// The keys' bytes, without their checksum.
    pub(super) fn encode_keys(&self) -> Vec<u8> {
        let keys = &self.keys;
        let mut out = Vec::new();
        put_u32(&mut out, keys.ids.len() as u32);
        keys.ids.iter().for_each(|id| put_u64(&mut out, id.0));
        keys.versions.iter().for_each(|version| put_u64(&mut out, version.0));
        out.extend(keys.rows.iter().map(|row| if row.is_some() { LIVE } else { DELETED }));
        keys.created_at.iter().for_each(|time| put_u64(&mut out, time.0));
        keys.kappa.iter().for_each(|kappa| put_u32(&mut out, kappa.to_bits()));
        keys.link_ends.iter().for_each(|&end| put_u32(&mut out, end as u32));
        put_u32(&mut out, keys.targets.len() as u32);
        keys.targets.iter().for_each(|id| put_u64(&mut out, id.0));
        put_f32s(&mut out, &keys.weights);
        out
    }

    /// The facts' bytes, without their checksum.
    pub(super) fn encode_facts(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(4 * self.fact_ends.len() + self.facts.len());
        self.fact_ends.iter().for_each(|&end| put_u32(&mut out, end));
        out.extend_from_slice(&self.facts);
        out
    }
}

/// The keys of a group: which records, in which version, whether they are live, and what they link to.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Keys {
    ids: Vec<RecordId>,
    versions: Vec<Version>,
    /// Its place among the live records of the group; `None` if it is gone.
    rows: Vec<Option<usize>>,
    created_at: Vec<WallTime>,
    kappa: Vec<f32>,
    /// Behind the last link of each live record.
    link_ends: Vec<usize>,
    targets: Vec<RecordId>,
    weights: Vec<f32>,
}

impl Keys {
    /// How many records.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are none; no group of a segment is like that.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// How many of them are live.
    pub fn live(&self) -> usize {
        self.link_ends.len()
    }

    /// About how many bytes they take in memory.
    pub fn bytes_in_memory(&self) -> usize {
        let each = size_of::<RecordId>() + size_of::<Version>() + size_of::<Option<usize>>();
        let each_live = size_of::<WallTime>() + size_of::<f32>() + size_of::<usize>();
        let links = self.targets.len() * (size_of::<RecordId>() + size_of::<f32>());
        size_of::<Keys>() + self.len() * each + self.live() * each_live + links
    }

    /// The place of a record.
    pub fn find(&self, id: RecordId) -> Option<usize> {
        self.ids.binary_search(&id).ok()
    }

    /// The place of the first record from `id` on; behind the last if there is none.
    pub fn first_from(&self, id: RecordId) -> usize {
        self.ids.partition_point(|known| *known < id)
    }

    /// The record at a place.
    pub fn id(&self, at: usize) -> RecordId {
        self.ids[at]
    }

    /// Its version, or that of its absence.
    pub fn version(&self, at: usize) -> Version {
        self.versions[at]
    }

    /// Its place among the rows of the group; `None` if it is gone.
    pub fn row(&self, at: usize) -> Option<usize> {
        self.rows[at]
    }

    /// When the record of a row was created.
    pub fn created_at(&self, row: usize) -> WallTime {
        self.created_at[row]
    }

    /// The records that the record of a row links to.
    pub fn links(&self, row: usize) -> &[RecordId] {
        &self.targets[self.links_of(row)]
    }

    fn links_of(&self, row: usize) -> Range<usize> {
        row.checked_sub(1).map_or(0, |before| self.link_ends[before])..self.link_ends[row]
    }

    /// Reads what [`Gathered::encode_keys`] wrote.
    pub(super) fn decode(bytes: &[u8]) -> Result<Keys, Flaw> {
        let mut from = Cursor::new(bytes);
        let count = from.count("records of a group", ENTRIES_MAX, 17)?;
        let ids: Vec<RecordId> = numbers(&mut from, count)?.into_iter().map(RecordId).collect();
        if ids.is_empty() || !ids.is_sorted_by(|one, next| one < next) {
            return Err(Flaw::new(4, "ids in ascending order", format!("{count} others")));
        }
        let versions = numbers(&mut from, count)?.into_iter().map(Version).collect();
        let rows = decode_rows(&mut from, count)?;
        let live = rows.iter().flatten().count();
        let created_at = numbers(&mut from, live)?.into_iter().map(WallTime).collect();
        let kappa = from.f32s(live)?;
        let link_ends = small_numbers(&mut from, live)?;
        let at = from.position();
        let links = from.count("links", LINKS_FULL + LINKS_MAX, Link::BYTES)?;
        if !link_ends.is_sorted() || link_ends.last().copied().unwrap_or(0) != links {
            return Err(Flaw::new(at, format!("links that end at {:?}", link_ends.last()), links.to_string()));
        }
        let targets = numbers(&mut from, links)?.into_iter().map(RecordId).collect();
        let weights = from.f32s(links)?;
        from.end()?;
        Ok(Keys { ids, versions, rows, created_at, kappa, link_ends, targets, weights })
    }

    /// What is known of the record at a place, which is live.
    pub(super) fn record(&self, at: usize, facts: &Facts, vector: Vec<f32>) -> Result<Record, Flaw> {
        let row = self.rows[at].expect("only live records are asked for");
        let (text, attributes) = facts.decode(row)?;
        let record = Record {
            id: self.ids[at],
            version: self.versions[at],
            vector,
            text,
            attributes,
            links: self.links_of(row).map(|at| Link { to: self.targets[at], weight: self.weights[at] }).collect(),
            created_at: self.created_at[row],
            kappa: self.kappa[row],
        };
        record.check().map_err(|error| Flaw::new(0, "a record within its bounds", error.to_string()))?;
        Ok(record)
    }
}

/// Texts and attributes of a group, read and checksummed, each record's decoded only when it is asked for.
#[derive(Clone, PartialEq, Debug)]
pub struct Facts {
    ends: Vec<usize>,
    /// Where in `bytes` the first begins.
    begin: usize,
    bytes: Arc<[u8]>,
}

impl Facts {
    /// Takes what [`Gathered::encode_facts`] wrote, of so many live records.
    pub(super) fn decode_ends(bytes: Arc<[u8]>, live: usize) -> Result<Facts, Flaw> {
        let mut from = Cursor::new(&bytes);
        let ends = small_numbers(&mut from, live)?;
        let begin = from.position();
        if !ends.is_sorted() || ends.last().copied().unwrap_or(0) != bytes.len() - begin {
            return Err(Flaw::new(0, format!("facts of {} bytes", bytes.len() - begin), format!("{:?}", ends.last())));
        }
        Ok(Facts { ends, begin, bytes })
    }

    fn decode(&self, row: usize) -> Result<(String, BTreeMap<String, String>), Flaw> {
        let begin = self.begin + row.checked_sub(1).map_or(0, |before| self.ends[before]);
        let mut from = Cursor::new(&self.bytes[begin..self.begin + self.ends[row]]);
        let text = from.text(TEXT_BYTES_MAX)?.to_owned();
        let attributes = record::decode_attributes(&mut from)?;
        from.end()?;
        Ok((text, attributes))
    }
}

fn numbers(from: &mut Cursor<'_>, count: usize) -> Result<Vec<u64>, Flaw> {
    (0..count).map(|_| from.u64()).collect()
}

fn small_numbers(from: &mut Cursor<'_>, count: usize) -> Result<Vec<usize>, Flaw> {
    (0..count).map(|_| from.u32().map(|number| number as usize)).collect()
}

fn decode_rows(from: &mut Cursor<'_>, count: usize) -> Result<Vec<Option<usize>>, Flaw> {
    let mut live = 0;
    let mut rows = Vec::with_capacity(count);
    for _ in 0..count {
        let begin = from.position();
        rows.push(match from.u8()? {
            LIVE => {
                live += 1;
                Some(live - 1)
            }
            DELETED => None,
            other => return Err(Flaw::new(begin, "1 (live) or 2 (deleted)", other.to_string())),
        });
    }
    Ok(rows)
}
