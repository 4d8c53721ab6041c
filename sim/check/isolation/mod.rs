//! Serializability: do multi-key transactions behave as if they ran one after the other?
//!
//! The transactions become a graph: an edge says that one must come before the other in every serial order. A cycle
//! is a contradiction, and its edges tell what went wrong (Adya, *Weak Consistency*, 1999, whose names the anomalies
//! bear). Where the engine exposes versions, the order of a key's versions is known and the verdict is exact: no
//! finding if and only if a serial order exists that installs the versions in that order. Where it does not, the
//! order is derived from transactions that read a key before they wrote it; every finding is then still a proof, but
//! a blind write without a version can hide an anomaly.
//!
//! A transaction whose outcome is unknown counts as committed once a version of its is read by one that counts;
//! until then leaving it out is the choice that explains most.

mod dependencies;
mod dirty;
mod graph;
mod index;
#[cfg(test)]
mod oracles;
#[cfg(test)]
mod tests;

use std::fmt::{self, Debug};

use super::history::Moment;
use dependencies::Dependencies;
use graph::Graph;
use index::Index;

/// Names one transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TxnId(pub u64);

impl fmt::Display for TxnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "T{}", self.0)
    }
}

/// How a transaction ended, as its client knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Its client was told that it committed.
    Committed {
        /// When the client was told.
        at: Moment,
    },
    /// It provably has no effect.
    Aborted,
    /// Its client was told nothing.
    Unknown,
}

/// What a read returned, as the write that made it. Workloads write values that are unique, to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Seen {
    /// What the key held before anyone wrote it.
    Initial,
    /// The value of a write.
    Write {
        /// Whose.
        by: TxnId,
        /// Which of that transaction's writes to the key, counted from 0.
        nth: u32,
    },
    /// A value that nobody wrote.
    Unwritten,
}

/// One step of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access<K> {
    /// A read.
    Read {
        /// Which key.
        key: K,
        /// What it returned.
        seen: Seen,
    },
    /// A write.
    Write {
        /// Which key.
        key: K,
        /// The version number that the engine gave it, where that is known, from the acknowledgement or from any read
        /// that shows it. Numbers of one key grow in the order in which versions were installed. Of several writes of
        /// one transaction to one key only the last installs a version.
        version: Option<u64>,
    },
}

/// What one client did in one transaction, and what it was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction<K> {
    /// Its name, unique in the history.
    pub id: TxnId,
    /// When its client began it.
    pub began: Moment,
    /// How it ended.
    pub status: Status,
    /// Its reads and writes in the order of the program. Reads whose answer was lost are left out.
    pub accesses: Vec<Access<K>>,
}

/// What is demanded of the serial order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// Any serial order will do.
    Serializable,
    /// A transaction that began after another had committed must also come after it.
    StrictlySerializable,
}

/// A kind of anomaly. Any of them denies serializability, save the last, which denies only the strict kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// A read returned what nobody wrote.
    UnwrittenRead,
    /// A transaction did not see its own writes, or saw them before it made them.
    Internal,
    /// Two transactions installed the same version of a key.
    VersionClash,
    /// A read returned the write of a transaction that aborted.
    G1a,
    /// A read returned a write that its transaction itself overwrote.
    G1b,
    /// Writes of two transactions are interleaved.
    G0,
    /// Information flows in a circle.
    G1c,
    /// Two transactions read the same version of a key, and both overwrote it.
    LostUpdate,
    /// A transaction saw one part of another's effects and not the rest (read skew).
    GSingle,
    /// Transactions each overwrote what another had read (write skew, if they are two).
    G2,
    /// Serializable, but only in an order that contradicts real time.
    RealTime,
}

impl Class {
    /// The field's name for it: short and stable, fit for a fingerprint.
    pub fn name(self) -> &'static str {
        match self {
            Self::UnwrittenRead => "unwritten read",
            Self::Internal => "internal inconsistency",
            Self::VersionClash => "version clash",
            Self::G1a => "G1a (aborted read)",
            Self::G1b => "G1b (intermediate read)",
            Self::G0 => "G0 (write cycle)",
            Self::G1c => "G1c (circular information flow)",
            Self::LostUpdate => "lost update",
            Self::GSingle => "G-single (read skew)",
            Self::G2 => "G2 (write skew)",
            Self::RealTime => "real-time order broken",
        }
    }
}

/// One anomaly, with its proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which kind.
    pub class: Class,
    /// The transactions involved; of a cycle, in its order.
    pub transactions: Vec<TxnId>,
    /// The proof, one fact to a line; of a cycle, one line to an edge.
    pub facts: Vec<String>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.transactions.iter().map(TxnId::to_string).collect();
        write!(f, "{} among {}:", self.class.name(), names.join(", "))?;
        self.facts.iter().try_for_each(|fact| write!(f, "\n  {fact}"))
    }
}

/// Finds what keeps `transactions` from being serializable as demanded; nothing found means that they are.
///
/// At most one finding of each class that needs no cycle comes first, then the smallest cycle of the most damning
/// class that there is.
pub fn check<K: Ord + Debug>(transactions: &[Transaction<K>], demand: Demand) -> Vec<Finding> {
    let index = Index::new(transactions);
    let mut findings = dirty::findings(&index);
    let lost_update = findings.iter().any(|finding| finding.class == Class::LostUpdate);
    let dependencies = Dependencies::new(&index, demand);
    if let Some((class, cycle)) = worst_cycle(&dependencies.graph(), lost_update) {
        findings.push(dependencies.finding(class, &cycle));
    }
    findings.sort_by_key(|finding| finding.class);
    findings
}

/// The smallest cycle of the first class, from the most damning on, that has any.
fn worst_cycle(graph: &Graph, lost_update: bool) -> Option<(Class, Vec<usize>)> {
    use graph::Kind::{Rw, Wr, Ww};
    let cycle = |class, found: Option<Vec<usize>>| found.map(|edges| (class, edges));
    let flow = cycle(Class::G0, graph.shortest_cycle(Ww)).or_else(|| cycle(Class::G1c, graph.shortest_cycle(Wr)));
    if flow.is_some() || lost_update {
        // A lost update is itself a cycle of the classes below, and says more than they do.
        return flow;
    }
    cycle(Class::GSingle, graph.shortest_cycle_with_one(Rw, Wr))
        .or_else(|| cycle(Class::G2, graph.shortest_cycle(Rw)))
        .or_else(|| cycle(Class::RealTime, graph.shortest_cycle(graph::Kind::RealTime)))
}
