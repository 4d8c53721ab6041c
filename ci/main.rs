//! `cargo ci COMMAND`: the checks that guard the repository, in one place, the same on a laptop and in CI.
//!
//! Each command either holds (exit code 0), finds something (1), was asked wrongly (2), or could not do its work (3).
//! The four are kept apart so that a broken tool never looks like a clean tree.

mod check;
mod error;
mod page;
mod tidy;

use std::process::ExitCode;

use error::Error;

const USAGE: &str = "\
usage: cargo ci COMMAND

  check   formatting, tidy, clippy and documentation: all that is known without running a test
  tidy    the import table, the top level, and the rules of one file (a part of `check`)
  page    a report as a page, used in a real browser; skipped by name where there is none";

/// What a command says of the tree.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Holds,
    Fell,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["check"] => check::run(),
        ["tidy"] => tidy::run(),
        ["page"] => page::run(),
        ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    exit_code(outcome)
}

fn exit_code(outcome: Result<Verdict, Error>) -> ExitCode {
    match outcome {
        Ok(Verdict::Holds) => ExitCode::SUCCESS,
        Ok(Verdict::Fell) => ExitCode::from(1),
        Err(error) => {
            eprintln!("cargo ci could not do its work: {error}");
            ExitCode::from(3)
        }
    }
}
