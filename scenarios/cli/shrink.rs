//! `stormproof shrink` and `stormproof explain`: from a failing plan to the smallest one, and to what it takes.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use stormproof_reports::{explain::ExplainReport, html, shrink::ShrinkReport};
use stormproof_sim::{
    hunt::{AnyPlan, Shrinking, Shrunk, Suite, explain},
    world::plan::Heading,
};

use super::{
    args::{ExplainArgs, ShrinkArgs},
    error::CliError,
    files::{Output, read_text},
    run::replay_command,
    say,
    select::find,
    vectors,
};
use crate::suites;

/// Far above what any plan has taken.
const CANDIDATES_MAX: u64 = 1_000_000;

/// Shrinks a plan, and saves the smallest that still fails. Returns the exit code: 0, or 4 if the plan does not fail.
#[allow(clippy::disallowed_methods, reason = "tells a person how long it took; no run sees it")]
pub(super) fn shrink(args: &ShrinkArgs) -> Result<u8, CliError> {
    let begun = Instant::now();
    let vectors = vectors(args.vectors.as_deref())?;
    let suites = suites::all(vectors.as_ref());
    let (plan, suite) = read(&args.plan, &suites)?;
    let out = args.out.clone().unwrap_or_else(|| smallest(&args.plan));
    let json = Output::open(args.json.as_deref())?;
    let Some(shrunk) =
        smaller(suite, &plan, args.time).map_err(|words| CliError::Plan { path: args.plan.clone(), words })?
    else {
        return Ok(does_not_fail(&args.plan));
    };
    let written = fs::write(&out, shrunk.plan.to_toml());
    written.map_err(|source| CliError::Output { path: out.clone(), source })?;
    let (plan, replay) = (out.display().to_string(), replay_command(args.vectors.as_deref()));
    let report = ShrinkReport { shrunk: &shrunk, plan: &plan, wall_ns: begun.elapsed().as_nanos() as u64, replay };
    say(&report.text());
    json.map(|file| file.write(&report.json()?)).transpose()?;
    Ok(0)
}

/// The smallest plan that fails as this one does; `None` if it does not fail.
pub(super) fn smaller(suite: &dyn Suite, plan: &AnyPlan, time: Duration) -> Result<Option<Shrunk>, String> {
    Shrinking { time, candidates_max: CANDIDATES_MAX }.run(suite, plan, &|_, _| {}).map_err(|error| error.0)
}

/// Where the smallest of a plan is saved.
pub(super) fn smallest(plan: &Path) -> PathBuf {
    plan.with_extension("min.toml")
}

/// Explains a plan. Returns the exit code: 0, or 4 if the plan does not fail.
pub(super) fn explained(args: &ExplainArgs) -> Result<u8, CliError> {
    let vectors = vectors(args.vectors.as_deref())?;
    let suites = suites::all(vectors.as_ref());
    let (plan, suite) = read(&args.plan, &suites)?;
    let (json, page) = (Output::open(args.json.as_deref())?, Output::open(args.html.as_deref())?);
    let progress = |what: &str| eprintln!("{what} ...");
    let explanation = explain(suite, &plan, args.reseeds, &progress)
        .map_err(|error| CliError::Plan { path: args.plan.clone(), words: error.0 })?;
    let Some(explanation) = explanation else { return Ok(does_not_fail(&args.plan)) };
    let report = ExplainReport { suite, case: &plan.case, seed: plan.seed, explanation: &explanation };
    say(&report.text());
    json.map(|file| file.write(&report.json()?)).transpose()?;
    page.map(|file| file.write(&html::explain(&report))).transpose()?;
    Ok(0)
}

/// A plan and its suite.
pub(super) fn read<'a>(path: &Path, suites: &'a [Box<dyn Suite>]) -> Result<(AnyPlan, &'a dyn Suite), CliError> {
    let text = read_text(path)?;
    let plan = |words| CliError::Plan { path: path.into(), words };
    let heading = Heading::from_toml(&text).map_err(plan)?;
    Ok((AnyPlan::from_toml(&text).map_err(plan)?, find(suites, &heading.suite)?))
}

fn does_not_fail(path: &Path) -> u8 {
    say(&format!("{}: the run holds, so there is nothing to shrink or to explain\n", path.display()));
    4
}
