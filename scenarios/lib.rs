//! The reference engine on trial: what its clients do, what must hold, and the suites that put it to the test.
//!
//! | room | what |
//! |---|---|
//! | [`cli`] | the command `stormproof` |
//! | [`suites`] | the experiments, each with hypothesis, injection and criterion |
//! | [`workloads`] | what clients do |
//! | [`invariants`] | what must hold |
//! | [`real`] | the engine as a process of its own, killed for real |
//! | [`regressions`] | plans that once failed |
//! | [`vectors`] | embeddings from a file |

pub mod cli;
pub mod invariants;
pub mod real;
pub mod regressions;
pub mod suites;
pub mod vectors;
pub mod workloads;
