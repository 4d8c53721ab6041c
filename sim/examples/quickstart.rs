//! Quickstart: an engine of your own, on trial in one file.
//!
//! `cargo run --release -p stormproof-sim --example quickstart` puts it on trial twice: as it should be, and with a
//! promise broken. A hunt lives many lives with drawn faults, and an exploration tries every crash of one short life.
//! What fails is shrunk and explained.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use stormproof_contract::{Boot, BootError, Disk, DiskResult, Effects, File, Input, Node, OpId, Open, System};
use stormproof_sim::hunt::{Access, Budget, Exploration, Hunt, PlanError, Suite, Trial, examine};

// ---- The engine: a store of numbers, kept in one log. ----

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
enum Op {
    Put { key: u64, value: u64 },
    Get { key: u64 },
}

/// The engine as a system: what boots its nodes. `syncs` is the promise to break.
#[derive(Clone)]
struct Pocket {
    syncs: bool,
}

/// The engine as a running process.
struct Store {
    syncs: bool,
    log: Arc<dyn File>,
    values: BTreeMap<u64, u64>,
    /// Writes that were done. A client that heard nothing asks again, and must not be obeyed twice.
    done: BTreeSet<OpId>,
}

/// An entry of the log: which operation, which key, which value, and a checksum of the three.
const ENTRY_BYTES: usize = 32;

fn entry(op: OpId, key: u64, value: u64) -> Vec<u8> {
    let words = [op.0, key, value].map(u64::to_le_bytes).concat();
    let check = u64::from(crc32c::crc32c(&words)).to_le_bytes();
    [&words[..], &check].concat()
}

/// What an entry says, unless it is torn.
fn read_entry(bytes: &[u8]) -> Option<(OpId, u64, u64)> {
    let &[op, key, value, _] = bytes.as_chunks().0 else { return None };
    let [op, key, value] = [op, key, value].map(u64::from_le_bytes);
    (entry(OpId(op), key, value) == bytes).then_some((OpId(op), key, value))
}

impl Store {
    /// Believes the log up to its first torn entry, and writes that again: the page cache may show what no disk holds.
    fn open(disk: &dyn Disk, syncs: bool) -> DiskResult<Store> {
        let log = disk.open("log", Open::Create)?;
        let mut bytes = vec![0; log.meta()?.len as usize];
        log.read_exact_at(0, &mut bytes)?;
        let mut store = Store { syncs, log, values: BTreeMap::new(), done: BTreeSet::new() };
        for (op, key, value) in bytes.chunks_exact(ENTRY_BYTES).map_while(read_entry) {
            store.believe(op, key, value);
        }
        store.log.set_len(store.end())?;
        store.log.write_all_at(0, &[&bytes[..store.end() as usize]])?;
        store.log.sync()?;
        disk.sync_dir("")?;
        Ok(store)
    }

    fn answer(&mut self, id: OpId, op: &Op) -> DiskResult<u64> {
        match *op {
            Op::Put { value, .. } if self.done.contains(&id) => Ok(value),
            Op::Put { key, value } => {
                self.log.write_all_at(self.end(), &[&entry(id, key, value)])?;
                if self.syncs {
                    self.log.sync()?;
                }
                self.believe(id, key, value);
                Ok(value)
            }
            Op::Get { key } => Ok(self.values.get(&key).copied().unwrap_or(0)),
        }
    }

    fn believe(&mut self, op: OpId, key: u64, value: u64) {
        self.done.insert(op);
        self.values.insert(key, value);
    }

    fn end(&self) -> u64 {
        (self.done.len() * ENTRY_BYTES) as u64
    }
}

impl System for Pocket {
    type Config = ();
    type Node = Store;

    fn boot(&self, at: Boot<'_, ()>) -> Result<Store, BootError> {
        Store::open(&*at.disk, self.syncs).map_err(|error| BootError::Retry(error.to_string().into()))
    }
}

impl Node for Store {
    type Op = Op;
    type Reply = u64;
    type Ask = ();
    type Facts = ();

    fn handle(&mut self, input: Input<Op>, out: &mut Effects<u64>) {
        let Input::Request { id, op } = input else { return };
        match self.answer(id.op, &op) {
            Ok(reply) => out.reply(id, reply),
            // Nobody knows what the disk holds now. Whoever boots next finds out.
            Err(error) => out.halt(error.to_string()),
        }
    }
}

// ---- The trial: what clients ask, what must hold. All may go wrong that a node alone should survive. ----

pub(crate) fn trial(syncs: bool) -> impl Suite {
    Trial::new("pocket", Pocket { syncs }, |client, nth, dice| match dice.below(2) {
        0 => Op::Get { key: dice.below(2) },
        _ => Op::Put { key: dice.below(2), value: 10 * nth + u64::from(client) + 1 },
    })
    .look(|nth| (nth < 2).then_some(Op::Get { key: nth }))
    .registers(
        |op| match *op {
            Op::Put { key, value } => Access::Write(key, value),
            Op::Get { key } => Access::Read(key),
        },
        |reply| *reply,
    )
}

fn main() -> Result<(), PlanError> {
    for syncs in [true, false] {
        let trial = trial(syncs);
        let hunt = Hunt { budget: Budget::Seeds(2_000), ..Hunt::default() }.run(&trial, &|_| {});
        println!("syncs: {syncs}; {} lives: {:?}", hunt.seeds, hunt.verdict(&trial, true));
        let explored = Exploration::default().run(&trial, &|_| {})?;
        println!("{} states that a crash leaves; ways to fail: {}", explored.total().states, explored.failures.len());
        for failure in hunt.failures.values() {
            examine(&trial, failure.seed)?.iter().for_each(|examined| println!("\n{examined}"));
        }
    }
    Ok(())
}
