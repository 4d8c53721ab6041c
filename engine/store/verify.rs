//! Whether all that lies in a directory can be believed: every file that counts is read to its end, every checksum is
//! compared, and nothing is changed.
//!
//! What the next start would mend by itself is told apart from what it would refuse: leftovers of attempts, torn tails and
//! damaged caches are no damage to what was acknowledged.

use std::{fmt, sync::Arc};

use stormproof_contract::{Disk, DiskResult};

use super::{
    StoreError, StoreResult, l1,
    log::{self, LogNo, Tail},
    manifest::{self, Manifest, ManifestFile},
    segment::{self, Segment, SegmentName, SegmentNo},
};
use crate::ids::Lsn;

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
    /// Damaged, missing, or another's. The next start is refused.
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
        for name in &manifest.segments {
            match check_segment(&**self.disk, manifest, name) {
                Ok(words) => self.add(&name.no.path(), State::Good, words),
                Err(error) => self.bad(&name.no.path(), error)?,
            }
        }
        self.log(manifest)?;
        self.l1()?;
        self.others(manifest).map_err(StoreError::from)
    }

    fn log(&mut self, manifest: &Manifest) -> StoreResult<()> {
        let (mut frames, mut transactions) = (0_u64, 0_u64);
        let scanned = log::scan(self.disk, manifest, &mut |_, batch| {
            frames += 1;
            transactions += batch.transactions.len() as u64;
            Ok(())
        });
        let paths = words_of_files(&manifest.logs);
        let tail = match scanned {
            Ok(tail) => tail,
            Err(error) => return self.bad(&paths, error),
        };
        let end = format!(
            "{frames} frames of {transactions} transactions, the last is {} up to offset {}",
            tail.lsn, tail.end
        );
        let torn = tail.torn.as_ref().map_or_else(String::new, |torn| {
            format!(
                "; behind it, a write that was cut off and never acknowledged ({torn}), which the next start removes"
            )
        });
        self.add(&paths, State::Good, format!("{end}{torn}"));
        self.lost_tail(manifest, &tail)
    }

    /// What was made of frames that the log no longer has.
    fn lost_tail(&mut self, manifest: &Manifest, tail: &Tail) -> StoreResult<()> {
        let named = manifest.l1.map_or(manifest.flushed.lsn, |base| base.lsn.max(manifest.flushed.lsn));
        let finished = l1::list(&**self.disk)?.into_iter().filter(|name| !name.temporary);
        let made = finished.map(|name| (name.path(), name.lsn)).chain([(manifest::PATH.to_owned(), named)]);
        for (path, lsn) in made.filter(|(_, lsn)| *lsn > tail.lsn) {
            self.bad(&path, tail.lost(&path, lsn))?;
        }
        Ok(())
    }

    fn l1(&mut self) -> StoreResult<()> {
        for name in l1::list(&**self.disk)? {
            let path = name.path();
            if name.temporary {
                self.add(&path, State::Leftover, "a vote that was not finished; the next start finishes or removes it");
                continue;
            }
            match l1::read(&**self.disk, name) {
                Ok(file) => {
                    let (rows, gone) = (file.rows().count(), file.tombstones.len());
                    self.add(&path, State::Good, format!("{rows} rows, {gone} removals, as of {}", name.lsn));
                }
                Err(error) if error.is_passing() => return Err(error),
                Err(error) => self.add(&path, State::Stale, format!("{error}; the next start makes the index again")),
            }
        }
        Ok(())
    }

    /// Files that nothing names.
    fn others(&mut self, manifest: &Manifest) -> DiskResult<()> {
        let unnamed = "nothing names it; the next start removes it";
        for entry in self.disk.list("")? {
            match (&*entry.name, LogNo::of_path(&entry.name)) {
                (manifest::PATH | l1::DIRECTORY | segment::DIRECTORY | MANAGERS, _) => {}
                (manifest::TEMPORARY, _) => self.add(&entry.name, State::Leftover, "an installation that was cut off"),
                (_, Some(no)) if manifest.logs.contains(&no) => {}
                (_, Some(_)) => self.add(&entry.name, State::Leftover, unnamed),
                (_, None) => self.add(&entry.name, State::Foreign, "no file of a store"),
            }
        }
        for entry in list_if_there(&**self.disk, segment::DIRECTORY)? {
            let path = format!("{}/{}", segment::DIRECTORY, entry.name);
            match SegmentNo::of_name(&entry.name) {
                Some(no) if manifest.segments.iter().any(|name| name.no == no) => {}
                Some(_) | None => self.add(&path, State::Leftover, unnamed),
            }
        }
        Ok(())
    }
}

/// Where foreign managers keep their files, which they check themselves.
const MANAGERS: &str = "managers";

fn list_if_there(disk: &dyn Disk, directory: &str) -> DiskResult<Vec<stormproof_contract::Entry>> {
    match disk.list(directory) {
        Err(error) if error.is_not_found() => Ok(Vec::new()),
        listed => listed,
    }
}

fn check_segment(disk: &dyn Disk, manifest: &Manifest, name: &SegmentName) -> StoreResult<String> {
    let segment = Segment::open(disk, manifest.log, name, manifest.components)?;
    segment.verify()?;
    let (groups, upto) = (segment.groups(), segment.upto());
    Ok(format!("{} records, {} of them live, in {groups} groups, up to {upto}", segment.entries(), segment.live()))
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
