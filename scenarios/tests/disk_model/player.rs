//! Asks calls of a disk, whichever it is, and says what came of them.

use std::{collections::BTreeMap, sync::Arc};

use stormproof_contract::{Disk, DiskErrorKind, DiskResult, Entry, File, Lock, Open, ReadAt};

use super::calls::{Call, SLOTS};

/// What came of a call. Of an error the kind counts: whom it names is a matter of the message.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Answer {
    /// The slot is empty: nothing was asked.
    Nothing,
    Done,
    /// For each part how much was filled, and all of its buffer, which must be untouched beyond that.
    Read(Vec<(usize, Vec<u8>)>),
    Written(usize),
    Len(u64),
    Entries(Vec<Entry>),
    Failed(DiskErrorKind),
}

/// Everything in a directory, by path: the bytes of a file, `None` for a directory.
pub(crate) type Tree = BTreeMap<String, Option<Vec<u8>>>;

/// What buffers hold before they are read into.
const UNTOUCHED: u8 = 0xee;

/// Makes calls one after another; `after` is told each time one has returned.
pub(crate) fn perform(disk: &dyn Disk, calls: &[Call], mut after: impl FnMut(&dyn Disk)) -> Vec<Answer> {
    let mut player = Player { disk, files: Default::default(), locks: Default::default() };
    let mut answer = |call| {
        let answer = player.ask(call).unwrap_or_else(|error| Answer::Failed(error.kind));
        after(disk);
        answer
    };
    calls.iter().map(&mut answer).collect()
}

/// What came of calls on one disk: each answer, and the tree in the end.
pub(crate) struct Life {
    pub(crate) answers: Vec<Answer>,
    pub(crate) tree: Tree,
}

/// Makes calls, and looks at everything.
pub(crate) fn live(disk: &dyn Disk, calls: &[Call]) -> Life {
    let answers = perform(disk, calls, |_| {});
    Life { answers, tree: tree(disk) }
}

struct Player<'a> {
    disk: &'a dyn Disk,
    files: [Option<Arc<dyn File>>; SLOTS],
    locks: [Option<Box<dyn Lock>>; SLOTS],
}

impl Player<'_> {
    fn ask(&mut self, call: &Call) -> DiskResult<Answer> {
        let disk = self.disk;
        match call {
            Call::Open { slot, path, how } => {
                self.files[*slot] = Some(disk.open(path, *how)?);
                Ok(Answer::Done)
            }
            Call::Close { slot } => {
                self.files[*slot] = None;
                Ok(Answer::Done)
            }
            Call::Rename { from, to } => disk.rename(from, to).map(done),
            Call::Link { existing, new } => disk.link(existing, new).map(done),
            Call::Clone { from, to } => disk.clone_file(from, to).map(done),
            Call::Remove { path } => disk.remove(path).map(done),
            Call::Mkdir { path } => disk.mkdir(path).map(done),
            Call::SyncDir { path } => disk.sync_dir(path).map(done),
            Call::List { path } => disk.list(path).map(Answer::Entries),
            Call::Lock { slot, path } => {
                self.locks[*slot] = Some(disk.try_lock(path)?);
                Ok(Answer::Done)
            }
            Call::Unlock { slot } => {
                self.locks[*slot] = None;
                Ok(Answer::Done)
            }
            Call::Read { slot, .. }
            | Call::Write { slot, .. }
            | Call::Sync { slot }
            | Call::SetLen { slot, .. }
            | Call::Allocate { slot, .. }
            | Call::Meta { slot } => {
                self.files[*slot].as_ref().map_or(Ok(Answer::Nothing), |file| of_file(&**file, call))
            }
        }
    }
}

fn done((): ()) -> Answer {
    Answer::Done
}

fn of_file(file: &dyn File, call: &Call) -> DiskResult<Answer> {
    match call {
        Call::Read { parts, .. } => read(file, parts),
        Call::Write { offset, parts, .. } => {
            let bytes: Vec<Vec<u8>> = parts.iter().map(|part| part.bytes()).collect();
            file.write(*offset, &bytes.iter().map(Vec::as_slice).collect::<Vec<_>>()).map(Answer::Written)
        }
        Call::Sync { .. } => file.sync().map(done),
        Call::SetLen { len, .. } => file.set_len(*len).map(done),
        Call::Allocate { len, .. } => file.allocate(*len).map(done),
        Call::Meta { .. } => file.meta().map(|meta| Answer::Len(meta.len)),
        _ => unreachable!("{call:?} is none of an open file"),
    }
}

fn read(file: &dyn File, parts: &[(u64, usize)]) -> DiskResult<Answer> {
    let mut bufs: Vec<(u64, Vec<u8>)> = parts.iter().map(|(offset, len)| (*offset, vec![UNTOUCHED; *len])).collect();
    let mut asked: Vec<ReadAt<'_>> = bufs.iter_mut().map(|(offset, buf)| ReadAt::new(*offset, buf)).collect();
    file.read(&mut asked)?;
    Ok(Answer::Read(asked.into_iter().map(|part| (part.filled, part.buf.to_vec())).collect()))
}

/// All that a disk shows.
pub(crate) fn tree(disk: &dyn Disk) -> Tree {
    let mut tree = Tree::new();
    let mut dirs = vec![String::new()];
    while let Some(dir) = dirs.pop() {
        for Entry { name, is_dir } in disk.list(&dir).expect("it was listed as a directory") {
            let path = if dir.is_empty() { name } else { format!("{dir}/{name}") };
            tree.insert(path.clone(), (!is_dir).then(|| contents(disk, &path)));
            if is_dir {
                dirs.push(path);
            }
        }
    }
    tree
}

fn contents(disk: &dyn Disk, path: &str) -> Vec<u8> {
    let file = disk.open(path, Open::Read).expect("it was listed as a file");
    let mut bytes = vec![UNTOUCHED; file.meta().expect("it is open").len as usize];
    file.read_exact_at(0, &mut bytes).expect("it is as long as it says");
    bytes
}

/// Where two trees differ, in words: whole files are too long to print.
pub(crate) fn tree_difference(ours: &Tree, theirs: &Tree) -> Result<(), String> {
    let place = ours.keys().chain(theirs.keys()).find(|path| ours.get(*path) != theirs.get(*path));
    let Some(path) = place else { return Ok(()) };
    let words = |tree: &Tree| match tree.get(path) {
        None => "not there".to_owned(),
        Some(None) => "a directory".to_owned(),
        Some(Some(bytes)) => format!("{} bytes", bytes.len()),
    };
    let (Some(Some(mine)), Some(Some(other))) = (ours.get(path), theirs.get(path)) else {
        return Err(format!("`{path}`: {} and {}", words(ours), words(theirs)));
    };
    let at = mine.iter().zip(other).take_while(|(mine, other)| mine == other).count();
    Err(format!("`{path}`: {} and {}, the same up to byte {at}", words(ours), words(theirs)))
}
