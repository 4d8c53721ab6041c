//! Writes that are held while the disk takes none.

use stormproof_contract::{DiskErrorKind, DiskOp};

use super::{
    degrade::{Config as Degrade, QueueConfig},
    *,
};

/// Two failures open the breaker for a second; two successes close it. Three writes are held.
fn degrading() -> Config {
    let breaker = breaker::Config { failures_max: 2, open_for: Tick::secs(1), trials_max: 2, successes_needed: 2 };
    let queue = QueueConfig { writes_max: 3, drain_max: 2, ..QueueConfig::default() };
    Config { degrade: Degrade { breaker, queue }, ..small() }
}

/// A node whose disk has been full for two batches, with record 1 in it.
fn degraded() -> Bench {
    let mut bench = Bench::new(degrading());
    committed(&bench.commit(upsert(1, 1, 1.0)));
    for retry in [2, 3] {
        bench.disk.fail_next(DiskOp::Open, DiskErrorKind::NoSpace);
        assert_eq!(bench.commit(upsert(retry, 9, 0.0)), Reply::Unavailable(Unavailable::NoSpace));
    }
    assert!(bench.noted("degraded"), "{:?}", bench.notes);
    bench
}

fn queued(reply: &Reply) -> u64 {
    match reply {
        Reply::Queued { ahead } => *ahead,
        other => panic!("not held: {other:?}"),
    }
}

#[test]
fn writes_are_held_and_reads_go_on() {
    let mut bench = degraded();
    assert_eq!(queued(&bench.commit(upsert(10, 2, 2.0))), 0);
    assert_eq!(queued(&bench.commit(upsert(11, 3, 3.0))), 1);
    assert_eq!(queued(&bench.commit(upsert(10, 2, 2.0))), 0, "a copy finds the first");
    assert!(bench.get(1).is_some() && bench.get(2).is_none(), "what is held is not there");
    let watches = Transaction { reads: vec![read(1, Some(1))], ..empty(12) };
    assert!(matches!(bench.commit(watches), Reply::Committed { .. }), "whoever only watches needs no disk");
    assert_eq!(queued(&bench.commit(upsert(13, 4, 4.0))), 2);
    assert_eq!(bench.commit(upsert(14, 5, 5.0)), Reply::Unavailable(Unavailable::Degraded), "as many as are held");
}

#[test]
fn what_is_held_takes_effect_in_its_order_once_the_disk_is_well() {
    let mut bench = degraded();
    for (retry, x) in [(10, 2.0), (11, 3.0), (12, 4.0)] {
        queued(&bench.commit(upsert(retry, 2, x)));
    }
    bench.pass(Tick::millis(999));
    assert_eq!(bench.get(2), None, "it is not tried before its time");
    bench.wait(Tick::millis(1));
    bench.ring();
    let at = |bench: &Bench| bench.facts().records.iter().find(|it| it.id.0 == 2).map(|it| (it.version, it.vector[0]));
    assert_eq!(at(&bench), Some((Version(2), 3.0)), "two at a time");
    bench.tick();
    assert!(bench.noted("degraded.over"), "{:?}", bench.notes);
    assert_eq!(bench.get(2).map(|it| (it.version, it.vector[0])), Some((Version(3), 4.0)));
    let told = [10, 11, 12].map(|retry| bench.commit(upsert(retry, 2, 9.0)));
    assert!(told.iter().all(|reply| matches!(reply, Reply::Committed { .. })), "{told:?}");
    assert_eq!(bench.get(2).map(|it| it.version), Some(Version(3)), "none took effect again");
}

#[test]
fn a_trial_that_fails_leaves_the_queue_as_it_was() {
    let mut bench = degraded();
    for retry in [10, 11, 12] {
        queued(&bench.commit(upsert(retry, 2, 1.0)));
    }
    let held = bench.facts().held;
    bench.disk.fail_next(DiskOp::Open, DiskErrorKind::Io);
    bench.pass(Tick::secs(1));
    assert_eq!((bench.facts().held, bench.facts().breaker), (held, BreakerFacts::Open { needed: 2 }));
    bench.pass(Tick::secs(1));
    bench.tick();
    assert_eq!((bench.facts().held, bench.get(2).map(|it| it.version)), (vec![], Some(Version(3))));
}

#[test]
fn a_refusal_that_nobody_waits_for_is_kept_for_whoever_asks_again() {
    let mut bench = degraded();
    queued(&bench.commit(insert(10, 1, 2.0)));
    queued(&bench.commit(upsert(11, 2, 2.0)));
    bench.pass(Tick::secs(1));
    bench.tick();
    assert!(bench.get(2).is_some(), "one that is refused does not stand in the way of the next");
    assert_eq!(bench.commit(insert(10, 1, 2.0)), Reply::Refused(Refusal::Duplicate { id: RecordId(1) }));
    bench.reopen();
    assert_eq!(bench.commit(insert(10, 1, 2.0)), Reply::Refused(Refusal::Earlier));
}

#[test]
fn where_nothing_is_held_an_empty_frame_finds_out() {
    let mut bench = degraded();
    bench.disk.fail_next(DiskOp::Open, DiskErrorKind::Io);
    bench.pass(Tick::secs(1));
    assert!(!bench.noted("degraded.over"));
    bench.pass(Tick::secs(1));
    bench.tick();
    assert!(bench.noted("degraded.over"), "{:?}", bench.notes);
    committed(&bench.commit(upsert(10, 2, 2.0)));
    let lsn = bench.facts().lsn;
    bench.reopen();
    assert_eq!((bench.facts().lsn, bench.facts().records.len()), (lsn, 2));
}

#[test]
fn a_disk_that_cannot_be_read_while_a_write_is_judged_is_a_trial_that_failed() {
    let mut bench = Bench::new(Config { flush_records: 1, ..degrading() });
    committed(&bench.commit(upsert(1, 1, 1.0)));
    assert!(bench.noted("flush"), "{:?}", bench.notes);
    for retry in [2, 3] {
        bench.disk.fail_next(DiskOp::Open, DiskErrorKind::NoSpace);
        bench.commit(upsert(retry, 9, 0.0));
    }
    queued(&bench.commit(upsert(10, 5, 2.0)));
    queued(&bench.commit(upsert(11, 1, 2.0)));
    bench.disk.fail_on(DiskOp::Read, "segments/", DiskErrorKind::Io);
    bench.pass(Tick::secs(1));
    assert_eq!((bench.facts().held.len(), bench.get(5)), (2, None), "both are where they were");
    bench.pass(Tick::secs(1));
    bench.tick();
    assert_eq!((bench.facts().held.len(), bench.get(1).map(|it| it.version)), (0, Some(Version(2))));
}

#[test]
fn a_write_that_rests_on_a_bad_place_does_not_stand_in_the_way_for_ever() {
    let mut bench = Bench::new(Config { flush_records: 1, ..degrading() });
    committed(&bench.commit(upsert(1, 1, 1.0)));
    for retry in [2, 3] {
        bench.disk.fail_next(DiskOp::Open, DiskErrorKind::NoSpace);
        bench.commit(upsert(retry, 9, 0.0));
    }
    queued(&bench.commit(upsert(10, 1, 2.0)));
    queued(&bench.commit(upsert(11, 5, 2.0)));
    for _ in 0..3 {
        bench.disk.fail_on(DiskOp::Read, "segments/", DiskErrorKind::Io);
        bench.pass(Tick::secs(1));
        assert_eq!(bench.facts().held.len(), 2);
    }
    bench.disk.fail_on(DiskOp::Read, "segments/", DiskErrorKind::Io);
    bench.pass(Tick::secs(1));
    bench.tick();
    assert_eq!((bench.facts().held.len(), bench.get(5).map(|it| it.version)), (0, Some(Version(1))));
    assert!(matches!(bench.commit(upsert(10, 1, 2.0)), Reply::Refused(Refusal::Damaged(_))));
}

#[test]
fn a_sync_that_fails_while_the_queue_is_tried_stops_the_node() {
    let mut bench = degraded();
    queued(&bench.commit(upsert(10, 2, 2.0)));
    bench.disk.fail_next(DiskOp::Sync, DiskErrorKind::Io);
    bench.pass(Tick::secs(1));
    assert!(bench.halted);
    bench.reopen();
    committed(&bench.commit(upsert(10, 2, 2.0)));
    assert_eq!(bench.get(2).map(|it| it.version), Some(Version(1)), "whether or not the frame was there");
}
