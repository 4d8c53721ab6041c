//! The catalogue: one patch file for each bug, with a few lines before the diff that say what it is.
//!
//! ```text
//! about: the log is cleared before what it covers is persisted
//! claim: D1
//! also: D5
//! suite: wal/rot
//! ```
//!
//! `claim` is what the bug breaks; `also` names claims under which it may show first in another run; `suite` is the
//! suite, or the case, that is to find it. `git apply` passes over these lines, so a patch can be tried by hand.

use std::fs;
use std::path::{Path, PathBuf};

use super::CATALOGUE;
use crate::error::Error;

pub(super) struct Mutant {
    /// The name of its file, without the ending.
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) about: String,
    /// The claims that may fall, the one that it is here for first.
    pub(super) claims: Vec<String>,
    pub(super) suite: String,
}

impl Mutant {
    /// Reads the lines before the diff.
    fn parse(path: &Path, text: &str) -> Result<Mutant, Error> {
        let malformed = |words: String| Error::Header { path: path.to_path_buf(), words };
        let head = text.split_once("\ndiff ").ok_or_else(|| malformed("no diff follows".to_owned()))?.0;
        let (mut about, mut suite, mut claims) = (None, None, [Vec::new(), Vec::new()]);
        for line in head.lines().filter(|line| !line.trim().is_empty()) {
            let (key, value) = line.split_once(": ").ok_or_else(|| malformed(format!("`{line}` is no header")))?;
            match key {
                "about" => about = Some(value.to_owned()),
                "suite" => suite = Some(value.to_owned()),
                "claim" => claims[0] = list(value),
                "also" => claims[1] = list(value),
                _ => return Err(malformed(format!("`{key}` is no header"))),
            }
        }
        if claims[0].len() != 1 {
            return Err(malformed(format!("one claim is expected, {} are named", claims[0].len())));
        }
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let about = about.ok_or_else(|| malformed("`about` is missing".to_owned()))?;
        let suite = suite.ok_or_else(|| malformed("`suite` is missing".to_owned()))?;
        Ok(Mutant { name, path: path.to_path_buf(), about, claims: claims.concat(), suite })
    }

    /// Whether it says that this claim may fall.
    pub(super) fn declares(&self, claim: &str) -> bool {
        self.claims.iter().any(|declared| declared == claim)
    }
}

fn list(value: &str) -> Vec<String> {
    value.split(',').map(|word| word.trim().to_owned()).collect()
}

/// All patches, by name.
pub(super) fn catalogue(root: &Path) -> Result<Vec<Mutant>, Error> {
    let folder = root.join(CATALOGUE);
    let error = |source| Error::Read { path: folder.clone(), source };
    let mut mutants = Vec::new();
    for entry in fs::read_dir(&folder).map_err(error)? {
        let path = entry.map_err(error)?.path();
        if path.extension().is_some_and(|extension| extension == "patch") {
            let text = fs::read_to_string(&path).map_err(|source| Error::Read { path: path.clone(), source })?;
            mutants.push(Mutant::parse(&path, &text)?);
        }
    }
    mutants.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(mutants)
}

/// The folder, this one or one above it, that has a catalogue.
pub(super) fn root_of_the_catalogue() -> Result<PathBuf, Error> {
    let here = std::env::current_dir().map_err(|source| Error::Read { path: PathBuf::from("."), source })?;
    let root = here.ancestors().find(|folder| folder.join(CATALOGUE).is_dir());
    root.map(Path::to_path_buf).ok_or_else(|| Error::Usage(format!("there is no `{CATALOGUE}` here or above")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIFF: &str = "\ndiff --git a/x b/x\n--- a/x\n+++ b/x\n";

    fn parse(head: &str) -> Result<Mutant, Error> {
        Mutant::parse(Path::new("folder/no-sync.patch"), &format!("{head}{DIFF}"))
    }

    #[test]
    fn a_head_says_what_a_mutant_is() {
        let mutant = parse("about: it forgets\nclaim: D1\nalso: D5, V1\nsuite: wal/rot\n").expect("a head");
        assert_eq!((mutant.name.as_str(), mutant.suite.as_str()), ("no-sync", "wal/rot"));
        assert_eq!(mutant.claims, ["D1", "D5", "V1"]);
        assert!(mutant.declares("V1") && !mutant.declares("D2"));
    }

    #[test]
    fn a_head_that_says_too_little_or_something_else_is_refused() {
        for head in [
            "",
            "about: it forgets\nclaim: D1\n",
            "about: it forgets\nsuite: wal\n",
            "claim: D1\nsuite: wal\n",
            "about: it forgets\nclaim: D1, D2\nsuite: wal\n",
            "about: it forgets\nclaim: D1\nsuite: wal\nwho: me\n",
            "it forgets\n",
        ] {
            assert!(matches!(parse(head), Err(Error::Header { .. })), "{head}");
        }
    }

    #[test]
    fn a_head_without_a_diff_is_refused() {
        let text = "about: it forgets\nclaim: D1\nsuite: wal\n";
        assert!(matches!(Mutant::parse(Path::new("x.patch"), text), Err(Error::Header { .. })));
    }
}
