//! Faults at named places of a real process. The registry of failpoints is the process's own, hence this program; and
//! its tests take turns by `FailScenario`.

use std::{
    env,
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Command, ExitStatus},
    sync::Arc,
};

use fail::FailScenario;
use stormproof_contract::{
    Boot, BootError, Disk, DiskErrorKind, DiskOp, DiskResult, Effects, File, Input, Node, Open, System,
};
use stormproof_engine::driver::{CallError, OpenError, Options, RealDisk, Stop, failpoints, open};

/// Signal of `abort`.
const SIGABRT: i32 = 6;

/// Appends a byte for each operation: write, a point, sync, reply. It halts on any error.
#[derive(Clone)]
struct Appender;

struct AppenderNode {
    disk: Arc<dyn Disk>,
    file: Arc<dyn File>,
    len: u64,
}

const POINTS: &[&str] = &["append.written"];

impl System for Appender {
    type Config = ();
    type Node = AppenderNode;

    fn boot(&self, at: Boot<'_, ()>) -> Result<AppenderNode, BootError> {
        let begin = || -> DiskResult<AppenderNode> {
            let file = at.disk.open("bytes", Open::Create)?;
            at.disk.sync_dir("")?;
            let len = file.meta()?.len;
            Ok(AppenderNode { disk: Arc::clone(&at.disk), file, len })
        };
        begin().map_err(|e| BootError::Retry(e.to_string().into()))
    }

    fn points(&self) -> &'static [&'static str] {
        POINTS
    }
}

impl AppenderNode {
    fn append(&mut self) -> DiskResult<u64> {
        self.file.write_all_at(self.len, &[b"x"])?;
        self.disk.point("append.written")?;
        self.file.sync()?;
        self.len += 1;
        Ok(self.len)
    }
}

impl Node for AppenderNode {
    type Op = ();
    type Reply = u64;
    type Ask = ();
    type Facts = ();

    fn handle(&mut self, input: Input<()>, out: &mut Effects<u64>) {
        if let Input::Request { id, .. } = input {
            match self.append() {
                Ok(len) => out.reply(id, len),
                Err(e) => out.halt(e.to_string()),
            }
        }
    }
}

/// What a child does when it is started by name: see `child`.
const CHILD_DIR: &str = "STORMPROOF_TEST_CHILD_DIR";

/// Appends five times, in a process that is armed from its environment.
#[test]
fn appends_five_times_as_a_child() {
    let Some(dir) = env::var_os(CHILD_DIR) else { return };
    failpoints::arm_from_env(POINTS).expect("the parent knows the syntax");
    let running = open(&Appender, &(), Path::new(&dir), Options::default()).expect("an empty directory");
    for _ in 0..5 {
        running.client().call(()).expect("no fault but death");
    }
}

fn child(dir: &Path, failpoints: &str) -> ExitStatus {
    Command::new(env::current_exe().expect("this test"))
        .args(["--exact", "appends_five_times_as_a_child"])
        .env(CHILD_DIR, dir)
        .env(failpoints::VARIABLE, failpoints)
        .output()
        .expect("a child")
        .status
}

fn appended(dir: &Path) -> u64 {
    std::fs::metadata(dir.join("node/bytes")).map_or(0, |meta| meta.len())
}

#[test]
fn a_kill_at_a_point_ends_the_process_there_and_the_kernel_keeps_what_it_had() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let status = child(dir.path(), "append.written=2*off->return(kill)");
    assert_eq!(status.signal(), Some(SIGABRT), "{status}");
    assert_eq!(appended(dir.path()), 3, "twice past the point, and killed at it after the third write");
    let status = child(dir.path(), "");
    assert!(status.success(), "the lock died with its holder: {status}");
    assert_eq!(appended(dir.path()), 8);
}

#[test]
fn a_kill_at_a_disk_call_comes_before_the_call() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let status = child(dir.path(), "disk.write=return(kill)");
    assert_eq!(status.signal(), Some(SIGABRT), "{status}");
    // The host's own file is written first: nothing was booted.
    assert_eq!(std::fs::read(dir.path().join("incarnation")).expect("created"), b"");
    assert_eq!(appended(dir.path()), 0);
}

#[test]
fn a_misspelt_order_stops_the_program_instead_of_proving_nothing() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    for wrong in ["append.writen=return(kill)", "append.written", "append.written=explode", "disk.point=off"] {
        let status = child(dir.path(), wrong);
        assert_eq!(status.code(), Some(101), "a panic of the test in the child: {wrong}: {status}");
    }
    assert_eq!(appended(dir.path()), 0);
}

#[test]
fn an_error_at_a_point_reaches_the_node_and_its_caller() {
    let scenario = FailScenario::setup();
    let dir = tempfile::tempdir().expect("a temporary directory");
    let running = open(&Appender, &(), dir.path(), Options::default()).expect("an empty directory");
    fail::cfg("append.written", "1*off->1*return(eio)").expect("well formed");
    assert_eq!(running.client().call(()), Ok(1));
    assert_eq!(running.client().call(()), Err(CallError::Unknown));
    let reason = "point of `append.written`: the device failed (EIO)".into();
    assert_eq!(running.stop(), Stop::Halted { reason });
    scenario.teardown();
}

#[test]
fn a_boot_that_fails_once_is_tried_again() {
    let scenario = FailScenario::setup();
    let dir = tempfile::tempdir().expect("a temporary directory");
    // The host syncs its directory twice before the first boot does.
    fail::cfg("disk.sync_dir", "2*off->1*return(eio)").expect("well formed");
    let running = open(&Appender, &(), dir.path(), Options::default()).expect("the second boot succeeds");
    assert_eq!(running.client().call(()), Ok(1));
    scenario.teardown();
}

#[test]
fn no_node_is_booted_before_its_incarnation_is_durable() {
    for call in ["disk.write", "disk.sync"] {
        let scenario = FailScenario::setup();
        let dir = tempfile::tempdir().expect("a temporary directory");
        fail::cfg(call, "1*return(eio)").expect("well formed");
        let error = open(&Appender, &(), dir.path(), Options::default()).err().expect("the first such call is its own");
        assert!(matches!(error, OpenError::Disk { .. }), "{error}");
        assert!(!dir.path().join("node/bytes").exists(), "the node was booted before {call} succeeded");
        scenario.teardown();
    }
}

/// Does the call of each kind, on a disk where it can succeed.
fn call(op: DiskOp, disk: &dyn Disk) -> DiskResult<()> {
    let file = || disk.open("f", Open::Write);
    match op {
        DiskOp::Open => file().map(drop),
        DiskOp::Read => file()?.read_at(0, &mut [0]).map(drop),
        DiskOp::Write => file()?.write(0, &[b"x"]).map(drop),
        DiskOp::Sync => file()?.sync(),
        DiskOp::SetLen => file()?.set_len(1),
        DiskOp::Allocate => file()?.allocate(1),
        DiskOp::Meta => file()?.meta().map(drop),
        DiskOp::Rename => disk.rename("f", "g"),
        DiskOp::SyncDir => disk.sync_dir(""),
        DiskOp::Mkdir => disk.mkdir("d"),
        DiskOp::Link => disk.link("f", "l"),
        DiskOp::Clone => disk.clone_file("f", "c"),
        DiskOp::Remove => disk.remove("f"),
        DiskOp::List => disk.list("").map(drop),
        DiskOp::Free => disk.free().map(drop),
        DiskOp::Lock => disk.try_lock("k").map(drop),
        DiskOp::Point => disk.point("a.point"),
    }
}

#[test]
fn every_kind_of_call_fails_by_its_name_and_only_by_that() {
    let scenario = FailScenario::setup();
    for op in DiskOp::ALL {
        let name = failpoints::of_call(op).unwrap_or("a.point");
        let dir = tempfile::tempdir().expect("a temporary directory");
        let disk = RealDisk::open(dir.path()).expect("it is there");
        disk.open("f", Open::CreateNew).expect("it is new");
        for (action, kind) in [("return(eio)", DiskErrorKind::Io), ("return(enospc)", DiskErrorKind::NoSpace)] {
            fail::cfg(name, &format!("1*{action}")).expect("well formed");
            let error = call(op, &disk).expect_err(name);
            assert_eq!((error.op, error.kind), (op, kind));
        }
        let names: Vec<String> = disk.list("").expect("the root").into_iter().map(|entry| entry.name).collect();
        assert_eq!(names, ["f"], "a failed {op} did nothing");
        call(op, &disk).expect("it was told to fail only twice");
    }
    scenario.teardown();
}

#[test]
fn an_unknown_action_fails_in_words_of_its_own() {
    let scenario = FailScenario::setup();
    fail::cfg("disk.free", "return(eoi)").expect("the syntax is right");
    let dir = tempfile::tempdir().expect("a temporary directory");
    let error = RealDisk::open(dir.path()).expect("it is there").free().expect_err("told to fail");
    let DiskErrorKind::Other(words) = error.kind else { panic!("{error}") };
    assert!(words.contains("return(eoi)"), "{words}");
    scenario.teardown();
}
