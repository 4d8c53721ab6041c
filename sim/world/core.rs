//! What all parts of a running world share: time, draws, faults, machines, who is alive, and the books.
//!
//! Node code calls into it through its disk and its clock while the world waits, so it sits behind a lock that is
//! never contended: a world is single-threaded. No node code, and no destructor of a node's, runs under that lock.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use super::{
    armory::{Armory, Deed, Hit, Met},
    coverage::{Coverage, Place, Strikes, Struck},
    dials::Dials,
    draw::{Draws, Entity, PathClass, Scope, Stream, path_class},
    fault::{Fault, FaultKind, Target},
    fs::{Choice, Choose, Fs, Ino},
    study::{At, Script, Spot, Survey},
    trace::{Happened, Trace},
    tuning::{Tuning, Unsynced},
};

/// The shared part of a world, and the side of it that takes turns inside disk calls.
pub(crate) struct Shared {
    core: Mutex<Core>,
    pub(crate) dials: Arc<Dials>,
    /// Queries and jobs, once the world has set them up.
    pub(crate) side: OnceLock<Arc<dyn Side>>,
}

/// Queries and jobs of all nodes, seen from inside a disk call of a writer.
pub(crate) trait Side: Send + Sync {
    /// Whether a node has any that could take a turn.
    fn is_ready(&self, node: u32) -> bool;
    /// Gives one of them a turn.
    fn turn(&self, node: u32);
}

pub(crate) struct Core {
    pub(crate) dials: Arc<Dials>,
    pub(crate) draws: Draws,
    pub(crate) trace: Trace,
    pub(crate) tuning: Tuning,
    pub(crate) armory: Armory,
    pub(crate) machines: Vec<Machine>,
    pub(crate) nodes: Vec<NodeState>,
    pub(crate) coverage: Coverage,
    pub(crate) script: Option<Script>,
    pub(crate) survey: Option<Survey>,
    /// The first delivery of each fault.
    pub(crate) struck: Vec<Struck>,
    pub(crate) strikes: Strikes,
    /// A query or job has a turn inside a disk call: its own calls are not interleaved again.
    pub(crate) interleaving: bool,
    /// Who died and has not been buried yet.
    pub(crate) deaths: Vec<(u32, Death)>,
    /// When a link with little bandwidth is free again.
    pub(crate) links: super::mix::MixedMap<u64>,
    /// Deeds for the world, which has the jobs.
    pub(crate) deeds: Vec<Deed>,
}

/// A machine: its file system and its clocks.
pub(crate) struct Machine {
    pub(crate) fs: Fs,
    /// Grows when open handles become void: with power loss and host loss.
    pub(crate) epoch: u32,
    pub(crate) locks: BTreeMap<Ino, u32>,
    /// How many power losses this machine has had, as an entity for draws.
    pub(crate) power_losses: u32,
    pub(crate) clock: MachineClock,
}

/// How a machine's clocks relate to the world's time.
#[derive(Clone, Copy, Default)]
pub(crate) struct MachineClock {
    /// When the present rate began, and what the monotonic clock showed then.
    since: u64,
    base: u64,
    fast_ppm: u64,
    /// How far the wall clock is ahead of the monotonic one.
    wall_ahead: u64,
}

pub(crate) struct NodeState {
    pub(crate) machine: u32,
    pub(crate) calls: u64,
    /// The point passed last.
    pub(crate) point: &'static str,
    /// Its `calls` then.
    pub(crate) point_calls: u64,
    /// The how-manieth passing of it that was: the same point may be come to again before it is passed again.
    pub(crate) point_hit: u32,
    /// How often each point was come to, by the hash of its name as a path class.
    pub(crate) point_hits: super::mix::MixedMap<u32>,
    /// Effects that have left.
    pub(crate) effects: u32,
    /// Disk calls that the dead have made.
    pub(crate) calls_after_death: u32,
    /// Boots that are still to be killed, and at which disk call of this boot.
    pub(crate) boots_to_kill: u64,
    pub(crate) boot_kill: Option<(u64, u32)>,
    /// Which of this node's jobs still run, by their number.
    pub(crate) jobs_alive: Vec<u32>,
}

impl NodeState {
    pub(crate) fn new(machine: u32) -> Self {
        NodeState {
            machine,
            calls: 0,
            effects: 0,
            point: BOOT,
            point_calls: 0,
            point_hit: 0,
            point_hits: super::mix::MixedMap::default(),
            calls_after_death: 0,
            boots_to_kill: 0,
            boot_kill: None,
            jobs_alive: Vec::new(),
        }
    }

    /// Where it is.
    pub(crate) fn place(&self) -> Place {
        Place { point: self.point, hit: self.point_hit, steps: (self.calls - self.point_calls) as u32 }
    }

    /// Where it is, if somebody wants to know.
    #[inline]
    pub(crate) fn place_if(&self, wanted: bool) -> Option<Place> {
        wanted.then(|| self.place())
    }

    /// A life begins: that is a point, too.
    pub(crate) fn boots(&mut self) {
        self.come_to(PathClass::new(BOOT).hash);
        self.pass(BOOT);
        self.calls_after_death = 0;
    }

    /// It is about to pass a point, which it may not survive.
    pub(crate) fn come_to(&mut self, point_hash: u64) {
        *self.point_hits.entry(point_hash).or_default() += 1;
    }

    /// It has passed a point.
    pub(crate) fn pass(&mut self, point: &'static str) {
        (self.point, self.point_calls) = (point, self.calls);
        self.point_hit = self.point_hits.get(&PathClass::new(point).hash).copied().unwrap_or(0);
    }
}

/// The point that every life begins with.
pub(crate) const BOOT: &str = "boot";

/// How somebody died.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Death {
    /// The process was killed.
    Kill,
    /// The process was killed, its jobs live on.
    Orphan,
    /// The machine lost power.
    Power,
    /// The machine is gone, with its disk.
    Host,
    /// The process stopped by itself.
    Halt,
    /// The process panicked.
    Panic,
    /// The run is over, nothing was under way: killed to be started once more, for the judge to compare.
    Encore,
}

impl Death {
    /// The kind of fault that kills like this; `None` if nobody did.
    pub(crate) fn of(kind: FaultKind) -> Option<Death> {
        match kind {
            FaultKind::Kill | FaultKind::RestartLoop => Some(Death::Kill),
            FaultKind::JobOrphan => Some(Death::Orphan),
            FaultKind::PowerLoss => Some(Death::Power),
            FaultKind::HostLoss => Some(Death::Host),
            _ => None,
        }
    }
}

impl Shared {
    pub(crate) fn new(core: Core) -> Arc<Self> {
        let dials = Arc::clone(&core.dials);
        Arc::new(Shared { core: Mutex::new(core), dials, side: OnceLock::new() })
    }

    /// The core. A panic of node code never happens under the lock, so poison means nothing.
    #[inline]
    pub(crate) fn lock(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Core {
    /// Tells the waiting faults what has happened; see [`Armory::meet`].
    pub(crate) fn meet(&mut self, met: Met<'_>) -> Vec<Deed> {
        let deeds = self.armory.meet(self.dials.now(), met);
        self.dials.set_quiet(self.armory.is_quiet());
        deeds
    }

    /// A deed was done to a node.
    pub(crate) fn deed_done(&mut self, fault: u32, node: u32) {
        if let Some(kind) = self.armory.done(fault) {
            self.book(fault, kind, node);
        }
    }

    /// An armed fault has changed what a node, or the other end of its link, saw.
    pub(crate) fn delivered(&mut self, hit: &Hit, node: u32) {
        self.armory.delivered(hit.index);
        self.book(hit.id, hit.kind, node);
    }

    fn book(&mut self, fault: u32, kind: FaultKind, node: u32) {
        let place = self.nodes[node as usize].place();
        *self.strikes.entry((kind, place.point)).or_default() += 1;
        if self.struck.iter().all(|struck| struck.fault != fault) {
            self.struck.push(Struck { fault, kind, at: self.dials.now(), node, place });
        }
    }

    /// Begins a fault whose time has come; see [`Armory::begin`].
    pub(crate) fn begin(&mut self, index: usize) -> Option<Deed> {
        let deed = self.armory.begin(self.dials.now(), index);
        self.dials.set_quiet(self.armory.is_quiet());
        deed
    }

    /// Ends all faults for good.
    pub(crate) fn heal(&mut self) {
        self.armory.heal();
        self.dials.set_quiet(true);
    }

    /// What the directory of a node is called on its machine.
    pub(crate) fn root(node: u32) -> String {
        format!("n{node}")
    }

    /// Adds an event to the trace.
    #[inline]
    pub(crate) fn record(&mut self, what: Happened, who: u64, detail: [u64; 2], words: impl FnOnce() -> String) {
        self.trace.add(self.dials.now(), what, who, detail, words);
    }

    /// Ends the life of a node, and of those that share its fate.
    pub(crate) fn kill(&mut self, node: u32, death: Death) {
        let machine = self.nodes[node as usize].machine;
        let shared_fate = matches!(death, Death::Power | Death::Host);
        for other in 0..self.nodes.len() as u32 {
            let state = &mut self.nodes[other as usize];
            let dies = other == node || (shared_fate && state.machine == machine);
            if !dies {
                continue;
            }
            if death != Death::Orphan {
                state.jobs_alive.clear();
            }
            if self.dials.end_life(other) {
                let life = self.dials.life(other);
                let detail = [death as u64, u64::from(life)];
                let words = || format!("n{other} dies in life {life}: {death:?}");
                self.record(Happened::Died, u64::from(other), detail, words);
                self.deaths.push((other, death));
                self.dials.set_news();
            }
            self.machines[machine as usize].locks.retain(|_, holder| *holder != other);
        }
        match death {
            Death::Power => self.lose_power(machine),
            Death::Host => self.lose_host(machine),
            Death::Kill | Death::Orphan | Death::Halt | Death::Panic | Death::Encore => {}
        }
    }

    fn lose_power(&mut self, machine: u32) {
        let state = &mut self.machines[machine as usize];
        state.epoch += 1;
        state.power_losses += 1;
        let scope = Scope::Node(machine, state.power_losses);
        if let Some(script) = &mut self.script {
            script.crash();
        }
        let (draws, script) = (&mut self.draws, self.script.as_mut());
        let lost = self.tuning.unsynced == Unsynced::Lost;
        state.fs.lose_power(&mut Chooser { draws, scope, script, lost });
    }

    fn lose_host(&mut self, machine: u32) {
        let state = &mut self.machines[machine as usize];
        state.epoch += 1;
        state.fs.wipe();
        let roots: Vec<u32> = (0..self.nodes.len() as u32).collect();
        for node in roots {
            if self.nodes[node as usize].machine == machine {
                self.make_root(node);
            }
        }
    }

    /// Creates a node's directory, durably: it is the machine's, not the node's doing.
    pub(crate) fn make_root(&mut self, node: u32) {
        let machine = self.nodes[node as usize].machine as usize;
        let fs = &mut self.machines[machine].fs;
        fs.mkdir(&Core::root(node)).expect("a new machine has room for a directory");
        fs.sync_dir("").expect("the root directory exists");
    }

    /// The files of a node's directory, as the node names them.
    pub(crate) fn files(&self, node: u32) -> Vec<String> {
        let root = Core::root(node) + "/";
        let files = self.machines[self.nodes[node as usize].machine as usize].fs.files();
        files.into_iter().filter_map(|(path, _)| path.strip_prefix(&root).map(Into::into)).collect()
    }

    /// How a machine's undecided bytes are decided.
    pub(crate) fn fs(&mut self, machine: u32) -> (&mut Fs, Chooser<'_>) {
        let state = &mut self.machines[machine as usize];
        let scope = Scope::Node(machine, state.power_losses);
        let (draws, script) = (&mut self.draws, self.script.as_mut());
        let lost = self.tuning.unsynced == Unsynced::Lost;
        (&mut state.fs, Chooser { draws, scope, script, lost })
    }

    /// Drops clean pages from a machine's cache that its disk does not hold, as memory pressure might while a process is
    /// down.
    pub(crate) fn press_memory(&mut self, node: u32, machine: u32, scope: Scope) {
        if !self.machines[machine as usize].fs.can_evict() {
            return;
        }
        let (entity, chance) = (Entity::Node(node), self.tuning.evict);
        if self.script.is_some() {
            self.draws.note(Stream::CacheKept, scope, entity, 1, "yes");
        } else if !self.draws.chance(Stream::CacheKept, scope, entity, chance) {
            return;
        }
        let (fs, mut chooser) = self.fs(machine);
        fs.evict(&mut chooser);
    }

    /// Looks at a moment at which a node might die, if somebody wants to know.
    pub(crate) fn look(&mut self, node: u32, at: At) {
        let Some(survey) = &mut self.survey else { return };
        let life = self.dials.life(node);
        if self.armory.is_over() || !survey.looks_at(life) {
            return;
        }
        let NodeState { machine, point, .. } = self.nodes[node as usize];
        let disk = survey.disk(machine, &self.machines[machine as usize].fs);
        let asked = self.script.as_ref().map_or(0, |script| script.asked().len());
        survey.add(Spot { node, life, at, point, promises: self.dials.promises(), asked, disk });
    }

    /// A call of a node has been made: what was seen of its disk may be true no longer.
    pub(crate) fn look_again(&mut self, node: u32) {
        if let Some(survey) = &mut self.survey {
            survey.forget(self.nodes[node as usize].machine);
        }
    }

    /// Carries out deeds. `current` is the node whose call met the trigger, if any; its own death is returned, so that
    /// the call can die before or after it takes effect.
    pub(crate) fn carry_out(&mut self, deeds: Vec<Deed>, current: Option<u32>) -> Option<(Death, bool, u32)> {
        let mut own_death = None;
        for Deed { fault, after } in deeds {
            let node = self.victim(&fault, current);
            let what = || format!("fault {} strikes n{node}: {}", fault.id, fault.kind.name());
            self.record(Happened::Fault, u64::from(node), [u64::from(fault.id), fault.kind as u64], what);
            match (Death::of(fault.kind), fault.kind) {
                (_, FaultKind::RestartLoop) => {
                    self.nodes[node as usize].boots_to_kill = fault.amount.max(1);
                    self.strike(&fault, node, Death::Kill, after, current, &mut own_death);
                }
                (Some(death), _) => self.strike(&fault, node, death, after, current, &mut own_death),
                (None, FaultKind::Pause) => self.pause(&fault, node, current),
                (None, FaultKind::BitRot) => self.rot(&fault, node),
                (None, FaultKind::ClockSkew | FaultKind::ClockJump) => {
                    self.clock_of(node).wall_ahead += fault.amount;
                    self.deed_done(fault.id, node);
                }
                (None, FaultKind::ClockDrift) => {
                    let now = self.dials.now();
                    self.clock_of(node).set_rate(now, fault.amount);
                    self.deed_done(fault.id, node);
                }
                (None, _) => {
                    self.deeds.push(Deed { fault, after });
                    self.dials.set_news();
                }
            }
        }
        own_death
    }

    fn strike(
        &mut self,
        fault: &Fault,
        node: u32,
        death: Death,
        after: bool,
        current: Option<u32>,
        own_death: &mut Option<(Death, bool, u32)>,
    ) {
        let machine = |node: u32| self.nodes[node as usize].machine;
        let shares_fate = matches!(death, Death::Power | Death::Host)
            && current.is_some_and(|current| machine(current) == machine(node));
        if current == Some(node) || shares_fate {
            *own_death = Some((death, after, fault.id));
        } else if self.dials.is_alive(node) || matches!(death, Death::Power | Death::Host) {
            self.deed_done(fault.id, node);
            self.kill(node, death);
        }
    }

    /// Whom a deed strikes: the one it names, else the one that met its trigger, else any.
    pub(crate) fn victim(&mut self, fault: &Fault, current: Option<u32>) -> u32 {
        match (fault.on, current) {
            (Target::Node(node) | Target::Link { to: node, .. }, _) => node.min(self.nodes.len() as u32 - 1),
            (Target::All, Some(node)) => node,
            (Target::All, None) => {
                let options = self.nodes.len() as u32;
                self.draws.pick(Stream::Detail, Scope::World, Entity::Fault(fault.id), options)
            }
        }
    }

    fn pause(&mut self, fault: &Fault, node: u32, current: Option<u32>) {
        let time = fault.lasting.map_or(0, |time| time.0);
        if current == Some(node) {
            self.dials.advance(time);
        } else {
            self.dials.pause(node, self.dials.now() + time);
        }
        self.deed_done(fault.id, node);
    }

    fn rot(&mut self, fault: &Fault, node: u32) {
        let root = Core::root(node) + "/";
        let machine = self.nodes[node as usize].machine;
        let glob = fault.path.as_deref().unwrap_or("*");
        let state = &mut self.machines[machine as usize];
        let rots = |(path, ino): (String, Ino)| {
            let len = state.fs.meta(ino).len;
            let fits = path.strip_prefix(&root).is_some_and(|path| super::fault::matches(glob, path));
            (len > 0 && fits).then_some((path, ino, len))
        };
        let files: Vec<(String, Ino, u64)> = state.fs.files().into_iter().filter_map(rots).collect();
        if files.is_empty() {
            return;
        }
        let entity = Entity::Fault(fault.id);
        let which = self.draws.pick(Stream::DiskFault, Scope::World, entity, files.len() as u32);
        let (path, ino, len) = &files[which as usize];
        let offset = self.draws.pick(Stream::DiskFault, Scope::World, entity, (*len).min(1 << 30) as u32);
        let bit = self.draws.pick(Stream::DiskFault, Scope::World, entity, 8);
        state.fs.rot(*ino, u64::from(offset), bit);
        let words = || format!("bit {bit} of byte {offset} of {path} rots");
        self.record(Happened::Fault, u64::from(node), [u64::from(offset), u64::from(bit)], words);
        self.deed_done(fault.id, node);
    }

    pub(crate) fn clock_of(&mut self, node: u32) -> &mut MachineClock {
        let machine = self.nodes[node as usize].machine;
        &mut self.machines[machine as usize].clock
    }
}

impl MachineClock {
    /// The monotonic clock.
    pub(crate) fn monotonic(&self, now: u64) -> u64 {
        let passed = now.saturating_sub(self.since);
        let gained = u128::from(passed) * u128::from(self.fast_ppm) / 1_000_000;
        self.base + passed + gained as u64
    }

    /// The wall clock: 2026 begins when the world does.
    pub(crate) fn wall(&self, now: u64) -> u64 {
        const START: u64 = 1_767_225_600_000_000_000;
        START.saturating_add(self.monotonic(now)).saturating_add(self.wall_ahead)
    }

    /// The world's time at which the monotonic clock shows `tick`; never before `now`.
    pub(crate) fn when(&self, now: u64, tick: u64) -> u64 {
        let Some(ahead) = tick.checked_sub(self.monotonic(now)) else { return now };
        let ppm = u128::from(1_000_000 + self.fast_ppm);
        // Rounded up: a timer may be late, never early.
        let wait = (u128::from(ahead) * 1_000_000).div_ceil(ppm);
        now.saturating_add(u64::try_from(wait).unwrap_or(u64::MAX))
    }

    fn set_rate(&mut self, now: u64, fast_ppm: u64) {
        *self = MachineClock { base: self.monotonic(now), since: now, fast_ppm, ..*self };
    }
}

/// Decides, by keyed draws, what power loss and caches leave open.
pub(crate) struct Chooser<'a> {
    draws: &'a mut Draws,
    scope: Scope,
    script: Option<&'a mut Script>,
    /// Whether what was not synced is lost where nothing else is said.
    lost: bool,
}

impl Choose for Chooser<'_> {
    fn choose(&mut self, what: Choice<'_>, options: u32) -> u32 {
        let (stream, path, n) = match what {
            Choice::Name { path, op } => (Stream::PowerNames, path, op),
            Choice::Journal { ops } => (Stream::PowerNames, "journal", ops),
            Choice::Size { path, .. } => (Stream::PowerSize, path, 0),
            Choice::Tear { path, page } => (Stream::PowerTear, path, page as u32),
            Choice::Page { path, page } => (Stream::PowerPage, path, page as u32),
            Choice::Sector { path, page, sector } => (Stream::PowerPage, path, page as u32 * 8 + sector + 1),
            Choice::Evict { path, page } => (Stream::CacheKept, path, page as u32),
        };
        let class = path_class(path);
        let entity = Entity::Path(PathClass::new(&class), n);
        let picked = match &mut self.script {
            None => self.draws.pick(stream, self.scope, entity, options),
            Some(script) => {
                let picked = script.choose(what, options);
                self.draws.note(stream, self.scope, entity, picked, &picked.to_string());
                picked
            }
        };
        let turned = self.lost
            && matches!(what, Choice::Name { .. } | Choice::Journal { .. } | Choice::Size { .. } | Choice::Page { .. });
        if turned { options - 1 - picked } else { picked }
    }
}
