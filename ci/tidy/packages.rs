//! The import table, held against the manifests: what a package could import if a line of it tried.
//!
//! Development and build dependencies count too: a test that imports across the table ties two rooms just as tightly.
//! A package also has to inherit the workspace's lints, since those hold what the table cannot.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::finding::{Finding, Severity};
use super::rooms::{ROOMS, Room, WITHOUT_DEPENDENCIES, is_within, room_of};
use super::tree::Tree;
use crate::error::Error;

/// No resolution, so neither a network nor a lock file is needed.
const METADATA: &[&str] = &["metadata", "--no-deps", "--offline", "--format-version", "1"];

pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    pub(crate) packages: Vec<Package>,
}

pub(crate) struct Package {
    /// The name a `use` line has for it.
    pub(crate) library: String,
    /// Relative to the root, with `/`.
    pub(crate) folder: String,
    dependencies: Vec<Dependency>,
}

struct Dependency {
    name: String,
    development: bool,
    source: Source,
}

enum Source {
    Registry,
    /// A path dependency inside the workspace: the folder, relative to the root.
    Ours(String),
    /// A path dependency elsewhere on the machine.
    Elsewhere(String),
}

impl Workspace {
    /// The workspace around the current directory.
    pub(crate) fn here() -> Result<Workspace, Error> {
        Workspace::from_metadata(&metadata()?)
    }

    fn from_metadata(answer: &Value) -> Result<Workspace, Error> {
        let root = PathBuf::from(string(answer, "workspace_root")?);
        let packages = array(answer, "packages")?.iter().map(|package| Package::from_metadata(package, &root));
        let packages = packages.collect::<Result<_, _>>()?;
        Ok(Workspace { root, packages })
    }

    pub(crate) fn package_of(&self, path: &str) -> Option<&Package> {
        let holding = self.packages.iter().filter(|package| is_within(path, &package.folder));
        holding.max_by_key(|package| package.folder.len())
    }

    pub(crate) fn package_named(&self, library: &str) -> Option<&Package> {
        self.packages.iter().find(|package| package.library == library)
    }
}

impl Package {
    fn from_metadata(package: &Value, root: &Path) -> Result<Package, Error> {
        let manifest = Path::new(string(package, "manifest_path")?);
        let folder = manifest.parent().unwrap_or(manifest);
        let folder = relative(folder, root).unwrap_or_else(|| folder.display().to_string());
        let dependencies = array(package, "dependencies")?.iter().map(|one| Dependency::from_metadata(one, root));
        let dependencies = dependencies.collect::<Result<_, _>>()?;
        Ok(Package { library: string(package, "name")?.replace('-', "_"), folder, dependencies })
    }

    fn manifest(&self) -> String {
        format!("{}/Cargo.toml", self.folder)
    }
}

impl Dependency {
    fn from_metadata(dependency: &Value, root: &Path) -> Result<Dependency, Error> {
        let source = match dependency["path"].as_str() {
            None => Source::Registry,
            Some(path) => match relative(Path::new(path), root) {
                Some(folder) => Source::Ours(folder),
                None => Source::Elsewhere(path.to_owned()),
            },
        };
        let development = dependency["kind"].as_str() == Some("dev");
        Ok(Dependency { name: string(dependency, "name")?.to_owned(), development, source })
    }
}

/// What cargo says of the workspace around the current directory.
pub(crate) fn metadata() -> Result<Value, Error> {
    let arguments = || METADATA.join(" ");
    let output = Command::new("cargo")
        .args(METADATA)
        .output()
        .map_err(|source| Error::Start { arguments: arguments(), source })?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(Error::Cargo { arguments: arguments(), stderr });
    }
    serde_json::from_slice(&output.stdout)
        .map_err(|error| Error::Metadata { at: "the whole".to_owned(), found: error.to_string() })
}

pub(crate) fn string<'a>(value: &'a Value, key: &str) -> Result<&'a str, Error> {
    value[key].as_str().ok_or_else(|| Error::Metadata { at: key.to_owned(), found: "no string".to_owned() })
}

pub(crate) fn array<'a>(value: &'a Value, key: &str) -> Result<&'a Vec<Value>, Error> {
    value[key].as_array().ok_or_else(|| Error::Metadata { at: key.to_owned(), found: "no array".to_owned() })
}

fn relative(path: &Path, root: &Path) -> Option<String> {
    let below = path.strip_prefix(root).ok()?;
    Some(below.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/"))
}

pub(crate) fn check(workspace: &Workspace, tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in &workspace.packages {
        if !ROOMS.iter().any(|room| room.folder == package.folder) {
            findings.push(without_a_row(package));
        }
        findings.extend(own_lints(tree, package));
        for dependency in &package.dependencies {
            findings.extend(breach(workspace, package, dependency).map(|(found, expected, remedy)| Finding {
                severity: Severity::Error,
                file: package.manifest(),
                line: line_naming(tree, package, &dependency.name),
                found,
                expected,
                remedy,
            }));
        }
    }
    findings
}

/// What is wrong with this dependency, if anything: found, expected, remedy.
fn breach(workspace: &Workspace, package: &Package, dependency: &Dependency) -> Option<(String, String, String)> {
    let found = format!("a dependency on `{}`", dependency.name);
    match &dependency.source {
        Source::Registry if package.folder == WITHOUT_DEPENDENCIES && !dependency.development => Some((
            found,
            format!("no dependency in {WITHOUT_DEPENDENCIES}: every engine on trial links it"),
            "write the few lines that are needed, or move the code to the room that uses it".to_owned(),
        )),
        Source::Registry => None,
        Source::Elsewhere(path) => Some((
            format!("{found} at `{path}`, outside the repository"),
            "a clean checkout that builds by itself".to_owned(),
            "depend on a published version, or bring the package into the workspace".to_owned(),
        )),
        Source::Ours(folder) if may_depend(workspace, package, folder) => None,
        Source::Ours(folder) => Some((
            format!("{found} ({folder})"),
            format!("{} to depend on {} only", package.folder, dependencies_in_words(workspace, package)),
            "move the code that needs it to a room that may; the table is ROOMS in ci/tidy/rooms.rs".to_owned(),
        )),
    }
}

/// A package may depend on what at least one of its rooms may import.
fn may_depend(workspace: &Workspace, package: &Package, folder: &str) -> bool {
    let Some(wanted) = room_of(folder) else { return false };
    rooms_of(workspace, package).any(|room| room.may_import(wanted))
}

fn rooms_of<'a>(workspace: &'a Workspace, package: &'a Package) -> impl Iterator<Item = &'static Room> + 'a {
    ROOMS.iter().filter(|room| workspace.package_of(room.folder).is_some_and(|holder| holder.folder == package.folder))
}

fn dependencies_in_words(workspace: &Workspace, package: &Package) -> String {
    let others = workspace.packages.iter().filter(|other| other.folder != package.folder);
    let allowed: Vec<&str> =
        others.map(|other| other.folder.as_str()).filter(|folder| may_depend(workspace, package, folder)).collect();
    if allowed.is_empty() { "nothing of ours".to_owned() } else { allowed.join(", ") }
}

fn without_a_row(package: &Package) -> Finding {
    Finding {
        severity: Severity::Error,
        file: package.manifest(),
        line: None,
        found: format!("the package `{}`, of which the import table says nothing", package.library),
        expected: "a row for every package".to_owned(),
        remedy: "add its row to ROOMS in ci/tidy/rooms.rs".to_owned(),
    }
}

/// Lints and bans are inherited by those packages only that ask for them: one that forgets is under none.
fn own_lints(tree: &Tree, package: &Package) -> Option<Finding> {
    let text = tree.text(&package.manifest()).unwrap_or_default();
    let inherits = text.lines().skip_while(|line| line.trim() != "[lints]").nth(1) == Some("workspace = true");
    (!inherits).then(|| Finding {
        severity: Severity::Error,
        file: package.manifest(),
        line: None,
        found: "no lints, so none of the workspace's bans hold here".to_owned(),
        expected: "`[lints]` followed by `workspace = true`".to_owned(),
        remedy: "add the two lines; allow single lints in place, with a reason".to_owned(),
    })
}

fn line_naming(tree: &Tree, package: &Package, dependency: &str) -> Option<usize> {
    let text = tree.text(&package.manifest())?;
    // The package's own `name` and `description` may contain the word; a dependency's line begins with it or renames it.
    let names = |line: &str| {
        line.strip_prefix(dependency).is_some_and(|rest| rest.starts_with(['.', ' ', '=']))
            || line.contains(&format!("package = \"{dependency}\""))
    };
    text.lines().position(names).map(|index| index + 1)
}
