//! One way to mix 64-bit words, for draws, trace hashes and maps whose keys are already well mixed.
//!
//! Folded multiplication (the high and the low half of a 128-bit product): two or three instructions on any 64-bit
//! machine, the same result on all. Not for secrets.

/// Mixes two words into one.
#[inline]
pub(crate) const fn mix(a: u64, b: u64) -> u64 {
    let product = (a ^ 0x9e37_79b9_7f4a_7c15) as u128 * (b ^ 0xd6e8_feb8_6659_fd93) as u128;
    (product as u64) ^ ((product >> 64) as u64) ^ a.rotate_left(23)
}

/// Mixes a string of bytes into a word. The length counts, so that no padding can be mistaken for content.
pub(crate) fn mix_bytes(seed: u64, bytes: &[u8]) -> u64 {
    let (chunks, rest) = bytes.as_chunks::<8>();
    let mut hash = mix(seed, bytes.len() as u64);
    for chunk in chunks {
        hash = mix(hash, u64::from_le_bytes(*chunk));
    }
    if rest.is_empty() {
        return hash;
    }
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    mix(hash, u64::from_le_bytes(last))
}

/// Hashes what is formatted into it, without building the string.
pub(crate) struct Formatted(pub(crate) u64);

impl std::fmt::Write for Formatted {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0 = mix_bytes(self.0, text.as_bytes());
        Ok(())
    }
}

/// For maps whose keys were mixed already. Such a map is looked up in, never iterated: its order means nothing.
#[derive(Clone, Copy, Default)]
pub(crate) struct Identity(u64);

impl std::hash::Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = mix_bytes(self.0, bytes);
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = word;
    }
}

/// A map from mixed words; see [`Identity`].
#[expect(clippy::disallowed_types, reason = "its hasher is fixed and it is never iterated")]
pub(crate) type MixedMap<V> = std::collections::HashMap<u64, V, std::hash::BuildHasherDefault<Identity>>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_inputs_give_unrelated_words() {
        let words: Vec<u64> = (0..1000).map(|n| mix(7, n)).collect();
        for bit in 0..64 {
            let ones = words.iter().filter(|word| *word >> bit & 1 == 1).count();
            assert!((400..600).contains(&ones), "bit {bit} is set in {ones} of 1000");
        }
    }

    #[test]
    fn padding_is_not_content() {
        assert_ne!(mix_bytes(0, b"a"), mix_bytes(0, b"a\0"));
        assert_ne!(mix_bytes(0, b""), mix_bytes(0, b"\0\0\0\0\0\0\0\0"));
    }
}
