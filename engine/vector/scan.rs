//! A search in steps: a value that compares some rows at a time, so that others may run between its steps.
//!
//! It owns a clone of the index and is therefore about one version of it, whatever is written meanwhile. The answer
//! does not depend on where the steps were cut.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::block::ALL_ROWS;
#[cfg(feature = "faiss")]
use super::by_faiss;
use super::flat::{BlockNo, FlatIndex, LiveBlock};
use super::kernels::Stripe;
use super::metric::VectorError;
use crate::ids::{RecordId, Version};

/// A row that a search has found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit {
    /// The record.
    pub id: RecordId,
    /// Which writing of it was compared.
    pub version: Version,
    /// How far it is from the query, by the index's metric. Finite.
    pub distance: f32,
}

/// A search under way. See the file's description.
#[derive(Debug)]
pub struct Scan {
    index: FlatIndex,
    query: Box<[Stripe]>,
    /// Room for a row that is not in the index.
    row: Box<[Stripe]>,
    next: BlockNo,
    best: Best,
    /// The query as FAISS takes it, if it is asked.
    #[cfg(feature = "faiss")]
    faiss: Option<by_faiss::Query>,
}

impl Scan {
    /// Starts a search for the `k` rows of `index` nearest to `query`.
    pub fn new(index: FlatIndex, query: &[f32], k: usize) -> Result<Self, VectorError> {
        let stripes = index.shape().prepare_query(query)?;
        Ok(Self {
            row: vec![Stripe::ZERO; stripes.len()].into_boxed_slice(),
            query: stripes,
            next: BlockNo(0),
            best: Best { hits: BinaryHeap::new(), k },
            #[cfg(feature = "faiss")]
            faiss: by_faiss::Query::new(index.shape(), index.kernels(), query),
            index,
        })
    }

    /// Compares about `rows_max` more rows (to the end of a block, and at least one block). True when none is left.
    pub fn step(&mut self, rows_max: usize) -> bool {
        self.step_where(rows_max, |_, _| true)
    }

    /// The same, letting only rows be found that `keep` accepts. It is asked only about rows near enough to be among
    /// the answers.
    pub fn step_where(&mut self, rows_max: usize, mut keep: impl FnMut(RecordId, Version) -> bool) -> bool {
        if self.best.k == 0 {
            return true;
        }
        let mut rows = 0;
        let mut blocks = self.index.blocks_from(self.next).peekable();
        while let Some((number, held)) = blocks.next() {
            if rows >= rows_max.max(1) {
                return false;
            }
            let after = blocks.peek().and_then(|(_, held)| held.first_live_row());
            #[cfg(feature = "faiss")]
            let some = self.faiss.as_ref().map_or(ALL_ROWS, |faiss| faiss.rows_within(&held.block, self.best.bound()));
            #[cfg(not(feature = "faiss"))]
            let some = ALL_ROWS;
            self.best.offer_block(&self.index, held, some, after, &self.query, &mut keep);
            self.next = BlockNo(number.0 + 1);
            rows += held.block.len();
        }
        true
    }

    /// Whether it looks for no row at all.
    pub fn wants_none(&self) -> bool {
        self.best.k == 0
    }

    /// Compares a row that is not in the index, of a record that it knows in that version without its row.
    pub fn offer(&mut self, id: RecordId, version: Version, vector: &[f32]) -> Result<(), VectorError> {
        if self.best.k == 0 {
            return Ok(());
        }
        let bound = self.best.bound();
        let distance = self.measure(vector, bound)?;
        if distance <= bound {
            let index = &self.index;
            self.best.offer(Hit { id, version, distance }, |id, version| index.is_away(id, version));
        }
        Ok(())
    }

    /// How far a vector is that is not in the index.
    pub fn distance(&mut self, vector: &[f32]) -> Result<f32, VectorError> {
        self.measure(vector, f32::INFINITY)
    }

    /// The same, if it is not farther than `bound`; otherwise something above that.
    fn measure(&mut self, vector: &[f32], bound: f32) -> Result<f32, VectorError> {
        let shape = self.index.shape();
        let scale = shape.scale(vector)?;
        Stripe::fill(&mut self.row, vector, 1.0);
        Ok(shape.measure(self.index.kernels(), &self.row, scale, &self.query, bound, &self.row))
    }

    /// The nearest of the rows compared so far, nearest first, those equally far by ascending id.
    pub fn finish(self) -> Vec<Hit> {
        self.best.hits.into_sorted_vec().into_iter().map(|Ranked(hit)| hit).collect()
    }
}

/// The best hits so far, the worst of them on top.
#[derive(Debug)]
struct Best {
    hits: BinaryHeap<Ranked>,
    k: usize,
}

impl Best {
    /// Compares the live rows of a block that have a bit in `some`. `after` is the row that the scan comes to next.
    fn offer_block(
        &mut self,
        index: &FlatIndex,
        held: &LiveBlock,
        some: u64,
        after: Option<&[Stripe]>,
        query: &[Stripe],
        mut keep: impl FnMut(RecordId, Version) -> bool,
    ) {
        let (shape, kernels, block) = (index.shape(), index.kernels(), &held.block);
        let mut rows = held.live_rows_of(some).peekable();
        while let Some(row) = rows.next() {
            let (stripes, bound) = (block.stripes(row), self.bound());
            let next = rows.peek().map(|row| block.stripes(*row)).or(after).unwrap_or(stripes);
            let distance = shape.measure(kernels, stripes, block.scale(row), query, bound, next);
            // One comparison dismisses nearly every row. What is above the bound need not even be a distance.
            if distance <= bound {
                self.offer(Hit { id: block.id(row), version: block.version(row), distance }, &mut keep);
            }
        }
    }

    /// What is farther than this is not among the best.
    fn bound(&self) -> f32 {
        match self.hits.peek() {
            Some(Ranked(worst)) if self.hits.len() == self.k => worst.distance,
            Some(_) | None => f32::INFINITY,
        }
    }

    fn offer(&mut self, hit: Hit, mut keep: impl FnMut(RecordId, Version) -> bool) {
        if self.hits.len() < self.k {
            if keep(hit.id, hit.version) {
                self.hits.push(Ranked(hit));
            }
        } else if let Some(mut worst) = self.hits.peek_mut()
            && Ranked(hit) < *worst
            && keep(hit.id, hit.version)
        {
            *worst = Ranked(hit);
        }
    }
}

/// A hit, ordered by its distance and then by its id.
#[derive(Debug)]
struct Ranked(Hit);

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.distance.total_cmp(&other.0.distance).then(self.0.id.cmp(&other.0.id))
    }
}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Ranked {}
