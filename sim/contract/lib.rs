//! The contract between an engine and whatever runs it: a simulated world, or a real machine.
//!
//! An engine is written *sans-IO*. A node is a value; inputs go in, effects come out, time is asked of an injected
//! clock, and only the disk is called, synchronously. Whoever holds the node decides when it runs, what its disk does
//! and when it dies, so the same node can be put through every crash in a simulated world and then serve real clients.
//!
//! What to implement, from the smallest engine up:
//!
//! | you write | you get |
//! |---|---|
//! | [`System::boot`] and [`Node::handle`] | requests, messages, crashes, every disk and network fault |
//! | [`Node::settle`] | group commit: one sync for all that was handled since the last |
//! | [`Node::deadline`] | timers |
//! | [`Node::reader`] | queries that run beside the writer, cut in pieces by the world |
//! | [`System::job`] | long work in a process of its own, which can die or outlive its node |
//! | [`Node::inspect`] | invariants over the node's state, not only over its replies |
//!
//! The crate has no dependencies, and the engine needs no other of ours.

#![forbid(unsafe_code)]

mod clock;
mod disk;
mod ids;
mod job;
mod node;
mod pool;
mod reader;
mod system;

pub use clock::{Clock, Tick, WallTime};
pub use disk::{Disk, DiskError, DiskErrorKind, DiskOp, DiskResult, Entry, File, Lock, Meta, Open, ReadAt, check_path};
pub use ids::{JobId, NodeId, OpId, RequestId, Role};
pub use job::{Job, JobEnd, JobError, JobStep};
pub use node::{Bytes, Effect, Effects, Input, Node};
pub use pool::{OneThread, Pool};
pub use reader::{Query, Reader, Reads, Want};
pub use system::{Boot, BootError, System};
