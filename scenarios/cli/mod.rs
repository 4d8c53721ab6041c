//! The command line: what was asked, done, and said.
//!
//! | room | what |
//! |---|---|
//! | [`args`] | what can be asked |
//! | [`select`] | which suites and cases are meant |
//! | [`run`], [`fresh`], [`save`], [`progress`] | hunting: the hunt, its self-check, what is kept of failures, what is shown meanwhile |
//! | [`explore`] | every crash of a bounded workload |
//! | [`shrink`] | the smallest plan that still fails, and what it takes |
//! | [`replay`] | one run again |
//! | [`report`] | what a hunt wrote, told again and compared |
//! | [`real`] | the engine as a process of its own |
//! | [`files`] | files that are read and written at the user's word |
//! | [`error`] | what can go wrong, and whose fault it is |
//!
//! Exit codes: 0 all held; 1 a claim fell, or a run repeated was another run; 2 wrong use; 3 this tool failed; 4 nothing
//! was proven. A panic of this program is a failure of the tool; one of a system on trial is a finding.

mod args;
mod error;
mod explore;
mod files;
mod fresh;
mod progress;
mod real;
mod replay;
mod report;
mod run;
mod save;
mod select;
mod shrink;

use std::{
    io::{Write as _, stdout},
    panic::catch_unwind,
    path::Path,
    process::ExitCode,
    sync::Arc,
};

use clap::Parser;
use stormproof_reports::list;

use self::{
    args::{Cli, Command, ListArgs},
    error::CliError,
};
use crate::{real as lane, suites, vectors::Vectors};

/// Vectors that are read of a file. A run draws some dozens of them; every process of a self-check reads them again.
const VECTORS_MAX: usize = 10_000;

/// Does what the arguments of this process ask.
pub fn main() -> ExitCode {
    if let Some(code) = lane::run_child() {
        return code;
    }
    let cli = Cli::parse();
    let outcome = catch_unwind(|| dispatch(&cli.command));
    // The panic has said on standard error where and why.
    ExitCode::from(outcome.map_or(3, |outcome| outcome.unwrap_or_else(|error| complain(&error))))
}

fn dispatch(command: &Command) -> Result<u8, CliError> {
    match command {
        Command::Run(args) => run::run(args),
        Command::Replay(args) => replay::replay(args),
        Command::Explore(args) => explore::explore(args),
        Command::Shrink(args) => shrink::shrink(args),
        Command::Explain(args) => shrink::explained(args),
        Command::List(args) => list(args),
        Command::Real(args) => real::real(args),
        Command::Report(args) => report::report(args),
        Command::Rerun(args) => fresh::child(args),
    }
}

fn complain(error: &CliError) -> u8 {
    eprintln!("stormproof: {error}");
    error.exit_code()
}

fn list(args: &ListArgs) -> Result<u8, CliError> {
    let suites = suites::all(None);
    let topic = args.topic.into();
    say(&if args.json { list::json(topic, &suites)? } else { list::text(topic, &suites) });
    Ok(0)
}

/// Writes to standard output. A reader that has gone (`| head`) is no error.
fn say(text: &str) {
    let _ = stdout().write_all(text.as_bytes());
}

fn vectors(path: Option<&Path>) -> Result<Option<Arc<Vectors>>, CliError> {
    let read = |path| Vectors::read(path, VECTORS_MAX).map(Arc::new);
    Ok(path.map(read).transpose()?)
}
