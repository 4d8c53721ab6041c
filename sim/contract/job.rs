//! Long work: a job runs beside its node, in a process of its own, and can die alone or outlive it.
//!
//! A job is made from bytes by [`System::job`](crate::System::job), so that any process can revive it. It shares no
//! memory with its node: they talk in bytes, in order, by a pipe that ends with either of them. What a job did to the
//! disk stands when it dies. A job whose node has died is an *orphan*: nobody hears it, yet it may go on writing for a
//! while. A node must therefore never believe a file for its name, only for what it was told about it, or can verify.

use std::{collections::VecDeque, fmt, sync::Arc};

use crate::{Bytes, Disk, DiskError, Pool};

/// Work in pieces.
pub trait Job: Send {
    /// Does about `units` units of work (a unit is the job's own measure: a row, a block) and says where it stands.
    /// `heard` holds what the node has told it since; the job takes what it wants. `pool` does parts of the step at the same
    /// time. Dropped after `Done` or an error.
    fn step(
        &mut self,
        heard: &mut VecDeque<Bytes>,
        disk: &Arc<dyn Disk>,
        pool: &dyn Pool,
        units: u32,
    ) -> Result<JobStep, JobError>;
}

/// Where a job stands after a step.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum JobStep {
    /// There is more to do.
    More,
    /// There is nothing to do before the node says something.
    Waiting,
    /// There is more to do, and this to tell the node.
    Say(Bytes),
    /// All done, with a last word for the node.
    Done(Bytes),
}

/// Why a job gave up, or could not begin.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum JobError {
    /// The bytes name no job of this system.
    UnknownSpec,
    /// A disk call failed.
    Disk(DiskError),
    /// Anything else, in words.
    Failed(Box<str>),
}

/// How a job ended, as its node hears it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum JobEnd {
    /// It said `Done`, with this.
    Done(Bytes),
    /// It failed, for this reason.
    Failed(Box<str>),
    /// It was killed, by the node's own wish or not.
    Killed,
}

impl From<DiskError> for JobError {
    fn from(error: DiskError) -> Self {
        JobError::Disk(error)
    }
}

impl fmt::Display for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JobError::UnknownSpec => f.write_str("the bytes name no job of this system"),
            JobError::Disk(error) => error.fmt(f),
            JobError::Failed(words) => f.write_str(words),
        }
    }
}

impl std::error::Error for JobError {}
