//! What some segments say together, in the order of the ids: of each record as the newest of them has it that knows it.
//!
//! A group of each segment is in memory at a time.

use std::collections::VecDeque;

use stormproof_contract::Disk;

use crate::{
    ids::RecordId,
    store::{
        Entry, StoreResult,
        codec::{Cursor, Flaw, put_u32},
        log::LogId,
        manifest::SEGMENTS_MAX,
        segment::{Segment, SegmentName},
    },
};

/// Segments that a job is to read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sources {
    /// The database.
    pub log: LogId,
    /// Components of every vector.
    pub components: u32,
    /// What the manifest says of them, the oldest first.
    pub names: Vec<SegmentName>,
}

impl Sources {
    /// Adds them to the bytes that a job is started with.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.log.0.to_le_bytes());
        put_u32(out, self.components);
        put_u32(out, self.names.len() as u32);
        self.names.iter().for_each(|name| name.encode(out));
    }

    pub(super) fn read(from: &mut Cursor<'_>) -> Result<Sources, Flaw> {
        let (log, components) = (LogId(from.u128()?), from.u32()?);
        let count = from.count("segments", SEGMENTS_MAX, SegmentName::BYTES)?;
        let names = (0..count).map(|_| SegmentName::decode(from)).collect::<Result<_, _>>()?;
        Ok(Sources { log, components, names })
    }

    /// Takes them from the front of such bytes; `None` if they are not there.
    pub fn decode(bytes: &[u8]) -> Option<(Sources, &[u8])> {
        let mut from = Cursor::new(bytes);
        let sources = Sources::read(&mut from).ok()?;
        Some((sources, &bytes[from.position()..]))
    }
}

/// See the file's description.
#[derive(Debug)]
pub struct Entries {
    /// The oldest first.
    runs: Vec<Run>,
    vectors: bool,
}

/// A segment that is read in the order of its records.
#[derive(Debug)]
struct Run {
    segment: Segment,
    next_group: usize,
    entries: VecDeque<(RecordId, Entry)>,
}

impl Entries {
    /// Opens what a manifest names.
    pub fn open(disk: &dyn Disk, sources: &Sources) -> StoreResult<Entries> {
        let open = |name| {
            let segment = Segment::open(disk, sources.log, name, sources.components)?;
            Ok(Run { segment, next_group: 0, entries: VecDeque::new() })
        };
        Ok(Entries { runs: sources.names.iter().map(open).collect::<StoreResult<_>>()?, vectors: true })
    }

    /// The segments, the oldest first.
    pub fn segments(&self) -> impl Iterator<Item = &Segment> {
        self.runs.iter().map(|run| &run.segment)
    }

    /// Goes to the first record of this id or a greater one. Where vectors are not wanted, records come without: they are most
    /// of what there is to read.
    pub fn seek(&mut self, from: RecordId, vectors: bool) -> StoreResult<()> {
        self.vectors = vectors;
        for run in &mut self.runs {
            run.entries.clear();
            run.next_group = run.segment.group_from(from);
            run.fill(vectors)?;
            run.entries.retain(|(id, _)| *id >= from);
        }
        Ok(())
    }

    /// The next record, and what is known of it.
    #[allow(clippy::should_implement_trait, reason = "it reads the disk, and can fail")]
    pub fn next(&mut self) -> StoreResult<Option<(RecordId, Entry)>> {
        for run in &mut self.runs {
            run.fill(self.vectors)?;
        }
        let Some(least) = self.runs.iter().filter_map(Run::first).min() else { return Ok(None) };
        let of_least = self.runs.iter_mut().filter(|run| run.first() == Some(least));
        Ok(of_least.filter_map(|run| run.entries.pop_front()).last())
    }

    /// What is known of a record.
    pub fn get(&self, id: RecordId) -> StoreResult<Option<Entry>> {
        for run in self.runs.iter().rev() {
            if let Some(entry) = run.segment.get(id)? {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }
}

impl Run {
    fn first(&self) -> Option<RecordId> {
        self.entries.front().map(|(id, _)| *id)
    }

    fn fill(&mut self, vectors: bool) -> StoreResult<()> {
        if self.entries.is_empty() && self.next_group < self.segment.groups() {
            let group = self.next_group;
            let entries = if vectors { self.segment.group(group) } else { self.segment.group_without_vectors(group) };
            self.entries = entries?.into();
            self.next_group += 1;
        }
        Ok(())
    }
}
