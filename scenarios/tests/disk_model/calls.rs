//! What can be asked of a disk, as values: drawn, shrunk, and drawn again in another process from the same seed.

use proptest::{
    collection::vec,
    prelude::*,
    strategy::ValueTree as _,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use stormproof_contract::Open;

/// How many files can be open at a time, and how many locks held.
pub(crate) const SLOTS: usize = 4;

/// One call. A slot holds an open file or a lock; a call on an empty slot asks nothing.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Call {
    Open { slot: usize, path: String, how: Open },
    Close { slot: usize },
    Read { slot: usize, parts: Vec<(u64, usize)> },
    Write { slot: usize, offset: u64, parts: Vec<Part> },
    Sync { slot: usize },
    SetLen { slot: usize, len: u64 },
    Allocate { slot: usize, len: u64 },
    Meta { slot: usize },
    Rename { from: String, to: String },
    Link { existing: String, new: String },
    Clone { from: String, to: String },
    Remove { path: String },
    Mkdir { path: String },
    SyncDir { path: String },
    List { path: String },
    Lock { slot: usize, path: String },
    Unlock { slot: usize },
}

/// A part of a write: `len` bytes that count up from `first`, so that no two places hold the same for long.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Part {
    pub(crate) first: u8,
    pub(crate) len: usize,
}

impl Part {
    pub(crate) fn bytes(self) -> Vec<u8> {
        // Quickly, for the process that is killed is to die in the write and not here.
        let pattern: Vec<u8> = (0..251).map(|at| self.first.wrapping_add(at)).collect();
        let mut bytes = pattern.repeat(self.len.div_ceil(pattern.len()));
        bytes.truncate(self.len);
        bytes
    }
}

/// Few names, so that calls meet; two levels of directories; a parent that is never there.
const NAMES: [&str; 9] = ["a", "b", "c", "d", "d/a", "d/b", "d/e", "d/e/a", "none/a"];

/// What is no path, the directory itself, and a name that is almost too long, and too long.
fn odd_path() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        Just("../a".to_owned()),
        Just("/a".to_owned()),
        Just("d//a".to_owned()),
        Just("d/.".to_owned()),
        Just("n".repeat(255)),
        Just("n".repeat(256)),
    ]
}

fn path() -> impl Strategy<Value = String> {
    prop_oneof![40 => (0..NAMES.len()).prop_map(|at| NAMES[at].to_owned()), 1 => odd_path()]
}

/// Around the ends of sectors and pages.
fn place() -> impl Strategy<Value = u64> {
    prop_oneof![0..20_u64, 500..530_u64, 4080..4110_u64, 8190..8200_u64, 20_000..20_010_u64]
}

/// The same, and now and then beyond what any file can reach.
fn any_place() -> impl Strategy<Value = u64> {
    prop_oneof![30 => place(), 1 => Just(i64::MAX as u64 + 1), 1 => Just(u64::MAX)]
}

fn part(len: impl Strategy<Value = usize>) -> impl Strategy<Value = Part> {
    (any::<u8>(), len).prop_map(|(first, len)| Part { first, len })
}

fn short_len() -> impl Strategy<Value = usize> {
    prop_oneof![0..30_usize, 500..530_usize, 4000..5000_usize]
}

fn how() -> impl Strategy<Value = Open> {
    prop_oneof![
        2 => Just(Open::Read),
        2 => Just(Open::Write),
        6 => Just(Open::Create),
        2 => Just(Open::CreateNew),
        2 => Just(Open::Truncate),
    ]
}

fn on_names() -> impl Strategy<Value = Call> {
    prop_oneof![
        4 => (path(), path()).prop_map(|(from, to)| Call::Rename { from, to }),
        3 => (path(), path()).prop_map(|(existing, new)| Call::Link { existing, new }),
        2 => (path(), path()).prop_map(|(from, to)| Call::Clone { from, to }),
        4 => path().prop_map(|path| Call::Remove { path }),
        4 => path().prop_map(|path| Call::Mkdir { path }),
        1 => path().prop_map(|path| Call::SyncDir { path }),
        2 => path().prop_map(|path| Call::List { path }),
        2 => (0..SLOTS, path()).prop_map(|(slot, path)| Call::Lock { slot, path }),
        1 => (0..SLOTS).prop_map(|slot| Call::Unlock { slot }),
    ]
}

fn on_files() -> impl Strategy<Value = Call> {
    let slot = || 0..SLOTS;
    prop_oneof![
        6 => (slot(), path(), how()).prop_map(|(slot, path, how)| Call::Open { slot, path, how }),
        1 => slot().prop_map(|slot| Call::Close { slot }),
        4 => (slot(), vec((any_place(), 0..9000_usize), 0..4)).prop_map(|(slot, parts)| Call::Read { slot, parts }),
        8 => (slot(), any_place(), vec(part(short_len()), 0..4))
            .prop_map(|(slot, offset, parts)| Call::Write { slot, offset, parts }),
        1 => slot().prop_map(|slot| Call::Sync { slot }),
        3 => (slot(), any_place()).prop_map(|(slot, len)| Call::SetLen { slot, len }),
        2 => (slot(), any_place()).prop_map(|(slot, len)| Call::Allocate { slot, len }),
        2 => slot().prop_map(|slot| Call::Meta { slot }),
    ]
}

/// A call that takes no time to speak of.
pub(crate) fn short_call() -> impl Strategy<Value = Call> {
    prop_oneof![on_names(), on_files()]
}

/// The same, with writes among them that take long enough to be killed in.
fn any_length() -> impl Strategy<Value = Call> {
    let long = vec(part(100_000..900_000_usize), 1..4);
    prop_oneof![
        10 => short_call(),
        2 => (0..SLOTS, place(), long).prop_map(|(slot, offset, parts)| Call::Write { slot, offset, parts }),
    ]
}

/// The calls of a seed: the same in every process.
pub(crate) fn of_seed(seed: u64, count: usize) -> Vec<Call> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let config = Config { failure_persistence: None, ..Config::default() };
    let drawn = vec(any_length(), count).new_tree(&mut TestRunner::new_with_rng(config, rng));
    drawn.expect("nothing is filtered").current()
}
