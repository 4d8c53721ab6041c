//! The snapshot: one frame that holds the number of the first log it does not, and the state. And the job that writes it.

use std::{collections::VecDeque, sync::Arc};

use stormproof_contract::{BootError, Bytes, Disk, DiskResult, File, Job, JobError, JobId, JobStep, Open, Pool};
use stormproof_sim::examples::frame::{seal, unseal};

use super::{Bug, read_whole, retry, state::State};

/// The name of the snapshot in force.
pub(super) const NAME: &str = "snapshot";

/// What the job writes in one unit of work: small, so that there is much to interrupt.
const PIECE_BYTES: usize = 8;

/// A snapshot in force.
pub(super) struct Snapshot {
    pub(super) file: Arc<dyn File>,
    /// The first log that it does not hold.
    pub(super) floor: u64,
    pub(super) state: State,
}

impl Snapshot {
    /// Opens the snapshot in force, if there is one.
    pub(super) fn open(disk: &dyn Disk) -> Result<Option<Snapshot>, BootError> {
        let file = match disk.open(NAME, Open::Read) {
            Ok(file) => file,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(retry(&error)),
        };
        let bytes = read_whole(&*file).map_err(|error| retry(&error))?;
        let (floor, state) =
            decode(&bytes).ok_or_else(|| BootError::Refused(format!("{NAME}: not what was written").into()))?;
        Ok(Some(Snapshot { file, floor, state }))
    }
}

/// The floor and the state that the bytes of a snapshot hold.
pub(super) fn decode(bytes: &[u8]) -> Option<(u64, State)> {
    let (words, _) = unseal(bytes)?;
    let (&floor, state) = words.split_first()?;
    Some((floor, State::decode(state)?))
}

/// The file that a job writes. No two jobs share one: a job that outlived its node may still be at its own.
pub(super) fn output(job: JobId, bug: Option<Bug>) -> String {
    if bug == Some(Bug::BelievesAFileByItsName) { "next-snapshot".into() } else { format!("snapshot.{}", job.0) }
}

/// What the job is to write, and where.
pub(super) fn spec(job: JobId, floor: u64, state: &State) -> Vec<u8> {
    seal(&[&[job.0, floor], &state.encode()[..]].concat())
}

/// The job.
pub(super) struct Writer {
    bug: Option<Bug>,
    name: String,
    bytes: Vec<u8>,
    /// The file, once it is open, and how much of it is written.
    file: Option<Arc<dyn File>>,
    written: usize,
}

impl Writer {
    pub(super) fn revive(spec: &[u8], bug: Option<Bug>) -> Result<Box<dyn Job>, JobError> {
        let (words, _) = unseal(spec).ok_or(JobError::UnknownSpec)?;
        let (&job, snapshot) = words.split_first().ok_or(JobError::UnknownSpec)?;
        Ok(Box::new(Writer { bug, name: output(JobId(job), bug), bytes: seal(snapshot), file: None, written: 0 }))
    }

    fn piece(&mut self, disk: &dyn Disk) -> DiskResult<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(disk.open(&self.name, Open::Truncate)?),
        };
        let piece = &self.bytes[self.written..];
        let piece = &piece[..piece.len().min(PIECE_BYTES)];
        file.write_all_at(self.written as u64, &[piece])?;
        self.written += piece.len();
        if self.written == self.bytes.len() && self.bug != Some(Bug::RenamesBeforeSync) {
            file.sync()?;
        }
        Ok(())
    }
}

impl Job for Writer {
    fn step(
        &mut self,
        _heard: &mut VecDeque<Bytes>,
        disk: &Arc<dyn Disk>,
        _: &dyn Pool,
        units: u32,
    ) -> Result<JobStep, JobError> {
        for _ in 0..units {
            self.piece(&**disk)?;
            if self.written == self.bytes.len() {
                return Ok(JobStep::Done(Bytes::from([])));
            }
        }
        Ok(JobStep::More)
    }
}
