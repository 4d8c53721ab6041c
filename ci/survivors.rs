//! `cargo ci survivors`: which small changes of the protocols and of the storage nobody notices.
//!
//! `cargo-mutants` makes them, one by one, in a copy of the tree. Two judges, the cheap one first: the tests of the rooms
//! changed and of the one above them, built in seconds without optimisation; then, for what those let live, all tests of
//! the engine and every suite over a fixed set of seeds (`scenarios/tests/suites.rs`). What is left has to be killed by a
//! new test, or explained in `ci/survivors.txt`, a line each: the change as `cargo-mutants` names it, without its line
//! and column, then ` -- ` and why no test can tell.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::{Command, Stdio},
};

use crate::{Verdict, error::Error};

const OUTPUT: &str = "target/survivors";
const EXPLAINED: &str = include_str!("survivors.txt");

/// The share of viable changes that must be caught or explained, in percent.
const CAUGHT_PERCENT_MIN: usize = 95;

/// `survivors [K/N]`: all of them, or share K of N, counted from 0.
pub(crate) fn run(words: &[&str]) -> Result<Verdict, Error> {
    let shard = match words {
        [] => "0/1",
        [shard] if shard.contains('/') => shard,
        _ => return Err(Error::Usage("survivors takes at most a share, as in `0/16`".into())),
    };
    is_installed()?;
    let beside = ["--jobs", "2", "--profile", "survivors", "--test-package", "stormproof-engine"];
    let engine = judge(shard, &beside, &["--lib", "--", "protocol::", "store::", "memory::"])?;
    let both = ["--iterate", "--test-package", "stormproof-engine", "--test-package", "stormproof"];
    let suites =
        if engine.survived.is_empty() { Told::default() } else { judge(shard, &both, &["--lib", "--test", "suites"])? };
    Ok(report(&engine, &suites))
}

/// What one judge has told.
#[derive(Default)]
struct Told {
    caught: BTreeSet<String>,
    survived: BTreeSet<String>,
}

fn is_installed() -> Result<(), Error> {
    let mut version = Command::new("cargo");
    version.args(["mutants", "--version"]).stdout(Stdio::null()).stderr(Stdio::null());
    let there = version.status().is_ok_and(|status| status.success());
    let install = "cargo-mutants is needed: cargo install cargo-mutants --locked --version 27.1.0";
    if there { Ok(()) } else { Err(Error::Usage(install.into())) }
}

fn judge(shard: &str, how: &[&str], tests: &[&str]) -> Result<Told, Error> {
    let mut arguments = vec!["mutants", "--package", "stormproof-engine", "--output", OUTPUT, "--shard", shard];
    arguments.extend([
        "--file",
        "engine/protocol/**",
        "--file",
        "engine/store/**",
        "--no-times",
        "--sharding",
        "round-robin",
        // A busy machine must not turn a slow test into one that ran out of time: they take some seconds.
        "--minimum-test-timeout",
        "60",
    ]);
    arguments.extend_from_slice(how);
    arguments.push("--");
    arguments.extend_from_slice(tests);
    let status = Command::new("cargo").args(&arguments).status();
    let status = status.map_err(|source| Error::Start { arguments: arguments.join(" "), source })?;
    // 0: all caught; 2: some were not; 3: some ran out of time, which is being caught.
    if !matches!(status.code(), Some(0 | 2 | 3)) {
        let stderr = format!("it ended with {status}; {OUTPUT}/mutants.out has its logs");
        return Err(Error::Cargo { arguments: arguments.join(" "), stderr });
    }
    let caught = [names("caught.txt")?, names("timeout.txt")?, names("previously_caught.txt")?].concat();
    Ok(Told { caught: caught.into_iter().collect(), survived: names("missed.txt")?.into_iter().collect() })
}

/// The changes of a list, with their places: one function can hold two of one kind. A list that nobody wrote is empty.
fn names(file: &str) -> Result<Vec<String>, Error> {
    let path = Path::new(OUTPUT).join("mutants.out").join(file);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(text.lines().map(Into::into).collect()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(Error::Read { path, source }),
    }
}

/// `engine/store/codec.rs:12:5: replace x` without `12:5`, which the next commit may change.
fn unplaced(line: &str) -> String {
    let mut parts = line.splitn(4, ':');
    match (parts.next(), parts.nth(2)) {
        (Some(file), Some(change)) => format!("{file}:{change}"),
        _ => line.to_owned(),
    }
}

fn explained() -> BTreeSet<&'static str> {
    let lines = EXPLAINED.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once(" -- ")).map(|(change, _)| change).collect()
}

fn report(engine: &Told, suites: &Told) -> Verdict {
    let survived = if engine.survived.is_empty() { &engine.survived } else { &suites.survived };
    let by_suites = engine.survived.len() - survived.len();
    let explained = explained();
    let (told, untold): (Vec<_>, Vec<_>) =
        survived.iter().partition(|change| explained.contains(unplaced(change).as_str()));
    let viable = engine.caught.len() + engine.survived.len();
    let accounted = viable - untold.len();
    // Where nothing was tried nothing is shown.
    let percent = (accounted * 100).checked_div(viable).unwrap_or(0);
    println!(
        "\n{viable} viable changes: {} caught by the tests beside the code, {by_suites} by the suites",
        engine.caught.len()
    );
    println!("{} live on, {} of them explained; {percent}% caught or explained", survived.len(), told.len());
    for change in &untold {
        println!("  survives: {change}");
    }
    if percent >= CAUGHT_PERCENT_MIN { Verdict::Holds } else { Verdict::Fell }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_named_without_its_place() {
        let line = "engine/store/codec.rs:12:5: replace f -> bool with true";
        assert_eq!(unplaced(line), "engine/store/codec.rs: replace f -> bool with true");
    }

    #[test]
    fn every_line_of_the_list_is_an_explanation() {
        let lines = EXPLAINED.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        for line in lines {
            assert!(line.starts_with("engine/") && line.contains(" -- "), "{line}");
        }
    }
}
