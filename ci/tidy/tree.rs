//! The repository's text files, read once and in one order, so that two runs say the same thing.

use std::fs;
use std::path::Path;

use crate::error::Error;

/// Made by tools and ignored by git, at any depth.
const SKIPPED: &[&str] = &["target", ".git", ".stormproof"];

pub(crate) struct Tree {
    /// Names in the top folder, sorted, without the skipped ones.
    pub(crate) top: Vec<String>,
    pub(crate) files: Vec<File>,
}

pub(crate) struct File {
    /// Relative to the root, with `/` on every platform.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl File {
    pub(crate) fn is_rust(&self) -> bool {
        Path::new(&self.path).extension().is_some_and(|extension| extension == "rs")
    }
}

impl Tree {
    pub(crate) fn read(root: &Path) -> Result<Tree, Error> {
        let mut files = Vec::new();
        let top = read_folder(root, "", &mut files)?;
        Ok(Tree { top, files })
    }

    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.files.iter().find(|file| file.path == path).map(|file| file.text.as_str())
    }
}

/// Adds the text files below `folder` and returns the names directly in it. Links are neither followed nor read.
fn read_folder(root: &Path, folder: &str, files: &mut Vec<File>) -> Result<Vec<String>, Error> {
    let names = names_in(&root.join(folder))?;
    for name in &names {
        let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
        let full = root.join(&path);
        let kind = fs::symlink_metadata(&full).map_err(|source| Error::Read { path: full.clone(), source })?;
        if kind.is_dir() {
            read_folder(root, &path, files)?;
        } else if kind.is_file() {
            let bytes = fs::read(&full).map_err(|source| Error::Read { path: full, source })?;
            // What is not UTF-8 is data: none of the rules speak of it.
            if let Ok(text) = String::from_utf8(bytes) {
                files.push(File { path, text });
            }
        }
    }
    Ok(names)
}

fn names_in(folder: &Path) -> Result<Vec<String>, Error> {
    let error = |source| Error::Read { path: folder.to_path_buf(), source };
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(error)? {
        let name = entry.map_err(error)?.file_name().to_string_lossy().into_owned();
        if !SKIPPED.contains(&name.as_str()) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}
