//! FAISS's flat index as what compares the rows of a block.
//!
//! A full block does not change any more. So it can have an `IndexFlat` of its rows under the metric L2, which is made when
//! a search first asks and goes with the block. (FAISS's `IndexFlatL2` is that index, and a cache of norms that no search
//! reads; the crate makes the plain one.) Rows lie in memory twice then.
//!
//! **FAISS dismisses, our kernel measures.** FAISS adds in an order of its own, which depends on how it was compiled, and orders ties
//! by its own numbers. But what it finds is near the true distance, and so is what we find ([`reach`]). Therefore a row that FAISS has farther
//! off than the bound and all that both may err is beyond the bound. It is dismissed; any other is compared again, by our
//! kernel. Hits, ties and distances are to the last bit those of an index without FAISS, filters included.
//!
//! **What is not FAISS's to compare**: the tail, to which rows are still added; rows that are elsewhere; everything, until
//! there are `k` hits and so a bound; and what FAISS fails at, when memory runs out, say. None of that is an error: our
//! kernel compares it.
//!
//! **Threads.** A query is asked alone. FAISS divides queries among its threads, not rows, so that it starts none; and only
//! batches of 20 go to BLAS, in whose form (norms less products) distances would err without a bound. Many threads may search one
//! index: searching changes nothing in it. (OpenBLAS, if that is the BLAS, starts threads when the process starts. They idle.)

use std::sync::OnceLock;

use faiss::{ConcurrentIndex, FlatIndex, Index};

use super::block::{ALL_ROWS, Block};
use super::metric::{Metric, Shape};
use super::{Dim, Kernels};

/// FAISS's index of a block's rows, if one was asked for. `None`: it could not be made.
#[derive(Debug, Default)]
pub(super) struct Sieve(OnceLock<Option<FlatIndex>>);

impl Sieve {
    fn of(block: &Block, dim: Dim) -> Option<&FlatIndex> {
        block.sieve.0.get_or_init(|| index_of(block, dim).ok()).as_ref()
    }
}

fn index_of(block: &Block, dim: Dim) -> faiss::error::Result<FlatIndex> {
    let mut index = FlatIndex::new_l2(dim.get() as u32)?;
    let row = |row| block.stripes(row).iter().flat_map(|stripe| stripe.0).take(dim.get());
    let rows: Vec<f32> = (0..block.len()).flat_map(row).collect();
    index.add(&rows)?;
    Ok(index)
}

/// A query as FAISS takes it.
#[derive(Debug)]
pub(super) struct Query {
    vector: Box<[f32]>,
    dim: Dim,
}

impl Query {
    /// An admitted query, if FAISS is to be asked.
    pub(super) fn new(shape: Shape, kernels: Kernels, vector: &[f32]) -> Option<Self> {
        (kernels.by_faiss && shape.metric == Metric::L2).then(|| Self { vector: vector.into(), dim: shape.dim })
    }

    /// A bit for each row of a block that may be at most `bound` from the query: all others are farther.
    pub(super) fn rows_within(&self, block: &Block, bound: f32) -> u64 {
        if !block.is_full() || bound.is_infinite() {
            return ALL_ROWS;
        }
        self.ask(block, reach(bound, self.dim)).unwrap_or(ALL_ROWS)
    }

    /// A bit for each row that FAISS has within `reach`; nothing, if it fails.
    fn ask(&self, block: &Block, reach: f64) -> Option<u64> {
        let index = Sieve::of(block, self.dim)?;
        // The nearest alone first: in nearly every block it is too far already, and nothing has to be put in order.
        for k in [1, block.len()] {
            let found = ConcurrentIndex::search(index, &self.vector, k).ok()?;
            let mut rows = 0;
            for (label, distance) in found.labels.iter().zip(&found.distances) {
                let row = label.get().filter(|row| *row < block.len() as u64)?;
                rows |= u64::from(f64::from(*distance) <= reach) << row;
            }
            if rows == 0 || k == block.len() {
                return Some(rows);
            }
        }
        None
    }
}

/// No row at most `bound` away by our kernel is farther than this by FAISS.
///
/// Both add up terms `(x - y)²`, none negative. A term is rounded three times (the difference counts twice, being squared)
/// and, in whatever order, added at most `dim` times; each rounding is off by half of `EPSILON` at most. With
/// `e = (dim + 3) * EPSILON / 2`, which is below 0.004, each distance is therefore off by no more than the part `e / (1 - e)`
/// of the true one, and FAISS's by no more than the factor `1 / (1 - 2e)`, below `1 + 2.1 e`, from ours. `4 e` is taken: it costs
/// nothing. A fused multiply-add, should FAISS be compiled with it, rounds less often. What is too small for `f32` to hold in
/// full is off by less than `MIN_POSITIVE` for each term, whether it is rounded or flushed to zero.
fn reach(bound: f32, dim: Dim) -> f64 {
    let dim = dim.get() as f64;
    f64::from(bound) * (1.0 + 2.0 * (dim + 3.0) * f64::from(f32::EPSILON)) + 4.0 * dim * f64::from(f32::MIN_POSITIVE)
}

#[cfg(test)]
mod tests;
