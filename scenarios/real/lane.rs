//! One directory and its lives: the engine is started on it, asked, ended in some way, and started again.
//!
//! In each life it is first looked at, while nothing is asked of it: that is where most claims are checked. Then commits
//! that nobody has answered are made again, and several clients ask at once, until they are done or the process is gone.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        mpsc::{RecvTimeoutError, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

use stormproof_engine::memory::{Facts, Lsn};
use stormproof_sim::world::{
    dice::Dice,
    stage::{LIVENESS, NO_PANIC, Phase, Workload},
};

use super::{
    process::{Death, Line, Mouth, Notes, Opening, PATIENCE, Process, Stuck, lock},
    report::{Kill, Tally},
    trial::{Broken, Died, Heard, Pending, Trace, Trial},
    wire::{How, Setup},
};
use crate::{
    invariants::claims::D1,
    vectors::Vectors,
    workloads::{Clients, Habits, Mix},
};

/// How many clients ask at once.
pub(super) const CLIENTS: usize = 6;
/// How many operations each has in a life.
const OPS_PER_CLIENT: u32 = 40;
/// How many records there are to be written.
const KEYS: u64 = 40;
/// Every so manieth commit without an answer is given up, the others are made again.
const GIVE_UP_EVERY: usize = 3;
/// How long a node may take to repair what failed, once nothing fails any more.
const REPAIR: Duration = Duration::from_secs(5);

/// How a life ends.
#[derive(Clone, Debug)]
pub(super) enum Blow {
    /// In peace.
    None,
    /// It is killed this long after it was started.
    KillWhileOpening(Duration),
    /// It is killed this long after clients have begun to ask.
    KillInStorm(Duration),
    /// It aborts at a failpoint, which it passes unharmed this many times before.
    Abort { point: String, passes: u32 },
    /// Something fails, and it goes on or halts. When clients are done, and if it has noted the first of these names,
    /// its note of the second is awaited; then it is killed, or ends in peace.
    Fault { armed: String, until: Option<(&'static str, &'static str)>, kill: bool },
}

/// What a life came to.
#[derive(Debug)]
pub(super) struct Lived {
    pub(super) death: Death,
    pub(super) notes: Notes,
    /// Commits acknowledged in it.
    pub(super) acknowledged: u64,
}

/// Why a case cannot go on.
#[derive(Debug)]
pub(super) enum Trouble {
    /// A claim does not hold.
    Broken(Broken),
    /// The tool failed.
    Tool(io::Error),
}

impl From<Broken> for Trouble {
    fn from(broken: Broken) -> Self {
        Trouble::Broken(broken)
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Trouble::Tool(error)
    }
}

impl From<Stuck> for Trouble {
    fn from(_: Stuck) -> Self {
        let witness = format!("the process did not answer for {} s", PATIENCE.as_secs());
        Broken { claim: LIVENESS, kind: "stuck", witness }.into()
    }
}

/// What all directories of a run share.
pub(super) struct Tools<'a> {
    /// The program that is the engine.
    pub(super) program: &'a Path,
    pub(super) vectors: Option<Arc<Vectors>>,
    /// Called with the directory after each death of a process.
    pub(super) after_death: Option<&'a dyn Fn(&Path)>,
    /// Hears how many processes were started.
    pub(super) progress: &'a dyn Fn(u64),
}

/// One directory.
pub(super) struct Lane<'a> {
    tools: &'a Tools<'a>,
    tally: &'a mut Tally,
    pub(super) setup: Setup,
    /// Holds the engine's directory, and what it printed.
    home: PathBuf,
    pub(super) dice: Dice,
    seed: u64,
    trial: Trial,
    trace: Mutex<Trace>,
    pending: Vec<Pending>,
    next_client: u32,
    died: Died,
}

impl<'a> Lane<'a> {
    /// A new directory in `home`, which must not be there yet.
    pub(super) fn new(
        tools: &'a Tools<'a>,
        tally: &'a mut Tally,
        setup: Setup,
        home: PathBuf,
        seed: u64,
    ) -> io::Result<Self> {
        fs::create_dir_all(&home)?;
        Ok(Lane {
            tools,
            tally,
            setup,
            home,
            dice: Dice::new(seed, 0),
            seed,
            trial: Trial::new(),
            trace: Mutex::new(Trace::new()),
            pending: Vec::new(),
            next_client: 0,
            died: Died::Somewhere,
        })
    }

    /// The engine's directory.
    pub(super) fn dir(&self) -> PathBuf {
        self.home.join("engine")
    }

    /// A life with clients.
    pub(super) fn live(&mut self, blow: &Blow) -> Result<Lived, Trouble> {
        self.life(blow, true)
    }

    /// A life in which it is only looked at. If it is killed, that is as soon as it was.
    pub(super) fn look(&mut self, blow: &Blow) -> Result<Lived, Trouble> {
        self.life(blow, false)
    }

    /// Looks twice more, so that recovery is seen to be repeatable; and then at everything that clients ever saw.
    pub(super) fn look_at_everything(&mut self) -> Result<(), Trouble> {
        self.look(&Blow::KillInStorm(Duration::ZERO))?;
        let process = self.start(None)?;
        let Sight::Facts(facts) = self.open(&process, &Blow::None)? else {
            return Err(io::Error::other("the engine's process died in peace").into());
        };
        self.trial.ended(&facts, &lock(&self.trace).history)?;
        self.end(process, &Blow::None, 0)?;
        Ok(())
    }

    /// A copy of the engine's directory as it is, while no process runs.
    pub(super) fn copy(&self) -> io::Result<PathBuf> {
        let copy = self.home.join("copy");
        copy_dir(&self.dir(), &copy)?;
        Ok(copy)
    }

    /// Opens a copy to which something was `done`. Tells whether it was refused.
    pub(super) fn open_damaged(&mut self, copy: &Path, done: &str) -> Result<bool, Trouble> {
        let process = self.start_on(copy, None)?;
        let refused = match process.opening(PATIENCE)? {
            Opening::Refused(words) => {
                self.trial.refused(&words, done)?;
                true
            }
            Opening::Opened => {
                let facts = process.inspect()?.ok_or_else(|| io::Error::other("the engine's process died in peace"))?;
                self.trial.opened_damaged(&facts, done, &lock(&self.trace).history)?;
                false
            }
            Opening::Died => false,
        };
        self.end(process, &Blow::None, 0)?;
        Ok(refused)
    }

    /// Writes down what it has shown.
    pub(super) fn close(self) {
        self.tally.add_checked(&self.trial.checked);
        self.tally.add_history(&lock(&self.trace).history);
    }

    pub(super) fn count_fault(&mut self, what: &str) {
        self.tally.count_fault(what);
    }

    fn life(&mut self, blow: &Blow, asked: bool) -> Result<Lived, Trouble> {
        let mut process = self.start(blow.armed().as_deref())?;
        if let Blow::KillWhileOpening(after) = blow {
            thread::sleep(*after);
            process.body.kill();
        }
        let before = self.acknowledged();
        match self.open(&process, blow)? {
            Sight::Gone => {}
            Sight::Facts(_) => {
                self.peek(&mut process)?;
                if asked {
                    self.trial.goes_on();
                    self.ask_again(&mut process)?;
                    self.storm(&mut process, blow)?;
                    await_note(&process, blow)?;
                    if let Blow::Fault { kill: true, .. } = blow {
                        process.body.kill();
                    }
                } else if let Blow::KillInStorm(_) = blow {
                    process.body.kill();
                }
            }
        }
        let acknowledged = self.acknowledged() - before;
        self.end(process, blow, acknowledged)
    }

    fn start(&mut self, armed: Option<&str>) -> io::Result<Process> {
        self.start_on(&self.dir(), armed)
    }

    fn start_on(&mut self, dir: &Path, armed: Option<&str>) -> io::Result<Process> {
        self.tally.lives += 1;
        (self.tools.progress)(self.tally.lives);
        let errors = File::options().create(true).append(true).open(self.home.join("engine.stderr"))?;
        Process::start(self.tools.program, dir, &self.setup, armed, errors)
    }

    /// Waits until the node is open and looks at it, before anything is asked.
    fn open(&mut self, process: &Process, blow: &Blow) -> Result<Sight, Trouble> {
        match process.opening(PATIENCE)? {
            Opening::Died => return Ok(Sight::Gone),
            // The fault struck while it opened.
            Opening::Refused(_) if matches!(blow, Blow::Fault { .. }) => return Ok(Sight::Gone),
            Opening::Refused(words) => {
                return Err(Broken { claim: D1, kind: "it refuses to open what it wrote", witness: words }.into());
            }
            Opening::Opened => {}
        }
        let found = temporaries(&self.dir())?;
        let Some(facts) = process.inspect()? else { return Ok(Sight::Gone) };
        let left = self.left_behind(found)?;
        self.trial.opened(&facts, &left, &self.died, &lock(&self.trace).history)?;
        self.died = Died::Somewhere;
        self.tally.reopenings += 1;
        Ok(Sight::Facts(Box::new(facts)))
    }

    /// Those of the temporary files `found` that stay. A repair or a merge that began with the node has one as well, for as
    /// long as the disk takes to sync it: what is left behind is there long after that, and is the same file.
    fn left_behind(&self, mut found: BTreeMap<String, Identity>) -> io::Result<Vec<String>> {
        let began = Instant::now();
        while !found.is_empty() && began.elapsed() < REPAIR {
            thread::sleep(Duration::from_millis(2));
            let now = temporaries(&self.dir())?;
            found.retain(|path, identity| now.get(path) == Some(identity));
        }
        Ok(found.into_keys().collect())
    }

    /// Looks at everything as a client does.
    fn peek(&mut self, process: &mut Process) -> Result<(), Trouble> {
        let mut client = self.client(Phase::Calm);
        let Process { lines, mouth, .. } = process;
        client.ask(0, &mut lines[0], mouth, &self.trace)?;
        Ok(())
    }

    /// Makes commits again that nobody has answered, and gives some of them up.
    fn ask_again(&mut self, process: &mut Process) -> Result<(), Trouble> {
        let Process { lines, mouth, .. } = process;
        for (n, mut commit) in std::mem::take(&mut self.pending).into_iter().enumerate() {
            if n % GIVE_UP_EVERY == GIVE_UP_EVERY - 1 {
                lock(&self.trace).give_up(commit.id);
                continue;
            }
            let answer = lines[0].attempt(mouth, 0, commit.id.0, commit.attempts, &commit.op)?;
            self.tally.asked_again += 1;
            let heard = lock(&self.trace).hear(commit.id, &commit.op, commit.attempts, answer);
            commit.attempts += 1;
            if let Heard::Open = heard {
                self.pending.push(commit);
            }
        }
        Ok(())
    }

    /// Has all clients ask at once.
    fn storm(&mut self, process: &mut Process, blow: &Blow) -> Result<(), Trouble> {
        let clients: Vec<_> = (0..self.setup.clients).map(|_| self.client(Phase::Storm)).collect();
        let Process { lines, mouth, body, .. } = process;
        let (trace, mouth) = (&self.trace, &*mouth);
        let open = thread::scope(|scope| {
            let (finished, all_finished) = channel();
            let asking: Vec<_> = clients
                .into_iter()
                .zip(lines.iter_mut())
                .enumerate()
                .map(|(place, (mut client, line))| {
                    let finished: Sender<()> = finished.clone();
                    scope.spawn(move || {
                        let open = client.ask(place, line, mouth, trace);
                        drop(finished);
                        open
                    })
                })
                .collect();
            drop(finished);
            if let Blow::KillInStorm(after) = blow {
                // Nothing is ever sent: the channel ends with the last client.
                if all_finished.recv_timeout(*after) == Err(RecvTimeoutError::Timeout) {
                    body.kill();
                }
            }
            let ended = asking.into_iter().map(|client| client.join().expect("a client does not panic"));
            ended.collect::<Result<Vec<_>, Stuck>>()
        })?;
        self.pending.extend(open.into_iter().flatten());
        if let Blow::KillInStorm(_) = blow {
            body.kill();
        }
        Ok(())
    }

    /// Waits for the end of a process, and says if it is not the one that was meant.
    fn end(&mut self, process: Process, blow: &Blow, acknowledged: u64) -> Result<Lived, Trouble> {
        let (death, notes) = process.end()?;
        self.tally.add_notes(&notes);
        if let Some(words) = &notes.garbled {
            return Err(io::Error::other(format!("a message of the engine's process makes no sense: {words}")).into());
        }
        if let Some(How::Panicked(words)) = &notes.stopped {
            return Err(Broken { claim: NO_PANIC, kind: "the writer panicked", witness: words.clone() }.into());
        }
        let meant = match blow {
            Blow::None | Blow::Fault { kill: false, .. } => death == Death::Exited,
            Blow::KillWhileOpening(_) | Blow::KillInStorm(_) | Blow::Fault { kill: true, .. } => death == Death::Killed,
            Blow::Abort { .. } => matches!(death, Death::Aborted | Death::Exited),
        };
        if !meant {
            let witness = format!("{death:?} under {blow:?}; what it printed: {}", self.last_words());
            return Err(Broken { claim: NO_PANIC, kind: "the process died unasked", witness }.into());
        }
        self.count_kill(blow, death, &notes);
        if let Some(after_death) = self.tools.after_death {
            after_death(&self.dir());
        }
        Ok(Lived { death, notes, acknowledged })
    }

    fn count_kill(&mut self, blow: &Blow, death: Death, notes: &Notes) {
        match (blow, death) {
            (Blow::Abort { point, .. }, Death::Aborted) => {
                self.tally.count_kill(if point.starts_with("disk.") { Kill::DiskCall } else { Kill::Point });
                *self.tally.points.entry(point.clone()).or_default() += 1;
                let published = notes.published.map_or(self.trial.lsn(), |lsn| Lsn(lsn).max(self.trial.lsn()));
                self.died = died_at(point, published);
            }
            (Blow::KillWhileOpening(_) | Blow::KillInStorm(_) | Blow::Fault { kill: true, .. }, _) => {
                self.tally.count_kill(Kill::Moment);
            }
            (Blow::None | Blow::Fault { .. } | Blow::Abort { .. }, _) => {}
        }
    }

    fn last_words(&self) -> String {
        let printed = fs::read_to_string(self.home.join("engine.stderr")).unwrap_or_default();
        let lines: Vec<_> = printed.lines().rev().take(8).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    fn acknowledged(&self) -> u64 {
        lock(&self.trace).acknowledged
    }

    /// A client that has never been there.
    fn client(&mut self, phase: Phase) -> Client {
        let number = self.next_client;
        self.next_client += 1;
        let habits = Habits {
            clients: self.next_client,
            ops_per_client: OPS_PER_CLIENT,
            keys: KEYS,
            dim: self.setup.dim,
            offset: 0,
            text_bytes: 0,
            mix: Mix { bulk: 10, rebuild: if self.setup.rebuilds { 8 } else { 0 }, ..Mix::even() },
            managers: self.setup.managers.clone(),
            managers_percent: 30,
        };
        let dice = Dice::new(self.seed, 1 + u64::from(number));
        Client { number, phase, dice, habits: Clients::new(habits, self.tools.vectors.clone()) }
    }
}

/// What is seen of a process that was told to open the node.
enum Sight {
    Facts(Box<Facts>),
    /// It is not open: it died, or a fault kept it from opening.
    Gone,
}

/// A client, and what it is about to do.
struct Client {
    number: u32,
    phase: Phase,
    dice: Dice,
    habits: Clients,
}

impl Client {
    /// Asks until it has no more to ask or the process is gone. Gives the commit that nobody answered, if any.
    fn ask(
        &mut self,
        place: usize,
        line: &mut Line,
        mouth: &Mouth,
        trace: &Mutex<Trace>,
    ) -> Result<Option<Pending>, Stuck> {
        while let Some(op) = self.habits.next(self.number, self.phase, &mut self.dice) {
            let id = lock(trace).invoke(self.number, op.clone());
            let answer = line.attempt(mouth, place, id.0, 0, &op)?;
            let heard = lock(trace).hear(id, &op, 0, answer);
            match heard {
                Heard::Reply(reply) => self.habits.heard(self.number, &op, Some(&reply)),
                Heard::Gone => return Ok(None),
                Heard::Open => return Ok(Some(Pending { id, op, attempts: 1 })),
            }
        }
        Ok(None)
    }
}

impl Blow {
    fn armed(&self) -> Option<String> {
        match self {
            Blow::None | Blow::KillWhileOpening(_) | Blow::KillInStorm(_) => None,
            Blow::Abort { point, passes: 0 } => Some(format!("{point}=return(kill)")),
            Blow::Abort { point, passes } => Some(format!("{point}={passes}*off->return(kill)")),
            Blow::Fault { armed, .. } => Some(armed.clone()),
        }
    }
}

/// What a death at a point means for the batch that was on its way.
fn died_at(point: &str, published: Lsn) -> Died {
    let point = point.to_owned();
    match point.as_str() {
        "commit.decide.frame_written" => Died::Somewhere,
        "commit.decide.log_synced" => Died::Decided { point, published },
        step if step.starts_with("commit.finish.") => Died::Decided { point, published },
        step if step.starts_with("commit.") => Died::Undecided { point, published },
        _ => Died::Somewhere,
    }
}

fn await_note(process: &Process, blow: &Blow) -> Result<(), Broken> {
    let Blow::Fault { until: Some((failed, mended)), .. } = blow else { return Ok(()) };
    let limit = Instant::now() + REPAIR;
    while process.notes().count(failed) > 0 && process.notes().count(mended) == 0 {
        if Instant::now() > limit {
            let witness = format!("`{failed}`, and no `{mended}` within {} s", REPAIR.as_secs());
            return Err(Broken { claim: LIVENESS, kind: "what failed is not repaired", witness });
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Tells a file from another of its name: its number in the file system, and when it was written last.
type Identity = (u64, i64, i64);

/// The temporary files below a directory. What goes while it is looked at was none that is left.
fn temporaries(dir: &Path) -> io::Result<BTreeMap<String, Identity>> {
    let mut found = BTreeMap::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let path = entry.path();
            if entry.file_type()?.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|extension| extension == "tmp")
                && let Ok(meta) = entry.metadata()
            {
                found.insert(path.display().to_string(), (meta.ino(), meta.mtime(), meta.mtime_nsec()));
            }
        }
    }
    Ok(found)
}

fn copy_dir(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_dir(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
