//! How the exact index is kept on disk: its vote, its finish, and writing it afresh.
//!
//! The files are a cache of the ground truth, so none of this can lose anything. They are *whole* when they hold the
//! state as of the last frame; else they are *stale*, which is found here or at the next boot, served from memory all
//! the while, and repaired by writing afresh what they have to hold.
//!
//! In [`L1Persist::Delta`], they hold what changed since the last flush: in a base that the manifest names, if it names
//! one, and one delta for each frame after it; the segments have the rest. In [`L1Persist::Rewrite`] they are one index
//! with every row, as of the last frame. A vote is such a file under its temporary name; its
//! digest goes into the frame; finishing is its rename. Nothing is synced but what is written afresh, or voted in
//! `Rewrite`: recovery believes a file only by the digest that the log or the manifest names.

use std::{collections::BTreeMap, sync::Arc};

use stormproof_contract::{Disk, DiskResult};

use super::{config::L1Persist, view::View};
use crate::{
    ids::{Lsn, RecordId, Version},
    store::{
        Digest, Entry, StoreResult,
        l1::{self, L1Head, L1Kind, L1Name, L1Row},
        log::LogId,
        manifest::{L1Base, ManifestFile},
    },
    vector::{FlatIndex, Row},
};

/// The points of writing the index afresh.
pub(super) const POINTS: [&str; 4] = ["l1.merge.begun", "l1.merge.synced", "l1.merge.renamed", "l1.merge.installed"];

/// However large the base is, this many deltas are merged into it: a boot reads each of them.
const DELTAS_MAX: u64 = 4096;

/// The files of the exact index. See the file's description.
pub(super) struct L1Files {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) persist: L1Persist,
    pub(super) log: LogId,
    pub(super) components: u32,
    pub(super) metric: u8,
    /// The frame of the base, or of the one index. Zero before the first.
    pub(super) base: Lsn,
    /// The last frame that the files hold.
    pub(super) upto: Lsn,
    /// What the one index is recognised by.
    pub(super) digest: Option<Digest>,
    /// Changes in the base, and in the deltas.
    pub(super) base_rows: u64,
    pub(super) delta_rows: u64,
}

impl L1Files {
    /// Takes none of the files for good.
    pub(super) fn forget(&mut self) {
        (self.base, self.upto, self.digest) = (Lsn(0), Lsn(0), None);
        (self.base_rows, self.delta_rows) = (0, 0);
    }

    /// Writes aside what the frame after `before` changes, or all that it leaves.
    pub(super) fn vote(&self, before: Lsn, next: &View, touched: &BTreeMap<RecordId, Entry>) -> StoreResult<Digest> {
        let name = self.voted(next.lsn);
        match self.persist {
            L1Persist::Delta { .. } => self.write_changes(name, before, touched.iter().map(|(&id, entry)| (id, entry))),
            L1Persist::Rewrite => {
                let digest = self.write_index(name, &next.index)?;
                l1::sync(&*self.disk, name)?;
                Ok(digest)
            }
        }
    }

    /// The base that a manifest has to name once everything up to the frame `flushed` is in segments. The segments are the
    /// base, unless it `names` a later one; or the one index is, if it is of that frame, which the log may no longer have.
    pub(super) fn base_of_flush(&self, flushed: Lsn, named: Option<L1Base>) -> Option<L1Base> {
        match self.persist {
            L1Persist::Delta { .. } => named.filter(|base| base.lsn > flushed),
            L1Persist::Rewrite => {
                self.digest.filter(|_| self.upto == flushed).map(|digest| L1Base { lsn: flushed, digest })
            }
        }
    }

    /// Takes the segments for the base, unless that is later: they hold every row up to the frame `flushed`, at which the
    /// deltas had so many changes.
    ///
    /// In [`L1Persist::Rewrite`] the one index stays.
    pub(super) fn rebase(&mut self, flushed: Lsn, delta_rows: u64) {
        match self.persist {
            L1Persist::Delta { .. } if self.base < flushed => {
                (self.base, self.upto) = (flushed, self.upto.max(flushed));
                (self.base_rows, self.delta_rows) = (0, self.delta_rows.saturating_sub(delta_rows));
            }
            // It was merged into a base right then, which the segments have now.
            L1Persist::Delta { .. } if self.base == flushed => self.base_rows = 0,
            L1Persist::Delta { .. } | L1Persist::Rewrite => {}
        }
    }

    /// Gives what was voted its name.
    pub(super) fn finish(&mut self, lsn: Lsn, rows: usize, digest: Digest) -> DiskResult<()> {
        let name = self.voted(lsn);
        self.disk.rename(&name.path(), &name.renamed().path())?;
        match self.persist {
            L1Persist::Delta { .. } => {
                // A delta on top of a gap is no use: the files stay stale until they are written afresh.
                if self.upto.next() == lsn {
                    self.upto = lsn;
                }
                self.delta_rows += rows as u64;
            }
            L1Persist::Rewrite => {
                let before = std::mem::replace(&mut self.base, lsn);
                (self.upto, self.digest) = (lsn, Some(digest));
                if before != Lsn(0) {
                    self.remove(L1Name { lsn: before, ..name.renamed() });
                }
            }
        }
        Ok(())
    }

    /// Removes what was voted. What cannot be removed now, the next boot removes.
    pub(super) fn abort(&self, lsn: Lsn) {
        self.remove(self.voted(lsn));
    }

    /// Whether there are so many deltas that they should be merged. The base is not rewritten before the deltas hold
    /// twice as many changes, so that of all that a merge writes most is new, however many there are. (At a quarter,
    /// merging took more of the writer's time than anything else.)
    pub(super) fn wants_merge(&self) -> bool {
        let L1Persist::Delta { merge_after } = self.persist else { return false };
        let deltas = self.upto.0 - self.base.0;
        deltas >= DELTAS_MAX || deltas > merge_after.into() && self.delta_rows >= self.base_rows * 2
    }

    /// Writes all that the files have to hold into one, durably, and puts it in the place of all others.
    ///
    /// A crash on the way leaves the old files, or both, and each is believed only by its digest. They are removed when
    /// the new one is in force.
    pub(super) fn write_afresh(&mut self, view: &View, manifest: &mut ManifestFile) -> StoreResult<()> {
        let disk = Arc::clone(&self.disk);
        disk.point(POINTS[0])?;
        let name = L1Name { kind: L1Kind::Index, lsn: view.lsn, temporary: true };
        let written = match self.persist {
            L1Persist::Delta { .. } => self.write_changes(name, name.lsn, view.records.iter()),
            L1Persist::Rewrite => self.write_index(name, &view.index),
        };
        let written = written.and_then(|digest| l1::sync(&*disk, name).map(|()| digest));
        // It may hold the space that the disk is short of.
        let digest = written.inspect_err(|_| self.remove(name))?;
        disk.point(POINTS[1])?;
        disk.rename(&name.path(), &name.renamed().path())?;
        disk.sync_dir(l1::DIRECTORY)?;
        disk.point(POINTS[2])?;
        if let L1Persist::Delta { .. } = self.persist {
            manifest.install(|manifest| manifest.l1 = Some(L1Base { lsn: view.lsn, digest }))?;
        }
        (self.base, self.upto, self.digest) = (view.lsn, view.lsn, Some(digest));
        (self.base_rows, self.delta_rows) = (view.records.entries() as u64, 0);
        disk.point(POINTS[3])?;
        self.sweep(&l1::list(&*disk)?);
        Ok(())
    }

    /// Looks for files that are not of the present base and its deltas, and removes them.
    pub(super) fn sweep_all(&self) {
        if let Ok(found) = l1::list(&*self.disk) {
            self.sweep(&found);
        }
    }

    /// Removes the files that are not of the present base and its deltas. What cannot be removed is left: nothing
    /// believes it.
    pub(super) fn sweep(&self, found: &[L1Name]) {
        found.iter().filter(|name| !self.counts(**name)).for_each(|&name| self.remove(name));
    }

    fn counts(&self, name: L1Name) -> bool {
        let delta = matches!(self.persist, L1Persist::Delta { .. });
        !name.temporary
            && match name.kind {
                L1Kind::Index => name.lsn == self.base,
                L1Kind::Delta => delta && self.base < name.lsn && name.lsn <= self.upto,
            }
    }

    fn remove(&self, name: L1Name) {
        let _ = self.disk.remove(&name.path());
    }

    /// The temporary name of the vote on a frame.
    fn voted(&self, lsn: Lsn) -> L1Name {
        let kind = match self.persist {
            L1Persist::Delta { .. } => L1Kind::Delta,
            L1Persist::Rewrite => L1Kind::Index,
        };
        L1Name { kind, lsn, temporary: true }
    }

    fn write_changes<'a>(
        &self,
        name: L1Name,
        before: Lsn,
        changes: impl Iterator<Item = (RecordId, &'a Entry)> + Clone,
    ) -> StoreResult<Digest> {
        let rows: Vec<_> = changes.clone().filter_map(|(_, entry)| row(entry)).collect();
        let gone = |(id, entry): (RecordId, &Entry)| entry.record().is_none().then(|| (id, entry.version()));
        let tombstones: Vec<(RecordId, Version)> = changes.filter_map(gone).collect();
        l1::write(&*self.disk, name, &self.head(name, before), rows.len(), rows.into_iter(), &tombstones)
    }

    fn write_index(&self, name: L1Name, index: &FlatIndex) -> StoreResult<Digest> {
        l1::write(&*self.disk, name, &self.head(name, name.lsn), index.len(), index.iter().map(indexed), &[])
    }

    /// What a file of that name says of itself.
    pub(super) fn head(&self, name: L1Name, before: Lsn) -> L1Head {
        let (log, components, metric) = (self.log, self.components, self.metric);
        L1Head { kind: name.kind, log, components, metric, before, lsn: name.lsn }
    }
}

fn indexed(row: Row<'_>) -> L1Row<'_> {
    L1Row { id: row.id, version: row.version, vector: row.components().collect() }
}

fn row(entry: &Entry) -> Option<L1Row<'_>> {
    entry.record().map(|record| L1Row { id: record.id, version: record.version, vector: (&record.vector).into() })
}
