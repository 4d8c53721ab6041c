//! One node on one directory.
//!
//! ```text
//! DIR/lock         locked by the process that holds the directory
//! DIR/incarnation  how many times the node was booted: a decimal number and a line feed
//! DIR/node/        the node's own files, and all that it sees
//! ```
//!
//! # Crash argument
//! A node is promised an incarnation greater than every earlier one. The number is written and synced, with its
//! directory, before the boot that uses it. If the process or the power dies before that sync, the old number or the
//! new one is found; no boot has used the new one. The number lies within one sector, which is not torn. If the file
//! is not there or is empty, no sync of it ever returned, so no node was ever booted. Anything else in it is damage,
//! and is refused by name rather than guessed at. A boot that fails uses up its incarnation.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    io,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
    thread,
    time::{Duration, Instant},
};

use stormproof_contract::{
    Boot, BootError, Disk, DiskError, DiskErrorKind, DiskResult, Lock, NodeId, Open, Role, System,
};

use super::{
    clock::RealClock,
    disk::RealDisk,
    host::{Observer, Running, Start, start},
    job_child::run_job_thread,
    jobs::JobCommand,
};

/// How to run a node. The defaults suit a machine that serves one.
#[derive(Clone)]
pub struct Options {
    /// The node's name, for systems that have several.
    pub node: NodeId,
    /// What it is there for.
    pub role: Role,
    /// Inputs that may wait for the writer; callers block when there are more.
    pub queue_inputs_max: usize,
    /// Inputs in one batch: how long the first caller can wait for the last.
    pub batch_inputs_max: usize,
    /// How often to boot a node that asks to be booted again.
    pub boot_attempts_max: u32,
    /// Hears what the node notes.
    pub observer: Option<Observer>,
    /// Where jobs run.
    pub job_command: JobCommand,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            node: NodeId(0),
            role: Role::default(),
            queue_inputs_max: 1024,
            batch_inputs_max: 1024,
            boot_attempts_max: 5,
            observer: None,
            job_command: JobCommand::default(),
        }
    }
}

/// Why a node was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process, or this one, has it open.
    #[error("{} is in use: its lock file is held", dir.display())]
    InUse {
        /// The directory.
        dir: PathBuf,
    },
    /// The host's own files cannot be read or written.
    #[error("{}: {source}", dir.display())]
    Disk {
        /// The directory.
        dir: PathBuf,
        /// What failed.
        source: DiskError,
    },
    /// The file with the incarnation is damaged.
    #[error("{}: expected a decimal number below 2^32 and a line feed, found {found:?}", path.display())]
    Incarnation {
        /// The file.
        path: PathBuf,
        /// How it begins.
        found: String,
    },
    /// What is in the directory must not be served.
    #[error("{}: the node refuses to serve: {reason}", dir.display())]
    Refused {
        /// The directory.
        dir: PathBuf,
        /// Why, in the node's words.
        reason: Box<str>,
    },
    /// The node asked to be booted again each time.
    #[error("{}: not ready after {attempts} attempts, at last: {reason}", dir.display())]
    NotReady {
        /// The directory.
        dir: PathBuf,
        /// How often it was booted.
        attempts: u32,
        /// The last reason, in the node's words.
        reason: Box<str>,
    },
    /// The system gives no thread.
    #[error("no thread for the writer: {0}")]
    Thread(#[source] io::Error),
}

/// Before the second attempt to boot; doubled before each further one.
const RETRY_PAUSE: Duration = Duration::from_millis(10);

/// Takes hold of `dir`, creating it at need, boots the node in it, and runs it.
pub fn open<S>(system: &S, config: &S::Config, dir: &Path, options: Options) -> Result<Running<S::Node>, OpenError>
where
    S: System + Clone + Send + Sync + 'static,
    S::Node: 'static,
{
    let home = Home::take(dir)?;
    let seed = RandomState::new().build_hasher().finish();
    let node = boot(system, config, &home, &options, seed)?;
    let Home { lock, .. } = home;
    let node_dir = dir.join(NODE_DIR);
    let (of_jobs, dir_of_jobs) = (system.clone(), node_dir.clone());
    start(Start {
        node,
        clock: Arc::new(RealClock),
        dir: node_dir,
        run_in_thread: Arc::new(move |from, to, killed: &AtomicBool| {
            run_job_thread(&of_jobs, &dir_of_jobs, from, to, killed);
        }),
        job_command: options.job_command,
        lock,
        observer: options.observer,
        queue_inputs_max: options.queue_inputs_max,
        batch_inputs_max: options.batch_inputs_max,
        first_op: seed,
    })
    .map_err(OpenError::Thread)
}

fn boot<S: System>(
    system: &S,
    config: &S::Config,
    home: &Home<'_>,
    options: &Options,
    seed: u64,
) -> Result<S::Node, OpenError> {
    let mut attempts = 0;
    loop {
        let incarnation = home.next_incarnation()?;
        let at = Boot {
            node: options.node,
            role: options.role,
            incarnation,
            config,
            disk: home.disk.scoped(NODE_DIR),
            clock: Arc::new(RealClock),
            seed: seed.wrapping_add(u64::from(incarnation)),
        };
        attempts += 1;
        let dir = home.dir.to_owned();
        match system.boot(at) {
            Ok(node) => return Ok(node),
            Err(BootError::Refused(reason)) => return Err(OpenError::Refused { dir, reason }),
            Err(BootError::Retry(reason)) if attempts >= options.boot_attempts_max => {
                return Err(OpenError::NotReady { dir, attempts, reason });
            }
            Err(BootError::Retry(_)) => thread::sleep(RETRY_PAUSE * 2u32.saturating_pow(attempts - 1)),
        }
    }
}

pub(super) const LOCK_FILE: &str = "lock";

/// For how long a lock that is held is asked for again. Seen in a run: a process was killed while it started a job, and its child, which
/// shares the lock until its `exec`, outlived it by some moments, in which the next process was refused.
const LOCK_PATIENCE: Duration = Duration::from_millis(500);

fn lock(disk: &dyn Disk) -> DiskResult<Box<dyn Lock>> {
    let until = Instant::now() + LOCK_PATIENCE;
    loop {
        match disk.try_lock(LOCK_FILE) {
            Err(error) if error.kind == DiskErrorKind::Locked && Instant::now() < until => {
                thread::sleep(Duration::from_millis(5));
            }
            locked => return locked,
        }
    }
}

const INCARNATION_FILE: &str = "incarnation";
pub(super) const NODE_DIR: &str = "node";

/// The longest number with its line feed, and one byte more to see that there is nothing more.
const INCARNATION_BYTES_MAX: usize = 12;

/// A directory that this process holds.
struct Home<'a> {
    dir: &'a Path,
    disk: RealDisk,
    lock: Box<dyn Lock>,
}

impl<'a> Home<'a> {
    fn take(dir: &'a Path) -> Result<Home<'a>, OpenError> {
        let failed = |source: DiskError| match source.kind {
            DiskErrorKind::Locked => OpenError::InUse { dir: dir.to_owned() },
            _ => OpenError::Disk { dir: dir.to_owned(), source },
        };
        let disk = RealDisk::open(dir).map_err(failed)?;
        let lock = lock(&disk).map_err(failed)?;
        match disk.mkdir(NODE_DIR) {
            Err(e) if e.kind != DiskErrorKind::Exists => return Err(failed(e)),
            Ok(()) | Err(_) => {}
        }
        disk.sync_dir("").map_err(failed)?;
        Ok(Home { dir, disk, lock })
    }

    /// Uses up an incarnation.
    fn next_incarnation(&self) -> Result<u32, OpenError> {
        let failed = |source| OpenError::Disk { dir: self.dir.to_owned(), source };
        let file = self.disk.open(INCARNATION_FILE, Open::Create).map_err(failed)?;
        let mut bytes = [0; INCARNATION_BYTES_MAX];
        let len = file.read_at(0, &mut bytes).map_err(failed)?;
        let damaged = || OpenError::Incarnation {
            path: self.dir.join(INCARNATION_FILE),
            found: String::from_utf8_lossy(&bytes[..len]).into(),
        };
        let booted = parse(&bytes[..len]).ok_or_else(damaged)?;
        let next = booted.checked_add(1).ok_or_else(damaged)?;
        // Never shorter than what it replaces, so the length never has to shrink.
        file.write_all_at(0, &[format!("{next}\n").as_bytes()]).map_err(failed)?;
        file.sync().map_err(failed)?;
        self.disk.sync_dir("").map_err(failed)?;
        Ok(booted)
    }
}

/// How many times a node was booted, by the file that counts it.
fn parse(bytes: &[u8]) -> Option<u32> {
    match bytes {
        [] => Some(0),
        [digits @ .., b'\n'] => std::str::from_utf8(digits).ok()?.parse().ok(),
        _ => None,
    }
}
