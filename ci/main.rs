//! `cargo ci COMMAND`: the checks that guard the repository, in one place, the same on a laptop and in CI.
//!
//! Each command either holds (exit code 0), finds something (1), was asked wrongly (2), or could not do its work (3).
//! The four are kept apart so that a broken tool never looks like a clean tree.

mod bench;
mod check;
mod error;
mod faiss;
mod mutants;
mod page;
mod survivors;
mod tidy;

use std::process::ExitCode;

use error::Error;

const USAGE: &str = "\
usage: cargo ci COMMAND

  check   formatting, tidy, clippy and documentation: all that is known without running a test
  tidy    the import table, the top level, and the rules of one file (a part of `check`)
  mutants [NAME..] [--seeds N] [--json F] [--no-tests] [--keep] [--check]
          plants the bugs of scenarios/mutants in a copy of the tree and hunts each; with --check, only whether
          they can still be planted
  faiss   the engine's exact index with FAISS, and against it; skipped by name where FAISS cannot be built; minutes
  page    a report as a page, used in a real browser; skipped by name where there is none
  survivors [K/N]
          small changes of protocols and storage that no test and no suite notices; hours, or a share of them
  bench   [--save [NAME] | --against [NAME]] [BENCH..]
          criterion's benches, kept as NAME (`main` if it is left out) or set beside what was kept; minutes";

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
        ["mutants", words @ ..] => mutants::run(words),
        ["faiss"] => faiss::run(),
        ["page"] => page::run(),
        ["survivors", words @ ..] => survivors::run(words),
        ["bench", words @ ..] => bench::run(words),
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
        // Not a failure of the tool: it was asked whether the tree holds, and it does not.
        Err(error @ (Error::NotGreen { .. } | Error::TestsFail)) => {
            eprintln!("{error}");
            ExitCode::from(1)
        }
        Err(Error::Usage(words)) => {
            eprintln!("{words}\n{USAGE}");
            ExitCode::from(2)
        }
        Err(error) => {
            eprintln!("cargo ci could not do its work: {error}");
            ExitCode::from(3)
        }
    }
}
