//! The engine's protocols as pure state machines: a state, an input, outputs, and one visible `match` each.
//!
//! Nothing here touches a disk or a clock. Whoever drives a machine performs its outputs **in order, one at a time**,
//! and hands back what came of each before it performs the next; the rules below rely on that order.
//!
//! | machine | decides |
//! |---|---|
//! | [`breaker`] | whether a call is worth trying, after some have failed |
//! | [`degrade`] | what becomes of writes while the disk cannot take them |
//! | [`health`] | what is looked at every while, and when somebody should be told |
//! | [`prepare`] | whether the foreign managers of one transaction all vote for it |
//! | [`commit`] | the fate of one batch: the vote of L1, the decision in the log, the finish of every participant |
//! | [`redrive`] | what a participant is told again that failed to hear its verdict, or died in doubt |
//! | [`swap`] | rebuilding the archive and putting the new generation in the place of the old one |
//!
//! A transaction that names foreign managers runs `prepare` outside any batch, for as long as they take, and then
//! joins the next batch with their votes. A transaction that names none joins at once. `T` is the caller's name for a
//! transaction, never given twice: another attempt at the same changes is another transaction.

use std::fmt;

use serde::{Deserialize, Serialize};

pub mod breaker;
pub mod commit;
pub mod degrade;
pub mod health;
pub mod prepare;
pub mod redrive;
pub mod swap;

/// One who votes on a commit and is told how it ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Participant<T> {
    /// The exact index over the live records. It takes part in every batch.
    L1,
    /// A foreign manager, in one transaction.
    Manager {
        /// Which.
        manager: ManagerId,
        /// In which transaction.
        tx: T,
    },
}

/// A foreign manager: its place in the order of names. Not stable over a change of configuration, so never stored.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ManagerId(pub u16);

/// What a participant promised to finish, in few bits: it goes into the log with the decision, and later tells what
/// was voted on from what merely has the same name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Digest(pub u128);

/// How a transaction ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The log decided it.
    Committed,
    /// The log did not, and never will.
    Aborted,
}

impl fmt::Display for ManagerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "m{}", self.0)
    }
}

impl<T: fmt::Display> fmt::Display for Participant<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Participant::L1 => f.write_str("l1"),
            Participant::Manager { manager, tx } => write!(f, "{manager}/{tx}"),
        }
    }
}
