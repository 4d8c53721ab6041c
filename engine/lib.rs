//! The reference engine on trial: a transactional vector memory in tiers.
//!
//! | room | what |
//! |---|---|
//! | [`protocol`] | pure state machines: inputs in, outputs out, no disk, no clock |
//!
//! `ARCHITECTURE.md` beside this file says what is where, how data flows, and why a crash cannot break it.

pub mod protocol;
