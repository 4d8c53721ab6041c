//! The nearest rows of each query: what a search should find.
//!
//! Exact answers are found by comparing every row with every query, block by block. A comparison in `f32`, which is fast, only
//! says which rows are too far by more than it can err; all others are compared in `f64`, so the order is that of the numbers as
//! they are in the file. Those equally far are in the order of their row numbers. Nothing of the engine takes part: it is on trial.
#![allow(clippy::disallowed_methods, reason = "a benchmark's work is divided among threads")]

use std::{cmp::Ordering, collections::BinaryHeap, path::Path, thread};

use super::{DIM_MAX, DataError, Format, HELD_MAX, Vectors, hdf5, headed, input::Input};

/// Bytes of rows that are held at a time.
const BLOCK_BYTES: usize = 32 << 20;
/// Bytes of rows that all queries of a thread are compared with before the next: they stay in a near cache.
const TILE_BYTES: usize = 128 << 10;
/// Sums that a comparison keeps apart, so that vector units are busy.
const LANES: usize = 16;
/// How many more rows than asked for are looked at to see whether others are as far.
const TIES: usize = 32;

/// The nearest rows of each query, nearest first.
#[derive(Clone, PartialEq, Debug)]
pub struct Truth {
    /// How many for each.
    pub k: usize,
    /// Their numbers, query by query.
    pub ids: Vec<u32>,
}

/// The same, with their distances.
#[derive(Clone, PartialEq, Debug)]
pub struct Nearest {
    /// Which they are.
    pub truth: Truth,
    /// How far each is, squared.
    pub distances: Vec<f64>,
}

/// Whether answers from a file are exact.
#[derive(Clone, PartialEq, Debug)]
pub enum Agreement {
    /// They are, for all queries that were looked at.
    Agrees,
    /// They are not.
    Differs {
        /// The number of a query, from 0.
        query: usize,
        /// The place in its answer, from 0.
        place: usize,
        /// The row that should be there.
        expected: u32,
        /// The row that is.
        found: u32,
    },
}

impl Truth {
    /// Reads a file that has answers to so many queries at least; those of others are left out.
    pub fn read(path: &Path, queries: usize) -> Result<Truth, DataError> {
        if matches!(Format::of(path), Ok(Format::Hdf5)) {
            return hdf5::neighbors(path, queries);
        }
        let name = path.to_string_lossy();
        if !name.ends_with(".ivecs") && !name.ends_with(".ivecs.gz") {
            let why = "exact answers are read from .ivecs, also with .gz, and from .hdf5".into();
            return Err(DataError::Unknown { path: path.into(), why });
        }
        let mut input = Input::open(path)?;
        let k = headed::head(&mut input, None)?.ok_or_else(|| input.malformed(0, "an answer", "an empty file"))?;
        headed::rows(&input, headed::HEAD_BYTES + 4 * k as u64)?;
        let mut ids = Vec::new();
        for nth in 0..queries.min(HELD_MAX) {
            if nth > 0 && headed::head(&mut input, Some(k))?.is_none() {
                let (expected, found) = (format!("answers to {queries} queries"), format!("{nth}"));
                return Err(DataError::Unlike { path: path.into(), expected, found });
            }
            let at = input.offset();
            let bytes = input.all(4 * k, &format!("{k} row numbers"))?;
            for (place, word) in bytes.as_chunks().0.iter().enumerate() {
                let found = i32::from_le_bytes(*word);
                let wrong = || input.malformed(at + 4 * place as u64, "a row number", found.to_string());
                ids.push(u32::try_from(found).map_err(|_| wrong())?);
            }
        }
        Ok(Truth { k, ids })
    }

    /// The nearest rows of a query, nearest first.
    pub fn of(&self, query: usize) -> &[u32] {
        &self.ids[query * self.k..][..self.k]
    }

    /// How many queries it answers.
    pub fn queries(&self) -> usize {
        self.ids.len() / self.k
    }

    /// Whether the answers to these queries, by number, are exact. Rows that are equally far may have changed places.
    pub fn agrees(
        &self,
        base: &mut Vectors,
        queries: &[f32],
        sample: &[usize],
        threads: usize,
    ) -> Result<Agreement, DataError> {
        let dim = base.dim();
        let asked: Vec<f32> = sample.iter().flat_map(|nth| &queries[nth * dim..][..dim]).copied().collect();
        let exact = Nearest::exact(base, &asked, self.k + TIES, threads, |_| {})?;
        let k = exact.truth.k;
        for (nth, &query) in sample.iter().enumerate() {
            let (ids, distances) = (exact.truth.of(nth), &exact.distances[nth * k..][..k]);
            for (place, &found) in self.of(query).iter().enumerate() {
                // Answers were computed in `f32`: what is nearly as far may have changed places, too.
                let near = |at: usize| (distances[at] - distances[place]).abs() <= distances[place] * 1e-5;
                let fits = ids.iter().position(|id| *id == found).is_some_and(|at| place < k && near(at));
                if !fits {
                    let expected = ids.get(place).copied().unwrap_or(u32::MAX);
                    return Ok(Agreement::Differs { query, place, expected, found });
                }
            }
        }
        Ok(Agreement::Agrees)
    }
}

impl Nearest {
    /// Finds the `k` nearest rows of each query, or all rows if there are fewer. `said` hears how many rows were compared so far.
    pub fn exact(
        base: &mut Vectors,
        queries: &[f32],
        k: usize,
        threads: usize,
        mut said: impl FnMut(u64),
    ) -> Result<Nearest, DataError> {
        let dim = base.dim();
        let mut found: Vec<Best> = queries.chunks_exact(dim).map(|_| Best::new(k.clamp(1, DIM_MAX))).collect();
        let block_rows = (BLOCK_BYTES / (4 * dim)).max(1);
        let share = found.len().div_ceil(threads.max(1)).max(1);
        loop {
            let first = base.read();
            let block = base.block(block_rows)?;
            if block.is_empty() {
                break;
            }
            let first = u32::try_from(first).ok().filter(|first| u32::MAX - first >= block_rows as u32);
            let first = first.ok_or_else(|| DataError::Unlike {
                path: base.path().into(),
                expected: format!("at most {} rows", u32::MAX),
                found: "more".into(),
            })?;
            thread::scope(|scope| {
                for (found, queries) in found.chunks_mut(share).zip(queries.chunks(share * dim)) {
                    let block = &block;
                    scope.spawn(move || compare(found, queries, block, dim, first));
                }
            });
            said(base.read());
        }
        let k = found.first().map_or(k, |best| best.heap.len());
        let (mut ids, mut distances) = (Vec::new(), Vec::new());
        for Candidate { distance, id } in found.into_iter().flat_map(|best| best.heap.into_sorted_vec()) {
            ids.push(id);
            distances.push(distance);
        }
        Ok(Nearest { truth: Truth { k, ids }, distances })
    }
}

/// Compares rows, of which the first has the number `first`, with queries.
fn compare(found: &mut [Best], queries: &[f32], rows: &[f32], dim: usize, first: u32) {
    let tile_rows = (TILE_BYTES / (4 * dim)).max(1);
    // A sum of so many terms that are not negative errs by less than this share of it, and so does each term.
    let margin = 1.0 + f32::EPSILON * (dim / LANES + 2 * LANES) as f32;
    for (tile, rows) in (0_u32..).zip(rows.chunks(tile_rows * dim)) {
        for (best, query) in found.iter_mut().zip(queries.chunks_exact(dim)) {
            for (row, id) in rows.chunks_exact(dim).zip(first + tile * tile_rows as u32..) {
                let about = distance_about(query, row);
                if about <= best.limit * margin || about.is_infinite() {
                    best.offer(Candidate { distance: distance(query, row), id });
                }
            }
        }
    }
}

fn distance_about(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; LANES];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in a.iter().zip(b) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            let by = a - b;
            *sum += by * by;
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| (a - b) * (a - b)).sum();
    sums.iter().sum::<f32>() + rest
}

fn distance(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum()
}

/// The best rows of a query so far.
struct Best {
    k: usize,
    /// The worst of them is on top.
    heap: BinaryHeap<Candidate>,
    /// A row that is farther is none of them.
    limit: f32,
}

#[derive(Clone, Copy, Debug)]
struct Candidate {
    distance: f64,
    id: u32,
}

impl Best {
    fn new(k: usize) -> Best {
        Best { k, heap: BinaryHeap::new(), limit: f32::INFINITY }
    }

    fn offer(&mut self, candidate: Candidate) {
        if self.heap.len() == self.k {
            if self.heap.peek().is_none_or(|worst| *worst <= candidate) {
                return;
            }
            self.heap.pop();
        }
        self.heap.push(candidate);
        if let Some(worst) = self.heap.peek().filter(|_| self.heap.len() == self.k) {
            // Rounded up, whatever the conversion does.
            self.limit = (worst.distance as f32).next_up();
        }
    }
}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> Ordering {
        self.distance.total_cmp(&other.distance).then(self.id.cmp(&other.id))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Candidate {}
