//! The linearizability checker on histories written by hand.

use super::super::history::{History, Moment, OpId};
use super::super::register::{Op, Registers, Reply};
use super::{CONFIGURATIONS_MAX, Model, Verdict, check};

type Registry = Registers<&'static str, u32>;
type Ops = History<Op<&'static str, u32>, Reply<u32>>;

const BOUND: u64 = CONFIGURATIONS_MAX;

fn at(at: u64) -> Moment {
    Moment { at, seq: at }
}

fn read() -> Op<&'static str, u32> {
    Op::Read { key: "x" }
}

fn write(value: u32) -> Op<&'static str, u32> {
    Op::Write { key: "x", value }
}

fn swap(expected: u32, value: u32) -> Op<&'static str, u32> {
    Op::Swap { key: "x", expected, value }
}

/// When an operation was invoked and how it ended, by tick.
enum End {
    Ok(u64, Reply<u32>),
    Fail(u64),
    Unknown(u64),
    Open,
}
use End::{Fail, Ok as Done, Open, Unknown};
use Reply::{Swapped, Value, Written};

/// Builds a history from (invoked, op, end); each operation has a client of its own.
fn history(operations: Vec<(u64, Op<&'static str, u32>, End)>) -> Ops {
    let mut history = History::new();
    for (client, (invoked, op, end)) in operations.into_iter().enumerate() {
        let id = history.invoke(client as u32, at(invoked), op);
        match end {
            Done(returned, reply) => history.ok(id, at(returned), reply),
            Fail(returned) => history.fail(id, at(returned)),
            Unknown(returned) => history.unknown(id, at(returned)),
            Open => {}
        }
    }
    history
}

fn verdict(operations: Vec<(u64, Op<&'static str, u32>, End)>) -> Verdict {
    check(&Registry::new(), &history(operations), BOUND)
}

fn holds(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Holds { .. })
}

fn offender(verdict: Verdict) -> OpId {
    match verdict {
        Verdict::Violated(witness) => witness.offender.id,
        other => panic!("expected a violation, got {other:?}"),
    }
}

#[test]
fn the_empty_history_holds() {
    assert_eq!(verdict(vec![]), Verdict::Holds { explored: 0 });
}

#[test]
fn a_read_that_overlaps_a_write_may_see_either_value() {
    for seen in [0, 1] {
        assert!(holds(&verdict(vec![(0, write(1), Done(10, Written)), (1, read(), Done(9, Value(seen)))])));
    }
}

#[test]
fn a_stale_read_after_the_write_returned_is_caught() {
    let stale = verdict(vec![(0, write(1), Done(10, Written)), (11, read(), Done(12, Value(0)))]);
    assert_eq!(offender(stale), OpId(1));
}

#[test]
fn two_reads_may_not_see_a_write_and_then_not_see_it() {
    let new_then_old = verdict(vec![
        (0, write(1), Done(100, Written)),
        (10, read(), Done(20, Value(1))),
        (30, read(), Done(40, Value(0))),
    ]);
    assert_eq!(offender(new_then_old), OpId(2));
    assert!(holds(&verdict(vec![
        (0, write(1), Done(100, Written)),
        (10, read(), Done(20, Value(0))),
        (30, read(), Done(40, Value(1))),
    ])));
}

#[test]
fn an_acknowledged_write_that_is_lost_is_caught() {
    let lost =
        verdict(vec![(0, write(1), Done(1, Written)), (2, write(2), Done(3, Written)), (4, read(), Done(5, Value(1)))]);
    assert_eq!(offender(lost), OpId(2));
}

#[test]
fn an_unknown_write_may_be_observed_later() {
    assert!(holds(&verdict(vec![
        (0, write(1), Unknown(5)),
        (10, read(), Done(11, Value(0))),
        (20, read(), Done(21, Value(1)))
    ])));
}

#[test]
fn an_unknown_write_may_never_be_observed() {
    assert!(holds(&verdict(vec![(0, write(1), Open), (10, read(), Done(11, Value(0)))])));
}

#[test]
fn an_unknown_write_that_was_observed_may_not_vanish() {
    let vanished =
        verdict(vec![(0, write(1), Unknown(5)), (10, read(), Done(11, Value(1))), (20, read(), Done(21, Value(0)))]);
    assert_eq!(offender(vanished), OpId(2));
}

#[test]
fn an_unknown_write_takes_effect_at_most_once() {
    let twice = verdict(vec![
        (0, write(1), Unknown(5)),
        (10, read(), Done(11, Value(1))),
        (20, write(2), Done(21, Written)),
        (30, read(), Done(31, Value(1))),
    ]);
    assert_eq!(offender(twice), OpId(3));
}

#[test]
fn an_unknown_write_has_no_effect_before_its_call() {
    let early = verdict(vec![(0, read(), Done(1, Value(1))), (2, write(1), Unknown(3))]);
    assert_eq!(offender(early), OpId(0));
}

#[test]
fn a_failed_write_that_is_observed_is_caught() {
    let zombie = verdict(vec![(0, write(1), Fail(5)), (10, read(), Done(11, Value(1)))]);
    assert_eq!(offender(zombie), OpId(1));
    assert!(holds(&verdict(vec![(0, write(1), Fail(5)), (10, read(), Done(11, Value(0)))])));
}

#[test]
fn of_two_swaps_from_one_value_only_one_may_succeed() {
    let both = |second| {
        verdict(vec![
            (0, swap(0, 1), Done(10, Swapped(true))),
            (1, swap(0, 2), Done(11, Swapped(second))),
            (20, read(), Done(21, Value(1))),
        ])
    };
    assert!(holds(&both(false)));
    assert!(matches!(both(true), Verdict::Violated(_)));
}

#[test]
fn a_swap_may_not_fail_when_the_value_was_as_expected_throughout() {
    let refused = verdict(vec![(0, write(1), Done(1, Written)), (2, swap(1, 2), Done(3, Swapped(false)))]);
    assert_eq!(offender(refused), OpId(1));
}

#[test]
fn an_unknown_swap_explains_a_later_one_that_builds_on_it() {
    assert!(holds(&verdict(vec![(0, swap(0, 1), Unknown(5)), (10, swap(1, 2), Done(11, Swapped(true)))])));
    let without = verdict(vec![(0, swap(5, 1), Unknown(5)), (10, swap(1, 2), Done(11, Swapped(true)))]);
    assert_eq!(offender(without), OpId(1));
}

#[test]
fn keys_are_independent() {
    assert!(holds(&verdict(vec![
        (0, write(1), Done(1, Written)),
        (2, Op::Read { key: "y" }, Done(3, Value(0))),
        (4, read(), Done(5, Value(1))),
    ])));
}

#[test]
fn events_of_equal_time_are_ordered_by_sequence() {
    let mut history = Ops::new();
    let first = history.invoke(0, Moment { at: 5, seq: 1 }, write(1));
    history.ok(first, Moment { at: 5, seq: 2 }, Written);
    let stale = history.invoke(1, Moment { at: 5, seq: 3 }, read());
    history.ok(stale, Moment { at: 5, seq: 4 }, Value(0));
    assert_eq!(offender(check(&Registry::new(), &history, BOUND)), stale);
}

#[test]
fn the_witness_ends_at_the_first_reply_that_nothing_explains() {
    let mut operations = vec![(0, write(7), Unknown(3))];
    for turn in 1..=10 {
        operations.push((10 * turn, write(turn as u32), Done(10 * turn + 1, Written)));
    }
    operations.push((200, write(20), Done(230, Written)));
    operations.push((210, read(), Done(220, Value(9))));
    operations.push((300, read(), Done(310, Value(1))));
    let Verdict::Violated(witness) = verdict(operations) else { panic!("a stale read was accepted") };
    assert_eq!(witness.prefix, (0..=12).map(OpId).collect::<Vec<_>>());
    let expected = r#"key "x": no order of its operations explains this reply:
  op12 of client 12, tick 210 to 220: Read { key: "x" } -> Value(9)
the key could then hold only: 7 or 10 or 20
overlapping it, or never answered:
  op11 of client 11, tick 200 to 230: Write { key: "x", value: 20 } -> Written
  op0 of client 0, tick 0, given up at 3: Write { key: "x", value: 7 } -> unknown
last to return before it:
  op3 of client 3, tick 30 to 31: Write { key: "x", value: 3 } -> Written
  op4 of client 4, tick 40 to 41: Write { key: "x", value: 4 } -> Written
  op5 of client 5, tick 50 to 51: Write { key: "x", value: 5 } -> Written
  op6 of client 6, tick 60 to 61: Write { key: "x", value: 6 } -> Written
  op7 of client 7, tick 70 to 71: Write { key: "x", value: 7 } -> Written
  op8 of client 8, tick 80 to 81: Write { key: "x", value: 8 } -> Written
  op9 of client 9, tick 90 to 91: Write { key: "x", value: 9 } -> Written
  op10 of client 10, tick 100 to 101: Write { key: "x", value: 10 } -> Written
the first 13 operations on the key are enough to show it"#;
    assert_eq!(witness.to_string(), expected);
}

/// Twelve concurrent writes, then a read of a value that none of them wrote: every subset must be tried.
fn hard() -> Vec<(u64, Op<&'static str, u32>, End)> {
    let mut operations: Vec<_> =
        (0..12).map(|n| (u64::from(n), write(n + 1), Done(100 + u64::from(n), Written))).collect();
    operations.push((200, read(), Done(201, Value(99))));
    operations
}

#[test]
fn past_its_bound_the_checker_gives_up_and_says_so() {
    let given_up = check(&Registry::new(), &history(hard()), 1_000);
    assert_eq!(given_up, Verdict::GaveUp { key: "\"x\"".to_owned(), bound: 1_000 });
    assert_eq!(offender(check(&Registry::new(), &history(hard()), 1_000_000)), OpId(12));
}

#[test]
fn a_violation_on_one_key_outweighs_having_given_up_on_another() {
    let mut operations = hard();
    operations.push((300, Op::Read { key: "y" }, Done(301, Value(5))));
    assert_eq!(offender(check(&Registry::new(), &history(operations), 1_000)), OpId(13));
}

#[test]
fn of_two_violated_keys_the_first_in_order_is_reported() {
    let nobody_wrote = |key, tick| (tick, Op::Read { key }, Done(tick + 1, Value(5)));
    assert_eq!(offender(verdict(vec![nobody_wrote("y", 0), nobody_wrote("x", 2)])), OpId(1));
}

#[test]
fn many_unknown_writes_do_not_multiply_the_configurations() {
    let mut operations: Vec<_> = (0..200).map(|n| (n, write(n as u32 + 1), Unknown(n + 300))).collect();
    operations.push((1_000, read(), Done(1_001, Value(150))));
    operations.push((1_002, read(), Done(1_003, Value(3))));
    operations.push((1_004, read(), Done(1_005, Value(150))));
    let verdict = verdict(operations);
    assert_eq!(offender(verdict), OpId(202), "the second read overwrote 150, which nothing can write again");
}

/// Ops that only add: every subset of the same size leads to one state, so nothing but their likeness tells them apart.
struct Counter;

impl Model for Counter {
    type Key = ();
    type State = u32;
    type Op = bool;
    type Reply = u32;

    fn key(&self, _: &bool) {}

    fn init(&self, (): &()) -> u32 {
        0
    }

    /// `true` adds one, `false` reads.
    fn step(&self, state: &u32, adds: &bool, reply: Option<&u32>) -> Option<u32> {
        let next = state + u32::from(*adds);
        reply.is_none_or(|seen| *seen == next).then_some(next)
    }
}

#[test]
fn unknown_operations_that_ask_the_same_are_interchangeable() {
    let mut history = History::new();
    for n in 0..60 {
        let id = history.invoke(0, at(2 * n), true);
        history.unknown(id, at(2 * n + 1));
    }
    for (turn, seen) in [(0, 30), (1, 60), (2, 61)] {
        let id = history.invoke(1, at(1_000 + 2 * turn), false);
        history.ok(id, at(1_001 + 2 * turn), seen);
    }
    assert_eq!(offender(check(&Counter, &history, BOUND)), OpId(62), "sixty additions never make 61");
}

/// A model that lies about what only observes.
struct Liar;

impl Model for Liar {
    type Key = ();
    type State = u32;
    type Op = u32;
    type Reply = ();

    fn key(&self, _: &u32) {}

    fn init(&self, (): &()) -> u32 {
        0
    }

    fn step(&self, _: &u32, op: &u32, _: Option<&()>) -> Option<u32> {
        Some(*op)
    }

    fn only_observes(&self, _: &u32, _: Option<&()>) -> bool {
        true
    }
}

#[test]
#[should_panic(expected = "only observes")]
fn a_model_that_calls_a_write_an_observation_is_refused() {
    let mut history = History::new();
    let id = history.invoke(0, at(0), 1);
    history.ok(id, at(1), ());
    check(&Liar, &history, BOUND);
}
