//! `stormproof explore`: every crash of a bounded workload, and everything that it may leave.

use std::{fs, io, path::Path, time::Instant};

use stormproof_reports::{explore::Explored, html};
use stormproof_sim::hunt::{Exploration, ExploreReport, Suite};

use super::{
    args::ExploreArgs,
    error::CliError,
    files::Output,
    progress::Board,
    run::{processors, replay_command},
    say,
    select::one,
    vectors,
};
use crate::suites;

/// A workload with so many failing states is left.
const FAILURES_MAX: u64 = 1_000;

/// Explores a suite, and says what came of it. Returns the exit code.
#[allow(clippy::disallowed_methods, reason = "tells a person how long it took; no run sees it")]
pub(super) fn explore(args: &ExploreArgs) -> Result<u8, CliError> {
    let begun = Instant::now();
    let vectors = vectors(args.vectors.as_deref())?;
    let suites = suites::all(vectors.as_ref());
    let (suite, case) = one(&suites, &args.suite)?;
    let (json, junit) = (Output::open(args.json.as_deref())?, Output::open(args.junit.as_deref())?);
    let page = Output::open(args.html.as_deref())?;
    let threads = args.jobs.map_or_else(processors, usize::from);
    let exploration = Exploration {
        operations: args.ops,
        profile: args.profile.into(),
        depth: args.depth,
        bound: args.bound,
        workloads: args.workloads,
        from: args.from,
        case,
        threads,
        failures_max: FAILURES_MAX,
    };
    let board = Board::new();
    board.begin(suite.name());
    let mut report = exploration
        .run(suite, &|progress| board.explored(progress))
        .map_err(|error| CliError::Sketch { words: error.0 })?;
    board.close();
    save(suite, &mut report, &args.save);
    let wall_ns = begun.elapsed().as_nanos() as u64;
    let replay = replay_command(args.vectors.as_deref());
    let explored = Explored { suite, report: &report, wall_ns, threads, replay };
    say(&explored.text());
    json.map(|file| file.write(&explored.json()?)).transpose()?;
    junit.map(|file| file.write(&explored.junit()?)).transpose()?;
    page.map(|file| file.write(&html::explore(&explored))).transpose()?;
    Ok(explored.exit_code())
}

/// Saves what was found as plans. Where that is impossible it is found all the same.
fn save(suite: &dyn Suite, report: &mut ExploreReport, dir: &Path) {
    for (n, found) in report.failures.values_mut().enumerate() {
        let plan = dir.join(format!("{}-explored-{}.toml", suite.name(), n + 1));
        let written: io::Result<()> = fs::create_dir_all(dir).and_then(|()| fs::write(&plan, &found.plan));
        match written {
            Ok(()) => found.saved = Some(plan.display().to_string()),
            Err(error) => eprintln!("stormproof: cannot save a plan in {}: {error}", dir.display()),
        }
    }
}
