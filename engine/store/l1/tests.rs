//! Files of L1 come back as they were written, or not at all.

use std::sync::Arc;

use proptest::{collection::vec, prelude::*};

use stormproof_contract::{DiskErrorKind, DiskOp};

use super::*;
use crate::store::{StoreError, test_disk::TestDisk};

const COMPONENTS: u32 = 3;

fn head(kind: L1Kind) -> L1Head {
    L1Head { kind, log: LogId(0xabc), components: COMPONENTS, metric: 1, before: Lsn(6), lsn: Lsn(7) }
}

fn name(kind: L1Kind) -> L1Name {
    L1Name { kind, lsn: Lsn(7), temporary: false }
}

/// A delta of a few rows, and its path.
fn written(disk: &TestDisk) -> (String, Digest) {
    let vectors = [[0.5, -1.5, 2.5], [f32::MIN_POSITIVE, -0.0, 1e30]];
    let rows = [1_u64, 9].iter().zip(&vectors);
    let rows: Vec<L1Row<'_>> =
        rows.map(|(id, vector)| L1Row { id: RecordId(*id), version: Version(id + 5), vector: vector.into() }).collect();
    let tombstones = [(RecordId(4), Version(8))];
    let digest = write(disk, name(L1Kind::Delta), &head(L1Kind::Delta), rows.len(), rows.iter().cloned(), &tombstones)
        .expect("written");
    (name(L1Kind::Delta).path(), digest)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_file_comes_back_as_it_was(
        rows in vec(any::<(u64, u64, [u32; 3])>(), 0..20), tombstones in vec(any::<(u64, u64)>(), 0..5)
    ) {
        let disk = TestDisk::new();
        let vectors: Vec<[f32; 3]> = rows.iter().map(|row| row.2.map(|bits| (bits as f32).sqrt())).collect();
        let rows: Vec<L1Row<'_>> = rows.iter().zip(&vectors)
            .map(|(row, vector)| L1Row { id: RecordId(row.0), version: Version(row.1), vector: vector.into() }).collect();
        let tombstones: Vec<_> = tombstones.iter().map(|gone| (RecordId(gone.0), Version(gone.1))).collect();
        let digest = write(&*disk, name(L1Kind::Index), &head(L1Kind::Index), rows.len(), rows.iter().cloned(), &tombstones).expect("written");
        let read = read(&*disk, name(L1Kind::Index)).expect("read");
        prop_assert_eq!(read.head, head(L1Kind::Index));
        prop_assert_eq!(read.digest, digest);
        prop_assert_eq!(read.rows().collect::<Vec<_>>(), rows);
        prop_assert_eq!(read.tombstones, tombstones);
    }

    #[test]
    fn arbitrary_bytes_are_refused(bytes in vec(any::<u8>(), 0..200)) {
        let disk = TestDisk::new();
        disk.set(&name(L1Kind::Index).path(), &bytes);
        let error = read(&*disk, name(L1Kind::Index)).expect_err("no L1 file");
        let damaged = matches!(error, StoreError::Damaged { .. });
        prop_assert!(damaged, "{}", error);
    }
}

#[test]
fn a_file_of_many_chunks_comes_back_as_it_was() {
    let disk = TestDisk::new();
    let vectors: Vec<f32> = (0..300_000).map(|number| number as f32).collect();
    let rows: Vec<L1Row<'_>> = vectors
        .chunks_exact(3)
        .enumerate()
        .map(|(row, vector)| L1Row { id: RecordId(row as u64), version: Version(1), vector: vector.into() })
        .collect();
    write(&*disk, name(L1Kind::Index), &head(L1Kind::Index), rows.len(), rows.iter().cloned(), &[]).expect("written");
    assert!(read(&*disk, name(L1Kind::Index)).expect("read").rows().eq(rows));
}

#[test]
fn no_bit_can_change_unnoticed() {
    let disk = TestDisk::new();
    let (path, _) = written(&disk);
    let bytes = disk.bytes(&path);
    for bit in 0..8 * bytes.len() {
        let mut bytes = bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        disk.set(&path, &bytes);
        read(&*disk, name(L1Kind::Delta)).expect_err("a bit is wrong");
    }
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let disk = TestDisk::new();
    let (path, _) = written(&disk);
    let bytes = disk.bytes(&path);
    for len in 0..bytes.len() {
        disk.set(&path, &bytes[..len]);
        assert!(matches!(read(&*disk, name(L1Kind::Delta)), Err(StoreError::Damaged { .. })), "{len} bytes");
    }
}

#[test]
fn a_count_that_the_file_cannot_hold_is_refused_before_room_is_made_for_it() {
    let disk = TestDisk::new();
    let (path, _) = written(&disk);
    let mut bytes = disk.bytes(&path);
    bytes[56..64].copy_from_slice(&u64::MAX.to_le_bytes());
    disk.set(&path, &bytes);
    assert!(matches!(read(&*disk, name(L1Kind::Delta)), Err(StoreError::Damaged { offset: 72, .. })));
}

#[test]
fn a_file_under_the_name_of_another_is_refused() {
    let disk = TestDisk::new();
    let (path, _) = written(&disk);
    let other = L1Name { lsn: Lsn(8), ..name(L1Kind::Delta) };
    disk.set(&other.path(), &disk.bytes(&path));
    assert!(matches!(read(&*disk, other), Err(StoreError::Foreign { .. })));
}

#[test]
fn a_digest_is_that_of_the_bytes_before_it() {
    let disk = TestDisk::new();
    let (path, digest) = written(&disk);
    let bytes = disk.bytes(&path);
    let (content, last) = bytes.split_at(bytes.len() - Digest::LEN);
    assert_eq!((Digest::of(content), last), (digest, &digest.0[..]));
}

#[test]
fn lists_its_files_in_order_and_nothing_else() {
    let disk: Arc<TestDisk> = TestDisk::new();
    assert_eq!(list(&*disk).expect("no directory is no files"), []);
    for file in ["delta.10", "delta.9", "index.3", "delta.11.tmp", "delta.07", "delta", "index.tmp", "notes"] {
        disk.set(&format!("l1/{file}"), b"");
    }
    let names: Vec<String> = list(&*disk).expect("listed").iter().map(L1Name::path).collect();
    disk.fail_next(DiskOp::List, DiskErrorKind::Io);
    assert!(list(&*disk).is_err(), "a directory that cannot be read is not one that is missing");
    let voted = L1Name { temporary: true, ..name(L1Kind::Delta) };
    assert_eq!(voted.renamed(), name(L1Kind::Delta));
    assert_eq!(names, ["l1/index.3", "l1/delta.9", "l1/delta.10", "l1/delta.11.tmp"]);
}

fn plain(id: u64) -> L1Row<'static> {
    L1Row { id: RecordId(id), version: Version(1), vector: (&[1.0, 2.0, 3.0]).into() }
}

#[test]
fn a_file_is_read_to_its_end_wherever_a_chunk_of_it_ends() {
    let disk = TestDisk::new();
    // 12 bytes more than what is read at a time, of the 16 of its digest.
    let (n, gone) = (9_359, [(RecordId(1 << 40), Version(2))]);
    let digest =
        write(&*disk, name(L1Kind::Index), &head(L1Kind::Index), n, (0..n as u64).map(plain), &gone).expect("written");
    let path = name(L1Kind::Index).path();
    let mut bytes = disk.bytes(&path);
    assert_eq!(bytes.len(), (256 << 10) + 12);
    let file = read(&*disk, name(L1Kind::Index)).expect("read");
    assert_eq!((file.digest, file.rows().count(), &file.tombstones[..]), (digest, n, &gone[..]));
    *bytes.last_mut().expect("bytes") ^= 1;
    disk.set(&path, &bytes);
    let error = read(&*disk, name(L1Kind::Index)).expect_err("another digest");
    assert!(matches!(error, StoreError::Damaged { offset, .. } if offset == bytes.len() as u64 - 16), "{error}");
}

#[test]
fn rows_are_written_many_at_a_time() {
    for (failing, is_well) in [(3, false), (4, true)] {
        let disk = TestDisk::new();
        disk.fail_after(failing, DiskOp::Write, DiskErrorKind::Io);
        // Three times 64 KiB, and some.
        let written = write(&*disk, name(L1Kind::Index), &head(L1Kind::Index), 7_100, (0..7_100).map(plain), &[]);
        assert_eq!(written.is_ok(), is_well, "in four writes");
    }
}

#[test]
fn a_head_that_nobody_writes_is_refused_where_it_is_wrong() {
    for (at, value, told) in [(14, 1, 14), (12, 3, 12), (50, 1, 48), (52, 1, 48)] {
        let disk = TestDisk::new();
        let (path, _) = written(&disk);
        let mut bytes = disk.bytes(&path);
        bytes[at] = value;
        disk.set(&path, &bytes);
        let error = read(&*disk, name(L1Kind::Delta)).expect_err("no such head");
        assert!(matches!(error, StoreError::Damaged { offset, .. } if offset == told), "{at}: {error}");
    }
}
