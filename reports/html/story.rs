//! One run as a story: a picture of it, and every event in words beside it.

use maud::{Markup, html};
use stormproof_sim::{
    hunt::{Run, Suite},
    world::trace::Line,
};

use super::{
    page::{facts, words},
    timeline::{breach, class_of, timeline},
    words::{bounded, lane_name, moment},
};
use crate::layout::{count, duration, plural};

/// Events of one run that a page carries. More make a browser slow and tell nobody more.
pub const EVENTS_MAX: usize = 20_000;

/// Of them, so many may lie behind the moment at which the claim was seen broken.
const EVENTS_AFTER_MAX: usize = 2_000;

/// Characters of one event, and of a plan.
const WORDS_MAX: usize = 1_500;
const PLAN_MAX: usize = 200_000;

/// One run to be told: its lines, its plan and its violation are the run's own.
#[derive(Clone, Copy)]
pub struct Story<'a> {
    /// The suite that it was a run of.
    pub suite: &'a dyn Suite,
    /// The run, with its trace in words and its plan, as far as they were kept.
    pub run: &'a Run,
}

impl Story<'_> {
    /// The picture, the events, and the plan. `id` tells the stories of one page apart; it begins with a letter.
    pub fn draw(&self, id: &str) -> Markup {
        let seen = self.run.result.violation.as_ref().map(|violation| violation.at);
        html! {
            (story(id, &self.run.result.lines, seen))
            @if let Some(plan) = &self.run.plan {
                details {
                    summary { "The plan of this run, which can be saved, edited and played again" }
                    pre tabindex="0" { (bounded(plan, PLAN_MAX)) }
                }
            }
        }
    }

    /// What the run was, in a few lines.
    pub fn summary(&self) -> Markup {
        let result = &self.run.result;
        let delivered = result.delivered.iter().map(|(kind, times)| format!("{} {}", kind.name(), count(*times)));
        let faults: Vec<_> = delivered.collect();
        let none = || "none was delivered".to_owned();
        let length = format!("{} in {} of simulated time", plural(result.events, "event"), duration(result.simulated));
        facts(&[
            ("faults", words(&if faults.is_empty() { none() } else { faults.join(", ") })),
            ("length", words(&length)),
            ("trace hash", html! { code { (format!("{:016x}", result.trace_hash)) } }),
        ])
    }
}

/// A trace as a picture with its events in words below. `seen` is the moment at which something was found broken.
pub fn story(id: &str, lines: &[Line], seen: Option<u64>) -> Markup {
    let shown = window(lines, seen);
    let (before, after) = (shown.start, lines.len() - shown.end);
    let lines = &lines[shown];
    if lines.is_empty() {
        return html! { p.quiet { "The events of this run were not kept." } };
    }
    let breach = seen.and_then(|at| breach(lines, at));
    html! {
        div.timeline data-timeline=(id) {
            @if before + after > 0 {
                p { b { "Left out: " } (plural(before as u64, "earlier event")) " and " (plural(after as u64, "later event")) "." }
            }
            (timeline(lines, before, seen))
            div.detail aria-live="polite" { "Click an event in the picture, or one of the lines below." }
            ol.story tabindex="0" aria-label="every event in words" {
                @for (n, line) in lines.iter().enumerate() { (event(id, n, line, breach == Some(n))) }
            }
        }
    }
}

/// Which events are shown: those around the breach if there are too many.
fn window(lines: &[Line], seen: Option<u64>) -> std::ops::Range<usize> {
    let breach = seen.and_then(|at| breach(lines, at));
    let end = breach.map_or(lines.len(), |breach| lines.len().min((breach + EVENTS_AFTER_MAX).max(EVENTS_MAX)));
    end.saturating_sub(EVENTS_MAX)..end
}

fn event(id: &str, n: usize, line: &Line, is_breach: bool) -> Markup {
    let place = format!("{id}-e{n}");
    html! {
        li.(class_of(line.what)) id=(place) data-e=(n) {
            a href={ "#" (place) } {
                time { (moment(line.at)) }
                span.where { (lane_name(line.lane)) }
                span.words {
                    (bounded(line.words.trim(), WORDS_MAX))
                    @if is_breach { span.breach.bad { " ✗ after this, the claim was seen broken" } }
                }
                span.hash { (format!("{:016x}", line.hash)) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use stormproof_sim::world::trace::{Happened, Lane};

    use super::*;

    fn lines(count: u64) -> Vec<Line> {
        let line =
            |at| Line { at, hash: at, what: Happened::Note, lane: Lane::Node(0), detail: [0, 0], words: "<b>&".into() };
        (0..count).map(line).collect()
    }

    #[test]
    fn what_a_run_says_is_words_and_nothing_else() {
        let drawn = story("s0", &lines(2), None).into_string();
        assert!(drawn.contains("&lt;b&gt;&amp;") && !drawn.contains("<b>&"), "{drawn}");
    }

    #[test]
    fn a_long_run_is_shown_around_its_breach_and_says_what_is_left_out() {
        let many = lines(50_000);
        assert_eq!(window(&many, None), 30_000..50_000);
        assert_eq!(window(&many, Some(30_000)), 12_000..32_000);
        assert_eq!(window(&many, Some(5)), 0..20_000);
        assert_eq!(window(&many[..20_000], Some(5)), 0..20_000);
        let drawn = story("s0", &lines(20_001), None).into_string();
        assert!(drawn.contains("1 earlier event"), "{}", &drawn[..2_000]);
    }
}
