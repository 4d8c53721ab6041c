//! One node: takes what arrives, gathers a batch, commits it, and looks after what is owed.
//!
//! | in | is done |
//! |---|---|
//! | [`Node::handle`] | a query is answered; a transaction is judged, and joins the open batch or waits for its managers |
//! | [`Node::settle`] | votes are gathered, the batch is committed, what is held or failed before is tried again |
//!
//! Invariants: the published view is the log's effect up to its last durable frame; no answer that a crash could make
//! untrue leaves the node; once halted, it does nothing more.

use std::{collections::VecDeque, sync::Arc};

use stormproof_contract::{Clock, Disk, Effects, Input, Node, Reader, RequestId, Tick};

use super::{
    admit::{self, Obstacle, State},
    archive::Rebuild,
    batch::{Fate, Joined, OpenBatch},
    bulk::{Loads, Unnamed},
    compact::{Compaction, Pause},
    config::Config,
    consolidate::Consolidation,
    decided::Decisions,
    facts::{Facts, Shown},
    fallback::Fallback,
    flush::Flush,
    health::Scrub,
    l1::L1Files,
    maintain::Leftovers,
    op::{Op, Refusal, Reply, Transaction, Unavailable},
    query::Queries,
    view::Published,
    waiting::{Answer, ManagerSet, Pending, Waiting},
};
use crate::{
    ids::Lsn,
    protocol::{Digest, ManagerId, Participant, Verdict, degrade::Degrade, health::Health, prepare, redrive},
    store::{
        self, StoreError, TransactionId, Write, batch::WEIGHT_MAX, log::Log, manifest::ManifestFile, segment::SegmentNo,
    },
    vector::Shape,
};

/// The most transactions of one batch. What waits longer than this takes would rather be answered in two.
const JOINED_MAX: usize = 4096;

/// One node of the engine. See the file's description.
pub struct MemoryNode {
    pub(super) config: Config,
    pub(super) shape: Shape,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) log: Log,
    pub(super) manifest: ManifestFile,
    pub(super) l1: L1Files,
    pub(super) managers: ManagerSet,
    pub(super) views: Arc<Published>,
    pub(super) queries: Arc<Queries>,
    pub(super) fallback: Arc<Fallback>,
    /// Whether the breaker of reads was seen not to be closed.
    pub(super) reads_refused: bool,
    pub(super) decided: Decisions,
    pub(super) open: OpenBatch,
    pub(super) waiting: Waiting,
    /// Whether writes are tried, and those that are held.
    pub(super) writes: Degrade<Arc<Transaction>>,
    /// Trials in a row that met a disk which cannot be read.
    pub(super) unreadable: u32,
    pub(super) health: Health,
    /// The last frame when the log was last checked.
    pub(super) checked_at: Lsn,
    pub(super) scrub: Scrub,
    pub(super) owed: redrive::Redrive<TransactionId>,
    /// The next segment's number.
    pub(super) next_segment: SegmentNo,
    /// What is to be removed, in this order.
    pub(super) leftovers: VecDeque<Leftovers>,
    /// What is frozen to be flushed.
    pub(super) flush: Option<Flush>,
    pub(super) flush_pause: Pause,
    /// What is staged.
    pub(super) loads: Loads,
    pub(super) unnamed: Unnamed,
    pub(super) compaction: Compaction,
    pub(super) merge_pause: Pause,
    pub(super) consolidation: Consolidation,
    pub(super) rebuild: Rebuild,
    /// For whoever inspects; see [`Config::inspectable`].
    pub(super) shown: Option<Shown>,
    /// The next transaction's name.
    pub(super) next_tx: TransactionId,
    /// When to ask pending managers again.
    pub(super) ask_at: Option<Tick>,
    /// When to tell again, repair and merge.
    pub(super) again_at: Option<Tick>,
    /// What happened during boot, to be noted at the first opportunity.
    pub(super) boot_notes: Vec<BootNote>,
    pub(super) halted: bool,
}

/// A note that could not be given during boot.
pub(super) type BootNote = (&'static str, Vec<(&'static str, u64)>);

impl Node for MemoryNode {
    type Op = Op;
    type Reply = Reply;
    type Ask = ();
    type Facts = Facts;

    fn handle(&mut self, input: Input<Op>, out: &mut Effects<Reply>) {
        if self.halted {
            return;
        }
        match input {
            Input::Request { id, op: Op::Commit(transaction) } => self.receive(id, transaction, out),
            Input::Request { id, op: Op::Activate { ids } } => self.activate(id, ids, out),
            Input::Request { id, op: Op::Consolidate { pass } } => self.ask_for_pass(id, pass, out),
            Input::Request { id, op: Op::Rebuild } => self.ask_for_rebuild(id, out),
            Input::Request { id, op } => {
                let answer = self.queries.answer(&op).expect("everything else is a query");
                out.reply(id, answer);
            }
            Input::JobSaid { job, bytes } => {
                if !self.build_said(job, &bytes, out) {
                    self.job_said(job, &bytes, out);
                }
            }
            Input::JobEnded { job, how } => {
                self.build_ended(job, &how);
                self.consolidation_ended(job, &how);
                self.job_ended(job, &how, out);
            }
            // A timer only brings the node to `settle`, which looks at the clock. This node has no peers.
            Input::Timer | Input::Message { .. } => {}
        }
    }

    fn settle(&mut self, out: &mut Effects<Reply>) {
        for (name, values) in self.boot_notes.drain(..) {
            out.note(name, &values);
        }
        self.note_reads(out);
        if !self.halted {
            self.gather_votes(out);
        }
        if !self.halted {
            self.commit_batch(out);
        }
        if !self.halted {
            self.try_held(out);
        }
        if !self.halted {
            self.maintain(out);
        }
        if !self.halted {
            self.go_on_loading(out);
        }
        if !self.halted {
            self.check_health(out);
        }
        if !self.halted {
            self.consolidate(out);
        }
        if !self.halted {
            self.go_on_rebuilding(out);
        }
    }

    fn deadline(&self) -> Option<Tick> {
        if self.halted {
            return None;
        }
        let notes = (!self.boot_notes.is_empty()).then_some(Tick(0));
        let due = [
            self.ask_at,
            self.again_at,
            self.writes.due(),
            self.health.due(),
            self.compaction_due(),
            self.flush_due(),
            self.loads_due(),
            self.leftovers_due(),
            self.consolidation_due(),
            self.rebuild_due(),
        ];
        notes.into_iter().chain(due.into_iter().flatten()).min()
    }

    fn reader(&self) -> Option<Arc<dyn Reader<Op, Reply>>> {
        Some(Arc::clone(&self.queries) as Arc<dyn Reader<Op, Reply>>)
    }

    fn kind(op: &Op) -> &'static str {
        op.kind()
    }

    fn inspect(&self, _ask: &()) -> Option<Facts> {
        self.shown.as_ref().map(|shown| Facts::of(self, shown))
    }
}

/// A transaction that wants to join the batch.
pub(super) struct Candidate {
    pub(super) asked: Vec<RequestId>,
    pub(super) id: TransactionId,
    pub(super) transaction: Transaction,
    pub(super) votes: Vec<(ManagerId, Digest)>,
}

impl MemoryNode {
    /// Takes a transaction: answers it, or has it join the batch, or wait for its managers.
    fn receive(&mut self, attempt: RequestId, transaction: Transaction, out: &mut Effects<Reply>) {
        if let Some(answer) = self.decided.answer(transaction.retry) {
            out.note("retry.deduplicated", &[]);
            return out.reply(attempt, answer);
        }
        if self.open.ask_again(transaction.retry, attempt) || self.waiting.ask_again(transaction.retry, attempt) {
            return out.note("retry.deduplicated", &[]);
        }
        if self.is_held(transaction.retry, attempt, out) {
            return out.note("retry.deduplicated", &[]);
        }
        if let Some(ahead) = self.loads.place_of(transaction.retry) {
            out.note("retry.deduplicated", &[]);
            return out.reply(attempt, Reply::Staged { ahead });
        }
        if let Err(refusal) = admit::form(&transaction, &self.config, self.shape) {
            return out.reply(attempt, Reply::Refused(refusal));
        }
        let Some(transaction) = self.let_in(attempt, transaction, out) else { return };
        self.make_room(out);
        if self.halted {
            return;
        }
        if transaction.bulk {
            return self.stage(attempt, transaction, out);
        }
        let id = self.take_tx();
        let candidate = Candidate { asked: vec![attempt], id, transaction, votes: Vec::new() };
        match self.judge(&candidate.transaction) {
            Err(obstacle) => self.turn_down(candidate, obstacle, out),
            Ok(writes) if candidate.transaction.managers.is_empty() => self.join(candidate, writes),
            Ok(_) => self.wait(candidate, out),
        }
    }

    /// What the transaction writes, if what it rests on holds.
    pub(super) fn judge(&self, transaction: &Transaction) -> Result<Vec<Write>, Obstacle> {
        let view = &self.views.newest();
        let state = State { view, batch: &self.open, held: self.waiting.held(), loads: &self.loads };
        admit::judge(transaction, &state, &self.config)?;
        // What was flushed has to be read. That the disk fails now promises nothing about later copies, and is answered
        // at once; damage may be mended, so the refusal has to be closed.
        let unread = |error: StoreError| Obstacle { answer: Reply::unread(&error), lasting: error.is_passing() };
        let writes = state.writes(transaction, self.clock.wall()).map_err(unread)?;
        let too_large = |refusal| Obstacle { answer: Reply::Refused(refusal), lasting: true };
        admit::weight(&writes, transaction.bulk).map_err(too_large)?;
        Ok(writes)
    }

    /// Has a transaction join that nobody waits for.
    pub(super) fn join_proposal(&mut self, transaction: Transaction, writes: Vec<Write>) {
        let id = self.take_tx();
        self.join(Candidate { asked: Vec::new(), id, transaction, votes: Vec::new() }, writes);
    }

    fn join(&mut self, candidate: Candidate, writes: Vec<Write>) {
        let Candidate { asked, id, transaction, votes } = candidate;
        let retry = transaction.retry;
        let fate = if writes.is_empty() && votes.is_empty() {
            Fate::Watched
        } else {
            let transaction = store::Transaction {
                id,
                retry: Some(retry),
                votes: Vec::new(),
                writes,
                loaded: None,
                rebuilding: None,
            };
            Fate::Commit { transaction, votes }
        };
        self.push(Joined { asked, retry, fate });
    }

    /// Tells a transaction what stands in its way: at once if that can never change, else once it is closed.
    pub(super) fn turn_down(&mut self, candidate: Candidate, obstacle: Obstacle, out: &mut Effects<Reply>) {
        let Candidate { asked, id, transaction, .. } = candidate;
        let Obstacle { answer, lasting } = obstacle;
        if matches!(answer, Reply::Conflict(_)) {
            out.note("conflict", &[]);
        }
        if lasting || admit::only_watches(&transaction) {
            return asked.into_iter().for_each(|attempt| out.reply(attempt, answer.clone()));
        }
        self.push(Joined { asked, retry: transaction.retry, fate: Fate::Closed { id, answer } });
    }

    /// Commits the batch if it is full. Before a transaction is judged, never after: the batch may come to nothing,
    /// and with it what the transaction would rest on.
    ///
    /// And does what is due then: a host hands over many requests before it has the node settle, and what was written since
    /// the last flush would grow with them.
    fn make_room(&mut self, out: &mut Effects<Reply>) {
        if self.open.weight() > WEIGHT_MAX / 4 || self.open.joined.len() >= JOINED_MAX {
            self.commit_batch(out);
            if !self.halted {
                self.maintain(out);
            }
            if !self.halted {
                self.go_on_loading(out);
            }
        }
    }

    pub(super) fn push(&mut self, joined: Joined) {
        let view = self.views.newest();
        self.open.join(joined, |id| view.version_of_live(id).is_some());
    }

    /// Has a transaction wait for its managers.
    fn wait(&mut self, candidate: Candidate, out: &mut Effects<Reply>) {
        if self.waiting.list.len() >= self.config.waiting_max {
            let busy = Reply::Unavailable(Unavailable::Busy);
            return candidate.asked.into_iter().for_each(|attempt| out.reply(attempt, busy.clone()));
        }
        let managers = candidate.transaction.managers.iter().map(|name| self.managers.id(name)).collect();
        let due = self.clock.now() + self.config.vote_timeout;
        self.waiting.add(candidate.id, candidate.asked, candidate.transaction, managers, due);
    }

    /// Asks the managers of all transactions that wait.
    fn gather_votes(&mut self, out: &mut Effects<Reply>) {
        let now = self.clock.now();
        let ids: Vec<_> = self.waiting.list.keys().copied().collect();
        for tx in ids {
            self.make_room(out);
            if self.halted {
                return;
            }
            let Some(pending) = self.waiting.list.get_mut(&tx) else { continue };
            let mut deaf = Vec::new();
            let answer = pending.ask(tx, now, &mut self.managers, &mut |manager| deaf.push(manager));
            for manager in deaf {
                self.owe(Participant::Manager { manager, tx }, Verdict::Aborted, out);
            }
            if let Some(answer) = answer {
                self.stop_waiting(tx, answer, out);
            }
        }
        let due = self.waiting.list.values().map(|pending| pending.due).min();
        self.ask_at = due.map(|due| due.min(now + self.config.again_after));
    }

    fn stop_waiting(&mut self, tx: TransactionId, answer: Answer, out: &mut Effects<Reply>) {
        let Pending { asked, transaction, .. } = self.waiting.remove(tx).expect("it was waiting");
        match answer {
            Answer::Refuse(refusal) => {
                let answer = Reply::Refused(self.refusal(refusal, out));
                let candidate = Candidate { asked, id: tx, transaction, votes: Vec::new() };
                self.turn_down(candidate, Obstacle { answer, lasting: false }, out);
            }
            Answer::Join(votes) => match self.judge(&transaction) {
                Ok(writes) => self.join(Candidate { asked, id: tx, transaction, votes }, writes),
                Err(obstacle) => {
                    for (manager, _) in votes {
                        self.call_off(manager, tx, out);
                    }
                    self.turn_down(Candidate { asked, id: tx, transaction, votes: Vec::new() }, obstacle, out);
                }
            },
        }
    }

    fn refusal(&self, refusal: prepare::Refusal, out: &mut Effects<Reply>) -> Refusal {
        let (note, manager, why) = match refusal {
            prepare::Refusal::Voted { manager, why } => ("participant.refused", manager, why),
            prepare::Refusal::TimedOut { manager } => ("participant.timed_out", manager, "no vote in time".into()),
        };
        out.note(note, &[("manager", manager.0.into())]);
        Refusal::Participant { name: self.managers.name(manager).into(), why }
    }

    /// Tells a manager that a transaction is off, now or later.
    pub(super) fn call_off(&mut self, manager: ManagerId, tx: TransactionId, out: &mut Effects<Reply>) {
        if self.managers.get(manager).abort(tx).is_err() {
            self.owe(Participant::Manager { manager, tx }, Verdict::Aborted, out);
        }
    }

    pub(super) fn take_tx(&mut self) -> TransactionId {
        let tx = self.next_tx;
        self.next_tx = TransactionId(tx.0 + 1);
        tx
    }
}
