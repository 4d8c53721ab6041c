//! The disk, as a node sees it: synchronous, and free to fail.
//!
//! # What is promised
//! - A call that returned `Ok` took effect for every later call of the same machine, until power is lost.
//! - **Durable** means: survives the loss of power. Bytes and length of a file are durable once [`File::sync`] returned
//!   `Ok`. A name (created, renamed, linked or removed) is durable once [`Disk::sync_dir`] of its directory did.
//!   Neither implies the other.
//! - [`Disk::rename`] replaces its target, and is never seen half done.
//! - An open [`File`] stays readable after its name is removed or replaced.
//! - A process that is killed loses nothing that its calls had returned: the page cache survives it. Locks do not. Of
//!   the call that it dies in, all or nothing is done, but for a write, an allocation and a clone, of which some of the
//!   first bytes may be.
//!
//! # What is not promised
//! - Without a sync, anything since the last one may be lost or kept, in any order, page by page, even torn at a
//!   512-byte sector.
//! - After a **failed sync** the unsynced bytes may never reach the disk, although reads still show them and the next
//!   sync returns `Ok`. Retrying proves nothing: write the bytes again, elsewhere or here, and sync that.
//! - A failed rename or directory sync is ambiguous: either name may be found after a crash.
//! - Reads and writes may be short. [`File::read_exact_at`] and [`File::write_all_at`] loop as needed.
//! - Bytes at rest can rot, land elsewhere, or never land. Only checksums tell.
//!
//! Each call is a place where the node can be killed, and where the world may run that node's queries and jobs.

use std::{fmt, sync::Arc};

/// What a disk call gives back.
pub type DiskResult<T> = Result<T, DiskError>;

/// A node's directory of files.
///
/// Paths are relative to it, `/` between parts; see [`check_path`].
pub trait Disk: Send + Sync {
    /// Opens a file. [`Open`] says whether it must exist.
    fn open(&self, path: &str, how: Open) -> DiskResult<Arc<dyn File>>;
    /// Gives `from` the name `to`, replacing a file of that name. Atomic; durable once the directories of both names
    /// are synced.
    fn rename(&self, from: &str, to: &str) -> DiskResult<()>;
    /// Makes the names in a directory durable. `""` is the node's own directory.
    fn sync_dir(&self, dir: &str) -> DiskResult<()>;
    /// Creates a directory. Its parent must exist.
    fn mkdir(&self, dir: &str) -> DiskResult<()>;
    /// Gives the file `existing` a second name, which must be free.
    fn link(&self, existing: &str, new: &str) -> DiskResult<()>;
    /// Creates `to`, which must be free, with the present bytes of `from`, sharing storage where the disk can. As
    /// durable as a file just written: not at all, before its sync and its directory's.
    fn clone_file(&self, from: &str, to: &str) -> DiskResult<()>;
    /// Removes a file's name, or an empty directory.
    fn remove(&self, path: &str) -> DiskResult<()>;
    /// What is in a directory, in order of name.
    fn list(&self, dir: &str) -> DiskResult<Vec<Entry>>;
    /// Bytes that can still be written, as far as the disk knows.
    fn free(&self) -> DiskResult<u64>;
    /// Takes an exclusive lock named by a file, which is created at need, or fails with [`DiskErrorKind::Locked`]. It
    /// is released when dropped, and by the death of its process.
    fn try_lock(&self, path: &str) -> DiskResult<Box<dyn Lock>>;
    /// The same disk seen from one of its directories.
    fn scoped(&self, dir: &str) -> Arc<dyn Disk>;
    /// Names a step between two disk calls, so that a fault can be aimed at it. `Err` means the fault was an error;
    /// treat it as a failure of the step that follows.
    fn point(&self, name: &'static str) -> DiskResult<()>;
}

/// An open file. Reads and writes state their offset; there is no cursor.
pub trait File: Send + Sync {
    /// Reads each part at its own offset and says in [`ReadAt::filled`] how much it got: less than asked at the end of
    /// the file, and, rarely, elsewhere.
    fn read(&self, parts: &mut [ReadAt<'_>]) -> DiskResult<()>;
    /// Writes the parts one after another, from `offset` on, growing the file at need. Says how many bytes were taken,
    /// which can be less than given.
    fn write(&self, offset: u64, parts: &[&[u8]]) -> DiskResult<usize>;
    /// Makes bytes and length durable.
    fn sync(&self) -> DiskResult<()>;
    /// Cuts the file, or extends it with zeros.
    fn set_len(&self, len: u64) -> DiskResult<()>;
    /// Reserves space up to `len` and extends the file with zeros to it, so that later writes below it neither run out
    /// of space nor change its length. Never shortens.
    fn allocate(&self, len: u64) -> DiskResult<()>;
    /// What is known of the file.
    fn meta(&self) -> DiskResult<Meta>;
    /// The path it was opened by, for messages.
    fn path(&self) -> &str;

    /// Reads one part, short only at the end of the file, and says how much there was.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> DiskResult<usize> {
        let mut done = 0;
        while done < buf.len() {
            let mut part = [ReadAt::new(offset + done as u64, &mut buf[done..])];
            self.read(&mut part)?;
            match part[0].filled {
                0 => break,
                n => done += n,
            }
        }
        Ok(done)
    }

    /// Fills `buf`, or fails with [`DiskErrorKind::UnexpectedEnd`].
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> DiskResult<()> {
        let got = self.read_at(offset, buf)?;
        if got == buf.len() {
            return Ok(());
        }
        let kind = DiskErrorKind::UnexpectedEnd { wanted: buf.len() as u64, found: got as u64 };
        Err(DiskError::new(DiskOp::Read, self.path(), kind).at(offset))
    }

    /// Writes all of the parts, however short the single writes are.
    fn write_all_at(&self, offset: u64, parts: &[&[u8]]) -> DiskResult<()> {
        let total: usize = parts.iter().map(|part| part.len()).sum();
        let mut done = 0;
        while done < total {
            let rest = after(parts, done);
            match self.write(offset + done as u64, &rest)? {
                0 => return Err(DiskError::new(DiskOp::Write, self.path(), DiskErrorKind::NoSpace).at(offset)),
                n => done += n,
            }
        }
        Ok(())
    }
}

/// What is left of `parts` after their first `skip` bytes.
fn after<'a>(parts: &[&'a [u8]], mut skip: usize) -> Vec<&'a [u8]> {
    let mut rest = Vec::with_capacity(parts.len());
    for part in parts {
        let cut = skip.min(part.len());
        skip -= cut;
        if cut < part.len() {
            rest.push(&part[cut..]);
        }
    }
    rest
}

/// A lock that is held. Dropping it releases it.
pub trait Lock: Send + Sync {}

/// One part of a read.
#[derive(Debug)]
pub struct ReadAt<'a> {
    /// Where in the file.
    pub offset: u64,
    /// What to fill.
    pub buf: &'a mut [u8],
    /// How much of it was filled.
    pub filled: usize,
}

impl<'a> ReadAt<'a> {
    /// Asks for `buf.len()` bytes at `offset`.
    pub fn new(offset: u64, buf: &'a mut [u8]) -> Self {
        ReadAt { offset, buf, filled: 0 }
    }
}

/// How to open a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Open {
    /// It must exist; writes fail.
    Read,
    /// It must exist.
    Write,
    /// Created if it does not exist, else kept as it is.
    Create,
    /// Created; fails if it exists.
    CreateNew,
    /// Created if it does not exist, else cut to nothing.
    Truncate,
}

/// An entry of a directory.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Entry {
    /// Its name, without the directory.
    pub name: String,
    /// Whether it is a directory.
    pub is_dir: bool,
}

/// What is known of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Meta {
    /// Its length in bytes.
    pub len: u64,
}

/// A kind of disk call.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[expect(missing_docs, reason = "each is the call of its name")]
pub enum DiskOp {
    Open,
    Read,
    Write,
    Sync,
    SetLen,
    Allocate,
    Meta,
    Rename,
    SyncDir,
    Mkdir,
    Link,
    Clone,
    Remove,
    List,
    Free,
    Lock,
    Point,
}

impl DiskOp {
    /// All kinds of call.
    pub const ALL: [DiskOp; 17] = [
        DiskOp::Open,
        DiskOp::Read,
        DiskOp::Write,
        DiskOp::Sync,
        DiskOp::SetLen,
        DiskOp::Allocate,
        DiskOp::Meta,
        DiskOp::Rename,
        DiskOp::SyncDir,
        DiskOp::Mkdir,
        DiskOp::Link,
        DiskOp::Clone,
        DiskOp::Remove,
        DiskOp::List,
        DiskOp::Free,
        DiskOp::Lock,
        DiskOp::Point,
    ];

    /// The name used in plans, traces and messages.
    pub fn name(self) -> &'static str {
        match self {
            DiskOp::Open => "open",
            DiskOp::Read => "read",
            DiskOp::Write => "write",
            DiskOp::Sync => "sync",
            DiskOp::SetLen => "set_len",
            DiskOp::Allocate => "allocate",
            DiskOp::Meta => "meta",
            DiskOp::Rename => "rename",
            DiskOp::SyncDir => "sync_dir",
            DiskOp::Mkdir => "mkdir",
            DiskOp::Link => "link",
            DiskOp::Clone => "clone",
            DiskOp::Remove => "remove",
            DiskOp::List => "list",
            DiskOp::Free => "free",
            DiskOp::Lock => "lock",
            DiskOp::Point => "point",
        }
    }
}

impl fmt::Display for DiskOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A disk call that failed: which, on what, and how.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DiskError {
    /// The call.
    pub op: DiskOp,
    /// The file or directory, relative to the node's directory; a point's name for [`DiskOp::Point`].
    pub path: Box<str>,
    /// Where in the file, for reads and writes.
    pub offset: Option<u64>,
    /// What went wrong.
    pub kind: DiskErrorKind,
}

/// What went wrong in a disk call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DiskErrorKind {
    /// No such file or directory.
    NotFound,
    /// The name is taken.
    Exists,
    /// The directory is not empty.
    NotEmpty,
    /// A file where a directory was needed, or the other way about.
    WrongKind,
    /// The disk is full. Some of a write may have been done.
    NoSpace,
    /// The device failed (`EIO`).
    Io,
    /// Another holder has the lock.
    Locked,
    /// This disk cannot do that.
    Unsupported,
    /// Not a path as [`check_path`] has it.
    BadPath,
    /// The file ended before all that was asked for.
    UnexpectedEnd {
        /// Bytes asked for.
        wanted: u64,
        /// Bytes found.
        found: u64,
    },
    /// The process is dead: no call has any effect any more, and nothing it says is heard.
    Dead,
    /// Anything else, in the words of the operating system.
    Other(Box<str>),
}

impl DiskError {
    /// An error of a call on a path.
    pub fn new(op: DiskOp, path: &str, kind: DiskErrorKind) -> Self {
        DiskError { op, path: path.into(), offset: None, kind }
    }

    /// The same error, at an offset.
    #[must_use]
    pub fn at(mut self, offset: u64) -> Self {
        self.offset = Some(offset);
        self
    }

    /// Whether what was named does not exist.
    pub fn is_not_found(&self) -> bool {
        self.kind == DiskErrorKind::NotFound
    }
}

impl fmt::Display for DiskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of `{}`", self.op, self.path)?;
        if let Some(offset) = self.offset {
            write!(f, " at offset {offset}")?;
        }
        write!(f, ": {}", self.kind)
    }
}

impl fmt::Display for DiskErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DiskErrorKind::NotFound => f.write_str("no such file or directory"),
            DiskErrorKind::Exists => f.write_str("the name is taken"),
            DiskErrorKind::NotEmpty => f.write_str("the directory is not empty"),
            DiskErrorKind::WrongKind => f.write_str("a file where a directory was needed, or the other way about"),
            DiskErrorKind::NoSpace => f.write_str("no space left on the disk"),
            DiskErrorKind::Io => f.write_str("the device failed (EIO)"),
            DiskErrorKind::Locked => f.write_str("locked by another holder"),
            DiskErrorKind::Unsupported => f.write_str("not supported by this disk"),
            DiskErrorKind::BadPath => f.write_str("not a relative path of plain names"),
            DiskErrorKind::UnexpectedEnd { wanted, found } => {
                write!(f, "the file ends early: wanted {wanted} bytes, found {found}")
            }
            DiskErrorKind::Dead => f.write_str("the process is dead"),
            DiskErrorKind::Other(words) => f.write_str(words),
        }
    }
}

impl std::error::Error for DiskError {}

/// Whether `path` may be given to a [`Disk`]: relative, parts of `/`-separated names, none of them empty, `.` or `..`,
/// none with a NUL or a backslash, none longer than 255 bytes, which is what file systems take, at most 1,024 bytes in all. The empty path is the directory itself. A path that came from
/// a file or from the network cannot escape the node's directory if it passes.
pub fn check_path(path: &str) -> bool {
    let plain = |part: &str| {
        !part.is_empty() && part.len() <= 255 && part != "." && part != ".." && !part.contains(['\0', '\\'])
    };
    path.is_empty() || (path.len() <= 1024 && path.split('/').all(plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_cannot_leave_its_directory() {
        for good in ["", "wal", "l1/delta.7", "..a", "a b"] {
            assert!(check_path(good), "{good:?}");
        }
        for bad in ["/etc", "..", "a/../b", "a//b", "./a", "a/", "a\\b", "a\0"] {
            assert!(!check_path(bad), "{bad:?}");
        }
        assert!(check_path(&"a/".repeat(512)[..1023]) && !check_path(&"a/".repeat(513)[..1025]));
    }

    /// A name of 300 bytes was a file on the simulated disk and an error on a real one: the check knew of whole paths only.
    #[test]
    fn a_name_is_no_longer_than_file_systems_take() {
        assert!(check_path(&"n".repeat(255)));
        assert!(!check_path(&format!("d/{}", "n".repeat(256))));
    }

    #[test]
    fn the_rest_of_a_vectored_write_starts_in_the_middle_of_a_part() {
        let parts: [&[u8]; 3] = [b"abc", b"", b"defg"];
        assert_eq!(after(&parts, 4).concat(), b"efg");
        assert_eq!(after(&parts, 0).concat(), b"abcdefg");
        assert!(after(&parts, 7).is_empty());
    }
}
