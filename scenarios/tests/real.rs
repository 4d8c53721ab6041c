//! The real lane, through the built program: short cases that must hold, and lies that must be found out.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    sync::Arc,
};

use stormproof::{
    real::{self, Kill, Options, RealError, Report},
    vectors::Vectors,
};

fn options(case: &str, kills: u32) -> Options<'_> {
    Options {
        cases: vec![case.into()],
        kills,
        program: PathBuf::from(env!("CARGO_BIN_EXE_stormproof")),
        seed: 7,
        ..Options::new().expect("the system has a clock")
    }
}

fn held(case: &str, kills: u32) -> Report {
    let report = real::run(&options(case, kills)).expect("the tool works");
    assert_eq!(report.exit_code(), 0, "{report}");
    report
}

fn kills(report: &Report, kind: Kill) -> u64 {
    report.cases[0].tally.kills.get(&kind).copied().unwrap_or(0)
}

#[test]
fn a_process_killed_at_any_point_of_a_commit_keeps_its_promises() {
    let report = held("CE-01", 2);
    assert!(kills(&report, Kill::Point) >= 11, "{report}");
    assert!(kills(&report, Kill::Moment) >= 2, "{report}");
    assert!(report.cases[0].tally.batch_max > 1, "several clients share a batch: {report}");
}

#[test]
fn a_failed_rename_leaves_a_stale_index_that_is_repaired() {
    let report = held("CE-02", 0);
    let notes = &report.cases[0].tally.notes;
    assert!(notes.contains_key("l1.stale") && notes.contains_key("l1.repaired"), "{report}");
}

#[test]
fn a_rebuild_cut_off_anywhere_leaves_a_generation_that_is_whole() {
    let report = held("CE-03", 1);
    assert!(kills(&report, Kill::Point) >= 6, "{report}");
    let tally = &report.cases[0].tally;
    assert!(tally.faults.contains_key("builder killed, node unharmed"), "{report}");
    assert!(tally.notes.contains_key("archive.published") && tally.notes.contains_key("archive.abandoned"), "{report}");
}

#[test]
fn a_process_killed_at_random_keeps_its_promises() {
    assert!(kills(&held("random-kills", 3), Kill::Moment) >= 3);
}

#[test]
fn a_failed_sync_halts_the_node_and_is_recovered_from() {
    let report = held("failed-sync", 1);
    assert!(report.cases[0].tally.faults.contains_key("sync failed, node halted"), "{report}");
}

#[test]
fn a_recovery_killed_at_any_point_is_done_again() {
    assert!(kills(&held("recovery", 0), Kill::Point) > 0);
}

#[test]
fn damage_is_refused_or_made_good() {
    let report = held("damage", 0);
    assert!(report.cases[0].tally.faults.keys().any(|fault| fault.contains("refused")), "{report}");
}

#[test]
fn the_embeddings_of_a_file_are_what_clients_store() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let row = |n: u8| [5_i32.to_le_bytes(), [0; 4], [0; 4], [0; 4], [0; 4], f32::from(n).to_le_bytes()].concat();
    fs::write(file.path(), (1..=9).flat_map(row).collect::<Vec<_>>()).expect("writable");
    let vectors = Vectors::read(file.path(), 100).expect("well formed");
    let options = Options { vectors: Some(Arc::new(vectors)), ..options("random-kills", 3) };
    let report = real::run(&options).expect("the tool works");
    assert_eq!(report.exit_code(), 0, "{report}");
}

/// The log loses its second half, and the index with it, which would have given the loss away.
fn forget_half(dir: &Path) {
    let node = dir.join("node");
    let last = files(&node, "log.").pop().expect("a log");
    let written = fs::read(&last).expect("readable").iter().rposition(|byte| *byte != 0).expect("not empty") as u64;
    File::options().write(true).open(last).and_then(|log| log.set_len(written / 2)).expect("writable");
    for file in files(&node.join("l1"), "") {
        fs::remove_file(file).expect("removable");
    }
}

fn files(dir: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("readable").path());
    let named = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix));
    let mut found: Vec<_> = entries.filter(named).collect();
    found.sort();
    found
}

#[test]
fn a_log_that_loses_what_was_acknowledged_is_found_out() {
    let kept = tempfile::tempdir().expect("a directory");
    let options =
        Options { after_death: Some(&forget_half), dir: Some(kept.path().to_owned()), ..options("random-kills", 6) };
    let report = real::run(&options).expect("the tool works");
    assert_eq!(report.exit_code(), 1, "{report}");
    let failure = report.cases[0].failure.as_ref().expect("a claim fell");
    assert_eq!(failure.claim, "D1", "{report}");
    assert!(failure.directory.starts_with(kept.path()) && failure.directory.exists(), "{report}");
}

#[test]
fn an_unknown_case_is_wrong_use() {
    let error = real::run(&options("CE-99", 0)).expect_err("there is no such case");
    assert!(matches!(error, RealError::UnknownCase { .. }), "{error}");
    assert_eq!(error.exit_code(), 2);
    assert!(error.to_string().contains("`CE-01`"), "{error}");
}

#[test]
fn a_directory_with_something_in_it_is_left_alone() {
    let taken = tempfile::tempdir().expect("a directory");
    fs::write(taken.path().join("letter"), "dear").expect("writable");
    let options = Options { dir: Some(taken.path().to_owned()), ..options("CE-01", 0) };
    assert_eq!(real::run(&options).expect_err("it is not empty").exit_code(), 2);
    assert_eq!(fs::read_to_string(taken.path().join("letter")).expect("still there"), "dear");
}
