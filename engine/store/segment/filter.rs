//! A Bloom filter over ids: says of most ids that are not in a segment that they are not.
//!
//! Ten bits for each id and seven probes: about one foreign id in 120 passes (Bloom 1970; the two halves of one hash give
//! all probes, after Kirsch and Mitzenmacher 2006).

use xxhash_rust::xxh3::xxh3_64;

use crate::ids::RecordId;

/// Bits for each id.
const BITS_EACH: u64 = 10;
/// How many of them are set for an id.
const PROBES: u64 = 7;

/// See the file's description.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Filter(Box<[u8]>);

impl Filter {
    /// An empty filter for so many ids.
    pub fn for_entries(entries: u64) -> Filter {
        Filter(vec![0; Filter::bytes_for(entries) as usize].into())
    }

    /// How long the filter of so many ids is, in bytes.
    pub fn bytes_for(entries: u64) -> u64 {
        (entries.max(1) * BITS_EACH).div_ceil(8)
    }

    /// The filter that was written as these bytes, at least one.
    pub fn of_bytes(bytes: &[u8]) -> Filter {
        assert!(!bytes.is_empty(), "a filter has bits");
        Filter(bytes.into())
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Has it pass an id.
    pub fn add(&mut self, id: RecordId) {
        for bit in probes(self.bits(), id) {
            self.0[(bit / 8) as usize] |= 1 << (bit % 8);
        }
    }

    /// Whether the id may have been added. If not, it was not.
    pub fn passes(&self, id: RecordId) -> bool {
        probes(self.bits(), id).all(|bit| self.0[(bit / 8) as usize] & 1 << (bit % 8) != 0)
    }

    fn bits(&self) -> u64 {
        self.0.len() as u64 * 8
    }
}

fn probes(bits: u64, id: RecordId) -> impl Iterator<Item = u64> {
    let hash = xxh3_64(&id.0.to_le_bytes());
    // Odd, so that it shares no factor with the halves' range and the probes of an id differ.
    let (first, step) = (hash & 0xffff_ffff, hash >> 32 | 1);
    (0..PROBES).map(move |probe| (first + probe * step) % bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_was_added_passes_and_little_else_does() {
        let mut filter = Filter::for_entries(10_000);
        (0..10_000).for_each(|id| filter.add(RecordId(id * 7)));
        assert!((0..10_000).all(|id| filter.passes(RecordId(id * 7))));
        let foreign = (0..70_000).filter(|id| id % 7 != 0 && filter.passes(RecordId(*id))).count();
        assert!(foreign < 60_000 / 50, "{foreign} of 60,000 pass");
    }

    #[test]
    fn it_comes_back_from_its_bytes() {
        let mut filter = Filter::for_entries(3);
        filter.add(RecordId(u64::MAX));
        assert_eq!(Filter::of_bytes(filter.bytes()), filter);
        assert_eq!(filter.bytes().len() as u64, Filter::bytes_for(3));
    }

    /// Another probe is another format: filters that were written would let nothing pass.
    #[test]
    fn its_bits_are_those_of_the_format() {
        let mut filter = Filter::for_entries(5);
        (1..=5).for_each(|id| filter.add(RecordId(id)));
        let bits: Vec<_> = filter.bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(bits.concat(), "0f9a3de4f16fc0");
    }

    #[test]
    fn the_filter_of_nothing_passes_nothing() {
        assert!(!Filter::for_entries(0).passes(RecordId(1)));
    }
}
