//! Reading the log: every frame in order, and a verdict on where it ends.
//!
//! The walk stops at the first bytes that are no frame. What they are decides:
//! - a later file of the log exists, a frame was begun behind them, or none of their sectors can be missing: the frame
//!   was complete once, and this is damage;
//! - otherwise they are the space behind the last frame, perhaps with what is left of a write that was cut off. Its
//!   batch was never acknowledged.
//!
//! `FORMAT.md` argues why no write that was merely cut off can look like the first, and what damage can look like the
//! second.

use std::{ops::Range, sync::Arc};

use stormproof_contract::Disk;

use super::{
    Chain, FILE_BYTES_MAX, LogFormat, LogId, LogNo, Tail,
    frame::{self, Broken, Frame, Place},
    header::{HEADER_BYTES, Header},
};
use crate::{
    ids::Lsn,
    store::{
        Batch, Proof, StoreError, StoreResult,
        codec::Flaw,
        files::{missing, read_whole},
        manifest::Manifest,
    },
};

/// Takes a batch that was decided.
pub(super) type Apply<'a> = &'a mut dyn FnMut(Lsn, Batch) -> StoreResult<()>;

/// Reads the log that a manifest names, hands each batch to `apply` in order, and says where it ends. Changes nothing
/// on the disk.
///
/// # Errors
/// Also when it is only the last frames that are damaged: whatever `apply` was given before is then to be dropped.
pub fn scan(disk: &Arc<dyn Disk>, manifest: &Manifest, apply: Apply<'_>) -> StoreResult<Tail> {
    let (last, walked) = walk_all(&**disk, manifest, &manifest.logs, &mut |seen| match seen {
        Seen::File(_) => Ok(()),
        Seen::Frame { lsn, batch, .. } => apply(lsn, batch),
    })?;
    last.tail(walked)
}

/// How far a log can be believed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reach {
    /// The last frame that follows from those before it. Zero if no file can be read.
    pub lsn: Lsn,
    /// The file in which it ends, and where.
    pub place: Option<(LogNo, u64)>,
    /// Why nothing behind it counts, if it is not the end of the log: in words.
    pub trouble: Option<Box<str>>,
}

/// Reads files of a log, as far as they can be believed, hands each batch to `apply`, and says how far that was. Changes
/// nothing on the disk.
pub fn reach(disk: &Arc<dyn Disk>, manifest: &Manifest, logs: &[LogNo], apply: Apply<'_>) -> StoreResult<Reach> {
    let mut reach = Reach { lsn: Lsn(0), place: None, trouble: None };
    let walked = walk_all(&**disk, manifest, logs, &mut |seen| {
        let (lsn, place) = match seen {
            Seen::File(header) => (header.after.lsn, (header.no, HEADER_BYTES as u64)),
            Seen::Frame { no, lsn, end, batch } => {
                apply(lsn, batch)?;
                (lsn, (no, end as u64))
            }
        };
        (reach.lsn, reach.place) = (lsn, Some(place));
        Ok(())
    });
    match walked.and_then(|(last, walked)| last.behind(&walked)) {
        Err(error) if error.is_passing() || matches!(error, StoreError::UnknownFormat { .. }) => Err(error),
        Err(error) => Ok(Reach { trouble: Some(error.to_string().into()), ..reach }),
        Ok(_) => Ok(reach),
    }
}

/// What a walk over the files of a log comes to.
enum Seen<'a> {
    /// A file that follows from those before it.
    File(&'a Header),
    /// A frame in it, up to an offset.
    Frame { no: LogNo, lsn: Lsn, end: usize, batch: Batch },
}

/// Hands over every frame of these files, one or more, and gives back the last of them, with how far its frames go.
fn walk_all(
    disk: &dyn Disk,
    manifest: &Manifest,
    logs: &[LogNo],
    each: &mut dyn FnMut(Seen<'_>) -> StoreResult<()>,
) -> StoreResult<(LogFile, Walked)> {
    let mut before: Option<(LogFile, Walked)> = None;
    for &no in logs {
        let file = LogFile::read(disk, manifest.log, no)?;
        if let Some((last, walked)) = &before
            && walked.chain != file.header.after
        {
            return Err(last.damaged(walked, Proof::File { path: file.path }));
        }
        each(Seen::File(&file.header))?;
        let walked = file
            .walk(file.header.after, &mut |lsn, frame, batch| each(Seen::Frame { no, lsn, end: frame.end, batch }))?;
        before = Some((file, walked));
    }
    Ok(before.expect("a manifest names at least one file of the log"))
}

/// Which of the files is the last that begins behind no later frame than `lsn`: those before it hold no frame after that.
pub fn last_after(disk: &dyn Disk, manifest: &Manifest, lsn: Lsn) -> StoreResult<Option<usize>> {
    let mut last = None;
    for (at, no) in manifest.logs.iter().enumerate() {
        match LogFile::read(disk, manifest.log, *no) {
            Ok(file) if file.header.after.lsn <= lsn => last = Some(at),
            Err(error) if error.is_passing() => return Err(error),
            Ok(_) | Err(_) => {}
        }
    }
    Ok(last)
}

/// The last frame that any of these files shows to have been there, whatever is damaged before it.
pub fn last_known(disk: &dyn Disk, logs: &[LogNo]) -> StoreResult<Option<Lsn>> {
    let mut last = None;
    for no in logs {
        let path = no.path();
        let Some(bytes) = read_whole(disk, &path, FILE_BYTES_MAX)? else { continue };
        let Ok(header) = Header::decode_unchecked(&bytes, &path) else { continue };
        last = last.max(Some(header.after.lsn));
        let place = Place { id: header.id, no: header.no, offset: 0 };
        let mut at = HEADER_BYTES;
        while let Some((offset, lsn)) = frame::find(header.format, place, &bytes, at) {
            last = last.max(Some(lsn));
            at = offset as usize + 1;
        }
    }
    Ok(last)
}

/// Whether a file of the log holds a frame: then a manifest was installed once.
pub(in crate::store) fn holds_frames(disk: &dyn Disk, no: LogNo) -> StoreResult<bool> {
    let Some(bytes) = read_whole(disk, &no.path(), FILE_BYTES_MAX)? else { return Ok(false) };
    // Without a manifest a header may be torn: the file was being created.
    let Ok(header) = Header::decode_unchecked(&bytes, &no.path()) else { return Ok(false) };
    let place = Place { id: header.id, no: header.no, offset: HEADER_BYTES as u64 };
    Ok(frame::parse(header.format, place, &bytes[HEADER_BYTES..]).is_ok())
}

/// What one file of a log holds, seen without the others.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Alone {
    /// Which database it belongs to.
    pub log: LogId,
    /// Which file of it it is.
    pub no: LogNo,
    /// How its frames are written.
    pub format: LogFormat,
    /// The last frame before this file.
    pub after: Lsn,
    /// The last frame in it, or before it.
    pub last: Lsn,
    /// Where its frames end, and the length of the file.
    pub end: u64,
    /// See there.
    pub bytes: u64,
    /// What stands behind the last frame.
    pub behind: End,
}

/// What stands behind the last frame of a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum End {
    /// Zeros: room that was reserved.
    Room,
    /// What may be left of a write that was cut off; in words. If a later file of the log goes on, it is damage.
    Torn(Box<str>),
    /// Damage, for the log once went on behind it; in words.
    Damaged(Box<str>),
}

/// Looks at a file of a log under any name: hands `each` every frame with its offset and length, as far as they go.
pub fn look(disk: &dyn Disk, path: &str, each: &mut dyn FnMut(u64, usize, Lsn, &Batch)) -> StoreResult<Alone> {
    let bytes = read_whole(disk, path, FILE_BYTES_MAX)?.ok_or_else(|| missing(path, "a file of a log"))?;
    let header = Header::decode_unchecked(&bytes, path)?;
    let file = LogFile { path: path.into(), header, bytes };
    let Header { id: log, no, format, after } = file.header;
    let (mut last, mut end, bytes) = (after.lsn, HEADER_BYTES, file.bytes.len() as u64);
    let walked = file.walk(after, &mut |lsn, frame, batch| {
        each(frame.start as u64, frame.len(), lsn, &batch);
        (last, end) = (lsn, frame.end);
        Ok(())
    });
    let behind = match walked.and_then(|walked| file.behind(&walked)) {
        Ok(Some(torn)) => End::Torn(torn),
        Ok(None) => End::Room,
        Err(error) => End::Damaged(error.to_string().into()),
    };
    Ok(Alone { log, no, format, after: after.lsn, last, end: end as u64, bytes, behind })
}

/// A file of the log, in memory.
struct LogFile {
    path: Box<str>,
    header: Header,
    bytes: Vec<u8>,
}

/// How far the frames of a file go.
struct Walked {
    chain: Chain,
    last: Option<Range<usize>>,
    end: usize,
    /// Why the bytes at `end` are no frame.
    broken: Broken,
}

impl LogFile {
    fn read(disk: &dyn Disk, id: LogId, no: LogNo) -> StoreResult<LogFile> {
        let path = no.path().into_boxed_str();
        let bytes = read_whole(disk, &path, FILE_BYTES_MAX)?
            .ok_or_else(|| missing(&path, "the file of the log that the manifest names"))?;
        let header = Header::decode(&bytes, &path, id, no)?;
        Ok(LogFile { path, header, bytes })
    }

    fn place(&self) -> Place {
        Place { id: self.header.id, no: self.header.no, offset: 0 }
    }

    /// Hands over the frames that follow `chain` one after another, each with its place in the file.
    fn walk(
        &self,
        mut chain: Chain,
        each: &mut dyn FnMut(Lsn, Range<usize>, Batch) -> StoreResult<()>,
    ) -> StoreResult<Walked> {
        let mut end = HEADER_BYTES;
        let mut last = None;
        loop {
            match frame::parse(self.header.format, self.place().at(end as u64), &self.bytes[end..]) {
                Ok(frame) => {
                    self.check_chain(end, chain, &frame)?;
                    each(frame.chain.lsn, end..end + frame.len, self.decode(end, &frame)?)?;
                    chain = frame.chain;
                    last = Some(end..end + frame.len);
                    end += frame.len;
                }
                Err(broken) => return Ok(Walked { chain, last, end, broken }),
            }
        }
    }

    /// What stands behind the last frame, if this is the last file: what a write that was cut off has left, in words; `None`
    /// if it is zeros.
    fn behind(&self, walked: &Walked) -> StoreResult<Option<Box<str>>> {
        let Walked { end, broken, .. } = walked;
        if broken.whole {
            return Err(self.damaged(walked, Proof::Whole));
        }
        if let Some((offset, lsn)) = frame::find(self.header.format, self.place(), &self.bytes, end + 1) {
            return Err(self.damaged(walked, Proof::Frame { offset, lsn }));
        }
        let torn = !frame::is_zero(&self.bytes[*end..]);
        Ok(torn.then(|| format!("expected {}, found {}", broken.expected, broken.found).into()))
    }

    /// A frame at home here that follows another past than ours: bytes that a disk claimed to have replaced.
    fn check_chain(&self, at: usize, before: Chain, frame: &Frame<'_>) -> StoreResult<()> {
        let found = Chain { lsn: frame.chain.lsn, crc: frame.prev };
        let expected = Chain { lsn: before.lsn.next(), crc: before.crc };
        if found == expected {
            return Ok(());
        }
        let words = |chain: Chain| format!("the frame of {} after one of checksum {:08x}", chain.lsn, chain.crc);
        Err(Flaw::new(at, words(expected), words(found)).in_file(&self.path, 0))
    }

    fn decode(&self, at: usize, frame: &Frame<'_>) -> StoreResult<Batch> {
        let damaged = |flaw: Flaw| flaw.in_file(&self.path, at as u64);
        match self.header.format {
            LogFormat::Binary => Batch::decode(frame.payload).map_err(damaged),
            LogFormat::JsonLines => Batch::decode_json(frame.payload).map_err(damaged),
        }
    }

    /// The end of the log, of which this is the last file.
    fn tail(self, walked: Walked) -> StoreResult<Tail> {
        let torn = self.behind(&walked)?;
        Ok(Tail {
            lsn: walked.chain.lsn,
            end: walked.end as u64,
            torn,
            crc: walked.chain.crc,
            last: walked.last.map(|last| (last.start as u64, self.bytes[last].into())),
            header: self.header,
            path: self.path,
        })
    }

    fn damaged(&self, walked: &Walked, proof: Proof) -> StoreError {
        let Broken { expected, found, .. } = walked.broken.clone();
        StoreError::DamagedLog { path: self.path.clone(), offset: walked.end as u64, expected, found, proof }
    }
}
