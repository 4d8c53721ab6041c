//! The engine under measurement. This is the only file of the benchmark that knows what its requests and answers are called.
//!
//! All goes through the public client: what is measured is what a caller of the engine gets.
//! A search goes by the usual route: what the archive has is found by its graph, and whatever else there is is compared.
#![allow(clippy::disallowed_methods, reason = "a loader waits a little before it asks after what it has staged")]

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use stormproof_engine::{
    driver::{self, CallError, Client, JobCommand, Note, OpenError, Options, Running, Stop},
    memory::{
        ArchiveRules, Config, Draft, Engine, GraphRules, MemoryNode, Op, RecordId, Reply, RetryId, Route, RowFormat,
        Transaction, Unavailable,
    },
};

/// After what time a bulk load is asked after again.
const ASK_AFTER: Duration = Duration::from_millis(5);
/// The most records of a part of a bulk load, and the most bytes, about.
const PART_RECORDS: usize = 8192;
const PART_BYTES: usize = 48 << 20;
/// How long a rebuild waits until the engine has done what it has to do before one.
const REBUILD_WAITS: Duration = Duration::from_mins(2);

/// Search list sizes that are tried if none are given.
pub(super) const COMPLEXITIES: &[u32] = &[32, 48, 64, 100, 150, 200, 300, 400];

/// The steps of a build, as the engine numbers them from 1.
const STEPS: [&str; 5] = ["copying vectors", "making codes", "linking", "asking", "writing"];
/// What comes before the first of them, and after the last.
const BEFORE: &str = "getting ready";
const BEHIND: &str = "reading back and swapping";

/// What can be set of an engine that is measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Settings {
    /// Components of a vector.
    pub dim: usize,
    /// Whether long work is done in processes of its own, as it should be; within a test there is no program to start.
    pub jobs_in_processes: bool,
    /// The rest.
    pub tuning: Tuning,
}

/// What of it can be chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Tuning {
    /// Mebibytes of vectors of what was flushed that the exact index keeps in memory.
    pub index_mib: u64,
    /// How many records each one of the archive leads to.
    pub graph_degree: u32,
    /// How many candidates are looked at for them.
    pub graph_complexity: u32,
    /// How its vectors are written.
    pub row_format: RowFormat,
    /// The most mebibytes of memory that a generation may take while it is searched.
    pub search_memory_mib: u64,
    /// The most mebibytes of memory that building one may take.
    pub build_memory_mib: u64,
}

impl Default for Tuning {
    /// As the engine has it.
    fn default() -> Tuning {
        let (config, graph) = (Config::default(), GraphRules::default());
        Tuning {
            index_mib: config.l1_bytes >> 20,
            graph_degree: graph.degree,
            graph_complexity: graph.complexity,
            row_format: RowFormat::default(),
            search_memory_mib: config.archive.search_memory_maximum >> 20,
            build_memory_mib: config.archive.build_memory_maximum >> 20,
        }
    }
}

/// Why the engine did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// It did not start.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It has stopped.
    #[error(transparent)]
    Call(#[from] CallError),
    /// It answered something else than was asked for.
    #[error("the engine answered {0:?}")]
    Answered(Box<Reply>),
    /// It did not stop because it was told to.
    #[error("the engine stopped: {0}")]
    Stopped(Box<str>),
}

/// What a rebuild came to.
#[derive(Clone, Debug)]
pub(super) enum Rebuild {
    /// The new generation answers.
    Done {
        /// Its parts, with the seconds that each took, as far as the engine tells.
        phases: Vec<(String, f64)>,
    },
    /// There is none: the engine's answer.
    Refused(String),
}

/// An open engine.
pub(super) struct Target {
    node: Running<MemoryNode>,
    steps: Steps,
}

/// The steps of a build, each with when it began.
type Steps = Arc<Mutex<Vec<(&'static str, Instant)>>>;

impl Target {
    /// Opens the store in a directory, or makes one.
    pub(super) fn open(dir: &Path, settings: &Settings) -> Result<Target, TargetError> {
        let Tuning { index_mib, graph_degree, graph_complexity, row_format, search_memory_mib, build_memory_mib } =
            settings.tuning;
        let mut config = Config { dim: settings.dim, l1_bytes: index_mib << 20, ..Config::default() };
        config.archive = ArchiveRules {
            graph: GraphRules { degree: graph_degree, complexity: graph_complexity, ..GraphRules::default() },
            rows: row_format,
            search_memory_maximum: search_memory_mib << 20,
            build_memory_maximum: build_memory_mib << 20,
            ..config.archive
        };
        let steps = Steps::default();
        let job_command = if settings.jobs_in_processes { JobCommand::ThisProgram } else { JobCommand::InThreads };
        let options = Options { job_command, observer: Some(watch(Arc::clone(&steps))), ..Options::default() };
        let node = driver::open(&Engine, &config, dir, options)?;
        Ok(Target { node, steps })
    }

    /// What asks it. Each thread has one of its own.
    pub(super) fn asker(&self) -> Asker {
        Asker { client: self.node.client(), steps: Arc::clone(&self.steps) }
    }

    /// Stops it.
    pub(super) fn close(self) -> Result<(), TargetError> {
        match self.node.stop() {
            Stop::Asked => Ok(()),
            Stop::Halted { reason } => Err(TargetError::Stopped(reason)),
            Stop::Panicked { message } => Err(TargetError::Stopped(message)),
        }
    }
}

/// Notes when each step of a build begins.
fn watch(steps: Steps) -> driver::Observer {
    Arc::new(move |note: &Note<'_>| {
        let Note::Said { name, values } = note else { return };
        let step = match *name {
            "archive.progress" => {
                let nth = values.iter().find(|(name, _)| *name == "step").map_or(0, |(_, step)| *step);
                STEPS.get((nth as usize).wrapping_sub(1)).copied()
            }
            "archive.built" => Some(BEHIND),
            _ => None,
        };
        let Some(step) = step else { return };
        let mut steps = steps.lock().unwrap_or_else(PoisonError::into_inner);
        if steps.last().is_none_or(|(last, _)| *last != step) {
            steps.push((step, Instant::now()));
        }
    })
}

/// What a search found.
pub(super) struct Found {
    /// The ids of the nearest records, nearest first.
    pub(super) ids: Vec<u64>,
    /// Whether the archive's graph was searched; otherwise all records were compared.
    pub(super) by_archive: bool,
}

/// Asks an open engine.
#[derive(Clone)]
pub(super) struct Asker {
    client: Client<MemoryNode>,
    steps: Steps,
}

impl Asker {
    /// How many vectors of so many components go into one call of [`Asker::load`], at most.
    pub(super) fn part_rows(dim: usize) -> usize {
        (PART_BYTES / (64 + 4 * dim)).clamp(1, PART_RECORDS)
    }

    /// Loads vectors in bulk, the first under the id `first`, and waits until they are durable and can be found.
    pub(super) fn load(&self, first: u64, dim: usize, rows: &[f32]) -> Result<(), TargetError> {
        let inserts: Vec<Draft> =
            (first..).zip(rows.chunks_exact(dim)).map(|(id, row)| Draft::new(RecordId(id), row.to_vec())).collect();
        // Each part is loaded once, so its first id names it.
        let retry = RetryId(u128::from(first));
        let part = Transaction { inserts, bulk: true, ..Transaction::new(retry) };
        loop {
            match self.client.call(Op::Commit(part.clone()))? {
                Reply::Unavailable(Unavailable::Busy) => thread::sleep(ASK_AFTER),
                Reply::Staged { .. } => break,
                Reply::Committed { .. } => return Ok(()),
                other => return Err(TargetError::Answered(Box::new(other))),
            }
        }
        loop {
            thread::sleep(ASK_AFTER);
            // Its name is enough to ask after it.
            match self.client.call(Op::Commit(Transaction { bulk: true, ..Transaction::new(retry) }))? {
                Reply::Staged { .. } => {}
                Reply::Committed { .. } => return Ok(()),
                other => return Err(TargetError::Answered(Box::new(other))),
            }
        }
    }

    /// Rebuilds the archive of all records, and waits until the new generation answers.
    pub(super) fn rebuild(&self) -> Result<Rebuild, TargetError> {
        let steps = || self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        *steps() = vec![(BEFORE, Instant::now())];
        let begun = Instant::now();
        loop {
            match self.client.call(Op::Rebuild)? {
                Reply::Rebuilt { .. } => break,
                Reply::Unavailable(Unavailable::Busy) if begun.elapsed() < REBUILD_WAITS => {
                    thread::sleep(Duration::from_millis(20));
                }
                other @ (Reply::Unavailable(_) | Reply::Refused(_)) => {
                    return Ok(Rebuild::Refused(format!("the engine answered {other:?}")));
                }
                other => return Err(TargetError::Answered(Box::new(other))),
            }
        }
        let (steps, end) = (std::mem::take(&mut *steps()), Instant::now());
        let ends = steps.iter().skip(1).map(|(_, at)| *at).chain([end]);
        let took = |((name, from), to): (&(&str, Instant), Instant)| ((*name).to_owned(), (to - *from).as_secs_f64());
        Ok(Rebuild::Done { phases: steps.iter().zip(ends).map(took).collect() })
    }

    /// Searches for the `k` records nearest to a vector.
    pub(super) fn search(&self, vector: &[f32], k: u32, complexity: u32) -> Result<Found, TargetError> {
        let op = Op::Search { vector: vector.to_vec(), k, route: Route::Auto, complexity };
        match self.client.call(op)? {
            Reply::Hits { hits, archive, .. } => {
                let ids = hits.iter().map(|hit| hit.record.id.0).collect();
                Ok(Found { ids, by_archive: archive.is_some() })
            }
            other => Err(TargetError::Answered(Box::new(other))),
        }
    }

    /// How many records there are.
    pub(super) fn count(&self) -> Result<u64, TargetError> {
        match self.client.call(Op::Count)? {
            Reply::Count { n, .. } => Ok(n),
            other => Err(TargetError::Answered(Box::new(other))),
        }
    }
}
