//! The frame of every page: one file that asks nothing of a network, in the reader's own font and colours.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::timeline::definitions;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("timeline.js");

/// What the browser may do for the page: show it, and run what stands in it. It holds words of the system on trial, and
/// even if one of them were taken for more than words, nothing could be fetched or sent.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'; \
                      form-action 'none'";

/// A whole page. Styles and the script of the pictures come with it; `body` is all that differs.
pub fn page(title: &str, body: &Markup) -> String {
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
            body {
                (definitions())
                main { h1 { (title) } (body) }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    page.into_string() + "\n"
}

/// What a page is about, first and big: a sign, a word, and what it means. `class` is `good`, `warn`, `unsure` or `bad`.
pub fn banner(class: &str, sign: &str, word: &str, meaning: &str) -> Markup {
    html! { div.verdict.(class) { strong { (sign) " " (word) } span { (meaning) } } }
}

/// A table in a box of its own, in which it scrolls where the page is narrower.
pub fn table(about: &str, heads: &[&str], rows: &[Vec<Cell>]) -> Markup {
    let is_number = |place| rows.first().is_some_and(|row| matches!(row.get(place), Some(Cell::Number(_))));
    html! {
        div.scroll tabindex="0" role="region" aria-label=(about) {
            table {
                thead { tr { @for (place, head) in heads.iter().enumerate() {
                    th.n[is_number(place)] scope="col" { (head) }
                } } }
                tbody { @for row in rows { tr { @for cell in row { (cell.draw()) } } } }
            }
        }
    }
}

/// A cell of a table.
pub enum Cell {
    /// Words.
    Text(String),
    /// A sentence, which needs room.
    Sentence(String),
    /// A number, or something like it.
    Number(String),
    /// Anything else.
    Shown(Markup),
}

impl Cell {
    fn draw(&self) -> Markup {
        match self {
            Cell::Text(words) => html! { td { (words) } },
            Cell::Sentence(words) => html! { td.wide { (words) } },
            Cell::Number(words) => html! { td.n { (words) } },
            Cell::Shown(markup) => html! { td { (markup) } },
        }
    }
}

/// Labelled values, one below the other.
pub fn facts(facts: &[(&str, Markup)]) -> Markup {
    html! { dl.facts { @for (label, value) in facts { dt { (label) } dd { (value) } } } }
}

/// Words as a value of [`facts`].
pub fn words(words: &str) -> Markup {
    html! { (words) }
}
