//! `stormproof report`: what a hunt wrote as JSON, told again, alone or beside that of an older hunt.

use std::path::Path;

use stormproof_reports::{
    compare::{Comparison, read::Document},
    html,
};

use super::{
    args::ReportArgs,
    error::CliError,
    files::{Output, read_text},
    say,
};

/// Reads and compares. Returns the exit code.
pub(super) fn report(args: &ReportArgs) -> Result<u8, CliError> {
    let new = read(&args.new)?;
    let old = args.against.as_deref().map(read).transpose()?;
    let (json, page) = (Output::open(args.json.as_deref())?, Output::open(args.html.as_deref())?);
    let comparison = Comparison::of(&new, old.as_ref());
    say(&comparison.text());
    json.map(|file| file.write(&comparison.json()?)).transpose()?;
    page.map(|file| file.write(&html::compare(&comparison))).transpose()?;
    Ok(comparison.exit_code())
}

fn read(path: &Path) -> Result<Document, CliError> {
    let source = |source| CliError::Report { path: path.into(), source };
    Document::parse(&read_text(path)?).map_err(source)
}
