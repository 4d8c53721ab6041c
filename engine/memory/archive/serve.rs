//! Which generation is served: from the moment a manifest names it, or a boot finds it, until another does, or it is found damaged.

use std::sync::Arc;

use stormproof_contract::{Disk, Effects};

use super::{Archive, LOAD_BLOCKS, POINTS};
use crate::{
    ids::{Lsn, RecordId},
    memory::{compact::Pause, config::Config, node::MemoryNode, op::Reply, view::View},
    protocol::swap::Input,
    store::{
        archive::{self, Loading},
        manifest::{ArchiveBase, Manifest},
    },
};

/// Records whose rows leave the exact index between two batches.
const TRIM_RECORDS: usize = 4096;

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
        self.rebuild.stale = next.stale_in_archive();
        self.views.publish(next);
        self.rebuild.pause = Pause::default();
        self.rebuild.trim = self.config.trims().then_some(0);
        (self.rebuild.unread, self.rebuild.unname_at) = (false, None);
        self.rebuild.answer = Some(Reply::Rebuilt { generation: name.no.0, built: name.built, records: name.records });
        out.note("archive.published", &[("generation", name.no.0), ("records", name.records)]);
        Input::Done
    }

    /// Has some rows leave the exact index that the graph finds as well.
    pub(super) fn trim_rows(&mut self) {
        let Some(next) = self.rebuild.trim else { return };
        let view = self.views.newest();
        let Some(archive) = &view.archive else {
            self.rebuild.trim = None;
            return;
        };
        let mut after = View::clone(&view);
        // From now on a search that compares everything reads these segments.
        after.away = after.away.max(after.covered);
        let mut nodes = archive.records().skip(next).take(TRIM_RECORDS).peekable();
        let more = nodes.peek().is_some();
        for (id, version) in nodes {
            if after.index.get(id).is_some_and(|row| row.version == version) && view.records.get(id).is_none() {
                after.index.send_away(id, version);
            }
        }
        self.rebuild.trim = more.then_some(next + TRIM_RECORDS);
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
        (self.rebuild.trim, self.rebuild.stale, self.rebuild.seen) = (None, 0, Lsn(0));
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

    /// Counts which of the generation's records a commit has changed.
    pub(in crate::memory) fn saw_changes(&mut self, before: &View, changed: impl Iterator<Item = RecordId>) {
        let Some(archive) = &before.archive else { return };
        let stale = changed.filter(|id| before.index.version(*id).is_some_and(|version| archive.has(*id, version)));
        self.rebuild.stale += stale.count() as u64;
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
    /// There is none, or it is larger than it may be.
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
        let mut loading = Loading::open(disk, manifest.log, &base.name, manifest.components)?;
        if loading.bytes() > config.archive.search_memory_maximum {
            return Ok(None);
        }
        while !loading.step(LOAD_BLOCKS)? {}
        let (generation, parts) = loading.finish()?;
        Archive::of_parts(generation, parts, shape, config.kernels()).map(Some)
    };
    match read() {
        Ok(Some(archive)) => Found::Served(Arc::new(archive)),
        Ok(None) => {
            out.note("archive.too_large", &[generation]);
            Found::None
        }
        Err(error) if error.is_passing() => {
            out.note("archive.unread", &[generation]);
            Found::Unread
        }
        Err(_) => {
            out.note("archive.damaged", &[generation]);
            Found::Damaged
        }
    }
}
