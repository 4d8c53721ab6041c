//! The real lane: the engine as a process of its own, on a real directory, killed for real.
//!
//! The simulated lane owns time and the disk, and so reaches every state; what it cannot show is that the machine is as
//! it models it. Here the same engine, under the same names of cases and the same claims, meets a real file system, real
//! threads and a real `SIGKILL`. What a power loss leaves is out of reach of this lane: a process that is killed loses
//! nothing of what it has handed to the kernel.
//!
//! | file | what |
//! |---|---|
//! | [`wire`], [`child`] | the engine's process, and what goes over its pipes |
//! | [`process`] | the parent's side: every wait has an end, no process outlives its owner |
//! | [`lane`] | one directory and its lives |
//! | [`trial`] | what clients saw over all lives, and the claims |
//! | [`cases`], [`damage`] | what is done to it |
//! | [`report`], [`plain`] | what came of it |
//!
//! A program that uses this room begins its main function with [`run_child`]: the engine is the program itself.
#![allow(
    clippy::disallowed_methods,
    reason = "real processes live by the machine's clock, and clients that ask at the same time are threads"
)]

mod cases;
mod child;
mod damage;
mod lane;
mod plain;
mod process;
mod report;
mod trial;
mod wire;

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use stormproof_contract::System as _;
use stormproof_engine::{
    driver::{self, failpoints},
    memory::Engine,
};

pub use cases::{CASES, Case};
pub use report::{CaseReport, Failure, Kill, Report, Tally};

use self::{
    cases::Run,
    lane::{Tools, Trouble},
};
use crate::vectors::Vectors;

/// Random kills of a case, where the caller does not say.
pub const KILLS: u32 = 30;

/// What to run, and how.
#[derive(Clone)]
pub struct Options<'a> {
    /// The cases by name; none means all.
    pub cases: Vec<String>,
    /// How often a case kills at random moments, where it does.
    pub kills: u32,
    /// Where clients draw their embeddings from, if not from chance.
    pub vectors: Option<Arc<Vectors>>,
    /// Where the engine's directories go: a directory that is empty, or not there yet. They stay there. Without one,
    /// they go to the system's place for temporary files, and stay only if something failed.
    pub dir: Option<PathBuf>,
    /// The program that is the engine when it is started as [`run_child`] says.
    pub program: PathBuf,
    /// What moments and places are drawn from.
    pub seed: u64,
    /// Hears how far it is.
    pub progress: &'a dyn Fn(Progress),
    /// Called with the engine's directory whenever its process has died. Whoever changes what is there must be told
    /// so: that is how the lane itself is put to the test.
    pub after_death: Option<&'a dyn Fn(&Path)>,
}

/// How far a run is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
    /// The case.
    pub case: &'static str,
    /// Processes it has started.
    pub lives: u64,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum RealError {
    /// There is no such case.
    #[error("no case of the real lane is called `{name}`; there are {}", names())]
    UnknownCase {
        /// The name.
        name: String,
    },
    /// Nothing of somebody else's is to be damaged.
    #[error("{}: not empty", dir.display())]
    NotEmpty {
        /// The directory.
        dir: PathBuf,
    },
    /// The tool failed.
    #[error("{case}: {source} (what there is was kept in {})", dir.display())]
    Tool {
        /// In which case.
        case: &'static str,
        /// Where its files are.
        dir: PathBuf,
        /// How.
        source: io::Error,
    },
    /// There is no place to work in.
    #[error("{}: {source}", dir.display())]
    Dir {
        /// Where.
        dir: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl RealError {
    /// What the command should exit with: 2 for wrong use, 3 if the tool failed.
    pub fn exit_code(&self) -> u8 {
        match self {
            RealError::UnknownCase { .. } | RealError::NotEmpty { .. } => 2,
            RealError::Tool { .. } | RealError::Dir { .. } => 3,
        }
    }
}

fn names() -> String {
    CASES.map(|case| format!("`{}`", case.name)).join(", ")
}

impl Options<'_> {
    /// All cases, with the program itself as the engine.
    pub fn new() -> io::Result<Self> {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Options {
            cases: Vec::new(),
            kills: KILLS,
            vectors: None,
            dir: None,
            program: env::current_exe()?,
            seed: since_1970.as_nanos() as u64,
            progress: &|_| {},
            after_death: None,
        })
    }
}

/// Runs the engine, or a job of it, if this process was started to be that. Does not return before it is over, and then gives what the
/// process should exit with.
pub fn run_child() -> Option<ExitCode> {
    if let Some(dir) = driver::job_child_dir() {
        // It dies at its own points, which are none of the node's. If they cannot be armed, the node has said so.
        let _ = failpoints::arm_from_env(Engine.points());
        return Some(driver::run_job_child(&Engine, &dir));
    }
    let mut arguments = env::args_os().skip(1);
    let is_child = arguments.next().is_some_and(|first| first == child::ARGUMENT);
    is_child.then(|| arguments.next().map_or(ExitCode::from(2), |dir| child::run(Path::new(&dir))))
}

/// Runs cases of the real lane.
pub fn run(options: &Options<'_>) -> Result<Report, RealError> {
    let chosen = choose(&options.cases)?;
    let root = Root::take(options.dir.as_deref())?;
    let begun = Instant::now();
    let mut report = Report { cases: Vec::new(), seed: options.seed, wall_ms: 0 };
    for case in chosen {
        let dir = root.dir.join(case.name);
        let failed = |source| RealError::Tool { case: case.name, dir: dir.clone(), source };
        report.cases.push(run_case(case, options, &dir, root.keep).map_err(failed)?);
    }
    report.wall_ms = begun.elapsed().as_millis() as u64;
    root.remove_if_empty();
    Ok(report)
}

fn choose(wanted: &[String]) -> Result<Vec<&'static Case>, RealError> {
    let find = |name: &String| {
        let found = CASES.iter().find(|case| case.name == name);
        found.ok_or_else(|| RealError::UnknownCase { name: name.clone() })
    };
    if wanted.is_empty() { Ok(CASES.iter().collect()) } else { wanted.iter().map(find).collect() }
}

fn run_case(case: &'static Case, options: &Options<'_>, dir: &Path, keep: bool) -> io::Result<CaseReport> {
    let begun = Instant::now();
    let say = |lives| (options.progress)(Progress { case: case.name, lives });
    let (vectors, program) = (options.vectors.clone(), &*options.program);
    let tools = Tools { program, vectors, progress: &say, after_death: options.after_death };
    let mut run = Run::new(&tools, dir, keep, options.kills, options.seed);
    let failure = match (case.script)(&mut run) {
        Ok(()) => None,
        Err(Trouble::Broken(broken)) => Some(Failure::new(&broken, run.kept())),
        Err(Trouble::Tool(error)) => return Err(error),
    };
    let Run { tally, unproven, .. } = run;
    Ok(CaseReport {
        name: case.name,
        hypothesis: case.hypothesis,
        injection: case.injection,
        criterion: case.criterion,
        tally,
        failure,
        unproven,
        wall_ms: begun.elapsed().as_millis() as u64,
    })
}

/// Where all directories of a run are.
struct Root {
    dir: PathBuf,
    keep: bool,
}

impl Root {
    fn take(wanted: Option<&Path>) -> Result<Root, RealError> {
        let Some(dir) = wanted else { return Root::make() };
        let failed = |source| RealError::Dir { dir: dir.to_owned(), source };
        fs::create_dir_all(dir).map_err(failed)?;
        if fs::read_dir(dir).map_err(failed)?.next().is_some() {
            return Err(RealError::NotEmpty { dir: dir.to_owned() });
        }
        Ok(Root { dir: dir.to_owned(), keep: true })
    }

    /// A new directory among the temporary ones: several runs, of this process and of others, may be under way.
    fn make() -> Result<Root, RealError> {
        for n in 0.. {
            let dir = env::temp_dir().join(format!("stormproof-real-{}-{n}", std::process::id()));
            match fs::create_dir(&dir) {
                Ok(()) => return Ok(Root { dir, keep: false }),
                Err(source) if source.kind() == io::ErrorKind::AlreadyExists => {}
                Err(source) => return Err(RealError::Dir { dir, source }),
            }
        }
        unreachable!("there is a number that is not taken")
    }

    /// What passed was removed case by case, so what is left has failed.
    fn remove_if_empty(&self) {
        if !self.keep {
            let _ = fs::remove_dir(&self.dir);
        }
    }
}
