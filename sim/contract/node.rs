//! A node: one process of the system on trial, as a value.

use std::{fmt::Debug, sync::Arc};

use crate::{JobEnd, JobId, NodeId, Reader, RequestId, Tick};

/// A message's bytes: shared, since a message may be duplicated or recorded.
pub type Bytes = Arc<[u8]>;

/// One process of the system on trial. One at a time is at work on it; it is never entered twice.
///
/// # Batches
/// Whoever holds the node hands it any number of inputs by [`handle`](Node::handle) and then calls
/// [`settle`](Node::settle) once. Effects leave when the call that made them returns. An engine with group commit
/// collects in `handle`, and writes, syncs and replies in `settle`; one without does everything in `handle`.
///
/// # Death
/// A node can die at any disk call, between any two calls, and between any two effects of one call (those before are
/// out, those after are not). It is then dropped unheard: its disk calls fail with
/// [`DiskErrorKind::Dead`](crate::DiskErrorKind::Dead), its effects go nowhere, and destructors cannot tidy up.
/// A panic is the death of the process, and a finding.
pub trait Node: Send + 'static {
    /// What clients ask.
    type Op: Clone + Debug + Send + Sync + 'static;
    /// What they are told.
    type Reply: Clone + Debug + Send + Sync + 'static;
    /// What invariants ask of the node's state. `()` where they ask nothing.
    type Ask;
    /// What they are told.
    type Facts;

    /// Takes one input. Disk calls are allowed; waiting is not.
    fn handle(&mut self, input: Input<Self::Op>, out: &mut Effects<Self::Reply>);

    /// The end of a batch: all that has arrived was handled.
    fn settle(&mut self, out: &mut Effects<Self::Reply>) {
        let _ = out;
    }

    /// When, on this machine's monotonic clock, the node wants [`Input::Timer`]. Asked after every batch; the last
    /// answer counts. The timer may come late, never early.
    fn deadline(&self) -> Option<Tick> {
        None
    }

    /// Answers queries beside the writer. Taken once, after boot.
    fn reader(&self) -> Option<Arc<dyn Reader<Self::Op, Self::Reply>>> {
        None
    }

    /// What kind of operation this is, in a word: by it, a host tells measurements apart.
    fn kind(op: &Self::Op) -> &'static str {
        let _ = op;
        "operation"
    }

    /// Answers an invariant's question about the state in memory. Touches no disk, changes nothing.
    fn inspect(&self, ask: &Self::Ask) -> Option<Self::Facts> {
        let _ = ask;
        None
    }
}

/// What happens to a node.
#[derive(Clone, Debug)]
pub enum Input<Op> {
    /// A client asks. The same request may arrive twice, and late; a retry has the same `id.op`.
    Request {
        /// Which attempt at which operation.
        id: RequestId,
        /// What is asked.
        op: Op,
    },
    /// Another node says something. Messages may be lost, duplicated, reordered, delayed without bound, and corrupted.
    Message {
        /// Who says it.
        from: NodeId,
        /// What it says.
        bytes: Bytes,
    },
    /// The time that [`Node::deadline`] named has come.
    Timer,
    /// A job of this incarnation says something. What a job says arrives once and in order.
    JobSaid {
        /// Which job.
        job: JobId,
        /// What it says.
        bytes: Bytes,
    },
    /// A job of this incarnation has ended.
    JobEnded {
        /// Which job.
        job: JobId,
        /// How.
        how: JobEnd,
    },
}

/// What a node wants done.
#[derive(Clone, Debug)]
pub enum Effect<Reply> {
    /// Answer a request.
    Reply {
        /// The request.
        to: RequestId,
        /// The answer.
        reply: Reply,
    },
    /// Send bytes to another node.
    Send {
        /// Whom to.
        to: NodeId,
        /// What.
        bytes: Bytes,
    },
    /// Start a job that [`System::job`](crate::System::job) makes of `spec`.
    StartJob {
        /// Its name from now on.
        job: JobId,
        /// What it is to do.
        spec: Bytes,
    },
    /// Say something to a running job.
    TellJob {
        /// Which.
        job: JobId,
        /// What.
        bytes: Bytes,
    },
    /// Kill a job.
    StopJob {
        /// Which.
        job: JobId,
    },
    /// Tell the observer that something happened, for probes, coverage and logs. Has no other effect.
    Note {
        /// What, in stable words: `l1.repaired`.
        name: &'static str,
        /// Numbers that belong to it.
        values: Box<[(&'static str, u64)]>,
    },
    /// Stop this process, for this reason: the node cannot go on with what it has in memory. It is booted anew.
    Halt {
        /// Why, in words.
        reason: Box<str>,
    },
}

/// What a node wants done, in order.
#[derive(Debug)]
pub struct Effects<Reply> {
    list: Vec<Effect<Reply>>,
}

impl<Reply> Default for Effects<Reply> {
    fn default() -> Self {
        Effects { list: Vec::new() }
    }
}

impl<Reply> Effects<Reply> {
    /// Answers a request.
    pub fn reply(&mut self, to: RequestId, reply: Reply) {
        self.list.push(Effect::Reply { to, reply });
    }

    /// Sends bytes to another node.
    pub fn send(&mut self, to: NodeId, bytes: impl Into<Bytes>) {
        self.list.push(Effect::Send { to, bytes: bytes.into() });
    }

    /// Starts a job.
    pub fn start_job(&mut self, job: JobId, spec: impl Into<Bytes>) {
        self.list.push(Effect::StartJob { job, spec: spec.into() });
    }

    /// Says something to a job.
    pub fn tell_job(&mut self, job: JobId, bytes: impl Into<Bytes>) {
        self.list.push(Effect::TellJob { job, bytes: bytes.into() });
    }

    /// Kills a job.
    pub fn stop_job(&mut self, job: JobId) {
        self.list.push(Effect::StopJob { job });
    }

    /// Tells the observer that something happened.
    pub fn note(&mut self, name: &'static str, values: &[(&'static str, u64)]) {
        self.list.push(Effect::Note { name, values: values.into() });
    }

    /// Stops this process.
    pub fn halt(&mut self, reason: impl Into<Box<str>>) {
        self.list.push(Effect::Halt { reason: reason.into() });
    }

    /// Takes what has been asked for so far, in order, and leaves nothing.
    pub fn drain(&mut self) -> impl Iterator<Item = Effect<Reply>> {
        self.list.drain(..)
    }

    /// Whether nothing was asked for.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}
