//! Cases that hold or fall, as a page: for runs that have no trace.

use maud::html;

use super::page::{Cell, banner, page, table};
use crate::plain::{Outcome, PlainReport, Status};

/// The page of a run that is cases and their outcomes.
pub fn plain(report: &PlainReport) -> String {
    let (class, sign, word) = look(report.status());
    let row = |outcome: &Outcome| {
        let (class, sign, word) = look(outcome.status);
        let verdict = Cell::Shown(html! { span.word.(class) { (sign) " " (word) } });
        vec![
            verdict,
            Cell::Shown(html! { a href={ "#" (outcome.name) } { (outcome.name) } }),
            Cell::Sentence(outcome.about.clone()),
        ]
    };
    let rows: Vec<_> = report.outcomes.iter().map(row).collect();
    let body = html! {
        (banner(class, sign, word, &report.summary))
        (table("verdicts of all cases", &["verdict", "case", "what should hold"], &rows))
        @for outcome in &report.outcomes {
            @let (class, sign, word) = look(outcome.status);
            section.box id=(outcome.name) {
                h2 { (outcome.name) ": " span.(class) { (sign) " " (word) } }
                @for reason in &outcome.why { pre tabindex="0" { (reason) } }
                dl.facts {
                    @for (label, value) in &outcome.facts { dt { (label) } dd { (value) } }
                }
            }
        }
    };
    page(&report.title, &body)
}

fn look(status: Status) -> (&'static str, &'static str, &'static str) {
    match status {
        Status::Held => ("good", "✓", "holds"),
        Status::Unproven => ("unsure", "?", "UNPROVEN"),
        Status::Fell => ("bad", "✗", "FELL"),
    }
}
