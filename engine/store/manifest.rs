//! The manifest: the one file that says which other files count.
//!
//! It is replaced as a whole: the new one is written aside and synced, then renamed over the old, then its directory
//! is synced. Only after that may anything it no longer names be removed. Whatever fails on the way, the name
//! `manifest` stands for the old one or for the new one, whole; which of the two is not known until the next
//! installation succeeds, so until then both sets of files stay, and nothing is written that only one of the two could
//! explain.
//!
//! One name and no second slot: if a damaged manifest made us fall back on an older one, log files that only the newer
//! one named would silently be gone.

use std::sync::Arc;

use stormproof_contract::{Disk, Open};

use super::{
    Digest, StoreError, StoreResult,
    archive::GenerationName,
    codec::{Cursor, Flaw, put_u32, put_u64},
    files::{missing, read_whole},
    log::{LogId, LogNo, holds_frames},
    segment::{self, SegmentName, SegmentNo},
};
use crate::ids::{Lsn, Version};

/// The manifest's path.
pub const PATH: &str = "manifest";
/// The path it is written under before its rename.
pub const TEMPORARY: &str = "manifest.tmp";
/// The points of an installation.
pub const POINTS: [&str; 3] = ["manifest.written", "manifest.synced", "manifest.renamed"];

const MAGIC: [u8; 8] = *b"STORMMAN";
const VERSION: u32 = 5;
/// The most segments that are named at a time.
pub const SEGMENTS_MAX: usize = 4096;
/// The most files of a log that are named at a time.
const LOGS_MAX: usize = 1 << 16;
/// More than the longest manifest.
const BYTES_MAX: u64 = 1 << 20;

/// Which files count, and what is true of them all.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Manifest {
    /// Grows with each installation.
    pub sequence: u64,
    /// Which database this is: all of its files carry it.
    pub log: LogId,
    /// Components of every vector.
    pub components: u32,
    /// The metric of every search, as `vector` numbers it.
    pub metric: u8,
    /// The log's files, in order. The first is the floor: what is before it needs no replay. Never empty.
    pub logs: Vec<LogNo>,
    /// The segments, the oldest first: what a later one says of a record counts.
    pub segments: Vec<SegmentName>,
    /// How much of the log the segments hold.
    pub flushed: Flushed,
    /// The last frame that added a segment which is named here, or was merged into one that is. The segments of later frames
    /// are still to be named.
    pub loaded: Lsn,
    /// Every version that is given is above this one: no record that is in none of them, and was there once, had a greater
    /// one, so none is given twice.
    pub version_floor: Version,
    /// The base file of L1 that deltas build on, where one was merged.
    pub l1: Option<L1Base>,
    /// Whether the frames that were flushed say that a rebuild of the archive is under way.
    pub rebuilding: bool,
    /// The archive's generation in force.
    pub archive: Option<ArchiveBase>,
}

/// The generation in force, and what of the segments it stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ArchiveBase {
    /// What it must be.
    pub name: GenerationName,
    /// It has every live record that counts in one of so many segments, the oldest: those it was made of, as far as merges have
    /// left them. So no merge may join one of them and a later one.
    pub covers: u32,
}

/// How much of the log the segments hold: the effect of every frame up to one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Flushed {
    /// The last such frame.
    pub lsn: Lsn,
    /// The last of them that changed a record.
    pub changed: Lsn,
}

/// A base file of L1, which is named by its LSN.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct L1Base {
    /// The frame it is as of.
    pub lsn: Lsn,
    /// What it must be.
    pub digest: Digest,
}

/// The manifest in force, and the means to replace it.
pub struct ManifestFile {
    disk: Arc<dyn Disk>,
    current: Manifest,
    /// The greatest sequence that may be in force.
    tried: u64,
}

impl ManifestFile {
    /// Installs the first manifest of a database. Its sequence is set to 1.
    pub fn create(disk: &Arc<dyn Disk>, first: Manifest) -> StoreResult<ManifestFile> {
        let mut file = ManifestFile { disk: Arc::clone(disk), current: first, tried: 0 };
        file.install(|_| ())?;
        Ok(file)
    }

    /// Reads the manifest. `None` if nothing was ever decided here: the database is to be created, over whatever an
    /// earlier attempt at that left. [`super::log::Log::resume`] makes what was read durable, before it is built on.
    pub fn load(disk: &Arc<dyn Disk>) -> StoreResult<Option<ManifestFile>> {
        let Some(bytes) = read_whole(&**disk, PATH, BYTES_MAX)? else { return nothing_decided(&**disk).map(|()| None) };
        let current = Manifest::decode(&bytes, PATH)?;
        Ok(Some(ManifestFile { disk: Arc::clone(disk), tried: current.sequence, current }))
    }

    /// The manifest in force.
    pub fn current(&self) -> &Manifest {
        &self.current
    }

    /// Whether no other manifest than [`current`](Self::current) can be found by a crash: the last installation
    /// succeeded, so that what it does not name may be removed.
    pub fn is_certain(&self) -> bool {
        self.tried == self.current.sequence
    }

    /// Puts a changed manifest in force. An error leaves it open which of the two a crash would find:
    /// [`current`](Self::current) is still the old one, nothing that either names may be removed, and the change is
    /// not to be relied on.
    pub fn install(&mut self, change: impl FnOnce(&mut Manifest)) -> StoreResult<()> {
        let mut next = self.current.clone();
        change(&mut next);
        next.sequence = self.tried + 1;
        let file = self.disk.open(TEMPORARY, Open::Truncate)?;
        file.write_all_at(0, &[&next.encode()])?;
        self.disk.point("manifest.written")?;
        file.sync()?;
        self.disk.point("manifest.synced")?;
        // Until now the old one is untouched.
        self.tried = next.sequence;
        self.disk.rename(TEMPORARY, PATH)?;
        self.disk.point("manifest.renamed")?;
        self.disk.sync_dir("")?;
        self.current = next;
        Ok(())
    }
}

/// That no log file holds a frame, and that there is no segment. Both are written only once a manifest is durable, so
/// with one of them and without a manifest, a file was lost. (The log behind a flush may well be empty.)
fn nothing_decided(disk: &dyn Disk) -> StoreResult<()> {
    if let Some(found) = segment::list(disk)?.into_iter().next() {
        return Err(StoreError::MissingManifest { path: PATH.into(), found: found.into() });
    }
    for entry in disk.list("")? {
        if LogNo::of_path(&entry.name).map_or(Ok(false), |no| holds_frames(disk, no))? {
            return Err(StoreError::MissingManifest { path: PATH.into(), found: entry.name.into() });
        }
    }
    Ok(())
}

impl Manifest {
    /// Reads a manifest under any name, to be looked at.
    pub fn read(disk: &dyn Disk, path: &str) -> StoreResult<Manifest> {
        let bytes = read_whole(disk, path, BYTES_MAX)?.ok_or_else(|| missing(path, "a manifest"))?;
        Self::decode(&bytes, path)
    }

    /// Whether it names the segment of that path.
    pub fn names_segment(&self, path: &str) -> bool {
        SegmentNo::of_path(path).is_some_and(|no| self.segments.iter().any(|name| name.no == no))
    }

    /// Whether it names the generation of that path.
    pub fn names_generation(&self, path: &str) -> bool {
        self.archive.is_some_and(|base| base.name.no.path() == path)
    }

    fn encode(&self) -> Vec<u8> {
        assert!(self.segments.len() <= SEGMENTS_MAX, "a manifest names at most {SEGMENTS_MAX} segments");
        assert!((1..=LOGS_MAX).contains(&self.logs.len()), "a manifest names 1 to {LOGS_MAX} files of the log");
        let mut out = Vec::new();
        out.extend_from_slice(&MAGIC);
        put_u32(&mut out, VERSION);
        put_u32(&mut out, self.components);
        put_u64(&mut out, self.sequence);
        out.extend_from_slice(&self.log.0.to_le_bytes());
        let flags = [self.l1.is_some(), self.rebuilding, self.archive.is_some()].map(u8::from);
        out.push(self.metric);
        out.extend_from_slice(&flags);
        let base = self.l1.unwrap_or(L1Base { lsn: Lsn(0), digest: Digest([0; Digest::LEN]) });
        put_u64(&mut out, base.lsn.0);
        out.extend_from_slice(&base.digest.0);
        put_u32(&mut out, self.logs.len() as u32);
        self.logs.iter().for_each(|no| put_u64(&mut out, no.0));
        put_u64(&mut out, self.flushed.lsn.0);
        put_u64(&mut out, self.flushed.changed.0);
        put_u64(&mut out, self.loaded.0);
        put_u64(&mut out, self.version_floor.0);
        put_u32(&mut out, self.segments.len() as u32);
        self.segments.iter().for_each(|name| name.encode(&mut out));
        if let Some(base) = &self.archive {
            assert!(base.covers as usize <= self.segments.len(), "a generation stands for segments that are named");
            base.name.encode(&mut out);
            put_u32(&mut out, base.covers);
        }
        let crc = crc32c::crc32c(&out);
        put_u32(&mut out, crc);
        out
    }

    fn decode(bytes: &[u8], path: &str) -> StoreResult<Manifest> {
        let damaged = |flaw: Flaw| flaw.in_file(path, 0);
        let Some((checked, crc)) = bytes.split_last_chunk() else {
            return Err(damaged(Flaw::new(0, "a manifest", format!("{} bytes", bytes.len()))));
        };
        let (expected, found) = (crc32c::crc32c(checked), u32::from_le_bytes(*crc));
        if expected != found {
            let (expected, found) = (format!("checksum {expected:08x}"), format!("{found:08x}"));
            return Err(damaged(Flaw::new(checked.len(), expected, found)));
        }
        let mut from = Cursor::new(checked);
        Self::decode_version(&mut from, path).map_err(damaged)??;
        let manifest = Self::decode_fields(&mut from).map_err(damaged)?;
        from.end().map_err(damaged)?;
        Ok(manifest)
    }

    fn decode_version(from: &mut Cursor<'_>, path: &str) -> Result<StoreResult<()>, Flaw> {
        let magic: [u8; 8] = from.array()?;
        if magic != MAGIC {
            return Err(Flaw::new(0, MAGIC.escape_ascii().to_string(), magic.escape_ascii().to_string()));
        }
        match from.u32()? {
            VERSION => Ok(Ok(())),
            found => Ok(Err(StoreError::UnknownFormat { path: path.into(), offset: 8, expected: VERSION, found })),
        }
    }

    fn decode_fields(from: &mut Cursor<'_>) -> Result<Manifest, Flaw> {
        let components = from.u32()?;
        let sequence = from.number()?;
        let log = LogId(from.u128()?);
        let metric = from.u8()?;
        let mut flag = |what: &str| {
            let begin = from.position();
            match from.u8()? {
                flag @ (0 | 1) => Ok(flag == 1),
                other => Err(Flaw::new(begin, format!("0 (no {what}) or 1"), other.to_string())),
            }
        };
        let (has_l1, rebuilding) = (flag("base of L1")?, flag("rebuild of the archive under way")?);
        let has_archive = flag("archive")?;
        let base = L1Base { lsn: Lsn(from.u64()?), digest: Digest(from.array()?) };
        let l1 = has_l1.then_some(base);
        let logs = Self::decode_logs(from)?;
        let flushed = Flushed { lsn: Lsn(from.number()?), changed: Lsn(from.number()?) };
        let (loaded, version_floor) = (Lsn(from.number()?), Version(from.number()?));
        let count = from.count("segments", SEGMENTS_MAX, SegmentName::BYTES)?;
        let segments = (0..count).map(|_| SegmentName::decode(from)).collect::<Result<_, _>>()?;
        let archive = if has_archive { Some(Self::decode_archive(from, count)?) } else { None };
        Ok(Manifest {
            sequence,
            log,
            components,
            metric,
            logs,
            segments,
            flushed,
            loaded,
            version_floor,
            l1,
            rebuilding,
            archive,
        })
    }

    fn decode_archive(from: &mut Cursor<'_>, segments: usize) -> Result<ArchiveBase, Flaw> {
        let name = GenerationName::decode(from)?;
        let begin = from.position();
        match from.u32()? {
            covers if covers as usize <= segments => Ok(ArchiveBase { name, covers }),
            other => Err(Flaw::new(begin, format!("at most {segments} segments"), other.to_string())),
        }
    }

    /// One file at least, and none before an earlier one.
    fn decode_logs(from: &mut Cursor<'_>) -> Result<Vec<LogNo>, Flaw> {
        let begin = from.position();
        let count = from.count("log files", LOGS_MAX, 8)?;
        let logs: Vec<LogNo> = (0..count).map(|_| from.number().map(LogNo)).collect::<Result<_, _>>()?;
        if logs.is_empty() || !logs.is_sorted_by(|one, next| one < next) {
            return Err(Flaw::new(begin, "log files in ascending order", format!("{logs:?}")));
        }
        Ok(logs)
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};
    use stormproof_contract::{DiskErrorKind, DiskOp};

    use super::{
        super::{
            archive::GenerationNo,
            log::{Log, LogFormat, LogOptions},
            samples,
            test_disk::TestDisk,
        },
        *,
    };

    fn manifest() -> Manifest {
        let l1 = Some(L1Base { lsn: Lsn(9), digest: Digest([7; 16]) });
        let logs = vec![LogNo(3), LogNo(4)];
        let digest = Digest([3; 16]);
        let segment = SegmentName { no: SegmentNo(6), bytes: 900, digest, upto: Lsn(8), entries: 5, live: 4 };
        let flushed = Flushed { lsn: Lsn(8), changed: Lsn(7) };
        let (log, version_floor) = (LogId(77), Version(12));
        let segments = vec![segment];
        let loaded = Lsn(6);
        let name = GenerationName { no: GenerationNo(4), bytes: 9000, digest, built: Lsn(5), records: 3 };
        let archive = Some(ArchiveBase { name, covers: 1 });
        Manifest {
            sequence: 5,
            log,
            components: 960,
            metric: 2,
            logs,
            segments,
            flushed,
            loaded,
            version_floor,
            l1,
            rebuilding: true,
            archive,
        }
    }

    /// What somebody else would write: the right checksum of other bytes.
    fn seal_again(mut bytes: Vec<u8>) -> Vec<u8> {
        let len = bytes.len() - 4;
        let crc = crc32c::crc32c(&bytes[..len]);
        bytes[len..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn created(disk: &Arc<TestDisk>) -> (Arc<dyn Disk>, ManifestFile) {
        let disk: Arc<dyn Disk> = Arc::clone(disk) as _;
        let file = ManifestFile::create(&disk, manifest()).expect("created");
        (disk, file)
    }

    #[test]
    fn what_was_installed_is_loaded() {
        let (disk, mut file) = created(&TestDisk::new());
        file.install(|manifest| manifest.l1 = None).expect("installed");
        let loaded = ManifestFile::load(&disk).expect("loaded").expect("there is one");
        assert_eq!(loaded.current(), &Manifest { sequence: 2, l1: None, ..manifest() });
    }

    #[test]
    fn what_no_manifest_says_is_refused_with_its_place() {
        let refused = |bytes: &[u8]| match Manifest::decode(bytes, "manifest") {
            Err(StoreError::Damaged { offset, found, .. }) => (offset, found.into_string()),
            other => panic!("not refused: {other:?}"),
        };
        let forged = |at: usize, bytes: &[u8]| {
            let mut all = manifest().encode();
            all[at..at + bytes.len()].copy_from_slice(bytes);
            seal_again(all)
        };
        for flag in [41, 42, 43] {
            assert_eq!(refused(&forged(flag, &[2])), (flag as u64, "2".into()));
        }
        let covers = manifest().encode().len() - 8;
        assert_eq!(refused(&forged(covers, &[2])), (covers as u64, "2".into()));
        let logs = |logs: &[u64]| {
            let logs = logs.iter().copied().map(LogNo).collect();
            refused(&Manifest { logs, ..manifest() }.encode())
        };
        assert_eq!(refused(&forged(68, &[0; 4])), (68, "[]".into()));
        for wrong in [[4, 3], [3, 3]] {
            assert_eq!(logs(&wrong).0, 68, "{wrong:?}");
        }
    }

    #[test]
    fn a_failure_leaves_the_old_one_in_force_and_a_sequence_that_may_be_found_is_not_used_again() {
        for op in [DiskOp::Open, DiskOp::Write, DiskOp::Sync, DiskOp::Rename, DiskOp::SyncDir, DiskOp::Point] {
            let test_disk = TestDisk::new();
            let (disk, mut file) = created(&test_disk);
            test_disk.fail_next(op, DiskErrorKind::Io);
            file.install(|manifest| manifest.metric = 1).expect_err("the disk failed");
            assert_eq!(file.current().metric, 2);
            let may_be_found = matches!(op, DiskOp::Rename | DiskOp::SyncDir);
            assert_eq!(file.is_certain(), !may_be_found, "after {op}");
            let sequence = if may_be_found { 3 } else { 2 };
            file.install(|manifest| manifest.components = 8).expect("installed");
            let loaded = ManifestFile::load(&disk).expect("loaded").expect("there is one");
            assert_eq!(loaded.current(), &Manifest { sequence, components: 8, ..manifest() }, "after {op}");
        }
    }

    #[test]
    fn no_bit_can_change_unnoticed() {
        let bytes = manifest().encode();
        for bit in 0..8 * bytes.len() {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(Manifest::decode(&bytes, PATH), Err(StoreError::Damaged { .. })), "bit {bit}");
        }
    }

    #[test]
    fn a_manifest_cut_anywhere_is_refused() {
        let bytes = manifest().encode();
        for len in 0..bytes.len() {
            assert!(Manifest::decode(&bytes[..len], PATH).is_err(), "{len} bytes");
        }
    }

    #[test]
    fn a_later_format_is_named() {
        let mut bytes = manifest().encode();
        bytes[8] = 6;
        let bytes = seal_again(bytes);
        let expected = StoreError::UnknownFormat { path: PATH.into(), offset: 8, expected: 5, found: 6 };
        assert_eq!(Manifest::decode(&bytes, PATH), Err(expected));
    }

    proptest! {
        #[test]
        fn hostile_bytes_of_the_right_checksum_are_refused_or_are_what_would_be_written(
            edits in vec((any::<prop::sample::Index>(), any::<u8>()), 0..8)
        ) {
            let mut bytes = manifest().encode();
            let len = bytes.len() - 4;
            for (at, byte) in edits {
                bytes[at.index(len)] = byte;
            }
            let bytes = seal_again(bytes);
            if let Ok(manifest) = Manifest::decode(&bytes, PATH) {
                // A base of L1 that is not there leaves its bytes unread.
                prop_assert_eq!(manifest.encode().len(), bytes.len());
            }
        }
    }

    #[test]
    fn without_a_manifest_a_log_that_was_only_begun_counts_for_nothing() {
        let disk: Arc<dyn Disk> = TestDisk::new();
        let options = LogOptions { format: LogFormat::Binary, file_bytes: 4096 };
        Log::create(&disk, LogId(1), options).expect("created");
        assert!(ManifestFile::load(&disk).expect("fresh").is_none());
    }

    #[test]
    fn without_a_manifest_a_log_that_holds_decisions_is_not_written_over() {
        for format in LogFormat::ALL {
            let disk: Arc<dyn Disk> = TestDisk::new();
            let mut log = Log::create(&disk, LogId(77), LogOptions { format, file_bytes: 4096 }).expect("created");
            let mut file = ManifestFile::create(&disk, manifest()).expect("created");
            let encoded = log.encode(&samples::batch(1)).expect("encoded");
            log.reserve(&encoded, &mut file).expect("room");
            log.write(&encoded).expect("written");
            disk.remove(PATH).expect("removed");
            let error = ManifestFile::load(&disk).map(|_| ()).expect_err("a manifest is missing");
            assert_eq!(error, StoreError::MissingManifest { path: "manifest".into(), found: "log.1".into() });
        }
    }
}
