//! The isolation checker against two others on random histories: one that tries every serial order, and the crate
//! `adya`, which infers the order of versions from lists that transactions append to.

use adya::{Opts, Valid, Workload};
use proptest::prelude::*;

use super::super::history::Moment;
use super::{Access, Class, Demand, Seen, Status, Transaction, TxnId, check};

type Txn = Transaction<&'static str>;

const KEYS: [&str; 2] = ["x", "y"];

/// What to generate of one transaction: its accesses as (key, is a write), its status and its times.
#[derive(Clone, Debug)]
struct Sketch {
    accesses: Vec<(usize, bool)>,
    status: u8,
    began: u64,
    lasted: u64,
}

/// A sketch becomes a transaction by running it: serially, in the order given, so that without mutation the history
/// is serializable in that order.
fn run_serially(sketches: &[Sketch]) -> Vec<Txn> {
    let mut held = [(Seen::Initial, 0); KEYS.len()];
    let mut transactions = Vec::new();
    for (place, sketch) in sketches.iter().enumerate() {
        let (by, before) = (TxnId(place as u64), held);
        let mut writes = [0; KEYS.len()];
        let mut accesses = Vec::new();
        for &(key, is_write) in &sketch.accesses {
            if is_write {
                let version = before[key].1 + 1;
                held[key] = (Seen::Write { by, nth: writes[key] }, version);
                writes[key] += 1;
                accesses.push(Access::Write { key: KEYS[key], version: Some(version) });
            } else {
                accesses.push(Access::Read { key: KEYS[key], seen: held[key].0 });
            }
        }
        let status = match sketch.status {
            0 => Status::Aborted,
            1 | 2 => Status::Unknown,
            _ => Status::Committed { at: Moment { at: sketch.began + sketch.lasted, seq: 100 + place as u64 } },
        };
        if status == Status::Aborted {
            held = before;
        }
        let began = Moment { at: sketch.began, seq: place as u64 };
        transactions.push(Transaction { id: by, began, status, accesses });
    }
    transactions
}

fn sketches(updates_read_first: bool) -> impl Strategy<Value = Vec<Sketch>> {
    let access = (0..KEYS.len(), any::<bool>());
    let sketch = (prop::collection::vec(access, 1..5), 0u8..12, 0u64..40, 1u64..20);
    let sketch = sketch.prop_map(move |(mut accesses, status, began, lasted)| {
        if updates_read_first {
            accesses = accesses.into_iter().flat_map(|(key, write)| [(key, false), (key, write)]).collect();
        }
        Sketch { accesses, status, began, lasted }
    });
    prop::collection::vec(sketch, 2..7)
}

/// Makes some reads return something else, and so most histories wrong.
type Mutations = Vec<(usize, usize, Seen)>;

fn mutations() -> impl Strategy<Value = Mutations> {
    let write = (0u64..6, 0u32..2).prop_map(|(by, nth)| Seen::Write { by: TxnId(by), nth });
    let seen = prop_oneof![1 => Just(Seen::Initial), 6 => write];
    prop::collection::vec((0usize..6, 0usize..8, seen), 0..3)
}

fn mutate(transactions: &mut [Txn], mutations: &Mutations) {
    for &(transaction, access, value) in mutations {
        let access = transactions.get_mut(transaction).and_then(|txn| txn.accesses.get_mut(access));
        if let Some(Access::Read { seen, .. }) = access {
            *seen = value;
        }
    }
}

fn forget_versions(transactions: &mut [Txn]) {
    for access in transactions.iter_mut().flat_map(|txn| &mut txn.accesses) {
        if let Access::Write { version, .. } = access {
            *version = None;
        }
    }
}

/// Whether some serial order, of the committed and any of the unknown, explains every read and every version number.
fn brute_force(transactions: &[Txn], demand: Demand) -> bool {
    fn extend(held: &[(Seen, u64)], left: &[&Txn], demand: Demand) -> bool {
        let committed = |txn: &Txn| match txn.status {
            Status::Committed { at } => Some(at),
            Status::Aborted | Status::Unknown => None,
        };
        if left.iter().all(|txn| committed(txn).is_none()) {
            return true;
        }
        let earliest = left.iter().filter_map(|txn| committed(txn)).min();
        left.iter().enumerate().any(|(place, txn)| {
            if demand == Demand::StrictlySerializable && earliest.is_some_and(|earliest| earliest < txn.began) {
                return false;
            }
            let rest = [&left[..place], &left[place + 1..]].concat();
            apply(held, txn).is_some_and(|held| extend(&held, &rest, demand))
        })
    }
    let left: Vec<&Txn> = transactions.iter().filter(|txn| txn.status != Status::Aborted).collect();
    extend(&[(Seen::Initial, 0); KEYS.len()], &left, demand)
}

/// What the keys hold after the transaction, or `None` if it could not have run now.
fn apply(held: &[(Seen, u64)], txn: &Txn) -> Option<Vec<(Seen, u64)>> {
    let mut after = held.to_vec();
    let mut writes = [0; KEYS.len()];
    for access in &txn.accesses {
        let (Access::Read { key: name, .. } | Access::Write { key: name, .. }) = access;
        let key = KEYS.iter().position(|key| key == name)?;
        match access {
            Access::Read { seen, .. } if after[key].0 == *seen => {}
            Access::Write { version, .. } if version.is_none_or(|version| version > held[key].1) => {
                after[key] = (Seen::Write { by: txn.id, nth: writes[key] }, version.unwrap_or(0));
                writes[key] += 1;
            }
            Access::Read { .. } | Access::Write { .. } => return None,
        }
    }
    Some(after)
}

proptest! {
    #[test]
    fn with_version_numbers_agrees_with_trying_every_order(
        sketches in sketches(false), mutations in mutations(), strict in any::<bool>(),
    ) {
        let demand = if strict { Demand::StrictlySerializable } else { Demand::Serializable };
        let mut transactions = run_serially(&sketches);
        mutate(&mut transactions, &mutations);
        prop_assert_eq!(check(&transactions, demand).is_empty(), brute_force(&transactions, demand));
    }

    #[test]
    fn without_version_numbers_updates_that_read_first_are_judged_exactly(
        sketches in sketches(true), mutations in mutations(),
    ) {
        let mut transactions = run_serially(&sketches);
        mutate(&mut transactions, &mutations);
        forget_versions(&mut transactions);
        let findings = check(&transactions, Demand::Serializable);
        prop_assert_eq!(findings.is_empty(), brute_force(&transactions, Demand::Serializable), "{:?}", findings);
    }

    #[test]
    fn without_version_numbers_every_finding_is_still_a_proof(
        sketches in sketches(false), mutations in mutations(), strict in any::<bool>(),
    ) {
        let demand = if strict { Demand::StrictlySerializable } else { Demand::Serializable };
        let mut transactions = run_serially(&sketches);
        mutate(&mut transactions, &mutations);
        forget_versions(&mut transactions);
        if brute_force(&transactions, demand) {
            prop_assert_eq!(check(&transactions, demand), []);
        }
    }
}

/// A transaction for both checkers: the version that it reads of some keys (0 is the initial one), then the keys it
/// writes, each once.
type Step = (Vec<Option<usize>>, Vec<bool>);

/// Transactions, and for each key an order of all of them, of which the writers' part is the order of versions.
fn steps() -> impl Strategy<Value = (Vec<Step>, Vec<Vec<usize>>)> {
    (2usize..7).prop_flat_map(|count| {
        let read = prop::collection::vec(prop::option::of(0..=count), KEYS.len());
        let step = (read, prop::collection::vec(any::<bool>(), KEYS.len()));
        let order = Just((0..count).collect::<Vec<_>>()).prop_shuffle();
        (prop::collection::vec(step, count), prop::collection::vec(order, KEYS.len()))
    })
}

/// For each key its writers in the order of versions.
fn version_orders(steps: &[Step], orders: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let writers = |(key, order): (usize, &Vec<usize>)| order.iter().copied().filter(|&txn| steps[txn].1[key]).collect();
    orders.iter().enumerate().map(writers).collect()
}

fn for_us(steps: &[Step], versions: &[Vec<usize>]) -> Vec<Txn> {
    let transaction = |(place, (reads, writes)): (usize, &Step)| {
        let mut accesses = Vec::new();
        for (key, read) in reads.iter().enumerate().filter_map(|(key, read)| Some((key, (*read)?))) {
            let writer = read.min(versions[key].len()).checked_sub(1).map(|last| versions[key][last]);
            let seen = writer.map_or(Seen::Initial, |by| Seen::Write { by: TxnId(by as u64), nth: 0 });
            accesses.push(Access::Read { key: KEYS[key], seen });
        }
        for key in (0..KEYS.len()).filter(|&key| writes[key]) {
            let version = versions[key].iter().position(|&writer| writer == place).map(|place| place as u64 + 1);
            accesses.push(Access::Write { key: KEYS[key], version });
        }
        let (began, at) = (Moment { at: 0, seq: place as u64 }, Moment { at: 1, seq: place as u64 });
        Transaction { id: TxnId(place as u64), began, status: Status::Committed { at }, accesses }
    };
    steps.iter().enumerate().map(transaction).collect()
}

/// The same as lists: version n of a key is the list of its first n writers. A last transaction reads all of them, so
/// that the order of versions is seen.
fn for_adya(steps: &[Step], versions: &[Vec<usize>]) -> String {
    let mut lines = Vec::new();
    let mut line = |kind, process, operations: &[String]| {
        lines.push(format!(r#"{{"type":"{kind}","process":{process},"value":[{}]}}"#, operations.join(",")));
    };
    let read = |key: usize, upto: usize| {
        let list: Vec<_> = versions[key].iter().take(upto).map(usize::to_string).collect();
        format!(r#"["r","{}",[{}]]"#, KEYS[key], list.join(","))
    };
    let operations = |place: usize, (reads, writes): &Step| {
        let reads = reads.iter().enumerate().filter_map(|(key, upto)| Some(read(key, (*upto)?)));
        let appends = (0..KEYS.len()).filter(|&key| writes[key]);
        reads.chain(appends.map(|key| format!(r#"["append","{}",{place}]"#, KEYS[key]))).collect::<Vec<_>>()
    };
    let last: Vec<_> = (0..KEYS.len()).map(|key| read(key, usize::MAX)).collect();
    for kind in ["invoke", "ok"] {
        for (place, step) in steps.iter().enumerate() {
            line(kind, place, &operations(place, step));
        }
    }
    line("invoke", steps.len(), &last);
    line("ok", steps.len(), &last);
    lines.join("\n")
}

/// What `adya` calls the classes that can occur here.
fn name_in_adya(class: Class) -> &'static [&'static str] {
    match class {
        Class::G0 => &["G0"],
        Class::G1c => &["G1c"],
        Class::LostUpdate => &["lost-update"],
        Class::GSingle => &["G-single-item"],
        Class::G2 => &["G2-item", "G-nonadjacent-item"],
        // Its own write before it was made: no other inconsistency within a transaction is generated.
        Class::Internal => &["future-read"],
        Class::UnwrittenRead | Class::VersionClash | Class::G1a | Class::G1b | Class::RealTime => &[],
    }
}

proptest! {
    #[test]
    fn agrees_with_adya_on_the_verdict_and_on_the_class((steps, orders) in steps()) {
        let versions = version_orders(&steps, &orders);
        let findings = check(&for_us(&steps, &versions), Demand::Serializable);
        let history = adya::History::from_json(&for_adya(&steps, &versions)).expect("our JSON is well-formed");
        let models = Opts { models: vec!["serializable".to_owned()], ..Opts::default() };
        let report = adya::check(&history, Workload::ListAppend, &models);
        // It calls a history without any dependency unknown rather than valid.
        prop_assert_eq!(findings.is_empty(), report.valid != Valid::False, "{:?} {:?}", findings, report.anomaly_types);
        for finding in findings {
            let names = name_in_adya(finding.class);
            let known = report.anomaly_types.iter().any(|kind| names.contains(&kind.as_str()));
            prop_assert!(known, "{:?} is none of {:?}", finding, report.anomaly_types);
        }
    }
}
