//! Rows that say how long they are: for each a little-endian 32-bit count of components, then as many of them. In `.fvecs` they
//! are 32-bit floats, in `.bvecs` bytes, in `.ivecs` 32-bit integers (<http://corpus-texmex.irisa.fr>).
//!
//! Invariant: all rows of a file are as long as its first.

use super::{DIM_MAX, DataError, input::Input};

/// Bytes of the count before each row.
pub(super) const HEAD_BYTES: u64 = 4;

/// How long the next row is, or `None` at the end of the file. `wanted`: how long those before were.
pub(super) fn head(input: &mut Input, wanted: Option<usize>) -> Result<Option<usize>, DataError> {
    let at = input.offset();
    let bytes = input.some(HEAD_BYTES as usize)?;
    let Ok(word) = <[u8; 4]>::try_from(bytes.as_slice()) else {
        return match bytes.len() {
            0 => Ok(None),
            found => Err(input.malformed(at, "4 bytes that count components", format!("{found} bytes"))),
        };
    };
    let found = i32::from_le_bytes(word);
    let dim = usize::try_from(found).ok().filter(|dim| (1..=DIM_MAX).contains(dim));
    match (dim, wanted) {
        (Some(dim), None) => Ok(Some(dim)),
        (Some(dim), Some(wanted)) if dim == wanted => Ok(Some(dim)),
        (_, Some(wanted)) => Err(input.malformed(at, format!("{wanted} components, as before"), found.to_string())),
        (None, None) => Err(input.malformed(at, format!("1 to {DIM_MAX} components"), found.to_string())),
    }
}

/// How many rows of so many bytes, heads included, the file has, if it says how long it is. Looked at before any is read: whoever
/// loads for minutes hears at once of a file that was cut off.
pub(super) fn rows(input: &Input, row_bytes: u64) -> Result<Option<u64>, DataError> {
    let Some(len) = input.len() else { return Ok(None) };
    match len % row_bytes {
        0 => Ok(Some(len / row_bytes)),
        rest => Err(input.malformed(len - rest, format!("a row of {row_bytes} bytes"), format!("{rest} bytes"))),
    }
}
