//! An open file of the operating system. What is promised, and how sync keeps it, is said in `disk`.

use std::{
    fs,
    io::{self, IoSlice},
    os::unix::fs::FileExt,
};

use rustix::{
    fs::FallocateFlags,
    io::{Errno, retry_on_intr},
};
use stormproof_contract::{DiskError, DiskErrorKind, DiskOp, DiskResult, File, Meta, ReadAt};

use super::{
    errno::{kind_of, kind_of_std},
    failpoints,
};

/// Parts that one vectored write takes: `IOV_MAX` of Linux and the BSDs. The rest is a short write.
pub(super) const WRITE_PARTS_MAX: usize = 1024;

/// Zeros written at once where the file system cannot preallocate.
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

/// A [`File`] of the operating system.
pub(super) struct RealFile {
    file: fs::File,
    path: Box<str>,
}

impl RealFile {
    pub(super) fn new(file: fs::File, path: String) -> RealFile {
        RealFile { file, path: path.into() }
    }

    fn before(&self, op: DiskOp) -> DiskResult<()> {
        failpoints::before(op, &self.path)
    }

    fn fail(&self, op: DiskOp, kind: DiskErrorKind) -> DiskError {
        DiskError::new(op, &self.path, kind)
    }

    /// Writes zeros from the end of the file to `len`, which is what reserving means where nothing else reserves.
    pub(super) fn write_zeros_up_to(&self, len: u64) -> io::Result<()> {
        let mut end = self.file.metadata()?.len();
        while end < len {
            let now = (len - end).min(ZEROS.len() as u64);
            self.file.write_all_at(&ZEROS[..now as usize], end)?;
            end += now;
        }
        Ok(())
    }
}

impl File for RealFile {
    fn read(&self, parts: &mut [ReadAt<'_>]) -> DiskResult<()> {
        self.before(DiskOp::Read)?;
        for part in parts {
            // Beyond every file. The kernel calls such an offset or its end negative, and refuses it.
            if part.offset.saturating_add(part.buf.len() as u64) > i64::MAX as u64 {
                part.filled = 0;
                continue;
            }
            part.filled = retry_on_intr(|| rustix::io::pread(&self.file, &mut *part.buf, part.offset))
                .map_err(|errno| self.fail(DiskOp::Read, kind_of(errno)).at(part.offset))?;
        }
        Ok(())
    }

    fn write(&self, offset: u64, parts: &[&[u8]]) -> DiskResult<usize> {
        self.before(DiskOp::Write)?;
        let slices: Vec<IoSlice<'_>> = parts.iter().take(WRITE_PARTS_MAX).map(|part| IoSlice::new(part)).collect();
        retry_on_intr(|| rustix::io::pwritev(&self.file, &slices, offset))
            .map_err(|errno| self.fail(DiskOp::Write, kind_of(errno)).at(offset))
    }

    fn sync(&self) -> DiskResult<()> {
        self.before(DiskOp::Sync)?;
        self.file.sync_data().map_err(|e| self.fail(DiskOp::Sync, kind_of_std(&e)))
    }

    fn set_len(&self, len: u64) -> DiskResult<()> {
        self.before(DiskOp::SetLen)?;
        self.file.set_len(len).map_err(|e| self.fail(DiskOp::SetLen, kind_of_std(&e)))
    }

    fn allocate(&self, len: u64) -> DiskResult<()> {
        self.before(DiskOp::Allocate)?;
        match retry_on_intr(|| rustix::fs::fallocate(&self.file, FallocateFlags::empty(), 0, len)) {
            // The kernel refuses a length of nothing, which asks for nothing.
            Err(Errno::INVAL) if len == 0 => Ok(()),
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
                self.write_zeros_up_to(len).map_err(|e| self.fail(DiskOp::Allocate, kind_of_std(&e)))
            }
            done => done.map_err(|errno| self.fail(DiskOp::Allocate, kind_of(errno))),
        }
    }

    fn meta(&self) -> DiskResult<Meta> {
        self.before(DiskOp::Meta)?;
        let meta = self.file.metadata().map_err(|e| self.fail(DiskOp::Meta, kind_of_std(&e)))?;
        Ok(Meta { len: meta.len() })
    }

    fn path(&self) -> &str {
        &self.path
    }
}

/// Gives `target` the bytes of `source`: shared where the file system can, else copied.
pub(super) fn share_or_copy(source: &fs::File, target: &fs::File) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    match rustix::fs::ioctl_ficlone(target, source) {
        // How file systems say that they cannot: ext4 the first, others the rest.
        Err(Errno::OPNOTSUPP | Errno::XDEV | Errno::INVAL | Errno::NOTTY | Errno::NOSYS) => {}
        done => return done.map_err(io::Error::from),
    }
    io::copy(&mut &*source, &mut &*target).map(|_| ())
}
