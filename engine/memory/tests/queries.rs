//! Ranges of records and walks along links, over what is in memory and what was flushed.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn linked(retry: u128, id: u64, links: &[u64]) -> Transaction {
    let links = links.iter().map(|&to| Link::new(RecordId(to))).collect();
    Transaction { upserts: vec![Draft { links, ..draft(id, id as f32) }], ..empty(retry) }
}

fn range(bench: &mut Bench, from: u64, limit: u32) -> Vec<(u64, u64)> {
    match bench.ask(Op::Range { from: RecordId(from), limit }) {
        Some(Reply::Records { records, .. }) => records.iter().map(|it| (it.id.0, it.version.0)).collect(),
        other => panic!("not the answer to a range: {other:?}"),
    }
}

fn walk(bench: &mut Bench, from: u64, hops: u32, limit: u32) -> (Vec<(u64, u32)>, bool) {
    match bench.ask(Op::Walk { from: RecordId(from), hops, limit }) {
        Some(Reply::Reached { records, more, .. }) => (records.iter().map(|(id, hops)| (id.0, *hops)).collect(), more),
        other => panic!("not the answer to a walk: {other:?}"),
    }
}

#[test]
fn a_range_is_in_order_and_the_newest_writing_of_each_record_counts() {
    let mut bench = Bench::new(Config { flush_records: 3, ..small() });
    for id in [7, 3, 5, 1, 9, 8] {
        committed(&bench.commit(upsert(id.into(), id, 0.0)));
    }
    committed(&bench.commit(upsert(20, 5, 1.0)));
    committed(&bench.commit(delete(21, 7)));
    assert_eq!(bench.node.manifest.current().segments.len(), 2);
    assert_eq!(range(&mut bench, 0, 99), [(1, 1), (3, 1), (5, 2), (8, 1), (9, 1)]);
    assert_eq!(range(&mut bench, 4, 2), [(5, 2), (8, 1)]);
    assert_eq!(range(&mut bench, 8, 1), [(8, 1)]);
    assert_eq!(range(&mut bench, 10, 9), []);
    assert_eq!(range(&mut bench, u64::MAX, 9), []);
    assert_eq!(range(&mut bench, 0, 0), []);
}

#[test]
fn a_walk_reaches_each_live_record_once_by_the_shortest_way() {
    let mut bench = Bench::new(Config { flush_records: 3, ..small() });
    for (id, links) in [(1, &[2, 3][..]), (2, &[4, 1]), (3, &[4, 6]), (4, &[5]), (5, &[]), (7, &[1])] {
        committed(&bench.commit(linked(id.into(), id, links)));
    }
    assert_eq!(walk(&mut bench, 1, 9, 99), (vec![(1, 0), (2, 1), (3, 1), (4, 2), (5, 3)], false), "6 is not there");
    assert_eq!(walk(&mut bench, 1, 1, 99), (vec![(1, 0), (2, 1), (3, 1)], false));
    assert_eq!(walk(&mut bench, 1, 9, 4), (vec![(1, 0), (2, 1), (3, 1), (4, 2)], true));
    assert!(!walk(&mut bench, 1, 9, 5).1, "the limit was met at the end");
    assert_eq!(walk(&mut bench, 6, 9, 99), (vec![], false));
    committed(&bench.commit(delete(20, 2)));
    committed(&bench.commit(linked(21, 3, &[7])));
    assert_eq!(walk(&mut bench, 1, 9, 99), (vec![(1, 0), (3, 1), (7, 2)], false), "what was written since counts");
}

#[test]
fn a_walk_reads_keys_alone() {
    let mut bench = Bench::new(Config { flush_records: 3, ..small() });
    for (id, links) in [(1, &[2][..]), (2, &[3]), (3, &[])] {
        committed(&bench.commit(linked(id.into(), id, links)));
    }
    let reads = bench.reads_of(&Op::Walk { from: RecordId(1), hops: 9, limit: 9 });
    assert_eq!(reads, [1, 1, 1], "one group's keys for each hop");
}

fn reads_of_a_get(bench: &Bench, id: u64) -> Vec<usize> {
    bench.reads_of(&Op::Get { ids: vec![RecordId(id)] })
}

#[test]
fn keys_that_were_read_are_kept_up_to_a_bound() {
    let mut bench = Bench::new(Config { flush_records: 2, cache_bytes: 1 << 20, ..small() });
    for id in 1..=4 {
        committed(&bench.commit(upsert(id.into(), id, 0.0)));
    }
    assert_eq!(bench.node.manifest.current().segments.len(), 2);
    assert_eq!(
        [reads_of_a_get(&bench, 1), reads_of_a_get(&bench, 1), reads_of_a_get(&bench, 2)],
        [vec![1, 2], vec![2], vec![2]]
    );
    committed(&bench.commit(upsert(10, 1, 1.0)));
    assert_eq!(bench.get(1).map(|it| it.version), Some(Version(2)), "what was written since counts");
    // Room for the keys of one group.
    let mut bench = Bench::new(Config { flush_records: 2, cache_bytes: 300, ..small() });
    for id in 1..=4 {
        committed(&bench.commit(upsert(id.into(), id, 0.0)));
    }
    let reads = [1, 1, 3, 3, 1].map(|id| reads_of_a_get(&bench, id));
    assert_eq!(reads, [vec![1, 2], vec![2], vec![1, 2], vec![2], vec![1, 2]]);
}

#[test]
fn more_than_may_be_asked_for_is_refused() {
    let mut bench = Bench::new(Config { answers_max: 10, ..small() });
    for op in [Op::Range { from: RecordId(0), limit: 11 }, Op::Walk { from: RecordId(0), hops: 1, limit: 11 }] {
        let reply = bench.ask(op);
        assert!(matches!(reply, Some(Reply::Refused(Refusal::TooLarge { found: 11, max: 10, .. }))), "{reply:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn any_range_is_that_of_an_ordered_map(
        writes in proptest::collection::vec((0..40_u64, any::<bool>()), 0..60), from in 0..45_u64, limit in 0..50_u32
    ) {
        let mut bench = Bench::new(Config { flush_records: 5, ..small() });
        let mut model = BTreeMap::new();
        for (retry, (id, live)) in (1_u128..).zip(writes) {
            let reply = bench.commit(if live { upsert(retry, id, 0.0) } else { delete(retry, id) });
            let Reply::Committed { versions, .. } = &reply else { panic!("{reply:?}") };
            if live { model.insert(id, versions[0].1.0); } else { model.remove(&id); }
            bench.run_jobs();
        }
        let expected: Vec<_> = model.range(from..).take(limit as usize).map(|(id, version)| (*id, *version)).collect();
        prop_assert_eq!(range(&mut bench, from, limit), expected);
    }
}
