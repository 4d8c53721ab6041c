//! The archive: a graph over the vectors of what was flushed, so that a search need not compare them all.
//!
//! | file | what |
//! |---|---|
//! | [`rules`] | by which rules it is built, searched and rebuilt |
//! | `build` | makes a generation, as a job |
//! | `serve` | which generation is served, from when on and how long |
//! | `served` | a generation that is searched |
//! | `search` | searching one |
//!
//! The node's side performs what [`protocol::swap`](crate::protocol::swap) says:
//!
//! 1. A transaction marks that a rebuild is under way.
//! 2. What was changed before is flushed. The generation stands for the segments there are then: from now on no merge joins one
//!    of them and a later one.
//! 3. The job makes a file. The node reads it, a part between any two batches, comparing every checksum.
//! 4. One manifest names the new generation, and no longer the old one; the next view is served from it. Then the rows of what
//!    it has leave the exact index, a part at a time.
//! 5. Who reads the old generation reads on. Once nobody does, its file is removed.
//! 6. A transaction says that the rebuild is over.
//!
//! **What a search finds** is a matter of three parts, which have no record in common: the rows in memory are all compared; what is
//! not, and is in a segment that the generation does not stand for, is read and compared; the rest is looked for in the graph. What was
//! changed since the generation was built is in one of the first two, so it is found at once, and the graph's older version of it
//! does not count.
//!
//! **A crash** before the manifest is durable leaves the old generation and a file that the next recovery removes; after it, the new
//! one. The mark is in the log, or in the manifest if its frame was flushed, and recovery takes it back: a rebuild does not outlive
//! its node, and whatever an orphan of it still writes has a number that nobody else is given, and is named by nobody.
//!
//! A generation that is damaged is served no longer, and everything is found by comparing, as if there were none. It is made anew by the
//! next rebuild.

mod build;
mod rules;
mod search;
mod serve;
mod served;

use std::sync::{Arc, Weak};

use stormproof_contract::{Effects, JobEnd, JobId, RequestId, Tick};

use self::build::{Outcome, Plan, Progress, Task};
pub use self::rules::ArchiveRules;
use self::served::Arriving;
pub(super) use self::{
    build::BuildJob,
    search::ArchiveScan,
    serve::{Found, load_at_boot},
    served::Archive,
};
use super::{
    batch::{Fate, Joined},
    compact::Pause,
    maintain::Leftovers,
    node::MemoryNode,
    op::{Refusal, Reply, Unavailable},
};
use crate::{
    ids::Lsn,
    protocol::swap::{Input, Output, State, Swap},
    store::{
        self, RetryId, StoreResult,
        archive::{GenerationName, GenerationNo, Loading},
        compact::Sources,
        manifest::SEGMENTS_MAX,
    },
    vector::graph,
};

/// The points of a rebuild, beside those of a generation, of a commit and of a manifest.
pub(super) const POINTS: [&str; 6] =
    ["swap.marked", "swap.building", "swap.built", "swap.loaded", "swap.installed", "swap.cleared"];

/// Blocks of a generation that are read between two batches: 4 MiB.
const LOAD_BLOCKS: usize = 64;
/// A rebuild is given up after so many flushes in a row that failed.
const FLUSHES_MAX: u32 = 3;
/// The most records that a new generation is asked for.
const QUESTIONS_MAX: u32 = 10_000;
/// Names of the transactions that mark a rebuild begin with this.
const RETRY_PREFIX: u128 = 0x4152_4348_u128 << 96;

/// What a node knows of its archive, beside what is served.
#[derive(Default)]
pub(super) struct Rebuild {
    swap: Swap,
    /// Who waits for the end of it.
    asked: Vec<RequestId>,
    /// Every frame up to this one has to be flushed before it begins.
    upto: Lsn,
    /// Whether a transaction has joined a batch that says whether it is under way.
    marking: bool,
    /// What is being made, or was made.
    attempt: Option<Attempt>,
    /// What will be answered.
    answer: Option<Reply>,
    /// The generation before, as long as somebody may read it.
    old: Weak<Archive>,
    /// When what could not be done is tried again.
    again_at: Option<Tick>,
    /// After a rebuild that failed none begins by itself for a while.
    pause: Pause,
    /// How many of a new generation's records were looked at since it is served; `None` once all were.
    walked: Option<usize>,
    /// When the manifest is to name none any more: the one that it names is damaged.
    unname_at: Option<Tick>,
    /// Whether the one that it names could not be read at boot.
    pub(super) unread: bool,
    /// When one began last, and the last change that it has seen.
    begun: Tick,
    seen: Lsn,
    /// How many of the generation's records were changed or removed since, of those that were looked at.
    pub(super) stale: u64,
}

/// A generation on its way.
struct Attempt {
    no: GenerationNo,
    job: JobId,
    /// How many of the segments, the oldest, it is made of, as far as merges have left them.
    covers: usize,
    /// Whether the job has its files open.
    opened: bool,
    /// How the job has ended.
    ended: Option<Result<(GenerationName, u32), Reply>>,
    made: Option<GenerationName>,
    loading: Option<Box<Arriving>>,
    loaded: Option<Arc<Archive>>,
}

impl Rebuild {
    /// Of a node that starts now, whose log says whether a rebuild was under way.
    /// What of the generation that the manifest names was found at boot.
    pub(super) fn new(now: Tick, found: &Found) -> Rebuild {
        let seen = found.archive().map_or(Lsn(0), |archive| archive.name().built);
        let (unread, damaged) = (matches!(found, Found::Unread), matches!(found, Found::Damaged));
        Rebuild { begun: now, seen, unread, unname_at: damaged.then_some(now), ..Rebuild::default() }
    }

    /// How far it is.
    #[cfg(test)]
    pub(super) fn state(&self) -> State {
        self.swap.state()
    }

    /// Whether the node is at one that was marked, and not yet unmarked.
    pub(super) fn is_marked(&self) -> bool {
        !matches!(self.swap.state(), State::Idle | State::Marking)
    }

    /// Whether one is under way, or about to be.
    pub(super) fn is_underway(&self) -> bool {
        self.swap.is_rebuilding()
    }

    /// Whether frames have to be flushed for one to begin, of which the last was flushed up to `flushed`.
    pub(super) fn wants_flush(&self, flushed: Lsn) -> bool {
        self.is_sourcing() && self.upto > flushed
    }

    /// Whether what there is is being brought together: nothing is loaded meanwhile, which would be in the segments before what was
    /// changed earlier.
    pub(super) fn is_sourcing(&self) -> bool {
        self.swap.state() == State::Sourcing
    }

    /// Whether segments must stay where they are: a job is about to open them.
    pub(super) fn is_opening(&self) -> bool {
        self.attempt.as_ref().is_some_and(|attempt| !attempt.opened && attempt.ended.is_none())
    }

    /// Of how many segments, the oldest, the generation on its way is made: no merge joins one of them and a later one.
    pub(super) fn covers(&self) -> Option<usize> {
        self.attempt.as_ref().map(|attempt| attempt.covers)
    }

    /// So many neighbours among them have become one.
    pub(super) fn merged(&mut self, place: &std::ops::Range<usize>) {
        if let Some(attempt) = self.attempt.as_mut().filter(|attempt| place.end <= attempt.covers) {
            attempt.covers -= place.len() - 1;
        }
    }
}

impl MemoryNode {
    /// Begins a rebuild that a client asks for, and answers once the new generation is served.
    pub(super) fn ask_for_rebuild(&mut self, id: RequestId, out: &mut Effects<Reply>) {
        if !self.is_well() {
            return out.reply(id, Reply::Unavailable(Unavailable::Degraded));
        }
        if self.rebuild.is_underway() {
            return out.reply(id, Reply::Unavailable(Unavailable::Busy));
        }
        if let Err(refusal) = self.may_build() {
            return out.reply(id, Reply::Refused(refusal));
        }
        self.rebuild.asked.push(id);
        self.step_swap(Input::Trigger, out);
    }

    /// Whether there is as much memory as a generation of all records takes.
    fn may_build(&self) -> Result<(), Refusal> {
        let (rules, records) = (&self.config.archive, self.views.newest().index.len() as u64);
        let needs = [
            (
                "archive.build_memory_maximum",
                graph::bytes_needed_to_build(records, self.shape, rules.graph),
                rules.build_memory_maximum,
            ),
            (
                "archive.search_memory_maximum",
                graph::bytes_needed_to_search(records, self.shape, rules.graph),
                rules.search_memory_maximum,
            ),
        ];
        match needs.into_iter().find(|(_, found, max)| found > max) {
            Some((what, found, max)) => Err(Refusal::TooLarge { what: what.into(), found, max }),
            None => Ok(()),
        }
    }

    /// When a rule asks for one, as things stand.
    fn next_rebuild(&self) -> Option<Tick> {
        let rules = &self.config.archive;
        let view = self.views.newest();
        let archived = view.archive.as_ref().map_or(0, |archive| archive.name().records);
        let fresh = archived.saturating_sub(self.rebuild.stale);
        let uncovered = (view.index.len() as u64).saturating_sub(fresh);
        let large = rules.rebuild_uncovered > 0 && uncovered >= rules.rebuild_uncovered;
        let percent = u64::from(rules.rebuild_stale_percent);
        let stale = percent > 0 && archived > 0 && self.rebuild.stale.saturating_mul(100) >= archived * percent;
        let changed = view.changed > self.rebuild.seen;
        if (large || stale) && changed {
            return Some(self.rebuild.pause.until());
        }
        let every = rules.rebuild_every_ms;
        let by_time = self.rebuild.begun + Tick(Tick::millis(1).0.saturating_mul(every));
        (every > 0 && changed).then(|| by_time.max(self.rebuild.pause.until()))
    }

    /// When there is something to do.
    pub(super) fn rebuild_due(&self) -> Option<Tick> {
        let found_damaged = self.views.newest().archive.as_ref().is_some_and(|archive| archive.is_damaged());
        if found_damaged || (self.rebuild.walked.is_some() && self.is_well()) {
            return Some(Tick(0));
        }
        let unname = self.rebuild.unname_at;
        let swap = self.swap_due();
        [unname, swap].into_iter().flatten().min()
    }

    fn swap_due(&self) -> Option<Tick> {
        match self.rebuild.swap.state() {
            State::Idle => self.is_well().then(|| self.next_rebuild()).flatten(),
            State::Sourcing if self.cannot_source() => Some(Tick(0)),
            State::Sourcing if self.rebuild.wants_flush(self.manifest.current().flushed.lsn) => self.flush_wanted(),
            // What was loaded gets its name at a time of its own, and a flush ends at one.
            State::Sourcing => self.can_build().then_some(Tick(0)),
            State::Building => self.rebuild.attempt.as_ref().and_then(|it| it.ended.as_ref()).map(|_| Tick(0)),
            State::Loading => Some(Tick(0)),
            State::Marking | State::Clearing if self.rebuild.marking => Some(Tick(0)),
            State::Marking | State::Publishing | State::Draining | State::Clearing => self.rebuild.again_at,
        }
    }

    /// Does what is due.
    pub(super) fn go_on_rebuilding(&mut self, out: &mut Effects<Reply>) {
        self.drop_damaged(out);
        self.unname_damaged();
        self.walk_archive();
        let now = self.clock.now();
        match self.rebuild.swap.state() {
            State::Idle => {
                if self.is_well() && self.next_rebuild().is_some_and(|at| at <= now) {
                    if self.may_build().is_ok() {
                        self.step_swap(Input::Trigger, out);
                    } else {
                        out.note("archive.too_large", &[("records", self.views.newest().index.len() as u64)]);
                        (self.rebuild.seen, self.rebuild.begun) = (self.views.newest().changed, now);
                    }
                }
            }
            State::Sourcing => self.source(out),
            State::Building => self.hear_of_build(out),
            State::Loading => self.load_slice(out),
            State::Marking if self.rebuild.marking => self.hear_of_mark(true, out),
            State::Clearing if self.rebuild.marking => self.hear_of_mark(false, out),
            State::Marking | State::Publishing | State::Draining | State::Clearing => {
                if self.rebuild.again_at.is_some_and(|at| at <= now) {
                    self.rebuild.again_at = None;
                    self.step_swap(Input::Again, out);
                }
            }
        }
    }

    /// Takes a step, and does what it asks for.
    pub(super) fn step_swap(&mut self, input: Input, out: &mut Effects<Reply>) {
        let mut todo = Vec::new();
        let mut next = Some(input);
        while let Some(input) = next.take() {
            self.rebuild.swap.step(input, &mut todo);
            for output in todo.drain(..) {
                // What comes of it later is heard where it is done.
                next = self.perform_swap(output, out);
                if self.halted {
                    return;
                }
            }
        }
        if let Some(answer) = &self.rebuild.answer {
            // At once: to take the mark back may take as long as the disk takes no writes.
            self.rebuild.asked.drain(..).for_each(|id| out.reply(id, answer.clone()));
        }
        if self.rebuild.swap.state() == State::Idle {
            self.note_end_of_rebuild(out);
        }
    }

    /// Does one thing, and says what came of it if that is known at once.
    fn perform_swap(&mut self, output: Output, out: &mut Effects<Reply>) -> Option<Input> {
        match output {
            Output::Mark => self.mark(true),
            Output::Source => {
                // What was loaded is among it.
                let changed = self.views.newest().changed;
                (self.rebuild.upto, self.rebuild.seen) = (changed, changed);
                self.rebuild.begun = self.clock.now();
                None
            }
            Output::Build => self.start_build(out),
            Output::Load => Some(self.begin_load()).filter(|heard| *heard == Input::Failed),
            Output::Publish => Some(self.publish_archive(out)),
            Output::Drain => Some(self.drain()),
            Output::Discard => {
                self.rebuild.attempt = None;
                self.sweep_archive();
                // What could not be removed now, since it is in doubt what is named.
                self.leftovers.push_back(Leftovers::Archive);
                None
            }
            Output::Clear => self.mark(false),
        }
    }

    /// Has something be tried again a while later.
    fn not_now(&mut self) -> Input {
        self.rebuild.again_at = Some(self.clock.now() + self.config.again_after);
        Input::NotNow
    }

    /// Has a transaction join the next batch that says whether a rebuild is under way. What becomes of it is seen when the batch is
    /// over.
    fn mark(&mut self, rebuilding: bool) -> Option<Input> {
        if !self.is_well() {
            self.fail_rebuild(Reply::Unavailable(Unavailable::Degraded));
            return Some(self.not_now());
        }
        let id = self.take_tx();
        let retry = RetryId(RETRY_PREFIX | u128::from(id.0));
        let transaction = store::Transaction {
            id,
            retry: None,
            votes: Vec::new(),
            writes: Vec::new(),
            loaded: None,
            rebuilding: Some(rebuilding),
        };
        let fate = Fate::Commit { transaction, votes: Vec::new() };
        self.push(Joined { asked: Vec::new(), retry, fate });
        self.rebuild.marking = true;
        None
    }

    /// Sees what became of the mark, the batch being over that it had joined.
    fn hear_of_mark(&mut self, rebuilding: bool, out: &mut Effects<Reply>) {
        self.rebuild.marking = false;
        let view = self.views.newest();
        if view.rebuilding != rebuilding {
            self.fail_rebuild(Reply::Unavailable(Unavailable::Disk("the mark of a rebuild was not written".into())));
            let heard = self.not_now();
            return self.step_swap(heard, out);
        }
        let point = if rebuilding { POINTS[0] } else { POINTS[5] };
        let _ = self.disk.point(point);
        out.note(point, &[("lsn", view.lsn.0)]);
        self.step_swap(Input::Done, out);
    }

    fn fail_rebuild(&mut self, answer: Reply) {
        self.rebuild.answer.get_or_insert(answer);
    }

    /// Goes on once everything is flushed that it is to have.
    fn source(&mut self, out: &mut Effects<Reply>) {
        if !self.is_well() {
            self.fail_rebuild(Reply::Unavailable(Unavailable::Degraded));
            return self.step_swap(Input::Failed, out);
        }
        if self.cannot_source() {
            self.fail_rebuild(Reply::Unavailable(Unavailable::Busy));
            self.step_swap(Input::Failed, out);
        } else if self.can_build() && !self.rebuild.wants_flush(self.manifest.current().flushed.lsn) {
            self.step_swap(Input::Done, out);
        }
    }

    /// Whether what it waits for is not going to be flushed soon: flushes fail, or nothing can be before some segments are merged.
    fn cannot_source(&self) -> bool {
        let waits = self.rebuild.wants_flush(self.manifest.current().flushed.lsn);
        waits && (self.flush_failures() > FLUSHES_MAX || self.views.newest().segments.len() >= SEGMENTS_MAX)
    }

    /// Whether the manifest names all that there is to be built of.
    fn can_build(&self) -> bool {
        self.unnamed.is_empty() && !self.is_flushing()
    }

    fn start_build(&mut self, out: &mut Effects<Reply>) -> Option<Input> {
        if self.disk.point(POINTS[1]).is_err() || !self.has_room_for(self.bytes_of_archive()) {
            self.fail_rebuild(Reply::Unavailable(Unavailable::NoSpace));
            return Some(Input::Failed);
        }
        let no = GenerationNo(self.take_segment_no().0);
        // Numbers are not given twice, to segments, to generations, or to jobs.
        let job = JobId(no.0);
        let names = self.manifest.current().segments.clone();
        let (covers, rules) = (names.len(), &self.config.archive);
        let plan = Plan {
            no,
            records: self.views.newest().index.len() as u64,
            built: self.manifest.current().flushed.lsn,
            shape: self.shape,
            kernels: self.config.kernels,
            graph: rules.graph,
            rows: rules.rows,
            questions: rules.verify_queries.min(QUESTIONS_MAX),
            complexity: rules.search_complexity,
        };
        let sources = Sources { log: self.l1.log, components: self.l1.components, names };
        out.start_job(job, Task { sources, plan }.spec());
        self.rebuild.attempt =
            Some(Attempt { no, job, covers, opened: false, ended: None, made: None, loading: None, loaded: None });
        None
    }

    /// About how many bytes a generation of all records takes on the disk.
    fn bytes_of_archive(&self) -> u64 {
        let records = self.views.newest().index.len() as u64;
        let rows = records.saturating_mul(self.config.archive.rows.stride(self.l1.components));
        rows.saturating_add(graph::bytes_needed_to_search(records, self.shape, self.config.archive.graph))
    }

    /// Hears a word of a job; false if it is another one's.
    pub(super) fn build_said(&mut self, said: JobId, word: &[u8], out: &mut Effects<Reply>) -> bool {
        let Some(attempt) = self.rebuild.attempt.as_mut().filter(|attempt| attempt.job == said) else { return false };
        attempt.opened = true;
        if let Some(Progress { step, done, of }) = Progress::of_word(word) {
            out.note("archive.progress", &[("step", step.into()), ("done", done), ("of", of)]);
        }
        true
    }

    /// Hears how a job ended.
    pub(super) fn build_ended(&mut self, ended: JobId, how: &JobEnd) {
        let Some(attempt) = self.rebuild.attempt.as_mut().filter(|attempt| attempt.job == ended) else { return };
        let failed = |words: &str| Err(Reply::Unavailable(Unavailable::Disk(words.into())));
        let outcome = match how {
            JobEnd::Done(word) => match Outcome::of_word(word) {
                Some(Outcome::Made { name, recall }) if name.no == attempt.no => Ok((name, recall)),
                Some(Outcome::Damaged(words)) => Err(Reply::Refused(Refusal::Damaged(words))),
                Some(Outcome::Unfit { id, why }) => Err(Reply::Refused(Refusal::BadVector { id: Some(id), why })),
                Some(Outcome::Made { .. }) | None => failed("the last word of the job that builds is none"),
            },
            JobEnd::Failed(words) => failed(words),
            JobEnd::Killed => failed("the job that builds was killed"),
        };
        attempt.ended = Some(outcome);
    }

    fn hear_of_build(&mut self, out: &mut Effects<Reply>) {
        let Some(attempt) = &mut self.rebuild.attempt else { return };
        match attempt.ended.take() {
            None => {}
            Some(Ok((_, recall))) if recall < self.config.archive.recall_min_percent.saturating_mul(100) => {
                out.note("archive.poor", &[("recall", recall.into())]);
                let words = format!("it finds {recall} of 10,000 that it has to find: archive.graph has to be larger");
                self.rebuild_failed(Reply::Refused(Refusal::Damaged(words.into())), out);
            }
            Some(Ok((name, recall))) => {
                attempt.made = Some(name);
                out.note("archive.built", &[("records", name.records), ("recall", recall.into())]);
                let _ = self.disk.point(POINTS[2]);
                self.step_swap(Input::Done, out);
            }
            Some(Err(answer)) => self.rebuild_failed(answer, out),
        }
    }

    fn rebuild_failed(&mut self, answer: Reply, out: &mut Effects<Reply>) {
        self.fail_rebuild(answer);
        self.step_swap(Input::Failed, out);
    }

    fn begin_load(&mut self) -> Input {
        let attempt = self.rebuild.attempt.as_mut().expect("there is one to load");
        let name = attempt.made.as_ref().expect("it was made");
        match Loading::open(&*self.disk, self.l1.log, name, self.l1.components) {
            Ok(loading) if loading.bytes() > self.config.archive.search_memory_maximum => {
                let (found, max) = (loading.bytes(), self.config.archive.search_memory_maximum);
                let what = "archive.search_memory_maximum".into();
                self.fail_rebuild(Reply::Refused(Refusal::TooLarge { what, found, max }));
                Input::Failed
            }
            Ok(loading) => {
                attempt.loading = Some(Box::new(Arriving::new(loading, self.shape)));
                Input::Done
            }
            Err(error) => {
                self.fail_rebuild(Reply::unread(&error));
                Input::Failed
            }
        }
    }

    /// Reads the next part of what was made; after the last one, has it published.
    fn load_slice(&mut self, out: &mut Effects<Reply>) {
        match self.try_load_slice() {
            Ok(false) => {}
            Ok(true) => {
                let _ = self.disk.point(POINTS[3]);
                self.step_swap(Input::Done, out);
            }
            Err(error) => self.rebuild_failed(Reply::unread(&error), out),
        }
    }

    fn try_load_slice(&mut self) -> StoreResult<bool> {
        let attempt = self.rebuild.attempt.as_mut().expect("there is one to load");
        let loading = attempt.loading.as_mut().expect("it is being read");
        if !loading.step(LOAD_BLOCKS)? {
            return Ok(false);
        }
        let loading = attempt.loading.take().expect("it is being read");
        attempt.loaded = Some(Arc::new(loading.finish(self.config.kernels())?));
        Ok(true)
    }

    /// Whoever waited was told how it has ended.
    fn note_end_of_rebuild(&mut self, out: &mut Effects<Reply>) {
        let Some(answer) = self.rebuild.answer.take() else { return };
        if !matches!(answer, Reply::Rebuilt { .. }) {
            out.note("archive.failed", &[]);
            self.rebuild.pause.lengthen(self.clock.now(), self.config.again_after);
            self.rebuild.seen = Lsn(0);
        }
    }

    /// Takes back the mark that a recovery has found.
    pub(super) fn found_mark(&mut self, out: &mut Effects<Reply>) {
        // Not during the recovery itself, which decides nothing.
        let mut todo = Vec::new();
        self.rebuild.swap.step(Input::Found, &mut todo);
        self.rebuild.swap.step(Input::NotNow, &mut todo);
        self.rebuild.again_at = Some(Tick(0));
        out.note("archive.abandoned", &[]);
    }
}
