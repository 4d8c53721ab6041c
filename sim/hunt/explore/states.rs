//! Short histories of a disk whose legal states are counted by hand: the explorer reaches each of them, and no other.
//!
//! The file system's own tests count the same histories with a search of their own. The explorer's is held to the numbers
//! here since it differs in one rule: at most one page of a crash is torn.

use std::collections::BTreeSet;

use stormproof_contract::Open;

use super::enumerate::enumerate;
use crate::world::{
    fs::{Fate, Fs, Ino, Mildest, Profile},
    study::Script,
};

/// More than any history here has states.
const BOUND: u64 = 10_000;

fn write(fs: &mut Fs, ino: Ino, offset: u64, bytes: &[u8]) {
    assert_eq!(fs.write(ino, offset, &[bytes], Fate::Normal, &mut Mildest), Ok(bytes.len()));
}

/// A file with these bytes, durable under its name.
fn durable(fs: &mut Fs, path: &str, bytes: &[u8]) -> Ino {
    let ino = fs.open(path, Open::Create).expect("the directory exists");
    write(fs, ino, 0, bytes);
    fs.sync(ino);
    fs.sync_dir("").expect("the root exists");
    ino
}

/// All files with their bytes, as a recovery would find them that reads everything.
fn read_all(fs: &mut Fs, script: &mut Script) -> Vec<(String, Vec<u8>)> {
    let files = fs.files().into_iter();
    let read = |(path, ino)| {
        let mut bytes = vec![0xee; fs.meta(ino).len as usize];
        assert_eq!(fs.read(ino, 0, &mut bytes, script), bytes.len());
        (path, bytes)
    };
    files.map(read).collect()
}

/// The number of different states under `weakest` and under `ordered`.
fn counts(history: impl Fn(&mut Fs)) -> [usize; 2] {
    [Profile::Weakest, Profile::Ordered].map(|profile| {
        let mut lived = Fs::new(profile, 1 << 30);
        history(&mut lived);
        let mut images = BTreeSet::new();
        let counted = enumerate(&[], BOUND, |mut script| {
            let mut fs = lived.clone();
            fs.lose_power(&mut script);
            images.insert(read_all(&mut fs, &mut script));
            script.into_asked()
        });
        assert_eq!(counted.left_out, 0);
        images.len()
    })
}

#[test]
fn two_appends_to_a_preallocated_page_leave_four_states() {
    // The length is durable; sector 0 is zeros or A, sector 1 zeros or B, each for itself: 2 x 2. Three of them are
    // versions of the whole page, (0, 0), (A, 0) and (A, B); (0, B) needs a torn one. It is the only page, so the rule
    // of one torn page takes nothing away. Nothing of the journal is pending: both profiles agree.
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
fn replacing_by_rename_without_a_sync_leaves_seven_states_or_four() {
    // `m` holds "O". `t` is created, "NEW" written to it, and it is renamed to `m`.
    // Weakest: the new file is nowhere, as `t`, or as `m`. Where it is, it is empty, three zeros, or "NEW": 1 + 3 + 3.
    // Ordered: prefixes of create, grow, rename, and bytes that precede their length: m=O | t empty | t=NEW | m=NEW.
    // Every page has one sector that differs, and tearing one is choosing its version: the rule takes nothing away.
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
    // 4,000 bytes are durable, 200 are appended: 96 in the last sector of page 0, 104 in the first of page 1.
    // Weakest: length 4,000: 1 state. Length 4,096, the end of page 0: its part or zeros, 2. Length 4,200: each page has
    // its part or zeros, 2 x 2. Ordered: both parts with the length, or nothing. Two pages are open at once, but each in one sector: whole versions reach all of it.
    let history = |fs: &mut Fs| {
        let ino = durable(fs, "log", &[b'x'; 4_000]);
        write(fs, ino, 4_000, &[b'y'; 200]);
    };
    assert_eq!(counts(history), [7, 2]);
}

#[test]
fn an_overwrite_of_two_sectors_in_each_of_two_pages_leaves_twelve_states_of_sixteen() {
    // "a" is overwritten by "b" in the last two sectors of page 0 and the first two of page 1. Legal are all 2^4 states
    // of the four sectors. With at most one torn page: both whole, 2 x 2; page 0 mixed (2 ways) and page 1 whole (2), 4;
    // the other way about, 4. The four states in which both are mixed are not tried: 12.
    let history = |fs: &mut Fs| {
        let ino = durable(fs, "f", &[b'a'; 8_192]);
        write(fs, ino, 3_072, &[b'b'; 2_048]);
    };
    assert_eq!(counts(history), [12, 12]);
}
