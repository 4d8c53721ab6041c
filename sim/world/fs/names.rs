//! The directory tree: which name leads to which file or directory.
//!
//! There are two of them, the one that calls see and the one that the disk holds. Both change by [`Edit`]s: an
//! operation edits the first at once, and the second when it becomes durable or turns out to have survived.

use std::{collections::BTreeMap, sync::Arc};

use stormproof_contract::{DiskErrorKind, Entry, check_path};

use super::Ino;

/// The node's own directory.
pub(super) const ROOT: Ino = Ino(0);

/// What a name leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Node {
    File(Ino),
    Dir(Ino),
}

/// One name, and what it leads to from now on.
#[derive(Clone, Debug)]
pub(super) struct Edit {
    pub(super) dir: Ino,
    pub(super) name: Arc<str>,
    pub(super) becomes: Option<Node>,
    /// Whether the directory was synced since.
    pub(super) synced: bool,
}

/// A name as calls give it: the directory, which exists, and the last part, which need not.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) dir: Ino,
    pub(super) name: &'a str,
}

impl Place<'_> {
    pub(super) fn becomes(self, node: Option<Node>) -> Edit {
        Edit { dir: self.dir, name: self.name.into(), becomes: node, synced: false }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Names {
    dirs: BTreeMap<Ino, BTreeMap<Arc<str>, Node>>,
}

impl Names {
    pub(super) fn new() -> Self {
        Names { dirs: BTreeMap::from([(ROOT, BTreeMap::new())]) }
    }

    /// The directory and last part of a path. The root has neither.
    pub(super) fn place<'a>(&self, path: &'a str) -> Result<Place<'a>, DiskErrorKind> {
        if path.is_empty() || !check_path(path) {
            return Err(DiskErrorKind::BadPath);
        }
        match path.rsplit_once('/') {
            Some((dir, name)) => Ok(Place { dir: self.dir(dir)?, name }),
            None => Ok(Place { dir: ROOT, name: path }),
        }
    }

    /// What a place holds.
    pub(super) fn at(&self, place: Place<'_>) -> Option<Node> {
        self.dirs[&place.dir].get(place.name).copied()
    }

    /// A place that holds nothing yet.
    pub(super) fn free_place<'a>(&self, path: &'a str) -> Result<Place<'a>, DiskErrorKind> {
        let place = self.place(path)?;
        if self.at(place).is_some() { Err(DiskErrorKind::Exists) } else { Ok(place) }
    }

    /// What a path leads to, which must exist.
    pub(super) fn find(&self, path: &str) -> Result<Node, DiskErrorKind> {
        if path.is_empty() {
            return Ok(Node::Dir(ROOT));
        }
        self.at(self.place(path)?).ok_or(DiskErrorKind::NotFound)
    }

    pub(super) fn dir(&self, path: &str) -> Result<Ino, DiskErrorKind> {
        let mut dir = ROOT;
        if !check_path(path) {
            return Err(DiskErrorKind::BadPath);
        }
        for name in path.split('/').filter(|name| !name.is_empty()) {
            match self.dirs[&dir].get(name) {
                Some(Node::Dir(below)) => dir = *below,
                Some(Node::File(_)) => return Err(DiskErrorKind::WrongKind),
                None => return Err(DiskErrorKind::NotFound),
            }
        }
        Ok(dir)
    }

    pub(super) fn file(&self, path: &str) -> Result<Ino, DiskErrorKind> {
        match self.find(path)? {
            Node::File(ino) => Ok(ino),
            Node::Dir(_) => Err(DiskErrorKind::WrongKind),
        }
    }

    pub(super) fn entries(&self, dir: Ino) -> Vec<Entry> {
        let entry =
            |(name, node): (&Arc<str>, &Node)| Entry { name: name.to_string(), is_dir: matches!(node, Node::Dir(_)) };
        self.dirs[&dir].iter().map(entry).collect()
    }

    /// What the names in a directory lead to. None for a directory that this tree does not have.
    pub(super) fn children(&self, dir: Ino) -> impl Iterator<Item = (&Arc<str>, Node)> {
        self.dirs.get(&dir).into_iter().flatten().map(|(name, node)| (name, *node))
    }

    pub(super) fn is_empty(&self, dir: Ino) -> bool {
        self.dirs[&dir].is_empty()
    }

    /// Whether `dir` is `inner` or one of the directories it lies in.
    pub(super) fn encloses(&self, dir: Ino, inner: Ino) -> bool {
        dir == inner
            || self.dirs[&dir].values().any(|node| matches!(node, Node::Dir(below) if self.encloses(*below, inner)))
    }

    pub(super) fn apply(&mut self, edit: &Edit) {
        if let Some(Node::Dir(dir)) = edit.becomes {
            self.dirs.entry(dir).or_default();
        }
        let names = self.dirs.entry(edit.dir).or_default();
        match edit.becomes {
            Some(node) => names.insert(edit.name.clone(), node),
            None => names.remove(&edit.name),
        };
    }

    /// Visits everything that can be reached from `dir`, parents first, in order of name.
    pub(super) fn walk(&self, dir: Ino, path: &mut String, visit: &mut impl FnMut(&str, Node)) {
        let parent_len = path.len();
        for (name, node) in self.children(dir) {
            if parent_len > 0 {
                path.push('/');
            }
            path.push_str(name);
            visit(path, node);
            if let Node::Dir(below) = node {
                self.walk(below, path, visit);
            }
            path.truncate(parent_len);
        }
    }

    /// Drops the directories that are not listed.
    pub(super) fn retain_dirs(&mut self, keep: impl Fn(Ino) -> bool) {
        self.dirs.retain(|dir, _| keep(*dir));
    }
}
