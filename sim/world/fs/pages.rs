//! The pages of one file: what the disk may hold of each, and what the page cache shows.
//!
//! A page is **settled** if the disk holds exactly one content and reads show it; a page that is absent is settled
//! and zero. Every other page has an entry in `unsettled`, which stands before its settled content:
//!
//! | entry | cache | newer | dirty |
//! |---|---|---|---|
//! | written since the last sync | what was written | each version that may have reached the disk | yes |
//! | after a failed sync, kept in the cache | what was written | the same versions | no: a retried sync passes it over |
//! | after a failed sync, dropped; evicted; or after a power loss | none | the same versions; the first read resolves them | no |
//! | written, but the device lost the write | what was written | none | no |
//!
//! Invariants: a dirty page is cached; an entry says something that the settled content does not. Dropping the cache
//! of a settled page changes nothing, so the model keeps none: bit rot on a settled page is seen by the next read.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use super::choose::{Choice, Choose, pick};
use super::content::{Content, SECTORS, Span};

/// A page keeps at most so many unsynced versions. At one more, the oldest becomes what the disk holds at least, as if
/// the kernel had written it back: that is always legal, and bounds what a file that is never synced costs.
const VERSIONS_MAX: usize = 64;

/// When something happened, in calls that changed the file system.
pub(super) type Stamp = u64;

#[derive(Clone, Default, Debug)]
pub(super) struct Pages {
    settled: Arc<BTreeMap<u64, Content>>,
    unsettled: BTreeMap<u64, Unsettled>,
}

#[derive(Clone, Default, Debug)]
pub(super) struct Unsettled {
    /// What may have reached the disk since the settled content, oldest first.
    pub(super) newer: Vec<Version>,
    pub(super) cache: Option<Content>,
    pub(super) dirty: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Version {
    pub(super) content: Content,
    pub(super) written: Stamp,
}

impl Unsettled {
    fn says_nothing(&self) -> bool {
        self.newer.is_empty() && self.cache.is_none()
    }
}

fn settle(settled: &mut Arc<BTreeMap<u64, Content>>, page: u64, content: Content) {
    let settled = Arc::make_mut(settled);
    if content.is_zero() {
        settled.remove(&page);
    } else {
        settled.insert(page, content);
    }
}

impl Pages {
    /// Whether the page was ever written, as far as is still known.
    pub(super) fn contains(&self, page: u64) -> bool {
        self.settled.contains_key(&page) || self.unsettled.contains_key(&page)
    }

    /// The pages from `first` on that were ever written, in order.
    pub(super) fn from(&self, first: u64) -> Vec<u64> {
        let keys = self.settled.range(first..).map(|(page, _)| *page);
        let mut pages: Vec<u64> = keys.chain(self.unsettled.range(first..).map(|(page, _)| *page)).collect();
        pages.sort_unstable();
        pages.dedup();
        pages
    }

    pub(super) fn settled(&self, page: u64) -> Content {
        self.settled.get(&page).cloned().unwrap_or_default()
    }

    pub(super) fn unsettled(&self, page: u64) -> Option<&Unsettled> {
        self.unsettled.get(&page)
    }

    pub(super) fn is_dirty(&self) -> bool {
        self.unsettled.values().any(|entry| entry.dirty)
    }

    /// What a read shows. Resolves the page if it must.
    pub(super) fn visible(&mut self, path: &str, page: u64, choose: &mut dyn Choose) -> Content {
        match self.unsettled.get(&page).map(|entry| entry.cache.clone()) {
            None => self.settled(page),
            Some(Some(cached)) => cached,
            Some(None) => self.resolve(path, page, choose),
        }
    }

    /// What the disk holds if all that was sent to it has arrived.
    pub(super) fn newest(&self, page: u64) -> Content {
        let newest = self.unsettled.get(&page).and_then(|entry| entry.newer.last());
        newest.map_or_else(|| self.settled(page), |version| version.content.clone())
    }

    /// The pages of a range of which the disk may hold another version, last first.
    pub(super) fn undecided(&self, pages: Range<u64>) -> impl Iterator<Item = u64> {
        self.unsettled.range(pages).rev().filter(|(_, entry)| !entry.newer.is_empty()).map(|(page, _)| *page)
    }

    /// Shows `cache` to readers, and sends `reaches` to the disk.
    pub(super) fn put(&mut self, page: u64, cache: Content, reaches: Option<Content>, written: Stamp) {
        let known = reaches.as_ref().is_some_and(|content| *content == self.newest(page));
        let entry = self.unsettled.entry(page).or_default();
        entry.cache = Some(cache);
        let Some(content) = reaches else { return };
        entry.dirty = true;
        if known {
            return;
        }
        entry.newer.push(Version { content, written });
        if entry.newer.len() > VERSIONS_MAX {
            settle(&mut self.settled, page, entry.newer.remove(0).content);
        }
    }

    /// Makes every dirty page durable, as far as the device received it.
    pub(super) fn sync(&mut self) {
        let settled = &mut self.settled;
        self.unsettled.retain(|page, entry| {
            if entry.dirty {
                entry.dirty = false;
                if let Some(last) = entry.newer.pop() {
                    settle(settled, *page, last.content);
                    entry.newer.clear();
                }
                let held = settled.get(page).cloned().unwrap_or_default();
                entry.cache.take_if(|cached| *cached == held);
            }
            !entry.says_nothing()
        });
    }

    /// The dirty pages become clean, and whether they reached the disk stays open.
    pub(super) fn fail_sync(&mut self, keep_in_cache: bool) {
        self.unsettled.retain(|_, entry| {
            if entry.dirty && !keep_in_cache {
                entry.cache = None;
            }
            entry.dirty = false;
            !entry.says_nothing()
        });
    }

    /// Whether the cache shows a clean page that the disk may not hold.
    pub(super) fn can_evict(&self) -> bool {
        self.unsettled.values().any(|entry| !entry.dirty && entry.cache.is_some())
    }

    /// Drops clean pages from the cache, those that are picked.
    pub(super) fn evict(&mut self, path: &str, choose: &mut dyn Choose) {
        self.unsettled.retain(|page, entry| {
            let clean = !entry.dirty && entry.cache.is_some();
            if clean && pick(choose, Choice::Evict { path, page: *page }, 2) == 1 {
                entry.cache = None;
            }
            !entry.says_nothing()
        });
    }

    /// Flips a bit of what the disk holds of a page at rest. What is dirty will be written again.
    pub(super) fn rot(&mut self, page: u64, byte: usize, bit: u32) {
        if let Some(entry) = self.unsettled.get_mut(&page) {
            let at_rest = entry.newer.len() - usize::from(entry.dirty && !entry.newer.is_empty());
            for version in &mut entry.newer[..at_rest] {
                version.content = version.content.flipped(byte, bit);
            }
        }
        let rotten = self.settled(page).flipped(byte, bit);
        settle(&mut self.settled, page, rotten);
    }

    /// The disk holds at least what was written to these pages by `stamp`. What a failed sync has given up is not held
    /// for all that.
    pub(super) fn raise_floor(&mut self, first: u64, last: u64, stamp: Stamp) {
        for (page, entry) in self.unsettled.range_mut(first..=last).filter(|(_, entry)| entry.dirty) {
            let by_then = entry.newer.partition_point(|version| version.written <= stamp);
            if let Some(floor) = entry.newer.drain(..by_then).next_back() {
                settle(&mut self.settled, *page, floor.content);
            }
        }
    }

    /// The disk shows nothing that was written to the pages from `first` on at `stamp` or later.
    pub(super) fn lower_ceiling(&mut self, first: u64, stamp: Stamp) {
        for entry in self.unsettled.range_mut(first..).map(|(_, entry)| entry) {
            entry.newer.retain(|version| version.written < stamp);
        }
    }

    /// The cache is gone, and so is what lies beyond the file's length. The rest is resolved when it is read.
    pub(super) fn lose_power(&mut self, len: u64) {
        let page = super::content::PAGE as u64;
        self.unsettled.retain(|at, entry| {
            entry.cache = None;
            entry.dirty = false;
            *at < len.div_ceil(page) && !entry.newer.is_empty()
        });
        if self.settled.range(len.div_ceil(page)..).next().is_some() {
            Arc::make_mut(&mut self.settled).split_off(&len.div_ceil(page));
        }
        self.cut(len / page, (len % page) as usize);
    }

    /// Zeroes every version of a page from `end` on, so that a file that grows again shows zeros there.
    fn cut(&mut self, page: u64, end: usize) {
        if let Some(entry) = self.unsettled.get_mut(&page) {
            for version in &mut entry.newer {
                version.content = version.content.cut(end);
            }
        }
        let held = self.settled(page);
        let cut = held.cut(end);
        if cut != held {
            settle(&mut self.settled, page, cut);
        }
    }

    /// Picks what the disk held all along.
    fn resolve(&mut self, path: &str, page: u64, choose: &mut dyn Choose) -> Content {
        let entry = self.unsettled.remove(&page).unwrap_or_default();
        assert!(!entry.dirty, "{path}: page {page} is dirty and not cached");
        let mut versions: Vec<Content> = Vec::with_capacity(entry.newer.len() + 1);
        for content in entry.newer.into_iter().rev().map(|version| version.content).chain([self.settled(page)]) {
            if !versions.contains(&content) {
                versions.push(content);
            }
        }
        let content = pick_content(path, page, &versions, choose);
        settle(&mut self.settled, page, content.clone());
        content
    }
}

/// One of the versions, or a mix of their sectors.
fn pick_content(path: &str, page: u64, versions: &[Content], choose: &mut dyn Choose) -> Content {
    let sectors: [Vec<usize>; SECTORS] = std::array::from_fn(|sector| distinct_sectors(versions, sector));
    let tearable = sectors.iter().filter(|distinct| distinct.len() > 1).count() > 1;
    if !tearable || pick(choose, Choice::Tear { path, page }, 2) == 0 {
        return versions[pick(choose, Choice::Page { path, page }, versions.len())].clone();
    }
    Content::from_sectors(|sector| {
        let what = Choice::Sector { path, page, sector: sector as u32 };
        &versions[sectors[sector][pick(choose, what, sectors[sector].len())]]
    })
}

/// The versions that differ in a sector, by index, the newest of each kind.
fn distinct_sectors(versions: &[Content], sector: usize) -> Vec<usize> {
    let mut distinct: Vec<usize> = Vec::new();
    for (at, version) in versions.iter().enumerate() {
        if distinct.iter().all(|known| versions[*known].sector(sector) != version.sector(sector)) {
            distinct.push(at);
        }
    }
    distinct
}

/// The device wrote only the sectors of `new` that are below `sector_end`, counted from the start of the file, and
/// within `span`.
pub(super) fn torn(old: &Content, new: &Content, span: Span, sector_end: u64) -> Content {
    let first = span.start / super::content::SECTOR;
    let end = span.end.div_ceil(super::content::SECTOR);
    Content::from_sectors(|s| {
        let written = (first..end).contains(&s) && span.page * (SECTORS as u64) + (s as u64) < sector_end;
        if written { new } else { old }
    })
}
