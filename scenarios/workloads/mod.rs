//! What clients do to the engine.
//!
//! Every write carries a text of its own, so that whoever reads it later can be traced to the operation that wrote it.
//! Vectors are drawn from a coarse grid, so that equal distances occur; or from a file of real embeddings.

mod hash;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use stormproof_contract::NodeId;
use stormproof_engine::memory::{
    Draft, Link, Op, PINNED, Pass, Read, RecordId, Reply, RetryId, Route, Transaction, Version,
};
use stormproof_sim::world::{
    dice::Dice,
    stage::{Class, Phase, Workload},
};

use crate::vectors::Vectors;

/// How often clients do what, in parts of the sum.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mix {
    /// Write a record or two, whatever they held.
    pub upsert: u32,
    /// Read records, then write them on condition that they have not changed.
    pub read_modify_write: u32,
    /// Write a record that must not be there.
    pub insert: u32,
    /// Remove records.
    pub delete: u32,
    /// Read records.
    pub get: u32,
    /// Count.
    pub count: u32,
    /// Search.
    pub search: u32,
    /// Read records in order.
    #[serde(default)]
    pub range: u32,
    /// Follow links.
    #[serde(default)]
    pub walk: u32,
    /// Tell that records were active together.
    #[serde(default)]
    pub activate: u32,
    /// Ask for a pass of consolidation. Where nobody does, records are not pinned, and all begin with the same kappa.
    #[serde(default)]
    pub consolidate: u32,
    /// Load new records, several at a time.
    #[serde(default)]
    pub bulk: u32,
    /// Ask for a rebuild of the archive. Where somebody does, searches take all routes.
    #[serde(default)]
    pub rebuild: u32,
}

/// What the clients of a run do.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Habits {
    /// How many clients there are.
    pub clients: u32,
    /// How many operations each has.
    pub ops_per_client: u32,
    /// How many records they write to and read from.
    pub keys: u64,
    /// Components of a vector.
    pub dim: usize,
    /// What is added to each of them: beside 1,024, halves are rounded where floats have 16 bits.
    #[serde(default)]
    pub offset: u16,
    /// How many bytes every text has at least. Long ones make frames of several pages.
    #[serde(default)]
    pub text_bytes: usize,
    /// What they do.
    pub mix: Mix,
    /// Foreign managers that take part in some of the transactions.
    pub managers: Vec<String>,
    /// How often, in percent.
    pub managers_percent: u64,
}

/// The kappas that records begin with, where memory is consolidated.
pub const KAPPAS: [f32; 3] = [0.0, 0.0, 0.5];

/// The clients of a run.
pub struct Clients {
    habits: Habits,
    vectors: Option<Arc<Vectors>>,
    states: Vec<State>,
}

/// What one client knows.
#[derive(Default)]
struct State {
    asked: u32,
    /// What it has read and is about to write.
    read: Option<Vec<(RecordId, Option<Version>)>>,
    /// The next operation is the write of a read-modify-write.
    intends: bool,
    /// What it still looks at in the calm.
    looks: u32,
}

impl Mix {
    /// A little of everything.
    pub const fn even() -> Mix {
        Mix {
            upsert: 30,
            read_modify_write: 15,
            insert: 10,
            delete: 10,
            get: 15,
            count: 5,
            search: 15,
            range: 8,
            walk: 7,
            activate: 0,
            consolidate: 0,
            bulk: 0,
            rebuild: 0,
        }
    }
}

impl Clients {
    /// Clients with these habits, whose vectors come from a file if there is one.
    pub fn new(habits: Habits, vectors: Option<Arc<Vectors>>) -> Self {
        let states = (0..habits.clients).map(|_| State::default()).collect();
        Clients { habits, vectors, states }
    }

    fn vector(&self, dice: &mut Dice) -> Vec<f32> {
        if let Some(vectors) = &self.vectors {
            return vectors.get(dice.below(vectors.len() as u64) as usize).to_vec();
        }
        let offset = f32::from(self.habits.offset);
        // Halves from -2 to 2: sums of their squares are exact, and equal ones are common.
        (0..self.habits.dim).map(|_| dice.between(0, 8) as f32 / 2.0 - 2.0 + offset).collect()
    }

    fn key(&self, dice: &mut Dice) -> RecordId {
        RecordId(1 + dice.below(self.habits.keys))
    }

    fn keys(&self, dice: &mut Dice) -> Vec<RecordId> {
        let mut keys: Vec<_> = (0..dice.between(1, 3)).map(|_| self.key(dice)).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// Up to six keys to be loaded: of those that all write to, or ones that nobody else ever does.
    fn new_keys(&self, client: u32, keys: Vec<RecordId>, dice: &mut Dice) -> BTreeSet<RecordId> {
        let n = dice.below(4);
        if dice.percent(50) {
            let asked = u64::from(self.states[client as usize].asked);
            let first = self.habits.keys + 1 + u64::from(client) * 10_000 + 8 * asked;
            return (first..=first + n).map(RecordId).collect();
        }
        keys.into_iter().chain((0..n).map(|_| self.key(dice))).collect()
    }

    fn draft(&self, client: u32, id: RecordId, dice: &mut Dice) -> Draft {
        let n = self.states[client as usize].asked;
        let draft = Draft {
            id,
            vector: self.nonzero(dice),
            text: format!("{:.<1$}", format!("c{client}.{n}"), self.habits.text_bytes),
            attributes: BTreeMap::new(),
            links: (0..dice.below(3)).map(|_| Link::new(self.key(dice))).collect(),
            kappa: 0.0,
        };
        if self.habits.mix.consolidate == 0 {
            return draft;
        }
        let pinned = dice.percent(10).then(|| (PINNED.to_owned(), String::new()));
        Draft { attributes: pinned.into_iter().collect(), kappa: *dice.pick(&KAPPAS), ..draft }
    }

    /// A vector that has a direction, as the cosine metric demands.
    fn nonzero(&self, dice: &mut Dice) -> Vec<f32> {
        let mut vector = self.vector(dice);
        if vector.iter().all(|x| *x == 0.0) {
            vector[0] = 1.0;
        }
        vector
    }

    fn transaction(&self, client: u32, dice: &mut Dice) -> Transaction {
        let n = self.states[client as usize].asked;
        let joins = !self.habits.managers.is_empty() && dice.percent(self.habits.managers_percent);
        let managers =
            if joins { self.habits.managers.iter().map(|name| name.as_str().into()).collect() } else { Vec::new() };
        Transaction { managers, ..Transaction::new(RetryId(u128::from(client) << 64 | u128::from(n))) }
    }

    fn storm(&mut self, client: u32, dice: &mut Dice) -> Option<Op> {
        let state = &mut self.states[client as usize];
        if state.asked >= self.habits.ops_per_client {
            return None;
        }
        state.asked += 1;
        state.intends = false;
        if let Some(read) = state.read.take() {
            return Some(self.write_back(client, read, dice));
        }
        let mut transaction = self.transaction(client, dice);
        let mix = self.habits.mix;
        let shares = [
            mix.upsert,
            mix.read_modify_write,
            mix.insert,
            mix.delete,
            mix.get,
            mix.count,
            mix.search,
            mix.range,
            mix.walk,
            mix.activate,
            mix.consolidate,
            mix.bulk,
            mix.rebuild,
        ];
        let keys = self.keys(dice);
        match share(&shares, dice) {
            0 => transaction.upserts = keys.into_iter().map(|id| self.draft(client, id, dice)).collect(),
            1 => {
                self.states[client as usize].intends = true;
                return Some(Op::Get { ids: keys });
            }
            2 => transaction.inserts.push(self.draft(client, keys[0], dice)),
            3 => transaction.deletes = keys,
            4 => return Some(Op::Get { ids: keys }),
            5 => return Some(Op::Count),
            7 => return Some(Op::Range { from: keys[0], limit: dice.between(0, 6) as u32 }),
            8 => {
                let (hops, limit) = (dice.between(0, 4) as u32, dice.between(1, 9) as u32);
                return Some(Op::Walk { from: keys[0], hops, limit });
            }
            9 => return Some(Op::Activate { ids: (0..dice.between(1, 4)).map(|_| self.key(dice)).collect() }),
            10 => return Some(Op::Consolidate { pass: *dice.pick(&[Pass::Nrem, Pass::Rem, Pass::Prune]) }),
            11 => {
                let all = self.new_keys(client, keys, dice);
                transaction.inserts = all.into_iter().map(|id| self.draft(client, id, dice)).collect();
                // Only inserts, so nobody else takes part.
                (transaction.bulk, transaction.managers) = (true, Vec::new());
            }
            12 => return Some(Op::Rebuild),
            _ => return Some(self.search(dice)),
        }
        Some(Op::Commit(transaction))
    }

    fn write_back(&self, client: u32, read: Vec<(RecordId, Option<Version>)>, dice: &mut Dice) -> Op {
        let mut transaction = self.transaction(client, dice);
        let writes = 1 + dice.below(read.len() as u64) as usize;
        transaction.upserts = read[..writes].iter().map(|(id, _)| self.draft(client, *id, dice)).collect();
        transaction.reads = read.into_iter().map(|(id, version)| Read { id, version }).collect();
        Op::Commit(transaction)
    }

    fn search(&self, dice: &mut Dice) -> Op {
        let (vector, k) = (self.nonzero(dice), dice.between(1, 8) as u32);
        if self.habits.mix.rebuild == 0 {
            return Op::search(vector, k);
        }
        let route = *dice.pick(&[Route::Auto, Route::Auto, Route::Archive, Route::Realtime, Route::Exact]);
        Op::Search { vector, k, route, complexity: *dice.pick(&[0, 0, 1, 5, 100]) }
    }

    /// When all is healed, clients look at everything.
    fn calm(&mut self, client: u32, dice: &mut Dice) -> Option<Op> {
        let looks = &mut self.states[client as usize].looks;
        *looks += 1;
        match *looks {
            1 => Some(Op::Get { ids: (1..=self.habits.keys).map(RecordId).collect() }),
            2 => Some(Op::Count),
            3 => Some(self.search(dice)),
            4 => Some(Op::Range { from: RecordId(0), limit: 1000 }),
            5 => Some(Op::Walk { from: self.key(dice), hops: 100, limit: 1000 }),
            6 if self.habits.mix.consolidate > 0 => Some(Op::Consolidate { pass: Pass::Prune }),
            7 if self.habits.mix.consolidate > 0 => Some(Op::Range { from: RecordId(0), limit: 1000 }),
            6..10 if self.habits.mix.rebuild > 0 => Some(self.search(dice)),
            _ => None,
        }
    }
}

/// Which of several shares a random point falls into.
fn share(shares: &[u32], dice: &mut Dice) -> usize {
    let sum: u32 = shares.iter().sum();
    let mut at = dice.below(u64::from(sum)) as u32;
    shares
        .iter()
        .position(|share| match at.checked_sub(*share) {
            Some(rest) => {
                at = rest;
                false
            }
            None => true,
        })
        .expect("a point below the sum lies in one of the shares")
}

impl Workload<Op, Reply> for Clients {
    fn next(&mut self, client: u32, phase: Phase, dice: &mut Dice) -> Option<Op> {
        match phase {
            Phase::Storm => self.storm(client, dice),
            Phase::Calm => self.calm(client, dice),
        }
    }

    fn heard(&mut self, client: u32, op: &Op, reply: Option<&Reply>) {
        let state = &mut self.states[client as usize];
        if let (true, Op::Get { ids }, Some(Reply::Records { records, .. })) = (state.intends, op, reply) {
            let version = |id: &RecordId| records.iter().find(|record| record.id == *id).map(|record| record.version);
            state.read = Some(ids.iter().map(|id| (*id, version(id))).collect());
        }
    }

    fn class(&self, _: &Op, reply: &Reply) -> Class {
        class(reply)
    }

    fn route(&self, _: u32, _: &Op, _: u32, _: u32) -> NodeId {
        NodeId(0)
    }

    fn op_hash(&self, op: &Op) -> u64 {
        hash::op(op)
    }

    fn reply_hash(&self, reply: &Reply) -> u64 {
        hash::reply(reply)
    }
}

/// What a reply proves; see the engine's `op` for the argument.
pub fn class(reply: &Reply) -> Class {
    match reply {
        Reply::Committed { .. }
        | Reply::Records { .. }
        | Reply::Count { .. }
        | Reply::Reached { .. }
        | Reply::Hits { .. }
        | Reply::Activated { .. }
        | Reply::Consolidated { .. }
        | Reply::Rebuilt { .. } => Class::Done,
        Reply::Conflict(_) | Reply::Refused(_) => Class::NoEffect,
        Reply::Unavailable(_) => Class::TryAgain,
        Reply::Queued { .. } | Reply::Staged { .. } => Class::Pending,
    }
}
