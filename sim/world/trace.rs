//! The trace: everything that happened in a run, as one hash, and in words for whoever wants to read it.
//!
//! Two runs are the same run if their hashes agree. The hash covers numbers only, never pointers, never addresses of
//! tables; the words are built only when somebody asked for them, and cannot change the hash.

use std::fmt::Write as _;

use super::{
    mix::{Formatted, mix},
    span::Time,
};

/// What kind of thing happened. The number is part of the hash.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Happened {
    Invoked,
    Replied,
    GaveUp,
    Delivered,
    Lost,
    DiskCall,
    DiskError,
    Booted,
    BootFailed,
    Died,
    Effect,
    Note,
    Query,
    Job,
    Fault,
    Healed,
    Ended,
}

/// The trace of one run.
pub(crate) struct Trace {
    hash: u64,
    lines: Option<Vec<String>>,
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
            lines.push(format!("{:>12} {:016x} {}", Time(now).to_string(), self.hash, words()));
        }
    }

    /// The hash so far.
    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    /// The events in words, one a line, each with the hash up to and with it; empty unless they were asked for.
    pub(crate) fn into_lines(self) -> Vec<String> {
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
