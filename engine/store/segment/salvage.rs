//! What is left of a segment whose footer, filter or index cannot be believed. Each group says where the next begins, so they
//! are walked from the first on, until one of them cannot be read.

use stormproof_contract::{Disk, File, Open};

use super::{
    SegmentName, decided,
    filter::Filter,
    footer::{Footer, Group},
    group::{self, FACTS_BYTES_MAX, KEYS_BYTES_MAX, Keys},
    read::Segment,
    seal::{Home, SEAL_BYTES},
};
use crate::{
    ids::RecordId,
    store::{Digest, Link, StoreResult, codec::Cursor, files::missing, log::LogId},
};

impl Segment {
    /// Reads what is left of a segment: the groups that were reached, which may be damaged inside, and what was decided, if it
    /// follows them.
    pub fn salvage(disk: &dyn Disk, log: LogId, name: &SegmentName, components: u32) -> StoreResult<Segment> {
        let path = name.no.path();
        let file = match disk.open(&path, Open::Read) {
            Err(error) if error.is_not_found() => {
                return Err(missing(&path, "the segment that the manifest, or a frame of the log, names"));
            }
            opened => opened?,
        };
        let home = Home { log, no: name.no };
        let (mut groups, mut entries, mut live, mut end, mut next) = (Vec::new(), 0, 0, 0, RecordId(0));
        let len = file.meta()?.len;
        while let Some((group, last)) = next_group(&*file, home, end)?
            && group.first >= next
            && entries + u64::from(group.entries) <= name.entries
        {
            (entries, live) = (entries + u64::from(group.entries), live + u64::from(group.live));
            (end, next) = (group.end(components), RecordId(last.0.saturating_add(1)));
            groups.push(group);
        }
        let decisions = if entries == name.entries { decisions_bytes(&*file, end, len)? } else { 0 };
        let footer = Footer {
            home,
            components,
            upto: name.upto,
            entries,
            live,
            groups: groups.len() as u64,
            decisions_at: end,
            filter_at: end + decisions,
            contents: Digest([0; Digest::LEN]),
        };
        Ok(Segment { path: path.into(), file, footer, filter: Filter::for_entries(0), groups })
    }
}

/// The group that begins at `offset`, if its keys can be read, and its last record. What follows its keys may be cut off.
fn next_group(file: &dyn File, home: Home, offset: u64) -> StoreResult<Option<(Group, RecordId)>> {
    let bytes = read_upto(file, offset, KEYS_BYTES_MAX + SEAL_BYTES)?;
    let Some(keys_bytes) = keys_bytes(&bytes).filter(|len| *len <= bytes.len()) else { return Ok(None) };
    let opened = home.open(offset, &bytes[..keys_bytes]).and_then(Keys::decode);
    let Ok(keys) = opened else { return Ok(None) };
    let bytes = read_upto(file, offset + keys_bytes as u64, FACTS_BYTES_MAX + SEAL_BYTES)?;
    let Some(facts_bytes) = facts_bytes(&bytes, keys.live()) else { return Ok(None) };
    let last = keys.id(keys.len() - 1);
    let group = Group {
        first: keys.id(0),
        offset,
        entries: keys.len() as u32,
        live: keys.live() as u32,
        keys_bytes: keys_bytes as u32,
        facts_bytes: facts_bytes as u32,
    };
    Ok(Some((group, last)))
}

/// How long the decisions are that begin at `offset`, with their checksum; 0 if none do.
fn decisions_bytes(file: &dyn File, offset: u64, len: u64) -> StoreResult<u64> {
    let bytes = read_upto(file, offset, usize::try_from(len - offset).unwrap_or(usize::MAX))?;
    Ok(decided::encoded_bytes(&bytes).map_or(0, |known| known as u64 + SEAL_BYTES as u64))
}

/// How long the keys are that begin here, with their checksum.
fn keys_bytes(bytes: &[u8]) -> Option<usize> {
    let count = Cursor::new(bytes).u32().ok()? as usize;
    let states = 4 + count.checked_mul(16)?;
    let is_live = |state: &&u8| **state == group::LIVE;
    let live = bytes.get(states..states + count)?.iter().filter(is_live).count();
    let links_at = states + count + live * 16;
    let links = Cursor::new(bytes.get(links_at..)?).u32().ok()? as usize;
    Some(links_at + 4 + links * Link::BYTES + SEAL_BYTES)
}

/// How long the facts are that begin here, of so many records, with their checksum.
fn facts_bytes(bytes: &[u8], live: usize) -> Option<usize> {
    let last = (4 * live).checked_sub(4).map(|at| bytes.get(at..).map(|rest| Cursor::new(rest).u32()));
    let text = match last {
        None => 0,
        Some(end) => end?.ok()? as usize,
    };
    let len = 4 * live + text + SEAL_BYTES;
    (len <= bytes.len()).then_some(len)
}

fn read_upto(file: &dyn File, offset: u64, max: usize) -> StoreResult<Vec<u8>> {
    let left = file.meta()?.len.saturating_sub(offset).min(max as u64);
    let mut bytes = vec![0; left as usize];
    let got = file.read_at(offset, &mut bytes)?;
    bytes.truncate(got);
    Ok(bytes)
}
