//! Exact answers for a run, and what its data set may be called.
#![allow(clippy::disallowed_methods, reason = "whoever waits is told how far it is, every few seconds")]

use std::{
    path::Path,
    time::{Duration, Instant},
};

use super::{Plan, Published, RecallError, Say};
use crate::data::{Agreement, DataError, Nearest, Truth, Vectors, write_ivecs};

/// How many nearest rows are found for each query.
const K: usize = 100;
/// How many answers of a published set are compared with exact ones.
const SAMPLE: usize = 20;
/// How often is told how far it is.
const EVERY: Duration = Duration::from_secs(5);

/// Exact answers.
pub(super) struct Known {
    pub(super) truth: Truth,
    /// A file's name, or `computed`.
    pub(super) from: String,
    /// Whether a sample of the answers of the file was exact; nothing if none was looked at.
    agrees: Option<bool>,
}

/// Reads the answers, or finds them if none are given, or not those of the rows that are loaded. Says why in the notes.
pub(super) fn truth(
    plan: &Plan,
    base: &Vectors,
    queries: &[f32],
    say: Say<'_>,
) -> Result<(Known, Vec<String>), RecallError> {
    let count = queries.len() / base.dim();
    let k = K.max(plan.parameters.k as usize);
    let is_cut = base.is_cut() || (plan.rows.is_some() && base.expected().is_none());
    let mut notes = Vec::new();
    if let Some(path) = &plan.truth {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let truth = Truth::read(path, count)?;
        if is_cut {
            notes.push(format!("{name} is not used: it answers for more rows than are loaded"));
        } else if truth.k < plan.parameters.k as usize {
            notes.push(format!("{name} is not used: it names {} rows for each query", truth.k));
        } else {
            if let Some(rows) = base.expected() {
                inside(&truth, rows, path)?;
            }
            let agrees = plan.published.filter(|it| is_like(it, base.expected().unwrap_or(0), base.dim(), count));
            let agrees = agrees.map(|_| sample(plan, &truth, queries, count, say)).transpose()?;
            return Ok((Known { truth, from: name, agrees }, notes));
        }
    }
    let mut again = Vectors::open(&plan.base, plan.rows)?;
    let of = again.expected().map_or_else(String::new, |rows| format!(" of {rows}"));
    say(&format!("finding the {k} nearest rows of {count} queries, exactly"));
    let mut told = Instant::now();
    let nearest = Nearest::exact(&mut again, queries, k, plan.threads, |rows| {
        if told.elapsed() > EVERY {
            told = Instant::now();
            say(&format!("{rows}{of} rows compared"));
        }
    })?;
    if let Some(path) = &plan.save_truth {
        write_ivecs(path, nearest.truth.k, &nearest.truth.ids)?;
    }
    Ok((Known { truth: nearest.truth, from: "computed".into(), agrees: None }, notes))
}

/// Whether queries from all over the set are answered exactly by the file.
fn sample(plan: &Plan, truth: &Truth, queries: &[f32], count: usize, say: Say<'_>) -> Result<bool, RecallError> {
    say(&format!("comparing {SAMPLE} of the given answers with exact ones"));
    let sample: Vec<usize> = (0..SAMPLE.min(count)).map(|nth| nth * count / SAMPLE.min(count)).collect();
    let agreement = truth.agrees(&mut Vectors::open(&plan.base, None)?, queries, &sample, plan.threads)?;
    if let Agreement::Differs { query, place, expected, found } = agreement {
        say(&format!("query {query}: in place {place} there should be row {expected}, and there is {found}"));
    }
    Ok(agreement == Agreement::Agrees)
}

/// That answers name rows that were loaded, now that it is known how many there are.
pub(super) fn check(known: &Known, rows: u64, base: &Path) -> Result<(), RecallError> {
    inside(&known.truth, rows, base)
}

fn inside(truth: &Truth, rows: u64, path: &Path) -> Result<(), RecallError> {
    match truth.ids.iter().find(|id| u64::from(**id) >= rows) {
        None => Ok(()),
        Some(id) => {
            let (expected, found) = (format!("answers that name rows below {rows}"), format!("row {id}"));
            Err(DataError::Unlike { path: path.into(), expected, found }.into())
        }
    }
}

fn is_like(published: &Published, rows: u64, dim: usize, queries: usize) -> bool {
    (published.rows, published.dim, published.queries) == (rows, dim, queries)
}

/// What the data set is called, and why it is not called what it is said to be.
pub(super) fn name(plan: &Plan, rows: u64, dim: usize, queries: usize, known: &Known) -> (String, Option<String>) {
    let Some(published) = plan.published else {
        let stem = plan.base.file_name().unwrap_or_default().to_string_lossy();
        return (format!("{stem}, {rows} x {dim}"), None);
    };
    let name = published.name;
    let why = if is_like(&published, rows, dim, queries) {
        match known.agrees {
            Some(true) if plan.vouched => return (name.into(), None),
            Some(true) => "it has its shape, and nobody vouches that it is the published set (`--published`)".into(),
            Some(false) => "its answers are exact, those of the file are not".into(),
            None => "its own answers are not here to compare with".into(),
        }
    } else {
        let Published { rows, dim, queries, .. } = published;
        format!("that has {rows} rows of {dim} and {queries} queries")
    };
    (format!("stand-in for {name}, {rows} x {dim}"), Some(format!("not called {name}: {why}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recall::{GIST_1M, tests::plan};

    #[test]
    fn a_published_set_is_named_only_if_rows_queries_and_answers_are_its_own_and_somebody_says_so() {
        let plan = Plan { published: Some(GIST_1M), vouched: true, ..plan(Path::new("."), Path::new(".")) };
        let known = |agrees| Known { truth: Truth { k: 1, ids: vec![0] }, from: String::new(), agrees };
        let of = |rows, agrees| name(&plan, rows, 960, 1_000, &known(agrees));
        assert_eq!(of(1_000_000, Some(true)), ("GIST-1M".into(), None));
        for (rows, agrees) in [(1_000_000, Some(false)), (1_000_000, None), (999_999, Some(true))] {
            let (name, why) = of(rows, agrees);
            assert_eq!(name, format!("stand-in for GIST-1M, {rows} x 960"));
            assert!(why.is_some_and(|why| why.starts_with("not called GIST-1M: ")));
        }
        let unknown = Plan { vouched: false, ..plan };
        let (named, why) = name(&unknown, 1_000_000, 960, 1_000, &known(Some(true)));
        assert_eq!(named, "stand-in for GIST-1M, 1000000 x 960");
        assert!(why.is_some_and(|why| why.contains("nobody vouches")));
    }
}
