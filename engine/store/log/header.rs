//! The first bytes of each file of the log: whose it is, which it is, how its frames are written, and which frame comes
//! before its first.
//!
//! A file's header is durable before any manifest names the file, so one that cannot be read is damage, never a torn
//! write.

use super::{Chain, LogFormat, LogId, LogNo};
use crate::{
    ids::Lsn,
    store::{
        StoreError, StoreResult,
        codec::{Cursor, Flaw, put_u32, put_u64},
    },
};

/// The length of a header.
pub(super) const HEADER_BYTES: usize = 64;

const MAGIC: [u8; 8] = *b"STORMLOG";
const VERSION: u32 = 4;
/// What the checksum covers: all that comes before it.
const CHECKED_BYTES: usize = 59;
/// Lets the tools of text files see the first line of a JSON-lines log begin where it does.
const END: u8 = b'\n';
/// No log comes near this, so that counting on from a number that was read cannot overflow.
const LSN_MAX: u64 = 1 << 63;

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Header {
    pub(super) id: LogId,
    pub(super) no: LogNo,
    pub(super) format: LogFormat,
    /// The last frame of the files before this one.
    pub(super) after: Chain,
}

impl Header {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_BYTES);
        out.extend_from_slice(&MAGIC);
        put_u32(&mut out, VERSION);
        put_u32(&mut out, self.format.number());
        out.extend_from_slice(&self.id.0.to_le_bytes());
        put_u64(&mut out, self.no.0);
        put_u64(&mut out, self.after.lsn.0);
        put_u32(&mut out, self.after.crc);
        out.resize(CHECKED_BYTES, 0);
        let crc = crc32c::crc32c(&out);
        put_u32(&mut out, crc);
        out.push(END);
        out
    }

    /// Reads the header of the file `path`, which the manifest has as file `no` of log `id`.
    pub(super) fn decode(bytes: &[u8], path: &str, id: LogId, no: LogNo) -> StoreResult<Header> {
        let header = Self::decode_unchecked(bytes, path)?;
        if (header.id, header.no) != (id, no) {
            return Err(StoreError::Foreign {
                path: path.into(),
                offset: 16,
                expected: format!("log {id}, file {}", no.0).into(),
                found: format!("log {}, file {}", header.id, header.no.0).into(),
            });
        }
        Ok(header)
    }

    /// Reads a header whose log is not known.
    pub(super) fn decode_unchecked(bytes: &[u8], path: &str) -> StoreResult<Header> {
        let bytes = bytes.get(..HEADER_BYTES).unwrap_or(bytes);
        let damaged = |flaw: Flaw| flaw.in_file(path, 0);
        let mut from = Cursor::new(bytes);
        let checked = from.take(CHECKED_BYTES).map_err(damaged)?;
        let (expected, found) = (crc32c::crc32c(checked), from.u32().map_err(damaged)?);
        let end = from.u8().map_err(damaged)?;
        if expected != found {
            let (expected, found) = (format!("checksum {expected:08x}"), format!("{found:08x}"));
            return Err(damaged(Flaw::new(CHECKED_BYTES, expected, found)));
        }
        if end != END {
            return Err(damaged(Flaw::new(HEADER_BYTES - 1, "a line feed", end.escape_ascii().to_string())));
        }
        Self::decode_fields(checked, path).map_err(damaged)?
    }

    fn decode_fields(checked: &[u8], path: &str) -> Result<StoreResult<Header>, Flaw> {
        let mut from = Cursor::new(checked);
        let magic: [u8; 8] = from.array()?;
        if magic != MAGIC {
            return Err(Flaw::new(0, MAGIC.escape_ascii().to_string(), magic.escape_ascii().to_string()));
        }
        let version = from.u32()?;
        if version != VERSION {
            return Ok(Err(StoreError::UnknownFormat {
                path: path.into(),
                offset: 8,
                expected: VERSION,
                found: version,
            }));
        }
        let format = from.u32()?;
        let format = LogFormat::of_number(format)
            .ok_or_else(|| Flaw::new(12, "1 (binary) or 2 (JSON lines)", format.to_string()))?;
        let (id, no) = (LogId(from.u128()?), LogNo(from.u64()?));
        let after = Chain { lsn: Lsn(from.u64()?), crc: from.u32()? };
        if after.lsn.0 > LSN_MAX {
            return Err(Flaw::new(40, format!("at most {}", Lsn(LSN_MAX)), after.lsn.to_string()));
        }
        Ok(Ok(Header { id, no, format, after }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(lsn: u64) -> Header {
        let after = Chain { lsn: Lsn(lsn), crc: 5 };
        Header { id: LogId(3), no: LogNo(2), format: LogFormat::Binary, after }
    }

    #[test]
    fn a_log_that_is_longer_than_any_is_refused() {
        let read = |lsn| Header::decode(&header(lsn).encode(), "log.2", LogId(3), LogNo(2));
        assert_eq!(read(LSN_MAX), Ok(header(LSN_MAX)));
        let error = read(LSN_MAX + 1).expect_err("no log comes near");
        assert!(matches!(error, StoreError::Damaged { offset: 40, .. }), "{error}");
    }

    #[test]
    fn its_end_is_told_where_it_is() {
        let mut bytes = header(9).encode();
        bytes[63] = b' ';
        let error = Header::decode_unchecked(&bytes, "log.2").expect_err("no line feed");
        assert!(matches!(error, StoreError::Damaged { offset: 63, .. }), "{error}");
    }
}
