//! A block: rows side by side, about 64 KiB of them, to which rows are added at the end and of which none changes.
//!
//! A block is full or it is the index's tail. Clones of an index share its blocks; the first row added to a shared tail
//! copies it, which is why a block is small: that copy is the price of a snapshot. Larger would not be faster to scan.
//!
//! What a block was written in goes back to a pool when the last clone lets go of it, and is used for the next. Blocks come and
//! go all the time while rows are sent away; given to the allocator they leave holes between what stays, which are too small
//! for the next block: loading 600,000 records took five times the memory.

use std::sync::{Arc, Mutex, PoisonError};

#[cfg(feature = "faiss")]
use super::by_faiss::Sieve;
use super::kernels::Stripe;
use crate::ids::{RecordId, Version};

/// What the components of a full block take, roughly: a long row fills a block alone.
const BLOCK_BYTES: usize = 64 * 1024;

/// The most rows of a block: who lives is kept in one word.
const BLOCK_ROWS_MAX: usize = 64;

/// Every row of a block, however many it has.
pub(super) const ALL_ROWS: u64 = u64::MAX;

/// How many bytes of spare buffers are kept: about what one flush sends away.
const SPARE_BYTES_MAX: usize = 64 << 20;

/// Buffers of blocks that are no more.
#[derive(Debug, Default)]
pub(super) struct Pool(Mutex<Vec<Vec<Stripe>>>);

impl Pool {
    fn take(&self) -> Option<Vec<Stripe>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn give(&self, mut stripes: Vec<Stripe>) {
        stripes.clear();
        let mut spare = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if (spare.len() + 1) * stripes.capacity() * size_of::<Stripe>() <= SPARE_BYTES_MAX {
            spare.push(stripes);
        }
    }
}

/// See the file's description.
#[derive(Debug)]
pub(super) struct Block {
    ids: Vec<RecordId>,
    versions: Vec<Version>,
    scales: Vec<f32>,
    stripes: Vec<Stripe>,
    stripes_per_row: usize,
    rows_max: usize,
    pool: Arc<Pool>,
    /// Of the rows of a full block. A clone, made to be added to, begins with none.
    #[cfg(feature = "faiss")]
    pub(super) sieve: Sieve,
}

impl Drop for Block {
    fn drop(&mut self) {
        self.pool.give(std::mem::take(&mut self.stripes));
    }
}

impl Clone for Block {
    /// Keeps room for all rows, which the clone of a vector would not: a clone is made to be added to.
    fn clone(&self) -> Self {
        let mut clone = Self::new(self.stripes_per_row, &self.pool);
        clone.ids.extend_from_slice(&self.ids);
        clone.versions.extend_from_slice(&self.versions);
        clone.scales.extend_from_slice(&self.scales);
        clone.stripes.extend_from_slice(&self.stripes);
        clone
    }
}

impl Block {
    /// An empty block with room for all its rows.
    pub(super) fn new(stripes_per_row: usize, pool: &Arc<Pool>) -> Self {
        let rows_max = (BLOCK_BYTES / (stripes_per_row * size_of::<Stripe>())).clamp(1, BLOCK_ROWS_MAX);
        Self {
            ids: Vec::with_capacity(rows_max),
            versions: Vec::with_capacity(rows_max),
            scales: Vec::with_capacity(rows_max),
            // All that share a pool are equally long.
            stripes: pool.take().unwrap_or_else(|| Vec::with_capacity(rows_max * stripes_per_row)),
            stripes_per_row,
            rows_max,
            pool: Arc::clone(pool),
            #[cfg(feature = "faiss")]
            sieve: Sieve::default(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.len() == self.rows_max
    }

    pub(super) fn id(&self, row: usize) -> RecordId {
        self.ids[row]
    }

    pub(super) fn version(&self, row: usize) -> Version {
        self.versions[row]
    }

    pub(super) fn scale(&self, row: usize) -> f32 {
        self.scales[row]
    }

    pub(super) fn stripes(&self, row: usize) -> &[Stripe] {
        &self.stripes[row * self.stripes_per_row..][..self.stripes_per_row]
    }

    /// Adds a row and returns its position.
    pub(super) fn push(&mut self, id: RecordId, version: Version, scale: f32, vector: &[f32]) -> usize {
        let (row, start) = (self.len(), self.stripes.len());
        self.ids.push(id);
        self.versions.push(version);
        self.scales.push(scale);
        self.stripes.resize(start + self.stripes_per_row, Stripe::ZERO);
        Stripe::fill(&mut self.stripes[start..], vector, 1.0);
        row
    }

    /// Adds a copy of another block's row and returns its position.
    pub(super) fn push_from(&mut self, other: &Self, row: usize) -> usize {
        self.ids.push(other.id(row));
        self.versions.push(other.version(row));
        self.scales.push(other.scale(row));
        self.stripes.extend_from_slice(other.stripes(row));
        self.len() - 1
    }
}
