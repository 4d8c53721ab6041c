//! What a log gives back after damage of every kind: what was decided, a prefix of it, or a named error.

use std::sync::Arc;

use proptest::{collection::vec, prelude::*};
use stormproof_contract::{Disk, DiskErrorKind, DiskOp};

use super::{
    frame::{Place, parse, wrap},
    header::HEADER_BYTES,
    *,
};
use crate::store::{
    Batch, Proof, StoreResult,
    manifest::{Manifest, ManifestFile},
    samples::{any_batch, batch},
    test_disk::TestDisk,
};

const ID: LogId = LogId(0x00c0_ffee);
const FILE_BYTES: u64 = 4096;

fn options(format: LogFormat) -> LogOptions {
    LogOptions { format, file_bytes: FILE_BYTES }
}

fn fresh_manifest() -> Manifest {
    Manifest { sequence: 0, log: ID, components: 4, metric: 0, logs: vec![LogNo::FIRST], l1: None }
}

/// A log at work on a disk.
struct Bench {
    test_disk: Arc<TestDisk>,
    disk: Arc<dyn Disk>,
    manifest: ManifestFile,
    log: Log,
    /// Where each frame begins, and where the last one ends; of the current file.
    bounds: Vec<usize>,
}

impl Bench {
    fn new(options: LogOptions) -> Bench {
        let test_disk = TestDisk::new();
        let disk: Arc<dyn Disk> = Arc::clone(&test_disk) as _;
        let log = Log::create(&disk, ID, options).expect("created");
        let manifest = ManifestFile::create(&disk, fresh_manifest()).expect("created");
        Bench { test_disk, disk, manifest, log, bounds: vec![HEADER_BYTES] }
    }

    fn with(format: LogFormat, batches: &[Batch]) -> Bench {
        let mut bench = Bench::new(options(format));
        for batch in batches {
            bench.commit(batch).expect("committed");
        }
        bench
    }

    /// What was decided before, taken up again by another process.
    fn resumed(test_disk: &Arc<TestDisk>, options: LogOptions) -> StoreResult<Bench> {
        let disk: Arc<dyn Disk> = Arc::clone(test_disk) as _;
        let mut manifest = ManifestFile::load(&disk)?.expect("there is a manifest");
        let tail = scan(&disk, manifest.current(), &mut |_, _| Ok(()))?;
        let bounds = vec![tail.end as usize];
        let log = Log::resume(&disk, tail, options, &mut manifest)?;
        Ok(Bench { test_disk: Arc::clone(test_disk), disk, manifest, log, bounds })
    }

    fn commit(&mut self, batch: &Batch) -> StoreResult<Lsn> {
        let encoded = self.log.encode(batch)?;
        self.log.reserve(&encoded, &mut self.manifest)?;
        let lsn = self.log.write(&encoded)?;
        self.log.sync()?;
        if let Ok(tail) = scan(&self.disk, self.manifest.current(), &mut |_, _| Ok(())) {
            self.bounds.push(tail.end as usize);
        }
        Ok(lsn)
    }

    /// The only file, with other bytes in it.
    fn read_as(&self, bytes: &[u8]) -> StoreResult<(Vec<Batch>, Tail)> {
        let disk = self.test_disk.copied();
        disk.set("log.1", bytes);
        replay(&disk)
    }

    fn bytes(&self) -> Vec<u8> {
        self.test_disk.bytes("log.1")
    }
}

/// What the log on a disk says, after the manifest there.
fn replay(disk: &Arc<TestDisk>) -> StoreResult<(Vec<Batch>, Tail)> {
    let disk: Arc<dyn Disk> = Arc::clone(disk) as _;
    let manifest = ManifestFile::load(&disk)?.expect("there is a manifest");
    let mut batches = Vec::new();
    let tail = scan(&disk, manifest.current(), &mut |lsn, batch| {
        batches.push(batch);
        assert_eq!(lsn, Lsn(batches.len() as u64));
        Ok(())
    })?;
    Ok((batches, tail))
}

fn batches(count: u64) -> Vec<Batch> {
    (1..=count).map(batch).collect()
}

#[test]
fn what_was_decided_comes_back_in_order_from_as_many_files_as_it_took() {
    for format in LogFormat::ALL {
        let bench = Bench::with(format, &batches(60));
        let (read, tail) = replay(&bench.test_disk).expect("whole");
        assert_eq!((read, tail.lsn, tail.torn.clone()), (batches(60), Lsn(60), None));
        assert!(bench.manifest.current().logs.len() > 2, "{:?}", bench.manifest.current().logs);
        assert_eq!(bench.bytes().len() as u64, FILE_BYTES);
    }
}

#[test]
fn a_batch_longer_than_a_file_gets_a_longer_file() {
    for format in LogFormat::ALL {
        let mut bench = Bench::with(format, &batches(1));
        let mut long = batch(2);
        long.transactions[0].writes.extend(batches(100).iter().flat_map(|batch| batch.writes().cloned()));
        bench.commit(&long).expect("committed");
        bench.commit(&batch(3)).expect("committed");
        let (read, _) = replay(&bench.test_disk).expect("whole");
        assert_eq!(read, [batch(1), long, batch(3)]);
        assert_eq!(bench.manifest.current().logs, [LogNo(1), LogNo(2), LogNo(3)]);
    }
}

#[test]
fn a_bit_that_flips_anywhere_leaves_a_prefix_or_a_named_error() {
    for format in LogFormat::ALL {
        let bench = Bench::with(format, &batches(3));
        let (bytes, end, last) = (bench.bytes(), bench.bounds[3], bench.bounds[2]);
        for bit in 0..8 * (end + 20) {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            match bench.read_as(&bytes) {
                Ok((read, _)) => {
                    assert_eq!(read, batches(3)[..read.len()], "{format:?} bit {bit}");
                    assert!(read.len() >= 2 && bit / 8 >= last, "{format:?} bit {bit} lost what damage cannot excuse");
                }
                Err(error) => assert!(bit / 8 < end && !error.is_passing(), "{format:?} bit {bit}: {error}"),
            }
        }
    }
}

#[test]
fn damage_to_the_last_frame_is_told_from_a_torn_write_where_its_sectors_are_all_there() {
    for format in LogFormat::ALL {
        let bench = Bench::with(format, &batches(3));
        let mut bytes = bench.bytes();
        bytes[bench.bounds[3] - 40] ^= 1;
        let error = bench.read_as(&bytes).expect_err("not torn");
        let StoreError::DamagedLog { path, offset, proof, .. } = error else { panic!("{error}") };
        assert_eq!((&*path, offset, proof), ("log.1", bench.bounds[2] as u64, Proof::Whole));
    }
}

#[test]
fn damage_before_a_later_frame_names_the_file_the_offset_and_the_proof() {
    for format in LogFormat::ALL {
        let bench = Bench::with(format, &batches(4));
        let mut bytes = bench.bytes();
        // As if the sectors of the second frame had never been written.
        bytes[bench.bounds[1]..bench.bounds[2]].fill(0);
        let error = bench.read_as(&bytes).expect_err("not the end");
        let StoreError::DamagedLog { path, offset, proof, .. } = error else { panic!("{error}") };
        let expected = Proof::Frame { offset: bench.bounds[2] as u64, lsn: Lsn(3) };
        assert_eq!((&*path, offset, proof), ("log.1", bench.bounds[1] as u64, expected));
    }
}

#[test]
fn damage_before_a_later_file_is_not_taken_for_the_end() {
    for format in LogFormat::ALL {
        let bench = Bench::with(format, &batches(60));
        let disk = bench.test_disk.copied();
        // The last frame of the first file, as if it had never been written.
        let mut bytes = bench.bytes();
        let end = bytes.iter().rposition(|byte| *byte != 0).expect("frames") + 1;
        bytes[end - 100..end].fill(0);
        disk.set("log.1", &bytes);
        let error = replay(&disk).expect_err("not the end");
        let StoreError::DamagedLog { path, proof, .. } = error else { panic!("{error}") };
        assert_eq!((&*path, proof), ("log.1", Proof::File { path: "log.2".into() }));
    }
}

#[test]
fn a_log_cut_at_any_byte_of_its_last_frame_is_the_log_before_that_frame() {
    for format in LogFormat::ALL {
        let bench = Bench::with(format, &batches(3));
        let (bytes, last, end) = (bench.bytes(), bench.bounds[2], bench.bounds[3]);
        for cut in last..end {
            let mut zeroed = bytes.clone();
            zeroed[cut..].fill(0);
            for torn in [&bytes[..cut], &zeroed] {
                let (read, tail) = bench.read_as(torn).unwrap_or_else(|error| panic!("{format:?} cut {cut}: {error}"));
                assert_eq!((read, tail.end), (batches(2), last as u64), "{format:?} cut {cut}");
                assert_eq!(tail.torn.is_some(), cut > last, "{format:?} cut {cut}");
            }
        }
    }
}

#[test]
fn a_log_cut_at_any_byte_is_a_prefix_or_a_named_error() {
    for format in LogFormat::ALL {
        let bench = Bench::with(format, &batches(3));
        let bytes = bench.bytes();
        for cut in 0..bench.bounds[3] {
            match bench.read_as(&bytes[..cut]) {
                Ok((read, _)) => assert_eq!(read, batches(3)[..read.len()], "{format:?} cut {cut}"),
                Err(error) => assert!(cut < HEADER_BYTES && !error.is_passing(), "{format:?} cut {cut}: {error}"),
            }
        }
    }
}

fn any_format() -> impl Strategy<Value = LogFormat> {
    prop_oneof![Just(LogFormat::Binary), Just(LogFormat::JsonLines)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// The false alarm that must never be: whatever is written, and whichever of its sectors did not get there or only
    /// in part, the database opens.
    #[test]
    fn a_write_torn_at_its_sectors_is_never_called_damage(
        format in any_format(), before in any_batch(), torn in any_batch(), written in any::<u64>(), cut in 0..8192_usize
    ) {
        let mut bench = Bench::new(LogOptions { format, file_bytes: 1 << 16 });
        bench.commit(&before).expect("committed");
        let old = bench.bytes();
        bench.commit(&torn).expect("committed");
        let mut bytes = bench.bytes();
        let (begin, end) = (bench.bounds[1], bench.bounds[2]);
        for at in begin..end {
            // Sectors that were not written, and one that was written up to the cut.
            if written & 1 << (at / 512 % 64) == 0 || at / 512 == cut / 512 && at >= cut {
                bytes[at] = old[at];
            }
        }
        let (read, tail) = bench.read_as(&bytes).expect("torn, not damaged");
        let whole = bytes == bench.bytes();
        prop_assert_eq!(read, if whole { vec![before, torn] } else { vec![before] });
        prop_assert_eq!(tail.torn.is_some(), !whole && bytes[begin..] != old[begin..]);
    }

    #[test]
    fn an_arbitrary_file_is_no_log(format in any_format(), bytes in vec(any::<u8>(), 0..400), keep_header in any::<bool>()) {
        let bench = Bench::with(format, &[]);
        let header = if keep_header { bench.bytes()[..HEADER_BYTES].to_vec() } else { Vec::new() };
        match bench.read_as(&[header, bytes].concat()) {
            Ok((read, _)) => prop_assert!(keep_header && read.is_empty()),
            Err(error) => prop_assert!(!error.is_passing(), "{}", error),
        }
    }

    #[test]
    fn hostile_payloads_under_right_checksums_are_refused(format in any_format(), payload in vec(1..=255_u8, 0..200)) {
        let bench = Bench::with(format, &[]);
        let wrapping = wrap(format, place(HEADER_BYTES), Chain::default(), &payload);
        let mut bytes = bench.bytes();
        let frame = [wrapping.head, payload, wrapping.tail].concat();
        bytes[HEADER_BYTES..HEADER_BYTES + frame.len()].copy_from_slice(&frame);
        let error = bench.read_as(&bytes).expect_err("no batch");
        prop_assert!(!error.is_passing(), "{}", error);
    }
}

fn place(offset: usize) -> Place {
    Place { id: ID, no: LogNo::FIRST, offset: offset as u64 }
}

#[test]
fn a_frame_is_believed_at_its_own_place_only() {
    for format in LogFormat::ALL {
        let home = place(640);
        let payload = if format == LogFormat::Binary { batch(1).encode() } else { batch(1).encode_json() };
        let wrapping = wrap(format, home, Chain { lsn: Lsn(4), crc: 99 }, &payload);
        let bytes = [wrapping.head, payload, wrapping.tail].concat();
        assert_eq!(parse(format, home, &bytes).expect("at home").chain, Chain { lsn: Lsn(5), crc: wrapping.crc });
        let elsewhere = [home.at(641), Place { no: LogNo(2), ..home }, Place { id: LogId(1), ..home }];
        for place in elsewhere {
            parse(format, place, &bytes).expect_err("misplaced");
        }
    }
}

#[test]
fn a_length_is_not_trusted_beyond_its_bound_or_the_file() {
    let frame = wrap(LogFormat::Binary, place(HEADER_BYTES), Chain::default(), &batch(1).encode());
    for length in [u32::MAX, 60 << 20] {
        let mut head = frame.head.clone();
        head[4..8].copy_from_slice(&length.to_le_bytes());
        let crc = crc32c::crc32c_append(place(HEADER_BYTES).crc(), &head[..20]);
        head[20..].copy_from_slice(&crc.to_le_bytes());
        let broken = parse(LogFormat::Binary, place(HEADER_BYTES), &head).expect_err("too long");
        assert!(!broken.whole, "{broken:?}");
    }
}

#[test]
fn frames_of_a_former_life_of_the_same_space_are_not_believed() {
    for format in LogFormat::ALL {
        let former = Bench::with(format, &batches(5));
        let test_disk = TestDisk::new();
        let disk: Arc<dyn Disk> = Arc::clone(&test_disk) as _;
        let mut log = Log::create(&disk, LogId(2), options(format)).expect("created");
        let mut manifest =
            ManifestFile::create(&disk, Manifest { log: LogId(2), ..fresh_manifest() }).expect("created");
        let encoded = log.encode(&batch(1)).expect("encoded");
        log.reserve(&encoded, &mut manifest).expect("room");
        log.write(&encoded).expect("written");
        let mut bytes = test_disk.bytes("log.1");
        let end = former.bounds[1];
        bytes[end..].copy_from_slice(&former.bytes()[end..]);
        test_disk.set("log.1", &bytes);
        let error_or_read = replay(&test_disk);
        match error_or_read {
            Ok((read, tail)) => assert_eq!((read, tail.lsn, tail.torn.is_some()), (batches(1), Lsn(1), true)),
            // The line of another log is complete, and no torn write of this one.
            Err(error) => assert!(format == LogFormat::JsonLines && !error.is_passing(), "{error}"),
        }
    }
}

#[test]
fn a_frame_that_follows_another_past_is_refused() {
    for format in LogFormat::ALL {
        let ours = Bench::with(format, &batches(3));
        let theirs = Bench::with(format, &[batch(1), batch(6), batch(3)]);
        assert_eq!(ours.bounds, theirs.bounds, "the same places");
        let mut bytes = ours.bytes();
        bytes[ours.bounds[1]..ours.bounds[2]].copy_from_slice(&theirs.bytes()[ours.bounds[1]..ours.bounds[2]]);
        let error = ours.read_as(&bytes).expect_err("two pasts");
        assert!(matches!(error, StoreError::Damaged { offset, .. } if offset == ours.bounds[2] as u64), "{error}");
    }
}

#[test]
fn a_file_under_the_name_of_another_is_refused() {
    let bench = Bench::with(LogFormat::Binary, &batches(60));
    let error = bench.read_as(&bench.test_disk.bytes("log.2")).expect_err("another file");
    assert!(matches!(error, StoreError::Foreign { offset: 16, .. }), "{error}");
}

#[test]
fn a_file_that_the_manifest_names_must_be_there() {
    let bench = Bench::with(LogFormat::Binary, &batches(60));
    bench.disk.remove("log.2").expect("removed");
    let error = replay(&bench.test_disk).expect_err("a file is missing");
    assert!(!error.is_passing() && error.to_string().contains("`log.2`"), "{error}");
}

#[test]
fn a_resumed_log_goes_on_where_it_ended_and_leaves_nothing_of_what_was_torn() {
    for format in LogFormat::ALL {
        let bench = Bench::with(format, &batches(3));
        let mut bytes = bench.bytes();
        bytes[bench.bounds[3] - 60..].fill(0);
        bench.test_disk.set("log.1", &bytes);
        let mut bench = Bench::resumed(&bench.test_disk, options(format)).expect("resumed");
        assert_eq!(bench.log.lsn(), Lsn(2));
        assert!(bench.bytes()[bench.bounds[0]..].iter().all(|byte| *byte == 0));
        bench.commit(&batch(7)).expect("committed");
        let (read, tail) = replay(&bench.test_disk).expect("whole");
        assert_eq!((read, tail.torn), (vec![batch(1), batch(2), batch(7)], None));
    }
}

#[test]
fn resuming_writes_the_frame_in_doubt_and_the_manifest_again() {
    for format in LogFormat::ALL {
        for op in [DiskOp::SetLen, DiskOp::Write, DiskOp::Sync, DiskOp::Rename, DiskOp::SyncDir] {
            let bench = Bench::with(format, &batches(2));
            bench.test_disk.fail_next(op, DiskErrorKind::Io);
            let error = Bench::resumed(&bench.test_disk, options(format)).err().expect("it may not serve without");
            assert!(error.is_passing(), "{op}: {error}");
            let (read, _) = replay(&bench.test_disk).expect("nothing is lost");
            assert_eq!(read, batches(2), "after a failed {op}");
        }
    }
}

#[test]
fn a_full_disk_does_not_keep_a_log_shut() {
    let bench = Bench::with(LogFormat::Binary, &batches(2));
    bench.test_disk.fail_next(DiskOp::Allocate, DiskErrorKind::NoSpace);
    let mut bench = Bench::resumed(&bench.test_disk, options(LogFormat::Binary)).expect("resumed");
    bench.test_disk.fail_next(DiskOp::Allocate, DiskErrorKind::NoSpace);
    assert!(bench.commit(&batch(3)).expect_err("full").is_no_space());
    bench.commit(&batch(3)).expect("there is room again");
    assert_eq!(replay(&bench.test_disk).expect("whole").0, batches(3));
}

#[test]
fn a_batch_that_finds_no_room_has_no_effect() {
    for format in LogFormat::ALL {
        let mut bench = Bench::with(format, &[]);
        let mut number = 1;
        while bench.manifest.current().logs.len() == 1 {
            bench.test_disk.fail_next(DiskOp::Allocate, DiskErrorKind::NoSpace);
            if bench.commit(&batch(number)).is_err() {
                let paths = bench.test_disk.paths();
                assert!(!paths.contains(&"log.2".to_owned()), "the space is given back: {paths:?}");
                bench.commit(&batch(number)).expect("there is room again");
            }
            number += 1;
        }
        assert_eq!(replay(&bench.test_disk).expect("whole").0, batches(number - 1));
    }
}

#[test]
fn after_a_roll_in_doubt_no_frame_goes_where_only_one_manifest_would_find_it() {
    // Directory syncs come with the new file and with the manifest; the second is the one in doubt.
    for (op, before) in [(DiskOp::Rename, 0), (DiskOp::SyncDir, 1)] {
        let mut bench = Bench::with(LogFormat::Binary, &[]);
        let mut number = 1;
        let failed = loop {
            let encoded = bench.log.encode(&batch(number)).expect("encoded");
            if bench.bounds.last().expect("one") + encoded.payload.len() + 100 > FILE_BYTES as usize {
                let first = bench.test_disk.copied();
                bench.test_disk.fail_after(before, op, DiskErrorKind::Io);
                break (first, bench.commit(&batch(number)));
            }
            bench.commit(&batch(number)).expect("committed");
            number += 1;
        };
        let (before, result) = failed;
        result.expect_err("the disk failed");
        // A small batch would still fit in the old file.
        let small = Batch::default();
        bench.commit(&small).expect("committed");
        assert_eq!(bench.manifest.current().logs, [LogNo(1), LogNo(2)], "after {op}");
        assert_eq!(bench.bytes(), before.bytes("log.1"), "the old file is as it was, after {op}");
        let (read, _) = replay(&bench.test_disk).expect("whole");
        assert_eq!(read, [batches(number - 1), vec![small]].concat());
    }
}

#[test]
fn another_format_begins_another_file() {
    let bench = Bench::with(LogFormat::Binary, &batches(2));
    let mut bench = Bench::resumed(&bench.test_disk, options(LogFormat::JsonLines)).expect("resumed");
    bench.commit(&batch(3)).expect("committed");
    assert_eq!(replay(&bench.test_disk).expect("whole").0, batches(3));
    let text = String::from_utf8(bench.test_disk.bytes("log.2")[HEADER_BYTES..].to_vec()).expect("text");
    let line = text.lines().next().expect("a line");
    let frame: serde_json::Value = serde_json::from_str(line).expect("any tool can read it");
    assert_eq!(frame["batch"]["transactions"][0]["writes"][0]["put"]["text"], "the text of record 3");
}

#[test]
fn log_files_that_no_manifest_names_are_removed_when_the_log_is_resumed() {
    let bench = Bench::with(LogFormat::Binary, &batches(2));
    bench.test_disk.set("log.2", b"begun in vain");
    bench.test_disk.set("log.txt", b"not ours");
    Bench::resumed(&bench.test_disk, options(LogFormat::Binary)).expect("resumed");
    assert_eq!(bench.test_disk.paths(), ["log.1", "log.txt", "manifest"]);
}

#[test]
#[should_panic(expected = "a frame is written once the one before it is durable")]
fn nothing_is_written_behind_a_frame_that_is_not_durable() {
    let mut bench = Bench::with(LogFormat::Binary, &[]);
    let encoded = bench.log.encode(&batch(1)).expect("encoded");
    bench.log.reserve(&encoded, &mut bench.manifest).expect("room");
    bench.log.write(&encoded).expect("written");
    bench.test_disk.fail_next(DiskOp::Sync, DiskErrorKind::Io);
    bench.log.sync().expect_err("the disk failed");
    let _ = bench.log.write(&encoded);
}
