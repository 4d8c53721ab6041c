//! The few shapes that all binary layouts are made of: little-endian numbers, and counted bytes.
//!
//! Reading assumes that the bytes are hostile. A count is compared with its bound and with the bytes that are left
//! before anything is allocated for it.

use super::StoreError;

/// No sequence and no number of a file comes near this, so that counting on from one that was read cannot overflow.
const NUMBER_MAX: u64 = 1 << 63;

/// What is wrong with bytes in memory; [`Flaw::in_file`] says in which file they are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Flaw {
    /// Where, from the first of the bytes.
    pub(super) at: usize,
    pub(super) expected: Box<str>,
    pub(super) found: Box<str>,
}

impl Flaw {
    pub(super) fn new(at: usize, expected: impl Into<Box<str>>, found: impl Into<Box<str>>) -> Self {
        Flaw { at, expected: expected.into(), found: found.into() }
    }

    /// The error of a file in which the bytes begin at `base`.
    pub(super) fn in_file(self, path: &str, base: u64) -> StoreError {
        let offset = base + self.at as u64;
        StoreError::Damaged { path: path.into(), offset, expected: self.expected, found: self.found }
    }
}

pub(super) fn put_u32(out: &mut Vec<u8>, n: u32) {
    out.extend_from_slice(&n.to_le_bytes());
}

pub(super) fn put_u64(out: &mut Vec<u8>, n: u64) {
    out.extend_from_slice(&n.to_le_bytes());
}

/// A length in four bytes, then the text.
pub(super) fn put_text(out: &mut Vec<u8>, text: &str) {
    put_u32(out, text.len() as u32);
    out.extend_from_slice(text.as_bytes());
}

pub(super) fn put_f32s(out: &mut Vec<u8>, numbers: &[f32]) {
    let begin = out.len();
    out.resize(begin + 4 * numbers.len(), 0);
    // In place rather than one `extend` a number: this is most of what a commit encodes.
    for (bytes, number) in out[begin..].chunks_exact_mut(4).zip(numbers) {
        bytes.copy_from_slice(&number.to_le_bytes());
    }
}

/// The numbers of which these are the bytes.
pub(super) fn f32s(bytes: &[u8]) -> impl Iterator<Item = f32> {
    bytes.as_chunks::<4>().0.iter().map(|four| f32::from_le_bytes(*four))
}

/// Reads from the front of some bytes.
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Cursor { bytes, at: 0 }
    }

    pub(super) fn position(&self) -> usize {
        self.at
    }

    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], Flaw> {
        let left = self.bytes.len() - self.at;
        if len > left {
            return Err(Flaw::new(self.at, format!("{len} bytes"), format!("the end after {left}")));
        }
        let taken = &self.bytes[self.at..self.at + len];
        self.at += len;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Flaw> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take(N)?);
        Ok(bytes)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Flaw> {
        self.array().map(u8::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Flaw> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, Flaw> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn u128(&mut self) -> Result<u128, Flaw> {
        self.array().map(u128::from_le_bytes)
    }

    /// A number that something is counted with, and will be counted on from.
    pub(super) fn number(&mut self) -> Result<u64, Flaw> {
        let begin = self.at;
        match self.u64()? {
            number if number <= NUMBER_MAX => Ok(number),
            other => Err(Flaw::new(begin, format!("at most {NUMBER_MAX}"), other.to_string())),
        }
    }

    /// How many of something follow: no more than `max`, and no more than fit in what is left at `each_min` bytes.
    pub(super) fn count(&mut self, what: &str, max: usize, each_min: usize) -> Result<usize, Flaw> {
        let begin = self.at;
        let count = self.u32()? as usize;
        let room = (self.bytes.len() - self.at) / each_min;
        if count > max.min(room) {
            return Err(Flaw::new(begin, format!("at most {} {what}", max.min(room)), count.to_string()));
        }
        Ok(count)
    }

    /// A text as [`put_text`] has it.
    pub(super) fn text(&mut self, max: usize) -> Result<&'a str, Flaw> {
        let len = self.count("bytes of text", max, 1)?;
        let begin = self.at;
        std::str::from_utf8(self.take(len)?).map_err(|error| Flaw::new(begin, "UTF-8", error.to_string()))
    }

    /// That many floats. The caller has the count from [`Cursor::count`].
    pub(super) fn f32s(&mut self, count: usize) -> Result<Vec<f32>, Flaw> {
        Ok(f32s(self.take(4 * count)?).collect())
    }

    /// That nothing follows.
    pub(super) fn end(&self) -> Result<(), Flaw> {
        match self.bytes.len() - self.at {
            0 => Ok(()),
            left => Err(Flaw::new(self.at, "the end", format!("{left} more bytes"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(flaw: Flaw) -> (usize, String, String) {
        (flaw.at, flaw.expected.into(), flaw.found.into())
    }

    #[test]
    fn a_number_that_is_counted_on_from_has_a_bound() {
        let read = |number: u64| Cursor::new(&number.to_le_bytes()).number();
        assert_eq!(read(NUMBER_MAX).ok(), Some(NUMBER_MAX));
        let flaw = words(read(NUMBER_MAX + 1).expect_err("too large"));
        assert_eq!(flaw, (0, format!("at most {NUMBER_MAX}"), (NUMBER_MAX + 1).to_string()));
    }

    #[test]
    fn a_count_is_at_most_what_fits_in_the_rest_and_at_most_its_bound() {
        let read = |count: u32, rest: usize, max| {
            let bytes = [&count.to_le_bytes()[..], &vec![0; rest]].concat();
            Cursor::new(&bytes).count("things", max, 4).map_err(words)
        };
        assert_eq!(read(2, 8, 9), Ok(2));
        assert_eq!(read(2, 7, 9), Err((0, "at most 1 things".into(), "2".into())));
        assert_eq!(read(2, 80, 1), Err((0, "at most 1 things".into(), "2".into())));
    }

    #[test]
    fn what_is_left_at_the_end_is_told() {
        let mut from = Cursor::new(&[1, 2, 3]);
        assert_eq!(from.u8().ok(), Some(1));
        assert_eq!(words(from.end().expect_err("more")), (1, "the end".into(), "2 more bytes".into()));
        assert!(from.take(2).is_ok() && from.end().is_ok());
    }
}
