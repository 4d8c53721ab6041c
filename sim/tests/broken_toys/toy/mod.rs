//! The toy: an engine just large enough to have every part that engines get wrong, and wrong on demand.
//!
//! It keeps lists. A write adds a token to one list or to two, or empties a list; no token is used twice, so that a lost,
//! doubled, half done or undead write can be told by the look of the lists. It has
//! - numbered **logs**, appended to and synced before anyone is answered ([`log`]);
//! - a **snapshot**, which holds all that the logs before some number say; a **job** writes it beside the node
//!   ([`snapshot`]), then it is renamed into place and the old logs are removed;
//! - **views**, on which queries read the snapshot from disk and what is newer from memory ([`view`]).
//!
//! # Crash argument
//! Nothing is answered or shown before its frame is synced. The newest log is always created, and its name synced,
//! before the snapshot of the logs before it is begun. The snapshot takes effect by one rename of a synced file; once the
//! directory is synced too, nobody needs the old logs. So whichever snapshot a crash leaves, every log from
//! its floor on is there. Of these only the newest can end in a torn frame, or in frames that were read from the page
//! cache and are not on disk: it is written again, cut and synced at each boot, before anyone is served.
//!
//! # Being wrong
//! A [`Bug`] changes one place, found by its name. Which promise falls is written down in `main.rs`.

mod log;
mod node;
mod snapshot;
mod state;
mod view;

use serde::{Deserialize, Serialize};
use stormproof_contract::{Boot, BootError, DiskError, DiskResult, File, Job, JobError, System};

pub(crate) use node::ToyNode;

/// What a client asks.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Op {
    /// Add a token, never 0, to the end of each of these lists, or of none.
    Append { keys: Vec<u64>, token: u64 },
    /// Empty a list.
    Delete { key: u64 },
    /// Read a list.
    Get { key: u64 },
}

/// What a client is told.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reply {
    /// The write is durable.
    Done,
    /// What the list holds.
    List(Vec<u64>),
    /// The disk failed to read: ask again.
    Unavailable,
    /// The snapshot ended before what it is known to hold.
    CutShort,
    /// The snapshot does not match its checksum.
    Damaged,
}

/// One place where the toy is wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Bug {
    RepliesBeforeSync,
    ForgetsDirectorySync,
    RenamesBeforeSync,
    AppliesTwiceAfterRestart,
    LosesTheTailBehindATornFrame,
    TrustsALength,
    BelievesARetriedSync,
    ResurrectsADelete,
    UpdatesTwoFilesApart,
    PublishesBeforeSync,
    CutsAFileThatAQueryReads,
    KeepsItsLock,
    AnswersInHashOrder,
    BelievesAFileByItsName,
}

impl Bug {
    /// What the toy does.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Bug::RepliesBeforeSync => "replies before the sync",
            Bug::ForgetsDirectorySync => "forgets to sync the directory after a rename",
            Bug::RenamesBeforeSync => "renames a file before its sync",
            Bug::AppliesTwiceAfterRestart => "forgets over a restart what it has done, and obeys a retry",
            Bug::LosesTheTailBehindATornFrame => "appends behind a torn frame, and loses that tail",
            Bug::TrustsALength => "trusts an unchecked length",
            Bug::BelievesARetriedSync => "believes a sync that was tried again",
            Bug::ResurrectsADelete => "resurrects a delete",
            Bug::UpdatesTwoFilesApart => "updates two files one after the other",
            Bug::PublishesBeforeSync => "publishes a view before the log is durable",
            Bug::CutsAFileThatAQueryReads => "frees a file that a query still reads",
            Bug::KeepsItsLock => "keeps a lock over a crash",
            Bug::AnswersInHashOrder => "iterates in hash order",
            Bug::BelievesAFileByItsName => "believes a file by its name, although an orphaned job may write it",
        }
    }
}

/// Names of the steps that faults can be aimed at.
pub(crate) const POINTS: &[&str] =
    &["toy.appended", "toy.rotated", "toy.snapshot_renamed", "toy.snapshot_published", "toy.recovered"];

/// The system, right or wrong.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Toy {
    pub(crate) bug: Option<Bug>,
}

impl System for Toy {
    type Config = ();
    type Node = ToyNode;

    fn boot(&self, at: Boot<'_, ()>) -> Result<ToyNode, BootError> {
        ToyNode::open(&at, self.bug)
    }

    fn job(&self, spec: &[u8]) -> Result<Box<dyn Job>, JobError> {
        snapshot::Writer::revive(spec, self.bug)
    }

    fn points(&self) -> &'static [&'static str] {
        POINTS
    }
}

fn read_whole(file: &dyn File) -> DiskResult<Vec<u8>> {
    let mut bytes = vec![0; file.meta()?.len as usize];
    file.read_exact_at(0, &mut bytes)?;
    Ok(bytes)
}

/// A disk that fails may work the next time.
fn retry(error: &DiskError) -> BootError {
    BootError::Retry(error.to_string().into())
}
