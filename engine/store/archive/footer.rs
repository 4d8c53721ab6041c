//! The end of a generation: what is in it, and where.

use super::{BLOCK_BYTES, GenerationNo, RowFormat, SEAL_BYTES};
use crate::{
    ids::{Lsn, RecordId, Version},
    store::{
        Digest, StoreError, StoreResult,
        codec::{Cursor, Flaw, put_u32, put_u64},
        log::LogId,
        place,
    },
};

const MAGIC: [u8; 8] = *b"STORMARC";
const VERSION: u32 = 2;
/// The bytes of a footer.
pub(super) const FOOTER_BYTES: usize = 8 + 4 + 16 + 8 + 4 + 4 + 4 + 4 + 4 + 4 + 8 + 8 + 8 + Digest::LEN + 4;
/// The bytes of one of format 1, which did not say how rows are written.
const FORMER_BYTES: usize = FOOTER_BYTES - 4;
/// The most links of a node.
const DEGREE_MAX: u32 = 1 << 10;
/// The most bytes of what codes were made by.
const CODEC_BYTES_MAX: u32 = 1 << 24;
/// The most bytes of a code.
const CODE_BYTES_MAX: u32 = 1 << 20;

/// Whose file something is in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Home {
    pub(super) log: LogId,
    pub(super) no: GenerationNo,
}

impl Home {
    /// Checksums a block that begins at `offset` of the file.
    pub(super) fn seal(self, offset: u64, bytes: &[u8]) -> u32 {
        crc32c::crc32c_append(self.place(offset), bytes)
    }

    /// Checksums the row of a record's version.
    pub(super) fn seal_row(self, offset: u64, id: RecordId, version: Version, row: &[u8]) -> u32 {
        place::of_row(self.place(offset), id, version, row)
    }

    fn place(self, offset: u64) -> u32 {
        place::place(*b"archive ", self.log, self.no.0, offset)
    }
}

/// See the file's description.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Footer {
    pub(super) home: Home,
    pub(super) components: u32,
    pub(super) format: RowFormat,
    /// Links of each node, those that lead nowhere too.
    pub(super) degree: u32,
    /// Where a search begins; 0 if there is no node.
    pub(super) entry: u32,
    pub(super) codec_bytes: u32,
    pub(super) code_bytes: u32,
    pub(super) built: Lsn,
    pub(super) records: u64,
    /// Where the body begins: behind the rows.
    pub(super) body_at: u64,
    /// Of the body without its checksums.
    pub(super) body: Digest,
}

impl Footer {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(FOOTER_BYTES);
        out.extend_from_slice(&MAGIC);
        put_u32(&mut out, VERSION);
        out.extend_from_slice(&self.home.log.0.to_le_bytes());
        put_u64(&mut out, self.home.no.0);
        put_u32(&mut out, self.components);
        put_u32(&mut out, self.format.number());
        for number in [self.degree, self.entry, self.codec_bytes, self.code_bytes] {
            put_u32(&mut out, number);
        }
        put_u64(&mut out, self.built.0);
        put_u64(&mut out, self.records);
        put_u64(&mut out, self.body_at);
        out.extend_from_slice(&self.body.0);
        let crc = crc32c::crc32c(&out);
        put_u32(&mut out, crc);
        debug_assert_eq!(out.len(), FOOTER_BYTES);
        out
    }

    /// Reads the footer of a file of so many bytes.
    pub(super) fn decode(bytes: &[u8], path: &str, file_bytes: u64) -> StoreResult<Footer> {
        let at = file_bytes - FOOTER_BYTES as u64;
        let damaged = |flaw: Flaw| flaw.in_file(path, at);
        let (checked, crc) = bytes.split_last_chunk().expect("a footer has a fixed size");
        let (expected, found) = (crc32c::crc32c(checked), u32::from_le_bytes(*crc));
        if expected != found {
            if is_former(&bytes[FOOTER_BYTES - FORMER_BYTES..]) {
                let offset = file_bytes - FORMER_BYTES as u64 + MAGIC.len() as u64;
                return Err(StoreError::UnknownFormat { path: path.into(), offset, expected: VERSION, found: 1 });
            }
            let (expected, found) = (format!("checksum {expected:08x}"), format!("{found:08x}"));
            return Err(damaged(Flaw::new(checked.len(), expected, found)));
        }
        let mut from = Cursor::new(checked);
        let magic: [u8; 8] = from.array().map_err(damaged)?;
        if magic != MAGIC {
            let (expected, found) = (MAGIC.escape_ascii().to_string(), magic.escape_ascii().to_string());
            return Err(damaged(Flaw::new(0, expected, found)));
        }
        let version = from.u32().map_err(damaged)?;
        if version != VERSION {
            let (path, expected, found) = (path.into(), VERSION, version);
            return Err(StoreError::UnknownFormat { path, offset: at + 8, expected, found });
        }
        let footer = Self::decode_fields(&mut from).map_err(damaged)?;
        footer.check(at).map_err(damaged)?;
        Ok(footer)
    }

    fn decode_fields(from: &mut Cursor<'_>) -> Result<Footer, Flaw> {
        let home = Home { log: LogId(from.u128()?), no: GenerationNo(from.number()?) };
        let mut bounded = |what: &str, least: u32, most: u32| {
            let begin = from.position();
            match from.u32()? {
                found if (least..=most).contains(&found) => Ok(found),
                found => Err(Flaw::new(begin, format!("{least} to {most} {what}"), found.to_string())),
            }
        };
        let components = bounded("components", 1, 1 << 16)?;
        let format = bounded("as a format of rows", 1, 2)?;
        let degree = bounded("links", 1, DEGREE_MAX)?;
        let entry = bounded("as a node's number", 0, u32::MAX)?;
        let codec_bytes = bounded("bytes of a codec", 1, CODEC_BYTES_MAX)?;
        let code_bytes = bounded("bytes of a code", 1, CODE_BYTES_MAX)?;
        let (built, records, body_at) = (Lsn(from.number()?), from.number()?, from.number()?);
        let body = Digest(from.array()?);
        from.end()?;
        let format = RowFormat::of_number(format).expect("it was bounded");
        Ok(Footer { home, components, format, degree, entry, codec_bytes, code_bytes, built, records, body_at, body })
    }

    /// That the parts fill what is before the footer.
    fn check(&self, footer_at: u64) -> Result<(), Flaw> {
        let rows = self.records.checked_mul(self.format.stride(self.components));
        if rows != Some(self.body_at) || self.records > u64::from(u32::MAX) {
            let expected = format!("a body behind {} rows", self.records);
            return Err(Flaw::new(0, expected, format!("one at {}", self.body_at)));
        }
        let nodes = self.records.saturating_mul(self.node_bytes() as u64);
        let body = sealed(nodes.saturating_add(self.codec_bytes.into()));
        if self.body_at.checked_add(body) != Some(footer_at) {
            let expected = format!("a body of {body} bytes");
            return Err(Flaw::new(0, expected, format!("{}", footer_at.saturating_sub(self.body_at))));
        }
        Ok(())
    }

    /// The bytes of what the body says of a record.
    pub(super) fn node_bytes(&self) -> usize {
        8 + 8 + SEAL_BYTES + self.code_bytes as usize + 4 * self.degree as usize
    }

    /// The bytes of the body without its checksums.
    pub(super) fn body_bytes(&self) -> u64 {
        u64::from(self.codec_bytes) + self.records * self.node_bytes() as u64
    }

    /// Where a row begins.
    pub(super) fn row_at(&self, row: u64) -> u64 {
        row * self.format.stride(self.components)
    }
}

/// Whether it is a whole footer of format 1.
fn is_former(bytes: &[u8]) -> bool {
    let (checked, crc) = bytes.split_last_chunk().expect("a footer has a fixed size");
    checked.starts_with(&[&MAGIC[..], &1_u32.to_le_bytes()].concat())
        && crc32c::crc32c(checked) == u32::from_le_bytes(*crc)
}

/// The bytes of a body with the checksums of its blocks.
fn sealed(bytes: u64) -> u64 {
    bytes.saturating_add(bytes.div_ceil(BLOCK_BYTES as u64).saturating_mul(SEAL_BYTES as u64))
}
