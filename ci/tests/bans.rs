//! The bans of `.clippy.toml` fire: a file that clippy silently ignores would look exactly like obedience.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

/// Breaks every ban once.
const BREACHES: &str = "\
use std::collections::{HashMap, HashSet};
use std::hash::RandomState;
pub fn clocks() -> (std::time::Instant, std::time::SystemTime) {
    (std::time::Instant::now(), std::time::SystemTime::now())
}
pub fn threads() {
    let _ = std::thread::spawn(|| ()).join();
    std::thread::scope(|_| ());
    std::thread::sleep(std::time::Duration::ZERO);
}
pub fn environment() -> bool {
    std::env::var(\"X\").is_ok()
}
pub fn maps(_: HashMap<u8, u8>, _: HashSet<u8>, _: RandomState) {}
";

const CLEAN: &str = "\
use std::collections::{BTreeMap, BTreeSet};
pub fn maps(_: BTreeMap<u8, u8>, _: BTreeSet<u8>) -> std::time::Duration {
    std::time::Duration::ZERO
}
";

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("ci lies in the repository")
}

fn has_clippy() -> bool {
    let found =
        Command::new("cargo").args(["clippy", "--version"]).output().is_ok_and(|output| output.status.success());
    if !found {
        println!("SKIPPED: clippy is not installed, so its bans cannot be tried (rustup component add clippy)");
    }
    found
}

/// Clippy's verdict on `source`, as the library of a package of its own under the repository's configuration.
fn clippy(source: &str) -> Output {
    let folder = TempDir::new().expect("a temporary folder");
    let manifest = "[package]\nname = \"fixture\"\nedition = \"2024\"\n[lib]\npath = \"lib.rs\"\n[workspace]\n";
    fs::write(folder.path().join("Cargo.toml"), manifest).expect("written");
    fs::write(folder.path().join("lib.rs"), source).expect("written");
    Command::new("cargo")
        .args(["clippy", "--offline", "--message-format=json", "--target-dir", "target"])
        .args(["--", "-D", "clippy::disallowed_methods", "-D", "clippy::disallowed_types"])
        .env("CLIPPY_CONF_DIR", repository())
        .current_dir(folder.path())
        .output()
        .expect("cargo starts")
}

/// The lints that fired and the paths they named.
fn fired(output: &Output) -> BTreeSet<(String, String)> {
    let lines = output.stdout.split(|byte| *byte == b'\n');
    let messages = lines.filter_map(|line| serde_json::from_slice::<Value>(line).ok());
    messages.filter_map(|line| lint_and_path(&line["message"])).collect()
}

fn lint_and_path(message: &Value) -> Option<(String, String)> {
    let path = message["message"].as_str()?.split('`').nth(1)?;
    Some((message["code"]["code"].as_str()?.to_owned(), path.to_owned()))
}

/// Each list of the configuration with the paths it bans.
fn banned() -> BTreeSet<(String, String)> {
    let text = fs::read_to_string(repository().join(".clippy.toml")).expect("the configuration");
    let mut list = "";
    let mut bans = BTreeSet::new();
    for line in text.lines() {
        if let Some((name, _)) = line.split_once(" = [") {
            list = name;
        }
        if let Some((_, path)) = line.split_once("path = \"") {
            let path = path.split('"').next().expect("a closing quote");
            bans.insert((format!("clippy::{}", list.replace('-', "_")), path.to_owned()));
        }
    }
    bans
}

#[test]
fn every_ban_fires_on_code_that_breaks_it() {
    if !has_clippy() {
        return;
    }
    let output = clippy(BREACHES);
    let (fired, banned) = (fired(&output), banned());
    assert!(!output.status.success());
    assert!(banned.iter().any(|(lint, path)| lint.ends_with("_methods") && path == "std::time::Instant::now"));
    assert!(banned.iter().any(|(lint, path)| lint.ends_with("_types") && path == "std::collections::HashMap"));
    let silent: Vec<_> = banned.difference(&fired).collect();
    assert!(silent.is_empty(), "bans that did not fire (does BREACHES break each?): {silent:?}");
}

#[test]
fn no_ban_fires_on_code_without_a_breach() {
    if !has_clippy() {
        return;
    }
    let output = clippy(CLEAN);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(fired(&output), BTreeSet::new());
}
