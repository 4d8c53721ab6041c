//! One run again.
//!
//! Two ways. **Exactly**: every draw as recorded, compared event by event with the trace of then; the first event that
//! differs is where determinism, or the code, has changed. **By plan**: tolerant of changed code, judged by whether the
//! failure is the same.

use crate::world::trace::Line;

/// What is replayed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Source {
    /// A seed of a suite.
    Seed {
        /// The suite.
        suite: String,
        /// The seed.
        seed: u64,
    },
    /// A plan, as text.
    Plan(String),
}

/// Where two traces part.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Divergence {
    /// The line, counted from 1.
    pub line: usize,
    /// What was recorded there; `None` if the recording had ended.
    pub expected: Option<String>,
    /// What happened now; `None` if the run had ended.
    pub found: Option<String>,
}

/// The first line in which a trace differs from the recorded one.
pub fn compare_exactly<'a>(recorded: impl Iterator<Item = &'a str>, now: &[Line]) -> Option<Divergence> {
    let mut recorded = recorded.fuse();
    let mut now = now.iter();
    let mut line = 0;
    loop {
        line += 1;
        match (recorded.next(), now.next()) {
            (None, None) => return None,
            (Some(a), Some(b)) if a == b.to_string() => {}
            (expected, found) => {
                return Some(Divergence {
                    line,
                    expected: expected.map(Into::into),
                    found: found.map(Line::to_string),
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::trace::{Happened, Lane};

    #[test]
    fn the_first_difference_is_named_with_both_sides() {
        let line = |at: u64| Line {
            at,
            hash: 0,
            what: Happened::Effect,
            lane: Lane::Node(0),
            detail: [0, 0],
            words: "it happens".into(),
        };
        let now = [line(1), line(2)];
        let [a, b] = [now[0].to_string(), now[1].to_string()];
        let parted = |recorded: &[&str]| compare_exactly(recorded.iter().copied(), &now);
        assert_eq!(parted(&[&a, &b]), None);
        let differs = parted(&[&a, "x", "y"]).unwrap();
        assert_eq!((differs.line, differs.expected.as_deref(), differs.found), (2, Some("x"), Some(b.clone())));
        let short = parted(&[&a]).unwrap();
        assert_eq!((short.line, short.expected), (2, None));
        let long = parted(&[&a, &b, "c"]).unwrap();
        assert_eq!((long.line, long.found), (3, None));
    }
}
