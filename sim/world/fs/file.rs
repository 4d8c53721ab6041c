//! One file: its pages, its length, and the space it takes.
//!
//! Length and bytes are durable by the same sync, but they survive apart: `disk_len` is what the disk holds, and the
//! journal remembers each change since. A failed sync forgets that the length must be written, as it does for pages;
//! any later write to the file recalls it, since it changes the inode.
//!
//! Invariant: what reads show beyond the length is zero, so a file that grows over its old end shows zeros there.

use std::sync::Arc;

use stormproof_contract::DiskErrorKind;

use super::Fate;
use super::choose::Choose;
use super::content::{Content, Gather, PAGE, SECTOR, Span, spans};
use super::journal::SizeOp;
use super::pages::{Pages, Stamp, torn};

#[derive(Clone, Debug)]
pub(super) struct File {
    /// A name of it, for choices and messages.
    pub(super) path: Arc<str>,
    pub(super) pages: Pages,
    pub(super) len: u64,
    pub(super) disk_len: u64,
    /// Whether the next sync writes the length.
    pub(super) len_dirty: bool,
    /// Pages from the start that `allocate` has taken.
    reserved_pages: u64,
    pub(super) charged_pages: u64,
    pub(super) links: u32,
    pub(super) handles: u32,
}

/// A write, without its bytes.
#[derive(Clone, Copy)]
pub(super) struct WriteAt {
    pub(super) offset: u64,
    pub(super) len: usize,
    pub(super) fate: Fate,
    pub(super) stamp: Stamp,
}

impl File {
    pub(super) fn new(path: Arc<str>) -> Self {
        File {
            path,
            pages: Pages::default(),
            len: 0,
            disk_len: 0,
            len_dirty: false,
            reserved_pages: 0,
            charged_pages: 0,
            links: 1,
            handles: 0,
        }
    }

    /// Whether anyone can still reach it.
    pub(super) fn is_live(&self) -> bool {
        self.links > 0 || self.handles > 0
    }

    pub(super) fn read(&mut self, offset: u64, buf: &mut [u8], choose: &mut dyn Choose) -> usize {
        let len = (self.len.saturating_sub(offset)).min(buf.len() as u64) as usize;
        let mut rest = &mut buf[..len];
        for span in spans(offset, len) {
            let (here, after) = rest.split_at_mut(span.end - span.start);
            self.pages.visible(&self.path, span.page, choose).copy_to(span.start, here);
            rest = after;
        }
        len
    }

    /// How many of the bytes fit if `free_pages` more pages can be had, and how many of those they take.
    pub(super) fn room_for(&self, offset: u64, len: usize, free_pages: u64) -> (usize, u64) {
        let (mut fits, mut taken) = (0, 0);
        for span in spans(offset, len) {
            if span.page >= self.reserved_pages && !self.pages.contains(span.page) {
                if taken == free_pages {
                    break;
                }
                taken += 1;
            }
            fits += span.end - span.start;
        }
        (fits, taken)
    }

    pub(super) fn write(&mut self, at: WriteAt, parts: &[&[u8]], choose: &mut dyn Choose) -> Option<SizeOp> {
        let mut bytes = Gather::new(parts);
        for span in spans(at.offset, at.len) {
            let before = if self.replaces(span, at.fate) {
                Content::default()
            } else {
                self.pages.visible(&self.path, span.page, choose)
            };
            let after = before.edit(span.end, |page| bytes.fill(&mut page[span.start..span.end]));
            let reaches = match at.fate {
                Fate::Normal => Some(after.clone()),
                Fate::Lost | Fate::Misdirected { .. } => None,
                Fate::Torn { sectors_kept } => {
                    let end = at.offset / SECTOR as u64 + u64::from(sectors_kept);
                    Some(torn(&self.pages.newest(span.page), &after, span, end))
                }
            };
            self.pages.put(span.page, after, reaches, at.stamp);
        }
        if let Fate::Misdirected { to_offset } = at.fate {
            self.land(WriteAt { offset: to_offset, ..at }, parts, choose);
        }
        self.len_dirty = true;
        let end = at.offset + at.len as u64;
        (end > self.len).then(|| self.resized(end, at.stamp, true))
    }

    /// Whether a write replaces all that a page holds, so that its old versions need no resolving.
    fn replaces(&self, span: Span, fate: Fate) -> bool {
        let to_end = span.end == PAGE || span.page * PAGE as u64 + span.end as u64 >= self.len;
        span.start == 0 && to_end && matches!(fate, Fate::Normal | Fate::Lost)
    }

    /// Bytes that were meant for elsewhere arrive on the disk, and the page cache knows nothing of them.
    fn land(&mut self, at: WriteAt, parts: &[&[u8]], choose: &mut dyn Choose) {
        let mut bytes = Gather::new(parts);
        for span in spans(at.offset, at.len) {
            let cached = self.pages.visible(&self.path, span.page, choose);
            let held = self.pages.newest(span.page);
            let hit = held.edit(span.end, |page| bytes.fill(&mut page[span.start..span.end]));
            self.pages.put(span.page, cached, Some(hit), at.stamp);
        }
    }

    pub(super) fn set_len(&mut self, len: u64, stamp: Stamp, choose: &mut dyn Choose) -> Option<SizeOp> {
        self.len_dirty = true;
        if len < self.len {
            self.cut_pages(len, stamp, choose);
        }
        (len != self.len).then(|| self.resized(len, stamp, false))
    }

    /// Zeroes what lies beyond `len`. On the disk that is one more version of each page, since the cut may not survive.
    fn cut_pages(&mut self, len: u64, stamp: Stamp, choose: &mut dyn Choose) {
        for page in self.pages.from(len / PAGE as u64) {
            let start = page * PAGE as u64;
            let kept = if start >= len {
                Content::default()
            } else {
                self.pages.visible(&self.path, page, choose).cut((len - start) as usize)
            };
            self.pages.put(page, kept.clone(), Some(kept), stamp);
        }
        self.recount(len);
    }

    fn resized(&mut self, to: u64, stamp: Stamp, written: bool) -> SizeOp {
        let from = std::mem::replace(&mut self.len, to);
        SizeOp { from, to, stamp, written }
    }

    /// Reserves the pages up to `len`, if `free_pages` allow it.
    pub(super) fn reserve(&mut self, len: u64, free_pages: u64) -> Result<(), DiskErrorKind> {
        let pages = len.div_ceil(PAGE as u64);
        if pages <= self.reserved_pages {
            return Ok(());
        }
        let written = self.pages.from(self.reserved_pages).into_iter().filter(|page| *page < pages).count() as u64;
        let taken = pages - self.reserved_pages - written;
        if taken > free_pages {
            return Err(DiskErrorKind::NoSpace);
        }
        self.reserved_pages = pages;
        self.charged_pages += taken;
        Ok(())
    }

    /// Counts the pages that a file of length `len` takes.
    fn recount(&mut self, len: u64) {
        let pages = len.div_ceil(PAGE as u64);
        self.reserved_pages = self.reserved_pages.min(pages);
        let written = self.pages.from(self.reserved_pages).into_iter().filter(|page| *page < pages).count() as u64;
        self.charged_pages = self.reserved_pages + written;
    }

    /// The process and the page cache are gone; the disk has settled on a length.
    pub(super) fn lose_power(&mut self, len: u64) {
        self.len = len;
        self.disk_len = len;
        self.len_dirty = false;
        self.handles = 0;
        self.pages.lose_power(len);
        self.recount(len);
    }

    /// A new file with what this one shows.
    pub(super) fn copy(&mut self, path: Arc<str>, stamp: Stamp, choose: &mut dyn Choose) -> File {
        let mut copy = File::new(path);
        for page in self.pages.from(0) {
            let content = self.pages.visible(&self.path, page, choose);
            copy.pages.put(page, content.clone(), Some(content), stamp);
        }
        copy.len = self.len;
        copy.len_dirty = true;
        copy.recount(self.len);
        copy
    }
}
