//! `stormproof real`: the engine killed for real, and what came of it.

use std::cell::Cell;

use serde::Serialize;
use stormproof_reports::{
    html,
    json::{SCHEMA, document},
    junit,
};

use super::{args::RealArgs, error::CliError, files::Output, say, vectors};
use crate::real::{Options, Progress, RealError, Report, run};

/// Runs the real lane, and says what came of it. Returns the exit code.
pub(super) fn real(args: &RealArgs) -> Result<u8, CliError> {
    let vectors = vectors(args.vectors.as_deref())?;
    let (json, junit) = (Output::open(args.json.as_deref())?, Output::open(args.junit.as_deref())?);
    let page = Output::open(args.html.as_deref())?;
    let shown = Cell::new("");
    let progress = |progress: Progress| {
        if shown.replace(progress.case) != progress.case {
            eprintln!("{} ...", progress.case);
        }
    };
    let options = Options {
        cases: args.cases.clone(),
        kills: args.kills,
        vectors,
        dir: args.dir.clone(),
        progress: &progress,
        ..Options::new().map_err(|source| RealError::Dir { dir: ".".into(), source })?
    };
    let report = run(&options)?;
    say(&report.to_string());
    let exit_code = report.exit_code();
    let told = Document { schema: SCHEMA, command: "real", exit_code, report: &report };
    json.map(|file| file.write(&document(&told)?)).transpose()?;
    let plain = report.plain();
    junit.map(|file| file.write(&junit::plain(&plain)?)).transpose()?;
    page.map(|file| file.write(&html::plain(&plain))).transpose()?;
    Ok(exit_code)
}

/// What `real --json` writes.
#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    /// Always `real`.
    command: &'static str,
    exit_code: u8,
    #[serde(flatten)]
    report: &'a Report,
}
