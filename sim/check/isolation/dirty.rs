//! Anomalies that show without a graph: a value read that should not be there, or one version overwritten twice.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use super::index::{Index, Key, Read, Source};
use super::{Class, Finding, Status};

/// The first finding of each class, in order of key.
pub(super) fn findings<K: Ord + Debug>(index: &Index<'_, K>) -> Vec<Finding> {
    let mut first = BTreeMap::new();
    for (name, key) in &index.keys {
        let reads = index.reads(key).filter_map(|read| bad_read(index, name, key, *read));
        for finding in reads.chain(lost_update(index, name, key)).chain(version_clash(index, name, key)) {
            first.entry(finding.class).or_insert(finding);
        }
    }
    first.into_values().collect()
}

fn bad_read<K: Debug>(index: &Index<'_, K>, name: &K, key: &Key, read: Read) -> Option<Finding> {
    match read.source {
        Source::Nowhere => {
            let reader = index.id(read.reader);
            let fact = format!("{reader} read a value of key {name:?} that nobody wrote");
            Some(Finding { class: Class::UnwrittenRead, transactions: vec![reader], facts: vec![fact] })
        }
        Source::Write { writer, nth } if writer == read.reader && nth + 1 == read.own_writes => None,
        Source::Write { writer, .. } if writer == read.reader => Some(not_its_own(index, name, read)),
        Source::Write { .. } | Source::Initial if read.own_writes > 0 => Some(not_its_own(index, name, read)),
        Source::Write { writer, nth } => read_of_another(index, name, key, read.reader, writer, nth),
        Source::Initial => None,
    }
}

fn read_of_another<K: Debug>(
    index: &Index<'_, K>,
    name: &K,
    key: &Key,
    reader: usize,
    writer: usize,
    nth: u32,
) -> Option<Finding> {
    let times = key.writes[&writer].times;
    let (class, why) = if index.all[writer].status == Status::Aborted {
        (Class::G1a, "aborted".to_owned())
    } else if nth + 1 < times {
        (Class::G1b, format!("wrote the key {times} times; that was write {}", nth + 1))
    } else {
        return None;
    };
    let (reader, writer) = (index.id(reader), index.id(writer));
    let fact = format!("{reader} read key {name:?} as written by {writer}, which {why}");
    Some(Finding { class, transactions: vec![writer, reader], facts: vec![fact] })
}

fn not_its_own<K: Debug>(index: &Index<'_, K>, name: &K, read: Read) -> Finding {
    let reader = index.id(read.reader);
    let own = match read.own_writes {
        0 => "before it wrote the key".to_owned(),
        writes => format!("after it had written the key {writes} times"),
    };
    let saw = match read.source {
        Source::Initial => "the initial value".to_owned(),
        Source::Nowhere => "a value that nobody wrote".to_owned(),
        Source::Write { writer, nth } => format!("write {} of {}", nth + 1, index.id(writer)),
    };
    let fact = format!("{reader} read key {name:?} {own}, and saw {saw}");
    Finding { class: Class::Internal, transactions: vec![reader], facts: vec![fact] }
}

/// Two transactions that read one version before they wrote the key: whichever came later should have seen the other.
fn lost_update<K: Ord + Debug>(index: &Index<'_, K>, name: &K, key: &Key) -> Option<Finding> {
    let mut updaters = BTreeMap::<Source, BTreeSet<usize>>::new();
    let before_writing = |read: &&Read| read.own_writes == 0 && key.writes.contains_key(&read.reader);
    for read in index.reads(key).filter(before_writing).filter(|read| read.source != Source::Nowhere) {
        updaters.entry(read.source).or_default().insert(read.reader);
    }
    let (source, rivals) = updaters.into_iter().find(|(_, rivals)| rivals.len() > 1)?;
    let version = match source {
        Source::Write { writer, .. } => format!("the version written by {}", index.id(writer)),
        Source::Initial | Source::Nowhere => "the initial version".to_owned(),
    };
    let transactions: Vec<_> = rivals.into_iter().map(|rival| index.id(rival)).collect();
    let facts = transactions.iter().map(|rival| format!("{rival} read {version} of key {name:?} and overwrote it"));
    Some(Finding { class: Class::LostUpdate, facts: facts.collect(), transactions })
}

fn version_clash<K: Ord + Debug>(index: &Index<'_, K>, name: &K, key: &Key) -> Option<Finding> {
    let mut installed = BTreeMap::new();
    for (&writer, writes) in key.writes.iter().filter(|(writer, _)| index.counts[**writer]) {
        let Some(version) = writes.version else { continue };
        if let Some(other) = installed.insert(version, writer) {
            let transactions = vec![index.id(other), index.id(writer)];
            let fact =
                format!("{} and {} both installed version {version} of key {name:?}", transactions[0], transactions[1]);
            return Some(Finding { class: Class::VersionClash, transactions, facts: vec![fact] });
        }
    }
    None
}
