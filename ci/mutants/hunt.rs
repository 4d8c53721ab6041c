//! Builds the command under test in the copy, has it hunt, and reads its report.
//!
//! A hunt begins with few seeds and doubles them until a declared claim falls: so most mutants cost a second, and the
//! number says how hard a bug is to find. Every round begins with the first seed again, so that it includes the last.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;

use super::now;
use super::patch::Mutant;
use super::scratch::Scratch;
use crate::error::Error;

/// Between `dev`, under which hunts take too long, and `release`, under which builds do.
const PROFILE: &str = "mutants";

/// The seeds of the first round.
const SEEDS_FIRST: u64 = 100;

/// Claims that the suites of the engine do not list: the world itself checks them.
const CLAIMS_OF_THE_WORLD: [&str; 2] = ["V1", "P1"];

/// The suite of the harness's own example: it is no engine's.
const NOT_OF_THE_ENGINE: &str = "replica";

/// Where things are built and hunted.
pub(super) struct Bench<'a> {
    scratch: &'a Scratch,
    target: PathBuf,
    seeds_max: u64,
}

/// A claim that fell.
pub(super) struct Fallen {
    pub(super) claim: String,
    pub(super) kind: String,
    /// The lowest seed that showed it.
    pub(super) seed: u64,
    /// Faults, operations and candidates of the smallest case that was found, if one was looked for.
    pub(super) shrunk: Option<[u64; 3]>,
}

/// What one round has shown.
pub(super) struct Round {
    /// By seed, the lowest first.
    pub(super) fallen: Vec<Fallen>,
    /// Whether the mutant's code was seen running.
    ran: bool,
    wall: Duration,
}

/// What a hunt has shown: its last round, and what all of it took.
pub(super) struct Hunted {
    pub(super) fallen: Vec<Fallen>,
    pub(super) ran: bool,
    /// Of the last round.
    pub(super) seeds: u64,
    pub(super) wall: Duration,
}

impl<'a> Bench<'a> {
    /// Builds go into one folder, so that only what a mutant changes is built again.
    pub(super) fn new(root: &Path, scratch: &'a Scratch, seeds_max: u64) -> Result<Self, Error> {
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target/mutants"), PathBuf::from);
        let target = std::path::absolute(target).map_err(|source| Error::Read { path: root.to_path_buf(), source })?;
        Ok(Bench { scratch, target, seeds_max })
    }

    /// Builds the command.
    pub(super) fn build(&self) -> Result<(), Error> {
        let arguments = ["build", "--quiet", "--locked", "--profile", PROFILE, "--package", "stormproof"];
        self.must(&arguments)
    }

    /// Whether the engine's own tests pass, those beside the code: the others are of its driver.
    pub(super) fn passes_tests(&self) -> Result<bool, Error> {
        // Apart, so that a test that does not build is not taken for one that fails.
        let test = ["test", "--quiet", "--locked", "--package", "stormproof-engine", "--lib"];
        self.must(&[&test[..], &["--no-run"]].concat())?;
        Ok(self.cargo(&test)?.status.success())
    }

    fn must(&self, arguments: &[&str]) -> Result<(), Error> {
        let output = self.cargo(arguments)?;
        if output.status.success() {
            return Ok(());
        }
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(Error::Cargo { arguments: arguments.join(" "), stderr })
    }

    fn cargo(&self, arguments: &[&str]) -> Result<Output, Error> {
        let mut command = Command::new("cargo");
        command.args(arguments).current_dir(&self.scratch.folder).env("CARGO_TARGET_DIR", &self.target);
        command.output().map_err(|source| Error::Start { arguments: arguments.join(" "), source })
    }

    /// Every claim that the engine has.
    pub(super) fn claims(&self) -> Result<Vec<String>, Error> {
        let output = self.stormproof(&["list", "invariants", "--json"])?;
        let listed: Value = serde_json::from_slice(&output.stdout).map_err(|error| unread(&error.to_string()))?;
        let listed = listed["invariants"].as_array().ok_or_else(|| unread("no `invariants`"))?;
        let of_the_engine = |claim: &&Value| {
            let suites = claim["suites"].as_array();
            suites.is_none_or(|suites| suites.is_empty() || suites.iter().any(|suite| suite != NOT_OF_THE_ENGINE))
        };
        let ids = listed.iter().filter(of_the_engine).filter_map(|claim| claim["id"].as_str());
        let mut claims: Vec<String> = ids.chain(CLAIMS_OF_THE_WORLD).map(str::to_owned).collect();
        claims.sort();
        claims.dedup();
        Ok(claims)
    }

    /// Hunts until a declared claim falls, or until the seeds are used up.
    pub(super) fn hunt(&self, mutant: &Mutant) -> Result<Hunted, Error> {
        let (mut seeds, mut wall) = (SEEDS_FIRST.min(self.seeds_max), Duration::ZERO);
        loop {
            let round = self.round(&mutant.name, &mutant.suite, seeds)?;
            wall += round.wall;
            let found = round.fallen.iter().any(|fallen| mutant.declares(&fallen.claim));
            if found || seeds >= self.seeds_max {
                return Ok(Hunted { fallen: round.fallen, ran: round.ran, seeds, wall });
            }
            seeds = (seeds * 2).min(self.seeds_max);
        }
    }

    /// Runs so many seeds of a suite, and saves what failed under a name.
    pub(super) fn round(&self, name: &str, suite: &str, seeds: u64) -> Result<Round, Error> {
        let report = self.target.join("report.json");
        let saved = self.target.join("failures").join(name);
        let (seeds, json, save) = (seeds.to_string(), report.to_string_lossy(), saved.to_string_lossy());
        let begun = now();
        let output = self.stormproof(&["run", suite, "--seeds", &seeds, "--json", &json, "--save", &save])?;
        let wall = begun.elapsed();
        let text = std::fs::read(&report).map_err(|source| Error::Read { path: report.clone(), source })?;
        let document: Value = serde_json::from_slice(&text).map_err(|error| unread(&error.to_string()))?;
        let ran = String::from_utf8_lossy(&output.stderr).contains("mutant ran");
        Ok(Round { fallen: fallen(&document)?, ran, wall })
    }

    /// Runs the command. Whether claims held is in its report: 0, 1 and 4 are answers, and all else is a failure.
    fn stormproof(&self, arguments: &[&str]) -> Result<Output, Error> {
        let program = self.target.join(PROFILE).join("stormproof");
        let words = || arguments.join(" ");
        let output = Command::new(program)
            .args(arguments)
            .output()
            .map_err(|source| Error::Hunt { arguments: words(), words: source.to_string() })?;
        match output.status.code() {
            Some(0 | 1 | 4) => Ok(output),
            _ => Err(Error::Hunt {
                arguments: words(),
                words: format!("{}\n{}", output.status, String::from_utf8_lossy(&output.stderr)),
            }),
        }
    }
}

/// The claims that fell, by the seed that showed them.
fn fallen(document: &Value) -> Result<Vec<Fallen>, Error> {
    let suites = document["suites"].as_array().ok_or_else(|| unread("no `suites`"))?;
    let failures = suites.iter().filter_map(|suite| suite["failures"].as_array()).flatten();
    let mut all: Vec<Fallen> = failures.map(of_failure).collect::<Result<_, _>>()?;
    all.sort_by_key(|fallen| fallen.seed);
    Ok(all)
}

fn of_failure(failure: &Value) -> Result<Fallen, Error> {
    let text = |key: &str| failure[key].as_str().map(str::to_owned).ok_or_else(|| unread(&format!("no `{key}`")));
    let shrunk = &failure["shrunk"];
    let size = |key: &str| shrunk[key].as_u64();
    let shrunk = size("faults").zip(size("operations")).zip(size("candidates"));
    Ok(Fallen {
        claim: text("claim")?,
        kind: text("kind")?,
        seed: failure["seed"].as_u64().ok_or_else(|| unread("no `seed`"))?,
        shrunk: shrunk.map(|((faults, operations), candidates)| [faults, operations, candidates]),
    })
}

fn unread(words: &str) -> Error {
    Error::Hunt { arguments: "… --json".to_owned(), words: format!("its report is not as expected: {words}") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::fallen;

    #[test]
    fn claims_come_by_the_seed_that_showed_them() {
        let failure = |claim: &str, seed: u64| json!({ "claim": claim, "kind": "lost", "seed": seed });
        let small = json!({ "claim": "D2", "kind": "x", "seed": 1, "shrunk": { "faults": 1, "operations": 2, "candidates": 3 } });
        let document = json!({ "suites": [{ "failures": [failure("D1", 9), small] }, { "failures": [] }] });
        let found = fallen(&document).expect("a report");
        let names: Vec<_> = found.iter().map(|fallen| (fallen.claim.as_str(), fallen.seed, fallen.shrunk)).collect();
        assert_eq!(names, [("D2", 1, Some([1, 2, 3])), ("D1", 9, None)]);
    }

    #[test]
    fn a_report_of_another_shape_is_an_error() {
        assert!(fallen(&json!({})).is_err());
        assert!(fallen(&json!({ "suites": [{ "failures": [{ "claim": "D1" }] }] })).is_err());
    }
}
