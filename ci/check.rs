//! `cargo ci check`: all that is known of the tree without running a test.
//!
//! Every step runs even when an earlier one fell, so that one push shows everything there is to mend. Tests are not
//! among them: `.ci/run` runs those next, and a developer runs those that matter.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::Verdict;
use crate::error::Error;
use crate::tidy;

struct Step {
    name: &'static str,
    /// `None` is `tidy`, which needs no process of its own.
    cargo: Option<&'static [&'static str]>,
}

/// What is left out of a build unless it is asked for is held to the same.
const FEATURES: &str = "stormproof-engine/telemetry,stormproof-bench/hdf5";

/// Cheapest first: who waits for clippy has already seen what the others found.
const STEPS: &[Step] = &[
    Step { name: "formatting", cargo: Some(&["fmt", "--all", "--check"]) },
    Step { name: "tidy", cargo: None },
    Step {
        name: "clippy",
        cargo: Some(&[
            "clippy",
            "--quiet",
            "--workspace",
            "--all-targets",
            "--features",
            FEATURES,
            "--",
            "-D",
            "warnings",
        ]),
    },
    Step {
        name: "documentation",
        cargo: Some(&[
            "doc",
            "--quiet",
            "--workspace",
            "--no-deps",
            "--document-private-items",
            "--features",
            FEATURES,
        ]),
    },
];

pub(crate) fn run() -> Result<Verdict, Error> {
    let mut fallen = Vec::new();
    for step in STEPS {
        let (verdict, took) = timed(|| run_step(step));
        let word = if verdict? == Verdict::Holds { "ok" } else { "FAILED" };
        eprintln!("cargo ci check: {} {word} in {:.1} s", step.name, took.as_secs_f64());
        if word != "ok" {
            fallen.push(step.name);
        }
    }
    if fallen.is_empty() {
        return Ok(Verdict::Holds);
    }
    eprintln!("cargo ci check: FAILED: {}", fallen.join(", "));
    Ok(Verdict::Fell)
}

fn run_step(step: &Step) -> Result<Verdict, Error> {
    let Some(arguments) = step.cargo else { return tidy::run() };
    let status = Command::new("cargo")
        .args(arguments)
        .env("RUSTDOCFLAGS", "-D warnings")
        .status()
        .map_err(|source| Error::Start { arguments: arguments.join(" "), source })?;
    Ok(if status.success() { Verdict::Holds } else { Verdict::Fell })
}

#[expect(clippy::disallowed_methods, reason = "tells a person how long a step took; decides nothing")]
fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let result = work();
    (result, start.elapsed())
}
