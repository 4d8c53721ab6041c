//! Jobs in child processes. This program starts itself for its jobs, so standard output must be free of anything else:
//! it has no test harness, and says what it did on standard error.

use std::{
    collections::VecDeque,
    process::ExitCode,
    sync::{Arc, Mutex},
};

use stormproof_contract::{
    Boot, BootError, Bytes, Disk, Effects, Input, Job, JobEnd, JobError, JobId, JobStep, Node, Open, Pool, RequestId,
    System,
};
use stormproof_engine::driver::{Client, JobCommand, Note, Options, Running, Stop, job_child_dir, open, run_job_child};

/// A node that does with jobs what it is told, and replies with what it hears of them.
#[derive(Clone)]
struct Foreman;

#[derive(Default)]
struct ForemanNode {
    ask: Option<RequestId>,
    news: VecDeque<String>,
}

#[derive(Clone, Debug)]
enum Op {
    Start(JobId, &'static str),
    Tell(JobId, Vec<u8>),
    Stop(JobId),
    /// Replies with the next news of any job.
    Next,
}

impl System for Foreman {
    type Config = ();
    type Node = ForemanNode;

    fn boot(&self, _: Boot<'_, ()>) -> Result<ForemanNode, BootError> {
        Ok(ForemanNode::default())
    }

    fn job(&self, spec: &[u8]) -> Result<Box<dyn Job>, JobError> {
        match spec {
            b"echo" => Ok(Box::new(Echo)),
            b"count" => Ok(Box::new(Count(0))),
            b"deaf" => Ok(Box::new(Deaf)),
            b"fail" => Ok(Box::new(Fails)),
            b"panic" => Ok(Box::new(Panics)),
            b"print" => Ok(Box::new(Prints)),
            _ => Err(JobError::UnknownSpec),
        }
    }
}

impl Node for ForemanNode {
    type Op = Op;
    type Reply = String;
    type Ask = ();
    type Facts = ();

    fn handle(&mut self, input: Input<Op>, out: &mut Effects<String>) {
        match input {
            Input::Request { id, op } => match op {
                Op::Next => self.ask = Some(id),
                Op::Start(job, spec) => {
                    out.start_job(job, spec.as_bytes());
                    out.reply(id, String::new());
                }
                Op::Tell(job, bytes) => {
                    out.tell_job(job, bytes);
                    out.reply(id, String::new());
                }
                Op::Stop(job) => {
                    out.stop_job(job);
                    out.reply(id, String::new());
                }
            },
            Input::JobSaid { job, bytes } => {
                self.news.push_back(format!("{job} said {}", String::from_utf8_lossy(&bytes)));
            }
            Input::JobEnded { job, how: JobEnd::Done(bytes) } => {
                self.news.push_back(format!("{job} done {}", String::from_utf8_lossy(&bytes)));
            }
            Input::JobEnded { job, how: JobEnd::Failed(why) } => self.news.push_back(format!("{job} failed: {why}")),
            Input::JobEnded { job, how: JobEnd::Killed } => self.news.push_back(format!("{job} killed")),
            Input::Message { .. } | Input::Timer => unreachable!("not asked for"),
        }
        if let Some(id) = self.ask
            && let Some(news) = self.news.pop_front()
        {
            self.ask = None;
            out.reply(id, news);
        }
    }
}

/// Says what it hears, until it hears "enough".
struct Echo;

impl Job for Echo {
    fn step(
        &mut self,
        heard: &mut VecDeque<Bytes>,
        _: &Arc<dyn Disk>,
        _: &dyn Pool,
        _: u32,
    ) -> Result<JobStep, JobError> {
        Ok(match heard.pop_front() {
            None => JobStep::Waiting,
            Some(bytes) if *bytes == *b"enough" => JobStep::Done(Bytes::from(*b"gladly")),
            Some(bytes) => JobStep::Say(bytes),
        })
    }
}

/// Says three numbers, then leaves a file and is done.
struct Count(u8);

impl Job for Count {
    fn step(
        &mut self,
        _: &mut VecDeque<Bytes>,
        disk: &Arc<dyn Disk>,
        _: &dyn Pool,
        _: u32,
    ) -> Result<JobStep, JobError> {
        self.0 += 1;
        if self.0 <= 3 {
            return Ok(JobStep::Say(self.0.to_string().into_bytes().into()));
        }
        disk.open("counted", Open::CreateNew)?.write_all_at(0, &[b"123"])?;
        Ok(JobStep::Done(Bytes::from(*b"counted")))
    }
}

/// Works for ever and hears nothing.
struct Deaf;

impl Job for Deaf {
    fn step(&mut self, _: &mut VecDeque<Bytes>, _: &Arc<dyn Disk>, _: &dyn Pool, _: u32) -> Result<JobStep, JobError> {
        Ok(JobStep::More)
    }
}

struct Fails;

impl Job for Fails {
    fn step(
        &mut self,
        _: &mut VecDeque<Bytes>,
        disk: &Arc<dyn Disk>,
        _: &dyn Pool,
        _: u32,
    ) -> Result<JobStep, JobError> {
        disk.open("none", Open::Read)?;
        Ok(JobStep::More)
    }
}

struct Panics;

impl Job for Panics {
    fn step(&mut self, _: &mut VecDeque<Bytes>, _: &Arc<dyn Disk>, _: &dyn Pool, _: u32) -> Result<JobStep, JobError> {
        panic!("this job is meant to panic");
    }
}

/// Does what no job may.
struct Prints;

impl Job for Prints {
    fn step(&mut self, _: &mut VecDeque<Bytes>, _: &Arc<dyn Disk>, _: &dyn Pool, _: u32) -> Result<JobStep, JobError> {
        println!("hello");
        Ok(JobStep::Waiting)
    }
}

/// A running foreman with a directory of its own.
struct Site {
    dir: tempfile::TempDir,
    running: Running<ForemanNode>,
    client: Client<ForemanNode>,
    notes: Arc<Mutex<Vec<String>>>,
}

impl Site {
    fn open(job_command: JobCommand) -> Site {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let notes = Arc::new(Mutex::new(Vec::new()));
        let ear = Arc::clone(&notes);
        let observer = move |note: &Note<'_>| {
            if !matches!(note, Note::Answered { .. }) {
                ear.lock().expect("no observer panics").push(format!("{note:?}"));
            }
        };
        let options = Options { observer: Some(Arc::new(observer)), job_command, ..Options::default() };
        let running = open(&Foreman, &(), dir.path(), options).expect("an empty directory");
        Site { client: running.client(), dir, running, notes }
    }

    fn tell(&self, op: Op) {
        self.client.call(op).expect("it runs");
    }

    fn hears(&self, expected: &str) {
        assert_eq!(self.client.call(Op::Next).expect("it runs"), expected);
    }
}

/// What is tried wherever jobs run.
type Story = fn(JobCommand);

const JOB: JobId = JobId(7);

fn a_job_speaks_in_order_works_on_the_nodes_disk_and_ends(jobs: JobCommand) {
    let site = Site::open(jobs);
    site.tell(Op::Start(JOB, "count"));
    for expected in ["job7 said 1", "job7 said 2", "job7 said 3", "job7 done counted"] {
        site.hears(expected);
    }
    assert_eq!(std::fs::read(site.dir.path().join("node/counted")).expect("written"), b"123");
}

fn a_job_hears_what_it_is_told_while_another_does_too(jobs: JobCommand) {
    let site = Site::open(jobs);
    let other = JobId(8);
    site.tell(Op::Start(JOB, "echo"));
    site.tell(Op::Start(other, "echo"));
    for word in ["a", "b", ""] {
        site.tell(Op::Tell(JOB, word.into()));
        site.hears(&format!("job7 said {word}"));
        site.tell(Op::Tell(other, word.into()));
        site.hears(&format!("job8 said {word}"));
    }
    let long = "long ".repeat(100_000);
    site.tell(Op::Tell(other, long.clone().into_bytes()));
    site.hears(&format!("job8 said {long}"));
    site.tell(Op::Tell(JOB, b"enough".to_vec()));
    site.hears("job7 done gladly");
    site.tell(Op::Tell(JOB, b"too late".to_vec()));
    site.tell(Op::Tell(other, b"enough".to_vec()));
    site.hears("job8 done gladly");
}

fn a_stopped_job_is_reported_killed(jobs: JobCommand) {
    let site = Site::open(jobs);
    site.tell(Op::Start(JOB, "deaf"));
    site.tell(Op::Stop(JOB));
    site.hears("job7 killed");
    site.tell(Op::Stop(JOB));
}

fn a_job_that_cannot_begin_or_go_on_says_why(jobs: JobCommand) {
    let site = Site::open(jobs);
    site.tell(Op::Start(JobId(1), "nonsense"));
    site.hears("job1 failed: the bytes name no job of this system");
    site.tell(Op::Start(JobId(2), "fail"));
    site.hears("job2 failed: open of `none`: no such file or directory");
    site.tell(Op::Start(JobId(3), "panic"));
    site.hears("job3 killed");
}

/// What a job prints goes to the node where it has a process, and its standard output, of its own.
fn a_job_that_prints_makes_no_sense() {
    let site = Site::open(JobCommand::ThisProgram);
    site.tell(Op::Start(JOB, "print"));
    site.hears("job7 failed: the job's output makes no sense: no message begins with byte 104");
}

fn a_program_that_is_not_there_is_a_failed_job() {
    let path = "/nowhere/stormproof".into();
    let site = Site::open(JobCommand::Program { path, arguments: Vec::new() });
    site.tell(Op::Start(JOB, "echo"));
    let news = site.client.call(Op::Next).expect("it runs");
    assert!(news.starts_with("job7 failed: the job's process did not start"), "{news}");
}

fn a_job_that_does_not_listen_is_killed_when_too_much_waits_for_it(jobs: JobCommand) {
    let site = Site::open(jobs);
    site.tell(Op::Start(JOB, "deaf"));
    // More than the pipe, the child's queue and the host's queue take together.
    for _ in 0..400 {
        site.tell(Op::Tell(JOB, vec![0; 10_000]));
    }
    site.hears("job7 killed");
    let notes = site.notes.lock().expect("no observer panics");
    assert_eq!(*notes, [format!("{:?}", Note::DeafJob { job: JOB })]);
}

fn a_host_that_stops_takes_its_jobs_with_it(jobs: JobCommand) {
    let site = Site::open(jobs);
    site.tell(Op::Start(JobId(1), "deaf"));
    site.tell(Op::Start(JobId(2), "echo"));
    // Returns at all, although the deaf job works for ever unless it is killed: it waits for both to be buried.
    assert_eq!(site.running.stop(), Stop::Asked);
}

/// As if the host had been killed: its end of the pipe is closed, and nobody kills the job.
fn an_orphan_ends_by_itself() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut spec = vec![1, 4, 0, 0, 0];
    spec.extend(b"deaf");
    let mut child = std::process::Command::new(std::env::current_exe().expect("this test"))
        .args([stormproof_engine::driver::JOB_ARGUMENT.as_ref(), dir.path().as_os_str()])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("a child");
    std::io::Write::write_all(child.stdin.as_mut().expect("piped"), &spec).expect("it listens");
    drop(child.stdin.take());
    assert!(child.wait().expect("it ends").success());
}

fn main() -> ExitCode {
    if let Some(dir) = job_child_dir() {
        return run_job_child(&Foreman, &dir);
    }
    let wherever: [(&str, Story); 6] = [
        ("speaks in order", a_job_speaks_in_order_works_on_the_nodes_disk_and_ends),
        ("hears", a_job_hears_what_it_is_told_while_another_does_too),
        ("stopped", a_stopped_job_is_reported_killed),
        ("says why", a_job_that_cannot_begin_or_go_on_says_why),
        ("deaf", a_job_that_does_not_listen_is_killed_when_too_much_waits_for_it),
        ("host stops", a_host_that_stops_takes_its_jobs_with_it),
    ];
    for (name, test) in wherever {
        for jobs in [JobCommand::ThisProgram, JobCommand::InThreads] {
            test(jobs.clone());
            eprintln!("job test ok: {name}, {jobs:?}");
        }
    }
    let in_processes: [(&str, fn()); 3] = [
        ("prints", a_job_that_prints_makes_no_sense),
        ("no program", a_program_that_is_not_there_is_a_failed_job),
        ("orphan", an_orphan_ends_by_itself),
    ];
    for (name, test) in in_processes {
        test();
        eprintln!("job test ok: {name}");
    }
    ExitCode::SUCCESS
}
