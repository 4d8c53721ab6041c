//! How long calls took: percentiles of a histogram that tells apart what differs by a thousandth.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::commit::histogram;

/// The end of the first range of durations, and by how much each is longer than that before it.
const LEAST_US: f64 = 1.0;
const WIDER: f64 = 1.25;

/// Percentiles, in microseconds.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Percentiles {
    /// How many calls there were.
    pub calls: u64,
    /// Half took at most this long.
    pub p50_us: f64,
    /// All but one in twenty.
    pub p95_us: f64,
    /// All but one in a hundred.
    pub p99_us: f64,
    /// All but one in a thousand.
    pub p999_us: f64,
    /// The longest.
    pub max_us: f64,
}

/// A range of durations, and how many calls took so long.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Bin {
    /// From here, in microseconds.
    pub from_us: f64,
    /// To here, without it.
    pub to_us: f64,
    /// How many.
    pub calls: u64,
}

/// Durations of calls.
pub(super) struct Latencies(Histogram<u64>);

impl Default for Latencies {
    fn default() -> Self {
        Latencies(histogram())
    }
}

impl Latencies {
    /// One more.
    pub(super) fn record(&mut self, nanos: u64) {
        self.0.saturating_record(nanos);
    }

    /// Those of another thread.
    pub(super) fn add(&mut self, other: &Latencies) {
        self.0 += &other.0;
    }

    /// The percentiles.
    pub(super) fn percentiles(&self) -> Percentiles {
        let at = |quantile| self.0.value_at_quantile(quantile) as f64 / 1e3;
        Percentiles {
            calls: self.0.len(),
            p50_us: at(0.50),
            p95_us: at(0.95),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: self.0.max() as f64 / 1e3,
        }
    }

    /// The calls by ranges, each a quarter longer than that before it; the first ones that have none are left out.
    pub(super) fn bins(&self) -> Vec<Bin> {
        let mut bins: Vec<Bin> = Vec::new();
        for recorded in self.0.iter_recorded() {
            let us = recorded.value_iterated_to() as f64 / 1e3;
            let mut to_us = bins.last().map_or(LEAST_US, |bin| bin.to_us);
            while bins.is_empty() || to_us <= us {
                let from_us = if bins.is_empty() { 0.0 } else { to_us };
                to_us = if bins.is_empty() { LEAST_US } else { to_us * WIDER };
                bins.push(Bin { from_us, to_us, calls: 0 });
            }
            bins.last_mut().expect("one was pushed at least").calls += recorded.count_at_value();
        }
        let first = bins.iter().position(|bin| bin.calls > 0).unwrap_or(bins.len());
        bins.split_off(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_and_bins_are_of_what_was_recorded() {
        let mut latencies = Latencies::default();
        (1..=1000).for_each(|nth| latencies.record(nth * 10_000));
        let Percentiles { calls, p50_us, p99_us, max_us, .. } = latencies.percentiles();
        assert_eq!(calls, 1000);
        for (found, expected) in [(p50_us, 5_000.0), (p99_us, 9_900.0), (max_us, 10_000.0)] {
            assert!((found / expected - 1.0_f64).abs() < 0.002, "{found} is not {expected}");
        }
        let bins = latencies.bins();
        assert!(bins.windows(2).all(|two| (two[0].to_us - two[1].from_us).abs() < 1e-9), "{bins:?}");
        assert!(bins[0].from_us <= 10.0 && bins[0].calls > 0 && bins[bins.len() - 1].to_us > 9_999.0, "{bins:?}");
        let sum: u64 = bins.iter().map(|bin| bin.calls).sum();
        assert_eq!(sum, 1000);
        assert!(Latencies::default().bins().is_empty());
    }
}
