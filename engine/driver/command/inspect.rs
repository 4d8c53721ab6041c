//! `inspect`: what is said of a single file.

use std::{path::Path, process::ExitCode};

use super::{CommandError, RealDisk};
use crate::store::inspect::{Inspection, Kind, inspect};

pub(super) fn run(kind: Kind, file: &Path, json: bool) -> Result<ExitCode, CommandError> {
    let missing = || CommandError::NoFile(file.to_owned());
    let name = file.file_name().and_then(|name| name.to_str()).filter(|_| file.is_file()).ok_or_else(missing)?;
    let dir = file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let disk = RealDisk::open(dir).map_err(|error| CommandError::Disk { dir: dir.to_owned(), error })?;
    let seen = inspect(&disk, kind, name).map_err(|error| {
        let file = file.to_owned();
        if error.is_passing() {
            CommandError::Store { dir: file, error }
        } else {
            CommandError::NotThat { file, error }
        }
    })?;
    println!("{}", if json { in_json(&seen) } else { in_words(file, &seen) });
    Ok(ExitCode::from(u8::from(seen.is_damaged())))
}

fn in_words(file: &Path, seen: &Inspection) -> String {
    let mut lines = vec![format!("{}: {}", file.display(), seen.about)];
    let width = seen.parts.iter().map(|part| part.what.len()).max().unwrap_or(0);
    lines.extend(seen.parts.iter().map(|part| {
        let mark = if part.damaged { "BAD" } else { "" };
        format!("{:>12}  {:width$}  {mark:3}  {}", part.offset, part.what, part.words)
    }));
    let verdict = if seen.is_damaged() { "damaged where it says BAD" } else { "whole" };
    lines.push(format!("{}: {verdict}", file.display()));
    lines.join("\n")
}

fn in_json(seen: &Inspection) -> String {
    serde_json::json!({ "format": 1, "damaged": seen.is_damaged(), "about": seen.about, "parts": seen.parts })
        .to_string()
}
