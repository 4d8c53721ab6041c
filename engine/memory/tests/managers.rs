//! Foreign managers: willing, refusing, hanging, deaf, and in doubt after a crash.

use std::sync::Mutex;

use stormproof_contract::{DiskErrorKind, DiskOp};

use super::*;
use crate::{protocol::Verdict, store::Digest};

fn with(ledger: LedgerConfig) -> Bench {
    Bench::new(Config { managers: Ledger::managers(&["book"], ledger), ..small() })
}

fn joint(retry: u128, id: u64) -> Transaction {
    Transaction { managers: vec!["book".into()], ..upsert(retry, id, 1.0) }
}

/// The facts, after checking that the managers agree with the log.
fn agreed(bench: &Bench) -> Facts {
    let facts = bench.facts();
    audit::managers_agree(&facts).expect("the managers agree");
    facts
}

#[test]
fn a_willing_manager_finishes_with_the_commit() {
    let mut bench = with(LedgerConfig::default());
    committed(&bench.commit(joint(1, 1)));
    let facts = agreed(&bench);
    assert_eq!((facts.managers[0].finished.len(), facts.managers[0].in_doubt.len()), (1, 0));
    bench.reopen();
    assert_eq!(agreed(&bench).managers, facts.managers);
}

#[test]
fn a_manager_may_take_part_without_any_record() {
    let mut bench = with(LedgerConfig::default());
    committed(&bench.commit(Transaction { managers: vec!["book".into()], ..empty(1) }));
    bench.reopen();
    assert_eq!(agreed(&bench).managers[0].finished.len(), 1);
    assert!(matches!(bench.commit(joint(1, 1)), Reply::Committed { .. }), "a retry is answered from the log");
}

#[test]
fn a_no_refuses_its_own_transaction_and_no_other_of_the_batch() {
    let mut bench = with(LedgerConfig { refuse_every: 1, ..LedgerConfig::default() });
    let joint_one = bench.send(Op::Commit(joint(1, 1)));
    let plain = bench.send(Op::Commit(upsert(2, 2, 1.0)));
    bench.settle();
    let refused = Reply::Refused(Refusal::Participant { name: "book".into(), why: "not this one".into() });
    assert_eq!(bench.reply(joint_one), Some(refused.clone()));
    committed(&bench.reply(plain).expect("an answer"));
    assert!(bench.noted("participant.refused"));
    assert_eq!(bench.get(1), None);
    assert_eq!(bench.commit(joint(1, 1)), refused, "a late copy hears the same");
    assert_eq!(agreed(&bench).managers[0].in_doubt, []);
}

#[test]
fn a_manager_that_hangs_is_asked_again_and_holds_up_nobody_else() {
    let mut bench = with(LedgerConfig { hang_every: 1, hang_votes: 2, ..LedgerConfig::default() });
    let waits = bench.send(Op::Commit(joint(1, 1)));
    bench.settle();
    committed(&bench.commit(upsert(2, 2, 1.0)));
    assert_eq!(bench.reply(waits), None);
    assert_eq!(bench.facts().waiting.len(), 1);
    bench.pass(Tick::secs(1));
    committed(&bench.reply(waits).expect("an answer"));
    assert_eq!(agreed(&bench).waiting, []);
}

#[test]
fn a_manager_that_hangs_too_long_is_a_no() {
    let mut bench = with(LedgerConfig { hang_every: 1, hang_votes: u32::MAX, ..LedgerConfig::default() });
    assert_eq!(bench.ask(Op::Commit(joint(1, 1))), None);
    for _ in 0..6 {
        bench.pass(Tick::secs(1));
    }
    assert!(matches!(bench.reply(1), Some(Reply::Refused(Refusal::Participant { .. }))));
    assert!(bench.noted("participant.timed_out"));
    assert_eq!((bench.get(1), agreed(&bench).waiting), (None, vec![]));
    assert_eq!(bench.node.deadline(), None, "nothing is left to wait for");
}

#[test]
fn whoever_waits_holds_its_records() {
    let mut bench = with(LedgerConfig { hang_every: 1, hang_votes: 2, ..LedgerConfig::default() });
    bench.ask(Op::Commit(joint(1, 1)));
    let held = Reply::Conflict(Conflict::Held { id: RecordId(1) });
    assert_eq!(bench.commit(upsert(2, 1, 2.0)), held);
    assert_eq!(bench.commit(Transaction { reads: vec![read(1, None)], ..upsert(3, 2, 2.0) }), held);
    bench.pass(Tick::secs(1));
    committed(&bench.reply(1).expect("an answer"));
    committed(&bench.commit(upsert(4, 1, 2.0)));
}

#[test]
fn a_copy_of_a_transaction_that_waits_is_answered_with_it() {
    let mut bench = with(LedgerConfig { hang_every: 1, hang_votes: 2, ..LedgerConfig::default() });
    let first = bench.send(Op::Commit(joint(1, 1)));
    bench.settle();
    let second = bench.send(Op::Commit(joint(1, 1)));
    bench.pass(Tick::secs(1));
    bench.pass(Tick::secs(1));
    let answer = bench.reply(first).expect("an answer");
    committed(&answer);
    assert_eq!(bench.reply(second), Some(answer));
    assert_eq!(agreed(&bench).managers[0].finished.len(), 1);
}

#[test]
fn a_claim_on_the_whole_state_is_judged_again_when_the_votes_are_in() {
    let mut bench = with(LedgerConfig { hang_every: 1, hang_votes: 2, ..LedgerConfig::default() });
    bench.ask(Op::Commit(Transaction { whole: Some(Lsn(0)), ..joint(1, 1) }));
    committed(&bench.commit(upsert(2, 2, 2.0)));
    bench.pass(Tick::secs(1));
    assert!(matches!(bench.reply(1), Some(Reply::Conflict(Conflict::ChangedSince { .. }))));
    assert_eq!(agreed(&bench).managers[0].in_doubt, []);
}

#[test]
fn too_many_that_wait_are_told_so() {
    let hanging = LedgerConfig { hang_every: 1, hang_votes: u32::MAX, ..LedgerConfig::default() };
    let config = Config { managers: Ledger::managers(&["book"], hanging), waiting_max: 1, ..small() };
    let mut bench = Bench::new(config);
    bench.ask(Op::Commit(joint(1, 1)));
    assert_eq!(bench.commit(joint(2, 2)), Reply::Unavailable(Unavailable::Busy));
}

#[test]
fn a_vote_that_cannot_be_made_durable_is_a_no() {
    let mut bench = with(LedgerConfig::default());
    bench.disk.fail_on(DiskOp::Sync, "managers/book/", DiskErrorKind::Io);
    assert!(matches!(bench.commit(joint(1, 1)), Reply::Refused(Refusal::Participant { .. })));
    bench.reopen();
    assert_eq!(agreed(&bench).managers[0].in_doubt, []);
}

/// A manager that fails to finish and to abort as often as it is told to.
struct Deaf {
    ledger: Ledger,
    failures: Arc<Mutex<u32>>,
}

impl Deaf {
    fn hears(&self) -> Result<(), ManagerError> {
        let mut failures = self.failures.lock().expect("one thread");
        if *failures == 0 {
            return Ok(());
        }
        *failures -= 1;
        Err(ManagerError("what?".into()))
    }
}

impl DataManager for Deaf {
    fn begin(&mut self, tx: TransactionId, changes: &Transaction) -> Result<(), ManagerError> {
        self.ledger.begin(tx, changes)
    }

    fn vote(&mut self, tx: TransactionId) -> Vote {
        self.ledger.vote(tx)
    }

    fn finish(&mut self, tx: TransactionId) -> Result<(), ManagerError> {
        self.hears().and_then(|()| self.ledger.finish(tx))
    }

    fn abort(&mut self, tx: TransactionId) -> Result<(), ManagerError> {
        self.hears().and_then(|()| self.ledger.abort(tx))
    }

    fn in_doubt(&self) -> Vec<(TransactionId, Digest)> {
        self.ledger.in_doubt()
    }

    fn finished(&self) -> Vec<TransactionId> {
        self.ledger.finished()
    }
}

fn deaf(failures: u32, config: LedgerConfig) -> Bench {
    let failures = Arc::new(Mutex::new(failures));
    let make: MakeManager = Arc::new(move |_, disk| {
        Ok(Box::new(Deaf { ledger: Ledger::open(disk, config)?, failures: Arc::clone(&failures) }))
    });
    Bench::new(Config { managers: Managers { names: vec!["book".into()], make }, ..small() })
}

#[test]
fn a_verdict_that_was_not_heard_is_owed_and_told_again() {
    let mut bench = deaf(2, LedgerConfig::default());
    committed(&bench.commit(joint(1, 1)));
    let facts = agreed(&bench);
    assert_eq!((facts.owed.len(), facts.owed[0].verdict), (1, Verdict::Committed));
    bench.pass(Tick::secs(1));
    assert_eq!(agreed(&bench).owed.len(), 1, "deaf once more");
    bench.pass(Tick::secs(1));
    let facts = agreed(&bench);
    assert_eq!((facts.owed.len(), facts.managers[0].finished.len()), (0, 1));
    assert!(bench.noted("participant.redriven"));
}

#[test]
fn an_abort_that_was_not_heard_is_told_again() {
    let mut bench = deaf(1, LedgerConfig { refuse_every: 1, ..LedgerConfig::default() });
    assert!(matches!(bench.commit(joint(1, 1)), Reply::Refused(_)));
    assert_eq!(agreed(&bench).owed[0].verdict, Verdict::Aborted);
    bench.pass(Tick::secs(1));
    assert_eq!(agreed(&bench).owed, []);
}

#[test]
fn a_manager_in_doubt_about_a_decided_transaction_is_finished_at_boot() {
    let mut bench = with(LedgerConfig::default());
    bench.disk.fail_on(DiskOp::Point, "commit.decide.frame_written", DiskErrorKind::Io);
    assert_eq!(bench.ask(Op::Commit(joint(1, 1))), None);
    assert!(bench.halted);
    assert_eq!(bench.facts().managers[0].in_doubt.len(), 1);
    bench.reopen();
    assert!(bench.noted("participant.redriven"));
    let facts = agreed(&bench);
    assert_eq!((facts.records.len(), facts.managers[0].finished.len()), (1, 1));
    assert_eq!(facts.managers[0].in_doubt, []);
}

#[test]
fn a_manager_in_doubt_about_any_other_transaction_is_called_off_at_boot() {
    let mut bench = deaf(1, LedgerConfig::default());
    bench.disk.fail_on(DiskOp::Point, "commit.begin", DiskErrorKind::Io);
    assert!(matches!(bench.commit(joint(1, 1)), Reply::Unavailable(_)));
    assert_eq!(bench.facts().managers[0].in_doubt.len(), 1);
    bench.reopen();
    assert!(bench.noted("participant.redriven"));
    let facts = agreed(&bench);
    assert_eq!((facts.records.len(), facts.managers[0].finished.len()), (0, 0));
    assert_eq!(facts.managers[0].in_doubt, []);
}

#[test]
fn a_manager_that_holds_another_vote_than_the_log_is_refused() {
    let mut bench = with(LedgerConfig::default());
    bench.disk.fail_on(DiskOp::Point, "commit.decide.frame_written", DiskErrorKind::Io);
    bench.ask(Op::Commit(joint(1, 1)));
    let mut other = with(LedgerConfig::default());
    other.disk.fail_on(DiskOp::Point, "commit.decide.frame_written", DiskErrorKind::Io);
    other.ask(Op::Commit(joint(1, 2)));
    bench.disk.set("managers/book/book", &other.disk.bytes("managers/book/book"));
    let refused = boot(&bench.disk, &bench.clock, &bench.config, 1).map(|_| ());
    assert!(matches!(refused, Err(BootError::Refused(_))), "{refused:?}");
}

#[test]
fn a_batch_that_comes_to_nothing_calls_its_managers_off() {
    let mut bench = with(LedgerConfig::default());
    bench.disk.fail_on(DiskOp::Point, "commit.decide.reserved", DiskErrorKind::NoSpace);
    assert_eq!(bench.commit(joint(1, 1)), Reply::Unavailable(Unavailable::NoSpace));
    assert_eq!(agreed(&bench).managers[0].in_doubt, []);
    committed(&bench.commit(joint(1, 1)));
    assert_eq!(agreed(&bench).managers[0].finished.len(), 1);
}

#[test]
fn a_damaged_book_is_refused_by_name() {
    let mut bench = with(LedgerConfig::default());
    committed(&bench.commit(joint(1, 1)));
    let mut bytes = bench.disk.bytes("managers/book/book");
    let last = bytes.len() - 2;
    bytes[last] ^= 1;
    bench.disk.set("managers/book/book", &bytes);
    let refused = boot(&bench.disk, &bench.clock, &bench.config, 1).map(|_| ());
    let Err(BootError::Refused(words)) = refused else { panic!("{refused:?}") };
    assert!(words.contains("book"), "{words}");
}
