//! A search of the exact index beside a plain read of the same bytes: how near a scan comes to the speed of memory.
//!
//! Vectors are drawn uniformly, component by component. That is the worst case for giving rows up early, since in many
//! dimensions all such rows are about equally far: real data is scanned faster. What is measured is one thread.

use std::hint::black_box;
use std::time::Instant;

use stormproof_engine::ids::{RecordId, Version};
use stormproof_engine::vector::{Dim, FlatIndex, Kernels, Metric, Shape, VectorError};

/// How many hits the searches ask for.
pub const HITS: usize = 10;

/// `count` numbers between -1 and 1, the same for the same `seed`.
pub fn uniform(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    let mut draw = || {
        // SplitMix64 (Steele, Lea and Flood, 2014): enough for data that only has to be spread out.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f32 / 8_388_608.0 - 1.0
    };
    (0..count).map(|_| draw()).collect()
}

/// An index of the rows that lie one after the other in `components`.
pub fn index(kernels: Kernels, metric: Metric, dim: usize, components: &[f32]) -> Result<FlatIndex, VectorError> {
    let mut index = FlatIndex::new(Shape { metric, dim: Dim::new(dim)? }, kernels);
    for (id, row) in (0..).zip(components.chunks_exact(dim)) {
        index.upsert(RecordId(id), Version(1), row)?;
    }
    Ok(index)
}

/// Reads every component once, by adding it up in lanes enough to keep vector units busy.
pub fn read_by_sum(components: &[f32]) -> f32 {
    let mut sums = [0.0; 32];
    for lanes in components.chunks_exact(sums.len()) {
        for (sum, component) in sums.iter_mut().zip(lanes) {
            *sum += component;
        }
    }
    sums.iter().sum()
}

/// Reads every component once, by copying it to a place that stays in the nearest cache: the standard library's copy
/// uses the widest registers of the processor, which safe code compiled for every processor cannot.
pub fn read_by_copy(components: &[f32], buffer: &mut [f32; 4096]) {
    for part in components.chunks_exact(buffer.len()) {
        buffer.copy_from_slice(part);
        black_box(&mut *buffer);
    }
}

/// How long a search took, and a read of the same bytes.
#[derive(Clone, Copy, Debug)]
pub struct ScanRatio {
    /// One search for [`HITS`] hits: the median.
    pub scan_ns: u64,
    /// One read: the median of the faster of the two ways.
    pub read_ns: u64,
}

/// Measures in turns, so that whatever else the machine does meanwhile falls on all alike. `turns` is at least 1.
pub fn scan_ratio(metric: Metric, rows: usize, dim: usize, turns: usize) -> Result<ScanRatio, VectorError> {
    let components = uniform(rows * dim, 1);
    let query = uniform(dim, 2);
    let index = index(Kernels::detect(), metric, dim, &components)?;
    let mut buffer = [0.0; 4096];
    let [mut sums, mut copies, mut scans] = [(); 3].map(|()| Vec::with_capacity(turns));
    for _ in 0..turns {
        sums.push(nanos(|| _ = black_box(read_by_sum(black_box(&components)))));
        copies.push(nanos(|| read_by_copy(black_box(&components), &mut buffer)));
        scans.push(nanos(|| _ = black_box(index.search(black_box(&query), HITS))));
    }
    Ok(ScanRatio { scan_ns: median(scans), read_ns: median(sums).min(median(copies)) })
}

fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values[values.len() / 2]
}

#[allow(clippy::disallowed_methods, reason = "a benchmark asks the machine's own clock")]
fn nanos(work: impl FnOnce()) -> u64 {
    let start = Instant::now();
    work();
    start.elapsed().as_nanos() as u64
}
