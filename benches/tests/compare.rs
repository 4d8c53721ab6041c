//! The command `compare` where nothing can be measured: what it says, what its exit codes say, and that nothing is left behind.
#![allow(missing_docs, reason = "a test")]

use std::{
    env,
    ffi::OsStr,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// Exit code and what was said, with these programs in reach and no others.
fn compare(path: &OsStr, arguments: &[&str]) -> (Option<i32>, String) {
    let dir = tempfile::tempdir().expect("a directory");
    let mut command = Command::new(env!("CARGO_BIN_EXE_stormproof-bench"));
    command.arg("compare").args(arguments).current_dir(dir.path()).env("PATH", path).env("TMPDIR", dir.path());
    let Output { status, stderr, .. } = command.output().expect("started");
    assert_eq!(fs::read_dir(dir.path()).expect("there").count(), 0, "nothing is left behind");
    (status.code(), String::from_utf8(stderr).expect("text"))
}

fn found(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|dir| dir.join(program)).find(|path| path.is_file())
}

/// A directory in which only these programs are.
fn only(programs: &[&Path]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    for program in programs {
        symlink(program, dir.path().join(program.file_name().expect("a name"))).expect("linked");
    }
    dir
}

#[test]
fn a_set_that_is_missing_is_wrong_use() {
    if found("bash").is_none() || found("python3").is_none() {
        eprintln!("SKIPPED: a_set_that_is_missing_is_wrong_use: bash or python3 is missing");
        return;
    }
    let path = env::var_os("PATH").expect("searched above");
    let (code, stderr) = compare(&path, &["none", "--rows", "100"]);
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("none: one file *_base.fvecs expected, found 0"), "{stderr}");
    let (code, stderr) = compare(&path, &["none", "--venv"]);
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("--venv takes a directory"), "{stderr}");
    let (code, stderr) = compare(&path, &["none", "--no-such-option"]);
    assert_eq!(code, Some(2), "{stderr}");
    let (code, stderr) = compare(&path, &[]);
    assert_eq!(code, Some(2), "{stderr}");
}

#[test]
fn a_tool_that_is_missing_is_named_with_what_to_install() {
    let (code, stderr) = compare(only(&[]).path().as_os_str(), &["none"]);
    assert_eq!(code, Some(3), "{stderr}");
    assert!(stderr.contains("bash is missing: install it"), "{stderr}");

    let (Some(bash), Some(dirname)) = (found("bash"), found("dirname")) else {
        eprintln!("SKIPPED: a_tool_that_is_missing_is_named_with_what_to_install: bash or dirname is missing");
        return;
    };
    let (code, stderr) = compare(only(&[&bash, &dirname]).path().as_os_str(), &["none"]);
    assert_eq!(code, Some(3), "{stderr}");
    assert!(stderr.contains("python3 is missing: install Python 3.11 or later"), "{stderr}");
}
