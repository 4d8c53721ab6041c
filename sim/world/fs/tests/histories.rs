//! Short histories whose legal states are counted by hand.

use super::*;

/// The number of states under `weakest` and under `ordered`.
fn counts(history: impl Fn(&mut Fs)) -> [usize; 2] {
    BOTH.map(|profile| {
        let mut fs = Fs::new(profile, ROOM);
        history(&mut fs);
        outcomes(&fs).len()
    })
}

#[test]
fn two_appends_to_a_preallocated_page_leave_four_states() {
    // The length is durable. The first append fills sector 0, the second sector 1. The page's versions are (0, 0),
    // (A, 0), (A, B); torn, sector 0 is 0 or A and sector 1 is 0 or B, whatever the other: 2 x 2, which includes
    // (0, B), the second frame without the first. No operation of the journal is pending, so both profiles agree.
    let history = |fs: &mut Fs| {
        let ino = durable(fs, "log", b"");
        fs.allocate(ino, 65_536).expect("there is room");
        fs.sync(ino);
        write(fs, ino, 0, &[b'A'; 512]);
        write(fs, ino, 512, &[b'B'; 512]);
    };
    assert_eq!(counts(history), [4, 4]);
}

#[test]
fn two_overwrites_of_two_sectors_leave_nine_states() {
    // Each of the two sectors shows a, b or c, for itself.
    let history = |fs: &mut Fs| {
        let ino = durable(fs, "f", &[b'a'; 1024]);
        write(fs, ino, 0, &[b'b'; 1024]);
        write(fs, ino, 0, &[b'c'; 1024]);
    };
    assert_eq!(counts(history), [9, 9]);
}

#[test]
fn replacing_by_rename_without_a_sync_leaves_seven_states_or_four() {
    // `m` holds "O". `t` is created, "NEW" written to it, and it is renamed to `m`.
    // Weakest: the new file is nowhere, as `t`, or as `m` (the rename needs the creation: both are on the name `t`).
    // Where it is, its length is 0, or it is 3 and its bytes are there or zeros: 3 states. 1 + 3 + 3 = 7.
    // Ordered: the journal is create, grow to 3, rename. Its prefixes leave: m=O | m=O, t empty | m=O, t=NEW (appended
    // data precedes the length) | m=NEW. 4.
    let history = |fs: &mut Fs| {
        durable(fs, "m", b"O");
        let ino = fs.open("t", Open::CreateNew).expect("free");
        write(fs, ino, 0, b"NEW");
        fs.rename("t", "m").expect("exists");
    };
    assert_eq!(counts(history), [7, 4]);
}

#[test]
fn an_append_across_two_pages_leaves_seven_states_or_two() {
    // 4,000 bytes are durable, 200 are appended: 96 in the last sector of page 0, 104 in page 1.
    // Weakest: length 4,000 cuts the append off, whatever page 0 holds: 1. Length 4,096, the end of page 0: that page
    // has its part or zeros: 2. Length 4,200: each page has its part or zeros: 4. Ordered: the length comes with both
    // parts, or does not come: 2.
    let history = |fs: &mut Fs| {
        let ino = durable(fs, "log", &[b'x'; 4000]);
        write(fs, ino, 4000, &[b'y'; 200]);
    };
    assert_eq!(counts(history), [7, 2]);
}

/// The model once had a write grow a file by all of its bytes or by none. turmoil-fs, which keeps the first blocks of a
/// write, left a length in between, and so do real file systems that record the length as they write back. An engine
/// whose frames are longer than a page never met a frame whose end is missing from the file.
#[test]
fn a_long_append_can_survive_up_to_the_end_of_any_of_its_pages() {
    let lens = |history: &dyn Fn(&mut Fs, Ino)| {
        let mut fs = Fs::new(Profile::Weakest, ROOM);
        let ino = durable(&mut fs, "log", b"head");
        history(&mut fs, ino);
        let mut lens = Vec::new();
        fs.lose_power(&mut |what: Choice<'_>, _: u32| {
            if let Choice::Size { lens: offered, .. } = what {
                lens.extend_from_slice(offered);
            }
            0
        });
        lens
    };
    assert_eq!(lens(&|fs, ino| write(fs, ino, 4, &[b'y'; 9000])), [9004, 8192, 4096, 4]);
    // Over a hole nothing is written back, and a length that is set is one step.
    assert_eq!(lens(&|fs, ino| write(fs, ino, 20_000, &[b'y'; 1000])), [21_000, 20_480, 4]);
    assert_eq!(lens(&|fs, ino| fs.set_len(ino, 9000, &mut Mildest).expect("small")), [9000, 4]);
    let stepwise = |fs: &mut Fs, ino| {
        write(fs, ino, 4, &[b'y'; 9000]);
        fs.set_len(ino, 6000, &mut Mildest).expect("small");
    };
    assert_eq!(lens(&stepwise), [6000, 9004, 8192, 4096, 4]);
}

#[test]
fn truncating_and_writing_afresh_leaves_seven_states_or_three() {
    // "old" is cut to nothing and "NEW!" is written.
    // Weakest: length 0: 1 state. Length 3 or 4: the page shows "old", zeros or "NEW!": 2 x 3. Together 7.
    // Ordered: the journal is cut, grow to 4. Nothing survives: "old", whose blocks the cut did not free. The cut:
    // empty. Both: "NEW!". 3.
    let history = |fs: &mut Fs| {
        durable(fs, "f", b"old");
        let ino = fs.open("f", Open::Truncate).expect("exists");
        write(fs, ino, 0, b"NEW!");
    };
    assert_eq!(counts(history), [7, 3]);
}

#[test]
fn a_rename_between_directories_waits_for_both_syncs() {
    // Weakest: with one directory synced it is at its old or its new name, 2; with both, 1.
    // Ordered: the first sync commits it.
    let moved = |synced: &'static [&'static str]| {
        move |fs: &mut Fs| {
            for dir in ["d", "e"] {
                fs.mkdir(dir).expect("free");
            }
            fs.sync_dir("").expect("exists");
            durable(fs, "d/f", b"x");
            fs.rename("d/f", "e/f").expect("exists");
            for dir in synced {
                fs.sync_dir(dir).expect("exists");
            }
        }
    };
    assert_eq!(counts(moved(&[])), [2, 2]);
    assert_eq!(counts(moved(&["d"])), [2, 1]);
    assert_eq!(counts(moved(&["e"])), [2, 1]);
    assert_eq!(counts(moved(&["e", "d"])), [1, 1]);
}

#[test]
fn a_later_durable_name_carries_the_rename_it_follows() {
    // The name `d/f` is vacated by a rename to `e/f` and taken again by "new". The sync of `d` makes the taking
    // durable, which cannot be without the rename: the old file is at `e/f` for certain. "new" has one byte, unsynced:
    // length 0, or 1 with the byte or zero: 3. Ordered: all is in the journal that the sync commits: 1.
    let history = |fs: &mut Fs| {
        for dir in ["d", "e"] {
            fs.mkdir(dir).expect("free");
        }
        fs.sync_dir("").expect("exists");
        durable(fs, "d/f", b"x");
        fs.rename("d/f", "e/f").expect("exists");
        let ino = fs.open("d/f", Open::CreateNew).expect("free");
        write(fs, ino, 0, b"n");
        fs.sync_dir("d").expect("exists");
    };
    assert_eq!(counts(history), [3, 1]);
}

#[test]
fn a_synced_file_whose_directory_was_not_synced_can_be_lost() {
    // Weakest: it is there or not. Ordered: any sync commits the journal, so it is there.
    let history = |fs: &mut Fs| {
        let ino = fs.open("f", Open::Create).expect("free");
        write(fs, ino, 0, b"x");
        fs.sync(ino);
    };
    assert_eq!(counts(history), [2, 1]);
}

#[test]
fn a_sync_of_another_file_commits_the_journal_of_ordered_only() {
    // A name and 8 bytes are appended to `a`, then `b` is synced. Weakest: `a` is unaffected: absent, empty, zeros or
    // whole, 4. Ordered: the journal is committed, and the appended bytes with it: 1.
    let history = |fs: &mut Fs| {
        let other = durable(fs, "b", b"x");
        let ino = fs.open("a", Open::Create).expect("free");
        write(fs, ino, 0, b"appended");
        fs.sync(other);
    };
    assert_eq!(counts(history), [4, 1]);
}
