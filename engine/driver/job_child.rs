//! Jobs in child processes, or in threads: the job's side.
//!
//! The job's standard output is its pipe to the node, so it must not print; standard error is free. A panic of the job
//! ends this process, or the thread, and the node hears that the job was killed.

use std::{
    collections::VecDeque,
    env,
    io::{self, PipeReader, PipeWriter, Read, Write},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, SyncSender, TryRecvError, sync_channel},
    },
    thread,
};

use stormproof_contract::{Bytes, Disk, Job, JobError, JobStep, System};

use super::{
    disk::RealDisk,
    frames::{self, Frame},
    jobs::JOB_ARGUMENT,
    pool::Threads,
};

/// Units of work per step: some milliseconds of rows or blocks, between two looks at what the node says.
const UNITS_PER_STEP: u32 = 1024;

/// By how much a job in a process of its own stands behind the node when processors are short.
const NICENESS: i32 = 10;

/// Messages of the node that are taken off the pipe before the job has taken the earlier ones.
const HEARD_MAX: usize = 64;

/// The node's directory if this process was started to run a job: its last two arguments are [`JOB_ARGUMENT`] and that.
pub fn job_child_dir() -> Option<PathBuf> {
    let mut last_first = env::args_os().rev();
    let dir = last_first.next()?;
    (last_first.next()? == JOB_ARGUMENT).then(|| dir.into())
}

/// Runs the job whose spec comes down standard input, on the node's directory, to its end or its node's. A program that
/// hosts a system with jobs begins its main function with this, before it does or prints anything else:
///
/// ```no_run
/// # use std::process::ExitCode;
/// # use stormproof_contract::System;
/// use stormproof_engine::driver;
///
/// fn begin(system: &impl System) -> ExitCode {
///     if let Some(dir) = driver::job_child_dir() {
///         return driver::run_job_child(system, &dir);
///     }
///     // The program's usual work.
/// #   ExitCode::SUCCESS
/// }
/// ```
pub fn run_job_child<S: System>(system: &S, dir: &Path) -> ExitCode {
    // A job takes every processor it can get, and nobody waits for it as clients wait for their answers.
    let _ = rustix::process::nice(NICENESS);
    // Not the locked handles: the thread that reads outlives this function where the pipe does not end.
    match run(system, dir, io::stdin(), &mut io::stdout(), &AtomicBool::new(false)) {
        Ok(()) => ExitCode::SUCCESS,
        // The pipe is gone, and with it whoever wanted to know.
        Err(_) => ExitCode::FAILURE,
    }
}

/// The same in a thread of the host's process, between two pipes of it. A panic ends the job, and the node hears that it was
/// killed.
pub(super) fn run_job_thread<S: System>(
    system: &S,
    dir: &Path,
    from: PipeReader,
    mut to: PipeWriter,
    killed: &AtomicBool,
) {
    // The pipe is gone, and with it whoever wanted to know.
    let _ = catch_unwind(AssertUnwindSafe(|| run(system, dir, from, &mut to, killed)));
}

fn run<S: System>(
    system: &S,
    dir: &Path,
    from: impl Read + Send + 'static,
    to: &mut impl Write,
    killed: &AtomicBool,
) -> io::Result<()> {
    let (pass_on, heard) = sync_channel(HEARD_MAX);
    thread::Builder::new().name("job-ears".into()).spawn(move || hear(from, &pass_on))?;
    let Ok(spec) = heard.recv() else { return Ok(()) };
    let last = RealDisk::open(dir).map_err(JobError::from).and_then(|disk| {
        let mut job = system.job(&spec)?;
        work(&mut *job, &(Arc::new(disk) as Arc<dyn Disk>), &heard, to, killed)
    });
    match last {
        Ok(None) => Ok(()),
        Ok(Some(word)) => frames::write(to, &Frame::Done(word)),
        Err(error) => frames::write(to, &Frame::Failed(error.to_string().into_bytes().into())),
    }
}

/// Steps the job to its end, and gives its last word; `None` if the node is gone.
fn work(
    job: &mut dyn Job,
    disk: &Arc<dyn Disk>,
    told: &Receiver<Bytes>,
    to: &mut impl Write,
    killed: &AtomicBool,
) -> Result<Option<Bytes>, JobError> {
    let (mut heard, pool) = (VecDeque::new(), Threads::of_machine());
    loop {
        if killed.load(Ordering::Relaxed) {
            return Ok(None);
        }
        while heard.len() < HEARD_MAX {
            match told.try_recv() {
                Ok(bytes) => heard.push_back(bytes),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return Ok(None),
            }
        }
        match job.step(&mut heard, disk, &pool, UNITS_PER_STEP)? {
            JobStep::More => {}
            JobStep::Waiting => match told.recv() {
                Ok(bytes) => heard.push_back(bytes),
                Err(_) => return Ok(None),
            },
            JobStep::Say(bytes) => {
                if let Err(e) = frames::write(to, &Frame::Said(bytes)) {
                    return Err(JobError::Failed(e.to_string().into()));
                }
            }
            JobStep::Done(word) => return Ok(Some(word)),
        }
    }
}

/// Takes the node's messages off the pipe, until it ends or makes no sense.
fn hear(mut from: impl Read, pass_on: &SyncSender<Bytes>) {
    while let Ok(Some(Frame::Said(bytes))) = frames::read(&mut from) {
        if pass_on.send(bytes).is_err() {
            return;
        }
    }
}
