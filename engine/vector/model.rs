//! The flat index against a model: an ordered map that is searched by sorting all its distances. And a pool for whoever must not
//! show in what order parts are done.

use std::collections::BTreeMap;

use proptest::prelude::*;
use stormproof_contract::Pool;

use super::{Dim, FlatIndex, Hit, Kernels, Metric, Scan, Shape};
use crate::ids::{RecordId, Version};

/// Hands of which the last to be asked is the first to be done, and the others in turns: what threads may come to.
#[derive(Debug)]
pub(super) struct OutOfOrder(pub(super) usize);

impl Pool for OutOfOrder {
    fn threads(&self) -> usize {
        self.0
    }

    fn run(&self, n: usize, work: &(dyn Fn(usize) + Sync)) {
        for hand in (0..self.0).rev() {
            (hand..n).step_by(self.0).rev().for_each(work);
        }
    }
}

/// What an index should be.
#[derive(Clone, Debug, Default)]
pub(super) struct Model(BTreeMap<RecordId, (Version, Vec<f32>)>);

impl Model {
    pub(super) fn search(
        &self,
        shape: Shape,
        query: &[f32],
        k: usize,
        keep: impl Fn(RecordId, Version) -> bool,
    ) -> Vec<Hit> {
        let distance = |row: &[f32]| shape.distance(Kernels::scalar(), row, query).expect("admitted vectors");
        let mut hits: Vec<Hit> = self
            .0
            .iter()
            .filter(|(id, (version, _))| keep(**id, *version))
            .map(|(id, (version, row))| Hit { id: *id, version: *version, distance: distance(row) })
            .collect();
        hits.sort_by(|a, b| a.distance.total_cmp(&b.distance).then(a.id.cmp(&b.id)));
        hits.truncate(k);
        hits
    }

    fn rows(&self) -> Vec<(RecordId, Version, Vec<f32>)> {
        self.0.iter().map(|(id, (version, row))| (*id, *version, row.clone())).collect()
    }
}

fn rows(index: &FlatIndex) -> Vec<(RecordId, Version, Vec<f32>)> {
    index.iter().map(|row| (row.id, row.version, row.components().collect())).collect()
}

#[derive(Clone, Debug)]
enum Op {
    Upsert(RecordId, Vec<f32>),
    Remove(RecordId),
    Snapshot,
}

#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) shape: Shape,
    ops: Vec<Op>,
    pub(super) query: Vec<f32>,
    pub(super) k: usize,
}

/// Few values per component, so that equal vectors and tied distances are common; never all zero.
fn vectors(dim: usize) -> impl Strategy<Value = Vec<f32>> {
    let component = prop_oneof![Just(0.0f32), Just(0.5), Just(-0.5), -1.0f32..1.0];
    proptest::collection::vec(component, dim).prop_map(|mut vector| {
        vector[0] += 2.0;
        vector
    })
}

pub(super) fn cases() -> impl Strategy<Value = Case> {
    let metric = prop_oneof![Just(Metric::L2), Just(Metric::Cosine), Just(Metric::InnerProduct)];
    // 300 components: rows long enough to be given up early. 9,000: blocks of one row.
    let dim = prop_oneof![8 => 1usize..5, 2 => Just(40usize), 1 => Just(300), 1 => Just(9000)];
    (metric, dim).prop_flat_map(|(metric, dim)| {
        let id = || (0u64..150).prop_map(RecordId);
        let op = prop_oneof![
            20 => (id(), vectors(dim)).prop_map(|(id, vector)| Op::Upsert(id, vector)),
            12 => id().prop_map(Op::Remove),
            1 => Just(Op::Snapshot),
        ];
        let ops_max = if dim > 40 { 60 } else { 600 };
        let k = prop_oneof![Just(0usize), 1usize..12, Just(1000)];
        let shape = Shape { metric, dim: Dim::new(dim).expect("a dimension") };
        (proptest::collection::vec(op, 0..ops_max), vectors(dim), k).prop_map(move |(ops, query, k)| Case {
            shape,
            ops,
            query,
            k,
        })
    })
}

/// Every state of the index that a snapshot was taken of, the last one included, with what it should be.
pub(super) fn play(case: &Case, kernels: Kernels) -> Vec<(FlatIndex, Model)> {
    let (mut index, mut model) = (FlatIndex::new(case.shape, kernels), Model::default());
    let mut snapshots = Vec::new();
    for (n, op) in case.ops.iter().enumerate() {
        let version = Version(n as u64);
        match op {
            Op::Upsert(id, vector) => {
                let replaced = index.upsert(*id, version, vector).expect("an admitted vector");
                assert_eq!(replaced, model.0.insert(*id, (version, vector.clone())).map(|old| old.0));
            }
            Op::Remove(id) => assert_eq!(index.remove(*id), model.0.remove(id).map(|old| old.0)),
            Op::Snapshot => snapshots.push((index.clone(), model.clone())),
        }
    }
    snapshots.push((index, model));
    snapshots
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_search_finds_exactly_what_comparing_every_row_finds(case in cases()) {
        for kernels in Kernels::available() {
            for (index, model) in play(&case, kernels) {
                let found = index.search(&case.query, case.k).expect("an admitted query");
                prop_assert_eq!(found, model.search(case.shape, &case.query, case.k, |_, _| true));
            }
        }
    }

    #[test]
    fn a_filtered_search_finds_exactly_the_best_of_the_rows_kept(case in cases()) {
        let keep = |id: RecordId, version: Version| (id.0 + version.0).is_multiple_of(3);
        for (index, model) in play(&case, Kernels::detect()) {
            let found = index.search_where(&case.query, case.k, keep).expect("an admitted query");
            prop_assert_eq!(found, model.search(case.shape, &case.query, case.k, keep));
        }
    }

    #[test]
    fn a_snapshot_keeps_the_rows_of_its_moment_in_the_order_of_their_ids(case in cases()) {
        for (index, model) in play(&case, Kernels::scalar()) {
            prop_assert_eq!(index.len(), model.0.len());
            prop_assert_eq!(index.is_empty(), model.0.is_empty());
            prop_assert_eq!(rows(&index), model.rows());
            for id in (0..150).map(RecordId) {
                prop_assert_eq!(index.get(id).map(|row| row.version), model.0.get(&id).map(|row| row.0));
            }
        }
    }

    #[test]
    fn a_scan_gives_the_same_answer_wherever_it_is_cut(case in cases(), rows_max in 0usize..200) {
        let (index, _) = play(&case, Kernels::detect()).pop().expect("the last state");
        let mut scan = Scan::new(index.clone(), &case.query, case.k).expect("an admitted query");
        while !scan.step(rows_max) {}
        prop_assert_eq!(scan.finish(), index.search(&case.query, case.k).expect("an admitted query"));
    }
}

fn grid(metric: Metric, kernels: Kernels) -> FlatIndex {
    let shape = Shape { metric, dim: Dim::new(2).expect("a dimension") };
    let mut index = FlatIndex::new(shape, kernels);
    for id in (0..300u16).rev() {
        let vector = [f32::from(id % 3), 1.0];
        index.upsert(RecordId(id.into()), Version(1), &vector).expect("an admitted vector");
    }
    index
}

#[test]
fn rows_equally_far_are_ordered_by_their_ids() {
    for metric in [Metric::L2, Metric::Cosine, Metric::InnerProduct] {
        let index = grid(metric, Kernels::detect());
        let hits = index.search(&[2.0, 0.0], 5).expect("an admitted query");
        assert_eq!(hits.iter().map(|hit| hit.id.0).collect::<Vec<_>>(), [2, 5, 8, 11, 14], "by {metric:?}");
    }
}

#[test]
fn a_scan_sees_nothing_of_what_is_written_after_it_began() {
    let mut index = grid(Metric::L2, Kernels::scalar());
    let before = index.search(&[0.0, 0.0], 10).expect("an admitted query");
    let mut scan = Scan::new(index.clone(), &[0.0, 0.0], 10).expect("an admitted query");
    assert!(!scan.step(64), "more than one block is left");
    (0..300).for_each(|id| _ = index.remove(RecordId(id)));
    while !scan.step(64) {}
    assert_eq!(scan.finish(), before);
    assert_eq!(index.search(&[0.0, 0.0], 10), Ok(vec![]));
}

#[test]
fn a_step_compares_no_more_than_the_rows_asked_for_and_a_block() {
    let index = grid(Metric::L2, Kernels::scalar());
    let mut scan = Scan::new(index, &[0.0, 0.0], 1000).expect("an admitted query");
    scan.step(65);
    assert_eq!(scan.finish().len(), 128);
}

#[test]
fn a_filter_is_asked_only_about_rows_near_enough_to_be_found() {
    let index = grid(Metric::L2, Kernels::detect());
    let mut asked = 0;
    let hits = index.search_where(&[0.0, 1.0], 1, |_, _| {
        asked += 1;
        true
    });
    assert_eq!(hits.map(|hits| hits[0].id), Ok(RecordId(0)));
    assert!(asked < 300, "asked about {asked} rows of 300");
}
