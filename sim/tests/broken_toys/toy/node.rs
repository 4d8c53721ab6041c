//! The node: group commit in `settle`, and a snapshot whenever enough was written.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use stormproof_contract::{
    Boot, BootError, Disk, DiskResult, Effects, File, Input, JobEnd, JobId, Lock, Node, Open, Reader, RequestId,
};

use super::{
    Bug, Op, Reply,
    log::{self, Log},
    retry,
    snapshot::{self, Snapshot},
    state::{State, Write},
    view::{Board, View},
};

/// How many writes lie between two snapshots.
const SNAPSHOT_AFTER_WRITES: usize = 6;

/// One toy.
pub(crate) struct ToyNode {
    bug: Option<Bug>,
    disk: Arc<dyn Disk>,
    /// Held for as long as the node lives.
    _lock: Option<Box<dyn Lock>>,
    log: Log,
    state: State,
    /// The snapshot in force, and the first log that it does not hold.
    snapshot: Option<Arc<dyn File>>,
    floor: u64,
    /// The lists that were written since, and those written since a job was last begun.
    changed: BTreeSet<u64>,
    changed_since_job: BTreeSet<u64>,
    writes_since_job: usize,
    /// The job at work, and the first log that its snapshot will not hold.
    job: Option<(JobId, u64)>,
    next_job: JobId,
    board: Arc<Board>,
    asked: Vec<(RequestId, Write)>,
}

impl Node for ToyNode {
    type Op = Op;
    type Reply = Reply;
    type Ask = ();
    type Facts = BTreeMap<u64, Vec<u64>>;

    fn handle(&mut self, input: Input<Op>, out: &mut Effects<Reply>) {
        match input {
            Input::Request { id, op } => self.request(id, op, out),
            Input::JobEnded { how: JobEnd::Done(_), .. } => {
                self.adopt(out).unwrap_or_else(|error| out.halt(error.to_string()));
            }
            // The next one is begun after as many writes again.
            Input::JobEnded { how: JobEnd::Failed(_) | JobEnd::Killed, .. } => self.job = None,
            // The job has nothing to say but that it is done; a single node gets no messages and wants no timer.
            Input::JobSaid { .. } | Input::Message { .. } | Input::Timer => {}
        }
    }

    fn settle(&mut self, out: &mut Effects<Reply>) {
        let mut asked = std::mem::take(&mut self.asked);
        let new = self.new_writes(&asked);
        if new.len() < asked.len() {
            out.note("toy.repeated", &[]);
        }
        if let Err(error) = self.commit(&new).and_then(|()| self.begin_snapshot(out)) {
            return out.halt(error.to_string());
        }
        if self.bug == Some(Bug::AnswersInHashOrder) {
            asked = in_hash_order(asked);
        }
        for (id, _) in asked {
            out.reply(id, Reply::Done);
        }
    }

    fn reader(&self) -> Option<Arc<dyn Reader<Op, Reply>>> {
        Some(Arc::<Board>::clone(&self.board))
    }

    fn inspect(&self, (): &()) -> Option<Self::Facts> {
        Some(self.state.lists.clone())
    }
}

impl ToyNode {
    pub(super) fn open(at: &Boot<'_, ()>, bug: Option<Bug>) -> Result<Self, BootError> {
        let disk = Arc::clone(&at.disk);
        let lock = lock(&*disk, bug).map_err(|error| retry(&error))?;
        // What a crash left in the page cache only is made sure of before it is believed.
        disk.sync_dir("").map_err(|error| retry(&error))?;
        let snapshot = Snapshot::open(&*disk)?;
        let floor = snapshot.as_ref().map_or(0, |snapshot| snapshot.floor);
        let last = sweep(&*disk, floor).map_err(|error| retry(&error))?;
        let (log, writes) = match (&snapshot, last) {
            (None, None) => (Log::create(&disk, 0, bug).map_err(|error| retry(&error))?, Vec::new()),
            (_, last) => Log::open(&disk, floor, last.unwrap_or(floor), bug)?,
        };
        let (file, state) = snapshot.map_or_else(Default::default, |snapshot| (Some(snapshot.file), snapshot.state));
        let mut node = ToyNode {
            bug,
            disk,
            _lock: lock,
            log,
            state,
            snapshot: file,
            floor,
            changed: BTreeSet::new(),
            changed_since_job: BTreeSet::new(),
            writes_since_job: 0,
            job: None,
            next_job: JobId(u64::from(at.incarnation) << 32),
            board: Arc::default(),
            asked: Vec::new(),
        };
        node.take_in(&writes);
        if bug == Some(Bug::AppliesTwiceAfterRestart) {
            node.state.done.clear();
        }
        node.disk.point("toy.recovered").map_err(|error| retry(&error))?;
        Ok(node)
    }

    fn request(&mut self, id: RequestId, op: Op, out: &mut Effects<Reply>) {
        let write = match op {
            Op::Append { keys, token } => Write { op: id.op, token, keys },
            Op::Delete { key } => Write { op: id.op, token: 0, keys: vec![key] },
            // The reader takes it; a host without readers may ask the node.
            Op::Get { key } => return out.reply(id, Reply::List(self.state.list(key))),
        };
        if self.bug == Some(Bug::RepliesBeforeSync) {
            out.reply(id, Reply::Done);
        }
        self.asked.push((id, write));
    }

    /// What was not done before, each operation once.
    fn new_writes(&self, asked: &[(RequestId, Write)]) -> Vec<Write> {
        let mut seen = BTreeSet::new();
        let new = |write: &&Write| !self.state.done.contains(&write.op) && seen.insert(write.op);
        asked.iter().map(|(_, write)| write).filter(new).cloned().collect()
    }

    /// Makes writes durable, and then visible.
    fn commit(&mut self, batch: &[Write]) -> DiskResult<()> {
        if batch.is_empty() {
            return Ok(());
        }
        if self.bug == Some(Bug::PublishesBeforeSync) {
            self.take_in(batch);
            return self.log.append(batch);
        }
        if self.bug == Some(Bug::UpdatesTwoFilesApart) {
            self.append_apart(batch)?;
        } else {
            self.log.append(batch)?;
        }
        self.take_in(batch);
        Ok(())
    }

    /// Writes what concerns one list to one log, and what concerns the next to the next.
    fn append_apart(&mut self, batch: &[Write]) -> DiskResult<()> {
        for write in batch {
            for key in &write.keys {
                self.log.append(&[Write { keys: vec![*key], ..*write }])?;
                self.log.rotate()?;
            }
        }
        Ok(())
    }

    /// Shows writes that are durable.
    fn take_in(&mut self, writes: &[Write]) {
        for write in writes {
            self.state.apply(write);
            self.changed.extend(&write.keys);
            self.changed_since_job.extend(&write.keys);
        }
        self.writes_since_job += writes.len();
        self.publish();
    }

    fn publish(&self) {
        let mut changed: BTreeMap<u64, Vec<u64>> =
            self.changed.iter().map(|key| (*key, self.state.list(*key))).collect();
        if self.bug == Some(Bug::ResurrectsADelete) {
            changed.retain(|_, list| !list.is_empty());
        }
        self.board.publish(View { snapshot: self.snapshot.clone(), changed });
    }

    /// Once enough was written, has a job write down all that the logs so far hold.
    fn begin_snapshot(&mut self, out: &mut Effects<Reply>) -> DiskResult<()> {
        if self.job.is_some() || self.writes_since_job < SNAPSHOT_AFTER_WRITES {
            return Ok(());
        }
        self.log.rotate()?;
        self.changed_since_job.clear();
        self.writes_since_job = 0;
        let job = self.next_job;
        self.next_job = JobId(job.0 + 1);
        self.job = Some((job, self.log.number));
        out.start_job(job, snapshot::spec(job, self.log.number, &self.state));
        Ok(())
    }

    /// Puts the snapshot that the job wrote into force, and removes what nobody needs any more.
    fn adopt(&mut self, out: &mut Effects<Reply>) -> DiskResult<()> {
        let Some((job, floor)) = self.job.take() else { return Ok(()) };
        let cut = self.bug == Some(Bug::CutsAFileThatAQueryReads);
        let old = cut.then(|| self.disk.open(snapshot::NAME, Open::Write));
        self.disk.rename(&snapshot::output(job, self.bug), snapshot::NAME)?;
        self.disk.point("toy.snapshot_renamed")?;
        if self.bug != Some(Bug::ForgetsDirectorySync) {
            self.disk.sync_dir("")?;
        }
        if let Some(Ok(old)) = old {
            old.set_len(0)?;
        }
        self.snapshot = Some(self.disk.open(snapshot::NAME, Open::Read)?);
        self.changed.clone_from(&self.changed_since_job);
        self.publish();
        out.note("toy.snapshot", &[("floor", floor)]);
        self.disk.point("toy.snapshot_published")?;
        let old_floor = std::mem::replace(&mut self.floor, floor);
        (old_floor..floor).try_for_each(|number| self.disk.remove(&log::name(number)))
    }
}

/// A lock dies with its holder; a file does not.
fn lock(disk: &dyn Disk, bug: Option<Bug>) -> DiskResult<Option<Box<dyn Lock>>> {
    if bug == Some(Bug::KeepsItsLock) {
        return disk.open("lock", Open::CreateNew).map(|_| None);
    }
    disk.try_lock("lock").map(Some)
}

/// Removes the logs that the snapshot holds, and what jobs of earlier lives left. Says which log is the last.
fn sweep(disk: &dyn Disk, floor: u64) -> DiskResult<Option<u64>> {
    let mut last = None;
    for entry in disk.list("")? {
        match log::number(&entry.name) {
            Some(number) if number >= floor => last = last.max(Some(number)),
            None if !entry.name.starts_with("snapshot.") => {}
            Some(_) | None => disk.remove(&entry.name)?,
        }
    }
    Ok(last)
}

/// What a map with the standard library's default hasher makes of an order: another one in every process.
#[expect(clippy::disallowed_types, reason = "the bug that it is there to plant")]
fn in_hash_order(asked: Vec<(RequestId, Write)>) -> Vec<(RequestId, Write)> {
    asked.into_iter().collect::<std::collections::HashMap<_, _>>().into_iter().collect()
}
