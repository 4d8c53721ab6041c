//! The writer: the one thread that a running node lives in.
//!
//! # A batch
//! The writer takes whatever has arrived, up to a bound, gives it to the node input by input, and settles once. While
//! it settles, which is where a node with group commit writes and syncs, the next batch gathers in the queue. So the
//! batches grow with the load, and with nobody else about a request is settled at once: there is no waiting for company.
//!
//! # Ends
//! | what happens | the node | whoever waits |
//! |---|---|---|
//! | [`Running::stop`], or its drop | finishes the batch, which includes all calls begun before | hears the reply, or `Unknown` if the node had not replied by then |
//! | the node asks to halt | is dropped, no effect after the halt is carried out | hears `Unknown` |
//! | the node panics | is dropped, no effect of that call is carried out | hears `Unknown` |
//!
//! Nobody is told one by one. Who waits holds the receiving end of a channel whose sending end lies with the writer,
//! in the queue or in `waiting`; when the writer goes, they go, and the receiver wakes. There is no path on which a
//! caller is forgotten.

use std::{
    any::Any,
    collections::{BTreeMap, VecDeque},
    ops::ControlFlow,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{
        Arc, OnceLock,
        atomic::AtomicU64,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use stormproof_contract::{Clock, Effect, Effects, Input, JobEnd, JobId, Lock, Node, NodeId, RequestId};

use super::{
    client::Client,
    jobs::{JobCommand, JobNews, Jobs, RunInThread},
};

#[cfg(test)]
mod tests;

/// What a host has to tell whoever watches it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Note<'a> {
    /// The node noted something.
    Said {
        /// What.
        name: &'static str,
        /// Numbers that belong to it.
        values: &'a [(&'static str, u64)],
    },
    /// A call has ended. Told on the caller's own thread, unlike all else.
    Answered {
        /// Which attempt at which operation.
        id: RequestId,
        /// What kind of operation it was: see [`Node::kind`].
        kind: &'static str,
        /// How long the caller waited.
        took: Duration,
        /// Whether its outcome is known: it was told, or was not let in.
        known: bool,
    },
    /// The node sent a message. A host of one node has no peers: it was dropped, as a network may.
    NoPeer {
        /// Whom it was for.
        to: NodeId,
        /// Its length.
        bytes: usize,
    },
    /// A job did not listen to what the node told it, and was killed.
    DeafJob {
        /// Which.
        job: JobId,
    },
    /// The node has stopped. The last note.
    Stopped {
        /// How.
        how: &'a Stop,
    },
}

/// Hears notes, on the writer's thread and on those of callers: it must be quick, and must not call the node.
pub type Observer = Arc<dyn Fn(&Note<'_>) + Send + Sync>;

/// How a node stopped.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Stop {
    /// It was asked to.
    Asked,
    /// It could not go on with what it had in memory. Open it anew.
    Halted {
        /// Why, in its words.
        reason: Box<str>,
    },
    /// It panicked: a bug.
    Panicked {
        /// The message.
        message: Box<str>,
    },
}

/// What the writer's queue holds.
pub(super) enum Mail<N: Node> {
    Request { id: RequestId, op: N::Op, answer: SyncSender<N::Reply> },
    Look(Look<N>),
    Job(JobNews),
    Stop,
}

/// A question about the node's settled state.
pub(super) type Look<N> = Box<dyn FnOnce(&N) + Send>;

/// A node that runs. Dropping it stops the node and waits for that.
pub struct Running<N: Node + 'static> {
    client: Client<N>,
    writer: Option<JoinHandle<Stop>>,
    /// Of the directory. A field is dropped after `drop` has run, hence after the writer is gone.
    _lock: Box<dyn Lock>,
}

impl<N: Node + 'static> Running<N> {
    /// Asks the node.
    pub fn client(&self) -> Client<N> {
        self.client.clone()
    }

    /// Stops the node after all calls begun before this one, waits until its thread and its jobs are gone, and tells
    /// how it ended: it may have halted or panicked earlier.
    pub fn stop(mut self) -> Stop {
        self.end()
    }

    fn end(&mut self) -> Stop {
        // Refused if the writer is gone already, which is what is wanted.
        let _ = self.client.mail.send(Mail::Stop);
        match self.writer.take().map(JoinHandle::join) {
            Some(Ok(stop)) => stop,
            Some(Err(panic)) => Stop::Panicked { message: words_of(&*panic) },
            None => Stop::Asked,
        }
    }
}

impl<N: Node + 'static> Drop for Running<N> {
    fn drop(&mut self) {
        self.end();
    }
}

/// What a writer is started with.
pub(super) struct Start<N: Node> {
    pub(super) node: N,
    pub(super) clock: Arc<dyn Clock>,
    /// Where the node's files lie, for its jobs.
    pub(super) dir: PathBuf,
    pub(super) job_command: JobCommand,
    pub(super) run_in_thread: RunInThread,
    pub(super) lock: Box<dyn Lock>,
    pub(super) observer: Option<Observer>,
    pub(super) queue_inputs_max: usize,
    pub(super) batch_inputs_max: usize,
    pub(super) first_op: u64,
}

/// Gives a node its thread.
pub(super) fn start<N: Node + 'static>(start: Start<N>) -> std::io::Result<Running<N>> {
    let (send, mail) = sync_channel(start.queue_inputs_max);
    let stopped = Arc::new(OnceLock::new());
    let client = Client {
        mail: send.clone(),
        reader: start.node.reader(),
        stopped: Arc::clone(&stopped),
        next_op: Arc::new(AtomicU64::new(start.first_op)),
        observer: start.observer.clone(),
    };
    let mut writer = Writer {
        mail,
        jobs: Jobs::new(
            start.job_command,
            start.run_in_thread,
            start.dir,
            Arc::new(move |news| send.send(Mail::Job(news)).is_ok()),
        ),
        node: start.node,
        clock: start.clock,
        observer: start.observer,
        batch_inputs_max: start.batch_inputs_max.max(1),
        waiting: BTreeMap::new(),
        looks: Vec::new(),
        stillborn: VecDeque::new(),
        out: Effects::default(),
        unsettled: false,
        stopping: false,
    };
    let live = move || {
        let stop = catch_unwind(AssertUnwindSafe(|| writer.live()))
            .unwrap_or_else(|panic| Stop::Panicked { message: words_of(&*panic) });
        // Before the callers wake: who hears `Unknown` and asks why shall be told.
        let stop = stopped.get_or_init(|| stop).clone();
        writer.note(&Note::Stopped { how: &stop });
        stop
    };
    let thread = thread::Builder::new().name("writer".into()).spawn(live)?;
    Ok(Running { client, writer: Some(thread), _lock: start.lock })
}

/// The writer's own state. Dropped field by field in this order: first the queue, so that no caller and no listener of
/// a job is left waiting on it while the jobs are killed.
struct Writer<N: Node> {
    mail: Receiver<Mail<N>>,
    waiting: BTreeMap<RequestId, SyncSender<N::Reply>>,
    jobs: Jobs,
    node: N,
    clock: Arc<dyn Clock>,
    observer: Option<Observer>,
    batch_inputs_max: usize,
    /// Kept until the batch is settled.
    looks: Vec<Look<N>>,
    /// Jobs that did not start, which the node has yet to hear.
    stillborn: VecDeque<(JobId, JobEnd)>,
    out: Effects<N::Reply>,
    /// Whether the node was given something since it last settled.
    unsettled: bool,
    stopping: bool,
}

impl<N: Node> Writer<N> {
    fn live(&mut self) -> Stop {
        loop {
            if let ControlFlow::Break(stop) = self.batch() {
                return stop;
            }
        }
    }

    fn batch(&mut self) -> ControlFlow<Stop> {
        let mut mail = self.wait();
        let mut taken = 0;
        self.fire_timer()?;
        while let Some((job, how)) = self.stillborn.pop_front() {
            self.handle(Input::JobEnded { job, how })?;
        }
        while let Some(piece) = mail {
            self.take(piece)?;
            taken += 1;
            mail = if taken < self.batch_inputs_max { self.mail.try_recv().ok() } else { None };
        }
        // A look must not change what it looks at: without an input there is nothing to settle.
        if std::mem::take(&mut self.unsettled) {
            self.node.settle(&mut self.out);
            self.carry_out()?;
        }
        for look in self.looks.drain(..) {
            look(&self.node);
        }
        if self.stopping { ControlFlow::Break(Stop::Asked) } else { ControlFlow::Continue(()) }
    }

    /// Waits for something to do: the first piece of mail, or `None` for the timer or a job that did not start.
    fn wait(&mut self) -> Option<Mail<N>> {
        if !self.stillborn.is_empty() {
            return None;
        }
        loop {
            let left = match self.node.deadline() {
                None => Duration::MAX,
                Some(deadline) if deadline <= self.clock.now() => return self.mail.try_recv().ok(),
                Some(deadline) => Duration::from_nanos(deadline.since(self.clock.now()).0),
            };
            match self.mail.recv_timeout(left) {
                Ok(mail) => return Some(mail),
                // Woken for the timer, by a clock that need not be the node's: look again.
                Err(RecvTimeoutError::Timeout) => {}
                // Cannot be while `jobs` holds a sender. Were it so, nobody could ask for anything any more.
                Err(RecvTimeoutError::Disconnected) => return Some(Mail::Stop),
            }
        }
    }

    fn fire_timer(&mut self) -> ControlFlow<Stop> {
        match self.node.deadline() {
            Some(deadline) if deadline <= self.clock.now() => self.handle(Input::Timer),
            Some(_) | None => ControlFlow::Continue(()),
        }
    }

    fn take(&mut self, mail: Mail<N>) -> ControlFlow<Stop> {
        match mail {
            Mail::Request { id, op, answer } => {
                self.waiting.insert(id, answer);
                self.handle(Input::Request { id, op })
            }
            Mail::Look(look) => {
                self.looks.push(look);
                ControlFlow::Continue(())
            }
            Mail::Job(JobNews::Said { job, bytes }) => self.handle(Input::JobSaid { job, bytes }),
            Mail::Job(JobNews::Ended { job, how }) => {
                self.jobs.forget(job);
                self.handle(Input::JobEnded { job, how })
            }
            Mail::Stop => {
                self.stopping = true;
                ControlFlow::Continue(())
            }
        }
    }

    fn handle(&mut self, input: Input<N::Op>) -> ControlFlow<Stop> {
        self.unsettled = true;
        self.node.handle(input, &mut self.out);
        self.carry_out()
    }

    /// Carries out what the node asked for, in order, up to a halt.
    fn carry_out(&mut self) -> ControlFlow<Stop> {
        let mut out = std::mem::take(&mut self.out);
        for effect in out.drain() {
            self.carry_out_one(effect)?;
        }
        // Its allocation serves the next call.
        self.out = out;
        ControlFlow::Continue(())
    }

    fn carry_out_one(&mut self, effect: Effect<N::Reply>) -> ControlFlow<Stop> {
        match effect {
            Effect::Reply { to, reply } => {
                // Nobody waits for a second reply to one request. Who does wait has room for one, so this never blocks.
                if let Some(answer) = self.waiting.remove(&to) {
                    let _ = answer.send(reply);
                }
            }
            Effect::Send { to, bytes } => self.note(&Note::NoPeer { to, bytes: bytes.len() }),
            Effect::StartJob { job, spec } => {
                if let Err(e) = self.jobs.start(job, spec) {
                    let why = format!("the job's process did not start: {e}");
                    self.stillborn.push_back((job, JobEnd::Failed(why.into())));
                }
            }
            Effect::TellJob { job, bytes } => {
                if !self.jobs.tell(job, bytes) {
                    self.note(&Note::DeafJob { job });
                }
            }
            Effect::StopJob { job } => self.jobs.stop(job),
            Effect::Note { name, values } => self.note(&Note::Said { name, values: &values }),
            Effect::Halt { reason } => return ControlFlow::Break(Stop::Halted { reason }),
        }
        ControlFlow::Continue(())
    }

    fn note(&self, note: &Note<'_>) {
        if let Some(observer) = &self.observer {
            observer(note);
        }
    }
}

/// The words of a panic, which are text unless somebody threw a value of their own.
fn words_of(panic: &(dyn Any + Send)) -> Box<str> {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(words), _) => (*words).into(),
        (None, Some(words)) => words.as_str().into(),
        (None, None) => "a panic without words".into(),
    }
}
