//! Whether all that lies in a node's directory can be believed: every file that counts is read to its end, every checksum
//! is compared, and nothing is changed.
//!
//! What the next start would mend by itself is told apart from what it would refuse: leftovers of attempts, torn tails and
//! damaged caches are no damage to what was acknowledged. Foreign managers' files are theirs to check.

use std::{collections::BTreeMap, fmt, sync::Arc};

use stormproof_contract::Disk;

use super::{
    commit::L1,
    recover::{MANAGERS, check_tail},
    repair::DAMAGED,
};
use crate::{
    ids::Lsn,
    store::{
        Batch, Digest, StoreError, StoreResult,
        archive::{self, GenerationName, Loading},
        l1::{self, L1Kind, L1Name},
        log::{self, LogNo},
        manifest::{self, Manifest, ManifestFile},
        segment::{self, Segment, SegmentName},
    },
};

/// What was found of one file.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Checked {
    /// The file, relative to the node's directory.
    pub path: Box<str>,
    /// How it is.
    pub state: State,
    /// What it holds, or what is wrong with it and what to do.
    pub words: Box<str>,
}

/// How a file is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Whole, and what it should be.
    Good,
    /// Left behind by an attempt that came to nothing. The next start removes it.
    Leftover,
    /// A cache that cannot be believed. The next start makes it again, and nothing is lost.
    Stale,
    /// Damaged, missing, or another's. The next start is refused, or, of vectors that it does not read, a query that does.
    Bad,
    /// No file of a store. It is left alone.
    Foreign,
}

/// Checks every file of a node's directory. An error says that the disk failed, and nothing about the files.
pub fn verify(disk: &Arc<dyn Disk>) -> StoreResult<Vec<Checked>> {
    let mut checks = Checks { disk, list: Vec::new() };
    match ManifestFile::load(disk) {
        Ok(Some(file)) => checks.store(file.current())?,
        Ok(None) => checks.add(manifest::PATH, State::Good, "there is none, and nothing was ever decided here"),
        Err(error) => checks.bad(manifest::PATH, error)?,
    }
    Ok(checks.list)
}

struct Checks<'a> {
    disk: &'a Arc<dyn Disk>,
    list: Vec<Checked>,
}

/// What frames of the log say.
#[derive(Default)]
struct Frames {
    count: u64,
    transactions: u64,
    /// The votes of the index.
    votes: BTreeMap<Lsn, Digest>,
    /// The segments that frames add.
    loaded: Vec<(Lsn, SegmentName)>,
}

impl Frames {
    fn add(&mut self, lsn: Lsn, batch: &Batch) {
        self.count += 1;
        self.transactions += batch.transactions.len() as u64;
        let vote = batch.votes.iter().find(|vote| vote.participant.as_str() == L1);
        self.votes.extend(vote.map(|vote| (lsn, vote.digest)));
        self.loaded.extend(batch.loaded().map(|name| (lsn, name)));
    }
}

impl Checks<'_> {
    fn add(&mut self, path: &str, state: State, words: impl Into<Box<str>>) {
        self.list.push(Checked { path: path.into(), state, words: words.into() });
    }

    fn bad(&mut self, path: &str, error: StoreError) -> StoreResult<()> {
        if error.is_passing() {
            return Err(error);
        }
        self.add(path, State::Bad, error.to_string());
        Ok(())
    }

    fn store(&mut self, manifest: &Manifest) -> StoreResult<()> {
        self.add(manifest::PATH, State::Good, words_of(manifest));
        self.segments(manifest, &manifest.segments)?;
        let Frames { votes, loaded, .. } = self.log(manifest)?;
        let unnamed = loaded.into_iter().filter(|(lsn, _)| *lsn > manifest.loaded && *lsn > manifest.flushed.lsn);
        let unnamed: Vec<_> = unnamed.map(|(_, name)| name).collect();
        self.segments(manifest, &unnamed)?;
        for name in l1::list(&**self.disk)? {
            self.l1(name, manifest, &votes)?;
        }
        self.archive(manifest)?;
        self.others(manifest, &unnamed)
    }

    /// The generation in force, with all of its rows.
    fn archive(&mut self, manifest: &Manifest) -> StoreResult<()> {
        let Some(base) = &manifest.archive else { return Ok(()) };
        let path = base.name.no.path();
        match check_generation(&**self.disk, manifest, &base.name) {
            Ok(()) => {
                let words = format!("{} records, as of {}", base.name.records, base.name.built);
                self.add(&path, State::Good, words);
            }
            Err(error) if error.is_passing() => return Err(error),
            Err(error) => {
                let words = format!("{error}; searches compare everything until the next rebuild makes it again");
                self.add(&path, State::Stale, words);
            }
        }
        Ok(())
    }

    fn segments(&mut self, manifest: &Manifest, names: &[SegmentName]) -> StoreResult<()> {
        for name in names {
            match check_segment(&**self.disk, manifest, name) {
                Ok(words) => self.add(&name.no.path(), State::Good, words),
                Err(error) => self.bad(&name.no.path(), error)?,
            }
        }
        Ok(())
    }

    /// Gives what the frames of the log say.
    fn log(&mut self, manifest: &Manifest) -> StoreResult<Frames> {
        let mut frames = Frames::default();
        let scanned = log::scan(self.disk, manifest, &mut |lsn, batch| {
            frames.add(lsn, &batch);
            Ok(())
        });
        let paths = words_of_files(&manifest.logs);
        match scanned {
            Err(error) => self.bad(&paths, error)?,
            Ok(tail) => {
                let torn = tail.torn.as_ref().map_or_else(String::new, |torn| {
                    format!("; behind it a write was cut off that was never acknowledged, and the next start removes it ({torn})")
                });
                let Frames { count, transactions, .. } = &frames;
                let (lsn, end) = (tail.lsn, tail.end);
                let words =
                    format!("{count} frames of {transactions} transactions, up to {lsn} and offset {end}{torn}");
                self.add(&paths, State::Good, words);
                if let Err(error) = check_tail(manifest, &tail, &l1::list(&**self.disk)?) {
                    self.bad(&paths, error)?;
                }
            }
        }
        Ok(frames)
    }

    fn l1(&mut self, name: L1Name, manifest: &Manifest, votes: &BTreeMap<Lsn, Digest>) -> StoreResult<()> {
        let path = name.path();
        if name.temporary {
            self.add(&path, State::Leftover, "a vote that was not finished; the next start finishes or removes it");
            return Ok(());
        }
        let base = manifest.l1.filter(|base| base.lsn == name.lsn && name.kind == L1Kind::Index);
        let Some(expected) = base.map(|base| base.digest).or(votes.get(&name.lsn).copied()) else {
            self.add(&path, State::Leftover, UNNAMED);
            return Ok(());
        };
        let again = "the next start makes the index again";
        match l1::read(&**self.disk, name) {
            Ok(file) if file.digest == expected => {
                let (rows, gone) = (file.rows().count(), file.tombstones.len());
                self.add(&path, State::Good, format!("{rows} rows, {gone} removals, as of {}", name.lsn));
            }
            Ok(file) => {
                let words = format!("expected digest {expected}, found {}; {again}", file.digest);
                self.add(&path, State::Stale, words);
            }
            Err(error) if error.is_passing() => return Err(error),
            Err(error) => self.add(&path, State::Stale, format!("{error}; {again}")),
        }
        Ok(())
    }

    /// Files that nothing names, neither the manifest nor, the segments `loaded`, the log.
    fn others(&mut self, manifest: &Manifest, loaded: &[SegmentName]) -> StoreResult<()> {
        for entry in self.disk.list("")? {
            match (&*entry.name, LogNo::of_path(&entry.name)) {
                (manifest::PATH | l1::DIRECTORY | segment::DIRECTORY | archive::DIRECTORY | MANAGERS, _) => {}
                (DAMAGED, _) => self.add(&entry.name, State::Foreign, "what a repair has replaced"),
                (manifest::TEMPORARY, _) => self.add(&entry.name, State::Leftover, "an installation that was cut off"),
                (_, Some(no)) if manifest.logs.contains(&no) => {}
                (_, Some(_)) => self.add(&entry.name, State::Leftover, UNNAMED),
                (_, None) => self.add(&entry.name, State::Foreign, "no file of a store"),
            }
        }
        let is_named =
            |path: &String| manifest.names_segment(path) || loaded.iter().any(|name| name.no.path() == *path);
        for path in segment::list(&**self.disk)?.iter().filter(|path| !is_named(path)) {
            self.add(path, State::Leftover, UNNAMED);
        }
        for path in archive::list(&**self.disk)?.iter().filter(|path| !manifest.names_generation(path)) {
            self.add(path, State::Leftover, UNNAMED);
        }
        Ok(())
    }
}

const UNNAMED: &str = "nothing names it; the next start removes it";

fn check_segment(disk: &dyn Disk, manifest: &Manifest, name: &SegmentName) -> StoreResult<String> {
    let segment = Segment::open(disk, manifest.log, name, manifest.components)?;
    segment.verify()?;
    let (groups, upto) = (segment.groups(), segment.upto());
    Ok(format!("{} records, {} of them live, in {groups} groups, up to {upto}", segment.entries(), segment.live()))
}

fn check_generation(disk: &dyn Disk, manifest: &Manifest, name: &GenerationName) -> StoreResult<()> {
    let mut loading = Loading::open(disk, manifest.log, name, manifest.components)?;
    while !loading.step(64)? {}
    let (generation, _) = loading.finish()?;
    (0..generation.len()).try_for_each(|node| generation.read_vector(node).map(drop))
}

fn words_of(manifest: &Manifest) -> String {
    let Manifest { sequence, log, components, segments, flushed, .. } = manifest;
    let flushed = if flushed.lsn == Lsn(0) { "nothing".to_owned() } else { format!("all up to {}", flushed.lsn) };
    let n = segments.len();
    format!(
        "installation {sequence} of database {log}: vectors of {components} components, {n} segments hold {flushed}"
    )
}

fn words_of_files(logs: &[LogNo]) -> String {
    match logs {
        [only] => only.path(),
        [first, .., last] => format!("{} to {}", first.path(), last.0),
        [] => unreachable!("a manifest names at least one file of the log"),
    }
}

impl State {
    /// In a word.
    pub fn word(self) -> &'static str {
        match self {
            State::Good => "good",
            State::Leftover => "leftover",
            State::Stale => "stale",
            State::Bad => "BAD",
            State::Foreign => "foreign",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
