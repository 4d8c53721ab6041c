//! Foreign managers: whoever else keeps something that must change together with the records.
//!
//! A manager is a local object with files of its own. It takes part in the transactions that name it, in two phases.
//!
//! # What a manager promises
//! - A "yes" is durable: after any crash it can finish the transaction, and lists it in [`DataManager::in_doubt`]
//!   until it was told how it ended.
//! - [`finish`](DataManager::finish) and [`abort`](DataManager::abort) are idempotent, take transactions that it does
//!   not know (they were told before), and after an error may be told again.
//! - Nothing of a transaction shows before it is finished.
//! - A call returns soon. A vote that takes long is [`Vote::Pending`], and is asked for again.
//!
//! # What a manager may rely on
//! - `begin`, then `vote` once or more, then `finish` or `abort`, and one of those for every "yes", however many
//!   crashes lie between.
//! - `finish` only after the decision is durable. `abort` only if it never will be.
//! - A [`TransactionId`] is never given twice; another attempt at the same changes has another.

use std::fmt;

use super::op::Transaction;
use crate::store::{Digest, TransactionId};

/// A foreign manager. See the file's description.
pub trait DataManager: Send {
    /// A transaction begins. An error is a "no".
    fn begin(&mut self, tx: TransactionId, changes: &Transaction) -> Result<(), ManagerError>;

    /// Whether it can finish.
    fn vote(&mut self, tx: TransactionId) -> Vote;

    /// The transaction is committed.
    fn finish(&mut self, tx: TransactionId) -> Result<(), ManagerError>;

    /// The transaction is aborted.
    fn abort(&mut self, tx: TransactionId) -> Result<(), ManagerError>;

    /// The transactions that it has said yes to and not been told the end of, with what it voted.
    fn in_doubt(&self) -> Vec<(TransactionId, Digest)>;

    /// For invariants: the transactions it has finished, as far as it still knows.
    fn finished(&self) -> Vec<TransactionId> {
        Vec::new()
    }
}

/// A manager's vote.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Vote {
    /// It can finish, whatever happens. What it made durable has this digest.
    Yes(Digest),
    /// It will not, for this reason.
    No(ManagerError),
    /// It cannot say yet.
    Pending,
}

/// Why a manager could not, in words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ManagerError(pub Box<str>);

impl fmt::Display for ManagerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ManagerError {}
