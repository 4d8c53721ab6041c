//! How much of the store's files the page cache holds. The system tells it through calls that take `unsafe` code; `fincore` of
//! util-linux makes them, and is asked as a process of its own.
//!
//! Invariant: files may come and go meanwhile, since the store is open. One that is gone counts as nothing; one that is there and
//! of which nothing was told is a failure.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    process::Command,
};

use super::{report::Part, vitals::files};

const COMMAND: &str = "fincore";
/// Files that one process is asked about: their paths stay far below what a command line may hold.
const FILES_MAX: usize = 128;

/// Bytes that are cached of the files below a directory, in whole pages, by the directories of [`files`].
pub(super) fn page_cache(dir: &Path) -> Part<BTreeMap<String, u64>> {
    told_by(COMMAND, dir)
}

fn told_by(command: &str, dir: &Path) -> Part<BTreeMap<String, u64>> {
    let mut sums = BTreeMap::new();
    let places = match files(dir) {
        Ok(places) => places,
        Err(error) => return Part::Failed(format!("{}: {error}", dir.display())),
    };
    for (place, files) in places {
        let paths: Vec<PathBuf> = files.into_iter().map(|(path, _)| path).collect();
        let mut sum = 0;
        for some in paths.chunks(FILES_MAX) {
            match ask(command, some) {
                Ok(bytes) => sum += bytes,
                Err(part) => return part.into(),
            }
        }
        sums.insert(place, sum);
    }
    Part::Measured(sums)
}

/// Why nothing is known.
#[derive(Debug)]
enum Unknown {
    Missing(String),
    Failed(String),
}

impl<T> From<Unknown> for Part<T> {
    fn from(unknown: Unknown) -> Self {
        match unknown {
            Unknown::Missing(why) => Part::Skipped(why),
            Unknown::Failed(why) => Part::Failed(why),
        }
    }
}

fn ask(command: &str, paths: &[PathBuf]) -> Result<u64, Unknown> {
    let arguments = ["--bytes", "--noheadings", "--output", "RES", "--"];
    let output = Command::new(command).args(arguments).args(paths).output().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Unknown::Missing(format!("{command} is missing; it comes with util-linux")),
        _ => Unknown::Failed(format!("{command}: {error}")),
    })?;
    let told = sum(&String::from_utf8_lossy(&output.stdout));
    let there = paths.iter().filter(|path| path.exists()).count();
    match told {
        // It also fails if a file is gone by now, having told of all others.
        Some((files, bytes)) if files >= there => Ok(bytes),
        _ => {
            let words = String::from_utf8_lossy(&output.stderr);
            let why = words.lines().next().unwrap_or("it does not tell of every file");
            Err(Unknown::Failed(format!("{command} ended with {}: {why}", output.status)))
        }
    }
}

/// How many numbers there are, one a line, and their sum; nothing if one is none.
fn sum(lines: &str) -> Option<(usize, u64)> {
    let mut numbers = lines.lines().map(|line| line.trim().parse::<u64>().ok());
    numbers.try_fold((0, 0_u64), |(count, sum), number| Some((count + 1, sum.checked_add(number?)?)))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn dir(files: usize) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a directory");
        let below = dir.path().join("node/segments");
        fs::create_dir_all(&below).expect("made");
        for nth in 0..files {
            fs::write(below.join(nth.to_string()), "some bytes").expect("written");
        }
        dir
    }

    #[test]
    fn every_line_is_a_number_or_nothing_is_known() {
        assert_eq!(sum(""), Some((0, 0)));
        assert_eq!(sum("   4096\n0\n  8192\n"), Some((3, 12_288)));
        for wrong in ["4K\n", "4096\n\n", "-1\n", "18446744073709551615\n1\n"] {
            assert_eq!(sum(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn more_files_than_one_process_is_asked_about_are_told_of_by_several() {
        let dir = dir(2 * FILES_MAX + 1);
        match page_cache(dir.path()) {
            Part::Measured(sums) => {
                // Some file systems have caches of their own, of which nobody tells.
                let most = (2 * FILES_MAX as u64 + 1) << 16;
                assert!(sums.len() == 1 && sums["node/segments"] <= most, "{sums:?}");
            }
            Part::Skipped(why) => {
                eprintln!("SKIPPED: more_files_than_one_process_is_asked_about_are_told_of_by_several: {why}");
            }
            Part::Failed(why) => panic!("{why}"),
        }
    }

    #[test]
    fn a_command_that_is_missing_or_tells_nothing_is_said() {
        let dir = dir(1);
        let missing = told_by("no-such-fincore", dir.path());
        assert!(matches!(&missing, Part::Skipped(why) if why.contains("no-such-fincore is missing")), "{missing:?}");
        let silent = told_by("true", dir.path());
        assert!(matches!(&silent, Part::Failed(why) if why.contains("not tell of every file")), "{silent:?}");
        let nowhere = page_cache(&dir.path().join("none"));
        assert!(matches!(&nowhere, Part::Failed(why) if why.contains("none: ")), "{nowhere:?}");
    }

    #[test]
    fn a_file_that_is_gone_counts_as_nothing() {
        let dir = dir(1);
        let paths = [dir.path().join("node/segments/0"), dir.path().join("gone")];
        match ask(COMMAND, &paths) {
            Ok(_) => assert!(matches!(ask("true", &paths[1..]), Ok(0))),
            Err(Unknown::Missing(why)) => eprintln!("SKIPPED: a_file_that_is_gone_counts_as_nothing: {why}"),
            Err(Unknown::Failed(why)) => panic!("{why}"),
        }
    }
}
