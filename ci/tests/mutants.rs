//! `cargo ci mutants --check`: that every bug of the catalogue can still be planted, and what is said when one cannot.
//!
//! No bug is hunted here: that takes minutes, and a person runs the command for it. But a catalogue that no longer fits
//! the code is found by plain `cargo test`, with the change that made it so.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

const HEAD: &str = "about: it forgets\nclaim: D1\nsuite: wal\n\n";
const DIFF: &str = "diff --git a/engine/x.rs b/engine/x.rs\n--- a/engine/x.rs\n+++ b/engine/x.rs\n\
                    @@ -1,2 +1,2 @@\n one\n-two\n+three\n";

fn mutants(folder: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ci"));
    command.arg("mutants").args(words).current_dir(folder).output().expect("the command starts")
}

fn complained(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Whether there is a git. Where there is none, nothing can be planted, and a test says so instead of failing.
fn has_git(test: &str) -> bool {
    let found = Command::new("git").arg("--version").output().is_ok();
    if !found {
        eprintln!("skipped: {test}: there is no git, which applies the patches");
    }
    found
}

/// A tree of one file, with a catalogue of one patch.
fn fixture(text: &str, patch: &str) -> TempDir {
    let folder = TempDir::new().expect("a temporary folder");
    for (path, text) in [("engine/x.rs", text), ("scenarios/mutants/forgets.patch", patch)] {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("created");
        fs::write(path, text).expect("written");
    }
    folder
}

#[test]
fn every_bug_of_the_catalogue_can_still_be_planted() {
    if has_git("every_bug_of_the_catalogue_can_still_be_planted") {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository");
        let output = mutants(root, &["--check"]);
        assert_eq!(output.status.code(), Some(0), "{}", complained(&output));
    }
}

#[test]
fn a_patch_that_fits_is_accepted_from_any_folder_below() {
    if has_git("a_patch_that_fits_is_accepted_from_any_folder_below") {
        let fixture = fixture("one\ntwo\n", &format!("{HEAD}{DIFF}"));
        let output = mutants(&fixture.path().join("engine"), &["--check"]);
        assert_eq!(output.status.code(), Some(0), "{}", complained(&output));
        assert_eq!(fs::read_to_string(fixture.path().join("engine/x.rs")).expect("read"), "one\ntwo\n");
    }
}

#[test]
fn a_patch_that_no_longer_fits_is_named() {
    if has_git("a_patch_that_no_longer_fits_is_named") {
        let fixture = fixture("one\nfour\n", &format!("{HEAD}{DIFF}"));
        let output = mutants(fixture.path(), &["--check"]);
        assert_eq!(output.status.code(), Some(3));
        assert!(complained(&output).contains("forgets.patch"), "{}", complained(&output));
        assert!(complained(&output).contains("engine/x.rs"), "{}", complained(&output));
    }
}

#[test]
fn a_head_that_says_too_little_is_named() {
    let fixture = fixture("one\ntwo\n", &format!("about: it forgets\nsuite: wal\n\n{DIFF}"));
    let output = mutants(fixture.path(), &["--check"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(complained(&output).contains("forgets.patch: one claim is expected"), "{}", complained(&output));
}

#[test]
fn wrong_use_is_answered_with_what_there_is() {
    let fixture = fixture("one\ntwo\n", &format!("{HEAD}{DIFF}"));
    for (words, expected) in [
        (&["no-such"][..], "there is no mutant `no-such`; there are: forgets"),
        (&["--fast"], "`--fast` is no option"),
        (&["--seeds", "0"], "at least 1"),
    ] {
        let output = mutants(fixture.path(), words);
        assert_eq!(output.status.code(), Some(2), "{words:?}");
        assert!(complained(&output).contains(expected), "{}", complained(&output));
    }
}
