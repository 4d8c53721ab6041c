//! Many seeds of a suite, over cores, in shards, by count or by time.
//!
//! This is the only part of the harness that knows threads and a real clock: it runs worlds, it is not in one. Which
//! thread ran a seed leaves no trace in what is reported, except in times.

#![allow(clippy::disallowed_methods, reason = "worlds are run on threads, by a real clock; nothing here is inside one")]

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use super::{
    report::SuiteReport,
    scenario::{Suite, case_of},
};
use crate::world::Settings;

/// How far a hunt goes.
#[derive(Clone, Copy, Debug)]
pub enum Budget {
    /// So many seeds.
    Seeds(u64),
    /// So long.
    Time(Duration),
    /// So long, and on until there were so many seeds; but at most so many times as long.
    Enough {
        /// How long.
        time: Duration,
        /// How many seeds.
        seeds: u64,
        /// How many times as long at most.
        times_max: u32,
    },
}

/// One of several machines that share the seeds: number `index` (from 0) of `of`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shard {
    /// Which.
    pub index: u64,
    /// Of how many.
    pub of: u64,
}

/// How to hunt.
///
/// ```no_run
/// use stormproof_sim::{
///     examples::replica::trial::ReplicaTrial,
///     hunt::{Budget, Hunt},
/// };
///
/// let suite = ReplicaTrial::default();
/// let hunt = Hunt { budget: Budget::Seeds(5_000), failures_max: 10, ..Hunt::default() };
/// let report = hunt.run(&suite, &|progress| eprintln!("{} lives", progress.runs));
/// println!("{:?}", report.verdict(&suite, true));
/// for failure in report.failures.values() {
///     println!("seed {}: {}", failure.seed, failure.violation);
/// }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Hunt {
    /// How far.
    pub budget: Budget,
    /// The first seed.
    pub from: u64,
    /// On how many threads.
    pub threads: usize,
    /// Which share of the seeds.
    pub shard: Shard,
    /// Only this case.
    pub case: Option<usize>,
    /// One run in so many is noted, to be run again in a fresh process.
    pub sample_every: u64,
    /// After so many failures a suite is left.
    pub failures_max: u64,
}

/// How far a hunt has come.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Runs so far.
    pub runs: u64,
    /// Failures so far.
    pub failed: u64,
    /// The share of the budget that is spent, from 0 to 1.
    pub spent: f64,
}

impl Default for Hunt {
    /// A thousand seeds on all cores, up to the first failure.
    fn default() -> Self {
        Hunt {
            budget: Budget::Seeds(1_000),
            from: 0,
            threads: cores(),
            shard: Shard { index: 0, of: 1 },
            case: None,
            sample_every: 0,
            failures_max: 1,
        }
    }
}

/// How many threads are worth having.
pub(super) fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

impl Hunt {
    /// The `n`-th seed of this shard and case. Shards are disjoint, and together they are all seeds.
    pub fn seed(&self, suite: &dyn Suite, n: u64) -> u64 {
        let nth = self.shard.index + n * self.shard.of;
        let Some(case) = self.case else { return self.from + nth };
        let cases = suite.cases().len() as u64;
        let mut whole_round = self.from..self.from.saturating_add(cases);
        let first = whole_round.find(|seed| case_of(suite.cases(), *seed) == case).unwrap_or(self.from);
        first + nth * cases
    }

    /// Runs a suite.
    pub fn run(&self, suite: &dyn Suite, progress: &(dyn Fn(Progress) + Sync)) -> SuiteReport {
        let total = Mutex::new(SuiteReport::new(suite));
        let field = Field {
            next: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            begun: Instant::now(),
        };
        thread::scope(|scope| {
            for _ in 0..self.threads.max(1) {
                scope.spawn(|| {
                    let report = self.work(suite, &field, progress);
                    total.lock().unwrap_or_else(PoisonError::into_inner).merge(report);
                });
            }
        });
        total.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self, suite: &dyn Suite, field: &Field, progress: &(dyn Fn(Progress) + Sync)) -> SuiteReport {
        let mut report = SuiteReport::new(suite);
        let begun = Instant::now();
        while !field.stop.load(Ordering::Relaxed) {
            let n = field.next.fetch_add(1, Ordering::Relaxed);
            let spent = self.spent(n, field.begun);
            if spent >= 1.0 {
                break;
            }
            let run = suite.run_seed(self.seed(suite, n), &Settings::default());
            let failed = if run.result.violation.is_some() {
                field.failed.fetch_add(1, Ordering::Relaxed) + 1
            } else {
                field.failed.load(Ordering::Relaxed)
            };
            if failed >= self.failures_max {
                field.stop.store(true, Ordering::Relaxed);
            }
            if self.sample_every > 0 && n.is_multiple_of(self.sample_every) {
                report.sample.push((run.seed, run.result.trace_hash));
            }
            report.add(run);
            progress(Progress { runs: n + 1, failed, spent });
        }
        report.busy_ns = begun.elapsed().as_nanos() as u64;
        report
    }

    fn spent(&self, n: u64, begun: Instant) -> f64 {
        match self.budget {
            Budget::Seeds(seeds) if n >= seeds => 1.0,
            Budget::Seeds(seeds) => n as f64 / seeds as f64,
            // At least one run, however short the time.
            Budget::Time(_) | Budget::Enough { .. } if n == 0 => 0.0,
            Budget::Enough { time, seeds, times_max } if n < seeds => {
                // What is left to do: the rest of the seeds, or of the time.
                let of_seeds = n as f64 / seeds as f64;
                share(begun, time * times_max).max(of_seeds.min(share(begun, time)))
            }
            Budget::Time(time) | Budget::Enough { time, .. } => share(begun, time),
        }
    }
}

/// How much of a time is over.
fn share(begun: Instant, time: Duration) -> f64 {
    begun.elapsed().as_secs_f64() / time.as_secs_f64().max(f64::MIN_POSITIVE)
}

/// What the threads of a hunt share.
struct Field {
    next: AtomicU64,
    failed: AtomicU64,
    stop: AtomicBool,
    begun: Instant,
}
