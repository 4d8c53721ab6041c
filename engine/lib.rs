//! The reference engine on trial: a transactional vector memory in tiers.
//!
//! | room | what |
//! |---|---|
//! | [`protocol`] | pure state machines: inputs in, outputs out, no disk, no clock |
//! | [`store`] | bytes on disk: log, manifest, L1's files; and the memtable (tier L3) |
//! | [`vector`] | distances, and the exact flat index (tier L1) |
//! | [`memory`] | one node: transactions across both tiers, recovery, queries. Begin here: [`memory::Engine`] |
//! | [`driver`] | the machine: threads, clocks, the real disk, child processes; the only room that sees them |
//!
//! ```text
//! Engine.boot(disk, clock) ─▶ MemoryNode ──reader()──▶ queries on published views
//!                                ▲    │
//!             requests ──handle──┘    └──settle──▶ one batch, one frame of the log, then the answers
//! ```
//!
//! `ARCHITECTURE.md` beside this file says what is where, how data flows, and why a crash cannot break it.

pub mod driver;
pub mod ids;
pub mod memory;
pub mod protocol;
pub mod store;
pub mod vector;
