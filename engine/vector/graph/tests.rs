//! The graph as a whole: what it finds, that nobody can tell how it was built, and what it refuses.

use std::sync::Arc;

use proptest::prelude::*;
use stormproof_contract::{OneThread, Pool};

use super::super::model::OutOfOrder;
use super::super::{Dim, Kernels, Metric, Shape};
use super::*;

const RULES: GraphRules = GraphRules { degree: 16, complexity: 40, alpha_percent: 120 };

fn shape(metric: Metric, dim: usize) -> Shape {
    Shape { metric, dim: Dim::new(dim).expect("a dimension") }
}

/// Vectors in some clusters, as data are.
fn clustered(rows: usize, dim: usize, seed: u64) -> Vec<Vec<f32>> {
    let number = |i: u64| (splitmix64(seed << 40 ^ i) >> 40) as f32 / (1 << 24) as f32 - 0.5;
    let cluster = |row: usize| splitmix64(row as u64 ^ seed) % 20;
    let component = |row: usize, i: usize| {
        2.0 * number(cluster(row) << 20 | i as u64) + number(1 << 39 | (row * dim + i) as u64) + 0.3
    };
    (0..rows).map(|row| (0..dim).map(|i| component(row, i)).collect()).collect()
}

fn codec_and_codes(shape: Shape, vectors: &[Vec<f32>]) -> (Codec, Codes) {
    let mut survey = Survey::new(shape);
    for vector in vectors {
        survey.add(vector).expect("an admitted vector");
    }
    let codec = survey.finish();
    let mut codes = codec.codes();
    for vector in vectors {
        codec.encode(vector, &mut codes).expect("an admitted vector");
    }
    (codec, codes)
}

fn build(codes: Codes, rules: GraphRules, kernels: Kernels, units: u32, pool: &dyn Pool) -> Graph {
    let mut builder = Builder::new(codes, rules, kernels).expect("rules within their bounds");
    while !builder.step(units, pool) {}
    builder.finish()
}

fn graph(shape: Shape, vectors: &[Vec<f32>], rules: GraphRules) -> (Codec, Arc<Graph>) {
    let (codec, codes) = codec_and_codes(shape, vectors);
    (codec, Arc::new(build(codes, rules, Kernels::detect(), 100, &OneThread)))
}

fn search(codec: &Codec, graph: &Arc<Graph>, query: &[f32], width: usize) -> Vec<Candidate> {
    let mut search = GraphSearch::new(Arc::clone(graph), codec.query(query).expect("an admitted query"), width);
    while !search.step(3) {}
    search.finish()
}

/// The rows nearest to `query`, by the exact distances.
fn nearest(
    shape: Shape,
    vectors: &[Vec<f32>],
    rows: impl Iterator<Item = usize>,
    query: &[f32],
    k: usize,
) -> Vec<usize> {
    let distance = |row: usize| shape.distance(Kernels::detect(), &vectors[row], query).expect("admitted vectors");
    let mut all: Vec<(f32, usize)> = rows.map(|row| (distance(row), row)).collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    all.into_iter().take(k).map(|(_, row)| row).collect()
}

fn reachable(graph: &Graph) -> usize {
    let mut met = vec![false; graph.codes().len()];
    let mut queue: Vec<u32> = graph.entry().into_iter().collect();
    while let Some(node) = queue.pop() {
        if !std::mem::replace(&mut met[node as usize], true) {
            let links = &graph.links()[node as usize * graph.degree() as usize..][..graph.degree() as usize];
            queue.extend(links.iter().filter(|link| **link != NO_LINK));
        }
    }
    met.into_iter().filter(|met| *met).count()
}

#[test]
fn candidates_compared_exactly_are_the_nearest_rows_under_every_metric() {
    for metric in Metric::ALL {
        for dim in [2, 7, 100, 130, 300] {
            let shape = shape(metric, dim);
            let (vectors, queries) = (clustered(600, dim, 1), clustered(620, dim, 1));
            let (codec, graph) = graph(shape, &vectors, GraphRules::default());
            for query in &queries[600..] {
                let found = search(&codec, &graph, query, 100).into_iter().map(|candidate| candidate.node as usize);
                let exact = nearest(shape, &vectors, 0..600, query, 10);
                assert_eq!(nearest(shape, &vectors, found, query, 10), exact, "{metric:?} of {dim} components");
            }
        }
    }
}

#[test]
fn the_same_graph_is_built_with_any_number_of_threads_in_any_steps_on_any_processor() {
    let (_, codes) = codec_and_codes(shape(Metric::L2, 24), &clustered(700, 24, 2));
    let expected = build(codes.clone(), RULES, Kernels::scalar(), u32::MAX, &OneThread);
    for kernels in Kernels::available() {
        for (threads, units) in [(1, 1), (2, 50), (3, 7), (3, u32::MAX)] {
            let graph = build(codes.clone(), RULES, kernels, units, &OutOfOrder(threads));
            assert!(graph.links() == expected.links(), "{threads} threads, {units} units, {}", kernels.name());
            assert_eq!(graph.entry(), expected.entry());
        }
    }
}

#[test]
fn every_node_can_be_reached_from_the_entry() {
    let few_links = GraphRules { degree: 2, complexity: 3, alpha_percent: 100 };
    for (rules, rows, dim) in [(RULES, 1500, 8), (RULES, 500, 1), (few_links, 400, 3)] {
        let (_, graph) = graph(shape(Metric::L2, dim), &clustered(rows, dim, 3), rules);
        assert_eq!(reachable(&graph), rows, "{rules:?}");
    }
}

#[test]
fn graphs_of_no_node_of_one_and_of_two_are_searched() {
    let shape = shape(Metric::L2, 3);
    for rows in 0..=2 {
        let (codec, graph) = graph(shape, &clustered(rows, 3, 4), RULES);
        assert_eq!((search(&codec, &graph, &[0.0; 3], 10).len(), reachable(&graph)), (rows, rows));
    }
}

#[test]
fn vectors_that_are_all_equal_are_all_reached_and_equally_far() {
    for (metric, value) in Metric::ALL.into_iter().flat_map(|metric| [(metric, 0.1), (metric, 1e15), (metric, 1e-30)]) {
        let (codec, graph) = graph(shape(metric, 5), &vec![vec![value; 5]; 300], RULES);
        assert_eq!(reachable(&graph), 300);
        let found = search(&codec, &graph, &[0.3, 0.1, 0.2, 0.1, 0.1], 20);
        assert_eq!(found.len(), 20);
        assert!(found.windows(2).all(|pair| pair[0].distance == pair[1].distance && pair[0].node < pair[1].node));
    }
}

#[test]
fn the_size_of_the_components_does_not_matter() {
    let vectors = clustered(300, 6, 5);
    let query = vectors[7].iter().map(|x| x * 1.01).collect::<Vec<_>>();
    let codes_of = |factor: f32| {
        let scaled = |vector: &Vec<f32>| vector.iter().map(|x| x * factor).collect::<Vec<_>>();
        let (codec, graph) = graph(shape(Metric::L2, 6), &vectors.iter().map(scaled).collect::<Vec<_>>(), RULES);
        search(&codec, &graph, &scaled(&query), 5)
    };
    assert_eq!(codes_of(1.0)[0].node, 7);
    for exponent in [-100, -60, 20, 50] {
        assert_eq!(codes_of(2f32.powi(exponent)), codes_of(1.0), "2 to the {exponent}");
    }
}

#[test]
fn a_graph_of_its_parts_gives_the_same_answers() {
    let (shape, vectors) = (shape(Metric::InnerProduct, 20), clustered(200, 20, 6));
    let (codec, graph) = graph(shape, &vectors, RULES);
    let bytes: Vec<u8> = graph.codes().pieces().flatten().copied().collect();
    assert_eq!(bytes.len(), 200 * bytes_per_code(shape));
    let codec = Codec::from_bytes(shape, &codec.to_bytes()).inspect(|read| assert_eq!(*read, codec)).expect("a codec");
    let mut codes = codec.codes();
    codes.push_bytes(&bytes).expect("whole codes");
    let (links, entry) = (graph.links().to_vec(), graph.entry());
    let read = Arc::new(Graph::from_parts(codes, links, RULES.degree, entry, Kernels::scalar()).expect("a graph"));
    assert_eq!(search(&codec, &read, &vectors[3], 30), search(&codec, &graph, &vectors[3], 30));
}

#[test]
fn parts_that_make_no_graph_are_refused() {
    let (codec, codes) = codec_and_codes(shape(Metric::L2, 20), &clustered(3, 20, 7));
    let refusal = |links: Vec<u32>, degree, entry| {
        Graph::from_parts(codes.clone(), links, degree, entry, Kernels::scalar())
            .map(|_| ())
            .expect_err("no graph")
            .to_string()
    };
    assert_eq!(refusal(vec![NO_LINK; 5], 2, Some(0)), "5 links: 3 nodes of degree 2 have 6");
    assert_eq!(refusal(vec![0; 6], u32::MAX, Some(0)), "6 links: 3 nodes of degree 4294967295 have 12884901885");
    assert_eq!(refusal(vec![0, 1, 2, 3, 0, 0], 2, Some(0)), "link 3 leads to node 3: there are 3");
    assert_eq!(refusal(vec![0; 6], 2, Some(3)), "the entry is Some(3): there are 3 nodes");
    assert_eq!(refusal(vec![0; 6], 2, None), "the entry is None: there are 3 nodes");
    assert!(Graph::from_parts(codec.codes(), vec![], 2, Some(0), Kernels::scalar()).is_err());
    assert!(Graph::from_parts(codec.codes(), vec![], 2, None, Kernels::scalar()).is_ok());
    assert_eq!(
        codec.codes().push_bytes(&[0; 65]).expect_err("half a code").to_string(),
        "65 bytes of codes: each takes 64"
    );
    assert!(codec.codes().append(&codec_and_codes(shape(Metric::L2, 200), &[]).1).is_err());
    let (shape, mut bytes) = (codec.shape(), codec.to_bytes());
    assert_eq!(
        Codec::from_bytes(shape, &bytes[1..]).expect_err("too short").to_string(),
        "175 bytes of a codec: one of this shape takes 176"
    );
    bytes[8..16].copy_from_slice(&f64::NAN.to_le_bytes());
    assert_eq!(Codec::from_bytes(shape, &bytes).expect_err("no number").to_string(), "number 1 of a codec is NaN");
}

#[test]
fn vectors_that_an_index_refuses_are_refused() {
    let shape = shape(Metric::Cosine, 2);
    let (codec, mut codes) = codec_and_codes(shape, &[vec![1.0, 2.0]]);
    for vector in [&[1.0][..], &[0.0, 0.0], &[f32::NAN, 1.0]] {
        assert!(Survey::new(shape).add(vector).is_err() && codec.query(vector).is_err());
        assert!(matches!(codec.encode(vector, &mut codes), Err(GraphError::Vector(_))));
    }
    assert_eq!(codes.len(), 1);
}

#[test]
fn rules_out_of_their_bounds_are_refused_by_name() {
    let refusal = |rules: GraphRules| rules.check().expect_err("out of bounds").to_string();
    assert_eq!(GraphRules::default().check(), Ok(()));
    assert_eq!(refusal(GraphRules { degree: 1, ..RULES }), "degree is 1: it must be from 2 to 256");
    assert_eq!(refusal(GraphRules { complexity: 0, ..RULES }), "complexity is 0: it must be from 1 to 4096");
    assert_eq!(refusal(GraphRules { alpha_percent: 201, ..RULES }), "alpha_percent is 201: it must be from 100 to 200");
}

#[test]
fn what_it_needs_in_memory_grows_with_the_nodes_and_never_overflows() {
    let (shape, rules) = (shape(Metric::L2, 960), GraphRules::default());
    assert_eq!(bytes_per_code(shape), 512);
    assert_eq!(bytes_needed_to_search(1_000_000, shape, rules), 1_000_000 * (512 + 8 + 256) + 125_000);
    assert!(bytes_needed_to_build(1_000_000, shape, rules) > bytes_needed_to_search(1_000_000, shape, rules));
    assert_eq!(bytes_needed_to_build(u64::MAX, shape, rules), u64::MAX);
}

/// Sets with many that are equal, or nearly, and some far away.
fn any_vectors() -> impl Strategy<Value = Vec<Vec<f32>>> {
    let component = prop_oneof![Just(0.0f32), Just(1.0), -2.0f32..2.0, Just(1e3)];
    (1usize..=5)
        .prop_flat_map(move |dim| proptest::collection::vec(proptest::collection::vec(component.clone(), dim), 1..=60))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_search_as_wide_as_the_graph_finds_all_nodes_in_the_order_of_their_codes(
        vectors in any_vectors(), degree in 2u32..=6, metric in prop_oneof![Just(Metric::L2), Just(Metric::InnerProduct)],
    ) {
        let (shape, n) = (shape(metric, vectors[0].len()), vectors.len());
        let (codec, graph) = graph(shape, &vectors, GraphRules { degree, complexity: 10, ..RULES });
        let found = search(&codec, &graph, &vectors[n / 2], n);
        let mut query = codec.query(&vectors[n / 2]).expect("an admitted query");
        let mut all: Vec<_> = (0..n as u32).map(|node| {
            (graph.codes().distance(Kernels::scalar(), node, &mut query).cast_unsigned(), node)
        }).collect();
        all.sort_unstable();
        prop_assert_eq!(found.iter().map(|found| (found.distance, found.node)).collect::<Vec<_>>(), all);
    }

    #[test]
    fn hostile_parts_are_refused_or_searched_but_never_panic(
        links in proptest::collection::vec(prop_oneof![0u32..6, Just(NO_LINK), any::<u32>()], 0..=12),
        degree in 0u32..=4, entry in proptest::option::of(0u32..6), bytes in proptest::collection::vec(any::<u8>(), 64 * 4),
    ) {
        let codec = Survey::new(shape(Metric::L2, 4)).finish();
        let mut codes = codec.codes();
        codes.push_bytes(&bytes).expect("four codes");
        if let Ok(graph) = Graph::from_parts(codes, links, degree, entry, Kernels::scalar()) {
            prop_assert!(search(&codec, &Arc::new(graph), &[1.0; 4], 10).len() <= 4);
        }
    }

    #[test]
    fn any_bytes_are_refused_as_a_codec_or_make_codes(numbers in proptest::collection::vec(prop_oneof![any::<f64>(), -1e20..1e60, 0.0..2.0], 6)) {
        let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        if let Ok(codec) = Codec::from_bytes(shape(Metric::L2, 4), &bytes) {
            codec.encode(&[1e16, -1e16, 1.0, 0.0], &mut codec.codes()).expect("an admitted vector");
            codec.query(&[1e16, -1e16, 1.0, 0.0]).expect("an admitted query");
        }
    }
}
