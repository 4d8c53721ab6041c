//! What it takes to make a batch durable: of the log alone, in memory and on a disk, and of the whole engine through its client.
//!
//! `cargo bench -p stormproof-bench --bench append`. In memory there is nothing to wait for, so what is left is encoding, checksums
//! and a copy. The disk is that of the target directory; there a time is mostly that of its sync, and `stormproof-bench commit` has
//! the baseline to compare it with.
#![allow(missing_docs, reason = "`criterion_group` makes a public function without one")]

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use stormproof_bench::scan::uniform;
use stormproof_contract::{
    Disk, DiskError, DiskErrorKind, DiskOp, DiskResult, Entry, File, Lock, Meta, Open, ReadAt, WallTime,
};
use stormproof_engine::{
    driver::{self, RealDisk},
    ids::{Lsn, RecordId, Version},
    memory::{self, Config, Draft, Engine, Op, Reply},
    store::{
        Batch, Record, RetryId, StoreResult, Transaction, TransactionId, Write,
        log::{Log, LogFormat, LogId, LogNo, LogOptions},
        manifest::{Flushed, Manifest, ManifestFile},
    },
};

const DIM: usize = 960;
/// Records of a batch.
const RECORDS: [usize; 2] = [1, 64];
/// Batches that are appended to a log before it is thrown away, so that none grows with the number of iterations.
const APPENDS: u64 = 16;
const FILE_BYTES: u64 = 8 << 20;
const ID: LogId = LogId(1);

fn vectors(count: usize) -> Vec<Vec<f32>> {
    uniform(count * DIM, 1).chunks_exact(DIM).map(<[f32]>::to_vec).collect()
}

fn batch(records: usize) -> Batch {
    let record = |(id, vector)| Record {
        id: RecordId(id),
        version: Version(1),
        vector,
        text: String::new(),
        attributes: BTreeMap::new(),
        links: Vec::new(),
        created_at: WallTime(0),
        kappa: 0.0,
    };
    let writes = (0..).zip(vectors(records)).map(|it| Write::Put(Arc::new(record(it)))).collect();
    let (id, retry) = (TransactionId(1), Some(RetryId(1)));
    let transaction = Transaction { id, retry, votes: Vec::new(), writes, loaded: None, rebuilding: None };
    Batch { votes: Vec::new(), transactions: vec![transaction] }
}

/// A log that is empty.
fn log(disk: &Arc<dyn Disk>) -> StoreResult<(Log, ManifestFile)> {
    let log = Log::create(disk, ID, LogOptions { format: LogFormat::Binary, file_bytes: FILE_BYTES })?;
    let manifest = Manifest {
        sequence: 0,
        log: ID,
        components: DIM as u32,
        metric: 0,
        logs: vec![LogNo::FIRST],
        segments: Vec::new(),
        flushed: Flushed::default(),
        loaded: Lsn(0),
        version_floor: Version(0),
        l1: None,
        rebuilding: false,
        archive: None,
    };
    Ok((log, ManifestFile::create(disk, manifest)?))
}

fn append((log, manifest): &mut (Log, ManifestFile), batch: &Batch) -> StoreResult<()> {
    for _ in 0..APPENDS {
        let encoded = log.encode(batch)?;
        log.reserve(&encoded, manifest)?;
        log.write(&encoded)?;
        log.sync()?;
    }
    Ok(())
}

/// One element is one batch.
fn appends(criterion: &mut Criterion) {
    let dir = || tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    for records in RECORDS {
        let batch = batch(records);
        let mut group = criterion.benchmark_group(format!("append/{records}x{DIM}"));
        group.sample_size(10).throughput(Throughput::Elements(APPENDS));
        group.bench_function("memory", |b| {
            let fresh = || log(&(Arc::new(MemoryDisk::default()) as _)).expect("room in memory");
            b.iter_batched_ref(fresh, |log| append(log, &batch).expect("appended"), BatchSize::PerIteration);
        });
        group.bench_function("disk", |b| {
            let fresh = || {
                let dir = dir();
                let disk: Arc<dyn Disk> = Arc::new(RealDisk::open(dir.path()).expect("a directory"));
                (log(&disk).expect("room on the disk"), dir)
            };
            b.iter_batched_ref(fresh, |(log, _)| append(log, &batch).expect("appended"), BatchSize::PerIteration);
        });
        group.finish();
    }
}

/// A client that commits records that are new. One element is one record.
fn commits(criterion: &mut Criterion) {
    for records in RECORDS {
        let mut group = criterion.benchmark_group(format!("client/{records}x{DIM}"));
        group.sample_size(10).throughput(Throughput::Elements(records as u64));
        group.bench_function("commit", |b| {
            let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
            let node = open(dir.path());
            let (client, vectors, mut next) = (node.client(), vectors(RECORDS[1]), 0);
            b.iter(|| {
                let ids = (next..).map(RecordId);
                let inserts = ids.zip(&vectors).take(records).map(|(id, it)| Draft::new(id, it.clone())).collect();
                let retry = RetryId(u128::from(next));
                next += records as u64;
                let op = Op::Commit(memory::Transaction { inserts, ..memory::Transaction::new(retry) });
                let reply = client.call(op).expect("a node at work");
                assert!(matches!(reply, Reply::Committed { .. }), "{reply:?}");
            });
            node.stop();
        });
        group.finish();
    }
}

fn open(dir: &Path) -> driver::Running<memory::MemoryNode> {
    // This program is no command that a job could be started by.
    let options = driver::Options { job_command: driver::JobCommand::InThreads, ..driver::Options::default() };
    driver::open(&Engine, &Config { dim: DIM, ..Config::default() }, dir, options).expect("an empty directory")
}

/// Files in memory: as much of a disk as a log needs.
#[derive(Default)]
struct MemoryDisk(Mutex<BTreeMap<String, Bytes>>);

type Bytes = Arc<Mutex<Vec<u8>>>;

struct MemoryFile(String, Bytes);

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unused<T>(op: DiskOp, path: &str) -> DiskResult<T> {
    Err(DiskError::new(op, path, DiskErrorKind::Unsupported))
}

impl Disk for MemoryDisk {
    fn open(&self, path: &str, _: Open) -> DiskResult<Arc<dyn File>> {
        Ok(Arc::new(MemoryFile(path.into(), Arc::clone(held(&self.0).entry(path.into()).or_default()))))
    }

    fn rename(&self, from: &str, to: &str) -> DiskResult<()> {
        let mut files = held(&self.0);
        let bytes = files.remove(from).ok_or_else(|| DiskError::new(DiskOp::Rename, from, DiskErrorKind::NotFound))?;
        files.insert(to.into(), bytes);
        Ok(())
    }

    fn sync_dir(&self, _: &str) -> DiskResult<()> {
        Ok(())
    }

    fn point(&self, _: &'static str) -> DiskResult<()> {
        Ok(())
    }

    fn mkdir(&self, dir: &str) -> DiskResult<()> {
        unused(DiskOp::Mkdir, dir)
    }

    fn link(&self, existing: &str, _: &str) -> DiskResult<()> {
        unused(DiskOp::Link, existing)
    }

    fn clone_file(&self, from: &str, _: &str) -> DiskResult<()> {
        unused(DiskOp::Clone, from)
    }

    fn remove(&self, path: &str) -> DiskResult<()> {
        unused(DiskOp::Remove, path)
    }

    fn list(&self, dir: &str) -> DiskResult<Vec<Entry>> {
        unused(DiskOp::List, dir)
    }

    fn free(&self) -> DiskResult<u64> {
        unused(DiskOp::Free, "")
    }

    fn try_lock(&self, path: &str) -> DiskResult<Box<dyn Lock>> {
        unused(DiskOp::Lock, path)
    }

    fn scoped(&self, _: &str) -> Arc<dyn Disk> {
        Arc::new(MemoryDisk::default())
    }
}

impl File for MemoryFile {
    fn read(&self, _: &mut [ReadAt<'_>]) -> DiskResult<()> {
        unused(DiskOp::Read, &self.0)
    }

    fn write(&self, offset: u64, parts: &[&[u8]]) -> DiskResult<usize> {
        let (mut bytes, mut at) = (held(&self.1), offset as usize);
        for part in parts {
            let len = bytes.len().max(at + part.len());
            bytes.resize(len, 0);
            bytes[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        Ok(at - offset as usize)
    }

    fn sync(&self) -> DiskResult<()> {
        Ok(())
    }

    fn set_len(&self, len: u64) -> DiskResult<()> {
        held(&self.1).resize(len as usize, 0);
        Ok(())
    }

    fn allocate(&self, len: u64) -> DiskResult<()> {
        let mut bytes = held(&self.1);
        let len = bytes.len().max(len as usize);
        bytes.resize(len, 0);
        // As on a disk, its pages are there before they are written to.
        bytes.iter_mut().step_by(4096).for_each(|byte| *byte = std::hint::black_box(0));
        Ok(())
    }

    fn meta(&self) -> DiskResult<Meta> {
        Ok(Meta { len: held(&self.1).len() as u64 })
    }

    fn path(&self) -> &str {
        &self.0
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(1));
    targets = appends, commits
}
criterion_main!(benches);
