//! The subcommand `compare`: other projects' indexes beside the archive, by the scripts that lie beside this file.
//!
//! The scripts are part of the program, so it needs no checkout. They are written to a directory of their own, which is removed
//! at the end, and what they measure as ours is this program. What they find and print is theirs.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | measured; what could not be installed is skipped by name |
//! | 2 | wrong use, or a file that is missing or malformed |
//! | 3 | a tool failed, is missing, or was ended by a signal |

use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    process::{Command, ExitCode, ExitStatus},
};

use clap::Args;

/// What is run; all else lies beside it for its sake.
const SCRIPT: &str = "compare.sh";
const FILES: [(&str, &str); 4] = [
    (SCRIPT, include_str!("compare.sh")),
    ("compare.py", include_str!("compare.py")),
    ("requirements.txt", include_str!("requirements.txt")),
    ("requirements-diskann.txt", include_str!("requirements-diskann.txt")),
];

const WRONG_USE: u8 = 2;
const FAILED: u8 = 3;

/// Arguments of `compare`.
#[derive(Args)]
pub struct Compare {
    /// A directory with `NAME_base.fvecs`, `NAME_query.fvecs` and perhaps `NAME_groundtruth.ivecs`; then `--venv DIR`, where
    /// what is installed is kept for the next time, and what `compare SET --help` lists
    #[arg(
        value_names = ["SET", "OPTIONS"],
        required = true,
        num_args = 1..,
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    arguments: Vec<OsString>,
}

#[derive(Debug, thiserror::Error)]
enum CompareError {
    #[error("bash is missing: install it, as in `apt-get install bash`")]
    NoBash,
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("this program's own path is not known: {0}")]
    NoPath(io::Error),
    #[error("no temporary directory can be made: {0}")]
    NoDir(io::Error),
}

/// Does `compare`.
pub fn compare(asked: &Compare) -> ExitCode {
    run(&asked.arguments).unwrap_or_else(|error| {
        eprintln!("stormproof-bench: {error}");
        ExitCode::from(FAILED)
    })
}

fn run(given: &[OsString]) -> Result<ExitCode, CompareError> {
    let program = std::env::current_exe().map_err(CompareError::NoPath)?;
    let dir = tempfile::Builder::new().prefix("stormproof-compare-").tempdir().map_err(CompareError::NoDir)?;
    let failed = |path: &Path, source| CompareError::Io { path: path.into(), source };
    for (name, text) in FILES {
        let path = dir.path().join(name);
        fs::write(&path, text).map_err(|source| failed(&path, source))?;
    }
    let script = dir.path().join(SCRIPT);
    let ended = Command::new("bash").arg(&script).args(ordered(given, &program)).status();
    let removed = dir.close();
    let status = ended.map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => CompareError::NoBash,
        _ => failed(Path::new("bash"), source),
    })?;
    removed.map_err(|source| failed(&script, source))?;
    Ok(ExitCode::from(code(status)))
}

/// What the script is given: its own option must be the first, the others go on to another script, which lets a later one of two win.
fn ordered(given: &[OsString], program: &Path) -> Vec<OsString> {
    let (mut kept, mut others) = (None, vec!["--ours".into(), program.into()]);
    let mut given = given.iter();
    while let Some(argument) = given.next() {
        if argument == "--venv" {
            // Without a directory the script says so.
            kept = Some(given.next().cloned().unwrap_or_default());
        } else if let Some(dir) = argument.to_str().and_then(|it| it.strip_prefix("--venv=")) {
            kept = Some(dir.into());
        } else {
            others.push(argument.clone());
        }
    }
    kept.into_iter().flat_map(|dir| ["--venv".into(), dir]).chain(others).collect()
}

fn code(status: ExitStatus) -> u8 {
    match status.code() {
        Some(0) => 0,
        Some(code) if code == i32::from(WRONG_USE) => WRONG_USE,
        Some(code) if code == i32::from(FAILED) => FAILED,
        _ => {
            eprintln!("stormproof-bench: {SCRIPT} ended with {status}");
            FAILED
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    #[test]
    fn the_scripts_own_option_comes_first_and_the_program_before_what_was_asked() {
        let ordered = |given: &str| {
            let given: Vec<OsString> = given.split(' ').map(Into::into).collect();
            let words = ordered(&given, Path::new("/bin/us")).into_iter().map(|it| it.into_string().expect("text"));
            words.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(ordered("set --rows 5"), "--ours /bin/us set --rows 5");
        assert_eq!(ordered("set --venv kept --rows 5"), "--venv kept --ours /bin/us set --rows 5");
        assert_eq!(ordered("--venv=kept set"), "--venv kept --ours /bin/us set");
        assert_eq!(ordered("set --venv"), "--venv  --ours /bin/us set");
    }

    #[test]
    fn only_the_codes_that_mean_something_are_passed_on() {
        let exited = |code: i32| ExitStatus::from_raw(code << 8);
        assert_eq!([0, 2, 3, 1, 137].map(|it| code(exited(it))), [0, 2, 3, 3, 3]);
        assert_eq!(code(ExitStatus::from_raw(9)), 3, "ended by a signal");
    }
}
