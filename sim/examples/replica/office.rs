//! What a leader keeps: how far each of the others is, and when it last heard from them.

use std::collections::{BTreeMap, BTreeSet};

use stormproof_contract::{NodeId, RequestId, Tick};

/// A leader's office, for one term.
pub(super) struct Office {
    /// The index of its first entry. Once that is committed, all that was committed before is known to be.
    pub(super) first: u64,
    pub(super) peers: BTreeMap<NodeId, Peer>,
    /// Who asked for the entry at an index.
    pub(super) waiting: BTreeMap<u64, RequestId>,
}

/// What a leader knows of another node.
#[derive(Clone, Copy)]
pub(super) struct Peer {
    /// The index of the next entry to send. A guess.
    pub(super) next: u64,
    /// Up to where its log is known to be the leader's, on disk.
    matched: u64,
    /// When the newest message left that it has answered, by the clock of leases.
    answered: Option<Tick>,
}

/// How many nodes are a majority of a node and so many peers.
pub(super) fn majority(peers: usize) -> usize {
    peers.div_ceil(2) + 1
}

impl Office {
    /// Nothing is known yet but where the leader's log ends.
    pub(super) fn new(peers: &BTreeSet<NodeId>, last_index: u64) -> Self {
        let peer = Peer { next: last_index + 1, matched: 0, answered: None };
        let peers = peers.iter().map(|&id| (id, peer)).collect();
        Office { first: last_index + 1, peers, waiting: BTreeMap::new() }
    }

    /// Up to which index a majority has the log on disk, the leader up to `own`.
    pub(super) fn held_by_majority(&self, own: u64) -> u64 {
        let mut held: Vec<u64> = self.peers.values().map(|peer| peer.matched).collect();
        held.push(own);
        held.sort_unstable_by(|a, b| b.cmp(a));
        held[majority(self.peers.len()) - 1]
    }

    /// The latest time of which so many peers have answered something sent since, that they and the leader are a
    /// majority.
    pub(super) fn answered_by_majority(&self) -> Option<Tick> {
        let mut answered: Vec<Option<Tick>> = self.peers.values().map(|peer| peer.answered).collect();
        answered.sort_unstable_by(|a, b| b.cmp(a));
        answered[majority(self.peers.len()) - 2]
    }
}

impl Peer {
    /// Takes an answer in. It may be old: nothing here goes back but the guess.
    pub(super) fn hear(&mut self, stamp: u64, fits: bool, index: u64) {
        self.answered = self.answered.max(Some(Tick(stamp)));
        if fits {
            self.matched = self.matched.max(index);
            self.next = self.next.max(index + 1);
        } else {
            self.next = self.next.min(index + 1).max(self.matched + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn office(nodes: u32) -> Office {
        Office::new(&(1..nodes).map(NodeId).collect(), 0)
    }

    #[test]
    fn a_majority_is_more_than_half() {
        assert_eq!([1, 2, 3, 4].map(majority), [2, 2, 3, 3]);
    }

    #[test]
    fn an_entry_is_held_by_a_majority_once_enough_peers_have_matched_it() {
        let mut office = office(5);
        for (peer, matched) in [(1, 7), (2, 5), (3, 2)] {
            office.peers.get_mut(&NodeId(peer)).unwrap().hear(1, true, matched);
        }
        assert_eq!(office.held_by_majority(9), 5);
    }

    #[test]
    fn a_lease_counts_from_what_the_slowest_of_a_majority_has_answered() {
        let mut office = office(5);
        assert_eq!(office.answered_by_majority(), None);
        office.peers.get_mut(&NodeId(4)).unwrap().hear(90, true, 0);
        assert_eq!(office.answered_by_majority(), None, "two of five are no majority");
        office.peers.get_mut(&NodeId(2)).unwrap().hear(70, false, 0);
        assert_eq!(office.answered_by_majority(), Some(Tick(70)));
    }

    #[test]
    fn an_old_answer_takes_nothing_back() {
        let mut office = office(3);
        let peer = office.peers.get_mut(&NodeId(1)).unwrap();
        peer.hear(50, true, 6);
        peer.hear(20, false, 1);
        assert_eq!((peer.next, peer.matched, peer.answered), (7, 6, Some(Tick(50))));
    }
}
