//! Writing an L1 file, front to back.

use std::sync::Arc;

use stormproof_contract::{Disk, File, Open};

use super::{L1Head, L1Name, L1Row, head::Counted};
use crate::{
    ids::{RecordId, Version},
    store::{
        Digest, DigestBuilder, StoreResult,
        codec::{put_f32s, put_u64},
    },
};

/// How much is gathered before it is written: what stays in a near cache, and is not so much that allocators would give
/// it back to the system after each file, only to fetch it again page by page for the next.
const CHUNK_BYTES: usize = 64 << 10;

/// Writes an L1 file, not synced, over any other of that name, and gives back what it is recognised by.
pub fn write<'a>(
    disk: &dyn Disk,
    name: L1Name,
    head: &L1Head,
    row_count: usize,
    rows: impl Iterator<Item = L1Row<'a>>,
    tombstones: &[(RecordId, Version)],
) -> StoreResult<Digest> {
    let counted = Counted { head: *head, rows: row_count as u64, tombstones: tombstones.len() as u64 };
    let file = disk.open(&name.path(), Open::Truncate)?;
    let mut to = Gathered { file, offset: 0, bytes: counted.encode(), digest: DigestBuilder::default() };
    let mut written = 0;
    for row in rows {
        written += 1;
        assert!(row.vector.len() == head.components as usize, "rows have as many components as the head says");
        put_u64(&mut to.bytes, row.id.0);
        put_u64(&mut to.bytes, row.version.0);
        put_f32s(&mut to.bytes, &row.vector);
        to.write_if_many()?;
    }
    assert!(written == row_count, "there are as many rows as the head says");
    for (id, version) in tombstones {
        put_u64(&mut to.bytes, id.0);
        put_u64(&mut to.bytes, version.0);
        to.write_if_many()?;
    }
    to.finish()
}

/// Bytes on their way to the end of a file.
struct Gathered {
    file: Arc<dyn File>,
    offset: u64,
    bytes: Vec<u8>,
    digest: DigestBuilder,
}

impl Gathered {
    fn write_if_many(&mut self) -> StoreResult<()> {
        if self.bytes.len() >= CHUNK_BYTES {
            self.digest.update(&self.bytes);
            self.file.write_all_at(self.offset, &[&self.bytes])?;
            self.offset += self.bytes.len() as u64;
            self.bytes.clear();
        }
        Ok(())
    }

    fn finish(mut self) -> StoreResult<Digest> {
        self.digest.update(&self.bytes);
        let digest = self.digest.finish();
        self.file.write_all_at(self.offset, &[&self.bytes, &digest.0])?;
        Ok(digest)
    }
}
