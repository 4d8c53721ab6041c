//! Compaction: fewer segments that say the same, whatever fails on the way.

use stormproof_contract::{DiskErrorKind, DiskOp};

use super::*;

/// Flushes every two records, and merges three segments of one size.
fn merging() -> Config {
    Config { flush_records: 2, compaction: MergeRules { run_min: 3, tombstones_percent: 100 }, ..small() }
}

fn segments(bench: &Bench) -> Vec<String> {
    bench.disk.paths().into_iter().filter(|path| path.starts_with("segments/")).collect()
}

fn is_all_there(bench: &mut Bench, ids: std::ops::RangeInclusive<u64>) {
    for id in ids {
        let text = bench.get(id).map(|record| record.text.clone());
        assert_eq!(text, Some(format!("text {id}")));
    }
}

#[test]
fn a_run_becomes_one_segment_and_its_files_go() {
    let mut bench = Bench::new(merging());
    fill(&mut bench, 1..=6);
    assert_eq!((bench.jobs.len(), segments(&bench).len()), (1, 3));
    bench.run_jobs();
    assert!(bench.noted("compacted"), "{:?}", bench.notes);
    assert_eq!(segments(&bench), ["segments/3"]);
    for _ in 0..2 {
        is_all_there(&mut bench, 1..=6);
        assert_eq!(bench.facts().records.len(), 6);
        bench.reopen();
        assert!(!bench.noted("l1.rebuilt"), "{:?}", bench.notes);
    }
}

#[test]
fn flushes_go_on_behind_the_run_and_the_newest_writing_counts() {
    let mut bench = Bench::new(merging());
    fill(&mut bench, 1..=6);
    committed(&bench.commit(upsert(10, 2, 20.0)));
    committed(&bench.commit(delete(11, 3)));
    assert_eq!((bench.jobs.len(), segments(&bench).len()), (1, 4), "one merge at a time");
    bench.run_jobs();
    assert_eq!(bench.node.manifest.current().segments.len(), 2);
    for _ in 0..2 {
        assert_eq!((bench.get(2).map(|it| it.version), bench.get(3)), (Some(Version(2)), None));
        bench.reopen();
    }
}

#[test]
fn what_was_decided_outlives_the_merge() {
    let mut bench = Bench::new(merging());
    fill(&mut bench, 1..=6);
    let before = bench.facts().decisions;
    bench.run_jobs();
    bench.reopen();
    assert_eq!(bench.facts().decisions, before);
    assert_eq!(committed(&bench.commit(upsert(1, 1, 99.0))), Lsn(1), "a late copy is told what the first was told");
}

#[test]
fn a_removal_is_forgotten_once_it_hides_nothing_and_no_version_is_given_twice() {
    let mut bench = Bench::new(Config { compaction: MergeRules { run_min: 3, tombstones_percent: 40 }, ..merging() });
    fill(&mut bench, 1..=2);
    committed(&bench.commit(upsert(10, 2, 0.0)));
    committed(&bench.commit(delete(11, 2)));
    committed(&bench.commit(delete(12, 1)));
    bench.pass(Tick::secs(1));
    assert_eq!(bench.jobs.len(), 1, "two of four entries are removals");
    bench.run_jobs();
    let [only] = bench.node.manifest.current().segments[..] else { panic!("more than one segment") };
    assert_eq!((only.entries, only.live), (0, 0));
    for _ in 0..2 {
        assert_eq!((bench.get(1), bench.get(2)), (None, None));
        bench.reopen();
    }
    let reply = bench.commit(insert(20, 1, 0.0));
    assert!(
        matches!(&reply, Reply::Committed { versions, .. } if *versions == [(RecordId(1), Version(4))]),
        "{reply:?}"
    );
    let stale = Transaction { reads: vec![read(1, Some(1))], ..upsert(21, 9, 0.0) };
    assert!(matches!(bench.commit(stale), Reply::Conflict(_)), "whoever read the first record 1 has not read this one");
}

#[test]
fn no_version_is_given_twice_before_the_next_start_either() {
    let mut bench = Bench::new(Config { compaction: MergeRules { run_min: 3, tombstones_percent: 40 }, ..merging() });
    fill(&mut bench, 1..=2);
    committed(&bench.commit(upsert(10, 2, 0.0)));
    committed(&bench.commit(delete(11, 2)));
    committed(&bench.commit(delete(12, 1)));
    bench.pass(Tick::secs(1));
    bench.run_jobs();
    assert!(bench.noted("compacted"), "{:?}", bench.notes);
    let reply = bench.commit(insert(20, 1, 0.0));
    let Reply::Committed { versions, .. } = &reply else { panic!("{reply:?}") };
    assert_eq!(versions[..], [(RecordId(1), Version(4))]);
}

#[test]
fn a_removal_stays_while_an_older_writing_lies_below() {
    let mut bench = Bench::new(merging());
    fill(&mut bench, 1..=12);
    bench.run_jobs();
    bench.run_jobs();
    let below = bench.node.manifest.current().segments[0];
    fill(&mut bench, 13..=14);
    committed(&bench.commit(delete(20, 1)));
    committed(&bench.commit(delete(21, 2)));
    fill(&mut bench, 15..=16);
    bench.run_jobs();
    let named = bench.node.manifest.current().segments.clone();
    assert!(named[0] == below && named[1].live < named[1].entries, "{named:?}");
    bench.reopen();
    assert_eq!((bench.get(1), bench.get(2)), (None, None));
}

#[test]
fn a_merge_that_fails_anywhere_loses_nothing_and_is_done_again() {
    let mut failed = 0;
    for op in [
        DiskOp::Open,
        DiskOp::Read,
        DiskOp::Write,
        DiskOp::Sync,
        DiskOp::SyncDir,
        DiskOp::Rename,
        DiskOp::List,
        DiskOp::Remove,
        DiskOp::Point,
    ] {
        for after in 0..14 {
            let mut bench = Bench::new(merging());
            fill(&mut bench, 1..=6);
            bench.disk.fail_after(after, op, DiskErrorKind::Io);
            bench.run_jobs();
            failed += u32::from(bench.noted("compaction.failed"));
            let crashed = boot(&bench.disk.copied(), &bench.clock, &bench.config, 9).expect("it can be opened");
            assert_eq!(crashed.inspect(&()).map(|facts| facts.records.len()), Some(6), "{op} after {after}");
            bench.disk.fail_after(usize::MAX, DiskOp::Link, DiskErrorKind::Io);
            bench.pass(Tick::secs(1));
            bench.run_jobs();
            assert!(bench.noted("compacted"), "{op} after {after}: {:?}", bench.notes);
            is_all_there(&mut bench, 1..=6);
            fill(&mut bench, 7..=8);
            bench.pass(Tick::secs(1));
            let named = bench.node.manifest.current().segments.len();
            assert_eq!((named, segments(&bench).len()), (2, 2), "{op} after {after}: what an attempt left is swept");
            bench.reopen();
            is_all_there(&mut bench, 1..=8);
        }
    }
    assert!(failed >= 30, "only {failed} failures");
}

#[test]
fn a_job_that_is_killed_is_started_again_under_another_number() {
    let mut bench = Bench::new(merging());
    fill(&mut bench, 1..=6);
    let (job, spec) = bench.jobs.remove(0);
    bench.end_job(job, JobEnd::Killed);
    assert!(bench.noted("compaction.failed"), "{:?}", bench.notes);
    bench.pass(Tick::secs(1));
    assert!(bench.jobs[0].0 > job && bench.jobs[0].1 != spec);
    // The first one is not quite dead.
    let late = bench.work(job, &spec);
    bench.end_job(job, late);
    assert!(!bench.noted("compacted"), "whoever was given up is not heard");
    bench.run_jobs();
    assert!(bench.noted("compacted"));
    is_all_there(&mut bench, 1..=6);
}

/// A flush sweeps what failed attempts have left; what a job is writing is not that.
#[test]
fn a_flush_does_not_remove_what_is_being_made() {
    let mut bench = Bench::new(merging());
    fill(&mut bench, 1..=6);
    let (job, spec) = bench.jobs.remove(0);
    let how = bench.work(job, &spec);
    fill(&mut bench, 7..=8);
    bench.end_job(job, how);
    assert!(bench.noted("compacted"), "{:?}", bench.notes);
    bench.reopen();
    is_all_there(&mut bench, 1..=8);
}

/// The manifest that names the new segment is renamed, and the sync of its directory fails: a crash may find either manifest.
#[test]
fn the_old_segments_are_kept_while_a_manifest_that_names_them_may_be_found() {
    let mut bench = Bench::new(merging());
    fill(&mut bench, 1..=6);
    let manifest = bench.disk.bytes("manifest");
    let (job, spec) = bench.jobs.remove(0);
    let how = bench.work(job, &spec);
    bench.disk.fail_next(DiskOp::SyncDir, DiskErrorKind::Io);
    bench.end_job(job, how);
    assert!(bench.noted("compaction.failed"), "{:?}", bench.notes);
    let renamed = bench.disk.copied();
    let lost = bench.disk.copied();
    lost.set("manifest", &manifest);
    for disk in [renamed, lost] {
        let node = boot(&disk, &bench.clock, &bench.config, 9).expect("it can be opened");
        assert_eq!(node.inspect(&()).map(|facts| facts.records.len()), Some(6));
    }
}

#[test]
fn a_query_reads_on_in_files_that_were_merged() {
    let mut bench = Bench::new(merging());
    fill(&mut bench, 1..=6);
    let reader = bench.node.reader().expect("a reader");
    let mut query = reader.start(&Op::Get { ids: vec![RecordId(2)] }).expect("a query");
    let mut io = stormproof_contract::Reads::default();
    assert!(query.step(&mut io).is_none(), "it has to read");
    bench.run_jobs();
    assert_eq!(segments(&bench), ["segments/3"]);
    let (reply, _) = finish(&mut *query, &mut io);
    assert!(matches!(&reply, Reply::Records { records, .. } if records.len() == 1), "{reply:?}");
}

#[test]
fn damage_stops_merging_and_is_not_copied() {
    let mut bench = Bench::new(merging());
    fill(&mut bench, 1..=6);
    let mut bytes = bench.disk.bytes("segments/1");
    bytes[9] ^= 1;
    bench.disk.overwrite("segments/1", &bytes);
    bench.run_jobs();
    assert!(bench.noted("compaction.failed"), "{:?}", bench.notes);
    bench.pass(Tick::secs(1));
    assert_eq!(bench.jobs, []);
    assert_eq!(bench.node.manifest.current().segments.len(), 3);
}

/// The file that the job has told of is replaced by another whole one of that number.
#[test]
fn a_segment_is_believed_for_what_the_job_said_of_it_and_not_for_its_name() {
    let mut bench = Bench::new(merging());
    fill(&mut bench, 1..=6);
    let (job, spec) = bench.jobs.remove(0);
    let how = bench.work(job, &spec);
    let other = bench.disk.bytes("segments/0");
    bench.disk.set("segments/3", &other);
    bench.end_job(job, how);
    assert!(bench.noted("compaction.failed"), "{:?}", bench.notes);
    bench.reopen();
    is_all_there(&mut bench, 1..=6);
}
