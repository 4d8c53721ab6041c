//! What was done to names and lengths and is not durable yet, in order.
//!
//! Under `weakest` the list is only a record: syncs take from it what they made durable, in any order that keeps the
//! order of operations on one name. Under `ordered` it is the file system's metadata journal: a sync commits all of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    iter,
    sync::Arc,
};

use super::Ino;
use super::content::PAGE;
use super::file::File;
use super::names::{Edit, Names, Node};
use super::pages::Stamp;

pub(super) type Files = BTreeMap<Ino, Arc<File>>;

#[derive(Clone, Debug)]
pub(super) enum Op {
    Name(NameOp),
    Size(Ino, SizeOp),
}

/// A name made, removed, or moved: one edit, or two that are indivisible.
#[derive(Clone, Debug)]
pub(super) struct NameOp {
    pub(super) path: Arc<str>,
    pub(super) edits: Vec<Edit>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct SizeOp {
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) stamp: Stamp,
    /// Whether it came with bytes, which are written back page by page, and the length with them.
    pub(super) written: bool,
}

/// Names, by directory and last part.
#[derive(Default)]
pub(super) struct NameSet(BTreeSet<(Ino, Arc<str>)>);

impl NameSet {
    pub(super) fn touches(&self, op: &NameOp) -> bool {
        !self.0.is_empty() && op.edits.iter().any(|edit| self.0.contains(&(edit.dir, edit.name.clone())))
    }

    pub(super) fn add(&mut self, op: &NameOp) {
        self.0.extend(op.edits.iter().map(|edit| (edit.dir, edit.name.clone())));
    }
}

impl NameOp {
    pub(super) fn apply(&self, names: &mut Arc<Names>) {
        let names = Arc::make_mut(names);
        self.edits.iter().for_each(|edit| names.apply(edit));
    }

    fn mark_synced(&mut self, dir: Ino) {
        for edit in self.edits.iter_mut().filter(|edit| edit.dir == dir) {
            edit.synced = true;
        }
    }
}

impl SizeOp {
    /// The lengths that the disk may hold because of it, newest first.
    pub(super) fn lens(&self, file: &File) -> impl Iterator<Item = u64> {
        let page = PAGE as u64;
        let on_the_way = if self.written { self.from / page..self.to.div_ceil(page) - 1 } else { 0..0 };
        iter::once(self.to).chain(file.pages.undecided(on_the_way).map(move |at| (at + 1) * page))
    }

    /// The journal holds this: the bytes in the pages that it brought in are on the disk. Of a cut nothing is asked: what
    /// lies beyond the length is dropped, or brought in again by a later growth.
    pub(super) fn commit(&self, file: &mut File) {
        file.disk_len = self.to;
        if self.to > self.from {
            file.pages.raise_floor(self.from / PAGE as u64, (self.to - 1) / PAGE as u64, self.stamp);
        }
    }

    /// The journal does not hold this: a cut that never happened freed no blocks for what was written after it.
    pub(super) fn forget(&self, file: &mut File) {
        if self.to < self.from {
            file.pages.lower_ceiling(self.to / PAGE as u64, self.stamp);
        }
    }
}

#[derive(Clone, Default, Debug)]
pub(super) struct Journal {
    pub(super) ops: Vec<Op>,
}

impl Journal {
    pub(super) fn push(&mut self, op: Op) {
        self.ops.push(op);
    }

    /// `weakest`: the length of a file is durable.
    pub(super) fn settle_size(&mut self, ino: Ino) {
        self.ops.retain(|op| !matches!(op, Op::Size(of, _) if *of == ino));
    }

    /// `weakest`: the names in a directory are durable. A rename out of it or into it waits for its other directory,
    /// unless a later operation on one of its names is durable already, which cannot be without it.
    pub(super) fn settle_dir(&mut self, dir: Ino, disk: &mut Arc<Names>) {
        let mut needed = NameSet::default();
        let mut settled = vec![false; self.ops.len()];
        for (at, op) in self.ops.iter_mut().enumerate().rev() {
            let Op::Name(op) = op else { continue };
            op.mark_synced(dir);
            if op.edits.iter().all(|edit| edit.synced) || needed.touches(op) {
                settled[at] = true;
                needed.add(op);
            }
        }
        let mut settled = settled.into_iter();
        self.ops.retain(|op| match (op, settled.next()) {
            (Op::Name(op), Some(true)) => {
                op.apply(disk);
                false
            }
            (Op::Name(_) | Op::Size(..), _) => true,
        });
    }

    /// `ordered`: all of the journal is durable.
    pub(super) fn commit_all(&mut self, disk: &mut Arc<Names>, files: &mut Files) {
        for op in self.ops.drain(..) {
            match op {
                Op::Name(op) => op.apply(disk),
                Op::Size(ino, change) => {
                    if let Some(file) = files.get_mut(&ino) {
                        change.commit(Arc::make_mut(file));
                    }
                }
            }
        }
    }

    /// What pending operations lead to: not garbage yet.
    pub(super) fn mentions(&self) -> impl Iterator<Item = Node> {
        self.ops
            .iter()
            .flat_map(|op| match op {
                Op::Name(op) => op.edits.as_slice(),
                Op::Size(..) => &[],
            })
            .filter_map(|edit| edit.becomes)
    }
}
