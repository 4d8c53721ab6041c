//! The open batch: transactions that were accepted since the last commit, and what they make of the state.
//!
//! A transaction is judged against the published state with the open batch on top, so the order in which transactions
//! join is the order they are decided in, and each sees those before it.
//!
//! A refusal can join as well. "No" is an answer that must stay true: a copy of the request may arrive much later, when
//! the record that stood in the way is gone. So a refusal that time could lift is *closed*: its retry id goes into the
//! frame with no writes, and only then is it answered; every later copy is answered from the log. A refusal that
//! nothing can lift is answered at once ([`Obstacle::lasting`](super::admit::Obstacle)).

use std::{collections::BTreeMap, sync::Arc};

use stormproof_contract::{Effects, RequestId};

use super::{bulk::Loaded, op::Reply};
use crate::{
    ids::{Lsn, RecordId, Version},
    protocol::{Digest, ManagerId},
    store::{self, Entry, RetryId, TransactionId},
};

/// See the file's description.
#[derive(Default)]
pub(super) struct OpenBatch {
    pub(super) joined: Vec<Joined>,
    by_retry: BTreeMap<RetryId, usize>,
    touched: BTreeMap<RecordId, Entry>,
    /// How many records more, or less, than published.
    growth: i64,
    weight: usize,
}

/// A transaction of the batch.
pub(super) struct Joined {
    /// The attempts to be answered.
    pub(super) asked: Vec<RequestId>,
    pub(super) retry: RetryId,
    pub(super) fate: Fate,
}

/// What is to become of it if the batch is committed.
pub(super) enum Fate {
    /// It takes effect.
    Commit { transaction: store::Transaction, votes: Vec<(ManagerId, Digest)> },
    /// It takes effect, and what it adds is in a segment. It is the only one of its batch.
    Load { transaction: store::Transaction, loaded: Arc<Loaded> },
    /// It only watched, and what it watched holds. It leaves no trace in the log.
    Watched,
    /// It is refused for good, with this answer.
    Closed { id: TransactionId, answer: Reply },
}

impl Joined {
    /// Answers every attempt, the batch being committed as of `lsn`.
    pub(super) fn answer(&self, lsn: Lsn, out: &mut Effects<Reply>) {
        let answer = match &self.fate {
            Fate::Commit { transaction, .. } => Reply::Committed { lsn, versions: versions(transaction) },
            Fate::Load { loaded, .. } => Reply::Committed { lsn, versions: loaded.versions.clone() },
            Fate::Watched => Reply::Committed { lsn, versions: Vec::new() },
            Fate::Closed { answer, .. } => answer.clone(),
        };
        self.tell(&answer, out);
    }

    /// Tells every attempt the same.
    pub(super) fn tell(&self, answer: &Reply, out: &mut Effects<Reply>) {
        self.asked.iter().for_each(|&attempt| out.reply(attempt, answer.clone()));
    }
}

impl OpenBatch {
    /// Whether anything of it goes into the log.
    pub(super) fn needs_frame(&self) -> bool {
        self.joined.iter().any(|joined| !matches!(joined.fate, Fate::Watched))
    }

    /// What the batch makes of a record, if it touches it.
    pub(super) fn touched(&self, id: RecordId) -> Option<&Entry> {
        self.touched.get(&id)
    }

    /// What it makes of each record that it touches.
    pub(super) fn changes(&self) -> &BTreeMap<RecordId, Entry> {
        &self.touched
    }

    /// What it adds beside its writes, if it is that of a load.
    pub(super) fn loaded(&self) -> Option<&Arc<Loaded>> {
        self.joined.iter().find_map(|joined| match &joined.fate {
            Fate::Load { loaded, .. } => Some(loaded),
            Fate::Commit { .. } | Fate::Watched | Fate::Closed { .. } => None,
        })
    }

    /// What a refusal that it closes is answered.
    pub(super) fn closed_answer(&self, tx: TransactionId) -> Option<Reply> {
        self.joined.iter().find_map(|joined| match &joined.fate {
            Fate::Closed { id, answer } if *id == tx => Some(answer.clone()),
            Fate::Closed { .. } | Fate::Commit { .. } | Fate::Load { .. } | Fate::Watched => None,
        })
    }

    /// How many records there will be, of `published` before.
    pub(super) fn live_after(&self, published: usize) -> u64 {
        (published as u64).saturating_add_signed(self.growth)
    }

    /// What its transactions weigh in the log together.
    pub(super) fn weight(&self) -> usize {
        self.weight
    }

    /// Whether a transaction of this name has joined; then the attempt is answered with it.
    pub(super) fn ask_again(&mut self, retry: RetryId, attempt: RequestId) -> bool {
        let Some(&at) = self.by_retry.get(&retry) else { return false };
        self.joined[at].asked.push(attempt);
        true
    }

    /// Adds a transaction. `live_before` says whether a record was live without the batch.
    pub(super) fn join(&mut self, joined: Joined, live_before: impl Fn(RecordId) -> bool) {
        if let Fate::Commit { transaction, .. } = &joined.fate {
            self.weight += transaction.weight();
            for write in &transaction.writes {
                let entry = Entry::from(write);
                let is_live = entry.record().is_some();
                let was_live = match self.touched.insert(write.id(), entry) {
                    Some(former) => former.record().is_some(),
                    None => live_before(write.id()),
                };
                self.growth += i64::from(is_live) - i64::from(was_live);
            }
        }
        self.by_retry.insert(joined.retry, self.joined.len());
        self.joined.push(joined);
    }

    /// The managers' votes, in order.
    pub(super) fn votes(&self) -> Vec<(ManagerId, TransactionId, Digest)> {
        let of = |joined: &Joined| match &joined.fate {
            Fate::Commit { transaction, votes } => {
                votes.iter().map(|&(manager, digest)| (manager, transaction.id, digest)).collect()
            }
            Fate::Load { .. } | Fate::Watched | Fate::Closed { .. } => Vec::new(),
        };
        self.joined.iter().flat_map(of).collect()
    }

    /// What the log is to hold of it: all that take effect, and the names of those that never will.
    pub(super) fn transactions(&self) -> Vec<store::Transaction> {
        let logged = |joined: &Joined| match &joined.fate {
            Fate::Commit { transaction, .. } | Fate::Load { transaction, .. } => Some(transaction.clone()),
            Fate::Watched => None,
            Fate::Closed { id, .. } => Some(closed(*id, joined.retry)),
        };
        self.joined.iter().filter_map(logged).collect()
    }
}

/// A refusal as the log holds it: a transaction that nobody voted on and that changes nothing.
fn closed(id: TransactionId, retry: RetryId) -> store::Transaction {
    store::Transaction { id, retry: Some(retry), votes: Vec::new(), writes: Vec::new(), loaded: None, rebuilding: None }
}

/// The version that each write made.
fn versions(transaction: &store::Transaction) -> Vec<(RecordId, Version)> {
    transaction.writes.iter().map(|write| (write.id(), write.version())).collect()
}
