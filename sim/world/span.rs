//! Lengths of time: one, and a range to draw one from. In plans they read `37ms`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use stormproof_contract::Tick;

/// A length or a moment of simulated time, in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Time(pub u64);

/// A range to draw a time from, and its mild default.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Span {
    /// Taken where a plan says nothing.
    pub mild: Time,
    /// The least that is drawn.
    pub min: Time,
    /// The most that is drawn.
    pub max: Time,
}

impl Time {
    /// Whole microseconds.
    pub const fn micros(n: u64) -> Time {
        Time(n * 1_000)
    }

    /// Whole milliseconds.
    pub const fn millis(n: u64) -> Time {
        Time(n * 1_000_000)
    }

    /// Whole seconds.
    pub const fn secs(n: u64) -> Time {
        Time(n * 1_000_000_000)
    }
}

impl Span {
    /// A range with its default.
    pub const fn new(mild: Time, min: Time, max: Time) -> Span {
        Span { mild, min, max }
    }

    /// Always the same.
    pub const fn fixed(time: Time) -> Span {
        Span { mild: time, min: time, max: time }
    }

    /// The value for a random word: mostly near the minimum, one in sixteen anywhere, since what goes wrong between
    /// two events does so when one of them is much later than usual.
    #[inline]
    pub(crate) fn at(&self, raw: u64) -> u64 {
        let width = self.max.0.saturating_sub(self.min.0);
        let width = if raw.trailing_zeros() >= 4 { width } else { width / 8 };
        self.min.0 + ((u128::from(raw >> 4) * u128::from(width)) >> 60) as u64
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Tick(self.0).fmt(f)
    }
}

impl FromStr for Time {
    type Err = String;
    fn from_str(words: &str) -> Result<Self, String> {
        let digits = words.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = words.split_at(digits);
        let unit = match unit {
            "ns" => 1,
            "us" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            _ => return Err(format!("`{words}` is not a time: a number with ns, us, ms or s")),
        };
        let number: u64 = number.parse().map_err(|_| format!("`{words}` is not a time"))?;
        number.checked_mul(unit).map(Time).ok_or_else(|| format!("`{words}` is longer than 584 years"))
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let words = String::deserialize(deserializer)?;
        words.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_reads_as_it_is_written() {
        for time in [Time(0), Time(1), Time::micros(1500), Time::millis(37), Time::secs(2), Time(u64::MAX)] {
            assert_eq!(time.to_string().parse(), Ok(time));
        }
        for bad in ["", "7", "ms", "7 ms", "-1ms", "99999999999s", "1.5s"] {
            assert!(bad.parse::<Time>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_span_stays_within_its_bounds() {
        let span = Span::new(Time(5), Time(5), Time(1000));
        for raw in [0, 1, 15, 16, u64::MAX, u64::MAX - 15, 0x8000_0000_0000_0000] {
            assert!((5..=1000).contains(&span.at(raw)));
        }
    }
}
