//! One node of the engine: transactions over records, across the ground truth (L3) and the exact index (L1).
//!
//! | file | what |
//! |---|---|
//! | `op` | what clients ask and are told, and what each answer proves |
//! | `config`, `engine` | what a node is told at boot; the engine as a system on trial |
//! | `node` | what arrives, and in what order things are done |
//! | `admit` | whether a transaction can be accepted, and what it writes |
//! | `batch`, `decided` | the open batch; what was decided, by retry id |
//! | `commit`, `waiting`, `maintain` | perform `protocol`'s `commit`, `prepare` and `redrive` |
//! | `view`, `query` | the published state, and queries on it |
//! | `cache` | keys of segments that were read |
//! | `fallback` | records at hand, for while the disk cannot be read |
//! | `away` | rows of the index that are not in memory |
//! | `fetch`, `range`, `walk` | how queries read segments: records by id, in order, along links |
//! | `flush`, `compact` | making a segment of what was written since the last one; one of several |
//! | `bulk` | many new records at a time, in a segment of their own |
//! | `consolidate` | what memory makes of itself: kappa, weights of links, prototypes, pruning |
//! | `health` | what is looked at every while |
//! | `held` | writes that are held while the disk cannot take them |
//! | `l1`, `load` | the files of the exact index: writing them, reading them back |
//! | `recover` | opening a node on whatever its disk holds |
//! | `manager`, `ledger` | what a foreign manager is; the simplest one |
//! | [`verify`], [`repair`] | whether what lies in a node's directory can be believed; making a store again of what can |
//! | `facts`, [`audit`] | what a node knows, for invariants; what must be true of it |
//!
//! # Notes
//! A node tells its observer: `commit.batch` {lsn, n}, `conflict`, `retry.deduplicated`, `l1.stale` {upto},
//! `l1.repaired`, `l1.rebuilt` {lsn}, `l1.merged` {lsn}, `flush` {lsn, records}, `flush.failed`,
//! `breaker` {state: 0 closed, 1 open, 2 half open}, `degraded`, `degraded.over`, `reads.refused`, `reads.allowed`, `reads.from_memory` {n}, `write.queued` {ahead}, `write.turned_away`, `write.drained` {n},
//! `health.missed` {check}, `health.alert` {check}, `health.clear` {check}, `health.damaged` {segment, group},
//! `bulk.staged` {records, ahead}, `bulk.added` {lsn, records}, `bulk.failed`,
//! `compacted` {segments, entries}, `compaction.failed` {damaged},
//! `swap.marked` {lsn}, `archive.progress` {step: 1 copying, 2 coding, 3 linking, 4 asking, 5 writing; done, of}, `archive.built` {records, recall of 10,000}, `archive.published` {generation, records}, `swap.cleared` {lsn},
//! `archive.failed`, `archive.poor` {recall}, `archive.damaged` {generation}, `archive.unread` {generation}, `archive.unknown_format` {generation}, `archive.too_large`, `archive.served` {generation, records} (by a boot), `archive.abandoned`,
//! `consolidate.begun` {pass}, `consolidated` {pass, changed, spared}, `consolidate.failed` {pass} (0 NREM, 1 REM, 2 PRUNE),
//! `log.tail_truncated` {lsn}, `recover.redone` {n},
//! `participant.refused` {manager}, `participant.timed_out` {manager}, `participant.redriven`.

mod admit;
mod archive;
pub mod audit;
mod away;
mod batch;
mod bulk;
mod cache;
mod commit;
mod compact;
mod config;
mod consolidate;
mod decided;
mod engine;
mod facts;
mod fallback;
mod fetch;
mod flush;
mod health;
mod held;
mod l1;
mod ledger;
mod load;
mod maintain;
mod manager;
mod node;
mod op;
mod query;
mod range;
mod recover;
pub mod repair;
pub mod verify;
mod view;
mod waiting;
mod walk;

#[cfg(test)]
mod tests;

pub use archive::ArchiveRules;
pub use bulk::{BULK_BYTES_MAX, BULK_RECORDS_MAX};
pub use config::{Config, ConfigError, KernelChoice, L1Persist, LogFormat, MakeManager, Managers};
pub(crate) use consolidate::EPISODES_MAX;
pub use consolidate::{
    ConsolidationRules, EPISODE_MAX, Pass, Proposal,
    rules::{PINNED, PROTOTYPE, PROTOTYPES_FROM},
};
pub use decided::{Decision, Outcome};
pub use engine::Engine;
pub use facts::{ArchiveFacts, BreakerFacts, Facts, IndexRow, ManagerFacts, Owed};
pub use ledger::{Ledger, LedgerConfig};
pub use manager::{DataManager, ManagerError, Vote};
pub use node::MemoryNode;
pub use op::{Completeness, Conflict, Draft, Hit, Op, Read, Refusal, Reply, Route, Searched, Transaction, Unavailable};

pub use crate::{
    ids::{Lsn, RecordId, Version},
    protocol::{breaker, degrade, health::Config as HealthConfig},
    store::{Link, Record, RetryId, TransactionId, archive::RowFormat, compact::MergeRules},
    vector::{Metric, graph::GraphRules},
};
