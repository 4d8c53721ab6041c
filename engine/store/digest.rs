//! What a file or a vote is recognised by: 128 bits of XXH3 over its bytes.
//!
//! A digest guards against accidents: another attempt's file under the same name, a stale one, rot. It is no defence
//! against someone who forges files.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use xxhash_rust::xxh3::{Xxh3Default, xxh3_128};

/// A digest of some bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; Digest::LEN]);

/// Computes a [`Digest`] of bytes that come in parts.
#[derive(Default)]
pub struct DigestBuilder(Xxh3Default);

impl Digest {
    /// Its length in bytes.
    pub const LEN: usize = 16;

    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Digest {
        Digest(xxh3_128(bytes).to_le_bytes())
    }
}

impl DigestBuilder {
    /// Goes on with more bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all the bytes.
    pub fn finish(&self) -> Digest {
        Digest(self.0.digest128().to_le_bytes())
    }
}

impl fmt::Display for Digest {
    /// 32 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let digits = u128::from_str_radix(&text, 16).map_err(D::Error::custom)?;
        if text.len() != 2 * Digest::LEN || text.starts_with('+') {
            return Err(D::Error::custom("a digest has 32 hexadecimal digits"));
        }
        Ok(Digest(digits.to_be_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_read_from_32_hexadecimal_digits_and_nothing_else() {
        let digest = Digest([0xab; 16]);
        let text = serde_json::to_string(&digest).expect("written");
        assert_eq!(serde_json::from_str::<Digest>(&text).ok(), Some(digest));
        for wrong in ["\"ab\"", &text.replacen('a', "+", 1), &text.replacen('a', "g", 1), "7"] {
            assert!(serde_json::from_str::<Digest>(wrong).is_err(), "{wrong}");
        }
    }
}
