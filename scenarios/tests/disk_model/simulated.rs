//! The simulated disk as a node sees it: the whole way through the world, without a fault.

use std::{cell::RefCell, iter};

use stormproof_contract::{Boot, BootError, Disk, Effects, Input, Node, Role, System};
use stormproof_sim::{
    check::invariant::Invariant,
    world::{
        Settings,
        dice::Dice,
        fs::Profile,
        run_seed,
        stage::{Class, Ended, Findings, Judge, NodeSpec, Phase, Stage, Workload},
        tuning::Tuning,
    },
};

/// Does `work` on an empty simulated disk.
pub(crate) fn on_simulated_disk<T>(profile: Profile, work: impl FnOnce(&dyn Disk) -> T) -> T {
    let result = RefCell::new(None);
    let session = Session { work: RefCell::new(Some(work)), result: &result };
    let nodes = iter::once(NodeSpec { machine: 0, role: Role::default(), config: () }).collect();
    let tuning = Tuning { power: profile, ..Tuning::default() };
    let stage =
        Stage { system: session, nodes, clients: 1, workload: Nobody, judge: Nobody, tuning, faults: Vec::new() };
    let (run, _) = run_seed(0, stage, &Settings::default());
    assert_eq!(run.violation, None, "the work itself failed");
    result.into_inner().expect("the node was booted")
}

/// A system whose only node does the work as it boots.
struct Session<'a, F, T> {
    work: RefCell<Option<F>>,
    result: &'a RefCell<Option<T>>,
}

/// A node that does nothing, a client that asks nothing, a judge who demands nothing.
struct Nobody;

impl<F: FnOnce(&dyn Disk) -> T, T> System for Session<'_, F, T> {
    type Config = ();
    type Node = Nobody;

    fn boot(&self, at: Boot<'_, ()>) -> Result<Nobody, BootError> {
        if let Some(work) = self.work.take() {
            self.result.replace(Some(work(&*at.disk)));
        }
        Ok(Nobody)
    }
}

impl Node for Nobody {
    type Op = ();
    type Reply = ();
    type Ask = ();
    type Facts = ();

    fn handle(&mut self, _input: Input<()>, _out: &mut Effects<()>) {}
}

impl Workload<(), ()> for Nobody {
    fn next(&mut self, _client: u32, _phase: Phase, _dice: &mut Dice) -> Option<()> {
        None
    }

    fn class(&self, _op: &(), _reply: &()) -> Class {
        Class::Done
    }
}

impl<S: System> Judge<S> for Nobody {
    fn invariants(&self) -> Vec<Invariant> {
        Vec::new()
    }

    fn end(&mut self, _ended: &Ended<'_, S>, _findings: &mut Findings) {}
}
