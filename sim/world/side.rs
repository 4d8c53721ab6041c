//! Queries and jobs: what runs beside a node, in turns.
//!
//! A query is parked when it arrives and starts with its first turn, so that the writer may publish in between. Turns
//! come from events of their own, and from within the writer's disk calls. What queries and jobs say waits in
//! [`Said`] until the world picks it up.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use stormproof_contract::{Bytes, Disk, Job, JobEnd, JobId, JobStep, OneThread, Query, Reader, Reads, RequestId};

use super::{
    core::{Shared, Side},
    draw::{Entity, Scope, Stream},
    trace::Happened,
};

/// How many units of work a job gets in a turn.
const UNITS: u32 = 4;

/// The queries and jobs of all nodes.
pub(crate) struct Sides<Op, Reply> {
    shared: Arc<Shared>,
    nodes: Mutex<Vec<Beside<Op, Reply>>>,
}

/// What runs beside one node.
struct Beside<Op, Reply> {
    reader: Option<Arc<dyn Reader<Op, Reply>>>,
    tasks: Vec<Task<Op, Reply>>,
    said: Vec<(u64, Said<Reply>)>,
}

enum Task<Op, Reply> {
    Parked { request: RequestId, op: Op },
    Query { request: RequestId, query: Box<dyn Query<Reply>>, io: Reads },
    Job(JobTask),
}

pub(crate) struct JobTask {
    pub(crate) number: u32,
    pub(crate) id: JobId,
    pub(crate) life: u32,
    pub(crate) job: Box<dyn Job>,
    pub(crate) heard: VecDeque<Bytes>,
    pub(crate) waiting: bool,
    pub(crate) disk: Arc<dyn Disk>,
}

/// What a query or a job has said.
pub(crate) enum Said<Reply> {
    Answer {
        to: RequestId,
        reply: Reply,
    },
    Word {
        life: u32,
        job: JobId,
        bytes: Bytes,
    },
    End {
        life: u32,
        job: JobId,
        number: u32,
        how: JobEnd,
    },
    /// A query panicked, which is the end of its process.
    Panicked(String),
}

impl<Op, Reply> Sides<Op, Reply> {
    pub(crate) fn new(shared: Arc<Shared>, nodes: u32) -> Self {
        let beside = |_| Beside { reader: None, tasks: Vec::new(), said: Vec::new() };
        Sides { shared, nodes: Mutex::new((0..nodes).map(beside).collect()) }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Beside<Op, Reply>>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_reader(&self, node: u32, reader: Option<Arc<dyn Reader<Op, Reply>>>) {
        let old = std::mem::replace(&mut self.lock()[node as usize].reader, reader);
        drop(old);
    }

    /// Parks a request if the node's reader answers such, and says whether it does.
    pub(crate) fn park(&self, node: u32, request: RequestId, op: Op) -> bool {
        let reader = self.lock()[node as usize].reader.clone();
        let answers = reader.and_then(|reader| reader.start(&op)).is_some();
        if answers {
            self.lock()[node as usize].tasks.push(Task::Parked { request, op });
        }
        answers
    }

    pub(crate) fn start(&self, node: u32, job: JobTask) {
        self.lock()[node as usize].tasks.push(Task::Job(job));
    }

    /// Passes on what a node says to its job.
    pub(crate) fn tell(&self, node: u32, id: JobId, bytes: Bytes) {
        let life = self.shared.dials.life(node);
        for task in &mut self.lock()[node as usize].tasks {
            if let Task::Job(job) = task
                && job.id == id
                && job.life == life
            {
                job.waiting = false;
                job.heard.push_back(bytes);
                return;
            }
        }
    }

    /// The numbers of the jobs that this life of a node runs, with their ids.
    pub(crate) fn jobs(&self, node: u32, life: u32) -> Vec<(u32, JobId)> {
        let of = |task: &Task<Op, Reply>| match task {
            Task::Job(job) if job.life == life => Some((job.number, job.id)),
            Task::Job(_) | Task::Parked { .. } | Task::Query { .. } => None,
        };
        self.lock()[node as usize].tasks.iter().filter_map(of).collect()
    }

    /// Drops the queries of a dead node, and the jobs that no longer live.
    pub(crate) fn bury(&self, node: u32, jobs_alive: &[u32]) {
        let mut dead = Vec::new();
        let mut nodes = self.lock();
        let beside = &mut nodes[node as usize];
        for task in std::mem::take(&mut beside.tasks) {
            match task {
                Task::Job(job) if jobs_alive.contains(&job.number) => beside.tasks.push(Task::Job(job)),
                task => dead.push(task),
            }
        }
        let reader = beside.reader.take();
        drop(nodes);
        // Their destructors close files, which takes the core's lock and must not find ours taken.
        drop((dead, reader));
    }

    /// Kills one job.
    pub(crate) fn stop(&self, node: u32, number: u32) -> bool {
        let is_it = |task: &mut Task<Op, Reply>| matches!(task, Task::Job(job) if job.number == number);
        let stopped: Vec<_> = self.lock()[node as usize].tasks.extract_if(.., is_it).collect();
        !stopped.is_empty()
    }

    /// What was said since the last time, and when.
    pub(crate) fn said(&self, node: u32) -> Vec<(u64, Said<Reply>)> {
        std::mem::take(&mut self.lock()[node as usize].said)
    }

    /// Ends everything: breaks the circle of files that hold the world that holds the files.
    pub(crate) fn clear(&self) {
        let all = std::mem::take(&mut *self.lock());
        drop(all);
    }

    fn say(&self, node: u32, said: Said<Reply>) {
        let now = self.shared.dials.now();
        self.shared.dials.promise();
        if let Some(beside) = self.lock().get_mut(node as usize) {
            beside.said.push((now, said));
        }
    }

    /// One turn of a task, which is put back unless it has ended.
    fn step(&self, node: u32, task: Task<Op, Reply>) -> Option<Task<Op, Reply>> {
        match task {
            Task::Parked { request, op } => {
                let reader = self.lock()[node as usize].reader.clone()?;
                self.step_query(node, request, reader.start(&op)?, Reads::default())
            }
            Task::Query { request, query, io } => self.step_query(node, request, query, io),
            Task::Job(job) => self.step_job(node, job).map(Task::Job),
        }
    }

    fn step_query(
        &self,
        node: u32,
        request: RequestId,
        mut query: Box<dyn Query<Reply>>,
        mut io: Reads,
    ) -> Option<Task<Op, Reply>> {
        let got = io.wanted().iter().map(stormproof_contract::Want::read).collect();
        io.give(got);
        match query.step(&mut io) {
            Some(reply) => {
                self.say(node, Said::Answer { to: request, reply });
                None
            }
            None => Some(Task::Query { request, query, io }),
        }
    }

    fn step_job(&self, node: u32, mut job: JobTask) -> Option<JobTask> {
        let (life, id, number) = (job.life, job.id, job.number);
        let ended = |how| Said::End { life, job: id, number, how };
        match job.job.step(&mut job.heard, &job.disk, &OneThread, UNITS) {
            Ok(JobStep::More) => {}
            Ok(JobStep::Waiting) => job.waiting = job.heard.is_empty(),
            Ok(JobStep::Say(bytes)) => self.say(node, Said::Word { life, job: id, bytes }),
            Ok(JobStep::Done(bytes)) => {
                self.say(node, ended(JobEnd::Done(bytes)));
                return None;
            }
            Err(error) => {
                self.say(node, ended(JobEnd::Failed(error.to_string().into())));
                return None;
            }
        }
        Some(job)
    }
}

impl<Op, Reply> Task<Op, Reply> {
    fn is_ready(&self) -> bool {
        !matches!(self, Task::Job(JobTask { waiting: true, .. }))
    }

    fn code(&self) -> (Happened, u64) {
        match self {
            Task::Parked { request, .. } | Task::Query { request, .. } => (Happened::Query, request.op.0),
            Task::Job(job) => (Happened::Job, u64::from(job.number)),
        }
    }
}

impl<Op: Send, Reply: Send> Side for Sides<Op, Reply> {
    fn is_ready(&self, node: u32) -> bool {
        self.lock()[node as usize].tasks.iter().any(Task::is_ready)
    }

    fn turn(&self, node: u32) {
        let mut nodes = self.lock();
        let tasks = &mut nodes[node as usize].tasks;
        let ready: Vec<usize> = (0..tasks.len()).filter(|n| tasks[*n].is_ready()).collect();
        if ready.is_empty() {
            return;
        }
        let mut core = self.shared.lock();
        let scope = self.shared.dials.scope();
        let which = core.draws.pick(Stream::Detail, scope, Entity::Node(node), ready.len() as u32);
        let task = tasks.remove(ready[which as usize]);
        let (what, id) = task.code();
        core.record(what, u64::from(node), [id, 0], || format!("n{node}   turn of {what:?} {id}"));
        self.shared.dials.set_scope(if what == Happened::Query { Scope::Op(id) } else { Scope::World });
        drop((core, nodes));
        let stepped = super::panics::quietly(|| catch_unwind(AssertUnwindSafe(|| self.step(node, task))));
        self.shared.dials.set_scope(scope);
        match stepped {
            Ok(Some(task)) => self.lock()[node as usize].tasks.push(task),
            Ok(None) => {}
            Err(panic) => self.say(node, Said::Panicked(super::panics::message(panic.as_ref()))),
        }
    }
}
