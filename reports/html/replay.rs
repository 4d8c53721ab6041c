//! One run played again, as a page.

use maud::html;

use super::{
    page::{banner, facts, page, words},
    story::Story,
    words::moment,
};
use crate::replay::ReplayReport;

/// A run played again, with its story if its events were kept.
pub fn replay(report: &ReplayReport<'_>) -> String {
    let (run, story) = (report.run, Story { suite: report.suite, run: report.run });
    let name = format!("{}/{} seed {}", report.suite.name(), report.case(), run.seed);
    let parted = report.parted();
    let (class, sign, word) = match (&run.result.violation, parted) {
        (Some(_), _) => ("bad", "✗", "FELL"),
        (None, Some(_)) => ("bad", "✗", "ANOTHER RUN"),
        (None, None) => ("good", "✓", "holds"),
    };
    let body = html! {
        (banner(class, sign, word, &name))
        @if let Some(violation) = &run.result.violation {
            (facts(&[
                ("claim", words(&format!("{}: {}", violation.claim, report.sentence(violation.claim)))),
                ("broken by", html! { b { (violation.kind) } }),
                ("evidence", html! { pre tabindex="0" { (violation.witness) } }),
                ("seen", words(&format!("{} into the run", moment(violation.at)))),
            ]))
        }
        @if let Some(parted) = parted {
            (facts(&[
                ("parts", words(&format!("from the recorded run at line {} of its trace", parted.line))),
                ("recorded", words(parted.expected.as_deref().unwrap_or("(it had ended)"))),
                ("now", words(parted.found.as_deref().unwrap_or("(it has ended)"))),
            ]))
        }
        @if let Some(failure) = report.compared_in_words() { (facts(&[("failure", words(&failure))])) }
        (story.summary())
        h2 { "What happened" }
        (story.draw("run"))
    };
    page(&format!("Stormproof: {name}"), &body)
}
