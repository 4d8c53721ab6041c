//! A process that makes calls on a real directory and may be killed, and the parent's side of it.
//!
//! It is this test's own program, started again with the environment set, so nothing of it is part of the command. It
//! writes one byte for every call that has returned. The pipe outlives it, so what was acknowledged is known exactly.

use std::{
    env,
    io::{self, Read, Write},
    os::unix::process::ExitStatusExt,
    process::{Child, Command, Stdio, exit},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use stormproof_engine::driver::RealDisk;
use tempfile::TempDir;

use super::{calls::Call, player::perform};

/// The directory, for the child. Whoever finds it set is the child.
const DIR: &str = "STORMPROOF_TEST_DISK_DIR";
/// The seed of the calls, and how many of them to make.
const SEED: &str = "STORMPROOF_TEST_DISK_SEED";
const COUNT: &str = "STORMPROOF_TEST_DISK_COUNT";

/// What the child writes after a call. Nothing else that it prints has this byte in it.
const ACKNOWLEDGED: u8 = 0x06;

/// How long to wait for a word of the child: far above what a slow disk needs.
const PATIENCE: Duration = Duration::from_secs(30);

const SIGKILL: i32 = 9;

/// When to kill: so long after so many calls were acknowledged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) acknowledged: usize,
    pub(crate) then: Duration,
}

/// What a process has left.
pub(crate) struct Left {
    pub(crate) dir: TempDir,
    /// How many of its calls had returned, to its knowledge.
    pub(crate) acknowledged: usize,
    /// Whether it was killed, rather than finished.
    pub(crate) killed: bool,
}

/// In the child: makes the calls that the parent asked for, and ends. In the parent: returns.
pub(crate) fn be_the_child_if_asked(calls: impl FnOnce(u64) -> Vec<Call>) {
    let Some(dir) = env::var_os(DIR) else { return };
    let number = |name: &str| -> u64 {
        let set = env::var_os(name).expect("the parent sets all three");
        set.to_str().and_then(|text| text.parse().ok()).expect("the parent writes numbers")
    };
    let disk = RealDisk::open(dir.as_ref()).expect("the parent has made it");
    perform(&disk, &calls(number(SEED))[..number(COUNT) as usize], |_| {
        let mut pipe = io::stdout().lock();
        pipe.write_all(&[ACKNOWLEDGED]).and_then(|()| pipe.flush()).expect("the parent listens");
    });
    // Here and not by returning: the harness would say more than what the parent waits for.
    exit(0);
}

/// Runs the test called `test` as the child: it makes the first `count` calls of `seed`, and is killed at a moment.
pub(crate) fn run(test: &str, seed: u64, count: usize, kill_at: Option<Moment>) -> Left {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut command = Command::new(env::current_exe().expect("this test"));
    command.args(["--exact", test]).env(DIR, dir.path()).env(SEED, seed.to_string()).env(COUNT, count.to_string());
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("a child");
    let mut child = Body(child);
    let mut heard = Heard { from: listen(&mut child.0), said: Vec::new(), acknowledged: 0 };
    if let Some(moment) = kill_at
        && heard.until(moment.acknowledged)
    {
        pause(moment.then);
        child.0.kill().expect("it is our child, and nobody has waited for it yet");
    }
    heard.until(usize::MAX);
    let status = child.0.wait().expect("it is our child");
    let killed = status.signal() == Some(SIGKILL);
    assert!(killed || status.success(), "{status}: {}", String::from_utf8_lossy(&heard.said));
    Left { dir, acknowledged: heard.acknowledged, killed }
}

/// The process, which does not outlive this value.
struct Body(Child);

impl Drop for Body {
    fn drop(&mut self) {
        // Both fail only when it is gone.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What it has said so far.
struct Heard {
    from: Receiver<u8>,
    said: Vec<u8>,
    acknowledged: usize,
}

impl Heard {
    /// Listens until so many calls were acknowledged; false if its end comes first.
    fn until(&mut self, acknowledged: usize) -> bool {
        while self.acknowledged < acknowledged {
            match self.from.recv_timeout(PATIENCE) {
                Ok(ACKNOWLEDGED) => self.acknowledged += 1,
                Ok(other) => self.said.push(other),
                Err(RecvTimeoutError::Disconnected) => return false,
                Err(RecvTimeoutError::Timeout) => panic!("the child says nothing for {PATIENCE:?}"),
            }
        }
        true
    }
}

/// Hears the child on a thread of its own, so that waiting for it has an end.
fn listen(child: &mut Child) -> Receiver<u8> {
    let mut pipe = child.stdout.take().expect("it was asked for");
    let (tell, heard) = channel();
    thread::spawn(move || {
        let mut buf = [0; 256];
        while let Ok(len @ 1..) = pipe.read(&mut buf) {
            // Fails only if nobody waits any more.
            let _ = buf[..len].iter().try_for_each(|byte| tell.send(*byte));
        }
    });
    heard
}

/// Waits without sleeping: a sleep is longer than most of the calls that the kill is to hit.
fn pause(time: Duration) {
    let begun = Instant::now();
    while begun.elapsed() < time {
        std::hint::spin_loop();
    }
}
