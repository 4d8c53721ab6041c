//! Reference systems: small engines that keep their promises, for the harness to be measured against.
//!
//! Each is written against the contract alone, can be made wrong on purpose in named ways, and must stay green when it
//! is not. The tutorial, `register.rs`, is a program of its own: `cargo run --example register`. The toy with a snapshot,
//! a log and a job is private to the tests that break it, in `tests/broken_toys`.

pub mod frame;
pub mod replica;
