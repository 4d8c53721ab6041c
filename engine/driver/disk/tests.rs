//! The real disk in a real directory: what each call does, how it fails, and that no path leads out.

use std::{env, io::Write, os::unix::fs::symlink, process::Command};

use stormproof_contract::ReadAt;
use tempfile::TempDir;

use super::*;
use crate::driver::file::WRITE_PARTS_MAX;

fn disk() -> (TempDir, RealDisk) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let disk = RealDisk::open(dir.path()).expect("it is there");
    (dir, disk)
}

fn put(disk: &dyn Disk, path: &str, bytes: &[u8]) {
    disk.open(path, Open::Truncate).and_then(|file| file.write_all_at(0, &[bytes])).expect("room for a few bytes");
}

fn get(disk: &dyn Disk, path: &str) -> Vec<u8> {
    let file = disk.open(path, Open::Read).expect("it exists");
    let mut bytes = vec![0; file.meta().expect("open").len as usize];
    file.read_exact_at(0, &mut bytes).expect("as long as it says");
    bytes
}

fn kind<T>(result: DiskResult<T>) -> DiskErrorKind {
    match result {
        Ok(_) => panic!("it should have failed"),
        Err(e) => e.kind,
    }
}

#[test]
fn each_way_to_open_demands_and_keeps_what_it_says() {
    let (_dir, disk) = disk();
    assert_eq!(kind(disk.open("f", Open::Read)), DiskErrorKind::NotFound);
    assert_eq!(kind(disk.open("f", Open::Write)), DiskErrorKind::NotFound);
    disk.open("f", Open::CreateNew).expect("it is new");
    assert_eq!(kind(disk.open("f", Open::CreateNew)), DiskErrorKind::Exists);
    put(&disk, "f", b"abc");
    disk.open("f", Open::Create).and_then(|f| f.write_all_at(1, &[b"B"])).expect("kept as it was");
    assert_eq!(get(&disk, "f"), b"aBc");
    disk.open("f", Open::Truncate).expect("cut to nothing");
    assert_eq!(get(&disk, "f"), b"");
    let reader = disk.open("f", Open::Read).expect("it exists");
    assert!(matches!(kind(reader.write(0, &[b"x"])), DiskErrorKind::Other(_)), "opened to read");
}

#[test]
fn a_directory_is_not_a_file_and_a_file_is_not_a_directory() {
    let (_dir, disk) = disk();
    disk.mkdir("d").expect("it is new");
    put(&disk, "f", b"");
    for how in [Open::Read, Open::Write, Open::Create, Open::Truncate] {
        assert_eq!(kind(disk.open("d", how)), DiskErrorKind::WrongKind, "{how:?}");
    }
    assert_eq!(kind(disk.list("f")), DiskErrorKind::WrongKind);
    assert_eq!(kind(disk.open("f/x", Open::Create)), DiskErrorKind::WrongKind);
    assert_eq!(kind(disk.open("none/x", Open::Create)), DiskErrorKind::NotFound, "the parent must exist");
}

#[test]
fn errors_name_the_call_the_path_and_the_offset() {
    let (_dir, disk) = disk();
    put(&disk, "f", b"abc");
    let error = disk.open("f", Open::Read).and_then(|f| f.read_exact_at(2, &mut [0; 4])).expect_err("only one byte");
    let kind = DiskErrorKind::UnexpectedEnd { wanted: 4, found: 1 };
    assert_eq!(error, DiskError::new(DiskOp::Read, "f", kind).at(2));
    let error = disk.scoped("a/b").remove("c").expect_err("not there");
    assert_eq!(error, DiskError::new(DiskOp::Remove, "a/b/c", DiskErrorKind::NotFound));
    let read_only = disk.open("f", Open::Read).expect("it exists");
    let error = read_only.write(7, &[b"x"]).expect_err("opened to read");
    assert_eq!((error.op, error.offset), (DiskOp::Write, Some(7)));
}

#[test]
fn a_rename_replaces_and_moves_between_directories() {
    let (_dir, disk) = disk();
    disk.mkdir("d").expect("it is new");
    put(&disk, "a", b"new");
    put(&disk, "d/b", b"old");
    let open_before = disk.open("d/b", Open::Read).expect("it exists");
    disk.rename("a", "d/b").expect("both are files");
    assert_eq!(get(&disk, "d/b"), b"new");
    assert_eq!(kind(disk.open("a", Open::Read)), DiskErrorKind::NotFound);
    let mut bytes = [0; 3];
    open_before.read_exact_at(0, &mut bytes).expect("an open file outlives its name");
    assert_eq!(&bytes, b"old");
    assert_eq!(kind(disk.rename("a", "x")), DiskErrorKind::NotFound);
    disk.mkdir("e").expect("it is new");
    assert_eq!(kind(disk.rename("e", "d")), DiskErrorKind::NotEmpty);
    assert_eq!(kind(disk.rename("d/b", "e")), DiskErrorKind::WrongKind);
}

#[test]
fn remove_takes_files_and_empty_directories_only() {
    let (_dir, disk) = disk();
    disk.mkdir("d").expect("it is new");
    assert_eq!(kind(disk.mkdir("d")), DiskErrorKind::Exists);
    put(&disk, "d/f", b"");
    assert_eq!(kind(disk.remove("d")), DiskErrorKind::NotEmpty);
    disk.remove("d/f").expect("a file");
    disk.remove("d").expect("an empty directory");
    assert_eq!(kind(disk.remove("d")), DiskErrorKind::NotFound);
}

#[test]
fn a_link_is_a_second_name_and_a_clone_a_second_file() {
    let (_dir, disk) = disk();
    put(&disk, "f", b"one");
    disk.link("f", "linked").expect("the name is free");
    disk.clone_file("f", "cloned").expect("the name is free");
    put(&disk, "f", b"two");
    assert_eq!(get(&disk, "linked"), b"two");
    assert_eq!(get(&disk, "cloned"), b"one");
    assert_eq!(kind(disk.link("f", "cloned")), DiskErrorKind::Exists);
    assert_eq!(kind(disk.clone_file("f", "linked")), DiskErrorKind::Exists);
    assert_eq!(get(&disk, "linked"), b"two", "a refused clone harms nothing");
    assert_eq!(kind(disk.clone_file("none", "new")), DiskErrorKind::NotFound);
}

#[test]
fn a_listing_is_in_order_of_name_and_tells_directories() {
    let (_dir, disk) = disk();
    for name in ["b", "a10", "a9", "Z", "\u{e9}"] {
        put(&disk, name, b"");
    }
    disk.mkdir("m").expect("it is new");
    let listed: Vec<(String, bool)> =
        disk.list("").expect("the root").into_iter().map(|entry| (entry.name, entry.is_dir)).collect();
    let expected = [("Z", false), ("a10", false), ("a9", false), ("b", false), ("m", true), ("\u{e9}", false)];
    assert_eq!(listed, expected.map(|(name, is_dir)| (name.to_owned(), is_dir)));
    assert_eq!(disk.list("m").expect("a directory"), []);
    assert_eq!(kind(disk.list("none")), DiskErrorKind::NotFound);
}

#[test]
fn a_write_of_more_parts_than_one_call_takes_is_short_and_the_loop_goes_on() {
    let (_dir, disk) = disk();
    let file = disk.open("f", Open::CreateNew).expect("it is new");
    let bytes: Vec<[u8; 3]> = (0..WRITE_PARTS_MAX * 2 + 5).map(|n| [n as u8, (n >> 8) as u8, 7]).collect();
    let parts: Vec<&[u8]> = bytes.iter().map(|part| &part[..]).collect();
    assert_eq!(file.write(0, &parts).expect("room"), WRITE_PARTS_MAX * 3, "the system takes no more at once");
    file.write_all_at(10, &parts).expect("room");
    assert_eq!(&get(&disk, "f")[10..], bytes.concat());
}

#[test]
fn a_batched_read_fills_each_part_and_says_how_far() {
    let (_dir, disk) = disk();
    put(&disk, "f", b"0123456789");
    let file = disk.open("f", Open::Read).expect("it exists");
    let (mut a, mut b, mut c) = ([0; 3], [0; 4], [0; 2]);
    let mut parts = [ReadAt::new(1, &mut a), ReadAt::new(8, &mut b), ReadAt::new(99, &mut c)];
    file.read(&mut parts).expect("three parts");
    assert_eq!(parts.each_ref().map(|part| part.filled), [3, 2, 0]);
    assert_eq!((&a, &b[..2]), (b"123", &b"89"[..]));
}

#[test]
fn allocated_space_reads_as_zeros_and_never_shortens() {
    let (_dir, disk) = disk();
    let file = disk.open("f", Open::CreateNew).expect("it is new");
    file.allocate(0).expect("nothing asked for");
    file.write_all_at(0, &[b"head"]).expect("room");
    file.allocate(100_000).expect("room");
    assert_eq!(file.meta().expect("open").len, 100_000);
    file.allocate(10).expect("less than there is");
    assert_eq!(file.meta().expect("open").len, 100_000);
    let bytes = get(&disk, "f");
    assert_eq!(&bytes[..4], b"head");
    assert!(bytes[4..].iter().all(|byte| *byte == 0));
    file.set_len(2).expect("cut");
    assert_eq!(get(&disk, "f"), b"he");
}

#[test]
fn space_that_is_written_rather_than_reserved_is_the_same_to_see() {
    let (dir, _disk) = disk();
    let mut file = fs::File::create_new(dir.path().join("f")).expect("it is new");
    file.write_all(b"head").expect("room");
    let real = RealFile::new(file, "f".into());
    real.write_zeros_up_to(200_000).expect("room");
    real.write_zeros_up_to(9).expect("nothing to do");
    let bytes = fs::read(dir.path().join("f")).expect("it exists");
    assert_eq!(bytes.len(), 200_000);
    assert_eq!((&bytes[..4], bytes[4..].iter().max()), (&b"head"[..], Some(&0)));
}

#[test]
fn syncs_of_files_and_directories_succeed_and_a_missing_directory_is_named() {
    let (_dir, disk) = disk();
    disk.mkdir("d").expect("it is new");
    disk.open("d/f", Open::CreateNew).and_then(|f| f.sync()).expect("a file");
    disk.sync_dir("d").expect("a directory");
    disk.sync_dir("").expect("the root");
    assert_eq!(disk.sync_dir("e"), Err(DiskError::new(DiskOp::SyncDir, "e", DiskErrorKind::NotFound)));
    assert!(disk.free().expect("the file system knows") > 0);
}

#[test]
fn no_path_leads_out_of_the_directory() {
    let (dir, disk) = disk();
    let outside = tempfile::tempdir().expect("a temporary directory");
    fs::write(outside.path().join("secret"), b"s").expect("room");
    disk.mkdir("d").expect("it is new");
    symlink(outside.path(), dir.path().join("way")).expect("links are allowed");
    symlink(outside.path().join("secret"), dir.path().join("file")).expect("links are allowed");
    for bad in ["..", "/etc/passwd", "a/../b", "", "a\0"] {
        assert_eq!(kind(disk.open(bad, Open::Read)), DiskErrorKind::BadPath, "{bad:?}");
        assert_eq!(kind(disk.scoped("d").rename("a", &format!("/{bad}"))), DiskErrorKind::BadPath, "{bad:?}");
    }
    assert_eq!(kind(disk.scoped("..").list("")), DiskErrorKind::BadPath);
    assert_eq!(kind(disk.open("way/secret", Open::Read)), DiskErrorKind::WrongKind);
    assert_eq!(kind(disk.open("file", Open::Truncate)), DiskErrorKind::WrongKind);
    assert_eq!(kind(disk.open("way/new", Open::Create)), DiskErrorKind::WrongKind);
    assert_eq!(kind(disk.list("way")), DiskErrorKind::WrongKind);
    assert_eq!(kind(disk.remove("way/secret")), DiskErrorKind::WrongKind);
    assert!(disk.list("").expect("the root").iter().all(|entry| entry.is_dir == (entry.name == "d")));
    assert_eq!(fs::read(outside.path().join("secret")).expect("untouched"), b"s");
}

#[test]
fn a_scoped_disk_may_be_named_before_its_directory_exists() {
    let (_dir, disk) = disk();
    let scoped = disk.scoped("a").scoped("b");
    assert_eq!(kind(scoped.open("f", Open::Create)), DiskErrorKind::NotFound);
    disk.mkdir("a").expect("it is new");
    disk.mkdir("a/b").expect("it is new");
    put(&*scoped, "f", b"x");
    assert_eq!(get(&disk, "a/b/f"), b"x");
    assert_eq!(scoped.list("").expect("it exists now").len(), 1);
    scoped.sync_dir("").expect("it exists now");
    assert_eq!(scoped.open("f", Open::Read).expect("it exists").path(), "a/b/f");
}

#[test]
fn a_missing_directory_is_created_with_all_above_it() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let deep = dir.path().join("a/b/c");
    let disk = RealDisk::open(&deep).expect("created");
    put(&disk, "f", b"x");
    assert_eq!(get(&RealDisk::open(&deep).expect("it exists"), "f"), b"x");
    fs::write(dir.path().join("file"), b"").expect("room");
    let error = RealDisk::open(&dir.path().join("file")).expect_err("a file is no directory");
    assert_eq!(error.kind, DiskErrorKind::WrongKind);
}

#[test]
fn a_lock_excludes_a_second_holder_until_it_is_dropped() {
    let (_dir, disk) = disk();
    let held = disk.try_lock("lock").expect("free");
    assert_eq!(disk.try_lock("lock").map(|_| ()), Err(DiskError::new(DiskOp::Lock, "lock", DiskErrorKind::Locked)));
    drop(held);
    disk.try_lock("lock").expect("free again");
}

/// Where the child looks for the lock; set by the parent only.
const CHILD_DIR: &str = "STORMPROOF_TEST_LOCK_DIR";

#[test]
fn a_lock_excludes_other_processes_and_dies_with_its_own() {
    if let Some(dir) = env::var_os(CHILD_DIR) {
        let taken = RealDisk::open(Path::new(&dir)).and_then(|disk| disk.try_lock("lock"));
        // Dies holding it, if it got it, without any destructor.
        std::process::exit(if taken.is_ok() { 10 } else { 11 });
    }
    let (dir, disk) = disk();
    let child = || {
        Command::new(env::current_exe().expect("this test"))
            .args(["--exact", "driver::disk::tests::a_lock_excludes_other_processes_and_dies_with_its_own"])
            .env(CHILD_DIR, dir.path())
            .output()
            .expect("a child")
            .status
            .code()
    };
    let held = disk.try_lock("lock").expect("free");
    assert_eq!(child(), Some(11), "refused while this process holds it");
    drop(held);
    assert_eq!(child(), Some(10), "taken, and held to the child's end");
    disk.try_lock("lock").expect("the dead hold nothing");
}
