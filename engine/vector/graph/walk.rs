//! The way through a graph towards a query: always on from the nearest node not yet left, until the nearest few have been.
//!
//! A node met is one word, so that words are in the order wanted, by distance and then by number:
//! distance (32 bits), number (31), and whether it was left (1).

use super::super::kernels::Kernels;
use super::NO_LINK;
use super::codes::{CodeQuery, Codes};

/// A node and its distance; smaller is nearer, and of those equally near the one with the lower number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Met(u64);

impl Met {
    pub(super) fn new(distance: i32, node: u32) -> Self {
        Self(u64::from(distance.cast_unsigned()) << 32 | u64::from(node) << 1)
    }

    pub(super) fn node(self) -> u32 {
        self.0 as u32 >> 1
    }

    pub(super) fn distance(self) -> u32 {
        (self.0 >> 32) as u32
    }

    fn was_left(self) -> bool {
        self.0 & 1 == 1
    }

    fn left(self) -> Self {
        Self(self.0 | 1)
    }
}

/// Links to follow, a fixed number for each node, [`NO_LINK`] last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Links<'a> {
    pub(super) all: &'a [u32],
    pub(super) per_node: usize,
}

impl<'a> Links<'a> {
    pub(super) fn of(self, node: u32) -> &'a [u32] {
        &self.all[node as usize * self.per_node..][..self.per_node]
    }
}

/// See the file's description. One can be used for many walks.
#[derive(Debug, Default)]
pub(super) struct Walk {
    /// The nearest met, at most `width`, nearest first.
    nearest: Vec<Met>,
    width: usize,
    /// All before this were left.
    next: usize,
    /// One bit for each node: whether it was met.
    met: Vec<u64>,
    /// Which words of `met` are not 0, or were not.
    touched: Vec<u32>,
    /// Those left, if they are wanted.
    pub(super) left: Vec<Met>,
    fresh: Vec<u32>,
}

impl Walk {
    /// Begins at `entry`, which is one of the `codes`.
    pub(super) fn begin(&mut self, codes: &Codes, kernels: Kernels, entry: u32, query: &mut CodeQuery, width: usize) {
        self.touched.drain(..).for_each(|word| self.met[word as usize] = 0);
        self.met.resize(codes.len().div_ceil(64), 0);
        self.left.clear();
        self.nearest.clear();
        self.nearest.reserve_exact(width);
        (self.width, self.next) = (width, 0);
        self.is_new(entry);
        codes.halve(query);
        self.nearest.push(Met::new(codes.distance(kernels, entry, query), entry));
    }

    /// Leaves one node for its neighbours. False if all of the nearest have been left.
    pub(super) fn hop(&mut self, codes: &Codes, kernels: Kernels, links: Links<'_>, query: &mut CodeQuery) -> bool {
        let Some(at) = self.nearest[self.next..].iter().position(|met| !met.was_left()) else { return false };
        let at = self.next + at;
        self.left.push(self.nearest[at]);
        self.nearest[at] = self.nearest[at].left();
        self.next = at + 1;
        let mut fresh = std::mem::take(&mut self.fresh);
        fresh.clear();
        fresh.extend(
            links
                .of(self.nearest[at].node())
                .iter()
                .take_while(|node| **node != NO_LINK)
                .filter(|node| self.is_new(**node)),
        );
        for node in &fresh {
            codes.prefetch(kernels, *node);
        }
        // Likely the next to be left.
        if let Some(soon) = self.nearest[at..].iter().find(|met| !met.was_left()) {
            kernels.prefetch(links.of(soon.node()));
        }
        match self.nearest.last() {
            Some(last) if self.nearest.len() == self.width => {
                codes.distances_within(kernels, last.distance(), &mut fresh, query);
            }
            _ => codes.distances(kernels, &fresh, query),
        }
        for (node, distance) in fresh.iter().zip(&query.distances) {
            self.offer(Met::new(*distance, *node));
        }
        self.fresh = fresh;
        true
    }

    /// The nearest met, nearest first.
    pub(super) fn nearest(&self) -> &[Met] {
        &self.nearest
    }

    fn offer(&mut self, met: Met) {
        if self.nearest.len() == self.width {
            if self.nearest.last().is_none_or(|last| met > *last) {
                return;
            }
            self.nearest.pop();
        }
        let at = self.nearest.partition_point(|other| *other < met);
        self.nearest.insert(at, met);
        self.next = self.next.min(at);
    }

    /// Notes that `node` is met; false if it was before.
    fn is_new(&mut self, node: u32) -> bool {
        let word = &mut self.met[node as usize / 64];
        if *word == 0 {
            self.touched.push(node / 64);
        }
        let bit = 1 << (node % 64);
        let new = *word & bit == 0;
        *word |= bit;
        new
    }
}
