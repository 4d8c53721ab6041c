//! The top level: what a newcomer sees first stays short enough to be read.

use super::finding::{Finding, Severity};
use super::tree::Tree;

/// Dot-files may stand beside these; nothing else may.
const REQUIRED: &[&str] = &["Cargo.toml", "README.md", "benches", "ci", "engine", "reports", "scenarios", "sim"];
const PERMITTED: &[&str] = &["CHANGELOG.md", "Cargo.lock", "LICENSE-APACHE", "LICENSE-MIT", "rust-toolchain.toml"];

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let missing = REQUIRED.iter().filter(|name| !tree.top.iter().any(|found| found == *name)).map(|name| missing(name));
    let extra = tree.top.iter().filter(|name| !is_known(name)).map(|name| extra(name));
    missing.chain(extra).collect()
}

fn is_known(name: &str) -> bool {
    name.starts_with('.') || REQUIRED.contains(&name) || PERMITTED.contains(&name)
}

fn missing(name: &str) -> Finding {
    Finding {
        severity: Severity::Error,
        file: name.to_owned(),
        line: None,
        found: "nothing of this name at the top level".to_owned(),
        expected: format!("{}, all of them", REQUIRED.join(", ")),
        remedy: format!("restore `{name}`, or change the list in ci/tidy/layout.rs with the reason in the commit"),
    }
}

fn extra(name: &str) -> Finding {
    Finding {
        severity: Severity::Error,
        file: name.to_owned(),
        line: None,
        found: "a file or folder that the top level does not have".to_owned(),
        expected: format!("only {}, {} and dot-files", REQUIRED.join(", "), PERMITTED.join(", ")),
        remedy: format!("move `{name}` into the room it belongs to, or remove it"),
    }
}
