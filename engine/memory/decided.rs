//! What was decided, by retry id: so that a transaction takes effect once, however often it is asked for.
//!
//! It is as durable as the log, since it is made from it. It grows for as long as the log does.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::op::{Refusal, Reply};
use crate::{
    ids::{Lsn, RecordId, Version},
    store::{self, Digest, RetryId, TransactionId, segment::Decided},
};

/// A transaction that was decided.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Decision {
    /// The frame that decided it.
    pub lsn: Lsn,
    /// Its place among the transactions of that frame.
    pub place: u32,
    /// Its name among the managers.
    pub id: TransactionId,
    /// How it was decided.
    pub outcome: Outcome,
}

/// How a transaction was decided.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It took effect.
    Committed {
        /// The version that each write made.
        versions: Vec<(RecordId, Version)>,
        /// The managers that took part, with their votes.
        managers: Vec<(Box<str>, Digest)>,
    },
    /// It never will, and was answered so.
    Refused(Reply),
}

/// All decisions.
#[derive(Clone, Debug, Default)]
pub(super) struct Decisions {
    by_retry: BTreeMap<RetryId, Decision>,
    /// Transactions with managers, for those that are in doubt.
    by_id: BTreeMap<TransactionId, RetryId>,
}

impl Decisions {
    /// What an attempt at a decided transaction is told.
    pub(super) fn answer(&self, retry: RetryId) -> Option<Reply> {
        self.by_retry.get(&retry).map(Decision::answer)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (RetryId, &Decision)> {
        self.by_retry.iter().map(|(&retry, decision)| (retry, decision))
    }

    /// What a manager voted on a transaction, if the log decided it.
    pub(super) fn vote_of(&self, id: TransactionId, manager: &str) -> Option<Digest> {
        match &self.by_retry.get(self.by_id.get(&id)?)?.outcome {
            Outcome::Committed { managers, .. } => {
                managers.iter().find(|(name, _)| **name == *manager).map(|&(_, digest)| digest)
            }
            Outcome::Refused(_) => None,
        }
    }

    /// Adds a transaction that was decided. `answer` is what a refused one was told, if that is still known.
    pub(super) fn add(&mut self, decided: Decided, answer: Option<Reply>) {
        let Decided { lsn, place, id, retry, votes, versions } = decided;
        let managers: Vec<_> = votes.into_iter().map(|vote| (vote.participant.as_str().into(), vote.digest)).collect();
        if !managers.is_empty() {
            self.by_id.insert(id, retry);
        }
        let outcome = if versions.is_empty() && managers.is_empty() {
            Outcome::Refused(answer.unwrap_or(Reply::Refused(Refusal::Earlier)))
        } else {
            Outcome::Committed { versions, managers }
        };
        self.by_retry.insert(retry, Decision { lsn, place, id, outcome });
    }

    /// What was decided after one frame and up to another, in the order of decision.
    pub(super) fn between(&self, after: Lsn, upto: Lsn) -> Vec<Decided> {
        let mut between: Vec<Decided> = self
            .by_retry
            .iter()
            .filter(|(_, decision)| after < decision.lsn && decision.lsn <= upto)
            .map(|(&retry, decision)| decision.decided(retry))
            .collect();
        between.sort_by_key(|decided| (decided.lsn, decided.place));
        between
    }
}

impl Decision {
    fn decided(&self, retry: RetryId) -> Decided {
        let (votes, versions) = match &self.outcome {
            Outcome::Committed { versions, managers } => (managers.iter().map(vote).collect(), versions.clone()),
            Outcome::Refused(_) => (Vec::new(), Vec::new()),
        };
        Decided { lsn: self.lsn, place: self.place, id: self.id, retry, votes, versions }
    }

    pub(super) fn answer(&self) -> Reply {
        match &self.outcome {
            Outcome::Committed { versions, .. } => Reply::Committed { lsn: self.lsn, versions: versions.clone() },
            Outcome::Refused(answer) => answer.clone(),
        }
    }
}

fn vote((name, digest): &(Box<str>, Digest)) -> store::Vote {
    let participant = store::Participant::new(name).expect("it came from a vote");
    store::Vote { participant, digest: *digest }
}
