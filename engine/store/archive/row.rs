//! The row of a record: its vector's components, as they are or rounded to 16 bits.
//!
//! A row of 16-bit floats is half as long, and says of a component about three digits: enough to tell which of some candidates are
//! the nearest, not how far they are. Whoever searches therefore reads those few from the ground truth ([`RowFormat::is_exact`]).

use std::{borrow::Cow, str::FromStr};

use half::{f16, slice::HalfFloatSliceExt as _};
use serde::{Deserialize, Serialize};

use super::PAGE_BYTES;
use crate::store::codec::{f32s, put_f32s};

/// Half of the step between the smallest 16-bit floats.
const TINY: f64 = 1.0 / (1 << 25) as f64;

/// How the components of a row are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RowFormat {
    /// As they are.
    #[default]
    F32,
    /// Rounded to the nearest 16-bit float of IEEE 754, ties to even: there is none beyond 65,504.
    F16,
}

impl RowFormat {
    /// Whether a row says exactly what the vector is.
    pub fn is_exact(self) -> bool {
        self == RowFormat::F32
    }

    /// The bytes of a row with so many components.
    pub fn row_bytes(self, components: u32) -> usize {
        let bytes = match self {
            RowFormat::F32 => 4,
            RowFormat::F16 => 2,
        };
        bytes * components as usize
    }

    /// The bytes from one row's begin to the next one's: as many rows as there is room for share a page.
    pub fn stride(self, components: u32) -> u64 {
        let row = self.row_bytes(components) as u64;
        match PAGE_BYTES / row {
            0 => row.next_multiple_of(512),
            in_a_page => PAGE_BYTES / in_a_page,
        }
    }

    /// How far a vector is at most, in the Euclidean norm, from what its row says.
    pub fn off(self, row: &[f32]) -> f64 {
        match self {
            RowFormat::F32 => 0.0,
            RowFormat::F16 => row.iter().map(|x| (f64::from(*x) / 2047.0).powi(2) + TINY.powi(2)).sum::<f64>().sqrt(),
        }
    }

    /// How people call it.
    pub fn name(self) -> &'static str {
        match self {
            RowFormat::F32 => "f32",
            RowFormat::F16 => "f16",
        }
    }

    /// How it is called in a footer.
    pub(super) fn number(self) -> u32 {
        match self {
            RowFormat::F32 => 1,
            RowFormat::F16 => 2,
        }
    }

    pub(super) fn of_number(number: u32) -> Option<RowFormat> {
        [RowFormat::F32, RowFormat::F16].into_iter().find(|format| format.number() == number)
    }

    /// What the row of a vector is going to say. Infinite is what there is no room for.
    pub fn rounded(self, vector: &[f32]) -> Cow<'_, [f32]> {
        match self {
            RowFormat::F32 => Cow::Borrowed(vector),
            RowFormat::F16 => Cow::Owned(vector.iter().map(|component| f16::from_f32(*component).to_f32()).collect()),
        }
    }

    /// Adds the row of a vector.
    pub(super) fn put(self, out: &mut Vec<u8>, vector: &[f32]) {
        match self {
            RowFormat::F32 => put_f32s(out, vector),
            RowFormat::F16 => {
                let mut halves = vec![f16::ZERO; vector.len()];
                halves.convert_from_f32_slice(vector);
                out.extend(halves.iter().flat_map(|half| half.to_le_bytes()));
            }
        }
    }

    /// Adds the components that a row says.
    pub(super) fn read(self, row: &[u8], vector: &mut Vec<f32>) {
        match self {
            RowFormat::F32 => vector.extend(f32s(row)),
            RowFormat::F16 => {
                let halves: Vec<f16> = row.as_chunks().0.iter().map(|two| f16::from_le_bytes(*two)).collect();
                let begin = vector.len();
                vector.resize(begin + halves.len(), 0.0);
                halves.convert_to_f32_slice(&mut vector[begin..]);
            }
        }
    }
}

impl FromStr for RowFormat {
    type Err = String;

    fn from_str(name: &str) -> Result<RowFormat, String> {
        let known = [RowFormat::F32, RowFormat::F16].into_iter().find(|format| format.name() == name);
        known.ok_or_else(|| "f32 or f16 expected".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_lies_on_as_few_pages_as_it_can() {
        let strides = |format: RowFormat, of: [u32; 6]| of.map(|components| format.stride(components));
        let of = [960, 128, 1024, 300, 1025, 3072];
        assert_eq!(strides(RowFormat::F32, of), [4096, 512, 4096, 1365, 4608, 12_288]);
        assert_eq!(strides(RowFormat::F16, of), [2048, 256, 2048, 682, 4096, 6144]);
    }

    #[test]
    fn a_row_of_halves_says_a_component_to_the_nearest_of_its_numbers() {
        let vector: Vec<f32> = (0..999).map(|n| (n as f32 - 500.0) * 0.37).chain([65_504.0, -0.0, 1e-7]).collect();
        let (mut row, mut back) = (Vec::new(), Vec::new());
        RowFormat::F16.put(&mut row, &vector);
        assert_eq!(row.len(), RowFormat::F16.row_bytes(vector.len() as u32));
        RowFormat::F16.read(&row, &mut back);
        for (was, is) in vector.iter().zip(&back) {
            assert!((was - is).abs() <= was.abs() / 2048.0 + 3e-8, "{was} became {is}");
            let off = (f64::from(*was) - f64::from(*is)).abs();
            assert!(off <= RowFormat::F16.off(&[*is]), "{was} became {is}, which is farther than is said");
        }
        let bits = |numbers: &[f32]| numbers.iter().map(|number| number.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&RowFormat::F16.rounded(&vector)), bits(&back), "one by one or together is the same");
    }

    #[test]
    fn a_component_that_a_half_has_no_room_for_is_infinite() {
        let given = [1.0, 65_519.0, -65_520.0];
        assert_eq!(*RowFormat::F16.rounded(&given), [1.0, 65_504.0, f32::NEG_INFINITY]);
        assert_eq!(*RowFormat::F32.rounded(&given), given);
    }
}
