//! Two pictures: recall against speed, and how long answers took. Nothing is told by them alone: the numbers are in the text and in
//! the JSON file.

use maud::{Markup, html};

use super::{latency::Bin, report::Point};

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 300.0;
/// Where the axes are: room for their numbers and words.
const LEFT: f64 = 70.0;
const RIGHT: f64 = WIDTH - 20.0;
const TOP: f64 = 20.0;
const BOTTOM: f64 = HEIGHT - 50.0;

/// From a range of values to a range of places.
#[derive(Clone, Copy)]
struct Axis {
    from: f64,
    to: f64,
    begin: f64,
    end: f64,
}

impl Axis {
    /// Of all values, with a little room at both ends; of some range if there is one value or none.
    fn of(values: impl Iterator<Item = f64>, begin: f64, end: f64) -> Axis {
        let (least, most) = values
            .filter(|it| it.is_finite())
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), it| (a.min(it), b.max(it)));
        let (least, most) = if least > most { (0.0, 1.0) } else { (least, most) };
        let room = if most > least { (most - least) * 0.08 } else { most.abs().max(1e-3) * 0.05 };
        Axis { from: least - room, to: most + room, begin, end }
    }

    fn place(self, value: f64) -> f64 {
        let at = self.begin + (value - self.from) / (self.to - self.from) * (self.end - self.begin);
        (at * 10.0).round() / 10.0
    }

    fn ticks(self) -> impl Iterator<Item = f64> {
        (0..5).map(move |nth| self.from + (self.to - self.from) * (0.5 + f64::from(nth)) / 5.0)
    }
}

/// Recall against queries per second: each search list size is a point, and the chosen one is filled.
pub(super) fn curve(points: &[Point], chosen: u32) -> Markup {
    let x = Axis::of(points.iter().map(|it| it.recall), LEFT, RIGHT);
    // Speeds differ by factors.
    let y = Axis::of(points.iter().map(|it| it.per_second.max(1e-3).log10()), BOTTOM, TOP);
    let places: Vec<_> =
        points.iter().map(|it| (x.place(it.recall), y.place(it.per_second.max(1e-3).log10()), it.complexity)).collect();
    let line: Vec<_> = places.iter().map(|(x, y, _)| format!("{x},{y}")).collect();
    let marks = html! {
        polyline.line points=(line.join(" ")) {}
        @for (x, y, complexity) in &places {
            circle.dot.chosen[*complexity == chosen] cx=(x) cy=(y) r="4" {}
            text x=(x + 7.0) y=(y - 7.0) { (complexity) }
        }
    };
    let down = y.ticks().map(|it| (y.place(it), format!("{:.0}", 10_f64.powf(it))));
    // The axis has room beyond a recall of 1, which there is none of.
    let along = x.ticks().filter(|it| *it <= 1.0).map(|it| (x.place(it), format!("{it:.3}")));
    picture("Recall against queries per second", "recall", "queries/s", along, down, &marks)
}

/// How many answers took how long.
pub(super) fn histogram(bins: &[Bin]) -> Markup {
    let ms = |us: f64| us / 1e3;
    let edges = bins.iter().flat_map(|bin| [bin.from_us, bin.to_us]).map(|us| us.max(0.1).log10());
    let x = Axis::of(edges, LEFT, RIGHT);
    let most = bins.iter().map(|bin| bin.calls).max().unwrap_or(1).max(1);
    let y = Axis { from: 0.0, to: most as f64, begin: BOTTOM, end: TOP };
    let bars = bins.iter().map(|bin| {
        let (from, to) = (x.place(bin.from_us.max(0.1).log10()), x.place(bin.to_us.log10()));
        let top = y.place(bin.calls as f64);
        (from, top, (to - from - 1.0).max(0.5), BOTTOM - top, bin)
    });
    let marks = html! {
        @for (left, top, width, height, bin) in bars {
            rect.bar x=(left) y=(top) width=(format!("{width:.1}")) height=(format!("{height:.1}")) {
                title { (bin.calls) " from " (format!("{:.3}", ms(bin.from_us))) " to " (format!("{:.3}", ms(bin.to_us))) " ms" }
            }
        }
    };
    let down = y.ticks().map(|it| (y.place(it), format!("{it:.0}")));
    let along = x.ticks().map(|it| (x.place(it), format!("{:.2}", ms(10_f64.powf(it)))));
    picture("How long answers took", "ms", "answers", along, down, &marks)
}

fn picture(
    title: &str,
    along_word: &str,
    down_word: &str,
    along: impl Iterator<Item = (f64, String)>,
    down: impl Iterator<Item = (f64, String)>,
    marks: &Markup,
) -> Markup {
    html! {
        svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label=(title) {
            title { (title) }
            line.axis x1=(LEFT) y1=(BOTTOM) x2=(RIGHT) y2=(BOTTOM) {}
            line.axis x1=(LEFT) y1=(BOTTOM) x2=(LEFT) y2=(TOP) {}
            @for (at, words) in along {
                line.grid x1=(at) y1=(BOTTOM) x2=(at) y2=(TOP) {}
                text x=(at) y=(BOTTOM + 18.0) text-anchor="middle" { (words) }
            }
            @for (at, words) in down {
                line.grid x1=(LEFT) y1=(at) x2=(RIGHT) y2=(at) {}
                text x=(LEFT - 8.0) y=(at + 4.0) text-anchor="end" { (words) }
            }
            text x=(f64::midpoint(LEFT, RIGHT)) y=(HEIGHT - 10.0) text-anchor="middle" { (along_word) }
            text x="8" y="12" { (down_word) }
            (marks)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_has_a_place_inside_of_the_picture() {
        for values in [vec![], vec![0.95], vec![0.5, 0.9, 1.0], vec![f64::NAN, 3.0]] {
            let axis = Axis::of(values.iter().copied(), LEFT, RIGHT);
            for value in values.into_iter().filter(|it| it.is_finite()).chain(axis.ticks()) {
                assert!((LEFT..=RIGHT).contains(&axis.place(value)), "{value} is at {}", axis.place(value));
            }
        }
    }

    #[test]
    fn pictures_of_nothing_are_drawn_without_numbers_that_are_none() {
        let all = curve(&[], 0).into_string() + &histogram(&[]).into_string();
        assert!(!all.contains("NaN") && !all.contains("inf"), "{all}");
    }
}
