//! What all members promise, tried on each of them; and how near the truth those come that may miss something.

use proptest::prelude::*;
use stormproof_contract::OneThread;

use super::super::model::OutOfOrder;
use super::super::{Dim, Metric};
use super::*;
use crate::ids::Version;

/// All members: by default, and with so little that hardly anything is found without looking again.
fn members() -> [Family; 5] {
    [
        Family::Exact,
        Family::Hnsw(HnswRules::default()),
        Family::Hnsw(HnswRules { m: 2, ef_construction: 2, ef_search: 1 }),
        Family::Vamana(GraphRules::default()),
        Family::Vamana(GraphRules { degree: 2, complexity: 1, alpha_percent: 100 }),
    ]
}

fn shape(metric: Metric, dim: usize) -> Shape {
    Shape { metric, dim: Dim::new(dim).expect("a dimension") }
}

fn empty(family: Family, shape: Shape, when_dirty: WhenDirty) -> Box<dyn Index> {
    family.make(shape, Kernels::detect(), when_dirty).expect("rules within bounds")
}

fn document(id: u64, vector: &[f32]) -> Document {
    let parity = if id.is_multiple_of(2) { "even" } else { "odd" };
    let attributes = BTreeMap::from([("parity".into(), parity.into())]);
    Document { id: RecordId(id), vector: vector.to_vec(), attributes }
}

fn is_even(document: &Document) -> bool {
    document.attributes["parity"] == "even"
}

/// Of documents on a line, the first so many.
fn line(n: u64) -> Vec<Document> {
    (0..n).map(|id| document(id, &[id as f32, 1.0])).collect()
}

fn ids(hits: &[Hit]) -> Vec<u64> {
    hits.iter().map(|hit| hit.id.0).collect()
}

/// What comparing everything gives.
fn brute_force<'a>(documents: impl Iterator<Item = &'a Document>, shape: Shape, query: &[f32], k: usize) -> Vec<Hit> {
    let distance = |row: &[f32]| shape.distance(Kernels::scalar(), row, query).expect("admitted vectors");
    let hit = |document: &Document| Hit { id: document.id, version: Version(0), distance: distance(&document.vector) };
    let mut hits: Vec<Hit> = documents.map(hit).collect();
    hits.sort_by(|a, b| a.distance.total_cmp(&b.distance).then(a.id.cmp(&b.id)));
    hits.truncate(k);
    hits
}

#[derive(Clone, Debug)]
enum Op {
    Insert(Document),
    Batch(Vec<Document>),
    Delete(RecordId),
    Clear,
    Search(Vec<f32>, usize, bool),
}

/// Few ids and few values: duplicates, equal vectors and tied distances are common. No vector is zero.
fn ops() -> impl Strategy<Value = Vec<Op>> {
    let vector = || {
        let component = prop_oneof![Just(0.0f32), Just(0.5), -1.0f32..1.0];
        proptest::collection::vec(component, 3).prop_map(|vector| vec![vector[0] + 2.0, vector[1], vector[2]])
    };
    let document = move || (0u64..60, vector()).prop_map(|(id, vector)| document(id, &vector));
    let op = prop_oneof![
        12 => document().prop_map(Op::Insert),
        3 => proptest::collection::vec(document(), 0..8).prop_map(Op::Batch),
        6 => (0u64..60).prop_map(|id| Op::Delete(RecordId(id))),
        1 => Just(Op::Clear),
        4 => (vector(), prop_oneof![0usize..12, Just(usize::MAX)], any::<bool>()).prop_map(|(q, k, f)| Op::Search(q, k, f)),
    ];
    proptest::collection::vec(op, 0..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_member_holds_what_was_put_in_and_not_taken_out_and_finds_only_that(ops in ops(), metric in 0usize..3) {
        let shape = shape(Metric::ALL[metric], 3);
        for family in members() {
            let (mut index, mut model) = (empty(family, shape, WhenDirty::Rebuild), BTreeMap::new());
            for op in ops.clone() {
                match op {
                    Op::Insert(document) => {
                        let refused = model.contains_key(&document.id);
                        prop_assert_eq!(index.insert(document.clone()).is_err(), refused);
                        model.entry(document.id).or_insert(document);
                    }
                    Op::Batch(batch) => {
                        let mut after = model.clone();
                        after.extend(batch.iter().map(|document| (document.id, document.clone())));
                        let taken = after.len() == model.len() + batch.len();
                        prop_assert_eq!(index.insert_batch(batch).is_ok(), taken);
                        if taken {
                            model = after;
                        }
                    }
                    Op::Delete(id) => prop_assert_eq!(index.delete(id).is_ok(), model.remove(&id).is_some()),
                    Op::Clear => {
                        index.clear();
                        model.clear();
                        prop_assert!(!index.is_dirty());
                    }
                    Op::Search(query, k, filtered) => {
                        let filter: Option<Filter<'_>> = if filtered { Some(&is_even) } else { None };
                        let hits = index.search(&query, k, filter, &OneThread).expect("a search");
                        prop_assert!(!index.is_dirty());
                        let passing = || model.values().filter(|document| !filtered || is_even(document));
                        prop_assert_eq!(hits.len(), k.min(passing().count()), "by {:?}", family);
                        let all = brute_force(passing(), shape, &query, usize::MAX);
                        // Some of what there is, each with its distance, in the right order.
                        let mut left = all.iter();
                        prop_assert!(hits.iter().all(|hit| left.any(|other| other == hit)), "{hits:?} of {all:?}");
                        if family == Family::Exact || k > all.len() {
                            prop_assert_eq!(&hits[..], &all[..hits.len()]);
                        }
                    }
                }
                prop_assert_eq!(index.count(), model.len());
            }
            for id in (0..60).map(RecordId) {
                prop_assert_eq!(index.get(id), model.get(&id).cloned());
            }
        }
    }
}

#[test]
fn a_second_insert_of_an_id_is_refused_and_changes_nothing() {
    for family in members() {
        let mut index = empty(family, shape(Metric::L2, 2), WhenDirty::Refuse);
        index.insert(document(7, &[1.0, 2.0])).expect("a new id");
        index.force_rebuild(&OneThread).expect("a rebuild");
        assert_eq!(index.insert(document(7, &[3.0, 4.0])), Err(IndexError::Duplicate(RecordId(7))));
        assert_eq!(index.delete(RecordId(8)), Err(IndexError::Unknown(RecordId(8))));
        assert_eq!((index.count(), index.get(RecordId(7))), (1, Some(document(7, &[1.0, 2.0]))));
        assert!(!index.is_dirty(), "nothing has changed");
    }
}

#[test]
fn a_batch_with_one_bad_document_changes_nothing_and_the_error_says_which() {
    let bad = [(document(1, &[0.0, 0.0]), "is there already"), (document(9, &[0.0, f32::NAN]), "not a finite number")];
    for (bad, why) in bad {
        for family in members() {
            let mut index = empty(family, shape(Metric::L2, 2), WhenDirty::Refuse);
            let batch = [line(4), vec![bad.clone()], vec![document(10, &[])]].concat();
            let error = index.insert_batch(batch).expect_err("a bad document");
            let text = error.to_string();
            assert!(text.contains("at position 4 of the batch") && text.contains(why), "{text}");
            assert!(matches!(error, IndexError::InBatch { at: 4, id, .. } if id == bad.id));
            assert_eq!((index.count(), index.get(RecordId(0)), index.is_dirty()), (0, None, false));
        }
    }
}

#[test]
fn a_vector_that_does_not_fit_is_refused_and_the_error_says_why() {
    for family in members() {
        let mut index = empty(family, shape(Metric::Cosine, 2), WhenDirty::Refuse);
        let bad: [(&[f32], &str); 3] = [
            (&[1.0], "1 components where the index has 2"),
            (&[1.0, f32::NAN], "component 1"),
            (&[0.0, 0.0], "direction"),
        ];
        for (vector, why) in bad {
            let inserted = index.insert(document(1, vector)).expect_err("a bad vector").to_string();
            let searched = index.search(vector, 0, None, &OneThread).expect_err("a bad query").to_string();
            assert!(inserted.contains(why) && searched.contains(why), "{inserted}; {searched}");
        }
        assert_eq!(index.count(), 0);
    }
}

/// What is done to an index.
type Change = fn(&mut dyn Index) -> Result<(), IndexError>;

#[test]
fn a_dirty_index_refuses_to_search_or_rebuilds_first_as_configured() {
    for family in members() {
        for when_dirty in [WhenDirty::Refuse, WhenDirty::Rebuild] {
            let mut index = empty(family, shape(Metric::L2, 2), when_dirty);
            let is_built = family != Family::Exact;
            let changes: [Change; 3] = [
                |index| index.insert_batch(line(200)),
                |index| index.insert(document(900, &[900.0, 1.0])),
                |index| index.delete(RecordId(3)),
            ];
            for change in changes {
                assert!(!index.is_dirty());
                index.insert_batch(vec![]).expect("nothing to refuse");
                assert!(!index.is_dirty(), "nothing has changed");
                change(&mut *index).expect("an admitted change");
                assert_eq!(index.is_dirty(), is_built);
                let refused = index.search_clean(&[3.0, 1.0], 2, None) == Err(IndexError::Dirty);
                assert_eq!(refused, is_built, "who may only read cannot rebuild");
                let found = index.search(&[3.0, 1.0], 2, None, &OneThread);
                if is_built && when_dirty == WhenDirty::Refuse {
                    assert_eq!((found, index.is_dirty()), (Err(IndexError::Dirty), true));
                    index.force_rebuild(&OneThread).expect("a rebuild");
                } else {
                    assert_eq!(found.map(|hits| hits.len()), Ok(2));
                }
                assert!(!index.is_dirty());
            }
            assert_eq!(index.search(&[3.0, 1.0], 2, None, &OneThread).map(|hits| ids(&hits)), Ok(vec![2, 4]));
            index.clear();
            assert_eq!((index.search(&[3.0, 1.0], 2, None, &OneThread), index.count()), (Ok(vec![]), 0));
        }
    }
}

#[test]
fn a_filter_that_few_pass_is_answered_in_full() {
    for family in members() {
        let mut index = empty(family, shape(Metric::L2, 2), WhenDirty::Rebuild);
        index.insert_batch(line(1000)).expect("new ids");
        let far = |document: &Document| document.id.0 >= 993;
        let hits = index.search(&[0.0, 1.0], 5, Some(&far), &OneThread).expect("a search");
        assert_eq!(ids(&hits), [993, 994, 995, 996, 997], "by {family:?}");
        let none = index.search(&[0.0, 1.0], 5, Some(&|_| false), &OneThread);
        assert_eq!(none, Ok(vec![]));
    }
}

#[test]
fn rules_out_of_their_bounds_make_no_index() {
    let hnsw = Family::Hnsw(HnswRules { m: 1, ..HnswRules::default() });
    let vamana = Family::Vamana(GraphRules { degree: 1000, ..GraphRules::default() });
    for (family, why) in [(hnsw, "m is 1: it must be from 2 to 128"), (vamana, "degree is 1000")] {
        let error = family.make(shape(Metric::L2, 2), Kernels::scalar(), WhenDirty::Refuse).expect_err("a bad rule");
        assert!(error.to_string().contains(why), "{error}");
    }
}

/// About `0..=1`, and the same everywhere.
fn chance(seed: u64) -> f32 {
    (super::super::graph::splitmix64(seed) >> 40) as f32 / (1 << 24) as f32
}

/// Of vectors around 20 centres, one.
fn clustered(seed: u64) -> Vec<f32> {
    let centre = seed % 20;
    (0..16).map(|i| 4.0 * chance(centre * 16 + i) - 2.0 + chance(1_000_000 + seed * 16 + i)).collect()
}

fn clusters() -> Vec<Document> {
    (0..1000).map(|id| document(id, &clustered(id))).collect()
}

#[test]
fn of_the_ten_nearest_of_clustered_vectors_nearly_all_are_found() {
    for metric in Metric::ALL {
        for family in [Family::Hnsw(HnswRules::default()), Family::Vamana(GraphRules::default())] {
            let [mut exact, mut index] = [Family::Exact, family].map(|family| {
                let mut index = empty(family, shape(metric, 16), WhenDirty::Rebuild);
                index.insert_batch(clusters()).expect("new ids");
                index
            });
            let mut found = 0;
            for query in (5000..5100).map(clustered) {
                let [truth, hits] =
                    [&mut exact, &mut index].map(|index| index.search(&query, 10, None, &OneThread).expect("a search"));
                found += hits.iter().filter(|hit| truth.contains(hit)).count();
            }
            assert!(found >= 950, "{found} of 1000 by {family:?} and {metric:?}");
        }
    }
}

#[test]
fn neither_threads_nor_instructions_nor_the_order_of_insertion_shows_in_the_hits() {
    for family in members() {
        let answers = |kernels: Kernels, pool: &dyn Pool, backwards: bool| -> Vec<Vec<Hit>> {
            let mut index = family.make(shape(Metric::Cosine, 16), kernels, WhenDirty::Rebuild).expect("rules");
            let mut documents = clusters();
            if backwards {
                documents.reverse();
            }
            index.insert_batch(documents).expect("new ids");
            let search = |query: Vec<f32>| index.search(&query, 7, Some(&is_even), pool).expect("a search");
            (5000..5020).map(clustered).map(search).collect()
        };
        let expected = answers(Kernels::scalar(), &OneThread, false);
        assert_eq!(answers(Kernels::scalar(), &OutOfOrder(3), false), expected, "by {family:?}");
        assert_eq!(answers(Kernels::detect(), &OutOfOrder(3), true), expected, "by {family:?}");
    }
}
