//! The command on real directories: what it prints, how it exits, and that it leaves everything as it was.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use stormproof_engine::{
    driver::{Options, open},
    memory::{Config, Draft, Engine, Op, RecordId, RetryId, Transaction},
};

fn verify(dir: &Path, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_stormproof-engine")).arg("verify").arg(dir).args(more).output().unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Every file with its bytes.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.append(&mut files(&path));
        } else {
            all.insert(path.clone(), fs::read(path).unwrap());
        }
    }
    all
}

/// Six records, of which four or more are flushed: beside the commits, at a moment of the writer's own.
fn filled(dir: &Path) {
    let config = Config { dim: 2, flush_records: 4, ..Config::default() };
    let node = open(&Engine, &config, dir, Options::default()).unwrap();
    for id in 1..=6_u64 {
        let inserts = vec![Draft::new(RecordId(id), vec![id as f32, 1.0])];
        let transaction = Transaction { inserts, ..Transaction::new(RetryId(id.into())) };
        node.client().call(Op::Commit(transaction)).unwrap();
    }
    assert_eq!(verify(dir, &[]).status.code(), Some(3), "it is open");
    assert!(said(&verify(dir, &[])).contains("stop it first"));
    node.stop();
}

#[test]
fn a_directory_is_checked_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    let before = files(dir.path());
    for _ in 0..2 {
        let output = verify(dir.path(), &[]);
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        assert!(
            said(&output).contains("segments/0") && said(&output).contains(" live, in 1 groups"),
            "{}",
            said(&output)
        );
    }
    assert_eq!(files(dir.path()), before);
    assert!(before.len() > 4, "{before:?}");
    let output = verify(&dir.path().join("node"), &["--json"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["format"], &report["verdict"]), (&1.into(), &"good".into()), "{report}");
}

#[test]
fn damage_is_named_with_its_file_and_its_offset() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    let path = dir.path().join("node/segments/0");
    let mut bytes = fs::read(&path).unwrap();
    bytes[100] ^= 1;
    fs::write(&path, bytes).unwrap();
    let output = verify(dir.path(), &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("`segments/0` at offset"), "{}", said(&output));
    assert!(said(&output).contains("DAMAGED"), "{}", said(&output));
}

#[test]
fn a_directory_without_a_store_is_wrong_use() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(verify(dir.path(), &[]).status.code(), Some(2));
    assert_eq!(verify(&dir.path().join("none"), &[]).status.code(), Some(2));
    assert!(!dir.path().join("none").exists());
}
