//! What clients ask of a node, and what they are told.
//!
//! # What an answer proves
//! | answer | proves |
//! |---|---|
//! | [`Reply::Committed`] | every effect is durable, and visible to every query that starts from now on |
//! | [`Reply::Conflict`], [`Reply::Refused`] | no effect, now or ever: a copy of the request that arrives later cannot take effect either |
//! | [`Reply::Unavailable`] | no effect so far. A copy that still travels, or a retry, may yet commit |
//! | [`Reply::Queued`] | that it is held in the memory of the node, in the order of arrival. It may yet commit, or be refused, or be lost with the process. Retry to find out |
//! | [`Reply::Staged`] | that it is held in the memory of the node, and is going to be committed as it is. It may be lost with the process. Retry to find out |
//! | [`Reply::Activated`] | that it was heard. It counts at most once for each attempt that was, and a crash may forget it |
//! | [`Reply::Consolidated`] | that the changes it counts are durable |
//! | [`Reply::Rebuilt`] | that the generation is durable, and in force |
//! | any other, to [`Op::Consolidate`] | that the pass did not get to its end. What it had proposed before stands |
//! | none | nothing: it may have committed. Retry under the same [`RetryId`] to find out |
//!
//! A history checker may therefore take `Conflict` and `Refused` for failures, and has to leave `Unavailable`, `Queued`
//! and `Staged` open.
//!
//! Every answer to a query names the LSN it was read at: it shows all commits up to that one, and no other.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use super::consolidate::Pass;
use crate::store::{Link, Lsn, Record, RecordId, RetryId, StoreError, Version};

/// What a client asks.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// Change records, all or none.
    Commit(Transaction),
    /// Read records by id.
    Get {
        /// Which.
        ids: Vec<RecordId>,
    },
    /// How many records there are.
    Count,
    /// Read records in the order of their ids.
    Range {
        /// Those of this id and of greater ones.
        from: RecordId,
        /// How many at most.
        limit: u32,
    },
    /// Follow links, breadth first.
    Walk {
        /// Where to begin.
        from: RecordId,
        /// How many links to follow at most, one after the other.
        hops: u32,
        /// How many records to reach at most.
        limit: u32,
    },
    /// Tell that records were active together, one after the other: see
    /// [`ConsolidationRules`](super::ConsolidationRules). A record that is named again counts once.
    Activate {
        /// Which, in that order: at most [`EPISODE_MAX`](super::EPISODE_MAX).
        ids: Vec<RecordId>,
    },
    /// Do a pass of consolidation, and answer once it is over.
    Consolidate {
        /// Which.
        pass: Pass,
    },
    /// Build the archive anew from all that there is, and answer once the new generation is in force.
    Rebuild,
    /// The records nearest to a vector.
    Search {
        /// The vector.
        vector: Vec<f32>,
        /// How many to find.
        k: u32,
        /// Where to look.
        #[serde(default, skip_serializing_if = "Route::is_auto")]
        route: Route,
        /// How many candidates a search of the archive keeps: more find more, and take longer. 0: as the node is configured.
        #[serde(default, skip_serializing_if = "is_zero")]
        complexity: u32,
    },
}

/// Where a search looks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Route {
    /// Everywhere: in the archive's graph for what is in it, and where there is a generation; all else is compared.
    #[default]
    Auto,
    /// In the exact index only: in what was changed since the archive was built, and what else it has in memory.
    Realtime,
    /// As [`Route::Auto`].
    Archive,
    /// Everywhere, all being compared: what there is on disk is read.
    Exact,
}

impl Route {
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde wants it")]
    fn is_auto(&self) -> bool {
        *self == Route::Auto
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde wants it")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Op {
    /// A search for the `k` nearest, by the usual route.
    pub fn search(vector: Vec<f32>, k: u32) -> Op {
        Op::Search { vector, k, route: Route::Auto, complexity: 0 }
    }

    /// What kind it is, in a word.
    pub fn kind(&self) -> &'static str {
        match self {
            Op::Commit(_) => "commit",
            Op::Get { .. } => "get",
            Op::Count => "count",
            Op::Range { .. } => "range",
            Op::Walk { .. } => "walk",
            Op::Activate { .. } => "activate",
            Op::Consolidate { .. } => "consolidate",
            Op::Rebuild => "rebuild",
            Op::Search { .. } => "search",
        }
    }
}

/// Changes to be made together, if what they rest on still holds.
///
/// A record is named at most once among inserts, upserts and deletes.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transaction {
    /// The client's name for it. A retry has the same, and takes effect at most once.
    pub retry: RetryId,
    /// What the client has read. If one of them is no longer so: conflict.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reads: Vec<Read>,
    /// For decisions that rest on a count or a search: nothing at all may have changed since this LSN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whole: Option<Lsn>,
    /// New records. A record that is there already refuses the transaction.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inserts: Vec<Draft>,
    /// Records to write, whether they are there or not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub upserts: Vec<Draft>,
    /// Records to remove. Removing one that is not there is no error.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deletes: Vec<RecordId>,
    /// Foreign managers that take part, by name. Each is named once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub managers: Vec<Box<str>>,
    /// Whether the records go into a segment of their own, around the log: see [`Reply::Staged`]. Such a transaction only
    /// inserts, up to [`BULK_RECORDS_MAX`](super::BULK_RECORDS_MAX) records of up to [`BULK_BYTES_MAX`](super::BULK_BYTES_MAX) bytes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub bulk: bool,
}

/// What a client has read of a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Read {
    /// The record.
    pub id: RecordId,
    /// The version it had, `None` if there was no such record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
}

/// A record as its client writes it. The node adds the version and the time.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Draft {
    /// Its name.
    pub id: RecordId,
    /// Its embedding.
    pub vector: Vec<f32>,
    /// Its text.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// What else is known of it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
    /// Other records that it points to. They need not exist.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<Link>,
    /// How far it is consolidated: 0 is new.
    #[serde(default)]
    pub kappa: f32,
}

/// What a client is told. See the file's description for what each answer proves.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// The transaction is committed, by this attempt or an earlier one.
    Committed {
        /// Its place in the order of commits. Transactions of one batch share it.
        lsn: Lsn,
        /// The version of each record written or deleted: inserts, upserts, deletes, each in the order given.
        versions: Vec<(RecordId, Version)>,
    },
    /// What the transaction rests on no longer holds.
    Conflict(Conflict),
    /// The transaction, or the query, cannot be done as asked.
    Refused(Refusal),
    /// Not now.
    Unavailable(Unavailable),
    /// Held until the disk takes writes again: it is not durable.
    Queued {
        /// How many were held before it.
        ahead: u64,
    },
    /// The bulk transaction is accepted, and its records cannot be found yet. They are, all at once, when their segment is
    /// durable. An attempt after that is told that it is committed.
    Staged {
        /// How many were staged before it.
        ahead: u64,
    },
    /// It was heard.
    Activated {
        /// How many episodes wait for the next NREM.
        waiting: u64,
    },
    /// The pass is over.
    Consolidated {
        /// How many records it has changed, made or removed.
        changed: u64,
        /// How many it has left as they were, since they, or what they rest on, had changed meanwhile.
        spared: u64,
    },
    /// The records asked for, in the order asked, without those that do not exist; or those of a range, by id.
    Records {
        /// As of.
        at: Lsn,
        /// The records.
        records: Vec<Arc<Record>>,
    },
    /// How many records there are.
    Count {
        /// As of.
        at: Lsn,
        /// How many.
        n: u64,
    },
    /// The live records that links lead to, with how many they are away: fewest first, those equally far by ascending id. The
    /// first is where the walk began, if it is there.
    Reached {
        /// As of.
        at: Lsn,
        /// The records.
        records: Vec<(RecordId, u32)>,
        /// Whether the limit was met before the end, or more than a million records were linked to.
        more: bool,
    },
    /// The archive was built anew.
    Rebuilt {
        /// The generation's number.
        generation: u64,
        /// It has every record that was live as of this frame.
        built: Lsn,
        /// How many.
        records: u64,
    },
    /// The nearest records, nearest first, those equally far by ascending id.
    Hits {
        /// As of.
        at: Lsn,
        /// The records with their distances, which are exact.
        hits: Vec<Hit>,
        /// The archive's generation that was searched by its graph, which may have missed some of the nearest; `None`: all were
        /// compared.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        archive: Option<Searched>,
        /// Whether records may be missing that were not looked at.
        #[serde(default, skip_serializing_if = "Completeness::is_full")]
        completeness: Completeness,
    },
}

/// A generation of the archive that was searched.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Searched {
    /// Its number.
    pub generation: u64,
    /// What was changed after this frame was compared; of what was there before, the graph was asked.
    pub built: Lsn,
}

/// What an answer is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Completeness {
    /// All records.
    #[default]
    Full,
    /// All but those that only the archive has, where it was not to be searched: whatever was changed after this frame is not
    /// among those.
    WithoutArchive {
        /// The frame as of which the archive was built.
        built: Lsn,
    },
}

impl Completeness {
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde wants it")]
    fn is_full(&self) -> bool {
        *self == Completeness::Full
    }
}

/// A record that a search found.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Hit {
    /// How far it is, by the node's metric.
    pub distance: f32,
    /// The record.
    pub record: Arc<Record>,
}

/// What no longer held.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Conflict {
    /// A record has another version than the one read.
    Changed {
        /// Which record.
        id: RecordId,
        /// The version it has now, `None` if there is no such record.
        found: Option<Version>,
    },
    /// Something has changed since the LSN that the transaction rests on.
    ChangedSince {
        /// The last change.
        changed: Lsn,
    },
    /// A transaction that waits for its managers, or is staged, holds a record.
    Held {
        /// Which record.
        id: RecordId,
    },
}

/// Why something cannot be done as asked.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// A record to be inserted is there already.
    Duplicate {
        /// Which.
        id: RecordId,
    },
    /// A record is named twice among the changes.
    NamedTwice {
        /// Which.
        id: RecordId,
    },
    /// A vector that the index cannot hold.
    BadVector {
        /// Whose; `None` for that of a query.
        id: Option<RecordId>,
        /// What is wrong with it.
        why: Box<str>,
    },
    /// A record that the store cannot hold.
    BadRecord {
        /// Which.
        id: RecordId,
        /// What is wrong with it.
        why: Box<str>,
    },
    /// A bulk transaction that cannot be one.
    NotBulk {
        /// Why.
        why: Box<str>,
    },
    /// More than a bound allows.
    TooLarge {
        /// Of what.
        what: Box<str>,
        /// How much there is.
        found: u64,
        /// How much there may be.
        max: u64,
    },
    /// A manager that the node does not have, or that is named twice.
    NoSuchManager {
        /// The name.
        name: Box<str>,
    },
    /// A manager voted no, or not in time.
    Participant {
        /// Which.
        name: Box<str>,
        /// Its reason.
        why: Box<str>,
    },
    /// What the answer rests on is damaged on the disk, in these words. An operator has to mend it.
    Damaged(Box<str>),
    /// An earlier attempt was refused, or was in conflict, before the node was last booted; it does not remember why.
    Earlier,
}

/// Why not now.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unavailable {
    /// The disk is full: nothing was written.
    NoSpace,
    /// The disk failed before anything was decided, in these words.
    Disk(Box<str>),
    /// There are as many records as there may be. Queries go on, and so do deletes.
    ReadOnly,
    /// Too many transactions are waiting for their managers; too much is staged, or what was removed since the last flush is to be
    /// loaded again; or another pass of consolidation, or another rebuild of the archive, is under way, or
    /// cannot begin before segments are merged.
    Busy,
    /// The disk takes no writes at present, and as many are held as the node holds; or the transaction names foreign
    /// managers, or is a bulk load, so that it cannot be held.
    Degraded,
}

impl Transaction {
    /// One that changes nothing yet.
    pub fn new(retry: RetryId) -> Transaction {
        Transaction {
            retry,
            reads: Vec::new(),
            whole: None,
            inserts: Vec::new(),
            upserts: Vec::new(),
            deletes: Vec::new(),
            managers: Vec::new(),
            bulk: false,
        }
    }

    /// About what it weighs in memory, in bytes.
    pub(super) fn weight(&self) -> usize {
        let draft = |draft: &Draft| {
            let attributes: usize = draft.attributes.iter().map(|(name, value)| name.len() + value.len() + 48).sum();
            128 + 4 * draft.vector.len() + draft.text.len() + attributes + Link::BYTES * draft.links.len()
        };
        let drafts: usize = self.inserts.iter().chain(&self.upserts).map(draft).sum();
        256 + drafts + 24 * self.reads.len() + 8 * self.deletes.len()
    }
}

impl Draft {
    /// A record of which nothing is known but its vector.
    pub fn new(id: RecordId, vector: Vec<f32>) -> Draft {
        let (text, attributes, links) = (String::new(), BTreeMap::new(), Vec::new());
        Draft { id, vector, text, attributes, links, kappa: 0.0 }
    }
}

impl Reply {
    /// The answer to a request that needed what could not be read.
    pub(super) fn unread(error: &StoreError) -> Reply {
        let words = error.to_string().into();
        if error.is_passing() {
            Reply::Unavailable(Unavailable::Disk(words))
        } else {
            Reply::Refused(Refusal::Damaged(words))
        }
    }
}
