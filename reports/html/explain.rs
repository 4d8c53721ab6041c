//! An explanation as a page: what it takes, where it parts from a run that holds, since when it was inevitable, and the
//! story.

use maud::{Markup, html};
use stormproof_sim::hunt::explain::{Chance, Nearest, Role};

use super::{
    page::{Cell, banner, facts, page, table, words},
    story::story,
    words::moment,
};
use crate::{explain::ExplainReport, layout::count, run::sentence};

/// An explanation as a page.
pub fn explain(report: &ExplainReport<'_>) -> String {
    let explanation = report.explanation;
    let violation = &explanation.violation;
    let name = format!("{}/{} seed {}", report.suite.name(), report.case, report.seed);
    let body = html! {
        (banner("bad", "✗", violation.claim, &violation.kind))
        (facts(&[
            ("run", words(&name)),
            ("claim", words(sentence(report.suite, violation.claim))),
            ("evidence", html! { pre tabindex="0" { (violation.witness) } }),
            ("seen", words(&format!("{} into the run", moment(violation.at)))),
        ]))
        section.box { h2 { "What it takes" } (roles(&explanation.faults)) }
        section.box { h2 { "Where it parts from the nearest run that holds" } (nearest(explanation.nearest.as_ref())) }
        section.box {
            h2 { "Since when it was inevitable" }
            p.quiet { "All is drawn anew from some moment on, and faults that have not begun by then never do: how often does it still fail?" }
            (chances(&explanation.chances, explanation.inevitable()))
        }
        h2 { "What happened" }
        (story("run", &explanation.story, Some(violation.at)))
    };
    page(&format!("Stormproof: why {name} fails"), &body)
}

fn roles(roles: &[Role]) -> Markup {
    if roles.is_empty() {
        return html! { p { "No fault: it fails without any." } };
    }
    let row = |role: &Role| {
        let verdict = match (role.struck.is_some(), role.necessary) {
            (false, _) => "never struck",
            (true, true) => "necessary",
            (true, false) => "not needed",
        };
        let struck = role.struck.map(|struck| {
            let place = struck.place;
            format!("n{} at {}, step {} behind {}", struck.node, moment(struck.at), place.steps, place.point)
        });
        vec![
            Cell::Sentence(role.words.clone()),
            Cell::Shown(html! { b { (verdict) } }),
            Cell::Text(role.without.clone()),
            Cell::Text(struck.unwrap_or_else(|| "nobody".into())),
        ]
    };
    table("faults", &["fault", "", "without it", "it struck"], &roles.iter().map(row).collect::<Vec<_>>())
}

fn nearest(nearest: Option<&Nearest>) -> Markup {
    let Some(nearest) = nearest else {
        return html! { p { "No single change of the plan is enough to make it hold." } };
    };
    let list = |lines: &[String]| html! { ul.plain { @for line in lines { li { (line.trim()) } } } };
    facts(&[
        ("the change", words(&nearest.change)),
        ("in common", html! { (count(nearest.common as u64)) " events, the last of them:" (list(&nearest.before)) }),
        ("it fails", list(&nearest.failing)),
        ("it holds", list(&nearest.passing)),
    ])
}

fn chances(chances: &[Chance], inevitable: Option<&Chance>) -> Markup {
    let row = |chance: &Chance| {
        let percent = (chance.failed * 100).checked_div(chance.of).unwrap_or(0);
        let is_it = inevitable.is_some_and(|from| from.at == chance.at);
        let bar = html! { meter min="0" max="100" value=(percent) { (percent) "%" } };
        let after = html! { @if is_it { b { "from here on it always fails: " } } (chance.after) };
        vec![Cell::Number(moment(chance.at)), Cell::Shown(bar), Cell::Number(format!("{percent}%")), Cell::Shown(after)]
    };
    table("chances", &["drawn anew from", "", "fails", "after"], &chances.iter().map(row).collect::<Vec<_>>())
}
