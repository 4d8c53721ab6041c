//! The end of a segment's file: where filter and index are, and whose segment this is. And the index itself.

use super::{
    SegmentNo,
    filter::Filter,
    group::{self, ENTRIES_MAX, FACTS_BYTES_MAX, KEYS_BYTES_MAX},
    read::Span,
    seal::{Home, SEAL_BYTES},
};
use crate::{
    ids::{Lsn, RecordId},
    store::{
        Digest, StoreError, StoreResult,
        codec::{Cursor, Flaw, put_u32, put_u64},
        log::LogId,
        record::COMPONENTS_MAX,
    },
};

const MAGIC: [u8; 8] = *b"STORMSEG";
const VERSION: u32 = 2;
/// Its length.
pub(super) const FOOTER_BYTES: usize = 128;
/// The bytes of a group in the index.
const GROUP_BYTES: u64 = 32;

/// See the file's description.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Footer {
    pub(super) home: Home,
    pub(super) components: u32,
    pub(super) upto: Lsn,
    pub(super) entries: u64,
    pub(super) live: u64,
    pub(super) groups: u64,
    /// Where the decisions are, behind the last group.
    pub(super) decisions_at: u64,
    /// Where the filter is, behind the decisions. The index follows it, and the footer that.
    pub(super) filter_at: u64,
    /// Of all bytes before the footer: no other segment of this number, and of whole parts, has the same.
    pub(super) contents: Digest,
}

/// Where a group is, and what it holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Group {
    pub(super) first: RecordId,
    pub(super) offset: u64,
    pub(super) entries: u32,
    pub(super) live: u32,
    /// With their checksums.
    pub(super) keys_bytes: u32,
    pub(super) facts_bytes: u32,
}

impl Group {
    pub(super) fn rows_at(&self) -> u64 {
        self.offset + u64::from(self.keys_bytes) + u64::from(self.facts_bytes)
    }

    pub(super) fn end(&self, components: u32) -> u64 {
        self.rows_at() + u64::from(self.live) * group::row_bytes(components)
    }
}

impl Footer {
    pub(super) fn decisions(&self) -> Span {
        Span { offset: self.decisions_at, len: (self.filter_at - self.decisions_at) as usize }
    }

    pub(super) fn filter(&self) -> Span {
        Span { offset: self.filter_at, len: Filter::bytes_for(self.entries) as usize + SEAL_BYTES }
    }

    pub(super) fn index(&self) -> Span {
        Span { offset: self.filter().end(), len: (self.groups * GROUP_BYTES) as usize + SEAL_BYTES }
    }

    pub(super) fn encode(&self) -> [u8; FOOTER_BYTES] {
        let mut out = Vec::with_capacity(FOOTER_BYTES);
        put_u64(&mut out, self.decisions_at);
        put_u64(&mut out, self.filter_at);
        put_u64(&mut out, self.groups);
        put_u64(&mut out, self.entries);
        put_u64(&mut out, self.live);
        put_u64(&mut out, self.upto.0);
        // An index over the vectors of this segment: where it begins and how long it is.
        put_u64(&mut out, 0);
        put_u64(&mut out, 0);
        put_u32(&mut out, self.components);
        out.extend_from_slice(&self.home.log.0.to_le_bytes());
        put_u64(&mut out, self.home.no.0);
        out.extend_from_slice(&self.contents.0);
        out.resize(FOOTER_BYTES - SEAL_BYTES - MAGIC.len() - 4, 0);
        put_u32(&mut out, VERSION);
        out.extend_from_slice(&MAGIC);
        let seal = self.home.seal(self.index().end(), &out);
        out.extend_from_slice(&seal);
        out.try_into().expect("a footer's length is fixed")
    }

    /// Whose a footer says it is, and of how many components: to be looked at, before anything of it was compared.
    pub(super) fn claims(bytes: &[u8; FOOTER_BYTES]) -> Result<(Home, u32), Flaw> {
        let footer = Footer::decode_numbers(&mut Cursor::new(bytes))?;
        Ok((footer.home, footer.components))
    }

    /// Reads the footer of a file of so many bytes, which is to be the one of `home`.
    pub(super) fn decode(bytes: &[u8; FOOTER_BYTES], home: Home, components: u32, file: u64) -> StoreResult<Footer> {
        let path = home.no.path();
        let at = file - FOOTER_BYTES as u64;
        let damaged = |flaw: Flaw| flaw.in_file(&path, at);
        let (magic_at, magic_end) = (FOOTER_BYTES - SEAL_BYTES - MAGIC.len(), FOOTER_BYTES - SEAL_BYTES);
        if bytes[magic_at..magic_end] != MAGIC {
            let words = |bytes: &[u8]| bytes.escape_ascii().to_string();
            return Err(damaged(Flaw::new(magic_at, words(&MAGIC), words(&bytes[magic_at..magic_end]))));
        }
        let checked = home.open(at, bytes).map_err(damaged)?;
        let footer = Footer::decode_fields(checked, &path, at)?;
        if footer.home != home || footer.components != components {
            let words = |home: Home, components| {
                format!("segment {} of database {} with {components} components", home.no.0, home.log)
            };
            return Err(StoreError::Foreign {
                path: path.into(),
                offset: at,
                expected: words(home, components).into(),
                found: words(footer.home, footer.components).into(),
            });
        }
        footer.check(at).map_err(damaged)?;
        Ok(footer)
    }

    fn decode_fields(checked: &[u8], path: &str, at: u64) -> StoreResult<Footer> {
        let damaged = |flaw: Flaw| flaw.in_file(path, at);
        let (fields, end) = checked.split_at(checked.len() - MAGIC.len() - 4);
        let mut end = Cursor::new(end);
        let version = end.u32().map_err(damaged)?;
        if version != VERSION {
            let offset = at + fields.len() as u64;
            return Err(StoreError::UnknownFormat { path: path.into(), offset, expected: VERSION, found: version });
        }
        let mut from = Cursor::new(fields);
        Footer::decode_numbers(&mut from).map_err(damaged)
    }

    fn decode_numbers(from: &mut Cursor<'_>) -> Result<Footer, Flaw> {
        let (decisions_at, filter_at, groups) = (from.u64()?, from.u64()?, from.u64()?);
        let (entries, live, upto) = (from.u64()?, from.u64()?, Lsn(from.u64()?));
        let _vector_index = (from.u64()?, from.u64()?);
        let components = from.u32()?;
        let home = Home { log: LogId(from.u128()?), no: SegmentNo(from.u64()?) };
        let contents = Digest(from.array()?);
        Ok(Footer { home, components, upto, entries, live, groups, decisions_at, filter_at, contents })
    }

    /// That the parts lie one behind the other up to the footer at `at`, and are no longer than the file.
    fn check(&self, at: u64) -> Result<(), Flaw> {
        let fits = self.components as usize <= COMPONENTS_MAX
            && self.live <= self.entries
            && self.groups <= self.entries
            && self.entries <= at
            && self.decisions_at <= self.filter_at
            && self.filter_at <= at;
        if !fits || self.index().end() != at {
            let words = format!("{} records in {} groups, filter at {}", self.entries, self.groups, self.filter_at);
            return Err(Flaw::new(0, format!("parts that end at {at}"), words));
        }
        Ok(())
    }
}

pub(super) fn encode_index(groups: &[Group]) -> Vec<u8> {
    let mut out = Vec::with_capacity(groups.len() * GROUP_BYTES as usize);
    for group in groups {
        put_u64(&mut out, group.first.0);
        put_u64(&mut out, group.offset);
        put_u32(&mut out, group.entries);
        put_u32(&mut out, group.live);
        put_u32(&mut out, group.keys_bytes);
        put_u32(&mut out, group.facts_bytes);
    }
    out
}

/// Reads the index: groups that follow one another from the beginning of the file up to the decisions.
pub(super) fn decode_index(bytes: &[u8], footer: &Footer) -> Result<Vec<Group>, Flaw> {
    let mut from = Cursor::new(bytes);
    let mut groups: Vec<Group> = Vec::with_capacity(footer.groups as usize);
    let (mut end, mut entries, mut live) = (0, 0, 0);
    for _ in 0..footer.groups {
        let begin = from.position();
        let group = decode_group(&mut from)?;
        let ascends = groups.last().is_none_or(|last| last.first < group.first);
        if group.offset != end || !ascends || !is_bounded(&group) {
            return Err(Flaw::new(begin, format!("a group at {end}"), format!("{group:?}")));
        }
        end = group.end(footer.components);
        entries += u64::from(group.entries);
        live += u64::from(group.live);
        groups.push(group);
    }
    from.end()?;
    if (end, entries, live) != (footer.decisions_at, footer.entries, footer.live) {
        let words = |end, entries, live| format!("{entries} records, {live} of them live, up to {end}");
        let expected = words(footer.decisions_at, footer.entries, footer.live);
        return Err(Flaw::new(0, expected, words(end, entries, live)));
    }
    Ok(groups)
}

fn decode_group(from: &mut Cursor<'_>) -> Result<Group, Flaw> {
    Ok(Group {
        first: RecordId(from.u64()?),
        offset: from.u64()?,
        entries: from.u32()?,
        live: from.u32()?,
        keys_bytes: from.u32()?,
        facts_bytes: from.u32()?,
    })
}

fn is_bounded(group: &Group) -> bool {
    let part = |bytes: u32, max| (SEAL_BYTES..=max + SEAL_BYTES).contains(&(bytes as usize));
    (1..=ENTRIES_MAX as u32).contains(&group.entries)
        && group.live <= group.entries
        && part(group.keys_bytes, KEYS_BYTES_MAX)
        && part(group.facts_bytes, FACTS_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of one group of two records, one of them live.
    fn footer() -> Footer {
        let home = Home { log: LogId(7), no: SegmentNo(3) };
        let contents = Digest([0; Digest::LEN]);
        let (decisions_at, filter_at) = (group().end(4), group().end(4) + 12);
        Footer { home, components: 4, upto: Lsn(9), entries: 2, live: 1, groups: 1, decisions_at, filter_at, contents }
    }

    fn group() -> Group {
        Group { first: RecordId(5), offset: 0, entries: 2, live: 1, keys_bytes: 80, facts_bytes: 20 }
    }

    #[test]
    fn parts_that_cannot_lie_one_behind_the_other_are_refused() {
        let good = footer();
        assert_eq!(good.check(good.index().end()), Ok(()));
        good.check(good.index().end() + 1).expect_err("it does not end there");
        for bad in [
            Footer { components: COMPONENTS_MAX as u32 + 1, ..good },
            Footer { live: 3, ..good },
            Footer { groups: 3, ..good },
            Footer { decisions_at: good.filter_at + 1, ..good },
        ] {
            bad.check(bad.index().end()).expect_err("no such footer is written");
        }
        // Nor is any of these numbers counted with.
        for bad in [Footer { entries: u64::MAX, ..good }, Footer { filter_at: u64::MAX, ..good }] {
            bad.check(good.index().end()).expect_err("more than the file holds");
        }
    }

    #[test]
    fn groups_that_do_not_follow_one_another_are_refused() {
        let read = |groups: &[Group]| {
            let sum = |of: fn(&Group) -> u32| groups.iter().map(|group| u64::from(of(group))).sum();
            let decisions_at = groups.last().expect("a group").end(4);
            let (entries, live) = (sum(|group| group.entries), sum(|group| group.live));
            let footer = Footer { groups: groups.len() as u64, entries, live, decisions_at, ..footer() };
            decode_index(&encode_index(groups), &footer).map(|found| found.len())
        };
        let next = Group { first: RecordId(6), offset: group().end(4), ..group() };
        assert_eq!(read(&[group(), next]), Ok(2));
        for bad in [
            Group { first: RecordId(5), ..next },
            Group { first: RecordId(4), ..next },
            Group { offset: next.offset + 1, ..next },
            Group { keys_bytes: SEAL_BYTES as u32 - 1, ..next },
        ] {
            read(&[group(), bad]).expect_err("no such index is written");
        }
    }

    #[test]
    fn a_group_has_its_bounds() {
        let (keys, facts) = ((KEYS_BYTES_MAX + SEAL_BYTES) as u32, (FACTS_BYTES_MAX + SEAL_BYTES) as u32);
        let (most, least) = (ENTRIES_MAX as u32, SEAL_BYTES as u32);
        let good = Group { entries: most, live: most, keys_bytes: keys, facts_bytes: facts, ..group() };
        assert!(is_bounded(&good) && is_bounded(&Group { live: 0, keys_bytes: least, facts_bytes: least, ..good }));
        for bad in [
            Group { entries: 0, live: 0, ..good },
            Group { entries: most + 1, ..good },
            Group { entries: most - 1, ..good },
            Group { keys_bytes: keys + 1, ..good },
            Group { keys_bytes: least - 1, ..good },
            Group { facts_bytes: facts + 1, ..good },
            Group { facts_bytes: least - 1, ..good },
        ] {
            assert!(!is_bounded(&bad), "{bad:?}");
        }
    }
}
