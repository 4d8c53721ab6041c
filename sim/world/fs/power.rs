//! What is left after the power was lost.
//!
//! Names and lengths are decided at once: everything that follows needs them, and there are few. Versions of pages are
//! decided when they are first read, so that the cost of a crash follows what the recovery reads, and so that an
//! explorer branches only where it matters.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::choose::{Choice, Choose, pick};
use super::journal::{NameSet, Op};
use super::names::{Node, ROOT};
use super::{Fs, Ino, Profile};

impl Fs {
    /// Power fails. Open files are closed, the page cache is gone, and the disk is left with what was synced and a
    /// legal choice of the rest. An [`Ino`] from before is void: open the file again.
    pub fn lose_power(&mut self, choose: &mut dyn Choose) {
        let ops = std::mem::take(&mut self.journal.ops);
        match self.profile {
            Profile::Weakest => self.keep_any_names(&ops, choose),
            Profile::Ordered => self.keep_prefix(&ops, choose),
        }
        self.names = self.disk_names.clone();
        self.relink();
        match self.profile {
            Profile::Weakest => self.keep_any_sizes(&ops, choose),
            Profile::Ordered => {}
        }
        for file in self.files.values_mut().map(Arc::make_mut) {
            file.lose_power(file.disk_len);
        }
        self.used_pages = self.files.values().map(|file| file.charged_pages).sum();
    }

    /// `weakest`: each operation on names survives or not, but none without those before it on the same name.
    fn keep_any_names(&mut self, ops: &[Op], choose: &mut dyn Choose) {
        let mut lost = NameSet::default();
        for (at, op) in ops.iter().enumerate() {
            let Op::Name(op) = op else { continue };
            let what = Choice::Name { path: &op.path, op: at as u32 };
            if lost.touches(op) || pick(choose, what, 2) == 1 {
                lost.add(op);
            } else {
                op.apply(&mut self.disk_names);
            }
        }
    }

    /// `weakest`: each file has any of its lengths since its last sync, and a write that made it longer may have done so
    /// up to the end of any page that was written back.
    fn keep_any_sizes(&mut self, ops: &[Op], choose: &mut dyn Choose) {
        let mut lens: BTreeMap<Ino, Lens> = BTreeMap::new();
        for op in ops.iter().rev() {
            let Op::Size(ino, change) = op else { continue };
            let Some(file) = self.files.get(ino) else { continue };
            lens.entry(*ino).or_default().extend(change.lens(file));
        }
        for (ino, mut lens) in lens {
            let file = self.file_mut(ino);
            lens.extend([file.disk_len]);
            let lens = lens.newest_first;
            file.disk_len = lens[pick(choose, Choice::Size { path: &file.path, lens: &lens }, lens.len())];
        }
    }

    /// `ordered`: the first operations of the journal survive, up to any of them.
    fn keep_prefix(&mut self, ops: &[Op], choose: &mut dyn Choose) {
        let lost = pick(choose, Choice::Journal { ops: ops.len() as u32 }, ops.len() + 1);
        let (kept, forgotten) = ops.split_at(ops.len() - lost);
        self.journal.ops.extend_from_slice(kept);
        self.journal.commit_all(&mut self.disk_names, &mut self.files);
        for op in forgotten {
            let Op::Size(ino, change) = op else { continue };
            if let Some(file) = self.files.get_mut(ino) {
                change.forget(Arc::make_mut(file));
            }
        }
    }

    /// Counts the names that each file has now, and drops the files that have none.
    fn relink(&mut self) {
        for file in self.files.values_mut().map(Arc::make_mut) {
            (file.links, file.handles) = (0, 0);
        }
        let names = self.names.clone();
        names.walk(ROOT, &mut String::new(), &mut |path, node| {
            let Node::File(ino) = node else { return };
            let file = self.file_mut(ino);
            if file.links == 0 && *file.path != *path {
                file.path = path.into();
            }
            file.links += 1;
        });
        self.garbage = true;
        self.collect();
    }
}

/// Lengths without repetition.
#[derive(Default)]
struct Lens {
    known: BTreeSet<u64>,
    newest_first: Vec<u64>,
}

impl Lens {
    fn extend(&mut self, lens: impl IntoIterator<Item = u64>) {
        self.newest_first.extend(lens.into_iter().filter(|len| self.known.insert(*len)));
    }
}
