//! The suites. Each puts the engine into one kind of danger, in named cases. One, `replica`, tries the harness's own
//! replicated register instead: what the engine will need of the network is proven there first.

pub mod bulk;
pub mod commit;
pub mod compaction;
pub mod consolidate;
pub mod degrade;
pub mod diskfull;
pub mod flush;
pub mod isolation;
pub mod recovery;
pub mod retry;
pub mod rot;
pub mod routes;
mod single;
pub mod swap;
pub mod wal;

use std::sync::Arc;

use stormproof_sim::{examples::replica::trial::ReplicaTrial, hunt::Suite};

pub use single::{Params, Single};

use crate::vectors::Vectors;

/// Every suite. Where vectors are given, clients of the engine draw theirs from them.
pub fn all(vectors: Option<&Arc<Vectors>>) -> Vec<Box<dyn Suite>> {
    let suites: Vec<Box<dyn Suite>> = vec![
        Box::new(commit::suite(vectors.cloned())),
        Box::new(wal::suite(vectors.cloned())),
        Box::new(flush::suite(vectors.cloned())),
        Box::new(compaction::suite(vectors.cloned())),
        Box::new(bulk::suite(vectors.cloned())),
        Box::new(consolidate::suite(vectors.cloned())),
        Box::new(swap::suite(vectors.cloned())),
        Box::new(routes::suite(vectors.cloned())),
        Box::new(degrade::suite(vectors.cloned())),
        Box::new(rot::suite(vectors.cloned())),
        Box::new(diskfull::suite(vectors.cloned())),
        Box::new(retry::suite(vectors.cloned())),
        Box::new(recovery::suite(vectors.cloned())),
        Box::new(isolation::suite(vectors.cloned())),
        Box::new(ReplicaTrial::default()),
    ];
    suites
}
