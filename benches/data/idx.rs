//! The head of an `.idx` file, big-endian: two zero bytes, the kind of component, how many dimensions, and how long each is
//! (<http://yann.lecun.com/exdb/mnist/>). The first dimension counts rows; what lies in the others is one vector.

use super::{DIM_MAX, DataError, input::Input, vectors::Component};

/// More dimensions than any file of vectors or images has.
const DIMENSIONS_MAX: u8 = 8;

/// What the head says.
pub(super) struct Head {
    pub(super) rows: u64,
    pub(super) dim: usize,
    pub(super) component: Component,
}

pub(super) fn head(input: &mut Input) -> Result<Head, DataError> {
    let [zero, zeros, kind, dimensions] = input.array("a magic number")?;
    if (zero, zeros) != (0, 0) {
        return Err(input.malformed(0, "two zero bytes", format!("{zero:#04x} {zeros:#04x}")));
    }
    let component = match kind {
        0x08 => Component::U8,
        0x0d => Component::F32Big,
        other => return Err(input.malformed(2, "0x08 (bytes) or 0x0d (floats)", format!("{other:#04x}"))),
    };
    if !(1..=DIMENSIONS_MAX).contains(&dimensions) {
        return Err(input.malformed(3, format!("1 to {DIMENSIONS_MAX} dimensions"), dimensions.to_string()));
    }
    let rows = u32::from_be_bytes(input.array("a number of rows")?);
    let mut dim = 1_usize;
    for _ in 1..dimensions {
        let at = input.offset();
        let len = u32::from_be_bytes(input.array("the length of a dimension")?);
        let all = usize::try_from(len).ok().and_then(|len| dim.checked_mul(len));
        dim = all.filter(|dim| (1..=DIM_MAX).contains(dim)).ok_or_else(|| {
            input.malformed(at, format!("1 to {DIM_MAX} components in all"), format!("{dim} times {len}"))
        })?;
    }
    Ok(Head { rows: rows.into(), dim, component })
}
