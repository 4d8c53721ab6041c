//! The exact index: its distance kernels, a scan beside two ways to read the same bytes, and what a commit costs it.
//!
//! `cargo bench -p stormproof-bench --bench flat`. Compare a `scan` line with the `read` lines of its own group, which
//! were measured within the same minute; `scan_ratio` in this package measures them in turns.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use stormproof_bench::scan::{HITS, index, read_by_copy, read_by_sum, uniform};
use stormproof_engine::ids::{RecordId, Version};
use stormproof_engine::vector::{Kernels, Metric};

const METRICS: [Metric; 3] = [Metric::L2, Metric::Cosine, Metric::InnerProduct];

/// As many rows as stay in the nearest caches: what is left is the kernel. One element is one distance.
fn kernels(criterion: &mut Criterion) {
    let rows = 64;
    for dim in [8, 128, 960] {
        let (components, query) = (uniform(rows * dim, 1), uniform(dim, 2));
        let mut group = criterion.benchmark_group(format!("kernels/{dim}"));
        group.sample_size(10).throughput(Throughput::Elements(rows as u64));
        for (kernels, metric) in Kernels::available().into_iter().flat_map(|kernels| METRICS.map(|m| (kernels, m))) {
            let index = index(kernels, metric, dim, &components).expect("admitted vectors");
            group.bench_function(BenchmarkId::new(kernels.name(), format!("{metric:?}")), |b| {
                b.iter(|| index.search(black_box(&query), HITS).expect("an admitted query"));
            });
        }
        group.finish();
    }
}

fn scans(criterion: &mut Criterion) {
    let dim = 960;
    for rows in [10_000, 100_000] {
        let (components, query) = (uniform(rows * dim, 1), uniform(dim, 2));
        let mut group = criterion.benchmark_group(format!("flat/{rows}x{dim}"));
        group.sample_size(10).throughput(Throughput::Bytes(size_of_val(&components[..]) as u64));
        group.bench_function("read/sum", |b| b.iter(|| read_by_sum(black_box(&components))));
        let mut buffer = [0.0; 4096];
        group.bench_function("read/copy", |b| b.iter(|| read_by_copy(black_box(&components), &mut buffer)));
        for metric in METRICS {
            let index = index(Kernels::detect(), metric, dim, &components).expect("admitted vectors");
            group.bench_function(BenchmarkId::new("scan", format!("{metric:?}")), |b| {
                b.iter(|| index.search(black_box(&query), HITS).expect("an admitted query"));
            });
        }
        group.finish();
    }
}

/// A batch of replaced rows while readers hold the version before it, and the next version handed out.
fn commits(criterion: &mut Criterion) {
    let (rows, dim) = (10_000, 960);
    let components = uniform(rows * dim, 1);
    let mut index = index(Kernels::detect(), Metric::L2, dim, &components).expect("admitted vectors");
    let mut group = criterion.benchmark_group(format!("commit/{rows}x{dim}"));
    for batch in [1, 64] {
        let mut ids = (0..rows as u64).cycle().step_by(97);
        let mut view = index.clone();
        group.sample_size(10).throughput(Throughput::Elements(batch));
        group.bench_function(BenchmarkId::new("replace", batch), |b| {
            b.iter(|| {
                for id in ids.by_ref().take(batch as usize) {
                    let row = &components[id as usize * dim..][..dim];
                    index.upsert(RecordId(id), Version(2), row).expect("an admitted vector");
                }
                view = index.clone();
            });
        });
        assert_eq!(view.len(), rows);
    }
    group.finish();
}

criterion_group! {
    name = benches;
    // Short, so that all benches together take minutes.
    config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(2));
    targets = kernels, scans, commits
}
criterion_main!(benches);
