//! A sequence of random values for one purpose: a suite's configuration, a client's next operation.
//!
//! Unlike the world's keyed draws these are sequential, which is right where the whole result is written to the plan:
//! a plan holds the operations and the configuration themselves.

use super::mix::mix;

/// A small seeded generator. The same seed and label give the same sequence on every machine.
#[derive(Clone, Debug)]
pub struct Dice {
    state: u64,
    count: u64,
}

impl Dice {
    /// The sequence of a seed for one purpose.
    pub fn new(seed: u64, label: u64) -> Self {
        Dice { state: mix(seed, label), count: 0 }
    }

    /// The next 64 random bits.
    pub fn word(&mut self) -> u64 {
        self.count += 1;
        mix(self.state, self.count)
    }

    /// A number below `bound`, which must not be 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "nothing is below 0");
        ((u128::from(self.word()) * u128::from(bound)) >> 64) as u64
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// Whether something of this percentage happens.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of a list that must not be empty.
    pub fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len() as u64) as usize]
    }

    /// A float from -1 to 1.
    pub fn unit(&mut self) -> f32 {
        (self.word() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }
}
