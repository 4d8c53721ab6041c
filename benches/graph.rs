//! The approximate index: how fast it is searched and built, by the instruction set that compares its codes.
//!
//! `cargo bench -p stormproof-bench --bench graph`. Vectors are drawn uniformly, which is the worst case: all are about equally
//! far from each other. A search that leaves one node compares that node's neighbours and is little more than their distances.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use stormproof_bench::{graphs::codes, scan::uniform};
use stormproof_contract::OneThread;
use stormproof_engine::vector::Kernels;
use stormproof_engine::vector::graph::{Builder, Graph, GraphRules, GraphSearch, NO_LINK};

/// One node that leads to 256 others, which stay in the nearest caches: one element is one distance.
fn kernels(criterion: &mut Criterion) {
    let nodes = 256;
    for dim in [128, 960] {
        let (codec, codes) = codes(dim, &uniform((nodes + 1) * dim, 1)).expect("admitted vectors");
        let mut links = vec![NO_LINK; (nodes + 1) * nodes];
        links.iter_mut().zip(1..=nodes as u32).for_each(|(link, node)| *link = node);
        let mut group = criterion.benchmark_group(format!("codes/{dim}"));
        group.sample_size(10).throughput(Throughput::Elements(nodes as u64));
        for kernels in Kernels::available() {
            let graph = Graph::from_parts(codes.clone(), links.clone(), nodes as u32, Some(0), kernels);
            let graph = Arc::new(graph.expect("links to nodes"));
            let query = codec.query(&uniform(dim, 2)).expect("an admitted query");
            group.bench_function(BenchmarkId::from_parameter(kernels.name()), |b| {
                b.iter(|| {
                    let mut search = GraphSearch::new(Arc::clone(&graph), query.clone(), nodes + 1);
                    search.step(black_box(1));
                    search.finish()
                });
            });
        }
        group.finish();
    }
}

fn searches(criterion: &mut Criterion) {
    let (rows, dim) = (10_000, 128);
    let (codec, codes) = codes(dim, &uniform(rows * dim, 1)).expect("admitted vectors");
    let mut group = criterion.benchmark_group(format!("graph/{rows}x{dim}"));
    group.sample_size(10);
    for kernels in Kernels::available() {
        let builder = Builder::new(codes.clone(), GraphRules::default(), kernels).expect("the default rules");
        let graph = Arc::new(builder.finish());
        let queries = uniform(100 * dim, 2);
        for width in [50, 200] {
            let mut queries = queries.chunks_exact(dim).cycle();
            group.bench_function(BenchmarkId::new(kernels.name(), width), |b| {
                b.iter(|| {
                    let query = codec.query(queries.next().expect("a cycle")).expect("an admitted query");
                    let mut search = GraphSearch::new(Arc::clone(&graph), query, width);
                    search.step(usize::MAX);
                    search.finish()
                });
            });
        }
    }
    group.finish();
}

/// A thousand vectors put into nothing, by one thread.
fn builds(criterion: &mut Criterion) {
    let (rows, dim) = (1000, 128);
    let (_, codes) = codes(dim, &uniform(rows * dim, 1)).expect("admitted vectors");
    let mut group = criterion.benchmark_group(format!("graph/{rows}x{dim}"));
    group.sample_size(10).throughput(Throughput::Elements(rows as u64));
    group.bench_function("build", |b| {
        b.iter(|| {
            let mut builder =
                Builder::new(codes.clone(), GraphRules::default(), Kernels::detect()).expect("the default rules");
            while !builder.step(u32::MAX, &OneThread) {}
            builder.finish()
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    // Short, so that all benches together take minutes.
    config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(2));
    targets = kernels, searches, builds
}
criterion_main!(benches);
