//! The machine: the only room of the engine that sees threads, clocks, processes and the operating system's disk.
//!
//! Everything else of the engine is a value behind `stormproof_contract`. This room holds such a value and lets it meet
//! the world: [`open()`] boots one node on a directory and gives it a thread; a [`Client`] asks it things. Nothing here
//! knows which system it hosts.
//!
//! | file | what |
//! |---|---|
//! | `open` | one node on one directory: lock, incarnation, boot, start |
//! | `host` | the writer thread: batches, timers, effects, the ways to stop |
//! | `client` | asking: requests to the writer, queries on the caller's own thread |
//! | `disk`, `file`, `errno` | the contract's disk on a directory of Linux or another Unix |
//! | `clock` | the machine's two clocks |
//! | `command` | the command `stormproof-engine` |
//! | `telemetry` | metrics and traces of what a node does, and an endpoint for Prometheus (a feature) |
//! | `fvecs` | vectors from a file of the usual format |
//! | `failpoints` | faults at named places of a real process |
//! | `jobs`, `job_child`, `frames` | long work in a thread or a child process: the host's side, the job's, and the bytes between |
//! | `pool` | the threads of a job |
//!
//! # Invariants
//! - One process at a time holds a directory, and one thread at a time the node in it.
//! - A caller hears a reply only after the node asked for it. Whatever ends the writer, whoever still waits hears
//!   [`CallError::Unknown`], and whoever was never taken in hears [`CallError::Closed`]. Nobody waits for a dead node.
//! - No thread, child process or lock of a host outlives its [`Running`].
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "this room is where threads, clocks and the environment are allowed: it is what the others are kept from"
)]

mod client;
mod clock;
#[cfg(feature = "command")]
pub mod command;
mod disk;
mod errno;
pub mod failpoints;
mod file;
mod frames;
mod fvecs;
mod host;
mod job_child;
mod jobs;
mod open;
mod pool;
#[cfg(feature = "telemetry")]
pub mod telemetry;

pub use client::{CallError, Client};
pub use clock::RealClock;
pub use disk::RealDisk;
pub use fvecs::{Fvecs, FvecsError};
pub use host::{Note, Observer, Running, Stop};
pub use job_child::{job_child_dir, run_job_child};
pub use jobs::{JOB_ARGUMENT, JobCommand};
pub use open::{OpenError, Options, open};
pub use pool::Threads;
