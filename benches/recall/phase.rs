//! The queries of a store that is there: which search list size is enough, and what comes of it.
//!
//! The size is chosen by one half of the queries and everything is reported of the other, so nothing was fitted to what is shown.
//! It is the same work whether it is done in this process or in one with less memory.
#![allow(clippy::disallowed_methods, reason = "a benchmark asks the machine's clock")]

use std::{
    path::Path,
    time::{Duration, Instant},
};

use super::{
    RecallError, Say,
    ask::{How, Queries, pass, throughput},
    cached::page_cache,
    latency::Percentiles,
    report::{Asked, Bytes, Parameters, Point},
    target::{Settings, Target},
    vitals::{Memory, Reads, forget_pages},
};

/// By how much recall may differ between the halves for no other reason than chance.
const CHANCE: f64 = 0.01;

/// How many queries are asked when nothing is in memory yet: the more, the more of them meet what others have read.
const COLD_QUERIES: usize = 100;

/// Measures the queries of the store in `dir`, which nobody has open; it is open afterwards.
pub(super) fn ask(
    dir: &Path,
    settings: &Settings,
    queries: &Queries<'_>,
    parameters: &Parameters,
    say: Say<'_>,
) -> Result<(Asked, Target), RecallError> {
    Memory::forget_peak();
    let (first, other) = queries.halves();
    let k = parameters.k;
    let target = Target::open(dir, settings)?;
    let mut chosen_by = Vec::new();
    for &complexity in &parameters.complexities {
        let recall = pass(&target.asker(), &first, How { k, complexity }, 1)?.recall;
        say(&format!("choosing: complexity {complexity} has a recall of {recall:.4}"));
        chosen_by.push((complexity, recall));
    }
    let complexity = choose(&chosen_by, parameters.recall_aim);
    target.close()?;

    forget_pages(dir).map_err(|source| RecallError::Io { path: dir.into(), source })?;
    let begun = Instant::now();
    let target = Target::open(dir, settings)?;
    let open_cold_s = begun.elapsed().as_secs_f64();
    // Opening has read some of it, and the first queries are to find nothing.
    forget_pages(dir).map_err(|source| RecallError::Io { path: dir.into(), source })?;
    let (asker, how) = (target.asker(), How { k, complexity });
    let before = Reads::now();
    let cold = pass(&asker, &other.some(COLD_QUERIES), how, 1)?.latencies.percentiles().calls;
    let (cold_called, cold_disk) = each(before, Reads::now(), cold);

    // What was asked first finds nothing in caches; it is not what a running service does.
    pass(&asker, &other, how, 1)?;
    let before = Reads::now();
    let told = pass(&asker, &other, how, parameters.calls_min)?;
    let latency = told.latencies.percentiles();
    let (warm_called, warm_disk) = each(before, Reads::now(), latency.calls);
    let page_cache = page_cache(dir);
    say(&format!("complexity {complexity}: recall {:.4}, p99 {:.2} ms", told.recall, latency.p99_us / 1e3));
    // A list has to be as long as what is asked for.
    let hundred = How { k: 100, complexity: if complexity == 0 { 0 } else { complexity.max(100) } };
    let recall_100 = (queries.truth_k() >= 100).then(|| pass(&asker, &other, hundred, 1)).transpose()?;

    let mut curve = Vec::new();
    for (complexity, recall_chosen_by) in chosen_by {
        let told = pass(&asker, &other, How { k, complexity }, 1)?;
        let Percentiles { p50_us, p99_us, .. } = told.latencies.percentiles();
        let (recall, per_second) = (told.recall, told.per_second);
        curve.push(Point { complexity, recall_chosen_by, recall, per_second, p50_us, p99_us });
    }
    let mut clients = Vec::new();
    for &threads in &parameters.clients {
        say(&format!("{threads} clients at once"));
        clients.push(throughput(&asker, &other, how, threads, Duration::from_secs_f64(parameters.turn_s))?);
    }
    let asked = Asked {
        curve,
        complexity,
        latency,
        histogram: told.latencies.bins(),
        recall: told.recall,
        by_archive: told.by_archive,
        recall_100: recall_100.map(|pass| pass.recall),
        throughput: clients,
        bytes: Bytes { cold_queries: cold, cold_called, cold_disk, warm_called, warm_disk },
        page_cache,
        open_cold_s,
        memory: Memory::now(),
    };
    Ok((asked, target))
}

/// The least search list size that has the recall on one half, and a little more since the other half is another; if none has, that
/// of the greatest recall.
fn choose(tried: &[(u32, f64)], aim: f64) -> u32 {
    let enough = tried.iter().filter(|(_, recall)| *recall >= (aim + CHANCE).min(1.0)).min_by_key(|it| it.0);
    let best = || tried.iter().max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0)));
    enough.or_else(best).map_or(0, |(complexity, _)| *complexity)
}

/// What each of so many queries has read.
fn each(before: Option<Reads>, after: Option<Reads>, queries: u64) -> (Option<f64>, Option<f64>) {
    let (before, after) = before.zip(after).unzip();
    let of = |what: fn(&Reads) -> u64| Some((what(&after?) - what(&before?)) as f64 / queries.max(1) as f64);
    (of(|reads| reads.called), of(|reads| reads.disk))
}

#[cfg(test)]
mod tests {
    use super::choose;

    #[test]
    fn the_narrowest_search_that_finds_enough_is_chosen_or_the_best_of_those_that_do_not() {
        assert_eq!(choose(&[(200, 0.99), (100, 0.97), (64, 0.955), (32, 0.9)], 0.95), 100);
        assert_eq!(choose(&[(32, 0.5), (64, 0.7), (100, 0.7)], 0.95), 64);
        assert_eq!(choose(&[(32, 1.0)], 1.0), 32);
    }
}
