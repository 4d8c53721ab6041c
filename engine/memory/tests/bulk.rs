//! Bulk loads: whatever fails, what was staged is committed whole or not at all, and nobody sees it before.

use stormproof_contract::{Disk, DiskErrorKind, DiskOp};

use super::{
    super::{
        repair::repair,
        verify::{State, verify},
    },
    *,
};

/// Flushes every four records, and writes segments record by record.
fn sliced() -> Config {
    Config { flush_records: 4, flush_slice_bytes: 1, ..small() }
}

fn bulk(retry: u128, ids: impl IntoIterator<Item = u64>) -> Transaction {
    Transaction { inserts: ids.into_iter().map(|id| draft(id, id as f32)).collect(), bulk: true, ..empty(retry) }
}

/// Hands a load over, and lets nothing be written of it.
fn stage(bench: &mut Bench, transaction: Transaction) -> Reply {
    let asked = bench.send(Op::Commit(transaction));
    bench.reply(asked).expect("an answer")
}

fn count(bench: &mut Bench) -> u64 {
    match bench.ask(Op::Count) {
        Some(Reply::Count { n, .. }) => n,
        other => panic!("not the answer to a count: {other:?}"),
    }
}

fn states(disk: &Arc<TestDisk>) -> Vec<(String, State)> {
    let disk = Arc::clone(disk) as Arc<dyn Disk>;
    let checked = verify(&disk).expect("the disk works");
    checked.into_iter().map(|file| (file.path.into(), file.state)).collect()
}

#[test]
fn what_is_staged_is_found_all_at_once_when_its_segment_is_in_force() {
    let mut bench = Bench::new(sliced());
    committed(&bench.commit(upsert(1, 100, 0.5)));
    assert_eq!(stage(&mut bench, bulk(2, [7, 3, 9])), Reply::Staged { ahead: 0 });
    assert_eq!(stage(&mut bench, bulk(3, [20])), Reply::Staged { ahead: 1 });
    assert_eq!(stage(&mut bench, bulk(3, [20])), Reply::Staged { ahead: 1 }, "a retry");
    let mut seen = vec![count_now(&bench)];
    while bench.ring() {
        seen.push(count_now(&bench));
    }
    seen.dedup();
    assert_eq!(seen, [1, 4, 5]);
    for _ in 0..2 {
        let versions = vec![(RecordId(7), Version(1)), (RecordId(3), Version(1)), (RecordId(9), Version(1))];
        assert_eq!(bench.commit(bulk(2, [])), Reply::Committed { lsn: Lsn(2), versions }, "in the order given");
        assert_eq!(bench.get(9).map(|it| it.text.clone()), Some("text 9".into()));
        let hits = bench.ask(Op::search(vec![8.9, 1.0], 2));
        let Some(Reply::Hits { hits, .. }) = hits else { panic!("not the answer to a search: {hits:?}") };
        assert_eq!(hits.iter().map(|hit| hit.record.id.0).collect::<Vec<_>>(), [9, 7]);
        assert_eq!(bench.facts().segments.len(), 2);
        bench.reopen();
        assert!(!bench.noted("l1.rebuilt"), "{:?}", bench.notes);
    }
    assert!(states(&bench.disk).iter().all(|(_, state)| *state == State::Good), "{:?}", states(&bench.disk));
}

fn count_now(bench: &Bench) -> usize {
    bench.facts().records.len()
}

#[test]
fn a_staged_record_is_held_and_one_that_is_there_refuses_the_load() {
    let mut bench = Bench::new(sliced());
    committed(&bench.commit(upsert(1, 5, 0.5)));
    assert_eq!(stage(&mut bench, bulk(2, 7..=40)), Reply::Staged { ahead: 0 });
    for (retry, other) in [
        (3, upsert(3, 7, 0.0)),
        (4, delete(4, 8)),
        (5, Transaction { reads: vec![read(7, None)], ..upsert(5, 60, 0.0) }),
        (6, bulk(6, [8, 90])),
    ] {
        let asked = bench.send(Op::Commit(other));
        // The refusal is closed in the log first, and the load goes on meanwhile.
        bench.settle();
        let reply = bench.reply(asked);
        assert!(matches!(reply, Some(Reply::Conflict(Conflict::Held { .. }))), "{retry}: {reply:?}");
    }
    bench.tick();
    let reply = bench.commit(bulk(7, [90, 5]));
    assert_eq!(reply, Reply::Refused(Refusal::Duplicate { id: RecordId(5) }));
    assert_eq!(bench.commit(bulk(7, [90])), Reply::Refused(Refusal::Duplicate { id: RecordId(5) }), "it is closed");
    committed(&bench.commit(upsert(8, 7, 0.25)));
    assert_eq!(bench.get(7).map(|it| it.version), Some(Version(2)));
    assert_eq!(bench.get(90), None);
}

#[test]
fn a_load_only_inserts_and_has_its_bounds() {
    let mut bench = Bench::new(sliced());
    let not = |bench: &mut Bench, transaction: Transaction| {
        let reply = bench.commit(transaction);
        assert!(matches!(reply, Reply::Refused(Refusal::NotBulk { .. })), "{reply:?}");
    };
    not(&mut bench, bulk(1, []));
    not(&mut bench, Transaction { upserts: vec![draft(1, 0.0)], ..bulk(2, [2]) });
    not(&mut bench, Transaction { deletes: vec![RecordId(1)], ..bulk(3, [2]) });
    not(&mut bench, Transaction { reads: vec![read(1, None)], ..bulk(4, [2]) });
    not(&mut bench, Transaction { whole: Some(Lsn(9)), ..bulk(5, [2]) });
    let many = bench.commit(bulk(6, 0..=BULK_RECORDS_MAX as u64));
    let (found, max) = (BULK_RECORDS_MAX as u64 + 1, BULK_RECORDS_MAX as u64);
    assert_eq!(many, Reply::Refused(Refusal::TooLarge { what: "records of a bulk transaction".into(), found, max }));
    let text = "x".repeat(1 << 20);
    let heavy = (0..64).map(|id| Draft { text: text.clone(), ..draft(id, 0.0) }).collect();
    let reply = bench.commit(Transaction { inserts: heavy, ..bulk(7, []) });
    assert!(matches!(reply, Reply::Refused(Refusal::TooLarge { .. })), "{reply:?}");
    // Larger than any frame, and not too large.
    let heavy = (0..20).map(|id| Draft { text: text.clone(), ..draft(id, 0.0) }).collect();
    assert_eq!(stage(&mut bench, Transaction { inserts: heavy, ..bulk(8, []) }), Reply::Staged { ahead: 0 });
    bench.tick();
    assert_eq!(count(&mut bench), 20);
}

#[test]
fn there_is_a_bound_to_what_is_staged() {
    let mut bench = Bench::new(sliced());
    let text = "x".repeat(1 << 20);
    let heavy = |first: u64| (first..first + 50).map(|id| Draft { text: text.clone(), ..draft(id, 0.0) }).collect();
    for n in 0..2 {
        let reply = stage(&mut bench, Transaction { inserts: heavy(100 * n), ..bulk(n.into(), []) });
        assert_eq!(reply, Reply::Staged { ahead: n });
    }
    let third = Transaction { inserts: heavy(200), ..bulk(2, []) };
    assert_eq!(stage(&mut bench, third.clone()), Reply::Unavailable(Unavailable::Busy));
    bench.tick();
    assert_eq!(stage(&mut bench, third), Reply::Staged { ahead: 0 });
}

#[test]
fn few_loads_are_staged_at_a_time() {
    let mut bench = Bench::new(sliced());
    for n in 0..64 {
        assert_eq!(stage(&mut bench, bulk(n, [n as u64])), Reply::Staged { ahead: n as u64 });
    }
    assert_eq!(stage(&mut bench, bulk(64, [64])), Reply::Unavailable(Unavailable::Busy));
    bench.tick();
    assert_eq!(count(&mut bench), 64);
}

/// A load stays, also when the deletions come to nothing that had made room for it.
#[test]
fn a_load_needs_room_that_is_there() {
    let mut bench = Bench::new(Config { records_max: 4, ..sliced() });
    fill(&mut bench, 1..=4);
    bench.send(Op::Commit(delete(10, 1)));
    assert_eq!(stage(&mut bench, bulk(11, [50])), Reply::Unavailable(Unavailable::ReadOnly));
    bench.settle();
    assert_eq!(stage(&mut bench, bulk(11, [50])), Reply::Staged { ahead: 0 });
    let other = bench.commit(upsert(12, 60, 0.0));
    assert_eq!(other, Reply::Unavailable(Unavailable::ReadOnly), "what is staged counts");
}

#[test]
fn what_was_removed_lately_can_be_loaded_after_a_flush_which_is_begun() {
    let mut bench = Bench::new(sliced());
    fill(&mut bench, 1..=4);
    committed(&bench.commit(delete(10, 2)));
    assert_eq!(bench.commit(bulk(11, [2, 30])), Reply::Unavailable(Unavailable::Busy));
    bench.pass(Tick::secs(1));
    assert_eq!(bench.notes.iter().filter(|note| **note == "flush").count(), 2, "{:?}", bench.notes);
    assert_eq!(stage(&mut bench, bulk(11, [2, 30])), Reply::Staged { ahead: 0 });
    bench.tick();
    for _ in 0..2 {
        assert_eq!(bench.get(2).map(|it| (it.version, it.text.clone())), Some((Version(3), "text 2".into())));
        bench.reopen();
    }
    // In the batch that is open it is not even known whether it is going to be removed.
    bench.send(Op::Commit(delete(12, 30)));
    assert_eq!(stage(&mut bench, bulk(13, [30])), Reply::Unavailable(Unavailable::Busy));
}

#[test]
fn a_flush_and_a_load_take_turns_and_the_newest_writing_counts() {
    let mut bench = Bench::new(sliced());
    for id in 1..=4 {
        let asked = bench.send(Op::Commit(upsert(id.into(), id, 0.5)));
        bench.settle();
        committed(&bench.reply(asked).expect("an answer"));
    }
    assert_eq!(stage(&mut bench, bulk(20, [50, 51])), Reply::Staged { ahead: 0 });
    bench.tick();
    committed(&bench.commit(upsert(21, 50, 2.0)));
    committed(&bench.commit(delete(22, 51)));
    for _ in 0..2 {
        let seen = [1, 4, 50, 51].map(|id| bench.get(id).map(|it| it.version.0));
        assert_eq!(seen, [Some(1), Some(1), Some(2), None]);
        bench.reopen();
    }
    fill(&mut bench, 60..=64);
    let seen = [4, 50, 51, 64].map(|id| bench.get(id).map(|it| it.version.0));
    assert_eq!(seen, [Some(1), Some(2), None, Some(1)], "what was written since is flushed behind it");
    assert_eq!(bench.facts().segments.len(), 3);
}

#[test]
fn loads_that_were_merged_are_not_looked_for_again() {
    let compaction = MergeRules { run_min: 2, tombstones_percent: 20 };
    let mut bench = Bench::new(Config { compaction, ..sliced() });
    for n in 0..3 {
        assert_eq!(stage(&mut bench, bulk(n, [n as u64])), Reply::Staged { ahead: 0 });
        bench.tick();
        bench.run_jobs();
        bench.pass(Tick::secs(1));
    }
    assert!(bench.noted("compacted"), "{:?}", bench.notes);
    let before = audit::lasting(&bench.facts(), Version(0));
    bench.reopen();
    assert_eq!(audit::lasting(&bench.facts(), Version(0)), before, "the log still has the frames of what was merged");
    fill(&mut bench, 10..=13);
    bench.run_jobs();
    let before = audit::lasting(&bench.facts(), Version(0));
    bench.reopen();
    assert_eq!(audit::lasting(&bench.facts(), Version(0)), before, "nor when it has not");
    assert_eq!(committed(&bench.commit(bulk(1, []))), Lsn(2));
}

#[test]
fn a_load_that_fails_anywhere_is_whole_or_nothing_and_goes_well_in_the_end() {
    let (mut failed, mut undecided, mut unnamed) = (0, 0, 0);
    for op in CALLS {
        for after in 0..14 {
            let name = format!("{op} after {after}");
            let mut bench = Bench::new(sliced());
            committed(&bench.commit(upsert(1, 1, 1.0)));
            assert_eq!(stage(&mut bench, bulk(2, 10..=12)), Reply::Staged { ahead: 0 });
            bench.disk.fail_after(after, op, DiskErrorKind::Io);
            let mut before = bench.facts().records.len();
            loop {
                let crashed = boot(&bench.disk.copied(), &bench.clock, &bench.config, 9).expect("it can be opened");
                let found = crashed.inspect(&()).expect("facts");
                audit::index_agrees(&found).unwrap_or_else(|breach| panic!("{name}: {breach}"));
                let shown = bench.facts().records.len();
                assert!([1, 4].contains(&found.records.len()) && found.records.len() >= shown, "{name}");
                assert!(shown >= before, "{name}");
                before = shown;
                let is_unnamed =
                    bench.node.views.newest().segments.len() > bench.node.manifest.current().segments.len();
                unnamed += u32::from(is_unnamed);
                if !bench.ring() {
                    break;
                }
            }
            failed += u32::from(bench.noted("bulk.failed"));
            undecided += u32::from(bench.halted);
            bench.disk.fail_after(usize::MAX, DiskOp::Link, DiskErrorKind::Io);
            if bench.halted {
                bench.reopen();
            }
            let reply = bench.commit(bulk(2, 10..=12));
            assert!(matches!(reply, Reply::Staged { .. } | Reply::Committed { .. }), "{name}: {reply:?}");
            bench.pass(Tick::secs(9));
            assert_eq!(bench.facts().records.len(), 4, "{name}");
            bench.reopen();
            assert_eq!((bench.facts().records.len(), bench.facts().staged.len()), (4, 0), "{name}");
            committed(&bench.commit(bulk(2, [])));
            let files = bench.disk.paths().into_iter().filter(|path| path.starts_with("segments/")).count();
            assert_eq!(files, bench.facts().segments.len(), "{name}: nothing is left over");
        }
    }
    assert!(failed > 20 && undecided > 2 && unnamed > 5, "{failed} {undecided} {unnamed}");
}

#[test]
fn a_segment_that_a_frame_has_added_and_no_manifest_names_yet_is_no_leftover() {
    let mut bench = Bench::new(sliced());
    assert_eq!(stage(&mut bench, bulk(1, 1..=3)), Reply::Staged { ahead: 0 });
    // The name under which it is written; the load needs none.
    bench.disk.fail_on(DiskOp::Open, "manifest.tmp", DiskErrorKind::Io);
    bench.disk.fail_on(DiskOp::Open, "manifest.tmp", DiskErrorKind::Io);
    bench.tick();
    assert!(bench.noted("bulk.added") && bench.node.manifest.current().segments.is_empty());
    let states = states(&bench.disk);
    assert!(states.iter().any(|(path, state)| path == "segments/0" && *state == State::Good), "{states:?}");

    // Its damage is found, and is no reason to forget what else there is.
    committed(&bench.commit(upsert(2, 9, 1.0)));
    let damaged = bench.disk.copied();
    let mut bytes = damaged.bytes("segments/0");
    bytes[10] ^= 1;
    damaged.set("segments/0", &bytes);
    let dynamic = Arc::clone(&damaged) as Arc<dyn Disk>;
    assert!(boot(&damaged, &bench.clock, &bench.config, 9).is_err());
    let report = repair(&dynamic, false).expect("the disk works");
    assert_eq!(report.records.iter().map(|lost| lost.id.0).collect::<Vec<_>>(), [1, 2, 3]);
    let node = boot(&damaged, &bench.clock, &bench.config, 9).expect("it is repaired");
    let facts = node.inspect(&()).expect("facts");
    assert_eq!(facts.records.iter().map(|record| record.id.0).collect::<Vec<_>>(), [9]);
    assert!(repair(&dynamic, true).expect("the disk works").is_nothing());

    // Missing, it is not taken for the file that takes its place.
    let missing = bench.disk.copied();
    missing.remove("segments/0").expect("there");
    let dynamic = Arc::clone(&missing) as Arc<dyn Disk>;
    assert_eq!(repair(&dynamic, false).expect("the disk works").unknown, 3);
    assert!(boot(&missing, &bench.clock, &bench.config, 9).is_ok());

    bench.pass(Tick::secs(1));
    bench.pass(Tick::secs(1));
    assert_eq!(bench.node.manifest.current().segments.len(), 1, "it is named when that can be done");
}

#[test]
fn a_log_that_has_lost_the_frame_of_a_load_is_told_and_its_records_stay() {
    let mut bench = Bench::new(sliced());
    committed(&bench.commit(upsert(1, 1, 1.0)));
    assert_eq!(stage(&mut bench, bulk(2, 5..=6)), Reply::Staged { ahead: 0 });
    bench.tick();
    committed(&bench.commit(upsert(3, 9, 1.0)));
    let log = bench.disk.bytes("log.1");
    // The second frame is the load's: everything behind the first is gone.
    let second = log.windows(2).enumerate().skip(64 + 60).find(|(_, it)| *it == [0, 0]).map(|(at, _)| at);
    let damaged = bench.disk.copied();
    let mut bytes = log.clone();
    let from = second.expect("frames have zeros").max(260);
    bytes[from..from + 40].iter_mut().for_each(|byte| *byte ^= 0x5a);
    damaged.set("log.1", &bytes);
    assert!(boot(&damaged, &bench.clock, &bench.config, 9).is_err());
    let dynamic = Arc::clone(&damaged) as Arc<dyn Disk>;
    let report = repair(&dynamic, false).expect("the disk works");
    assert_eq!(report.frames.map(|frames| frames.after), Some(Lsn(1)), "{report:?}");
    let node = boot(&damaged, &bench.clock, &bench.config, 9).expect("it is repaired");
    let facts = node.inspect(&()).expect("facts");
    let ids: Vec<_> = facts.records.iter().map(|record| record.id.0).collect();
    assert!(ids.contains(&5) && ids.contains(&6), "{ids:?}");
    assert!(facts.decisions.iter().all(|(_, decision)| decision.lsn <= facts.lsn), "{:?}", facts.decisions);
    assert!(repair(&dynamic, true).expect("the disk works").is_nothing());
}

/// What is half written may hold the space that the disk is short of.
#[test]
fn a_load_that_is_half_written_is_begun_again_when_the_disk_takes_writes() {
    let mut bench = Bench::new(sliced());
    assert_eq!(stage(&mut bench, bulk(1, 1..=30)), Reply::Staged { ahead: 0 });
    for n in 0..5 {
        bench.disk.fail_on(DiskOp::Write, "l1/", DiskErrorKind::NoSpace);
        bench.send(Op::Commit(upsert(10 + n, 40, 0.0)));
        bench.settle();
    }
    let segments = |bench: &Bench| bench.disk.paths().iter().filter(|path| path.starts_with("segments/")).count();
    assert_eq!(segments(&bench), 1);
    bench.wait(Tick::secs(61));
    bench.disk.fail_on(DiskOp::Write, "l1/", DiskErrorKind::NoSpace);
    bench.settle();
    assert_eq!(segments(&bench), 0, "it is removed before the next trial");
    bench.pass(Tick::secs(61));
    bench.pass(Tick::secs(61));
    committed(&bench.commit(bulk(1, [])));
}

#[test]
fn no_load_is_taken_while_the_disk_takes_no_writes() {
    let mut bench = Bench::new(sliced());
    assert_eq!(stage(&mut bench, bulk(1, 1..=30)), Reply::Staged { ahead: 0 });
    for n in 0..5 {
        bench.disk.fail_on(DiskOp::Write, "l1/", DiskErrorKind::Io);
        let asked = bench.send(Op::Commit(upsert(10 + n, 40, 0.0)));
        bench.settle();
        assert!(bench.reply(asked).is_some());
    }
    assert!(bench.noted("degraded"), "{:?}", bench.notes);
    assert_eq!(stage(&mut bench, bulk(2, [3])), Reply::Unavailable(Unavailable::Degraded));
    assert_eq!(stage(&mut bench, bulk(1, [])), Reply::Staged { ahead: 0 }, "what is staged stays so");
    bench.pass(Tick::secs(61));
    bench.pass(Tick::secs(1));
    committed(&bench.commit(bulk(1, [])));
}
