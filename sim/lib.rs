//! Stormproof's harness: a simulated world in which a storage engine, or a service of several nodes, lives through
//! crashes, disk faults, partitions and bad clocks, while clients write down what they saw and judges look whether the
//! system kept its word.
//!
//! | room | question |
//! |---|---|
//! | [`world`] | what happens? |
//! | [`check`] | was that allowed? |
//! | [`hunt`] | where does it go wrong? |
//! | [`examples`] | how does one that keeps its word look? |
//!
//! An engine takes part by implementing `stormproof_contract`'s `System` and `Node`. A suite is a [`hunt::Scenario`]:
//! the system, what its clients do, what may go wrong, what must hold. `examples/register.rs` is the tutorial.

pub mod check;
pub mod examples;
pub mod hunt;
pub mod world;
