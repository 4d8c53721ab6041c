//! A disk for the engine's tests: files in memory, whose next calls can be made to fail. Directories are implied by
//! their files. What a crash leaves is the simulator's business.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};

use stormproof_contract::{Disk, DiskError, DiskErrorKind, DiskOp, DiskResult, Entry, File, Lock, Meta, Open, ReadAt};

type Bytes = Arc<Mutex<Vec<u8>>>;
type Failing = Arc<Mutex<Vec<Failure>>>;

/// A call that is to fail.
struct Failure {
    op: DiskOp,
    /// What its path contains.
    path_part: String,
    /// How many such calls go well before.
    after: usize,
    kind: DiskErrorKind,
}

#[derive(Clone, Default)]
pub(crate) struct TestDisk {
    files: Arc<Mutex<BTreeMap<String, Bytes>>>,
    failing: Failing,
    /// What every path begins with, where this is a directory's view of a disk.
    prefix: String,
}

struct TestFile {
    path: String,
    bytes: Bytes,
    failing: Failing,
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no test panics while it holds this")
}

impl TestDisk {
    pub(crate) fn new() -> Arc<TestDisk> {
        Arc::new(TestDisk::default())
    }

    /// Makes the next call of this kind fail, without effect, and no other.
    pub(crate) fn fail_next(&self, op: DiskOp, kind: DiskErrorKind) {
        self.fail_after(0, op, kind);
    }

    /// The same, but lets so many calls of this kind go well before.
    pub(crate) fn fail_after(&self, after: usize, op: DiskOp, kind: DiskErrorKind) {
        *held(&self.failing) = vec![Failure { op, path_part: String::new(), after, kind }];
    }

    /// Makes the next call of this kind fail whose path contains `path_part`, besides what else is to fail.
    pub(crate) fn fail_on(&self, op: DiskOp, path_part: &str, kind: DiskErrorKind) {
        self.fail_nth_on(0, op, path_part, kind);
    }

    /// The same, but lets so many such calls go well before.
    pub(crate) fn fail_nth_on(&self, after: usize, op: DiskOp, path_part: &str, kind: DiskErrorKind) {
        held(&self.failing).push(Failure { op, path_part: path_part.to_owned(), after, kind });
    }

    /// Lets nothing more fail. Tells whether something was still to fail.
    pub(crate) fn heal(&self) -> bool {
        !std::mem::take(&mut *held(&self.failing)).is_empty()
    }

    fn full(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }

    /// The bytes of a file.
    pub(crate) fn bytes(&self, path: &str) -> Vec<u8> {
        held(&held(&self.files)[path]).clone()
    }

    /// Replaces the bytes of a file, or makes it.
    pub(crate) fn set(&self, path: &str, bytes: &[u8]) {
        held(&self.files).insert(path.to_owned(), Arc::new(Mutex::new(bytes.to_vec())));
    }

    /// Replaces the bytes of a file that is there, also for whoever has it open.
    pub(crate) fn overwrite(&self, path: &str, bytes: &[u8]) {
        *held(&held(&self.files)[path]) = bytes.to_vec();
    }

    pub(crate) fn paths(&self) -> Vec<String> {
        held(&self.files).keys().cloned().collect()
    }

    /// A second disk with the same bytes.
    pub(crate) fn copied(&self) -> Arc<TestDisk> {
        let copy = TestDisk::new();
        for path in self.paths() {
            copy.set(&path, &self.bytes(&path));
        }
        copy
    }
}

fn fail(failing: &Failing, op: DiskOp, path: &str) -> DiskResult<()> {
    let mut failing = held(failing);
    let asked = failing.iter_mut().enumerate().find(|(_, asked)| asked.op == op && path.contains(&asked.path_part));
    match asked {
        Some((at, asked)) if asked.after == 0 => Err(DiskError::new(op, path, failing.remove(at).kind)),
        Some((_, asked)) => {
            asked.after -= 1;
            Ok(())
        }
        None => Ok(()),
    }
}

impl Disk for TestDisk {
    fn open(&self, path: &str, how: Open) -> DiskResult<Arc<dyn File>> {
        let path = self.full(path);
        fail(&self.failing, DiskOp::Open, &path)?;
        let mut files = held(&self.files);
        let there = files.contains_key(&path);
        match how {
            Open::Read | Open::Write if !there => {
                return Err(DiskError::new(DiskOp::Open, &path, DiskErrorKind::NotFound));
            }
            Open::CreateNew if there => return Err(DiskError::new(DiskOp::Open, &path, DiskErrorKind::Exists)),
            Open::Truncate => drop(files.insert(path.clone(), Bytes::default())),
            Open::Read | Open::Write | Open::Create | Open::CreateNew => {}
        }
        let bytes = Arc::clone(files.entry(path.clone()).or_default());
        Ok(Arc::new(TestFile { path, bytes, failing: Arc::clone(&self.failing) }))
    }

    fn rename(&self, from: &str, to: &str) -> DiskResult<()> {
        let (from, to) = (self.full(from), self.full(to));
        fail(&self.failing, DiskOp::Rename, &from)?;
        let mut files = held(&self.files);
        let bytes =
            files.remove(&from).ok_or_else(|| DiskError::new(DiskOp::Rename, &from, DiskErrorKind::NotFound))?;
        files.insert(to, bytes);
        Ok(())
    }

    fn sync_dir(&self, dir: &str) -> DiskResult<()> {
        fail(&self.failing, DiskOp::SyncDir, &self.full(dir))
    }

    fn remove(&self, path: &str) -> DiskResult<()> {
        let path = self.full(path);
        fail(&self.failing, DiskOp::Remove, &path)?;
        let removed = held(&self.files).remove(&path);
        removed.map(drop).ok_or_else(|| DiskError::new(DiskOp::Remove, &path, DiskErrorKind::NotFound))
    }

    fn list(&self, dir: &str) -> DiskResult<Vec<Entry>> {
        fail(&self.failing, DiskOp::List, dir)?;
        let prefix = if dir.is_empty() { self.prefix.clone() } else { self.full(dir) + "/" };
        let files = held(&self.files);
        let names = files.keys().filter_map(|path| path.strip_prefix(&prefix)).filter(|name| !name.contains('/'));
        let entries: Vec<Entry> = names.map(|name| Entry { name: name.to_owned(), is_dir: false }).collect();
        if entries.is_empty() && !dir.is_empty() {
            return Err(DiskError::new(DiskOp::List, dir, DiskErrorKind::NotFound));
        }
        Ok(entries)
    }

    fn point(&self, name: &'static str) -> DiskResult<()> {
        fail(&self.failing, DiskOp::Point, name)
    }

    fn mkdir(&self, dir: &str) -> DiskResult<()> {
        fail(&self.failing, DiskOp::Mkdir, &self.full(dir))
    }

    fn link(&self, existing: &str, _new: &str) -> DiskResult<()> {
        unused(DiskOp::Link, existing)
    }

    fn clone_file(&self, from: &str, _to: &str) -> DiskResult<()> {
        unused(DiskOp::Clone, from)
    }

    fn free(&self) -> DiskResult<u64> {
        unused(DiskOp::Free, "")
    }

    fn try_lock(&self, path: &str) -> DiskResult<Box<dyn Lock>> {
        unused(DiskOp::Lock, path)
    }

    fn scoped(&self, dir: &str) -> Arc<dyn Disk> {
        Arc::new(TestDisk { prefix: self.full(dir) + "/", ..self.clone() })
    }
}

/// Nobody has a use for the call.
fn unused<T>(op: DiskOp, path: &str) -> DiskResult<T> {
    Err(DiskError::new(op, path, DiskErrorKind::Unsupported))
}

impl File for TestFile {
    fn read(&self, parts: &mut [ReadAt<'_>]) -> DiskResult<()> {
        fail(&self.failing, DiskOp::Read, &self.path)?;
        let bytes = held(&self.bytes);
        for part in parts {
            let rest = bytes.get(part.offset as usize..).unwrap_or_default();
            part.filled = rest.len().min(part.buf.len());
            part.buf[..part.filled].copy_from_slice(&rest[..part.filled]);
        }
        Ok(())
    }

    fn write(&self, offset: u64, parts: &[&[u8]]) -> DiskResult<usize> {
        fail(&self.failing, DiskOp::Write, &self.path)?;
        let given = parts.concat();
        let mut bytes = held(&self.bytes);
        let (begin, end) = (offset as usize, offset as usize + given.len());
        let len = bytes.len().max(end);
        bytes.resize(len, 0);
        bytes[begin..end].copy_from_slice(&given);
        Ok(given.len())
    }

    fn sync(&self) -> DiskResult<()> {
        fail(&self.failing, DiskOp::Sync, &self.path)
    }

    fn set_len(&self, len: u64) -> DiskResult<()> {
        fail(&self.failing, DiskOp::SetLen, &self.path)?;
        held(&self.bytes).resize(len as usize, 0);
        Ok(())
    }

    fn allocate(&self, len: u64) -> DiskResult<()> {
        fail(&self.failing, DiskOp::Allocate, &self.path)?;
        let mut bytes = held(&self.bytes);
        let len = bytes.len().max(len as usize);
        bytes.resize(len, 0);
        Ok(())
    }

    fn meta(&self) -> DiskResult<Meta> {
        Ok(Meta { len: held(&self.bytes).len() as u64 })
    }

    fn path(&self) -> &str {
        &self.path
    }
}
