//! Jobs in threads or in child processes: the host's side.
//!
//! In a process, a job is this program, or another that the user names, started anew with [`JOB_ARGUMENT`] and the node's directory.
//! Its spec and whatever the node tells it go down its standard input, what it says comes back up its standard output
//! (see `frames`); its standard error is the host's. So it can be killed alone, and what it leaks goes with it. In a thread it
//! is the same, with pipes of this process: it cannot be killed, but notices between two steps that nobody hears it any more.
//!
//! Two threads serve each job, so that the writer never waits for a pipe: the *speaker* writes what the node says, the
//! *listener* reads what the job says, reports it to the host, and buries the child. Whatever ends a job, the listener
//! reports its end, once, after everything it said.
//!
//! # Bounds
//! A job that does not listen is killed once [`UNHEARD_MAX`] messages wait for it. A job that talks faster than the
//! node listens blocks on its pipe: the host's queue is bounded.
//!
//! # Orphans
//! When the host is killed, the pipe ends; the job's side (`job_child`) sees that between two steps and exits. Until
//! then it may write, as the contract says of orphans.

use std::{
    collections::BTreeMap,
    env,
    ffi::OsString,
    io::{self, BufReader, BufWriter, PipeReader, PipeWriter, Read, Write},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread::{self, JoinHandle},
};

use stormproof_contract::{Bytes, JobEnd, JobId};

use super::frames::{self, Frame};

/// The argument, followed by the node's directory, that makes a program run a job instead of its usual work. The main
/// function asks for it with [`job_child_dir`](super::job_child_dir).
pub const JOB_ARGUMENT: &str = "--stormproof-job";

/// Messages that may wait for a job to listen.
const UNHEARD_MAX: usize = 64;

/// Where jobs run, and what is started for one.
#[derive(Clone, Debug, Default)]
pub enum JobCommand {
    /// In a thread of this process. It asks nothing of the program, and shares its memory and its end.
    #[default]
    InThreads,
    /// In a process of its own: the program that is running, whose main function begins with
    /// [`job_child_dir`](super::job_child_dir).
    ThisProgram,
    /// Another one, with these arguments before [`JOB_ARGUMENT`].
    Program {
        /// Its file.
        path: PathBuf,
        /// Its first arguments.
        arguments: Vec<OsString>,
    },
}

/// Runs a job between two pipes, to its end, to theirs, or until the flag says that it is killed.
pub(super) type RunInThread = Arc<dyn Fn(PipeReader, PipeWriter, &AtomicBool) + Send + Sync>;

/// A job that was started, and its two pipes.
struct Started {
    body: Mortal,
    input: Box<dyn Write + Send>,
    output: Box<dyn Read + Send>,
    thread: Option<JoinHandle<()>>,
}

impl Jobs {
    fn start_body(&self) -> io::Result<Started> {
        match &self.command {
            JobCommand::InThreads => self.start_thread(),
            JobCommand::ThisProgram => self.start_process(Command::new(env::current_exe()?)),
            JobCommand::Program { path, arguments } => {
                let mut command = Command::new(path);
                command.args(arguments);
                self.start_process(command)
            }
        }
    }

    fn start_thread(&self) -> io::Result<Started> {
        let ((job_input, input), (output, job_output)) = (io::pipe()?, io::pipe()?);
        let (run, killed) = (Arc::clone(&self.run_in_thread), Arc::new(AtomicBool::new(false)));
        let body = Mortal::Thread(Arc::clone(&killed));
        let thread = thread::Builder::new().name("job".into()).spawn(move || run(job_input, job_output, &killed))?;
        Ok(Started { body, input: Box::new(input), output: Box::new(output), thread: Some(thread) })
    }

    fn start_process(&self, mut command: Command) -> io::Result<Started> {
        command.arg(JOB_ARGUMENT).arg(&self.dir).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::Error::other("a child process without its pipes"));
        };
        let body = Mortal::Process(Arc::new(Mutex::new(child)));
        Ok(Started { body, input: Box::new(input), output: Box::new(output), thread: None })
    }
}

/// What the host hears of a job.
pub(super) enum JobNews {
    Said { job: JobId, bytes: Bytes },
    Ended { job: JobId, how: JobEnd },
}

/// Where news go. Says whether anybody was there to take them.
pub(super) type Report = Arc<dyn Fn(JobNews) -> bool + Send + Sync>;

/// The running jobs of one node. Dropping it kills them; whoever takes their reports must be gone by then, or else
/// keep taking them.
pub(super) struct Jobs {
    command: JobCommand,
    run_in_thread: RunInThread,
    dir: PathBuf,
    report: Report,
    running: BTreeMap<JobId, RunningJob>,
}

struct RunningJob {
    child: Mortal,
    /// Dropped to end the speaker.
    tell: Option<SyncSender<Bytes>>,
    threads: Vec<JoinHandle<()>>,
}

/// What the writer may kill, and the listener buries.
#[derive(Clone)]
enum Mortal {
    Process(Arc<Mutex<Child>>),
    /// It looks at the flag between two steps.
    Thread(Arc<AtomicBool>),
}

impl Mortal {
    /// Kills it; no error if it is dead already.
    fn kill(&self) {
        match self {
            // The only failure is a child that is not ours to kill, which is one that this program did not start.
            Mortal::Process(child) => drop(child.lock().unwrap_or_else(PoisonError::into_inner).kill()),
            Mortal::Thread(killed) => killed.store(true, Ordering::Relaxed),
        }
    }

    /// Kills it and lets the system forget it. A job is over once its pipe is, so this does not wait for long.
    fn bury(&self) {
        let Mortal::Process(child) = self else { return };
        let mut child = child.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = child.kill();
        let _ = child.wait();
    }
}

impl Jobs {
    pub(super) fn new(command: JobCommand, run_in_thread: RunInThread, dir: PathBuf, report: Report) -> Jobs {
        Jobs { command, run_in_thread, dir, report, running: BTreeMap::new() }
    }

    /// Starts a job. An error means that nothing runs and nothing will be reported.
    pub(super) fn start(&mut self, job: JobId, spec: Bytes) -> io::Result<()> {
        assert!(!self.running.contains_key(&job), "{job} was started twice: a node never reuses the id of a job");
        let Started { body: child, input, output, thread: body_thread } = self.start_body()?;
        let (tell, told) = sync_channel(UNHEARD_MAX);
        // Should a thread not start, this is dropped, and with it all that has.
        let mut running = RunningJob { child: child.clone(), tell: Some(tell), threads: Vec::new() };
        running.threads.extend(body_thread);
        let speaker = thread::Builder::new().name("job-speaker".into()).spawn(move || speak(input, spec, &told))?;
        running.threads.insert(0, speaker);
        let report = Arc::clone(&self.report);
        let listen = move || {
            let how = listen(job, output, &report);
            child.bury();
            report(JobNews::Ended { job, how });
        };
        let listener = thread::Builder::new().name("job-listener".into()).spawn(listen)?;
        running.threads.insert(1, listener);
        self.running.insert(job, running);
        Ok(())
    }

    /// Tells a job something; one that has ended hears nothing. `false` if the job does not listen and was killed.
    pub(super) fn tell(&mut self, job: JobId, bytes: Bytes) -> bool {
        let Some(running) = self.running.get_mut(&job) else { return true };
        match running.tell.as_ref().map(|tell| tell.try_send(bytes)) {
            Some(Err(TrySendError::Full(_))) => {
                running.tell = None;
                running.child.kill();
                false
            }
            // Killed for that before; or the speaker ended with the job's pipe, whose listener reports it.
            None | Some(Ok(()) | Err(TrySendError::Disconnected(_))) => true,
        }
    }

    /// Kills a job. Its end is reported like any other.
    pub(super) fn stop(&mut self, job: JobId) {
        if let Some(running) = self.running.get_mut(&job) {
            running.tell = None;
            running.child.kill();
        }
    }

    /// Forgets a job whose end was reported.
    pub(super) fn forget(&mut self, job: JobId) {
        self.running.remove(&job);
    }
}

impl Drop for RunningJob {
    fn drop(&mut self) {
        self.child.kill();
        self.tell = None;
        for thread in self.threads.drain(..) {
            // Neither thread panics of itself; if one did, it was reported where panics are.
            let _ = thread.join();
        }
    }
}

/// Writes the spec and then what the node says, until either end is gone.
fn speak(input: Box<dyn Write + Send>, spec: Bytes, told: &Receiver<Bytes>) {
    let mut input = BufWriter::new(input);
    for bytes in std::iter::once(spec).chain(told.iter()) {
        // The job is dead, or the message is longer than any may be. Either way the pipe ends here, and the job too.
        if frames::write(&mut input, &Frame::Said(bytes)).is_err() {
            return;
        }
    }
}

/// Passes on what the job says, until it has no more to say, and tells how it ended.
fn listen(job: JobId, output: Box<dyn Read + Send>, report: &Report) -> JobEnd {
    let mut output = BufReader::new(output);
    loop {
        match frames::read(&mut output) {
            Ok(Some(Frame::Said(bytes))) => {
                if !report(JobNews::Said { job, bytes }) {
                    return JobEnd::Killed;
                }
            }
            Ok(Some(Frame::Done(bytes))) => return JobEnd::Done(bytes),
            Ok(Some(Frame::Failed(words))) => return JobEnd::Failed(String::from_utf8_lossy(&words).into()),
            Ok(None) => return JobEnd::Killed,
            Err(e) => return JobEnd::Failed(format!("the job's output makes no sense: {e}").into()),
        }
    }
}
