//! How searches scale: with the number of rows, and with the number of threads that search at once.
//!
//! `cargo bench -p stormproof-bench --bench scaling`. One element is one query, so the throughput is what all threads answer together;
//! with more of them than processors it should stay, not fall. An iteration is a fixed number of queries, divided among the threads,
//! which are started anew each time: there are so many that this is little. Vectors are drawn uniformly, the worst case. A search
//! of the graph is that of the codes, without a look at the vectors of what it finds.
#![allow(missing_docs, reason = "`criterion_group` makes a public function without one")]
#![allow(clippy::disallowed_methods, reason = "what is measured is threads")]

use std::{cell::OnceCell, hint::black_box, sync::Arc, thread, time::Duration};

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use stormproof_bench::{
    graphs::codes,
    scan::{HITS, index, uniform},
};
use stormproof_engine::{
    driver::Threads,
    vector::{
        FlatIndex, Kernels, Metric,
        graph::{Builder, Codec, Graph, GraphRules, GraphSearch},
    },
};

const DIM: usize = 128;
const THREADS: [usize; 4] = [1, 2, 4, 8];
/// How many candidates a search of the graph keeps.
const WIDTH: usize = 100;
/// Queries of an iteration: of the graph, whose time depends little on the rows.
const GRAPH_QUERIES: usize = 512;
/// Rows, and queries of an iteration of the exact index, whose time grows as they do.
const SIZES: [(usize, usize); 3] = [(1_000, 2048), (10_000, 512), (100_000, 32)];
/// Different ones, which take turns.
const QUERIES: usize = 64;

type Search = fn(&Made, &[f32]);

/// Both indexes of the same rows.
struct Made {
    flat: FlatIndex,
    codec: Codec,
    graph: Arc<Graph>,
    queries: Vec<f32>,
}

impl Made {
    fn new(rows: usize) -> Made {
        let components = uniform(rows * DIM, 1);
        let flat = index(Kernels::detect(), Metric::L2, DIM, &components).expect("admitted vectors");
        let (codec, codes) = codes(DIM, &components).expect("admitted vectors");
        let mut builder = Builder::new(codes, GraphRules::default(), Kernels::detect()).expect("the default rules");
        while !builder.step(u32::MAX, &Threads::of_machine()) {}
        Made { flat, codec, graph: Arc::new(builder.finish()), queries: uniform(QUERIES * DIM, 2) }
    }

    fn scan(&self, query: &[f32]) {
        black_box(self.flat.search(query, HITS).expect("an admitted query"));
    }

    fn walk(&self, query: &[f32]) {
        let query = self.codec.query(query).expect("an admitted query");
        let mut search = GraphSearch::new(Arc::clone(&self.graph), query, WIDTH);
        search.step(usize::MAX);
        black_box(search.finish());
    }

    fn ask(&self, threads: usize, queries: usize, search: Search) {
        let some = || {
            let asked = self.queries.chunks_exact(DIM).cycle().take(queries / threads);
            asked.for_each(|query| search(self, black_box(query)));
        };
        thread::scope(|scope| (0..threads).for_each(|_| _ = scope.spawn(some)));
    }
}

fn searches(criterion: &mut Criterion) {
    for (rows, scans) in SIZES {
        // Made once, and not at all if a filter leaves out these rows.
        let made = OnceCell::new();
        let kinds = [("scan", scans, Made::scan as Search), ("graph", GRAPH_QUERIES, Made::walk)];
        for (kind, queries, search) in kinds {
            let mut group = criterion.benchmark_group(format!("scaling/{kind}/{rows}x{DIM}"));
            group.sample_size(10).sampling_mode(SamplingMode::Flat).throughput(Throughput::Elements(queries as u64));
            for threads in THREADS {
                group.bench_function(BenchmarkId::new("threads", threads), |b| {
                    let made = made.get_or_init(|| Made::new(rows));
                    b.iter(|| made.ask(threads, queries, search));
                });
            }
            group.finish();
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    targets = searches
}
criterion_main!(benches);
