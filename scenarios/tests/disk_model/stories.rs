//! What the comparison has found, each as the shortest calls that showed it.

use stormproof_contract::{DiskErrorKind, Entry, Open};
use stormproof_engine::driver::RealDisk;
use stormproof_sim::world::fs::Profile;

use super::{
    calls::{Call, Part},
    difference,
    player::{Answer, Life, live},
    simulated::on_simulated_disk,
};

/// What both disks answer.
fn both(calls: &[Call]) -> Vec<Answer> {
    let Life { answers, .. } = agreed(calls);
    answers
}

fn agreed(calls: &[Call]) -> Life {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let real = live(&RealDisk::open(dir.path()).expect("it is there"), calls);
    let simulated = on_simulated_disk(Profile::Weakest, |disk| live(disk, calls));
    assert_eq!(difference(calls, &simulated, &real), Ok(()));
    simulated
}

fn create(slot: usize, path: &str) -> Call {
    Call::Open { slot, path: path.into(), how: Open::CreateNew }
}

fn failed(kind: DiskErrorKind) -> Answer {
    Answer::Failed(kind)
}

/// A node's directory is one among others on its simulated machine, with a name. `remove("")` removed it while it was
/// empty, and `rename("", "x")` tried to move it; the real disk said `BadPath`, as it must.
#[test]
fn a_node_cannot_remove_its_own_directory() {
    let calls = [
        Call::Remove { path: String::new() },
        Call::Rename { from: String::new(), to: "x".into() },
        Call::Mkdir { path: String::new() },
        Call::Clone { from: "x".into(), to: String::new() },
        Call::Lock { slot: 0, path: String::new() },
        Call::List { path: String::new() },
    ];
    let answers = both(&calls);
    assert_eq!(answers[0], failed(DiskErrorKind::BadPath));
    assert_eq!(answers[5], Answer::Entries(Vec::new()));
}

/// `scoped("")` names the same directory again. The simulated disk made `//x` of a path in it, and refused it.
#[test]
fn a_disk_scoped_to_its_own_directory_is_the_same_disk() {
    let make_and_list = |disk: &dyn stormproof_contract::Disk| {
        disk.scoped("").scoped("d").scoped("").mkdir("")?;
        disk.scoped("d").scoped("").mkdir("x")?;
        disk.list("d")
    };
    let dir = tempfile::tempdir().expect("a temporary directory");
    let expected = Ok(vec![Entry { name: "x".into(), is_dir: true }]);
    assert_eq!(make_and_list(&RealDisk::open(dir.path()).expect("it is there")), expected);
    assert_eq!(on_simulated_disk(Profile::Weakest, make_and_list), expected);
}

/// The simulated lock belonged to a name: whoever renamed the locked file could lock it once more, and whoever removed
/// it could not lock the next file of that name. A real lock belongs to the file.
#[test]
fn a_lock_stays_with_its_file() {
    let lock = |slot, path: &str| Call::Lock { slot, path: path.into() };
    let calls = [
        lock(0, "a"),
        Call::Rename { from: "a".into(), to: "b".into() },
        lock(1, "b"),
        lock(1, "a"),
        Call::Remove { path: "a".into() },
        lock(2, "a"),
        Call::Unlock { slot: 0 },
        lock(3, "b"),
    ];
    let held = failed(DiskErrorKind::Locked);
    let done = Answer::Done;
    assert_eq!(both(&calls), [&done, &done, &held, &done, &done, &done, &done, &done].map(Clone::clone));
}

/// A name of 256 bytes was a file on the simulated disk and an error on the real one.
#[test]
fn a_name_that_no_file_system_takes_is_no_path() {
    let calls = [create(0, &"n".repeat(255)), create(0, &"n".repeat(256))];
    assert_eq!(both(&calls), [Answer::Done, failed(DiskErrorKind::BadPath)]);
}

/// An offset read from a damaged file can be anything. Beyond 2^63 the simulated disk found the end of the file there,
/// as the contract says; the real one passed on the kernel's complaint about a negative number.
#[test]
fn beyond_every_file_there_is_nothing_to_read() {
    let far = [(u64::MAX, 4), (i64::MAX as u64, 4), (i64::MAX as u64 + 1, 4), (0, 2)];
    let calls = [
        create(0, "a"),
        Call::Write { slot: 0, offset: 0, parts: vec![Part { first: 7, len: 2 }] },
        Call::Read { slot: 0, parts: far.to_vec() },
    ];
    let Answer::Read(parts) = &both(&calls)[2] else { panic!("it is read") };
    assert_eq!(parts.iter().map(|(filled, _)| *filled).collect::<Vec<_>>(), [0, 0, 0, 2]);
}

/// A directory cannot be linked or cloned. The real disk said `Operation not permitted` for a link, without a kind to
/// act on; for a clone it made the new file first, and a process killed then left it behind.
#[test]
fn a_directory_that_is_linked_or_cloned_is_of_the_wrong_kind() {
    let calls = [
        Call::Mkdir { path: "d".into() },
        Call::Link { existing: "d".into(), new: "x".into() },
        Call::Clone { from: "d".into(), to: "x".into() },
        create(0, "y"),
        Call::Clone { from: "d".into(), to: "y".into() },
    ];
    let wrong = failed(DiskErrorKind::WrongKind);
    // The last is wrong in two ways, and the first of them is told by both.
    let done = Answer::Done;
    assert_eq!(both(&calls), [&done, &wrong, &wrong, &done, &wrong].map(Clone::clone));
}
