//! The checksum of a part of a segment, which also covers where the part is at home.

use super::SegmentNo;
use crate::{
    ids::{RecordId, Version},
    store::{codec::Flaw, log::LogId, place},
};

/// The length of a checksum.
pub(super) const SEAL_BYTES: usize = 4;

/// Whose file something is in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Home {
    pub(super) log: LogId,
    pub(super) no: SegmentNo,
}

impl Home {
    /// Checksums `bytes` at `offset` of the file.
    pub(super) fn seal(self, offset: u64, bytes: &[u8]) -> [u8; SEAL_BYTES] {
        crc32c::crc32c_append(self.place(offset), bytes).to_le_bytes()
    }

    /// Checksums the vector of a record's version.
    pub(super) fn seal_row(self, offset: u64, id: RecordId, version: Version, row: &[u8]) -> [u8; SEAL_BYTES] {
        place::of_row(self.place(offset), id, version, row).to_le_bytes()
    }

    /// The bytes before the checksum that ends `sealed`, if it is right.
    pub(super) fn open(self, offset: u64, sealed: &[u8]) -> Result<&[u8], Flaw> {
        let (bytes, found) = split(sealed)?;
        compare(bytes.len(), self.seal(offset, bytes), found).map(|()| bytes)
    }

    /// The same for the vector of a record's version.
    pub(super) fn open_row(self, offset: u64, id: RecordId, version: Version, sealed: &[u8]) -> Result<&[u8], Flaw> {
        let (bytes, found) = split(sealed)?;
        compare(bytes.len(), self.seal_row(offset, id, version, bytes), found).map(|()| bytes)
    }

    fn place(self, offset: u64) -> u32 {
        place::place(*b"segment ", self.log, self.no.0, offset)
    }
}

fn split(sealed: &[u8]) -> Result<(&[u8], [u8; SEAL_BYTES]), Flaw> {
    match sealed.split_last_chunk() {
        Some((bytes, seal)) => Ok((bytes, *seal)),
        None => Err(Flaw::new(0, "a checksum", format!("the end after {}", sealed.len()))),
    }
}

fn compare(at: usize, expected: [u8; SEAL_BYTES], found: [u8; SEAL_BYTES]) -> Result<(), Flaw> {
    if expected == found {
        return Ok(());
    }
    let words = |seal| format!("checksum {:08x}", u32::from_le_bytes(seal));
    Err(Flaw::new(at, words(expected), words(found)))
}
