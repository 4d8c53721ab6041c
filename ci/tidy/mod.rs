//! `cargo ci tidy`: what a reader may rely on about the tree and no compiler checks.
//!
//! - [`rooms`] is the import table; [`packages`] holds the manifests to it and [`imports`] the source.
//! - [`layout`] keeps the top level as it is; [`style`] holds the rules of one Rust file; [`words`] keeps out what
//!   only means something on one machine.
//!
//! Every check is a function from the tree to findings, so that each is tested on a fixture. The tree is what lies in
//! the folder, not what git tracks: the check also works on an exported archive, and sees a file before it is added.

pub(crate) mod finding;
mod imports;
mod layout;
pub(crate) mod packages;
mod paths;
mod rooms;
mod style;
mod tokens;
mod tree;
mod words;

use crate::Verdict;
use crate::error::Error;
use finding::{Finding, Severity};
use packages::Workspace;
use tree::Tree;

/// Checks the workspace around the current directory and prints what was found.
pub(crate) fn run() -> Result<Verdict, Error> {
    let workspace = Workspace::here()?;
    let tree = Tree::read(&workspace.root)?;
    let findings = check(&workspace, &tree);
    for finding in &findings {
        eprintln!("{finding}");
    }
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error).count();
    eprintln!("cargo ci tidy: {} files, {errors} errors, {} warnings", tree.files.len(), findings.len() - errors);
    Ok(if errors == 0 { Verdict::Holds } else { Verdict::Fell })
}

fn check(workspace: &Workspace, tree: &Tree) -> Vec<Finding> {
    let mut findings = layout::check(tree);
    findings.extend(packages::check(workspace, tree));
    for file in &tree.files {
        findings.extend(words::check(file));
        if file.is_rust() {
            let tokens = tokens::tokens(&file.text);
            findings.extend(style::check(file, &tokens));
            findings.extend(imports::check(file, &tokens, workspace));
        }
    }
    findings
}
