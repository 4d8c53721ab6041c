//! While the disk cannot be read: what is at hand is answered, never an old writing, and the disk is let alone.

use stormproof_contract::{DiskErrorKind, DiskOp};

use super::*;

/// Flushes every four records, and keeps two at hand.
fn two_at_hand() -> Bench {
    let mut bench = Bench::new(Config { flush_records: 4, fallback_records: 2, ..small() });
    fill(&mut bench, 1..=4);
    assert!(bench.noted("flush"));
    bench
}

/// Has the next reads of segments fail.
fn fail_reads(bench: &Bench, times: usize) {
    (0..times).for_each(|_| bench.disk.fail_on(DiskOp::Read, "segments/", DiskErrorKind::Io));
}

fn ids(reply: Option<Reply>) -> Result<Vec<u64>, Unavailable> {
    match reply {
        Some(Reply::Records { records, .. }) => Ok(records.iter().map(|record| record.id.0).collect()),
        Some(Reply::Hits { hits, .. }) => Ok(hits.iter().map(|hit| hit.record.id.0).collect()),
        Some(Reply::Unavailable(why)) => Err(why),
        other => panic!("no answer to a query: {other:?}"),
    }
}

fn get(bench: &mut Bench, wanted: &[u64]) -> Result<Vec<u64>, Unavailable> {
    ids(bench.ask(Op::Get { ids: wanted.iter().copied().map(RecordId).collect() }))
}

#[test]
fn what_is_at_hand_is_answered_and_nothing_old() {
    let mut bench = two_at_hand();
    fail_reads(&bench, 1);
    assert_eq!(get(&mut bench, &[3, 4]), Ok(vec![3, 4]));
    assert!(bench.noted("reads.from_memory"));
    fail_reads(&bench, 1);
    assert!(matches!(get(&mut bench, &[2]), Err(Unavailable::Disk(_))));
    fail_reads(&bench, 1);
    assert_eq!(ids(bench.ask(Op::search(vec![3.9, 1.0], 2))), Ok(vec![4, 3]));
    fail_reads(&bench, 1);
    assert!(ids(bench.ask(Op::search(vec![1.9, 1.0], 2))).is_err());
    // What is read comes to hand, in the place of what was not used for longest.
    assert_eq!(get(&mut bench, &[1]), Ok(vec![1]));
    fail_reads(&bench, 1);
    assert_eq!(get(&mut bench, &[1, 9]), Ok(vec![1]), "that there is no such record needs no disk");
    // A record that was flushed again, and written by others so often that it is not at hand.
    committed(&bench.commit(upsert(10, 1, 9.0)));
    committed(&bench.commit(upsert(11, 5, 9.0)));
    committed(&bench.commit(upsert(12, 6, 9.0)));
    committed(&bench.commit(upsert(13, 7, 9.0)));
    fail_reads(&bench, 1);
    assert!(get(&mut bench, &[1]).is_err(), "the old writing is not given for the new");
}

#[test]
fn a_disk_that_failed_often_is_not_asked_for_a_while() {
    let mut bench = two_at_hand();
    fail_reads(&bench, 5);
    for _ in 0..5 {
        assert!(get(&mut bench, &[1]).is_err());
    }
    assert!(bench.noted("reads.refused"));
    let op = Op::Get { ids: vec![RecordId(1)] };
    assert_eq!(bench.reads_of(&op), Vec::<usize>::new());
    assert!(matches!(get(&mut bench, &[1]), Err(Unavailable::Disk(words)) if words.contains("not asked")));
    assert_eq!(get(&mut bench, &[4]), Ok(vec![4]));
    assert!(bench.ask(Op::Range { from: RecordId(0), limit: 9 }).is_some_and(|it| matches!(it, Reply::Unavailable(_))));
    committed(&bench.commit(upsert(20, 8, 1.0)));
    bench.pass(Tick::secs(60));
    assert_eq!(get(&mut bench, &[1]), Ok(vec![1]), "it is tried whether that is over");
    assert!(!bench.noted("reads.allowed"));
    assert_eq!(get(&mut bench, &[2]), Ok(vec![2]));
    bench.settle();
    assert!(bench.noted("reads.allowed"), "{:?}", bench.notes);
}

#[test]
fn damage_is_told_although_what_it_has_hit_is_at_hand() {
    let mut bench = two_at_hand();
    let mut bytes = bench.disk.bytes("segments/0");
    bytes.iter_mut().take(200).for_each(|byte| *byte ^= 1);
    bench.disk.overwrite("segments/0", &bytes);
    let reply = bench.ask(Op::Get { ids: vec![RecordId(4)] });
    assert!(matches!(reply, Some(Reply::Refused(Refusal::Damaged(_)))), "{reply:?}");
}
