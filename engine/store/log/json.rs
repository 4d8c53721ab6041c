//! The JSON-lines frame: one object on one line, which any tool can read, with the same checksum and chain.
//!
//! `{"crc":"0a1b2c3d","prev":"4e5f6071","lsn":7,"batch":{...}}` and a line feed. The checksum covers all that follows it,
//! up to and with the line feed. The writer leaves no choice in how a frame is spelled, so the reader allows none: the
//! line feed and the zero byte occur nowhere else in a frame, and a frame that reaches its line feed without a zero was
//! written whole.

use super::{
    Chain,
    frame::{Broken, Frame, PAYLOAD_BYTES_MAX, Place, WRAPPING_BYTES_MAX, Wrapping},
};
use crate::ids::Lsn;

const CRC: &[u8] = b"{\"crc\":\"";
const PREV: &[u8] = b"\",\"prev\":\"";
const LSN: &[u8] = b"\",\"lsn\":";
const BATCH: &[u8] = b",\"batch\":";
const END: &[u8] = b"}\n";
const HEX_BYTES: usize = 8;

pub(super) fn wrap(place: Place, after: Chain, payload: &[u8]) -> Wrapping {
    let mut checked = Vec::with_capacity(WRAPPING_BYTES_MAX);
    checked.extend_from_slice(PREV);
    checked.extend_from_slice(format!("{:08x}", after.crc).as_bytes());
    checked.extend_from_slice(LSN);
    checked.extend_from_slice(after.lsn.next().0.to_string().as_bytes());
    checked.extend_from_slice(BATCH);
    let crc = [&checked, payload, END].iter().fold(place.crc(), |crc, part| crc32c::crc32c_append(crc, part));
    let mut head = CRC.to_vec();
    head.extend_from_slice(format!("{crc:08x}").as_bytes());
    head.extend_from_slice(&checked);
    Wrapping { head, tail: END.to_vec(), crc }
}

pub(super) fn parse(place: Place, bytes: &[u8]) -> Result<Frame<'_>, Broken> {
    let bytes = &bytes[..bytes.len().min(PAYLOAD_BYTES_MAX + WRAPPING_BYTES_MAX)];
    match bytes.iter().position(|byte| matches!(byte, 0 | b'\n')) {
        Some(at) if bytes[at] == b'\n' => parse_line(place, &bytes[..=at]),
        Some(at) => Err(Broken::new("a line", format!("a zero byte after {at} bytes"), false)),
        None => Err(Broken::new("a line", format!("no end in {} bytes", bytes.len()), false)),
    }
}

/// Whether a frame stands at `at`. Only the beginning of a line is looked at, so that no byte is checked twice.
pub(super) fn begun(place: Place, bytes: &[u8], at: usize) -> Option<Lsn> {
    let begins = matches!(bytes[at - 1], 0 | b'\n') && bytes[at..].starts_with(CRC);
    begins.then(|| parse(place, &bytes[at..]))?.ok().map(|frame| frame.chain.lsn)
}

fn parse_line(place: Place, line: &[u8]) -> Result<Frame<'_>, Broken> {
    let spelled = spelled(line).ok_or_else(|| Broken::new("a frame's line", "another line", true))?;
    let crc = crc32c::crc32c_append(place.crc(), spelled.checked);
    if spelled.crc != crc {
        return Err(Broken::new(format!("checksum {crc:08x}"), format!("{:08x}", spelled.crc), true));
    }
    Ok(Frame { chain: Chain { lsn: spelled.lsn, crc }, prev: spelled.prev, payload: spelled.payload, len: line.len() })
}

struct Spelled<'a> {
    crc: u32,
    checked: &'a [u8],
    prev: u32,
    lsn: Lsn,
    payload: &'a [u8],
}

fn spelled(line: &[u8]) -> Option<Spelled<'_>> {
    let (crc, checked) = hex(line.strip_prefix(CRC)?)?;
    let (prev, rest) = hex(checked.strip_prefix(PREV)?)?;
    let rest = rest.strip_prefix(LSN)?;
    let digits = rest.iter().position(|byte| !byte.is_ascii_digit())?;
    let lsn = std::str::from_utf8(&rest[..digits]).ok()?.parse().ok().map(Lsn)?;
    let payload = rest[digits..].strip_prefix(BATCH)?.strip_suffix(END)?;
    Some(Spelled { crc, checked, prev, lsn, payload })
}

/// Eight lower-case digits, and what follows.
fn hex(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (digits, rest) = bytes.split_at_checked(HEX_BYTES)?;
    let plain = digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    let digits = plain.then(|| std::str::from_utf8(digits).ok())??;
    Some((u32::from_str_radix(digits, 16).ok()?, rest))
}
