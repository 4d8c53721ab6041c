//! Making one segment of some, as a job.
//!
//! 1. The run is opened, and merged entry by entry into a new file: a group of each segment is in memory at a time
//!    (and, of the new one, every id, for its filter; at the end, all decisions).
//! 2. The new segment is synced, with its name.
//! 3. It is read back to its end, every checksum compared, before the node is told: it is going to be the only copy. (What
//!    the system still caches hides a device that lies; it shows a fault of memory, or of ours.)
//!
//! A job that dies on the way leaves a file that nothing names. One that outlives its node (an orphan) writes on into a file
//! whose number no other writer is ever given, and which the next life removes or never sees.

use std::{collections::VecDeque, fmt, ops::Range, sync::Arc};

use stormproof_contract::{Bytes, Disk, Job, JobError, JobStep, Pool};

use super::entries::{Entries, Sources};
use crate::{
    ids::Version,
    store::{
        Entry, StoreError, StoreResult,
        codec::{Cursor, Flaw, put_u64},
        log::LogId,
        segment::{Decided, Segment, SegmentName, SegmentNo, SegmentWriter},
    },
};

/// What a job is to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Merge {
    /// The run.
    pub run: Sources,
    /// The number of the segment to make.
    pub no: SegmentNo,
    /// Whether removals hide nothing: there is no segment before the run.
    pub drops_removals: bool,
}

/// What came of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The segment is whole and durable.
    Made(Made),
    /// A segment of the run cannot be believed; in words, with file and offset. Trying again will not help.
    Damaged(Box<str>),
}

/// A segment that stands for a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Made {
    /// What it must be when it is opened.
    pub name: SegmentName,
    /// The greatest version of the removals that were left out; 0 if none were.
    pub dropped: Version,
}

/// The first byte of a spec: what kind of job it is, and how it is written.
const MERGE: u8 = 1;
const MADE: u8 = 1;
const DAMAGED: u8 = 2;

impl Merge {
    /// A run of what a manifest names, to be merged into a segment of the number `no`.
    pub fn of(log: LogId, components: u32, no: SegmentNo, segments: &[SegmentName], run: Range<usize>) -> Merge {
        let drops_removals = run.start == 0;
        Merge { run: Sources { log, components, names: segments[run].to_vec() }, no, drops_removals }
    }

    /// As the bytes that a job is started with.
    pub fn spec(&self) -> Vec<u8> {
        let mut out = vec![MERGE, u8::from(self.drops_removals)];
        put_u64(&mut out, self.no.0);
        self.run.encode(&mut out);
        out
    }

    fn decode(spec: &[u8]) -> Result<Merge, Flaw> {
        let mut from = Cursor::new(spec);
        let drops_removals = match from.array()? {
            [MERGE, flag @ (0 | 1)] => flag == 1,
            other => return Err(Flaw::new(0, "a merge", format!("{other:?}"))),
        };
        let (no, run) = (SegmentNo(from.number()?), Sources::read(&mut from)?);
        from.end()?;
        Ok(Merge { run, no, drops_removals })
    }
}

impl Outcome {
    pub(super) fn encode(&self) -> Bytes {
        let mut out = Vec::new();
        match self {
            Outcome::Made(made) => {
                out.push(MADE);
                made.name.encode(&mut out);
                put_u64(&mut out, made.dropped.0);
            }
            Outcome::Damaged(words) => {
                out.push(DAMAGED);
                out.extend_from_slice(words.as_bytes());
            }
        }
        out.into()
    }

    /// What a job's last word says; `None` if it is not the last word of a merge.
    pub fn of_word(word: &[u8]) -> Option<Outcome> {
        match word.split_first()? {
            (&DAMAGED, words) => Some(Outcome::Damaged(String::from_utf8_lossy(words).into())),
            (&MADE, made) => {
                let mut from = Cursor::new(made);
                let made = Made { name: SegmentName::decode(&mut from).ok()?, dropped: Version(from.number().ok()?) };
                from.end().ok().map(|()| Outcome::Made(made))
            }
            _ => None,
        }
    }
}

/// A merge on its way.
pub struct MergeJob {
    merge: Merge,
    at: At,
}

/// How far a merge is.
enum At {
    Begin,
    Merging(Box<Merging>),
    /// The groups before `group` were read back.
    ReadingBack {
        made: Made,
        segment: Box<Segment>,
        group: usize,
    },
    Ended,
}

/// What a merge failed of.
enum Trouble {
    /// Reading the segments of the run, or writing the new one.
    OfTheRun(StoreError),
    /// Reading back the new one.
    OfTheNew(StoreError),
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Trouble::OfTheRun(error)
    }
}

struct Merging {
    entries: Entries,
    writer: SegmentWriter,
    dropped: Version,
}

impl MergeJob {
    /// The job of a spec.
    pub fn revive(spec: &[u8]) -> Result<MergeJob, JobError> {
        let merge = Merge::decode(spec).map_err(|_| JobError::UnknownSpec)?;
        Ok(MergeJob { merge, at: At::Begin })
    }

    fn begin(&self, disk: &Arc<dyn Disk>) -> StoreResult<Merging> {
        let Merge { run, no, .. } = &self.merge;
        let entries = Entries::open(&**disk, run)?;
        let writer = SegmentWriter::create(disk, run.log, *no, run.components)?;
        Ok(Merging { entries, writer, dropped: Version(0) })
    }

    fn go_on(&mut self, disk: &Arc<dyn Disk>, units: u32) -> Result<Option<Outcome>, Trouble> {
        self.at = match std::mem::replace(&mut self.at, At::Ended) {
            At::Begin => At::Merging(Box::new(self.begin(disk)?)),
            At::Merging(mut merging) => {
                if merging.push(units, self.merge.drops_removals)? {
                    At::Merging(merging)
                } else {
                    let made = merging.finish()?;
                    let opened = Segment::open(&**disk, self.merge.run.log, &made.name, self.merge.run.components);
                    let segment = opened.map_err(Trouble::OfTheNew)?;
                    At::ReadingBack { made, segment: Box::new(segment), group: 0 }
                }
            }
            At::ReadingBack { made, segment, group } if group < segment.groups() => {
                segment.group(group).map_err(Trouble::OfTheNew)?;
                At::ReadingBack { made, segment, group: group + 1 }
            }
            At::ReadingBack { made, segment, .. } => {
                segment.decisions().map_err(Trouble::OfTheNew)?;
                return Ok(Some(Outcome::Made(made)));
            }
            At::Ended => panic!("a job is not stepped after its end"),
        };
        Ok(None)
    }
}

impl Job for MergeJob {
    /// A unit is an entry, and a group when it is read back.
    fn step(
        &mut self,
        _: &mut VecDeque<Bytes>,
        disk: &Arc<dyn Disk>,
        _: &dyn Pool,
        units: u32,
    ) -> Result<JobStep, JobError> {
        match self.go_on(disk, units) {
            Ok(None) => Ok(JobStep::More),
            Ok(Some(outcome)) => Ok(JobStep::Done(outcome.encode())),
            Err(Trouble::OfTheRun(StoreError::Disk(error))) => Err(error.into()),
            Err(Trouble::OfTheRun(error)) => Ok(JobStep::Done(Outcome::Damaged(error.to_string().into()).encode())),
            // The run is as good as it was: another try may go well.
            Err(Trouble::OfTheNew(error)) => Err(JobError::Failed(error.to_string().into())),
        }
    }
}

impl Merging {
    /// Writes the next `units` entries; false once there are no more.
    fn push(&mut self, units: u32, drops_removals: bool) -> StoreResult<bool> {
        for _ in 0..units {
            let Some((id, entry)) = self.entries.next()? else { return Ok(false) };
            match entry {
                Entry::Deleted(version) if drops_removals => self.dropped = self.dropped.max(version),
                entry => self.writer.push(id, &entry)?,
            }
        }
        Ok(true)
    }

    fn finish(self) -> StoreResult<Made> {
        let Merging { entries, writer, dropped } = self;
        // One that was loaded may be behind one that was flushed after it.
        let upto = entries.segments().map(Segment::upto).max().expect("a run has a segment");
        let decisions: Vec<Vec<Decided>> = entries.segments().map(Segment::decisions).collect::<Result<_, _>>()?;
        let mut decisions = decisions.concat();
        // A segment that was loaded has its own decision, which one that was flushed beside it may have as well.
        decisions.sort_by_key(|decided| (decided.lsn, decided.place));
        decisions.dedup_by_key(|decided| (decided.lsn, decided.place));
        Ok(Made { name: writer.finish(upto, &decisions)?, dropped })
    }
}

impl fmt::Debug for MergeJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MergeJob").field("merge", &self.merge).finish_non_exhaustive()
    }
}
