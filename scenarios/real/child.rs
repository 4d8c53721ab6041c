//! The engine's process: opens a node on a directory, and does what it is asked over its standard input.
//!
//! It is the part that dies. So nothing is decided here, and nothing is judged: whatever the node replies, notes or
//! refuses goes to the parent as it is. Its standard output is the pipe, so nothing here prints.

use std::{
    io::{self, Read},
    path::Path,
    process::ExitCode,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
};

use stormproof_contract::{OpId, RequestId, System};
use stormproof_engine::{
    driver::{self, CallError, Client, JobCommand, Note, Options, Stop, failpoints},
    memory::{Engine, MemoryNode, Op, Reply},
};

use super::wire::{self, Answer, Ask, How, Say, Setup};

/// The argument that makes the command the engine's process. The directory follows it.
pub(super) const ARGUMENT: &str = "--stormproof-engine";

/// Runs the engine on `dir` until the parent's end of the pipe is closed.
pub(super) fn run(dir: &Path) -> ExitCode {
    match serve(dir, &mut io::stdin()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the engine's process: {error}");
            ExitCode::from(3)
        }
    }
}

fn serve(dir: &Path, from: &mut impl Read) -> io::Result<()> {
    failpoints::arm_from_env(Engine.points()).map_err(io::Error::other)?;
    let Some(Ask::Open(setup)) = wire::read(from)? else {
        return Err(io::Error::other("the first message is not `open`"));
    };
    let options =
        Options { observer: Some(Arc::new(pass_on)), job_command: JobCommand::ThisProgram, ..Options::default() };
    match driver::open(&Engine, &setup.config(), dir, options) {
        Err(error) => say(&Say::Refused(error.to_string())),
        Ok(node) => {
            say(&Say::Opened)?;
            let clients = start_clients(&setup, &node.client())?;
            let heard = listen(from, &clients, &node.client());
            node.stop();
            heard
        }
    }
}

/// A client's attempts, on their way to its thread.
type Attempt = (RequestId, Op);

fn start_clients(setup: &Setup, node: &Client<MemoryNode>) -> io::Result<Vec<SyncSender<Attempt>>> {
    (0..setup.clients)
        .map(|client| {
            let (send, attempts) = sync_channel(1);
            let node = node.clone();
            thread::Builder::new().name(format!("client-{client}")).spawn(move || {
                // An error means that the parent is gone, and with it whoever wanted to know.
                let _ = attend(client, &attempts, &node);
            })?;
            Ok(send)
        })
        .collect()
}

fn attend(client: usize, attempts: &Receiver<Attempt>, node: &Client<MemoryNode>) -> io::Result<()> {
    attempts.iter().try_for_each(|(id, op)| {
        let answer = answer(node.attempt(id, op));
        say(&Say::Answer { client, answer })
    })
}

fn answer(called: Result<Reply, CallError>) -> Answer {
    match called {
        Ok(reply) => Answer::Reply(reply),
        Err(CallError::Unknown) => Answer::Unknown,
        Err(CallError::Closed) => Answer::Closed,
    }
}

/// Hands what arrives to whom it concerns, until the pipe ends.
fn listen(from: &mut impl Read, clients: &[SyncSender<Attempt>], node: &Client<MemoryNode>) -> io::Result<()> {
    while let Some(ask) = wire::read(from)? {
        match ask {
            Ask::Attempt { client, op_id, attempt, op } => {
                let thread = clients.get(client).ok_or_else(|| io::Error::other(format!("no client {client}")))?;
                thread
                    .send((RequestId { op: OpId(op_id), attempt }, op))
                    .map_err(|_| io::Error::other(format!("client {client} has gone")))?;
            }
            Ask::Inspect => say(&Say::Facts(node.inspect(()).ok().flatten().map(Box::new)))?,
            Ask::Open(_) => return Err(io::Error::other("a node is opened once")),
        }
    }
    Ok(())
}

/// Tells the parent. A message is written under one lock, so those of several threads do not mix.
fn say(what: &Say) -> io::Result<()> {
    wire::write(&mut io::stdout().lock(), what)
}

fn pass_on(note: &Note<'_>) {
    let said = match note {
        Note::Said { name, values } => {
            let values = values.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
            say(&Say::Noted { name: (*name).to_owned(), values })
        }
        Note::Stopped { how } => say(&Say::Stopped(match how {
            Stop::Asked => How::Asked,
            Stop::Halted { reason } => How::Halted(reason.to_string()),
            Stop::Panicked { message } => How::Panicked(message.to_string()),
        })),
        // This engine has no peers, and its jobs listen.
        Note::NoPeer { .. } | Note::DeafJob { .. } | Note::Answered { .. } => Ok(()),
    };
    // The parent is gone: its end of the other pipe closes as well, which ends this process.
    let _ = said;
}
