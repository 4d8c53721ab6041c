//! A set of small numbers: which operations a configuration has already placed.
//!
//! Invariant: the last word is never zero. Equal sets are therefore equal values, and the empty set owns no memory.

#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Bits {
    words: Vec<u64>,
}

impl Bits {
    pub(super) fn contains(&self, member: usize) -> bool {
        self.words.get(member / 64).is_some_and(|word| word >> (member % 64) & 1 == 1)
    }

    pub(super) fn insert(&mut self, member: usize) {
        if self.words.len() <= member / 64 {
            self.words.resize(member / 64 + 1, 0);
        }
        self.words[member / 64] |= 1 << (member % 64);
    }

    pub(super) fn remove(&mut self, member: usize) {
        if let Some(word) = self.words.get_mut(member / 64) {
            *word &= !(1 << (member % 64));
        }
        while self.words.last() == Some(&0) {
            self.words.pop();
        }
    }

    pub(super) fn len(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    pub(super) fn is_subset_of(&self, other: &Self) -> bool {
        self.words.len() <= other.words.len()
            && self.words.iter().zip(&other.words).all(|(ours, theirs)| ours & !theirs == 0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn bits(members: &BTreeSet<usize>) -> Bits {
        let mut bits = Bits::default();
        for &member in members {
            bits.insert(member);
        }
        bits
    }

    proptest! {
        #[test]
        fn agrees_with_an_ordinary_set(
            mut left in prop::collection::btree_set(0usize..200, 0..8),
            right in prop::collection::btree_set(0usize..200, 0..8),
            removed in prop::collection::vec(0usize..200, 0..200),
        ) {
            prop_assert_eq!(bits(&left).is_subset_of(&bits(&right)), left.is_subset(&right));
            prop_assert!(bits(&left).is_subset_of(&bits(&left.union(&right).copied().collect())));
            let mut ours = bits(&left);
            prop_assert_eq!(ours.len(), left.len());
            for member in removed {
                prop_assert_eq!(ours.contains(member), left.contains(&member));
                ours.remove(member);
                left.remove(&member);
            }
            prop_assert_eq!(ours, bits(&left));
        }
    }
}
