//! Writing the log: room first, then the frame, then its sync.
//!
//! The rule of [`super`] is kept here: a frame is written only when the one before it was synced, and after a failure
//! of either nothing is written any more.

use std::sync::Arc;

use stormproof_contract::{Disk, DiskErrorKind, File, Open};

use super::{
    Chain, EncodedBatch, FILE_BYTES_MAX, LogFormat, LogId, LogNo, LogOptions, Tail,
    frame::{self, PAYLOAD_BYTES_MAX, Place, WRAPPING_BYTES_MAX},
    header::{HEADER_BYTES, Header},
};
use crate::{
    ids::Lsn,
    store::{
        Batch, StoreError, StoreResult,
        files::remove_if_there,
        manifest::{Manifest, ManifestFile},
    },
};

/// The log, open for writing.
pub struct Log {
    disk: Arc<dyn Disk>,
    id: LogId,
    options: LogOptions,
    current: OpenFile,
    chain: Chain,
    /// The file that goes on after the current one, while it is not known whether the manifest names it. The current
    /// file takes no more frames then, since the next one says which is its last.
    successor: Option<OpenFile>,
    state: State,
}

/// A file of the log with preallocated space.
struct OpenFile {
    no: LogNo,
    file: Arc<dyn File>,
    /// Where the next frame begins.
    end: u64,
    /// Up to where there is space.
    room: u64,
}

/// What may be done next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// All frames are durable.
    Synced,
    /// The last frame is not durable yet.
    Written,
    /// A write or a sync failed: what the last frame is, only recovery can tell.
    Failed,
}

impl Log {
    /// Begins the log of a new database with its first file, made durable. Nothing names it yet: that is what
    /// [`ManifestFile::create`] does next, with this log's id and [`LogNo::FIRST`].
    pub fn create(disk: &Arc<dyn Disk>, id: LogId, options: LogOptions) -> StoreResult<Log> {
        let chain = Chain::default();
        let header = Header { id, no: LogNo::FIRST, format: options.format, after: chain };
        let current = OpenFile::create(&**disk, &header, options.file_bytes())?;
        Ok(Log { disk: Arc::clone(disk), id, options, current, chain, successor: None, state: State::Synced })
    }

    /// Takes the log up again behind `tail`: cuts off what is torn, rewrites the frame in doubt, makes both durable,
    /// installs the manifest afresh (it, too, may have been seen in the page cache only), and removes log files that
    /// it does not name. Nothing may be served before this succeeded.
    #[expect(clippy::needless_pass_by_value, reason = "a tail is taken up once")]
    pub fn resume(
        disk: &Arc<dyn Disk>,
        tail: Tail,
        options: LogOptions,
        manifest: &mut ManifestFile,
    ) -> StoreResult<Log> {
        let current = OpenFile::resume(&**disk, &tail, options.file_bytes())?;
        manifest.install(|_| ())?;
        sweep(&**disk, |no| manifest.current().logs.contains(&no))?;
        let chain = Chain { lsn: tail.lsn, crc: tail.crc };
        let (id, state) = (tail.header.id, State::Synced);
        let mut log = Log { disk: Arc::clone(disk), id, options, current, chain, successor: None, state };
        if tail.header.format != options.format {
            log.roll(manifest)?;
        }
        Ok(log)
    }

    /// The last frame that was written.
    pub fn lsn(&self) -> Lsn {
        self.chain.lsn
    }

    /// The bytes of a batch. Fails if it breaks a bound of the format, with no effect.
    pub fn encode(&self, batch: &Batch) -> StoreResult<EncodedBatch> {
        batch.check()?;
        let payload = match self.options.format {
            LogFormat::Binary => batch.encode(),
            LogFormat::JsonLines => batch.encode_json(),
        };
        assert!(payload.len() <= PAYLOAD_BYTES_MAX, "a batch within its bounds fits in a frame");
        Ok(EncodedBatch { payload })
    }

    /// Makes sure that there is room for a batch, in a new file if need be. If it fails, for want of space or
    /// otherwise, the batch has had no effect, and another may be tried.
    pub fn reserve(&mut self, batch: &EncodedBatch, manifest: &mut ManifestFile) -> StoreResult<()> {
        let bytes = batch.frame_bytes_max();
        if self.successor.is_some() || !self.current.can_take(bytes, self.options.file_bytes()) {
            self.roll(manifest)?;
        }
        self.current.grow(bytes, self.options.file_bytes())
    }

    /// Writes the next frame and gives its LSN. If it fails, the frame may or may not survive: this process must end.
    ///
    /// # Panics
    /// If no room was [reserved](Self::reserve) for it, or the frame before it is not durable.
    pub fn write(&mut self, batch: &EncodedBatch) -> StoreResult<Lsn> {
        assert!(self.state == State::Synced, "a frame is written once the one before it is durable");
        assert!(self.successor.is_none(), "room is reserved before a frame is written");
        let OpenFile { no, file, end, room } = &mut self.current;
        let place = Place { id: self.id, no: *no, offset: *end };
        let wrapping = frame::wrap(self.options.format, place, self.chain, &batch.payload);
        let len = (wrapping.head.len() + batch.payload.len() + wrapping.tail.len()) as u64;
        assert!(*end + len <= *room, "room is reserved before a frame is written");
        self.state = State::Failed;
        file.write_all_at(*end, &[&wrapping.head, &batch.payload, &wrapping.tail])?;
        self.state = State::Written;
        *end += len;
        self.chain = Chain { lsn: self.chain.lsn.next(), crc: wrapping.crc };
        Ok(self.chain.lsn)
    }

    /// Makes the last frame durable. If it fails, the frame may or may not survive: this process must end.
    ///
    /// # Panics
    /// If there is no frame to make durable.
    pub fn sync(&mut self) -> StoreResult<()> {
        assert!(self.state == State::Written, "a frame is synced once it is written");
        self.state = State::Failed;
        self.current.file.sync()?;
        self.state = State::Synced;
        Ok(())
    }

    /// Goes on in a file that holds no frame yet, and says which: all frames so far are in the files before it. A failure
    /// leaves either the old file in use, or a new one ready to be tried again.
    pub fn begin_file(&mut self, manifest: &mut ManifestFile) -> StoreResult<LogNo> {
        if self.successor.is_some() || self.current.end > HEADER_BYTES as u64 {
            self.roll(manifest)?;
        }
        Ok(self.current.no)
    }

    /// Lets go of the files before one that was [begun](Self::begin_file), unless they are to be kept: `change` puts into the
    /// manifest what holds their effect from now on. A failure leaves it open whether that is so, as
    /// [`ManifestFile::install`] says. The files stay where they are until the next [sweep](Self::sweep).
    pub fn drop_before(
        &self,
        first: LogNo,
        manifest: &mut ManifestFile,
        keep_files: bool,
        change: impl FnOnce(&mut Manifest),
    ) -> StoreResult<()> {
        manifest.install(|manifest| {
            if !keep_files {
                manifest.logs.retain(|no| *no >= first);
            }
            change(manifest);
        })
    }

    /// Removes log files that the manifest does not name, but for one that it is about to. It must be
    /// [certain](ManifestFile::is_certain) that no other is found. What cannot be removed now goes with the next recovery.
    pub fn sweep(&self, manifest: &Manifest) -> StoreResult<()> {
        let next = self.successor.as_ref().map(|file| file.no);
        sweep(&*self.disk, |no| manifest.logs.contains(&no) || next == Some(no))
    }

    fn roll(&mut self, manifest: &mut ManifestFile) -> StoreResult<()> {
        assert!(self.state == State::Synced, "a file is complete before the next one is begun");
        if self.successor.is_none() {
            self.successor = Some(self.begin_successor()?);
        }
        let no = self.current.no.next();
        manifest.install(|manifest| manifest.logs.push(no))?;
        self.current = self.successor.take().expect("begun above");
        Ok(())
    }

    fn begin_successor(&self) -> StoreResult<OpenFile> {
        self.disk.point("log.roll.begun")?;
        let no = self.current.no.next();
        let header = Header { id: self.id, no, format: self.options.format, after: self.chain };
        let created = OpenFile::create(&*self.disk, &header, self.options.file_bytes());
        if created.is_err() {
            // It may hold the space that the disk is short of. If it stays, the next attempt takes the name again.
            let _ = remove_if_there(&*self.disk, &no.path());
        }
        let next = created?;
        self.disk.point("log.roll.created")?;
        Ok(next)
    }
}

/// Makes a file, durable with its name, in which a log goes on behind the frame `after`, whatever that was. Nothing names it
/// yet.
pub fn create_after(disk: &dyn Disk, id: LogId, no: LogNo, after: Lsn) -> StoreResult<()> {
    let after = Chain { lsn: after, crc: 0 };
    OpenFile::create(disk, &Header { id, no, format: LogFormat::Binary, after }, HEADER_BYTES as u64).map(drop)
}

/// Cuts off, durably, what is in a file of the log from `end` on.
pub fn cut(disk: &dyn Disk, no: LogNo, end: u64) -> StoreResult<()> {
    let file = disk.open(&no.path(), Open::Write)?;
    file.set_len(end)?;
    Ok(file.sync()?)
}

impl OpenFile {
    /// Makes a file that holds a header and space, with its name, all durable.
    fn create(disk: &dyn Disk, header: &Header, file_bytes: u64) -> StoreResult<OpenFile> {
        let file = disk.open(&header.no.path(), Open::Truncate)?;
        file.allocate(file_bytes)?;
        file.write_all_at(0, &[&header.encode()])?;
        file.sync()?;
        disk.sync_dir("")?;
        Ok(OpenFile { no: header.no, file, end: HEADER_BYTES as u64, room: file_bytes })
    }

    /// Opens the log's last file and makes durable what was read of it.
    fn resume(disk: &dyn Disk, tail: &Tail, file_bytes: u64) -> StoreResult<OpenFile> {
        let file = disk.open(&tail.path, Open::Write)?;
        // Even if all behind the end looks like zeros: what is seen may be an earlier recovery's cut that never
        // reached the disk.
        file.set_len(tail.end)?;
        disk.point("recover.log_cut")?;
        let room = match file.allocate(file_bytes.max(tail.end)) {
            Ok(()) => file_bytes.max(tail.end),
            // A full disk must not keep the database shut: `reserve` asks again.
            Err(error) if error.kind == DiskErrorKind::NoSpace => tail.end,
            Err(error) => return Err(error.into()),
        };
        if let Some((offset, bytes)) = &tail.last {
            file.write_all_at(*offset, &[bytes])?;
        }
        disk.point("recover.log_rewritten")?;
        file.sync()?;
        disk.point("recover.log_synced")?;
        Ok(OpenFile { no: tail.header.no, file, end: tail.end, room })
    }

    /// Whether a frame may go into this file: an empty one takes any, however short files are to be.
    fn can_take(&self, frame_bytes: u64, file_bytes: u64) -> bool {
        self.end == HEADER_BYTES as u64 || self.end + frame_bytes <= file_bytes.max(self.room)
    }

    fn grow(&mut self, frame_bytes: u64, file_bytes: u64) -> StoreResult<()> {
        let needed = self.end + frame_bytes;
        if needed > self.room {
            let room = needed.max(file_bytes);
            self.file.allocate(room)?;
            self.room = room;
        }
        Ok(())
    }
}

impl EncodedBatch {
    fn frame_bytes_max(&self) -> u64 {
        (self.payload.len() + WRAPPING_BYTES_MAX) as u64
    }
}

impl LogOptions {
    /// The length of a file, within what [`super::scan()`] will read.
    fn file_bytes(&self) -> u64 {
        let frame_bytes_max = (PAYLOAD_BYTES_MAX + WRAPPING_BYTES_MAX) as u64;
        self.file_bytes.clamp(HEADER_BYTES as u64, FILE_BYTES_MAX - frame_bytes_max)
    }
}

/// Removes the log files that do not count: what an attempt to roll left behind, and what was flushed.
fn sweep(disk: &dyn Disk, counts: impl Fn(LogNo) -> bool) -> StoreResult<()> {
    for entry in disk.list("")? {
        if LogNo::of_path(&entry.name).is_some_and(|no| !counts(no)) {
            remove_if_there(disk, &entry.name).map_err(StoreError::from)?;
        }
    }
    Ok(())
}
