//! The faults of a run and where each of them stands.
//!
//! A fault waits for its trigger, then is armed: for one event, or until a time. [`Armory`] only keeps the books: who
//! asks gets the faults that concern them now, and reports which were delivered.

use std::collections::BTreeMap;

use stormproof_contract::DiskOp;

use super::{
    draw::End,
    fault::{Fault, FaultKind, Realm, Trigger, matches},
};

/// All faults of a run.
pub(crate) struct Armory {
    faults: Vec<Armed>,
    /// Faults that still wait for a disk call, a point or an effect.
    waiting: Vec<usize>,
    /// Armed faults that act on disk calls.
    disk: Vec<usize>,
    /// Armed faults that act on messages.
    network: Vec<usize>,
    /// After healing nothing fails any more.
    over: bool,
}

struct Armed {
    fault: Fault,
    state: State,
    /// How often the trigger's event was met.
    met: u32,
    /// For [`Trigger::Beyond`]: the node that passed the point, and its count of disk calls then.
    beyond: Option<(u32, u64)>,
    since: u64,
    delivered: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    /// For the next event that it concerns.
    Once,
    Until(u64),
    Spent,
}

/// Something that a trigger can wait for.
#[derive(Clone, Copy)]
pub(crate) enum Met<'a> {
    /// A node is about to make its `calls`-th disk call.
    Call { node: u32, op: DiskOp, path: &'a str, calls: u64 },
    /// A node passed a point, after `calls` disk calls.
    Point { node: u32, name: &'a str, calls: u64 },
    /// An effect of a node has left.
    Effect { node: u32 },
}

/// A fault that is to be carried out on the spot.
#[derive(Clone, Debug)]
pub(crate) struct Deed {
    pub(crate) fault: Fault,
    /// For deaths at a disk call: after it took effect.
    pub(crate) after: bool,
}

/// An armed fault that concerns the event at hand.
#[derive(Clone, Copy)]
pub(crate) struct Hit {
    /// Its place in the armory, to report the delivery.
    pub(crate) index: usize,
    pub(crate) id: u32,
    pub(crate) kind: FaultKind,
    pub(crate) amount: u64,
    pub(crate) chance: super::draw::Ppm,
    /// When it began.
    pub(crate) since: u64,
}

impl Armory {
    pub(crate) fn new(faults: Vec<Fault>) -> Self {
        let faults: Vec<Armed> = faults.into_iter().map(Armed::new).collect();
        let waits = |armed: &Armed| !matches!(armed.fault.at, Trigger::Time(_));
        let waiting = (0..faults.len()).filter(|n| waits(&faults[*n])).collect();
        Armory { faults, waiting, disk: Vec::new(), network: Vec::new(), over: false }
    }

    /// The faults that begin at a time, for the world to schedule.
    pub(crate) fn timed(&self) -> Vec<(u64, usize)> {
        let time = |n: usize| match self.faults[n].fault.at {
            Trigger::Time(time) => Some((time.0, n)),
            Trigger::Point { .. } | Trigger::Call { .. } | Trigger::Beyond { .. } | Trigger::Effect { .. } => None,
        };
        (0..self.faults.len()).filter_map(time).collect()
    }

    /// Whether nothing waits for disk calls, points or effects: the usual case, kept cheap.
    #[inline]
    pub(crate) fn is_quiet(&self) -> bool {
        self.waiting.is_empty() && self.disk.is_empty()
    }

    /// Whether no armed fault acts on messages.
    #[inline]
    pub(crate) fn network_is_calm(&self) -> bool {
        self.network.is_empty()
    }

    /// Tells the waiting faults what has happened, and returns what is to be done on the spot.
    pub(crate) fn meet(&mut self, now: u64, met: Met<'_>) -> Vec<Deed> {
        if self.over || self.waiting.is_empty() {
            return Vec::new();
        }
        let due: Vec<usize> = self.waiting.iter().copied().filter(|&n| self.faults[n].meets(met)).collect();
        due.into_iter().filter_map(|n| self.arm(now, n)).collect()
    }

    /// Begins a fault whose time has come.
    pub(crate) fn begin(&mut self, now: u64, index: usize) -> Option<Deed> {
        if self.over || self.faults[index].state == State::Spent { None } else { self.arm(now, index) }
    }

    fn arm(&mut self, now: u64, index: usize) -> Option<Deed> {
        self.waiting.retain(|n| *n != index);
        let armed = &mut self.faults[index];
        armed.since = now;
        match armed.fault.kind.realm() {
            Realm::Deed => {
                armed.state = State::Spent;
                let (Trigger::Call { after, .. } | Trigger::Beyond { after, .. }) = armed.fault.at else {
                    return Some(Deed { fault: armed.fault.clone(), after: false });
                };
                return Some(Deed { fault: armed.fault.clone(), after });
            }
            Realm::Disk => self.disk.push(index),
            Realm::Network => self.network.push(index),
        }
        armed.state = match armed.fault.lasting {
            Some(time) => State::Until(now.saturating_add(time.0)),
            None => State::Once,
        };
        None
    }

    /// The armed faults that concern a disk call.
    pub(crate) fn on_disk(&mut self, now: u64, node: u32, op: DiskOp, path: &str) -> Vec<Hit> {
        let mut hits = Vec::new();
        let faults = &mut self.faults;
        self.disk.retain(|&n| faults[n].lasts(now));
        for &n in &self.disk {
            let fault = &faults[n].fault;
            let kind_fits = match fault.kind.disk_op() {
                Some(wanted) => wanted == op,
                None if fault.kind == FaultKind::NoSpace => takes_space(op),
                None => op != DiskOp::Point,
            };
            let path_fits = fault.path.as_deref().is_none_or(|glob| matches(glob, path));
            if kind_fits && path_fits && fault.on.node(node) {
                hits.push(faults[n].hit(n));
            }
        }
        hits
    }

    /// The armed faults that concern a message.
    pub(crate) fn on_message(&mut self, now: u64, from: End, to: End) -> Vec<Hit> {
        let faults = &mut self.faults;
        self.network.retain(|&n| faults[n].lasts(now));
        let concerns = |&n: &usize| faults[n].concerns(from, to);
        self.network.iter().copied().filter(concerns).map(|n| faults[n].hit(n)).collect()
    }

    /// A fault has changed what somebody saw. Those that strike once are spent.
    pub(crate) fn delivered(&mut self, index: usize) {
        let armed = &mut self.faults[index];
        armed.delivered += 1;
        if armed.state == State::Once {
            armed.state = State::Spent;
        }
    }

    /// A deed was done. Returns what it was.
    pub(crate) fn done(&mut self, id: u32) -> Option<FaultKind> {
        let armed = self.faults.iter_mut().find(|armed| armed.fault.id == id)?;
        armed.delivered += 1;
        Some(armed.fault.kind)
    }

    /// A half-open connection ends when the silent side speaks.
    pub(crate) fn spoke(&mut self, from: End, to: End) {
        for &n in &self.network {
            let armed = &mut self.faults[n];
            if armed.fault.kind == FaultKind::HalfOpen && armed.fault.on.link(to, from) && armed.delivered > 0 {
                armed.state = State::Spent;
            }
        }
    }

    /// Whether all faults are over.
    pub(crate) fn is_over(&self) -> bool {
        self.over
    }

    /// Faults that have not begun never will.
    pub(crate) fn forgo(&mut self) {
        for armed in self.faults.iter_mut().filter(|armed| armed.state == State::Waiting) {
            armed.state = State::Spent;
        }
        self.waiting.clear();
    }

    /// Ends all faults for good.
    pub(crate) fn heal(&mut self) {
        self.over = true;
        self.waiting.clear();
        self.disk.clear();
        self.network.clear();
    }

    /// How often each kind was delivered.
    pub(crate) fn tally(&self) -> BTreeMap<FaultKind, u64> {
        let mut tally = BTreeMap::new();
        for armed in self.faults.iter().filter(|armed| armed.delivered > 0) {
            *tally.entry(armed.fault.kind).or_default() += u64::from(armed.delivered);
        }
        tally
    }

    /// The faults of the plan that were never delivered, by number.
    pub(crate) fn idle(&self) -> Vec<u32> {
        self.faults.iter().filter(|armed| armed.delivered == 0).map(|armed| armed.fault.id).collect()
    }
}

impl Armed {
    fn new(fault: Fault) -> Self {
        Armed { fault, state: State::Waiting, met: 0, beyond: None, since: 0, delivered: 0 }
    }

    /// Whether this is the event that the fault waits for. Counts those that come before it.
    fn meets(&mut self, met: Met<'_>) -> bool {
        let on = self.fault.on;
        match (&self.fault.at, met) {
            (Trigger::Call { op, path, nth, .. }, Met::Call { node, op: called, path: on_path, .. }) => {
                let wanted = op.or(self.fault.kind.disk_op());
                let path = path.as_deref().or(self.fault.path.as_deref());
                let fits = on.node(node)
                    && wanted.is_none_or(|op| op == called)
                    && path.is_none_or(|glob| matches(glob, on_path));
                self.met += u32::from(fits);
                fits && self.met == *nth
            }
            (Trigger::Point { name, hit }, Met::Point { node, name: passed, .. }) => {
                let fits = on.node(node) && name == passed;
                self.met += u32::from(fits);
                fits && self.met == *hit
            }
            (Trigger::Beyond { name, hit, nth, .. }, Met::Point { node, name: passed, calls }) => {
                let fits = on.node(node) && name == passed && self.beyond.is_none();
                self.met += u32::from(fits);
                if fits && self.met == *hit {
                    self.beyond = Some((node, calls));
                    return false;
                }
                self.is_beyond(node, calls, *nth)
            }
            (Trigger::Beyond { nth, .. }, Met::Call { node, calls, .. }) => self.is_beyond(node, calls, *nth),
            (Trigger::Effect { nth }, Met::Effect { node }) => {
                let fits = on.node(node);
                self.met += u32::from(fits);
                fits && self.met == *nth
            }
            // A trigger that waits for another kind of event.
            (Trigger::Time(_), Met::Call { .. } | Met::Point { .. } | Met::Effect { .. })
            | (Trigger::Call { .. } | Trigger::Beyond { .. }, Met::Effect { .. })
            | (Trigger::Call { .. }, Met::Point { .. })
            | (Trigger::Point { .. }, Met::Call { .. } | Met::Effect { .. })
            | (Trigger::Effect { .. }, Met::Call { .. } | Met::Point { .. }) => false,
        }
    }

    fn is_beyond(&self, node: u32, calls: u64, nth: u32) -> bool {
        self.beyond.is_some_and(|(who, since)| who == node && calls == since + u64::from(nth))
    }

    fn lasts(&self, now: u64) -> bool {
        match self.state {
            State::Once => true,
            State::Until(end) => now < end,
            State::Waiting | State::Spent => false,
        }
    }

    fn concerns(&self, from: End, to: End) -> bool {
        let on = self.fault.on;
        let between_nodes = matches!((from, to), (End::Node(_), End::Node(_)));
        match self.fault.kind {
            FaultKind::LostReply => matches!((from, to), (End::Node(_), End::Client(_))) && on.link(from, to),
            FaultKind::PartitionOneWay | FaultKind::HalfOpen | FaultKind::Isolate => between_nodes && on.link(from, to),
            FaultKind::PartitionTwoWay | FaultKind::Flapping => {
                between_nodes && (on.link(from, to) || on.link(to, from))
            }
            FaultKind::Split => between_nodes && self.side(from) != self.side(to),
            _ => on.link(from, to) || on.link(to, from),
        }
    }

    fn side(&self, end: End) -> bool {
        match end {
            End::Node(n) => n < 64 && self.fault.amount >> n & 1 == 1,
            End::Client(_) => false,
        }
    }

    fn hit(&self, index: usize) -> Hit {
        let fault = &self.fault;
        let (id, kind, amount, chance) = (fault.id, fault.kind, fault.amount, fault.chance);
        Hit { index, id, kind, amount, chance, since: self.since }
    }
}

/// Disk calls that need room.
fn takes_space(op: DiskOp) -> bool {
    matches!(op, DiskOp::Write | DiskOp::Allocate | DiskOp::Open | DiskOp::Clone | DiskOp::Mkdir)
}
