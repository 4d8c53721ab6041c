//! The trace: everything that happened in a run, as one hash, and in words for whoever wants to read it.
//!
//! Two runs are the same run if their hashes agree. The hash covers numbers only, never pointers, never addresses of
//! tables; the words are built only when somebody asked for them, and cannot change the hash.

use std::fmt::{self, Write as _};

use super::{
    mix::{Formatted, mix},
    span::Time,
};

/// What kind of thing happened. The number is part of the hash.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Happened {
    /// A client asked something.
    Invoked,
    /// A client took a reply for the answer, or as a reason to try again.
    Replied,
    /// A client gave up.
    GaveUp,
    /// A request or a message arrived at a node.
    Delivered,
    /// It found nobody there.
    Lost,
    /// A disk call, or a point.
    DiskCall,
    /// A disk call failed.
    DiskError,
    /// A node is up.
    Booted,
    /// A node did not start.
    BootFailed,
    /// A node died.
    Died,
    /// A node had an effect: a reply, a message, a job, its end.
    Effect,
    /// A node noted something.
    Note,
    /// A query had a turn.
    Query,
    /// A job had a turn.
    Job,
    /// A fault struck a node, its machine or its disk.
    Fault,
    /// All was healed.
    Healed,
    /// The run was over.
    Ended,
    /// A fault struck a message.
    Disturbed,
}

/// Where something happened.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Lane {
    /// Everywhere.
    World,
    /// At a client.
    Client(u32),
    /// Between two ends.
    Network,
    /// At a node.
    Node(u32),
    /// Beside a node: its queries and jobs.
    Beside(u32),
}

/// One event of a trace, in words and in numbers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    /// When, in simulated nanoseconds.
    pub at: u64,
    /// The hash of the trace up to and with it.
    pub hash: u64,
    /// What kind of thing it was.
    pub what: Happened,
    /// Where.
    pub lane: Lane,
    /// What else tells it from others. First the operation, of an invocation, of a request that arrives, and of a reply
    /// that does; of a reply that leaves, `[0, operation]`. A message leaves with `[1, hash]` and arrives with
    /// `[u64::MAX, hash]`: the same hash of its content and of where it goes, unless it was damaged on the way.
    pub detail: [u64; 2],
    /// In words.
    pub words: String,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>12} {:016x} {}", Time(self.at).to_string(), self.hash, self.words)
    }
}

impl Happened {
    fn lane(self, who: u64) -> Lane {
        let who = who as u32;
        match self {
            Happened::Invoked | Happened::Replied | Happened::GaveUp => Lane::Client(who),
            Happened::Disturbed => Lane::Network,
            Happened::Query | Happened::Job => Lane::Beside(who),
            Happened::Healed | Happened::Ended => Lane::World,
            Happened::Delivered
            | Happened::Lost
            | Happened::DiskCall
            | Happened::DiskError
            | Happened::Booted
            | Happened::BootFailed
            | Happened::Died
            | Happened::Effect
            | Happened::Note
            | Happened::Fault => Lane::Node(who),
        }
    }
}

/// The trace of one run.
pub(crate) struct Trace {
    hash: u64,
    lines: Option<Vec<Line>>,
}

impl Trace {
    /// A trace that keeps its words only if asked to.
    pub(crate) fn new(worded: bool) -> Self {
        Trace { hash: 0, lines: worded.then(Vec::new) }
    }

    /// Adds an event: who, and up to two numbers that tell it from others.
    #[inline]
    pub(crate) fn add(&mut self, now: u64, what: Happened, who: u64, detail: [u64; 2], words: impl FnOnce() -> String) {
        let hash = mix(self.hash ^ now, what as u64 ^ who << 8);
        self.hash = mix(mix(hash, detail[0]), detail[1]);
        if let Some(lines) = &mut self.lines {
            let (hash, lane) = (self.hash, what.lane(who));
            lines.push(Line { at: now, hash, what, lane, detail, words: words() });
        }
    }

    /// The hash so far.
    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    /// The events, empty unless they were asked for.
    pub(crate) fn into_lines(self) -> Vec<Line> {
        self.lines.unwrap_or_default()
    }
}

/// Hashes a value through its debug form, which names every field.
pub(crate) fn debug_hash(value: &impl std::fmt::Debug) -> u64 {
    let mut hash = Formatted(0);
    // Hashing what is formatted cannot fail; a `Debug` that fails by itself is hashed up to where it failed.
    let _ = write!(hash, "{value:?}");
    hash.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_do_not_change_the_hash_and_are_not_built_unasked() {
        let mut plain = Trace::new(false);
        let mut worded = Trace::new(true);
        for n in 0..3 {
            plain.add(n, Happened::Effect, 1, [n, 2], || unreachable!("nobody asked"));
            worded.add(n, Happened::Effect, 1, [n, 2], || format!("effect {n}"));
        }
        assert_eq!(plain.hash(), worded.hash());
        assert_eq!(worded.into_lines().len(), 3);
    }

    #[test]
    fn order_time_and_detail_all_count() {
        let run = |events: &[(u64, u64)]| {
            let mut trace = Trace::new(false);
            for (now, detail) in events {
                trace.add(*now, Happened::Effect, 1, [*detail, 0], String::new);
            }
            trace.hash()
        };
        let hashes = [run(&[(1, 1), (1, 2)]), run(&[(1, 2), (1, 1)]), run(&[(1, 1), (2, 2)]), run(&[(1, 1)])];
        for (n, hash) in hashes.iter().enumerate() {
            assert!(!hashes[..n].contains(hash));
        }
    }
}
