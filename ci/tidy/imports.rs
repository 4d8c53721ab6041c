//! The import table, held against the source: every path a file names must lead to a room it may import.
//!
//! Paths are resolved by where the file lies, since folders are modules here. A bare child module (`wal::Frame` in
//! `store/mod.rs`) stays in its room and is not looked at. A path that stops at the crate's root (`use crate::*`, an
//! item that `lib.rs` re-exports) counts as an import of the root's room, which no room below it may have: otherwise a
//! re-export would be a way around the table. What a macro pastes together is not seen; the compiler's privacy is.

use super::finding::{Finding, Severity};
use super::packages::{Package, Workspace};
use super::paths::{Named, paths};
use super::rooms::{ADVICE, MACHINE, Outside, Room, room_of};
use super::tokens::Token;
use super::tree::File;

/// Folders of a package whose files are crates of their own: there `crate` is the file itself.
const SEPARATE_CRATES: &[&str] = &["tests", "examples", "benches"];

pub(crate) fn check(file: &File, tokens: &[Token<'_>], workspace: &Workspace) -> Vec<Finding> {
    let Some(room) = room_of(&file.path) else { return vec![without_a_room(file)] };
    let mut findings = Vec::new();
    for path in paths(tokens) {
        let target = resolve(file, &path, workspace).and_then(|target| room_of(&target));
        if let Some(target) = target.filter(|target| !room.may_import(target)) {
            findings.push(import_breach(file, &path, room, target));
        }
        if room.outside == Outside::Pure && names_the_machine(&path) && !is_advice(file, &path) {
            findings.push(machine_breach(file, &path, room));
        }
    }
    findings
}

/// Where a path leads, as a path from the repository's root; `None` when it stays in the file's module or leaves for a
/// crate that is not ours.
fn resolve(file: &File, path: &Named<'_>, workspace: &Workspace) -> Option<String> {
    let (first, rest) = path.segments.split_first()?;
    let own = workspace.package_of(&file.path);
    match *first {
        "crate" => Some(join(&library_of(own?, file)?.folder, rest)),
        "self" | "super" => {
            let package = library_of(own?, file)?;
            let mut module = module_of(package, file);
            module.extend(&path.within);
            let climbs = path.segments.iter().take_while(|segment| ["self", "super"].contains(segment));
            for segment in climbs.clone() {
                if *segment == "super" {
                    module.pop();
                }
            }
            module.extend(&path.segments[climbs.count()..]);
            Some(join(&package.folder, &module))
        }
        name => workspace.package_named(name).map(|package| join(&package.folder, rest)),
    }
}

/// The package, if the file is part of its library or of its command.
fn library_of<'w>(package: &'w Package, file: &File) -> Option<&'w Package> {
    let top = below(package, file).split('/').next()?;
    (!SEPARATE_CRATES.contains(&top)).then_some(package)
}

fn below<'f>(package: &Package, file: &'f File) -> &'f str {
    file.path[package.folder.len()..].trim_start_matches('/')
}

fn module_of<'f>(package: &Package, file: &'f File) -> Vec<&'f str> {
    let mut module: Vec<&str> = below(package, file).trim_end_matches(".rs").split('/').collect();
    if module.last().is_some_and(|last| ["mod", "lib", "main"].contains(last)) {
        module.pop();
    }
    module
}

fn join(folder: &str, module: &[&str]) -> String {
    module.iter().fold(folder.to_owned(), |path, segment| format!("{path}/{segment}"))
}

fn names_the_machine(path: &Named<'_>) -> bool {
    MACHINE.iter().any(|machine| begins_with(path, machine))
}

fn is_advice(file: &File, path: &Named<'_>) -> bool {
    ADVICE.iter().any(|(place, named)| file.path == *place && begins_with(path, named))
}

fn begins_with(path: &Named<'_>, prefix: &str) -> bool {
    let mut segments = path.segments.iter();
    prefix.split("::").all(|part| segments.next() == Some(&part))
}

fn import_breach(file: &File, path: &Named<'_>, room: &Room, target: &Room) -> Finding {
    Finding {
        severity: Severity::Error,
        file: file.path.clone(),
        line: Some(path.line),
        found: format!("`{}`, which is in {}", path.segments.join("::"), target.folder),
        expected: format!("{} to import {} only", room.folder, room.imports_in_words()),
        remedy: "name the item by its own room, move this code to a room that may import it, or pass the value in; \
                 the table is ROOMS in ci/tidy/rooms.rs"
            .to_owned(),
    }
}

fn machine_breach(file: &File, path: &Named<'_>, room: &Room) -> Finding {
    Finding {
        severity: Severity::Error,
        file: file.path.clone(),
        line: Some(path.line),
        found: format!("`{}`, which is the machine", path.segments.join("::")),
        expected: format!("{} to see no threads, sockets, files, processes, environment or time of day", room.folder),
        remedy: "ask the injected disk or clock, or move this code to a room that sees the machine (engine/driver, \
                 sim/hunt, scenarios)"
            .to_owned(),
    }
}

fn without_a_room(file: &File) -> Finding {
    Finding {
        severity: Severity::Error,
        file: file.path.clone(),
        line: None,
        found: "source that lies in no room".to_owned(),
        expected: "every Rust file in a folder of the import table".to_owned(),
        remedy: "move it into a room; the table is ROOMS in ci/tidy/rooms.rs".to_owned(),
    }
}
