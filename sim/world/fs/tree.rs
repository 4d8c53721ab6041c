//! Calls on names: open, rename, link and the rest. Each is one pending operation until its directory is synced.

use std::sync::Arc;

use stormproof_contract::{DiskErrorKind, Entry, Open};

use super::choose::{Choose, Mildest};
use super::file::File;
use super::journal::{NameOp, Op, SizeOp};
use super::names::{Edit, Node, Place, ROOT};
use super::{Fs, Ino, Profile};

impl Fs {
    /// Opens a file, and counts the handle: pair with [`Fs::close`]. That a file opened with [`Open::Read`] is not
    /// written to is the caller's to see to.
    pub fn open(&mut self, path: &str, how: Open) -> Result<Ino, DiskErrorKind> {
        let place = self.names.place(path)?;
        let ino = match (self.names.at(place), how) {
            (Some(_), Open::CreateNew) => return Err(DiskErrorKind::Exists),
            (Some(Node::Dir(_)), _) => return Err(DiskErrorKind::WrongKind),
            (Some(Node::File(ino)), Open::Truncate) => {
                self.set_len(ino, 0, &mut Mildest)?;
                ino
            }
            (Some(Node::File(ino)), Open::Read | Open::Write | Open::Create) => ino,
            (None, Open::Read | Open::Write) => return Err(DiskErrorKind::NotFound),
            (None, Open::Create | Open::CreateNew | Open::Truncate) => self.create(path, place, File::new(path.into())),
        };
        self.with_file(ino, |file| file.handles += 1);
        Ok(ino)
    }

    /// The file of a name, without opening it.
    pub fn find(&self, path: &str) -> Result<Ino, DiskErrorKind> {
        self.names.file(path)
    }

    /// Gives `from`, a file or a directory, the name `to`, replacing a file or an empty directory of that name. To
    /// model a rename that fails ambiguously, call it or do not.
    pub fn rename(&mut self, from: &str, to: &str) -> Result<(), DiskErrorKind> {
        let (old, new) = (self.names.place(from)?, self.names.place(to)?);
        let moved = self.names.at(old).ok_or(DiskErrorKind::NotFound)?;
        let replaced = self.names.at(new);
        if replaced == Some(moved) {
            return Ok(());
        }
        match (moved, replaced) {
            (Node::File(_), Some(Node::Dir(_))) | (Node::Dir(_), Some(Node::File(_))) => {
                return Err(DiskErrorKind::WrongKind);
            }
            (Node::Dir(dir), _) if self.names.encloses(dir, new.dir) => {
                return Err(DiskErrorKind::Other("a directory cannot move into itself".into()));
            }
            (Node::Dir(_), Some(Node::Dir(dir))) if !self.names.is_empty(dir) => return Err(DiskErrorKind::NotEmpty),
            (Node::Dir(_), Some(Node::Dir(_)) | None) | (Node::File(_), Some(Node::File(_)) | None) => {}
        }
        self.edit_names(to, vec![old.becomes(None), new.becomes(Some(moved))]);
        match moved {
            Node::File(ino) => self.file_mut(ino).path = to.into(),
            Node::Dir(_) => {}
        }
        self.unlink(replaced);
        Ok(())
    }

    /// Makes the names in a directory durable, and under `ordered` the whole journal. To model one that fails
    /// ambiguously, call it or do not.
    pub fn sync_dir(&mut self, dir: &str) -> Result<(), DiskErrorKind> {
        let dir = self.names.dir(dir)?;
        match self.profile {
            Profile::Weakest => {
                self.journal.settle_dir(dir, &mut self.disk_names);
                self.collect();
            }
            Profile::Ordered => self.commit_journal(),
        }
        Ok(())
    }

    /// Creates a directory. Its parent must exist.
    pub fn mkdir(&mut self, dir: &str) -> Result<(), DiskErrorKind> {
        let place = self.names.free_place(dir)?;
        let made = Node::Dir(self.new_ino());
        self.edit_names(dir, vec![place.becomes(Some(made))]);
        Ok(())
    }

    /// Gives the file `existing` a second name, which must be free.
    pub fn link(&mut self, existing: &str, new: &str) -> Result<(), DiskErrorKind> {
        let ino = self.names.file(existing)?;
        let place = self.names.free_place(new)?;
        self.edit_names(new, vec![place.becomes(Some(Node::File(ino)))]);
        self.with_file(ino, |file| file.links += 1);
        Ok(())
    }

    /// Creates `to`, which must be free, with what `from` shows. Not open, and not durable.
    pub fn clone_file(&mut self, from: &str, to: &str, choose: &mut dyn Choose) -> Result<(), DiskErrorKind> {
        let original = self.names.file(from)?;
        let place = self.names.free_place(to)?;
        let stamp = self.next_stamp();
        let copy = self.file_mut(original).copy(to.into(), stamp, choose);
        if copy.charged_pages > self.free_pages() {
            return Err(DiskErrorKind::NoSpace);
        }
        let change = SizeOp { from: 0, to: copy.len, stamp, written: true };
        let ino = self.create(to, place, copy);
        self.note_size(ino, (change.to > 0).then_some(change));
        Ok(())
    }

    /// Removes a file's name, or an empty directory.
    pub fn remove(&mut self, path: &str) -> Result<(), DiskErrorKind> {
        let place = self.names.place(path)?;
        let gone = self.names.at(place).ok_or(DiskErrorKind::NotFound)?;
        match gone {
            Node::Dir(dir) if !self.names.is_empty(dir) => return Err(DiskErrorKind::NotEmpty),
            Node::Dir(_) | Node::File(_) => {}
        }
        self.edit_names(path, vec![place.becomes(None)]);
        self.unlink(Some(gone));
        Ok(())
    }

    /// What is in a directory, in order of name.
    pub fn list(&self, dir: &str) -> Result<Vec<Entry>, DiskErrorKind> {
        Ok(self.names.entries(self.names.dir(dir)?))
    }

    /// Every file by every name, in order of directory and name.
    pub fn files(&self) -> Vec<(String, Ino)> {
        let mut files = Vec::new();
        self.names.walk(ROOT, &mut String::new(), &mut |path, node| match node {
            Node::File(ino) => files.push((path.to_owned(), ino)),
            Node::Dir(_) => {}
        });
        files
    }

    fn create(&mut self, path: &str, place: Place<'_>, file: File) -> Ino {
        let ino = self.new_ino();
        self.used_pages += file.charged_pages;
        self.files.insert(ino, Arc::new(file));
        self.edit_names(path, vec![place.becomes(Some(Node::File(ino)))]);
        ino
    }

    fn edit_names(&mut self, path: &str, edits: Vec<Edit>) {
        let op = NameOp { path: path.into(), edits };
        op.apply(&mut self.names);
        self.journal.push(Op::Name(op));
    }

    /// A name less. The file goes when the disk has no need of it either.
    fn unlink(&mut self, node: Option<Node>) {
        match node {
            Some(Node::File(ino)) => self.with_file(ino, |file| file.links -= 1),
            // It is empty: what it leaves behind can wait for the next file that goes.
            Some(Node::Dir(_)) | None => {}
        }
    }
}
