//! What power loss may leave, held against the rules as they are stated, over random histories.

use proptest::prelude::*;

use super::*;

const NAMES: [&str; 4] = ["a", "b", "d/a", "d/b"];

#[derive(Clone, Copy, Debug)]
enum Change {
    Write { file: usize, sector: u64, byte: u8, sectors: usize },
    SetLen { file: usize, sector: u64 },
    Sync { file: usize },
    Create { name: usize },
    Rename { from: usize, to: usize },
    Link { from: usize, to: usize },
    Remove { name: usize },
    SyncDir { dir: usize },
}

fn on_names() -> impl Strategy<Value = Change> {
    let name = || 0..NAMES.len();
    prop_oneof![
        1 => (name(), name()).prop_map(|(from, to)| Change::Rename { from, to }),
        1 => (name(), name()).prop_map(|(from, to)| Change::Link { from, to }),
        1 => name().prop_map(|name| Change::Remove { name }),
    ]
}

fn on_bytes() -> impl Strategy<Value = Change> {
    let sector = || 6..10_u64;
    prop_oneof![
        3 => (0..2_usize, sector(), 1..255_u8, 1..3_usize)
            .prop_map(|(file, sector, byte, sectors)| Change::Write { file, sector, byte, sectors }),
        1 => (0..2_usize, sector()).prop_map(|(file, sector)| Change::SetLen { file, sector }),
    ]
}

fn any_change() -> impl Strategy<Value = Change> {
    prop_oneof![
        3 => on_bytes(),
        2 => on_names(),
        1 => (0..NAMES.len()).prop_map(|name| Change::Create { name }),
        1 => (0..2_usize).prop_map(|file| Change::Sync { file }),
        1 => (0..2_usize).prop_map(|dir| Change::SyncDir { dir }),
    ]
}

/// A disk with two durable files, at `a` and `d/a`, both open.
fn start(profile: Profile) -> (Fs, [Ino; 2]) {
    let mut fs = Fs::new(profile, ROOM);
    fs.mkdir("d").expect("free");
    fs.sync_dir("").expect("exists");
    let files = [durable(&mut fs, "a", b"first"), durable(&mut fs, "d/a", &[b'2'; 4000])];
    (fs, files)
}

/// Calls on names may fail; what they did not do leaves nothing.
fn apply(fs: &mut Fs, files: [Ino; 2], change: Change) {
    match change {
        Change::Write { file, sector, byte, sectors } => {
            write(fs, files[file], sector * 512, &vec![byte; sectors * 512]);
        }
        Change::SetLen { file, sector } => fs.set_len(files[file], sector * 512, &mut Mildest).expect("small"),
        Change::Sync { file } => fs.sync(files[file]),
        Change::Create { name } => drop(fs.open(NAMES[name], Open::CreateNew)),
        Change::Rename { from, to } => drop(fs.rename(NAMES[from], NAMES[to])),
        Change::Link { from, to } => drop(fs.link(NAMES[from], NAMES[to])),
        Change::Remove { name } => drop(fs.remove(NAMES[name])),
        Change::SyncDir { dir } => fs.sync_dir(["", "d"][dir]).expect("exists"),
    }
}

fn after(profile: Profile, changes: &[Change]) -> Fs {
    let (mut fs, files) = start(profile);
    for change in changes {
        apply(&mut fs, files, *change);
    }
    fs
}

/// The names that `changes` leave, each with the place of the file it leads to: the rules stated anew, on a map.
fn replay(changes: impl Iterator<Item = Change>) -> BTreeMap<usize, usize> {
    let mut names = BTreeMap::from([(0, 0), (2, 1)]);
    for change in changes {
        match change {
            Change::Rename { from, to } => {
                let file = names.remove(&from).expect("an operation survives only with those it depends on");
                names.insert(to, file);
            }
            Change::Link { from: file, to } => {
                names.insert(to, file);
            }
            Change::Remove { name } => {
                names.remove(&name).expect("an operation survives only with those it depends on");
            }
            _ => unreachable!("operations on names only"),
        }
    }
    names
}

/// The changes that have an effect; a link names its file instead of its source.
fn effective(changes: &[Change]) -> Vec<Change> {
    let mut kept: Vec<Change> = Vec::new();
    for change in changes {
        let names = replay(kept.iter().copied());
        match *change {
            Change::Rename { from, to } if names.contains_key(&from) && names.get(&from) != names.get(&to) => {
                kept.push(*change);
            }
            Change::Link { from, to } if names.contains_key(&from) && !names.contains_key(&to) => {
                kept.push(Change::Link { from: names[&from], to });
            }
            Change::Remove { name } if names.contains_key(&name) => kept.push(*change),
            _ => {}
        }
    }
    kept
}

fn touched(change: Change) -> Vec<usize> {
    match change {
        Change::Rename { from, to } => vec![from, to],
        Change::Link { to: name, .. } | Change::Remove { name } => vec![name],
        _ => unreachable!("operations on names only"),
    }
}

/// Whether each survivor comes with all earlier operations on its names.
fn is_closed(changes: &[Change], survivors: usize) -> bool {
    let survives = |n: usize| survivors >> n & 1 == 1;
    let depends = |n: usize, m: usize| touched(changes[n]).iter().any(|name| touched(changes[m]).contains(name));
    (0..changes.len()).all(|n| !survives(n) || (0..n).all(|m| survives(m) || !depends(n, m)))
}

/// Every set of names that the rules of a profile allow.
fn legal_names(profile: Profile, changes: &[Change]) -> BTreeSet<BTreeMap<usize, usize>> {
    let all = 0..1_usize << changes.len();
    let legal = all.filter(|survivors| match profile {
        Profile::Weakest => is_closed(changes, *survivors),
        Profile::Ordered => (survivors + 1).is_power_of_two(),
    });
    legal.map(|survivors| replay((0..changes.len()).filter(|n| survivors >> n & 1 == 1).map(|n| changes[n]))).collect()
}

/// An image as [`replay`] has it: the two files are told apart by their first byte.
fn as_names(image: &Image) -> BTreeMap<usize, usize> {
    let place = |path: &str| NAMES.iter().position(|name| *name == path).expect("one of the names");
    image.iter().map(|(path, bytes)| (place(path), usize::from(bytes[0] == b'2'))).collect()
}

/// What one file was since its last sync, the synced state first: the rules stated anew, on whole files.
fn history(changes: &[Change], of: usize) -> Vec<Vec<u8>> {
    let mut states = vec![if of == 0 { b"first".to_vec() } else { vec![b'2'; 4000] }];
    for change in changes {
        let mut now = states.last().expect("never empty").clone();
        match *change {
            Change::Write { file, sector, byte, sectors } if file == of => {
                let (start, len) = (sector as usize * 512, sectors * 512);
                now.resize(now.len().max(start + len), 0);
                now[start..start + len].fill(byte);
            }
            Change::SetLen { file, sector } if file == of => now.resize(sector as usize * 512, 0),
            Change::Sync { file } if file == of => states.clear(),
            _ => continue,
        }
        states.push(now);
    }
    states
}

/// The sector of a file, with zeros beyond its end, as far as `len` lets it be seen.
fn sector(bytes: &[u8], at: usize, len: usize) -> Vec<u8> {
    let mut sector: Vec<u8> = bytes.iter().skip(at * 512).take(512).copied().collect();
    sector.resize(512, 0);
    sector.truncate(len.saturating_sub(at * 512));
    sector
}

fn assert_legal(profile: Profile, found: &[u8], states: &[Vec<u8>]) {
    // Under `weakest` a file that grew may have done so up to the end of a page.
    let on_the_way = |pair: &[Vec<u8>]| (pair[0].len()..pair[1].len()).contains(&found.len());
    let grew = profile == Profile::Weakest && found.len().is_multiple_of(4096) && states.windows(2).any(on_the_way);
    let had = states.iter().any(|state| state.len() == found.len());
    assert!(had || grew, "a length it never had: {}", found.len());
    for at in 0..found.len().div_ceil(512) {
        let shown = sector(found, at, found.len());
        let legal = states.iter().any(|state| sector(state, at, found.len()) == shown);
        assert!(legal, "sector {at} shows what was never there");
    }
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn names_survive_exactly_as_the_rules_say(changes in proptest::collection::vec(on_names(), 0..7)) {
        for profile in BOTH {
            let found: BTreeSet<_> = outcomes(&after(profile, &changes)).iter().map(as_names).collect();
            prop_assert_eq!(found, legal_names(profile, &effective(&changes)));
        }
    }

    #[test]
    fn bytes_are_a_version_of_their_sector_and_a_length_the_file_had(
        changes in proptest::collection::vec(prop_oneof![
            6 => on_bytes(),
            1 => (0..2_usize).prop_map(|file| Change::Sync { file }),
        ], 0..12),
        seed in any::<u64>(),
    ) {
        for profile in BOTH {
            let mut fs = after(profile, &changes);
            let mut choose = Random(seed);
            fs.lose_power(&mut choose);
            let image = image(&mut fs, &mut choose);
            assert_legal(profile, &image["a"], &history(&changes, 0));
            assert_legal(profile, &image["d/a"], &history(&changes, 1));
        }
    }

    #[test]
    fn ordered_appends_survive_as_a_prefix(lens in proptest::collection::vec(1..3000_usize, 0..5), seed in any::<u64>()) {
        let mut fs = Fs::new(Profile::Ordered, ROOM);
        let ino = durable(&mut fs, "log", b"");
        let mut legal = vec![Vec::new()];
        for (n, len) in lens.into_iter().enumerate() {
            let old = legal.last().expect("never empty").clone();
            write(&mut fs, ino, old.len() as u64, &vec![n as u8 + 1; len]);
            legal.push([old, vec![n as u8 + 1; len]].concat());
        }
        let mut choose = Random(seed);
        fs.lose_power(&mut choose);
        let image = image(&mut fs, &mut choose);
        prop_assert!(legal.contains(&image["log"]));
    }

    #[test]
    fn what_is_synced_survives_any_answers(
        changes in proptest::collection::vec(any_change(), 0..20),
        seed in any::<u64>(),
    ) {
        for profile in BOTH {
            let mut fs = after(profile, &changes);
            fs.files.keys().copied().collect::<Vec<_>>().into_iter().for_each(|ino| fs.sync(ino));
            for dir in ["", "d"] {
                fs.sync_dir(dir).expect("exists");
            }
            prop_assert!(!fs.has_unsynced());
            let before = image(&mut fs, &mut Mildest);
            let mut choose = Random(seed);
            fs.lose_power(&mut choose);
            prop_assert_eq!(image(&mut fs, &mut choose), before);
        }
    }

    #[test]
    fn a_second_power_loss_changes_nothing(
        changes in proptest::collection::vec(any_change(), 0..20),
        seed in any::<u64>(),
    ) {
        for profile in BOTH {
            let mut fs = after(profile, &changes);
            fs.lose_power(&mut Random(seed));
            let (digest, mut again) = (fs.digest(), fs.clone());
            again.lose_power(&mut Random(!seed));
            prop_assert_eq!(again.digest(), digest);
            let seen = image(&mut fs, &mut Random(seed));
            fs.lose_power(&mut Random(!seed));
            prop_assert_eq!(image(&mut fs, &mut Random(!seed)), seen, "what was read stays");
        }
    }

    #[test]
    fn ordered_leaves_nothing_that_weakest_does_not(changes in proptest::collection::vec(any_change(), 0..5)) {
        let [weakest, ordered] = BOTH.map(|profile| outcomes(&after(profile, &changes)));
        prop_assert!(ordered.is_subset(&weakest));
    }
}
