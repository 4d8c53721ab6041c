//! The engine in a process of its own, on a real directory, against a map in memory: random operations, restarts and kills.
//!
//! Runs itself as the process that is killed, so it has no test harness. The process reads an operation a line and answers
//! with a line. It is killed while an operation is under way: then nobody knows whether that took effect, and asking again
//! under the same retry id must have it take effect once, whichever it was.

#![allow(clippy::disallowed_methods, reason = "a process is killed at a moment of the clock, and read by a thread")]

use std::{
    cell::Cell,
    collections::BTreeMap,
    env,
    io::{self, BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, Command, ExitCode, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::Duration,
};

use proptest::{
    prelude::*,
    test_runner::{Config as Runs, TestCaseError, TestRunner},
};
use stormproof_engine::{
    driver::{JobCommand, Options, open},
    memory::{
        Config, Draft, Engine, L1Persist, LogFormat, MergeRules, Op, Record, RecordId, Refusal, Reply, RetryId,
        Transaction,
    },
};

/// Names the directory to the process that is the engine.
const DIR: &str = "STORMPROOF_MODEL_DIR";
/// Longer than any operation of this size takes on any machine.
const PATIENCE: Duration = Duration::from_mins(1);
const KEYS: u64 = 24;

#[derive(Clone, Debug)]
enum Step {
    Upsert(Vec<(u64, i8)>),
    Insert(u64, i8),
    Delete(Vec<u64>),
    Get(u64),
    Range(u64, u32),
    Search(i8, u32),
    Count,
    Restart,
    /// Killed so many microseconds after it was asked to write.
    Kill(u64, i8, u16),
}

fn step() -> impl Strategy<Value = Step> {
    let id = || 0..KEYS;
    prop_oneof![
        12 => prop::collection::btree_map(id(), any::<i8>(), 1..4).prop_map(|writes| Step::Upsert(writes.into_iter().collect())),
        3 => (id(), any::<i8>()).prop_map(|(id, x)| Step::Insert(id, x)),
        3 => prop::collection::btree_set(id(), 1..3).prop_map(|ids| Step::Delete(ids.into_iter().collect())),
        4 => id().prop_map(Step::Get),
        2 => (id(), 0..KEYS as u32 + 2).prop_map(|(from, limit)| Step::Range(from, limit)),
        4 => (any::<i8>(), 0..8_u32).prop_map(|(x, k)| Step::Search(x, k)),
        1 => Just(Step::Count),
        1 => Just(Step::Restart),
        2 => (id(), any::<i8>(), 0..3000_u16).prop_map(|(id, x, after)| Step::Kill(id, x, after)),
    ]
}

/// How a store is kept; all small, so that files are begun, flushed and merged all the time.
#[derive(Clone, Copy, Debug)]
struct Kept {
    rewrite: bool,
    json: bool,
    flush_records: usize,
    l1_rows: u64,
}

impl Kept {
    fn config(self) -> Config {
        Config {
            dim: 2,
            log_format: if self.json { LogFormat::JsonLines } else { LogFormat::Binary },
            log_file_bytes: 4096,
            l1_persist: if self.rewrite { L1Persist::Rewrite } else { L1Persist::Delta { merge_after: 3 } },
            flush_records: self.flush_records,
            flush_slice_bytes: 1,
            compaction: MergeRules { run_min: 2, tombstones_percent: 20 },
            l1_bytes: self.l1_rows * 8,
            free_bytes_min: 0,
            ..Config::default()
        }
    }

    fn words(self) -> String {
        format!("{} {} {} {}", u8::from(self.rewrite), u8::from(self.json), self.flush_records, self.l1_rows)
    }

    fn of_words(words: &str) -> Kept {
        let numbers: Vec<u64> = words.split(' ').map(|word| word.parse().expect("a number")).collect();
        let [rewrite, json, flush_records, l1_rows] = numbers[..] else { panic!("{words}") };
        Kept { rewrite: rewrite == 1, json: json == 1, flush_records: flush_records as usize, l1_rows }
    }
}

/// The process that is the engine: answers until its input ends.
fn serve(dir: &Path, kept: Kept) {
    let options = Options { job_command: JobCommand::InThreads, ..Options::default() };
    let store = open(&Engine, &kept.config(), dir, options).expect("it can be opened");
    let client = store.client();
    for line in io::stdin().lock().lines() {
        let op: Op = serde_json::from_str(&line.expect("a pipe")).expect("an operation");
        let reply = client.call(op).expect("it runs");
        println!("{}", serde_json::to_string(&reply).expect("it can be written"));
    }
    store.stop();
}

struct Served {
    child: Child,
    input: Option<ChildStdin>,
    answers: Receiver<String>,
}

impl Served {
    fn start(dir: &Path, kept: Kept) -> Served {
        let mut child = Command::new(env::current_exe().expect("this test"))
            .env(DIR, dir)
            .arg(kept.words())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a child");
        let (input, output) = (child.stdin.take(), child.stdout.take().expect("piped"));
        let (tell, answers) = channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if tell.send(line).is_err() {
                    return;
                }
            }
        });
        Served { child, input, answers }
    }

    fn ask(&mut self, op: &Op) {
        let line = serde_json::to_string(op).expect("it can be written");
        writeln!(self.input.as_mut().expect("it runs"), "{line}").expect("it listens");
    }

    fn call(&mut self, op: &Op) -> Reply {
        self.ask(op);
        let line = self.answers.recv_timeout(PATIENCE).expect("an answer in time");
        serde_json::from_str(&line).expect("a reply")
    }

    fn stop(mut self) {
        drop(self.input.take());
        assert!(self.child.wait().expect("it ends").success());
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The engine and what it should hold.
struct Run<'a> {
    dir: &'a Path,
    kept: Kept,
    served: Option<Served>,
    /// Version and vector of each record; no vector: it is gone.
    model: BTreeMap<u64, (u64, Option<i8>)>,
    retry: u128,
    kills: &'a Cell<u32>,
}

type Checked = Result<(), TestCaseError>;

fn vector(x: i8) -> Vec<f32> {
    vec![x.into(), 1.0]
}

fn shown(record: &Record) -> (u64, u64, Vec<f32>) {
    (record.id.0, record.version.0, record.vector.clone())
}

impl Run<'_> {
    fn served(&mut self) -> &mut Served {
        let (dir, kept) = (self.dir, self.kept);
        self.served.get_or_insert_with(|| Served::start(dir, kept))
    }

    fn step(&mut self, step: &Step) -> Checked {
        match step {
            Step::Upsert(writes) => {
                let upserts = writes.iter().map(|(id, x)| Draft::new(RecordId(*id), vector(*x))).collect();
                let transaction = self.transaction(|it| it.upserts = upserts);
                let after: Vec<_> = writes.iter().map(|(id, x)| (*id, Some(*x))).collect();
                self.commits(&transaction, &after)
            }
            Step::Insert(id, x) => {
                let transaction = self.transaction(|it| it.inserts = vec![Draft::new(RecordId(*id), vector(*x))]);
                if self.model.get(id).is_some_and(|(_, x)| x.is_some()) {
                    let reply = self.served().call(&Op::Commit(transaction));
                    prop_assert!(matches!(reply, Reply::Refused(Refusal::Duplicate { .. })), "{:?}", reply);
                    return Ok(());
                }
                self.commits(&transaction, &[(*id, Some(*x))])
            }
            Step::Delete(ids) => {
                let deletes = ids.iter().copied().map(RecordId).collect();
                let transaction = self.transaction(|it| it.deletes = deletes);
                let after: Vec<_> = ids.iter().map(|id| (*id, None)).collect();
                self.commits(&transaction, &after)
            }
            Step::Get(id) => {
                let reply = self.served().call(&Op::Get { ids: vec![RecordId(*id)] });
                let Reply::Records { records, .. } = &reply else {
                    return Err(TestCaseError::fail(format!("{reply:?}")));
                };
                let found: Vec<_> = records.iter().map(|record| shown(record)).collect();
                prop_assert_eq!(found, self.live(*id, *id + 1).take(1).collect::<Vec<_>>());
                Ok(())
            }
            Step::Range(from, limit) => self.range(*from, *limit),
            Step::Search(x, k) => self.search(*x, *k),
            Step::Count => {
                let reply = self.served().call(&Op::Count);
                let Reply::Count { n, .. } = reply else { return Err(TestCaseError::fail(format!("{reply:?}"))) };
                prop_assert_eq!(n, self.live(0, KEYS).count() as u64);
                Ok(())
            }
            Step::Restart => {
                if let Some(served) = self.served.take() {
                    served.stop();
                }
                self.range(0, KEYS as u32)
            }
            Step::Kill(id, x, after) => {
                let transaction = self.transaction(|it| it.upserts = vec![Draft::new(RecordId(*id), vector(*x))]);
                self.served().ask(&Op::Commit(transaction.clone()));
                thread::sleep(Duration::from_micros((*after).into()));
                drop(self.served.take());
                self.kills.set(self.kills.get() + 1);
                self.commits(&transaction, &[(*id, Some(*x))])?;
                self.range(0, KEYS as u32)
            }
        }
    }

    fn transaction(&mut self, fill: impl FnOnce(&mut Transaction)) -> Transaction {
        self.retry += 1;
        let mut transaction = Transaction::new(RetryId(self.retry));
        fill(&mut transaction);
        transaction
    }

    /// It commits, and gives the versions that follow.
    fn commits(&mut self, transaction: &Transaction, after: &[(u64, Option<i8>)]) -> Checked {
        let reply = self.served().call(&Op::Commit(transaction.clone()));
        let Reply::Committed { versions, .. } = &reply else { return Err(TestCaseError::fail(format!("{reply:?}"))) };
        for (id, x) in after {
            let before = self.model.get(id).copied();
            let given = versions.iter().find(|(written, _)| written.0 == *id).map(|(_, version)| version.0);
            match (before, x) {
                // Removing what is not there writes nothing, or says once more that it is not.
                (None | Some((_, None)), None) => {
                    if let Some(version) = given {
                        self.model.insert(*id, (version, None));
                    }
                }
                (before, x) => {
                    let given = given.ok_or_else(|| TestCaseError::fail(format!("{id} has no version: {reply:?}")))?;
                    prop_assert!(
                        before.is_none_or(|(last, _)| given > last),
                        "{} has {} after {:?}",
                        id,
                        given,
                        before
                    );
                    self.model.insert(*id, (given, *x));
                }
            }
        }
        Ok(())
    }

    fn live(&self, from: u64, end: u64) -> impl Iterator<Item = (u64, u64, Vec<f32>)> {
        let range = self.model.range(from..end);
        range.filter_map(|(id, (version, x))| x.map(|x| (*id, *version, vector(x))))
    }

    fn range(&mut self, from: u64, limit: u32) -> Checked {
        let reply = self.served().call(&Op::Range { from: RecordId(from), limit });
        let Reply::Records { records, .. } = &reply else { return Err(TestCaseError::fail(format!("{reply:?}"))) };
        let found: Vec<_> = records.iter().map(|record| shown(record)).collect();
        prop_assert_eq!(found, self.live(from, KEYS).take(limit as usize).collect::<Vec<_>>());
        Ok(())
    }

    fn search(&mut self, x: i8, k: u32) -> Checked {
        let reply = self.served().call(&Op::search(vector(x), k));
        let Reply::Hits { hits, .. } = &reply else { return Err(TestCaseError::fail(format!("{reply:?}"))) };
        let found: Vec<_> = hits.iter().map(|hit| (hit.distance, hit.record.id.0, hit.record.version.0)).collect();
        let far = |row: &[f32]| (row[0] - f32::from(x)).powi(2);
        let mut nearest: Vec<_> = self.live(0, KEYS).map(|(id, version, row)| (far(&row), id, version)).collect();
        nearest.sort_by(|one, other| one.0.total_cmp(&other.0).then(one.1.cmp(&other.1)));
        nearest.truncate(k as usize);
        prop_assert_eq!(found, nearest);
        Ok(())
    }
}

fn main() -> ExitCode {
    if let Some(dir) = env::var_os(DIR) {
        serve(Path::new(&dir), Kept::of_words(&env::args().nth(1).expect("how it is kept")));
        return ExitCode::SUCCESS;
    }
    let kept = (
        any::<bool>(),
        any::<bool>(),
        prop::sample::select(vec![2_usize, 5, 10_000]),
        prop::sample::select(vec![0_u64, 4, 10_000]),
    );
    let kept = kept.prop_map(|(rewrite, json, flush_records, l1_rows)| Kept { rewrite, json, flush_records, l1_rows });
    let kills = Cell::new(0);
    let mut runner =
        TestRunner::new(Runs { cases: 24, failure_persistence: None, max_shrink_time: 60_000, ..Runs::default() });
    let held = runner.run(&(kept, prop::collection::vec(step(), 20..90)), |(kept, steps)| {
        let dir = tempfile::tempdir().expect("a directory");
        let mut run = Run { dir: dir.path(), kept, served: None, model: BTreeMap::new(), retry: 0, kills: &kills };
        steps.iter().chain([&Step::Restart]).try_for_each(|step| run.step(step))
    });
    if let Err(error) = held {
        eprintln!("{error}");
        return ExitCode::FAILURE;
    }
    assert!(kills.get() >= 20, "only {} processes were killed", kills.get());
    eprintln!("model test ok: {} processes killed", kills.get());
    ExitCode::SUCCESS
}
