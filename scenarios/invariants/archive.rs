//! The archive: which generation is served, what is in it, and that a rebuild ends.

use stormproof_engine::memory::{ArchiveFacts, Facts, Lsn, RecordId, Version};
use stormproof_sim::world::stage::Findings;

use super::claims::{S1, S2};

/// What was seen of it so far.
#[derive(Default)]
pub struct Archive {
    last: ArchiveFacts,
    /// The last frame, then.
    lsn: Lsn,
    /// The newest generation that was ever served.
    newest: Option<u64>,
    /// Whether a search, or a boot, was said to have found a generation damaged; and whether that is the one that was served last.
    noted_damage: bool,
    dropped: bool,
}

impl Archive {
    /// The node has noted something.
    pub fn noted(&mut self, name: &str) {
        self.noted_damage |= name == "archive.damaged";
        self.dropped |= name == "archive.damaged";
    }

    /// The node has settled.
    pub fn settled(&mut self, facts: &Facts, findings: &mut Findings) {
        findings.check(&S1, "the generation served is not the one in force", self.is_one(&facts.archive));
        findings.check(&S2, "a mark without a rebuild", marked_if_rebuilding(&facts.archive));
        if facts.archive.generation.is_some() && facts.archive.generation != self.last.generation {
            findings.reach(if self.last.generation.is_some() {
                "a generation replaced another"
            } else {
                "a generation is served"
            });
        }
        if facts.archive.generation.is_some() {
            (self.newest, self.dropped) = (self.newest.max(facts.archive.generation), false);
        }
        (self.last, self.lsn) = (facts.archive.clone(), facts.lsn);
    }

    /// The node has booted; `damaged` says whether the disk has done what it must not.
    pub fn booted(&mut self, facts: &Facts, damaged: bool, findings: &mut Findings) {
        if self.noted_damage && !damaged {
            findings.broken(&S1, "a generation is dropped", "it is said to be damaged, and nothing has damaged it");
        }
        // What is damaged is noted only when the node settles.
        if !damaged {
            findings.check(&S1, "the generation served is not the one in force", self.is_one(&facts.archive));
        }
        findings.check(&S2, "a mark without a rebuild", marked_if_rebuilding(&facts.archive));
        // Only a frame takes a mark back.
        let forgotten = self.last.marked && !facts.archive.marked && facts.lsn == self.lsn;
        let kept = if forgotten { Err(format!("as of {} a rebuild was under way", self.lsn)) } else { Ok(()) };
        findings.check(&S2, "a mark is forgotten", kept);
        (self.last, self.lsn) = (facts.archive.clone(), facts.lsn);
    }

    /// The run is over; `damaged` as above.
    pub fn ended(&self, facts: &Facts, damaged: bool, findings: &mut Findings) {
        if self.noted_damage && !damaged {
            findings.broken(&S1, "a generation is dropped", "it is said to be damaged, and nothing has damaged it");
        }
        let over = !facts.archive.rebuilding && !facts.archive.marked;
        let words = || format!("marked: {}, at it: {}", facts.archive.marked, facts.archive.rebuilding);
        findings.check(&S2, "a rebuild does not end", if over { Ok(()) } else { Err(words()) });
    }

    /// S1: what is served is what the manifest names, and never older than before, unless it is damaged, or could not be read.
    fn is_one(&self, now: &ArchiveFacts) -> Result<(), String> {
        let excused = now.generation.is_none() && (self.dropped || now.unread);
        if now.generation != now.named && !excused {
            return Err(format!("it serves {:?}, the manifest names {:?}", now.generation, now.named));
        }
        if now.generation < self.newest && !excused {
            return Err(format!("it served {:?}, it serves {:?}", self.newest, now.generation));
        }
        Ok(())
    }
}

/// S2: a mark stands for a rebuild that the node is at, and there is none without one.
fn marked_if_rebuilding(now: &ArchiveFacts) -> Result<(), String> {
    if now.marked == now.rebuilding {
        return Ok(());
    }
    Err(format!("marked by what was decided: {}; the node is at it: {}", now.marked, now.rebuilding))
}

/// S2: the generation served has every record that was live as of the frame it is said to be built as of, and no other.
pub fn is_complete(facts: &Facts, live: impl Fn(Lsn) -> Vec<(RecordId, Version)>) -> Result<(), String> {
    if facts.archive.generation.is_none() {
        return Ok(());
    }
    let there = live(facts.archive.built);
    if there == facts.archive.records {
        return Ok(());
    }
    Err(format!("as of {} it has {:?}, there was {there:?}", facts.archive.built, facts.archive.records))
}
