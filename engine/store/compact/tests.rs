//! Which segments are merged, and what a merge makes of them.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use proptest::{
    collection::{btree_map, vec},
    prelude::{Just, ProptestConfig, any, prop_assert_eq, prop_oneof, proptest},
    strategy::Strategy as Generator,
};
use stormproof_contract::{Disk, DiskErrorKind, DiskOp, Job, JobError, JobStep, OneThread};

use super::{
    super::{
        Digest, Entry, Lsn, Record, RecordId, Version,
        log::LogId,
        samples,
        segment::{Decided, Segment, SegmentName, SegmentNo, SegmentWriter},
        test_disk::TestDisk,
    },
    *,
};

const LOG: LogId = LogId(77);
const COMPONENTS: u32 = 4;
const RULES: MergeRules = MergeRules { run_min: 4, tombstones_percent: 20 };

type Entries = BTreeMap<RecordId, Entry>;

fn sized(bytes: u64) -> SegmentName {
    SegmentName { no: SegmentNo(1), bytes, digest: Digest([0; 16]), upto: Lsn(1), entries: 100, live: 100 }
}

#[test]
fn no_run_crosses_a_border() {
    let segments = [9; 8].map(sized);
    let decided = |borders: &[usize]| RULES.decide(&segments, borders);
    assert_eq!(decided(&[]), Decision::Merge(0..8));
    assert_eq!(decided(&[4]), Decision::Merge(4..8));
    assert_eq!(decided(&[6]), Decision::Merge(0..6), "what is behind the border is too little");
    assert_eq!(decided(&[3, 5]), Decision::DoNothing);
    assert_eq!(decided(&[0, 8]), Decision::Merge(0..8), "a border at an end parts nothing");
    assert_eq!(decided(&[2, 2]), Decision::Merge(2..8));
    let removals = |entries, live| SegmentName { entries, live, ..sized(9) };
    let oldest = [removals(100, 10), removals(100, 10), removals(100, 10)];
    assert_eq!(RULES.decide(&oldest, &[2]), Decision::Merge(0..2), "removals are left out up to the border");
    let newer = [removals(100, 100), removals(100, 10), removals(100, 10)];
    assert_eq!(RULES.decide(&newer, &[1]), Decision::DoNothing, "behind it they hide something");
}

fn decided(sizes: &[u64]) -> Decision {
    RULES.decide(&sizes.iter().copied().map(sized).collect::<Vec<_>>(), &[])
}

#[test]
fn a_run_grows_towards_the_older_while_the_next_is_no_larger_than_all_of_it() {
    assert_eq!(decided(&[]), Decision::DoNothing);
    assert_eq!(decided(&[9, 9, 9]), Decision::DoNothing, "too few");
    assert_eq!(decided(&[9, 9, 9, 9]), Decision::Merge(0..4));
    assert_eq!(decided(&[37, 9, 9, 9, 9]), Decision::Merge(1..5), "one byte more than the four");
    assert_eq!(decided(&[36, 9, 9, 9, 9]), Decision::Merge(0..5), "as much as the four");
    assert_eq!(
        decided(&[1, 1, 1, 1, 1, 9]),
        Decision::Merge(0..6),
        "small ones behind a large one are no reason to stop"
    );
    assert_eq!(decided(&[9, 9, 9, 9, 8]), Decision::DoNothing, "the newest is the smallest, and stands alone");
}

#[test]
fn removals_are_left_out_before_they_are_too_many() {
    let with = |entries, live| SegmentName { entries, live, ..sized(9) };
    assert_eq!(RULES.decide(&[with(100, 80)], &[]), Decision::DoNothing, "a fifth is not more than a fifth");
    assert_eq!(RULES.decide(&[with(100, 79)], &[]), Decision::Merge(0..1));
    assert_eq!(
        RULES.decide(&[with(100, 100), with(100, 59)], &[]),
        Decision::Merge(0..2),
        "all of them, for they hide the older"
    );
    assert_eq!(RULES.decide(&[with(100, 100), with(100, 60)], &[]), Decision::DoNothing);
    assert_eq!(RULES.decide(&[with(0, 0)], &[]), Decision::DoNothing, "nothing is left to be left out");
    let large = |bytes| SegmentName { bytes, ..with(10, 10) };
    assert_eq!(
        RULES.decide(&[large(45), with(100, 0)], &[]),
        Decision::DoNothing,
        "the newer is a fifth of the oldest"
    );
    assert_eq!(RULES.decide(&[large(44), with(100, 0)], &[]), Decision::Merge(0..2));
    let most = SegmentName { entries: u64::MAX, live: 0, bytes: u64::MAX, ..sized(0) };
    assert_eq!(
        RULES.decide(&[most], &[]),
        Decision::DoNothing,
        "names come from a disk: no sum of theirs may overflow"
    );
    assert_eq!(RULES.decide(&[most, most], &[]), Decision::DoNothing);
}

#[test]
fn nothing_is_merged_where_that_is_turned_off() {
    let never = MergeRules { run_min: 0, ..RULES };
    assert_eq!(never.decide(&[sized(1); 99], &[]), Decision::DoNothing);
    let ones = MergeRules { run_min: 1, ..RULES };
    assert_eq!(ones.decide(&[sized(1)], &[]), Decision::DoNothing, "a segment alone is not made again for its size");
}

/// Segments of one size each, merged as the rules say: what becomes of them, and how often a record is written again.
#[test]
fn the_number_of_segments_grows_with_the_logarithm_of_the_flushes() {
    let (mut segments, mut written, mut most) = (Vec::new(), 0, 0);
    for flushes in 1..=1000_u64 {
        segments.push(sized(10));
        while let Decision::Merge(run) = RULES.decide(&segments, &[]) {
            let bytes = segments[run.clone()].iter().map(|name| name.bytes).sum();
            written += bytes;
            segments.splice(run, [sized(bytes)]);
        }
        most = most.max(segments.len());
        assert_eq!(segments.iter().map(|name| name.bytes).sum::<u64>(), 10 * flushes);
    }
    assert!(most <= 12, "{most} segments");
    assert!(written <= 9 * 10_000, "each byte was written {} times again", written as f64 / 10_000.0);
}

fn write(disk: &Arc<TestDisk>, no: u64, entries: &Entries) -> SegmentName {
    let disk: Arc<dyn Disk> = Arc::clone(disk) as _;
    let mut writer = SegmentWriter::create(&disk, LOG, SegmentNo(no), COMPONENTS).expect("a new file");
    entries.iter().try_for_each(|(&id, entry)| writer.push(id, entry)).expect("pushed");
    writer.finish(Lsn(10 * no), &[decision(no)]).expect("finished")
}

fn decision(no: u64) -> Decided {
    Decided::of(Lsn(10 * no), 0, &samples::batch(no).transactions[0]).expect("it can be retried")
}

fn run(disk: &Arc<TestDisk>, merge: &Merge, units: u32) -> Result<Outcome, JobError> {
    let disk: Arc<dyn Disk> = Arc::clone(disk) as _;
    let mut job = MergeJob::revive(&merge.spec()).expect("a merge");
    loop {
        match job.step(&mut VecDeque::new(), &disk, &OneThread, units)? {
            JobStep::Done(word) => return Ok(Outcome::of_word(&word).expect("the last word of a merge")),
            JobStep::More => {}
            other => panic!("a merge neither speaks nor waits: {other:?}"),
        }
    }
}

fn made(outcome: Outcome) -> Made {
    match outcome {
        Outcome::Made(made) => made,
        Outcome::Damaged(words) => panic!("{words}"),
    }
}

fn read(disk: &TestDisk, name: &SegmentName) -> (Entries, Vec<Decided>) {
    let segment = Segment::open(disk, LOG, name, COMPONENTS).expect("opened");
    let groups = (0..segment.groups()).flat_map(|group| segment.group(group).expect("a group"));
    (groups.collect(), segment.decisions().expect("decisions"))
}

fn entry((id, (live, version)): (u64, (bool, u64))) -> (RecordId, Entry) {
    let version = Version(version);
    let record = || Entry::Live(Arc::new(Record { version, ..samples::record(id) }));
    (RecordId(id), if live { record() } else { Entry::Deleted(version) })
}

/// Few ids, so that segments overlap; or so many that they have several groups.
fn any_segment() -> impl Generator<Value = Entries> {
    prop_oneof![4 => Just((20_u64, 0..20_usize)), 1 => Just((900, 300..700))].prop_flat_map(|(ids, size)| {
        let what = (any::<bool>(), 1..9_u64);
        btree_map(0..ids, what, size).prop_map(|what| what.into_iter().map(entry).collect())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_merge_keeps_the_newest_of_each_record_and_every_decision(
        segments in vec(any_segment(), 1..5), older in any::<bool>(), units in 1..50_u32
    ) {
        let disk = TestDisk::new();
        let names: Vec<_> = (1..).zip(&segments).map(|(no, entries)| write(&disk, no, entries)).collect();
        let before: Vec<SegmentName> = if older { vec![sized(1)] } else { vec![] };
        let all = [before.clone(), names.clone()].concat();
        let merge = Merge::of(LOG, COMPONENTS, SegmentNo(99), &all, before.len()..all.len());
        let made = made(run(&disk, &merge, units).expect("the disk works"));
        let mut newest: Entries = segments.into_iter().flatten().collect();
        let removals = newest.values().filter(|entry| entry.record().is_none()).map(Entry::version).max();
        if !older {
            newest.retain(|_, entry| entry.record().is_some());
        }
        let (entries, decisions) = read(&disk, &made.name);
        prop_assert_eq!(&entries, &newest);
        prop_assert_eq!(decisions, (1..=names.len() as u64).map(decision).collect::<Vec<_>>());
        prop_assert_eq!(made.dropped, removals.filter(|_| !older).unwrap_or(Version(0)));
        let live = newest.values().filter(|entry| entry.record().is_some()).count() as u64;
        let named = SegmentName { bytes: made.name.bytes, digest: made.name.digest, ..SegmentName {
            no: SegmentNo(99), upto: Lsn(10 * names.len() as u64), entries: newest.len() as u64, live, ..sized(0)
        } };
        prop_assert_eq!(made.name, named);
    }
}

fn two_segments() -> (Arc<TestDisk>, Merge) {
    let disk = TestDisk::new();
    let of = |ids: [u64; 3]| ids.map(|id| (RecordId(id), Entry::Live(Arc::new(samples::record(id))))).into();
    let names = [write(&disk, 1, &of([1, 2, 3])), write(&disk, 2, &of([2, 4, 6]))];
    (disk, Merge::of(LOG, COMPONENTS, SegmentNo(9), &names, 0..2))
}

#[test]
fn nothing_is_made_of_what_is_damaged() {
    let (disk, merge) = two_segments();
    for path in ["segments/1", "segments/2"] {
        for at in (0..disk.bytes(path).len()).step_by(3) {
            let copy = disk.copied();
            let mut bytes = copy.bytes(path);
            bytes[at] ^= 16;
            copy.set(path, &bytes);
            let outcome = run(&copy, &merge, 2).expect("the disk works");
            let named = format!("`{path}` at offset");
            assert!(matches!(&outcome, Outcome::Damaged(words) if words.contains(&named)), "byte {at}: {outcome:?}");
        }
    }
}

#[test]
fn what_was_made_is_read_back_before_it_is_told_of() {
    let (disk, merge) = two_segments();
    let steps = {
        let disk: Arc<dyn Disk> = disk.copied() as _;
        let mut job = MergeJob::revive(&merge.spec()).expect("a merge");
        let mut steps = 0;
        while job.step(&mut VecDeque::new(), &disk, &OneThread, 9).expect("the disk works") == JobStep::More {
            steps += 1;
        }
        steps
    };
    let dynamic: Arc<dyn Disk> = Arc::clone(&disk) as _;
    let mut job = MergeJob::revive(&merge.spec()).expect("a merge");
    for _ in 0..steps - 1 {
        assert_eq!(job.step(&mut VecDeque::new(), &dynamic, &OneThread, 9), Ok(JobStep::More));
    }
    let mut bytes = disk.bytes("segments/9");
    bytes[40] ^= 1;
    disk.overwrite("segments/9", &bytes);
    let told = job.step(&mut VecDeque::new(), &dynamic, &OneThread, 9);
    assert!(matches!(&told, Err(JobError::Failed(words)) if words.contains("`segments/9` at offset")), "{told:?}");
}

#[test]
fn a_disk_that_fails_ends_the_job_and_it_can_be_done_again_under_another_number() {
    let (disk, merge) = two_segments();
    let mut failed = 0;
    for op in [DiskOp::Open, DiskOp::Read, DiskOp::Write, DiskOp::Sync, DiskOp::SyncDir, DiskOp::Point] {
        for after in 0..12 {
            let copy = disk.copied();
            copy.fail_after(after, op, DiskErrorKind::Io);
            failed += u32::from(matches!(run(&copy, &merge, 2), Err(JobError::Disk(_))));
            copy.fail_after(usize::MAX, DiskOp::Link, DiskErrorKind::Io);
            let again = Merge { no: SegmentNo(10), ..merge.clone() };
            let (entries, _) = read(&copy, &made(run(&copy, &again, 2).expect("the disk works")).name);
            assert_eq!(entries.len(), 5, "{op} after {after}");
        }
    }
    assert!(failed >= 20, "only {failed} failures");
}

#[test]
fn another_writers_file_is_not_written_into() {
    let (disk, merge) = two_segments();
    disk.set("segments/9", b"whose?");
    assert!(matches!(run(&disk, &merge, 2), Err(JobError::Disk(error)) if error.kind == DiskErrorKind::Exists));
    assert_eq!(disk.bytes("segments/9"), b"whose?");
}

#[test]
fn a_spec_or_a_last_word_that_is_none_is_refused() {
    let (_, merge) = two_segments();
    let spec = merge.spec();
    for len in 0..spec.len() {
        assert!(matches!(MergeJob::revive(&spec[..len]), Err(JobError::UnknownSpec)), "{len} bytes");
    }
    let mut longer = spec;
    longer.push(0);
    assert!(matches!(MergeJob::revive(&longer), Err(JobError::UnknownSpec)));
    let outcome = Outcome::Made(Made { name: sized(7), dropped: Version(3) });
    let word = outcome.encode();
    assert_eq!(Outcome::of_word(&word), Some(outcome));
    for len in 0..word.len() {
        assert_eq!(Outcome::of_word(&word[..len]), None, "{len} bytes");
    }
    assert_eq!(Outcome::of_word(&[9]), None);
}
