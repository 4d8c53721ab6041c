//! Health checks: what is looked at while nobody asks.

use stormproof_contract::{DiskErrorKind, DiskOp};

use super::*;

/// A round every second, an alert after two misses.
fn checking() -> Config {
    let health = HealthConfig { every: Tick::secs(1), misses_max: 2, ..HealthConfig::default() };
    Config { health, flush_records: 2, compaction: MergeRules { run_min: 0, tombstones_percent: 100 }, ..small() }
}

fn rounds(bench: &mut Bench, n: u32) {
    for _ in 0..n {
        bench.pass(Tick::secs(1));
    }
}

#[test]
fn an_idle_log_is_tried_with_an_empty_frame_and_a_busy_one_is_not() {
    let mut bench = Bench::new(checking());
    committed(&bench.commit(upsert(1, 1, 1.0)));
    rounds(&mut bench, 1);
    assert_eq!(bench.facts().lsn, Lsn(1), "a batch became durable since");
    rounds(&mut bench, 2);
    assert_eq!((bench.facts().lsn, bench.facts().changed), (Lsn(3), Lsn(1)));
    bench.reopen();
    assert_eq!((bench.facts().lsn, bench.facts().records.len()), (Lsn(3), 1));
    assert!(!bench.noted("health.missed"), "{:?}", bench.notes);
}

#[test]
fn a_log_that_takes_no_frames_raises_an_alert_before_a_client_meets_it() {
    let mut bench = Bench::new(checking());
    for _ in 0..2 {
        bench.disk.fail_next(DiskOp::Open, DiskErrorKind::NoSpace);
        rounds(&mut bench, 1);
    }
    assert!(bench.noted("health.alert") && !bench.noted("health.clear"), "{:?}", bench.notes);
    rounds(&mut bench, 1);
    assert!(bench.noted("health.clear"), "{:?}", bench.notes);
}

#[test]
fn a_sync_that_fails_while_the_log_is_checked_stops_the_node() {
    let mut bench = Bench::new(checking());
    committed(&bench.commit(upsert(1, 1, 1.0)));
    rounds(&mut bench, 1);
    bench.disk.fail_next(DiskOp::Sync, DiskErrorKind::Io);
    rounds(&mut bench, 1);
    assert!(bench.halted, "nobody knows whether the empty frame is there");
}

#[test]
fn every_part_of_every_segment_has_its_turn() {
    let mut bench = Bench::new(checking());
    for id in 1..=4 {
        committed(&bench.commit(upsert(id.into(), id, 1.0)));
    }
    let parts = |bench: &Bench| bench.notes.iter().filter(|note| **note == "health.damaged").count();
    for path in ["segments/0", "segments/1"] {
        let mut bytes = bench.disk.bytes(path);
        // In the first group's keys, and in the decisions behind the only group.
        let decisions = bytes.len() - 128 - 60;
        bytes[10] ^= 1;
        bytes[decisions] ^= 1;
        bench.disk.overwrite(path, &bytes);
    }
    rounds(&mut bench, 4);
    assert_eq!(parts(&bench), 4, "{:?}", bench.notes);
    rounds(&mut bench, 4);
    assert_eq!(parts(&bench), 8, "and again");
    assert!(bench.noted("health.alert"));
}

#[test]
fn without_checks_nothing_wakes_the_node() {
    let bench = Bench::new(small());
    assert_eq!(bench.node.deadline(), None);
}
