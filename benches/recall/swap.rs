//! What a client waits while the archive is built again, and when the new generation takes the old one's place.
//!
//! One client asks all the time: for a while before the rebuild, which is what the rest is compared with, while it goes on, and for
//! a while after it. It is the same client and the same queries throughout.
#![allow(clippy::disallowed_methods, reason = "a benchmark asks the machine's clock, and its client is a thread")]

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use super::{
    ask::{Call, How, Queries, until},
    latency::Latencies,
    report::{Part, Swap},
    target::{Rebuild, Target, TargetError},
};

/// How near to the end of a rebuild a query is counted as one across the swap.
const NEAR: Duration = Duration::from_millis(500);

/// Rebuilds while a client asks; `turn` is how long it asks before and after.
pub(super) fn measure(
    target: &Target,
    queries: &Queries<'_>,
    how: How,
    turn: Duration,
) -> Result<Part<Swap>, TargetError> {
    let (begun, over, asker) = (Instant::now(), AtomicBool::new(false), target.asker());
    let nanos = || begun.elapsed().as_nanos() as u64;
    let (asked, from, to, rebuilt) = thread::scope(|scope| {
        let asking = scope.spawn(|| until(&asker, queries, how, begun, || over.load(Ordering::Relaxed)));
        thread::sleep(turn);
        let from = nanos();
        let rebuilt = target.asker().rebuild();
        let to = nanos();
        if matches!(rebuilt, Ok(Rebuild::Done { .. })) {
            thread::sleep(turn);
        }
        over.store(true, Ordering::Relaxed);
        (asking.join().expect("a client does not panic"), from, to, rebuilt)
    });
    let calls = asked?;
    match rebuilt? {
        Rebuild::Refused(why) => Ok(Part::Failed(why)),
        Rebuild::Done { .. } => Ok(Part::Measured(told(&calls, from, to))),
    }
}

fn told(calls: &[Call], from: u64, to: u64) -> Swap {
    let near = NEAR.as_nanos() as u64;
    let of = |belongs: &dyn Fn(u64, u64) -> bool| {
        let mut latencies = Latencies::default();
        for Call { at, took, .. } in calls {
            if belongs(*at, at + took) {
                latencies.record(*took);
            }
        }
        latencies.percentiles()
    };
    let quiet = of(&|_, end| end < from);
    let during = of(&|at, end| end >= from && at < to);
    let across = of(&|at, end| end + near >= to && at <= to + near);
    let after = of(&|at, _| at >= to);
    Swap {
        rebuild_s: (to - from) as f64 / 1e9,
        p50_ratio: during.p50_us / quiet.p50_us,
        p99_ratio: during.p99_us / quiet.p99_us,
        p99_ratio_across: across.p99_us / quiet.p99_us,
        recall: calls.iter().map(|call| call.recall).sum::<f64>() / calls.len().max(1) as f64,
        quiet,
        during,
        across,
        after,
    }
}

#[cfg(test)]
mod tests {
    use super::{Call, told};

    #[test]
    fn each_query_is_told_where_it_belongs_by_when_it_was_asked_and_answered() {
        let ms = 1_000_000;
        // Ten quiet ones, one that the rebuild begins in, one in it, one that it ends in, one long after.
        let mut calls: Vec<(u64, u64)> = (0..10).map(|nth| (nth * 10 * ms, ms)).collect();
        calls.extend([(99 * ms, 4 * ms), (1_000 * ms, 4 * ms), (4_999 * ms, 8 * ms), (9_000 * ms, ms)]);
        let recall = |nth: usize| if nth < 7 { 1.0 } else { 0.5 };
        let calls =
            calls.iter().enumerate().map(|(nth, (at, took))| Call { at: *at, took: *took, recall: recall(nth) });
        let swap = told(&calls.collect::<Vec<_>>(), 100 * ms, 5_000 * ms);
        let counts = [swap.quiet, swap.during, swap.across, swap.after].map(|it| it.calls);
        assert_eq!(counts, [10, 3, 1, 1]);
        assert!((swap.p50_ratio - 4.0).abs() < 0.01 && (swap.p99_ratio_across - 8.0).abs() < 0.02, "{swap:?}");
        assert!((swap.recall - 0.75).abs() < 1e-6 && (swap.rebuild_s - 4.9).abs() < 1e-6, "{swap:?}");
    }
}
