//! A log at work on a disk in memory, for the tests of its reading and its writing.

use std::sync::Arc;

use stormproof_contract::Disk;

use super::{header::HEADER_BYTES, *};
use crate::store::{
    Batch, StoreResult,
    manifest::{Flushed, Manifest, ManifestFile},
    samples::batch,
    test_disk::TestDisk,
};

mod damage;
mod writing;

const ID: LogId = LogId(0x00c0_ffee);
const FILE_BYTES: u64 = 4096;

fn options(format: LogFormat) -> LogOptions {
    LogOptions { format, file_bytes: FILE_BYTES }
}

fn fresh_manifest() -> Manifest {
    Manifest {
        sequence: 0,
        log: ID,
        components: 4,
        metric: 0,
        logs: vec![LogNo::FIRST],
        segments: Vec::new(),
        flushed: Flushed::default(),
        loaded: Lsn(0),
        rebuilding: false,
        archive: None,
        version_floor: crate::ids::Version(0),
        l1: None,
    }
}

/// A log at work on a disk.
struct Bench {
    test_disk: Arc<TestDisk>,
    disk: Arc<dyn Disk>,
    manifest: ManifestFile,
    log: Log,
    /// Where each frame begins, and where the last one ends; of the current file.
    bounds: Vec<usize>,
}

impl Bench {
    fn new(options: LogOptions) -> Bench {
        let test_disk = TestDisk::new();
        let disk: Arc<dyn Disk> = Arc::clone(&test_disk) as _;
        let log = Log::create(&disk, ID, options).expect("created");
        let manifest = ManifestFile::create(&disk, fresh_manifest()).expect("created");
        Bench { test_disk, disk, manifest, log, bounds: vec![HEADER_BYTES] }
    }

    fn with(format: LogFormat, batches: &[Batch]) -> Bench {
        let mut bench = Bench::new(options(format));
        for batch in batches {
            bench.commit(batch).expect("committed");
        }
        bench
    }

    /// What was decided before, taken up again by another process.
    fn resumed(test_disk: &Arc<TestDisk>, options: LogOptions) -> StoreResult<Bench> {
        let disk: Arc<dyn Disk> = Arc::clone(test_disk) as _;
        let mut manifest = ManifestFile::load(&disk)?.expect("there is a manifest");
        let tail = scan(&disk, manifest.current(), &mut |_, _| Ok(()))?;
        let bounds = vec![tail.end as usize];
        let log = Log::resume(&disk, tail, options, &mut manifest)?;
        Ok(Bench { test_disk: Arc::clone(test_disk), disk, manifest, log, bounds })
    }

    fn commit(&mut self, batch: &Batch) -> StoreResult<Lsn> {
        let encoded = self.log.encode(batch)?;
        self.log.reserve(&encoded, &mut self.manifest)?;
        let lsn = self.log.write(&encoded)?;
        self.log.sync()?;
        if let Ok(tail) = scan(&self.disk, self.manifest.current(), &mut |_, _| Ok(())) {
            self.bounds.push(tail.end as usize);
        }
        Ok(lsn)
    }

    /// The only file, with other bytes in it.
    fn read_as(&self, bytes: &[u8]) -> StoreResult<(Vec<Batch>, Tail)> {
        let disk = self.test_disk.copied();
        disk.set("log.1", bytes);
        replay(&disk)
    }

    fn bytes(&self) -> Vec<u8> {
        self.test_disk.bytes("log.1")
    }
}

/// What the log on a disk says, after the manifest there.
fn replay(disk: &Arc<TestDisk>) -> StoreResult<(Vec<Batch>, Tail)> {
    let disk: Arc<dyn Disk> = Arc::clone(disk) as _;
    let manifest = ManifestFile::load(&disk)?.expect("there is a manifest");
    let mut batches = Vec::new();
    let tail = scan(&disk, manifest.current(), &mut |lsn, batch| {
        batches.push(batch);
        assert_eq!(lsn, Lsn(batches.len() as u64));
        Ok(())
    })?;
    Ok((batches, tail))
}

fn batches(count: u64) -> Vec<Batch> {
    (1..=count).map(batch).collect()
}
