//! That the comparison notices, and that each call that is left out would fail it: should turmoil-fs learn one of them,
//! a test here fails, and the call can be asked.

use stormproof_contract::Open;

use crate::{
    both::{Answer, Image, Model, Ours, Theirs, same},
    crash::can_leave,
    ground::{self, Call, Ground},
};

const CREATE: Open = Open::CreateNew;

fn open(path: &'static str, how: Open) -> Call {
    Call::Open { path, how }
}

fn write(path: &'static str, offset: u64, byte: u8, len: usize) -> Call {
    Call::Write { path, offset, byte, len }
}

fn sync(path: &'static str) -> Call {
    Call::Sync { path }
}

fn sync_dir(path: &'static str) -> Call {
    Call::SyncDir { path }
}

fn rename(from: &'static str, to: &'static str) -> Call {
    Call::Rename { from, to }
}

/// Both models after the same calls, whatever they answered.
fn after(calls: &[Call]) -> (Ours, Theirs) {
    let (mut ours, mut theirs) = (Ours::new(), Theirs(turmoil_fs::Fs::builder().build()));
    for call in calls {
        ours.ask(call);
        theirs.ask(call);
    }
    (ours, theirs)
}

/// The ground leaves the last call out, and says why.
fn left_out(calls: &[Call], because: &str) {
    let mut ground = Ground::default();
    let (last, before) = calls.split_last().expect("there is a last");
    for call in before {
        assert_eq!(ground.allows(call), Ok(()), "{call:?}");
        ground.done(call);
    }
    assert_eq!(ground.allows(last), Err(because));
}

/// The two show different files after these calls.
fn differ(calls: &[Call]) {
    let (mut ours, mut theirs) = after(calls);
    assert!(same(&ours.image(), &theirs.image()).is_err(), "turmoil-fs does it too: {calls:?}");
}

/// The two show the same, but not after a crash: what turmoil-fs is left with is not ours.
fn crash_differs(calls: &[Call]) {
    let (mut ours, mut theirs) = after(calls);
    assert_eq!(same(&ours.image(), &theirs.image()), Ok(()));
    theirs.0.crash();
    assert!(!can_leave(&ours.0, &theirs.image()), "turmoil-fs does it too: {calls:?}");
}

#[test]
fn a_name_is_not_used_for_a_second_file() {
    let calls = [open("a", CREATE), write("a", 0, 1, 9), sync("a"), Call::Remove { path: "a" }, open("a", CREATE)];
    left_out(&calls, ground::ONCE);
    // With a write that was pending when its file went, the next file of that name is born with it.
    differ(&[open("a", CREATE), write("a", 0, 1, 9), Call::Remove { path: "a" }, open("a", CREATE)]);
}

#[test]
fn a_file_with_writes_under_way_is_not_renamed() {
    let calls = [open("a", CREATE), write("a", 0, 1, 9), rename("a", "b")];
    left_out(&calls, ground::SYNCED_FIRST);
    differ(&[&calls[..], &[sync_dir("")]].concat());
}

#[test]
fn a_renamed_file_is_not_synced_before_its_directory() {
    let calls = [open("a", CREATE), rename("a", "b"), write("b", 0, 1, 9)];
    left_out(&calls, ground::MOVED);
    differ(&[&calls[..], &[sync("b"), sync_dir("")]].concat());
}

#[test]
fn a_file_that_was_cut_does_not_grow_before_a_sync() {
    let calls = [
        open("a", CREATE),
        write("a", 0, 1, 9),
        Call::SetLen { path: "a", len: 2 },
        Call::SetLen { path: "a", len: 9 },
    ];
    left_out(&calls, ground::CUT);
    differ(&calls);
}

#[test]
fn a_file_that_moves_between_directories_is_lost_though_both_are_synced() {
    let mkdir = |path| Call::Mkdir { path };
    let moved = [mkdir("d"), mkdir("e"), sync_dir(""), open("d/a", CREATE), sync_dir("d"), rename("d/a", "e/a")];
    left_out(&moved, ground::ACROSS);
    crash_differs(&[&moved[..], &[sync_dir("d"), sync_dir("e")]].concat());
}

#[test]
fn a_file_that_is_renamed_to_itself_is_gone() {
    let calls = [open("a", CREATE), rename("a", "a")];
    left_out(&calls, ground::ITSELF);
    differ(&calls);
}

#[test]
fn a_renamed_directory_leaves_its_files_behind() {
    let calls = [Call::Mkdir { path: "d" }, open("d/a", CREATE), sync_dir(""), sync_dir("d"), rename("d", "e")];
    left_out(&calls, ground::DIRECTORY);
    differ(&calls);
}

#[test]
fn a_state_that_the_model_does_not_have_is_noticed() {
    let calls = [open("a", CREATE), write("a", 0, 1, 2000), sync("a"), sync_dir(""), write("a", 512, 2, 1000)];
    let (mut ours, _) = after(&calls);
    let durable = [1; 2000];
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = durable.to_vec();
        change(&mut bytes);
        Image::from([("a".to_owned(), Some(bytes))])
    };
    let all = ours.image();
    assert!(can_leave(&ours.0, &all), "nothing is lost");
    assert!(can_leave(&ours.0, &with(&|_| ())), "the write is lost");
    assert!(can_leave(&ours.0, &with(&|bytes| bytes[1024..1512].fill(2))), "its first sector is lost");
    assert!(!can_leave(&ours.0, &with(&|bytes| bytes[1024..1100].fill(2))), "half a sector");
    assert!(!can_leave(&ours.0, &with(&|bytes| bytes[0] = 2)), "a byte that was never there");
    assert!(!can_leave(&ours.0, &with(&|bytes| bytes.truncate(512))), "a length that never was");
    assert!(!can_leave(&ours.0, &Image::new()), "a durable name is gone");
    assert!(!can_leave(&ours.0, &Image::from([("a".to_owned(), None)])), "a directory in its place");
}

#[test]
fn both_answer_what_was_asked() {
    let (mut ours, mut theirs) = after(&[open("a", CREATE), write("a", 3, 7, 2)]);
    let read = Call::Read { path: "a", offset: 1, len: 9 };
    assert_eq!(ours.ask(&read), Answer::Bytes(vec![0, 0, 7, 7]));
    assert_eq!(theirs.ask(&read), Answer::Bytes(vec![0, 0, 7, 7]));
}
