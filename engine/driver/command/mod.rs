//! The command `stormproof-engine`: what an operator asks of a directory, or of a single file.
//!
//! | file | what |
//! |---|---|
//! | `verify` | can a directory be believed? |
//! | `inspect` | what is in one file? |
//! | `data` | records: loading them from a file, reading them, counting them |
//! | `repair` | making a directory again of what can be believed in it |
//! | `consolidate` | a pass of consolidation, by rules that are given |
//! | `rebuild` | building the archive anew |
//! | `search` | records nearest to given vectors |
//!
//! Exit codes: 0 all is well; 1 something is damaged, or a record that was asked for is not there; 2 wrong use; 3 the command
//! could not do its work.

mod consolidate;
mod data;
mod inspect;
mod rebuild;
mod repair;
mod search;
mod verify;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use clap::{Parser, Subcommand};
use stormproof_contract::{Disk, DiskError, DiskErrorKind, Lock};

use super::{
    CallError, FvecsError, OpenError,
    disk::RealDisk,
    job_child_dir,
    open::{LOCK_FILE, NODE_DIR},
    run_job_child,
};
#[cfg(feature = "telemetry")]
use super::{Observer, telemetry};
use crate::{
    memory::{EPISODE_MAX, Engine, Refusal, Reply, Route},
    store::{StoreError, inspect::Kind},
};

/// Looks after a directory of the engine.
#[derive(Parser)]
#[command(name = "stormproof-engine", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// How many MiB of flushed vectors are kept in memory while the store is open; a search reads the others
    #[arg(long, global = true, default_value_t = 1024, value_name = "MIB")]
    index_mib: u64,
    /// Serve metrics for Prometheus at this address, such as 127.0.0.1:9464, while the store is open
    #[cfg(feature = "telemetry")]
    #[arg(long, global = true, value_name = "ADDRESS")]
    metrics: Option<std::net::SocketAddr>,
}

#[derive(Subcommand)]
enum Command {
    /// Read every file to its end, compare every checksum, and change nothing
    ///
    /// Exit code 0: the store's own files can be believed. 1: some cannot, and the next start refuses, or a request that
    /// meets them; each is named. 3: the disk failed, or another process has the directory open. Foreign managers check
    /// their files themselves.
    Verify {
        /// The directory that the engine was opened on
        dir: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Make a damaged store again of what can be believed in it, and list what is lost; what is replaced is kept in `damaged`
    ///
    /// The log is cut where it cannot be read, records whose newest writing cannot be read are gone, and nothing is guessed.
    /// Restore a backup instead, if there is one. Exit code 0: nothing is lost. 1: something is, and is listed.
    Repair {
        /// The directory
        dir: PathBuf,
        /// Only say what would be done
        #[arg(long)]
        dry_run: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Look at a single file: what it says it is, its parts with their offsets, and which of them are damaged
    ///
    /// Exit code 0: all of it is whole. 1: something is damaged; what is left is shown all the same. Whether the file is the one
    /// that belongs in its directory, `verify` says.
    Inspect {
        /// What it is taken for
        kind: FileKind,
        /// The file
        file: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Write the vectors of a `.fvecs` file as records; the same file again writes nothing again
    Load {
        /// The directory; it is made if it is not there
        dir: PathBuf,
        /// The vectors
        file: PathBuf,
        /// The id of the first record; the others follow
        #[arg(long, default_value_t = 0)]
        first_id: u64,
        /// No more than so many vectors
        #[arg(long)]
        limit: Option<u64>,
        /// How a new store compares vectors
        #[arg(long, value_enum, default_value_t = MetricName::L2)]
        metric: MetricName,
        /// Put new records into segments of their own, around the log; one that is there already is an error
        #[arg(long)]
        bulk: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print records by id
    Get {
        /// The directory
        dir: PathBuf,
        /// Which
        #[arg(required = true)]
        ids: Vec<u64>,
        /// Print a line of JSON for each record, with its vector
        #[arg(long)]
        json: bool,
    },
    /// Print records in the order of their ids
    Scan {
        /// The directory
        dir: PathBuf,
        /// The first id
        #[arg(long, default_value_t = 0)]
        from: u64,
        /// No more than so many
        #[arg(long, default_value_t = 100)]
        limit: u64,
        /// Print a line of JSON for each record, with its vector
        #[arg(long)]
        json: bool,
    },
    /// Build the archive anew, the graph by which searches find what is near without comparing everything
    ///
    /// The job runs in a process of its own; what was there before is served, and searched, until the new one is in force.
    /// Exit code 1: what it is to be built of is damaged, or what was built finds too little.
    Rebuild {
        /// The directory
        dir: PathBuf,
        #[command(flatten)]
        rules: rebuild::Rules,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print the ids and distances of the records nearest to each vector of a `.fvecs` file
    ///
    /// Distances are exact. Where there is an archive, and unless all are to be compared, some of the nearest may be missed.
    Search {
        /// The directory
        dir: PathBuf,
        /// The vectors
        queries: PathBuf,
        /// How many records for each
        #[arg(short, default_value_t = 10)]
        k: u32,
        /// Where to look
        #[arg(long, value_enum, default_value_t = RouteName::Auto)]
        route: RouteName,
        /// How many candidates a search of the archive keeps: more find more, and take longer; 0: as configured
        #[arg(long, default_value_t = 0)]
        complexity: u32,
        /// No more than so many vectors
        #[arg(long)]
        limit: Option<u64>,
        /// Print a line of JSON for each vector
        #[arg(long)]
        json: bool,
    },
    /// Have memory make something of itself: firmer records, weights of links, prototypes, pruning
    Consolidate {
        /// The directory
        dir: PathBuf,
        /// Which pass
        #[command(subcommand)]
        which: consolidate::Which,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Count records, files and bytes
    Stats {
        /// The directory
        dir: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum FileKind {
    /// A file of the write-ahead log
    Wal,
    /// A segment
    Segment,
    /// The manifest
    Manifest,
    /// A file of the exact index
    L1,
    /// A generation of the archive
    Archive,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum RouteName {
    /// Everywhere: in the archive by its graph, and all else by comparing
    Auto,
    /// Only in what was changed since the archive was built, and what else is in memory
    Realtime,
    /// As `auto`
    Archive,
    /// Everywhere, by comparing
    Exact,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum MetricName {
    /// Euclidean distance
    L2,
    /// Cosine
    Cosine,
    /// Inner product
    Ip,
}

/// Why the command could not do its work.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error("{}: no such directory", .0.display())]
    Missing(PathBuf),
    #[error("{}: no such file", .0.display())]
    NoFile(PathBuf),
    #[error("{}: no store was ever opened here: neither `{NODE_DIR}` nor `manifest` is in it", .0.display())]
    NoStore(PathBuf),
    #[error("{}: it has no lock of its own, so a process may have it open; give the directory that it is in", .0.display())]
    NodeAlone(PathBuf),
    #[error("{}: a process has it open; stop it first", .0.display())]
    InUse(PathBuf),
    #[error("{}: {error}", dir.display())]
    Disk { dir: PathBuf, error: DiskError },
    #[error("{}: {error}", dir.display())]
    Store { dir: PathBuf, error: StoreError },
    #[error("{}: it cannot be taken for what was said: {error}", file.display())]
    NotThat { file: PathBuf, error: StoreError },
    #[error(transparent)]
    Fvecs(#[from] FvecsError),
    #[error("{}: its vectors have {found} components, those of the store {expected}", file.display())]
    Dim { file: PathBuf, expected: usize, found: usize },
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("{0}")]
    Call(#[from] CallError),
    #[error("the engine answered {0:?}")]
    Refused(Box<Reply>),
    #[error("the engine stopped: {0}")]
    Halted(Box<str>),
    #[error("{} line {line}: found {found}; expected up to {EPISODE_MAX} ids of records, with blanks between them", file.display())]
    Episode { file: PathBuf, line: usize, found: Box<str> },
    #[error("no ids are left above the first for so many records")]
    TooManyIds,
    #[error("{}: {source}", dir.display())]
    Unread { dir: PathBuf, source: std::io::Error },
    #[cfg(feature = "telemetry")]
    #[error("{address}: no metrics can be served: {source}")]
    Endpoint { address: std::net::SocketAddr, source: std::io::Error },
    #[error("cannot write what was found: {0}")]
    Output(#[from] std::io::Error),
}

impl CommandError {
    fn code(&self) -> u8 {
        match self {
            CommandError::NotThat { .. } | CommandError::Open(OpenError::Refused { .. }) => 1,
            CommandError::Store { error, .. } if !error.is_passing() => 1,
            CommandError::Refused(reply) if matches!(**reply, Reply::Refused(Refusal::Damaged(_))) => 1,
            CommandError::Missing(_)
            | CommandError::NoFile(_)
            | CommandError::NoStore(_)
            | CommandError::NodeAlone(_)
            | CommandError::Fvecs(_)
            | CommandError::TooManyIds
            | CommandError::Episode { .. }
            | CommandError::Dim { .. } => 2,
            #[cfg(feature = "telemetry")]
            CommandError::Endpoint { .. } => 3,
            CommandError::InUse(_)
            | CommandError::Disk { .. }
            | CommandError::Store { .. }
            | CommandError::Open(_)
            | CommandError::Call(_)
            | CommandError::Refused(_)
            | CommandError::Halted(_)
            | CommandError::Unread { .. }
            | CommandError::Output(_) => 3,
        }
    }
}

impl From<Reply> for CommandError {
    fn from(reply: Reply) -> Self {
        CommandError::Refused(Box::new(reply))
    }
}

/// Does what the arguments of this process say.
pub fn main() -> ExitCode {
    if let Some(dir) = job_child_dir() {
        return run_job_child(&Engine, &dir);
    }
    dispatch(Arguments::parse()).unwrap_or_else(|error| {
        if matches!(&error, CommandError::Output(source) if source.kind() == std::io::ErrorKind::BrokenPipe) {
            // Whoever read has seen enough.
            return ExitCode::SUCCESS;
        }
        eprintln!("stormproof-engine: {error}");
        ExitCode::from(error.code())
    })
}

fn dispatch(arguments: Arguments) -> Result<ExitCode, CommandError> {
    let l1_bytes = arguments.index_mib.saturating_mul(1 << 20);
    #[cfg(feature = "telemetry")]
    let (observer, _endpoint) = arguments.metrics.map(watch).transpose()?.unzip();
    #[cfg(not(feature = "telemetry"))]
    let observer = None;
    let opening = |dir| data::Opening { dir, l1_bytes, observer: observer.clone() };
    match arguments.command {
        Command::Verify { dir, json } => verify::run(&dir, json),
        Command::Repair { dir, dry_run, json } => repair::run(&dir, dry_run, json),
        Command::Inspect { kind, file, json } => inspect::run(kind.into(), &file, json),
        Command::Load { dir, file, first_id, limit, metric, bulk, json } => {
            data::load(&opening(dir), &data::Load { file, first_id, limit, metric: metric.into(), bulk, json })
        }
        Command::Get { dir, ids, json } => data::get(&opening(dir), &ids, json),
        Command::Scan { dir, from, limit, json } => data::scan(&opening(dir), from, limit, json),
        Command::Rebuild { dir, rules, json } => rebuild::run(&opening(dir), &rules, json),
        Command::Search { dir, queries, k, route, complexity, limit, json } => {
            let route = route.into();
            search::run(&opening(dir), &search::Search { queries: &queries, k, route, complexity, limit, json })
        }
        Command::Consolidate { dir, which, json } => consolidate::run(&opening(dir), which, json),
        Command::Stats { dir, json } => data::stats(&opening(dir), json),
    }
}

/// Serves metrics of what the observer is told.
#[cfg(feature = "telemetry")]
fn watch(address: std::net::SocketAddr) -> Result<(Observer, telemetry::Endpoint), CommandError> {
    let failed = |source| CommandError::Endpoint { address, source };
    let metrics = telemetry::install().map_err(|error| failed(std::io::Error::other(error)))?;
    let endpoint = telemetry::serve(address, metrics).map_err(failed)?;
    eprintln!("metrics are at http://{}/metrics", endpoint.address());
    Ok((telemetry::observer(), endpoint))
}

impl From<FileKind> for Kind {
    fn from(kind: FileKind) -> Kind {
        match kind {
            FileKind::Wal => Kind::Log,
            FileKind::Segment => Kind::Segment,
            FileKind::Manifest => Kind::Manifest,
            FileKind::L1 => Kind::L1,
            FileKind::Archive => Kind::Archive,
        }
    }
}

impl From<RouteName> for Route {
    fn from(name: RouteName) -> Route {
        match name {
            RouteName::Auto => Route::Auto,
            RouteName::Realtime => Route::Realtime,
            RouteName::Archive => Route::Archive,
            RouteName::Exact => Route::Exact,
        }
    }
}

impl From<MetricName> for crate::vector::Metric {
    fn from(name: MetricName) -> Self {
        match name {
            MetricName::L2 => Self::L2,
            MetricName::Cosine => Self::Cosine,
            MetricName::Ip => Self::InnerProduct,
        }
    }
}

/// The files of a node, and what keeps others from opening it meanwhile.
struct Held {
    disk: Arc<dyn Disk>,
    lock: Option<Box<dyn Lock>>,
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
            return Ok(Held { disk: disk.scoped(NODE_DIR), lock: Some(lock) });
        }
        // A copy of the node's files alone.
        if dir.join("manifest").exists() {
            return Ok(Held { disk: Arc::new(disk), lock: None });
        }
        Err(CommandError::NoStore(dir.to_owned()))
    }

    /// The same, to be written to: nobody else may.
    fn take_whole(dir: &Path) -> Result<Held, CommandError> {
        let is_part =
            dir.canonicalize().is_ok_and(|dir| dir.parent().is_some_and(|above| above.join(LOCK_FILE).exists()));
        let held = Held::take(dir)?;
        if held.lock.is_none() && is_part { Err(CommandError::NodeAlone(dir.to_owned())) } else { Ok(held) }
    }
}
