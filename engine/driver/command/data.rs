//! Records: loading them from a file, reading them, counting them. The engine is opened for it, and recovers as it always does.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::json;
use stormproof_contract::Disk;

use super::{CommandError, NODE_DIR, RealDisk};
use crate::{
    driver::{Client, Fvecs, JobCommand, Observer, Options, Running, Stop, open},
    memory::{
        Config, Draft, Engine, MemoryNode, Metric, Op, Record, RecordId, Reply, RetryId, Transaction, Unavailable,
    },
    store::{
        DigestBuilder, l1,
        manifest::{Manifest, ManifestFile},
        segment,
    },
};

/// Records of a transaction that loads some.
const BATCH_RECORDS: usize = 256;
/// Transactions under way at a time, so that the log has something to put into one frame.
const LOADERS: usize = 8;
/// The same for a bulk load, of which each makes a segment, if they weigh no more than so many bytes. While one is written, the
/// next is read.
const BULK_RECORDS: usize = 8192;
const BULK_BYTES: usize = 48 << 20;
const BULK_LOADERS: usize = 2;
/// After what time a bulk load is asked after again.
const ASK_AFTER: Duration = Duration::from_millis(5);
/// Records that are asked for at a time.
const PAGE_RECORDS: u32 = 1000;

/// How a store is opened.
pub(super) struct Opening {
    pub(super) dir: PathBuf,
    /// See [`Config::l1_bytes`].
    pub(super) l1_bytes: u64,
    /// Hears what the store does.
    pub(super) observer: Option<Observer>,
}

/// What to load.
pub(super) struct Load {
    pub(super) file: PathBuf,
    pub(super) first_id: u64,
    pub(super) limit: Option<u64>,
    pub(super) metric: Metric,
    pub(super) bulk: bool,
    pub(super) json: bool,
}

type Store = Running<MemoryNode>;

/// The manifest of a directory that was opened before; `None` if there is none.
fn manifest(dir: &Path) -> Result<Option<Manifest>, CommandError> {
    let node = dir.join(NODE_DIR);
    if !node.is_dir() {
        return Ok(None);
    }
    let disk = RealDisk::open(&node).map_err(|error| CommandError::Disk { dir: dir.to_owned(), error })?;
    let loaded = ManifestFile::load(&(Arc::new(disk) as Arc<dyn Disk>));
    let failed = |error| CommandError::Store { dir: dir.to_owned(), error };
    Ok(loaded.map_err(failed)?.map(|file| file.current().clone()))
}

/// The configuration that the store of a directory was made with.
fn config_of(dir: &Path, manifest: &Manifest) -> Result<Config, CommandError> {
    let of_number = Metric::ALL.into_iter().find(|metric| metric.number() == manifest.metric);
    let metric = of_number.ok_or_else(|| CommandError::NoStore(dir.to_owned()))?;
    Ok(Config { dim: manifest.components as usize, metric, ..Config::default() })
}

pub(super) fn start(opening: &Opening, config: Config) -> Result<Store, CommandError> {
    let options =
        Options { job_command: JobCommand::ThisProgram, observer: opening.observer.clone(), ..Options::default() };
    let config = Config { l1_bytes: opening.l1_bytes, ..config };
    Ok(open(&Engine, &config, &opening.dir, options)?)
}

/// The configuration of a store that is there.
pub(super) fn config_at(opening: &Opening) -> Result<Config, CommandError> {
    let dir = &opening.dir;
    if !dir.is_dir() {
        return Err(CommandError::Missing(dir.clone()));
    }
    let manifest = manifest(dir)?.ok_or_else(|| CommandError::NoStore(dir.clone()))?;
    config_of(dir, &manifest)
}

/// Opens a store that is there.
fn reopen(opening: &Opening) -> Result<Store, CommandError> {
    start(opening, config_at(opening)?)
}

/// That the vectors of a file are like those of the store.
pub(super) fn check_dim(config: &Config, file: &Path, vectors: &Fvecs) -> Result<(), CommandError> {
    if config.dim == vectors.dim() {
        return Ok(());
    }
    Err(CommandError::Dim { file: file.to_owned(), expected: config.dim, found: vectors.dim() })
}

/// Writes the vectors of a file. A transaction's retry id is made of what it writes, so whatever an earlier run of the same
/// load has done is found, and not done again.
pub(super) fn load(opening: &Opening, what: &Load) -> Result<ExitCode, CommandError> {
    let mut vectors = Fvecs::open(&what.file)?;
    let config = match manifest(&opening.dir)? {
        Some(manifest) => config_of(&opening.dir, &manifest)?,
        None => Config { dim: vectors.dim(), metric: what.metric, ..Config::default() },
    };
    check_dim(&config, &what.file, &vectors)?;
    let dim = config.dim;
    let store = start(opening, config)?;
    let left = what.limit.unwrap_or(u64::MAX);
    // For whoever watches: the file says how many there are when it is read.
    let wanted = vectors.expected().map_or_else(String::new, |expected| format!(" of {}", expected.min(left)));
    let (began, done) = (Instant::now(), AtomicU64::new(0));
    let in_bulk = (BULK_BYTES / (64 + 4 * dim)).clamp(1, BULK_RECORDS);
    let (loaders, batch) = if what.bulk { (BULK_LOADERS, in_bulk) } else { (LOADERS, BATCH_RECORDS) };
    let source = Mutex::new(Some(Source { next: Some(what.first_id), left, batch, vectors: &mut vectors }));
    let loaded = thread::scope(|scope| {
        let loaders: Vec<_> = (0..loaders)
            .map(|_| {
                let (client, source, done) = (store.client(), &source, &done);
                scope.spawn(move || load_some(&client, source, what.bulk, done))
            })
            .collect();
        let mut shown = Instant::now();
        while loaders.iter().any(|loader| !loader.is_finished()) {
            thread::sleep(Duration::from_millis(20));
            if shown.elapsed() > Duration::from_secs(5) {
                shown = Instant::now();
                let n = done.load(Ordering::Relaxed);
                eprintln!("{n}{wanted} records, {:.0} a second", n as f64 / began.elapsed().as_secs_f64());
            }
        }
        loaders.into_iter().try_for_each(|loader| loader.join().expect("a loader does not panic"))
    });
    let stopped = store.stop();
    if let (Err(CommandError::Call(_)), Stop::Halted { reason }) = (&loaded, &stopped) {
        return Err(CommandError::Halted(reason.clone()));
    }
    loaded?;
    let (n, seconds) = (done.into_inner(), began.elapsed().as_secs_f64());
    let rate = n as f64 / seconds;
    if what.json {
        println!(
            "{}",
            json!({ "format": 1, "records": n, "seconds": seconds, "peak_resident_bytes": peak_resident() })
        );
    } else {
        println!("{n} records of {dim} components in {seconds:.1} s: {rate:.0} a second{}", resident_words());
    }
    Ok(ExitCode::SUCCESS)
}

/// Where the loaders take from. Once one has failed there is none any more: what follows would get other ids.
struct Source<'a> {
    /// The next id, if there is one.
    next: Option<u64>,
    left: u64,
    /// How many are taken at a time.
    batch: usize,
    vectors: &'a mut Fvecs,
}

impl Source<'_> {
    fn take(&mut self) -> Result<Vec<Draft>, CommandError> {
        let mut upserts = Vec::new();
        while upserts.len() < self.batch && self.left > 0 {
            let Some(vector) = self.vectors.next() else { break };
            let id = self.next.ok_or(CommandError::TooManyIds)?;
            upserts.push(Draft::new(RecordId(id), vector?));
            (self.next, self.left) = (id.checked_add(1), self.left - 1);
        }
        Ok(upserts)
    }
}

fn load_some(
    client: &Client<MemoryNode>,
    source: &Mutex<Option<Source<'_>>>,
    bulk: bool,
    done: &AtomicU64,
) -> Result<(), CommandError> {
    let held = || source.lock().unwrap_or_else(PoisonError::into_inner);
    let loaded = (|| {
        loop {
            let Some(upserts) = held().as_mut().map(Source::take).transpose()? else { return Ok(()) };
            if upserts.is_empty() {
                return Ok(());
            }
            let n = upserts.len() as u64;
            let retry = retry_of(&upserts);
            let reply = if bulk {
                let part = Transaction { inserts: upserts, bulk, ..Transaction::new(retry) };
                load_part(client, &part)?
            } else {
                client.call(Op::Commit(Transaction { upserts, ..Transaction::new(retry) }))?
            };
            match reply {
                Reply::Committed { .. } => done.fetch_add(n, Ordering::Relaxed),
                other => return Err(other.into()),
            };
        }
    })();
    if loaded.is_err() {
        *held() = None;
    }
    loaded
}

/// Stages a part of a bulk load, and waits until it is decided.
fn load_part(client: &Client<MemoryNode>, part: &Transaction) -> Result<Reply, CommandError> {
    let retry = part.retry;
    loop {
        match client.call(Op::Commit(part.clone()))? {
            Reply::Unavailable(Unavailable::Busy) => thread::sleep(ASK_AFTER),
            Reply::Staged { .. } => break,
            other => return Ok(other),
        }
    }
    loop {
        thread::sleep(ASK_AFTER);
        // Its name is enough to ask after it.
        match client.call(Op::Commit(Transaction { bulk: true, ..Transaction::new(retry) }))? {
            Reply::Staged { .. } => {}
            other => return Ok(other),
        }
    }
}

/// A name for what a transaction loads: its digest.
fn retry_of(upserts: &[Draft]) -> RetryId {
    let mut digest = DigestBuilder::default();
    digest.update(b"load");
    for draft in upserts {
        digest.update(&draft.id.0.to_le_bytes());
        draft.vector.iter().for_each(|x| digest.update(&x.to_le_bytes()));
    }
    RetryId(u128::from_le_bytes(digest.finish().0))
}

fn records(store: &Store, op: Op) -> Result<Vec<Arc<Record>>, CommandError> {
    match store.client().call(op)? {
        Reply::Records { records, .. } => Ok(records),
        other => Err(other.into()),
    }
}

pub(super) fn get(opening: &Opening, ids: &[u64], json: bool) -> Result<ExitCode, CommandError> {
    let store = reopen(opening)?;
    let ids: Vec<_> = ids.iter().copied().map(RecordId).collect();
    let found = records(&store, Op::Get { ids: ids.clone() })?;
    for record in &found {
        print(record, json)?;
    }
    for id in ids.iter().filter(|id| found.iter().all(|record| record.id != **id)) {
        eprintln!("stormproof-engine: there is no {id}");
    }
    store.stop();
    Ok(ExitCode::from(u8::from(found.len() < ids.len())))
}

pub(super) fn scan(opening: &Opening, from: u64, limit: u64, json: bool) -> Result<ExitCode, CommandError> {
    let store = reopen(opening)?;
    let (mut next, mut left) = (Some(RecordId(from)), limit);
    while let Some(from) = next.filter(|_| left > 0) {
        let page = left.min(PAGE_RECORDS.into()) as u32;
        let records = records(&store, Op::Range { from, limit: page })?;
        for record in &records {
            print(record, json)?;
        }
        left -= records.len() as u64;
        next = records
            .last()
            .filter(|_| records.len() == page as usize)
            .and_then(|last| last.id.0.checked_add(1))
            .map(RecordId);
    }
    store.stop();
    Ok(ExitCode::SUCCESS)
}

fn print(record: &Record, json: bool) -> Result<(), CommandError> {
    if json {
        return Ok(writeln!(io::stdout(), "{}", json!(record))?);
    }
    let Record { id, version, vector, text, attributes, links, kappa, .. } = record;
    let few: Vec<String> = vector.iter().take(4).map(|x| format!("{x}")).collect();
    let more = if vector.len() > 4 { format!(", .. {} in all", vector.len()) } else { String::new() };
    let links: Vec<String> = links.iter().map(|link| format!("{} ({})", link.to.0, link.weight)).collect();
    let links = links.join(", ");
    let few = few.join(", ");
    Ok(writeln!(io::stdout(), "{id} {version}  [{few}{more}]  {text:?} {attributes:?} links [{links}] kappa {kappa}")?)
}

pub(super) fn stats(opening: &Opening, json: bool) -> Result<ExitCode, CommandError> {
    let began = Instant::now();
    let store = reopen(opening)?;
    let opened_ms = began.elapsed().as_secs_f64() * 1e3;
    let (at, records) = match store.client().call(Op::Count)? {
        Reply::Count { at, n } => (at, n),
        other => return Err(other.into()),
    };
    store.stop();
    let node = opening.dir.join(NODE_DIR);
    let count = |dir: PathBuf| files_in(&dir).map_err(|source| CommandError::Unread { dir, source });
    let (segments, segment_bytes) = count(node.join(segment::DIRECTORY))?;
    let (l1_files, l1_bytes) = count(node.join(l1::DIRECTORY))?;
    let (all, bytes) = count(node)?;
    if json {
        let report = json!({
            "format": 1, "records": records, "lsn": at.0, "segments": segments, "segment_bytes": segment_bytes,
            "l1_files": l1_files, "l1_bytes": l1_bytes, "files": all, "bytes": bytes, "opened_ms": opened_ms,
            "peak_resident_bytes": peak_resident(),
        });
        println!("{report}");
        return Ok(ExitCode::SUCCESS);
    }
    println!("{records} records, as of {at}");
    println!("{segments} segments of {segment_bytes} bytes; {l1_files} files of the exact index of {l1_bytes} bytes");
    println!("{all} files of {bytes} bytes in all");
    println!("opened in {opened_ms:.0} ms{}", resident_words());
    Ok(ExitCode::SUCCESS)
}

/// How many files there are in a directory and below, and how long they are together.
fn files_in(dir: &Path) -> io::Result<(u64, u64)> {
    let (mut files, mut bytes) = (0, 0);
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        let (more, more_bytes) = if meta.is_dir() { files_in(&entry.path())? } else { (1, meta.len()) };
        (files, bytes) = (files + more, bytes + more_bytes);
    }
    Ok((files, bytes))
}

/// The most memory that this process has had, where the system says so.
fn peak_resident() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let kib: u64 =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib << 10)
}

pub(super) fn resident_words() -> String {
    peak_resident().map_or_else(String::new, |bytes| format!(", at most {} MiB resident", bytes >> 20))
}
