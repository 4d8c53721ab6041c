//! An open segment: what of it is in memory, where the rest is, and what its bytes say.
//!
//! Footer, filter and index are read once. All else is read when it is asked for, by whoever asks: the writer reads on
//! the spot ([`Segment::get`], [`Segment::group`]); a query states a [`Span`], is resumed with its bytes, and has the same
//! functions decode them.

use std::{fmt, sync::Arc};

use stormproof_contract::{Disk, File, Open};

use super::{
    Decided, SegmentName, SegmentNo, decided,
    filter::Filter,
    footer::{self, FOOTER_BYTES, Footer, Group},
    group::{Facts, Keys, row_bytes},
    seal::Home,
};
use crate::{
    ids::{Lsn, RecordId},
    store::{
        Digest, Entry, StoreError, StoreResult,
        codec::{Cursor, Flaw},
        files::missing,
        log::LogId,
    },
};

/// Some bytes of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    /// Where they begin.
    pub offset: u64,
    /// How many.
    pub len: usize,
}

impl Span {
    pub(super) fn end(self) -> u64 {
        self.offset + self.len as u64
    }
}

/// A segment that is open for reading.
pub struct Segment {
    pub(super) path: Box<str>,
    pub(super) file: Arc<dyn File>,
    pub(super) footer: Footer,
    pub(super) filter: Filter,
    pub(super) groups: Vec<Group>,
}

impl Segment {
    /// Opens the segment of that name. Footer, filter and index are read and verified, and nothing else.
    pub fn open(disk: &dyn Disk, log: LogId, name: &SegmentName, components: u32) -> StoreResult<Segment> {
        let path = name.no.path().into_boxed_str();
        let file = match disk.open(&path, Open::Read) {
            Err(error) if error.is_not_found() => {
                return Err(missing(&path, "the segment that the manifest, or a frame of the log, names"));
            }
            opened => opened?,
        };
        let found = file.meta()?.len;
        if found != name.bytes {
            return Err(Flaw::new(0, format!("{} bytes", name.bytes), format!("{found}")).in_file(&path, 0));
        }
        let home = Home { log, no: name.no };
        let footer = read_footer(&*file, home, components, name)?;
        Segment::with_footer(path, file, footer)
    }

    /// Opens a segment under any name, and takes it for what it says it is: to be looked at.
    pub fn open_alone(disk: &dyn Disk, path: &str) -> StoreResult<Segment> {
        let file = disk.open(path, Open::Read)?;
        let found = file.meta()?.len;
        let at = footer_at(found, path)?;
        let mut bytes = [0; FOOTER_BYTES];
        file.read_exact_at(at, &mut bytes)?;
        let (home, components) = Footer::claims(&bytes).map_err(|flaw| flaw.in_file(path, at))?;
        let footer = Footer::decode(&bytes, home, components, found)?;
        Segment::with_footer(path.into(), file, footer)
    }

    fn with_footer(path: Box<str>, file: Arc<dyn File>, footer: Footer) -> StoreResult<Segment> {
        let mut segment = Segment { path, file, footer, filter: Filter::for_entries(0), groups: Vec::new() };
        segment.filter = Filter::of_bytes(&segment.read_sealed(footer.filter())?);
        let index = segment.read_sealed(footer.index())?;
        segment.groups =
            footer::decode_index(&index, &footer).map_err(|flaw| segment.damaged(flaw, footer.index().offset))?;
        Ok(segment)
    }

    /// Its number.
    pub fn no(&self) -> SegmentNo {
        self.footer.home.no
    }

    /// Which database it belongs to.
    pub fn log(&self) -> LogId {
        self.footer.home.log
    }

    /// Components of every vector.
    pub fn components(&self) -> u32 {
        self.footer.components
    }

    /// The first record of a group.
    pub fn first_of(&self, group: usize) -> RecordId {
        self.groups[group].first
    }

    /// How many records a group has, and how many of them are live.
    pub fn counts_of(&self, group: usize) -> (u32, u32) {
        (self.groups[group].entries, self.groups[group].live)
    }

    /// Where its decisions are.
    pub fn decisions_span(&self) -> Span {
        self.footer.decisions()
    }

    /// The last frame of the log whose effect is in it.
    pub fn upto(&self) -> Lsn {
        self.footer.upto
    }

    /// Records that are known in it, deleted ones too.
    pub fn entries(&self) -> u64 {
        self.footer.entries
    }

    /// Records that are live in it.
    pub fn live(&self) -> u64 {
        self.footer.live
    }

    /// Its file, for reads that a query states.
    pub fn file(&self) -> &Arc<dyn File> {
        &self.file
    }

    /// How many groups it has.
    pub fn groups(&self) -> usize {
        self.groups.len()
    }

    /// The group that has a record, if any has. `None` is certain; a group may not have it after all.
    pub fn group_of(&self, id: RecordId) -> Option<usize> {
        if !self.filter.passes(id) {
            return None;
        }
        self.groups.partition_point(|group| group.first <= id).checked_sub(1)
    }

    /// The first group that may have a record from `id` on.
    pub fn group_from(&self, id: RecordId) -> usize {
        self.groups.partition_point(|group| group.first <= id).saturating_sub(1)
    }

    /// Where the keys of a group are.
    pub fn keys_span(&self, group: usize) -> Span {
        let group = &self.groups[group];
        Span { offset: group.offset, len: group.keys_bytes as usize }
    }

    /// Where the texts and attributes of a group are.
    pub fn facts_span(&self, group: usize) -> Span {
        let group = &self.groups[group];
        Span { offset: group.offset + u64::from(group.keys_bytes), len: group.facts_bytes as usize }
    }

    /// Where the vectors of a group are.
    pub fn rows_span(&self, group: usize) -> Span {
        let group = &self.groups[group];
        Span { offset: group.rows_at(), len: group.live as usize * self.row_bytes() }
    }

    /// Where one vector of a group is.
    pub fn row_span(&self, group: usize, row: usize) -> Span {
        Span { offset: self.groups[group].rows_at() + (row * self.row_bytes()) as u64, len: self.row_bytes() }
    }

    /// The keys that the bytes of [`keys_span`](Self::keys_span) hold.
    pub fn keys(&self, group: usize, bytes: &[u8]) -> StoreResult<Keys> {
        let offset = self.groups[group].offset;
        let damaged = |flaw| self.damaged(flaw, offset);
        let keys = Keys::decode(self.footer.home.open(offset, bytes).map_err(damaged)?).map_err(damaged)?;
        let expected = &self.groups[group];
        let (entries, live) = (keys.len(), keys.live());
        if (entries, live, keys.id(0)) != (expected.entries as usize, expected.live as usize, expected.first) {
            let words = format!("{entries} records, {live} of them live, from {}", keys.id(0));
            return Err(damaged(Flaw::new(0, format!("{expected:?}"), words)));
        }
        let (last, next) = (keys.id(entries - 1), self.groups.get(group + 1).map(|group| group.first));
        if next.is_some_and(|next| last >= next) {
            return Err(damaged(Flaw::new(0, format!("records before {next:?}"), last.to_string())));
        }
        Ok(keys)
    }

    /// What the bytes of [`facts_span`](Self::facts_span) hold.
    pub fn facts(&self, group: usize, bytes: &[u8]) -> StoreResult<Facts> {
        let offset = self.facts_span(group).offset;
        let damaged = |flaw| self.damaged(flaw, offset);
        let bytes = self.footer.home.open(offset, bytes).map_err(damaged)?;
        Facts::decode_ends(bytes.into(), self.groups[group].live as usize).map_err(damaged)
    }

    /// The vector of the record at `at` of a group's keys, which is live, from the bytes of its
    /// [`row_span`](Self::row_span).
    pub fn vector(&self, group: usize, keys: &Keys, at: usize, bytes: &[u8]) -> StoreResult<Vec<f32>> {
        let row = keys.row(at).expect("only live records have a vector");
        let offset = self.row_span(group, row).offset;
        let damaged = |flaw| self.damaged(flaw, offset);
        let row = self.footer.home.open_row(offset, keys.id(at), keys.version(at), bytes).map_err(damaged)?;
        Cursor::new(row).f32s(self.footer.components as usize).map_err(damaged)
    }

    /// The same, from the bytes of the group's [`rows_span`](Self::rows_span); of fewer than those, if it stands in them.
    pub fn vector_among(&self, group: usize, keys: &Keys, at: usize, rows: &[u8]) -> StoreResult<Vec<f32>> {
        let begin = keys.row(at).expect("only live records have a vector") * self.row_bytes();
        let bytes = rows.get(begin..).unwrap_or_default();
        self.vector(group, keys, at, &bytes[..self.row_bytes().min(bytes.len())])
    }

    /// What is known of the record at `at` of a group's keys.
    pub fn entry(
        &self,
        group: usize,
        keys: &Keys,
        at: usize,
        facts: &Facts,
        vector: impl FnOnce() -> StoreResult<Vec<f32>>,
    ) -> StoreResult<Entry> {
        if keys.row(at).is_none() {
            return Ok(Entry::Deleted(keys.version(at)));
        }
        let record = keys.record(at, facts, vector()?);
        record.map(|record| Entry::Live(Arc::new(record))).map_err(|flaw| self.damaged(flaw, self.groups[group].offset))
    }

    /// What is known of a record, read on the spot.
    pub fn get(&self, id: RecordId) -> StoreResult<Option<Entry>> {
        let Some(group) = self.group_of(id) else { return Ok(None) };
        let keys = self.keys_of(group)?;
        let Some(at) = keys.find(id) else { return Ok(None) };
        if keys.row(at).is_none() {
            return Ok(Some(Entry::Deleted(keys.version(at))));
        }
        let facts = self.facts_of(group)?;
        self.entry(group, &keys, at, &facts, || self.vector_of(group, &keys, at)).map(Some)
    }

    /// What the frames decided that it was made from, in their order, read on the spot.
    pub fn decisions(&self) -> StoreResult<Vec<Decided>> {
        let span = self.footer.decisions();
        decided::decode(&self.read_sealed(span)?).map_err(|flaw| self.damaged(flaw, span.offset))
    }

    /// The keys of a group, read on the spot.
    pub fn keys_of(&self, group: usize) -> StoreResult<Keys> {
        self.keys(group, &self.read(self.keys_span(group))?)
    }

    /// Texts and attributes of a group, read on the spot.
    pub fn facts_of(&self, group: usize) -> StoreResult<Facts> {
        self.facts(group, &self.read(self.facts_span(group))?)
    }

    /// The vector of the record at `at` of a group's keys, which is live, read on the spot.
    pub fn vector_of(&self, group: usize, keys: &Keys, at: usize) -> StoreResult<Vec<f32>> {
        let row = keys.row(at).expect("only live records have a vector");
        self.vector(group, keys, at, &self.read(self.row_span(group, row))?)
    }

    /// All that a group holds, read on the spot, in one read.
    pub fn group(&self, group: usize) -> StoreResult<Vec<(RecordId, Entry)>> {
        let (keys, facts, rows) = (self.keys_span(group), self.facts_span(group), self.rows_span(group));
        let bytes = self.read(Span { offset: keys.offset, len: keys.len + facts.len + rows.len })?;
        let (keys_bytes, rest) = bytes.split_at(keys.len);
        let (facts_bytes, rows_bytes) = rest.split_at(facts.len);
        let (keys, facts) = (self.keys(group, keys_bytes)?, self.facts(group, facts_bytes)?);
        let entry = |at| {
            let vector = || self.vector_among(group, &keys, at, rows_bytes);
            Ok((keys.id(at), self.entry(group, &keys, at, &facts, vector)?))
        };
        (0..keys.len()).map(entry).collect()
    }

    /// The same, but records come without their vectors, which are not read.
    pub fn group_without_vectors(&self, group: usize) -> StoreResult<Vec<(RecordId, Entry)>> {
        let (keys, facts) = (self.keys_of(group)?, self.facts_of(group)?);
        let entry = |at| Ok((keys.id(at), self.entry(group, &keys, at, &facts, || Ok(Vec::new()))?));
        (0..keys.len()).map(entry).collect()
    }

    /// Reads all of it, and compares every checksum.
    pub fn verify(&self) -> StoreResult<()> {
        (0..self.groups()).try_for_each(|group| self.group(group).map(drop))?;
        self.decisions().map(drop)
    }

    fn row_bytes(&self) -> usize {
        row_bytes(self.footer.components) as usize
    }

    fn read(&self, span: Span) -> StoreResult<Vec<u8>> {
        let mut bytes = vec![0; span.len];
        self.file.read_exact_at(span.offset, &mut bytes)?;
        Ok(bytes)
    }

    fn read_sealed(&self, span: Span) -> StoreResult<Vec<u8>> {
        let bytes = self.read(span)?;
        let opened = self.footer.home.open(span.offset, &bytes).map(<[u8]>::to_vec);
        opened.map_err(|flaw| self.damaged(flaw, span.offset))
    }

    fn damaged(&self, flaw: Flaw, offset: u64) -> StoreError {
        flaw.in_file(&self.path, offset)
    }
}

/// Where the footer of a file of so many bytes is.
fn footer_at(bytes: u64, path: &str) -> StoreResult<u64> {
    let short = || Flaw::new(0, format!("{FOOTER_BYTES} bytes at least"), format!("{bytes}")).in_file(path, 0);
    bytes.checked_sub(FOOTER_BYTES as u64).ok_or_else(short)
}

fn read_footer(file: &dyn File, home: Home, components: u32, name: &SegmentName) -> StoreResult<Footer> {
    let at = footer_at(name.bytes, &name.no.path())?;
    let mut bytes = [0; FOOTER_BYTES];
    file.read_exact_at(at, &mut bytes)?;
    let footer = Footer::decode(&bytes, home, components, name.bytes)?;
    let (known, said) = ((footer.entries, footer.live, footer.upto), (name.entries, name.live, name.upto));
    if known != said {
        return Err(StoreError::Foreign {
            path: name.no.path().into(),
            offset: at,
            expected: format!("{} records, {} of them live, up to {}", said.0, said.1, said.2).into(),
            found: format!("{}, {}, {}", known.0, known.1, known.2).into(),
        });
    }
    // A whole footer of this number that is not the one that was installed: another writer's.
    let found = Digest::of(&bytes);
    if found != name.digest {
        return Err(StoreError::Foreign {
            path: name.no.path().into(),
            offset: at,
            expected: format!("a footer of digest {}", name.digest).into(),
            found: found.to_string().into(),
        });
    }
    Ok(footer)
}

impl fmt::Debug for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Segment").field("footer", &self.footer).finish_non_exhaustive()
    }
}
