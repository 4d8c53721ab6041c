//! The life of a node: it boots, takes its mail in batches, has effects, and dies.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use stormproof_contract::{
    Boot, BootError, Bytes, Clock, Effect, Effects, Input, JobEnd, JobId, Node, NodeId, RequestId, System, Tick,
    WallTime,
};

use super::{
    armory::Met,
    core::{BOOT, Death, Shared},
    disk::{Holder, SimDisk, Task},
    draw::{End, Entity, Scope, Stream},
    fault::{Fault, FaultKind},
    mix::mix_bytes,
    panics,
    run::{Event, Mail, World},
    side::{JobTask, Said},
    stage::{Judge, LIVENESS, NO_PANIC, OpOf, ReplyOf, Seen, Workload},
    study::At,
    trace::Happened,
};

/// The boot after which a node that says "try again" is not started any sooner than this.
const RETRY_AFTER: u64 = 20_000_000;

/// A place where a node lives, time after time.
#[expect(clippy::struct_excessive_bools, reason = "four facts that have nothing to do with one another")]
pub(crate) struct Slot<N> {
    pub(crate) node: Option<N>,
    inbox: VecDeque<Mail>,
    /// Until when the node is at work on its own clock.
    busy_until: u64,
    /// Whether it will look into its inbox.
    wakes: bool,
    /// For when a timer event is under way, in the world's time.
    timer_at: Option<u64>,
    /// Whether it answers queries beside its writer.
    reads: bool,
    /// Whether a turn for what runs beside it is under way.
    pub(crate) turning: bool,
    /// It said that an operator must look, and was right.
    pub(crate) refused: bool,
    /// What it said when it last failed to start.
    pub(crate) last_words: String,
}

impl<N> Default for Slot<N> {
    fn default() -> Self {
        Slot {
            node: None,
            inbox: VecDeque::new(),
            busy_until: 0,
            wakes: false,
            timer_at: None,
            reads: false,
            turning: false,
            refused: false,
            last_words: String::new(),
        }
    }
}

impl<N> Slot<N> {
    /// Whether the node is busy, or will be as soon as it is not: with mail, or with what it wants to do by then.
    pub(super) fn is_at_work(&self, now: u64) -> bool {
        let free_at = self.busy_until.max(now);
        self.busy_until > now || !self.inbox.is_empty() || self.timer_at.is_some_and(|at| at <= free_at)
    }
}

struct SimClock {
    shared: Arc<Shared>,
    machine: u32,
}

impl Clock for SimClock {
    fn now(&self) -> Tick {
        let core = self.shared.lock();
        Tick(core.machines[self.machine as usize].clock.monotonic(self.shared.dials.now()))
    }

    fn wall(&self) -> WallTime {
        let core = self.shared.lock();
        WallTime(core.machines[self.machine as usize].clock.wall(self.shared.dials.now()))
    }
}

impl<S, W, J> World<S, W, J>
where
    S: System,
    W: Workload<OpOf<S>, ReplyOf<S>>,
    J: Judge<S>,
{
    /// Starts a node, unless another life of it has begun.
    pub(crate) fn boot(&mut self, node: u32, life: u32) {
        let dials = Arc::clone(&self.shared.dials);
        if dials.life(node) != life || dials.is_alive(node) || self.nodes[node as usize].refused {
            return;
        }
        let life = dials.begin_life(node);
        let mut core = self.shared.lock();
        let state = &mut core.nodes[node as usize];
        let machine = state.machine;
        state.boots();
        let (calls, to_kill) = (state.calls, state.boots_to_kill);
        dials.set_scope(Scope::Node(node, life));
        let deeds = core.meet(Met::Point { node, name: BOOT, calls });
        if let Some((death, _, fault)) = core.carry_out(deeds, Some(node)) {
            core.deed_done(fault, node);
            core.kill(node, death);
            return;
        }
        if to_kill > 0 {
            let nth = core.draws.pick(Stream::DiskFault, Scope::Node(node, life), Entity::Node(node), 12);
            let state = &mut core.nodes[node as usize];
            state.boots_to_kill -= 1;
            state.boot_kill = Some((calls + 1 + u64::from(nth), u32::MAX));
        }
        let seed = core.draws.derive(Stream::Detail, Scope::Node(node, life), Entity::Node(node));
        drop(core);
        let disk = SimDisk {
            shared: Arc::clone(&self.shared),
            holder: Holder { node, life, task: Task::Node },
            inside: String::new(),
        };
        let (role, config) = &self.configs[node as usize];
        let clock = Arc::new(SimClock { shared: Arc::clone(&self.shared), machine });
        let boot =
            Boot { node: NodeId(node), role: *role, incarnation: life - 1, config, disk: Arc::new(disk), clock, seed };
        let booted = panics::quietly(|| catch_unwind(AssertUnwindSafe(|| self.system.boot(boot))));
        self.shared.lock().nodes[node as usize].boot_kill = None;
        dials.set_scope(Scope::World);
        let alive = dials.lives(node, life);
        match booted {
            // It died while it booted: whatever it says is not heard.
            Ok(result) if !alive => drop(panics::quietly(|| catch_unwind(AssertUnwindSafe(|| drop(result))))),
            Err(_) if !alive => {}
            Ok(Ok(booted)) => self.booted(node, life, booted),
            Ok(Err(BootError::Retry(words))) => self.try_boot_again(node, &words),
            Ok(Err(BootError::Refused(words))) => self.refuse(node, &words),
            Err(panic) => self.panicked(node, &panics::message(panic.as_ref())),
        }
    }

    fn booted(&mut self, node: u32, life: u32, booted: S::Node) {
        let mut core = self.shared.lock();
        let words = || format!("n{node} is up, life {life}");
        let now = core.dials.now();
        core.record(Happened::Booted, u64::from(node), [u64::from(life), 0], words);
        drop(core);
        let reader = booted.reader();
        self.nodes[node as usize].reads = reader.is_some();
        self.sides.set_reader(node, reader);
        let files = || self.shared.lock().files(node);
        let delivered = self.shared.lock().armory.tally();
        let seen = Seen::Booted {
            node: NodeId(node),
            incarnation: life - 1,
            state: &booted,
            files: &files,
            delivered: &delivered,
            history: &self.history,
        };
        self.findings.now = now;
        self.shared.dials.promise();
        self.judge.see(seen, &mut self.findings);
        let slot = &mut self.nodes[node as usize];
        slot.node = Some(booted);
        slot.busy_until = now;
        slot.last_words.clear();
        self.set_timer(node);
        self.wake(node, now);
    }

    fn try_boot_again(&mut self, node: u32, words: &str) {
        words.clone_into(&mut self.nodes[node as usize].last_words);
        let mut core = self.shared.lock();
        let what = || format!("n{node} cannot start yet: {words}");
        core.record(Happened::BootFailed, u64::from(node), [0, mix_bytes(0, words.as_bytes())], what);
        core.kill(node, Death::Halt);
        let life = core.dials.life(node);
        core.deaths.retain(|(dead, _)| *dead != node);
        let at = core.dials.now() + RETRY_AFTER;
        drop(core);
        self.findings.reach("world.boot_retried");
        self.queue.push(at, 0, Event::Boot { node, life });
    }

    fn refuse(&mut self, node: u32, words: &str) {
        let mut core = self.shared.lock();
        let now = core.dials.now();
        let what = || format!("n{node} refuses to start: {words}");
        core.record(Happened::BootFailed, u64::from(node), [1, mix_bytes(0, words.as_bytes())], what);
        core.kill(node, Death::Halt);
        core.deaths.retain(|(dead, _)| *dead != node);
        let delivered = core.armory.tally();
        drop(core);
        if self.judge.may_refuse(NodeId(node), words, &delivered) {
            self.nodes[node as usize].refused = true;
            self.findings.reach("world.boot_refused");
            // Nobody will answer any more: what clients wait for, they will never know.
            self.ending = self.nodes.iter().all(|slot| slot.refused);
        } else {
            self.findings.now = now;
            self.findings.broken(&LIVENESS, "a node refuses to start", format!("n{node}: {words}"));
        }
    }

    fn panicked(&mut self, node: u32, words: &str) {
        let mut core = self.shared.lock();
        let now = core.dials.now();
        core.kill(node, Death::Panic);
        drop(core);
        self.findings.now = now;
        self.findings.broken(&NO_PANIC, "a panic", format!("n{node}: {words}"));
    }

    pub(crate) fn request_arrives(&mut self, now: u64, node: u32, id: RequestId) {
        if self.is_down(node, [id.op.0, 0]) {
            return;
        }
        if self.nodes[node as usize].reads {
            let op = self.history.operations()[id.op.0 as usize].op.clone();
            if self.sides.park(node, id, op) {
                self.schedule_turn(node);
                return;
            }
        }
        self.take_mail(now, node, Mail::Request(id));
    }

    pub(crate) fn mail_arrives(&mut self, now: u64, node: u32, mail: Mail) {
        let content = match &mail {
            Mail::Message { bytes, .. } => mix_bytes(u64::from(node), bytes),
            _ => 0,
        };
        if !self.is_down(node, [u64::MAX, content]) {
            self.take_mail(now, node, mail);
        }
    }

    /// Whether nobody is there to take what arrives. It is lost then.
    fn is_down(&mut self, node: u32, what: [u64; 2]) -> bool {
        let mut core = self.shared.lock();
        let up = core.dials.is_alive(node) && self.nodes[node as usize].node.is_some();
        let (kind, words) = if up { (Happened::Delivered, "arrives at") } else { (Happened::Lost, "finds nobody at") };
        core.record(kind, u64::from(node), what, || match what[0] {
            u64::MAX => format!("a message {words} n{node}"),
            op => format!("op{op} {words} n{node}"),
        });
        !up
    }

    fn take_mail(&mut self, now: u64, node: u32, mail: Mail) {
        self.nodes[node as usize].inbox.push_back(mail);
        self.wake(node, now);
    }

    /// Makes the node look into its inbox: now, or when it is no longer at work, paused, or idling for more to come.
    fn wake(&mut self, node: u32, now: u64) {
        let slot = &mut self.nodes[node as usize];
        if slot.wakes || slot.inbox.is_empty() {
            return;
        }
        slot.wakes = true;
        let dials = &self.shared.dials;
        let life = dials.life(node);
        let free = now.max(slot.busy_until).max(dials.paused_until(node));
        let idles = if self.linger.min == self.linger.max {
            self.linger.min.0
        } else {
            self.shared.lock().draws.span(Stream::Linger, Scope::World, Entity::Node(node), &self.linger)
        };
        let at = free + idles;
        if at == now {
            self.node_wakes(now, node, life);
        } else {
            self.queue.push(at, 0, Event::NodeWakes { node, life });
        }
    }

    /// The node takes all of its mail, and settles.
    pub(crate) fn node_wakes(&mut self, now: u64, node: u32, life: u32) {
        if !self.shared.dials.lives(node, life) {
            return;
        }
        let paused = self.shared.dials.paused_until(node);
        let slot = &mut self.nodes[node as usize];
        let free = slot.busy_until.max(paused);
        if free > now {
            // Paused, or set to work, since this was scheduled.
            slot.wakes = true;
            self.queue.push(free, 0, Event::NodeWakes { node, life });
            return;
        }
        slot.wakes = false;
        while let Some(mail) = self.nodes[node as usize].inbox.pop_front() {
            let (scope, input) = self.open_mail(node, life, mail);
            if !self.enter(node, life, scope, |node, out| node.handle(input, out)) {
                return;
            }
        }
        if self.enter(node, life, Scope::Node(node, life), Node::settle) {
            self.settled(node);
        }
    }

    fn open_mail(&self, node: u32, life: u32, mail: Mail) -> (Scope, Input<OpOf<S>>) {
        let own = Scope::Node(node, life);
        match mail {
            Mail::Request(id) => {
                let op = self.history.operations()[id.op.0 as usize].op.clone();
                (Scope::Op(id.op.0), Input::Request { id, op })
            }
            Mail::Message { from, bytes, scope } => (scope, Input::Message { from, bytes }),
            Mail::Timer => (own, Input::Timer),
            Mail::JobSaid { job, bytes } => (own, Input::JobSaid { job, bytes }),
            Mail::JobEnded { job, how } => (own, Input::JobEnded { job, how }),
        }
    }

    /// Lets the node work, and has its effects. Says whether it lives.
    fn enter(
        &mut self,
        node: u32,
        life: u32,
        scope: Scope,
        work: impl FnOnce(&mut S::Node, &mut Effects<ReplyOf<S>>),
    ) -> bool {
        self.shared.dials.set_scope(scope);
        let mut out = Effects::default();
        let Some(at_work) = &mut self.nodes[node as usize].node else { return false };
        let worked = panics::quietly(|| catch_unwind(AssertUnwindSafe(|| work(at_work, &mut out))));
        let dials = &self.shared.dials;
        dials.set_scope(Scope::World);
        self.nodes[node as usize].busy_until = dials.now();
        if !dials.lives(node, life) {
            return false;
        }
        if let Err(panic) = worked {
            self.panicked(node, &panics::message(panic.as_ref()));
            return false;
        }
        for effect in out.drain() {
            self.affect(node, life, scope, effect);
            if !self.after_effect(node, life) {
                return false;
            }
        }
        true
    }

    fn affect(&mut self, node: u32, life: u32, scope: Scope, effect: Effect<ReplyOf<S>>) {
        match effect {
            Effect::Reply { to, reply } => self.send_reply(node, to, reply),
            Effect::Send { to, bytes } => self.send(node, scope, to, bytes),
            Effect::StartJob { job, spec } => self.start_job(node, life, job, &spec),
            Effect::TellJob { job, bytes } => {
                self.sides.tell(node, job, bytes);
                self.schedule_turn(node);
            }
            Effect::StopJob { job } => self.stop_job(node, life, job),
            Effect::Note { name, values } => self.note(node, name, &values),
            Effect::Halt { reason } => {
                let mut core = self.shared.lock();
                core.record(Happened::Effect, u64::from(node), [9, 0], || format!("n{node} halts: {reason}"));
                core.kill(node, Death::Halt);
                drop(core);
                self.findings.reach("world.halted");
            }
        }
    }

    /// Every effect is a place to die at.
    fn after_effect(&mut self, node: u32, life: u32) -> bool {
        self.shared.dials.promise();
        if !self.shared.dials.is_quiet() {
            let mut core = self.shared.lock();
            let deeds = core.meet(Met::Effect { node });
            if let Some((death, _, fault)) = core.carry_out(deeds, Some(node)) {
                core.deed_done(fault, node);
                core.kill(node, death);
            }
        }
        self.look_after_effect(node, life);
        self.shared.dials.lives(node, life)
    }

    fn look_after_effect(&mut self, node: u32, life: u32) {
        let mut core = self.shared.lock();
        let state = &mut core.nodes[node as usize];
        state.effects += 1;
        let at = At::Effect(state.effects);
        if self.shared.dials.lives(node, life) {
            core.look(node, at);
        }
    }

    fn send_reply(&mut self, node: u32, to: RequestId, reply: ReplyOf<S>) {
        let Some(op) = self.ops.get(to.op.0 as usize) else { return };
        let client = op.client;
        let mut core = self.shared.lock();
        let words = || format!("n{node} replies to {to}: {reply:?}");
        core.record(Happened::Effect, u64::from(node), [0, to.op.0], words);
        let passage = core.pass(End::Node(node), End::Client(client), Scope::Op(to.op.0), to.attempt, 0);
        drop(core);
        if let Some(at) = passage.again {
            self.queue.push(at, passage.priority, Event::Reply { client, id: to, reply: reply.clone() });
        }
        if let Some(at) = passage.arrives {
            self.queue.push(at, passage.priority, Event::Reply { client, id: to, reply });
        }
    }

    fn send(&mut self, node: u32, scope: Scope, to: NodeId, bytes: Bytes) {
        if to.0 as usize >= self.nodes.len() {
            return;
        }
        let (from, to) = (node, to.0);
        let mut core = self.shared.lock();
        let content = mix_bytes(u64::from(to), &bytes);
        let words = || format!("n{from} sends {} bytes to n{to}", bytes.len());
        core.record(Happened::Effect, u64::from(from), [1, content], words);
        let link = Entity::Link(End::Node(from), End::Node(to));
        let n = core.draws.count(Stream::NetLatency, scope, link);
        let passage = core.pass(End::Node(from), End::Node(to), scope, n, bytes.len());
        drop(core);
        let whole = Arc::clone(&bytes);
        let arriving = match passage.corrupt {
            Some(bit) if !bytes.is_empty() => flipped(&bytes, bit),
            _ => bytes,
        };
        if let Some(at) = passage.arrives {
            self.queue.push(at, passage.priority, Event::Message { from, to, bytes: arriving, scope });
        }
        if let Some(at) = passage.again {
            self.queue.push(at, passage.priority, Event::Message { from, to, bytes: whole, scope });
        }
    }

    fn note(&mut self, node: u32, name: &'static str, values: &[(&'static str, u64)]) {
        let mut core = self.shared.lock();
        let now = core.dials.now();
        let sum = values.iter().fold(0, |hash, (_, value)| super::mix::mix(hash, *value));
        let words = || format!("n{node} notes {name} {values:?}");
        core.record(Happened::Note, u64::from(node), [mix_bytes(0, name.as_bytes()), sum], words);
        drop(core);
        self.findings.reach(name);
        self.findings.now = now;
        self.shared.dials.promise();
        self.judge.see(Seen::Noted { node: NodeId(node), name, values }, &mut self.findings);
    }

    fn settled(&mut self, node: u32) {
        let Some(state) = &self.nodes[node as usize].node else { return };
        self.shared.dials.promise();
        self.judge.see(Seen::Settled { node: NodeId(node), state }, &mut self.findings);
        self.set_timer(node);
        let now = self.nodes[node as usize].busy_until;
        self.wake(node, now);
    }

    /// Schedules the time that the node asks for, unless it is scheduled already.
    fn set_timer(&mut self, node: u32) {
        let slot = &mut self.nodes[node as usize];
        let Some(deadline) = slot.node.as_ref().and_then(Node::deadline) else {
            slot.timer_at = None;
            return;
        };
        let mut core = self.shared.lock();
        let now = core.dials.now();
        let at = core.clock_of(node).when(now, deadline.0);
        let life = core.dials.life(node);
        drop(core);
        if slot.timer_at != Some(at) {
            slot.timer_at = Some(at);
            self.queue.push(at, 0, Event::NodeTimer { node, life });
        }
    }

    pub(crate) fn timer_rings(&mut self, now: u64, node: u32, life: u32) {
        let slot = &mut self.nodes[node as usize];
        let stale = slot.timer_at != Some(now) || !self.shared.dials.lives(node, life);
        if !stale {
            slot.timer_at = None;
            self.take_mail(now, node, Mail::Timer);
        }
    }

    fn start_job(&mut self, node: u32, life: u32, id: JobId, spec: &[u8]) {
        let number = self.next_job;
        self.next_job += 1;
        let mut core = self.shared.lock();
        let now = core.dials.now();
        core.record(Happened::Effect, u64::from(node), [2, u64::from(number)], || format!("n{node} starts {id}"));
        core.nodes[node as usize].jobs_alive.push(number);
        drop(core);
        match self.system.job(spec) {
            Ok(job) => {
                let holder = Holder { node, life, task: Task::Job(number) };
                let disk = SimDisk { shared: Arc::clone(&self.shared), holder, inside: String::new() };
                let heard = VecDeque::new();
                let disk = Arc::new(disk);
                self.sides.start(node, JobTask { number, id, life, job, heard, waiting: false, disk });
                self.schedule_turn(node);
            }
            Err(error) => self.job_ended(now, node, life, id, number, JobEnd::Failed(error.to_string().into())),
        }
    }

    fn stop_job(&mut self, node: u32, life: u32, id: JobId) {
        let now = self.shared.dials.now();
        let running = self.sides.jobs(node, life);
        if let Some((number, _)) = running.into_iter().find(|(_, job)| *job == id) {
            self.sides.stop(node, number);
            self.job_ended(now, node, life, id, number, JobEnd::Killed);
        }
    }

    fn job_ended(&mut self, now: u64, node: u32, life: u32, job: JobId, number: u32, how: JobEnd) {
        let mut core = self.shared.lock();
        core.nodes[node as usize].jobs_alive.retain(|alive| *alive != number);
        let heard = core.dials.lives(node, life);
        drop(core);
        if heard {
            self.take_mail(now, node, Mail::JobEnded { job, how });
        }
    }

    /// A fault kills one of a node's jobs.
    pub(crate) fn strike_job(&mut self, fault: &Fault) {
        assert!(fault.kind == FaultKind::JobKill, "only deaths of jobs are left to the world: {fault:?}");
        let mut core = self.shared.lock();
        let now = core.dials.now();
        let node = core.victim(fault, None);
        let life = core.dials.life(node);
        drop(core);
        let running = self.sides.jobs(node, life);
        if let Some((number, id)) = running.first().copied() {
            self.shared.lock().deed_done(fault.id, node);
            self.sides.stop(node, number);
            self.job_ended(now, node, life, id, number, JobEnd::Killed);
        }
    }

    /// A turn of what runs beside a node.
    pub(crate) fn turn(&mut self, now: u64, node: u32) {
        use super::core::Side as _;
        self.nodes[node as usize].turning = false;
        let paused = self.shared.dials.paused_until(node);
        if paused > now {
            self.nodes[node as usize].turning = true;
            self.queue.push(paused, 0, Event::Turn { node });
            return;
        }
        self.shared.lock().interleaving = true;
        self.sides.turn(node);
        self.shared.lock().interleaving = false;
        self.nodes[node as usize].turning = true;
        self.hear(node);
        self.nodes[node as usize].turning = false;
        if self.sides.is_ready(node) {
            self.schedule_turn(node);
        }
    }

    /// Passes on what queries and jobs have said, and what others say while a node attends to that: whatever were left
    /// for later would be sent from the past.
    pub(crate) fn hear(&mut self, node: u32) {
        loop {
            let all_said = self.sides.said(node);
            if all_said.is_empty() {
                return;
            }
            for (at, said) in all_said {
                let was = self.shared.dials.now();
                self.shared.dials.set_now(at);
                self.pass_on(at, node, said);
                self.shared.dials.set_now(was);
            }
        }
    }

    fn pass_on(&mut self, at: u64, node: u32, said: Said<ReplyOf<S>>) {
        match said {
            Said::Answer { to, reply } => {
                let life = self.shared.dials.life(node);
                self.send_reply(node, to, reply);
                self.after_effect(node, life);
            }
            Said::Word { life, job, bytes } => {
                if self.shared.dials.lives(node, life) {
                    self.take_mail(at, node, Mail::JobSaid { job, bytes });
                }
            }
            Said::End { life, job, number, how } => self.job_ended(at, node, life, job, number, how),
            Said::Panicked(words) => self.panicked(node, &words),
        }
    }

    /// A node has died: nothing of it is heard any more, and it will be started again.
    pub(crate) fn bury(&mut self, node: u32, death: Death) {
        // Beside its last call, queries were still answered and jobs ended.
        self.hear(node);
        self.findings.reach(match death {
            Death::Kill | Death::Orphan => "world.killed",
            Death::Power => "world.power_lost",
            Death::Host => "world.host_lost",
            Death::Halt | Death::Panic => "world.stopped",
            Death::Encore => "world.encore",
        });
        let slot = &mut self.nodes[node as usize];
        let dead = slot.node.take();
        slot.inbox.clear();
        (slot.wakes, slot.timer_at) = (false, None);
        // A destructor may call the disk, in vain, or panic, unheard.
        drop(panics::quietly(|| catch_unwind(AssertUnwindSafe(|| drop(dead)))));
        let mut core = self.shared.lock();
        let alive = core.nodes[node as usize].jobs_alive.clone();
        let state = &core.nodes[node as usize];
        let (machine, after) = (state.machine, state.point);
        let life = core.dials.life(node);
        let scope = Scope::Node(node, life);
        let span = core.tuning.restart;
        core.press_memory(node, machine, scope);
        core.look_again(node);
        let at = core.dials.now() + core.draws.span(Stream::Restart, scope, Entity::Node(node), &span);
        drop(core);
        self.sides.bury(node, &alive);
        self.shared.dials.promise();
        self.judge.see(Seen::Died { node: NodeId(node), death, after }, &mut self.findings);
        self.queue.push(at, 0, Event::Boot { node, life });
    }
}

/// The bytes with one bit flipped.
fn flipped(bytes: &Bytes, bit: u32) -> Bytes {
    let mut copy = bytes.to_vec();
    let place = bit as usize % (copy.len() * 8);
    copy[place / 8] ^= 1 << (place % 8);
    copy.into()
}
