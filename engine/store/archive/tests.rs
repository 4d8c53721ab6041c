//! Generations on a test disk: what is read back, what is refused with its place, and what fails.

use std::sync::Arc;

use stormproof_contract::{Disk, DiskErrorKind, DiskOp};

use super::*;
use crate::{
    ids::{Lsn, RecordId, Version},
    store::{StoreError, log::LogId, test_disk::TestDisk},
};

const LOG: LogId = LogId(77);
const NO: GenerationNo = GenerationNo(5);
const FACTS: GraphFacts = GraphFacts { degree: 3, entry: 1, codec_bytes: 10, code_bytes: 6 };

fn vector(n: u64) -> Vec<f32> {
    vec![n as f32, 0.5, -1.0]
}

/// A generation of so many records, with ids 2, 4, 6, …
fn written(disk: &Arc<TestDisk>, records: u64) -> GenerationName {
    let disk: Arc<dyn Disk> = Arc::clone(disk) as _;
    write(&disk, records).expect("written")
}

fn write(disk: &Arc<dyn Disk>, records: u64) -> crate::store::StoreResult<GenerationName> {
    let mut writer = GenerationWriter::create(disk, LOG, NO, 3, RowFormat::F32)?;
    for n in 0..records {
        writer.push(RecordId(2 * n), Version(n + 1), &vector(n))?;
    }
    writer.end_rows()?;
    writer.push_codec(&[9; 10])?;
    for n in 0..records {
        writer.push_node(n as usize, &[n as u8; 6], &[n as u32, u32::MAX, 0])?;
    }
    writer.finish(Lsn(8), FACTS)
}

fn load(disk: &Arc<TestDisk>, name: &GenerationName) -> crate::store::StoreResult<(Generation, GraphParts)> {
    let mut loading = Loading::open(&**disk, LOG, name, 3)?;
    while !loading.step(1)? {}
    loading.finish()
}

#[test]
fn what_was_written_is_read() {
    let disk = TestDisk::new();
    // More than one block of the body.
    let name = written(&disk, 3000);
    assert_eq!((name.records, name.built), (3000, Lsn(8)));
    let (generation, parts) = load(&disk, &name).expect("whole");
    assert_eq!((parts.codec, parts.entry, parts.degree), (vec![9; 10], 1, 3));
    let codes = parts.codes.concat();
    assert_eq!((codes.len(), &codes[12..18]), (18_000, &[2; 6][..]));
    assert_eq!(&parts.links[6..9], &[2, u32::MAX, 0]);
    for node in [0, 1, 2999] {
        assert_eq!(generation.record(node), (RecordId(2 * node as u64), Version(node as u64 + 1)));
        let span = generation.row_span(node);
        let mut bytes = vec![0; span.len];
        generation.file().read_exact_at(span.offset, &mut bytes).expect("readable");
        assert_eq!(generation.vector(node, &bytes).expect("whole"), vector(node as u64));
        assert!(generation.vector((node + 1) % 3000, &bytes).is_err(), "the row of another record");
    }
}

#[test]
fn a_generation_of_nothing_is_one() {
    let disk = TestDisk::new();
    let name = written(&disk, 0);
    let (generation, parts) = load(&disk, &name).expect("whole");
    assert!(generation.is_empty() && parts.codes.is_empty());
}

#[test]
fn rows_are_read_back_as_they_are_and_not_as_they_should_be() {
    let disk = TestDisk::new();
    let dynamic: Arc<dyn Disk> = Arc::clone(&disk) as _;
    let mut writer = GenerationWriter::create(&dynamic, LOG, NO, 3, RowFormat::F32).expect("created");
    (0..10).for_each(|n| writer.push(RecordId(n), Version(1), &vector(n)).expect("written"));
    writer.end_rows().expect("written");
    let mut vectors = Vec::new();
    writer.read_rows(8, 100, &mut vectors).expect("whole");
    assert_eq!(vectors, [vector(8), vector(9)].concat());
    let mut bytes = disk.bytes(&NO.path());
    bytes[9 * RowFormat::F32.stride(3) as usize + 2] ^= 1;
    disk.overwrite(&NO.path(), &bytes);
    writer.read_rows(0, 9, &mut vectors).expect("whole");
    let error = writer.read_rows(8, 2, &mut vectors).expect_err("rotten").to_string();
    assert!(error.contains("`archive/5` at offset 108"), "{error}");
}

#[test]
fn every_byte_that_is_wrong_is_found_with_its_place() {
    let disk = TestDisk::new();
    let name = written(&disk, 40);
    let whole = disk.bytes(&NO.path());
    let rows = 40 * RowFormat::F32.stride(3) as usize;
    for at in rows..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        disk.set(&NO.path(), &bytes);
        match load(&disk, &name) {
            Err(StoreError::Damaged { path, offset, .. }) => {
                assert!(*path == *NO.path() && offset as usize >= rows, "byte {at}: offset {offset}");
            }
            Err(StoreError::UnknownFormat { .. }) => panic!("a checksum comes first"),
            Err(other) => panic!("byte {at}: {other}"),
            Ok(_) => panic!("byte {at} is not covered"),
        }
    }
    for len in (0..whole.len()).step_by(7) {
        disk.set(&NO.path(), &whole[..len]);
        assert!(load(&disk, &name).is_err(), "cut to {len}");
    }
}

#[test]
fn a_generation_of_the_former_format_is_told_from_a_damaged_one() {
    let disk = TestDisk::new();
    let name = written(&disk, 4);
    let whole = disk.bytes(&NO.path());
    let footer = whole.len() - super::footer::FOOTER_BYTES;
    // Without the format of rows, behind magic, format, log, number and components.
    let mut former = whole[footer..footer + 40].to_vec();
    former[8] = 1;
    former.extend_from_slice(&whole[footer + 44..whole.len() - 4]);
    former.extend_from_slice(&crc32c::crc32c(&former).to_le_bytes());
    let bytes = [&whole[..footer], &former].concat();
    disk.set(&NO.path(), &bytes);
    let name = GenerationName { bytes: bytes.len() as u64, ..name };
    let Err(error) = load(&disk, &name) else { panic!("it was believed") };
    assert!(matches!(error, StoreError::UnknownFormat { expected: 2, found: 1, .. }), "{error}");
    let mut rotten = bytes;
    rotten[footer + 20] ^= 1;
    disk.set(&NO.path(), &rotten);
    let Err(error) = load(&disk, &name) else { panic!("it was believed") };
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
}

#[test]
fn another_generation_of_that_name_is_refused() {
    let disk = TestDisk::new();
    let name = written(&disk, 4);
    let others = [
        GenerationName { digest: crate::store::Digest([1; 16]), ..name },
        GenerationName { built: Lsn(9), ..name },
        GenerationName { bytes: name.bytes + 1, ..name },
    ];
    for other in others {
        assert!(load(&disk, &other).is_err(), "{other:?}");
    }
    assert!(Loading::open(&*disk, LogId(78), &name, 3).is_err(), "of another database");
    assert!(Loading::open(&*disk, LOG, &name, 4).is_err(), "of other vectors");
    assert!(load(&disk, &name).is_ok());
}

#[test]
fn a_footer_that_promises_more_than_the_file_has_allocates_nothing() {
    let footer = super::footer::Footer {
        home: super::footer::Home { log: LOG, no: NO },
        components: 3,
        format: RowFormat::F32,
        degree: 3,
        entry: 0,
        codec_bytes: 10,
        code_bytes: 6,
        built: Lsn(1),
        records: 1 << 31,
        body_at: (1 << 31) * RowFormat::F32.stride(3),
        body: crate::store::Digest([0; 16]),
    };
    let bytes = footer.encode();
    let error = super::footer::Footer::decode(&bytes, "archive/5", bytes.len() as u64).expect_err("too much");
    assert!(error.to_string().contains("a body of"), "{error}");
    let huge = super::footer::Footer { records: 1 << 62, ..footer };
    assert!(super::footer::Footer::decode(&huge.encode(), "archive/5", bytes.len() as u64).is_err());
}

#[test]
fn whatever_fails_is_told_and_leaves_no_name() {
    for op in [DiskOp::Open, DiskOp::Write, DiskOp::Sync, DiskOp::SyncDir, DiskOp::Point] {
        let disk = TestDisk::new();
        disk.fail_next(op, DiskErrorKind::Io);
        let dynamic: Arc<dyn Disk> = Arc::clone(&disk) as _;
        assert!(write(&dynamic, 3).is_err(), "{op:?}");
    }
}

#[test]
fn rows_of_halves_are_read_by_what_the_footer_says_of_them() {
    let disk = TestDisk::new();
    let dynamic: Arc<dyn Disk> = Arc::clone(&disk) as _;
    let mut writer = GenerationWriter::create(&dynamic, LOG, NO, 3, RowFormat::F16).expect("created");
    let given = [0.1, 1000.3, -0.5];
    writer.push(RecordId(1), Version(1), &given).expect("written");
    writer.end_rows().expect("written");
    let mut written = Vec::new();
    writer.read_rows(0, 2, &mut written).expect("whole");
    assert_eq!(written, [0.099_975_586, 1000.5, -0.5]);
    writer.push_codec(&[9; 10]).expect("written");
    writer.push_node(0, &[0; 6], &[u32::MAX; 3]).expect("written");
    let name = writer.finish(Lsn(8), GraphFacts { entry: 0, ..FACTS }).expect("written");
    let (generation, _) = load(&disk, &name).expect("whole");
    assert_eq!((generation.format(), generation.row_span(0).len), (RowFormat::F16, 6));
    assert_eq!(generation.read_vector(0).expect("whole"), written);
}
