//! A number for an image: equal for images that no sequence of calls and answers can tell apart.
//!
//! Inode numbers, stamps and open handles do not count; what is unresolved counts as such. So two histories that leave
//! the same disk have the same digest once the power is lost, and one recovery can stand for both. It is a hash of 64
//! bits: among a million images, two that differ share a digest with a probability of 3 in 100 million.

use std::collections::BTreeMap;

use super::content::Content;
use super::file::File;
use super::journal::Op;
use super::names::{Names, Node, ROOT};
use super::pages::Stamp;
use super::{Fs, Ino, Profile};

impl Fs {
    /// The digest of the image: what calls see, what the disk holds, and what is open between the two.
    pub fn digest(&self) -> u64 {
        let mut canon = Canon { fs: self, numbers: BTreeMap::new(), mix: Mix(0x9e37_79b9_7f4a_7c15) };
        canon.mix.word(self.capacity_pages);
        canon.tree(&self.names, ROOT);
        if !self.journal.ops.is_empty() {
            canon.tree(&self.disk_names, ROOT);
            self.journal.ops.iter().for_each(|op| canon.op(op));
        }
        canon.mix.0
    }
}

/// Hashes in an order of its own: inodes are numbered as they are met.
struct Canon<'a> {
    fs: &'a Fs,
    numbers: BTreeMap<Ino, u64>,
    mix: Mix,
}

impl Canon<'_> {
    fn tree(&mut self, names: &Names, dir: Ino) {
        for (name, node) in names.children(dir) {
            self.mix.bytes(name.as_bytes());
            self.node(node);
            if let Node::Dir(below) = node {
                self.tree(names, below);
            }
        }
        self.mix.word(u64::MAX);
    }

    /// A node by its number, and a file with what is in it where it is first met.
    fn node(&mut self, node: Node) {
        let (Node::File(ino) | Node::Dir(ino)) = node;
        let first = self.number(ino);
        if let (true, Node::File(_)) = (first, node) {
            self.file(self.fs.file(ino));
        }
    }

    /// Hashes the number of an inode, and says whether it is new.
    fn number(&mut self, ino: Ino) -> bool {
        let next = self.numbers.len() as u64;
        let number = *self.numbers.entry(ino).or_insert(next);
        self.mix.word(number);
        number == next
    }

    fn op(&mut self, op: &Op) {
        match op {
            Op::Name(op) => {
                for edit in &op.edits {
                    self.number(edit.dir);
                    self.mix.bytes(edit.name.as_bytes());
                    self.mix.word(u64::from(edit.synced));
                    match edit.becomes {
                        Some(node) => self.node(node),
                        None => self.mix.word(u64::MAX),
                    }
                }
            }
            Op::Size(ino, change) => {
                self.node(Node::File(*ino));
                self.mix.word(change.to);
                self.mix.word(u64::from(change.written));
            }
        }
    }

    fn file(&mut self, file: &File) {
        for word in [file.len, file.disk_len, u64::from(file.len_dirty), file.charged_pages] {
            self.mix.word(word);
        }
        for page in file.pages.from(0) {
            self.mix.word(page);
            self.content(&file.pages.settled(page));
            let Some(entry) = file.pages.unsettled(page) else { continue };
            self.mix.word(2 * entry.newer.len() as u64 + u64::from(entry.dirty));
            for version in &entry.newer {
                let place = self.place_in_journal(version.written);
                self.mix.word(place);
                self.content(&version.content);
            }
            match &entry.cache {
                Some(content) => self.content(content),
                None => self.mix.word(u64::MAX),
            }
        }
    }

    /// How many changes of length came before a version: what `ordered` goes by.
    fn place_in_journal(&self, written: Stamp) -> u64 {
        let ops = match self.fs.profile {
            Profile::Weakest => &[],
            Profile::Ordered => self.fs.journal.ops.as_slice(),
        };
        ops.iter().filter(|op| matches!(op, Op::Size(_, change) if change.stamp <= written)).count() as u64
    }

    fn content(&mut self, content: &Content) {
        self.mix.bytes(content.bytes());
    }
}

/// A multiply-and-fold hash: fast on long runs of bytes, and no defence against an adversary, which there is not.
struct Mix(u64);

impl Mix {
    fn word(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word) * 0xd6e8_feb8_6659_fd93;
        self.0 = (product >> 64) as u64 ^ product as u64;
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.word(bytes.len() as u64);
        let mut words = bytes.chunks_exact(8);
        for word in words.by_ref() {
            self.word(u64::from_le_bytes(word.try_into().expect("a chunk of eight")));
        }
        let mut last = [0; 8];
        last[..words.remainder().len()].copy_from_slice(words.remainder());
        self.word(u64::from_le_bytes(last));
    }
}
