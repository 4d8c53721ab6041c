//! The report as one page, which asks nothing of a network: the targets first, then both pictures, then the text in full, which has
//! every number.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{
    chart,
    report::{Aim, Asked, Part, Report, Verdict},
    text::{text, word},
};

/// What the browser may do for the page: show it.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

const STYLE: &str = "
:root { color-scheme: light dark; --page: #fbfbfa; --box: #fff; --line: #d6d9dc; --ink: #1d2329; --quiet: #56606a;
  --good: #1d7440; --bad: #b3261e; --unsure: #6a3fa0; --mark: #3b76ad; }
@media (prefers-color-scheme: dark) { :root { --page: #14181c; --box: #1b2025; --line: #3a434b; --ink: #e6e9ec;
  --quiet: #a3adb6; --good: #7fd09c; --bad: #ff9d94; --unsure: #c9adf0; --mark: #7db8f0; } }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1000px; margin: 0 auto; padding: 24px 20px 60px; }
h1 { font-size: 22px; margin: 0 0 4px; } h2 { font-size: 17px; margin: 28px 0 6px; }
.quiet { color: var(--quiet); }
table { border-collapse: collapse; background: var(--box); border: 1px solid var(--line); }
th, td { padding: 6px 12px; text-align: left; border-bottom: 1px solid var(--line); }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
.met { color: var(--good); } .missed { color: var(--bad); } .unknown { color: var(--unsure); }
td b { font-weight: 600; }
svg { max-width: 680px; width: 100%; background: var(--box); border: 1px solid var(--line); border-radius: 6px; }
svg text { font: 12px system-ui, sans-serif; fill: var(--quiet); }
.axis { stroke: var(--quiet); } .grid { stroke: var(--line); stroke-dasharray: 2 4; }
.line { fill: none; stroke: var(--mark); stroke-width: 2; }
.dot { fill: var(--box); stroke: var(--mark); stroke-width: 2; } .dot.chosen { fill: var(--mark); }
.bar { fill: var(--mark); }
pre { font: 13px/1.45 ui-monospace, monospace; background: var(--box); border: 1px solid var(--line); border-radius: 6px;
  padding: 12px 14px; overflow-x: auto; }
";

/// The whole page.
pub(super) fn page(report: &Report) -> String {
    let title = format!("Recall: {}", report.data.name);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body { main {
                h1 { (title) }
                p.quiet { (report.machine) ", " (report.file_system) }
                @for note in &report.data.notes { p { (note) } }
                (targets(&report.targets))
                (pictures(&report.queries, ""))
                @if let Part::Measured(limited) = &report.limited {
                    (pictures(&limited.queries, &format!(", in {} MiB", limited.ram_mb)))
                }
                h2 { "All numbers" }
                pre tabindex="0" { (text(report)) }
            } }
        }
    };
    page.into_string() + "\n"
}

fn targets(aims: &[Aim]) -> Markup {
    html! {
        table {
            thead { tr { th scope="col" { "target" } th.n scope="col" { "wanted" } th.n scope="col" { "found" } th scope="col" { "verdict" } } }
            tbody { @for aim in aims { tr {
                td { (aim.name) }
                td.n { (aim.target) }
                td.n { @match aim.found { Some(found) => (format!("{found:.3}")), None => "-" } }
                td { b.(look(aim.verdict)) { (word(aim.verdict)) } }
            } } }
        }
    }
}

fn look(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Met => "met",
        Verdict::Missed => "missed",
        Verdict::NotMeasured => "unknown",
    }
}

fn pictures(asked: &Asked, whose: &str) -> Markup {
    html! {
        h2 { "Recall against speed" (whose) }
        p.quiet { "One client; each point is a search list size, the filled one was chosen by the other half of the queries." }
        (chart::curve(&asked.curve, asked.complexity))
        h2 { "How long answers took" (whose) }
        (chart::histogram(&asked.histogram))
    }
}
