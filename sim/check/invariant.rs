//! What is claimed, what broke, and whether the run went near the danger at all.
//!
//! An *always* that was never in danger proves nothing, so each [`Claim`] is paired with *sometimes* probes: names
//! that the run must have reached. Counting is here; which probe belongs to which claim is decided by the suites.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// A named promise, as it stands in every report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Claim {
    /// Short and stable, as in `D1`.
    pub id: &'static str,
    /// The promise in one sentence.
    pub sentence: &'static str,
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.id, self.sentence)
    }
}

/// An *always* with the *sometimes* that show it was put to the test.
#[derive(Clone, Copy, Debug)]
pub struct Invariant {
    /// What always holds.
    pub claim: Claim,
    /// Probes that a run must have reached before the claim counts as tested.
    pub sometimes: &'static [&'static str],
}

impl Invariant {
    /// The probes that were never reached; while there are any, the claim is untested.
    pub fn unreached(&self, probes: &Probes) -> Vec<&'static str> {
        self.sometimes.iter().copied().filter(|name| probes.count(name) == 0).collect()
    }
}

/// A claim seen broken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// The id of the claim.
    pub claim: &'static str,
    /// How it broke, in a few words that stay the same while the case shrinks: no keys, values or times.
    pub kind: String,
    /// The whole evidence: which key, what was expected, what was seen.
    pub witness: String,
    /// When it was found, in ticks.
    pub at: u64,
}

impl Violation {
    /// A breach of `claim`, found at tick `at`.
    pub fn new(claim: &Claim, kind: impl Into<String>, witness: impl fmt::Display, at: u64) -> Self {
        Self { claim: claim.id, kind: kind.into(), witness: witness.to_string(), at }
    }

    /// What two runs share when they fail for the same reason.
    pub fn fingerprint(&self) -> String {
        format!("{}: {}", self.claim, self.kind)
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at tick {}\n{}", self.fingerprint(), self.at, self.witness)
    }
}

/// How often each *sometimes* was reached, in order of name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probes {
    counts: BTreeMap<String, u64>,
}

impl Probes {
    /// Counts one more visit to `name`.
    pub fn reach(&mut self, name: &str) {
        self.add(name, 1);
    }

    /// How often `name` was reached.
    pub fn count(&self, name: &str) -> u64 {
        self.counts.get(name).copied().unwrap_or(0)
    }

    /// Adds the counts of another run.
    pub fn merge(&mut self, other: &Self) {
        for (name, count) in other.iter() {
            self.add(name, count);
        }
    }

    /// Every probe that was reached, with its count, in order of name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.counts.iter().map(|(name, count)| (name.as_str(), *count))
    }

    fn add(&mut self, name: &str, visits: u64) {
        // Looked up first: a name is allocated once, and probes are reached in the hot path of a run.
        match self.counts.get_mut(name) {
            Some(count) => *count += visits,
            None => drop(self.counts.insert(name.to_owned(), visits)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DURABLE: Claim = Claim { id: "D1", sentence: "an acknowledged commit survives" };
    const INVARIANT: Invariant = Invariant { claim: DURABLE, sometimes: &["crashed in commit", "tail was torn"] };

    #[test]
    fn a_claim_is_untested_until_each_of_its_probes_was_reached() {
        let mut probes = Probes::default();
        probes.reach("tail was torn");
        assert_eq!(INVARIANT.unreached(&probes), ["crashed in commit"]);
        probes.reach("crashed in commit");
        assert!(INVARIANT.unreached(&probes).is_empty());
    }

    #[test]
    fn merging_probes_adds_counts_and_keeps_the_order_of_names() {
        let mut all = Probes::default();
        all.reach("b");
        let mut shard = Probes::default();
        shard.reach("a");
        shard.reach("b");
        all.merge(&shard);
        assert_eq!(all.iter().collect::<Vec<_>>(), [("a", 1), ("b", 2)]);
    }

    #[test]
    fn one_cause_seen_on_two_keys_has_one_fingerprint() {
        let on_a = Violation::new(&DURABLE, "lost commit", "key a: expected 3, found 2", 10);
        let on_b = Violation::new(&DURABLE, "lost commit", "key b: expected 9, found nothing", 99);
        assert_eq!(on_a.fingerprint(), on_b.fingerprint());
        let other = Violation::new(&DURABLE, "commit undone after reboot", "key a", 10);
        assert_ne!(on_a.fingerprint(), other.fingerprint());
    }
}
