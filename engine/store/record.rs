//! A record: what a memory item is made of, its bounds, its bytes and its JSON form.
//!
//! Bounds are checked when a record is accepted ([`Record::check`]) and again when one is read, so that a damaged
//! length cannot ask for more memory than the bytes it came in.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stormproof_contract::WallTime;

use super::{
    StoreError, StoreResult,
    codec::{Cursor, Flaw, put_f32s, put_text, put_u32, put_u64},
};
use crate::ids::{RecordId, Version};

/// The most components of a vector.
pub const COMPONENTS_MAX: usize = 65_536;
/// The longest text, in bytes.
pub const TEXT_BYTES_MAX: usize = 1 << 20;
/// The most attributes.
pub const ATTRIBUTES_MAX: usize = 256;
/// The longest name of an attribute, and the longest value, in bytes.
pub const ATTRIBUTE_BYTES_MAX: usize = 4096;
/// The most links.
pub const LINKS_MAX: usize = 65_536;

/// A link from a record to another.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// Where it leads. There need not be such a record.
    pub to: RecordId,
    /// How strong it is, from 0 to 1.
    #[serde(default = "Link::new_weight")]
    pub weight: f32,
}

impl Link {
    /// The bytes of one in the binary format.
    pub(crate) const BYTES: usize = 12;

    /// A link of the weight that new ones have: as much can be added to it as taken from it.
    pub const fn new(to: RecordId) -> Link {
        Link { to, weight: Link::new_weight() }
    }

    const fn new_weight() -> f32 {
        0.5
    }
}

/// A memory item.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Its name.
    pub id: RecordId,
    /// Which writing of it this is.
    pub version: Version,
    /// Its embedding.
    pub vector: Vec<f32>,
    /// What it says.
    pub text: String,
    /// What is known of it.
    pub attributes: BTreeMap<String, String>,
    /// Records it refers to.
    pub links: Vec<Link>,
    /// When it was created, by the wall clock of whoever did.
    #[serde(with = "wall_time_ns")]
    pub created_at: WallTime,
    /// How far it is consolidated: 0 is new.
    pub kappa: f32,
}

impl Record {
    /// Whether the format can hold it: sizes within their bounds, numbers finite, weights from 0 to 1.
    pub fn check(&self) -> StoreResult<()> {
        within("the vector's components", self.vector.len(), COMPONENTS_MAX)?;
        within("the text's bytes", self.text.len(), TEXT_BYTES_MAX)?;
        within("the attributes", self.attributes.len(), ATTRIBUTES_MAX)?;
        for (name, value) in &self.attributes {
            within("the bytes of an attribute's name", name.len(), ATTRIBUTE_BYTES_MAX)?;
            within("the bytes of an attribute's value", value.len(), ATTRIBUTE_BYTES_MAX)?;
        }
        within("the links", self.links.len(), LINKS_MAX)?;
        finite("component", &self.vector)?;
        finite("kappa", &[self.kappa])?;
        match self.links.iter().find(|link| !(0.0..=1.0).contains(&link.weight)) {
            Some(Link { to, weight }) => Err(StoreError::BadWeight { to: *to, weight: weight.to_string().into() }),
            None => Ok(()),
        }
    }

    /// The bytes it takes in the binary format; a fair measure of what it takes in memory.
    pub fn weight(&self) -> usize {
        let attributes: usize = self.attributes.iter().map(|(name, value)| 8 + name.len() + value.len()).sum();
        FIXED_BYTES + 4 * self.vector.len() + self.text.len() + attributes + Link::BYTES * self.links.len()
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_u64(out, self.id.0);
        put_u64(out, self.version.0);
        put_u64(out, self.created_at.0);
        put_u32(out, self.kappa.to_bits());
        put_u32(out, self.vector.len() as u32);
        put_f32s(out, &self.vector);
        put_text(out, &self.text);
        put_attributes(out, &self.attributes);
        put_u32(out, self.links.len() as u32);
        for link in &self.links {
            put_u64(out, link.to.0);
            put_u32(out, link.weight.to_bits());
        }
    }

    pub(super) fn decode(from: &mut Cursor<'_>) -> Result<Record, Flaw> {
        let begin = from.position();
        let id = RecordId(from.u64()?);
        let version = Version(from.u64()?);
        let created_at = WallTime(from.u64()?);
        let kappa = f32::from_bits(from.u32()?);
        let components = from.count("components", COMPONENTS_MAX, 4)?;
        let vector = from.f32s(components)?;
        let text = from.text(TEXT_BYTES_MAX)?.to_owned();
        let attributes = decode_attributes(from)?;
        let count = from.count("links", LINKS_MAX, Link::BYTES)?;
        let link = |from: &mut Cursor<'_>| Ok(Link { to: RecordId(from.u64()?), weight: f32::from_bits(from.u32()?) });
        let links = (0..count).map(|_| link(from)).collect::<Result<_, Flaw>>()?;
        let record = Record { id, version, vector, text, attributes, links, created_at, kappa };
        record.check().map_err(|error| Flaw::new(begin, "a record within its bounds", error.to_string()))?;
        Ok(record)
    }
}

/// The bytes of a record without its parts: id, version, time, kappa and four lengths.
const FIXED_BYTES: usize = 3 * 8 + 4 + 4 * 4;

/// The most bytes that the text and the attributes of a record take together.
pub(super) const FACTS_BYTES_MAX: usize = 4 + TEXT_BYTES_MAX + 4 + ATTRIBUTES_MAX * 2 * (4 + ATTRIBUTE_BYTES_MAX);

pub(super) fn put_attributes(out: &mut Vec<u8>, attributes: &BTreeMap<String, String>) {
    put_u32(out, attributes.len() as u32);
    for (name, value) in attributes {
        put_text(out, name);
        put_text(out, value);
    }
}

pub(super) fn decode_attributes(from: &mut Cursor<'_>) -> Result<BTreeMap<String, String>, Flaw> {
    let count = from.count("attributes", ATTRIBUTES_MAX, 8)?;
    let mut attributes = BTreeMap::new();
    for _ in 0..count {
        let begin = from.position();
        let name = from.text(ATTRIBUTE_BYTES_MAX)?.to_owned();
        let value = from.text(ATTRIBUTE_BYTES_MAX)?.to_owned();
        if attributes.insert(name, value).is_some() {
            return Err(Flaw::new(begin, "each attribute once", "an attribute again"));
        }
    }
    Ok(attributes)
}

/// That a size is within its bound.
pub(super) fn within(what: &'static str, found: usize, max: usize) -> StoreResult<()> {
    if found > max {
        return Err(StoreError::TooBig { what, found: found as u64, max: max as u64 });
    }
    Ok(())
}

fn finite(what: &'static str, numbers: &[f32]) -> StoreResult<()> {
    // Every commit asks this of every component: without an early exit it compiles to wide instructions.
    if numbers.iter().fold(true, |all, number| all & number.is_finite()) {
        return Ok(());
    }
    let at = numbers.iter().position(|number| !number.is_finite()).unwrap_or_default();
    Err(StoreError::NotFinite { what, at })
}

/// The contract's time has no JSON form of its own: nanoseconds since 1970.
mod wall_time_ns {
    use serde::{Deserialize, Deserializer, Serializer};
    use stormproof_contract::WallTime;

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
    pub(super) fn serialize<S: Serializer>(time: &WallTime, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(time.0)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<WallTime, D::Error> {
        u64::deserialize(from).map(WallTime)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_text_with_the_most_and_longest_attributes_is_as_long_as_the_bound_says() {
        let long = |at: usize| format!("{at:0ATTRIBUTE_BYTES_MAX$}");
        let mut out = Vec::new();
        put_text(&mut out, &"t".repeat(TEXT_BYTES_MAX));
        put_attributes(&mut out, &(0..ATTRIBUTES_MAX).map(|at| (long(at), long(at))).collect());
        assert_eq!(out.len(), FACTS_BYTES_MAX);
    }

    #[test]
    fn a_link_begins_in_the_middle_and_its_weight_is_a_share() {
        let new: Link = serde_json::from_str("{\"to\":7}").expect("a weight can be left out");
        assert_eq!(new, Link { to: RecordId(7), weight: 0.5 });
        assert_eq!(Link::new(RecordId(7)), new);
        let linked = |weight| Record { links: vec![Link { weight, ..new }], ..super::super::samples::record(1) };
        assert_eq!([0.0, 1.0].map(|weight| linked(weight).check()), [Ok(()), Ok(())]);
        for wrong in [-0.1, 1.1, f32::NAN] {
            let error = linked(wrong).check().expect_err("no share").to_string();
            assert!(error.contains("the link to record 7 has the weight"), "{error}");
        }
    }
}
