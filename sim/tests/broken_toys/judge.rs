//! What must hold of the toy, each claim with a check of its own, so that every bug falls by its name.

use std::collections::{BTreeMap, BTreeSet};

use stormproof_contract::{Node, NodeId};
use stormproof_sim::{
    check::{
        history::{History, Moment, OpId, Operation, Outcome},
        invariant::{Claim, Invariant},
        linearizable::{self, Model, Verdict},
    },
    world::stage::{Delivered, Ended, Findings, HistoryOf, Judge, LIVENESS, Seen},
};

use crate::{
    toy::{Op, Reply, Toy, ToyNode},
    trial::{DELETABLE, keys_of},
};

/// Beyond so many configurations of one list the checker of histories gives up.
const CONFIGURATIONS_MAX: u64 = 100_000;

pub(crate) const DURABLE: Claim =
    Claim { id: "D1", sentence: "what was acknowledged, or shown to a reader, survives every crash" };
pub(crate) const WHOLE: Claim = Claim { id: "D2", sentence: "a write is wholly there or not at all" };
pub(crate) const ONCE: Claim = Claim { id: "R2", sentence: "a write takes effect once, however often it is asked for" };
pub(crate) const STAYS_DELETED: Claim = Claim { id: "Q3", sentence: "what was deleted never returns" };
pub(crate) const NEVER_IN_THE_WAY: Claim = Claim { id: "S1", sentence: "no query fails because of a new snapshot" };
pub(crate) const VERIFIED: Claim =
    Claim { id: "S2", sentence: "a snapshot is in force only if it is complete, durable and what was asked for" };
pub(crate) const LINEARIZABLE: Claim = Claim { id: "T1", sentence: "every list is linearizable" };

type Lists = BTreeMap<u64, Vec<u64>>;

/// Remembers what the clients were told.
#[derive(Default)]
pub(crate) struct Witness {
    /// Tokens that a client was told of, in lists that are never emptied.
    known: BTreeSet<(u64, u64)>,
    /// Tokens that were known in a list before it was emptied, and when that was acknowledged.
    buried: BTreeMap<(u64, u64), Moment>,
    /// Why the node would not start.
    refused: Option<String>,
}

impl Judge<Toy> for Witness {
    fn invariants(&self) -> Vec<Invariant> {
        vec![
            Invariant { claim: DURABLE, sometimes: &["world.power_lost"] },
            Invariant { claim: WHOLE, sometimes: &["world.killed"] },
            Invariant { claim: ONCE, sometimes: &["toy.repeated"] },
            Invariant { claim: STAYS_DELETED, sometimes: &[] },
            Invariant { claim: NEVER_IN_THE_WAY, sometimes: &["toy.snapshot"] },
            Invariant { claim: VERIFIED, sometimes: &["toy.snapshot"] },
            Invariant { claim: LINEARIZABLE, sometimes: &[] },
            Invariant { claim: LIVENESS, sometimes: &[] },
        ]
    }

    fn see(&mut self, seen: Seen<'_, Toy>, findings: &mut Findings) {
        match seen {
            Seen::Booted { state, .. } => self.survived(&lists(state), findings),
            Seen::Replied { op, history } => {
                let operation = &history.operations()[op.0 as usize];
                if let Outcome::Ok { reply, .. } = &operation.outcome {
                    self.told(operation, reply, history, findings);
                }
            }
            Seen::Settled { .. } | Seen::Died { .. } | Seen::Refused { .. } | Seen::Noted { .. } => {}
        }
    }

    fn may_refuse(&mut self, _node: NodeId, words: &str, _delivered: &Delivered) -> bool {
        // It may not, ever: nothing was done to it that it could not survive. `end` says which claim that breaks.
        self.refused = Some(words.into());
        true
    }

    fn end(&mut self, ended: &Ended<'_, Toy>, findings: &mut Findings) {
        match &self.refused {
            Some(words) if words.starts_with("snapshot") => {
                return findings.broken(&VERIFIED, "the snapshot in force is damaged", words);
            }
            Some(words) => return findings.broken(&DURABLE, "the logs are no longer whole", words),
            None => {}
        }
        for (_, node) in &ended.nodes {
            self.survived(&lists(node), findings);
            let lost = lost_from_the_deletable(&lists(node), ended.history);
            findings.check(&DURABLE, "an acknowledged write is gone", lost.map_or(Ok(()), Err));
        }
        match linearizable::check(&OneList::of(ended.history), &by_list(ended.history), CONFIGURATIONS_MAX) {
            Verdict::Holds { .. } => findings.holds(&LINEARIZABLE),
            Verdict::Violated(witness) => findings.broken(&LINEARIZABLE, "no order explains a reply", witness),
            Verdict::GaveUp { key, bound } => {
                findings.gave_up(format_args!("list {key}, after {bound} configurations"));
            }
        }
    }
}

fn lists(node: &ToyNode) -> Lists {
    node.inspect(&()).unwrap_or_default()
}

impl Witness {
    /// Holds what a node has found on its disk against what clients were told.
    fn survived(&self, lists: &Lists, findings: &mut Findings) {
        let holds = |key: u64, token: u64| lists.get(&key).is_some_and(|list| list.contains(&token));
        // A write of which one half is there has not been lost: it falls below, by another name.
        let gone = |token: u64| keys_of(token).all(|key| !holds(key, token));
        let lost = self.known.iter().find(|(_, token)| gone(*token));
        let lost = lost.map(|(key, token)| format!("token {token} of list {key}"));
        findings.check(&DURABLE, "a write that a client was told of is gone", lost.map_or(Ok(()), Err));
        let undone = self.buried.keys().find(|(key, token)| holds(*key, *token));
        let undone = undone.map(|(key, token)| format!("token {token} is back in list {key}"));
        findings.check(&DURABLE, "an acknowledged delete is gone", undone.map_or(Ok(()), Err));
        let mut lasting = lists.range(DELETABLE..).flat_map(|(_, list)| list);
        let half = lasting.find(|token| keys_of(**token).any(|key| !holds(key, **token)));
        findings.check(&WHOLE, "half a write", half.map_or(Ok(()), Err));
        let twice = lists.values().find_map(|list| repeated(list));
        findings.check(&ONCE, "a write took effect twice", twice.map_or(Ok(()), Err));
    }

    fn told(
        &mut self,
        operation: &Operation<Op, Reply>,
        reply: &Reply,
        so_far: &HistoryOf<Toy>,
        findings: &mut Findings,
    ) {
        match (&operation.op, reply) {
            (Op::Append { keys, token }, _) => self.learn(keys.iter().map(|key| (*key, *token))),
            (Op::Delete { key }, _) => {
                let now = operation.ended().unwrap_or(operation.invoked);
                for token in told_before(*key, operation.invoked, so_far) {
                    self.buried.entry((*key, token)).or_insert(now);
                }
            }
            (Op::Get { key }, Reply::List(list)) => {
                findings.holds(&NEVER_IN_THE_WAY);
                findings.holds(&VERIFIED);
                findings.check(&ONCE, "a write is read twice", repeated(list).map_or(Ok(()), Err));
                let is_undead =
                    |token: &&u64| self.buried.get(&(*key, **token)).is_some_and(|at| *at < operation.invoked);
                let undead = list.iter().find(is_undead);
                findings.check(&STAYS_DELETED, "a deleted token is read", undead.map_or(Ok(()), Err));
                self.learn(list.iter().map(|token| (*key, *token)));
            }
            (Op::Get { key }, Reply::CutShort) => {
                findings.broken(&NEVER_IN_THE_WAY, "a query lost its file", format!("list {key}"));
            }
            (Op::Get { key }, Reply::Damaged) => {
                findings.broken(&VERIFIED, "a query met a damaged snapshot", format!("list {key}"));
            }
            (Op::Get { .. }, Reply::Done | Reply::Unavailable) => {}
        }
    }

    fn learn(&mut self, tokens: impl Iterator<Item = (u64, u64)>) {
        self.known.extend(tokens.filter(|(key, _)| *key >= DELETABLE));
    }
}

fn repeated(list: &[u64]) -> Option<u64> {
    let mut seen = BTreeSet::new();
    list.iter().copied().find(|token| !seen.insert(*token))
}

/// The tokens of a list that a client had been told of by then.
fn told_before(key: u64, then: Moment, so_far: &HistoryOf<Toy>) -> BTreeSet<u64> {
    let early = so_far.operations().iter().filter(|operation| operation.ended().is_some_and(|at| at < then));
    let told = early.flat_map(|operation| match (&operation.op, &operation.outcome) {
        (Op::Append { keys, token }, Outcome::Ok { .. }) if keys.contains(&key) => std::slice::from_ref(token),
        (Op::Get { key: read }, _) if *read == key => tokens_read(operation),
        (Op::Append { .. } | Op::Delete { .. } | Op::Get { .. }, _) => &[],
    });
    told.copied().collect()
}

/// A token that a client was told of, that is not there, and that no delete can have taken.
fn lost_from_the_deletable(lists: &Lists, history: &HistoryOf<Toy>) -> Option<String> {
    let taken = |key: u64, since: Moment| {
        history.operations().iter().filter(|operation| operation.op == Op::Delete { key }).any(|delete| {
            match delete.outcome {
                Outcome::Ok { at, .. } => at > since,
                Outcome::Fail { .. } => false,
                Outcome::Unknown { .. } | Outcome::Open => true,
            }
        })
    };
    let told = history.operations().iter().flat_map(|operation| {
        let (keys, tokens, since) = match (&operation.op, &operation.outcome) {
            (Op::Append { keys, token }, Outcome::Ok { .. }) => {
                (&keys[..], std::slice::from_ref(token), operation.invoked)
            }
            // When a token that was read was written does not matter here: any delete may have taken it.
            (Op::Get { key }, _) => (std::slice::from_ref(key), tokens_read(operation), Moment { at: 0, seq: 0 }),
            (Op::Append { .. } | Op::Delete { .. }, _) => (&[][..], &[][..], operation.invoked),
        };
        keys.iter().flat_map(move |key| tokens.iter().map(move |token| (*key, *token, since)))
    });
    let there = |key: u64, token: u64| lists.get(&key).is_some_and(|list| list.contains(&token));
    let mut deletable = told.filter(|(key, _, _)| *key < DELETABLE);
    let lost = deletable.find(|(key, token, since)| !there(*key, *token) && !taken(*key, *since));
    lost.map(|(key, token, _)| format!("token {token} of list {key}"))
}

/// The history as its lists saw it: a write to two lists is an operation on each.
///
/// A write that nobody was told of and whose token nobody has read is left out. That changes no verdict, since an order
/// that has it is an order without it as well, and it spares the search from trying it everywhere.
fn by_list(history: &HistoryOf<Toy>) -> History<(u64, Op), Reply> {
    let read: BTreeSet<u64> = history.operations().iter().flat_map(tokens_read).copied().collect();
    let mut lists = History::new();
    for operation in history.operations() {
        let keys = match &operation.op {
            Op::Append { token, .. } if is_unknown(operation) && !read.contains(token) => &[],
            Op::Append { keys, .. } => &keys[..],
            Op::Delete { key } | Op::Get { key } => &[*key],
        };
        for key in keys {
            let id: OpId = lists.invoke(operation.client, operation.invoked, (*key, operation.op.clone()));
            match &operation.outcome {
                Outcome::Open => {}
                Outcome::Ok { reply, at } => lists.ok(id, *at, reply.clone()),
                Outcome::Fail { at } => lists.fail(id, *at),
                Outcome::Unknown { at } => lists.unknown(id, *at),
            }
        }
    }
    lists
}

fn is_unknown(operation: &Operation<Op, Reply>) -> bool {
    matches!(operation.outcome, Outcome::Unknown { .. } | Outcome::Open)
}

fn tokens_read(operation: &Operation<Op, Reply>) -> &[u64] {
    match &operation.outcome {
        Outcome::Ok { reply: Reply::List(list), .. } => list,
        Outcome::Ok { .. } | Outcome::Fail { .. } | Outcome::Unknown { .. } | Outcome::Open => &[],
    }
}

/// What a list does, one operation at a time.
///
/// A list that is never emptied only grows, so whatever was read of it is a prefix of the longest reading. A state that
/// is neither a prefix of that nor begins with it is on no way to it: the search is spared to try.
struct OneList {
    longest: BTreeMap<u64, Vec<u64>>,
}

impl OneList {
    fn of(history: &HistoryOf<Toy>) -> Self {
        let mut longest = BTreeMap::<u64, Vec<u64>>::new();
        for operation in history.operations() {
            if let Op::Get { key: key @ DELETABLE.. } = operation.op {
                let read = tokens_read(operation);
                let known = longest.entry(key).or_default();
                if read.len() > known.len() {
                    *known = read.into();
                }
            }
        }
        OneList { longest }
    }

    fn may_hold(&self, key: u64, list: &[u64]) -> bool {
        self.longest.get(&key).is_none_or(|longest| longest.iter().zip(list).all(|(a, b)| a == b))
    }
}

impl Model for OneList {
    type Key = u64;
    type State = Vec<u64>;
    type Op = (u64, Op);
    type Reply = Reply;

    fn key(&self, (key, _): &(u64, Op)) -> u64 {
        *key
    }

    fn init(&self, _key: &u64) -> Vec<u64> {
        Vec::new()
    }

    fn step(&self, state: &Vec<u64>, (key, op): &(u64, Op), reply: Option<&Reply>) -> Option<Vec<u64>> {
        match (op, reply) {
            (Op::Append { token, .. }, _) => {
                Some([&state[..], &[*token]].concat()).filter(|list| self.may_hold(*key, list))
            }
            (Op::Delete { .. }, _) => Some(Vec::new()),
            (Op::Get { .. }, Some(Reply::List(list))) => (list == state).then(|| state.clone()),
            (Op::Get { .. }, _) => Some(state.clone()),
        }
    }

    fn only_observes(&self, (_, op): &(u64, Op), _reply: Option<&Reply>) -> bool {
        matches!(op, Op::Get { .. })
    }
}
