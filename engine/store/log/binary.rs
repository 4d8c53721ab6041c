//! The binary frame: a header with a checksum of its own, so that a length is never trusted unchecked; the payload; the
//! frame's checksum; and a last byte that is never zero.

use super::{
    Chain,
    frame::{Broken, Frame, PAYLOAD_BYTES_MAX, Place, Wrapping, no_sector_is_missing},
};
use crate::{
    ids::Lsn,
    store::codec::{Cursor, Flaw, put_u32, put_u64},
};

/// Begins every frame. Its first byte occurs in no UTF-8 text, so that few texts are looked at twice.
const MAGIC: [u8; 4] = [0xF5, b'S', b'P', b'F'];
const HEAD_BYTES: usize = 24;
/// What the header's own checksum covers.
const HEAD_CHECKED_BYTES: usize = 20;
const TAIL_BYTES: usize = 5;
/// Ends every frame: see [`no_sector_is_missing`].
const END: u8 = 0xF6;

pub(super) fn wrap(place: Place, after: Chain, payload: &[u8]) -> Wrapping {
    let mut head = Vec::with_capacity(HEAD_BYTES);
    head.extend_from_slice(&MAGIC);
    put_u32(&mut head, payload.len() as u32);
    put_u64(&mut head, after.lsn.next().0);
    put_u32(&mut head, after.crc);
    let head_crc = crc32c::crc32c_append(place.crc(), &head);
    put_u32(&mut head, head_crc);
    let crc = crc32c::crc32c_append(head_crc, payload);
    let mut tail = Vec::with_capacity(TAIL_BYTES);
    put_u32(&mut tail, crc);
    tail.push(END);
    Wrapping { head, tail, crc }
}

pub(super) fn parse(place: Place, bytes: &[u8]) -> Result<Frame<'_>, Broken> {
    let head = Head::parse(place, bytes).map_err(|flaw| Broken::new(flaw.expected, flaw.found, false))?;
    let len = HEAD_BYTES + head.payload_bytes + TAIL_BYTES;
    let Some(frame) = bytes.get(..len) else {
        return Err(Broken::new(
            format!("a frame of {len} bytes"),
            format!("the end of the file after {}", bytes.len()),
            false,
        ));
    };
    let (payload, tail) = frame[HEAD_BYTES..].split_at(head.payload_bytes);
    let crc = crc32c::crc32c_append(head.crc, payload);
    let mut expected_tail = crc.to_le_bytes().to_vec();
    expected_tail.push(END);
    if tail != expected_tail {
        let whole = no_sector_is_missing(place.offset, frame);
        return Err(Broken::new(format!("checksum and end {expected_tail:02x?}"), format!("{tail:02x?}"), whole));
    }
    Ok(Frame { chain: Chain { lsn: head.lsn, crc }, prev: head.prev, payload, len })
}

/// Whether a frame was begun here, whole or not: its header alone proves that the frame before it was durable.
pub(super) fn begun(place: Place, bytes: &[u8]) -> Option<Lsn> {
    let head = bytes.starts_with(&MAGIC).then(|| Head::parse(place, bytes))?;
    head.ok().map(|head| head.lsn)
}

struct Head {
    payload_bytes: usize,
    lsn: Lsn,
    prev: u32,
    crc: u32,
}

impl Head {
    fn parse(place: Place, bytes: &[u8]) -> Result<Head, Flaw> {
        let mut from = Cursor::new(bytes);
        let magic: [u8; 4] = from.array()?;
        if magic != MAGIC {
            return Err(Flaw::new(0, format!("the beginning of a frame, {MAGIC:02x?}"), format!("{magic:02x?}")));
        }
        let payload_bytes = from.u32()? as usize;
        let (lsn, prev) = (Lsn(from.u64()?), from.u32()?);
        let crc = crc32c::crc32c_append(place.crc(), &bytes[..HEAD_CHECKED_BYTES]);
        let found = from.u32()?;
        if found != crc {
            return Err(Flaw::new(HEAD_CHECKED_BYTES, format!("header checksum {crc:08x}"), format!("{found:08x}")));
        }
        if payload_bytes > PAYLOAD_BYTES_MAX {
            let expected = format!("at most {PAYLOAD_BYTES_MAX} bytes of payload");
            return Err(Flaw::new(MAGIC.len(), expected, payload_bytes.to_string()));
        }
        Ok(Head { payload_bytes, lsn, prev, crc })
    }
}
