//! From the moments at which a node might die to the states that are worth a recovery.
//!
//! A death ends in an image of the machine's disk. What follows is a function of that image, of what the world has been
//! told by then, and of the inputs of the next boot. Two deaths that agree in all three need one recovery.

use std::collections::BTreeMap;

use super::enumerate::{answers, enumerate};
use crate::world::{
    fault::{Fault, FaultKind, Target},
    mix::{mix, mix_bytes},
    study::{Script, Spot},
};

/// A death and what survives of names and lengths. Pages are decided when recovery reads them.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    /// Equal for deaths that need one recovery.
    pub(super) key: u64,
    /// How many deaths of one survey it stands for.
    pub(super) times: u64,
    /// All faults of the run, this death last.
    pub(super) faults: Vec<Fault>,
    /// The answers up to the boot.
    pub(super) answers: Vec<u32>,
    /// The life that ends.
    pub(super) life: u32,
}

/// What the moments of one run come to.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    /// Of each kind the first.
    pub(super) list: Vec<Candidate>,
    places: BTreeMap<u64, usize>,
    /// Moments.
    pub(super) points: u64,
    /// States of names and lengths that the bound has left out.
    pub(super) left_out: u64,
}

/// The run that is looked at: its faults so far, the answers that its script has given, and how far to go.
#[derive(Clone, Copy)]
pub(super) struct Scene<'a> {
    pub(super) faults: &'a [Fault],
    pub(super) answers: &'a [u32],
    pub(super) bound: u64,
    /// Whether the node is the only one of the world, so that it is all one how it died.
    pub(super) alone: bool,
}

impl Candidates {
    /// Adds what follows from a death here: by a kill, and by each way to lose power.
    pub(super) fn add(&mut self, spot: &Spot, scene: Scene<'_>) {
        self.points += 1;
        let given = &scene.answers[..spot.asked.min(scene.answers.len())];
        let death = |kind| {
            let id = scene.faults.iter().map(|fault| fault.id).max().unwrap_or(0) + 1;
            let death = Fault::new(id, kind, spot.at.trigger()).on(Target::Node(spot.node));
            [scene.faults, &[death]].concat()
        };
        let told = told(spot);
        let mut found = Vec::new();
        found.push((FaultKind::Kill, spot.disk.digest(), given.to_vec()));
        if !kills_only(scene.faults) {
            let counted = enumerate(&[], scene.bound, |mut script: Script| {
                let mut disk = (*spot.disk).clone();
                disk.lose_power(&mut script);
                let asked = script.into_asked();
                found.push((FaultKind::PowerLoss, disk.digest(), [given, &answers(&asked)].concat()));
                asked
            });
            self.left_out += counted.left_out;
        }
        for (kind, image, answers) in found {
            let how = if scene.alone { 0 } else { kind as u64 };
            let key = mix(mix(image, told), how);
            self.list_up(key, || Candidate { key, times: 0, faults: death(kind), answers, life: spot.life });
        }
    }

    /// Adds those of another run.
    pub(super) fn absorb(&mut self, other: Candidates) {
        self.points += other.points;
        self.left_out += other.left_out;
        for candidate in other.list {
            let (key, times) = (candidate.key, candidate.times);
            self.list_up(key, || Candidate { times: 0, ..candidate });
            self.list[self.places[&key]].times += times - 1;
        }
    }

    fn list_up(&mut self, key: u64, candidate: impl FnOnce() -> Candidate) {
        let place = *self.places.entry(key).or_insert_with(|| {
            self.list.push(candidate());
            self.list.len() - 1
        });
        self.list[place].times += 1;
    }
}

/// See [`WorkloadReport::kills_only`](super::WorkloadReport::kills_only).
pub(super) fn kills_only(faults: &[Fault]) -> bool {
    faults.iter().any(|fault| fault.kind.is_lie())
}

/// What the world has been told, and who will boot.
fn told(spot: &Spot) -> u64 {
    let who = u64::from(spot.node) << 32 | u64::from(spot.life);
    mix(mix(who, spot.promises), mix_bytes(0, spot.point.as_bytes()))
}
