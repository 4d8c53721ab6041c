//! Accepting, refusing, conflicting, retrying; and what queries see.

use stormproof_contract::{DiskErrorKind, DiskOp, Reads};

use super::*;

#[test]
fn a_committed_record_is_read_back_with_its_version() {
    let mut bench = Bench::new(small());
    let reply = bench.commit(insert(1, 10, 0.5));
    assert_eq!(reply, Reply::Committed { lsn: Lsn(1), versions: vec![(RecordId(10), Version(1))] });
    let record = bench.get(10).expect("the record");
    assert_eq!((record.version, &record.vector[..], &*record.text), (Version(1), &[0.5, 1.0][..], "text 10"));
}

#[test]
fn transactions_of_one_batch_share_a_frame_and_see_those_before_them() {
    let mut bench = Bench::new(small());
    let first = bench.send(Op::Commit(insert(1, 10, 0.5)));
    let second = bench.send(Op::Commit(Transaction { reads: vec![read(10, Some(1))], ..upsert(2, 10, 0.7) }));
    let third = bench.send(Op::Commit(Transaction { reads: vec![read(10, Some(1))], ..upsert(3, 11, 0.7) }));
    assert_eq!(bench.reply(first), None, "nothing is answered before the batch is settled");
    bench.settle();
    assert_eq!(committed(&bench.reply(first).expect("an answer")), Lsn(1));
    assert_eq!(bench.reply(second), Some(Reply::Committed { lsn: Lsn(1), versions: vec![(RecordId(10), Version(2))] }));
    let overtaken = Conflict::Changed { id: RecordId(10), found: Some(Version(2)) };
    assert_eq!(bench.reply(third), Some(Reply::Conflict(overtaken)));
    assert_eq!(bench.facts().lsn, Lsn(1));
}

#[test]
fn queries_do_not_see_the_open_batch() {
    let mut bench = Bench::new(small());
    bench.send(Op::Commit(insert(1, 10, 0.5)));
    let count = bench.send(Op::Count);
    assert_eq!(bench.reply(count), Some(Reply::Count { at: Lsn(0), n: 0 }));
    bench.settle();
    assert_eq!(bench.ask(Op::Count), Some(Reply::Count { at: Lsn(1), n: 1 }));
}

#[test]
fn inserting_a_record_that_is_there_is_refused_and_upserting_it_is_not() {
    let mut bench = Bench::new(small());
    bench.commit(insert(1, 10, 0.5));
    let duplicate = Reply::Refused(Refusal::Duplicate { id: RecordId(10) });
    assert_eq!(bench.commit(insert(2, 10, 0.6)), duplicate);
    committed(&bench.commit(upsert(3, 10, 0.7)));
    assert_eq!(bench.get(10).map(|record| record.vector[0]), Some(0.7));
}

#[test]
fn a_refusal_stays_true_for_a_late_copy_even_after_a_restart() {
    let mut bench = Bench::new(small());
    bench.commit(insert(1, 10, 0.5));
    let duplicate = bench.commit(insert(2, 10, 0.6));
    committed(&bench.commit(delete(3, 10)));
    assert_eq!(bench.commit(insert(2, 10, 0.6)), duplicate, "the record is gone, the answer is not");
    bench.reopen();
    assert_eq!(bench.commit(insert(2, 10, 0.6)), Reply::Refused(Refusal::Earlier));
    assert_eq!(bench.get(10), None);
}

#[test]
fn a_conflict_on_an_absent_record_stays_true_for_a_late_copy() {
    let mut bench = Bench::new(small());
    bench.commit(insert(1, 10, 0.5));
    let late = Transaction { reads: vec![read(10, None)], ..upsert(2, 11, 0.1) };
    let conflict = bench.commit(late.clone());
    assert_eq!(conflict, Reply::Conflict(Conflict::Changed { id: RecordId(10), found: Some(Version(1)) }));
    committed(&bench.commit(delete(3, 10)));
    assert_eq!(bench.commit(late), conflict);
    assert_eq!(bench.get(11), None);
}

#[test]
fn a_retry_is_answered_with_the_first_decision_and_changes_nothing() {
    let mut bench = Bench::new(small());
    let first = bench.commit(upsert(1, 10, 0.5));
    committed(&bench.commit(upsert(2, 10, 0.6)));
    assert_eq!(bench.commit(upsert(1, 10, 0.5)), first);
    bench.reopen();
    assert_eq!(bench.commit(upsert(1, 10, 0.5)), first);
    assert!(bench.noted("retry.deduplicated"));
    assert_eq!(bench.get(10).map(|record| record.vector[0]), Some(0.6));
}

#[test]
fn two_copies_in_one_batch_take_effect_once_and_are_both_answered() {
    let mut bench = Bench::new(small());
    let first = bench.send(Op::Commit(insert(1, 10, 0.5)));
    let second = bench.send(Op::Commit(insert(1, 10, 0.5)));
    bench.settle();
    let answer = bench.reply(first).expect("an answer");
    committed(&answer);
    assert_eq!(bench.reply(second), Some(answer));
    assert_eq!(bench.facts().decisions.len(), 1);
}

#[test]
fn a_claim_on_the_whole_state_fails_after_any_change() {
    let mut bench = Bench::new(small());
    let lsn = committed(&bench.commit(insert(1, 10, 0.5)));
    let resting_on = |retry, whole| Transaction { whole: Some(whole), ..insert(retry, retry as u64, 0.5) };
    committed(&bench.commit(resting_on(20, lsn)));
    assert_eq!(bench.commit(resting_on(21, lsn)), Reply::Conflict(Conflict::ChangedSince { changed: Lsn(2) }));
    let (write, claim) = (bench.send(Op::Commit(insert(22, 22, 0.5))), bench.send(Op::Commit(resting_on(23, Lsn(2)))));
    bench.settle();
    committed(&bench.reply(write).expect("an answer"));
    assert!(matches!(bench.reply(claim), Some(Reply::Conflict(Conflict::ChangedSince { .. }))));
}

#[test]
fn a_closed_refusal_is_no_change_to_the_whole_state() {
    let mut bench = Bench::new(small());
    let lsn = committed(&bench.commit(insert(1, 10, 0.5)));
    bench.commit(insert(2, 10, 0.5));
    assert_eq!(bench.facts().lsn, Lsn(2), "the refusal takes a frame");
    committed(&bench.commit(Transaction { whole: Some(lsn), ..insert(3, 11, 0.5) }));
}

#[test]
fn a_transaction_that_only_watches_writes_nothing() {
    let mut bench = Bench::new(small());
    bench.commit(insert(1, 10, 0.5));
    let watch = |retry, version| Transaction { reads: vec![read(10, version)], ..empty(retry) };
    assert_eq!(bench.commit(watch(2, Some(1))), Reply::Committed { lsn: Lsn(1), versions: Vec::new() });
    assert!(matches!(bench.commit(watch(3, None)), Reply::Conflict(_)));
    assert_eq!(bench.facts().lsn, Lsn(1));
}

#[test]
fn versions_go_on_over_a_delete_so_that_an_old_read_never_fits_again() {
    let mut bench = Bench::new(small());
    bench.commit(insert(1, 10, 0.5));
    let gone = bench.commit(delete(2, 10));
    assert_eq!(gone, Reply::Committed { lsn: Lsn(2), versions: vec![(RecordId(10), Version(2))] });
    assert_eq!((bench.get(10), bench.facts().deleted), (None, vec![(RecordId(10), Version(2))]));
    bench.commit(insert(3, 10, 0.6));
    assert_eq!(bench.get(10).map(|record| record.version), Some(Version(3)));
    let old = Transaction { reads: vec![read(10, Some(1))], ..upsert(4, 10, 0.9) };
    assert!(matches!(bench.commit(old), Reply::Conflict(_)));
}

#[test]
fn an_upsert_keeps_the_time_of_creation() {
    let mut bench = Bench::new(small());
    bench.commit(upsert(1, 10, 0.5));
    let created_at = bench.get(10).expect("the record").created_at;
    bench.pass(Tick::secs(1));
    bench.commit(upsert(2, 10, 0.6));
    assert_eq!(bench.get(10).expect("the record").created_at, created_at);
    bench.commit(delete(3, 10));
    bench.commit(upsert(4, 10, 0.7));
    assert!(bench.get(10).expect("the record").created_at > created_at);
}

#[test]
fn a_transaction_without_sense_is_refused_at_once() {
    let mut bench = Bench::new(small());
    let twice = Transaction { deletes: vec![RecordId(10)], ..upsert(1, 10, 0.5) };
    assert_eq!(bench.commit(twice), Reply::Refused(Refusal::NamedTwice { id: RecordId(10) }));
    let bad = bench.commit(upsert(2, 10, f32::NAN));
    assert!(matches!(bad, Reply::Refused(Refusal::BadVector { id: Some(RecordId(10)), .. })), "{bad:?}");
    let stranger = Transaction { managers: vec!["nobody".into()], ..upsert(3, 10, 0.5) };
    assert_eq!(bench.commit(stranger), Reply::Refused(Refusal::NoSuchManager { name: "nobody".into() }));
    let mut long = upsert(4, 10, 0.5);
    long.upserts[0].text = "x".repeat((1 << 20) + 1);
    assert!(matches!(bench.commit(long), Reply::Refused(Refusal::BadRecord { .. })));
    let many = Transaction {
        upserts: (0..6).map(|id| Draft { text: "x".repeat(1 << 20), ..draft(id, 0.5) }).collect(),
        ..empty(5)
    };
    assert!(matches!(bench.commit(many), Reply::Refused(Refusal::TooLarge { .. })));
    assert_eq!(bench.facts().lsn, Lsn(0));
}

#[test]
fn more_than_a_frame_holds_is_committed_in_several() {
    let mut bench = Bench::new(Config { log_file_bytes: 1 << 20, ..small() });
    let asked: Vec<_> = (0..8)
        .map(|n| {
            let heavy = Draft { text: "x".repeat(1 << 20), ..draft(n, 0.5) };
            bench.send(Op::Commit(Transaction { upserts: vec![heavy], ..empty(n.into()) }))
        })
        .collect();
    bench.settle();
    let lsns: Vec<_> = asked.into_iter().map(|n| committed(&bench.reply(n).expect("an answer")).0).collect();
    assert!(lsns.is_sorted() && lsns[0] == 1 && lsns[7] > 1, "{lsns:?}");
    bench.reopen();
    assert_eq!(bench.facts().records.len(), 8);
}

#[test]
fn a_transaction_never_rests_on_a_batch_that_came_to_nothing() {
    let mut bench = Bench::new(Config { log_file_bytes: 1 << 20, ..small() });
    committed(&bench.commit(insert(1, 1, 0.5)));
    let heavy = (10..13).map(|id| Draft { text: "x".repeat(1 << 20), ..draft(id, 0.5) }).collect();
    let full = bench.send(Op::Commit(Transaction { deletes: vec![RecordId(1)], upserts: heavy, ..empty(2) }));
    bench.disk.fail_on(DiskOp::Allocate, "log.", DiskErrorKind::NoSpace);
    // The batch with the delete is full, so it is tried before the next transaction is judged.
    let next = bench.send(Op::Commit(insert(3, 1, 0.9)));
    assert_eq!(bench.reply(full), Some(Reply::Unavailable(Unavailable::NoSpace)));
    bench.settle();
    assert_eq!(bench.reply(next), Some(Reply::Refused(Refusal::Duplicate { id: RecordId(1) })));
    assert_eq!(bench.get(1).map(|record| record.vector[0]), Some(0.5));
}

#[test]
fn a_full_node_is_read_only_but_still_deletes() {
    let mut bench = Bench::new(Config { records_max: 1, ..small() });
    bench.commit(insert(1, 10, 0.5));
    assert_eq!(bench.commit(insert(2, 11, 0.5)), Reply::Unavailable(Unavailable::ReadOnly));
    committed(&bench.commit(upsert(3, 10, 0.6)));
    committed(&bench.commit(delete(4, 10)));
    committed(&bench.commit(insert(5, 11, 0.5)));
}

#[test]
fn a_search_finds_the_nearest_records_and_never_a_deleted_one() {
    let mut bench = Bench::new(Config { search_step_rows: 1, ..small() });
    for id in 1..=5 {
        bench.commit(insert(id.into(), id, id as f32));
    }
    bench.commit(delete(6, 2));
    let search = |bench: &mut Bench, k| match bench.ask(Op::search(vec![2.1, 1.0], k)) {
        Some(Reply::Hits { hits, .. }) => hits.iter().map(|hit| (hit.record.id, hit.distance)).collect::<Vec<_>>(),
        other => panic!("not the answer to a search: {other:?}"),
    };
    for k in [0, 1, 3, 10] {
        let hits = search(&mut bench, k);
        assert_eq!(hits, audit::nearest(&bench.facts(), &[2.1, 1.0], k as usize));
    }
    assert_eq!(search(&mut bench, 3).iter().map(|(id, _)| id.0).collect::<Vec<_>>(), [3, 1, 4]);
    let wrong = bench.ask(Op::search(vec![1.0], 1));
    assert!(matches!(wrong, Some(Reply::Refused(Refusal::BadVector { id: None, .. }))), "{wrong:?}");
}

#[test]
fn a_query_under_way_keeps_its_view() {
    let mut bench = Bench::new(Config { search_step_rows: 1, ..small() });
    bench.commit(insert(1, 1, 1.0));
    let reader = bench.node.reader().expect("a reader");
    let mut query = reader.start(&Op::search(vec![1.0, 1.0], 5)).expect("a query");
    let mut count = reader.start(&Op::Count).expect("a query");
    bench.commit(insert(2, 2, 1.0));
    bench.commit(delete(3, 1));
    let mut io = Reads::default();
    let reply = loop {
        if let Some(reply) = query.step(&mut io) {
            break reply;
        }
    };
    match reply {
        Reply::Hits { at, hits, .. } => {
            assert_eq!((at, hits.len(), hits[0].record.id), (Lsn(1), 1, RecordId(1)));
        }
        other => panic!("not the answer to a search: {other:?}"),
    }
    assert_eq!(count.step(&mut io), Some(Reply::Count { at: Lsn(1), n: 1 }));
    assert!(reader.start(&Op::Commit(empty(9))).is_none(), "a commit is no query");
}

#[test]
fn a_full_disk_is_a_clean_abort() {
    for op in [DiskOp::Allocate, DiskOp::Write] {
        let mut bench = Bench::new(Config { log_file_bytes: 64, ..small() });
        bench.commit(insert(1, 1, 1.0));
        // The log needs a new file for each frame here; the index writes to a file of its own first.
        bench.disk.fail_on(op, if op == DiskOp::Write { "l1/" } else { "log." }, DiskErrorKind::NoSpace);
        assert_eq!(bench.commit(insert(2, 2, 1.0)), Reply::Unavailable(Unavailable::NoSpace), "{op}");
        assert!(!bench.halted);
        assert_eq!(bench.get(2), None);
        committed(&bench.commit(insert(2, 2, 1.0)));
        bench.reopen();
        assert_eq!(bench.facts().records.len(), 2);
    }
}

#[test]
fn a_failed_vote_of_the_index_is_a_clean_abort_and_leaves_no_file() {
    let mut bench = Bench::new(small());
    bench.disk.fail_on(DiskOp::Point, "commit.vote.l1_written", DiskErrorKind::Io);
    assert!(matches!(bench.commit(insert(1, 1, 1.0)), Reply::Unavailable(Unavailable::Disk(_))));
    assert!(!bench.disk.paths().iter().any(|path| path.starts_with("l1/")), "{:?}", bench.disk.paths());
    committed(&bench.commit(insert(1, 1, 1.0)));
}

#[test]
fn a_failed_write_or_sync_of_the_log_halts_without_an_answer() {
    for op in [DiskOp::Write, DiskOp::Sync] {
        let mut bench = Bench::new(small());
        bench.commit(insert(1, 1, 1.0));
        bench.disk.fail_on(op, "log.", DiskErrorKind::Io);
        assert_eq!(bench.ask(Op::Commit(insert(2, 2, 1.0))), None, "{op}");
        assert!(bench.halted);
        assert_eq!(bench.ask(Op::Count), None, "a halted node says nothing more");
        bench.reopen();
        assert!((1..=2).contains(&bench.facts().records.len()));
        committed(&bench.commit(insert(2, 2, 1.0)));
        assert_eq!(bench.facts().records.len(), 2);
    }
}

#[test]
fn ops_and_replies_survive_being_written_as_json() {
    let mut bench = Bench::new(small());
    let transaction =
        Transaction { reads: vec![read(1, None), read(2, Some(3))], whole: Some(Lsn(4)), ..insert(1, 1, 1.0) };
    for op in [Op::Commit(transaction), Op::Get { ids: vec![RecordId(1)] }, Op::Count] {
        let text = serde_json::to_string(&op).expect("a form");
        assert_eq!(serde_json::from_str::<Op>(&text).expect("the same form"), op, "{text}");
        if let Some(reply) = bench.ask(op) {
            let text = serde_json::to_string(&reply).expect("a form");
            assert_eq!(serde_json::from_str::<Reply>(&text).expect("the same form"), reply, "{text}");
        }
    }
}

#[test]
fn a_configuration_without_sense_is_refused() {
    for bad in [
        Config { dim: 0, ..small() },
        Config { records_max: 0, ..small() },
        Config { l1_persist: L1Persist::Delta { merge_after: 0 }, ..small() },
        Config { managers: Ledger::managers(&["a", "a"], LedgerConfig::default()), ..small() },
        Config { managers: Ledger::managers(&["../a"], LedgerConfig::default()), ..small() },
    ] {
        assert!(bad.check().is_err(), "{bad:?}");
        let clock = Arc::new(TestClock::default());
        assert!(matches!(boot(&TestDisk::new(), &clock, &bad, 0), Err(BootError::Refused(_))));
    }
}
