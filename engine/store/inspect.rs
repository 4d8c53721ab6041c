//! A single file, looked at by itself: what it says it is, what it holds and where, and what of it cannot be believed.
//!
//! Whether a file is the one that belongs in a directory, only its manifest and its log can say: that is
//! [`memory::verify`](crate::memory::verify). Here a damaged part is told, and of a segment the rest is read on, so that one sees what
//! is left; a log is read up to the first frame that cannot be believed.

use std::fmt;

use stormproof_contract::Disk;

use super::{
    Batch, StoreError, StoreResult,
    archive::Loading,
    l1::{self, L1Kind},
    log::{self, End},
    manifest::{ArchiveBase, Manifest},
    segment::Segment,
};

/// What kind of file it is taken for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// `manifest`
    Manifest,
    /// `log.<number>`
    Log,
    /// `segments/<number>`
    Segment,
    /// `l1/index.<lsn>` or `l1/delta.<lsn>`
    L1,
    /// `archive/<number>`
    Archive,
}

/// What was seen of a file.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Inspection {
    /// What it is, in a line.
    pub about: String,
    /// Its parts, in order.
    pub parts: Vec<Part>,
}

/// A part of a file.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Part {
    /// Where it begins.
    pub offset: u64,
    /// Its name.
    pub what: String,
    /// What it holds, or what is wrong with it.
    pub words: String,
    /// Whether it cannot be believed.
    pub damaged: bool,
}

impl Inspection {
    /// Whether something of it cannot be believed.
    pub fn is_damaged(&self) -> bool {
        self.parts.iter().any(|part| part.damaged)
    }

    fn add(&mut self, offset: u64, what: impl Into<String>, words: impl Into<String>) {
        self.parts.push(Part { offset, what: what.into(), words: words.into(), damaged: false });
    }

    fn damage(&mut self, offset: u64, what: impl Into<String>, words: impl Into<String>) {
        self.parts.push(Part { offset, what: what.into(), words: words.into(), damaged: true });
    }
}

/// Looks at a file. An error says that nothing of it can be read: its first or last bytes are not those of such a file, or
/// the disk failed.
pub fn inspect(disk: &dyn Disk, kind: Kind, path: &str) -> StoreResult<Inspection> {
    match kind {
        Kind::Manifest => Manifest::read(disk, path).map(|manifest| of_manifest(&manifest)),
        Kind::Log => of_log(disk, path),
        Kind::Segment => of_segment(disk, path),
        Kind::L1 => of_l1(disk, path),
        Kind::Archive => of_archive(disk, path),
    }
}

fn of_manifest(manifest: &Manifest) -> Inspection {
    let Manifest { sequence, log, components, metric, logs, segments, flushed, loaded, version_floor, l1, .. } =
        manifest;
    let about = format!("installation {sequence} of database {log}: {components} components, metric {metric}");
    let mut seen = Inspection { about, parts: Vec::new() };
    for no in logs {
        seen.add(0, "names", no.path());
    }
    for name in segments {
        let words = format!(
            "{}: {} bytes, {} records, {} of them live, up to {}, digest {}",
            name.no.path(),
            name.bytes,
            name.entries,
            name.live,
            name.upto,
            name.digest
        );
        seen.add(0, "names", words);
    }
    if let Some(base) = l1 {
        seen.add(0, "names", format!("l1/index.{} of digest {}", base.lsn.0, base.digest));
    }
    if let Some(base) = &manifest.archive {
        let ArchiveBase { name, covers } = base;
        let words = format!(
            "{}: {} bytes, {} records as of {}, digest {}; it stands for the first {covers} segments",
            name.no.path(),
            name.bytes,
            name.records,
            name.built,
            name.digest
        );
        seen.add(0, "names", words);
    }
    if manifest.rebuilding {
        seen.add(0, "says", "that a rebuild of the archive is under way");
    }
    seen.add(0, "flushed", format!("up to {}, which last changed a record at {}", flushed.lsn, flushed.changed));
    seen.add(0, "loaded", format!("segments that frames up to {loaded} have added are named, or merged"));
    seen.add(0, "versions", format!("of records that nothing is known of begin above {}", version_floor.0));
    seen
}

fn of_log(disk: &dyn Disk, path: &str) -> StoreResult<Inspection> {
    let mut seen = Inspection { about: String::new(), parts: Vec::new() };
    let alone = log::look(disk, path, &mut |offset, len, lsn, batch| {
        seen.add(offset, format!("frame {}", lsn.0), format!("{len} bytes: {}", Words(batch)));
    })?;
    let log::Alone { log, no, format, after, last, end, bytes, behind } = alone;
    seen.about =
        format!("file {} of the log of database {log}: {format:?}, after {after}, up to {last}, {bytes} bytes", no.0);
    match behind {
        End::Room => seen.add(end, "room", format!("{} bytes of zeros", bytes - end)),
        End::Torn(words) => seen.add(
            end,
            "cut off",
            format!(
                "{words}; if this is the last file, a write that was never acknowledged, which the next start removes"
            ),
        ),
        End::Damaged(words) => seen.damage(end, "DAMAGED", words.to_string()),
    }
    Ok(seen)
}

/// A batch in a few words.
struct Words<'a>(&'a Batch);

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let writes: usize = self.0.transactions.iter().map(|transaction| transaction.writes.len()).sum();
        write!(f, "{} transactions with {writes} writes", self.0.transactions.len())?;
        for name in self.0.loaded() {
            write!(f, " and the {} records of {}", name.entries, name.no.path())?;
        }
        for rebuilding in self.0.transactions.iter().filter_map(|transaction| transaction.rebuilding) {
            f.write_str(if rebuilding { ", a rebuild of the archive begins" } else { ", no rebuild is under way" })?;
        }
        let first = self.0.transactions.first().and_then(|transaction| transaction.retry);
        first.map_or(Ok(()), |retry| write!(f, ", the first of retry id {:x}", retry.0))
    }
}

fn of_segment(disk: &dyn Disk, path: &str) -> StoreResult<Inspection> {
    let segment = Segment::open_alone(disk, path)?;
    let (entries, live, components) = (segment.entries(), segment.live(), segment.components());
    let about = format!(
        "segment {} of database {}: {entries} records, {live} of them live, up to {}, {components} components",
        segment.no().0,
        segment.log(),
        segment.upto()
    );
    let mut seen = Inspection { about, parts: Vec::new() };
    for group in 0..segment.groups() {
        let (offset, first) = (segment.keys_span(group).offset, segment.first_of(group));
        let (entries, live) = segment.counts_of(group);
        let what = format!("group {group}");
        match segment.group(group) {
            Ok(all) => {
                let last = all.last().map_or(first, |(id, _)| *id);
                seen.add(offset, what, format!("{entries} records, {live} of them live, from {first} to {last}"));
            }
            Err(StoreError::Disk(error)) => return Err(error.into()),
            Err(error) => {
                let next = (group + 1 < segment.groups()).then(|| segment.first_of(group + 1));
                let before = next.map_or_else(|| "on".to_owned(), |next| format!("to before {next}"));
                seen.damage(offset, what, format!("{entries} records from {first} {before}: {error}"));
            }
        }
    }
    let offset = segment.decisions_span().offset;
    match segment.decisions() {
        Ok(decisions) => seen.add(offset, "decisions", format!("{} by retry id", decisions.len())),
        Err(StoreError::Disk(error)) => return Err(error.into()),
        Err(error) => seen.damage(offset, "decisions", error.to_string()),
    }
    Ok(seen)
}

fn of_archive(disk: &dyn Disk, path: &str) -> StoreResult<Inspection> {
    let mut loading = Loading::open_alone(disk, path)?;
    let (name, log, components) = loading.about();
    let about = format!(
        "generation {} of the archive of database {log}: {} records as of {}, {components} components",
        name.no.0, name.records, name.built
    );
    let mut seen = Inspection { about, parts: Vec::new() };
    let (body_at, bytes) = (loading.body_at(), loading.bytes());
    let read = loop {
        match loading.step(64) {
            Ok(false) => {}
            Ok(true) => break loading.finish(),
            Err(error) => break Err(error),
        }
    };
    let generation = match read {
        Ok((generation, _)) => generation,
        Err(error) if error.is_passing() => return Err(error),
        Err(error) => {
            seen.damage(body_at, "body", format!("{error}; without it nothing can be said of the rows"));
            return Ok(seen);
        }
    };
    let format = generation.format().name();
    seen.add(0, "rows", format!("the vectors of {} records, as {format}", generation.len()));
    let mut damaged = 0;
    for node in 0..generation.len() {
        match generation.read_vector(node) {
            Ok(_) => {}
            Err(error) if error.is_passing() => return Err(error),
            Err(error) => {
                damaged += 1;
                if damaged <= ROWS_TOLD {
                    let id = generation.record(node).0;
                    seen.damage(generation.row_span(node).offset, "row", format!("of {id}: {error}"));
                }
            }
        }
    }
    if damaged > ROWS_TOLD {
        seen.damage(0, "rows", format!("{damaged} are damaged, of which the first {ROWS_TOLD} are told"));
    }
    seen.add(body_at, "body", format!("{bytes} bytes of codes and links"));
    seen.add(name.bytes, "end", format!("digest of the footer: {}", name.digest));
    Ok(seen)
}

/// Of so many damaged rows each is told.
const ROWS_TOLD: usize = 20;

fn of_l1(disk: &dyn Disk, path: &str) -> StoreResult<Inspection> {
    let file = l1::read_alone(disk, path)?;
    let head = file.head;
    let kind = match head.kind {
        L1Kind::Index => "an index",
        L1Kind::Delta => "a delta",
    };
    let about = format!(
        "{kind} of database {}: as of {}, on top of {}, {} components, digest {}",
        head.log, head.lsn, head.before, head.components, file.digest
    );
    let mut seen = Inspection { about, parts: Vec::new() };
    seen.add(0, "rows", format!("{}", file.rows().count()));
    seen.add(0, "removals", format!("{}", file.tombstones.len()));
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        ids::{Lsn, RecordId},
        store::{
            Entry,
            log::LogId,
            samples,
            segment::{Decided, SegmentNo, SegmentWriter},
            test_disk::TestDisk,
        },
    };

    #[test]
    fn a_segment_is_told_part_by_part_and_what_is_wrong_with_it() {
        let disk = TestDisk::new();
        let dynamic: Arc<dyn Disk> = Arc::clone(&disk) as _;
        let mut writer = SegmentWriter::create(&dynamic, LogId(7), SegmentNo(1), 4).expect("created");
        for id in 0..300 {
            writer.push(RecordId(id), &Entry::Live(Arc::new(samples::record(id)))).expect("written");
        }
        let decided = Decided::of(Lsn(3), 0, &samples::batch(3).transactions[0]).expect("it can be retried");
        writer.finish(Lsn(3), &[decided]).expect("durable");
        let told = |path| inspect(&*disk, Kind::Segment, path).expect("it can be opened");
        let seen = told("segments/1");
        let words: Vec<_> = seen.parts.iter().map(|part| format!("{}: {}", part.what, part.words)).collect();
        let expected = [
            "group 0: 256 records, 256 of them live, from record 0 to record 255",
            "group 1: 44 records, 44 of them live, from record 256 to record 299",
            "decisions: 1 by retry id",
        ];
        assert_eq!(words, expected);
        assert!(!seen.is_damaged());
        let mut bytes = disk.bytes("segments/1");
        for (part, words) in
            [(0, "256 records from record 0 to before record 256: "), (1, "44 records from record 256 on: ")]
        {
            bytes[seen.parts[part].offset as usize + 9] ^= 1;
            disk.set("segments/1", &bytes);
            let seen = told("segments/1");
            let damaged: Vec<_> = seen.parts.iter().filter(|part| part.damaged).collect();
            assert!(seen.is_damaged() && damaged.len() == part + 1, "{damaged:?}");
            assert!(damaged[part].words.starts_with(words), "{damaged:?}");
        }
    }

    #[test]
    fn a_frame_is_told_in_a_few_words() {
        let mut batch = samples::batch(3);
        let said = |batch: &Batch| Words(batch).to_string();
        assert_eq!(said(&batch), "1 transactions with 1 writes, the first of retry id 30000000000000007");
        batch.transactions[0].loaded = Some(crate::store::segment::SegmentName {
            no: SegmentNo(9),
            bytes: 1,
            digest: crate::store::Digest([0; 16]),
            upto: Lsn(1),
            entries: 20,
            live: 20,
        });
        batch.transactions[0].retry = None;
        assert_eq!(said(&batch), "1 transactions with 1 writes and the 20 records of segments/9");
    }
}
