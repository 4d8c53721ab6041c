//! Compaction: fewer segments, and nothing in them that no reader can see.
//!
//! | file | what |
//! |---|---|
//! | `strategy` | which segments to merge next, as a pure function of what the manifest says of them |
//! | `entries` | what some segments say together |
//! | `merge` | makes one segment of a run of them, as a job beside the node |
//!
//! Only neighbours in the manifest's order are merged, so that what a later one says of a record still counts.
//!
//! **Conserved**: of each record the newest writing in the run; every decision; the last frame. **Left out**: writings that a
//! later segment of the run has overtaken; and, where the run begins with the oldest segment, removals, since there is
//! nothing below that they could hide. What is remembered of those is one number: the greatest version among them.
//!
//! A job never makes anything of what it could not verify: a part of another checksum ends it, with the file and the offset.
//! Otherwise damage would come out under a checksum that is right.

mod entries;
mod merge;
mod strategy;

#[cfg(test)]
mod tests;

pub use entries::{Entries, Sources};
pub use merge::{Made, Merge, MergeJob, Outcome};
pub use strategy::{Decision, MergeRules};
