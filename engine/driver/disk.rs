//! The contract's disk on a directory of the operating system.
//!
//! # Paths stay inside
//! A path is checked by [`check_path`] and then walked part by part from a handle on the directory, each step by
//! `openat` with `O_NOFOLLOW`. So neither `..` nor a symbolic link leads out, wherever in the path it stands and
//! whoever put it there, and renaming the directory while it is in use harms nothing. The price is one `openat` for
//! each directory in the path. (`openat2` with `RESOLVE_BENEATH` is one call for any depth, but exists on Linux only
//! and is refused by the system-call filters of older container runtimes.)
//!
//! # Durability
//! [`File::sync`] is `fdatasync`. It leaves out only metadata that is not needed to read the bytes back, such as the
//! time of change; the length, and the extents of preallocated space that were written for the first time, are needed
//! and go with it (POSIX, *synchronized I/O data integrity completion*; fdatasync(2)). On Apple systems the standard
//! library makes it `F_FULLFSYNC`, the call that reaches the platter there. [`Disk::sync_dir`] is `fsync` of the
//! directory.
//!
//! # Why `rustix`
//! The standard library lacks `openat`, vectored writes at an offset, `fallocate`, `statvfs` and reflinks. `libc` has
//! them as `unsafe` calls, which this workspace denies; `rustix` has them safe, and tests and terminal output already
//! bring it into the build.

use std::{
    fs::{self, TryLockError},
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
    sync::Arc,
};

use rustix::{
    fs::{AtFlags, Dir, FileType, Mode, OFlags},
    io::{Errno, retry_on_intr},
};
use stormproof_contract::{Disk, DiskError, DiskErrorKind, DiskOp, DiskResult, Entry, File, Lock, Open, check_path};

use super::{
    errno::{kind_of, kind_of_std},
    failpoints,
    file::{RealFile, share_or_copy},
};

#[cfg(test)]
mod tests;

/// A [`Disk`] on a real directory.
#[derive(Clone, Debug)]
pub struct RealDisk {
    root: Arc<OwnedFd>,
    /// The directory that paths are relative to, itself relative to `root`. Looked up at each call, since it may be
    /// made after it was named.
    scope: Box<str>,
}

/// Where a path leads: the directory that holds it, open, and its name in there.
struct Place<'a> {
    op: DiskOp,
    dir: Directory<'a>,
    /// From the root on: what errors name.
    full: String,
}

/// The root itself, or a directory opened for one call.
enum Directory<'a> {
    Root(BorrowedFd<'a>),
    Opened(OwnedFd),
}

impl AsFd for Directory<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Directory::Root(fd) => fd.as_fd(),
            Directory::Opened(fd) => fd.as_fd(),
        }
    }
}

impl Place<'_> {
    fn name(&self) -> &str {
        self.full.rsplit_once('/').map_or(&self.full, |(_, name)| name)
    }

    fn open(&self, flags: OFlags) -> DiskResult<OwnedFd> {
        open_in(&self.dir, self.name(), flags).map_err(|errno| self.fail(errno))
    }

    /// Opens what must be a file. Opened to read, a directory would pass for one until its first read.
    fn open_file(&self, flags: OFlags) -> DiskResult<fs::File> {
        let file = self.open(flags)?;
        match rustix::fs::fstat(&file).map(|stat| FileType::from_raw_mode(stat.st_mode)) {
            Ok(FileType::RegularFile) => Ok(file.into()),
            Ok(_) => Err(self.fail(Errno::ISDIR)),
            Err(errno) => Err(self.fail(errno)),
        }
    }

    /// Whether a directory has the name.
    fn is_dir(&self) -> bool {
        is_dir(&self.dir, self.name(), FileType::Unknown).unwrap_or(false)
    }

    fn fail(&self, errno: Errno) -> DiskError {
        DiskError::new(self.op, &self.full, kind_of(errno))
    }
}

impl RealDisk {
    /// The disk whose files lie in `dir`, which is created at need, durably, with what is missing above it.
    pub fn open(dir: &Path) -> DiskResult<RealDisk> {
        let error = |kind| DiskError::new(DiskOp::Open, &dir.to_string_lossy(), kind);
        create_durably(dir).map_err(|e| error(kind_of_std(&e)))?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(dir, flags, Mode::empty()).map_err(|errno| error(kind_of(errno)))?;
        Ok(RealDisk { root: Arc::new(root), scope: "".into() })
    }

    /// The path as seen from the root.
    fn full(&self, op: DiskOp, path: &str) -> DiskResult<String> {
        let full = join(&self.scope, path);
        if check_path(&full) { Ok(full) } else { Err(DiskError::new(op, &full, DiskErrorKind::BadPath)) }
    }

    /// Where `path` leads, which must not be the root: that has no name.
    fn locate(&self, op: DiskOp, path: &str) -> DiskResult<Place<'_>> {
        let full = self.full(op, path)?;
        if full.is_empty() {
            return Err(DiskError::new(op, &full, DiskErrorKind::BadPath));
        }
        let dir = full.rsplit_once('/').map_or("", |(dir, _)| dir);
        match self.walk(dir) {
            Ok(dir) => Ok(Place { op, dir, full }),
            Err(errno) => Err(DiskError::new(op, &full, kind_of(errno))),
        }
    }

    /// Opens the directory `dir`, relative to the root, step by step.
    fn walk(&self, dir: &str) -> Result<Directory<'_>, Errno> {
        let mut here = Directory::Root((*self.root).as_fd());
        for part in dir.split('/').filter(|part| !part.is_empty()) {
            here = Directory::Opened(open_in(&here, part, OFlags::RDONLY | OFlags::DIRECTORY)?);
        }
        Ok(here)
    }
}

impl Disk for RealDisk {
    fn open(&self, path: &str, how: Open) -> DiskResult<Arc<dyn File>> {
        failpoints::before(DiskOp::Open, path)?;
        let flags = match how {
            Open::Read => OFlags::RDONLY,
            Open::Write => OFlags::RDWR,
            Open::Create => OFlags::RDWR | OFlags::CREATE,
            Open::CreateNew => OFlags::RDWR | OFlags::CREATE | OFlags::EXCL,
            Open::Truncate => OFlags::RDWR | OFlags::CREATE | OFlags::TRUNC,
        };
        let place = self.locate(DiskOp::Open, path)?;
        let file = place.open_file(flags)?;
        Ok(Arc::new(RealFile::new(file, place.full)))
    }

    fn rename(&self, from: &str, to: &str) -> DiskResult<()> {
        failpoints::before(DiskOp::Rename, from)?;
        let (from, to) = (self.locate(DiskOp::Rename, from)?, self.locate(DiskOp::Rename, to)?);
        rustix::fs::renameat(&from.dir, from.name(), &to.dir, to.name()).map_err(|errno| from.fail(errno))
    }

    fn sync_dir(&self, dir: &str) -> DiskResult<()> {
        failpoints::before(DiskOp::SyncDir, dir)?;
        let full = self.full(DiskOp::SyncDir, dir)?;
        self.walk(&full)
            .and_then(|dir| retry_on_intr(|| rustix::fs::fsync(&dir)))
            .map_err(|errno| DiskError::new(DiskOp::SyncDir, &full, kind_of(errno)))
    }

    fn mkdir(&self, dir: &str) -> DiskResult<()> {
        failpoints::before(DiskOp::Mkdir, dir)?;
        let place = self.locate(DiskOp::Mkdir, dir)?;
        rustix::fs::mkdirat(&place.dir, place.name(), Mode::from_raw_mode(0o777)).map_err(|errno| place.fail(errno))
    }

    fn link(&self, existing: &str, new: &str) -> DiskResult<()> {
        failpoints::before(DiskOp::Link, existing)?;
        let (existing, new) = (self.locate(DiskOp::Link, existing)?, self.locate(DiskOp::Link, new)?);
        match rustix::fs::linkat(&existing.dir, existing.name(), &new.dir, new.name(), AtFlags::empty()) {
            // How the system says that it links no directories, among other things.
            Err(Errno::PERM) if existing.is_dir() => Err(existing.fail(Errno::ISDIR)),
            done => done.map_err(|errno| existing.fail(errno)),
        }
    }

    fn clone_file(&self, from: &str, to: &str) -> DiskResult<()> {
        failpoints::before(DiskOp::Clone, from)?;
        let source = self.locate(DiskOp::Clone, from)?.open_file(OFlags::RDONLY)?;
        let place = self.locate(DiskOp::Clone, to)?;
        let target = place.open(OFlags::RDWR | OFlags::CREATE | OFlags::EXCL)?;
        share_or_copy(&source, &target.into()).map_err(|e| {
            // Half a copy must not stay under the name of a whole one. Should this fail too, the first error says more.
            let _ = rustix::fs::unlinkat(&place.dir, place.name(), AtFlags::empty());
            DiskError::new(DiskOp::Clone, &place.full, kind_of_std(&e))
        })
    }

    fn remove(&self, path: &str) -> DiskResult<()> {
        failpoints::before(DiskOp::Remove, path)?;
        let place = self.locate(DiskOp::Remove, path)?;
        // How the system says that it is a directory: Linux its own way, the others as POSIX has it.
        let is_directory = if cfg!(target_os = "linux") { Errno::ISDIR } else { Errno::PERM };
        match rustix::fs::unlinkat(&place.dir, place.name(), AtFlags::empty()) {
            Err(errno) if errno == is_directory => rustix::fs::unlinkat(&place.dir, place.name(), AtFlags::REMOVEDIR),
            done => done,
        }
        .map_err(|errno| place.fail(errno))
    }

    fn list(&self, dir: &str) -> DiskResult<Vec<Entry>> {
        failpoints::before(DiskOp::List, dir)?;
        let full = self.full(DiskOp::List, dir)?;
        let mut entries = self
            .walk(&full)
            .and_then(|dir| entries(&dir))
            .map_err(|errno| DiskError::new(DiskOp::List, &full, kind_of(errno)))?;
        entries.sort();
        Ok(entries)
    }

    fn free(&self) -> DiskResult<u64> {
        failpoints::before(DiskOp::Free, "")?;
        let stat = rustix::fs::fstatvfs(&*self.root).map_err(|e| DiskError::new(DiskOp::Free, "", kind_of(e)))?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn try_lock(&self, path: &str) -> DiskResult<Box<dyn Lock>> {
        failpoints::before(DiskOp::Lock, path)?;
        let place = self.locate(DiskOp::Lock, path)?;
        let file = fs::File::from(place.open(OFlags::RDWR | OFlags::CREATE)?);
        match file.try_lock() {
            Ok(()) => Ok(Box::new(HeldLock(file))),
            Err(TryLockError::WouldBlock) => Err(place.fail(Errno::WOULDBLOCK)),
            Err(TryLockError::Error(e)) => Err(DiskError::new(DiskOp::Lock, &place.full, kind_of_std(&e))),
        }
    }

    fn scoped(&self, dir: &str) -> Arc<dyn Disk> {
        // A bad path cannot be refused here. It is kept, and every call refuses it, since `full` checks the whole.
        Arc::new(RealDisk { root: Arc::clone(&self.root), scope: join(&self.scope, dir).into() })
    }

    fn point(&self, name: &'static str) -> DiskResult<()> {
        failpoints::strike(name).map_err(|kind| DiskError::new(DiskOp::Point, name, kind))
    }
}

/// A `flock`: of this open file, so that a second one is refused even within the process, and gone with the process.
struct HeldLock(fs::File);

impl Lock for HeldLock {}

impl Drop for HeldLock {
    fn drop(&mut self) {
        // Closing would do, but for a child process that is just being started: until its `exec` it shares the file.
        let _ = self.0.unlock();
    }
}

fn join(dir: &str, path: &str) -> String {
    match (dir, path) {
        ("", path) => path.to_owned(),
        (dir, "") => dir.to_owned(),
        (dir, path) => format!("{dir}/{path}"),
    }
}

/// Opens `name` in `dir`, unless it is a symbolic link.
fn open_in(dir: &Directory<'_>, name: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    retry_on_intr(|| rustix::fs::openat(dir, name, flags, Mode::from_raw_mode(0o666)))
}

/// What is in a directory, in no order. A name that is not UTF-8 is none that a [`Disk`] can have made or can open.
fn entries(dir: &Directory<'_>) -> Result<Vec<Entry>, Errno> {
    let mut entries = Vec::new();
    for found in Dir::read_from(dir)? {
        let found = found?;
        let name = found.file_name().to_str().map_err(|_| Errno::ILSEQ)?;
        if name != "." && name != ".." {
            entries.push(Entry { name: name.to_owned(), is_dir: is_dir(dir, name, found.file_type())? });
        }
    }
    Ok(entries)
}

/// Not every file system puts the kind of a file into the directory.
fn is_dir(dir: &Directory<'_>, name: &str, listed_as: FileType) -> Result<bool, Errno> {
    match listed_as {
        FileType::Unknown => {
            let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
            Ok(FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
        }
        known => Ok(known == FileType::Directory),
    }
}

/// Creates `dir` and what is missing above it, each made durable in its parent before the next. The parent of `dir` is
/// synced even if `dir` exists: its creator may have died before it came to that.
fn create_durably(dir: &Path) -> io::Result<()> {
    match fs::create_dir(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let parent = dir.parent().ok_or(e)?;
            create_durably(parent)?;
            fs::create_dir(dir)?;
        }
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
        Ok(()) | Err(_) => {}
    }
    match dir.parent() {
        Some(parent) if parent.as_os_str().is_empty() => fs::File::open(".")?.sync_all(),
        Some(parent) => fs::File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}
