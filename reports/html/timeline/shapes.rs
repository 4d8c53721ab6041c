//! The shapes of a picture. Each kind of event differs in form as well as in colour.

use maud::{Markup, PreEscaped, html};
use stormproof_sim::world::trace::{Happened, Lane};

use super::{
    AXIS, Picture, ROW,
    pair::{Arrow, End, Life, Operation},
};

/// Shapes that are drawn more than once, defined once for the whole page.
const DEFINITIONS: &str = r#"<svg class="defs" aria-hidden="true"><defs>
<marker id="tip" viewBox="0 0 6 6" refX="6" refY="3" markerWidth="6" markerHeight="6" orient="auto"><path d="M0 0 6 3 0 6z" fill="context-stroke"/></marker>
<g id="fault" class="g-fault"><path d="M0-8 7 0 0 8-7 0z"/></g>
<g id="died" class="g-died"><path d="M-6-6 6 6M-6 6 6-6"/></g>
<g id="up" class="g-up"><path d="M0-7 7 6H-7z"/></g>
<g id="failed" class="g-failed"><path d="M0-7 7 6H-7z"/></g>
<g id="lost" class="g-lost"><path d="M-4-4 4 4M-4 4 4-4"/></g>
</defs></svg>"#;

/// What stands below each picture, with its shape.
pub(super) const LEGEND: &[(&str, &str)] = &[
    (r#"<g class="op"><rect x="-10" y="-6" width="20" height="12"/></g>"#, "operation, from question to answer"),
    (r#"<g class="op given-up"><rect x="-10" y="-6" width="20" height="12"/></g>"#, "the client gave up"),
    (r#"<g class="op open"><rect x="-10" y="-6" width="20" height="12"/></g>"#, "in flight when the trace ends"),
    (r#"<rect class="life" x="-10" y="-8" width="20" height="16"/>"#, "node is up"),
    (r##"<use href="#fault"/>"##, "fault"),
    (r##"<use href="#died"/>"##, "death"),
    (r##"<use href="#up"/>"##, "up again (hollow: could not start)"),
    (r#"<line class="t-disk" y1="-4" y2="4"/>"#, "disk call (red, long: it failed)"),
    (r#"<line class="t-point" y1="-8" y2="8"/>"#, "named point"),
    (r#"<line class="t-beside" y1="-6" y2="6"/>"#, "turn of a query or job"),
    (r#"<line class="t-note" y1="3" y2="8"/>"#, "note of a node"),
    (r#"<line class="arrow" x1="-9" y1="-5" x2="8" y2="5" marker-end="url(#tip)"/>"#, "message"),
    (
        r#"<line class="arrow again" x1="0" y1="-8" x2="0" y2="7" marker-end="url(#tip)"/>"#,
        "request asked again (when it left is not known)",
    ),
    (r##"<use href="#lost"/>"##, "arrives where nobody is"),
];

/// Half the height of a tick.
const SHORT: usize = 4;
const MIDDLE: usize = 7;
const TALL: usize = 11;

/// For the top of a page that has pictures.
pub(in crate::html) fn definitions() -> Markup {
    PreEscaped(DEFINITIONS.to_owned())
}

impl Picture<'_> {
    pub(super) fn life(&self, life: Life) -> Markup {
        let y = AXIS + self.row(Lane::Node(life.node)) * ROW + 1;
        let (n, m) = (life.from, life.to);
        // Not a target: what is clicked in a life is the event nearest to it.
        html! {
            rect.life x=(self.x(n)) width=(self.wide(n, m)) y=(y) height=(ROW - 2) data-n=(n) data-m=(m) data-back="" {}
        }
    }

    pub(super) fn operation(&self, operation: Operation) -> Markup {
        let (n, m, number) = (operation.from, operation.to, operation.number);
        let class = match operation.end {
            End::Answered => "op",
            End::GivenUp => "op given-up",
            End::Open => "op open",
        };
        // A picture within the picture cuts off what does not fit: the name shows once there is room for it.
        html! {
            svg class=(class) x=(self.x(n)) width=(self.wide(n, m)) y=(self.middle(n) - 9) height="18" data-n=(n) data-m=(m) {
                rect width="100%" height="18" {}
                text x="4" y="13" { "op" (number) }
            }
        }
    }

    pub(super) fn arrow(&self, Arrow { from, to, again }: Arrow) -> Markup {
        let down = self.middle(to) > self.middle(from);
        let (y1, y2) = (self.middle(from), self.middle(to));
        let (y1, y2) = if down { (y1 + 9, y2 - SHORT) } else { (y1 - SHORT, y2 + 9) };
        let start = if again { to } else { from };
        let class = if again { "arrow again" } else { "arrow" };
        html! {
            line class=(class) x1=(self.x(start)) x2=(self.x(to)) y1=(y1) y2=(y2) marker-end="url(#tip)"
                data-n=(start) data-m=(to) {}
        }
    }

    pub(super) fn event(&self, n: usize) -> Markup {
        let line = &self.lines[n];
        match line.what {
            // Drawn as the edge of a bar.
            Happened::Invoked | Happened::Replied => html! {},
            Happened::GaveUp | Happened::Lost => self.glyph(n, "#lost"),
            Happened::Fault | Happened::Disturbed => self.glyph(n, "#fault"),
            Happened::Died => self.glyph(n, "#died"),
            Happened::Booted => self.glyph(n, "#up"),
            Happened::BootFailed => self.glyph(n, "#failed"),
            Happened::DiskCall if is_point(&line.words) => self.tick(n, "t-point", TALL),
            Happened::DiskCall => self.tick(n, "t-disk", SHORT),
            Happened::DiskError => self.tick(n, "t-error", TALL),
            Happened::Query | Happened::Job => self.tick(n, "t-beside", MIDDLE),
            Happened::Effect => self.tick(n, "t-effect", MIDDLE),
            Happened::Delivered => self.tick(n, "t-arrival", MIDDLE),
            Happened::Note => self.stroke(n, "t-note", self.middle(n) + 6, self.middle(n) + TALL),
            Happened::Healed | Happened::Ended => self.stroke(n, "whole", AXIS, self.height()),
        }
    }

    pub(super) fn seen(&self, n: usize) -> Markup {
        html! {
            (self.stroke(n, "seen", AXIS, self.height()))
            text.seen-word x=(self.x(n)) dx="-4" y=(AXIS + 12) text-anchor="end" data-n=(n) { "seen broken" }
        }
    }

    fn glyph(&self, n: usize, shape: &str) -> Markup {
        html! { use href=(shape) x=(self.x(n)) y=(self.middle(n)) data-n=(n) {} }
    }

    fn tick(&self, n: usize, class: &str, half: usize) -> Markup {
        self.stroke(n, class, self.middle(n) - half, self.middle(n) + half)
    }

    fn stroke(&self, n: usize, class: &str, top: usize, bottom: usize) -> Markup {
        html! { line class=(class) x1=(self.x(n)) x2=(self.x(n)) y1=(top) y2=(bottom) data-n=(n) {} }
    }
}

/// A named point reads `n0   point commit.begin`.
fn is_point(words: &str) -> bool {
    words.split_whitespace().nth(1) == Some("point")
}
