//! The host put through its paces by a counter: small enough to see through, and able to do everything wrong.

use std::sync::{
    Barrier, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use stormproof_contract::{Boot, BootError, DiskError, OpId, Query, Reader, Reads, System, Tick};
use tempfile::TempDir;

use super::*;
use crate::driver::{CallError, OpenError, Options, open};

/// A counter in memory that replies when it settles. Its view is what queries read.
#[derive(Clone, Default)]
struct Counter {
    /// The first settle passes both, so that a test can fill the queue between them.
    gates: Option<Arc<[Barrier; 2]>>,
    /// Boots to fail before one succeeds.
    boots_to_fail: u32,
}

struct CounterNode {
    total: u64,
    view: Arc<AtomicU64>,
    accepted: Vec<(RequestId, u64)>,
    settles: u64,
    gates: Option<Arc<[Barrier; 2]>>,
    due: Option<(Tick, RequestId)>,
    clock: Arc<dyn Clock>,
    incarnation: u32,
}

#[derive(Clone, Debug)]
enum Op {
    Add(u64),
    Total,
    /// Replies with the time by which the timer came late.
    Wait(Tick),
    Ignore,
    NoteAndSend,
    ReplyThenHaltThenReply(RequestId),
    Panic,
}

impl System for Counter {
    type Config = ();
    type Node = CounterNode;

    fn boot(&self, at: Boot<'_, ()>) -> Result<CounterNode, BootError> {
        if at.incarnation < self.boots_to_fail {
            return Err(BootError::Retry("warming up".into()));
        }
        Ok(CounterNode {
            total: 0,
            view: Arc::default(),
            accepted: Vec::new(),
            settles: 0,
            gates: self.gates.clone(),
            due: None,
            clock: at.clock,
            incarnation: at.incarnation,
        })
    }
}

impl Node for CounterNode {
    type Op = Op;
    type Reply = u64;
    type Ask = ();
    type Facts = (u64, u32);

    fn handle(&mut self, input: Input<Op>, out: &mut Effects<u64>) {
        match input {
            Input::Request { id, op: Op::Add(n) } => {
                self.total += n;
                self.accepted.push((id, self.total));
            }
            Input::Request { id, op: Op::Wait(span) } => self.due = Some((self.clock.now() + span, id)),
            Input::Request { id, op: Op::NoteAndSend } => {
                out.note("counter.noted", &[("total", self.total)]);
                out.send(NodeId(7), *b"hello");
                out.reply(id, 0);
            }
            Input::Request { id, op: Op::ReplyThenHaltThenReply(other) } => {
                out.reply(id, 1);
                out.halt("enough");
                out.reply(other, 2);
            }
            Input::Request { op: Op::Panic, .. } => panic!("the counter is broken"),
            Input::Request { op: Op::Ignore | Op::Total, .. } => {}
            Input::Timer => {
                let (due, id) = self.due.take().expect("the timer was asked for");
                out.reply(id, self.clock.now().0.checked_sub(due.0).expect("the timer came early"));
            }
            Input::Message { .. } | Input::JobSaid { .. } | Input::JobEnded { .. } => {
                panic!("nothing of this sort was asked for")
            }
        }
    }

    fn settle(&mut self, out: &mut Effects<u64>) {
        if let Some(gates) = self.gates.take() {
            gates.iter().for_each(|gate| {
                gate.wait();
            });
        }
        self.settles += 1;
        self.view.store(self.total, Ordering::SeqCst);
        for (id, total) in self.accepted.drain(..) {
            out.reply(id, total);
        }
    }

    fn deadline(&self) -> Option<Tick> {
        self.due.map(|(due, _)| due)
    }

    fn reader(&self) -> Option<Arc<dyn Reader<Op, u64>>> {
        Some(Arc::new(CounterReader(Arc::clone(&self.view))))
    }

    fn inspect(&self, (): &()) -> Option<(u64, u32)> {
        Some((self.settles, self.incarnation))
    }
}

struct CounterReader(Arc<AtomicU64>);

impl Reader<Op, u64> for CounterReader {
    fn start(&self, op: &Op) -> Option<Box<dyn Query<u64>>> {
        match op {
            Op::Total => Some(Box::new(CounterReader(Arc::clone(&self.0)))),
            _ => None,
        }
    }
}

impl Query<u64> for CounterReader {
    fn step(&mut self, _: &mut Reads) -> Option<u64> {
        Some(self.0.load(Ordering::SeqCst))
    }
}

fn run_with(counter: &Counter, options: Options) -> (TempDir, Running<CounterNode>) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let running = open(counter, &(), dir.path(), options).expect("a counter always opens");
    (dir, running)
}

fn run() -> (TempDir, Running<CounterNode>) {
    run_with(&Counter::default(), Options::default())
}

fn attempt(n: u64) -> RequestId {
    RequestId { op: OpId(n), attempt: 0 }
}

#[test]
fn a_client_is_shared_by_threads() {
    fn shared<T: Clone + Send + Sync>() {}
    shared::<Client<CounterNode>>();
}

#[test]
fn every_concurrent_caller_hears_its_own_reply() {
    let (_dir, running) = run();
    let callers = 8;
    let calls = 50;
    let mut heard: Vec<u64> = thread::scope(|scope| {
        let threads: Vec<_> = (0..callers)
            .map(|_| {
                let client = running.client();
                scope.spawn(move || (0..calls).map(|_| client.call(Op::Add(1)).expect("it runs")).collect::<Vec<_>>())
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("no caller panics")).collect()
    });
    heard.sort_unstable();
    assert_eq!(heard, (1..=callers * calls).collect::<Vec<_>>(), "each total was told to exactly one caller");
    assert_eq!(running.client().call(Op::Total), Ok(callers * calls), "a query sees what was acknowledged");
    assert_eq!(running.stop(), Stop::Asked);
}

#[test]
fn what_arrives_while_the_writer_settles_is_one_batch() {
    let gates = Arc::new([Barrier::new(2), Barrier::new(2)]);
    let counter = Counter { gates: Some(Arc::clone(&gates)), ..Counter::default() };
    let (_dir, running) = run_with(&counter, Options::default());
    let client = running.client();
    let first = client.submit(attempt(0), Op::Add(1)).expect("it runs");
    gates[0].wait();
    let rest: Vec<_> = (1..100).map(|n| client.submit(attempt(n), Op::Add(1)).expect("it runs")).collect();
    gates[1].wait();
    assert_eq!(first.recv(), Ok(1));
    for (n, answer) in rest.into_iter().enumerate() {
        assert_eq!(answer.recv(), Ok(n as u64 + 2));
    }
    let (settles, _) = client.inspect(()).expect("it runs").expect("it answers");
    assert_eq!(settles, 2, "one for the first call, one for the 99 that came meanwhile");
}

#[test]
fn a_batch_is_no_larger_than_its_bound() {
    let gates = Arc::new([Barrier::new(2), Barrier::new(2)]);
    let counter = Counter { gates: Some(Arc::clone(&gates)), ..Counter::default() };
    let (_dir, running) = run_with(&counter, Options { batch_inputs_max: 10, ..Options::default() });
    let client = running.client();
    let mut answers = vec![client.submit(attempt(0), Op::Add(1)).expect("it runs")];
    gates[0].wait();
    answers.extend((1..100).map(|n| client.submit(attempt(n), Op::Add(1)).expect("it runs")));
    gates[1].wait();
    assert!(answers.into_iter().all(|answer| answer.recv().is_ok()));
    let (settles, _) = client.inspect(()).expect("it runs").expect("it answers");
    assert_eq!(settles, 11, "one for the first call, ten for the 99 that came meanwhile");
}

#[test]
fn a_query_does_not_wait_for_the_writer() {
    let gates = Arc::new([Barrier::new(2), Barrier::new(2)]);
    let counter = Counter { gates: Some(Arc::clone(&gates)), ..Counter::default() };
    let (_dir, running) = run_with(&counter, Options::default());
    let client = running.client();
    let add = client.submit(attempt(0), Op::Add(5)).expect("it runs");
    gates[0].wait();
    assert_eq!(client.call(Op::Total), Ok(0), "the writer settles; the view is not published yet");
    gates[1].wait();
    assert_eq!(add.recv(), Ok(5));
    assert_eq!(client.call(Op::Total), Ok(5));
}

#[test]
fn a_timer_comes_and_is_never_early_even_when_other_inputs_wake_the_writer() {
    let (_dir, running) = run();
    let client = running.client();
    let waiting = client.submit(attempt(0), Op::Wait(Tick::millis(50))).expect("it runs");
    // The first may be of one batch with the wait. The second, which begins after a reply, is not.
    client.call(Op::Add(1)).expect("it runs");
    client.call(Op::Add(1)).expect("it runs");
    let late = waiting.recv().expect("the node checks that its timer is not early");
    assert!(late < Tick::secs(60).0, "late by {late} ns");
}

#[test]
fn a_halt_leaves_out_what_follows_and_tells_all_who_wait_that_they_cannot_know() {
    let (_dir, running) = run();
    let client = running.client();
    let waiting = client.submit(attempt(1), Op::Ignore).expect("it runs");
    let halting = client.submit(attempt(2), Op::ReplyThenHaltThenReply(attempt(1))).expect("it runs");
    assert_eq!(halting.recv(), Ok(1), "the reply before the halt is out");
    assert!(waiting.recv().is_err(), "the reply after the halt is not");
    let halted = Stop::Halted { reason: "enough".into() };
    assert_eq!(client.stopped(), Some(&halted));
    assert_eq!(client.call(Op::Total), Err(CallError::Closed), "no query on the view of a dead node");
    assert_eq!(running.stop(), halted);
    assert_eq!(client.call(Op::Add(1)), Err(CallError::Closed));
    assert_eq!(client.inspect(()), Err(CallError::Closed));
}

#[test]
fn a_panic_of_the_node_is_reported_and_all_who_wait_hear_unknown() {
    let (_dir, running) = run();
    let client = running.client();
    let waiting = client.submit(attempt(1), Op::Ignore).expect("it runs");
    assert_eq!(client.call(Op::Panic), Err(CallError::Unknown));
    assert!(waiting.recv().is_err());
    assert_eq!(running.stop(), Stop::Panicked { message: "the counter is broken".into() });
}

#[test]
fn a_stop_lets_the_calls_before_it_finish() {
    let (_dir, running) = run();
    let client = running.client();
    let answers: Vec<_> = (0..20).map(|n| client.submit(attempt(n), Op::Add(1)).expect("it runs")).collect();
    let never = client.submit(attempt(99), Op::Ignore).expect("it runs");
    assert_eq!(running.stop(), Stop::Asked);
    assert!(answers.into_iter().all(|answer| answer.recv().is_ok()));
    assert!(never.recv().is_err(), "the node had not replied");
    assert_eq!(client.call(Op::Add(1)), Err(CallError::Closed));
}

#[test]
fn the_later_of_two_calls_with_one_id_hears_the_reply() {
    let gates = Arc::new([Barrier::new(2), Barrier::new(2)]);
    let counter = Counter { gates: Some(Arc::clone(&gates)), ..Counter::default() };
    let (_dir, running) = run_with(&counter, Options::default());
    let client = running.client();
    let first = client.submit(attempt(0), Op::Ignore).expect("it runs");
    gates[0].wait();
    let earlier = client.submit(attempt(1), Op::Add(1)).expect("it runs");
    let later = client.submit(attempt(1), Op::Add(1)).expect("it runs");
    gates[1].wait();
    assert_eq!((earlier.recv().is_err(), later.recv()), (true, Ok(1)), "the node replied to the id, once for each");
    drop(first);
}

#[test]
fn the_observer_hears_answers_notes_refused_messages_and_the_end() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let answered = Arc::new(Mutex::new(Vec::new()));
    let (ear, other) = (Arc::clone(&heard), Arc::clone(&answered));
    let observer: Observer = Arc::new(move |note| match note {
        Note::Answered { id, kind, known, .. } => {
            other.lock().unwrap_or_else(PoisonError::into_inner).push((id.attempt, *kind, *known));
        }
        Note::Said { .. } | Note::NoPeer { .. } | Note::DeafJob { .. } | Note::Stopped { .. } => {
            ear.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{note:?}"));
        }
    });
    let (_dir, running) = run_with(&Counter::default(), Options { observer: Some(observer), ..Options::default() });
    running.client().call(Op::Add(3)).expect("it runs");
    running.client().call(Op::NoteAndSend).expect("it runs");
    running.stop();
    let expected = [
        format!("{:?}", Note::Said { name: "counter.noted", values: &[("total", 3)] }),
        format!("{:?}", Note::NoPeer { to: NodeId(7), bytes: 5 }),
        format!("{:?}", Note::Stopped { how: &Stop::Asked }),
    ];
    assert_eq!(*heard.lock().expect("no observer panicked"), expected);
    assert_eq!(*answered.lock().expect("no observer panicked"), [(0, "operation", true); 2]);
}

#[test]
fn a_directory_is_open_once_at_a_time_and_the_refusal_names_it() {
    let (dir, running) = run();
    let error = open(&Counter::default(), &(), dir.path(), Options::default()).err().expect("it is held");
    assert!(matches!(error, OpenError::InUse { .. }), "{error}");
    assert!(error.to_string().contains(&dir.path().display().to_string()), "{error}");
    let client = running.client();
    drop(running);
    open(&Counter::default(), &(), dir.path(), Options::default()).expect("free again, though a client is left");
    drop(client);
}

#[test]
fn each_boot_has_a_greater_incarnation_also_after_failed_ones() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let counter = Counter { boots_to_fail: 3, ..Counter::default() };
    let incarnation = |running: Running<CounterNode>| running.client().inspect(()).expect("it runs").expect("known").1;
    let running = open(&counter, &(), dir.path(), Options::default()).expect("the fourth boot succeeds");
    assert_eq!(incarnation(running), 3);
    for expected in 4..12 {
        let running = open(&counter, &(), dir.path(), Options::default()).expect("it is ready");
        assert_eq!(incarnation(running), expected);
    }
}

#[test]
fn a_node_that_is_never_ready_is_given_up_with_its_last_words() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let counter = Counter { boots_to_fail: u32::MAX, ..Counter::default() };
    let error = open(&counter, &(), dir.path(), Options { boot_attempts_max: 2, ..Options::default() }).err();
    let Some(OpenError::NotReady { attempts: 2, reason, .. }) = error else { panic!("{error:?}") };
    assert_eq!(&*reason, "warming up");
}

#[test]
fn a_damaged_incarnation_is_refused_by_name() {
    for damage in ["x\n", "7", "-1\n", "4294967295\n", "99999999999\n", "1\n1\n", "\n"] {
        let (dir, running) = run();
        drop(running);
        let path = dir.path().join("incarnation");
        std::fs::write(&path, damage).expect("room");
        let error = open(&Counter::default(), &(), dir.path(), Options::default()).err().expect("damaged");
        let OpenError::Incarnation { path: named, .. } = error else { panic!("{damage:?}: {error}") };
        assert_eq!(named, path, "{damage:?}");
    }
}

#[test]
fn ids_of_operations_are_not_reused_after_a_restart() {
    let (dir, running) = run();
    let first = running.client().new_op();
    assert_ne!(first, running.client().new_op());
    drop(running);
    let running = open(&Counter::default(), &(), dir.path(), Options::default()).expect("free again");
    assert_ne!(first, running.client().new_op());
}

/// The reads of a query go to the disk on the caller's thread; a failed one comes back as an error, not as a panic.
#[test]
fn a_query_gets_its_reads_in_the_order_it_asked() {
    struct TwoReads(Arc<dyn stormproof_contract::File>, bool);
    impl Query<u64> for TwoReads {
        fn step(&mut self, io: &mut Reads) -> Option<u64> {
            if !std::mem::replace(&mut self.1, true) {
                io.want(&self.0, 4, 2);
                io.want(&self.0, 0, 3);
                io.want(&self.0, 9, 9);
                return None;
            }
            let got: Result<Vec<_>, DiskError> = io.take().into_iter().collect();
            let got = got.expect("the file is there");
            assert_eq!(got.iter().map(|bytes| &bytes[..]).collect::<Vec<_>>(), [&b"45"[..], b"012", b""]);
            Some(got.len() as u64)
        }
    }
    let (dir, running) = run();
    std::fs::write(dir.path().join("node/f"), b"012345").expect("room");
    let disk = crate::driver::RealDisk::open(&dir.path().join("node")).expect("it exists");
    let file = stormproof_contract::Disk::open(&disk, "f", stormproof_contract::Open::Read).expect("it exists");
    assert_eq!(running.client().query(Box::new(TwoReads(file, false))), Ok(3));
}
