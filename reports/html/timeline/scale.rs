//! Where an event stands from left to right.
//!
//! A run of seconds holds disk calls of microseconds, and at true scale they are one stroke. So every event gets a step
//! of its own, and a pause is drawn as long as the root of what it lasts: what took longer is wider, nothing vanishes.
//! The page can switch to true time.

use stormproof_sim::world::trace::Line;

/// A pause of so many nanoseconds is as wide as an event's own step.
const STEP_NS: f64 = 20_000.0;

/// The share of the picture's width, in percent, that is left free at its right for the last words.
const MARGIN: f64 = 2.0;

/// The place of each event, in percent of the width. Events of one moment stand in the order of the trace.
pub(super) fn places(lines: &[Line]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..lines.len()).collect();
    order.sort_by_key(|n| (lines[*n].at, *n));
    let mut places = vec![0.0; lines.len()];
    let mut place = 0.0;
    let mut before = order.first().map_or(0, |n| lines[*n].at);
    for n in order {
        let pause = (lines[n].at - before) as f64;
        place += 1.0 + (pause / STEP_NS).sqrt();
        before = lines[n].at;
        places[n] = place;
    }
    let whole = if place > 0.0 { place } else { 1.0 };
    places.iter().map(|place| place / whole * (100.0 - MARGIN)).collect()
}

#[cfg(test)]
mod tests {
    use stormproof_sim::world::trace::{Happened, Lane};

    use super::*;

    fn at(at: u64) -> Line {
        Line { at, hash: 0, what: Happened::Note, lane: Lane::Node(0), detail: [0, 0], words: String::new() }
    }

    #[test]
    fn later_events_stand_further_right_whatever_their_order_in_the_trace() {
        let places = places(&[at(5_000_000), at(1_000), at(1_000), at(9_000_000_000)]);
        assert!(places[1] < places[2] && places[2] < places[0] && places[0] < places[3], "{places:?}");
        assert!(places[3] <= 100.0 - MARGIN);
    }

    #[test]
    fn a_longer_pause_is_wider_but_not_in_proportion() {
        let places = places(&[at(0), at(1_000_000), at(101_000_000)]);
        let (short, long) = (places[1] - places[0], places[2] - places[1]);
        assert!(long > 2.0 * short && long < 100.0 * short, "{places:?}");
    }

    #[test]
    fn no_event_has_no_place() {
        assert!(places(&[]).is_empty());
    }
}
