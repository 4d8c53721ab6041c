//! An ordered map that shares its structure with its clones: a B+ tree whose nodes are copied only when written.
//!
//! A clone copies one pointer. After it, a write copies the nodes on the path to one leaf, at most [`FANOUT`] entries
//! each, and writes in place those that no clone shares. So a version of the index costs what has changed in it.
//!
//! Invariants: entries of a leaf and children of an inner node are in ascending order of their keys; a child's key is
//! at most that of its smallest entry (the first child's key bounds nothing); no node but the root is empty; all leaves
//! are equally deep. Neighbours that fit into one node are joined when one of them shrinks, so most nodes stay at least
//! half full.

use std::sync::Arc;

/// The most entries of a leaf, and children of an inner node. Small, because a write copies whole nodes.
const FANOUT: usize = 32;

/// See the file's description.
#[derive(Clone, Debug)]
pub(super) struct PersistentMap<K, V> {
    root: Arc<Node<K, V>>,
    len: usize,
}

#[derive(Clone, Debug)]
enum Node<K, V> {
    Leaf(Vec<(K, V)>),
    Inner(Vec<Child<K, V>>),
}

type Child<K, V> = (K, Arc<Node<K, V>>);

impl<K: Copy + Ord, V: Clone> PersistentMap<K, V> {
    pub(super) fn new() -> Self {
        Self { root: Arc::new(Node::Leaf(Vec::new())), len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn get(&self, key: K) -> Option<&V> {
        let mut node = &*self.root;
        loop {
            match node {
                Node::Inner(children) => node = &children[child_of(children, key)].1,
                Node::Leaf(entries) => {
                    return entries.binary_search_by_key(&key, |e| e.0).ok().map(|at| &entries[at].1);
                }
            }
        }
    }

    /// The value of `key`, to be changed. Copies the shared nodes on the way even if the caller changes nothing.
    pub(super) fn get_mut(&mut self, key: K) -> Option<&mut V> {
        let mut node = Arc::make_mut(&mut self.root);
        loop {
            match node {
                Node::Inner(children) => {
                    let at = child_of(children, key);
                    node = Arc::make_mut(&mut children[at].1);
                }
                Node::Leaf(entries) => {
                    let at = entries.binary_search_by_key(&key, |e| e.0).ok()?;
                    return Some(&mut entries[at].1);
                }
            }
        }
    }

    /// Puts `value` under `key`, and returns what it replaces.
    pub(super) fn insert(&mut self, key: K, value: V) -> Option<V> {
        let replaced = insert(&mut self.root, key, value);
        if let Some(right) = split(&mut self.root) {
            let left = Arc::clone(&self.root);
            self.root = Arc::new(Node::Inner(vec![(left.first_key(), left), right]));
        }
        self.len += usize::from(replaced.is_none());
        replaced
    }

    /// Removes `key`, and returns its value.
    pub(super) fn remove(&mut self, key: K) -> Option<V> {
        self.get(key)?; // So that a miss copies nothing.
        let removed = remove(&mut self.root, key);
        while let Node::Inner(children) = &*self.root
            && let [(_, only)] = &children[..]
        {
            self.root = Arc::clone(only);
        }
        self.len -= usize::from(removed.is_some());
        removed
    }

    /// All entries, in ascending order of their keys.
    pub(super) fn iter(&self) -> Iter<'_, K, V> {
        Iter::new(&self.root, None)
    }

    /// The entries whose keys are at least `from`, in ascending order.
    pub(super) fn iter_from(&self, from: K) -> Iter<'_, K, V> {
        Iter::new(&self.root, Some(from))
    }
}

impl<K: Copy, V> Node<K, V> {
    fn len(&self) -> usize {
        match self {
            Node::Leaf(entries) => entries.len(),
            Node::Inner(children) => children.len(),
        }
    }

    fn first_key(&self) -> K {
        match self {
            Node::Leaf(entries) => entries[0].0,
            Node::Inner(children) => children[0].0,
        }
    }
}

/// The position of the one child that may hold `key`.
fn child_of<K: Copy + Ord, V>(children: &[(K, V)], key: K) -> usize {
    children.partition_point(|child| child.0 <= key).saturating_sub(1)
}

fn insert<K: Copy + Ord, V: Clone>(node: &mut Arc<Node<K, V>>, key: K, value: V) -> Option<V> {
    match Arc::make_mut(node) {
        Node::Leaf(entries) => match entries.binary_search_by_key(&key, |e| e.0) {
            Ok(at) => Some(std::mem::replace(&mut entries[at].1, value)),
            Err(at) => {
                entries.insert(at, (key, value));
                None
            }
        },
        Node::Inner(children) => {
            let at = child_of(children, key);
            children[at].0 = children[at].0.min(key);
            let replaced = insert(&mut children[at].1, key, value);
            if let Some(right) = split(&mut children[at].1) {
                children.insert(at + 1, right);
            }
            replaced
        }
    }
}

/// Cuts the upper part off a node that has grown too large.
fn split<K: Copy + Ord, V: Clone>(node: &mut Arc<Node<K, V>>) -> Option<Child<K, V>> {
    if node.len() <= FANOUT {
        return None;
    }
    let right = match Arc::make_mut(node) {
        Node::Leaf(entries) => Node::Leaf(entries.split_off(FANOUT / 2)),
        Node::Inner(children) => Node::Inner(children.split_off(FANOUT / 2)),
    };
    Some((right.first_key(), Arc::new(right)))
}

fn remove<K: Copy + Ord, V: Clone>(node: &mut Arc<Node<K, V>>, key: K) -> Option<V> {
    match Arc::make_mut(node) {
        Node::Leaf(entries) => {
            let at = entries.binary_search_by_key(&key, |e| e.0).ok()?;
            Some(entries.remove(at).1)
        }
        Node::Inner(children) => {
            let at = child_of(children, key);
            let removed = remove(&mut children[at].1, key);
            if children[at].1.len() == 0 {
                children.remove(at);
            } else {
                join(children, at);
                join(children, at.saturating_sub(1));
            }
            removed
        }
    }
}

/// Joins the child at `at` with the one after it, if together they leave room to grow.
fn join<K: Copy + Ord, V: Clone>(children: &mut Vec<Child<K, V>>, at: usize) {
    let fits = |pair: &[Child<K, V>]| pair[0].1.len() + pair[1].1.len() <= FANOUT / 2;
    if !children.get(at..at + 2).is_some_and(fits) {
        return;
    }
    let (_, right) = children.remove(at + 1);
    match (Arc::make_mut(&mut children[at].1), &*right) {
        (Node::Leaf(left), Node::Leaf(right)) => left.extend_from_slice(right),
        (Node::Inner(left), Node::Inner(right)) => left.extend_from_slice(right),
        (Node::Leaf(_), Node::Inner(_)) | (Node::Inner(_), Node::Leaf(_)) => unreachable!("leaves are equally deep"),
    }
}

/// Walks the entries in order.
pub(super) struct Iter<'a, K, V> {
    leaf: std::slice::Iter<'a, (K, V)>,
    /// What is left of each inner node on the path to the leaf, the root's first.
    path: Vec<std::slice::Iter<'a, Child<K, V>>>,
}

impl<'a, K: Copy + Ord, V> Iter<'a, K, V> {
    fn new(root: &'a Node<K, V>, from: Option<K>) -> Self {
        let mut iter = Self { leaf: [].iter(), path: Vec::new() };
        iter.descend(root, from);
        iter
    }

    fn descend(&mut self, mut node: &'a Node<K, V>, from: Option<K>) {
        while let Node::Inner(children) = node {
            let at = from.map_or(0, |key| child_of(children, key));
            self.path.push(children[at + 1..].iter());
            node = &children[at].1;
        }
        if let Node::Leaf(entries) = node {
            let at = from.map_or(0, |key| entries.partition_point(|e| e.0 < key));
            self.leaf = entries[at..].iter();
        }
    }
}

impl<'a, K: Copy + Ord, V> Iterator for Iter<'a, K, V> {
    type Item = (K, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((key, value)) = self.leaf.next() {
                return Some((*key, value));
            }
            match self.path.last_mut()?.next() {
                Some((_, node)) => self.descend(node, None),
                None => _ = self.path.pop(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    impl<K: Copy + Ord, V> PersistentMap<K, V> {
        /// Asserts the invariants that the file states.
        fn check(&self) {
            let depths = self.root.depths();
            assert!(depths.iter().all(|depth| *depth == depths[0]), "leaves are equally deep");
        }
    }

    impl<K: Copy + Ord, V> Node<K, V> {
        fn depths(&self) -> Vec<usize> {
            assert!(self.len() <= FANOUT);
            match self {
                Node::Leaf(_) => vec![0],
                Node::Inner(children) => {
                    assert!(children.iter().all(|(key, child)| child.len() > 0 && *key <= child.first_key()));
                    assert!(children.is_sorted_by(|a, b| a.0 < b.0 && a.1.last_key() < b.0));
                    children.iter().flat_map(|(_, child)| child.depths()).map(|depth| depth + 1).collect()
                }
            }
        }

        fn last_key(&self) -> K {
            match self {
                Node::Leaf(entries) => entries[entries.len() - 1].0,
                Node::Inner(children) => children[children.len() - 1].1.last_key(),
            }
        }
    }

    #[derive(Clone, Debug)]
    enum Op {
        Insert(u16),
        Remove(u16),
        GetMut(u16),
        Keep,
    }

    fn ops() -> impl Strategy<Value = Vec<Op>> {
        let op = |keys: u16| {
            prop_oneof![
                4 => (0..keys).prop_map(Op::Insert),
                3 => (0..keys).prop_map(Op::Remove),
                1 => (0..keys).prop_map(Op::GetMut),
                1 => Just(Op::Keep),
            ]
        };
        prop_oneof![Just(40u16), Just(3000)].prop_flat_map(move |keys| proptest::collection::vec(op(keys), 0..1500))
    }

    fn entries(map: &PersistentMap<u16, usize>) -> Vec<(u16, usize)> {
        map.iter().map(|(key, value)| (key, *value)).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn does_as_a_btree_map_does_and_clones_never_change(ops in ops(), from in 0u16..3000) {
            let (mut map, mut model) = (PersistentMap::new(), BTreeMap::new());
            let mut kept = Vec::new();
            for (n, op) in ops.into_iter().enumerate() {
                match op {
                    Op::Insert(key) => prop_assert_eq!(map.insert(key, n), model.insert(key, n)),
                    Op::Remove(key) => prop_assert_eq!(map.remove(key), model.remove(&key)),
                    Op::GetMut(key) => {
                        prop_assert_eq!(map.get(key), model.get(&key));
                        prop_assert_eq!(map.get_mut(key).map(|v| *v = n), model.get_mut(&key).map(|v| *v = n));
                    }
                    Op::Keep => kept.push((map.clone(), model.clone())),
                }
            }
            kept.push((map, model));
            for (map, model) in kept {
                map.check();
                prop_assert_eq!(map.len(), model.len());
                prop_assert_eq!(entries(&map), model.iter().map(|(k, v)| (*k, *v)).collect::<Vec<_>>());
                prop_assert!(map.iter_from(from).map(|(k, _)| k).eq(model.range(from..).map(|(k, _)| *k)));
            }
        }
    }

    #[test]
    fn emptying_a_large_map_leaves_a_single_leaf() {
        let mut map = PersistentMap::new();
        for key in 0..5000u32 {
            map.insert(key, ());
        }
        for key in 0..5000 {
            assert!(map.remove(key).is_some());
            map.check();
        }
        assert!(matches!(&*map.root, Node::Leaf(entries) if entries.is_empty()));
    }

    #[test]
    fn a_write_after_a_clone_copies_one_path() {
        let mut map = PersistentMap::new();
        for key in 0..5000u32 {
            map.insert(key, Arc::new(()));
        }
        let kept = map.clone();
        map.insert(2500, Arc::new(()));
        let copied = kept.iter().filter(|(_, value)| Arc::strong_count(value) > 1).count();
        assert!((1..FANOUT).contains(&copied), "{copied} entries were copied");
    }
}
