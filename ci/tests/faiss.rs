//! `cargo ci faiss`, run as a person runs it who lacks what it needs.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// Exit code and standard output of the command where these programs are, and no other.
fn answer(programs: &[(&str, &str)]) -> (Option<i32>, String) {
    let folder = TempDir::new().expect("a temporary folder");
    for (name, script) in programs {
        let path = folder.path().join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("made executable");
    }
    run_with(folder.path())
}

fn run_with(path: &Path) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_ci")).arg("faiss").env("PATH", path).output().expect("ci runs");
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn without_what_faiss_is_built_with_it_is_skipped_by_name_with_the_line_that_installs_it() {
    let new = ("cmake", "echo cmake version 3.25.1");
    for (programs, why) in [
        (&[][..], "there is no cmake"),
        (&[("cmake", "echo cmake version 3.18.4")], "cmake has to be 3.24 or later, and says `cmake version 3.18.4`"),
        (&[new], "no C++ compiler links a program with OpenMP, BLAS and LAPACK"),
        (&[new, ("c++", "exit 1")], "no C++ compiler links a program with OpenMP, BLAS and LAPACK"),
    ] {
        let (code, said) = answer(programs);
        assert_eq!(said, format!("SKIPPED cargo ci faiss: {why}; apt-get install cmake g++ libopenblas-dev\n"));
        assert_eq!(code, Some(0));
    }
}

#[test]
fn where_all_is_there_the_tests_decide() {
    let there = [("cmake", "echo cmake version 3.25.1"), ("c++", "read source; exit 0")];
    for (cargo, code) in [("echo \"$@\"", 0), ("echo \"$@\"; exit 101", 1)] {
        let (found, said) = answer(&[&there[..], &[("cargo", cargo)]].concat());
        assert_eq!(
            (found, said.as_str()),
            (Some(code), "test --locked --package stormproof-engine --features faiss --lib faiss\n")
        );
    }
}
