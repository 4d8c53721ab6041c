//! The logs: `log.0`, `log.1` and so on, of which the last is appended to.

use std::sync::Arc;

use stormproof_contract::{BootError, Disk, DiskError, DiskResult, File, Open};
use stormproof_sim::examples::frame::{seal, unseal, words};

use super::{Bug, read_whole, retry, state::Write};

/// The newest log.
pub(super) struct Log {
    pub(super) number: u64,
    disk: Arc<dyn Disk>,
    bug: Option<Bug>,
    file: Arc<dyn File>,
    end: u64,
}

/// The name of a log.
pub(super) fn name(number: u64) -> String {
    format!("log.{number}")
}

/// The number of the log of that name.
pub(super) fn number(name: &str) -> Option<u64> {
    name.strip_prefix("log.")?.parse().ok()
}

impl Log {
    /// Begins the first log of all.
    pub(super) fn create(disk: &Arc<dyn Disk>, number: u64, bug: Option<Bug>) -> DiskResult<Log> {
        let file = disk.open(&name(number), Open::Create)?;
        file.sync()?;
        disk.sync_dir("")?;
        Ok(Log { number, disk: Arc::clone(disk), bug, file, end: 0 })
    }

    /// Reads all that the logs from `floor` to `last` say, and goes on with the last.
    pub(super) fn open(
        disk: &Arc<dyn Disk>,
        floor: u64,
        last: u64,
        bug: Option<Bug>,
    ) -> Result<(Log, Vec<Write>), BootError> {
        let mut writes = Vec::new();
        for number in floor..last {
            let file = disk.open(&name(number), Open::Read).map_err(|error| unless_missing(&error))?;
            let bytes = read_whole(&*file).map_err(|error| retry(&error))?;
            let end = replay(&bytes, bug, &mut writes);
            if end < bytes.len() {
                return Err(BootError::Refused(format!("log.{number}: no frame at offset {end}").into()));
            }
        }
        let file = disk.open(&name(last), Open::Write).map_err(|error| unless_missing(&error))?;
        let end = recover(&*file, bug, &mut writes).map_err(|error| retry(&error))?;
        Ok((Log { number: last, disk: Arc::clone(disk), bug, file, end }, writes))
    }

    /// Makes a batch of writes durable, all in one log.
    pub(super) fn append(&mut self, batch: &[Write]) -> DiskResult<()> {
        let bytes: Vec<u8> = batch.iter().flat_map(|write| seal(&write.encode())).collect();
        self.file.write_all_at(self.end, &[&bytes])?;
        let synced = self.file.sync();
        if synced.is_err() && self.bug == Some(Bug::BelievesARetriedSync) {
            self.file.sync()?;
        } else {
            synced?;
        }
        self.end += bytes.len() as u64;
        self.disk.point("toy.appended")
    }

    /// Goes on with the next log. This one is whole, and stays so.
    pub(super) fn rotate(&mut self) -> DiskResult<()> {
        *self = Log::create(&self.disk, self.number + 1, self.bug)?;
        self.disk.point("toy.rotated")
    }
}

/// Takes back what the newest log says, and makes sure of it: see the crash argument of [`super`].
fn recover(file: &dyn File, bug: Option<Bug>, writes: &mut Vec<Write>) -> DiskResult<u64> {
    let bytes = read_whole(file)?;
    let mut end = replay(&bytes, bug, writes);
    if bug == Some(Bug::LosesTheTailBehindATornFrame) {
        end = bytes.len();
    }
    file.set_len(end as u64)?;
    file.write_all_at(0, &[&bytes[..end]])?;
    file.sync()?;
    Ok(end as u64)
}

/// Adds the writes of all frames up to the first that is none, and says where that is.
fn replay(bytes: &[u8], bug: Option<Bug>, writes: &mut Vec<Write>) -> usize {
    let open = if bug == Some(Bug::TrustsALength) { unseal_trusting } else { unseal };
    let mut end = 0;
    while let Some((words, frame_bytes)) = open(&bytes[end..])
        && let Some(write) = Write::decode(&words)
    {
        writes.push(write);
        end += frame_bytes;
    }
    end
}

/// What [`unseal`] must not be: it takes the frame's length for granted, and then the checksum of what is there.
fn unseal_trusting(bytes: &[u8]) -> Option<(Vec<u64>, usize)> {
    let (&[c0, c1, c2, c3, l0, l1, l2, l3], _) = bytes.split_first_chunk()?;
    let frame_bytes = 8 + u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    let whole = crc32c::crc32c(&bytes[4..frame_bytes]) == u32::from_le_bytes([c0, c1, c2, c3]);
    whole.then(|| (words(&bytes[8..frame_bytes]), frame_bytes))
}

/// A disk that fails may work the next time; a log that is not there will not come.
fn unless_missing(error: &DiskError) -> BootError {
    if error.is_not_found() { BootError::Refused(error.to_string().into()) } else { retry(error) }
}
