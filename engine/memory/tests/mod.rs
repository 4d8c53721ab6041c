//! Tests of a node as a whole, on a disk in memory. What a crash leaves is tried elsewhere, in a simulated world; here
//! a node is dropped between calls, files are damaged by hand, and single calls fail.

mod archive;
mod away;
mod bulk;
mod compact;
mod consolidate;
#[cfg(feature = "faiss")]
mod faiss;
mod fallback;
mod flush;
mod health;
mod held;
mod managers;
mod model;
mod queries;
mod recovery;
mod repair;
mod transactions;
mod verify;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use stormproof_contract::{
    Boot, BootError, Bytes, Clock, Disk, DiskOp, Effect, Effects, Input, Job, JobEnd, JobError, JobId, JobStep, Node,
    NodeId, OneThread, OpId, Query, Reads, RequestId, Role, System, Tick, WallTime, Want,
};

use super::*;
use crate::store::test_disk::TestDisk;

/// The calls that making a segment, naming it and cutting the log are made of.
const CALLS: [DiskOp; 10] = [
    DiskOp::Open,
    DiskOp::Write,
    DiskOp::Sync,
    DiskOp::SyncDir,
    DiskOp::Rename,
    DiskOp::Allocate,
    DiskOp::Read,
    DiskOp::List,
    DiskOp::Remove,
    DiskOp::Point,
];

/// A clock that stands still until it is moved.
#[derive(Default)]
struct TestClock(AtomicU64);

impl Clock for TestClock {
    fn now(&self) -> Tick {
        Tick(self.0.load(Ordering::Relaxed))
    }

    fn wall(&self) -> WallTime {
        WallTime(1_700_000_000_000_000_000 + self.now().0)
    }
}

/// A node, its disk, and what was heard of it.
struct Bench {
    disk: Arc<TestDisk>,
    clock: Arc<TestClock>,
    config: Config,
    node: MemoryNode,
    boots: u32,
    asked: u64,
    replies: BTreeMap<u64, Vec<Reply>>,
    notes: Vec<&'static str>,
    /// Jobs that were started and did nothing yet.
    jobs: Vec<(JobId, Bytes)>,
    /// What they were told.
    told: VecDeque<Bytes>,
    /// Whether one of them was stopped.
    stopped: bool,
    halted: bool,
}

fn small() -> Config {
    Config {
        dim: 2,
        kernels: KernelChoice::Scalar,
        log_file_bytes: 16 << 10,
        l1_persist: L1Persist::Delta { merge_after: 4 },
        health: HealthConfig { every: Tick(0), ..HealthConfig::default() },
        cache_bytes: 0,
        inspectable: true,
        ..Config::default()
    }
}

fn boot(disk: &Arc<TestDisk>, clock: &Arc<TestClock>, config: &Config, boots: u32) -> Result<MemoryNode, BootError> {
    Engine.boot(Boot {
        node: NodeId(0),
        role: Role(0),
        incarnation: boots,
        config,
        disk: Arc::clone(disk) as Arc<dyn Disk>,
        clock: Arc::clone(clock) as Arc<dyn Clock>,
        seed: 7,
    })
}

impl Bench {
    fn new(config: Config) -> Bench {
        Bench::on(TestDisk::new(), config)
    }

    fn on(disk: Arc<TestDisk>, config: Config) -> Bench {
        let clock = Arc::new(TestClock::default());
        let node = boot(&disk, &clock, &config, 0).expect("a fresh disk");
        Bench {
            disk,
            clock,
            config,
            node,
            boots: 0,
            asked: 0,
            replies: BTreeMap::new(),
            notes: Vec::new(),
            jobs: Vec::new(),
            told: VecDeque::new(),
            stopped: false,
            halted: false,
        }
    }

    /// Drops the node and boots another on the same disk.
    fn reopen(&mut self) {
        self.boots += 1;
        self.node = boot(&self.disk, &self.clock, &self.config, self.boots).expect("a disk that can be opened");
        self.halted = false;
        self.notes.clear();
        self.jobs.clear();
        self.told.clear();
        self.tick();
    }

    /// Hands over a request without settling, and gives its number.
    fn send(&mut self, op: Op) -> u64 {
        self.asked += 1;
        let id = RequestId { op: OpId(self.asked), attempt: 0 };
        let mut out = Effects::default();
        self.node.handle(Input::Request { id, op }, &mut out);
        self.hear(out);
        self.asked
    }

    fn settle(&mut self) {
        let mut out = Effects::default();
        self.node.settle(&mut out);
        self.hear(out);
    }

    /// Lets the timer ring while it is due.
    fn tick(&mut self) {
        while self.ring() {}
    }

    /// Lets the timer ring once, if it is due.
    fn ring(&mut self) -> bool {
        let is_due = self.node.deadline().is_some_and(|at| at <= self.clock.now());
        if is_due {
            let mut out = Effects::default();
            self.node.handle(Input::Timer, &mut out);
            self.node.settle(&mut out);
            self.hear(out);
        }
        is_due
    }

    fn pass(&mut self, time: Tick) {
        self.wait(time);
        self.tick();
    }

    /// Lets time pass, and no timer ring.
    fn wait(&mut self, time: Tick) {
        self.clock.0.fetch_add(time.0, Ordering::Relaxed);
    }

    fn hear(&mut self, mut out: Effects<Reply>) {
        for effect in out.drain() {
            match effect {
                Effect::Reply { to, reply } => self.replies.entry(to.op.0).or_default().push(reply),
                Effect::Note { name, .. } => self.notes.push(name),
                Effect::Halt { .. } => self.halted = true,
                Effect::StartJob { job, spec } => self.jobs.push((job, spec)),
                Effect::TellJob { bytes, .. } => self.told.push_back(bytes),
                Effect::StopJob { .. } => self.stopped = true,
                Effect::Send { to, .. } => panic!("there is nobody to send to: {to:?}"),
            }
        }
    }

    /// Runs what jobs there are, and tells the node how they ended.
    fn run_jobs(&mut self) {
        for (job, spec) in std::mem::take(&mut self.jobs) {
            let how = self.work(job, &spec);
            self.end_job(job, how);
        }
    }

    fn work(&mut self, id: JobId, spec: &[u8]) -> JobEnd {
        let mut job = Engine.job(spec).expect("a job of the engine");
        self.told.clear();
        self.stopped = false;
        while !self.stopped {
            match self.step_job(&mut *job) {
                Ok(JobStep::More) => {}
                Ok(JobStep::Say(word)) => self.hear_job(id, word),
                Ok(JobStep::Waiting) => panic!("it waits for a word that never comes"),
                Ok(JobStep::Done(word)) => return JobEnd::Done(word),
                Err(error) => return JobEnd::Failed(error.to_string().into()),
            }
        }
        JobEnd::Killed
    }

    fn step_job(&mut self, job: &mut dyn Job) -> Result<JobStep, JobError> {
        let disk = Arc::clone(&self.disk) as Arc<dyn Disk>;
        job.step(&mut self.told, &disk, &OneThread, 3)
    }

    fn hear_job(&mut self, job: JobId, bytes: Bytes) {
        let mut out = Effects::default();
        self.node.handle(Input::JobSaid { job, bytes }, &mut out);
        self.node.settle(&mut out);
        self.hear(out);
        self.tick();
    }

    fn end_job(&mut self, job: JobId, how: JobEnd) {
        let mut out = Effects::default();
        self.node.handle(Input::JobEnded { job, how }, &mut out);
        self.node.settle(&mut out);
        self.hear(out);
        self.tick();
    }

    /// The one reply to a request, if it came.
    fn reply(&mut self, asked: u64) -> Option<Reply> {
        let replies = self.replies.remove(&asked)?;
        assert_eq!(replies.len(), 1, "a request is answered once: {replies:?}");
        replies.into_iter().next()
    }

    /// A request, settled.
    fn ask(&mut self, op: Op) -> Option<Reply> {
        let asked = self.send(op);
        self.settle();
        self.tick();
        self.reply(asked)
    }

    fn commit(&mut self, transaction: Transaction) -> Reply {
        self.ask(Op::Commit(transaction)).expect("an answer")
    }

    fn get(&mut self, id: u64) -> Option<Arc<Record>> {
        match self.ask(Op::Get { ids: vec![RecordId(id)] }) {
            Some(Reply::Records { records, .. }) => records.first().cloned(),
            other => panic!("not the answer to a get: {other:?}"),
        }
    }

    /// How many reads a query states, step by step.
    fn reads_of(&self, op: &Op) -> Vec<usize> {
        let mut query = self.node.reader().expect("a reader").start(op).expect("a query");
        finish(&mut *query, &mut Reads::default()).1
    }

    fn facts(&self) -> Facts {
        let facts = self.node.inspect(&()).expect("facts");
        audit::index_agrees(&facts).expect("the index agrees");
        audit::decisions_are_ordered(&facts).expect("decisions are in order");
        facts
    }

    fn noted(&self, name: &str) -> bool {
        self.notes.contains(&name)
    }
}

/// Steps a query to its answer, and says how many reads each step has stated before.
fn finish(query: &mut dyn Query<Reply>, io: &mut Reads) -> (Reply, Vec<usize>) {
    let mut reads = Vec::new();
    loop {
        let wanted = io.wanted();
        if !wanted.is_empty() {
            reads.push(wanted.len());
            io.give(wanted.iter().map(Want::read).collect());
        }
        if let Some(reply) = query.step(io) {
            return (reply, reads);
        }
    }
}

fn fill(bench: &mut Bench, ids: std::ops::RangeInclusive<u64>) {
    for id in ids {
        committed(&bench.commit(upsert(id.into(), id, id as f32)));
    }
}

fn draft(id: u64, x: f32) -> Draft {
    Draft { text: format!("text {id}"), ..Draft::new(RecordId(id), vec![x, 1.0]) }
}

fn empty(retry: u128) -> Transaction {
    Transaction::new(RetryId(retry))
}

fn upsert(retry: u128, id: u64, x: f32) -> Transaction {
    Transaction { upserts: vec![draft(id, x)], ..empty(retry) }
}

fn insert(retry: u128, id: u64, x: f32) -> Transaction {
    Transaction { inserts: vec![draft(id, x)], ..empty(retry) }
}

fn delete(retry: u128, id: u64) -> Transaction {
    Transaction { deletes: vec![RecordId(id)], ..empty(retry) }
}

fn read(id: u64, version: Option<u64>) -> Read {
    Read { id: RecordId(id), version: version.map(Version) }
}

fn committed(reply: &Reply) -> Lsn {
    match reply {
        Reply::Committed { lsn, .. } => *lsn,
        other => panic!("not committed: {other:?}"),
    }
}
