//! The engine as a system on trial.

use std::sync::LazyLock;

use stormproof_contract::{Boot, BootError, Job, JobError, System};

use super::{
    archive::{self, BuildJob},
    bulk, commit, compact,
    config::Config,
    consolidate::{self, ConsolidateJob},
    flush, l1,
    node::MemoryNode,
    recover, waiting,
};
use crate::store::{self, compact::MergeJob};

/// Makes nodes of the engine. See [`Config`] for what can be chosen.
#[derive(Clone, Copy, Debug, Default)]
pub struct Engine;

impl System for Engine {
    type Config = Config;
    type Node = MemoryNode;

    fn boot(&self, at: Boot<'_, Config>) -> Result<MemoryNode, BootError> {
        recover::open(&at)
    }

    fn job(&self, spec: &[u8]) -> Result<Box<dyn Job>, JobError> {
        if let Some(job) = ConsolidateJob::revive(spec) {
            return Ok(Box::new(job));
        }
        if let Some(job) = BuildJob::revive(spec) {
            return Ok(Box::new(job));
        }
        Ok(Box::new(MergeJob::revive(spec)?))
    }

    fn points(&self) -> &'static [&'static str] {
        static ALL: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
            let own: [&[&str]; 9] = [
                &commit::POINTS,
                &waiting::POINTS,
                &flush::POINTS,
                &bulk::POINTS,
                &compact::POINTS,
                &consolidate::POINTS,
                &archive::POINTS,
                &l1::POINTS,
                &recover::POINTS,
            ];
            own.into_iter().chain(store::POINTS).flatten().copied().collect()
        });
        &ALL
    }
}
