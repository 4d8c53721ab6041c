//! `repair`: makes a directory again of what can be believed in it, and says what is lost.

use std::{
    io::{self, Write as _},
    path::Path,
    process::ExitCode,
};

use serde_json::json;

use super::{CommandError, Held};
use crate::memory::repair::{Repaired, repair};

/// Lost records that are listed in words; `--json` lists all.
const LISTED_MAX: usize = 20;

pub(super) fn run(dir: &Path, dry_run: bool, json: bool) -> Result<ExitCode, CommandError> {
    let held = if dry_run { Held::take(dir)? } else { Held::take_whole(dir)? };
    let done = repair(&held.disk, dry_run).map_err(|error| CommandError::Store { dir: dir.to_owned(), error })?;
    if json {
        let verdict = if done.is_lossless() { "nothing_lost" } else { "lost" };
        let report = json!({ "format": 1, "dry_run": dry_run, "verdict": verdict, "repair": done });
        writeln!(io::stdout(), "{report}")?;
    } else {
        writeln!(io::stdout(), "{}", in_words(dir, &done, dry_run))?;
    }
    Ok(ExitCode::from(u8::from(!done.is_lossless())))
}

fn in_words(dir: &Path, done: &Repaired, dry_run: bool) -> String {
    if done.is_nothing() {
        return format!("{}: nothing is damaged, and nothing was changed", dir.display());
    }
    let mut lines: Vec<String> = done
        .steps
        .iter()
        .map(|step| format!("{}\n  found  {}\n  done   {}", step.path, step.found, step.done))
        .collect();
    if let Some(frames) = done.frames {
        let upto = frames.upto.map_or_else(String::new, |upto| format!(", up to {upto} at least"));
        lines
            .push(format!("LOST: every transaction behind {}{upto}; LSNs from there on are given again", frames.after));
        lines.push("Foreign managers may have finished some of them, and are not repaired.".to_owned());
    }
    if !done.records.is_empty() {
        lines.push(format!("LOST: {} records, which are gone from now on:", done.records.len()));
        let listed = done.records.iter().take(LISTED_MAX);
        lines.extend(listed.map(|lost| format!("  {} in {}", lost.id, lost.version)));
        if done.records.len() > LISTED_MAX {
            lines.push(format!("  and {} more: `--json` lists all", done.records.len() - LISTED_MAX));
        }
    }
    if done.unknown > 0 {
        lines.push(format!(
            "LOST: up to {} records that nobody can name; an older writing may count for them again",
            done.unknown
        ));
    }
    for path in &done.forgetful {
        lines.push(format!(
            "LOST: what was decided by the requests in `{path}`: late copies of them may take effect again"
        ));
    }
    let verdict = match (dry_run, done.is_lossless()) {
        (true, true) => "nothing was changed; a repair would lose nothing",
        (true, false) => "nothing was changed; a repair would lose what is listed above",
        (false, true) => "repaired, and nothing is lost",
        (false, false) => "repaired; what is listed above is lost",
    };
    if let Some(kept) = done.kept_in.as_ref().filter(|_| !dry_run) {
        lines.push(format!("What was replaced, and this report, are in `{kept}`."));
    }
    lines.push(format!("\n{}: {verdict}", dir.display()));
    lines.join("\n")
}
