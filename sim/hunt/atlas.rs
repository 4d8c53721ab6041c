//! A fault atlas: what a suite's system claims to survive, and so what may be done to it.
//!
//! An atlas keeps plans honest in both directions: nothing outside of it is drawn, so that a finding is never "you
//! destroyed the only copy"; and each run draws its own few kinds from it (*swarm*), so that no fault is always masked
//! by a more frequent one.

use crate::world::{
    dice::Dice,
    draw::Ppm,
    fault::{Fault, FaultKind, Target, Trigger},
    span::Time,
};

/// What may be done to a system.
#[derive(Clone, Debug)]
pub struct Atlas {
    nodes: u32,
    points: &'static [&'static str],
    kinds: Vec<(FaultKind, Option<&'static str>)>,
    faults_max: u64,
    calls_max: u64,
    within: Time,
}

impl Atlas {
    /// Nothing may be done to these nodes yet.
    pub fn new(nodes: u32, points: &'static [&'static str]) -> Self {
        Atlas { nodes, points, kinds: Vec::new(), faults_max: 4, calls_max: 150, within: Time::millis(400) }
    }

    /// These may be done.
    #[must_use]
    pub fn allow(mut self, kinds: &[FaultKind]) -> Self {
        self.kinds.extend(kinds.iter().map(|kind| (*kind, None)));
        self
    }

    /// This may be done to these files.
    #[must_use]
    pub fn allow_on(mut self, kind: FaultKind, path: &'static str) -> Self {
        self.kinds.push((kind, Some(path)));
        self
    }

    /// At most so many faults in a run.
    #[must_use]
    pub fn at_most(mut self, faults: u64) -> Self {
        self.faults_max = faults;
        self
    }

    /// Faults at disk calls begin within the first so many calls.
    #[must_use]
    pub fn calls(mut self, calls: u64) -> Self {
        self.calls_max = calls;
        self
    }

    /// Faults at a time begin within this one.
    #[must_use]
    pub fn within(mut self, time: Time) -> Self {
        self.within = time;
        self
    }

    /// Faults for one run: one to three kinds, mixed.
    pub fn draw(&self, dice: &mut Dice) -> Vec<Fault> {
        if self.kinds.is_empty() || self.faults_max == 0 {
            return Vec::new();
        }
        let mix: Vec<_> = (0..dice.between(1, 3)).map(|_| *dice.pick(&self.kinds)).collect();
        let count = dice.between(1, self.faults_max);
        (0..count as u32).map(|id| self.fault(id + 1, *dice.pick(&mix), dice)).collect()
    }

    /// A fault of a kind, with all else drawn.
    pub fn fault(&self, id: u32, (kind, path): (FaultKind, Option<&str>), dice: &mut Dice) -> Fault {
        let mut fault = Fault::new(id, kind, self.trigger(kind, dice)).on(self.target(kind, dice));
        fault.path = path.map(Into::into);
        let short = Time::micros(dice.between(100, 20_000));
        let long = Time::millis(dice.between(5, 400));
        let some = Ppm(*dice.pick(&[50_000, 200_000, 600_000]));
        match kind {
            FaultKind::SlowDisk => fault.lasting(long, always()).amount(Time::micros(dice.between(50, 5_000)).0),
            FaultKind::DiskStall => fault.amount(Time::millis(dice.between(5, 500)).0),
            FaultKind::ReadError | FaultKind::WriteError | FaultKind::OpenError if dice.percent(30) => {
                fault.lasting(short, some)
            }
            FaultKind::RenameError | FaultKind::SyncDirError => fault.amount(dice.below(2)),
            FaultKind::ShortRead
            | FaultKind::ShortWrite
            | FaultKind::Loss
            | FaultKind::LostReply
            | FaultKind::Corrupt => fault.lasting(long, some),
            FaultKind::Duplicate | FaultKind::Reorder => {
                fault.lasting(long, some).amount(Time::millis(dice.between(1, 100)).0)
            }
            FaultKind::Delay => fault.lasting(long, always()).amount(Time::millis(dice.between(1, 60)).0),
            FaultKind::Bandwidth => fault.lasting(long, always()).amount(dice.between(500, 50_000)),
            FaultKind::Flapping => fault.lasting(long, always()).amount(Time::millis(dice.between(1, 30)).0),
            FaultKind::Split => {
                let sides = (1u64 << self.nodes.min(63)) - 1;
                fault.lasting(long, always()).amount(dice.between(1, sides.max(2) - 1))
            }
            FaultKind::NoSpace
            | FaultKind::PartitionOneWay
            | FaultKind::PartitionTwoWay
            | FaultKind::Isolate
            | FaultKind::HalfOpen
            | FaultKind::Pause => fault.lasting(long, always()),
            FaultKind::RestartLoop => fault.amount(dice.between(1, 4)),
            FaultKind::ClockSkew | FaultKind::ClockJump => fault.amount(Time::millis(dice.between(10, 5_000)).0),
            FaultKind::ClockDrift => fault.amount(dice.between(10, 500)),
            _ => fault,
        }
    }

    fn trigger(&self, kind: FaultKind, dice: &mut Dice) -> Trigger {
        let at_call = |dice: &mut Dice, most: u64| Trigger::Call {
            op: None,
            path: None,
            nth: dice.between(1, most) as u32,
            after: dice.percent(50),
        };
        match kind {
            _ if dice.percent(25) && !self.points.is_empty() => {
                let name = (*dice.pick(self.points)).to_owned();
                Trigger::Point { name, hit: dice.between(1, 6) as u32 }
            }
            // A fault of one kind of call: the n-th of that kind, so that rare calls are not missed.
            _ if kind.disk_op().is_some() => at_call(dice, (self.calls_max / 8).max(1)),
            FaultKind::Kill | FaultKind::PowerLoss | FaultKind::JobOrphan | FaultKind::HostLoss | FaultKind::Pause => {
                match dice.below(10) {
                    0..6 => at_call(dice, self.calls_max),
                    6..8 => Trigger::Effect { nth: dice.between(1, self.calls_max / 4 + 1) as u32 },
                    _ => Trigger::Time(Time(dice.below(self.within.0))),
                }
            }
            _ => Trigger::Time(Time(dice.below(self.within.0))),
        }
    }

    fn target(&self, kind: FaultKind, dice: &mut Dice) -> Target {
        let nodes = u64::from(self.nodes);
        match kind {
            FaultKind::PartitionOneWay | FaultKind::PartitionTwoWay | FaultKind::Flapping | FaultKind::HalfOpen
                if nodes > 1 =>
            {
                let from = dice.below(nodes);
                let to = (from + dice.between(1, nodes - 1)) % nodes;
                Target::Link { from: from as u32, to: to as u32 }
            }
            FaultKind::Split => Target::All,
            _ => Target::Node(dice.below(nodes) as u32),
        }
    }
}

fn always() -> Ppm {
    Ppm(1_000_000)
}
