//! Commits of the real engine on a real disk, beside the least that any engine could do: one write and one sync of the
//! same bytes for each batch.
//!
//! The two take turns in one directory. In a turn of the engine, so many writers commit one record each, again and again;
//! how many transactions each batch held is noted. In the baseline's turn that follows, one thread writes as many bytes
//! for each of those batches, in the same order, to a file that was preallocated as the engine's log is, and syncs it.
//! So the baseline is given the engine's batches for nothing: it need not gather them, wake anybody, or know what it
//! writes. What the engine adds is all there is between the two.
#![allow(
    clippy::disallowed_methods,
    reason = "a benchmark of real writers asks the machine's clock, and its writers are threads"
)]

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use serde::Serialize;
use stormproof_contract::{Disk, Open, Tick};
use stormproof_engine::{
    driver::{self, CallError, Client, Note, RealDisk},
    memory::{
        Config, Draft, Engine, HealthConfig, LogFormat, MemoryNode, MergeRules, Op, RecordId, Reply, RetryId,
        Transaction,
    },
};

use crate::scan::uniform;

/// Components of a vector.
pub const DIM: usize = 960;

/// Vectors that the writers take turns with: enough that none is in a nearer cache for having just been written.
pub(crate) const VECTORS: usize = 512;

/// The longest latency that is told from a longer one, in nanoseconds.
const LATENCY_NS_MAX: u64 = 60_000_000_000;

/// How to measure.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where. The directory must exist.
    pub dir: PathBuf,
    /// How many writers, measurement by measurement.
    pub writers: Vec<usize>,
    /// Turns of the engine, and of the baseline.
    pub turns: u32,
    /// How long a turn of the engine is.
    pub turn: Duration,
    /// How often the engine looks whether all is well; 0: never.
    pub health: Duration,
    /// How the log is written.
    pub log_format: LogFormat,
    /// How many segments are merged at least; 0: none ever are.
    pub merge_run_min: usize,
}

/// What a number of writers came to.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// How many writers.
    pub writers: usize,
    /// Commits.
    pub commits: u64,
    /// Transactions in a batch, on average.
    pub batch: f64,
    /// Bytes that a transaction takes in the log.
    pub bytes: u64,
    /// Commits in a second.
    pub per_second: f64,
    /// Half of the commits took at most this long, in microseconds.
    pub p50_us: f64,
    /// All but one in a hundred took at most this long.
    pub p99_us: f64,
    /// What the baseline would commit in a second, in the same batches.
    pub baseline_per_second: f64,
    /// Half of the baseline's writes with their syncs took at most this long.
    pub baseline_p50_us: f64,
    /// All but one in a hundred.
    pub baseline_p99_us: f64,
    /// The engine's commits per second as a share of the baseline's: of all turns together.
    pub ratio: f64,
    /// Of the turn in which it was least, and of that in which it was most.
    pub ratio_range: (f64, f64),
}

/// Why there is no measurement.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The engine did not start.
    #[error(transparent)]
    Open(#[from] driver::OpenError),
    /// The engine has stopped.
    #[error(transparent)]
    Call(#[from] CallError),
    /// It answered something else than that it had committed.
    #[error("not committed: {0:?}")]
    NotCommitted(Box<Reply>),
    /// The baseline's file, or the directory.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The baseline's disk.
    #[error(transparent)]
    Disk(#[from] stormproof_contract::DiskError),
}

/// A turn of the engine.
pub(crate) struct Turn {
    /// Transactions of each batch.
    batches: Vec<u64>,
    took: Duration,
    pub(crate) latency: Histogram<u64>,
}

/// Measures, one number of writers after another, each in a directory of its own that is removed afterwards.
pub fn measure(plan: &Plan, mut said: impl FnMut(&Row)) -> Result<Vec<Row>, CommitError> {
    let mut rows = Vec::new();
    for &writers in &plan.writers {
        let dir = plan.dir.join(format!("stormproof-bench-{}-{writers}", std::process::id()));
        let row = measure_row(plan, &dir, writers);
        let removed = fs::remove_dir_all(&dir).map_err(|source| CommitError::Io { path: dir, source });
        let row = row?;
        removed?;
        said(&row);
        rows.push(row);
    }
    Ok(rows)
}

fn measure_row(plan: &Plan, dir: &Path, writers: usize) -> Result<Row, CommitError> {
    let vectors: Vec<Vec<f32>> = uniform(VECTORS * DIM, 1).chunks_exact(DIM).map(<[f32]>::to_vec).collect();
    let mut base = Baseline::new(&dir.join("baseline"))?;
    let mut sums = Sums::new();
    let batches = Arc::new(Mutex::new(Vec::new()));
    let every = Tick(u64::try_from(plan.health.as_nanos()).unwrap_or(u64::MAX));
    let health = HealthConfig { every, ..HealthConfig::default() };
    let compaction = MergeRules { run_min: plan.merge_run_min, ..Config::default().compaction };
    let config = Config { health, compaction, log_format: plan.log_format, ..Config::default() };
    let node = driver::open(&Engine, &config, &dir.join("engine"), options(Arc::clone(&batches)))?;
    let mut writing = Writing { client: node.client(), vectors: &vectors, batches: &batches, next: 1 };
    // The first turn is not counted: it grows what has to grow, and shows how long a transaction is.
    let first = writing.turn(writers, plan.turn / 4)?;
    let bytes = log_bytes(&dir.join("engine/node"))? / first.batches.iter().sum::<u64>().max(1);
    base.turn(&first.batches, bytes)?;
    for _ in 0..plan.turns {
        let turn = writing.turn(writers, plan.turn)?;
        let (took, latency) = base.turn(&turn.batches, bytes)?;
        sums.add(&turn, took, &latency);
    }
    node.stop();
    Ok(sums.row(writers, bytes))
}

pub(crate) fn options(batches: Arc<Mutex<Vec<u64>>>) -> driver::Options {
    let observer = move |note: &Note<'_>| {
        if let Note::Said { name: "commit.batch", values: [_, (_, transactions)] } = note {
            batches.lock().unwrap_or_else(PoisonError::into_inner).push(*transactions);
        }
    };
    let job_command = driver::JobCommand::ThisProgram;
    driver::Options { observer: Some(Arc::new(observer)), job_command, ..driver::Options::default() }
}

/// What the writers share.
pub(crate) struct Writing<'a> {
    pub(crate) client: Client<MemoryNode>,
    pub(crate) vectors: &'a [Vec<f32>],
    pub(crate) batches: &'a Mutex<Vec<u64>>,
    /// The id of the next record.
    pub(crate) next: u64,
}

impl Writing<'_> {
    /// Has writers commit at once for a while.
    pub(crate) fn turn(&mut self, writers: usize, how_long: Duration) -> Result<Turn, CommitError> {
        self.batches.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let begun = Instant::now();
        let first = self.next;
        let this = &*self;
        let latencies = thread::scope(|scope| {
            let writing: Vec<_> = (0..writers as u64)
                .map(|writer| {
                    let ids = (first + writer..).step_by(writers);
                    scope.spawn(move || this.write(ids, begun + how_long))
                })
                .collect();
            let ended = writing.into_iter().map(|writer| writer.join().expect("a writer does not panic"));
            ended.collect::<Result<Vec<_>, CommitError>>()
        })?;
        let took = begun.elapsed();
        let mut latency = histogram();
        let mut most = 0;
        for one in latencies {
            most = most.max(one.len());
            latency += one;
        }
        self.next += most * writers as u64;
        let batches = std::mem::take(&mut *self.batches.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(Turn { batches, took, latency })
    }

    /// Commits one record after another, at least one: on a busy machine a turn may be over before a writer gets to run.
    fn write(&self, ids: impl Iterator<Item = u64>, until: Instant) -> Result<Histogram<u64>, CommitError> {
        let mut latency = histogram();
        for id in ids {
            let op = self.insert(id);
            let asked = Instant::now();
            if asked >= until && !latency.is_empty() {
                break;
            }
            match self.client.call(op)? {
                Reply::Committed { .. } => latency.saturating_record(asked.elapsed().as_nanos() as u64),
                other => return Err(CommitError::NotCommitted(Box::new(other))),
            }
        }
        Ok(latency)
    }

    fn insert(&self, id: u64) -> Op {
        let vector = self.vectors[(id % VECTORS as u64) as usize].clone();
        let inserts = vec![Draft::new(RecordId(id), vector)];
        Op::Commit(Transaction { inserts, ..Transaction::new(RetryId(id.into())) })
    }
}

/// One thread that writes and syncs.
struct Baseline {
    path: PathBuf,
    disk: RealDisk,
    bytes: Vec<u8>,
}

impl Baseline {
    fn new(dir: &Path) -> Result<Self, CommitError> {
        fs::create_dir_all(dir).map_err(|source| CommitError::Io { path: dir.to_owned(), source })?;
        Ok(Baseline { path: dir.join("log"), disk: RealDisk::open(dir)?, bytes: Vec::new() })
    }

    /// Writes and syncs as many bytes as these batches take in the log.
    fn turn(&mut self, batches: &[u64], bytes: u64) -> Result<(Duration, Histogram<u64>), CommitError> {
        let failed = |source| CommitError::Io { path: self.path.clone(), source };
        let most = batches.iter().max().copied().unwrap_or(0) * bytes;
        if (self.bytes.len() as u64) < most {
            self.bytes = (0..most).map(|n| (n % 251) as u8).collect();
        }
        let file = self.preallocated(batches.iter().sum::<u64>() * bytes)?;
        let mut latency = histogram();
        let (mut end, begun) = (0, Instant::now());
        for batch in batches {
            let len = batch * bytes;
            let asked = Instant::now();
            file.write_all_at(&self.bytes[..len as usize], end).and_then(|()| file.sync_data()).map_err(failed)?;
            latency.saturating_record(asked.elapsed().as_nanos() as u64);
            end += len;
        }
        Ok((begun.elapsed(), latency))
    }

    /// A new file with space for all, durable as such: what the engine's log has as well.
    fn preallocated(&self, len: u64) -> Result<File, CommitError> {
        let file = self.disk.open("log", Open::Truncate)?;
        file.allocate(len)?;
        file.sync()?;
        self.disk.sync_dir("")?;
        File::options()
            .write(true)
            .open(&self.path)
            .map_err(|source| CommitError::Io { path: self.path.clone(), source })
    }
}

/// All turns together.
struct Sums {
    commits: u64,
    batches: u64,
    took: Duration,
    baseline_took: Duration,
    latency: Histogram<u64>,
    baseline_latency: Histogram<u64>,
    ratio_range: (f64, f64),
}

impl Sums {
    fn new() -> Self {
        Sums {
            commits: 0,
            batches: 0,
            took: Duration::ZERO,
            baseline_took: Duration::ZERO,
            latency: histogram(),
            baseline_latency: histogram(),
            ratio_range: (f64::INFINITY, 0.0),
        }
    }

    fn add(&mut self, turn: &Turn, baseline_took: Duration, baseline_latency: &Histogram<u64>) {
        self.commits += turn.latency.len();
        self.batches += turn.batches.len() as u64;
        self.took += turn.took;
        self.baseline_took += baseline_took;
        self.latency += &turn.latency;
        self.baseline_latency += baseline_latency;
        let ratio = baseline_took.as_secs_f64() / turn.took.as_secs_f64();
        self.ratio_range = (self.ratio_range.0.min(ratio), self.ratio_range.1.max(ratio));
    }

    fn row(&self, writers: usize, bytes: u64) -> Row {
        let at = |histogram: &Histogram<u64>, quantile| histogram.value_at_quantile(quantile) as f64 / 1000.0;
        let (took, baseline_took) = (self.took.as_secs_f64(), self.baseline_took.as_secs_f64());
        Row {
            writers,
            commits: self.commits,
            batch: self.commits as f64 / self.batches.max(1) as f64,
            bytes,
            per_second: self.commits as f64 / took,
            p50_us: at(&self.latency, 0.50),
            p99_us: at(&self.latency, 0.99),
            baseline_per_second: self.commits as f64 / baseline_took,
            baseline_p50_us: at(&self.baseline_latency, 0.50),
            baseline_p99_us: at(&self.baseline_latency, 0.99),
            ratio: baseline_took / took,
            ratio_range: self.ratio_range,
        }
    }
}

pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_max(LATENCY_NS_MAX, 3).expect("the bounds of a histogram are constants")
}

/// Bytes that the log of a node holds, without the space reserved behind them.
fn log_bytes(node: &Path) -> Result<u64, CommitError> {
    let failed = |source| CommitError::Io { path: node.to_owned(), source };
    let mut sum = 0;
    for entry in fs::read_dir(node).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_name().to_string_lossy().starts_with("log.") {
            let bytes = fs::read(entry.path()).map_err(failed)?;
            sum += bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1);
        }
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_commit_is_in_a_batch_and_the_baseline_repeats_the_batches() {
        let dir = tempfile::tempdir().expect("a directory");
        let plan = Plan {
            dir: dir.path().into(),
            writers: vec![1, 3],
            turns: 2,
            turn: Duration::from_millis(40),
            health: Duration::ZERO,
            log_format: LogFormat::Binary,
            merge_run_min: 4,
        };
        let mut said = 0;
        let rows = measure(&plan, |_| said += 1).expect("measured");
        assert_eq!((rows.len(), said), (2, 2));
        for row in rows {
            assert!(row.commits > 0 && row.batch >= 1.0 && row.batch <= row.writers as f64, "{row:?}");
            assert!(row.bytes > 4 * DIM as u64 && row.bytes < 8 * DIM as u64, "{row:?}");
            assert!(row.ratio_range.0 <= row.ratio && row.ratio <= row.ratio_range.1, "{row:?}");
        }
        assert_eq!(fs::read_dir(dir.path()).expect("still there").count(), 0, "nothing is left behind");
    }
}
