//! What a generation is called, and what it must be when it is opened.

use serde::{Deserialize, Serialize};

use super::DIRECTORY;
use crate::{
    ids::Lsn,
    store::{
        Digest,
        codec::{Cursor, Flaw, put_u64},
    },
};

/// A generation's number: its name in [`DIRECTORY`]. Never given twice in the life of a database, so that the attempts of two
/// rebuilds never meet.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GenerationNo(pub u64);

/// What is known of a generation without opening it, and what it must be if it is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenerationName {
    /// Its number.
    pub no: GenerationNo,
    /// The length of its file, in bytes.
    pub bytes: u64,
    /// Of its footer, which has a digest of the body.
    pub digest: Digest,
    /// It has every record that was live as of this frame, in the version it had then.
    pub built: Lsn,
    /// How many.
    pub records: u64,
}

impl GenerationNo {
    /// The path of its file.
    pub fn path(self) -> String {
        format!("{DIRECTORY}/{}", self.0)
    }

    /// The generation of that path, if it is one.
    pub fn of_path(path: &str) -> Option<GenerationNo> {
        let no = GenerationNo(path.strip_prefix(DIRECTORY)?.strip_prefix('/')?.parse().ok()?);
        (no.path() == path).then_some(no)
    }
}

impl GenerationName {
    /// Adds it to some bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_u64(out, self.no.0);
        put_u64(out, self.bytes);
        out.extend_from_slice(&self.digest.0);
        put_u64(out, self.built.0);
        put_u64(out, self.records);
    }

    pub(in crate::store) fn decode(from: &mut Cursor<'_>) -> Result<GenerationName, Flaw> {
        Ok(GenerationName {
            no: GenerationNo(from.number()?),
            bytes: from.number()?,
            digest: Digest(from.array()?),
            built: Lsn(from.number()?),
            records: from.number()?,
        })
    }

    /// Takes it from the bytes that it was added to.
    pub fn of_bytes(bytes: &[u8]) -> Option<GenerationName> {
        let mut from = Cursor::new(bytes);
        let name = Self::decode(&mut from).ok()?;
        from.end().ok().map(|()| name)
    }
}
