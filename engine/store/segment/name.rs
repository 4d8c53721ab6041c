//! What a segment is called, and what is known of it without opening it.

use serde::{Deserialize, Serialize};

use super::DIRECTORY;
use crate::{
    ids::Lsn,
    store::{
        Digest,
        codec::{Cursor, Flaw, put_u64},
    },
};

/// A segment's number: its name in [`DIRECTORY`]. Never given twice in the life of a database.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SegmentNo(pub u64);

/// What is known of a segment without opening it, and what it must be if it is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SegmentName {
    /// Its number.
    pub no: SegmentNo,
    /// The length of its file, in bytes.
    pub bytes: u64,
    /// Of its footer, which has a digest of all that is before it.
    pub digest: Digest,
    /// The last frame of the log whose effect is in it.
    pub upto: Lsn,
    /// Records that are known in it, deleted ones too.
    pub entries: u64,
    /// Records that are live in it.
    pub live: u64,
}

impl SegmentNo {
    /// The path of its file.
    pub fn path(self) -> String {
        format!("{DIRECTORY}/{}", self.0)
    }

    /// The segment of that path, if it is one.
    pub fn of_path(path: &str) -> Option<SegmentNo> {
        let no = SegmentNo(path.strip_prefix(DIRECTORY)?.strip_prefix('/')?.parse().ok()?);
        (no.path() == path).then_some(no)
    }
}

impl SegmentName {
    /// The bytes that [`encode`](Self::encode) writes.
    pub(in crate::store) const BYTES: usize = 5 * 8 + Digest::LEN;

    pub(in crate::store) fn encode(&self, out: &mut Vec<u8>) {
        put_u64(out, self.no.0);
        put_u64(out, self.bytes);
        out.extend_from_slice(&self.digest.0);
        put_u64(out, self.upto.0);
        put_u64(out, self.entries);
        put_u64(out, self.live);
    }

    pub(in crate::store) fn decode(from: &mut Cursor<'_>) -> Result<SegmentName, Flaw> {
        Ok(SegmentName {
            no: SegmentNo(from.number()?),
            bytes: from.number()?,
            digest: Digest(from.array()?),
            upto: Lsn(from.number()?),
            entries: from.number()?,
            live: from.number()?,
        })
    }
}
