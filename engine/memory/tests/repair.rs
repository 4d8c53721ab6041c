//! Repairing: whatever is damaged, the store starts again, has nothing but what was there, and what is lost is listed.

use stormproof_contract::{Disk, DiskErrorKind, DiskOp};

use super::{
    super::{
        repair::{Repaired, repair},
        verify::{State, verify},
    },
    *,
};

/// A store, and its records after each frame.
struct Kept {
    bench: Bench,
    states: Vec<Vec<Arc<Record>>>,
}

fn kept(config: Config) -> Kept {
    let mut bench = Bench::new(config);
    let mut states = vec![Vec::new()];
    let upserts = (1..=12).chain([2, 6, 13, 14]).map(|id| (id, false));
    let writes = upserts.chain([(3, true), (15, false), (7, true), (1, false), (16, false), (17, false)]);
    for (retry, (id, gone)) in (1_u128..).zip(writes) {
        let transaction = if gone { delete(retry, id) } else { upsert(retry, id, retry as f32) };
        committed(&bench.commit(transaction));
        states.push(bench.facts().records);
    }
    Kept { bench, states }
}

fn sliced_log() -> Config {
    Config { flush_records: 4, ..small() }
}

fn mend(disk: &Arc<TestDisk>, dry_run: bool) -> Repaired {
    let disk = Arc::clone(disk) as Arc<dyn Disk>;
    repair(&disk, dry_run).expect("the disk works")
}

fn contents(disk: &TestDisk) -> BTreeMap<String, Vec<u8>> {
    disk.paths().into_iter().map(|path| (path.clone(), disk.bytes(&path))).collect()
}

fn is_good(disk: &Arc<TestDisk>) -> bool {
    let disk = Arc::clone(disk) as Arc<dyn Disk>;
    verify(&disk).expect("the disk works").iter().all(|file| file.state != State::Bad)
}

impl Kept {
    /// Repairs a copy, and holds what is there afterwards against what was.
    fn is_mended(&self, disk: &Arc<TestDisk>, name: &str) -> Repaired {
        let before = contents(disk);
        let dry = mend(disk, true);
        assert_eq!(contents(disk), before, "{name}: a dry run changes nothing");
        let done = mend(disk, false);
        assert_eq!(done, dry, "{name}: what is done is what was announced");
        self.holds(disk, &done, name);
        done
    }

    fn holds(&self, disk: &Arc<TestDisk>, done: &Repaired, name: &str) {
        assert!(is_good(disk), "{name}");
        assert!(mend(disk, true).is_nothing(), "{name}: once is enough");
        let node = boot(disk, &self.bench.clock, &self.bench.config, 9);
        let node = node.unwrap_or_else(|error| panic!("{name}: {error:?} after {done:?}"));
        let facts = node.inspect(&()).expect("facts");
        assert!(facts.unread.is_empty() && audit::index_agrees(&facts).is_ok(), "{name}");
        let end = done.frames.map_or(self.states.len() - 1, |frames| frames.after.0 as usize);
        let was = &self.states[end];
        let all: Vec<_> = self.states.iter().flatten().collect();
        let (mut old, mut gone) = (0, 0);
        for record in &facts.records {
            assert!(all.contains(&record), "{name}: {record:?} was never there, {done:?}");
            old += u64::from(!was.contains(record));
        }
        let is_lost =
            |record: &Record| done.records.iter().any(|lost| lost.id == record.id && lost.version == record.version);
        for record in was.iter().filter(|record| !facts.records.iter().any(|found| found.id == record.id)) {
            gone += u64::from(!is_lost(record));
        }
        assert!(old + gone <= done.unknown, "{name}: {old} are old and {gone} gone unsaid, {done:?}");
    }
}

#[test]
fn nothing_is_done_to_a_store_that_is_whole() {
    let kept = kept(sliced_log());
    let before = contents(&kept.bench.disk);
    let done = mend(&kept.bench.disk, false);
    assert!(done.is_nothing() && done.is_lossless());
    assert_eq!(contents(&kept.bench.disk), before);
    assert!(mend(&TestDisk::new(), false).is_nothing(), "nor to a directory without one");
}

#[test]
fn whatever_byte_is_wrong_the_store_starts_again_with_all_that_can_be_believed() {
    let kept = kept(sliced_log());
    let paths: Vec<_> = kept
        .bench
        .disk
        .paths()
        .into_iter()
        .filter(|path| path.contains("segments/") || path.contains("log."))
        .collect();
    assert!(paths.len() >= 5, "{paths:?}");
    let mut lossless = 0;
    for path in &paths {
        let bytes = kept.bench.disk.bytes(path);
        let len = if path.contains("log.") { 700.min(bytes.len()) } else { bytes.len() };
        for at in (0..len).step_by(13) {
            let copy = kept.bench.disk.copied();
            let mut bytes = bytes.clone();
            bytes[at] ^= 16;
            copy.set(path, &bytes);
            let done = kept.is_mended(&copy, &format!("{path} at {at}"));
            lossless += u32::from(done.is_lossless() && !done.is_nothing());
        }
    }
    assert!(lossless > 0, "what is not the newest writing is no loss");
}

#[test]
fn a_vector_that_is_damaged_costs_one_record() {
    let kept = kept(sliced_log());
    let segment = Arc::clone(&kept.bench.node.views.newest().segments[1]);
    let (path, span) = (segment.no().path(), segment.row_span(0, 0));
    let copy = kept.bench.disk.copied();
    let mut bytes = copy.bytes(&path);
    bytes[span.offset as usize] ^= 1;
    copy.set(&path, &bytes);
    let done = kept.is_mended(&copy, "a vector");
    assert_eq!(done.records.iter().map(|lost| (lost.id.0, lost.version.0)).collect::<Vec<_>>(), [(5, 1)]);
    let kept = done.kept_in.expect("a directory");
    for name in [path.replace('/', "-").as_str(), "report.json"] {
        assert!(copy.paths().contains(&format!("{kept}/{name}")), "no {name} in {:?}", copy.paths());
    }
}

/// The older writing is whole, in an older segment. It must not come back.
#[test]
fn an_older_writing_does_not_take_the_place_of_a_newer_one_that_is_lost() {
    let kept = kept(sliced_log());
    let segments = kept.bench.node.views.newest().segments.clone();
    let last = segments.iter().rev().find(|segment| segment.group_of(RecordId(6)).is_some()).expect("one has it");
    let copy = kept.bench.disk.copied();
    let mut bytes = copy.bytes(&last.no().path());
    // Its keys, so that only what was decided says what they were of.
    bytes[5] ^= 1;
    copy.set(&last.no().path(), &bytes);
    let done = kept.is_mended(&copy, "without its keys");
    assert!(done.records.iter().any(|lost| (lost.id.0, lost.version.0) == (6, 2)), "{done:?}");
    let mut bench = Bench { disk: copy, ..Bench::new(sliced_log()) };
    bench.reopen();
    assert_eq!(bench.get(6), None);
    let again = bench.commit(upsert(99, 6, 0.0));
    let Reply::Committed { versions, .. } = &again else { panic!("{again:?}") };
    assert!(versions[0].1 > Version(2), "no version is given twice: {versions:?}");
}

#[test]
fn whatever_file_is_missing_the_store_starts_again() {
    let kept = kept(sliced_log());
    for path in kept.bench.disk.paths().into_iter().filter(|path| path != "manifest") {
        let copy = kept.bench.disk.copied();
        copy.remove(&path).expect("removed");
        kept.is_mended(&copy, &format!("without {path}"));
    }
}

#[test]
fn several_damages_are_repaired_at_once() {
    let kept = kept(sliced_log());
    let segments: Vec<_> = kept.bench.disk.paths().into_iter().filter(|path| path.contains("segments/")).collect();
    for at in (0..500).step_by(17) {
        let copy = kept.bench.disk.copied();
        for (n, path) in segments.iter().enumerate() {
            let mut bytes = copy.bytes(path);
            let at = (at * (n + 1)) % bytes.len();
            bytes[at] ^= 4;
            copy.set(path, &bytes);
        }
        kept.is_mended(&copy, &format!("every segment, from {at} on"));
    }
}

#[test]
fn a_log_that_has_lost_its_end_is_accepted_with_what_was_made_of_it_put_aside() {
    let kept = kept(sliced_log());
    let copy = kept.bench.disk.copied();
    let path = copy.paths().into_iter().rfind(|path| path.starts_with("log.")).expect("a log");
    let mut log = copy.bytes(&path);
    log.iter_mut().skip(64).for_each(|byte| *byte = 0);
    copy.set(&path, &log);
    boot(&copy, &kept.bench.clock, &kept.bench.config, 9).err().expect("refused");
    let done = kept.is_mended(&copy, "a lost end");
    let end = (kept.states.len() - 1) as u64;
    assert_eq!(done.frames.and_then(|frames| frames.upto), Some(Lsn(end)), "{done:?}");
}

#[test]
fn a_repair_that_fails_anywhere_is_done_again() {
    let kept = kept(sliced_log());
    let mut failed = 0;
    for op in [
        DiskOp::Open,
        DiskOp::Write,
        DiskOp::Sync,
        DiskOp::SyncDir,
        DiskOp::Rename,
        DiskOp::Mkdir,
        DiskOp::SetLen,
        DiskOp::List,
        DiskOp::Read,
    ] {
        for after in 0..14 {
            let copy = kept.bench.disk.copied();
            let log = copy.paths().into_iter().rfind(|path| path.starts_with("log.")).expect("a log");
            for (path, at) in [("segments/1", 40), (&*log, 90)] {
                let mut bytes = copy.bytes(path);
                bytes[at] ^= 1;
                copy.set(path, &bytes);
            }
            let announced = mend(&copy, true);
            copy.fail_after(after, op, DiskErrorKind::Io);
            let disk = Arc::clone(&copy) as Arc<dyn Disk>;
            let first = repair(&disk, false);
            failed += u32::from(first.is_err());
            copy.fail_after(usize::MAX, DiskOp::Link, DiskErrorKind::Io);
            mend(&copy, false);
            kept.holds(&copy, &announced, &format!("{op} after {after}"));
        }
    }
    assert!(failed >= 30, "only {failed} repairs failed");
}

#[test]
fn a_manifest_is_not_made_up() {
    let kept = kept(sliced_log());
    kept.bench.disk.set("manifest", b"not a manifest");
    let before = contents(&kept.bench.disk);
    let disk = Arc::clone(&kept.bench.disk) as Arc<dyn Disk>;
    repair(&disk, false).expect_err("there is nothing to go by");
    assert_eq!(contents(&kept.bench.disk), before);
}

/// What the first repair could not save of the decisions is not there to name records a second time.
#[test]
fn a_repaired_store_that_is_damaged_again_says_what_it_cannot_know() {
    let kept = kept(sliced_log());
    for first in [60, 300, 420] {
        for second in (0..260).step_by(13) {
            let copy = kept.bench.disk.copied();
            let flip = |path: &str, at: usize| {
                let mut bytes = copy.bytes(path);
                let at = at % bytes.len();
                bytes[at] ^= 16;
                copy.set(path, &bytes);
            };
            // Its end, so that what was decided is lost with some of what is before.
            let len = copy.bytes("segments/2").len();
            copy.set("segments/2", &copy.bytes("segments/2")[..len - first]);
            let before = mend(&copy, false);
            let named = copy.paths().into_iter().rfind(|path| path.starts_with("segments/")).expect("a segment");
            flip(&named, second);
            let after = mend(&copy, false);
            let lost = |done: &Repaired| done.records.len() as u64 + done.unknown;
            let node = boot(&copy, &kept.bench.clock, &kept.bench.config, 9).expect("it starts");
            let facts = node.inspect(&()).expect("facts");
            let was = kept.states.last().expect("states");
            let gone = was.iter().filter(|record| !facts.records.contains(record)).count() as u64;
            assert!(gone <= lost(&before) + lost(&after), "{first} {second}: {gone} gone, {before:?} {after:?}");
        }
    }
}

/// A participant was not told the end of a transaction, so files of the log stay that hold only what was flushed.
#[test]
fn damage_of_a_log_file_that_holds_only_what_was_flushed_costs_nothing() {
    let managers = Ledger::managers(&["books"], LedgerConfig::default());
    let config = Config { managers, again_after: Tick::secs(1), ..sliced_log() };
    let mut bench = Bench::new(config.clone());
    fill(&mut bench, 1..=3);
    let asked = bench.send(Op::Commit(Transaction { managers: vec!["books".into()], ..upsert(4, 4, 4.0) }));
    for after in [1, 0, 0] {
        bench.disk.fail_nth_on(after, DiskOp::Rename, "managers/books/book", DiskErrorKind::Io);
    }
    bench.settle();
    committed(&bench.reply(asked).expect("an answer"));
    bench.pass(Tick::secs(1));
    fill(&mut bench, 5..=6);
    let logs: Vec<_> = bench.disk.paths().into_iter().filter(|path| path.starts_with("log.")).collect();
    assert_eq!(logs, ["log.1", "log.2"], "{:?}", bench.notes);
    for damage in [false, true] {
        let copy = bench.disk.copied();
        if damage {
            let mut bytes = copy.bytes("log.1");
            bytes[90] ^= 1;
            copy.set("log.1", &bytes);
        } else {
            copy.remove("log.1").expect("removed");
        }
        let done = mend(&copy, false);
        assert!(done.is_lossless() && !done.is_nothing(), "{done:?}");
        let node = boot(&copy, &bench.clock, &config, 9).expect("it starts");
        assert_eq!(node.inspect(&()).map(|facts| facts.records.len()), Some(6));
    }
}

#[test]
fn an_index_that_the_manifest_names_proves_a_lost_end_too() {
    let mut bench =
        Bench::new(Config { flush_records: 100, l1_persist: L1Persist::Delta { merge_after: 2 }, ..small() });
    fill(&mut bench, 1..=5);
    bench.pass(Tick::secs(1));
    let base = bench.node.manifest.current().l1.expect("merged").lsn;
    let copy = bench.disk.copied();
    let mut log = copy.bytes("log.1");
    log.iter_mut().skip(64).for_each(|byte| *byte = 0);
    copy.set("log.1", &log);
    // As an operator may have done.
    for path in copy.paths().into_iter().filter(|path| path.starts_with("l1/")) {
        copy.remove(&path).expect("removed");
    }
    let done = mend(&copy, false);
    assert_eq!(done.frames.map(|frames| (frames.after, frames.upto)), Some((Lsn(0), Some(base))), "{done:?}");
    boot(&copy, &bench.clock, &bench.config, 9).expect("it starts");
}

/// A file of a later format is not damage, and not ours to judge.
#[test]
fn what_a_later_version_has_written_is_left_alone() {
    let kept = kept(sliced_log());
    let path = kept.bench.disk.paths().into_iter().rfind(|path| path.starts_with("log.")).expect("a log");
    let mut bytes = kept.bench.disk.bytes(&path);
    bytes[8] = 99;
    let crc = crc32c::crc32c(&bytes[..59]);
    bytes[59..63].copy_from_slice(&crc.to_le_bytes());
    kept.bench.disk.set(&path, &bytes);
    let before = contents(&kept.bench.disk);
    let disk = Arc::clone(&kept.bench.disk) as Arc<dyn Disk>;
    let refused = repair(&disk, false).expect_err("not ours");
    assert!(refused.to_string().contains(&path), "{refused}");
    assert_eq!(contents(&kept.bench.disk), before);
}
