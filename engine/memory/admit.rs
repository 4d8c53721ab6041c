//! Whether a transaction can be accepted, and what it then writes.
//!
//! First what nothing can change: its form ([`form`]). Then whether what it rests on holds, in the published state with
//! the open batch on top ([`judge`]). Optimistic concurrency: nothing is locked while a client thinks, and whoever
//! comes second is told. Only a transaction that waits for its managers, or is staged, holds its records.

use std::{collections::BTreeSet, sync::Arc};

use stormproof_contract::WallTime;

use super::{
    batch::OpenBatch,
    bulk::{BULK_BYTES_MAX, BULK_RECORDS_MAX, Loads},
    config::Config,
    op::{Conflict, Draft, Refusal, Reply, Transaction, Unavailable},
    view::{Stamp, View},
};
use crate::{
    ids::{RecordId, Version},
    store::{Record, StoreResult, Write, batch::WEIGHT_MAX},
    vector::Shape,
};

/// What stands in the way of a transaction.
pub(super) struct Obstacle {
    pub(super) answer: Reply,
    /// Whether it will stand there for ever, whatever is committed, aborted or lost from now on.
    pub(super) lasting: bool,
}

/// What a transaction is judged against.
pub(super) struct State<'a> {
    pub(super) view: &'a View,
    pub(super) batch: &'a OpenBatch,
    /// Records of transactions that wait for their managers.
    pub(super) held: &'a BTreeSet<RecordId>,
    /// Those of transactions that are staged.
    pub(super) loads: &'a Loads,
}

/// Whether the transaction makes sense at all. A refusal holds whatever the state is.
pub(super) fn form(transaction: &Transaction, config: &Config, shape: Shape) -> Result<(), Refusal> {
    let mut named = BTreeSet::new();
    if let Some(id) = changed(transaction).find(|&id| !named.insert(id)) {
        return Err(Refusal::NamedTwice { id });
    }
    let mut managers = BTreeSet::new();
    let known = |name| config.managers.names.contains(name);
    if let Some(name) = transaction.managers.iter().find(|&name| !known(name) || !managers.insert(name)) {
        return Err(Refusal::NoSuchManager { name: name.clone() });
    }
    if transaction.bulk {
        is_bulk(transaction)?;
    }
    drafts(transaction).try_for_each(|draft| {
        let bad = |error: crate::vector::VectorError| error.to_string().into();
        shape.check(&draft.vector).map_err(|error| Refusal::BadVector { id: Some(draft.id), why: bad(error) })
    })
}

/// Whether the transaction can be a bulk load.
fn is_bulk(transaction: &Transaction) -> Result<(), Refusal> {
    let Transaction { reads, whole, inserts, upserts, deletes, managers, .. } = transaction;
    let not = |why: &str| Err(Refusal::NotBulk { why: why.into() });
    if !reads.is_empty() || whole.is_some() || !upserts.is_empty() || !deletes.is_empty() || !managers.is_empty() {
        return not("it may only insert records");
    }
    if inserts.is_empty() {
        return not("it has no records");
    }
    let (found, max) = (inserts.len() as u64, BULK_RECORDS_MAX as u64);
    if found > max {
        Err(Refusal::TooLarge { what: "records of a bulk transaction".into(), found, max })
    } else {
        Ok(())
    }
}

/// Whether the logged form is within the log's bounds, or that of a bulk load within its own. A refusal holds whatever the
/// state is.
pub(super) fn weight(writes: &[Write], is_bulk: bool) -> Result<(), Refusal> {
    for write in writes {
        if let Write::Put(record) = write {
            let bad = |error: crate::store::StoreError| error.to_string().into();
            record.check().map_err(|error| Refusal::BadRecord { id: record.id, why: bad(error) })?;
        }
    }
    let max = if is_bulk { BULK_BYTES_MAX } else { WEIGHT_MAX / 2 };
    // Half of what a frame takes leaves room for votes and closed refusals beside the largest transaction.
    let (found, max) = (writes.iter().map(weight_of).sum(), max as u64);
    if found > max { Err(Refusal::TooLarge { what: "bytes of the transaction".into(), found, max }) } else { Ok(()) }
}

fn weight_of(write: &Write) -> u64 {
    match write {
        Write::Put(record) => record.weight() as u64 + 1,
        Write::Delete { .. } => 17,
    }
}

/// Whether what the transaction rests on holds.
pub(super) fn judge(transaction: &Transaction, state: &State<'_>, config: &Config) -> Result<(), Obstacle> {
    state.nothing_held(transaction)?;
    transaction.reads.iter().try_for_each(|read| state.unchanged(read.id, read.version))?;
    transaction.whole.map_or(Ok(()), |since| state.nothing_changed(since))?;
    transaction.inserts.iter().try_for_each(|draft| state.absent(draft.id))?;
    state.room(transaction, config)
}

impl State<'_> {
    /// The version of a live record.
    fn live(&self, id: RecordId) -> Option<Version> {
        match self.batch.touched(id) {
            Some(entry) => entry.record().map(|record| record.version),
            None => self.view.version_of_live(id),
        }
    }

    /// What the next writing of a record follows.
    fn stamp(&self, id: RecordId) -> StoreResult<Option<Stamp>> {
        self.batch.touched(id).map_or_else(|| self.view.stamp(id), |entry| Ok(Some(Stamp::of(entry))))
    }

    fn nothing_held(&self, transaction: &Transaction) -> Result<(), Obstacle> {
        match touched(transaction).find(|id| self.held.contains(id) || self.loads.holds(*id)) {
            Some(id) => Err(Obstacle { answer: Reply::Conflict(Conflict::Held { id }), lasting: false }),
            None => Ok(()),
        }
    }

    fn unchanged(&self, id: RecordId, read: Option<Version>) -> Result<(), Obstacle> {
        let found = self.live(id);
        if found == read {
            return Ok(());
        }
        // Versions only grow: a version that was overtaken by a published one never returns. An absent record may.
        let overtaken = |version| match self.view.records.get(id) {
            Some(entry) => entry.version() > version,
            None => self.view.version_of_live(id).is_some_and(|published| published > version),
        };
        let lasting = read.is_some_and(overtaken);
        Err(Obstacle { answer: Reply::Conflict(Conflict::Changed { id, found }), lasting })
    }

    fn nothing_changed(&self, since: crate::ids::Lsn) -> Result<(), Obstacle> {
        let published = self.view.changed;
        let changed = if self.batch.changes().is_empty() { published } else { self.view.lsn.next() };
        if changed <= since {
            return Ok(());
        }
        let answer = Reply::Conflict(Conflict::ChangedSince { changed });
        Err(Obstacle { answer, lasting: published > since })
    }

    fn absent(&self, id: RecordId) -> Result<(), Obstacle> {
        match self.live(id) {
            Some(_) => Err(Obstacle { answer: Reply::Refused(Refusal::Duplicate { id }), lasting: false }),
            None => Ok(()),
        }
    }

    /// Counts upserts as if all were new, so that a batch cannot pass the bound in part.
    fn room(&self, transaction: &Transaction, config: &Config) -> Result<(), Obstacle> {
        let added = drafts(transaction).filter(|draft| self.live(draft.id).is_none()).count() as u64;
        let (published, staged) = (self.view.index.len(), self.loads.records());
        let others = self.batch.live_after(published);
        // A load is there also when the open batch comes to nothing.
        let others = if transaction.bulk { others.max(published as u64) } else { others };
        if added == 0 || others + staged + added <= config.records_max {
            return Ok(());
        }
        // Answered at once, although it may not last: the answer promises nothing about later copies.
        Err(Obstacle { answer: Reply::Unavailable(Unavailable::ReadOnly), lasting: true })
    }

    /// What the transaction writes. Each version is above the last of its record, which a deleted record keeps, and above the
    /// floor: above that of every record whose removal was forgotten, and of every writing that a repair has given up.
    pub(super) fn writes(&self, transaction: &Transaction, now: WallTime) -> StoreResult<Vec<Write>> {
        let floor = self.view.version_floor;
        let next = |stamp: Option<Stamp>| Version(stamp.map_or(floor, |stamp| stamp.version.max(floor)).0 + 1);
        let put = |draft: &Draft| {
            let stamp = self.stamp(draft.id)?;
            let created_at = stamp.and_then(|stamp| stamp.created_at).unwrap_or(now);
            Ok(Write::Put(Arc::new(draft.record(next(stamp), created_at))))
        };
        let delete = |&id: &RecordId| Ok(Write::Delete { id, version: next(self.stamp(id)?) });
        drafts(transaction).map(put).chain(transaction.deletes.iter().map(delete)).collect()
    }
}

impl Draft {
    fn record(&self, version: Version, created_at: WallTime) -> Record {
        Record {
            id: self.id,
            version,
            vector: self.vector.clone(),
            text: self.text.clone(),
            attributes: self.attributes.clone(),
            links: self.links.clone(),
            created_at,
            kappa: self.kappa,
        }
    }
}

fn drafts(transaction: &Transaction) -> impl Iterator<Item = &Draft> {
    transaction.inserts.iter().chain(&transaction.upserts)
}

/// The records that a transaction changes.
pub(super) fn changed(transaction: &Transaction) -> impl Iterator<Item = RecordId> {
    drafts(transaction).map(|draft| draft.id).chain(transaction.deletes.iter().copied())
}

/// Whether a transaction takes no effect even if it is committed.
pub(super) fn only_watches(transaction: &Transaction) -> bool {
    changed(transaction).next().is_none() && transaction.managers.is_empty()
}

/// The records that a transaction rests on or changes.
pub(super) fn touched(transaction: &Transaction) -> impl Iterator<Item = RecordId> {
    transaction.reads.iter().map(|read| read.id).chain(changed(transaction))
}
