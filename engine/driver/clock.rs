//! The machine's clocks.

use rustix::time::{ClockId, Timespec, clock_gettime};
use stormproof_contract::{Clock, Tick, WallTime};

/// The clocks of the machine this process runs on.
///
/// `now` is the kernel's monotonic clock itself and not time since some start of ours: two processes of one machine,
/// and the same node before and after a restart, therefore read one clock, as the contract has it.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealClock;

impl Clock for RealClock {
    fn now(&self) -> Tick {
        Tick(nanos(clock_gettime(ClockId::Monotonic)))
    }

    fn wall(&self) -> WallTime {
        WallTime(nanos(clock_gettime(ClockId::Realtime)))
    }
}

/// A time before the clock's origin reads as the origin.
fn nanos(time: Timespec) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let rest = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_clocks_of_one_machine_agree() {
        let before = RealClock.now();
        let other = RealClock.now();
        assert!(other >= before);
        assert!(other.since(before) < Tick::secs(60), "{before} and {other} are of one clock");
    }

    #[test]
    fn the_wall_clock_counts_from_1970() {
        let year_2020 = WallTime(1_577_836_800 * 1_000_000_000);
        assert!(RealClock.wall() > year_2020);
    }

    #[test]
    fn a_time_before_the_origin_does_not_wrap() {
        assert_eq!(nanos(Timespec { tv_sec: -5, tv_nsec: 7 }), 7);
        assert_eq!(nanos(Timespec { tv_sec: i64::MAX, tv_nsec: 0 }), u64::MAX);
    }
}
