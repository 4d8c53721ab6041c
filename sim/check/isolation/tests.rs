//! The isolation checker on the anomalies of the literature.

use super::super::history::Moment;
use super::{Access, Class, Demand, Finding, Seen, Status, Transaction, TxnId, check};

type Txn = Transaction<&'static str>;

fn at(at: u64) -> Moment {
    Moment { at, seq: at }
}

/// A transaction that overlaps every other, unless [`during`] says otherwise.
fn txn(id: u64, accesses: Vec<Access<&'static str>>) -> Txn {
    Transaction { id: TxnId(id), began: at(id), status: Status::Committed { at: at(1_000 + id) }, accesses }
}

fn aborted(id: u64, accesses: Vec<Access<&'static str>>) -> Txn {
    Transaction { status: Status::Aborted, ..txn(id, accesses) }
}

fn unknown(id: u64, accesses: Vec<Access<&'static str>>) -> Txn {
    Transaction { status: Status::Unknown, ..txn(id, accesses) }
}

fn during(began: u64, committed: u64, transaction: Txn) -> Txn {
    Transaction { began: at(began), status: Status::Committed { at: at(committed) }, ..transaction }
}

fn initial(key: &'static str) -> Access<&'static str> {
    Access::Read { key, seen: Seen::Initial }
}

fn saw(key: &'static str, by: u64) -> Access<&'static str> {
    saw_nth(key, by, 0)
}

fn saw_nth(key: &'static str, by: u64, nth: u32) -> Access<&'static str> {
    Access::Read { key, seen: Seen::Write { by: TxnId(by), nth } }
}

fn wrote(key: &'static str, version: u64) -> Access<&'static str> {
    Access::Write { key, version: Some(version) }
}

fn wrote_blind(key: &'static str) -> Access<&'static str> {
    Access::Write { key, version: None }
}

fn findings(transactions: &[Txn]) -> Vec<Finding> {
    check(transactions, Demand::Serializable)
}

fn classes(transactions: &[Txn]) -> Vec<Class> {
    findings(transactions).iter().map(|finding| finding.class).collect()
}

#[test]
fn transactions_in_turn_are_serializable() {
    let history = [
        txn(1, vec![initial("x"), wrote("x", 1)]),
        txn(2, vec![saw("x", 1), wrote("x", 2), wrote("y", 1)]),
        txn(3, vec![saw("x", 2), saw("y", 2)]),
    ];
    assert_eq!(findings(&history), []);
    assert_eq!(findings(&[]), []);
}

#[test]
fn g0_interleaved_writes() {
    let history = [txn(1, vec![wrote("x", 1), wrote("y", 2)]), txn(2, vec![wrote("x", 2), wrote("y", 1)])];
    let [finding] = &findings(&history)[..] else { panic!("expected one finding") };
    assert_eq!(
        finding.to_string(),
        "G0 (write cycle) among T1, T2:\n  \
         T1 -ww-> T2: T1 installed version 1 of key \"x\", and T2 later version 2\n  \
         T2 -ww-> T1: T2 installed version 1 of key \"y\", and T1 later version 2"
    );
}

#[test]
fn g1a_aborted_read() {
    let history = [aborted(1, vec![wrote_blind("x")]), txn(2, vec![saw("x", 1)])];
    let [finding] = &findings(&history)[..] else { panic!("expected one finding") };
    assert_eq!(
        finding.to_string(),
        "G1a (aborted read) among T1, T2:\n  T2 read key \"x\" as written by T1, which aborted"
    );
}

#[test]
fn what_an_aborted_transaction_read_is_of_no_account() {
    let history = [aborted(1, vec![wrote_blind("x")]), aborted(2, vec![saw("x", 1)])];
    assert_eq!(findings(&history), []);
}

#[test]
fn g1b_intermediate_read() {
    let writer = txn(1, vec![wrote_blind("x"), wrote("x", 1)]);
    assert_eq!(classes(&[writer.clone(), txn(2, vec![saw_nth("x", 1, 0)])]), [Class::G1b]);
    assert_eq!(classes(&[writer, txn(2, vec![saw_nth("x", 1, 1)])]), []);
}

#[test]
fn g1c_circular_information_flow() {
    let history = [txn(1, vec![wrote("x", 1), saw("y", 2)]), txn(2, vec![wrote("y", 1), saw("x", 1)])];
    let [finding] = &findings(&history)[..] else { panic!("expected one finding") };
    assert_eq!(
        finding.to_string(),
        "G1c (circular information flow) among T1, T2:\n  \
         T1 -wr-> T2: T1 wrote version 1 of key \"x\", and T2 read it\n  \
         T2 -wr-> T1: T2 wrote version 1 of key \"y\", and T1 read it"
    );
}

#[test]
fn g_single_read_skew() {
    let history = [
        txn(1, vec![wrote("x", 1), wrote("y", 1)]),
        txn(2, vec![wrote("x", 2), wrote("y", 2)]),
        txn(3, vec![saw("x", 1), saw("y", 2)]),
    ];
    let [finding] = &findings(&history)[..] else { panic!("expected one finding") };
    assert_eq!(
        finding.to_string(),
        "G-single (read skew) among T3, T2:\n  \
         T3 -rw-> T2: T3 read version 1 of key \"x\", and T2 installed version 2 after it\n  \
         T2 -wr-> T3: T2 wrote version 2 of key \"y\", and T3 read it"
    );
}

#[test]
fn a_read_that_does_not_repeat_within_a_transaction_is_read_skew() {
    let history = [txn(1, vec![wrote("x", 1)]), txn(2, vec![initial("x"), saw("x", 1)])];
    assert_eq!(classes(&history), [Class::GSingle]);
}

#[test]
fn g2_write_skew() {
    let history = [
        txn(1, vec![initial("x"), initial("y"), wrote("x", 1)]),
        txn(2, vec![initial("x"), initial("y"), wrote("y", 1)]),
    ];
    let [finding] = &findings(&history)[..] else { panic!("expected one finding") };
    assert_eq!(
        finding.to_string(),
        "G2 (write skew) among T1, T2:\n  \
         T1 -rw-> T2: T1 read the initial version of key \"y\", and T2 installed version 1 after it\n  \
         T2 -rw-> T1: T2 read the initial version of key \"x\", and T1 installed version 1 after it"
    );
}

#[test]
fn write_skew_shows_without_version_numbers() {
    let history = [
        txn(1, vec![initial("x"), initial("y"), wrote_blind("x")]),
        txn(2, vec![initial("x"), initial("y"), wrote_blind("y")]),
    ];
    assert_eq!(classes(&history), [Class::G2]);
}

#[test]
fn g2_over_three_transactions_is_reported_whole() {
    let history = [
        txn(1, vec![initial("x"), wrote("y", 1)]),
        txn(2, vec![initial("y"), wrote("z", 1)]),
        txn(3, vec![initial("z"), wrote("x", 1)]),
    ];
    let [finding] = &findings(&history)[..] else { panic!("expected one finding") };
    assert_eq!((finding.class, finding.transactions.len(), finding.facts.len()), (Class::G2, 3, 3));
}

#[test]
fn of_several_cycles_the_smallest_is_reported() {
    // A ring of anti-dependencies over transactions that follow each other by number.
    let ring = |first: u64, keys: &[&'static str]| {
        let step = |place: usize| vec![initial(keys[place]), wrote(keys[(place + 1) % keys.len()], 1)];
        (0..keys.len()).map(|place| txn(first + place as u64, step(place))).collect::<Vec<_>>()
    };
    let history = [ring(1, &["a", "b", "c", "d"]), ring(5, &["p", "q", "r"]), ring(8, &["w", "x", "y", "z"])].concat();
    assert_eq!(findings(&history)[0].transactions, [TxnId(5), TxnId(7), TxnId(6)]);
}

#[test]
fn a_lost_update_is_called_so_with_and_without_version_numbers() {
    let with = [txn(1, vec![initial("x"), wrote("x", 1)]), txn(2, vec![initial("x"), wrote("x", 2)])];
    let without = [txn(1, vec![initial("x"), wrote_blind("x")]), txn(2, vec![initial("x"), wrote_blind("x")])];
    assert_eq!(classes(&with), [Class::LostUpdate]);
    assert_eq!(classes(&without), [Class::LostUpdate]);
    assert_eq!(
        findings(&with)[0].facts,
        [
            "T1 read the initial version of key \"x\" and overwrote it",
            "T2 read the initial version of key \"x\" and overwrote it"
        ]
    );
}

#[test]
fn reading_a_value_that_nobody_wrote_is_named() {
    let read = |seen| [txn(1, vec![wrote("x", 1)]), txn(2, vec![Access::Read { key: "x", seen }])];
    assert_eq!(classes(&read(Seen::Unwritten)), [Class::UnwrittenRead]);
    assert_eq!(classes(&read(Seen::Write { by: TxnId(9), nth: 0 })), [Class::UnwrittenRead], "no such transaction");
    assert_eq!(classes(&read(Seen::Write { by: TxnId(1), nth: 1 })), [Class::UnwrittenRead], "no such write");
}

#[test]
fn a_transaction_sees_its_own_writes_and_only_once_made() {
    let own = |accesses| classes(&[txn(1, vec![wrote("x", 1)]), txn(2, accesses)]);
    assert_eq!(own(vec![wrote("x", 2), saw("x", 2)]), []);
    assert_eq!(own(vec![wrote("x", 2), saw("x", 1)]), [Class::Internal]);
    assert_eq!(own(vec![wrote("x", 2), initial("x")]), [Class::Internal]);
    assert_eq!(own(vec![saw("x", 2), wrote("x", 2)]), [Class::Internal]);
    assert_eq!(own(vec![wrote_blind("x"), wrote("x", 2), saw_nth("x", 2, 0)]), [Class::Internal]);
}

#[test]
fn two_transactions_may_not_install_one_version() {
    let history = [txn(1, vec![wrote("x", 1)]), txn(2, vec![wrote("x", 1)])];
    assert_eq!(classes(&history), [Class::VersionClash]);
}

#[test]
fn an_unknown_transaction_counts_once_it_is_observed() {
    let skew = unknown(2, vec![initial("x"), initial("y"), wrote("y", 1)]);
    let first = txn(1, vec![initial("x"), initial("y"), wrote("x", 1)]);
    assert_eq!(classes(&[first.clone(), skew.clone()]), [], "it may never have committed");
    assert_eq!(classes(&[first, skew, txn(3, vec![saw("y", 2)])]), [Class::G2]);
}

#[test]
fn an_unknown_transaction_counts_if_only_another_unknown_and_observed_one_saw_it() {
    let first = txn(1, vec![initial("x"), initial("y"), wrote("x", 1)]);
    let skew = unknown(2, vec![initial("x"), initial("y"), wrote("y", 1)]);
    let relay = unknown(3, vec![saw("y", 2), wrote("z", 1)]);
    assert_eq!(classes(&[first.clone(), skew.clone(), relay.clone()]), []);
    assert_eq!(classes(&[first, skew, relay, txn(4, vec![saw("z", 3)])]), [Class::G2]);
}

#[test]
fn an_unknown_write_that_was_observed_may_not_vanish() {
    let history = [
        unknown(1, vec![wrote_blind("x")]),
        during(10, 11, txn(2, vec![saw("x", 1)])),
        during(20, 21, txn(3, vec![initial("x")])),
    ];
    assert_eq!(findings(&history), [], "serializable: the third before the second");
    let strict = check(&history, Demand::StrictlySerializable);
    assert_eq!(strict[0].class, Class::RealTime);
}

#[test]
fn a_stale_read_is_serializable_but_not_strictly() {
    let history = [during(0, 10, txn(1, vec![wrote("x", 1)])), during(20, 30, txn(2, vec![initial("x")]))];
    assert_eq!(findings(&history), []);
    let [finding] = &check(&history, Demand::StrictlySerializable)[..] else { panic!("expected one finding") };
    assert_eq!(
        finding.to_string(),
        "real-time order broken among T1, T2:\n  \
         T1 -rt-> T2: T1 had committed before T2 began\n  \
         T2 -rw-> T1: T2 read the initial version of key \"x\", and T1 installed version 1 after it"
    );
}

#[test]
fn steps_of_real_time_in_a_row_are_told_as_one() {
    let mut history = vec![during(0, 10, txn(1, vec![wrote("x", 1)]))];
    history.extend((2..10).map(|id| during(id * 10 + 1, id * 10 + 5, txn(id, vec![]))));
    history.push(during(200, 210, txn(10, vec![initial("x")])));
    let findings = check(&history, Demand::StrictlySerializable);
    assert_eq!(findings[0].transactions, [TxnId(1), TxnId(10)]);
}

#[test]
fn overlapping_transactions_may_be_ordered_against_their_begin() {
    let history = [during(0, 30, txn(1, vec![wrote("x", 1)])), during(20, 40, txn(2, vec![initial("x")]))];
    assert_eq!(check(&history, Demand::StrictlySerializable), []);
}

#[test]
fn a_long_history_is_checked_by_edges_and_not_by_pairs() {
    let mut history: Vec<Txn> = Vec::new();
    for id in 1..5_000 {
        let previous = if id == 1 { initial("x") } else { saw("x", id - 1) };
        history.push(during(2 * id, 2 * id + 1, txn(id, vec![previous, wrote("x", id)])));
    }
    assert_eq!(check(&history, Demand::StrictlySerializable), []);
    history.push(during(50_000, 50_001, txn(5_000, vec![saw("x", 5)])));
    assert_eq!(check(&history, Demand::StrictlySerializable)[0].transactions, [TxnId(6), TxnId(5_000)]);
}

#[test]
#[should_panic(expected = "T1 is recorded twice")]
fn two_transactions_of_one_name_are_a_mistake_of_the_recorder() {
    findings(&[txn(1, vec![]), txn(1, vec![])]);
}
