//! `cargo ci survivors`: which small changes of the protocols and of the storage nobody notices.
//!
//! `cargo-mutants` makes them, one by one, in a copy of the tree. [`JUDGES`] judge them, the cheapest first, and each only
//! what those before it let live. What is left has to be killed by a new test, or explained in `ci/survivors.txt`, a line
//! each: the change as `cargo-mutants` names it, without its line and column, then ` -- ` and why no test can tell.

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

/// Who judges a change.
struct Judge {
    name: &'static str,
    packages: &'static [&'static str],
    profile: &'static str,
    /// What is built: no more than is run, for that is most of the time.
    targets: &'static [&'static str],
    tests: &'static [&'static str],
    /// With less than this a test may be slow and not endless, in seconds.
    timeout_min: &'static str,
}

const JUDGES: [Judge; 3] = [
    Judge {
        name: "the quick tests beside the code",
        packages: &["stormproof-engine"],
        profile: "survivors",
        targets: &["--lib"],
        // Those left out take longer than all others together.
        tests: &["protocol::", "store::", "--skip", "log::tests::damage", "--skip", "is_an_ordered_map_whose_clones"],
        timeout_min: "15",
    },
    Judge {
        name: "the tests of protocols, storage and node",
        packages: &["stormproof-engine"],
        profile: "survivors",
        targets: &["--lib"],
        tests: &["protocol::", "store::", "memory::"],
        timeout_min: "40",
    },
    Judge {
        name: "all tests of engine and command, and every suite over a fixed set of seeds",
        packages: &["stormproof-engine", "stormproof"],
        profile: "test",
        targets: &["--lib", "--test", "suites", "--test", "driver_command"],
        tests: &[],
        timeout_min: "120",
    },
];

/// `survivors [K/N]`: all of them, or share K of N, counted from 0.
pub(crate) fn run(words: &[&str]) -> Result<Verdict, Error> {
    let shard = match words {
        [] => "0/1",
        [shard] if shard.contains('/') => shard,
        _ => return Err(Error::Usage("survivors takes at most a share, as in `0/16`".into())),
    };
    is_installed()?;
    let mut all = Told::default();
    let mut chosen = vec!["--shard".to_owned(), shard.to_owned(), "--sharding".into(), "round-robin".into()];
    for judge in &JUDGES {
        let Told { caught, survived } = judge.judge(&chosen)?;
        println!("{} caught by {}, {} live on", caught.len(), judge.name, survived.len());
        all.caught.extend(caught);
        all.survived = survived;
        if all.survived.is_empty() {
            break;
        }
        // By name: going on where the last judge ended would take a share of what is left, and not what is left of the share.
        chosen = all.survived.iter().flat_map(|change| ["--re".into(), exactly(change)]).collect();
    }
    Ok(report(&all))
}

/// What the judges have told so far.
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

impl Judge {
    /// Judges the changes that are `chosen`.
    fn judge(&self, chosen: &[String]) -> Result<Told, Error> {
        let mut arguments = vec!["mutants", "--package", "stormproof-engine", "--output", OUTPUT];
        arguments.extend(["--file", "engine/protocol/**", "--file", "engine/store/**", "--no-times", "--jobs", "2"]);
        arguments.extend(["--minimum-test-timeout", self.timeout_min, "--profile", self.profile]);
        arguments.extend(chosen.iter().map(String::as_str));
        self.packages.iter().for_each(|name| arguments.extend(["--test-package", name]));
        self.targets.iter().for_each(|target| arguments.extend(["--cargo-arg", target]));
        arguments.push("--");
        arguments.push("--");
        arguments.extend(self.tests);
        let mut cargo = Command::new("cargo");
        // A test that fails need not say how it got there, nor with the least case: it only has to fail soon.
        cargo.args(&arguments).env("RUST_BACKTRACE", "0").env("PROPTEST_MAX_SHRINK_ITERS", "0");
        let status = cargo.status().map_err(|source| Error::Start { arguments: arguments.join(" "), source })?;
        // 0: all caught; 2: some were not; 3: some ran out of time, which is being caught.
        if !matches!(status.code(), Some(0 | 2 | 3)) {
            let stderr = format!("it ended with {status}; {OUTPUT}/mutants.out has its logs");
            return Err(Error::Cargo { arguments: arguments.join(" "), stderr });
        }
        let caught = [names("caught.txt")?, names("timeout.txt")?].concat();
        Ok(Told { caught: caught.into_iter().collect(), survived: names("missed.txt")?.into_iter().collect() })
    }
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

/// The pattern that this change and no other matches.
fn exactly(change: &str) -> String {
    let escaped = change.chars().flat_map(|letter| {
        let is_special = r"\.+*?()|[]{}^$".contains(letter);
        is_special.then_some('\\').into_iter().chain([letter])
    });
    format!("^{}$", escaped.collect::<String>())
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

fn report(all: &Told) -> Verdict {
    let explained = explained();
    let (told, untold): (Vec<_>, Vec<_>) =
        all.survived.iter().partition(|change| explained.contains(unplaced(change).as_str()));
    let viable = all.caught.len() + all.survived.len();
    let accounted = viable - untold.len();
    // Where nothing was tried nothing is shown.
    let percent = (accounted * 100).checked_div(viable).unwrap_or(0);
    println!("\n{viable} viable changes: {} caught", all.caught.len());
    println!("{} live on, {} of them explained; {percent}% caught or explained", all.survived.len(), told.len());
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
    fn a_pattern_is_of_one_change() {
        let change = "engine/store/codec.rs:12:5: replace + with * in <impl T for U<'_>>::f";
        let pattern = r"^engine/store/codec\.rs:12:5: replace \+ with \* in <impl T for U<'_>>::f$";
        assert_eq!(exactly(change), pattern);
    }

    #[test]
    fn every_line_of_the_list_is_an_explanation() {
        let lines = EXPLAINED.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        for line in lines {
            assert!(line.starts_with("engine/") && line.contains(" -- "), "{line}");
        }
    }
}
