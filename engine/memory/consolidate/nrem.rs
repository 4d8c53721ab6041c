//! NREM: what was active becomes firmer, and links learn what follows what.
//!
//! **Rule.** Each time that a record was active its kappa nears 1. A link between two records that were active in one
//! episode is strengthened if it leads to the later one, and weakened if it leads to the earlier one; the less, the further
//! apart they were (spike timing). See [`ConsolidationRules`]. Records that weigh more than 1.5 MiB stay as they are.
//!
//! **Conserved**: every record, its vector, text, attributes and time, and where its links lead. Kappa only rises.

use std::collections::BTreeMap;

use super::{
    job::{Went, nothing},
    rules::{ConsolidationRules, Trace},
};
use crate::{
    ids::RecordId,
    memory::op::{Draft, Read, Transaction},
    store::{Entry, Record, StoreResult, compact::Entries},
};

/// Changes of so many records, or of so many bytes, are one transaction.
const RECORDS_MAX: usize = 16;
const BYTES_MAX: usize = 1 << 20;
/// A record that weighs more than this stays as it is: it might not fit into a word of the job.
const RECORD_BYTES_MAX: usize = 3 << 19;

/// A pass on its way.
pub(super) struct Nrem {
    rules: ConsolidationRules,
    /// What is still to be applied.
    traces: BTreeMap<RecordId, Trace>,
    changes: Transaction,
    bytes: usize,
}

impl Nrem {
    pub(super) fn new(rules: ConsolidationRules, traces: BTreeMap<RecordId, Trace>) -> Nrem {
        Nrem { rules, traces, changes: nothing(), bytes: 0 }
    }

    pub(super) fn go_on(&mut self, entries: &Entries, units: u32) -> StoreResult<Went> {
        for _ in 0..units {
            let Some((id, trace)) = self.traces.pop_first() else {
                return Ok(if self.changes.upserts.is_empty() { Went::Done } else { self.say() });
            };
            if let Some(Entry::Live(record)) = entries.get(id)? {
                self.add(&record, &trace);
            }
            if self.changes.upserts.len() >= RECORDS_MAX || self.bytes >= BYTES_MAX {
                return Ok(self.say());
            }
        }
        Ok(Went::On)
    }

    fn add(&mut self, record: &Record, trace: &Trace) {
        if record.weight() > RECORD_BYTES_MAX {
            return;
        }
        let (kappa, links) = trace.applied(record, &self.rules);
        if kappa.to_bits() == record.kappa.to_bits() && links == record.links {
            return;
        }
        self.bytes += record.weight();
        self.changes.reads.push(Read { id: record.id, version: Some(record.version) });
        self.changes.upserts.push(Draft {
            id: record.id,
            vector: record.vector.clone(),
            text: record.text.clone(),
            attributes: record.attributes.clone(),
            links,
            kappa,
        });
    }

    fn say(&mut self) -> Went {
        self.bytes = 0;
        Went::Say(std::mem::replace(&mut self.changes, nothing()))
    }
}
