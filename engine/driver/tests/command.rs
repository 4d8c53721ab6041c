//! The command on real directories: what it prints, how it exits, and that it leaves everything as it was.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::Arc,
};

use stormproof_engine::{
    driver::{Note, Observer, Options, open},
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
    let (tell, flushed) = std::sync::mpsc::channel();
    let observer: Observer = Arc::new(move |note| {
        if let Note::Said { name: "flush", .. } = note {
            let _ = tell.send(());
        }
    });
    let node = open(&Engine, &config, dir, Options { observer: Some(observer), ..Options::default() }).unwrap();
    for id in 1..=6_u64 {
        let inserts = vec![Draft::new(RecordId(id), vec![id as f32, 1.0])];
        let transaction = Transaction { inserts, ..Transaction::new(RetryId(id.into())) };
        node.client().call(Op::Commit(transaction)).unwrap();
    }
    // Beside commits, and perhaps not at an end when the last of them is answered.
    flushed.recv_timeout(std::time::Duration::from_mins(1)).expect("it is flushed");
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

fn run(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_stormproof-engine")).args(words).output().unwrap()
}

/// A file of vectors with two components: (0, 1), (1, 1), ...
fn fvecs(path: &Path, rows: u64) {
    let row = |n: u64| [2_i32.to_le_bytes(), (n as f32).to_le_bytes(), 1_f32.to_le_bytes()].concat();
    fs::write(path, (0..rows).flat_map(row).collect::<Vec<u8>>()).unwrap();
}

#[test]
fn what_was_loaded_is_found_and_the_same_load_again_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (store, file) = (dir.path().join("store"), dir.path().join("v.fvecs"));
    fvecs(&file, 700);
    let (store, file) = (store.to_str().unwrap(), file.to_str().unwrap());
    let mut lsns = Vec::new();
    for _ in 0..2 {
        let output = run(&["load", store, file, "--first-id", "100"]);
        assert!(
            output.status.success() && said(&output).starts_with("700 records of 2 components"),
            "{}",
            said(&output)
        );
        let stats: serde_json::Value = serde_json::from_slice(&run(&["stats", store, "--json"]).stdout).unwrap();
        assert_eq!(stats["records"], 700, "{stats}");
        lsns.push(stats["lsn"].as_u64());
    }
    assert_eq!(lsns[0], lsns[1]);
    let got = run(&["get", store, "100", "799", "--json"]);
    let lines = String::from_utf8(got.stdout).unwrap();
    let vectors: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["vector"].clone()).collect();
    assert_eq!(vectors, [serde_json::json!([0.0, 1.0]), serde_json::json!([699.0, 1.0])]);
    let scanned = run(&["scan", store, "--from", "795", "--limit", "3"]);
    let ids: Vec<_> = said(&scanned).lines().map(|line| line.split(' ').nth(1).unwrap().to_owned()).collect();
    assert_eq!(ids, ["795", "796", "797"]);
    assert_eq!(said(&run(&["scan", store, "--limit", "5000"])).lines().count(), 700, "page by page");
    let missing = run(&["get", store, "100", "99"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(said(&missing).contains("there is no record 99"), "{}", said(&missing));
}

#[test]
fn a_bulk_load_is_found_and_the_same_again_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (store, file) = (dir.path().join("store"), dir.path().join("v.fvecs"));
    fvecs(&file, 9_000);
    let (store, file) = (store.to_str().unwrap(), file.to_str().unwrap());
    for _ in 0..2 {
        let output = run(&["load", store, file, "--bulk"]);
        assert!(output.status.success() && said(&output).starts_with("9000 records"), "{}", said(&output));
        let stats: serde_json::Value = serde_json::from_slice(&run(&["stats", store, "--json"]).stdout).unwrap();
        assert_eq!((&stats["records"], &stats["lsn"], &stats["segments"]), (&9000.into(), &2.into(), &2.into()));
    }
    assert!(said(&run(&["get", store, "8999"])).contains("[8999, 1]"), "{}", said(&run(&["get", store, "8999"])));
    assert!(run(&["verify", store]).status.success());
    let again = run(&["load", store, file, "--bulk", "--limit", "10"]);
    assert!(!again.status.success() && said(&again).contains("Duplicate"), "{}", said(&again));
}

#[test]
fn a_search_is_exact_however_little_of_the_index_is_in_memory() {
    let dir = tempfile::tempdir().unwrap();
    let (store, file) = (dir.path().join("store"), dir.path().join("v.fvecs"));
    fvecs(&file, 25_000);
    let (store, file) = (store.to_str().unwrap(), file.to_str().unwrap());
    assert!(run(&["load", store, file, "--index-mib", "0"]).status.success());
    for mib in ["0", "1024"] {
        let output = run(&["search", store, file, "-k", "2", "--limit", "3", "--json", "--index-mib", mib]);
        let lines = String::from_utf8(output.stdout).unwrap();
        let hits: Vec<serde_json::Value> = lines
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["hits"].clone())
            .collect();
        let hit = |id: u64, distance: f32| serde_json::json!({ "id": id, "distance": distance });
        let expected = [[hit(0, 0.0), hit(1, 1.0)], [hit(1, 0.0), hit(0, 1.0)], [hit(2, 0.0), hit(1, 1.0)]];
        assert_eq!(hits, expected.map(|pair| serde_json::json!(pair)), "with {mib} MiB");
    }
    fs::write(file, [3_i32.to_le_bytes(), [0; 4], [0; 4], [0; 4]].concat()).unwrap();
    assert_eq!(run(&["search", store, file]).status.code(), Some(2));
}

#[test]
fn memory_consolidates_when_it_is_asked_to() {
    let dir = tempfile::tempdir().unwrap();
    let (store, file, episodes) = (dir.path().join("store"), dir.path().join("v.fvecs"), dir.path().join("episodes"));
    fvecs(&file, 3);
    fs::write(&episodes, "0 1\n\n0\n").unwrap();
    let [store, file, episodes] = [&store, &file, &episodes].map(|path| path.to_str().unwrap());
    assert!(run(&["load", store, file]).status.success());
    let nrem = run(&["consolidate", store, "nrem", episodes, "--kappa-gain", "0.5"]);
    assert_eq!(said(&nrem), "2 records became firmer\n");
    assert!(said(&run(&["get", store, "0"])).contains("kappa 0.75"));
    let rem = run(&["consolidate", store, "--json", "rem", "--radius", "1", "--members", "2"]);
    assert_eq!(said(&rem), "{\"changed\":1,\"pass\":\"rem\",\"spared\":0}\n");
    assert_eq!(said(&run(&["consolidate", store, "prune", "--kappa", "0.9"])), "0 records were removed\n", "too young");
    // Links of the prototype hold what it stands for.
    assert_eq!(
        said(&run(&["consolidate", store, "prune", "--kappa", "0.9", "--days", "0"])),
        "2 records were removed\n"
    );
    assert_eq!(said(&run(&["scan", store])).lines().count(), 2);
    fs::write(episodes, "0 1\nx\n").unwrap();
    let wrong = run(&["consolidate", store, "nrem", episodes]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(said(&wrong).contains("line 2: found `x`"), "{}", said(&wrong));
}

#[test]
fn a_file_of_other_vectors_or_of_none_loads_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (store, file) = (dir.path().join("store"), dir.path().join("v.fvecs"));
    fvecs(&file, 3);
    let (store, path) = (store.to_str().unwrap(), file.to_str().unwrap());
    assert!(run(&["load", store, path]).status.success());
    fs::write(&file, [3_i32.to_le_bytes(), [0; 4], [0; 4], [0; 4]].concat()).unwrap();
    let other = run(&["load", store, path]);
    assert_eq!(other.status.code(), Some(2));
    assert!(said(&other).contains("3 components, those of the store 2"), "{}", said(&other));
    fs::write(&file, b"no").unwrap();
    assert_eq!(run(&["load", store, path]).status.code(), Some(2));
    assert_eq!(run(&["load", store, "nowhere.fvecs"]).status.code(), Some(2));
    assert_eq!(run(&["get", dir.path().to_str().unwrap(), "1"]).status.code(), Some(2));
}

/// What follows a vector that cannot be loaded would get other ids, so nothing of it is.
#[test]
fn a_load_ends_where_the_file_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let (store, file) = (dir.path().join("store"), dir.path().join("v.fvecs"));
    fvecs(&file, 2000);
    let mut bytes = fs::read(&file).unwrap();
    bytes[12 * 300 + 4..][..4].copy_from_slice(&f32::NAN.to_le_bytes());
    fs::write(&file, &bytes).unwrap();
    let (store, path) = (store.to_str().unwrap(), file.to_str().unwrap());
    let output = run(&["load", store, path]);
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("offset 3604: expected a finite number"), "{}", said(&output));
    for line in said(&run(&["scan", store, "--limit", "9999"])).lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words[4].trim_matches(['[', ',']), words[1], "record n is vector n: {line}");
    }
    bytes.truncate(12 * 200 + 5);
    fs::write(&file, bytes).unwrap();
    let output = run(&["load", store, path]);
    assert_eq!(output.status.code(), Some(2), "a file that was cut: {}", said(&output));
    let output = run(&["load", store, path, "--first-id", "18446744073709551615"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("no ids are left"), "{}", said(&output));
}

#[test]
fn a_pipe_is_read_to_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("v.fvecs");
    fvecs(&file, 300);
    let mut load = Command::new(env!("CARGO_BIN_EXE_stormproof-engine"));
    load.arg("load").arg(dir.path().join("store")).arg("/dev/stdin");
    let mut load = load.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut load.stdin.take().unwrap(), &fs::read(&file).unwrap()).unwrap();
    let output = load.wait_with_output().unwrap();
    assert!(output.status.success() && said(&output).starts_with("300 records"), "{}", said(&output));
}

#[test]
fn a_damaged_store_is_repaired_and_what_is_lost_is_listed() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    let store = dir.path().to_str().unwrap();
    let whole = run(&["repair", store]);
    assert_eq!(whole.status.code(), Some(0));
    assert!(said(&whole).contains("nothing is damaged"), "{}", said(&whole));
    let path = dir.path().join("node/segments/0");
    let mut bytes = fs::read(&path).unwrap();
    bytes[100] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let before = files(&dir.path().join("node"));
    let dry = run(&["repair", store, "--dry-run"]);
    assert_eq!((dry.status.code(), files(&dir.path().join("node"))), (Some(1), before));
    let alone = run(&["repair", dir.path().join("node").to_str().unwrap()]);
    assert_eq!(alone.status.code(), Some(2), "{}", said(&alone));
    let done = run(&["repair", store, "--json"]);
    assert_eq!(done.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    let lost = report["repair"]["records"].as_array().unwrap();
    assert!(!lost.is_empty(), "{report}");
    assert!(said(&dry).contains(&format!("LOST: {} records", lost.len())), "{}", said(&dry));
    assert_eq!(verify(dir.path(), &[]).status.code(), Some(0));
    let stats: serde_json::Value = serde_json::from_slice(&run(&["stats", store, "--json"]).stdout).unwrap();
    assert!(stats["records"].as_u64() > Some(0), "{stats}");
    let kept = report["repair"]["kept_in"].as_str().unwrap();
    assert!(dir.path().join("node").join(kept).join("segments-0").exists());
}

#[test]
fn each_kind_of_file_is_shown_with_its_parts() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    let node = dir.path().join("node");
    let log =
        files(&node).into_keys().find(|path| path.file_name().unwrap().to_str().unwrap().starts_with("log.")).unwrap();
    let shows = |kind: &str, file: &Path, words: &[&str]| {
        let output = run(&["inspect", kind, file.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        for word in words {
            assert!(said(&output).contains(word), "no `{word}` in {}", said(&output));
        }
    };
    shows("manifest", &node.join("manifest"), &["2 components", "segments/0", "log."]);
    shows("segment", &node.join("segments/0"), &["segment 0 of database", "group 0", "decisions"]);
    shows("wal", &log, &["of the log of database", "bytes of zeros"]);
    let json = run(&["inspect", "segment", node.join("segments/0").to_str().unwrap(), "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((&report["format"], &report["damaged"]), (&1.into(), &false.into()), "{report}");
}

#[test]
fn a_damaged_part_is_marked_and_the_rest_is_shown() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    let path = dir.path().join("node/segments/0");
    let mut bytes = fs::read(&path).unwrap();
    bytes[100] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let output = run(&["inspect", "segment", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("BAD") && said(&output).contains("decisions"), "{}", said(&output));
    bytes.truncate(90);
    fs::write(&path, bytes).unwrap();
    let output = run(&["inspect", "segment", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("cannot be taken for"), "{}", said(&output));
    assert_eq!(run(&["inspect", "l1", "nowhere"]).status.code(), Some(2));
}
