//! The log's effect in memory: what each record is now, and that a deleted one is gone.
//!
//! An ordered tree whose nodes are shared: a clone is one pointer copy and never changes, so each published view keeps
//! one, and a write after it copies only the nodes on its own path. Nothing is ever taken out (a delete leaves a
//! tombstone, so that an older writing cannot come back from a lower tier), hence the tree only grows and splits.
//!
//! Invariants: keys ascend; every leaf is at the same depth; no node but an empty root is empty; a branch's `least[i]`
//! is a lower bound of its child `i`, and above every key of child `i - 1`.

use std::{iter::FusedIterator, sync::Arc};

use super::{Record, Write};
use crate::ids::{RecordId, Version};

/// The most entries of a leaf, and the most children of a branch: a write after a clone copies one node of each level.
const WIDTH_MAX: usize = 32;

/// What is known of a record.
#[derive(Clone, PartialEq, Debug)]
pub enum Entry {
    /// It is as follows.
    Live(Arc<Record>),
    /// It is gone, as of this version.
    Deleted(Version),
}

/// What each record is, by id. A clone costs two words and stays as it is.
#[derive(Clone, Debug)]
pub struct Memtable {
    root: Arc<Node>,
    entries: usize,
    live: usize,
    weight: usize,
}

#[derive(Clone, Debug)]
enum Node {
    Leaf(Vec<(RecordId, Entry)>),
    Branch { least: Vec<RecordId>, children: Vec<Arc<Node>> },
}

impl Entry {
    /// Its version, or that of its absence.
    pub fn version(&self) -> Version {
        match self {
            Entry::Live(record) => record.version,
            Entry::Deleted(version) => *version,
        }
    }

    /// The record, if it is live.
    pub fn record(&self) -> Option<&Arc<Record>> {
        match self {
            Entry::Live(record) => Some(record),
            Entry::Deleted(_) => None,
        }
    }

    /// What it takes in memory, about.
    pub fn weight(&self) -> usize {
        match self {
            Entry::Live(record) => record.weight(),
            Entry::Deleted(_) => size_of::<(RecordId, Version)>(),
        }
    }
}

impl From<&Write> for Entry {
    fn from(write: &Write) -> Self {
        match write {
            Write::Put(record) => Entry::Live(Arc::clone(record)),
            Write::Delete { version, .. } => Entry::Deleted(*version),
        }
    }
}

impl Default for Memtable {
    fn default() -> Self {
        Memtable { root: Arc::new(Node::Leaf(Vec::new())), entries: 0, live: 0, weight: 0 }
    }
}

impl Memtable {
    /// What is known of a record; `None` if it was never written.
    pub fn get(&self, id: RecordId) -> Option<&Entry> {
        let mut node = &*self.root;
        loop {
            match node {
                Node::Branch { least, children } => node = &children[child_of(least, id)],
                Node::Leaf(entries) => {
                    let at = entries.binary_search_by_key(&id, |entry| entry.0).ok()?;
                    return Some(&entries[at].1);
                }
            }
        }
    }

    /// Makes a change that was decided, and gives back what it replaced.
    pub fn apply(&mut self, write: &Write) -> Option<Entry> {
        self.put(write.id(), Entry::from(write))
    }

    /// Takes what is known of a record, and gives back what it replaced.
    pub fn put(&mut self, id: RecordId, entry: Entry) -> Option<Entry> {
        self.live += usize::from(entry.record().is_some());
        self.weight += entry.weight();
        let replaced = self.insert(id, entry);
        match &replaced {
            Some(old) => {
                self.live -= usize::from(old.record().is_some());
                self.weight -= old.weight();
            }
            None => self.entries += 1,
        }
        replaced
    }

    /// What it has that `older` has not in the same version.
    #[must_use]
    pub fn without(&self, older: &Memtable) -> Memtable {
        let (mut rest, mut known) = (Memtable::default(), older.iter().peekable());
        for (id, entry) in self {
            while known.next_if(|(known, _)| *known < id).is_some() {}
            let same = known.peek().is_some_and(|(known, old)| *known == id && old.version() == entry.version());
            if !same {
                rest.put(id, entry.clone());
            }
        }
        rest
    }

    /// All entries from `first` on, in order of id.
    pub fn range_from(&self, first: RecordId) -> Range<'_> {
        let mut range = Range { path: Vec::new() };
        let mut node = &*self.root;
        loop {
            match node {
                Node::Branch { least, children } => {
                    let at = child_of(least, first);
                    range.path.push((node, at + 1));
                    node = &children[at];
                }
                Node::Leaf(entries) => {
                    range.path.push((node, entries.partition_point(|entry| entry.0 < first)));
                    return range;
                }
            }
        }
    }

    /// All entries, in order of id.
    pub fn iter(&self) -> Range<'_> {
        self.range_from(RecordId(0))
    }

    /// Records that are live.
    pub fn live(&self) -> usize {
        self.live
    }

    /// Records that are known, deleted ones too.
    pub fn entries(&self) -> usize {
        self.entries
    }

    /// What the entries weigh together: see [`Record::weight`].
    pub fn weight(&self) -> usize {
        self.weight
    }

    fn insert(&mut self, id: RecordId, entry: Entry) -> Option<Entry> {
        let (replaced, split) = Arc::make_mut(&mut self.root).insert(id, entry);
        if let Some((least, right)) = split {
            let left = Arc::clone(&self.root);
            self.root = Arc::new(Node::Branch { least: vec![RecordId(0), least], children: vec![left, right] });
        }
        replaced
    }
}

/// The right half of a node that grew too wide, and its least key.
type Split = Option<(RecordId, Arc<Node>)>;

impl Node {
    fn insert(&mut self, id: RecordId, entry: Entry) -> (Option<Entry>, Split) {
        match self {
            Node::Leaf(entries) => match entries.binary_search_by_key(&id, |entry| entry.0) {
                Ok(at) => (Some(std::mem::replace(&mut entries[at].1, entry)), None),
                Err(at) => {
                    entries.insert(at, (id, entry));
                    (None, self.split())
                }
            },
            Node::Branch { least, children } => {
                let at = child_of(least, id);
                let (replaced, split) = Arc::make_mut(&mut children[at]).insert(id, entry);
                let Some((first, right)) = split else { return (replaced, None) };
                least.insert(at + 1, first);
                children.insert(at + 1, right);
                (replaced, self.split())
            }
        }
    }

    fn split(&mut self) -> Split {
        match self {
            Node::Leaf(entries) if entries.len() > WIDTH_MAX => {
                let right = entries.split_off(split_at(entries.len()));
                Some((right[0].0, Arc::new(Node::Leaf(right))))
            }
            Node::Branch { least, children } if children.len() > WIDTH_MAX => {
                let at = split_at(children.len());
                let (least, children) = (least.split_off(at), children.split_off(at));
                Some((least[0], Arc::new(Node::Branch { least, children })))
            }
            Node::Leaf(_) | Node::Branch { .. } => None,
        }
    }
}

/// Where a full node is cut. Ids are mostly given in ascending order, so the left part, which then sees no more of
/// them, keeps three quarters.
fn split_at(len: usize) -> usize {
    len - len / 4
}

/// Which child of a branch can hold `id`.
fn child_of(least: &[RecordId], id: RecordId) -> usize {
    least.partition_point(|first| *first <= id).saturating_sub(1)
}

/// Entries in order of id.
#[derive(Clone, Debug)]
pub struct Range<'a> {
    /// From the root down: a node, and which of its children or entries comes next.
    path: Vec<(&'a Node, usize)>,
}

impl<'a> Iterator for Range<'a> {
    type Item = (RecordId, &'a Entry);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (node, next) = self.path.last_mut()?;
            let at = *next;
            *next += 1;
            match node {
                Node::Leaf(entries) => match entries.get(at) {
                    Some((id, entry)) => return Some((*id, entry)),
                    None => self.path.pop(),
                },
                Node::Branch { children, .. } => match children.get(at) {
                    Some(child) => {
                        self.path.push((child, 0));
                        None
                    }
                    None => self.path.pop(),
                },
            };
        }
    }
}

impl<'a> IntoIterator for &'a Memtable {
    type Item = (RecordId, &'a Entry);
    type IntoIter = Range<'a>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl FusedIterator for Range<'_> {}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::{collection::vec, prelude::*};

    use super::{super::samples, *};

    /// Ids of a small range, so that records are replaced, and enough of them for a tree of three levels.
    fn any_writes() -> impl Strategy<Value = Vec<Write>> {
        let put = (0..2000_u64).prop_map(|id| Write::Put(Arc::new(samples::record(id))));
        let delete = (0..2000_u64).prop_map(|id| Write::Delete { id: RecordId(id), version: Version(id + 2) });
        let write = prop_oneof![put, delete];
        vec(write, 0..1500)
    }

    fn agrees(table: &Memtable, model: &BTreeMap<RecordId, Entry>, first: RecordId) {
        assert!(table.iter().eq(model.iter().map(|(id, entry)| (*id, entry))));
        assert!(table.range_from(first).eq(model.range(first..).map(|(id, entry)| (*id, entry))));
        assert_eq!(table.get(first), model.get(&first));
        assert_eq!(table.entries(), model.len());
        assert_eq!(table.live(), model.values().filter(|entry| entry.record().is_some()).count());
        assert_eq!(table.weight(), model.values().map(Entry::weight).sum::<usize>());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn is_an_ordered_map_whose_clones_never_change(
            before in any_writes(), after in any_writes(), first in 0..2000_u64
        ) {
            let (mut table, mut model) = (Memtable::default(), BTreeMap::new());
            for write in &before {
                prop_assert_eq!(table.apply(write), model.insert(write.id(), Entry::from(write)));
            }
            let (clone, model_then) = (table.clone(), model.clone());
            for write in &after {
                prop_assert_eq!(table.apply(write), model.insert(write.id(), Entry::from(write)));
            }
            agrees(&table, &model, RecordId(first));
            agrees(&clone, &model_then, RecordId(first));
        }
    }

    #[test]
    fn a_write_after_a_clone_copies_one_node_of_each_level() {
        let mut table = Memtable::default();
        for id in 0..10_000 {
            table.apply(&Write::Put(Arc::new(samples::record(id))));
        }
        let clone = table.clone();
        table.apply(&Write::Delete { id: RecordId(5_000), version: Version(9) });
        let (all, shared) = (nodes(&table.root).len(), nodes(&table.root));
        let shared = nodes(&clone.root).iter().filter(|node| shared.contains(node)).count();
        assert_eq!(all - shared, 3, "of {all} nodes");
    }

    /// Ids that ascend leave 25 entries, or children, behind in each node that was cut.
    #[test]
    fn a_node_is_cut_when_it_is_wider_than_it_may_be() {
        let mut table = Memtable::default();
        for (id, nodes_then) in [(32, 1), (33, 3), (782, 32), (783, 33), (807, 33), (808, 36)] {
            while table.entries() < id {
                table.apply(&Write::Put(Arc::new(samples::record(table.entries() as u64))));
            }
            assert_eq!(nodes(&table.root).len(), nodes_then, "of {id}");
        }
    }

    fn nodes(node: &Arc<Node>) -> Vec<*const Node> {
        let below = match &**node {
            Node::Leaf(_) => Vec::new(),
            Node::Branch { children, .. } => children.iter().flat_map(nodes).collect(),
        };
        [vec![Arc::as_ptr(node)], below].concat()
    }
}
