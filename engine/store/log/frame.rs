//! A frame, in either format: what it is wrapped in, how it is recognised, and what can be said of bytes that are none.

use super::{Chain, LogFormat, LogId, LogNo, binary, json};
use crate::{
    ids::Lsn,
    store::batch::{WEIGHT_MAX, json_bytes_max},
};

/// The longest payload of a frame.
pub(super) const PAYLOAD_BYTES_MAX: usize = 64 << 20;
const _: () = assert!(json_bytes_max(WEIGHT_MAX) <= PAYLOAD_BYTES_MAX, "a frame holds every batch in either format");
/// The most that a frame is longer than its payload, in either format.
pub(super) const WRAPPING_BYTES_MAX: usize = 73;
/// The least that a disk writes as a whole: a write cut short by the loss of power leaves each sector old or new.
const SECTOR_BYTES: u64 = 512;

/// How much is looked at at a time to pass over zeros.
const CHUNK_BYTES: usize = 4096;

/// Where a frame is at home. Its checksum covers this, so that it is believed nowhere else.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place {
    pub(super) id: LogId,
    pub(super) no: LogNo,
    pub(super) offset: u64,
}

impl Place {
    /// The checksum of the place, on which that of the frame goes on.
    pub(super) fn crc(&self) -> u32 {
        let mut bytes = [0; 32];
        bytes[..16].copy_from_slice(&self.id.0.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.no.0.to_le_bytes());
        bytes[24..].copy_from_slice(&self.offset.to_le_bytes());
        crc32c::crc32c(&bytes)
    }

    pub(super) fn at(self, offset: u64) -> Place {
        Place { offset, ..self }
    }
}

/// What comes before and after a payload to make it a frame.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Wrapping {
    pub(super) head: Vec<u8>,
    pub(super) tail: Vec<u8>,
    /// The frame's checksum, which the next frame carries on.
    pub(super) crc: u32,
}

/// A frame that is whole and at home where it was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Frame<'a> {
    pub(super) chain: Chain,
    /// The checksum of the frame before it.
    pub(super) prev: u32,
    pub(super) payload: &'a [u8],
    /// The length of all of it.
    pub(super) len: usize,
}

/// Bytes that are no frame, and why not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Broken {
    pub(super) expected: Box<str>,
    pub(super) found: Box<str>,
    /// Whether all of its sectors were written once, so that it is not merely torn.
    pub(super) whole: bool,
}

impl Broken {
    pub(super) fn new(expected: impl Into<Box<str>>, found: impl Into<Box<str>>, whole: bool) -> Self {
        Broken { expected: expected.into(), found: found.into(), whole }
    }
}

/// What to put around `payload` for the frame after `after`, at `place`.
pub(super) fn wrap(format: LogFormat, place: Place, after: Chain, payload: &[u8]) -> Wrapping {
    match format {
        LogFormat::Binary => binary::wrap(place, after, payload),
        LogFormat::JsonLines => json::wrap(place, after, payload),
    }
}

/// The frame at the front of `bytes`, which are those of the file from `place` on.
pub(super) fn parse(format: LogFormat, place: Place, bytes: &[u8]) -> Result<Frame<'_>, Broken> {
    match format {
        LogFormat::Binary => binary::parse(place, bytes),
        LogFormat::JsonLines => json::parse(place, bytes),
    }
}

/// The first offset from `from` on at which a frame of this log was begun, whatever comes before it.
pub(super) fn find(format: LogFormat, file: Place, bytes: &[u8], from: usize) -> Option<(u64, Lsn)> {
    let begun = |at: usize| match format {
        LogFormat::Binary => binary::begun(file.at(at as u64), &bytes[at..]),
        LogFormat::JsonLines => json::begun(file.at(at as u64), bytes, at),
    };
    let mut chunks = bytes.get(from..)?.chunks(CHUNK_BYTES).zip((from..).step_by(CHUNK_BYTES));
    // Most of a preallocated file is zeros, and no frame begins with one.
    chunks.find_map(|(chunk, first)| {
        let found = || (first..).take(chunk.len()).find_map(|at| Some((at as u64, begun(at)?)));
        if is_zero(chunk) { None } else { found() }
    })
}

/// Whether all bytes are zero. Without an early exit inside a chunk, so that it compiles to wide instructions.
pub(super) fn is_zero(bytes: &[u8]) -> bool {
    bytes.chunks(256).all(|chunk| chunk.iter().fold(0, |all, byte| all | byte) == 0)
}

/// Whether none of the sectors that `bytes` touch can be missing. The space of a frame is zeros before it is written,
/// so a sector that was not written, or not to its end, ends in a zero.
pub(super) fn no_sector_is_missing(offset: u64, bytes: &[u8]) -> bool {
    let first = (SECTOR_BYTES - offset % SECTOR_BYTES) as usize;
    let ends = (first..bytes.len()).step_by(SECTOR_BYTES as usize).chain([bytes.len()]);
    ends.into_iter().all(|end| bytes[end - 1] != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sector_that_ends_in_a_zero_may_be_missing() {
        let missing = |offset, zero: usize| {
            let mut bytes = vec![7; 1500];
            bytes[zero] = 0;
            !no_sector_is_missing(offset, &bytes)
        };
        // From offset 100 on, sectors end behind 412 bytes and 924 and 1436, and the last with what is written.
        let ends: Vec<_> = (0..1500).filter(|zero| missing(100, *zero)).collect();
        assert_eq!(ends, [411, 923, 1435, 1499]);
        let ends: Vec<_> = (0..1500).filter(|zero| missing(1024, *zero)).collect();
        assert_eq!(ends, [511, 1023, 1499]);
    }
}
