//! Our flat index and FAISS's as each other's oracle; and our flat index when FAISS compares for it.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::super::flat::{BlockNo, LiveBlock};
use super::super::graph::splitmix64;
use super::super::model::{cases, play};
use super::super::{FlatIndex, Hit, Scan};
use super::*;
use crate::ids::{RecordId, Version};

impl FlatIndex {
    /// Of how many blocks FAISS has an index.
    pub(crate) fn blocks_of_faiss(&self) -> usize {
        self.blocks_from(BlockNo(0)).filter(|(_, held)| matches!(held.block.sieve.0.get(), Some(Some(_)))).count()
    }
}

fn shape(metric: Metric, dim: usize) -> Shape {
    Shape { metric, dim: Dim::new(dim).expect("a dimension") }
}

/// Of few vectors, one: equal ones are common, and so are different ones that are equally far.
fn vector(dim: usize, seed: u64) -> Vec<f32> {
    let draw = |i: usize| splitmix64((seed << 20) + i as u64);
    let component = |i| match seed % 4 {
        0 => (draw(i) % 3) as f32,
        1 => (draw(i) >> 40) as f32 * 1e-7,
        _ => (draw(i) >> 40) as f32 / (1 << 24) as f32 - 0.5,
    };
    (0..dim).map(component).collect()
}

/// How far two may be apart that each sum up a distance in an order of its own, as a part of it. Of `dim` terms, none
/// negative, each is rounded three times and added `dim - 1` times at most, and is off by half of `EPSILON` each time.
/// 1e-5 for 80 components, 1e-4 for 800.
fn tolerance(dim: usize) -> f32 {
    (dim as f32 + 3.0) * f32::EPSILON
}

fn near(one: f32, other: f32, tolerance: f32) -> bool {
    (one - other).abs() <= tolerance * one.max(other) + f32::MIN_POSITIVE
}

/// What FAISS finds among the live rows of an index.
fn found_by_faiss(index: &FlatIndex, query: &[f32], k: usize) -> Vec<Hit> {
    let mut theirs = faiss::FlatIndex::new_l2(query.len() as u32).expect("an index");
    let mut rows = Vec::new();
    for row in index.iter() {
        theirs.add(&row.components().collect::<Vec<_>>()).expect("a row");
        rows.push((row.id, row.version));
    }
    let k = k.min(rows.len());
    if k == 0 {
        return vec![];
    }
    let found = ConcurrentIndex::search(&theirs, query, k).expect("a search");
    let hit = |(label, distance): (&faiss::Idx, &f32)| {
        let (id, version) = rows[label.get().expect("a row") as usize];
        Hit { id, version, distance: *distance }
    };
    found.labels.iter().zip(&found.distances).map(hit).collect()
}

/// The same distances; and the same records, but for those that are as far as the last, on whom they may differ.
fn agree(ours: &[Hit], theirs: &[Hit], tolerance: f32) -> Result<(), String> {
    if ours.len() != theirs.len() {
        return Err(format!("{} and {} hits", ours.len(), theirs.len()));
    }
    let Some(last) = ours.last() else { return Ok(()) };
    if let Some((one, other)) =
        ours.iter().zip(theirs).find(|(one, other)| !near(one.distance, other.distance, tolerance))
    {
        return Err(format!("{one:?} and {other:?} have the same rank"));
    }
    for (hits, others) in [(ours, theirs), (theirs, ours)] {
        let others: BTreeSet<_> = others.iter().map(|hit| (hit.id, hit.version)).collect();
        let alone = |hit: &&Hit| !others.contains(&(hit.id, hit.version));
        if let Some(hit) = hits.iter().filter(alone).find(|hit| !near(hit.distance, last.distance, 2.0 * tolerance)) {
            return Err(format!("{hit:?} is found by one only, and nearer than {last:?}"));
        }
    }
    Ok(())
}

#[derive(Clone, Debug)]
enum Op {
    Put(u64, u64),
    Remove(u64),
}

/// Records put, replaced and removed; a dimension, a query and how many hits it wants.
fn searches() -> impl Strategy<Value = (usize, Vec<Op>, u64, usize)> {
    let dim = prop_oneof![4 => 1usize..=70, 2 => Just(128), 2 => Just(960), 3 => 1usize..=1024, 1 => Just(1024)];
    let op = prop_oneof![3 => (0u64..150, 0u64..60).prop_map(|(id, seed)| Op::Put(id, seed)), 1 => (0u64..150).prop_map(Op::Remove)];
    let k = prop_oneof![6 => 1usize..20, 1 => Just(0), 1 => Just(1000)];
    (dim, proptest::collection::vec(op, 0..400), 0u64..60, k)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn our_flat_index_and_that_of_faiss_agree_on_the_same_live_rows((dim, ops, query, k) in searches()) {
        let query = vector(dim, query);
        for kernels in Kernels::available().into_iter().chain([Kernels::faiss()]) {
            let mut index = FlatIndex::new(shape(Metric::L2, dim), kernels);
            for (version, op) in (1..).map(Version).zip(&ops) {
                match *op {
                    Op::Put(id, seed) => _ = index.upsert(RecordId(id), version, &vector(dim, seed)).expect("admitted"),
                    Op::Remove(id) => _ = index.remove(RecordId(id)),
                }
            }
            let ours = index.search(&query, k).expect("an admitted query");
            let theirs = found_by_faiss(&index, &query, k);
            prop_assert_eq!(agree(&ours, &theirs, tolerance(dim)), Ok(()), "by {}", kernels.name());
        }
    }

    #[test]
    fn a_search_with_faiss_finds_exactly_what_comparing_every_row_finds(mut case in cases(), scale in 1e-3f32..1e3) {
        case.shape.metric = Metric::L2;
        let query: Vec<f32> = case.query.iter().map(|component| component * scale).collect();
        let keep = |id: RecordId, version: Version| (id.0 + version.0).is_multiple_of(3);
        for (index, model) in play(&case, Kernels::faiss()) {
            for query in [&case.query, &query] {
                let found = index.search(query, case.k).expect("an admitted query");
                prop_assert_eq!(found, model.search(case.shape, query, case.k, |_, _| true));
                let found = index.search_where(query, case.k, keep).expect("an admitted query");
                prop_assert_eq!(found, model.search(case.shape, query, case.k, keep));
            }
        }
    }

    #[test]
    fn a_row_within_the_bound_is_never_dismissed_and_a_far_one_is(
        (dim, components) in extremes(), query in 0usize..64, bound in 0usize..64
    ) {
        let index = filled(dim, &components);
        let (_, held) = index.blocks_from(BlockNo(0)).next().expect("a block");
        let rows: Vec<&[f32]> = components.chunks_exact(dim).take(held.block.len()).collect();
        let query = rows[query % rows.len()];
        let far: Vec<f32> = rows.iter().map(|row| distance(row, query)).collect();
        let bound = far[bound % far.len()];
        let asked = Query::new(index.shape(), Kernels::faiss(), query).expect("L2");
        let within = asked.rows_within(&held.block, bound);
        for (row, far) in far.iter().enumerate() {
            let named = within >> row & 1 == 1;
            prop_assert!(named || *far > bound, "{far} is within {bound}");
            let doubt = 4.0 * tolerance(dim) * bound + 8.0 * dim as f32 * f32::MIN_POSITIVE;
            prop_assert!(!named || *far <= bound + doubt, "{far} is far beyond {bound}");
        }
        prop_assert_eq!(index.blocks_of_faiss(), 1);
    }
}

fn distance(row: &[f32], query: &[f32]) -> f32 {
    shape(Metric::L2, query.len()).distance(Kernels::scalar(), row, query).expect("admitted vectors")
}

/// A dimension, and components for a full block: of all magnitudes, and such that some rows are equal to the query or near it.
fn extremes() -> impl Strategy<Value = (usize, Vec<f32>)> {
    let component = prop_oneof![
        4 => -1.0f32..1.0, 2 => Just(0.5f32), 1 => -1e16f32..1e16, 1 => -1e-30f32..1e-30, 1 => Just(1e-22f32), 1 => Just(-0.0f32),
    ];
    prop_oneof![4 => 1usize..=70, 1 => Just(300), 1 => Just(960)].prop_flat_map(move |dim| {
        let count = dim * 64;
        (Just(dim), proptest::collection::vec(component.clone(), count))
    })
}

fn filled(dim: usize, components: &[f32]) -> FlatIndex {
    filled_by(Kernels::faiss(), dim, components)
}

fn filled_by(kernels: Kernels, dim: usize, components: &[f32]) -> FlatIndex {
    let mut index = FlatIndex::new(shape(Metric::L2, dim), kernels);
    for (id, row) in components.chunks_exact(dim).enumerate() {
        index.upsert(RecordId(id as u64), Version(1), row).expect("an admitted vector");
    }
    index
}

#[test]
fn the_longest_rows_are_not_dismissed_for_being_added_up_in_another_order() {
    let dim = Dim::MAX;
    let differ = (0..8).filter(|seed| {
        let (row, query) = (vector(dim, 4 * seed + 2), vector(dim, 4 * seed + 3));
        let index = filled(dim, &row);
        let (_, held) = index.blocks_from(BlockNo(0)).next().expect("a block");
        let asked = Query::new(index.shape(), Kernels::faiss(), &query).expect("L2");
        let bound = distance(&row, &query);
        assert_eq!(asked.rows_within(&held.block, bound), 1, "seed {seed}");
        assert_eq!(asked.rows_within(&held.block, bound * 0.9), 0, "seed {seed}");
        let theirs = found_by_faiss(&index, &query, 1)[0].distance;
        theirs > bound
    });
    assert!(differ.count() > 0, "none of them was in danger");
}

#[test]
fn a_block_has_one_index_of_faiss_from_its_first_search_on_and_the_tail_has_none() {
    let mut index = filled(8, &vector(200 * 8, 2));
    assert_eq!(index.blocks_of_faiss(), 0, "nobody has searched");
    let snapshot = index.clone();
    snapshot.search(&vector(8, 3), 3).expect("an admitted query");
    // The first of three full blocks is searched before there is a bound.
    assert_eq!((snapshot.blocks_of_faiss(), index.blocks_of_faiss()), (2, 2));
    for id in 200..256 {
        index.upsert(RecordId(id), Version(1), &vector(8, id)).expect("an admitted vector");
    }
    assert_eq!(index.blocks_of_faiss(), 2);
    index.search(&vector(8, 3), 3).expect("an admitted query");
    assert_eq!((snapshot.blocks_of_faiss(), index.blocks_of_faiss()), (2, 3), "the tail is full now");
}

#[test]
fn faiss_is_asked_under_the_metric_that_it_has_and_with_its_kernels_only() {
    for (metric, kernels, blocks) in [
        (Metric::L2, Kernels::faiss(), 2),
        (Metric::Cosine, Kernels::faiss(), 0),
        (Metric::InnerProduct, Kernels::faiss(), 0),
        (Metric::L2, Kernels::detect(), 0),
    ] {
        let mut index = FlatIndex::new(shape(metric, 8), kernels);
        for id in 0..200 {
            index.upsert(RecordId(id), Version(1), &vector(8, 4 * id + 2)).expect("an admitted vector");
        }
        index.search(&vector(8, 3), 3).expect("an admitted query");
        assert_eq!(index.blocks_of_faiss(), blocks, "by {metric:?} and {}", kernels.name());
    }
}

#[test]
fn what_faiss_fails_at_is_compared_by_our_kernel() {
    let rows = vector(200 * 8, 2);
    let expected = filled_by(Kernels::scalar(), 8, &rows).search(&vector(8, 3), 5);
    let index = filled(8, &rows);
    let no_memory = |(_, held): (BlockNo, &LiveBlock)| held.block.sieve.0.set(None).is_ok();
    assert!(index.blocks_from(BlockNo(0)).all(no_memory));
    assert_eq!((index.search(&vector(8, 3), 5), index.blocks_of_faiss()), (expected, 0));
}

#[test]
fn a_scan_with_faiss_gives_the_answer_of_one_without_wherever_it_is_cut() {
    let rows = vector(1000 * 8, 2);
    let expected = filled_by(Kernels::scalar(), 8, &rows).search(&vector(8, 3), 7).expect("an admitted query");
    let index = filled(8, &rows);
    for rows_max in [1, 65, 300] {
        let mut scan = Scan::new(index.clone(), &vector(8, 3), 7).expect("an admitted query");
        while !scan.step(rows_max) {}
        assert_eq!(scan.finish(), expected);
    }
}
