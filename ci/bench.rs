//! `cargo ci bench`: criterion's benches, kept under a name, or set beside what was kept under one.
//!
//! A time is no finding, since it says as much of the machine as of the code: whatever is measured, the command holds.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use crate::{
    Verdict,
    error::Error,
    tidy::packages::{array, metadata, string},
};

const PACKAGE: &str = "stormproof-bench";
/// The name if none is given.
const MAIN: &str = "main";
/// Folders of criterion's own, beside those named by baselines.
const TAKEN: &[&str] = &["base", "change", "new", "report"];
/// How deep criterion's folders may lie in each other: group, function, value, baseline, and some to spare.
const DEPTH_MAX: usize = 8;

#[derive(Clone, PartialEq, Eq, Debug)]
enum Baseline {
    Save(String),
    Against(String),
}

#[derive(PartialEq, Eq, Debug)]
struct Asked {
    baseline: Baseline,
    benches: Vec<String>,
}

/// `bench [--save [NAME] | --against [NAME]] [BENCH..]`.
pub(crate) fn run(words: &[&str]) -> Result<Verdict, Error> {
    let metadata = metadata()?;
    let Asked { baseline, benches } = asked(words, &benches_of(&metadata)?)?;
    let home = Path::new(string(&metadata, "target_directory")?).join("criterion");
    if let Baseline::Against(name) = &baseline
        && !is_kept(&home, name, DEPTH_MAX)
    {
        let words = format!("no baseline `{name}` is kept: measure one first, with `cargo ci bench --save {name}`");
        return Err(Error::Usage(words));
    }
    let arguments = arguments(&baseline, &benches);
    let status = Command::new("cargo")
        .args(&arguments)
        .env("CRITERION_HOME", &home)
        .status()
        .map_err(|source| Error::Start { arguments: arguments.join(" "), source })?;
    if !status.success() {
        return Err(Error::Ended { arguments: arguments.join(" "), status });
    }
    match baseline {
        Baseline::Save(name) => eprintln!("cargo ci bench: kept as `{name}`"),
        Baseline::Against(name) => eprintln!("cargo ci bench: changes are those since `{name}`; what is new has none"),
    }
    Ok(Verdict::Holds)
}

fn benches_of(metadata: &Value) -> Result<Vec<String>, Error> {
    let packages = array(metadata, "packages")?;
    let Some(package) = packages.iter().find(|package| package["name"] == PACKAGE) else { return Ok(Vec::new()) };
    let is_bench = |target: &&Value| target["kind"][0] == "bench";
    array(package, "targets")?.iter().filter(is_bench).map(|target| string(target, "name").map(str::to_owned)).collect()
}

fn asked(words: &[&str], known: &[String]) -> Result<Asked, Error> {
    let is_known = |word: &str| known.iter().any(|bench| bench == word);
    let (mut baseline, mut benches) = (None, Vec::new());
    let mut words = words.iter().copied().peekable();
    while let Some(word) = words.next() {
        match word {
            "--save" | "--against" if baseline.is_some() => {
                return Err(Error::Usage("bench takes one of --save and --against, once".into()));
            }
            "--save" | "--against" => {
                let name = words.next_if(|next| !next.starts_with("--") && !is_known(next)).unwrap_or(MAIN);
                let name = named(name)?;
                baseline = Some(if word == "--save" { Baseline::Save(name) } else { Baseline::Against(name) });
            }
            bench if is_known(bench) => benches.push(bench.to_owned()),
            other => return Err(Error::Usage(format!("bench: no `{other}`; there are {}", known.join(", ")))),
        }
    }
    if benches.is_empty() {
        benches = known.to_vec();
    }
    Ok(Asked { baseline: baseline.unwrap_or_else(|| Baseline::Save(MAIN.into())), benches })
}

/// A name is that of a folder among criterion's.
fn named(name: &str) -> Result<String, Error> {
    let is_plain = name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    if !is_plain || !name.starts_with(|c: char| c.is_ascii_alphanumeric()) || TAKEN.contains(&name) {
        let words = format!("`{name}` is no name of a baseline: letters, digits, `-`, `_` and `.`, and not {TAKEN:?}");
        return Err(Error::Usage(words));
    }
    Ok(name.to_owned())
}

fn arguments(baseline: &Baseline, benches: &[String]) -> Vec<String> {
    let (option, name) = match baseline {
        Baseline::Save(name) => ("--save-baseline", name),
        // The other kind ends at the first measurement that is newer than the baseline.
        Baseline::Against(name) => ("--baseline-lenient", name),
    };
    let benches = benches.iter().flat_map(|bench| ["--bench", bench]);
    let words = ["bench", "--package", PACKAGE].into_iter().chain(benches).chain(["--", option, name]);
    words.map(str::to_owned).collect()
}

/// Whether some measurement was kept under a name.
fn is_kept(folder: &Path, name: &str, depth: usize) -> bool {
    if folder.join(name).join("estimates.json").is_file() {
        return true;
    }
    let below = fs::read_dir(folder).into_iter().flatten().flatten();
    let folders: Vec<PathBuf> = below.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    depth > 0 && folders.iter().any(|folder| is_kept(folder, name, depth - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(words: &str) -> Result<(Baseline, String), String> {
        let words: Vec<&str> = words.split_whitespace().collect();
        let known = ["flat", "graph"].map(str::to_owned);
        let told = asked(&words, &known).map_err(|error| error.to_string())?;
        Ok((told.baseline, told.benches.join(" ")))
    }

    #[test]
    fn all_benches_are_kept_as_main_unless_something_else_is_asked_for() {
        let (save, against) = (|name: &str| Baseline::Save(name.into()), |name: &str| Baseline::Against(name.into()));
        for (words, baseline, benches) in [
            ("", save("main"), "flat graph"),
            ("graph", save("main"), "graph"),
            ("--save", save("main"), "flat graph"),
            ("--save before-1.2 graph flat", save("before-1.2"), "graph flat"),
            ("--against", against("main"), "flat graph"),
            ("--against flat", against("main"), "flat"),
            ("graph --against before", against("before"), "graph"),
        ] {
            assert_eq!(of(words), Ok((baseline, benches.to_owned())), "{words}");
        }
    }

    #[test]
    fn wrong_words_are_told_with_the_right_ones() {
        for (words, told) in [
            ("flatt", "there are flat, graph"),
            ("--sav", "there are flat, graph"),
            ("--save a --against b", "one of --save and --against"),
            ("--save a --save b", "one of --save and --against"),
            ("--save ../a", "no name of a baseline"),
            ("--save .", "no name of a baseline"),
            ("--against new", "no name of a baseline"),
        ] {
            assert!(matches!(of(words), Err(error) if error.contains(told)), "{words}");
        }
    }

    #[test]
    fn cargo_is_asked_for_each_bench_and_criterion_for_the_baseline() {
        let benches = ["flat", "graph"].map(str::to_owned);
        let start = "bench --package stormproof-bench --bench flat --bench graph --";
        let words = |baseline| arguments(&baseline, &benches).join(" ");
        assert_eq!(words(Baseline::Save("a".into())), format!("{start} --save-baseline a"));
        assert_eq!(words(Baseline::Against("a".into())), format!("{start} --baseline-lenient a"));
    }

    #[test]
    fn a_baseline_is_kept_if_some_measurement_has_it() {
        let dir = tempfile::tempdir().expect("a folder");
        let measured = dir.path().join("group/function/8/main");
        fs::create_dir_all(&measured).expect("created");
        assert!(!is_kept(dir.path(), "main", DEPTH_MAX), "an empty folder");
        fs::write(measured.join("estimates.json"), "{}").expect("written");
        assert!(is_kept(dir.path(), "main", DEPTH_MAX));
        assert!(!is_kept(dir.path(), "other", DEPTH_MAX));
        assert!(!is_kept(&dir.path().join("none"), "main", DEPTH_MAX));
    }
}
