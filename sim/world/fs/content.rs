//! The bytes of one page: immutable, shared, and as long as its last byte that is not zero.
//!
//! Leaving out the zeros at the end makes the empty page free, small files small, and equality of bytes equality of
//! values, on which merging versions and digests rely.

use std::sync::Arc;

/// Bytes in a page: what the page cache holds and writes back as one.
pub(super) const PAGE: usize = 4096;
/// Bytes in a sector: what a device writes as one.
pub(super) const SECTOR: usize = 512;
/// Sectors in a page.
pub(super) const SECTORS: usize = PAGE / SECTOR;

/// The bytes of a page. The default is all zeros.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Content(Arc<[u8]>);

impl Content {
    /// The bytes up to the last that is not zero.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    /// The page after `change`, which touches no byte from `end` on.
    pub(super) fn edit(&self, end: usize, change: impl FnOnce(&mut [u8; PAGE])) -> Content {
        let mut page = [0; PAGE];
        page[..self.0.len()].copy_from_slice(&self.0);
        change(&mut page);
        Content::trimmed(&page[..end.max(self.0.len())])
    }

    /// The page with zeros from `end` on.
    pub(super) fn cut(&self, end: usize) -> Content {
        if self.0.len() <= end { self.clone() } else { Content::trimmed(&self.0[..end]) }
    }

    /// The page with one bit the other way.
    pub(super) fn flipped(&self, byte: usize, bit: u32) -> Content {
        self.edit(byte + 1, |page| page[byte] ^= 1 << (bit % 8))
    }

    /// One sector, without zeros at its end.
    pub(super) fn sector(&self, sector: usize) -> &[u8] {
        let start = (sector * SECTOR).min(self.0.len());
        let end = (start + SECTOR).min(self.0.len());
        trim(&self.0[start..end])
    }

    /// The page with sector `s` taken from `pick(s)`.
    pub(super) fn from_sectors<'a>(mut pick: impl FnMut(usize) -> &'a Content) -> Content {
        Content::default().edit(PAGE, |page| {
            for s in 0..SECTORS {
                let bytes = pick(s).sector(s);
                page[s * SECTOR..][..bytes.len()].copy_from_slice(bytes);
            }
        })
    }

    /// Copies the bytes from `start` on to `buf`.
    pub(super) fn copy_to(&self, start: usize, buf: &mut [u8]) {
        let here = self.0.get(start..).unwrap_or_default();
        let n = here.len().min(buf.len());
        buf[..n].copy_from_slice(&here[..n]);
        buf[n..].fill(0);
    }

    fn trimmed(bytes: &[u8]) -> Content {
        Content(Arc::from(trim(bytes)))
    }
}

/// `bytes` without the zeros at their end. In chunks first, which the compiler vectorises: whole pages of zeros are common.
fn trim(bytes: &[u8]) -> &[u8] {
    let mut end = bytes.len();
    while end >= 64 && bytes[end - 64..end].iter().fold(0, |any, b| any | b) == 0 {
        end -= 64;
    }
    while end > 0 && bytes[end - 1] == 0 {
        end -= 1;
    }
    &bytes[..end]
}

/// The part of a page that a range of a file covers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Span {
    pub(super) page: u64,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// The pages that `len` bytes at `offset` touch.
pub(super) fn spans(offset: u64, len: usize) -> impl Iterator<Item = Span> {
    let end = offset + len as u64;
    let pages = if len == 0 { 0..0 } else { offset / PAGE as u64..end.div_ceil(PAGE as u64) };
    pages.map(move |page| {
        let base = page * PAGE as u64;
        Span { page, start: offset.saturating_sub(base) as usize, end: (end - base).min(PAGE as u64) as usize }
    })
}

/// Reads a vectored write front to back.
pub(super) struct Gather<'a> {
    parts: &'a [&'a [u8]],
    skip: usize,
}

impl<'a> Gather<'a> {
    pub(super) fn new(parts: &'a [&'a [u8]]) -> Self {
        Gather { parts, skip: 0 }
    }

    /// Fills `buf` with what comes next.
    pub(super) fn fill(&mut self, mut buf: &mut [u8]) {
        while !buf.is_empty() {
            let here = &self.parts[0][self.skip..];
            let n = here.len().min(buf.len());
            buf[..n].copy_from_slice(&here[..n]);
            buf = &mut buf[n..];
            self.skip += n;
            if self.skip == self.parts[0].len() {
                self.parts = &self.parts[1..];
                self.skip = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_at_the_end_are_not_kept() {
        let page = Content::default().edit(100, |page| page[3] = 7);
        assert_eq!(page.bytes(), [0, 0, 0, 7]);
        assert!(page.edit(4, |page| page[3] = 0).is_zero());
        assert!(Content::default().edit(PAGE, |page| page.fill(0)).is_zero());
    }

    #[test]
    fn spans_cover_exactly_the_range() {
        assert_eq!(spans(0, 0).count(), 0);
        let found: Vec<_> = spans(4000, 200).collect();
        assert_eq!(found, [Span { page: 0, start: 4000, end: 4096 }, Span { page: 1, start: 0, end: 104 }]);
        assert_eq!(spans(4096, 4096).collect::<Vec<_>>(), [Span { page: 1, start: 0, end: 4096 }]);
    }

    #[test]
    fn gathers_over_empty_parts() {
        let parts: [&[u8]; 4] = [b"", b"ab", b"", b"cde"];
        let mut gather = Gather::new(&parts);
        let mut buf = [0; 3];
        gather.fill(&mut buf);
        assert_eq!(&buf, b"abc");
        gather.fill(&mut buf[..2]);
        assert_eq!(&buf[..2], b"de");
    }

    #[test]
    fn a_page_is_put_together_from_sectors() {
        let old = Content::default().edit(PAGE, |page| page.fill(1));
        let new = Content::default().edit(PAGE, |page| page.fill(2));
        let torn = Content::from_sectors(|s| if s == 1 { &new } else { &old });
        assert_eq!(torn.bytes()[511..513], [1, 2]);
        assert_eq!(torn.bytes()[1023..1025], [2, 1]);
        assert_eq!(torn.bytes().len(), PAGE);
    }
}
