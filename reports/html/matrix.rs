//! Which faults struck where: kinds of fault by the protocol's named points.
//!
//! What is read off it first is what is missing, so an empty cell is as visible as a full one, and they are counted.

use std::collections::BTreeSet;

use maud::{Markup, html};
use stormproof_sim::world::{coverage::Strikes, fault::FaultKind};

use crate::layout::{count, plural};

/// Before the first point of a life.
const BOOT: &str = "boot";

/// The matrix. `points` are those the system names; `needed` the kinds it should have met. Kinds and points that occur
/// without being asked for have their row and column as well.
pub fn matrix(points: &[&str], needed: &BTreeSet<FaultKind>, strikes: &Strikes) -> Markup {
    let kinds: BTreeSet<FaultKind> = needed.iter().copied().chain(strikes.keys().map(|(kind, _)| *kind)).collect();
    let columns = columns(points, strikes);
    if kinds.is_empty() {
        return html! { p.quiet { "No fault was delivered, and none is asked for." } };
    }
    let times = |kind, point| strikes.get(&(kind, point)).copied().unwrap_or(0);
    let most = strikes.values().copied().max().unwrap_or(0);
    let cells = kinds.len() * columns.len();
    let empty = cells - strikes.values().filter(|times| **times > 0).count();
    html! {
        p {
            "How often each kind of fault was delivered to a node that had passed a point last. "
            b { (count(empty as u64)) " of " (plural(cells as u64, "cell")) " are empty" }
            " (hatched): of these, nothing is known."
        }
        div.scroll.tall tabindex="0" role="region" aria-label="faults by protocol step" {
            table.matrix {
                thead { tr {
                    th scope="col" { "fault \\ after" }
                    @for point in &columns { th scope="col" { span { (point) } } }
                } }
                tbody {
                    @for kind in &kinds {
                        tr {
                            th scope="row" title=(kind.words().1) { (kind.name()) }
                            @for point in &columns { (cell(times(*kind, point), most)) }
                        }
                    }
                }
            }
        }
    }
}

fn columns<'a>(points: &[&'a str], strikes: &Strikes) -> Vec<&'a str>
where
    'static: 'a,
{
    let mut columns = vec![BOOT];
    columns.extend(points);
    for (_, point) in strikes.keys() {
        if !columns.contains(point) {
            columns.push(point);
        }
    }
    columns
}

/// A number, the deeper the more; the number itself says it, too.
fn cell(times: u64, most: u64) -> Markup {
    if times == 0 {
        return html! { td.none { span aria-label="none" { "·" } } };
    }
    let share = f64::from(times.ilog2() as u16 + 1) / f64::from(most.max(1).ilog2() as u16 + 1);
    let class = ["h1", "h2", "h3", "h4"][((share * 4.0) as usize).min(3)];
    html! { td.(class) { (count(times)) } }
}
