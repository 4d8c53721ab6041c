//! `verify`: what is said of a directory.

use std::{path::Path, process::ExitCode};

use super::{CommandError, Held};
use crate::memory::verify::{Checked, State, verify};

/// Checks every file, and changes nothing.
pub(super) fn run(dir: &Path, json: bool) -> Result<ExitCode, CommandError> {
    let held = Held::take(dir)?;
    let checked = verify(&held.disk).map_err(|error| CommandError::Store { dir: dir.to_owned(), error })?;
    println!("{}", if json { in_json(&checked) } else { in_words(dir, &checked) });
    Ok(ExitCode::from(u8::from(is_bad(&checked))))
}

fn is_bad(checked: &[Checked]) -> bool {
    checked.iter().any(|file| file.state == State::Bad)
}

fn in_words(dir: &Path, checked: &[Checked]) -> String {
    let width = checked.iter().map(|file| file.path.len()).max().unwrap_or(0);
    let mut lines: Vec<String> =
        checked.iter().map(|file| format!("{:width$}  {:8}  {}", file.path, file.state.word(), file.words)).collect();
    let verdict = if is_bad(checked) {
        "DAMAGED: the next start, or a query that meets it, will be refused, and nothing changed; the reason is marked BAD"
    } else {
        "good: nothing here will be refused"
    };
    lines.push(format!("\n{}: {verdict}", dir.display()));
    lines.join("\n")
}

fn in_json(checked: &[Checked]) -> String {
    let verdict = if is_bad(checked) { "damaged" } else { "good" };
    serde_json::json!({ "format": 1, "verdict": verdict, "files": checked }).to_string()
}
