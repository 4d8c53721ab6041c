//! The command `stormproof-engine`: what an operator asks of a directory that no process has open.
//!
//! Exit codes: 0 all is well; 1 something is damaged; 2 wrong use; 3 the command could not do its work.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use clap::{Parser, Subcommand};
use stormproof_contract::{Disk, DiskError, DiskErrorKind, Lock};

use super::{
    disk::RealDisk,
    open::{LOCK_FILE, NODE_DIR},
};
use crate::{
    memory::verify::{Checked, State, verify},
    store::StoreError,
};

/// Looks after a directory of the engine.
#[derive(Parser)]
#[command(name = "stormproof-engine", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Read every file to its end, compare every checksum, and change nothing
    ///
    /// Exit code 0: the store's own files do not make the next start refuse. 1: they do; each that is the reason is named. 3:
    /// the disk failed, or another process has the directory open. Foreign managers check their files themselves.
    Verify {
        /// The directory that the engine was opened on
        dir: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// Why the command could not do its work.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error("{}: no such directory", .0.display())]
    Missing(PathBuf),
    #[error("{}: no store was ever opened here: neither `{NODE_DIR}` nor `manifest` is in it", .0.display())]
    NoStore(PathBuf),
    #[error("{}: a process has it open; stop it first", .0.display())]
    InUse(PathBuf),
    #[error("{}: {error}", dir.display())]
    Disk { dir: PathBuf, error: DiskError },
    #[error("{}: {error}", dir.display())]
    Store { dir: PathBuf, error: StoreError },
}

/// Does what the arguments of this process say.
pub fn main() -> ExitCode {
    let Command::Verify { dir, json } = Arguments::parse().command;
    match check(&dir) {
        Ok(checked) => {
            println!("{}", if json { in_json(&checked) } else { in_words(&dir, &checked) });
            ExitCode::from(u8::from(is_bad(&checked)))
        }
        Err(error) => {
            eprintln!("stormproof-engine: {error}");
            ExitCode::from(match error {
                CommandError::Missing(_) | CommandError::NoStore(_) => 2,
                CommandError::InUse(_) | CommandError::Disk { .. } | CommandError::Store { .. } => 3,
            })
        }
    }
}

fn check(dir: &Path) -> Result<Vec<Checked>, CommandError> {
    let held = Held::take(dir)?;
    verify(&held.disk).map_err(|error| CommandError::Store { dir: dir.to_owned(), error })
}

/// The files of a node, and what keeps others from opening it meanwhile.
struct Held {
    disk: Arc<dyn Disk>,
    _lock: Option<Box<dyn Lock>>,
}

impl Held {
    fn take(dir: &Path) -> Result<Held, CommandError> {
        if !dir.is_dir() {
            return Err(CommandError::Missing(dir.to_owned()));
        }
        let failed = |error: DiskError| match error.kind {
            DiskErrorKind::Locked => CommandError::InUse(dir.to_owned()),
            _ => CommandError::Disk { dir: dir.to_owned(), error },
        };
        let disk = RealDisk::open(dir).map_err(failed)?;
        if dir.join(NODE_DIR).is_dir() {
            let lock = disk.try_lock(LOCK_FILE).map_err(failed)?;
            return Ok(Held { disk: disk.scoped(NODE_DIR), _lock: Some(lock) });
        }
        // A copy of the node's files alone.
        if dir.join("manifest").exists() {
            return Ok(Held { disk: Arc::new(disk), _lock: None });
        }
        Err(CommandError::NoStore(dir.to_owned()))
    }
}

fn is_bad(checked: &[Checked]) -> bool {
    checked.iter().any(|file| file.state == State::Bad)
}

fn in_words(dir: &Path, checked: &[Checked]) -> String {
    let width = checked.iter().map(|file| file.path.len()).max().unwrap_or(0);
    let mut lines: Vec<String> =
        checked.iter().map(|file| format!("{:width$}  {:8}  {}", file.path, file.state.word(), file.words)).collect();
    let verdict = if is_bad(checked) {
        "DAMAGED: the next start will be refused, and will change nothing; the reason is marked BAD"
    } else {
        "good: nothing here makes the next start refuse"
    };
    lines.push(format!("\n{}: {verdict}", dir.display()));
    lines.join("\n")
}

fn in_json(checked: &[Checked]) -> String {
    let verdict = if is_bad(checked) { "damaged" } else { "good" };
    serde_json::json!({ "format": 1, "verdict": verdict, "files": checked }).to_string()
}
