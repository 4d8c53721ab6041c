//! Clients: they ask, wait, try again, and write down what they saw.
//!
//! A client has one operation at a time. All attempts at it share its id. What a client was never told it does not
//! know: an operation whose last attempt went unanswered is *Unknown*, and so is one that was refused after an earlier
//! attempt, or a duplicate on the wire, may have done it.

use std::collections::VecDeque;

use stormproof_contract::{OpId as RequestOp, RequestId, System};

use super::{
    dice::Dice,
    draw::{End, Entity, Scope, Stream},
    plan::Script,
    run::{Event, OpState, World},
    stage::{Class, Judge, OpOf, Phase, ReplyOf, Seen, Workload},
    trace::Happened,
};
use crate::check::history::OpId;

/// One client.
pub(crate) struct Client<Op> {
    dice: Dice,
    /// What it does, where a plan says so.
    script: Option<(VecDeque<Op>, VecDeque<Op>)>,
    current: Option<Current>,
    /// Nothing more to do in this phase.
    done: bool,
    /// Whether an event is under way that makes it look at the clock.
    looks: bool,
}

/// The operation a client waits for.
#[derive(Clone, Copy)]
struct Current {
    op: u64,
    /// Attempts so far.
    attempts: u32,
    /// Whether something that was sent may still take effect without the client's knowing.
    may_have_effect: bool,
    /// Between two attempts.
    backing_off: bool,
    until: u64,
}

impl<Op> Client<Op> {
    pub(crate) fn new(dice: Dice, script: Option<Script<Op>>) -> Self {
        let script = script.map(|script| (script.storm.into(), script.calm.into()));
        Client { dice, script, current: None, done: false, looks: false }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.done
    }

    pub(crate) fn begin_calm(&mut self) {
        self.done = false;
    }

    pub(crate) fn current(&self) -> Option<u64> {
        self.current.map(|current| current.op)
    }
}

impl<S, W, J> World<S, W, J>
where
    S: System,
    W: Workload<OpOf<S>, ReplyOf<S>>,
    J: Judge<S>,
{
    /// A client thinks before its next operation.
    pub(crate) fn think(&mut self, client: u32) {
        let mut core = self.shared.lock();
        let span = core.tuning.think;
        let scope = self.ops.len() as u64;
        // Counted by operations, not by draws: a client that does one more disturbs only what it does after.
        let wait = core.draws.nth_span(Stream::Think, Scope::World, Entity::Client(client), scope as u32, &span);
        let at = core.dials.now() + wait;
        drop(core);
        self.queue.push(at, 0, Event::ClientWakes { client });
    }

    pub(crate) fn client_wakes(&mut self, now: u64, client: u32) {
        match self.clients[client as usize].current {
            None => self.next_op(now, client),
            Some(current) if current.backing_off => self.attempt(now, client),
            Some(_) => {}
        }
    }

    fn next_op(&mut self, now: u64, client: u32) {
        let phase = self.phase;
        let state = &mut self.clients[client as usize];
        let next = match (&mut state.script, phase) {
            (Some((storm, _)), Phase::Storm) => storm.pop_front(),
            (Some((_, calm)), Phase::Calm) => calm.pop_front(),
            (None, _) => self.workload.next(client, phase, &mut state.dice),
        };
        let Some(op) = next else {
            state.done = true;
            if self.clients.iter().all(Client::is_done) {
                self.end_of_phase();
            }
            return;
        };
        let hash = self.workload.op_hash(&op);
        let id = self.ops.len() as u64;
        let mut core = self.shared.lock();
        let words = || format!("c{client} asks op{id}: {op:?}");
        core.record(Happened::Invoked, u64::from(client), [id, hash], words);
        drop(core);
        if let Some(performed) = &mut self.performed {
            performed[client as usize].push(phase, &op);
        }
        let moment = self.moment(now);
        let recorded = self.history.invoke(client, moment, op);
        debug_assert_eq!(recorded.0, id, "an operation's place in the history is its id");
        self.ops.push(OpState { client, reply_hash: 0 });
        let current = Current { op: id, attempts: 0, may_have_effect: false, backing_off: false, until: 0 };
        self.clients[client as usize].current = Some(current);
        self.attempt(now, client);
    }

    /// Sends the current operation, for the first time or again.
    fn attempt(&mut self, now: u64, client: u32) {
        let state = &mut self.clients[client as usize];
        let Some(current) = &mut state.current else { return };
        self.shared.dials.promise();
        let id = RequestId { op: RequestOp(current.op), attempt: current.attempts };
        current.attempts += 1;
        current.backing_off = false;
        let nodes = self.nodes.len() as u32;
        let op = &self.history.operations()[current.op as usize].op;
        let node = self.workload.route(client, op, id.attempt, nodes).0 % nodes;
        let mut core = self.shared.lock();
        let (from, to) = (End::Client(client), End::Node(node));
        let passage = core.pass(from, to, Scope::Op(current.op), id.attempt, 0);
        current.until = now.saturating_add(core.tuning.patience.0);
        let until = current.until;
        current.may_have_effect |= passage.again.is_some();
        drop(core);
        let looks = std::mem::replace(&mut state.looks, true);
        if let Some(at) = passage.arrives {
            self.queue.push(at, passage.priority, Event::Request { node, id });
        }
        if let Some(at) = passage.again {
            self.queue.push(at, passage.priority, Event::Request { node, id });
        }
        if !looks {
            self.queue.push(until, 0, Event::ClientLooks { client });
        }
    }

    /// The time a client was willing to wait may be over. One such event per client is under way at a time.
    pub(crate) fn client_looks(&mut self, now: u64, client: u32) {
        let state = &mut self.clients[client as usize];
        state.looks = false;
        let Some(current) = &mut state.current else { return };
        if current.backing_off {
            return;
        }
        if current.until > now {
            state.looks = true;
            let until = current.until;
            self.queue.push(until, 0, Event::ClientLooks { client });
            return;
        }
        current.may_have_effect = true;
        self.try_again(now, client);
    }

    /// Tries again after a while, unless that was tried often enough. Once all is healed a client never gives up.
    fn try_again(&mut self, now: u64, client: u32) {
        let mut core = self.shared.lock();
        let Some(current) = &mut self.clients[client as usize].current else { return };
        if current.attempts >= core.tuning.attempts_max && self.healed_at.is_none() {
            drop(core);
            self.give_up(now, client);
            return;
        }
        current.backing_off = true;
        let span = core.tuning.backoff;
        let (scope, n) = (Scope::Op(current.op), current.attempts);
        let wait = core.draws.nth_span(Stream::Backoff, scope, Entity::Client(client), n, &span);
        drop(core);
        self.queue.push(now + wait, 0, Event::ClientWakes { client });
    }

    fn give_up(&mut self, now: u64, client: u32) {
        let Some(current) = self.clients[client as usize].current.take() else { return };
        let id = current.op;
        let words = || format!("c{client} gives up on op{id}");
        self.shared.lock().record(Happened::GaveUp, u64::from(client), [id, 0], words);
        let moment = self.moment(now);
        if current.may_have_effect {
            self.history.unknown(OpId(id), moment);
        } else {
            self.history.fail(OpId(id), moment);
        }
        self.workload.heard(client, &self.history.operations()[id as usize].op, None);
        self.think(client);
    }

    pub(crate) fn reply_arrives(&mut self, now: u64, client: u32, id: RequestId, reply: ReplyOf<S>) {
        let Some(current) = &mut self.clients[client as usize].current else { return };
        if current.op != id.op.0 {
            return;
        }
        let op = &self.history.operations()[current.op as usize].op;
        let class = self.workload.class(op, &reply);
        if class != Class::Done && (id.attempt + 1 != current.attempts || current.backing_off) {
            // A late refusal of an earlier attempt says nothing about this one.
            return;
        }
        let hash = self.workload.reply_hash(&reply);
        let mut core = self.shared.lock();
        let words = || format!("c{client} hears of {id}: {reply:?}");
        core.record(Happened::Replied, u64::from(client), [id.op.0, hash], words);
        drop(core);
        match class {
            Class::TryAgain => return self.try_again(now, client),
            Class::Pending => {
                current.may_have_effect = true;
                return self.try_again(now, client);
            }
            Class::NoEffect => {
                self.findings.now = now;
                self.shared.dials.promise();
                self.judge.see(Seen::Refused { op: OpId(id.op.0), history: &self.history }, &mut self.findings);
            }
            Class::Done => {}
        }
        match class {
            Class::NoEffect if current.may_have_effect => {
                self.give_up(now, client);
                return;
            }
            Class::Done | Class::NoEffect | Class::TryAgain | Class::Pending => {}
        }
        self.clients[client as usize].current = None;
        self.ops[id.op.0 as usize].reply_hash = hash;
        self.workload.heard(client, &self.history.operations()[id.op.0 as usize].op, Some(&reply));
        let moment = self.moment(now);
        let recorded = OpId(id.op.0);
        match class {
            Class::Done => self.history.ok(recorded, moment, reply),
            Class::NoEffect | Class::TryAgain | Class::Pending => self.history.fail(recorded, moment),
        }
        self.findings.now = now;
        self.shared.dials.promise();
        self.judge.see(Seen::Replied { op: recorded, history: &self.history }, &mut self.findings);
        self.think(client);
    }
}
