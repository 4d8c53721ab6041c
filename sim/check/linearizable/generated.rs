//! The linearizability checker on histories that are right by construction, on the same with one reply changed, and
//! against a checker that tries every order.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::history::{History, Moment, OpId, Operation, Outcome};
use super::super::register::{Op, Registers, Reply};
use super::{CONFIGURATIONS_MAX, Model, Verdict, check};

type Registry = Registers<&'static str, u32>;
type Ops = History<Op<&'static str, u32>, Reply<u32>>;
type Recorded = Operation<Op<&'static str, u32>, Reply<u32>>;

use Reply::{Swapped, Value, Written};

fn at(at: u64) -> Moment {
    Moment { at, seq: at }
}

fn judge(history: &Ops) -> Verdict {
    check(&Registry::new(), history, CONFIGURATIONS_MAX)
}

/// Runs a real register under `choices`: at each, one client takes its next step (call, take effect, return), so the
/// order in which operations take effect is a linearization by construction.
fn run_register(choices: &[(u8, u8)], clients: u32) -> Ops {
    #[derive(Clone)]
    enum Phase {
        Idle,
        Called(OpId, Op<&'static str, u32>),
        Applied(OpId, Option<Reply<u32>>),
    }
    let mut history = Ops::new();
    let mut held = BTreeMap::new();
    let mut phases = vec![Phase::Idle; clients as usize];
    for (step, &(who, what)) in choices.iter().enumerate() {
        let now = at(step as u64);
        let client = u32::from(who) % clients;
        let phase = &mut phases[client as usize];
        *phase = match phase.clone() {
            Phase::Idle => {
                let key = if what & 1 == 0 { "x" } else { "y" };
                let value = step as u32 + 1;
                let op = match what / 2 % 8 {
                    0..=3 => Op::Read { key },
                    4 | 5 => Op::Write { key, value },
                    _ => Op::Swap { key, expected: held.get(key).copied().unwrap_or(u32::from(what & 64)), value },
                };
                Phase::Called(history.invoke(client, now, op.clone()), op)
            }
            // The client gives up, or the operation vanishes, or both: it may still take effect later, or never.
            Phase::Called(id, _) if what % 16 == 0 => {
                history.unknown(id, now);
                Phase::Idle
            }
            Phase::Called(id, op) if what % 16 == 1 => {
                history.unknown(id, now);
                Phase::Applied(id, take_effect(&mut held, &op).1)
            }
            Phase::Called(id, op) => Phase::Applied(id, take_effect(&mut held, &op).0),
            Phase::Applied(id, reply) => {
                if let Some(reply) = reply {
                    history.ok(id, now, reply);
                }
                Phase::Idle
            }
        };
    }
    history
}

/// The reply of the operation, beside the reply that a client gets which has given up.
fn take_effect(
    held: &mut BTreeMap<&'static str, u32>,
    op: &Op<&'static str, u32>,
) -> (Option<Reply<u32>>, Option<Reply<u32>>) {
    let now = |key| held.get(key).copied().unwrap_or(0);
    let reply = match op {
        Op::Read { key } => Value(now(key)),
        Op::Write { key, value } => {
            held.insert(key, *value);
            Written
        }
        Op::Swap { key, expected, value } => {
            let fits = now(key) == *expected;
            if fits {
                held.insert(key, *value);
            }
            Swapped(fits)
        }
    };
    (Some(reply), None)
}

/// A fixed, well mixed sequence of choices for long histories.
fn choices(count: usize) -> Vec<(u8, u8)> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..count).map(|_| (next(), next())).collect()
}

/// Replaces the reply of the n-th answered read, if there are so many.
fn mutate_read(history: &Ops, nth: usize, value: u32) -> Option<Ops> {
    let read = |operation: &&Recorded| matches!(operation.outcome, Outcome::Ok { reply: Value(_), .. });
    let reads = history.operations().iter().filter(read).count();
    let target = history.operations().iter().filter(read).nth(nth % reads.max(1))?.id;
    let mut mutated = Ops::new();
    let mut ends = Vec::new();
    for operation in history.operations() {
        let id = mutated.invoke(operation.client, operation.invoked, operation.op.clone());
        ends.push((id, operation.outcome.clone()));
    }
    for (id, outcome) in ends {
        match outcome {
            Outcome::Ok { at, .. } if id == target => mutated.ok(id, at, Value(value)),
            Outcome::Ok { at, reply } => mutated.ok(id, at, reply),
            Outcome::Fail { at } => mutated.fail(id, at),
            Outcome::Unknown { at } => mutated.unknown(id, at),
            Outcome::Open => {}
        }
    }
    Some(mutated)
}

#[test]
fn a_long_concurrent_history_needs_few_configurations() {
    let history = run_register(&choices(30_000), 8);
    let operations = history.operations().len() as u64;
    assert!(operations > 9_000 && history.overlap().percent() > 90, "{operations} operations, {}", history.overlap());
    let Verdict::Holds { explored } = judge(&history) else { panic!("refused a real run") };
    assert!(explored < 16 * operations, "{explored} configurations for {operations} operations");
}

#[test]
fn a_stale_read_deep_in_a_long_history_is_found_within_the_bound() {
    let history = mutate_read(&run_register(&choices(6_000), 8), 600, 1).expect("there are over a thousand reads");
    assert!(matches!(judge(&history), Verdict::Violated(_)));
}

/// Whether any order of the operations, with any of the unanswered ones left out, explains every reply.
fn brute_force(history: &Ops, key: &'static str) -> bool {
    fn explains(state: u32, left: &[&Recorded]) -> bool {
        let answered = |operation: &&&Recorded| matches!(operation.outcome, Outcome::Ok { .. });
        let Some(first_return) = left.iter().filter(answered).filter_map(|operation| operation.ended()).min() else {
            return true;
        };
        left.iter().enumerate().filter(|(_, operation)| operation.invoked < first_return).any(|(place, operation)| {
            let reply = match &operation.outcome {
                Outcome::Ok { reply, .. } => Some(reply),
                _ => None,
            };
            let rest = [&left[..place], &left[place + 1..]].concat();
            Registry::new().step(&state, &operation.op, reply).is_some_and(|next| explains(next, &rest))
        })
    }
    let of_key = |operation: &&Recorded| Registry::new().key(&operation.op) == key;
    let not_failed = |operation: &&Recorded| !matches!(operation.outcome, Outcome::Fail { .. });
    explains(0, &history.operations().iter().filter(of_key).filter(not_failed).collect::<Vec<_>>())
}

proptest! {
    #[test]
    fn a_run_of_a_real_register_is_always_accepted(
        choices in prop::collection::vec(any::<(u8, u8)>(), 0..400), clients in 1u32..8,
    ) {
        let verdict = judge(&run_register(&choices, clients));
        prop_assert!(matches!(verdict, Verdict::Holds { .. }), "{verdict:?}");
    }

    #[test]
    fn a_read_of_a_value_that_nobody_wrote_is_always_rejected(
        choices in prop::collection::vec(any::<(u8, u8)>(), 30..300), nth in any::<usize>(), clients in 1u32..6,
    ) {
        if let Some(mutated) = mutate_read(&run_register(&choices, clients), nth, 1_000_000) {
            let verdict = judge(&mutated);
            prop_assert!(matches!(verdict, Verdict::Violated(_)), "{verdict:?}");
        }
    }

    #[test]
    fn agrees_with_trying_every_order(
        choices in prop::collection::vec(any::<(u8, u8)>(), 6..26),
        mutation in prop::option::of((any::<usize>(), 0u32..20)),
        clients in 2u32..5,
    ) {
        let honest = run_register(&choices, clients);
        let history = mutation.and_then(|(nth, value)| mutate_read(&honest, nth, value)).unwrap_or(honest);
        let expected = ["x", "y"].iter().all(|key| brute_force(&history, key));
        prop_assert_eq!(matches!(judge(&history), Verdict::Holds { .. }), expected);
    }
}
