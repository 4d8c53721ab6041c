//! Queries beside the writer.
//!
//! A node publishes immutable views; its reader starts queries on the newest. A query is a value: it names the reads
//! it needs and is resumed with their results, so that a real host can batch them and a simulated one can let the
//! writer work, fail or remove files between any two.

use std::sync::Arc;

use crate::{Bytes, DiskError, DiskErrorKind, DiskOp, DiskResult, File};

/// Starts queries. Shared by all who ask, and used while the node is at work.
pub trait Reader<Op, Reply>: Send + Sync {
    /// Begins to answer `op` from the newest published view; `None` if it is no query and belongs to the node.
    fn start(&self, op: &Op) -> Option<Box<dyn Query<Reply>>>;
}

/// A query under way.
pub trait Query<Reply>: Send {
    /// Goes on with what it asked for in its last step, and answers, or asks for more reads, or does neither to be
    /// called again (a query that computes for long should, so that others get a turn).
    fn step(&mut self, io: &mut Reads) -> Option<Reply>;
}

/// A query's reads: what it wants, and what it got.
#[derive(Default)]
pub struct Reads {
    wanted: Vec<Want>,
    got: Vec<DiskResult<Bytes>>,
}

/// One read that a query wants.
#[derive(Clone)]
pub struct Want {
    /// From which file.
    pub file: Arc<dyn File>,
    /// Where in it.
    pub offset: u64,
    /// How many bytes; the result is shorter only at the end of the file.
    pub len: usize,
}

impl Reads {
    /// Asks for `len` bytes of `file` at `offset`, for the next step.
    pub fn want(&mut self, file: &Arc<dyn File>, offset: u64, len: usize) {
        self.wanted.push(Want { file: Arc::clone(file), offset, len });
    }

    /// The results of what the last step asked for, in its order. Empty in the first step.
    pub fn take(&mut self) -> Vec<DiskResult<Bytes>> {
        std::mem::take(&mut self.got)
    }

    /// Whether the last step has asked for anything.
    pub fn is_waiting(&self) -> bool {
        !self.wanted.is_empty()
    }

    /// For hosts: what the last step asked for.
    pub fn wanted(&mut self) -> Vec<Want> {
        std::mem::take(&mut self.wanted)
    }

    /// For hosts: gives the results, one for each read that was asked for, in that order.
    pub fn give(&mut self, got: Vec<DiskResult<Bytes>>) {
        self.got = got;
    }
}

impl Want {
    /// For hosts: does the read.
    pub fn read(&self) -> DiskResult<Bytes> {
        // The length comes from the engine, perhaps from a damaged file: never allocate more than the file holds.
        let meta = self.file.meta()?;
        let len = meta.len.saturating_sub(self.offset).min(self.len as u64);
        let len = usize::try_from(len)
            .map_err(|_| DiskError::new(DiskOp::Read, self.file.path(), DiskErrorKind::Unsupported).at(self.offset))?;
        let mut buf = vec![0; len];
        let got = self.file.read_at(self.offset, &mut buf)?;
        buf.truncate(got);
        Ok(buf.into())
    }
}
