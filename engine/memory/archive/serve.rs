//! Which generation is served: from the moment a manifest names it, or a boot finds it, until another does, or it is found damaged.

use std::sync::Arc;

use stormproof_contract::{Disk, Effects};

use super::{Archive, LOAD_BLOCKS, POINTS, served::Arriving};
use crate::{
    ids::{Lsn, RecordId},
    memory::{compact::Pause, config::Config, node::MemoryNode, op::Reply, view::View},
    protocol::swap::Input,
    store::{
        StoreError,
        archive::{self, Loading},
        manifest::{ArchiveBase, Manifest},
    },
};

/// Records of a new generation that are looked at between two batches.
const WALK_RECORDS: usize = 4096;

impl MemoryNode {
    /// Has the manifest name what was loaded, and serves it.
    pub(super) fn publish_archive(&mut self, out: &mut Effects<Reply>) -> Input {
        let attempt = self.rebuild.attempt.as_ref().expect("there is one to publish");
        let archive = Arc::clone(attempt.loaded.as_ref().expect("it was loaded"));
        let (name, covers) = (*archive.name(), attempt.covers);
        if self.manifest.install(|it| it.archive = Some(ArchiveBase { name, covers: covers as u32 })).is_err() {
            return self.not_now();
        }
        // Nothing below can fail: an error at a point has nothing to befall.
        let _ = self.disk.point(POINTS[4]);
        self.rebuild.attempt = None;
        let view = self.views.newest();
        self.rebuild.old = view.archive.as_ref().map(Arc::downgrade).unwrap_or_default();
        let next = View { archive: Some(archive), covered: covers, ..View::clone(&view) };
        drop(view);
        self.views.publish(next);
        self.rebuild.pause = Pause::default();
        (self.rebuild.stale, self.rebuild.walked) = (0, Some(0));
        (self.rebuild.unread, self.rebuild.unname_at) = (false, None);
        self.rebuild.answer = Some(Reply::Rebuilt { generation: name.no.0, built: name.built, records: name.records });
        out.note("archive.published", &[("generation", name.no.0), ("records", name.records)]);
        Input::Done
    }

    /// Looks at some more of a new generation's records: counts those that are there no longer in that version, and has the rows of
    /// the others leave the exact index, since the graph finds them as well.
    pub(super) fn walk_archive(&mut self) {
        let Some(next) = self.rebuild.walked else { return };
        let view = self.views.newest();
        let Some(archive) = &view.archive else {
            self.rebuild.walked = None;
            return;
        };
        let records = || archive.records_from(next, WALK_RECORDS);
        let walked = records().count();
        self.rebuild.walked = (walked == WALK_RECORDS).then_some(next + walked);
        self.rebuild.stale +=
            records().filter(|(id, version)| view.index.version(*id) != Some(*version)).count() as u64;
        if !self.config.trims() {
            return;
        }
        let mut after = View::clone(&view);
        // From now on a search that compares everything reads these segments.
        after.away = after.away.max(after.covered);
        for (id, version) in records() {
            if after.index.get(id).is_some_and(|row| row.version == version) && view.records.get(id).is_none() {
                after.index.send_away(id, version);
            }
        }
        self.views.publish(after);
    }

    /// Removes the generation before, once nobody reads it.
    pub(super) fn drain(&mut self) -> Input {
        if self.rebuild.old.strong_count() > 0 || !self.manifest.is_certain() {
            return self.not_now();
        }
        self.sweep_archive();
        Input::Done
    }

    /// Serves a generation no longer that a search has found to be damaged.
    pub(super) fn drop_damaged(&mut self, out: &mut Effects<Reply>) {
        let view = self.views.newest();
        let Some(archive) = view.archive.as_ref().filter(|archive| archive.is_damaged()) else { return };
        out.note("archive.damaged", &[("generation", archive.name().no.0)]);
        self.views.publish(View { archive: None, covered: 0, ..View::clone(&view) });
        (self.rebuild.walked, self.rebuild.stale, self.rebuild.seen) = (None, 0, Lsn(0));
        self.rebuild.unname_at = Some(self.clock.now());
    }

    /// Has the manifest name no generation, if the one that it names is damaged: else the next boot would serve it again.
    pub(super) fn unname_damaged(&mut self) {
        if self.rebuild.unname_at.is_none_or(|at| at > self.clock.now()) {
            return;
        }
        if self.manifest.install(|manifest| manifest.archive = None).is_err() {
            self.rebuild.unname_at = Some(self.clock.now() + self.config.again_after);
            return;
        }
        self.rebuild.unname_at = None;
        self.sweep_archive();
    }

    /// Removes generations that no manifest names and nobody makes. What cannot be removed is left: nothing believes it.
    pub(in crate::memory) fn sweep_archive(&self) {
        if !self.manifest.is_certain() {
            return;
        }
        let Ok(found) = archive::list(&*self.disk) else { return };
        let making = self.rebuild.attempt.as_ref().map(|attempt| attempt.no.path());
        let counts = |path: &String| self.manifest.current().names_generation(path) || making.as_ref() == Some(path);
        for path in found.iter().filter(|path| !counts(path)) {
            let _ = self.disk.remove(path);
        }
    }

    /// Counts which of the generation's records a commit has changed, of those that were looked at: the others will be.
    pub(in crate::memory) fn saw_changes(&mut self, before: &View, changed: impl Iterator<Item = RecordId>) {
        let Some(archive) = &before.archive else { return };
        let node_of = |id| archive.node_of(id, before.index.version(id)?);
        let walked = self.rebuild.walked.unwrap_or(usize::MAX);
        self.rebuild.stale += changed.filter_map(node_of).filter(|node| *node < walked).count() as u64;
    }
}

impl View {
    /// How many of the generation's records are not there in that version.
    pub(in crate::memory) fn stale_in_archive(&self) -> u64 {
        let Some(archive) = &self.archive else { return 0 };
        let mut live = self.index.versions().peekable();
        let is_there = |(id, version): (RecordId, _)| {
            while live.next_if(|known| known.0 < id).is_some() {}
            live.peek() == Some(&(id, version))
        };
        let fresh = archive.records().map(is_there).filter(|is_there| *is_there).count();
        archive.name().records - fresh as u64
    }
}

/// What a boot has found of the generation in force.
#[derive(Clone, Debug)]
pub(in crate::memory) enum Found {
    /// There is none, or it is larger than it may be, or of another format.
    None,
    /// It cannot be read now. A cache is no reason not to start.
    Unread,
    /// It is damaged.
    Damaged,
    /// It is served.
    Served(Arc<Archive>),
}

impl Found {
    pub(in crate::memory) fn archive(&self) -> Option<&Arc<Archive>> {
        match self {
            Found::Served(archive) => Some(archive),
            Found::None | Found::Unread | Found::Damaged => None,
        }
    }
}

/// Reads the generation in force at a boot.
pub(in crate::memory) fn load_at_boot(
    disk: &dyn Disk,
    config: &Config,
    manifest: &Manifest,
    out: &mut Effects<Reply>,
) -> Found {
    let Some(base) = &manifest.archive else { return Found::None };
    let shape = config.shape().expect("the configuration was checked");
    let generation = ("generation", base.name.no.0);
    let read = || {
        let loading = Loading::open(disk, manifest.log, &base.name, manifest.components)?;
        if loading.bytes() > config.archive.search_memory_maximum {
            return Ok(None);
        }
        let mut arriving = Arriving::new(loading, shape);
        while !arriving.step(LOAD_BLOCKS)? {}
        arriving.finish(config.kernels()).map(Some)
    };
    match read() {
        Ok(Some(archive)) => {
            out.note("archive.served", &[generation, ("records", archive.name().records)]);
            Found::Served(Arc::new(archive))
        }
        Ok(None) => {
            out.note("archive.too_large", &[generation]);
            Found::None
        }
        Err(error) if error.is_passing() => {
            out.note("archive.unread", &[generation]);
            Found::Unread
        }
        // Another version of this program has made it, and may come back for it. The next rebuild puts one of ours in its place.
        Err(StoreError::UnknownFormat { .. }) => {
            out.note("archive.unknown_format", &[generation]);
            Found::None
        }
        Err(_) => {
            out.note("archive.damaged", &[generation]);
            Found::Damaged
        }
    }
}
