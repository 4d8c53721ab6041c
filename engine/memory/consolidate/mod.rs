//! Consolidation: what memory makes of itself while nobody looks. [`Pass`] has the three kinds; the file of each says by which
//! rule, and what it conserves.
//!
//! | file | what |
//! |---|---|
//! | [`rules`] | the rules and their parameters; what an activation does to a record |
//! | `job` | reads segments beside the node, and says what it would have committed |
//! | `nrem`, `rem`, `prune` | the three passes |
//!
//! A pass is a client that lives beside the node. It reads what was flushed, and proposes ordinary transactions, each of which
//! rests on the versions that were read. The node takes out what has changed meanwhile, and commits the rest like anything
//! else: so a proposal is wholly there or not at all, in the order of decisions, visible to later queries and to no earlier
//! one, and found again by recovery. If the job dies, or the node does, what was proposed before stands, and the rest is as if
//! the pass had not begun.
//!
//! 1. What was written before the pass is flushed, so that the job sees it: prototypes of an earlier pass, and every link.
//! 2. The job reads, and says one proposal at a time. What a record is linked to since step 1 is kept by the node, which spares
//!    it: nothing is pruned that something links to when the removal is decided.
//! 3. A proposal joins a batch when the node has settled, and is committed when it settles next.
//!
//! **Episodes** tell what was active together, in which order. They are kept in memory, are handed to the next NREM, and are
//! forgotten then, whatever comes of it: each counts at most once. A crash forgets those that wait: they are statistics, not
//! data.

mod job;
mod nrem;
mod prune;
mod rem;
pub(super) mod rules;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use stormproof_contract::{Bytes, Effects, JobEnd, JobId, RequestId, Tick, WallTime};

pub(super) use self::job::ConsolidateJob;
use self::job::{Task, Work};
pub use self::rules::{ConsolidationRules, Pass};
use super::{
    admit::{self, Obstacle},
    compact::Pause,
    node::MemoryNode,
    op::{Refusal, Reply, Transaction, Unavailable},
};
use crate::{
    ids::{Lsn, RecordId},
    store::{Record, RetryId, compact::Sources, manifest::SEGMENTS_MAX},
};

/// The points of a pass.
pub(super) const POINTS: [&str; 3] = ["consolidate.begun", "consolidate.reading", "consolidate.proposed"];

/// The most records of an episode.
pub const EPISODE_MAX: usize = 64;
/// So many episodes wait at most; then the oldest is forgotten.
pub(crate) const EPISODES_MAX: usize = 4096;
/// So many targets of links are kept in mind during a pass. If there are more, it prunes nothing.
const LINKED_MAX: usize = 1 << 20;
/// Names of proposals begin with this.
const RETRY_PREFIX: u128 = 0x5354_4f52_u128 << 96;

/// What a node knows of consolidation.
#[derive(Default)]
pub(super) struct Consolidation {
    episodes: VecDeque<Vec<RecordId>>,
    underway: Option<Underway>,
    rem: Schedule,
    prune: Schedule,
    /// When a record was changed last.
    changed_at: Tick,
    /// After a pass that failed none begins by itself for a while.
    pause: Pause,
    /// For whoever inspects: how often each record was active in this life; see [`Config::inspectable`](super::Config).
    activations: BTreeMap<RecordId, u64>,
}

/// When a pass begins that nobody asks for: every while, if it may find what the last one did not.
#[derive(Clone, Copy, Default)]
struct Schedule {
    /// `None`: never.
    every: Option<Tick>,
    /// How old a record has to be for it.
    age: Tick,
    /// The earliest time of the next one.
    at: Tick,
    /// When the last one began, and the last change that it has seen.
    begun: Tick,
    seen: Lsn,
}

impl Schedule {
    fn new(every_ms: u64, age_ms: u64, now: Tick) -> Schedule {
        let every = (every_ms > 0).then(|| ticks(every_ms));
        Schedule { every, age: ticks(age_ms), at: now + every.unwrap_or_default(), begun: now, seen: Lsn(0) }
    }

    /// The last change is `changed`, of the time `changed_at`.
    fn due(&self, changed: Lsn, changed_at: Tick) -> Option<Tick> {
        self.every?;
        let of_age = Tick(changed_at.0.saturating_add(self.age.0));
        match self.age.0 > 0 && self.begun < of_age {
            _ if changed > self.seen => Some(self.at),
            true => Some(self.at.max(of_age)),
            false => None,
        }
    }

    fn begun(&mut self, changed: Lsn, now: Tick) {
        (self.seen, self.begun) = (changed, now);
        self.at = now + self.every.unwrap_or_default();
    }

    /// It has not seen what it was to see.
    fn failed(&mut self) {
        self.seen = Lsn(0);
    }
}

/// What a pass has proposed, and what it rests on beside the records.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Proposal {
    /// What is to be committed.
    pub transaction: Transaction,
    /// The episodes that NREM was handed, in their order.
    pub episodes: Vec<Vec<RecordId>>,
    /// PRUNE leaves what was created after this: nanoseconds since 1970.
    pub before: u64,
}

/// A pass.
struct Underway {
    pass: Pass,
    asked: Vec<RequestId>,
    /// Every frame up to this one has to be flushed before it begins.
    upto: Lsn,
    job: Option<JobId>,
    /// What the job was handed, for whoever inspects.
    episodes: Vec<Vec<RecordId>>,
    before: WallTime,
    /// Whether the job has its files open.
    opened: bool,
    /// What was linked to since.
    linked: BTreeSet<RecordId>,
    /// What the job has said last.
    said: Option<Transaction>,
    /// What is to be decided.
    proposed: Option<Transaction>,
    proposals: u32,
    /// How the job ended.
    ended: Option<Result<(), Reply>>,
    /// How many records it has changed, and how many it left since they had changed meanwhile.
    changed: u64,
    spared: u64,
}

impl Underway {
    fn new(pass: Pass, asked: Vec<RequestId>, upto: Lsn) -> Underway {
        Underway {
            pass,
            asked,
            upto,
            job: None,
            episodes: Vec::new(),
            before: WallTime(0),
            opened: false,
            linked: BTreeSet::new(),
            said: None,
            proposed: None,
            proposals: 0,
            ended: None,
            changed: 0,
            spared: 0,
        }
    }

    /// Gives it up: what it has proposed stands.
    fn fail(&mut self, answer: Reply, out: &mut Effects<Reply>) {
        self.said = None;
        match (&self.ended, self.job) {
            (Some(Err(_)), _) => return,
            (None, Some(job)) => out.stop_job(job),
            // A job that got to its end does not know what came of its last word.
            (None, None) | (Some(Ok(())), _) => {}
        }
        self.ended = Some(Err(answer));
    }

    /// Whether there is something to hear of, or to do, that has arrived.
    fn has_news(&self) -> bool {
        self.said.is_some() || self.proposed.is_some() || self.ended.is_some()
    }
}

impl Consolidation {
    pub(super) fn new(rules: &ConsolidationRules, now: Tick) -> Consolidation {
        let rem = Schedule::new(rules.rem_every_ms, 0, now);
        let prune = Schedule::new(rules.prune_every_ms, rules.prune_age_ms, now);
        Consolidation { rem, prune, changed_at: now, ..Consolidation::default() }
    }

    /// Whether frames have to be flushed for a pass to begin, of which the last was flushed up to `flushed`.
    pub(super) fn wants_flush(&self, flushed: Lsn) -> bool {
        self.underway.as_ref().is_some_and(|pass| pass.job.is_none() && pass.upto > flushed)
    }

    /// Whether segments must stay where they are: a job is about to open them.
    pub(super) fn is_opening(&self) -> bool {
        self.underway.as_ref().is_some_and(|pass| pass.job.is_some() && !pass.opened && pass.ended.is_none())
    }

    /// Keeps in mind that records were changed, and what is linked to from now on.
    pub(super) fn saw<'a>(&mut self, put: impl Iterator<Item = &'a Arc<Record>>, changed: bool, now: Tick) {
        if changed {
            self.changed_at = now;
        }
        let Some(pass) = self.underway.as_mut().filter(|pass| pass.pass == Pass::Prune) else { return };
        for record in put {
            if pass.linked.len() <= LINKED_MAX {
                pass.linked.extend(record.links.iter().map(|link| link.to).filter(|to| *to != record.id));
            }
        }
    }

    /// What is to be decided next, for whoever inspects.
    pub(super) fn proposal(&self) -> Option<Proposal> {
        let pass = self.underway.as_ref()?;
        let transaction = pass.proposed.clone()?;
        Some(Proposal { transaction, episodes: pass.episodes.clone(), before: pass.before.0 })
    }

    /// How often each record was active in this life, for whoever inspects.
    pub(super) fn activations(&self) -> impl Iterator<Item = (RecordId, u64)> {
        self.activations.iter().map(|(id, times)| (*id, *times))
    }
}

/// A time of the configuration, which may be longer than any clock shows.
fn ticks(ms: u64) -> Tick {
    Tick(Tick::millis(1).0.saturating_mul(ms))
}

fn unavailable(words: &str) -> Reply {
    Reply::Unavailable(Unavailable::Disk(words.into()))
}

/// The name of a proposal: no other life or pass gives the same, and no client does.
fn name_of(job: JobId, proposal: u32) -> RetryId {
    RetryId(RETRY_PREFIX | u128::from(job.0) << 32 | u128::from(proposal))
}

impl MemoryNode {
    /// Hears what was active together.
    pub(super) fn activate(&mut self, id: RequestId, mut episode: Vec<RecordId>, out: &mut Effects<Reply>) {
        if episode.len() > EPISODE_MAX {
            let (found, max) = (episode.len() as u64, EPISODE_MAX as u64);
            let refusal = Refusal::TooLarge { what: "records of an episode".into(), found, max };
            return out.reply(id, Reply::Refused(refusal));
        }
        let mut known = BTreeSet::new();
        episode.retain(|record| known.insert(*record));
        if self.shown.is_some() {
            for record in &episode {
                *self.consolidation.activations.entry(*record).or_default() += 1;
            }
        }
        let episodes = &mut self.consolidation.episodes;
        if !episode.is_empty() {
            if episodes.len() == EPISODES_MAX {
                episodes.pop_front();
            }
            episodes.push_back(episode);
        }
        out.reply(id, Reply::Activated { waiting: episodes.len() as u64 });
    }

    /// Begins a pass that a client asks for, and answers once it is over.
    pub(super) fn ask_for_pass(&mut self, id: RequestId, pass: Pass, out: &mut Effects<Reply>) {
        let not_now = |why, out: &mut Effects<Reply>| out.reply(id, Reply::Unavailable(why));
        let (is_well, changed) = (self.is_well(), self.views.newest().changed);
        match &mut self.consolidation.underway {
            _ if !is_well => not_now(Unavailable::Degraded, out),
            Some(underway) if underway.pass == pass && underway.job.is_none() => {
                underway.asked.push(id);
                underway.upto = changed;
            }
            Some(_) => not_now(Unavailable::Busy, out),
            None => self.begin_pass(pass, vec![id]),
        }
    }

    fn begin_pass(&mut self, pass: Pass, asked: Vec<RequestId>) {
        let upto = self.views.newest().changed;
        match pass {
            Pass::Nrem => {}
            Pass::Rem => self.consolidation.rem.begun(upto, self.clock.now()),
            Pass::Prune => self.consolidation.prune.begun(upto, self.clock.now()),
        }
        self.consolidation.underway = Some(Underway::new(pass, asked, upto));
    }

    /// When there is something to do.
    pub(super) fn consolidation_due(&self) -> Option<Tick> {
        match &self.consolidation.underway {
            Some(pass) if !self.is_well() || pass.has_news() || self.can_begin(pass) => Some(Tick(0)),
            Some(_) if self.consolidation.wants_flush(self.flushed_upto()) => self.flush_wanted(),
            Some(_) => None,
            None if !self.is_well() => None,
            None => self.next_pass().map(|(at, _)| at),
        }
    }

    /// Which pass begins next without being asked for, and when.
    fn next_pass(&self) -> Option<(Tick, Pass)> {
        let Consolidation { rem, prune, changed_at, .. } = &self.consolidation;
        let changed = self.views.newest().changed;
        let nrem = self.wants_nrem().then_some((Tick(0), Pass::Nrem));
        let rem = rem.due(changed, *changed_at).map(|at| (at, Pass::Rem));
        let prune = prune.due(changed, *changed_at).map(|at| (at, Pass::Prune));
        let (at, pass) = [nrem, rem, prune].into_iter().flatten().min()?;
        Some((at.max(self.consolidation.pause.until()), pass))
    }

    fn wants_nrem(&self) -> bool {
        let enough = (self.config.consolidation.nrem_episodes as usize).min(EPISODES_MAX);
        enough > 0 && self.consolidation.episodes.len() >= enough
    }

    fn flushed_upto(&self) -> Lsn {
        self.manifest.current().flushed.lsn
    }

    /// Whether everything that it rests on is flushed.
    fn can_begin(&self, pass: &Underway) -> bool {
        pass.job.is_none() && self.flushed_upto() >= pass.upto
    }

    /// Does what is due.
    pub(super) fn consolidate(&mut self, out: &mut Effects<Reply>) {
        if self.consolidation.underway.is_none()
            && self.is_well()
            && let Some((at, pass)) = self.next_pass()
            && at <= self.clock.now()
        {
            self.begin_pass(pass, Vec::new());
        }
        let Some(mut pass) = self.consolidation.underway.take() else { return };
        self.hear_of_proposal(&mut pass, out);
        if !self.is_well() {
            pass.fail(Reply::Unavailable(Unavailable::Degraded), out);
        } else if pass.job.is_none()
            && pass.upto > self.flushed_upto()
            && self.views.newest().segments.len() >= SEGMENTS_MAX
        {
            // Nothing can be flushed before some are merged.
            pass.fail(Reply::Unavailable(Unavailable::Busy), out);
        }
        if let Some(ended) = pass.ended.take_if(|_| pass.said.is_none() && pass.proposed.is_none()) {
            return self.end_pass(pass, ended, out);
        }
        if self.can_begin(&pass) {
            self.start_job(&mut pass, out);
        }
        if let Some(transaction) = pass.said.take() {
            self.propose(&mut pass, transaction, out);
        }
        self.consolidation.underway = Some(pass);
    }

    fn start_job(&mut self, pass: &mut Underway, out: &mut Effects<Reply>) {
        if let Err(error) = self.disk.point(POINTS[0]) {
            return pass.fail(unavailable(&error.to_string()), out);
        }
        let rules = self.config.consolidation;
        let work = match pass.pass {
            Pass::Nrem => {
                let episodes = Vec::from(std::mem::take(&mut self.consolidation.episodes));
                if self.shown.is_some() {
                    pass.episodes.clone_from(&episodes);
                }
                Work::Nrem { episodes }
            }
            Pass::Rem => Work::Rem { shape: self.shape, kernels: self.config.kernels },
            Pass::Prune => {
                let WallTime(now) = self.clock.wall();
                pass.before = WallTime(now.saturating_sub(ticks(rules.prune_age_ms).0));
                Work::Prune { before_ns: pass.before.0 }
            }
        };
        let names = self.manifest.current().segments.clone();
        let sources = Sources { log: self.l1.log, components: self.l1.components, names };
        // Numbers of segments are not given twice, so they can name jobs, too.
        let job = JobId(self.take_segment_no().0);
        out.start_job(job, Task { sources, rules, work }.spec());
        out.note("consolidate.begun", &[("pass", pass.pass as u64)]);
        pass.job = Some(job);
    }

    /// Hears what a job proposes.
    pub(super) fn job_said(&mut self, said: JobId, word: &Bytes, out: &mut Effects<Reply>) {
        let Some(pass) = self.consolidation.underway.as_mut().filter(|pass| pass.job == Some(said)) else { return };
        if word.is_empty() {
            let _ = self.disk.point(POINTS[1]);
            pass.opened = true;
            return;
        }
        match serde_json::from_slice(word) {
            Ok(transaction) => pass.said = Some(transaction),
            Err(error) => pass.fail(unavailable(&format!("a word of the job is none: {error}")), out),
        }
    }

    /// Hears how a job ended.
    pub(super) fn consolidation_ended(&mut self, ended: JobId, how: &JobEnd) {
        let Some(pass) = self.consolidation.underway.as_mut().filter(|pass| pass.job == Some(ended)) else { return };
        // What was given up before stays so, however its job went on.
        let ended = match how {
            JobEnd::Done(word) if word.is_empty() => Ok(()),
            JobEnd::Done(words) => {
                Err(Reply::Refused(Refusal::Damaged(String::from_utf8_lossy(words).into_owned().into())))
            }
            JobEnd::Failed(words) => Err(unavailable(words)),
            JobEnd::Killed => Err(unavailable("the job that consolidates was killed")),
        };
        pass.ended.get_or_insert(ended);
    }

    /// Has what is still right of a proposal join the batch, and the job go on.
    fn propose(&mut self, pass: &mut Underway, mut transaction: Transaction, out: &mut Effects<Reply>) {
        let job = pass.job.expect("only a job says something");
        out.tell_job(job, Bytes::default());
        let all = admit::changed(&transaction).count();
        self.spare(pass, &mut transaction);
        let left = admit::changed(&transaction).count();
        pass.spared += (all - left) as u64;
        transaction.retry = name_of(job, pass.proposals);
        let is_known = self.decided.answer(transaction.retry).is_some();
        if left == 0 || is_known || admit::form(&transaction, &self.config, self.shape).is_err() {
            pass.spared += left as u64;
            return;
        }
        match (self.judge(&transaction), self.disk.point(POINTS[2])) {
            (Ok(writes), Ok(())) => {
                pass.proposals += 1;
                pass.proposed = Some(transaction.clone());
                self.join_proposal(transaction, writes);
            }
            (Err(Obstacle { answer: answer @ Reply::Unavailable(_), .. }), _) => pass.fail(answer, out),
            (Ok(_), Err(error)) => pass.fail(unavailable(&error.to_string()), out),
            (Err(_), _) => pass.spared += left as u64,
        }
    }

    /// Takes out what is not any more as the job read it.
    fn spare(&self, pass: &Underway, transaction: &mut Transaction) {
        let view = self.views.newest();
        let is_same = |read: &super::op::Read| {
            view.version_of_live(read.id) == read.version && !self.waiting.held().contains(&read.id)
        };
        if !transaction.reads.iter().all(is_same) {
            // A prototype is made of all its members or not at all.
            transaction.inserts.clear();
        }
        if transaction.inserts.is_empty() {
            transaction.reads.retain(is_same);
        }
        let overrun = pass.linked.len() > LINKED_MAX;
        let Transaction { reads, upserts, deletes, .. } = transaction;
        let rests = |id: RecordId| reads.iter().any(|read| read.id == id);
        upserts.retain(|draft| rests(draft.id));
        deletes.retain(|id| rests(*id) && !overrun && !pass.linked.contains(id));
    }

    /// Sees what came of the last proposal.
    fn hear_of_proposal(&self, pass: &mut Underway, out: &mut Effects<Reply>) {
        let Some(transaction) = pass.proposed.take() else { return };
        match self.decided.answer(transaction.retry) {
            Some(Reply::Committed { .. }) => pass.changed += admit::changed(&transaction).count() as u64,
            Some(_) | None => pass.fail(unavailable("the batch of a proposal came to nothing"), out),
        }
    }

    /// Answers everybody who has asked for a pass.
    fn end_pass(&mut self, pass: Underway, ended: Result<(), Reply>, out: &mut Effects<Reply>) {
        let Underway { pass: kind, asked, changed, spared, .. } = pass;
        let reply = match ended {
            Ok(()) => {
                self.consolidation.pause = Pause::default();
                out.note("consolidated", &[("pass", kind as u64), ("changed", changed), ("spared", spared)]);
                Reply::Consolidated { changed, spared }
            }
            Err(reply) => {
                self.consolidation.pause.lengthen(self.clock.now(), self.config.again_after);
                match (kind, &reply) {
                    // Damage is met again by whoever tries again.
                    (Pass::Nrem, _) | (_, Reply::Refused(_)) => {}
                    (Pass::Rem, _) => self.consolidation.rem.failed(),
                    (Pass::Prune, _) => self.consolidation.prune.failed(),
                }
                out.note("consolidate.failed", &[("pass", kind as u64)]);
                reply
            }
        };
        for id in asked {
            out.reply(id, reply.clone());
        }
    }
}
