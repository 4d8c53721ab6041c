//! One fault at a time.

use super::*;

fn only(fs: &Fs, path: &str) -> BTreeSet<Vec<u8>> {
    outcomes(fs).into_iter().map(|mut image| image.remove(path).expect("its name is durable")).collect()
}

fn set(all: &[&[u8]]) -> BTreeSet<Vec<u8>> {
    all.iter().map(|bytes| bytes.to_vec()).collect()
}

/// Drops everything clean from the cache.
fn evict_all(fs: &mut Fs) {
    fs.evict(&mut |_: Choice<'_>, _: u32| 1);
}

#[test]
fn a_retried_sync_makes_nothing_durable_that_a_failed_one_gave_up() {
    for profile in BOTH {
        let mut fs = Fs::new(profile, ROOM);
        let ino = durable(&mut fs, "f", b"old");
        write(&mut fs, ino, 0, b"new");
        fs.fail_sync(ino, true);
        fs.sync(ino);
        assert_eq!(bytes(&mut fs, ino, &mut Mildest), b"new", "reads still show it");
        assert_eq!(only(&fs, "f"), set(&[b"old", b"new"]));
        write(&mut fs, ino, 0, b"new");
        assert_eq!(only(&fs, "f"), set(&[b"old", b"new"]));
        fs.sync(ino);
        assert_eq!(only(&fs, "f"), set(&[b"new"]), "written again and synced");
    }
}

#[test]
fn a_failed_sync_that_drops_the_cache_shows_what_the_disk_holds() {
    for (answer, shown) in [(0, b"new"), (1, b"old")] {
        let mut fs = Fs::new(Profile::Weakest, ROOM);
        let ino = durable(&mut fs, "f", b"old");
        write(&mut fs, ino, 0, b"new");
        fs.fail_sync(ino, false);
        assert_eq!(bytes(&mut fs, ino, &mut |_: Choice<'_>, _: u32| answer), shown);
        assert_eq!(only(&fs, "f"), set(&[shown]), "what was read was there all along");
    }
}

#[test]
fn a_length_given_up_by_a_failed_sync_comes_back_with_the_next_write() {
    let mut fs = Fs::new(Profile::Weakest, ROOM);
    let ino = durable(&mut fs, "f", b"");
    write(&mut fs, ino, 0, b"x");
    fs.fail_sync(ino, true);
    fs.sync(ino);
    assert_eq!(only(&fs, "f"), set(&[b"", b"\0", b"x"]));
    write(&mut fs, ino, 0, b"x");
    fs.sync(ino);
    assert_eq!(only(&fs, "f"), set(&[b"x"]));
}

#[test]
fn a_journal_commits_a_length_without_the_bytes_that_a_failed_sync_gave_up() {
    let mut fs = Fs::new(Profile::Ordered, ROOM);
    let ino = durable(&mut fs, "f", b"");
    write(&mut fs, ino, 0, b"x");
    fs.fail_sync(ino, true);
    assert_eq!(only(&fs, "f"), set(&[b"", b"\0", b"x"]));
    fs.sync(ino);
    assert_eq!(only(&fs, "f"), set(&[b"\0", b"x"]));
}

#[test]
fn a_file_that_grows_over_the_end_that_a_crash_left_it_shows_zeros_there() {
    let oldest = &mut |what: Choice<'_>, options: u32| match what {
        Choice::Size { .. } => options - 1,
        _ => 0,
    };
    let newest = &mut Mildest;
    let crash = |change: &dyn Fn(&mut Fs, Ino), choose: &mut dyn Choose| {
        let mut fs = Fs::new(Profile::Weakest, ROOM);
        let ino = durable(&mut fs, "f", b"kept");
        change(&mut fs, ino);
        fs.lose_power(choose);
        let ino = fs.open("f", Open::Write).expect("durable");
        assert_eq!(bytes(&mut fs, ino, choose), b"kept");
        fs.set_len(ino, 9000, choose).expect("small");
        let shown = bytes(&mut fs, ino, choose);
        assert_eq!(shown[..4], *b"kept");
        assert!(shown[4..].iter().all(|byte| *byte == 0));
    };
    crash(&|fs, ino| write(fs, ino, 4, &[b'l'; 8996]), oldest);
    let cut = |fs: &mut Fs, ino| {
        write(fs, ino, 4, &[b'l'; 8996]);
        fs.sync(ino);
        fs.set_len(ino, 4, &mut Mildest).expect("a cut");
    };
    crash(&cut, newest);
}

#[test]
fn a_lost_write_is_acknowledged_cached_and_never_on_disk() {
    for profile in BOTH {
        let mut fs = Fs::new(profile, ROOM);
        let ino = durable(&mut fs, "f", b"old");
        assert_eq!(fs.write(ino, 0, &[b"new"], Fate::Lost, &mut Mildest), Ok(3));
        fs.sync(ino);
        assert_eq!(bytes(&mut fs, ino, &mut Mildest), b"new");
        assert_eq!(only(&fs, "f"), set(&[b"old"]));
        evict_all(&mut fs);
        assert_eq!(bytes(&mut fs, ino, &mut Mildest), b"old");
    }
}

#[test]
fn a_torn_write_keeps_its_first_sectors() {
    let mut fs = Fs::new(Profile::Weakest, ROOM);
    let ino = durable(&mut fs, "f", &[b'o'; 8192]);
    fs.write(ino, 3584, &[&[b'n'; 2048]], Fate::Torn { sectors_kept: 3 }, &mut Mildest).expect("there is room");
    fs.sync(ino);
    assert_eq!(bytes(&mut fs, ino, &mut Mildest)[3584..5632], [b'n'; 2048], "the cache shows it whole");
    evict_all(&mut fs);
    let shown = bytes(&mut fs, ino, &mut Mildest);
    assert_eq!(shown[..3584], [b'o'; 3584]);
    assert_eq!(shown[3584..5120], [b'n'; 1536]);
    assert_eq!(shown[5120..], [b'o'; 3072]);
}

#[test]
fn a_misdirected_write_hits_another_place_and_misses_its_own() {
    let mut fs = Fs::new(Profile::Weakest, ROOM);
    let ino = durable(&mut fs, "f", &[b'o'; 9000]);
    fs.write(ino, 0, &[b"hit"], Fate::Misdirected { to_offset: 4095 }, &mut Mildest).expect("there is room");
    fs.sync(ino);
    assert_eq!(bytes(&mut fs, ino, &mut Mildest)[..3], *b"hit", "the cache knows nothing of it");
    assert_eq!(bytes(&mut fs, ino, &mut Mildest)[4094..4099], *b"ooooo");
    evict_all(&mut fs);
    let shown = bytes(&mut fs, ino, &mut Mildest);
    assert_eq!(shown[..3], *b"ooo");
    assert_eq!(shown[4094..4099], *b"ohito");
}

#[test]
fn rot_shows_at_once_on_a_page_at_rest_and_is_cured_by_writing_over_it() {
    let mut fs = Fs::new(Profile::Weakest, ROOM);
    let ino = durable(&mut fs, "f", b"abc");
    fs.rot(ino, 1, 0);
    assert_eq!(bytes(&mut fs, ino, &mut Mildest), b"acc");
    write(&mut fs, ino, 1, b"b");
    fs.sync(ino);
    assert_eq!(only(&fs, "f"), set(&[b"abc"]));
    fs.rot(ino, 3, 0);
    assert_eq!(only(&fs, "f"), set(&[b"abc"]), "there is nothing to rot beyond the end");
}

#[test]
fn a_dirty_page_outlives_the_rot_of_what_it_replaces() {
    let mut fs = Fs::new(Profile::Weakest, ROOM);
    let ino = durable(&mut fs, "f", b"old");
    write(&mut fs, ino, 0, b"new");
    fs.rot(ino, 0, 0);
    assert_eq!(only(&fs, "f"), set(&[b"nld", b"new"]), "'o' with its lowest bit the other way is 'n'");
    fs.sync(ino);
    assert_eq!(only(&fs, "f"), set(&[b"new"]));
}

#[test]
fn a_full_disk_takes_whole_pages_and_then_nothing() {
    let mut fs = Fs::new(Profile::Weakest, 2 * 4096);
    let ino = fs.open("f", Open::Create).expect("names take no space");
    assert_eq!(fs.write(ino, 100, &[&[1; 10_000]], Fate::Normal, &mut Mildest), Ok(8092));
    assert_eq!(fs.free(), 0);
    assert_eq!(fs.write(ino, 8192, &[&[1; 10]], Fate::Normal, &mut Mildest), Err(DiskErrorKind::NoSpace));
    assert_eq!(fs.write(ino, 0, &[&[2; 10]], Fate::Normal, &mut Mildest), Ok(10), "overwriting takes none");
    fs.set_len(ino, 4096, &mut Mildest).expect("a cut needs none");
    assert_eq!(fs.free(), 4096);
    fs.remove("f").expect("exists");
    assert_eq!(fs.free(), 4096, "an open file keeps its space");
    fs.close(ino);
    assert_eq!(fs.free(), 8192);
}

#[test]
fn allocation_takes_space_once_or_not_at_all() {
    let mut fs = Fs::new(Profile::Weakest, 4 * 4096);
    let ino = fs.open("f", Open::Create).expect("names take no space");
    write(&mut fs, ino, 4096, b"x");
    assert_eq!(fs.free(), 3 * 4096, "the hole before it is free");
    assert_eq!(fs.allocate(ino, 5 * 4096), Err(DiskErrorKind::NoSpace));
    assert_eq!((fs.free(), fs.meta(ino).len), (3 * 4096, 4097));
    fs.allocate(ino, 4 * 4096).expect("it fits exactly");
    assert_eq!((fs.free(), fs.meta(ino).len), (0, 4 * 4096));
    write(&mut fs, ino, 3 * 4096, &[1; 4096]);
    fs.allocate(ino, 10).expect("nothing to take");
    assert_eq!(fs.meta(ino).len, 4 * 4096, "never shortens");
}

#[test]
fn a_removed_file_is_readable_until_it_is_closed() {
    let mut fs = Fs::new(Profile::Weakest, ROOM);
    let ino = durable(&mut fs, "f", b"x");
    fs.remove("f").expect("exists");
    fs.sync_dir("").expect("exists");
    assert_eq!(bytes(&mut fs, ino, &mut Mildest), b"x");
    fs.close(ino);
    assert!(!fs.files.contains_key(&ino), "nothing leads to it any more");
}

#[test]
fn what_a_crash_can_bring_back_is_kept() {
    let mut fs = Fs::new(Profile::Weakest, ROOM);
    let [old, new, other] = ["old", "new", "other"].map(|path| {
        let ino = fs.open(path, Open::Create).expect("free");
        write(&mut fs, ino, 0, path.as_bytes());
        fs.sync(ino);
        if path == "old" {
            fs.sync_dir("").expect("exists");
        }
        ino
    });
    for path in ["old", "new"] {
        fs.remove(path).expect("exists");
    }
    for ino in [old, new, other] {
        fs.close(ino);
    }
    let found = outcomes(&fs);
    assert!(found.iter().any(|image| image.get("old").is_some_and(|bytes| bytes == b"old")), "durable once");
    assert!(found.iter().any(|image| image.get("new").is_some_and(|bytes| bytes == b"new")), "pending once");
}

#[test]
fn a_file_that_a_crash_leaves_without_a_name_gives_its_space_back() {
    let mut fs = Fs::new(Profile::Weakest, ROOM);
    let ino = fs.open("f", Open::Create).expect("free");
    write(&mut fs, ino, 0, b"x");
    fs.sync(ino);
    fs.lose_power(&mut |_: Choice<'_>, _: u32| 1);
    assert!(fs.files().is_empty());
    assert_eq!(fs.free(), ROOM);
}

#[test]
fn a_lost_host_leaves_an_empty_disk_and_reuses_no_inode() {
    let mut fs = Fs::new(Profile::Weakest, ROOM);
    let before = durable(&mut fs, "f", b"x");
    fs.wipe();
    assert!(fs.files().is_empty());
    assert_eq!(fs.free(), ROOM);
    assert_ne!(durable(&mut fs, "f", b"x"), before);
}

#[test]
fn a_page_that_is_overwritten_whole_asks_nothing() {
    let mut fs = Fs::new(Profile::Weakest, ROOM);
    let ino = durable(&mut fs, "f", &[b'o'; 5000]);
    write(&mut fs, ino, 0, &[b'n'; 5000]);
    fs.lose_power(&mut Mildest);
    let ino = fs.open("f", Open::Write).expect("durable");
    let never = &mut |what: Choice<'_>, _: u32| -> u32 { panic!("{what:?}") };
    assert_eq!(fs.write(ino, 0, &[&[b'w'; 5000]], Fate::Normal, never), Ok(5000));
    assert_eq!(bytes(&mut fs, ino, never), [b'w'; 5000]);
    fs.sync(ino);
    assert_eq!(only(&fs, "f"), set(&[&[b'w'; 5000]]));
}

#[test]
fn equal_images_have_equal_digests_and_others_do_not() {
    let build = |detour: bool, last: &[u8]| {
        let mut fs = Fs::new(Profile::Weakest, ROOM);
        if detour {
            durable(&mut fs, "gone", b"x");
            fs.remove("gone").expect("exists");
            fs.sync_dir("").expect("exists");
        }
        let ino = durable(&mut fs, "f", b"old");
        write(&mut fs, ino, 0, last);
        fs.lose_power(&mut Mildest);
        fs
    };
    assert_eq!(build(false, b"new").digest(), build(true, b"new").digest());
    assert_ne!(build(false, b"new").digest(), build(false, b"now").digest());
    let (unresolved, mut resolved) = (build(false, b"new"), build(false, b"new"));
    image(&mut resolved, &mut Mildest);
    assert_ne!(unresolved.digest(), resolved.digest(), "what is open counts");
}

#[test]
fn what_only_a_crash_will_tell_apart_has_different_digests() {
    let digest = |grown_first: bool, failed: bool| {
        let mut fs = Fs::new(Profile::Ordered, ROOM);
        let ino = durable(&mut fs, "f", b"old");
        let grow = |fs: &mut Fs| fs.set_len(ino, 100, &mut Mildest).expect("small");
        if grown_first {
            grow(&mut fs);
        }
        write(&mut fs, ino, 0, b"new");
        if !grown_first {
            grow(&mut fs);
        }
        if failed {
            fs.fail_sync(ino, true);
        }
        write(&mut fs, ino, 8192, b"the length is dirty again, page 0 is not");
        fs.digest()
    };
    let all =
        BTreeSet::from([(true, false), (false, false), (true, true)].map(|(first, failed)| digest(first, failed)));
    assert_eq!(all.len(), 3);
}

/// The questions that `ask` is asked, each answered by 0.
fn asked(ask: impl FnOnce(&mut dyn Choose)) -> Vec<String> {
    let mut asked = Vec::new();
    ask(&mut |what: Choice<'_>, _: u32| {
        asked.push(format!("{what:?}"));
        0
    });
    asked
}

#[test]
fn questions_name_a_file_by_the_name_it_has() {
    let page = |path: &str| vec![format!("Page {{ path: {path:?}, page: 0 }}")];
    let mut fs = Fs::new(Profile::Weakest, ROOM);
    let ino = durable(&mut fs, "f.new", b"old");
    write(&mut fs, ino, 0, b"new");
    fs.rename("f.new", "f").expect("exists");
    let mut failed = fs.clone();
    failed.fail_sync(ino, false);
    assert_eq!(asked(|choose| drop(bytes(&mut failed, ino, choose))), page("f"), "since the rename");
    fs.lose_power(&mut |_: Choice<'_>, _: u32| 1);
    assert_eq!(asked(|choose| drop(image(&mut fs, choose))), page("f.new"), "since the rename was lost");
}
