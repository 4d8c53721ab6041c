//! The head of a `.npy` file: a magic number, a version, and a dictionary as Python writes it
//! (<https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>). Two dimensions, C order, little-endian.

use super::{DIM_MAX, DataError, input::Input, vectors::Component};

const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// Far above any dictionary that such a file has.
const DICTIONARY_BYTES_MAX: u64 = 1 << 16;

/// What the head says.
pub(super) struct Head {
    pub(super) rows: u64,
    pub(super) dim: usize,
    pub(super) component: Component,
}

pub(super) fn head(input: &mut Input) -> Result<Head, DataError> {
    let magic: [u8; 6] = input.array("a magic number")?;
    if magic != *MAGIC {
        return Err(input.malformed(0, "\\x93NUMPY", format!("{}", magic.escape_ascii())));
    }
    let [major, minor] = input.array("a version")?;
    let len = match major {
        1 => u64::from(u16::from_le_bytes(input.array("the length of the dictionary")?)),
        2 | 3 => u64::from(u32::from_le_bytes(input.array("the length of the dictionary")?)),
        _ => return Err(input.malformed(6, "version 1, 2 or 3", format!("{major}.{minor}"))),
    };
    let at = input.offset();
    if len > DICTIONARY_BYTES_MAX {
        return Err(input.malformed(
            at,
            format!("a dictionary of up to {DICTIONARY_BYTES_MAX} bytes"),
            len.to_string(),
        ));
    }
    let bytes = input.all(len as usize, "a dictionary")?;
    let text = String::from_utf8_lossy(&bytes);
    let wrong = |expected: &str| input.malformed(at, expected, format!("{:?}", text.trim_end()));
    let component = match value(&text, "descr") {
        Some("'<f4'") => Component::F32,
        Some("'<f2'") => Component::F16,
        Some("'|u1'") => Component::U8,
        _ => return Err(wrong("'descr' to be '<f4', '<f2' or '|u1'")),
    };
    if value(&text, "fortran_order") != Some("False") {
        return Err(wrong("'fortran_order' to be False"));
    }
    let shape = value(&text, "shape").and_then(|it| it.strip_prefix('(')?.strip_suffix(')'));
    let lengths: Option<Vec<u64>> = shape.and_then(|it| it.split(',').map(|n| n.trim().parse().ok()).collect());
    let Some([rows, dim]) = lengths.as_deref() else { return Err(wrong("'shape' to be two lengths")) };
    let dim = usize::try_from(*dim).ok().filter(|dim| (1..=DIM_MAX).contains(dim));
    let dim = dim.ok_or_else(|| wrong(&format!("1 to {DIM_MAX} components in 'shape'")))?;
    if *rows > i64::MAX.cast_unsigned() / (4 * DIM_MAX as u64) {
        return Err(wrong("fewer rows in 'shape'"));
    }
    Ok(Head { rows: *rows, dim, component })
}

/// The value of a name in the dictionary: up to the comma behind it, or the parenthesis if it begins with one.
fn value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("'{name}':"))?;
    let rest = rest.trim_start();
    let len = if rest.starts_with('(') { rest.find(')')? + 1 } else { rest.find([',', '}'])? };
    Some(rest[..len].trim_end())
}
