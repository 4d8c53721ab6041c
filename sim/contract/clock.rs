//! Time, as a node may know it.

use std::{
    fmt,
    ops::{Add, Sub},
};

/// A reading of a machine's monotonic clock, in nanoseconds. It never runs backwards while the machine is up, starts
/// at an unspecified value, may drift against the clocks of other machines, and means nothing after a reboot.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Tick(pub u64);

/// A reading of the wall clock: nanoseconds since 1970. It can be wrong, can jump either way, and drifts apart from
/// the monotonic clock. Good for stamps that people read; never for order, and never for a lease.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct WallTime(pub u64);

/// The clocks of the machine a node runs on.
///
/// Time passes *during* a slow disk call: two readings around one can lie far apart.
pub trait Clock: Send + Sync {
    /// The monotonic clock.
    fn now(&self) -> Tick;
    /// The wall clock.
    fn wall(&self) -> WallTime;
}

impl Tick {
    /// A span of whole microseconds.
    pub const fn micros(n: u64) -> Tick {
        Tick(n * 1_000)
    }

    /// A span of whole milliseconds.
    pub const fn millis(n: u64) -> Tick {
        Tick(n * 1_000_000)
    }

    /// A span of whole seconds.
    pub const fn secs(n: u64) -> Tick {
        Tick(n * 1_000_000_000)
    }

    /// How much later `self` is than `earlier`; zero if it is not.
    #[must_use]
    pub const fn since(self, earlier: Tick) -> Tick {
        Tick(self.0.saturating_sub(earlier.0))
    }
}

impl Add for Tick {
    type Output = Tick;
    /// Saturates: the end of time is a valid deadline.
    fn add(self, span: Tick) -> Tick {
        Tick(self.0.saturating_add(span.0))
    }
}

impl Sub for Tick {
    type Output = Tick;
    fn sub(self, span: Tick) -> Tick {
        Tick(self.0.saturating_sub(span.0))
    }
}

impl fmt::Display for Tick {
    /// In the largest unit that loses nothing: `37ms`, `1500us`, `12ns`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            n if n.is_multiple_of(1_000_000_000) => write!(f, "{}s", n / 1_000_000_000),
            n if n.is_multiple_of(1_000_000) => write!(f, "{}ms", n / 1_000_000),
            n if n.is_multiple_of(1_000) => write!(f, "{}us", n / 1_000),
            n => write!(f, "{n}ns"),
        }
    }
}
