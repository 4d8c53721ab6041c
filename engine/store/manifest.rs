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

use stormproof_contract::Disk;

use super::{
    Digest, StoreResult,
    log::{LogId, LogNo},
};
use crate::ids::Lsn;

/// The manifest's path.
pub const PATH: &str = "manifest";
/// The path it is written under before its rename.
pub const TEMPORARY: &str = "manifest.tmp";
/// The points of an installation.
pub const POINTS: [&str; 3] = ["manifest.written", "manifest.synced", "manifest.renamed"];

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
    /// The base file of L1 that deltas build on, where one was merged.
    pub l1: Option<L1Base>,
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
    /// The greatest sequence that was tried.
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
        let _ = disk;
        unimplemented!()
    }

    /// The manifest in force.
    pub fn current(&self) -> &Manifest {
        &self.current
    }

    /// Puts a changed manifest in force. An error leaves it open which of the two a crash would find:
    /// [`current`](Self::current) is still the old one, nothing that either names may be removed, and the change is
    /// not to be relied on.
    pub fn install(&mut self, change: impl FnOnce(&mut Manifest)) -> StoreResult<()> {
        let _ = (&self.disk, &self.tried, change);
        unimplemented!()
    }
}
