//! What a node knows, for invariants: everything, as of now, without touching the disk.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    consolidate::{ConsolidationRules, Proposal},
    decided::Decision,
    node::MemoryNode,
    view::View,
};
use crate::{
    ids::{Lsn, RecordId, Version},
    protocol::{Participant, Verdict, breaker},
    store::{Entry, Memtable, Record, RetryId, StoreResult, TransactionId},
    vector::Shape,
};

/// What a node knows.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Facts {
    /// The last frame that counts.
    pub lsn: Lsn,
    /// The last frame that changed a record.
    pub changed: Lsn,
    /// What vectors are.
    pub shape: Shape,
    /// The segments that count.
    pub segments: Vec<String>,
    /// Records that are gone are forgotten up to this version.
    pub version_floor: Version,
    /// The live records, by id.
    pub records: Vec<Arc<Record>>,
    /// The records that are gone, with the version of their absence. Up to
    /// [`version_floor`](Self::version_floor) some of them are, and some are forgotten.
    pub deleted: Vec<(RecordId, Version)>,
    /// The live records that the exact index knows, by id.
    pub rows: Vec<IndexRow>,
    /// The live records that were written since the last flush.
    pub recent: Vec<RecordId>,
    /// What of the segments could not be believed when it was read to be shown: in words. If there is any,
    /// [`records`](Self::records) lacks what stands there, or has an older writing of it.
    pub unread: Vec<Box<str>>,
    /// What was decided, in that order.
    pub decisions: Vec<(RetryId, Decision)>,
    /// Bulk transactions that are staged, in order.
    pub staged: Vec<RetryId>,
    /// Writes that are held, in order.
    pub held: Vec<RetryId>,
    /// Whether the breaker lets writes be tried.
    pub breaker: BreakerFacts,
    /// Transactions that wait for their managers.
    pub waiting: Vec<(RetryId, TransactionId)>,
    /// What a pass of consolidation has proposed, and is decided when the node settles next.
    pub proposed: Option<Proposal>,
    /// How often each record was active in this life.
    pub activations: Vec<(RecordId, u64)>,
    /// By which rules memory is consolidated.
    pub rules: ConsolidationRules,
    /// The archive.
    pub archive: ArchiveFacts,
    /// Verdicts that are still owed.
    pub owed: Vec<Owed>,
    /// The foreign managers.
    pub managers: Vec<ManagerFacts>,
    /// The last frame that the index on disk holds. Behind [`lsn`](Self::lsn), the files are stale.
    pub l1_upto: Lsn,
    /// Whether it has asked to be stopped.
    pub halted: bool,
}

/// What a node knows of its archive.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ArchiveFacts {
    /// The generation that is served.
    pub generation: Option<u64>,
    /// The generation that the manifest names.
    pub named: Option<u64>,
    /// Whether that could not be read at boot, and so is not served.
    pub unread: bool,
    /// The frame as of which the one that is served was built.
    pub built: Lsn,
    /// Its records, by id.
    pub records: Vec<(RecordId, Version)>,
    /// Whether a rebuild is under way, by what was decided.
    pub marked: bool,
    /// Whether the node is at one that is marked.
    pub rebuilding: bool,
}

/// A record as the exact index knows it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct IndexRow {
    /// The record.
    pub id: RecordId,
    /// Which writing of it.
    pub version: Version,
    /// Its vector, if that is in memory.
    pub vector: Option<Vec<f32>>,
}

/// What a node keeps in memory only so that it can be inspected.
#[derive(Default)]
pub(super) struct Shown {
    flushed: Memtable,
    /// See [`Facts::unread`].
    unread: Vec<Box<str>>,
}

impl Shown {
    /// Adds what a group of a segment holds, as far as it can be believed.
    pub(super) fn add(&mut self, group: StoreResult<Vec<(RecordId, Entry)>>) -> StoreResult<()> {
        match group {
            Ok(entries) => entries.into_iter().for_each(|(id, entry)| drop(self.flushed.put(id, entry))),
            Err(error) if error.is_passing() => return Err(error),
            Err(error) => self.unread.push(error.to_string().into()),
        }
        Ok(())
    }

    /// Adds what was flushed.
    pub(super) fn add_flushed(&mut self, records: &Memtable) {
        records.iter().for_each(|(id, entry)| drop(self.flushed.put(id, entry.clone())));
    }
}

/// In which state the breaker of writes is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerFacts {
    /// Writes are tried.
    Closed {
        /// How many batches have failed in a row.
        failures: u32,
    },
    /// None is.
    Open {
        /// How many batches have to go well before it is closed.
        needed: u32,
    },
    /// It is being tried whether it is over.
    HalfOpen {
        /// How many batches have yet to go well.
        needed: u32,
    },
}

impl BreakerFacts {
    fn of(state: breaker::State, successes_needed: u32) -> Self {
        match state {
            breaker::State::Closed { failures } => BreakerFacts::Closed { failures },
            breaker::State::Open { .. } => BreakerFacts::Open { needed: successes_needed },
            breaker::State::HalfOpen { successes, .. } => {
                BreakerFacts::HalfOpen { needed: successes_needed - successes }
            }
        }
    }
}

/// A verdict that a participant has not taken yet.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Owed {
    /// The manager's name; `None` for the exact index, whose files are to be repaired.
    pub manager: Option<Box<str>>,
    /// In which transaction.
    pub tx: Option<TransactionId>,
    /// How it ended.
    pub verdict: Verdict,
}

/// A foreign manager.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ManagerFacts {
    /// Its name.
    pub name: Box<str>,
    /// The transactions it said yes to and was not told the end of.
    pub in_doubt: Vec<TransactionId>,
    /// The transactions it has finished.
    pub finished: Vec<TransactionId>,
}

impl Facts {
    /// What `node` knows, with all that it has `shown`.
    pub(super) fn of(node: &MemoryNode, shown: &Shown) -> Facts {
        let view = node.views.newest();
        let (mut records, mut deleted) = (Vec::new(), Vec::new());
        let mut all = shown.flushed.clone();
        view.records.iter().for_each(|(id, entry)| drop(all.put(id, entry.clone())));
        for (id, entry) in &all {
            match entry {
                Entry::Live(record) => records.push(Arc::clone(record)),
                Entry::Deleted(version) => deleted.push((id, *version)),
            }
        }
        let row = |(id, version)| {
            let vector = view.index.get(id).map(|row| row.components().collect());
            IndexRow { id, version, vector }
        };
        let mut decisions: Vec<_> = node.decided.iter().map(|(retry, decision)| (retry, decision.clone())).collect();
        decisions.sort_by_key(|(_, decision)| (decision.lsn, decision.place));
        Facts {
            lsn: view.lsn,
            changed: view.changed,
            shape: node.shape,
            segments: view.segments.iter().map(|segment| segment.no().path()).collect(),
            version_floor: view.version_floor,
            records,
            deleted,
            rows: view.index.versions().map(row).collect(),
            recent: view.records.iter().filter_map(|(id, entry)| entry.record().map(|_| id)).collect(),
            unread: shown.unread.clone(),
            decisions,
            staged: node.loads.staged().collect(),
            held: node.writes.held().map(|held| held.retry).collect(),
            breaker: BreakerFacts::of(node.writes.breaker(), node.config.degrade.breaker.successes_needed),
            waiting: node.waiting.list.iter().map(|(&tx, pending)| (pending.retry, tx)).collect(),
            proposed: node.consolidation.proposal(),
            activations: node.consolidation.activations().collect(),
            rules: node.config.consolidation,
            archive: archive(node, &view),
            owed: node.owed.owed().map(|(who, verdict)| owed(node, who, verdict)).collect(),
            managers: managers(node),
            l1_upto: node.l1.upto,
            halted: node.halted,
        }
    }

    /// Whether the exact index on disk is behind.
    pub fn l1_is_stale(&self) -> bool {
        self.l1_upto != self.lsn
    }
}

fn owed(node: &MemoryNode, who: &Participant<TransactionId>, verdict: Verdict) -> Owed {
    match who {
        Participant::L1 => Owed { manager: None, tx: None, verdict },
        Participant::Manager { manager, tx } => {
            Owed { manager: Some(node.managers.name(*manager).into()), tx: Some(*tx), verdict }
        }
    }
}

fn archive(node: &MemoryNode, view: &View) -> ArchiveFacts {
    let served = view.archive.as_ref();
    ArchiveFacts {
        generation: served.map(|archive| archive.name().no.0),
        named: node.manifest.current().archive.map(|base| base.name.no.0),
        unread: node.rebuild.unread,
        built: served.map_or(Lsn(0), |archive| archive.name().built),
        records: served.map(|archive| archive.records().collect()).unwrap_or_default(),
        marked: view.rebuilding,
        rebuilding: node.rebuild.is_marked(),
    }
}

fn managers(node: &MemoryNode) -> Vec<ManagerFacts> {
    let facts = |(name, manager): &(Box<str>, Box<dyn super::manager::DataManager>)| ManagerFacts {
        name: name.clone(),
        in_doubt: manager.in_doubt().into_iter().map(|(tx, _)| tx).collect(),
        finished: manager.finished(),
    };
    node.managers.list.iter().map(facts).collect()
}
