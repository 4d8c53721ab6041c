//! An exploration as a page: what was looked at, what was left out, and what fell.

use maud::{Markup, html};
use stormproof_sim::hunt::explore::{DepthReport, Found};

use super::page::{Cell, banner, facts, page, table, words};
use crate::{
    explore::{Explored, HEADS},
    layout::{count, plural},
    run::sentence,
};

/// An exploration as a page. Everything that depends on how fast a machine is stands at the very end.
pub fn explore(explored: &Explored<'_>) -> String {
    let report = explored.report;
    let (class, sign, word) = match explored.exit_code() {
        0 => ("good", "✓", "holds"),
        1 => ("bad", "✗", "FELL"),
        _ => ("unsure", "?", "UNPROVEN"),
    };
    let body = html! {
        (banner(class, sign, word, &looked_at(report.total())))
        p { (explored.suite.about()) }
        (facts(&explored.facts().iter().map(|(label, value)| (*label, words(value))).collect::<Vec<_>>()))
        @for why in &report.unproven { p { b { "Unproven: " } (why) } }
        @for found in report.failures.values() { (fallen(explored, found)) }
        section.box { h2 { "Workloads" } (workloads(explored)) (legend()) }
        footer id="times" { p { (explored.speed()) } }
    };
    page(&format!("Stormproof: {}, explored", report.suite), &body)
}

fn looked_at(total: DepthReport) -> String {
    let left = match total.left_out {
        0 => "nothing left out".into(),
        some => format!("at least {} left out by the bound", plural(some, "state")),
    };
    format!("{}, {}, {left}.", plural(total.points, "crash point"), plural(total.states, "disk state"))
}

fn workloads(explored: &Explored<'_>) -> Markup {
    let rows = explored.rows().into_iter().map(|row| {
        let cell = |(place, words): (usize, String)| {
            if place == 0 || place == 2 { Cell::Text(words) } else { Cell::Number(words) }
        };
        row.into_iter().enumerate().map(cell).collect()
    });
    table("workloads", &HEADS, &rows.collect::<Vec<_>>())
}

fn legend() -> Markup {
    facts(&[
        (
            "point",
            words(
                "a moment at which a node might die: before and after each disk call and named point, after each effect",
            ),
        ),
        ("state", words("what a kill, or a power loss, at a point may leave of the disk")),
        (
            "saved",
            words(
                "states that need no recovery of their own: another death left the same image, promises and boot inputs",
            ),
        ),
        ("left out", words("states beyond the bound; there, the most telling ones were tried first")),
    ])
}

fn fallen(explored: &Explored<'_>, found: &Found) -> Markup {
    let violation = &found.violation;
    html! {
        section.box {
            h2 { span.bad { "✗ FELL: " } (violation.claim) " in " (explored.report.suite) "/" (found.case) }
            (facts(&[
                ("claim", words(sentence(explored.suite, violation.claim))),
                ("broken by", html! { b { (violation.kind) } }),
                ("evidence", html! { pre tabindex="0" { (violation.witness) } }),
                ("states", words(&format!("{} failed like this", count(found.states)))),
            ]))
            @if let Some(plan) = &found.saved { (facts(&[("replay", html! { code { (explored.replay.of_plan(plan)) } })])) }
            details { summary { "The state as a plan" } pre tabindex="0" { (found.plan) } }
        }
    }
}
