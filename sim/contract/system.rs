//! A system on trial: what makes its nodes and its jobs.

use std::{fmt, sync::Arc};

use crate::{Clock, Disk, Job, JobError, Node, NodeId, Role};

/// An engine on trial. A value, so that it can carry what all its nodes share; never state, which would survive a crash.
pub trait System {
    /// What a node is told at boot that does not come from its disk. The same over restarts.
    type Config;
    /// Its nodes.
    type Node: Node;

    /// Starts a node from what its disk holds: nothing at first, later whatever a crash left.
    fn boot(&self, at: Boot<'_, Self::Config>) -> Result<Self::Node, BootError>;

    /// Makes a job from the bytes a node gave to [`Effects::start_job`](crate::Effects::start_job). Also called in
    /// another process, on another day, for a node that is long dead.
    fn job(&self, spec: &[u8]) -> Result<Box<dyn Job>, JobError> {
        let _ = spec;
        Err(JobError::UnknownSpec)
    }

    /// The names of all points (see [`Disk::point`]) that its nodes can pass, for coverage.
    fn points(&self) -> &'static [&'static str] {
        &[]
    }
}

/// What a node is started with.
pub struct Boot<'a, Config> {
    /// Which node.
    pub node: NodeId,
    /// What it is there for.
    pub role: Role,
    /// How many times it was booted before: greater each time.
    pub incarnation: u32,
    /// Its configuration.
    pub config: &'a Config,
    /// Its files.
    pub disk: Arc<dyn Disk>,
    /// Its clocks.
    pub clock: Arc<dyn Clock>,
    /// For whatever it must choose at random: differs by node and incarnation, the same when a run is replayed.
    pub seed: u64,
}

/// Why a node did not start.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum BootError {
    /// A passing failure: try again. A node that says so for ever is never well again, and that is a finding.
    Retry(Box<str>),
    /// What is on the disk must not be served: an operator has to look. Names the file, the offset, what was expected.
    Refused(Box<str>),
}

impl fmt::Display for BootError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BootError::Retry(words) => write!(f, "try again: {words}"),
            BootError::Refused(words) => write!(f, "refused: {words}"),
        }
    }
}

impl std::error::Error for BootError {}
