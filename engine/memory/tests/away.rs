//! Rows that are not in memory: searches find them all the same, and whatever cannot be read of them is said.

use stormproof_contract::{DiskErrorKind, DiskOp};

use super::{super::away::after_merge, *};

/// Flushes every two records, and has so many rows of what was flushed in memory.
fn bounded(rows: u64) -> Config {
    Config { flush_records: 2, l1_bytes: rows * 8, ..small() }
}

/// The records whose rows are in memory.
fn in_memory(bench: &Bench) -> Vec<u64> {
    bench.facts().rows.iter().filter(|row| row.vector.is_some()).map(|row| row.id.0).collect()
}

fn search(bench: &mut Bench, x: f32, k: u32) -> Vec<(u64, u64)> {
    match bench.ask(Op::search(vec![x, 1.0], k)) {
        Some(Reply::Hits { hits, .. }) => hits.iter().map(|hit| (hit.record.id.0, hit.record.version.0)).collect(),
        other => panic!("not the answer to a search: {other:?}"),
    }
}

fn is_exact(bench: &mut Bench) {
    for x in 0..12 {
        let nearest = audit::nearest(&bench.facts(), &[x as f32, 1.0], 4);
        let nearest: Vec<_> = nearest.iter().map(|(id, _)| id.0).collect();
        assert_eq!(search(bench, x as f32, 4).iter().map(|(id, _)| *id).collect::<Vec<_>>(), nearest);
    }
}

#[test]
fn the_newest_segments_that_fit_are_in_memory_and_searches_find_the_others_too() {
    for (rows, expected) in [(0, &[9][..]), (1, &[9]), (5, &[5, 6, 7, 8, 9]), (8, &[1, 2, 3, 4, 5, 6, 7, 8, 9])] {
        let mut bench = Bench::new(bounded(rows));
        fill(&mut bench, 1..=9);
        for _ in 0..2 {
            assert_eq!(in_memory(&bench), expected, "with room for {rows}");
            is_exact(&mut bench);
            bench.reopen();
            assert!(!bench.noted("l1.rebuilt"), "{:?}", bench.notes);
        }
    }
}

#[test]
fn only_the_newest_writing_is_found_whichever_of_them_is_in_memory() {
    let mut bench = Bench::new(bounded(0));
    fill(&mut bench, 1..=4);
    committed(&bench.commit(upsert(10, 1, 9.0)));
    assert_eq!(search(&mut bench, 1.0, 2), [(2, 1), (3, 1)], "the first writing of 1 is not near any more");
    committed(&bench.commit(delete(11, 2)));
    for _ in 0..2 {
        assert_eq!(in_memory(&bench), [] as [u64; 0]);
        assert_eq!(search(&mut bench, 1.0, 9), [(3, 1), (4, 1), (1, 2)]);
        bench.reopen();
    }
}

#[test]
fn a_merge_keeps_what_is_away_away_and_sends_the_rest_of_its_run_after_it() {
    let compaction = MergeRules { run_min: 3, tombstones_percent: 100 };
    for (rows, expected) in [(0, 0), (2, 0), (4, 0), (6, 6)] {
        let mut bench = Bench::new(Config { compaction, ..bounded(rows) });
        fill(&mut bench, 1..=6);
        let before = in_memory(&bench).len() as u64;
        assert_eq!(before, rows);
        bench.run_jobs();
        assert!(bench.noted("compacted"), "{:?}", bench.notes);
        for _ in 0..2 {
            assert_eq!(in_memory(&bench).len(), expected, "with room for {rows}");
            is_exact(&mut bench);
            bench.reopen();
        }
    }
}

#[test]
fn a_merge_moves_the_border_by_what_was_before_it_and_to_its_end_if_that_was_inside() {
    let after = |away| after_merge(away, &(1..4));
    assert_eq!([0, 1, 2, 3, 4, 5, 6].map(after), [0, 1, 2, 2, 2, 3, 4]);
}

#[test]
fn damage_of_a_row_that_is_not_in_memory_is_said_when_it_is_met() {
    let mut bench = Bench::new(bounded(0));
    fill(&mut bench, 1..=4);
    let vectors = bench.node.views.newest().segments[0].rows_span(0);
    let mut bytes = bench.disk.bytes("segments/0");
    bytes[vectors.offset as usize + 1] ^= 4;
    bench.disk.set("segments/0", &bytes);
    bench.reopen();
    let facts = bench.node.inspect(&()).expect("facts");
    assert!(facts.unread.first().is_some_and(|words| words.contains("`segments/0`")), "{:?}", facts.unread);
    let asked = Op::search(vec![0.0, 1.0], 1);
    match bench.ask(asked) {
        Some(Reply::Refused(Refusal::Damaged(words))) => assert!(words.contains("`segments/0`"), "{words}"),
        other => panic!("damage was not said: {other:?}"),
    }
    assert!(bench.get(3).is_some(), "what is not damaged is read");
}

#[test]
fn a_search_that_cannot_read_says_so_and_the_next_one_is_exact() {
    let mut bench = Bench::new(bounded(0));
    fill(&mut bench, 1..=4);
    bench.disk.fail_on(DiskOp::Read, "segments/", DiskErrorKind::Io);
    let failed = bench.ask(Op::search(vec![0.0, 1.0], 1));
    assert!(matches!(failed, Some(Reply::Unavailable(_))), "{failed:?}");
    is_exact(&mut bench);
}

#[test]
fn rows_whose_keys_cannot_be_read_stay_in_memory_and_go_with_the_next_flush() {
    let mut bench = Bench::new(bounded(2));
    fill(&mut bench, 1..=3);
    // The flush opens its segment with three reads; the fourth is of the keys of the segment that is to leave.
    bench.disk.fail_nth_on(3, DiskOp::Read, "segments/", DiskErrorKind::Io);
    fill(&mut bench, 4..=4);
    assert_eq!(in_memory(&bench), [1, 2, 3, 4]);
    is_exact(&mut bench);
    fill(&mut bench, 5..=6);
    assert_eq!(in_memory(&bench), [5, 6]);
    is_exact(&mut bench);
}

#[test]
fn an_index_that_is_rewritten_whole_is_in_memory_whole() {
    let mut bench = Bench::new(Config { l1_persist: L1Persist::Rewrite, ..bounded(0) });
    fill(&mut bench, 1..=5);
    bench.reopen();
    assert_eq!(in_memory(&bench), [1, 2, 3, 4, 5]);
}

#[test]
fn groups_without_a_row_that_counts_are_not_read() {
    let mut bench = Bench::new(bounded(0));
    fill(&mut bench, 1..=2);
    let search = Op::search(vec![0.0, 1.0], 1);
    assert_eq!(bench.reads_of(&search), [1, 1, 1, 2], "keys and vectors of the group; then keys and body of the hit");
    committed(&bench.commit(upsert(10, 1, 1.0)));
    committed(&bench.commit(upsert(11, 2, 2.0)));
    assert_eq!(bench.reads_of(&search), [2, 1, 1, 2], "both groups' keys, one's vectors");
}
