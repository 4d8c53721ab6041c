//! What the toy knows, as words.

use std::collections::{BTreeMap, BTreeSet};

use stormproof_contract::OpId;

/// A write, as a frame of the log has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Write {
    pub(super) op: OpId,
    /// The token to add, or 0 to empty the lists.
    pub(super) token: u64,
    pub(super) keys: Vec<u64>,
}

/// The lists, and which operations made them: what is done is not done again.
#[derive(Clone, Default)]
pub(super) struct State {
    pub(super) lists: BTreeMap<u64, Vec<u64>>,
    pub(super) done: BTreeSet<OpId>,
}

impl Write {
    pub(super) fn encode(&self) -> Vec<u64> {
        [&[self.op.0, self.token], &self.keys[..]].concat()
    }

    pub(super) fn decode(words: &[u64]) -> Option<Write> {
        let (&[op, token], keys) = words.split_first_chunk()?;
        Some(Write { op: OpId(op), token, keys: keys.into() })
    }
}

impl State {
    pub(super) fn apply(&mut self, write: &Write) {
        self.done.insert(write.op);
        for key in &write.keys {
            let list = self.lists.entry(*key).or_default();
            match write.token {
                0 => list.clear(),
                token => list.push(token),
            }
        }
    }

    /// What the list holds; nothing where there is none.
    pub(super) fn list(&self, key: u64) -> Vec<u64> {
        self.lists.get(&key).cloned().unwrap_or_default()
    }

    /// How many operations, these; then for each list its key, its length and its tokens.
    pub(super) fn encode(&self) -> Vec<u64> {
        let mut words = vec![self.done.len() as u64];
        words.extend(self.done.iter().map(|op| op.0));
        for (key, list) in &self.lists {
            words.extend([*key, list.len() as u64]);
            words.extend(list);
        }
        words
    }

    pub(super) fn decode(words: &[u64]) -> Option<State> {
        let (&done, words) = words.split_first()?;
        let (done, mut words) = words.split_at_checked(usize::try_from(done).ok()?)?;
        let mut lists = BTreeMap::new();
        while let Some((&[key, len], rest)) = words.split_first_chunk() {
            let (list, rest) = rest.split_at_checked(usize::try_from(len).ok()?)?;
            lists.insert(key, list.to_vec());
            words = rest;
        }
        words.is_empty().then(|| State { lists, done: done.iter().copied().map(OpId).collect() })
    }
}
