//! What a segment gives back, and what of a damaged, foreign or forged one it refuses.

use std::{collections::BTreeMap, sync::Arc};

use proptest::{collection::btree_map, prelude::*};
use stormproof_contract::{Disk, DiskErrorKind, DiskOp};

use super::{
    super::{Entry, Link, Record, StoreError, StoreResult, log::LogId, samples, test_disk::TestDisk},
    *,
};
use crate::{
    ids::{Lsn, RecordId, Version},
    store::Digest,
};

const LOG: LogId = LogId(77);
const NO: SegmentNo = SegmentNo(5);
const COMPONENTS: u32 = 4;

type Entries = BTreeMap<RecordId, Entry>;

fn live(id: u64) -> (RecordId, Entry) {
    (RecordId(id), Entry::Live(Arc::new(samples::record(id))))
}

fn gone(id: u64) -> (RecordId, Entry) {
    (RecordId(id), Entry::Deleted(Version(id + 9)))
}

fn written(disk: &Arc<TestDisk>, entries: &Entries) -> StoreResult<SegmentName> {
    let disk: Arc<dyn Disk> = Arc::clone(disk) as _;
    let mut writer = SegmentWriter::create(&disk, LOG, NO, COMPONENTS)?;
    entries.iter().try_for_each(|(&id, entry)| writer.push(id, entry))?;
    writer.finish(Lsn(12), &decisions())
}

fn decisions_bytes() -> usize {
    decided::encode(&decisions()).len() + seal::SEAL_BYTES
}

/// What two frames decided.
fn decisions() -> Vec<Decided> {
    let of = |number| Decided::of(Lsn(number), 0, &samples::batch(number).transactions[0]).expect("it can be retried");
    vec![of(3), of(9)]
}

fn opened(disk: &TestDisk, name: &SegmentName) -> StoreResult<Segment> {
    Segment::open(disk, LOG, name, COMPONENTS)
}

fn whole(segment: &Segment) -> StoreResult<Entries> {
    assert_eq!(segment.decisions()?, decisions(), "damage was given back as data");
    let mut entries = Entries::new();
    for group in 0..segment.groups() {
        entries.extend(segment.group(group)?);
    }
    Ok(entries)
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let vector = proptest::collection::vec(-1e9_f32..1e9, COMPONENTS as usize);
    prop_oneof![
        4 => (samples::any_record(), vector).prop_map(|(record, vector)| Entry::Live(Arc::new(Record { vector, ..record }))),
        1 => any::<u64>().prop_map(|version| Entry::Deleted(Version(version))),
    ]
}

/// Records get the ids that they are filed under.
fn any_entries() -> impl Strategy<Value = Entries> {
    btree_map(any::<u64>(), any_entry(), 0..60).prop_map(|entries| {
        let named = |(id, entry)| match entry {
            Entry::Live(record) => {
                (RecordId(id), Entry::Live(Arc::new(Record { id: RecordId(id), ..(*record).clone() })))
            }
            Entry::Deleted(version) => (RecordId(id), Entry::Deleted(version)),
        };
        entries.into_iter().map(named).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_segment_gives_back_what_it_was_made_from(entries in any_entries()) {
        let disk = TestDisk::new();
        let name = written(&disk, &entries).expect("written");
        let segment = opened(&disk, &name).expect("opened");
        prop_assert_eq!(&whole(&segment).expect("whole"), &entries);
        prop_assert_eq!((segment.entries(), segment.upto()), (entries.len() as u64, Lsn(12)));
        prop_assert_eq!(segment.live(), entries.values().filter(|entry| entry.record().is_some()).count() as u64);
        for id in entries.keys().flat_map(|id| [id.0.wrapping_sub(1), id.0, id.0.wrapping_add(1)]).map(RecordId) {
            prop_assert_eq!(segment.get(id).expect("read"), entries.get(&id).cloned());
        }
    }
}

#[test]
fn records_go_into_groups_that_are_no_longer_than_their_bounds() {
    let entries: Entries = (0..700).map(|id| if id % 5 == 0 { gone(id) } else { live(id) }).collect();
    let disk = TestDisk::new();
    let segment = opened(&disk, &written(&disk, &entries).expect("written")).expect("opened");
    let sizes: Vec<_> = (0..segment.groups()).map(|group| segment.group(group).expect("read").len()).collect();
    assert_eq!(sizes, [256, 256, 188]);
    assert_eq!(whole(&segment), Ok(entries));
}

#[test]
fn a_group_ends_when_its_texts_its_links_or_its_vectors_are_many() {
    let long = |id| Record { text: "x".repeat(20_000), ..samples::record(id) };
    let linked = |id| Record { links: (0..3000).map(RecordId).map(Link::new).collect(), ..samples::record(id) };
    for make in [long, linked] as [fn(u64) -> Record; 2] {
        let entries: Entries = (0..6).map(|id| (RecordId(id), Entry::Live(Arc::new(make(id))))).collect();
        let disk = TestDisk::new();
        let segment = opened(&disk, &written(&disk, &entries).expect("written")).expect("opened");
        assert_eq!(segment.groups(), 3);
        assert_eq!(whole(&segment), Ok(entries));
    }
}

#[test]
fn the_largest_record_fits() {
    let attribute = |at| (format!("{at:04096}"), "v".repeat(4096));
    let record = Record {
        text: "t".repeat(1 << 20),
        attributes: (0..256).map(attribute).collect(),
        links: (0..65_536).map(RecordId).map(Link::new).collect(),
        ..samples::record(3)
    };
    assert_eq!(record.check(), Ok(()));
    let entries: Entries = [live(1), live(2), (RecordId(3), Entry::Live(Arc::new(record))), live(4)].into();
    let disk = TestDisk::new();
    let segment = opened(&disk, &written(&disk, &entries).expect("written")).expect("opened");
    assert_eq!(whole(&segment), Ok(entries));
}

#[test]
fn links_can_be_walked_without_reading_texts_or_vectors() {
    let entries: Entries = [live(8), gone(9), live(10)].into();
    let disk = TestDisk::new();
    let segment = opened(&disk, &written(&disk, &entries).expect("written")).expect("opened");
    let span = segment.keys_span(0);
    let mut bytes = vec![0; span.len];
    segment.file().read_exact_at(span.offset, &mut bytes).expect("read");
    let keys = segment.keys(0, &bytes).expect("keys");
    let links = |id| keys.row(keys.find(RecordId(id)).expect("there")).map(|row| keys.links(row).to_vec());
    assert_eq!([8, 9, 10].map(links), [Some(vec![RecordId(4)]), None, Some(vec![RecordId(5)])]);
}

/// Opens and reads everything; what is read must be what was written.
fn told(disk: &TestDisk, name: &SegmentName, entries: &Entries) -> Result<(), StoreError> {
    let read = opened(disk, name).and_then(|segment| whole(&segment))?;
    assert_eq!(&read, entries, "damage was given back as data");
    Ok(())
}

#[test]
fn no_bit_can_change_unnoticed() {
    let entries: Entries = [live(1), gone(2), live(3)].into();
    let disk = TestDisk::new();
    let name = written(&disk, &entries).expect("written");
    let bytes = disk.bytes(&NO.path());
    for bit in 0..8 * bytes.len() {
        let mut bytes = bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        disk.set(&NO.path(), &bytes);
        let error = told(&disk, &name, &entries).expect_err("a flipped bit");
        assert!(matches!(error, StoreError::Damaged { .. }), "bit {bit}: {error}");
    }
}

#[test]
fn a_file_of_another_length_is_refused() {
    let entries: Entries = [live(1)].into();
    let disk = TestDisk::new();
    let name = written(&disk, &entries).expect("written");
    let bytes = disk.bytes(&NO.path());
    for len in 0..bytes.len() {
        disk.set(&NO.path(), &bytes[..len]);
        told(&disk, &name, &entries).expect_err("too short");
    }
    disk.set(&NO.path(), &[&bytes[..], &[0]].concat());
    told(&disk, &name, &entries).expect_err("too long");
}

#[test]
fn parts_of_another_segment_of_another_database_or_of_another_place_are_refused() {
    let entries: Entries = [live(1)].into();
    let disk = TestDisk::new();
    let name = written(&disk, &entries).expect("written");
    let error = |log, no, components| {
        let path = SegmentNo(no).path();
        disk.set(&path, &disk.bytes(&NO.path()));
        let name = SegmentName { no: SegmentNo(no), ..name };
        Segment::open(&*disk, log, &name, components).map(|_| ()).expect_err("it belongs elsewhere")
    };
    assert!(matches!(error(LogId(78), 5, 4), StoreError::Damaged { .. }));
    assert!(matches!(error(LOG, 6, 4), StoreError::Damaged { .. }));
    assert!(matches!(error(LOG, 5, 3), StoreError::Foreign { .. }));
}

#[test]
fn a_vector_in_the_place_of_another_is_refused() {
    let entries: Entries = [live(1), live(2)].into();
    let disk = TestDisk::new();
    let name = written(&disk, &entries).expect("written");
    let segment = opened(&disk, &name).expect("opened");
    let (one, two) = (segment.row_span(0, 0), segment.row_span(0, 1));
    let mut bytes = disk.bytes(&NO.path());
    bytes.copy_within(one.offset as usize..one.end() as usize, two.offset as usize);
    disk.set(&NO.path(), &bytes);
    let error = opened(&disk, &name).and_then(|segment| segment.get(RecordId(2))).expect_err("another's vector");
    assert!(matches!(error, StoreError::Damaged { offset, .. } if offset == two.end() - 4), "{error}");
}

#[test]
fn another_writers_footer_is_refused_however_whole_it_is() {
    let disk = TestDisk::new();
    let name = written(&disk, &[live(1)].into()).expect("written");
    let other = TestDisk::new();
    written(&other, &[live(2)].into()).expect("written");
    disk.set(&NO.path(), &other.bytes(&NO.path()));
    // Same length, same number of records, every checksum right: only what the manifest names tells them apart.
    let found = opened(&disk, &name).and_then(|segment| whole(&segment));
    assert!(matches!(found, Err(StoreError::Foreign { .. })), "{found:?}");
}

#[test]
fn whoever_is_at_work_on_a_file_is_not_written_into() {
    let disk = TestDisk::new();
    written(&disk, &[live(1)].into()).expect("written");
    let error = written(&disk, &[live(2)].into()).expect_err("the name is taken");
    assert!(matches!(error, StoreError::Disk(error) if error.kind == DiskErrorKind::Exists));
}

#[test]
fn a_segment_that_could_not_be_made_durable_has_no_name() {
    for op in [DiskOp::Open, DiskOp::Write, DiskOp::Sync, DiskOp::SyncDir, DiskOp::Point] {
        let disk = TestDisk::new();
        disk.fail_next(op, DiskErrorKind::Io);
        written(&disk, &[live(1)].into()).expect_err("the disk failed");
    }
}

#[test]
fn a_missing_file_is_named() {
    let disk = TestDisk::new();
    let name = written(&disk, &Entries::new()).expect("written");
    disk.remove(&NO.path()).expect("removed");
    let error = opened(&disk, &name).map(|_| ()).expect_err("it is missing");
    assert_eq!(error.to_string().split(": ").next(), Some("`segments/5` at offset 0 is damaged"));
}

#[test]
fn names_are_numbers_and_nothing_else() {
    assert_eq!(SegmentNo::of_path("segments/17"), Some(SegmentNo(17)));
    for name in ["", "017", "17.tmp", "+17", "-1", "18446744073709551616"] {
        assert_eq!(SegmentNo::of_path(&format!("segments/{name}")), None, "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whoever forges checksums gets an error or other records, and never a panic or memory out of proportion.
    #[test]
    fn hostile_bytes_of_the_right_checksum_never_panic(
        at in any::<prop::sample::Index>(), byte in any::<u8>(), part in 0..5_usize
    ) {
        let disk = TestDisk::new();
        let entries: Entries = [live(1), gone(2), live(3)].into();
        let name = written(&disk, &entries).expect("written");
        let mut bytes = disk.bytes(&NO.path());
        let segment = opened(&disk, &name).expect("opened");
        let index_end = bytes.len() - footer::FOOTER_BYTES;
        let index_at = index_end - 32 - seal::SEAL_BYTES;
        let spans = [
            segment.keys_span(0),
            segment.facts_span(0),
            Span { offset: segment.rows_span(0).end(), len: decisions_bytes() },
            Span { offset: index_at as u64, len: index_end - index_at },
            Span { offset: index_end as u64, len: footer::FOOTER_BYTES },
        ];
        let span = spans[part];
        let home = seal::Home { log: LOG, no: NO };
        let (begin, end) = (span.offset as usize, span.end() as usize - seal::SEAL_BYTES);
        bytes[begin + at.index(end - begin)] = byte;
        let seal = home.seal(span.offset, &bytes[begin..end]);
        bytes[end..end + seal::SEAL_BYTES].copy_from_slice(&seal);
        let digest = Digest::of(&bytes[index_end..]);
        disk.set(&NO.path(), &bytes);
        let Ok(segment) = opened(&disk, &SegmentName { digest, ..name }) else { return Ok(()) };
        let keys = (0..segment.groups()).filter(|group| segment.keys_of(*group).is_ok()).count();
        let _ = (segment.verify(), segment.get(RecordId(1)), keys);
    }
}

#[test]
fn the_least_and_the_greatest_lengths_are_those_of_what_is_written() {
    let mut bytes = Vec::new();
    let name = SegmentName { no: NO, bytes: 1, digest: Digest([1; 16]), upto: Lsn(2), entries: 3, live: 2 };
    name.encode(&mut bytes);
    assert_eq!(bytes.len(), SegmentName::BYTES);
    let least = Decided { votes: Vec::new(), versions: Vec::new(), ..decisions().remove(0) };
    assert_eq!(decided::encode(&[least]).len(), 4 + decided::BYTES_MIN);
    assert_eq!(decided::encoded_bytes(&decided::encode(&decisions())), Some(decided::encode(&decisions()).len()));
    assert_eq!(decided::encoded_bytes(&[9, 0, 0, 0]), None);
}

/// All but one link, byte of facts and record too few to be complete, and then the largest record there can be.
#[test]
fn the_fullest_group_fits() {
    let plain =
        |id| Record { text: String::new(), attributes: BTreeMap::new(), links: Vec::new(), ..samples::record(id) };
    let links = |n: u64| (0..n).map(RecordId).map(Link::new).collect();
    // Each has 8 bytes of facts, the lengths of nothing.
    let first = Record { links: links(4095), text: "x".repeat((32 << 10) - 1 - 8 * 255), ..plain(0) };
    let attribute = |at| (format!("{at:04096}"), "v".repeat(4096));
    let last = Record {
        text: "t".repeat(1 << 20),
        attributes: (0..256).map(attribute).collect(),
        links: links(65_536),
        ..plain(255)
    };
    let all = [first].into_iter().chain((1..255).map(plain)).chain([last]);
    let entries: Entries = all.map(|record| (record.id, Entry::Live(Arc::new(record)))).collect();
    let disk = TestDisk::new();
    let name = written(&disk, &entries).expect("written");
    for segment in [opened(&disk, &name), Segment::salvage(&*disk, LOG, &name, COMPONENTS)] {
        let segment = segment.expect("opened");
        assert_eq!((segment.groups(), segment.counts_of(0)), (1, (256, 256)));
        assert_eq!(whole(&segment).as_ref(), Ok(&entries));
    }
}

#[test]
fn what_is_known_of_a_segment_and_its_groups_is_what_was_written() {
    let entries: Entries = (0..300).map(|id| if id % 3 == 0 { gone(10 * id) } else { live(10 * id) }).collect();
    let disk = TestDisk::new();
    let name = written(&disk, &entries).expect("written");
    for segment in [opened(&disk, &name), Segment::open_alone(&*disk, &NO.path())] {
        let segment = segment.expect("opened");
        assert_eq!((segment.components(), segment.log(), segment.no()), (COMPONENTS, LOG, NO));
        assert_eq!([0, 1].map(|group| segment.counts_of(group)), [(256, 170), (44, 30)]);
        assert_eq!([0, 9, 2559, 2560, 9999].map(|id| segment.group_from(RecordId(id))), [0, 0, 0, 1, 1]);
        let keys = segment.keys_of(0).expect("keys");
        assert_eq!([0, 1, 10, 11, 2550, 2551].map(|id| keys.first_from(RecordId(id))), [0, 1, 1, 2, 255, 256]);
        assert!(!keys.is_empty() && Keys::default().is_empty());
        // The struct, and what its lists hold: 256 ids, versions and places, 170 times and kappas and ends, as many links.
        assert_eq!(keys.bytes_in_memory(), size_of::<Keys>() + 256 * 32 + 170 * 20 + 170 * 12);
        assert!(format!("{segment:?}").contains("footer"));
    }
}

#[test]
fn keys_out_of_order_or_of_too_many_links_are_refused() {
    let keys = |ids: &[u64], links: u64| {
        let mut gathered = group::Gathered::default();
        let links: Vec<_> = (0..links).map(RecordId).map(Link::new).collect();
        for id in ids {
            let record = Record { links: links.clone(), ..samples::record(*id) };
            gathered.push(RecordId(*id), &Entry::Live(Arc::new(record)));
        }
        Keys::decode(&gathered.encode_keys()).map(|keys| keys.len())
    };
    assert_eq!(keys(&[5, 6], 1), Ok(2));
    assert_eq!(keys(&[5], 4096 + 65_536), Ok(1));
    for (ids, links) in [(&[][..], 0), (&[5, 5], 0), (&[6, 5], 0), (&[5], 4096 + 65_537)] {
        assert!(keys(ids, links).is_err(), "{ids:?}, {links}");
    }
}

#[test]
fn a_file_that_cannot_be_opened_listed_or_is_no_longer_than_a_footer_is_told_from_a_missing_one() {
    let disk = TestDisk::new();
    let name = written(&disk, &[live(1)].into()).expect("written");
    for open in [
        &|| opened(&disk, &name).map(drop) as StoreResult<()>,
        &|| Segment::salvage(&*disk, LOG, &name, COMPONENTS).map(drop),
        &|| list(&*disk).map(drop),
    ] as [&dyn Fn() -> StoreResult<()>; 3]
    {
        disk.fail_next(DiskOp::Open, DiskErrorKind::Io);
        disk.fail_on(DiskOp::List, "", DiskErrorKind::Io);
        assert!(open().expect_err("the disk failed").is_passing());
    }
    // What has not struck is called off.
    disk.fail_after(usize::MAX, DiskOp::Link, DiskErrorKind::Io);
    for len in [0, footer::FOOTER_BYTES - 1, footer::FOOTER_BYTES] {
        disk.set(&NO.path(), &vec![0; len]);
        for opened in
            [opened(&disk, &SegmentName { bytes: len as u64, ..name }), Segment::open_alone(&*disk, &NO.path())]
        {
            let error = opened.map(drop).expect_err("no segment").to_string();
            assert_eq!(error.contains("bytes at least"), len < footer::FOOTER_BYTES, "{len}: {error}");
        }
    }
}

#[test]
fn a_footer_that_was_not_installed_is_told_where_it_is() {
    let disk = TestDisk::new();
    let name = written(&disk, &[live(1)].into()).expect("written");
    let at = name.bytes - footer::FOOTER_BYTES as u64;
    for other in [SegmentName { live: 0, ..name }, SegmentName { digest: Digest([0; 16]), ..name }] {
        let error = opened(&disk, &other).map(drop).expect_err("another's");
        assert!(matches!(error, StoreError::Foreign { offset, .. } if offset == at), "{error}");
    }
    let mut bytes = disk.bytes(&NO.path());
    // The format, before magic and checksum.
    let (format, seal) = (bytes.len() - 16, bytes.len() - 4);
    bytes[format] += 1;
    let sealed = seal::Home { log: LOG, no: NO }.seal(at, &bytes[at as usize..seal]);
    bytes[seal..].copy_from_slice(&sealed);
    disk.set(&NO.path(), &bytes);
    let error = opened(&disk, &name).map(drop).expect_err("a later format");
    assert!(matches!(error, StoreError::UnknownFormat { offset, .. } if offset == format as u64), "{error}");
}

/// A segment of three groups, and where each of them begins and the decisions end.
fn three_groups(disk: &Arc<TestDisk>) -> (SegmentName, Vec<usize>, usize) {
    let entries: Entries = (0..700).map(|id| if id % 5 == 0 { gone(id) } else { live(id) }).collect();
    let name = written(disk, &entries).expect("written");
    let segment = opened(disk, &name).expect("opened");
    let begins = (0..3).map(|group| segment.keys_span(group).offset as usize).collect();
    (name, begins, segment.decisions_span().end() as usize)
}

#[test]
fn what_is_left_of_a_segment_is_walked_from_its_first_group_on() {
    let disk = TestDisk::new();
    let (name, begins, decided) = three_groups(&disk);
    let bytes = disk.bytes(&NO.path());
    let left = |bytes: &[u8], name: &SegmentName| {
        disk.set(&NO.path(), bytes);
        let left = Segment::salvage(&*disk, LOG, name, COMPONENTS).expect("the disk works");
        let read = (0..left.groups()).filter(|group| left.group(*group).is_ok()).count();
        (left.groups(), read, left.entries(), left.live(), left.decisions().ok())
    };
    let all = (3, 3, 700, 560, Some(decisions()));
    assert_eq!(left(&bytes, &name), all);
    assert_eq!(left(&bytes[..decided], &name), all, "without filter, index and footer");
    assert_eq!(left(&bytes[..decided - 1], &name), (3, 3, 700, 560, None));
    assert_eq!(left(&bytes[..begins[2]], &name), (2, 2, 512, 409, None));
    assert_eq!(left(&bytes[..begins[2] + 9], &name), (2, 2, 512, 409, None));
    let mut changed = bytes.clone();
    changed[begins[1] + 9] ^= 1;
    assert_eq!(left(&changed, &name), (1, 1, 256, 204, None));
    // More than was ever in it, or less.
    assert_eq!(left(&bytes, &SegmentName { entries: 701, ..name }), (3, 3, 700, 560, None));
    assert_eq!(left(&bytes, &SegmentName { entries: 699, ..name }), (2, 2, 512, 409, None));
    disk.set(&SegmentNo(6).path(), &bytes);
    assert_eq!(left(&bytes, &SegmentName { no: SegmentNo(6), ..name }), (0, 0, 0, 0, None), "another's");
}
