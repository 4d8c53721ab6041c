//! What the committed entries do: registers, and the reply that each operation was given.
//!
//! A pure function of the log: nodes that applied as many entries hold the same. The replies are part of it, so a
//! request that arrives again, at whatever node and after whatever crash, is told what it was told before.

use std::collections::BTreeMap;

use stormproof_contract::OpId;

use super::{Bug, Op, Reply};

/// The registers after some number of entries.
pub(super) struct Machine {
    bug: Option<Bug>,
    registers: BTreeMap<u64, u64>,
    replies: BTreeMap<OpId, Reply>,
}

impl Machine {
    /// The registers before the first entry.
    pub(super) fn new(bug: Option<Bug>) -> Self {
        Machine { bug, registers: BTreeMap::new(), replies: BTreeMap::new() }
    }

    /// What a register holds.
    pub(super) fn read(&self, key: u64) -> u64 {
        self.registers.get(&key).copied().unwrap_or(0)
    }

    /// Does an operation, unless it was done before, and says how it was answered and whether it was new.
    pub(super) fn apply(&mut self, id: OpId, op: Op) -> (Reply, bool) {
        if self.bug != Some(Bug::AppliesTwice)
            && let Some(&reply) = self.replies.get(&id)
        {
            return (reply, false);
        }
        let reply = self.execute(op);
        self.replies.insert(id, reply);
        (reply, true)
    }

    /// A checksum over everything held.
    pub(super) fn digest(&self) -> u64 {
        let words = self.registers.iter().flat_map(|(key, value)| [*key, *value]);
        u64::from(words.fold(0, |crc, word| crc32c::crc32c_append(crc, &word.to_le_bytes())))
    }

    fn execute(&mut self, op: Op) -> Reply {
        match op {
            Op::Get { key } => Reply::Value(self.read(key)),
            Op::Put { key, value } => {
                self.registers.insert(key, value);
                Reply::Written
            }
            Op::Swap { key, expected, value } => {
                let fits = self.read(key) == expected;
                if fits {
                    self.registers.insert(key, value);
                }
                Reply::Swapped(fits)
            }
        }
    }
}
