//! The engine's process, as the real lane holds it.
//!
//! Every wait has an end, and the process is killed by its own id when this value is dropped, so that none is left
//! behind, whatever goes wrong. What the process said before it died is heard to the last whole message, because the
//! pipe outlives it.

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use stormproof_engine::{
    driver::failpoints,
    memory::{Facts, Op},
};

use super::{
    child::ARGUMENT,
    wire::{self, Answer, Ask, How, Say, Setup},
};

/// How long anything may take before it counts as stuck: far above what a slow disk needs.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// The signals that end a process on purpose.
const SIGABRT: i32 = 6;
const SIGKILL: i32 = 9;

/// The engine's process.
pub(super) struct Process {
    pub(super) body: Body,
    pub(super) mouth: Mouth,
    /// What each client hears.
    pub(super) lines: Vec<Line>,
    control: Receiver<Control>,
    notes: Arc<Mutex<Notes>>,
    ears: Option<JoinHandle<()>>,
}

/// The process itself.
pub(super) struct Body(Child);

/// The way to ask it.
pub(super) struct Mouth(Mutex<Option<ChildStdin>>);

/// The way a client hears from it.
pub(super) struct Line(Receiver<Answer>);

/// What it noted.
#[derive(Clone, Debug, Default)]
pub(super) struct Notes {
    pub(super) counts: BTreeMap<String, u64>,
    /// The last frame that it published.
    pub(super) published: Option<u64>,
    /// The most transactions in one batch.
    pub(super) batch_max: u64,
    pub(super) stopped: Option<How>,
    /// What was wrong with a message of its.
    pub(super) garbled: Option<String>,
}

/// What is said to nobody in particular.
enum Control {
    Opened,
    Refused(String),
    Facts(Option<Box<Facts>>),
}

/// How an attempt to open the node ended.
#[derive(Debug)]
pub(super) enum Opening {
    Opened,
    Refused(String),
    Died,
}

/// How a process ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Death {
    /// By a failpoint.
    Aborted,
    /// By us.
    Killed,
    /// In order.
    Exited,
    /// In no way that anybody asked for.
    Otherwise(ExitStatus),
}

/// It did not answer in time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stuck;

impl Process {
    /// Starts `program` as the engine on `dir`, with these failpoints armed, and has it open the node. What it prints
    /// goes to `errors`.
    pub(super) fn start(
        program: &Path,
        dir: &Path,
        setup: &Setup,
        armed: Option<&str>,
        errors: File,
    ) -> io::Result<Process> {
        let mut command = Command::new(program);
        command.arg(ARGUMENT).arg(dir).env_remove(failpoints::VARIABLE);
        if let Some(armed) = armed {
            command.env(failpoints::VARIABLE, armed);
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(errors).spawn()?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let (body, mouth) = (Body(child), Mouth(Mutex::new(stdin)));
        let stdout = stdout.ok_or_else(|| io::Error::other("the pipe from the engine is missing"))?;
        let (lines, answers): (Vec<_>, Vec<_>) =
            (0..setup.clients).map(|_| channel()).map(|(s, r)| (Line(r), s)).unzip();
        let (tell, control) = channel();
        let notes = Arc::default();
        let ears = Ears { answers, control: tell, notes: Arc::clone(&notes) };
        let ears = thread::Builder::new().name("engine-ears".into()).spawn(move || ears.listen(stdout))?;
        // If it is dead already, that is found when its first word is awaited.
        let _ = mouth.ask(&Ask::Open(setup.clone()));
        Ok(Process { body, mouth, lines, control, notes, ears: Some(ears) })
    }

    /// Waits until the node is open, or cannot be.
    pub(super) fn opening(&self, within: Duration) -> Result<Opening, Stuck> {
        match self.control.recv_timeout(within) {
            Ok(Control::Opened) => Ok(Opening::Opened),
            Ok(Control::Refused(words)) => Ok(Opening::Refused(words)),
            Ok(Control::Facts(_)) | Err(RecvTimeoutError::Timeout) => Err(Stuck),
            Err(RecvTimeoutError::Disconnected) => Ok(Opening::Died),
        }
    }

    /// Everything that the node knows; `None` if it is gone.
    pub(super) fn inspect(&self) -> Result<Option<Facts>, Stuck> {
        if self.mouth.ask(&Ask::Inspect).is_err() {
            return Ok(None);
        }
        match self.control.recv_timeout(PATIENCE) {
            Ok(Control::Facts(facts)) => Ok(facts.map(|facts| *facts)),
            Ok(Control::Opened | Control::Refused(_)) | Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => Err(Stuck),
        }
    }

    /// What it has noted so far.
    pub(super) fn notes(&self) -> Notes {
        lock(&self.notes).clone()
    }

    /// Waits for its end, and hears it out.
    pub(super) fn end(mut self) -> Result<(Death, Notes), Stuck> {
        self.mouth.close();
        let death = self.body.wait(PATIENCE).ok_or(Stuck)?;
        if let Some(ears) = self.ears.take() {
            // It panics only by a bug of ours, which then shows as words that were not heard.
            let _ = ears.join();
        }
        Ok((death, self.notes()))
    }
}

impl Body {
    /// Kills it, if it still lives.
    pub(super) fn kill(&mut self) {
        // Fails only when it is gone.
        let _ = self.0.kill();
    }

    fn wait(&mut self, within: Duration) -> Option<Death> {
        let limit = Instant::now() + within;
        loop {
            match self.0.try_wait() {
                Ok(Some(status)) => return Some(Death::of(status)),
                Ok(None) if Instant::now() < limit => thread::sleep(Duration::from_micros(200)),
                Ok(None) | Err(_) => return None,
            }
        }
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        self.kill();
        let _ = self.0.wait();
    }
}

impl Death {
    fn of(status: ExitStatus) -> Death {
        match (status.signal(), status.code()) {
            (Some(SIGABRT), _) => Death::Aborted,
            (Some(SIGKILL), _) => Death::Killed,
            (None, Some(0)) => Death::Exited,
            _ => Death::Otherwise(status),
        }
    }
}

impl Mouth {
    /// Asks; an error means that it is gone.
    pub(super) fn ask(&self, what: &Ask) -> io::Result<()> {
        let mut pipe = lock(&self.0);
        wire::write(pipe.as_mut().ok_or_else(|| io::Error::other("closed"))?, what)
    }

    fn close(&self) {
        lock(&self.0).take();
    }
}

impl Line {
    /// Makes an attempt and waits for the answer; `None` if the process died with it.
    pub(super) fn attempt(
        &self,
        mouth: &Mouth,
        client: usize,
        op_id: u64,
        attempt: u32,
        op: &Op,
    ) -> Result<Option<Answer>, Stuck> {
        if mouth.ask(&Ask::Attempt { client, op_id, attempt, op: op.clone() }).is_err() {
            return Ok(None);
        }
        match self.0.recv_timeout(PATIENCE) {
            Ok(answer) => Ok(Some(answer)),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => Err(Stuck),
        }
    }
}

/// Hears what the process says, and tells whom it concerns.
struct Ears {
    answers: Vec<Sender<Answer>>,
    control: Sender<Control>,
    notes: Arc<Mutex<Notes>>,
}

impl Ears {
    fn listen(self, mut from: ChildStdout) {
        loop {
            match wire::read::<Say>(&mut from) {
                Ok(Some(said)) => self.pass_on(said),
                Ok(None) => return,
                // The end of the pipe for us: whoever waits finds the process mute.
                Err(error) => return lock(&self.notes).garbled = Some(error.to_string()),
            }
        }
    }

    /// Nobody may be waiting any more, which is no concern of the others: so what cannot be told is dropped.
    fn pass_on(&self, said: Say) {
        match said {
            Say::Opened => drop(self.control.send(Control::Opened)),
            Say::Refused(words) => drop(self.control.send(Control::Refused(words))),
            Say::Facts(facts) => drop(self.control.send(Control::Facts(facts))),
            Say::Answer { client, answer } => drop(self.answers.get(client).map(|to| to.send(answer))),
            Say::Noted { name, values } => lock(&self.notes).add(name, &values),
            Say::Stopped(how) => lock(&self.notes).stopped = Some(how),
        }
    }
}

impl Notes {
    fn add(&mut self, name: String, values: &[(String, u64)]) {
        if name == "commit.batch" {
            let value = |wanted: &str| values.iter().find(|(name, _)| name == wanted).map(|(_, value)| *value);
            self.published = value("lsn").or(self.published);
            self.batch_max = self.batch_max.max(value("n").unwrap_or(0));
        }
        *self.counts.entry(name).or_default() += 1;
    }

    /// How the node stopped, if nobody had asked it to.
    pub(super) fn stopped_by_itself(&self) -> Option<&How> {
        self.stopped.as_ref().filter(|how| !matches!(how, How::Asked))
    }

    pub(super) fn count(&self, name: &str) -> u64 {
        self.counts.get(name).copied().unwrap_or(0)
    }
}

/// What a thread that panicked left behind is whole: each change under these locks is a single one.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
