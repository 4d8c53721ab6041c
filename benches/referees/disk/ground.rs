//! What both models can be asked: calls drawn at random, but for those by which turmoil-fs leaves the ground that the
//! two have in common. Each reason to leave a call out is a difference between the models, and has a test.
//!
//! turmoil-fs keeps no inodes. What is pending is a list of operations on paths, replayed at every look: cheap to reason
//! about, and enough for a system that creates, writes, syncs and renames whole files. It cannot tell two files apart
//! that had one name, or follow one file under two.

use std::collections::BTreeMap;

use stormproof_contract::Open;
use stormproof_sim::world::dice::Dice;

/// A call on a name. Files are opened for one call each: a handle of turmoil-fs is a path.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Call {
    Open { path: &'static str, how: Open },
    Write { path: &'static str, offset: u64, byte: u8, len: usize },
    Read { path: &'static str, offset: u64, len: usize },
    Len { path: &'static str },
    SetLen { path: &'static str, len: u64 },
    Sync { path: &'static str },
    Rename { from: &'static str, to: &'static str },
    Remove { path: &'static str },
    Mkdir { path: &'static str },
    SyncDir { path: &'static str },
    List { path: &'static str },
}

const DIRS: [&str; 3] = ["", "d", "e"];
const FILES: [&str; 9] = ["a", "b", "c", "d/a", "d/b", "d/c", "e/a", "e/b", "none/a"];
const PATHS: [&str; 11] = ["a", "b", "c", "d", "e", "d/a", "d/b", "d/c", "e/a", "e/b", "none/a"];

/// Why a call is left out.
pub(crate) const ONCE: &str = "a name is used for one file: writes are kept by path, so the next file would have them";
pub(crate) const SYNCED_FIRST: &str =
    "only a synced file is renamed, replaced or removed: its writes keep the old path";
pub(crate) const MOVED: &str =
    "a renamed file is left alone until its directory is synced: a sync looks for its writes";
pub(crate) const CUT: &str =
    "a file that was cut does not grow before it is synced: the bytes behind the cut come back";
pub(crate) const ACROSS: &str = "no file moves between directories: the second sync does not find the first's half";
pub(crate) const ITSELF: &str = "no file is renamed to itself: it is gone";
pub(crate) const DIRECTORY: &str = "no directory is renamed: what is in it stays behind";
pub(crate) const KIND: &str = "no file call on a directory, nor the other way about: kinds are not compared";

/// How the writes of a trial look.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Writes {
    /// Anywhere, of any length.
    Any,
    /// Whole pages, and no cuts. turmoil-fs keeps each pending write or some of its first blocks for itself: blocks
    /// counted from the write's first byte, where devices count theirs; a later write without an earlier one to the same
    /// sector, where a page cache holds both; and its length without that of an earlier, longer one.
    Aligned,
}

#[derive(Clone, Copy, Debug)]
enum State {
    File(File),
    Dir,
    Spent,
}

#[derive(Clone, Copy, Default, Debug)]
struct File {
    len: u64,
    dirty: bool,
    cut: bool,
    moved: bool,
}

/// What the names stand for, as far as it decides what can be asked.
#[derive(Default)]
pub(crate) struct Ground {
    names: BTreeMap<&'static str, State>,
}

/// The directory of a path.
fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(dir, _)| dir)
}

impl Ground {
    /// Whether both models can be asked this now.
    pub(crate) fn allows(&self, call: &Call) -> Result<(), &'static str> {
        match *call {
            Call::Open { path, how } => match self.at(path)? {
                Some(State::Dir) => Err(KIND),
                Some(State::File(file)) if file.moved && how == Open::Truncate => Err(MOVED),
                _ => Ok(()),
            },
            Call::Write { path, offset, len, .. } => self.change(path, offset + len as u64),
            Call::SetLen { path, len } => self.change(path, len),
            Call::Sync { path } => self.change(path, 0),
            Call::Read { path, .. } | Call::Len { path } => match self.at(path)? {
                Some(State::Dir) => Err(KIND),
                _ => Ok(()),
            },
            Call::Rename { from, to } => self.rename(from, to),
            Call::Remove { path } => match self.at(path)? {
                Some(State::File(file)) => settled(file),
                Some(State::Dir) if self.below(path).any(|file| file.moved) => Err(MOVED),
                _ => Ok(()),
            },
            Call::Mkdir { path } => self.at(path).map(|_| ()),
            Call::SyncDir { path } | Call::List { path } => match self.at(path)? {
                Some(State::File(_)) => Err(KIND),
                _ => Ok(()),
            },
        }
    }

    /// What a name stands for; `None` if it was never used.
    fn at(&self, path: &str) -> Result<Option<State>, &'static str> {
        match (self.names.get(parent(path)), self.names.get(path).copied()) {
            (Some(State::File(_)), _) => Err(KIND),
            (_, Some(State::Spent)) => Err(ONCE),
            (_, state) => Ok(state),
        }
    }

    /// Whether a file may change, and reach up to `end`.
    fn change(&self, path: &str, end: u64) -> Result<(), &'static str> {
        match self.at(path)? {
            Some(State::Dir) => Err(KIND),
            Some(State::File(file)) if file.moved => Err(MOVED),
            Some(State::File(file)) if file.cut && end > file.len => Err(CUT),
            _ => Ok(()),
        }
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), &'static str> {
        let (moved, replaced) = (self.at(from)?, self.at(to)?);
        match (moved, replaced) {
            _ if from == to => Err(ITSELF),
            _ if parent(from) != parent(to) => Err(ACROSS),
            (Some(State::Dir), _) => Err(DIRECTORY),
            (Some(State::File(moved)), Some(State::File(replaced))) => settled(moved).and(settled(replaced)),
            (Some(State::File(moved)), _) => settled(moved),
            _ => Ok(()),
        }
    }

    fn below<'a>(&'a self, dir: &'a str) -> impl Iterator<Item = File> + 'a {
        self.names.iter().filter_map(move |(path, state)| match state {
            State::File(file) if parent(path) == dir && *path != dir => Some(*file),
            _ => None,
        })
    }

    /// Both models have done it.
    pub(crate) fn done(&mut self, call: &Call) {
        match *call {
            Call::Open { path, how } => {
                let known = self.names.contains_key(path);
                let State::File(file) = self.names.entry(path).or_insert(State::File(File::default())) else { return };
                if known && how == Open::Truncate {
                    *file = File { len: 0, dirty: true, cut: true, ..*file };
                }
            }
            Call::Write { path, offset, len, .. } if len > 0 => self.file(path, |file| {
                file.dirty = true;
                file.len = file.len.max(offset + len as u64);
            }),
            Call::SetLen { path, len } => self.file(path, |file| {
                *file = File { len, dirty: true, cut: file.cut || len < file.len, ..*file };
            }),
            Call::Sync { path } => self.file(path, |file| (file.dirty, file.cut) = (false, false)),
            Call::Rename { from, to } => {
                if let Some(State::File(file)) = self.names.insert(from, State::Spent) {
                    self.names.insert(to, State::File(File { moved: true, ..file }));
                }
            }
            Call::Remove { path } => drop(self.names.insert(path, State::Spent)),
            Call::Mkdir { path } => drop(self.names.insert(path, State::Dir)),
            Call::SyncDir { path } => {
                for (_, state) in self.names.iter_mut().filter(|(name, _)| parent(name) == path) {
                    if let State::File(file) = state {
                        file.moved = false;
                    }
                }
            }
            Call::Write { .. } | Call::Read { .. } | Call::Len { .. } | Call::List { .. } => {}
        }
    }

    fn file(&mut self, path: &'static str, change: impl FnOnce(&mut File)) {
        if let Some(State::File(file)) = self.names.get_mut(path) {
            change(file);
        }
    }
}

fn settled(file: File) -> Result<(), &'static str> {
    match file {
        File { dirty: true, .. } => Err(SYNCED_FIRST),
        File { moved: true, .. } => Err(MOVED),
        _ => Ok(()),
    }
}

/// The first calls of a trial: most of what is drawn later needs a directory.
pub(crate) const FIRST: [Call; 2] = [Call::Mkdir { path: "d" }, Call::Mkdir { path: "e" }];

/// Draws a call, whether both can be asked it or not.
pub(crate) fn draw(dice: &mut Dice, writes: Writes) -> Call {
    let (file, path) = (*dice.pick(&FILES), *dice.pick(&PATHS));
    match dice.below(36) {
        0..10 => Call::Open { path: file, how: how(dice, writes) },
        10..18 => write(dice, writes, file),
        18..21 => Call::Read { path: file, offset: dice.below(9000), len: dice.below(9000) as usize },
        21 => Call::Len { path: file },
        22 if writes == Writes::Any => Call::SetLen { path: file, len: dice.below(9000) },
        22..27 => Call::Sync { path: file },
        27..29 => Call::Rename { from: file, to: path },
        29 => Call::Remove { path },
        30 => Call::Mkdir { path },
        31..34 => Call::SyncDir { path: *dice.pick(&DIRS) },
        _ => Call::List { path: *dice.pick(&DIRS) },
    }
}

fn how(dice: &mut Dice, writes: Writes) -> Open {
    match writes {
        Writes::Any => {
            *dice.pick(&[Open::Create, Open::Create, Open::CreateNew, Open::Write, Open::Read, Open::Truncate])
        }
        Writes::Aligned => *dice.pick(&[Open::Create, Open::CreateNew, Open::Write, Open::Read]),
    }
}

fn write(dice: &mut Dice, writes: Writes, path: &'static str) -> Call {
    // Never zero: a byte that was lost must not look like one that was written.
    let byte = 1 + dice.below(255) as u8;
    match writes {
        Writes::Any => Call::Write { path, offset: dice.below(9000), byte, len: dice.below(6000) as usize },
        Writes::Aligned => {
            Call::Write { path, offset: 4096 * dice.below(4), byte, len: 4096 * dice.between(1, 4) as usize }
        }
    }
}
