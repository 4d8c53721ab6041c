//! The tutorial: a small durable store of registers, and how to put it on trial.
//!
//! ```text
//! cargo run --release -p stormproof-sim --example register
//! ```
//! Three parts. The **engine** knows nothing of the harness, only of the contract: it is a value that takes inputs and
//! gives effects, and calls the disk. The **trial** says what clients do, what may go wrong, and what must hold. `main`
//! hunts. To see a hunt succeed, break a promise of the engine: comment out a `sync()`, and run again.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use stormproof_contract::{
    Boot, BootError, Disk, DiskResult, Effects, File, Input, Node, OpId, Open, RequestId, Role, System,
};
use stormproof_sim::{
    check::{
        invariant::{Claim, Invariant},
        linearizable::{self, Model, Verdict},
    },
    hunt::{Atlas, Budget, Case, Drawn, Hunt, Scenario, Shard, Suite},
    world::{
        Settings,
        dice::Dice,
        fault::{Fault, FaultKind},
        stage::{Class, Ended, Findings, Judge, NodeSpec, Phase, Stage, Workload},
        tuning::Tuning,
    },
};

// ---- The engine: registers of numbers, kept in one log. ----

/// What a client asks. Plans are saved as text, so operations can be written and read.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
enum Op {
    Put { key: u64, value: u64 },
    Get { key: u64 },
}

/// What it is told: the value read, or written.
type Reply = u64;

/// The engine as a system: what boots its nodes.
struct Registers;

/// The engine as a running process.
struct Register {
    log: Arc<dyn File>,
    log_bytes: u64,
    values: BTreeMap<u64, u64>,
    /// Writes that were done. A client that heard nothing asks again, and must not be obeyed twice.
    done: BTreeSet<OpId>,
}

/// A frame of the log: which operation, which register, which value, and a checksum over the three.
const FRAME_BYTES: usize = 28;

fn frame(op: OpId, key: u64, value: u64) -> [u8; FRAME_BYTES] {
    let mut frame = [0; FRAME_BYTES];
    for (place, word) in frame.chunks_exact_mut(8).zip([op.0, key, value]) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    let crc = crc32c::crc32c(&frame[..24]);
    frame[24..].copy_from_slice(&crc.to_le_bytes());
    frame
}

/// The frame's content, unless it is torn.
fn unframe(bytes: &[u8]) -> Option<(OpId, u64, u64)> {
    let (words, _) = bytes[..24].as_chunks();
    let [op, key, value] = [0, 1, 2].map(|n| u64::from_le_bytes(words[n]));
    (frame(OpId(op), key, value) == bytes).then_some((OpId(op), key, value))
}

impl System for Registers {
    type Config = ();
    type Node = Register;

    fn boot(&self, at: Boot<'_, ()>) -> Result<Register, BootError> {
        // A disk that fails now may work the next time.
        Register::open(&*at.disk).map_err(|error| BootError::Retry(error.to_string().into()))
    }
}

impl Register {
    /// Reads the log up to its first torn frame: what lies behind was never acknowledged. Then writes again all that it
    /// believes, for it may have read what the page cache holds and the disk does not.
    fn open(disk: &dyn Disk) -> DiskResult<Register> {
        let log = disk.open("log", Open::Create)?;
        let mut bytes = vec![0; log.meta()?.len as usize];
        log.read_exact_at(0, &mut bytes)?;
        let mut register = Register { log, log_bytes: 0, values: BTreeMap::new(), done: BTreeSet::new() };
        for (op, key, value) in bytes.chunks_exact(FRAME_BYTES).map_while(unframe) {
            register.remember(op, key, value);
        }
        register.log.set_len(register.log_bytes)?;
        register.log.write_all_at(0, &[&bytes[..register.log_bytes as usize]])?;
        register.log.sync()?;
        // The file is durable now; its name is, once the directory is synced too.
        disk.sync_dir("")?;
        Ok(register)
    }

    /// Makes a write durable, and only then believes it.
    fn put(&mut self, op: OpId, key: u64, value: u64) -> DiskResult<()> {
        if !self.done.contains(&op) {
            self.log.write_all_at(self.log_bytes, &[&frame(op, key, value)])?;
            self.log.sync()?;
            self.remember(op, key, value);
        }
        Ok(())
    }

    fn remember(&mut self, op: OpId, key: u64, value: u64) {
        self.log_bytes += FRAME_BYTES as u64;
        self.values.insert(key, value);
        self.done.insert(op);
    }

    fn answer(&mut self, id: RequestId, op: Op) -> DiskResult<Reply> {
        match op {
            Op::Put { key, value } => self.put(id.op, key, value).map(|()| value),
            Op::Get { key } => Ok(self.values.get(&key).copied().unwrap_or(0)),
        }
    }
}

impl Node for Register {
    type Op = Op;
    type Reply = Reply;
    type Ask = ();
    type Facts = ();

    fn handle(&mut self, input: Input<Op>, out: &mut Effects<Reply>) {
        // A single node without timers or jobs has no other input.
        let Input::Request { id, op } = input else { return };
        match self.answer(id, op) {
            Ok(reply) => out.reply(id, reply),
            // After a failed write or sync nobody knows what the disk holds. Whoever boots next finds out.
            Err(error) => out.halt(error.to_string()),
        }
    }
}

// ---- The trial: what clients do, what goes wrong, what must hold. ----

const KEYS: u64 = 3;
const OPS_PER_CLIENT: u64 = 12;
const CLIENTS: u32 = 3;

const LINEARIZABLE: Claim = Claim { id: "T1", sentence: "every register is linearizable, over crashes and retries" };

const CRASHES: &[Case] = &[Case {
    name: "crashes",
    hypothesis: "a write that was acknowledged is there for ever, and was done once",
    injection: "kills, power losses, failing disk calls, lost and doubled messages",
    criterion: "some order of the operations explains every reply",
    faults: &[FaultKind::Kill, FaultKind::PowerLoss, FaultKind::SyncError],
    sometimes: &["world.power_lost"],
}];

/// What clients do: so many operations each while faults strike, then a look at every register.
#[derive(Default)]
struct Clients {
    asked: BTreeMap<(u32, Phase), u64>,
}

impl Workload<Op, Reply> for Clients {
    fn next(&mut self, client: u32, phase: Phase, dice: &mut Dice) -> Option<Op> {
        let asked = self.asked.entry((client, phase)).or_default();
        *asked += 1;
        let key = dice.below(KEYS);
        match phase {
            Phase::Storm if *asked > OPS_PER_CLIENT => None,
            Phase::Storm if dice.percent(50) => Some(Op::Get { key }),
            // No value is written twice: a reader can tell whose it saw.
            Phase::Storm => Some(Op::Put { key, value: *asked * 10 + u64::from(client) }),
            Phase::Calm => (*asked <= KEYS).then(|| Op::Get { key: *asked - 1 }),
        }
    }

    fn class(&self, _op: &Op, _reply: &Reply) -> Class {
        Class::Done
    }
}

/// What must hold: the history of all clients has an order in which every reply is right.
struct Linearizable;

impl Judge<Registers> for Linearizable {
    fn invariants(&self) -> Vec<Invariant> {
        vec![Invariant { claim: LINEARIZABLE, sometimes: &["world.power_lost"] }]
    }

    fn end(&mut self, ended: &Ended<'_, Registers>, findings: &mut Findings) {
        match linearizable::check(&OneRegister, ended.history, 100_000) {
            Verdict::Holds { .. } => findings.holds(&LINEARIZABLE),
            Verdict::Violated(witness) => findings.broken(&LINEARIZABLE, "no order explains a reply", witness),
            Verdict::GaveUp { key, bound } => findings.gave_up(format_args!("key {key}, after {bound} steps")),
        }
    }
}

/// What a register does when it is asked one thing at a time.
struct OneRegister;

impl Model for OneRegister {
    type Key = u64;
    type State = u64;
    type Op = Op;
    type Reply = Reply;

    fn key(&self, op: &Op) -> u64 {
        let (Op::Put { key, .. } | Op::Get { key }) = op;
        *key
    }

    fn init(&self, _key: &u64) -> u64 {
        0
    }

    fn step(&self, state: &u64, op: &Op, reply: Option<&Reply>) -> Option<u64> {
        let next = match op {
            Op::Put { value, .. } => *value,
            Op::Get { .. } => *state,
        };
        reply.is_none_or(|seen| *seen == next).then_some(next)
    }
}

/// The suite: the four above, brought together.
struct RegisterTrial;

impl Scenario for RegisterTrial {
    type System = Registers;
    /// What a suite draws for itself; here, nothing.
    type Params = BTreeMap<String, u64>;
    type Workload = Clients;
    type Judge = Linearizable;

    fn name(&self) -> &'static str {
        "register"
    }

    fn about(&self) -> &'static str {
        "the tutorial's registers under crashes"
    }

    fn cases(&self) -> &[Case] {
        CRASHES
    }

    /// What the engine claims to survive. It has no second copy, so nobody may rot the first.
    fn draw(&self, _case: usize, dice: &mut Dice) -> Drawn<Self::Params> {
        let atlas = Atlas::new(1, &[])
            .allow(&[FaultKind::Kill, FaultKind::PowerLoss, FaultKind::RestartLoop])
            .allow(&[FaultKind::WriteError, FaultKind::ShortWrite, FaultKind::SyncError, FaultKind::SyncDirError])
            .allow(&[FaultKind::OpenError, FaultKind::ReadError, FaultKind::NoSpace])
            .allow(&[FaultKind::Duplicate, FaultKind::Reorder, FaultKind::LostReply]);
        Drawn { params: BTreeMap::new(), tuning: Tuning::swarm(dice), faults: atlas.draw(dice) }
    }

    fn stage(
        &self,
        _case: usize,
        _params: &Self::Params,
        tuning: Tuning,
        faults: Vec<Fault>,
    ) -> Stage<Registers, Clients, Linearizable> {
        Stage {
            system: Registers,
            nodes: vec![NodeSpec { machine: 0, role: Role::default(), config: () }],
            clients: CLIENTS,
            workload: Clients::default(),
            judge: Linearizable,
            tuning,
            faults,
        }
    }
}

// ---- The hunt. ----

/// The suite, for the hunt below and for this repository's own tests.
pub(crate) fn suite() -> impl Suite {
    RegisterTrial
}

fn main() {
    let suite = suite();
    let hunt = Hunt {
        budget: Budget::Seeds(10_000),
        from: 0,
        threads: 2,
        shard: Shard { index: 0, of: 1 },
        case: None,
        sample_every: 0,
        failures_max: 1,
    };
    let report = hunt.run(&suite, &|_| {});
    println!("{} lives, {:?}", report.seeds, report.verdict(&suite, true));
    println!("faults that struck: {:?}", report.delivered());
    for failure in report.failures.values() {
        println!("\n{}\n\nthe story of seed {}:", failure.violation, failure.seed);
        let again = suite.run_seed(failure.seed, &Settings { words: true, record: false });
        again.result.lines.iter().for_each(|line| println!("  {line}"));
    }
}
