//! What a log gives back after damage of every kind: what was decided, a prefix of it, or a named error.

use proptest::{collection::vec, prelude::*};

use super::{
    super::frame::{Place, parse, wrap},
    *,
};
use crate::store::{Proof, samples::any_batch};

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
