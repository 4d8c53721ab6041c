//! REM: records that are near each other get a prototype.
//!
//! **Rule.** Records that are firm enough and have no prototype yet are gone through in the order of their ids. One that is
//! near enough to the first of a cluster joins the nearest such cluster, the oldest of those equally near; else it begins one.
//! A cluster of enough records becomes a prototype: a record in the middle of its members, as firm as they are in the mean,
//! which links to each of them. Its id is that of its first member, with the highest bit set.
//!
//! **Conserved**: every record that there was. What a prototype links to cannot be pruned.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    job::{Went, nothing},
    rules::{ConsolidationRules, PROTOTYPE, PROTOTYPES_FROM},
};
use crate::{
    ids::{RecordId, Version},
    memory::op::{Draft, Read, Transaction},
    store::{Entry, Link, Record, StoreResult, compact::Entries},
    vector::{Kernels, Shape},
};

/// So many members a prototype has at most; then another cluster begins beside it.
const MEMBERS_MAX: usize = 256;
/// So many clusters are looked for in a pass. What fits into none waits for a later one.
const CLUSTERS_MAX: usize = 1024;

/// A pass on its way.
pub(super) struct Rem {
    rules: ConsolidationRules,
    shape: Shape,
    kernels: Kernels,
    at: At,
    /// Records that have a prototype.
    members: BTreeSet<RecordId>,
    clusters: Vec<Cluster>,
}

/// How far a pass is.
enum At {
    Begin,
    /// Prototypes are being read.
    Prototypes,
    /// All others are.
    Records,
    /// Clusters become prototypes.
    Telling,
}

struct Cluster {
    first: Vec<f32>,
    /// The sum of the members' vectors, and of their kappas.
    sum: Vec<f32>,
    kappa: f32,
    members: Vec<(RecordId, Version)>,
}

impl Rem {
    pub(super) fn new(rules: ConsolidationRules, shape: Shape, kernels: Kernels) -> Rem {
        Rem { rules, shape, kernels, at: At::Begin, members: BTreeSet::new(), clusters: Vec::new() }
    }

    pub(super) fn go_on(&mut self, entries: &mut Entries, units: u32) -> StoreResult<Went> {
        self.at = match self.at {
            At::Begin => {
                entries.seek(PROTOTYPES_FROM, false)?;
                At::Prototypes
            }
            At::Prototypes => {
                for _ in 0..units {
                    let Some((_, entry)) = entries.next()? else {
                        entries.seek(RecordId(0), true)?;
                        self.at = At::Records;
                        return Ok(Went::On);
                    };
                    if let Some(record) = entry.record().filter(|record| record.attributes.contains_key(PROTOTYPE)) {
                        self.members.extend(record.links.iter().map(|link| link.to));
                    }
                }
                At::Prototypes
            }
            At::Records => {
                for _ in 0..units {
                    match entries.next()? {
                        Some((id, entry)) if id < PROTOTYPES_FROM => self.look_at(&entry),
                        Some(_) | None => {
                            self.at = At::Telling;
                            return Ok(Went::On);
                        }
                    }
                }
                At::Records
            }
            At::Telling => return Ok(self.tell()),
        };
        Ok(Went::On)
    }

    fn look_at(&mut self, entry: &Entry) {
        let Some(record) = entry.record() else { return };
        if record.kappa < self.rules.rem_kappa_min || self.members.contains(&record.id) {
            return;
        }
        match self.nearest(&record.vector) {
            Some(cluster) => self.clusters[cluster].join(record),
            None if self.clusters.len() < CLUSTERS_MAX => self.clusters.push(Cluster::of(record)),
            None => {}
        }
    }

    /// The nearest cluster that is near enough and has room.
    fn nearest(&self, vector: &[f32]) -> Option<usize> {
        let far = |cluster: &Cluster| self.shape.distance(self.kernels, &cluster.first, vector).ok();
        let with_room = self.clusters.iter().enumerate().filter(|(_, cluster)| cluster.members.len() < MEMBERS_MAX);
        let near = with_room.filter_map(|(at, cluster)| Some((far(cluster)?, at)));
        let near = near.filter(|(far, _)| *far <= self.rules.rem_radius);
        near.min_by(|one, other| one.0.total_cmp(&other.0)).map(|(_, at)| at)
    }

    fn tell(&mut self) -> Went {
        let enough = self.rules.rem_members_min.max(1) as usize;
        while let Some(cluster) = self.clusters.pop() {
            if cluster.members.len() >= enough {
                return Went::Say(cluster.prototype());
            }
        }
        Went::Done
    }
}

impl Cluster {
    fn of(record: &Record) -> Cluster {
        let first = record.vector.clone();
        Cluster { sum: first.clone(), first, kappa: record.kappa, members: vec![(record.id, record.version)] }
    }

    fn join(&mut self, record: &Record) {
        self.sum.iter_mut().zip(&record.vector).for_each(|(sum, x)| *sum += x);
        self.kappa += record.kappa;
        self.members.push((record.id, record.version));
    }

    /// Rests on each member being what it was.
    fn prototype(self) -> Transaction {
        let n = self.members.len();
        let (first, _) = self.members[0];
        let prototype = Draft {
            id: RecordId(first.0 | PROTOTYPES_FROM.0),
            vector: self.sum.iter().map(|sum| sum / n as f32).collect(),
            text: String::new(),
            attributes: BTreeMap::from([(PROTOTYPE.to_owned(), n.to_string())]),
            links: self.members.iter().map(|(id, _)| Link::new(*id)).collect(),
            kappa: self.kappa / n as f32,
        };
        let reads = self.members.iter().map(|&(id, version)| Read { id, version: Some(version) }).collect();
        Transaction { reads, inserts: vec![prototype], ..nothing() }
    }
}
