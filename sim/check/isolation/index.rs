//! The transactions sorted by key: who wrote it, who read it, and which transactions count as committed.

use std::collections::BTreeMap;
use std::fmt::Debug;

use super::{Access, Seen, Status, Transaction, TxnId};

/// The transactions of a history, by key. Transactions are named by their place in `all`.
pub(super) struct Index<'a, K> {
    pub(super) all: &'a [Transaction<K>],
    /// Whether a transaction is committed, or unknown and observed by one that counts.
    pub(super) counts: Vec<bool>,
    pub(super) keys: BTreeMap<&'a K, Key>,
}

/// What happened to one key.
#[derive(Default)]
pub(super) struct Key {
    /// By writer, aborted ones included.
    pub(super) writes: BTreeMap<usize, Writes>,
    pub(super) reads: Vec<Read>,
}

/// One transaction's writes to one key.
#[derive(Clone, Copy, Default)]
pub(super) struct Writes {
    pub(super) times: u32,
    /// The number of the version that the last of them installed.
    pub(super) version: Option<u64>,
}

#[derive(Clone, Copy)]
pub(super) struct Read {
    pub(super) reader: usize,
    pub(super) source: Source,
    /// How often the reader had itself written the key before.
    pub(super) own_writes: u32,
}

/// Where a read value came from, once looked up.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    Initial,
    Write { writer: usize, nth: u32 },
    Nowhere,
}

impl Key {
    /// Whether the source is what its writer installed at commit, and not an intermediate write.
    pub(super) fn is_installed(&self, source: Source) -> bool {
        match source {
            Source::Initial => true,
            Source::Write { writer, nth } => nth + 1 == self.writes[&writer].times,
            Source::Nowhere => false,
        }
    }
}

impl<'a, K: Ord + Debug> Index<'a, K> {
    /// # Panics
    /// If two transactions share an id: the recorder has mixed them up.
    pub(super) fn new(all: &'a [Transaction<K>]) -> Self {
        let mut places = BTreeMap::new();
        for (place, transaction) in all.iter().enumerate() {
            assert!(places.insert(transaction.id, place).is_none(), "{} is recorded twice", transaction.id);
        }
        let mut index = Self { all, counts: Vec::new(), keys: BTreeMap::new() };
        index.add_writes();
        index.add_reads(&places);
        index.counts = counts(all, &places);
        index
    }

    fn add_writes(&mut self) {
        for (writer, transaction) in self.all.iter().enumerate() {
            for access in &transaction.accesses {
                if let Access::Write { key, version } = access {
                    let writes = self.keys.entry(key).or_default().writes.entry(writer).or_default();
                    *writes = Writes { times: writes.times + 1, version: *version };
                }
            }
        }
    }

    fn add_reads(&mut self, places: &BTreeMap<TxnId, usize>) {
        for (reader, transaction) in self.all.iter().enumerate() {
            let mut written = BTreeMap::<&K, u32>::new();
            for access in &transaction.accesses {
                match access {
                    Access::Write { key, .. } => *written.entry(key).or_default() += 1,
                    Access::Read { key, seen } => {
                        let own_writes = written.get(key).copied().unwrap_or(0);
                        let entry = self.keys.entry(key).or_default();
                        let source = look_up(*seen, places, &entry.writes);
                        entry.reads.push(Read { reader, source, own_writes });
                    }
                }
            }
        }
    }

    /// Reads made by transactions that count.
    pub(super) fn reads<'s>(&'s self, key: &'s Key) -> impl Iterator<Item = &'s Read> {
        key.reads.iter().filter(|read| self.counts[read.reader])
    }
}

impl<K> Index<'_, K> {
    pub(super) fn id(&self, transaction: usize) -> TxnId {
        self.all[transaction].id
    }
}

fn look_up(seen: Seen, places: &BTreeMap<TxnId, usize>, writes: &BTreeMap<usize, Writes>) -> Source {
    match seen {
        Seen::Initial => Source::Initial,
        Seen::Unwritten => Source::Nowhere,
        Seen::Write { by, nth } => places
            .get(&by)
            .filter(|writer| writes.get(writer).is_some_and(|writes| nth < writes.times))
            .map_or(Source::Nowhere, |&writer| Source::Write { writer, nth }),
    }
}

/// Committed transactions, and the unknown ones that they observed, and those that these observed in turn.
fn counts<K>(all: &[Transaction<K>], places: &BTreeMap<TxnId, usize>) -> Vec<bool> {
    let mut counts = vec![false; all.len()];
    let committed = |transaction: &Transaction<K>| matches!(transaction.status, Status::Committed { .. });
    let mut queue: Vec<usize> = (0..all.len()).filter(|&place| committed(&all[place])).collect();
    while let Some(place) = queue.pop() {
        if std::mem::replace(&mut counts[place], true) {
            continue;
        }
        for access in &all[place].accesses {
            let Access::Read { seen: Seen::Write { by, .. }, .. } = access else { continue };
            queue.extend(places.get(by).copied().filter(|&writer| all[writer].status == Status::Unknown));
        }
    }
    counts
}
