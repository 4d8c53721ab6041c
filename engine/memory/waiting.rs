//! Transactions that wait for the votes of foreign managers, outside any batch.
//!
//! Each holds its records while it waits: whoever else wants to change them, or rests on them, is in conflict. So what
//! was true when it was accepted is still true when it joins a batch, save for a claim on the whole state, which is
//! judged again.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use stormproof_contract::{Disk, DiskResult, RequestId, Tick};

use super::{
    admit,
    manager::{DataManager, ManagerError, Vote},
    op::Transaction,
};
use crate::{
    ids::RecordId,
    protocol::{
        Digest, ManagerId,
        prepare::{Input, Output, Prepare, Refusal},
    },
    store::{RetryId, TransactionId},
};

/// The points of gathering votes.
pub(super) const POINTS: [&str; 2] = ["commit.prepare.begun", "commit.prepare.voted"];

/// The managers of a node, in the order of its configuration.
pub(super) struct ManagerSet {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) list: Vec<(Box<str>, Box<dyn DataManager>)>,
}

/// The transactions that wait.
#[derive(Default)]
pub(super) struct Waiting {
    pub(super) list: BTreeMap<TransactionId, Pending>,
    held: BTreeSet<RecordId>,
}

/// A transaction that waits.
pub(super) struct Pending {
    pub(super) asked: Vec<RequestId>,
    pub(super) retry: RetryId,
    pub(super) transaction: Transaction,
    pub(super) due: Tick,
    pub(super) prepare: Prepare,
    started: bool,
}

/// What became of a transaction that waited.
pub(super) enum Answer {
    /// It is ready for a batch.
    Join(Vec<(ManagerId, Digest)>),
    /// It is refused.
    Refuse(Refusal),
}

impl ManagerSet {
    /// The name of a manager.
    pub(super) fn name(&self, manager: ManagerId) -> &str {
        &self.list[usize::from(manager.0)].0
    }

    /// The manager of a name that was found in the configuration.
    pub(super) fn id(&self, name: &str) -> ManagerId {
        let at = self.list.iter().position(|(known, _)| **known == *name);
        ManagerId(at.expect("the name was checked against the configuration") as u16)
    }

    pub(super) fn get(&mut self, manager: ManagerId) -> &mut dyn DataManager {
        &mut *self.list[usize::from(manager.0)].1
    }

    fn begin(&mut self, manager: ManagerId, tx: TransactionId, changes: &Transaction) -> Input {
        match self.get(manager).begin(tx, changes).and_then(|()| passed(self.disk.point(POINTS[0]))) {
            Ok(()) => Input::Begun,
            Err(ManagerError(why)) => Input::No(why),
        }
    }

    fn vote(&mut self, manager: ManagerId, tx: TransactionId) -> Input {
        let vote = self.get(manager).vote(tx);
        match (vote, passed(self.disk.point(POINTS[1]))) {
            (Vote::Yes(digest), Ok(())) => Input::Yes(Digest(u128::from_le_bytes(digest.0))),
            (Vote::No(ManagerError(why)), _) | (Vote::Yes(_), Err(ManagerError(why))) => Input::No(why),
            (Vote::Pending, _) => Input::Pending,
        }
    }
}

fn passed(point: DiskResult<()>) -> Result<(), ManagerError> {
    point.map_err(|error| ManagerError(error.to_string().into()))
}

impl Waiting {
    /// The records held.
    pub(super) fn held(&self) -> &BTreeSet<RecordId> {
        &self.held
    }

    /// Whether a transaction of this name waits; then the attempt is answered with it.
    pub(super) fn ask_again(&mut self, retry: RetryId, attempt: RequestId) -> bool {
        let Some(pending) = self.list.values_mut().find(|pending| pending.retry == retry) else { return false };
        pending.asked.push(attempt);
        true
    }

    /// Has a transaction wait for these managers.
    pub(super) fn add(
        &mut self,
        tx: TransactionId,
        asked: Vec<RequestId>,
        transaction: Transaction,
        managers: Vec<ManagerId>,
        due: Tick,
    ) {
        self.held.extend(admit::touched(&transaction));
        let (retry, prepare) = (transaction.retry, Prepare::new(managers));
        self.list.insert(tx, Pending { asked, retry, transaction, due, prepare, started: false });
    }

    /// Lets a transaction and its records go.
    pub(super) fn remove(&mut self, tx: TransactionId) -> Option<Pending> {
        let pending = self.list.remove(&tx)?;
        for id in admit::touched(&pending.transaction) {
            self.held.remove(&id);
        }
        Some(pending)
    }
}

impl Pending {
    /// Asks the managers that have not said yes, and says how it ended, if it did. `owe` takes the managers that did
    /// not hear that it is off.
    pub(super) fn ask(
        &mut self,
        tx: TransactionId,
        now: Tick,
        managers: &mut ManagerSet,
        owe: &mut dyn FnMut(ManagerId),
    ) -> Option<Answer> {
        let first = if std::mem::replace(&mut self.started, true) { Input::Again } else { Input::Start };
        let answer = self.drive(first, tx, managers, owe);
        if answer.is_none() && now >= self.due {
            return self.drive(Input::TimeUp, tx, managers, owe);
        }
        answer
    }

    fn drive(
        &mut self,
        first: Input,
        tx: TransactionId,
        managers: &mut ManagerSet,
        owe: &mut dyn FnMut(ManagerId),
    ) -> Option<Answer> {
        let (mut answer, mut out) = (None, Vec::new());
        self.prepare.step(first, &mut out);
        let mut todo = VecDeque::from(out);
        while let Some(output) = todo.pop_front() {
            let heard = match output {
                Output::Begin(manager) => managers.begin(manager, tx, &self.transaction),
                Output::Vote(manager) => managers.vote(manager, tx),
                Output::Abort(manager) => {
                    if managers.get(manager).abort(tx).is_err() {
                        owe(manager);
                    }
                    continue;
                }
                Output::Join => {
                    answer = self.prepare.votes().map(Answer::Join);
                    continue;
                }
                Output::Refuse(refusal) => {
                    answer = Some(Answer::Refuse(refusal));
                    continue;
                }
            };
            let mut out = Vec::new();
            self.prepare.step(heard, &mut out);
            todo.extend(out);
        }
        answer
    }
}
