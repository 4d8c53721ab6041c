//! Which transaction must come before which, and why.
//!
//! The versions of a key in their order, and the commits of all transactions in theirs, are lines: what precedes a
//! point of a line precedes everything from there on. Each point is a waypoint of the graph, so that a line costs as
//! many edges as it has points, and "long before" is one step of a proof.
//!
//! Where a write has no version number, it follows what its own transaction read before writing, else only the
//! initial version, which precedes every other.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use super::graph::{Graph, Kind};
use super::index::{Index, Key, Read, Source};
use super::{Class, Demand, Finding, Status};

/// `from` must come before `to`. Both are nodes: places in the index, or beyond those, waypoints.
pub(super) struct Dependency<'a, K> {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) why: Why<'a, K>,
}

/// Why `from` comes before `to`. What leaves a waypoint continues the reason by which it was entered.
pub(super) enum Why<'a, K> {
    /// `to` installed a later version than `from`.
    Overwrote { key: &'a K },
    /// `to` read what `from` wrote.
    Read { key: &'a K },
    /// `from` read an earlier version than the one that `to` installed.
    ReadBefore { key: &'a K, source: Source },
    /// `from` had committed when `to` began.
    RealTime,
}

// By hand: derived, these would ask the same of `K`, which is only borrowed.
impl<K> Clone for Dependency<'_, K> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K> Copy for Dependency<'_, K> {}
impl<K> Clone for Why<'_, K> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K> Copy for Why<'_, K> {}

impl<K> Why<'_, K> {
    fn kind(self) -> Kind {
        match self {
            Self::Overwrote { .. } => Kind::Ww,
            Self::Read { .. } => Kind::Wr,
            Self::ReadBefore { .. } => Kind::Rw,
            Self::RealTime => Kind::RealTime,
        }
    }
}

/// All dependencies between transactions that count.
pub(super) struct Dependencies<'i, 'a, K> {
    index: &'i Index<'a, K>,
    edges: Vec<Dependency<'i, K>>,
    nodes: usize,
}

impl<'i, 'a, K: Ord + Debug> Dependencies<'i, 'a, K> {
    pub(super) fn new(index: &'i Index<'a, K>, demand: Demand) -> Self {
        let mut dependencies = Self { index, edges: Vec::new(), nodes: index.all.len() };
        for (name, key) in &index.keys {
            dependencies.add_numbered(name, key);
            dependencies.add_unnumbered(name, key);
            dependencies.add_reads(name, key);
        }
        if demand == Demand::StrictlySerializable {
            dependencies.add_real_time();
        }
        dependencies
    }

    pub(super) fn graph(&self) -> Graph {
        let edges = self.edges.iter().map(|edge| (edge.from, edge.to, edge.why.kind()));
        Graph::new(self.index.all.len(), self.nodes, edges)
    }

    fn add(&mut self, from: usize, to: usize, why: Why<'i, K>) {
        if from != to {
            self.edges.push(Dependency { from, to, why });
        }
    }

    /// A line of `points` waypoints, each before the next; returns the first.
    fn add_line(&mut self, points: usize, why: Why<'i, K>) -> usize {
        let first = self.nodes;
        self.nodes += points;
        for point in first + 1..first + points {
            self.add(point - 1, point, why);
        }
        first
    }

    /// The versions with numbers, and the reads of what precedes them.
    fn add_numbered(&mut self, name: &'i K, key: &Key) {
        let versions = version_order(self.index, key);
        let why = Why::Overwrote { key: name };
        let line = self.add_line(versions.len() + 1, why);
        let mut points = BTreeMap::new();
        for (point, writers) in versions.iter().enumerate() {
            for &writer in writers {
                self.add(line + point, writer, why);
                self.add(writer, line + point + 1, why);
                points.insert(writer, point);
            }
        }
        for read in external_reads(self.index, key).filter(|read| key.is_installed(read.source)) {
            let follows = match read.source {
                Source::Write { writer, .. } => points.get(&writer).map(|point| point + 1),
                Source::Initial | Source::Nowhere => Some(0),
            };
            let Some(follows) = follows else { continue };
            let why = Why::ReadBefore { key: name, source: read.source };
            if points.get(&read.reader).is_some_and(|own| *own >= follows) {
                // It wrote the key later itself, and must not come before itself: name only the next writers.
                for &writer in &versions[follows] {
                    self.add(read.reader, writer, why);
                }
            } else {
                self.add(read.reader, line + follows, why);
            }
        }
    }

    /// The versions without numbers, and the reads of what precedes them.
    fn add_unnumbered(&mut self, name: &'i K, key: &Key) {
        let successors = unnumbered_successors(self.index, key);
        for read in external_reads(self.index, key).filter(|read| key.is_installed(read.source)) {
            let why = Why::ReadBefore { key: name, source: read.source };
            for &writer in successors.get(&read.source).into_iter().flatten() {
                self.add(read.reader, writer, why);
            }
        }
    }

    fn add_reads(&mut self, name: &'i K, key: &Key) {
        for read in external_reads(self.index, key) {
            if let Source::Write { writer, .. } = read.source
                && self.index.counts[writer]
            {
                self.add(writer, read.reader, Why::Read { key: name });
            }
        }
    }

    fn add_real_time(&mut self) {
        let counts = |place: &usize| self.index.counts[*place];
        let commit = |place: usize| match self.index.all[place].status {
            Status::Committed { at } => Some((at, place)),
            Status::Aborted | Status::Unknown => None,
        };
        let mut commits: Vec<_> = (0..self.index.all.len()).filter_map(commit).collect();
        commits.sort_unstable();
        let line = self.add_line(commits.len(), Why::RealTime);
        for (point, &(_, place)) in commits.iter().enumerate() {
            self.add(place, line + point, Why::RealTime);
        }
        for place in (0..self.index.all.len()).filter(counts) {
            let began = self.index.all[place].began;
            if let Some(last) = commits.partition_point(|(at, _)| *at < began).checked_sub(1) {
                self.add(line + last, place, Why::RealTime);
            }
        }
    }

    /// Puts a cycle of the graph into words.
    pub(super) fn finding(&self, class: Class, cycle: &[usize]) -> Finding {
        let mut steps: Vec<Dependency<'i, K>> = Vec::new();
        for &edge in cycle {
            let edge = self.edges[edge];
            match steps.last_mut() {
                Some(step) if step.to >= self.index.all.len() => step.to = edge.to,
                _ => steps.push(edge),
            }
        }
        Finding {
            class,
            transactions: steps.iter().map(|step| self.index.id(step.from)).collect(),
            facts: steps.iter().map(|step| in_words(self.index, step)).collect(),
        }
    }
}

/// Reads by transactions that count of what others wrote, before they wrote the key themselves.
fn external_reads<'s, K: Ord + Debug>(index: &'s Index<'_, K>, key: &'s Key) -> impl Iterator<Item = &'s Read> {
    index.reads(key).filter(|read| read.own_writes == 0)
}

/// The writers of numbered versions in their order. A group has more than one only if versions clash.
fn version_order<K: Ord + Debug>(index: &Index<'_, K>, key: &Key) -> Vec<Vec<usize>> {
    let mut order = BTreeMap::<u64, Vec<usize>>::new();
    for (&writer, writes) in &key.writes {
        if let Some(version) = writes.version.filter(|_| index.counts[writer]) {
            order.entry(version).or_default().push(writer);
        }
    }
    order.into_values().collect()
}

/// For each version, who installed one without a number after it, as far as that is known.
fn unnumbered_successors<K: Ord + Debug>(index: &Index<'_, K>, key: &Key) -> BTreeMap<Source, Vec<usize>> {
    let unnumbered = |writer: &usize| index.counts[*writer] && key.writes[writer].version.is_none();
    let mut rootless: BTreeSet<usize> = key.writes.keys().copied().filter(unnumbered).collect();
    let mut successors = BTreeMap::<Source, Vec<usize>>::new();
    for read in external_reads(index, key).filter(|read| key.is_installed(read.source)) {
        let Source::Write { writer, .. } = read.source else { continue };
        let updates = key.writes.contains_key(&read.reader) && unnumbered(&read.reader);
        if updates && index.counts[writer] && writer != read.reader {
            successors.entry(read.source).or_default().push(read.reader);
            rootless.remove(&read.reader);
        }
    }
    successors.insert(Source::Initial, rootless.into_iter().collect());
    successors
}

fn in_words<K: Ord + Debug>(index: &Index<'_, K>, edge: &Dependency<'_, K>) -> String {
    let (from, to) = (index.id(edge.from), index.id(edge.to));
    let version = |key: &K, writer: usize| match index.keys[key].writes[&writer].version {
        Some(number) => format!("version {number}"),
        None => format!("the version of {}", index.id(writer)),
    };
    match edge.why {
        Why::Overwrote { key } => {
            let (older, newer) = (version(key, edge.from), version(key, edge.to));
            format!("{from} -ww-> {to}: {from} installed {older} of key {key:?}, and {to} later {newer}")
        }
        Why::Read { key } => {
            let version = version(key, edge.from);
            format!("{from} -wr-> {to}: {from} wrote {version} of key {key:?}, and {to} read it")
        }
        Why::ReadBefore { key, source } => {
            let older = match source {
                Source::Write { writer, .. } => version(key, writer),
                Source::Initial | Source::Nowhere => "the initial version".to_owned(),
            };
            let newer = version(key, edge.to);
            format!("{from} -rw-> {to}: {from} read {older} of key {key:?}, and {to} installed {newer} after it")
        }
        Why::RealTime => format!("{from} -rt-> {to}: {from} had committed before {to} began"),
    }
}
