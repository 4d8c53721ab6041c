//! The command on small files: what it prints and writes, and what its exit codes say.
#![allow(missing_docs, reason = "a test")]

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use stormproof_bench::{
    data::{Truth, write_fvecs},
    scan::uniform,
};

const DIM: usize = 24;

fn run(at: &Path, arguments: &str) -> (Option<i32>, String, String) {
    let program = env!("CARGO_BIN_EXE_stormproof-bench");
    let Output { status, stdout, stderr } =
        Command::new(program).current_dir(at).args(arguments.split_whitespace()).output().expect("started");
    let words = |bytes| String::from_utf8(bytes).expect("text");
    (status.code(), words(stdout), words(stderr))
}

/// A directory with files named as those of GIST-1M are, of another size.
fn files() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    for (name, rows, seed) in [("gist_base.fvecs", 2_000, 1), ("gist_query.fvecs", 30, 2)] {
        write_fvecs(&dir.path().join(name), DIM, [Ok(uniform(rows * DIM, seed))]).expect("written");
    }
    dir
}

#[test]
fn a_run_prints_its_report_and_writes_it_and_misses_nothing_unless_told_to_enforce() {
    let dir = files();
    let at = dir.path();
    let few = "--clients 1,2 --turn-ms 50 --index-mib 64";
    let told = format!("gist . {few} --ram-mb 512 --save-truth gist_groundtruth.ivecs --json r.json --html r.html");
    let (code, stdout, stderr) = run(at, &told);
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    assert!(stdout.starts_with("stand-in for GIST-1M, 2000 x 24\n"), "{stdout}");
    assert!(stdout.lines().all(|line| line.chars().count() <= 100), "{stdout}");
    assert!(stderr.contains("finding the 100 nearest rows of 30 queries"), "{stderr}");
    let json = fs::read_to_string(at.join("r.json")).expect("written");
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!((&json["schema"], &json["data"]["rows"]), (&1.into(), &2_000.into()));
    // Where a control group can be made the queries were asked once more in it, elsewhere it is said why they were not.
    let limited = &json["limited"];
    let is_told = limited["measured"]["queries"]["recall"].as_f64().is_some_and(|it| it > 0.95)
        || limited["skipped"].as_str().is_some_and(|why| why.contains("control group"));
    assert!(is_told, "{limited}");
    assert!(fs::read_to_string(at.join("r.html")).expect("written").contains("<svg"));
    let truth = Truth::read(&at.join("gist_groundtruth.ivecs"), 30).expect("well formed");
    assert_eq!(truth.k, 100);

    // Rows are too few for the name even if the answers are right. A target that was not measured is not met.
    let (code, stdout, stderr) = run(at, &format!("gist . {few} --enforce"));
    let is_met = !stdout.contains("missed") && !stdout.lines().any(|line| line.ends_with("  not measured"));
    assert_eq!(code, Some(i32::from(!is_met)), "{stdout}{stderr}");
    assert!(stdout.contains("answers: gist_groundtruth.ivecs") && stdout.contains("not called GIST-1M"), "{stdout}");

    let left: Vec<_> = fs::read_dir(at).expect("there").map(|it| it.expect("there").file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().starts_with("stormproof-bench")), "{left:?}");
}

#[test]
fn wrong_use_and_files_that_are_missing_or_malformed_are_told_apart_from_failures() {
    let dir = files();
    let at = dir.path();
    fs::write(at.join("short.fvecs"), [2, 0, 0, 0, 1, 1]).expect("written");
    fs::write(at.join("a.hdf5"), []).expect("written");
    for (arguments, words) in [
        ("recall --base none.fvecs --query gist_query.fvecs", "none.fvecs"),
        ("recall --base short.fvecs --query gist_query.fvecs", "short.fvecs: offset 0: expected a row of 12 bytes"),
        (
            "recall --base a.hdf5 --query gist_query.fvecs",
            if cfg!(feature = "hdf5") { "a.hdf5: " } else { "--features hdf5" },
        ),
        ("recall --base a.hdf5", "a.hdf5: "),
        ("recall --base gist_base.fvecs --query gist_query.fvecs --truth gist_base.fvecs", "are read from .ivecs"),
        ("recall --base gist_base.fvecs --query gist_query.fvecs --dir none", "none: no such directory"),
        ("gist . --complexity 9", "--complexity"),
        ("recall --base gist_base.fvecs", "--query"),
        ("gist . --rows 0", "--rows"),
        ("gist none", "gist_base.fvecs"),
        ("data fashion-mnist --from none", "dataset-fashion-mnist"),
        ("data other", "other"),
    ] {
        let (code, _, stderr) = run(at, arguments);
        assert_eq!(code, Some(2), "{arguments}: {stderr}");
        assert!(stderr.contains(words), "{arguments}: {stderr}");
    }
    let (code, _, stderr) = run(at, "gist . --clients 1 --turn-ms 1 --json none/r.json");
    assert_eq!(code, Some(3), "a report that cannot be written: {stderr}");
}
