//!
//! | room | what |
//! |---|---|
//! | [`protocol`] | pure state machines: inputs in, outputs out, no disk, no clock |
//! | [`store`] | bytes on disk: log, manifest, L1's files; and the memtable (tier L3) |
//!
//! `ARCHITECTURE.md` beside this file says what is where, how data flows, and why a crash cannot break it.

pub mod ids;
pub mod protocol;
pub mod store;
