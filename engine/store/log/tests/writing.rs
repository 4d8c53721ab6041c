//! What a log does with room, with failures of the disk, and with what another process left.

use stormproof_contract::{DiskErrorKind, DiskOp};

use super::*;

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
fn only_a_full_disk_may_keep_a_resumed_log_from_making_room() {
    let bench = Bench::with(LogFormat::Binary, &batches(2));
    bench.test_disk.fail_next(DiskOp::Allocate, DiskErrorKind::NoSpace);
    assert!(Bench::resumed(&bench.test_disk, options(LogFormat::Binary)).is_ok());
    bench.test_disk.fail_next(DiskOp::Allocate, DiskErrorKind::Io);
    let error = Bench::resumed(&bench.test_disk, options(LogFormat::Binary)).err().expect("the disk failed");
    assert!(error.is_passing(), "{error}");
}

#[test]
fn whether_a_file_is_needed_is_not_said_where_it_cannot_be_read() {
    let bench = Bench::with(LogFormat::Binary, &batches(60));
    let manifest = bench.manifest.current();
    assert_eq!(last_after(&*bench.disk, manifest, Lsn(0)), Ok(Some(0)));
    assert_eq!(last_after(&*bench.disk, manifest, Lsn(99)), Ok(Some(manifest.logs.len() - 1)));
    bench.test_disk.fail_next(DiskOp::Open, DiskErrorKind::Io);
    let error = last_after(&*bench.disk, manifest, Lsn(0)).expect_err("the disk failed");
    assert!(error.is_passing(), "{error}");
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
            if bench.bounds.last().expect("one") + encoded.payload.len() + 29 > FILE_BYTES as usize {
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
