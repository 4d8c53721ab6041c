//! Names and numbers as the page writes them.

use maud::{Markup, html};
use stormproof_sim::{hunt::Verdict, world::trace::Lane};

use crate::layout::count;

/// Where something happened, as the trace says it.
pub(super) fn lane_name(lane: Lane) -> String {
    match lane {
        Lane::World | Lane::Network => "world".into(),
        Lane::Client(n) => format!("c{n}"),
        Lane::Node(n) => format!("n{n}"),
        Lane::Beside(n) => format!("n{n} jobs"),
    }
}

/// A moment of the run, in milliseconds to the microsecond.
pub(super) fn moment(ns: u64) -> String {
    format!("{}.{:03} ms", count(ns / 1_000_000), ns / 1_000 % 1_000)
}

/// How a verdict looks: its class, its sign and its word. The sign is there for whom colours say nothing.
pub(super) fn look(verdict: &Verdict) -> (&'static str, &'static str, &'static str) {
    match verdict {
        Verdict::Holds => ("good", "✓", "holds"),
        Verdict::Warning(_) => ("warn", "!", "holds so far"),
        Verdict::Unproven(_) => ("unsure", "?", "UNPROVEN"),
        Verdict::Fell(_) => ("bad", "✗", "FELL"),
    }
}

/// A verdict in a table.
pub(super) fn verdict_word(verdict: &Verdict) -> Markup {
    let (class, sign, word) = look(verdict);
    html! { span.word.(class) { (sign) " " (word) } }
}

/// Something that was reached so often, or was not.
pub(super) fn reached(times: u64) -> Markup {
    if times == 0 {
        html! { span.word.unsure { "? NOT reached" } }
    } else {
        html! { (count(times)) }
    }
}

/// As much of a text as a page should carry; what is left out is counted.
pub(super) fn bounded(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        None => text.to_owned(),
        Some((end, _)) => format!("{} … ({} bytes more)", &text[..end], count((text.len() - end) as u64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_said_to_the_microsecond() {
        assert_eq!(moment(22_684_150), "22.684 ms");
        assert_eq!(moment(1_234_005_999_999), "1,234,005.999 ms");
    }

    #[test]
    fn a_text_is_cut_between_characters_and_says_so() {
        assert_eq!(bounded("äöü", 3), "äöü");
        assert_eq!(bounded("äöü", 1), "ä … (4 bytes more)");
    }
}
