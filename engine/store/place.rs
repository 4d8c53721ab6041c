//! Where a checksum is at home: what is covered besides the bytes, so that they are believed nowhere else.

use super::log::LogId;
use crate::ids::{RecordId, Version};

/// The checksum that those of bytes at `offset` of a file go on from. Kinds of files have names of their own.
pub(super) fn place(kind: [u8; 8], log: LogId, no: u64, offset: u64) -> u32 {
    let mut bytes = [0; 40];
    bytes[..8].copy_from_slice(&kind);
    bytes[8..24].copy_from_slice(&log.0.to_le_bytes());
    bytes[24..32].copy_from_slice(&no.to_le_bytes());
    bytes[32..].copy_from_slice(&offset.to_le_bytes());
    crc32c::crc32c(&bytes)
}

/// Checksums the vector of a record's version, at that place.
pub(super) fn of_row(place: u32, id: RecordId, version: Version, row: &[u8]) -> u32 {
    let mut whose = [0; 16];
    whose[..8].copy_from_slice(&id.0.to_le_bytes());
    whose[8..].copy_from_slice(&version.0.to_le_bytes());
    crc32c::crc32c_append(crc32c::crc32c_append(place, &whose), row)
}
