//! The file system of one machine, as a value: what its processes see, and what its disk may hold after the power is
//! lost.
//!
//! The model is pure. It knows no time, draws nothing and fails of itself only for want of space: whoever holds it
//! decides when a call fails, and answers, through [`Choose`], every question that a real disk leaves open. It is cheap
//! to clone, since an explorer keeps an image for every step.
//!
//! # What survives the loss of power
//!
//! What a call did is visible at once to every process of the machine, and stays visible when a process is killed.
//! What the disk holds of it is another matter. There is *settled* state, which [`Fs::sync`] and [`Fs::sync_dir`] have
//! made durable, and there is everything since: versions of pages, lengths, and operations on names. Power loss keeps
//! the settled state and a legal choice of the rest. Two profiles say what is legal.
//!
//! **`Profile::Weakest`** is what POSIX lets an engine rely on, and no more.
//! - *Pages.* The kernel writes back a page of 4 KiB when it likes, so a page shows any version it had since its last
//!   sync, whatever other pages show. The device writes sectors of 512 bytes, and a device with a volatile cache writes
//!   them in any order, so a page may also be *torn*: each of its sectors shows any of its versions. A version is what
//!   one call left in one page: a single write is never seen half in one sector.
//! - *Lengths* are independent of pages. A file may have grown without the bytes (they are zeros then), and bytes
//!   beyond the surviving length are gone. Any length since the last sync may be found. Of a write that made the file
//!   longer, so may the end of any page that is not synced, on the way from the old length to the new: the kernel writes
//!   back some pages, records how far the file reaches with them, and then others.
//! - *Names.* An operation on names (create, remove, link, rename) survives only together with all earlier pending
//!   operations on the same name; apart from that, any set of them survives. A rename touches two names and is
//!   indivisible. A name is durable once its directory is synced, a rename once both directories are. What lies in a
//!   directory whose own name is lost is lost with it, durable or not.
//!
//! **`Profile::Ordered`** is a journalling file system like ext4 with `data=ordered`.
//! - Operations on names and lengths go through one metadata journal for the whole machine. What survives is a prefix
//!   of it. Any sync, of a file or a directory, commits the journal up to then.
//! - Appended data precedes its length: if a length survives, then each page that it brought in shows a version that is
//!   no older than the one of that append. So a temporary file that is written and renamed without a sync is whole if
//!   the rename survives, which `Weakest` does not promise. Likewise, if a cut does not survive, its blocks were never
//!   freed, and what was written after the cut is not in them.
//! - Overwrites stay free: within the length it had, a page shows any version, torn or not, as above.
//!
//! Each state that `Ordered` allows `Weakest` allows too: a prefix is closed under the order of names, its lengths are
//! among those that were, and it allows fewer versions.
//!
//! # What the model leaves out
//!
//! Each is legal for a real disk, and makes the set of outcomes smaller, never larger: a page that collects more than
//! 64 versions without a sync counts as written back up to the oldest of them; a cloned file takes as much space as a
//! copy; directories take none.
//!
//! # Where to find what
//!
//! [`choose`](Choose): the open questions. `content`: bytes of a page. `pages`: versions, cache, syncs that fail.
//! `file`: length and space. `names`: directories. `journal`: what is not durable yet. `power`: the crash. `tree`:
//! calls on names. `digest`: equal images have equal digests. Locks, points and handles are the caller's.

mod choose;
mod content;
mod digest;
mod file;
mod journal;
mod names;
mod pages;
mod power;
#[cfg(test)]
mod tests;
mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use stormproof_contract::{DiskErrorKind, Meta};

pub use choose::{Choice, Choose, Mildest};
use content::PAGE;
use file::{File, WriteAt};
use journal::{Files, Journal, Op, SizeOp};
use names::{Names, Node, ROOT};
use pages::Stamp;

/// What power loss may leave; see the head of this file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// What POSIX promises, and no more.
    Weakest,
    /// A metadata journal, and appended data before its length.
    Ordered,
}

/// A file, whatever its names. Numbers are not reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Ino(u32);

/// What becomes of a write on its way to the disk. The page cache shows the intended bytes in any case.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It arrives.
    Normal,
    /// The device acknowledges it and never writes it. A sync says `Ok`; once the page leaves the cache, reads show
    /// the old bytes. A later write to the same page carries these bytes along.
    Lost,
    /// The device acknowledges it and writes only its first sectors (of 512 bytes, the first may be covered in part).
    Torn {
        /// How many arrive.
        sectors_kept: u32,
    },
    /// The device writes it at another place of the same file.
    Misdirected {
        /// Where it lands.
        to_offset: u64,
    },
}

/// The file system of a machine.
#[derive(Clone, Debug)]
pub struct Fs {
    profile: Profile,
    capacity_pages: u64,
    used_pages: u64,
    /// What calls see.
    names: Arc<Names>,
    /// What the disk holds, without the journal.
    disk_names: Arc<Names>,
    files: Files,
    journal: Journal,
    next_ino: u32,
    stamp: Stamp,
    /// Whether some file may have become unreachable.
    garbage: bool,
}

impl Fs {
    /// An empty disk.
    pub fn new(profile: Profile, capacity_bytes: u64) -> Self {
        let names = Arc::new(Names::new());
        Fs {
            profile,
            capacity_pages: capacity_bytes / PAGE as u64,
            used_pages: 0,
            names: names.clone(),
            disk_names: names,
            files: BTreeMap::new(),
            journal: Journal::default(),
            next_ino: ROOT.0 + 1,
            stamp: 0,
            garbage: false,
        }
    }

    /// The host is lost, and its disk with it. An [`Ino`] from before is void.
    pub fn wipe(&mut self) {
        let next_ino = self.next_ino;
        *self = Fs { next_ino, ..Fs::new(self.profile, self.capacity_pages * PAGE as u64) };
    }

    /// Bytes that can still be written.
    pub fn free(&self) -> u64 {
        self.free_pages() * PAGE as u64
    }

    /// Changes the capacity: a disk that fills from elsewhere, or is given room. What is stored stays.
    pub fn set_capacity(&mut self, capacity_bytes: u64) {
        self.capacity_pages = capacity_bytes / PAGE as u64;
    }

    /// Gives a handle back. A file without names and handles is gone.
    pub fn close(&mut self, ino: Ino) {
        self.with_file(ino, |file| {
            assert!(file.handles > 0, "{}: closed more often than opened", file.path);
            file.handles -= 1;
        });
        self.collect();
    }

    /// Fills `buf` from `offset` on, and says how much there was.
    pub fn read(&mut self, ino: Ino, offset: u64, buf: &mut [u8], choose: &mut dyn Choose) -> usize {
        self.file_mut(ino).read(offset, buf, choose)
    }

    /// Writes the parts one after another, and says how many bytes were taken: fewer than given if the disk is full.
    /// The question it may ask is what an unresolved page held that it overwrites in part.
    pub fn write(
        &mut self,
        ino: Ino,
        offset: u64,
        parts: &[&[u8]],
        fate: Fate,
        choose: &mut dyn Choose,
    ) -> Result<usize, DiskErrorKind> {
        let wanted: usize = parts.iter().map(|part| part.len()).sum();
        if offset.checked_add(wanted as u64).is_none_or(|end| end > i64::MAX as u64) {
            return Err(DiskErrorKind::NoSpace);
        }
        let (len, pages) = self.file(ino).room_for(offset, wanted, self.free_pages());
        if len == 0 {
            return if wanted == 0 { Ok(0) } else { Err(DiskErrorKind::NoSpace) };
        }
        let at = WriteAt { offset, len, fate, stamp: self.next_stamp() };
        let resized = self.with_file(ino, |file| {
            file.charged_pages += pages;
            file.write(at, parts, choose)
        });
        self.note_size(ino, resized);
        Ok(len)
    }

    /// Makes bytes and length durable, and under `ordered` the whole journal.
    pub fn sync(&mut self, ino: Ino) {
        let file = self.file_mut(ino);
        file.pages.sync();
        if self.profile == Profile::Ordered {
            return self.commit_journal();
        }
        let file = self.file_mut(ino);
        if std::mem::take(&mut file.len_dirty) {
            file.disk_len = file.len;
            self.journal.settle_size(ino);
        }
    }

    /// A sync that fails: what was dirty becomes clean, and whether it reached the disk stays open. Later syncs pass it
    /// over; only writing to a page again makes that page dirty. With `keep_in_cache` reads still show it until it is
    /// evicted, without they show what the disk turns out to hold.
    pub fn fail_sync(&mut self, ino: Ino, keep_in_cache: bool) {
        let file = self.file_mut(ino);
        file.len_dirty = false;
        file.pages.fail_sync(keep_in_cache);
    }

    /// Cuts the file, or extends it with zeros.
    pub fn set_len(&mut self, ino: Ino, len: u64, choose: &mut dyn Choose) -> Result<(), DiskErrorKind> {
        if len > i64::MAX as u64 {
            return Err(DiskErrorKind::NoSpace);
        }
        let stamp = self.next_stamp();
        let resized = self.with_file(ino, |file| file.set_len(len, stamp, choose));
        self.note_size(ino, resized);
        Ok(())
    }

    /// Takes space up to `len` and extends the file with zeros to it, or takes nothing.
    pub fn allocate(&mut self, ino: Ino, len: u64) -> Result<(), DiskErrorKind> {
        let free_pages = self.free_pages();
        self.with_file(ino, |file| file.reserve(len, free_pages))?;
        let len = len.max(self.file(ino).len);
        self.set_len(ino, len, &mut Mildest)
    }

    /// What is known of a file.
    pub fn meta(&self, ino: Ino) -> Meta {
        Meta { len: self.file(ino).len }
    }

    /// Flips a bit of what the disk holds at `offset`. A page that is dirty will be overwritten, and one that is in the
    /// cache though the disk does not hold it hides the damage until it is evicted.
    pub fn rot(&mut self, ino: Ino, offset: u64, bit: u32) {
        let file = self.file_mut(ino);
        if offset < file.len {
            file.pages.rot(offset / PAGE as u64, (offset % PAGE as u64) as usize, bit);
        }
    }

    /// Drops pages from the cache that are clean although the disk may not hold them, as memory pressure would.
    pub fn evict(&mut self, choose: &mut dyn Choose) {
        for file in self.files.values_mut().map(Arc::make_mut) {
            file.pages.evict(&file.path, choose);
        }
    }

    /// Whether there is anything that [`evict`](Self::evict) would ask about.
    pub fn can_evict(&self) -> bool {
        self.files.values().any(|file| file.pages.can_evict())
    }

    /// Whether anything was done that no sync has made durable yet.
    pub fn has_unsynced(&self) -> bool {
        !self.journal.ops.is_empty() || self.files.values().any(|file| file.pages.is_dirty())
    }

    fn free_pages(&self) -> u64 {
        self.capacity_pages.saturating_sub(self.used_pages)
    }

    fn next_stamp(&mut self) -> Stamp {
        self.stamp += 1;
        self.stamp
    }

    fn new_ino(&mut self) -> Ino {
        self.next_ino += 1;
        Ino(self.next_ino - 1)
    }

    fn file(&self, ino: Ino) -> &File {
        self.files.get(&ino).expect("a handle is held only to a file that exists")
    }

    fn file_mut(&mut self, ino: Ino) -> &mut File {
        Arc::make_mut(self.files.get_mut(&ino).expect("a handle is held only to a file that exists"))
    }

    /// Changes a file, and accounts for the space that this takes or frees.
    fn with_file<T>(&mut self, ino: Ino, change: impl FnOnce(&mut File) -> T) -> T {
        let charge = |file: &File| if file.is_live() { file.charged_pages } else { 0 };
        let file = self.file_mut(ino);
        let before = charge(file);
        let result = change(file);
        let (after, live) = (charge(file), file.is_live());
        self.used_pages = self.used_pages - before + after;
        self.garbage |= !live;
        result
    }

    fn note_size(&mut self, ino: Ino, resized: Option<SizeOp>) {
        if let Some(change) = resized {
            self.journal.push(Op::Size(ino, change));
        }
    }

    fn commit_journal(&mut self) {
        self.journal.commit_all(&mut self.disk_names, &mut self.files);
        self.collect();
    }

    /// Drops what no name, no pending operation and no handle leads to.
    fn collect(&mut self) {
        if !std::mem::take(&mut self.garbage) {
            return;
        }
        let mut dirs = BTreeSet::new();
        let mut files: BTreeSet<Ino> =
            self.files.iter().filter(|(_, file)| file.handles > 0).map(|(ino, _)| *ino).collect();
        let mut found: Vec<Node> = self.journal.mentions().chain([Node::Dir(ROOT)]).collect();
        while let Some(node) = found.pop() {
            match node {
                Node::File(ino) => drop(files.insert(ino)),
                Node::Dir(dir) if dirs.insert(dir) => {
                    found.extend(self.names.children(dir).chain(self.disk_names.children(dir)).map(|(_, node)| node));
                }
                Node::Dir(_) => {}
            }
        }
        self.files.retain(|ino, _| files.contains(ino));
        self.journal.ops.retain(|op| !matches!(op, Op::Size(ino, _) if !files.contains(ino)));
        Arc::make_mut(&mut self.names).retain_dirs(|dir| dirs.contains(&dir));
        Arc::make_mut(&mut self.disk_names).retain_dirs(|dir| dirs.contains(&dir));
    }
}
