//! A trace as a picture: a lane for whoever takes part, time from left to right.
//!
//! The picture is drawn here and is whole without a script. Every place from left to right is a share of the width, so
//! zooming is nothing but making the picture wider: words and shapes keep their size. A shape names its event
//! (`data-n`, and `data-m` where it reaches to another), by which the script leads to the story beside it.

mod pair;
mod scale;
mod shapes;

use std::fmt::Write as _;

use maud::{Markup, PreEscaped, html};
use stormproof_sim::world::trace::{Happened, Lane, Line};

use self::pair::pairs;
pub(super) use self::shapes::definitions;
use super::words::{lane_name, moment};

/// The height of the axis and of a lane, in pixels; the stylesheet knows them as well.
const AXIS: usize = 26;
const ROW: usize = 34;

/// Times written on the axis while no script does it.
const AXIS_TIMES: usize = 6;

/// What is drawn: the events, where each of them stands, and the lanes.
struct Picture<'a> {
    lines: &'a [Line],
    places: Vec<f64>,
    lanes: Vec<Lane>,
}

/// The picture of a trace, with the tools to look closer and what the script needs to know. `before` events of the run
/// were left out; the claim was seen broken at `seen`.
pub(super) fn timeline(lines: &[Line], before: usize, seen: Option<u64>) -> Markup {
    let picture = Picture { lines, places: scale::places(lines), lanes: lanes(lines) };
    html! {
        (tools())
        div.chart {
            ul.names {
                li { "time" }
                @for lane in &picture.lanes { li { (lane_name(*lane)) } }
            }
            div.pane tabindex="0" role="group" aria-label="Timeline. Arrow keys go from event to event, plus and minus zoom." {
                (picture.draw(seen))
            }
        }
        (legend())
        script type="application/json" { (PreEscaped(picture.data(before))) }
    }
}

fn tools() -> Markup {
    let button = |what: &str, sign: &str, words: &str| {
        html! { button type="button" data-do=(what) aria-label=(words) title=(words) { (sign) } }
    };
    html! {
        div.tools hidden {
            (button("out", "−", "zoom out"))
            (button("in", "+", "zoom in"))
            (button("all", "whole run", "show the whole run"))
            (button("back", "◂ event", "the event before"))
            (button("next", "event ▸", "the next event"))
            label { input type="checkbox" data-do="truly"; " true time" }
            label { input type="checkbox" data-do="disk" checked; " disk calls in the story" }
        }
        p.quiet {
            "Each event has a step of its own and pauses are shortened, so that short things can be seen; the times on top "
            "are exact. With a script: click an event, drag to move, zoom with Ctrl and the wheel, a pinch, or the buttons; "
            "after a click the wheel alone and the keys +, −, 0, ← and → work as well."
        }
    }
}

/// The lanes in which something happened: the world, the clients, then each node with what runs beside it.
fn lanes(lines: &[Line]) -> Vec<Lane> {
    let mut lanes: Vec<Lane> = lines.iter().map(|line| lane_of(line.lane)).collect();
    lanes.sort_by_key(|lane| match lane {
        Lane::World | Lane::Network => (0, 0, 0),
        Lane::Client(n) => (1, *n, 0),
        Lane::Node(n) => (2, *n, 0),
        Lane::Beside(n) => (2, *n, 1),
    });
    lanes.dedup();
    lanes
}

/// What strikes the network and what strikes everything share a lane: neither is at anyone.
fn lane_of(lane: Lane) -> Lane {
    if lane == Lane::Network { Lane::World } else { lane }
}

impl Picture<'_> {
    fn row(&self, lane: Lane) -> usize {
        let lane = lane_of(lane);
        self.lanes.iter().position(|known| *known == lane).unwrap_or(0)
    }

    /// The middle of an event's lane.
    fn middle(&self, n: usize) -> usize {
        AXIS + self.row(self.lines[n].lane) * ROW + ROW / 2
    }

    fn height(&self) -> usize {
        AXIS + self.lanes.len() * ROW
    }

    fn x(&self, n: usize) -> String {
        percent(self.places[n])
    }

    fn wide(&self, from: usize, to: usize) -> String {
        percent((self.places[to] - self.places[from]).max(0.0))
    }

    fn draw(&self, seen: Option<u64>) -> Markup {
        let pairs = pairs(self.lines);
        html! {
            svg.picture width="100%" height=(self.height()) role="img" aria-label="the run as a timeline" {
                (self.axis())
                @for row in 0..self.lanes.len() {
                    line.lane x1="0" x2="100%" y1=(AXIS + row * ROW) y2=(AXIS + row * ROW) {}
                }
                @for life in &pairs.lives { (self.life(*life)) }
                @for operation in &pairs.operations { (self.operation(*operation)) }
                @for arrow in &pairs.arrows { (self.arrow(*arrow)) }
                // What struck, died or came up stands above the rest: it is few, and it is what one looks for.
                @for n in (0..self.lines.len()).filter(|n| !self.is_outstanding(*n)) { (self.event(n)) }
                @for n in (0..self.lines.len()).filter(|n| self.is_outstanding(*n)) { (self.event(n)) }
                @if let Some(n) = seen.and_then(|at| breach(self.lines, at)) { (self.seen(n)) }
                line.cursor visibility="hidden" x1="0" x2="0" y1=(AXIS) y2=(self.height()) {}
            }
        }
    }

    fn axis(&self) -> Markup {
        let mut order: Vec<usize> = (0..self.lines.len()).collect();
        order.sort_by_key(|n| (self.lines[*n].at, *n));
        let step = order.len().div_ceil(AXIS_TIMES).max(1);
        html! {
            g.axis {
                @for n in order.into_iter().step_by(step) {
                    line x1=(self.x(n)) x2=(self.x(n)) y1="0" y2=(self.height()) {}
                    text x=(self.x(n)) dx="4" y="16" { (moment(self.lines[n].at)) }
                }
            }
        }
    }

    fn is_outstanding(&self, n: usize) -> bool {
        matches!(class_of(self.lines[n].what), "k-fault" | "k-died" | "k-up" | "k-failed")
    }

    /// What the script has to know of each event: when it was, in which lane, and where it is drawn.
    fn data(&self, before: usize) -> String {
        let mut out = format!("{{\"before\":{before},\"top\":{AXIS},\"row\":{ROW}");
        let ats = self.lines.iter().map(|line| line.at);
        let ends = ats.clone().min().into_iter().chain(ats.clone().max());
        list(&mut out, "ends", ends);
        list(&mut out, "at", ats);
        list(&mut out, "lane", self.lines.iter().map(|line| self.row(line.lane)));
        list(&mut out, "x", self.places.iter().map(|place| format!("{place:.5}")));
        out + "}"
    }
}

fn list(out: &mut String, name: &str, values: impl Iterator<Item = impl std::fmt::Display>) {
    let _ = write!(out, ",\"{name}\":[");
    for (place, value) in values.enumerate() {
        let comma = if place == 0 { "" } else { "," };
        let _ = write!(out, "{comma}{value}");
    }
    out.push(']');
}

fn percent(share: f64) -> String {
    format!("{share:.5}%")
}

fn legend() -> Markup {
    html! {
        ul.legend {
            @for (shape, words) in shapes::LEGEND {
                li { svg viewBox="-11 -8 22 16" aria-hidden="true" { (PreEscaped(*shape)) } (words) }
            }
        }
    }
}

/// The last event up to the moment at which something was found broken.
pub(super) fn breach(lines: &[Line], at: u64) -> Option<usize> {
    let before = (0..lines.len()).filter(|n| lines[*n].at <= at);
    before.max_by_key(|n| (lines[*n].at, *n))
}

/// What kind of thing an event was, as the story's lines are classed.
pub(super) fn class_of(what: Happened) -> &'static str {
    match what {
        Happened::Invoked => "k-ask",
        Happened::Replied => "k-hear",
        Happened::GaveUp => "k-give-up",
        Happened::Delivered => "k-arrival",
        Happened::Lost => "k-lost",
        Happened::DiskCall => "k-disk",
        Happened::DiskError => "k-error",
        Happened::Booted => "k-up",
        Happened::BootFailed => "k-failed",
        Happened::Died => "k-died",
        Happened::Effect => "k-effect",
        Happened::Note => "k-note",
        Happened::Query | Happened::Job => "k-beside",
        Happened::Fault | Happened::Disturbed => "k-fault",
        Happened::Healed | Happened::Ended => "k-world",
    }
}
