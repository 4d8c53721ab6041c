//! A node against a map: random transactions, batches, restarts and failed renames.

use proptest::prelude::*;
use stormproof_contract::{DiskErrorKind, DiskOp};

use super::*;

/// A step of a run.
#[derive(Clone, Debug)]
enum Step {
    /// A transaction: each change is (kind, record, component), kinds being insert, upsert, delete.
    Commit { changes: Vec<(u8, u64, i8)>, reads: Vec<u64>, old: bool, settle: bool },
    /// The last transaction once more.
    Again,
    /// A search.
    Search { x: i8, k: u32 },
    /// The next rename of the index's files fails.
    FailRename,
    /// Time passes.
    Pass,
    /// The node is dropped and booted again.
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let changes = prop::collection::vec((0u8..3, 0u64..6, any::<i8>()), 0..4);
    let reads = prop::collection::vec(0u64..6, 0..3);
    prop_oneof![
        8 => (changes, reads, prop::bool::weighted(0.2), any::<bool>())
            .prop_map(|(changes, reads, old, settle)| Step::Commit { changes, reads, old, settle }),
        1 => Just(Step::Again),
        2 => (any::<i8>(), 0u32..8).prop_map(|(x, k)| Step::Search { x, k }),
        1 => Just(Step::FailRename),
        1 => Just(Step::Pass),
        1 => Just(Step::Reopen),
    ]
}

/// What the node must hold.
#[derive(Default)]
struct Model {
    /// Version and component of each record that was ever written; no component where it is deleted.
    records: BTreeMap<u64, (u64, Option<f32>)>,
}

impl Model {
    fn live(&self, id: u64) -> Option<u64> {
        self.records.get(&id).and_then(|(version, x)| x.map(|_| *version))
    }

    /// Whether the transaction is to be committed; if so, does it.
    fn commit(&mut self, transaction: &Transaction) -> bool {
        let fits = |read: &Read| self.live(read.id.0).map(Version) == read.version;
        let fresh = |draft: &Draft| self.live(draft.id.0).is_none();
        if !transaction.reads.iter().all(fits) || !transaction.inserts.iter().all(fresh) {
            return false;
        }
        for draft in transaction.inserts.iter().chain(&transaction.upserts) {
            self.write(draft.id.0, Some(draft.vector[0]));
        }
        for id in &transaction.deletes {
            self.write(id.0, None);
        }
        true
    }

    fn write(&mut self, id: u64, x: Option<f32>) {
        let version = self.records.get(&id).map_or(0, |(version, _)| *version) + 1;
        self.records.insert(id, (version, x));
    }
}

struct Run {
    bench: Bench,
    model: Model,
    next: u128,
    last: Option<(Transaction, bool)>,
    open: Vec<(u64, bool)>,
}

impl Run {
    fn transaction(&mut self, changes: &[(u8, u64, i8)], reads: &[u64], old: bool) -> Transaction {
        self.next += 1;
        let mut transaction = empty(self.next);
        let mut named = std::collections::BTreeSet::new();
        for &(kind, id, x) in changes.iter().filter(|(_, id, _)| named.insert(*id)) {
            match kind {
                0 => transaction.inserts.push(draft(id, x.into())),
                1 => transaction.upserts.push(draft(id, x.into())),
                _ => transaction.deletes.push(RecordId(id)),
            }
        }
        // A version from the past now and then, so that there are conflicts.
        let version = |id| self.model.live(id).map(|version| version - u64::from(old).min(version));
        transaction.reads = reads.iter().map(|&id| super::read(id, version(id))).collect();
        transaction
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Commit { changes, reads, old, settle } => {
                let transaction = self.transaction(&changes, &reads, old);
                let expected = self.model.commit(&transaction);
                let asked = self.bench.send(Op::Commit(transaction.clone()));
                self.open.push((asked, expected));
                self.last = Some((transaction, expected));
                if settle {
                    self.settle();
                }
            }
            Step::Again => {
                let Some((transaction, expected)) = self.last.clone() else { return };
                // Watching changes nothing, so it is judged anew.
                if transaction.inserts.len() + transaction.upserts.len() + transaction.deletes.len() > 0 {
                    let asked = self.bench.send(Op::Commit(transaction));
                    self.open.push((asked, expected));
                    self.settle();
                }
            }
            Step::Search { x, k } => {
                self.settle();
                let vector = vec![f32::from(x), 0.0];
                let Some(Reply::Hits { hits, .. }) = self.bench.ask(Op::search(vector.clone(), k)) else {
                    panic!("a search is answered");
                };
                let found: Vec<_> = hits.iter().map(|hit| (hit.record.id, hit.distance)).collect();
                assert_eq!(found, audit::nearest(&self.bench.facts(), &vector, k as usize));
            }
            Step::FailRename => {
                self.settle();
                self.bench.disk.fail_on(DiskOp::Rename, "l1/", DiskErrorKind::Io);
            }
            Step::Pass => {
                self.settle();
                self.bench.pass(Tick::secs(1));
            }
            Step::Reopen => {
                self.settle();
                // Without the failures that are still to come.
                self.bench.disk = self.bench.disk.copied();
                self.bench.reopen();
                self.check();
            }
        }
    }

    fn settle(&mut self) {
        self.bench.settle();
        for (asked, expected) in std::mem::take(&mut self.open) {
            let reply = self.bench.reply(asked).expect("an answer");
            assert_eq!(matches!(reply, Reply::Committed { .. }), expected, "{reply:?}");
        }
        self.bench.tick();
        self.check();
    }

    fn check(&self) {
        let facts = self.bench.facts();
        let found: Vec<_> = facts.records.iter().map(|it| (it.id.0, it.version.0, it.vector[0])).collect();
        let live = |(&id, &(version, x)): (&u64, &(u64, Option<f32>))| x.map(|x| (id, version, x));
        assert_eq!(found, self.model.records.iter().filter_map(live).collect::<Vec<_>>());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_node_does_what_a_map_would_do(
        steps in prop::collection::vec(step(), 1..60),
        rewrite in any::<bool>(),
        json in any::<bool>(),
        flush_records in prop::sample::select(vec![1_usize, 3, 10_000]),
        l1_rows in prop::sample::select(vec![0, 2, 10_000]),
    ) {
        let l1_persist = if rewrite { L1Persist::Rewrite } else { L1Persist::Delta { merge_after: 3 } };
        let log_format = if json { LogFormat::JsonLines } else { LogFormat::Binary };
        let bench = Bench::new(Config { log_format, l1_persist, flush_records, l1_bytes: l1_rows * 8, ..small() });
        let mut run = Run { bench, model: Model::default(), next: 0, last: None, open: Vec::new() };
        for step in steps {
            run.step(step);
        }
        run.settle();
    }
}
