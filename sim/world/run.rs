//! A running world: the event loop.
//!
//! One event after another, in virtual time. While nothing happens, nothing is done. What a node does takes time on
//! its own clock: an event that finds the node still at work waits in its inbox, which is how batches come about.

use std::{collections::VecDeque, sync::Arc};

use stormproof_contract::{Bytes, JobEnd, JobId, NodeId, RequestId, System};

use super::{
    armory::Armory,
    client::Client,
    core::{Core, Death, Machine, MachineClock, NodeState, Shared},
    coverage::{Coverage, Strikes},
    dials::Dials,
    dice::Dice,
    draw::{Draws, Entity, Scope, Stream},
    fs::Fs,
    life::Slot,
    plan::Script,
    queue::Queue,
    result::{Recorded, RunResult, Settings},
    side::Sides,
    span::Span,
    stage::{Ended, Findings, HistoryOf, Judge, LIVENESS, OpOf, Phase, ReplyOf, Stage, Workload},
    study::{Studied, Study, Survey},
    trace::{Happened, Trace},
};
use crate::check::history::History;

/// How many events a run may have before it counts as one that does not end.
const EVENTS_MAX: u64 = 50_000_000;
/// How long the world goes on after the last client is done, so that background work shows itself.
const AFTERMATH: u64 = 500_000_000;

/// What is to happen.
pub(crate) enum Event<Reply> {
    /// A request arrives at a node. The operation stands in the history.
    Request { node: u32, id: RequestId },
    /// A message arrives at a node.
    Message { from: u32, to: u32, bytes: Bytes, scope: Scope },
    /// A reply arrives at a client.
    Reply { client: u32, id: RequestId, reply: Reply },
    /// A client has thought, or waited long enough to try again.
    ClientWakes { client: u32 },
    /// A client looks at the clock.
    ClientLooks { client: u32 },
    /// A node looks into its inbox.
    NodeWakes { node: u32, life: u32 },
    /// The time a node has asked for may have come.
    NodeTimer { node: u32, life: u32 },
    /// A dead node is started.
    Boot { node: u32, life: u32 },
    /// Something beside a node gets a turn.
    Turn { node: u32 },
    /// A fault begins.
    Fault { index: usize },
    /// All faults end, whether the clients are done or not.
    Heal,
    /// What has not converged by now never will.
    Deadline,
    /// The end.
    End,
}

/// Something for a node, with whom it is done for.
pub(crate) enum Mail {
    Request(RequestId),
    Message { from: NodeId, bytes: Bytes, scope: Scope },
    Timer,
    JobSaid { job: JobId, bytes: Bytes },
    JobEnded { job: JobId, how: JobEnd },
}

/// What the world knows of an operation beyond the history.
#[derive(Clone, Copy)]
pub(crate) struct OpState {
    pub(crate) client: u32,
    /// The hash of the reply that its client has taken for the answer; 0 until then.
    pub(crate) reply_hash: u64,
}

/// One run under way.
pub(crate) struct World<S: System, W, J> {
    pub(crate) system: S,
    pub(crate) configs: Vec<(stormproof_contract::Role, S::Config)>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) sides: Arc<Sides<OpOf<S>, ReplyOf<S>>>,
    pub(crate) nodes: Vec<Slot<S::Node>>,
    pub(crate) clients: Vec<Client<OpOf<S>>>,
    pub(crate) workload: W,
    pub(crate) judge: J,
    pub(crate) queue: Queue<Event<ReplyOf<S>>>,
    pub(crate) history: HistoryOf<S>,
    pub(crate) ops: Vec<OpState>,
    pub(crate) findings: Findings,
    pub(crate) phase: Phase,
    /// How long nodes let their inboxes fill.
    pub(crate) linger: Span,
    /// When everything was healed.
    pub(crate) healed_at: Option<u64>,
    /// Counts what clients do, to order what happens at one moment.
    pub(crate) moments: u64,
    pub(crate) next_job: u32,
    pub(crate) ending: bool,
    /// Operations by client and phase, if a plan is to be made of them.
    pub(crate) performed: Option<Vec<Script<OpOf<S>>>>,
}

impl<S, W, J> World<S, W, J>
where
    S: System,
    W: Workload<OpOf<S>, ReplyOf<S>>,
    J: Judge<S>,
{
    pub(crate) fn new(
        seed: u64,
        stage: Stage<S, W, J>,
        draws: Draws,
        scripts: Option<Vec<Script<OpOf<S>>>>,
        words: bool,
    ) -> Self {
        let Stage { system, nodes, clients, workload, judge, tuning, faults } = stage;
        let linger = tuning.linger;
        let machines = nodes.iter().map(|node| node.machine + 1).max().unwrap_or(0);
        let machine = |_| Machine {
            fs: Fs::new(tuning.power, tuning.disk_bytes),
            epoch: 0,
            locks: std::collections::BTreeMap::new(),
            power_losses: 0,
            clock: MachineClock::default(),
        };
        let core = Core {
            dials: Arc::new(Dials::new(nodes.len())),
            draws,
            trace: Trace::new(words),
            armory: Armory::new(faults),
            machines: (0..machines).map(machine).collect(),
            nodes: nodes.iter().map(|node| NodeState::new(node.machine)).collect(),
            coverage: Coverage::default(),
            script: None,
            survey: None,
            struck: Vec::new(),
            strikes: Strikes::new(),
            interleaving: false,
            deaths: Vec::new(),
            links: super::mix::MixedMap::default(),
            deeds: Vec::new(),
            tuning,
        };
        let shared = Shared::new(core);
        let sides = Arc::new(Sides::new(Arc::clone(&shared), nodes.len() as u32));
        assert!(shared.side.set(sides.clone()).is_ok(), "the side of a new world is not set");
        let mut scripts = scripts.map(VecDeque::from);
        let client = |n: u32| {
            let script = scripts.as_mut().map(|scripts| scripts.pop_front().unwrap_or_default());
            Client::new(Dice::new(seed, 0xc11e_0000 + u64::from(n)), script)
        };
        World {
            system,
            nodes: nodes.iter().map(|_| Slot::default()).collect(),
            configs: nodes.into_iter().map(|node| (node.role, node.config)).collect(),
            shared,
            sides,
            clients: (0..clients).map(client).collect(),
            workload,
            judge,
            queue: Queue::new(),
            history: History::new(),
            ops: Vec::new(),
            findings: Findings::default(),
            phase: Phase::Storm,
            linger,
            healed_at: None,
            moments: 0,
            next_job: 0,
            ending: false,
            performed: None,
        }
    }

    /// Runs to the end, or to the first violation.
    pub(crate) fn run(mut self, settings: Settings, study: Study) -> (RunResult, Recorded<OpOf<S>>, Studied) {
        self.performed = settings.record.then(|| self.clients.iter().map(|_| Script::default()).collect());
        let mut reseed = self.study(study);
        self.open();
        let mut events = 0u64;
        while let Some((time, event)) = self.queue.pop() {
            if let Some((_, seed)) = reseed.take_if(|(from, _)| *from <= time) {
                self.reseed(seed);
            }
            self.shared.dials.set_now(time);
            self.findings.now = time;
            self.happen(time, event);
            self.settle_accounts();
            events += 1;
            if self.findings.is_broken() || self.ending {
                break;
            }
            if events >= EVENTS_MAX {
                self.findings.gave_up(format_args!("the run did not end within {EVENTS_MAX} events"));
                break;
            }
        }
        self.close(events)
    }

    /// Sets up what is to be studied. Returns when to draw anew, and from which seed.
    fn study(&mut self, study: Study) -> Option<(u64, u64)> {
        let mut core = self.shared.lock();
        let machines = core.machines.len();
        core.script = study.script;
        core.survey = study.survey_from.map(|life| Survey::new(life, machines));
        study.reseed
    }

    fn reseed(&mut self, seed: u64) {
        let mut core = self.shared.lock();
        core.draws.reseed(seed);
        core.armory.forgo();
        let quiet = core.armory.is_quiet();
        core.dials.set_quiet(quiet);
    }

    fn open(&mut self) {
        let mut core = self.shared.lock();
        let timed = core.armory.timed();
        let heal_at = core.tuning.heal_at.0;
        for node in 0..self.nodes.len() as u32 {
            core.make_root(node);
        }
        drop(core);
        for (time, index) in timed {
            self.queue.push(time, 0, Event::Fault { index });
        }
        self.queue.push(heal_at, 0, Event::Heal);
        for node in 0..self.nodes.len() as u32 {
            self.queue.push(0, 0, Event::Boot { node, life: 0 });
        }
        for client in 0..self.clients.len() as u32 {
            self.think(client);
        }
        if self.clients.is_empty() {
            self.end_of_phase();
        }
    }

    fn happen(&mut self, now: u64, event: Event<ReplyOf<S>>) {
        match event {
            Event::Request { node, id } => self.request_arrives(now, node, id),
            Event::Message { from, to, bytes, scope } => {
                let mail = Mail::Message { from: NodeId(from), bytes, scope };
                self.mail_arrives(now, to, mail);
            }
            Event::Reply { client, id, reply } => self.reply_arrives(now, client, id, reply),
            Event::ClientWakes { client } => self.client_wakes(now, client),
            Event::ClientLooks { client } => self.client_looks(now, client),
            Event::NodeWakes { node, life } => self.node_wakes(now, node, life),
            Event::NodeTimer { node, life } => self.timer_rings(now, node, life),
            Event::Boot { node, life } => self.boot(node, life),
            Event::Turn { node } => self.turn(now, node),
            Event::Fault { index } => {
                let mut core = self.shared.lock();
                let deed = core.begin(index);
                let own = core.carry_out(deed.into_iter().collect(), None);
                debug_assert!(own.is_none(), "no node is at work when a timed fault strikes");
            }
            Event::Heal => self.heal(now),
            Event::Deadline => self.overdue(),
            Event::End => self.end(now),
        }
    }

    /// After every event: carries out deeds, buries the dead, hears what queries and jobs have said.
    fn settle_accounts(&mut self) {
        while self.shared.dials.take_news() {
            let mut core = self.shared.lock();
            let deeds = std::mem::take(&mut core.deeds);
            let deaths = std::mem::take(&mut core.deaths);
            drop(core);
            for deed in &deeds {
                self.strike_job(&deed.fault);
            }
            for (node, death) in &deaths {
                self.bury(*node, *death);
            }
        }
        for node in 0..self.nodes.len() as u32 {
            if self.nodes[node as usize].turning {
                self.hear(node);
            }
        }
    }

    /// All clients are done with this phase.
    pub(crate) fn end_of_phase(&mut self) {
        let now = self.shared.dials.now();
        match (self.phase, self.healed_at) {
            (Phase::Storm, None) => self.heal(now),
            (Phase::Storm, Some(_)) => self.calm(),
            (Phase::Calm, _) => self.queue.push(now.saturating_add(AFTERMATH), 0, Event::End),
        }
    }

    /// From here on nothing fails.
    fn heal(&mut self, now: u64) {
        if self.healed_at.is_some() {
            return;
        }
        self.healed_at = Some(now);
        let mut core = self.shared.lock();
        core.heal();
        core.record(Happened::Healed, 0, [0, 0], || "all is healed".into());
        let deadline = now.saturating_add(core.tuning.converge_within.0);
        core.dials.end_pauses();
        for node in &mut core.nodes {
            node.boots_to_kill = 0;
            node.boot_kill = None;
        }
        drop(core);
        self.queue.push(deadline, 0, Event::Deadline);
        for node in 0..self.nodes.len() as u32 {
            let life = self.shared.dials.life(node);
            self.queue.push(now, 0, Event::NodeWakes { node, life });
        }
        if self.clients.iter().all(Client::is_done) {
            self.calm();
        }
    }

    /// The storm's operations are over: clients look at what survived.
    fn calm(&mut self) {
        self.phase = Phase::Calm;
        for client in 0..self.clients.len() as u32 {
            self.clients[client as usize].begin_calm();
            self.think(client);
        }
        if self.clients.is_empty() {
            self.end_of_phase();
        }
    }

    /// The end, or one more start of every node before it.
    fn end(&mut self, now: u64) {
        let mut core = self.shared.lock();
        let deadline = self.healed_at.unwrap_or(now).saturating_add(core.tuning.converge_within.0);
        let at_work = core.nodes.iter().any(|node| !node.jobs_alive.is_empty());
        let at_work = at_work || self.nodes.iter().any(|slot| slot.is_at_work(now));
        if at_work && now < deadline {
            // A job, and what a node wants to do at once, have as long to end as a request has to be answered.
            drop(core);
            self.queue.push(now.saturating_add(AFTERMATH), 0, Event::End);
            return;
        }
        if !std::mem::take(&mut core.tuning.encore) {
            self.ending = true;
            return;
        }
        for node in 0..core.nodes.len() as u32 {
            if core.dials.is_alive(node) {
                core.kill(node, Death::Encore);
            }
        }
        drop(core);
        self.queue.push(now.saturating_add(AFTERMATH), 0, Event::End);
    }

    /// The deadline has passed before the end came.
    fn overdue(&mut self) {
        let open = self.clients.iter().enumerate().find_map(|(n, client)| Some((n, client.current()?)));
        let down: Vec<String> = (0..self.nodes.len())
            .filter(|n| self.nodes[*n].node.is_none() && !self.nodes[*n].refused)
            .map(|n| format!("n{n} is down: {}", self.nodes[n].last_words))
            .collect();
        if let Some((client, op)) = open {
            let asked = &self.history.operations()[op as usize];
            let down = if down.is_empty() { String::new() } else { format!("; {}", down.join("; ")) };
            let witness = format!("client c{client} still waits for op{op} ({:?}){down}", asked.op);
            self.findings.broken(&LIVENESS, "a request is never answered", witness);
        } else if !down.is_empty() {
            self.findings.broken(&LIVENESS, "a node never starts", down.join("; "));
        }
    }

    fn close(mut self, events: u64) -> (RunResult, Recorded<OpOf<S>>, Studied) {
        let delivered = self.shared.lock().armory.tally();
        if !self.findings.is_broken() {
            self.check_convergence();
        }
        if !self.findings.is_broken() {
            let nodes = self.nodes.iter().enumerate();
            let nodes = nodes.filter_map(|(n, slot)| slot.node.as_ref().map(|node| (NodeId(n as u32), node)));
            let ended = Ended { history: &self.history, nodes: nodes.collect(), delivered: &delivered };
            self.judge.end(&ended, &mut self.findings);
        }
        RunResult::new(self, events, delivered)
    }

    /// A request after the healing was answered, or the run would not have ended: what remains is the background.
    fn check_convergence(&mut self) {
        if self.nodes.iter().all(|slot| slot.refused) {
            // The run was cut short, and what was still under way has had no time to converge.
            return;
        }
        let jobs = self.shared.lock().nodes.iter().map(|node| node.jobs_alive.len()).sum::<usize>();
        if jobs > 0 {
            self.findings.broken(
                &LIVENESS,
                "a job never ends",
                format!("{jobs} jobs still run long after all is healed"),
            );
        } else if self.healed_at.is_some() {
            self.findings.holds(&LIVENESS);
        }
    }

    pub(crate) fn moment(&mut self, now: u64) -> crate::check::history::Moment {
        self.moments += 1;
        crate::check::history::Moment { at: now, seq: self.moments }
    }

    /// Gives whatever runs beside a node a turn soon.
    pub(crate) fn schedule_turn(&mut self, node: u32) {
        if std::mem::replace(&mut self.nodes[node as usize].turning, true) {
            return;
        }
        let mut core = self.shared.lock();
        let span = core.tuning.query_latency;
        let at = core.dials.now() + core.draws.span(Stream::QueryLatency, Scope::World, Entity::Node(node), &span);
        drop(core);
        self.queue.push(at, 0, Event::Turn { node });
    }
}
