//! A node that has just booted: is it what it was, as far as it had promised?

use std::collections::{BTreeMap, BTreeSet};

use stormproof_engine::memory::{Decision, Facts, Lsn, Outcome, RecordId, RetryId, Version, audit};

/// A commit that a client was told of.
#[derive(Clone, PartialEq, Debug)]
pub struct Acknowledged {
    /// Which transaction.
    pub retry: RetryId,
    /// The LSN it was told.
    pub lsn: Lsn,
    /// The versions it was told.
    pub versions: Vec<(RecordId, Version)>,
}

/// What a node knew of decisions at some moment, in their order.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Known {
    /// The last frame.
    pub lsn: Lsn,
    /// The decisions.
    pub decisions: Vec<(RetryId, Lsn, u32)>,
}

impl Known {
    /// What these facts say.
    pub fn of(facts: &Facts) -> Self {
        let decision = |(retry, decision): &(RetryId, Decision)| (*retry, decision.lsn, decision.place);
        Known { lsn: facts.lsn, decisions: facts.decisions.iter().map(decision).collect() }
    }
}

/// D1: every acknowledged commit is there, at its place, with its versions.
pub fn keeps_the_acknowledged(facts: &Facts, acknowledged: &[Acknowledged]) -> Result<(), String> {
    let decisions: BTreeMap<RetryId, &Decision> = facts.decisions.iter().map(|(retry, it)| (*retry, it)).collect();
    for commit in acknowledged {
        let name = format!("transaction {:x}, acknowledged at {:?}", commit.retry.0, commit.lsn);
        match decisions.get(&commit.retry).map(|decision| (decision.lsn, &decision.outcome)) {
            None => return Err(format!("{name}, is gone; the log ends at {:?}", facts.lsn)),
            Some((_, Outcome::Refused(reply))) => return Err(format!("{name}, counts as refused: {reply:?}")),
            Some((lsn, Outcome::Committed { versions, .. })) if lsn != commit.lsn || *versions != commit.versions => {
                return Err(format!("{name} with {:?}, stands at {lsn:?} with {versions:?}", commit.versions));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// D5: what was recovered is a prefix of what was known before. What had not settled when the node died may have been
/// added, behind everything that had.
pub fn is_a_prefix(facts: &Facts, before: &Known) -> Result<(), String> {
    let now = Known::of(facts);
    let common = now.lsn.min(before.lsn);
    let upto = |known: &Known| -> Vec<(RetryId, Lsn, u32)> {
        known.decisions.iter().copied().filter(|(_, lsn, _)| *lsn <= common).collect()
    };
    let (kept, had) = (upto(&now), upto(before));
    if kept == had {
        return Ok(());
    }
    let parted = kept.iter().zip(&had).position(|(a, b)| a != b).unwrap_or(kept.len().min(had.len()));
    Err(format!("decision {parted} up to {common:?} is {:?}, it was {:?}", kept.get(parted), had.get(parted)))
}

/// D5: what a query has shown to anybody cannot be taken back by a crash.
pub fn keeps_what_was_read(facts: &Facts, read_at: Lsn) -> Result<(), String> {
    if read_at <= facts.lsn {
        return Ok(());
    }
    Err(format!("a query was answered at {read_at:?}, and the log ends at {:?}", facts.lsn))
}

/// CE-01: the node died while it voted, so nothing of that batch is there. A bulk load commits behind the batch that has
/// gathered meanwhile: if one was `staged`, that batch may be there, and no load.
pub fn adds_nothing(facts: &Facts, before: &Known, staged: &BTreeSet<RetryId>, died_after: &str) -> Result<(), String> {
    let upto = if staged.is_empty() { before.lsn } else { before.lsn.next() };
    let is_loaded =
        |retry: &RetryId, it: &Decision| staged.contains(retry) && matches!(it.outcome, Outcome::Committed { .. });
    let is_new = |retry: &RetryId, it: &Decision| it.lsn > upto || (it.lsn > before.lsn && is_loaded(retry, it));
    let new = facts.decisions.iter().find(|(retry, decision)| is_new(retry, decision));
    match new {
        None => Ok(()),
        Some((retry, decision)) => Err(format!(
            "the node died after `{died_after}`, before the decision, and transaction {:x} is committed at {:?}",
            retry.0, decision.lsn
        )),
    }
}

/// D7: which versions were given is not forgotten.
pub fn keeps_the_floor(before: &Facts, now: &Facts) -> Result<(), String> {
    if now.version_floor >= before.version_floor {
        return Ok(());
    }
    Err(format!("versions began above {:?}, they begin above {:?}", before.version_floor, now.version_floor))
}

/// D7: nothing was under way, and so nothing has changed.
pub fn is_the_same(before: &Facts, now: &Facts) -> Result<(), String> {
    let floor = before.version_floor.max(now.version_floor);
    let (before, now) = (audit::lasting(before, floor), audit::lasting(now, floor));
    if before == now { Ok(()) } else { Err(format!("it was {before:?}, it is {now:?}")) }
}

/// D4: recovery has swept what votes and flushes left behind.
pub fn has_swept(files: &[String], facts: &Facts) -> Result<(), String> {
    let unnamed = |path: &str| path.starts_with("segments/") && !facts.segments.iter().any(|named| named == path);
    let temporary = |path: &str| path.rsplit_once('.').is_some_and(|(_, last)| last == "tmp");
    let of_archive =
        |path: &str| path.strip_prefix("archive/").is_some_and(|no| no.parse().ok() != facts.archive.named);
    let is_left = |path: &&str| temporary(path) || unnamed(path) || of_archive(path);
    let left: Vec<&str> = files.iter().map(String::as_str).filter(is_left).collect();
    if left.is_empty() { Ok(()) } else { Err(format!("left after recovery: {}", left.join(" "))) }
}
