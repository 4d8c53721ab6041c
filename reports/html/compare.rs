//! A hunt beside an older one, as a page.

use maud::{Markup, html};

use super::page::{Cell, banner, facts, page, table, words};
use crate::{
    compare::{Compared, Comparison, Covered},
    layout::count,
};

/// The page of a comparison. What depends on how fast a machine is stands in the block `times`.
pub fn compare(comparison: &Comparison) -> String {
    let (class, sign, word) = match (comparison.against, comparison.exit_code()) {
        (false, _) => ("unsure", "·", comparison.verdict.as_str()),
        (true, 0) => ("good", "✓", "no worse"),
        (true, _) => ("bad", "✗", "WORSE"),
    };
    let body = html! {
        (banner(class, sign, word, &format!("{}.", comparison.conclusion())))
        (overview(comparison))
        @for compared in &comparison.suites { (suite(compared)) }
        footer id="times" {
            @for suite in &comparison.suites { p { (suite.name) ": " (suite.speed_in_words()) } }
        }
    };
    let title = if comparison.against { "Stormproof: two hunts compared" } else { "Stormproof: a hunt" };
    page(title, &body)
}

fn overview(comparison: &Comparison) -> Markup {
    let sum = |areas: &Covered| count(areas.values().map(|words| words.len() as u64).sum());
    let row = |suite: &Compared| {
        let numbers = [count(suite.covered.values().sum()), sum(&suite.gained), sum(&suite.lost)].map(Cell::Number);
        let verdict = suite.verdict.clone().unwrap_or_else(|| "not run".into());
        let first = [suite.name.clone(), verdict].map(Cell::Text);
        first.into_iter().chain(numbers).chain([Cell::Sentence(suite.seeds_in_words())]).collect()
    };
    let rows: Vec<Vec<Cell>> = comparison.suites.iter().map(row).collect();
    table("all suites", &["suite", "verdict", "covered", "gained", "lost", "seeds"], &rows)
}

fn suite(suite: &Compared) -> Markup {
    let covered: Vec<_> = suite.covered.iter().map(|(area, n)| (area.words(), words(&count(*n)))).collect();
    html! {
        section.box {
            h2 { (suite.name) }
            (facts(&covered))
            @if !suite.failures.is_empty() {
                h3 { "Failures" }
                ul.plain { @for detection in &suite.failures { li { (detection.words()) } } }
            }
            @if suite.newly_differs { p { b.bad { "✗ Runs repeated differ, and did not before." } } }
            (areas("Lost", &suite.lost))
            (areas("Gained", &suite.gained))
        }
    }
}

fn areas(title: &str, areas: &Covered) -> Markup {
    html! {
        @if !areas.is_empty() {
            h3 { (title) }
            @for (area, all) in areas {
                p { b { (area.words()) } }
                ul.plain { @for one in all { li { (one) } } }
            }
        }
    }
}
