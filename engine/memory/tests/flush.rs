//! Flushing: what the log no longer has is in a segment, whatever fails on the way.

use stormproof_contract::{Disk, DiskErrorKind, DiskOp};

use super::*;

/// Flushes every four records.
fn flushing() -> Config {
    Config { flush_records: 4, ..small() }
}

fn paths(bench: &Bench, prefix: &str) -> Vec<String> {
    bench.disk.paths().into_iter().filter(|path| path.starts_with(prefix)).collect()
}

#[test]
fn the_log_begins_anew_and_what_it_had_is_in_a_segment() {
    let mut bench = Bench::new(flushing());
    fill(&mut bench, 1..=4);
    assert!(bench.noted("flush"), "{:?}", bench.notes);
    assert_eq!(paths(&bench, "log."), ["log.2"]);
    assert_eq!(paths(&bench, "segments/"), ["segments/0"]);
    assert_eq!(paths(&bench, "l1/"), Vec::<String>::new(), "the segments are the base of the index");
    for _ in 0..2 {
        assert_eq!(
            bench.get(3).map(|record| (record.version, record.text.clone())),
            Some((Version(1), "text 3".into()))
        );
        assert_eq!(bench.facts().records.len(), 4);
        bench.reopen();
        assert!(!bench.noted("l1.rebuilt"), "{:?}", bench.notes);
    }
}

/// The host settles a node when there is nothing left to hand over: under load that may be never.
#[test]
fn what_is_due_is_done_also_where_requests_never_cease() {
    let mut bench = Bench::new(flushing());
    let text = "x".repeat(1 << 20);
    for id in 1..=40 {
        let upserts = vec![Draft { text: text.clone(), ..draft(id, 0.0) }];
        bench.send(Op::Commit(Transaction { upserts, ..empty(id.into()) }));
    }
    let flushes = bench.notes.iter().filter(|note| **note == "flush").count();
    assert!(flushes >= 3, "{flushes} flushes of four records");
}

#[test]
fn a_search_reads_what_it_found_from_the_segments() {
    let mut bench = Bench::new(flushing());
    fill(&mut bench, 1..=6);
    let Some(Reply::Hits { hits, at, .. }) = bench.ask(Op::search(vec![4.2, 1.0], 3)) else {
        panic!("not the answer to a search")
    };
    let found: Vec<_> = hits.iter().map(|hit| (hit.record.id.0, hit.record.text.as_str())).collect();
    assert_eq!((at, found), (Lsn(6), vec![(4, "text 4"), (5, "text 5"), (3, "text 3")]));
}

#[test]
fn the_newest_writing_counts_wherever_it_is() {
    let mut bench = Bench::new(flushing());
    fill(&mut bench, 1..=4);
    committed(&bench.commit(upsert(10, 2, 20.0)));
    committed(&bench.commit(delete(11, 3)));
    assert_eq!((bench.get(2).map(|it| it.version), bench.get(3)), (Some(Version(2)), None), "in memory");
    fill(&mut bench, 5..=6);
    assert_eq!(paths(&bench, "segments/").len(), 2);
    for _ in 0..2 {
        let seen = [1, 2, 3, 5].map(|id| bench.get(id).map(|it| it.version.0));
        assert_eq!(seen, [Some(1), Some(2), None, Some(1)]);
        bench.reopen();
    }
}

#[test]
fn versions_and_the_time_of_creation_go_on_from_what_was_flushed() {
    let mut bench = Bench::new(flushing());
    fill(&mut bench, 1..=3);
    let created_at = bench.get(1).expect("there").created_at;
    committed(&bench.commit(delete(10, 4)));
    bench.pass(Tick::secs(9));
    assert!(bench.noted("flush"));
    committed(&bench.commit(upsert(11, 1, 0.5)));
    committed(&bench.commit(insert(12, 4, 0.5)));
    let [one, four] = [1, 4].map(|id| bench.get(id).expect("there"));
    assert_eq!((one.version, one.created_at), (Version(2), created_at));
    assert_eq!(four.version, Version(2), "one above the version of its absence");
    let reply = bench.commit(insert(13, 2, 0.0));
    assert!(matches!(reply, Reply::Refused(Refusal::Duplicate { .. })), "{reply:?}");
    let reply = bench.commit(Transaction { reads: vec![read(2, Some(7))], ..upsert(14, 9, 0.0) });
    assert!(matches!(reply, Reply::Conflict(Conflict::Changed { found: Some(Version(1)), .. })), "{reply:?}");
}

#[test]
fn what_was_decided_is_remembered_when_the_log_no_longer_has_it() {
    let mut bench = Bench::new(flushing());
    fill(&mut bench, 1..=2);
    let refused = bench.commit(insert(50, 2, 0.0));
    assert!(matches!(refused, Reply::Refused(Refusal::Duplicate { .. })), "{refused:?}");
    fill(&mut bench, 3..=4);
    let before = audit::lasting(&bench.facts(), Version(0)).decisions;
    bench.reopen();
    assert_eq!(audit::lasting(&bench.facts(), Version(0)).decisions, before);
    assert_eq!(committed(&bench.commit(upsert(1, 1, 99.0))), Lsn(1), "a late copy is told what the first was told");
    assert_eq!(bench.commit(insert(50, 70, 0.0)), Reply::Refused(Refusal::Earlier));
    assert_eq!(bench.get(1).map(|it| it.version), Some(Version(1)));
}

#[test]
fn a_flush_that_fails_anywhere_loses_nothing_and_is_tried_again() {
    let mut failed = 0;
    for op in CALLS {
        for after in 0..12 {
            let mut bench = Bench::new(flushing());
            fill(&mut bench, 1..=3);
            // Accepted, and settled without the flush, which is due at the next tick.
            let asked = bench.send(Op::Commit(upsert(4, 4, 4.0)));
            bench.settle();
            committed(&bench.reply(asked).expect("an answer"));
            bench.disk.fail_after(after, op, DiskErrorKind::Io);
            bench.tick();
            failed += u32::from(bench.noted("flush.failed"));
            let crashed = boot(&bench.disk.copied(), &bench.clock, &bench.config, 9).expect("it can be opened");
            assert_eq!(crashed.inspect(&()).map(|facts| facts.records.len()), Some(4), "{op} after {after}");
            // What has not struck yet is called off.
            bench.disk.fail_after(usize::MAX, DiskOp::Link, DiskErrorKind::Io);
            fill(&mut bench, 5..=6);
            bench.pass(Tick::secs(1));
            assert!(bench.noted("flush"), "{op} after {after}: {:?}", bench.notes);
            bench.reopen();
            assert_eq!(bench.facts().records.len(), 6, "{op} after {after}");
            assert_eq!((1..=6).filter_map(|id| bench.get(id)).count(), 6);
            let named = bench.node.manifest.current().segments.len();
            assert_eq!(paths(&bench, "segments/").len(), named, "{op} after {after}: what an attempt left is swept");
        }
    }
    assert!(failed >= 30, "only {failed} flushes failed");
}

/// The manifest that names the segment is renamed, and the sync of its directory fails: a crash may find either manifest.
#[test]
fn a_segment_is_kept_while_a_manifest_that_names_it_may_be_found() {
    let mut bench = Bench::new(flushing());
    fill(&mut bench, 1..=3);
    let asked = bench.send(Op::Commit(upsert(4, 4, 4.0)));
    bench.settle();
    committed(&bench.reply(asked).expect("an answer"));
    // After those of the new log file, of the manifest with it and of the segment's directory comes that of the manifest.
    bench.disk.fail_after(3, DiskOp::SyncDir, DiskErrorKind::Io);
    bench.tick();
    assert!(bench.noted("flush.failed") && bench.node.manifest.current().segments.is_empty());
    let opens = |bench: &Bench| {
        let crashed = boot(&bench.disk.copied(), &bench.clock, &bench.config, 9).expect("every file is there");
        let facts = crashed.inspect(&()).expect("facts");
        (facts.segments, facts.records.len())
    };
    assert_eq!(opens(&bench), (vec!["segments/0".to_owned()], 4));
    // The next attempt fails before anything new could be found.
    bench.disk.fail_on(DiskOp::Open, "manifest.tmp", DiskErrorKind::Io);
    bench.pass(Tick::secs(1));
    assert_eq!(opens(&bench), (vec!["segments/0".to_owned()], 4));
    // It is not made again, however often it cannot be put in force.
    bench.pass(Tick::secs(1));
    assert!(bench.noted("flush"), "{:?}", bench.notes);
    assert_eq!(opens(&bench), (vec!["segments/0".to_owned()], 4));
    bench.reopen();
    assert_eq!(paths(&bench, "segments/"), ["segments/0"]);
}

#[test]
fn the_log_keeps_what_a_participant_was_not_told() {
    let managers = Ledger::managers(&["books"], LedgerConfig::default());
    let mut bench = Bench::new(Config { managers, again_after: Tick::secs(1), ..flushing() });
    fill(&mut bench, 1..=3);
    let told = Transaction { managers: vec!["books".into()], ..upsert(4, 4, 4.0) };
    let asked = bench.send(Op::Commit(told));
    // The first rename of the book is its vote, the second its finish.
    bench.disk.fail_nth_on(1, DiskOp::Rename, "managers/books/book", DiskErrorKind::Io);
    bench.settle();
    committed(&bench.reply(asked).expect("an answer"));
    assert_eq!(bench.facts().owed.len(), 1, "it was not told");
    bench.disk.fail_nth_on(0, DiskOp::Rename, "managers/books/book", DiskErrorKind::Io);
    bench.pass(Tick::secs(1));
    assert!(bench.noted("flush"), "{:?}", bench.notes);
    assert_eq!((bench.facts().owed.len(), paths(&bench, "log.")), (1, vec!["log.1".to_owned(), "log.2".to_owned()]));
    let crashed = boot(&bench.disk.copied(), &bench.clock, &bench.config, 9).expect("it can be opened");
    assert_eq!(crashed.inspect(&()).map(|facts| (facts.records.len(), facts.decisions.len())), Some((4, 4)));
    bench.pass(Tick::secs(1));
    assert_eq!(bench.facts().owed, [], "it was told");
    fill(&mut bench, 5..=8);
    bench.pass(Tick::secs(1));
    assert_eq!(paths(&bench, "log."), ["log.3"], "the next flush drops them all");
    audit::managers_agree(&bench.facts()).expect("the manager agrees");
}

#[test]
fn segments_without_a_manifest_are_not_written_over() {
    let mut bench = Bench::new(flushing());
    fill(&mut bench, 1..=4);
    assert_eq!(paths(&bench, "log."), ["log.2"], "which holds no frame");
    bench.disk.remove("manifest").expect("removed");
    let error = boot(&bench.disk, &bench.clock, &bench.config, 9).map(|_| ()).expect_err("a manifest is missing");
    assert!(matches!(&error, BootError::Refused(words) if words.contains("`segments/0` holds")), "{error:?}");
    assert_eq!(paths(&bench, "segments/"), ["segments/0"]);
}

#[test]
fn a_node_that_keeps_no_copy_shows_nothing_rather_than_a_part() {
    let bench = Bench::new(Config { inspectable: false, ..flushing() });
    assert_eq!(bench.node.inspect(&()), None);
}

#[test]
fn a_query_goes_on_with_what_it_began_with() {
    let mut bench = Bench::new(flushing());
    fill(&mut bench, 1..=4);
    let reader = bench.node.reader().expect("a reader");
    let mut query = reader.start(&Op::Get { ids: vec![RecordId(2)] }).expect("a query");
    let mut io = stormproof_contract::Reads::default();
    assert!(query.step(&mut io).is_none(), "it has to read");
    committed(&bench.commit(delete(20, 2)));
    fill(&mut bench, 5..=7);
    let (reply, _) = finish(&mut *query, &mut io);
    assert!(matches!(&reply, Reply::Records { at: Lsn(4), records } if records.len() == 1), "{reply:?}");
    assert_eq!(bench.get(2), None);
}

#[test]
fn neighbours_share_their_reads() {
    let mut bench = Bench::new(flushing());
    fill(&mut bench, 1..=4);
    let reads = bench.reads_of(&Op::Get { ids: (1..=4).map(RecordId).collect() });
    assert_eq!(reads, [1, 5], "the keys of all; then the facts of all, and a vector of each");
}

#[test]
fn a_segment_that_cannot_be_believed_is_named_and_nothing_is_served() {
    let mut bench = Bench::new(flushing());
    fill(&mut bench, 1..=4);
    let bytes = bench.disk.bytes("segments/0");
    for at in (0..bytes.len()).step_by(7) {
        let copy = bench.disk.copied();
        let mut bytes = bytes.clone();
        bytes[at] ^= 4;
        copy.set("segments/0", &bytes);
        let error = boot(&copy, &bench.clock, &bench.config, 9).map(|_| ()).expect_err("a damaged segment");
        assert!(matches!(&error, BootError::Refused(words) if words.contains("`segments/0` at offset")), "{error:?}");
    }
    let copy = bench.disk.copied();
    copy.remove("segments/0").expect("removed");
    assert!(matches!(boot(&copy, &bench.clock, &bench.config, 9), Err(BootError::Refused(_))));
}

#[test]
fn damage_met_by_a_query_is_an_answer_and_not_a_record() {
    let mut bench = Bench::new(flushing());
    fill(&mut bench, 1..=4);
    let mut bytes = bench.disk.bytes("segments/0");
    bytes.iter_mut().take(200).for_each(|byte| *byte ^= 1);
    bench.disk.overwrite("segments/0", &bytes);
    let reply = bench.ask(Op::Get { ids: vec![RecordId(2)] });
    assert!(
        matches!(&reply, Some(Reply::Refused(Refusal::Damaged(words))) if words.contains("segments/0")),
        "{reply:?}"
    );
    let reply = bench.commit(upsert(9, 2, 0.0));
    assert!(matches!(&reply, Reply::Refused(Refusal::Damaged(words)) if words.contains("segments/0")), "{reply:?}");
}

/// One record in each slice.
fn sliced() -> Config {
    Config { flush_slice_bytes: 1, ..flushing() }
}

/// A node with four records that has begun to flush them, and has written some of them.
fn amid_a_flush(config: Config, slices: usize) -> Bench {
    let mut bench = Bench::new(config);
    fill(&mut bench, 1..=3);
    let asked = bench.send(Op::Commit(upsert(4, 4, 4.0)));
    bench.settle();
    committed(&bench.reply(asked).expect("an answer"));
    (0..=slices).for_each(|_| assert!(bench.ring(), "there is more to do"));
    assert!(!bench.noted("flush"));
    bench
}

/// A commit that lets no timer ring.
fn commit_beside(bench: &mut Bench, transaction: Transaction) {
    let asked = bench.send(Op::Commit(transaction));
    // Settling writes a slice, too.
    bench.settle();
    committed(&bench.reply(asked).expect("an answer"));
}

#[test]
fn commits_go_on_while_a_flush_is_written_and_are_not_in_it() {
    for rewrite in [false, true] {
        let l1_persist = if rewrite { L1Persist::Rewrite } else { L1Persist::Delta { merge_after: 1 } };
        for at in 0..3 {
            let mut bench = amid_a_flush(Config { l1_persist, ..sliced() }, at);
            commit_beside(&mut bench, upsert(10, 2, 20.0));
            bench.tick();
            assert!(bench.noted("flush"), "{:?}", bench.notes);
            committed(&bench.commit(delete(11, 3)));
            committed(&bench.commit(upsert(12, 5, 5.0)));
            let flushed = bench.node.manifest.current().flushed.lsn;
            assert_eq!((flushed, bench.facts().recent), (Lsn(4), vec![RecordId(2), RecordId(5)]));
            for _ in 0..2 {
                let found: Vec<_> = [1, 2, 3, 4, 5].iter().map(|id| bench.get(*id).map(|it| it.version.0)).collect();
                assert_eq!(found, [Some(1), Some(2), None, Some(1), Some(1)], "after {at} slices");
                assert_eq!(bench.facts().decisions.len(), 7);
                bench.reopen();
                assert!(!bench.noted("l1.rebuilt"), "after {at} slices: {:?}", bench.notes);
            }
        }
    }
}

#[test]
fn a_crash_amid_a_flush_loses_nothing_and_leaves_nothing() {
    let mut bench = amid_a_flush(sliced(), 0);
    let mut crashes = 0;
    while !bench.noted("flush") {
        commit_beside(&mut bench, upsert(100 + crashes, 50, crashes as f32));
        let mut crashed = Bench { disk: bench.disk.copied(), ..Bench::new(sliced()) };
        crashed.reopen();
        assert_eq!((crashed.facts().records.len(), crashed.get(50).is_some()), (5, true));
        let named = crashed.node.manifest.current().segments.len();
        assert_eq!(paths(&crashed, "segments/").len(), named);
        crashes += 1;
    }
    assert!(crashes >= 2, "{crashes} crashes");
}

#[test]
fn a_slice_keeps_up_with_what_is_written_meanwhile() {
    let mut bench = amid_a_flush(sliced(), 0);
    let before = bench.node.views.newest().records.weight();
    let text = "x".repeat(before);
    let long = Transaction { upserts: vec![Draft { text, ..draft(9, 9.0) }], ..empty(9) };
    commit_beside(&mut bench, long);
    assert!(bench.noted("flush"), "as much again was written: {:?}", bench.notes);
}

#[test]
fn attempts_that_fail_begin_one_file_of_the_log() {
    let mut bench = amid_a_flush(sliced(), 0);
    for round in 0..4_u128 {
        commit_beside(&mut bench, upsert(20 + round, 1, round as f32));
        bench.disk.fail_on(DiskOp::Write, "segments/", DiskErrorKind::Io);
        bench.pass(Tick::secs(1));
        assert!(!bench.noted("flush") && bench.noted("flush.failed"), "{:?}", bench.notes);
    }
    assert_eq!(paths(&bench, "log."), ["log.1", "log.2"]);
    bench.pass(Tick::secs(1));
    assert_eq!((bench.noted("flush"), paths(&bench, "log.")), (true, vec!["log.2".to_owned()]));
    bench.reopen();
    assert_eq!(bench.get(1).map(|it| it.version), Some(Version(5)));
}

#[test]
fn a_segment_that_is_being_written_is_no_leftover() {
    let mut bench = amid_a_flush(sliced(), 1);
    let making = paths(&bench, "segments/");
    bench.node.sweep_segments();
    assert_eq!((making.len(), paths(&bench, "segments/")), (1, making));
    bench.tick();
    assert!(bench.noted("flush"), "{:?}", bench.notes);
}
