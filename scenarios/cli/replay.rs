//! `stormproof replay`: one run again, from its seed or by a saved plan.

use std::path::Path;

use stormproof_reports::{Mode, ReplayReport, html, junit, replay::Recorded};
use stormproof_sim::{
    hunt::{Run, Source, Suite, compare_exactly},
    world::{Settings, plan::Heading},
};

use super::{
    args::ReplayArgs,
    error::CliError,
    files::{Output, read_text},
    say,
    select::find,
    vectors,
};
use crate::suites;

/// Plays a run again, and says what came of it. Returns the exit code.
pub(super) fn replay(args: &ReplayArgs) -> Result<u8, CliError> {
    let source = source(&args.what)?;
    let outputs = Outputs::open(args)?;
    let vectors = vectors(args.vectors.as_deref())?;
    let suites = suites::all(vectors.as_ref());
    let told = args.html.is_some();
    let settings = Settings { words: args.trace || args.exact || told, record: told };
    let (suite, run, mode) = match &source {
        Source::Seed { .. } if args.exact || args.plan => {
            return Err(CliError::SeedHasNoPlan { found: args.what.clone() });
        }
        Source::Seed { suite, seed } => {
            let suite = find(&suites, suite)?;
            (suite, suite.run_seed(*seed, &settings), Mode::Seed)
        }
        Source::Plan(text) => by_plan(args, text, &suites, settings)?,
    };
    if args.trace {
        run.result.lines.iter().for_each(|line| say(&format!("{line}\n")));
    }
    let report = ReplayReport { suite, run: &run, mode };
    say(&report.text());
    outputs.write(&report)?;
    Ok(report.exit_code())
}

/// The files that were asked for, opened before the run.
struct Outputs {
    json: Option<Output>,
    junit: Option<Output>,
    html: Option<Output>,
}

impl Outputs {
    fn open(args: &ReplayArgs) -> Result<Outputs, CliError> {
        Ok(Outputs {
            json: Output::open(args.json.as_deref())?,
            junit: Output::open(args.junit.as_deref())?,
            html: Output::open(args.html.as_deref())?,
        })
    }

    fn write(self, report: &ReplayReport<'_>) -> Result<(), CliError> {
        self.json.map(|file| file.write(&report.json()?)).transpose()?;
        self.junit.map(|file| file.write(&junit::replay(report)?)).transpose()?;
        self.html.map(|file| file.write(&html::replay(report))).transpose()?;
        Ok(())
    }
}

/// A file if there is one, else a seed.
fn source(what: &str) -> Result<Source, CliError> {
    let path = Path::new(what);
    let seed = what.rsplit_once(':').and_then(|(suite, seed)| Some((suite.to_owned(), seed.parse().ok()?)));
    match seed {
        Some((suite, seed)) if !path.exists() => Ok(Source::Seed { suite, seed }),
        None if !path.exists() => Err(CliError::NoSource { found: what.into() }),
        _ => Ok(Source::Plan(read_text(path)?)),
    }
}

fn by_plan<'a>(
    args: &ReplayArgs,
    text: &str,
    suites: &'a [Box<dyn Suite>],
    settings: Settings,
) -> Result<(&'a dyn Suite, Run, Mode), CliError> {
    let path = Path::new(&args.what);
    let plan = |words| CliError::Plan { path: path.into(), words };
    let heading = Heading::from_toml(text).map_err(plan)?;
    let suite = find(suites, &heading.suite)?;
    // Read first: a run is not needed to learn that there is nothing to compare it with.
    let trace = args.exact.then(|| read_text(&path.with_extension("trace"))).transpose()?;
    let run = suite.run_plan(text, &settings).map_err(|error| plan(error.0))?;
    let recorded = Recorded { why: heading.why, trace_hash: heading.trace };
    let mode = match trace {
        None => Mode::Plan(recorded),
        Some(trace) => Mode::Exact(recorded, compare_exactly(trace.lines(), &run.result.lines)),
    };
    Ok((suite, run, mode))
}
