//! A node's memory on disk: one file of frames, appended to and synced before anything is said.
//!
//! # Crash argument
//! Frames are written behind the last that is known to be good, and believed by nobody before their sync returns.
//! - If power is lost before the sync, some of their bytes may be there, in any order. The first that is not whole ends
//!   the journal; what was lost behind it was never spoken of.
//! - If a process dies before the sync, its frames may be read from the page cache and be lost later. If a sync failed,
//!   they may read well and never reach the disk. So whoever opens the journal writes again all that it
//!   believes, cuts the rest off, and syncs, before it goes on. Bytes that were durable are replaced by themselves, so
//!   a crash during this loses none of them.

use std::sync::Arc;

use stormproof_contract::{Disk, DiskResult, File, Open};

use super::super::frame::{seal, unseal};

/// The open file, and what is to be written to it next.
pub(super) struct Journal {
    file: Arc<dyn File>,
    end: u64,
    unsaved: Vec<u8>,
}

impl Journal {
    /// Opens or creates the journal, and reads its records.
    pub(super) fn open(disk: &dyn Disk) -> DiskResult<(Journal, Vec<Vec<u64>>)> {
        let file = disk.open("journal", Open::Create)?;
        let mut bytes = vec![0; file.meta()?.len as usize];
        file.read_exact_at(0, &mut bytes)?;
        let (records, end) = whole_frames(&bytes);
        file.set_len(end as u64)?;
        file.write_all_at(0, &[&bytes[..end]])?;
        file.sync()?;
        disk.sync_dir("")?;
        Ok((Journal { file, end: end as u64, unsaved: Vec::new() }, records))
    }

    /// Adds a record to what the next [`Self::save`] writes.
    pub(super) fn push(&mut self, record: &[u64]) {
        self.unsaved.extend(seal(record));
    }

    /// Makes all that was pushed durable, and says whether there was anything. After an error nothing is known of it:
    /// the node must not go on.
    pub(super) fn save(&mut self) -> DiskResult<bool> {
        if self.unsaved.is_empty() {
            return Ok(false);
        }
        self.file.write_all_at(self.end, &[&self.unsaved])?;
        self.file.sync()?;
        self.end += self.unsaved.len() as u64;
        self.unsaved.clear();
        Ok(true)
    }
}

/// The frames up to the first that is not whole, and where they end.
fn whole_frames(bytes: &[u8]) -> (Vec<Vec<u64>>, usize) {
    let (mut records, mut end) = (Vec::new(), 0);
    while let Some((record, frame_bytes)) = unseal(&bytes[end..]) {
        records.push(record);
        end += frame_bytes;
    }
    (records, end)
}
