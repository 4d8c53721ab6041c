//! Consolidation, as a job: reads segments that do not change, and says which transactions it would have committed.
//!
//! It writes nothing. Each of its words is one transaction, as a client would send it; then it waits to be told to go on, so
//! that no more than one is on its way. Before the first it says an empty word: it has all of its files open, and they
//! may be removed.

use std::{collections::VecDeque, fmt, sync::Arc};

use serde::{Deserialize, Serialize};
use stormproof_contract::{Bytes, Disk, Job, JobError, JobStep, Pool, WallTime};

use super::{
    nrem::Nrem,
    prune::Prune,
    rem::Rem,
    rules::{ConsolidationRules, Trace},
};
use crate::{
    ids::RecordId,
    memory::{config::KernelChoice, op::Transaction},
    store::{
        RetryId, StoreError, StoreResult,
        compact::{Entries, Sources},
    },
    vector::Shape,
};

/// The first byte of a spec: what kind of job it is.
const CONSOLIDATION: u8 = 2;

/// What a job is to do.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Task {
    /// What it reads.
    pub(super) sources: Sources,
    /// By which rules.
    pub(super) rules: ConsolidationRules,
    /// What.
    pub(super) work: Work,
}

/// See [`Pass`](super::Pass).
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(super) enum Work {
    Nrem { episodes: Vec<Vec<RecordId>> },
    Rem { shape: Shape, kernels: KernelChoice },
    Prune { before_ns: u64 },
}

impl Task {
    pub(super) fn spec(&self) -> Vec<u8> {
        let mut out = vec![CONSOLIDATION];
        self.sources.encode(&mut out);
        let rest = serde_json::to_vec(&(&self.rules, &self.work));
        out.extend(rest.expect("lists and numbers: nothing can fail in memory"));
        out
    }

    fn decode(spec: &[u8]) -> Option<Task> {
        let (_, rest) = spec.split_first().filter(|(kind, _)| **kind == CONSOLIDATION)?;
        let (sources, rest) = Sources::decode(rest)?;
        let (rules, work) = serde_json::from_slice(rest).ok()?;
        Some(Task { sources, rules, work })
    }
}

/// How a pass went on.
pub(super) enum Went {
    /// There is more to do.
    On,
    /// And this would be committed.
    Say(Transaction),
    /// That was all.
    Done,
}

/// A transaction that has nothing in it yet. The node names it.
pub(super) fn nothing() -> Transaction {
    Transaction::new(RetryId(0))
}

/// Consolidation on its way.
pub(in crate::memory) struct ConsolidateJob {
    at: At,
}

enum At {
    Begin(Task),
    Working { entries: Entries, worker: Worker, waits: bool },
    Ended,
}

enum Worker {
    Nrem(Nrem),
    Rem(Rem),
    Prune(Prune),
}

impl Worker {
    fn of(rules: ConsolidationRules, work: Work) -> Worker {
        match work {
            Work::Nrem { episodes } => {
                let mut traces = std::collections::BTreeMap::<RecordId, Trace>::new();
                for episode in &episodes {
                    for (at, id) in episode.iter().enumerate() {
                        traces.entry(*id).or_default().add(episode, at, &rules);
                    }
                }
                Worker::Nrem(Nrem::new(rules, traces))
            }
            Work::Rem { shape, kernels } => Worker::Rem(Rem::new(rules, shape, kernels.kernels())),
            Work::Prune { before_ns } => Worker::Prune(Prune::new(rules, WallTime(before_ns))),
        }
    }

    fn go_on(&mut self, entries: &mut Entries, units: u32) -> StoreResult<Went> {
        match self {
            Worker::Nrem(nrem) => nrem.go_on(entries, units),
            Worker::Rem(rem) => rem.go_on(entries, units),
            Worker::Prune(prune) => prune.go_on(entries, units),
        }
    }
}

impl ConsolidateJob {
    /// The job of a spec.
    pub(in crate::memory) fn revive(spec: &[u8]) -> Option<ConsolidateJob> {
        Task::decode(spec).map(|task| ConsolidateJob { at: At::Begin(task) })
    }

    fn go_on(&mut self, heard: &mut VecDeque<Bytes>, disk: &Arc<dyn Disk>, units: u32) -> StoreResult<JobStep> {
        match std::mem::replace(&mut self.at, At::Ended) {
            At::Begin(task) => {
                let entries = Entries::open(&**disk, &task.sources)?;
                self.at = At::Working { entries, worker: Worker::of(task.rules, task.work), waits: false };
                Ok(JobStep::Say(Bytes::default()))
            }
            At::Working { entries, worker, waits: true } if heard.pop_front().is_none() => {
                self.at = At::Working { entries, worker, waits: true };
                Ok(JobStep::Waiting)
            }
            At::Working { mut entries, mut worker, .. } => {
                let (step, waits) = match worker.go_on(&mut entries, units)? {
                    Went::On => (JobStep::More, false),
                    Went::Say(transaction) => {
                        let word = serde_json::to_vec(&transaction).expect("a transaction has a written form");
                        (JobStep::Say(word.into()), true)
                    }
                    Went::Done => return Ok(JobStep::Done(Bytes::default())),
                };
                self.at = At::Working { entries, worker, waits };
                Ok(step)
            }
            At::Ended => panic!("a job is not stepped after its end"),
        }
    }
}

impl Job for ConsolidateJob {
    /// A unit is a record.
    fn step(
        &mut self,
        heard: &mut VecDeque<Bytes>,
        disk: &Arc<dyn Disk>,
        _: &dyn Pool,
        units: u32,
    ) -> Result<JobStep, JobError> {
        match self.go_on(heard, disk, units) {
            Ok(step) => Ok(step),
            Err(StoreError::Disk(error)) => Err(error.into()),
            // Trying again will not help: the last word says where to look.
            Err(error) => Ok(JobStep::Done(error.to_string().as_bytes().into())),
        }
    }
}

impl fmt::Debug for ConsolidateJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConsolidateJob").finish_non_exhaustive()
    }
}
