//! The nearest records of each vector of a file, by the route that is asked for.

use std::{
    io::{self, Write as _},
    path::Path,
    process::ExitCode,
    time::Instant,
};

use serde_json::json;

use super::{
    CommandError,
    data::{Opening, check_dim, config_at, resident_words, start},
};
use crate::{
    driver::Fvecs,
    memory::{Op, Reply, Route},
};

/// What to search for.
pub(super) struct Search<'a> {
    pub(super) queries: &'a Path,
    pub(super) k: u32,
    pub(super) route: Route,
    pub(super) complexity: u32,
    pub(super) limit: Option<u64>,
    pub(super) json: bool,
}

pub(super) fn run(opening: &Opening, what: &Search<'_>) -> Result<ExitCode, CommandError> {
    let queries = Fvecs::open(what.queries)?;
    let config = config_at(opening)?;
    check_dim(&config, what.queries, &queries)?;
    let store = start(opening, config)?;
    let client = store.client();
    let mut took_ms = Vec::new();
    let limit = what.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    for (n, query) in queries.take(limit).enumerate() {
        let (vector, began) = (query?, Instant::now());
        let hits =
            match client.call(Op::Search { vector, k: what.k, route: what.route, complexity: what.complexity })? {
                Reply::Hits { hits, .. } => hits,
                other => return Err(other.into()),
            };
        let ms = began.elapsed().as_secs_f64() * 1e3;
        took_ms.push(ms);
        if what.json {
            let hits: Vec<_> =
                hits.iter().map(|hit| json!({ "id": hit.record.id.0, "distance": hit.distance })).collect();
            writeln!(io::stdout(), "{}", json!({ "query": n, "ms": ms, "hits": hits }))?;
        } else {
            let hits: Vec<_> = hits.iter().map(|hit| format!("{} {}", hit.record.id, hit.distance)).collect();
            writeln!(io::stdout(), "query {n}: {}", hits.join(", "))?;
        }
    }
    store.stop();
    took_ms.sort_by(f64::total_cmp);
    if let Some(last) = took_ms.len().checked_sub(1) {
        let (median, longest) = (took_ms[last / 2], took_ms[last]);
        eprintln!("{} queries: median {median:.1} ms, longest {longest:.1} ms{}", last + 1, resident_words());
    }
    Ok(ExitCode::SUCCESS)
}
