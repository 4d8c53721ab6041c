//! What `verify` says of directories: whole ones, interrupted ones, damaged ones.

use stormproof_contract::{Disk, DiskErrorKind, DiskOp};

use super::super::verify::{State, verify};
use super::*;

fn filled() -> Bench {
    filled_with(1.0)
}

/// Six records, whose vectors are so much of their id.
fn filled_with(factor: f32) -> Bench {
    let mut bench = Bench::new(Config { flush_records: 4, ..small() });
    for id in 1..=6 {
        committed(&bench.commit(upsert(id.into(), id, id as f32 * factor)));
    }
    bench
}

fn states(disk: &Arc<TestDisk>) -> Vec<(String, State)> {
    let disk = Arc::clone(disk) as Arc<dyn Disk>;
    let checked = verify(&disk).expect("the disk works");
    checked.into_iter().map(|file| (file.path.into(), file.state)).collect()
}

fn state_of(disk: &Arc<TestDisk>, path: &str) -> Option<State> {
    states(disk).into_iter().find(|(found, _)| found == path).map(|(_, state)| state)
}

#[test]
fn a_whole_directory_is_good_and_is_not_changed() {
    let bench = filled();
    let before: Vec<_> = bench.disk.paths().into_iter().map(|path| (bench.disk.bytes(&path), path)).collect();
    let states = states(&bench.disk);
    let paths: Vec<_> = states.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(paths, ["manifest", "segments/0", "log.2", "l1/delta.5", "l1/delta.6"]);
    assert!(states.iter().all(|(_, state)| *state == State::Good), "{states:?}");
    let after: Vec<_> = bench.disk.paths().into_iter().map(|path| (bench.disk.bytes(&path), path)).collect();
    assert_eq!(before, after);
}

#[test]
fn an_empty_directory_is_no_damage() {
    assert_eq!(states(&TestDisk::new()), [("manifest".to_owned(), State::Good)]);
}

#[test]
fn whatever_a_start_would_refuse_is_bad() {
    let bench = filled();
    for path in ["manifest", "segments/0", "log.2"] {
        let bytes = bench.disk.bytes(path);
        // Of the log, what was written: behind it are zeros that nobody reads, but for being zero.
        let len = if path == "log.2" { 400 } else { bytes.len() };
        for at in (0..len).step_by(11) {
            let copy = bench.disk.copied();
            let mut bytes = bytes.clone();
            bytes[at] ^= 16;
            copy.set(path, &bytes);
            let starts = boot(&copy, &bench.clock, &bench.config, 9).is_ok();
            let is_bad = states(&copy).iter().any(|(_, state)| *state == State::Bad);
            assert_eq!(is_bad, !starts, "{path} at {at}: {:?}", states(&copy));
        }
        let copy = bench.disk.copied();
        copy.remove(path).expect("removed");
        assert!(states(&copy).iter().any(|(_, state)| *state == State::Bad), "without {path}");
    }
}

#[test]
fn whatever_a_start_would_mend_is_not_bad() {
    let bench = filled();
    let copy = bench.disk.copied();
    copy.set("l1/delta.6", b"not a delta");
    assert_eq!(state_of(&copy, "l1/delta.6"), Some(State::Stale));
    // Whole, of this database and of this frame, but not what was voted.
    copy.set("l1/delta.6", &filled_with(0.5).disk.bytes("l1/delta.6"));
    assert_eq!(state_of(&copy, "l1/delta.6"), Some(State::Stale));
    copy.set("l1/delta.6", &filled().disk.bytes("l1/delta.6"));
    assert_eq!(state_of(&copy, "l1/delta.6"), Some(State::Good));
    for (path, state) in [
        ("l1/delta.7.tmp", State::Leftover),
        ("manifest.tmp", State::Leftover),
        ("log.9", State::Leftover),
        ("segments/77", State::Leftover),
        ("notes.txt", State::Foreign),
    ] {
        let copy = bench.disk.copied();
        copy.set(path, b"x");
        assert_eq!(state_of(&copy, path), Some(state), "{path}");
        assert!(boot(&copy, &bench.clock, &bench.config, 9).is_ok(), "{path}");
    }
}

#[test]
fn a_lost_tail_is_told_by_what_was_made_of_it() {
    let bench = filled();
    let copy = bench.disk.copied();
    let mut log = copy.bytes("log.2");
    log.iter_mut().skip(64).for_each(|byte| *byte = 0);
    copy.set("log.2", &log);
    assert!(states(&copy).contains(&("log.2".to_owned(), State::Bad)));
}

#[test]
fn a_disk_that_fails_says_nothing_about_the_files() {
    let bench = filled();
    bench.disk.fail_next(DiskOp::Read, DiskErrorKind::Io);
    let disk = Arc::clone(&bench.disk) as Arc<dyn Disk>;
    verify(&disk).expect_err("the disk failed");
}
