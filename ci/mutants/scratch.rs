//! A copy of the tracked files in a temporary folder, in which bugs are planted. It is removed when it is dropped.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::patch::Mutant;
use crate::error::Error;

/// Where the function is added that the patches call, and the function. It prints once in each process.
const CONTRACT: &str = "sim/contract/lib.rs";
const MUTANT_RAN: &str = r#"
/// Says that the code of a planted bug was reached.
pub fn mutant_ran() {
    static SAID: std::sync::Once = std::sync::Once::new();
    SAID.call_once(|| eprintln!("mutant ran"));
}
"#;

pub(super) struct Scratch {
    pub(super) folder: PathBuf,
    keep: bool,
}

impl Scratch {
    /// Copies what git tracks, as it lies in the folder now.
    pub(super) fn copy(root: &Path, keep: bool) -> Result<Scratch, Error> {
        let listed = git(root, &["ls-files", "-z"])?;
        let folder = std::env::temp_dir().join(format!("stormproof-mutants-{}", std::process::id()));
        let scratch = Scratch { folder, keep };
        let names = String::from_utf8_lossy(&listed.stdout);
        for name in names.split('\0').filter(|name| !name.is_empty()) {
            scratch.copy_file(root, name)?;
        }
        let contract = scratch.folder.join(CONTRACT);
        let text = fs::read_to_string(&contract).map_err(|source| Error::Read { path: contract.clone(), source })?;
        fs::write(&contract, text + MUTANT_RAN).map_err(|source| Error::Write { path: contract, source })?;
        if keep {
            eprintln!("cargo ci mutants: the copy stays in {}", scratch.folder.display());
        }
        Ok(scratch)
    }

    fn copy_file(&self, root: &Path, name: &str) -> Result<(), Error> {
        let (from, to) = (root.join(name), self.folder.join(name));
        // Removed, and not yet committed.
        if !from.is_file() {
            return Ok(());
        }
        let error = |source| Error::Write { path: to.clone(), source };
        to.parent().map_or(Ok(()), fs::create_dir_all).map_err(error)?;
        fs::copy(&from, &to).map_err(error)?;
        Ok(())
    }

    /// Applies the patch of a mutant.
    pub(super) fn plant(&self, mutant: &Mutant) -> Result<(), Error> {
        apply(&self.folder, mutant, &[])
    }

    /// Takes it back.
    pub(super) fn weed(&self, mutant: &Mutant) -> Result<(), Error> {
        apply(&self.folder, mutant, &["--reverse"])
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !self.keep {
            // Whatever cannot be removed is in the folder for temporary files, and nobody reads it.
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// Whether a mutant can be planted in the tree. Changes nothing.
pub(super) fn would_apply(root: &Path, mutant: &Mutant) -> Result<(), Error> {
    apply(root, mutant, &["--check"])
}

fn apply(folder: &Path, mutant: &Mutant, options: &[&str]) -> Result<(), Error> {
    let path = mutant.path.to_string_lossy();
    let arguments = [&["apply"], options, &[&*path]].concat();
    git(folder, &arguments).map(drop)
}

fn git(folder: &Path, arguments: &[&str]) -> Result<Output, Error> {
    let mut command = Command::new("git");
    command.args(arguments).current_dir(folder);
    // Else git would take the copy for a folder of a repository around it, and pass over every file of a patch.
    if let Some(above) = folder.parent() {
        command.env("GIT_CEILING_DIRECTORIES", above);
    }
    let words = || arguments.join(" ");
    let output = command.output().map_err(|source| Error::Git { arguments: words(), source })?;
    if output.status.success() {
        return Ok(output);
    }
    Err(Error::GitFailed { arguments: words(), stderr: String::from_utf8_lossy(&output.stderr).into_owned() })
}
