//! Opening again: the files of the index whole, stale, missing, damaged, too new.

use stormproof_contract::{DiskErrorKind, DiskOp};

use super::*;

const PERSISTS: [L1Persist; 2] = [L1Persist::Delta { merge_after: 4 }, L1Persist::Rewrite];

fn with(l1_persist: L1Persist) -> Bench {
    Bench::new(Config { l1_persist, ..small() })
}

/// Commits records `1..=n`, each in a frame of its own.
fn fill(bench: &mut Bench, n: u64) {
    for id in 1..=n {
        committed(&bench.commit(upsert(id.into(), id, id as f32)));
    }
}

/// The files of the index.
fn l1_paths(bench: &Bench) -> Vec<String> {
    bench.disk.paths().into_iter().filter(|path| path.starts_with("l1/")).collect()
}

#[test]
fn everything_is_there_after_a_restart_and_after_another() {
    for log_format in LogFormat::ALL {
        for l1_persist in PERSISTS {
            let mut bench = Bench::new(Config { log_format, l1_persist, ..small() });
            fill(&mut bench, 11);
            committed(&bench.commit(delete(100, 3)));
            bench.commit(insert(101, 4, 0.0));
            let before = audit::lasting(&bench.facts(), Version(0));
            for _ in 0..2 {
                bench.reopen();
                let after = bench.facts();
                assert!(!after.l1_is_stale() && !bench.noted("l1.rebuilt"), "{l1_persist:?}: {:?}", bench.notes);
                assert_eq!(audit::lasting(&after, Version(0)).decisions.len(), before.decisions.len());
                assert_eq!(audit::lasting(&after, Version(0)).records, before.records);
                assert_eq!((after.lsn, after.changed), (before.lsn, before.changed));
            }
        }
    }
}

#[test]
fn deltas_are_merged_into_a_base_and_removed() {
    let mut bench = with(PERSISTS[0]);
    fill(&mut bench, 5);
    assert!(bench.noted("l1.merged"), "{:?}", l1_paths(&bench));
    assert_eq!(l1_paths(&bench), ["l1/index.5"]);
    committed(&bench.commit(delete(50, 1)));
    assert_eq!(l1_paths(&bench), ["l1/delta.6", "l1/index.5"]);
    bench.reopen();
    assert!(!bench.noted("l1.rebuilt"));
    assert_eq!(bench.facts().rows.len(), 4);
}

#[test]
fn a_rewritten_index_replaces_the_one_before() {
    let mut bench = with(L1Persist::Rewrite);
    fill(&mut bench, 3);
    assert_eq!(l1_paths(&bench), ["l1/index.3"]);
}

#[test]
fn a_failed_merge_is_tried_again_and_loses_nothing() {
    for (op, part) in [
        (DiskOp::Sync, "l1/index"),
        (DiskOp::Rename, "l1/index"),
        (DiskOp::SyncDir, "l1"),
        (DiskOp::Rename, "manifest"),
    ] {
        let mut bench = with(PERSISTS[0]);
        fill(&mut bench, 4);
        bench.disk.fail_on(op, part, DiskErrorKind::Io);
        fill(&mut bench, 5);
        assert!(!bench.noted("l1.merged"), "{op} of {part}");
        let copy = bench.disk.copied();
        bench.pass(Tick::secs(1));
        assert!(bench.noted("l1.merged"), "{op} of {part}");
        let crashed = boot(&copy, &bench.clock, &bench.config, 9).expect("a disk that can be opened");
        assert_eq!(crashed.inspect(&()).map(|facts| facts.records.len()), Some(5));
    }
}

/// CE-02: the rename that finishes a commit fails. The commit stands, the files are stale, and are repaired.
#[test]
fn a_failed_rename_leaves_the_commit_standing_and_the_files_stale_until_they_are_repaired() {
    for l1_persist in PERSISTS {
        let mut bench = with(l1_persist);
        fill(&mut bench, 2);
        bench.disk.fail_on(DiskOp::Rename, "l1/", DiskErrorKind::Io);
        committed(&bench.commit(upsert(3, 3, 3.0)));
        assert!(bench.noted("l1.stale") && bench.facts().l1_is_stale());
        assert_eq!(bench.get(3).map(|record| record.version), Some(Version(1)), "served from memory");
        bench.pass(Tick::secs(1));
        assert!(bench.noted("l1.repaired") && !bench.facts().l1_is_stale());
        assert_eq!(bench.facts().owed, []);
        committed(&bench.commit(upsert(4, 4, 4.0)));
        bench.reopen();
        assert!(!bench.noted("l1.rebuilt"), "{l1_persist:?}");
        assert_eq!(bench.facts().rows.len(), 4);
    }
}

#[test]
fn a_repair_that_fails_is_tried_again() {
    let mut bench = with(PERSISTS[0]);
    bench.disk.fail_on(DiskOp::Rename, "l1/", DiskErrorKind::Io);
    committed(&bench.commit(upsert(1, 1, 1.0)));
    bench.disk.fail_on(DiskOp::Open, "l1/", DiskErrorKind::Io);
    bench.pass(Tick::secs(1));
    assert!(!bench.noted("l1.repaired") && bench.facts().l1_is_stale());
    bench.pass(Tick::secs(1));
    assert!(bench.noted("l1.repaired") && !bench.facts().l1_is_stale());
}

#[test]
fn commits_on_top_of_stale_files_are_recovered_too() {
    for l1_persist in PERSISTS {
        let mut bench = with(l1_persist);
        bench.disk.fail_on(DiskOp::Rename, "l1/", DiskErrorKind::Io);
        fill(&mut bench, 3);
        bench.reopen();
        assert_eq!(bench.facts().rows.len(), 3);
        assert!(!bench.facts().l1_is_stale());
    }
}

#[test]
fn a_vote_that_was_decided_but_not_renamed_is_finished() {
    for l1_persist in PERSISTS {
        let mut bench = with(l1_persist);
        fill(&mut bench, 2);
        bench.disk.fail_on(DiskOp::Rename, "l1/", DiskErrorKind::Io);
        committed(&bench.commit(upsert(3, 3, 3.0)));
        bench.reopen();
        assert!(bench.noted("recover.redone") && !bench.noted("l1.rebuilt"), "{l1_persist:?}: {:?}", bench.notes);
        assert!(!l1_paths(&bench).iter().any(|path| path.contains("tmp")));
        assert_eq!(bench.facts().rows.len(), 3);
    }
}

#[test]
fn a_missing_or_damaged_file_is_made_again_from_the_ground_truth() {
    for l1_persist in PERSISTS {
        let mut bench = with(l1_persist);
        fill(&mut bench, 7);
        for path in l1_paths(&bench) {
            for damage in ["gone", "flipped", "cut", "empty"] {
                let disk = bench.disk.copied();
                let mut bytes = disk.bytes(&path);
                let middle = bytes.len() / 2;
                match damage {
                    "gone" => disk.remove(&path).expect("it is there"),
                    "flipped" => bytes[middle] ^= 1,
                    "cut" => bytes.truncate(middle),
                    _ => bytes.clear(),
                }
                if damage != "gone" {
                    disk.set(&path, &bytes);
                }
                let mut again = Bench::on_old(disk, &bench);
                assert!(again.noted("l1.rebuilt"), "{path} {damage}: {:?}", again.notes);
                assert!(again.noted("l1.repaired"), "{path} {damage}");
                assert_eq!(again.facts().rows.len(), 7);
                again.reopen();
                assert!(!again.noted("l1.rebuilt"), "{path} {damage}");
            }
        }
    }
}

#[test]
fn a_file_of_another_past_is_not_believed_for_its_name() {
    let mut bench = with(PERSISTS[0]);
    fill(&mut bench, 2);
    let mut other = with(PERSISTS[0]);
    committed(&other.commit(upsert(1, 1, 1.0)));
    committed(&other.commit(upsert(2, 2, 9.0)));
    bench.disk.set("l1/delta.2", &other.disk.bytes("l1/delta.2"));
    bench.reopen();
    assert!(bench.noted("l1.rebuilt"));
    assert_eq!(bench.facts().rows[1].vector, Some(vec![2.0, 1.0]));
}

#[test]
fn an_index_ahead_of_the_log_proves_a_lost_tail_and_is_refused() {
    let mut bench = with(PERSISTS[0]);
    fill(&mut bench, 2);
    let old = bench.disk.bytes("log.1");
    committed(&bench.commit(upsert(3, 3, 3.0)));
    bench.disk.set("log.1", &old);
    let refused = boot(&bench.disk, &bench.clock, &bench.config, 1).map(|_| ());
    let Err(BootError::Refused(words)) = refused else { panic!("{refused:?}") };
    for part in ["l1/delta.3", "log.1", "LSN 2", "LSN 3"] {
        assert!(words.contains(part), "{part} is not in: {words}");
    }
}

#[test]
fn a_temporary_file_ahead_of_the_log_proves_nothing_and_is_swept() {
    let mut bench = with(PERSISTS[0]);
    fill(&mut bench, 2);
    bench.disk.set("l1/delta.3.tmp", b"half a vote");
    bench.reopen();
    assert_eq!(l1_paths(&bench), ["l1/delta.1", "l1/delta.2"]);
}

#[test]
fn a_lost_manifest_is_refused_even_when_only_the_index_remembers() {
    let mut bench = with(PERSISTS[0]);
    fill(&mut bench, 1);
    for path in ["manifest", "log.1"] {
        bench.disk.remove(path).expect("it is there");
    }
    let refused = boot(&bench.disk, &bench.clock, &bench.config, 1).map(|_| ());
    assert!(matches!(refused, Err(BootError::Refused(_))), "{refused:?}");
}

#[test]
fn the_wrong_dimension_or_metric_is_refused() {
    let mut bench = with(PERSISTS[0]);
    fill(&mut bench, 1);
    for config in [Config { dim: 3, ..small() }, Config { metric: Metric::Cosine, ..small() }] {
        let refused = boot(&bench.disk, &bench.clock, &config, 1).map(|_| ());
        assert!(matches!(refused, Err(BootError::Refused(_))), "{refused:?}");
    }
}

#[test]
fn the_way_the_index_is_kept_may_change_from_boot_to_boot() {
    let mut bench = with(PERSISTS[0]);
    for (round, l1_persist) in PERSISTS.into_iter().cycle().take(4).enumerate() {
        bench.config.l1_persist = l1_persist;
        bench.reopen();
        let id = round as u64 + 1;
        committed(&bench.commit(upsert(id.into(), id, id as f32)));
        assert!(!bench.facts().l1_is_stale());
        assert_eq!(bench.facts().rows.len(), round + 1);
    }
}

#[test]
fn a_disk_that_fails_during_boot_is_tried_again() {
    let mut bench = with(PERSISTS[0]);
    fill(&mut bench, 3);
    for op in [DiskOp::Open, DiskOp::Read, DiskOp::Sync, DiskOp::Rename] {
        bench.disk.fail_next(op, DiskErrorKind::Io);
        let failed = boot(&bench.disk, &bench.clock, &bench.config, 1).map(|_| ());
        assert!(matches!(failed, Err(BootError::Retry(_))), "{op}: {failed:?}");
        bench.reopen();
        assert_eq!(bench.facts().records.len(), 3);
    }
}

impl Bench {
    /// A node booted on a disk that another has written.
    fn on_old(disk: Arc<TestDisk>, other: &Bench) -> Bench {
        let mut bench = Bench::new(other.config.clone());
        bench.disk = disk;
        bench.boots = other.boots;
        bench.reopen();
        bench
    }
}
