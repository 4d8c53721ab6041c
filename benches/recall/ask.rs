//! Queries: one after another by one thread, or by several at once, and how many of the true neighbours they find.
//!
//! # Invariant
//! A figure of recall counts every query it speaks of once, however often it was asked.
#![allow(clippy::disallowed_methods, reason = "a benchmark asks the machine's clock, and its clients are threads")]

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::{
    latency::{Latencies, Percentiles},
    target::{Asker, TargetError},
};
use crate::data::Truth;

/// Queries that follow one another in a file, with the answers they should get.
#[derive(Clone, Copy)]
pub(super) struct Queries<'a> {
    vectors: &'a [f32],
    dim: usize,
    truth: &'a Truth,
    /// The number of the first in the file.
    first: usize,
}

impl<'a> Queries<'a> {
    /// All of a file.
    pub(super) fn new(vectors: &'a [f32], dim: usize, truth: &'a Truth) -> Queries<'a> {
        Queries { vectors, dim, truth, first: 0 }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.vectors.len() / self.dim
    }

    /// The first half, by which parameters are chosen, and the other, on which they are reported.
    pub(super) fn halves(&self) -> (Queries<'a>, Queries<'a>) {
        let half = self.count() / 2;
        let (a, b) = self.vectors.split_at(half * self.dim);
        (Queries { vectors: a, ..*self }, Queries { vectors: b, first: self.first + half, ..*self })
    }

    /// The first so many, or all.
    pub(super) fn some(&self, count: usize) -> Queries<'a> {
        Queries { vectors: &self.vectors[..count.min(self.count()) * self.dim], ..*self }
    }

    /// How many nearest records of each are known.
    pub(super) fn truth_k(&self) -> usize {
        self.truth.k
    }

    fn query(&self, nth: usize) -> &'a [f32] {
        &self.vectors[nth * self.dim..][..self.dim]
    }

    /// How many of the `k` nearest records were found, as a share; of all that there are if there are fewer.
    fn recall(&self, nth: usize, k: u32, found: &[u64]) -> f64 {
        let k = (k as usize).min(self.truth.k);
        let wanted = &self.truth.of(self.first + nth)[..k];
        let hits = found.iter().take(k).filter(|id| wanted.iter().any(|it| u64::from(*it) == **id)).count();
        hits as f64 / k as f64
    }
}

/// How to ask.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct How {
    /// How many records a query asks for.
    pub k: u32,
    /// How wide it searches.
    pub complexity: u32,
}

/// Queries that one thread asked.
pub(super) struct Pass {
    /// What each took.
    pub latencies: Latencies,
    /// The share of the nearest records that were found.
    pub recall: f64,
    /// The share of the queries that the archive's graph was searched for.
    pub by_archive: f64,
    /// Queries in a second.
    pub per_second: f64,
}

/// Asks each query once, and again from the first one until so many were asked.
pub(super) fn pass(asker: &Asker, queries: &Queries<'_>, how: How, calls_min: usize) -> Result<Pass, TargetError> {
    let (mut latencies, mut recall, count) = (Latencies::default(), 0.0, queries.count());
    let mut by_archive = 0_u32;
    let mut took = Duration::ZERO;
    for call in 0..calls_min.max(count) {
        let nth = call % count;
        let asked = Instant::now();
        let found = asker.search(queries.query(nth), how.k, how.complexity)?;
        let elapsed = asked.elapsed();
        took += elapsed;
        latencies.record(elapsed.as_nanos() as u64);
        if call < count {
            recall += queries.recall(nth, how.k, &found.ids);
            by_archive += u32::from(found.by_archive);
        }
    }
    let per_second = calls_min.max(count) as f64 / took.as_secs_f64();
    let by_archive = f64::from(by_archive) / count as f64;
    Ok(Pass { latencies, recall: recall / count as f64, by_archive, per_second })
}

/// What clients that ask at once get.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Throughput {
    /// How many threads ask.
    pub threads: usize,
    /// Answers in a second, to all together.
    pub per_second: f64,
    /// What each answer took.
    pub latency: Percentiles,
}

/// Has so many threads ask for a while, each query after query, and all of them once at least.
pub(super) fn throughput(
    asker: &Asker,
    queries: &Queries<'_>,
    how: How,
    threads: usize,
    turn: Duration,
) -> Result<Throughput, TargetError> {
    let next = AtomicUsize::new(0);
    let begun = Instant::now();
    let ask = |asker: Asker| {
        let mut latencies = Latencies::default();
        loop {
            let call = next.fetch_add(1, Ordering::Relaxed);
            if call >= queries.count() && begun.elapsed() >= turn {
                return Ok(latencies);
            }
            let asked = Instant::now();
            asker.search(queries.query(call % queries.count()), how.k, how.complexity)?;
            latencies.record(asked.elapsed().as_nanos() as u64);
        }
    };
    let asked: Vec<Latencies> = thread::scope(|scope| {
        let asking: Vec<_> =
            (0..threads).map(|_| (asker.clone(), &ask)).map(|(it, ask)| scope.spawn(|| ask(it))).collect();
        let ended = asking.into_iter().map(|thread| thread.join().expect("a client does not panic"));
        ended.collect::<Result<_, TargetError>>()
    })?;
    let took = begun.elapsed().as_secs_f64();
    let mut all = Latencies::default();
    for latencies in &asked {
        all.add(latencies);
    }
    let latency = all.percentiles();
    Ok(Throughput { threads, per_second: latency.calls as f64 / took, latency })
}

/// A query that was asked while something else went on.
pub(super) struct Call {
    /// When, in nanoseconds since the measurement began.
    pub(super) at: u64,
    /// What it took, in nanoseconds.
    pub(super) took: u64,
    /// The share of the nearest records that it found.
    pub(super) recall: f64,
}

/// Goes on asking, query after query, until something else is over.
pub(super) fn until(
    asker: &Asker,
    queries: &Queries<'_>,
    how: How,
    begun: Instant,
    is_over: impl Fn() -> bool,
) -> Result<Vec<Call>, TargetError> {
    let mut calls = Vec::new();
    for nth in (0..queries.count()).cycle() {
        if is_over() {
            break;
        }
        let asked = begun.elapsed();
        let found = asker.search(queries.query(nth), how.k, how.complexity)?;
        let took = begun.elapsed().saturating_sub(asked);
        let recall = queries.recall(nth, how.k, &found.ids);
        calls.push(Call { at: asked.as_nanos() as u64, took: took.as_nanos() as u64, recall });
    }
    Ok(calls)
}
