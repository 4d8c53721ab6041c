//! One run again.
//!
//! Two ways. **Exactly**: every draw as recorded, compared event by event with the trace of then; the first event that
//! differs is where determinism, or the code, has changed. **By plan**: tolerant of changed code, judged by whether the
//! failure is the same.

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
pub fn compare_exactly<'a>(recorded: impl Iterator<Item = &'a str>, now: &[String]) -> Option<Divergence> {
    let mut recorded = recorded.fuse();
    let mut now = now.iter();
    let mut line = 0;
    loop {
        line += 1;
        match (recorded.next(), now.next()) {
            (None, None) => return None,
            (Some(a), Some(b)) if a == b => {}
            (expected, found) => {
                return Some(Divergence { line, expected: expected.map(Into::into), found: found.cloned() });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_is_named_with_both_sides() {
        let now = ["a".to_string(), "b".to_string()];
        assert_eq!(compare_exactly("a\nb".lines(), &now), None);
        let parted = compare_exactly("a\nx\ny".lines(), &now).unwrap();
        assert_eq!((parted.line, parted.expected.as_deref(), parted.found.as_deref()), (2, Some("x"), Some("b")));
        let short = compare_exactly("a".lines(), &now).unwrap();
        assert_eq!((short.line, short.expected), (2, None));
        let long = compare_exactly("a\nb\nc".lines(), &now).unwrap();
        assert_eq!((long.line, long.found), (3, None));
    }
}
