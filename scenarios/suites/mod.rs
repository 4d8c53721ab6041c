//! The suites. Each puts the engine into one kind of danger, in named cases.

pub mod commit;
pub mod isolation;
pub mod recovery;
pub mod retry;
mod single;
pub mod wal;

use std::sync::Arc;

use stormproof_sim::hunt::Suite;

pub use single::{Params, Single};

use crate::vectors::Vectors;

/// Every suite. Where vectors are given, clients of the engine draw theirs from them.
pub fn all(vectors: Option<&Arc<Vectors>>) -> Vec<Box<dyn Suite>> {
    let suites: Vec<Box<dyn Suite>> = vec![
        Box::new(commit::suite(vectors.cloned())),
        Box::new(wal::suite(vectors.cloned())),
        Box::new(retry::suite(vectors.cloned())),
        Box::new(recovery::suite(vectors.cloned())),
        Box::new(isolation::suite(vectors.cloned())),
    ];
    suites
}
