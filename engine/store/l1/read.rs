//! Reading an L1 file. Nothing of it is given back before its digest was found right.

use std::sync::Arc;

use stormproof_contract::{Disk, File, Open};

use super::{
    L1File, L1Head, L1Name,
    head::{Counted, HEAD_BYTES, ROW_BYTES},
};
use crate::{
    ids::{RecordId, Version},
    store::{Digest, DigestBuilder, StoreError, StoreResult, codec::Flaw},
};

/// How much is read at a time.
const CHUNK_BYTES: usize = 256 << 10;

/// Reads and verifies an L1 file. A file that is missing is a disk error of that kind.
pub fn read(disk: &dyn Disk, name: L1Name) -> StoreResult<L1File> {
    let path = name.path();
    read_as(disk, &path, &|head| check_name(&path, name, head))
}

/// Reads and verifies an L1 file under any name, to be looked at.
pub fn read_alone(disk: &dyn Disk, path: &str) -> StoreResult<L1File> {
    read_as(disk, path, &|_| Ok(()))
}

fn read_as(disk: &dyn Disk, path: &str, check: &dyn Fn(&L1Head) -> StoreResult<()>) -> StoreResult<L1File> {
    let file = disk.open(path, Open::Read)?;
    let len = file.meta()?.len;
    let mut from = Chunks { file, len, offset: 0, bytes: Vec::new(), at: 0, digest: DigestBuilder::default() };
    let counted = Counted::decode(from.take(HEAD_BYTES)?, path, len)?;
    check(&counted.head)?;
    let body = Body::read(&counted, &mut from)?;
    let digest = from.finish(path)?;
    let Body { rows, vectors, tombstones } = body;
    Ok(L1File { head: counted.head, digest, rows, vectors, tombstones })
}

/// That the file is what its name says, and not another's under that name.
fn check_name(path: &str, name: L1Name, head: &L1Head) -> StoreResult<()> {
    if (name.kind, name.lsn) == (head.kind, head.lsn) {
        return Ok(());
    }
    let words = |kind, lsn| format!("{kind:?} as of {lsn}").into();
    let (expected, found) = (words(name.kind, name.lsn), words(head.kind, head.lsn));
    Err(StoreError::Foreign { path: path.into(), offset: 12, expected, found })
}

struct Body {
    rows: Vec<(RecordId, Version)>,
    vectors: Vec<f32>,
    tombstones: Vec<(RecordId, Version)>,
}

impl Body {
    fn read(counted: &Counted, from: &mut Chunks) -> StoreResult<Body> {
        // The head's counts agree with the length of the file, so what is made room for is there to be read.
        let (rows, components) = (counted.rows as usize, counted.head.components as usize);
        let mut body = Body {
            rows: Vec::with_capacity(rows),
            vectors: Vec::with_capacity(rows * components),
            tombstones: Vec::new(),
        };
        for _ in 0..rows {
            let (identity, vector) = from.take(ROW_BYTES + 4 * components)?.split_at(ROW_BYTES);
            body.rows.push(decode_identity(identity));
            let numbers = vector.chunks_exact(4).map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]]));
            body.vectors.extend(numbers);
        }
        for _ in 0..counted.tombstones {
            body.tombstones.push(decode_identity(from.take(ROW_BYTES)?));
        }
        Ok(body)
    }
}

fn decode_identity(bytes: &[u8]) -> (RecordId, Version) {
    let half = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("half of 16 bytes"));
    (RecordId(half(&bytes[..8])), Version(half(&bytes[8..])))
}

/// A file, read front to back in large pieces and taken in small ones.
struct Chunks {
    file: Arc<dyn File>,
    len: u64,
    /// Where the next piece is.
    offset: u64,
    /// What was read and not yet taken, from `at` on.
    bytes: Vec<u8>,
    at: usize,
    digest: DigestBuilder,
}

impl Chunks {
    /// The next bytes, which count for the digest.
    fn take(&mut self, len: usize) -> StoreResult<&[u8]> {
        self.fill(len)?;
        let taken = &self.bytes[self.at..self.at + len];
        self.at += len;
        self.digest.update(taken);
        Ok(taken)
    }

    /// Compares the digest of all that was taken with the one that comes last.
    fn finish(mut self, path: &str) -> StoreResult<Digest> {
        let expected = self.digest.finish();
        self.fill(Digest::LEN)?;
        let found = &self.bytes[self.at..];
        if found == expected.0 {
            return Ok(expected);
        }
        let flaw = Flaw::new(0, format!("digest {expected}"), found.escape_ascii().to_string());
        Err(flaw.in_file(path, self.len - Digest::LEN as u64))
    }

    /// Sees to it that `len` bytes can be taken.
    fn fill(&mut self, len: usize) -> StoreResult<()> {
        let left = self.bytes.len() - self.at;
        if left >= len {
            return Ok(());
        }
        self.bytes.drain(..self.at);
        self.at = 0;
        // More than is asked for, and perhaps more than there is.
        self.bytes.resize(left + len.max(CHUNK_BYTES), 0);
        let got = self.file.read_at(self.offset, &mut self.bytes[left..])?;
        self.bytes.truncate(left + got);
        self.offset += got as u64;
        if self.bytes.len() < len {
            let found = format!("the end of the file after {}", self.bytes.len());
            return Err(Flaw::new(0, format!("{len} bytes"), found).in_file(self.file.path(), self.offset));
        }
        Ok(())
    }
}
