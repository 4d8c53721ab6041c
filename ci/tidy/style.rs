//! The rules of one Rust file: how it opens, how long it grows, and what must not be left in it.

use super::finding::{Finding, Severity};
use super::rooms::is_within;
use super::tokens::{Kind, Token};
use super::tree::File;

/// Above this a file usually has two subjects.
const FILE_LINES_MAX: usize = 700;

/// The only modules that may say `unsafe`, a file or a folder each.
const UNSAFE_MODULES: &[&str] = &["engine/vector/simd"];

/// Marks of unfinished work; each is a macro.
const UNFINISHED: &[&str] = &["dbg", "todo", "unimplemented"];

pub(crate) fn check(file: &File, tokens: &[Token<'_>]) -> Vec<Finding> {
    let mut findings: Vec<Finding> = opening(file).into_iter().chain(length(file)).collect();
    for (at, token) in tokens.iter().enumerate() {
        findings.extend(ignored_test(file, &tokens[at..]));
        findings.extend(unfinished(file, &tokens[at..]));
        findings.extend(unsafe_code(file, token));
    }
    findings
}

fn error(file: &File, line: usize, found: String, expected: &str, remedy: &str) -> Finding {
    Finding {
        severity: Severity::Error,
        file: file.path.clone(),
        line: Some(line),
        found,
        expected: expected.to_owned(),
        remedy: remedy.to_owned(),
    }
}

fn opening(file: &File) -> Option<Finding> {
    let first = file.text.lines().next().unwrap_or_default();
    (!first.starts_with("//!")).then(|| {
        error(
            file,
            1,
            format!("`{first}`"),
            "`//!` on the first line",
            "say what the file is, why it exists, its invariants, and what is decided elsewhere",
        )
    })
}

fn length(file: &File) -> Option<Finding> {
    let lines = file.text.lines().count();
    (lines > FILE_LINES_MAX).then(|| Finding {
        severity: Severity::Warning,
        file: file.path.clone(),
        line: None,
        found: format!("{lines} lines"),
        expected: format!("at most {FILE_LINES_MAX}"),
        remedy: "look for its second title, and make that a file".to_owned(),
    })
}

/// A test that nothing runs proves nothing: its reason must name the command that does run it.
fn ignored_test(file: &File, tokens: &[Token<'_>]) -> Option<Finding> {
    let [hash, bracket, ignore, rest @ ..] = tokens else { return None };
    if !(hash.is_mark("#") && bracket.is_mark("[") && ignore.is_word("ignore")) {
        return None;
    }
    let reason = rest.get(1).filter(|token| token.kind == Kind::Literal).map_or("", |token| token.text);
    (!reason.contains("cargo ci ")).then(|| {
        error(
            file,
            ignore.line,
            "an ignored test".to_owned(),
            "`#[ignore = \"…\"]` with the `cargo ci` command that runs it",
            "make it fast enough to run always, or run it from a `cargo ci` command and name that",
        )
    })
}

fn unfinished(file: &File, tokens: &[Token<'_>]) -> Option<Finding> {
    let [name, bang, ..] = tokens else { return None };
    let is_macro = name.kind == Kind::Word && UNFINISHED.contains(&name.text) && bang.is_mark("!");
    is_macro
        .then(|| error(file, name.line, format!("`{}!`", name.text), "finished work", "finish it, or remove the path"))
}

fn unsafe_code(file: &File, token: &Token<'_>) -> Option<Finding> {
    let module = file.path.trim_end_matches(".rs");
    let allowed = UNSAFE_MODULES.iter().any(|folder| is_within(module, folder));
    (token.is_word("unsafe") && !allowed).then(|| {
        error(
            file,
            token.line,
            "`unsafe`".to_owned(),
            "`unsafe` in the SIMD module only (engine/vector/simd)",
            "find the safe form; a new place needs its own line in UNSAFE_MODULES, with a proof",
        )
    })
}
