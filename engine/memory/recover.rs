//! Opening a node on whatever its disk holds: nothing, a state that was closed, or what a crash left.
//!
//! 1. The segments are read, then the log behind them, and their effect is made in memory. Nothing is changed yet, so
//!    that a refusal leaves the evidence.
//! 2. The files of the index are compared with it. One that is ahead of the log proves that the log lost its end.
//! 3. The log is made durable as it was read ([`Log::resume`]). Only now is it the truth, come what may.
//! 4. The index is read, or made; the managers are told the end of what they are in doubt about.
//!
//! Every step changes nothing but what the steps before it have settled, so a crash in the middle, and another recovery
//! after it, ends in the same state.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use stormproof_contract::{Boot, BootError, Disk, DiskErrorKind, DiskResult, Effect, Effects, Tick};

use super::{
    archive::{Found, Rebuild, load_at_boot},
    away::{self, segments_away},
    batch::OpenBatch,
    bulk::{Loads, Unnamed},
    cache::KeysCache,
    commit::L1,
    compact::{Compaction, Pause},
    config::Config,
    consolidate::Consolidation,
    decided::Decisions,
    facts::Shown,
    fallback::Fallback,
    flush,
    health::Scrub,
    l1::L1Files,
    load::{self, Named},
    node::MemoryNode,
    query::Queries,
    view::{Published, View},
    waiting::{ManagerSet, Waiting},
};
use crate::{
    ids::{Lsn, RecordId, Version},
    protocol::{ManagerId, Participant, Verdict, degrade::Degrade, health::Health, redrive},
    store::{
        self, Batch, Entry, Memtable, Record, StoreError, StoreResult, TransactionId, Write, archive,
        l1::{self, L1Name},
        log::{self, Log, LogId, LogNo, LogOptions, Tail},
        manifest::{Flushed, Manifest, ManifestFile},
        segment::{self, Decided, Segment, SegmentName},
    },
    vector::{FlatIndex, Shape, VectorError},
};

/// The points of a recovery, beside those of the log.
pub(super) const POINTS: [&str; 6] = [
    "recover.begun",
    "recover.log_read",
    "recover.log_resumed",
    "recover.l1_loaded",
    "recover.managers_made",
    "recover.redriven",
];

/// What the segments and the log say.
struct Replayed {
    /// What the log says since the last flush.
    records: Memtable,
    segments: Vec<Arc<Segment>>,
    /// The rows of what the segments hold.
    rows: FlatIndex,
    /// So many of them, the oldest, have their rows not in memory.
    away: usize,
    /// What the segments hold, if it is to be kept in memory as well.
    shown: Option<Shown>,
    changed: Lsn,
    decided: Decisions,
    /// What the log has added to the segments that the manifest names.
    unnamed: Unnamed,
    votes: BTreeMap<Lsn, store::Digest>,
    /// Whether a rebuild of the archive was under way.
    rebuilding: bool,
    /// The generation of the archive in force.
    archive: Found,
    /// One more than the last transaction's name.
    next_tx: u64,
}

/// Starts a node.
pub(super) fn open(boot: &Boot<'_, Config>) -> Result<MemoryNode, BootError> {
    let refused = |error: super::config::ConfigError| BootError::Refused(error.to_string().into());
    boot.config.check().map_err(refused)?;
    let shape = boot.config.shape().map_err(refused)?;
    boot.disk.point("recover.begun").map_err(|error| failed(error.into()))?;
    match ManifestFile::load(&boot.disk).map_err(failed)? {
        Some(manifest) => Opening { boot, shape, notes: Effects::default() }.recover(manifest),
        None => Opening { boot, shape, notes: Effects::default() }.create(),
    }
}

#[allow(clippy::needless_pass_by_value, reason = "it is given to `map_err`")]
fn failed(error: StoreError) -> BootError {
    let words = error.to_string().into();
    if error.is_passing() { BootError::Retry(words) } else { BootError::Refused(words) }
}

/// A node on its way up.
struct Opening<'a> {
    boot: &'a Boot<'a, Config>,
    shape: Shape,
    notes: Effects<super::op::Reply>,
}

impl Opening<'_> {
    /// Makes a database where there is none.
    fn create(self) -> Result<MemoryNode, BootError> {
        let disk = &self.boot.disk;
        let (log, manifest) = self.create_files().map_err(failed)?;
        let files = self.l1_files(manifest.current().log);
        let replayed = self.nothing();
        let index = self.empty_index();
        disk.point("recover.l1_loaded").map_err(|error| failed(error.into()))?;
        self.assemble(log, manifest, files, replayed, index, true)
    }

    /// The directory first: the installation of the manifest makes it durable.
    fn create_files(&self) -> StoreResult<(Log, ManifestFile)> {
        let disk = &self.boot.disk;
        if let Some(found) = l1::list(&**disk)?.iter().find(|name| !name.temporary) {
            let path = store::manifest::PATH.into();
            return Err(StoreError::MissingManifest { path, found: found.path().into() });
        }
        make_dir(&**disk, l1::DIRECTORY)?;
        make_dir(&**disk, segment::DIRECTORY)?;
        make_dir(&**disk, archive::DIRECTORY)?;
        let id = LogId(u128::from(self.boot.seed) << 64 | u128::from(self.boot.clock.wall().0));
        let log = Log::create(disk, id, self.log_options())?;
        let first = Manifest {
            sequence: 1,
            log: id,
            components: self.shape.dim.get() as u32,
            metric: self.shape.metric.number(),
            logs: vec![LogNo::FIRST],
            segments: Vec::new(),
            flushed: Flushed::default(),
            loaded: Lsn(0),
            rebuilding: false,
            archive: None,
            version_floor: Version(0),
            l1: None,
        };
        Ok((log, ManifestFile::create(disk, first)?))
    }

    /// Takes up what is there.
    fn recover(mut self, mut manifest: ManifestFile) -> Result<MemoryNode, BootError> {
        self.check_shape(manifest.current())?;
        let disk = Arc::clone(&self.boot.disk);
        let found = load_at_boot(&*disk, self.boot.config, manifest.current(), &mut self.notes);
        let (replayed, tail) = self.replay(manifest.current(), found).map_err(failed)?;
        let found = l1::list(&*disk).map_err(failed)?;
        check_tail(manifest.current(), &tail, &found).map_err(failed)?;
        // A crash can keep the first manifest and lose a directory that was made before it.
        let Manifest { segments, archive, .. } = manifest.current();
        let (no_segments, no_archive) = (segments.is_empty(), archive.is_none());
        for (directory, is_empty) in
            [(l1::DIRECTORY, found.is_empty()), (segment::DIRECTORY, no_segments), (archive::DIRECTORY, no_archive)]
        {
            if is_empty {
                make_dir(&*disk, directory).map_err(|error| failed(error.into()))?;
            }
        }
        disk.point("recover.log_read").map_err(|error| failed(error.into()))?;
        let (end, torn) = (tail.lsn, tail.torn.is_some());
        let log = Log::resume(&disk, tail, self.log_options(), &mut manifest).map_err(failed)?;
        disk.point("recover.log_resumed").map_err(|error| failed(error.into()))?;
        if torn {
            self.notes.note("log.tail_truncated", &[("lsn", end.0)]);
        }
        let mut files = self.l1_files(manifest.current().log);
        let Manifest { l1: base, flushed, .. } = *manifest.current();
        let named = Named { end, flushed: flushed.lsn, base, votes: replayed.votes.clone() };
        let loaded = load::load(&mut files, &named, &replayed.rows, &replayed.records, self.empty_index());
        self.note_l1(&loaded, end);
        if loaded.whole {
            files.sweep(&found);
        }
        disk.point("recover.l1_loaded").map_err(|error| failed(error.into()))?;
        self.assemble(log, manifest, files, replayed, loaded.index, loaded.whole)
    }

    fn check_shape(&self, manifest: &Manifest) -> Result<(), BootError> {
        let (dim, metric) = (self.shape.dim.get() as u32, self.shape.metric.number());
        if (manifest.components, manifest.metric) == (dim, metric) {
            return Ok(());
        }
        Err(BootError::Refused(
            format!(
                "`{}` is of vectors with {} components and metric {}; the configuration says {dim} and {metric}",
                store::manifest::PATH,
                manifest.components,
                manifest.metric
            )
            .into(),
        ))
    }

    fn replay(&self, manifest: &Manifest, archive: Found) -> StoreResult<(Replayed, Tail)> {
        let mut replayed = Replayed { archive, rebuilding: manifest.rebuilding, ..self.nothing() };
        replayed.away = segments_away(manifest.segments.iter().map(|name| name.live), self.boot.config.l1_rows());
        if self.boot.config.trims() {
            replayed.away = replayed.away.max(replayed.covered(manifest));
        }
        let components = self.shape.dim.get() as u32;
        let open = |name: &SegmentName| Segment::open(&*self.boot.disk, manifest.log, name, components);
        for name in &manifest.segments {
            replayed.add_segment(open(name)?, self.shape)?;
        }
        replayed.changed = manifest.flushed.changed;
        let tail = log::scan(&self.boot.disk, manifest, &mut |lsn, batch| {
            // Files that were kept for a participant's sake hold frames that were flushed.
            if lsn <= manifest.flushed.lsn {
                return Ok(());
            }
            for name in batch.loaded() {
                replayed.changed = lsn;
                if lsn > manifest.loaded {
                    replayed.add_segment(open(&name)?, self.shape)?;
                    replayed.unnamed.add(name, lsn);
                }
            }
            replayed.add(lsn, batch, self.shape)
        })?;
        Ok((replayed, tail))
    }

    fn nothing(&self) -> Replayed {
        Replayed {
            records: Memtable::default(),
            segments: Vec::new(),
            rows: self.empty_index(),
            away: 0,
            shown: self.boot.config.inspectable.then(Shown::default),
            changed: Lsn(0),
            decided: Decisions::default(),
            unnamed: Unnamed::default(),
            votes: BTreeMap::new(),
            rebuilding: false,
            archive: Found::None,
            next_tx: 0,
        }
    }

    fn note_l1(&mut self, loaded: &load::Loaded, end: Lsn) {
        if loaded.redone > 0 {
            self.notes.note("recover.redone", &[("n", loaded.redone)]);
        }
        if !loaded.whole {
            self.notes.note("l1.rebuilt", &[("lsn", end.0)]);
        }
    }

    fn assemble(
        mut self,
        log: Log,
        manifest: ManifestFile,
        l1: L1Files,
        replayed: Replayed,
        index: FlatIndex,
        l1_whole: bool,
    ) -> Result<MemoryNode, BootError> {
        let Boot { config, disk, clock, incarnation, .. } = self.boot;
        let managers = make_managers(config, disk)?;
        let owed = in_doubt(&managers, &replayed.decided)?;
        let doubtful = managers.list.iter().flat_map(|(_, manager)| manager.in_doubt()).map(|(tx, _)| tx.0 + 1).max();
        let next_tx = (u64::from(*incarnation) << 32).max(replayed.next_tx).max(doubtful.unwrap_or(0));
        let covered = replayed.covered(manifest.current());
        let Replayed { records, segments, away, shown, changed, decided, unnamed, rebuilding, archive: found, .. } =
            replayed;
        let (lsn, version_floor, segments) = (log.lsn(), manifest.current().version_floor, segments.into());
        let cache = Arc::new(KeysCache::new(config.cache_bytes));
        let first = View {
            lsn,
            changed,
            records,
            version_floor,
            segments,
            away,
            rebuilding,
            archive: found.archive().cloned(),
            covered,
            cache,
            index,
        };
        let mut rebuild = Rebuild::new(clock.now(), &found);
        rebuild.stale = first.stale_in_archive();
        let views = Arc::new(Published::new(first));
        let fallback = Arc::new(Fallback::new(config.fallback_records, config.degrade.breaker, clock));
        let mut node = MemoryNode {
            config: (*config).clone(),
            shape: self.shape,
            disk: Arc::clone(disk),
            clock: Arc::clone(clock),
            log,
            manifest,
            l1,
            managers,
            queries: Arc::new(Queries::new(&views, &fallback, config)),
            views,
            fallback,
            reads_refused: false,
            decided,
            open: OpenBatch::default(),
            waiting: Waiting::default(),
            writes: Degrade::new(config.degrade),
            unreadable: 0,
            health: Health::new(config.health, clock.now()),
            checked_at: lsn,
            scrub: Scrub::default(),
            owed,
            next_segment: flush::first_segment(*incarnation),
            leftovers: VecDeque::new(),
            flush: None,
            flush_pause: Pause::default(),
            loads: Loads::default(),
            again_at: (!unnamed.is_empty()).then_some(Tick(0)),
            unnamed,
            compaction: Compaction::default(),
            merge_pause: Pause::default(),
            consolidation: Consolidation::new(&config.consolidation, clock.now()),
            rebuild,
            shown,
            next_tx: TransactionId(next_tx),
            ask_at: None,
            boot_notes: Vec::new(),
            halted: false,
        };
        node.sweep_segments();
        node.sweep_archive();
        if rebuilding {
            node.found_mark(&mut self.notes);
        }
        if !l1_whole {
            node.owe(Participant::L1, Verdict::Committed, &mut self.notes);
        }
        node.redrive(&mut self.notes);
        node.disk.point("recover.redriven").map_err(|error| failed(error.into()))?;
        node.boot_notes = self.notes.drain().filter_map(note).collect();
        Ok(node)
    }

    fn l1_files(&self, log: LogId) -> L1Files {
        L1Files {
            disk: Arc::clone(&self.boot.disk),
            persist: self.boot.config.l1_persist,
            log,
            components: self.shape.dim.get() as u32,
            metric: self.shape.metric.number(),
            base: Lsn(0),
            upto: Lsn(0),
            digest: None,
            base_rows: 0,
            delta_rows: 0,
        }
    }

    fn empty_index(&self) -> FlatIndex {
        FlatIndex::new(self.shape, self.boot.config.l1_kernels())
    }

    fn log_options(&self) -> LogOptions {
        LogOptions { format: self.boot.config.log_format, file_bytes: self.boot.config.log_file_bytes }
    }
}

impl Replayed {
    /// Of how many segments, the oldest, the generation has all that counts.
    fn covered(&self, manifest: &Manifest) -> usize {
        let base = manifest.archive.filter(|_| self.archive.archive().is_some());
        base.map_or(0, |base| base.covers as usize)
    }

    /// Adds what a segment holds. Everything is read, for the index has a row of each live record, unless those of this
    /// segment are not in memory: then the keys are.
    fn add_segment(&mut self, segment: Segment, shape: Shape) -> StoreResult<()> {
        let is_away = self.segments.len() < self.away;
        for group in 0..segment.groups() {
            if is_away {
                away::add_keys(&mut self.rows, &segment.keys_of(group)?);
                if let Some(shown) = &mut self.shown {
                    shown.add(segment.group(group))?;
                }
                continue;
            }
            let entries = segment.group(group)?;
            for (id, entry) in &entries {
                if let Entry::Live(record) = entry {
                    check_vector(|| segment.no().path(), record, shape)?;
                }
                load::put(&mut self.rows, *id, entry);
            }
            if let Some(shown) = &mut self.shown {
                shown.add(Ok(entries))?;
            }
        }
        segment.decisions()?.into_iter().for_each(|decided| self.decide(decided));
        self.segments.push(Arc::new(segment));
        Ok(())
    }

    fn decide(&mut self, decided: Decided) {
        self.next_tx = self.next_tx.max(decided.id.0.saturating_add(1));
        self.decided.add(decided, None);
    }

    /// Adds the effect of a frame.
    fn add(&mut self, lsn: Lsn, batch: Batch, shape: Shape) -> StoreResult<()> {
        for write in batch.writes() {
            if let Write::Put(record) = write {
                check_vector(|| format!("the frame of {lsn}"), record, shape)?;
            }
            self.records.apply(write);
            self.changed = lsn;
        }
        for (place, transaction) in batch.transactions.iter().enumerate() {
            self.next_tx = self.next_tx.max(transaction.id.0.saturating_add(1));
            // That of a load is in its segment, with the versions.
            self.rebuilding = transaction.rebuilding.unwrap_or(self.rebuilding);
            let decided = Decided::of(lsn, place as u32, transaction).filter(|_| transaction.loaded.is_none());
            if let Some(decided) = decided {
                self.decide(decided);
            }
        }
        let vote = batch.votes.into_iter().find(|vote| vote.participant.as_str() == L1);
        self.votes.extend(vote.map(|vote| (lsn, vote.digest)));
        Ok(())
    }
}

/// That the index can hold the vector.
fn check_vector(place: impl FnOnce() -> String, record: &Record, shape: Shape) -> StoreResult<()> {
    shape.check(&record.vector).map_err(|error| foreign_vector(place(), 0, record.id, error))
}

/// Checksums make a vector that the index cannot hold the work of another program.
pub(super) fn foreign_vector(path: String, offset: u64, id: RecordId, error: VectorError) -> StoreError {
    let (expected, found) = ("vectors that the index can hold".into(), format!("of {id}: {error}").into());
    StoreError::Foreign { path: path.into(), offset, expected, found }
}

/// That neither a file of the index nor a segment is ahead of the log: both are made of frames that were durable.
pub(super) fn check_tail(manifest: &Manifest, tail: &Tail, found: &[L1Name]) -> StoreResult<()> {
    let base = manifest.l1.map_or(Lsn(0), |base| base.lsn);
    let named = Some((store::manifest::PATH.to_owned(), base.max(manifest.flushed.lsn).max(manifest.loaded)));
    let finished = found.iter().filter(|name| !name.temporary).map(|name| (name.path(), name.lsn));
    match finished.chain(named).max_by_key(|(_, lsn)| *lsn) {
        Some((path, lsn)) if lsn > tail.lsn => Err(tail.lost(&path, lsn)),
        Some(_) | None => Ok(()),
    }
}

fn make_managers(config: &Config, disk: &Arc<dyn Disk>) -> Result<ManagerSet, BootError> {
    let mut list = Vec::new();
    if !config.managers.names.is_empty() {
        make_manager_dirs(config, &**disk).map_err(|error| failed(error.into()))?;
    }
    for name in &config.managers.names {
        list.push((name.clone(), (config.managers.make)(name, disk.scoped(&manager_dir(name)))?));
    }
    disk.point("recover.managers_made").map_err(|error| failed(error.into()))?;
    Ok(ManagerSet { disk: Arc::clone(disk), list })
}

/// Made and synced at every boot: that a directory is seen does not mean that it is durable.
fn make_manager_dirs(config: &Config, disk: &dyn Disk) -> DiskResult<()> {
    make_dir(disk, MANAGERS)?;
    config.managers.names.iter().try_for_each(|name| make_dir(disk, &manager_dir(name)))?;
    disk.sync_dir(MANAGERS)?;
    disk.sync_dir("")
}

pub(super) fn make_dir(disk: &dyn Disk, path: &str) -> DiskResult<()> {
    match disk.mkdir(path) {
        Err(error) if error.kind == DiskErrorKind::Exists => Ok(()),
        made => made,
    }
}

/// The directory of the managers' directories.
pub(super) const MANAGERS: &str = "managers";

fn manager_dir(name: &str) -> String {
    format!("{MANAGERS}/{name}")
}

/// What the managers are in doubt about, with the log's word on it.
fn in_doubt(managers: &ManagerSet, decided: &Decisions) -> Result<redrive::Redrive<TransactionId>, BootError> {
    let mut listed = Vec::new();
    for (at, (name, manager)) in managers.list.iter().enumerate() {
        for (tx, held) in manager.in_doubt() {
            if let Some(voted) = decided.vote_of(tx, name).filter(|voted| *voted != held) {
                let words = format!("manager `{name}` holds {held} for transaction {}, and voted {voted}", tx.0);
                return Err(BootError::Refused(words.into()));
            }
            listed.push((ManagerId(at as u16), tx));
        }
    }
    let by_the_log = |manager: ManagerId, tx: &TransactionId| decided.vote_of(*tx, managers.name(manager)).is_some();
    Ok(redrive::in_doubt(listed, by_the_log))
}

fn note(effect: Effect<super::op::Reply>) -> Option<super::node::BootNote> {
    match effect {
        Effect::Note { name, values } => Some((name, values.into_vec())),
        Effect::Reply { .. }
        | Effect::Send { .. }
        | Effect::StartJob { .. }
        | Effect::TellJob { .. }
        | Effect::StopJob { .. }
        | Effect::Halt { .. } => None,
    }
}
