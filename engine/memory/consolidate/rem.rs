//! REM: records that are near each other get a prototype.
//!
//! **Rule.** Records that are firm enough and have no prototype yet are gone through in the order of their ids. One that is
//! near enough to the first of a cluster joins the nearest such cluster, the oldest of those equally near; else it begins one.
//! A cluster of enough records becomes a prototype: a record in the middle of its members, as firm as they are in the mean,
//! which links to each of them. Its id is that of its first member, with the highest bit set; so records whose own ids have it
//! get no prototype, and one that has the id already stands in the way. What fits into no cluster of a pass is passed over.
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
    vector::{FlatIndex, Kernels, Shape},
};

/// So many members a prototype has at most; then another cluster begins beside it.
const MEMBERS_MAX: usize = 256;
/// So many clusters are looked for in a pass.
const CLUSTERS_MAX: usize = 1024;

/// A pass on its way.
pub(super) struct Rem {
    rules: ConsolidationRules,
    at: At,
    /// Records that have a prototype.
    members: BTreeSet<RecordId>,
    clusters: Vec<Cluster>,
    /// The first member of each cluster, by its place.
    firsts: FlatIndex,
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
    /// The sum of the members' vectors, and of their kappas, and the least of these.
    sum: Vec<f32>,
    kappa: f64,
    kappa_least: f32,
    members: Vec<(RecordId, Version)>,
}

impl Rem {
    pub(super) fn new(rules: ConsolidationRules, shape: Shape, kernels: Kernels) -> Rem {
        let firsts = FlatIndex::new(shape, kernels);
        Rem { rules, at: At::Begin, members: BTreeSet::new(), clusters: Vec::new(), firsts }
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
            None if self.clusters.len() < CLUSTERS_MAX => {
                let place = RecordId(self.clusters.len() as u64);
                // Whoever wrote it was told that it can be compared.
                if self.firsts.upsert(place, Version(0), &record.vector).is_ok() {
                    self.clusters.push(Cluster::of(record));
                }
            }
            None => {}
        }
    }

    /// The nearest cluster that is near enough and has room.
    fn nearest(&self, vector: &[f32]) -> Option<usize> {
        let has_room = |place: RecordId, _| self.clusters[place.0 as usize].members.len() < MEMBERS_MAX;
        let nearest = self.firsts.search_where(vector, 1, has_room).ok()?;
        nearest.first().filter(|hit| hit.distance <= self.rules.rem_radius).map(|hit| hit.id.0 as usize)
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
        Cluster {
            sum: record.vector.clone(),
            kappa: record.kappa.into(),
            kappa_least: record.kappa,
            members: vec![(record.id, record.version)],
        }
    }

    fn join(&mut self, record: &Record) {
        self.sum.iter_mut().zip(&record.vector).for_each(|(sum, x)| *sum += x);
        self.kappa += f64::from(record.kappa);
        self.kappa_least = self.kappa_least.min(record.kappa);
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
            // Rounding must not make it so soft that it is pruned.
            kappa: ((self.kappa / n as f64) as f32).max(self.kappa_least),
        };
        let reads = self.members.iter().map(|&(id, version)| Read { id, version: Some(version) }).collect();
        Transaction { reads, inserts: vec![prototype], ..nothing() }
    }
}
