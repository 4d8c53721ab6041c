//! The first bytes of an L1 file: what it says of itself, and how much follows.

use super::{L1Head, L1Kind};
use crate::{
    ids::Lsn,
    store::{
        Digest, StoreError, StoreResult,
        codec::{Cursor, Flaw, put_u32, put_u64},
        log::LogId,
        record::COMPONENTS_MAX,
    },
};

/// The length of a head.
pub(super) const HEAD_BYTES: usize = 72;
/// The length of a tombstone; a row has its components besides.
pub(super) const ROW_BYTES: usize = 16;

const MAGIC: [u8; 8] = *b"STORM-L1";
const VERSION: u32 = 1;

/// A head, and how much follows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Counted {
    pub(super) head: L1Head,
    pub(super) rows: u64,
    pub(super) tombstones: u64,
}

impl Counted {
    pub(super) fn encode(&self) -> Vec<u8> {
        let L1Head { kind, log, components, metric, before, lsn } = self.head;
        let mut out = Vec::with_capacity(HEAD_BYTES);
        out.extend_from_slice(&MAGIC);
        put_u32(&mut out, VERSION);
        out.extend_from_slice(&[kind.number(), metric, 0, 0]);
        out.extend_from_slice(&log.0.to_le_bytes());
        put_u64(&mut out, before.0);
        put_u64(&mut out, lsn.0);
        put_u32(&mut out, components);
        put_u32(&mut out, 0);
        put_u64(&mut out, self.rows);
        put_u64(&mut out, self.tombstones);
        out
    }

    /// Reads the head of the file `path`, which is `file_bytes` long.
    pub(super) fn decode(bytes: &[u8], path: &str, file_bytes: u64) -> StoreResult<Counted> {
        let damaged = |flaw: Flaw| flaw.in_file(path, 0);
        let mut from = Cursor::new(bytes);
        let magic: [u8; 8] = from.array().map_err(damaged)?;
        if magic != MAGIC {
            let (expected, found) = (MAGIC.escape_ascii().to_string(), magic.escape_ascii().to_string());
            return Err(damaged(Flaw::new(0, expected, found)));
        }
        match from.u32().map_err(damaged)? {
            VERSION => {}
            found => {
                return Err(StoreError::UnknownFormat { path: path.into(), offset: 8, expected: VERSION, found });
            }
        }
        let counted = Self::decode_fields(&mut from).map_err(damaged)?;
        if counted.file_bytes() != u128::from(file_bytes) {
            let expected = format!("{} bytes, as the head has it", counted.file_bytes());
            return Err(damaged(Flaw::new(HEAD_BYTES, expected, file_bytes.to_string())));
        }
        Ok(counted)
    }

    fn decode_fields(from: &mut Cursor<'_>) -> Result<Counted, Flaw> {
        let begin = from.position();
        let [kind, metric, 0, 0] = from.array()? else { return Err(Flaw::new(begin + 2, "zeros", "others")) };
        let kind =
            L1Kind::of_number(kind).ok_or_else(|| Flaw::new(begin, "1 (an index) or 2 (a delta)", kind.to_string()))?;
        let log = LogId(from.u128()?);
        let (before, lsn) = (Lsn(from.u64()?), Lsn(from.u64()?));
        let begin = from.position();
        let (components, unused) = (from.u32()?, from.u32()?);
        if components as usize > COMPONENTS_MAX || unused != 0 {
            let expected = format!("at most {COMPONENTS_MAX} components, and a zero");
            return Err(Flaw::new(begin, expected, format!("{components}, and {unused}")));
        }
        let head = L1Head { kind, log, components, metric, before, lsn };
        Ok(Counted { head, rows: from.u64()?, tombstones: from.u64()? })
    }

    /// How long a file of that many rows is. Wide, since the counts may be anything.
    fn file_bytes(&self) -> u128 {
        let row_bytes = ROW_BYTES as u128 + 4 * u128::from(self.head.components);
        let fixed_bytes = (HEAD_BYTES + Digest::LEN) as u128;
        fixed_bytes + u128::from(self.rows) * row_bytes + u128::from(self.tombstones) * ROW_BYTES as u128
    }
}
