//! By which rules memory is consolidated.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stormproof_contract::WallTime;

use crate::{
    ids::RecordId,
    store::{Link, Record},
};

/// An attribute: a record that has it is never pruned.
pub const PINNED: &str = "pinned";
/// An attribute of prototypes: of how many members each was made.
pub const PROTOTYPE: &str = "prototype";
/// Prototypes have ids from here on, so that a pass can find them without reading all others.
pub const PROTOTYPES_FROM: RecordId = RecordId(1 << 63);

/// What a pass does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pass {
    /// What was active becomes firmer, and links learn what follows what.
    Nrem,
    /// Records that are near each other get a prototype.
    Rem,
    /// What never became firm, and nothing needs, goes.
    Prune,
}

/// The rules, and their parameters.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConsolidationRules {
    /// How much of what it lacks to 1 an activation adds to kappa: 0 to 1.
    pub kappa_gain: f32,
    /// How much of what it lacks to 1, or has, an activation in turn adds to the weight of a link, or takes from it, if the
    /// two come next to each other: 0 to 1. Half of it at each place more between them.
    pub link_gain: f32,
    /// How many places apart two records of an episode may be to tell a link something.
    pub reach: u32,
    /// NREM begins once so many episodes wait. 0: only when asked for.
    pub nrem_episodes: u32,
    /// REM looks at records of at least this kappa.
    pub rem_kappa_min: f32,
    /// So near, by the node's metric, a record must be to the first of a cluster to belong to it.
    pub rem_radius: f32,
    /// So many make a prototype.
    pub rem_members_min: u32,
    /// How often REM is done, in milliseconds, if anything was written since. 0: only when asked for.
    pub rem_every_ms: u64,
    /// Records of a lower kappa are pruned: at most [`rem_kappa_min`](Self::rem_kappa_min), so that a prototype, which is as firm
    /// as its members, is not made again and again. 0: none are.
    pub prune_kappa: f32,
    /// But only once they are this old, in milliseconds.
    pub prune_age_ms: u64,
    /// How often is pruned, in milliseconds, if anything was written since, or has come of age. 0: only when asked for.
    pub prune_every_ms: u64,
}

impl Default for ConsolidationRules {
    /// Nothing is done unless it is asked for, and nothing is pruned that is younger than 30 days.
    fn default() -> Self {
        ConsolidationRules {
            kappa_gain: 0.1,
            link_gain: 0.1,
            reach: 8,
            nrem_episodes: 0,
            rem_kappa_min: 0.3,
            rem_radius: 0.25,
            rem_members_min: 3,
            rem_every_ms: 0,
            prune_kappa: 0.05,
            prune_age_ms: 30 * 24 * 3600 * 1000,
            prune_every_ms: 0,
        }
    }
}

impl ConsolidationRules {
    /// Kappa after one more activation.
    pub fn firmer(&self, kappa: f32) -> f32 {
        kappa + self.kappa_gain * (1.0 - kappa).max(0.0)
    }

    /// The weight of a link after both of its ends were active in one episode: that it leads to `after` places after that it
    /// leads from, or before, if that is negative. The nearer, the more; what comes after is expected, what came before is not.
    pub fn timed(&self, weight: f32, after: i32) -> f32 {
        let apart = after.unsigned_abs();
        if apart == 0 || apart > self.reach {
            return weight;
        }
        // Halved as often as is exact.
        let gain = self.link_gain / (1_u64 << (apart - 1).min(62)) as f32;
        let moved = if after > 0 { weight + gain * (1.0 - weight) } else { weight - gain * weight };
        moved.clamp(0.0, 1.0)
    }

    /// Whether a record may be pruned for what it is, if it was made up to `before`; that nothing links to it is another matter.
    pub fn lets_go(&self, record: &Record, before: WallTime) -> bool {
        record.kappa < self.prune_kappa && record.created_at <= before && !record.attributes.contains_key(PINNED)
    }
}

/// What a record was told by episodes, in their order.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Trace {
    activations: u32,
    /// Which record was active, how many places after this one, each time.
    others: BTreeMap<RecordId, Vec<i32>>,
}

impl Trace {
    /// Adds what the record at `at` of an episode is told by it.
    pub(super) fn add(&mut self, episode: &[RecordId], at: usize, rules: &ConsolidationRules) {
        self.activations += 1;
        let reach = rules.reach as usize;
        let near = at.saturating_sub(reach)..episode.len().min(at.saturating_add(reach).saturating_add(1));
        let place = |at: usize| i32::try_from(at).unwrap_or(i32::MAX);
        for other in near.filter(|other| *other != at) {
            self.others.entry(episode[other]).or_default().push(place(other) - place(at));
        }
    }

    /// The kappa and the links of a record that was told this.
    pub(super) fn applied(&self, record: &Record, rules: &ConsolidationRules) -> (f32, Vec<Link>) {
        let kappa = (0..self.activations).fold(record.kappa, |kappa, _| rules.firmer(kappa));
        let timed = |link: &Link| {
            let times = self.others.get(&link.to).into_iter().flatten();
            Link { weight: times.fold(link.weight, |weight, after| rules.timed(weight, *after)), ..*link }
        };
        (kappa, record.links.iter().map(timed).collect())
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "the exact number is the claim")]
mod tests {
    use super::*;

    const RULES: ConsolidationRules = ConsolidationRules {
        kappa_gain: 0.5,
        link_gain: 0.5,
        reach: 2,
        nrem_episodes: 0,
        rem_kappa_min: 0.0,
        rem_radius: 0.0,
        rem_members_min: 0,
        rem_every_ms: 0,
        prune_kappa: 0.25,
        prune_age_ms: 0,
        prune_every_ms: 0,
    };

    #[test]
    fn kappa_nears_one_and_never_falls() {
        assert_eq!(RULES.firmer(0.0), 0.5);
        assert_eq!(RULES.firmer(0.5), 0.75);
        assert_eq!([RULES.firmer(1.0), RULES.firmer(7.0), RULES.firmer(-1.0)], [1.0, 7.0, 0.0]);
    }

    #[test]
    fn a_link_gains_by_what_follows_and_loses_by_what_came_before_the_less_the_further() {
        assert_eq!([RULES.timed(0.5, 1), RULES.timed(0.5, 2), RULES.timed(0.5, 3)], [0.75, 0.625, 0.5]);
        assert_eq!([RULES.timed(0.5, -1), RULES.timed(0.5, -2), RULES.timed(0.5, -3)], [0.25, 0.375, 0.5]);
        assert_eq!([RULES.timed(0.5, 0), RULES.timed(1.0, 1), RULES.timed(0.0, -1)], [0.5, 1.0, 0.0]);
        let far = ConsolidationRules { reach: u32::MAX, ..RULES };
        assert_eq!([far.timed(0.5, i32::MAX), far.timed(0.5, i32::MIN)], [0.5, 0.5], "nothing overflows");
    }

    #[test]
    fn a_trace_is_told_of_what_is_near_in_its_episode() {
        let episode = [1, 2, 3, 4, 5].map(RecordId);
        let mut trace = Trace::default();
        trace.add(&episode, 3, &RULES);
        let others = [(2, -2), (3, -1), (5, 1)].map(|(id, after)| (RecordId(id), vec![after]));
        assert_eq!(trace, Trace { activations: 1, others: others.into() });
    }

    #[test]
    fn what_is_firm_or_young_or_pinned_is_not_let_go() {
        let record = |kappa, created_at, pinned: bool| Record {
            id: RecordId(1),
            version: crate::ids::Version(1),
            vector: Vec::new(),
            text: String::new(),
            attributes: pinned.then(|| (PINNED.to_owned(), String::new())).into_iter().collect(),
            links: Vec::new(),
            created_at: WallTime(created_at),
            kappa,
        };
        assert!(RULES.lets_go(&record(0.2, 9, false), WallTime(9)));
        for kept in [record(0.25, 9, false), record(0.2, 10, false), record(0.2, 9, true)] {
            assert!(!RULES.lets_go(&kept, WallTime(9)), "{kept:?}");
        }
    }
}
