//! The simplest foreign manager: a book of transactions, which records each has changed. It serves as the reference
//! for [`DataManager`], and as a participant that tests and scenarios can make refuse or hang.
//!
//! The book is one file, written whole each time: aside, synced, renamed over the old one, its directory synced. So
//! whatever fails, and wherever it is killed, the file holds the book as it was before the call or as it is after it,
//! and a call that returned well is durable. After a call that failed, it is not known which; so the next call that has
//! anything to say writes the book again, and what it says is true of either.
//!
//! It is not meant for long books: each entry is written again with every later one.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};
use stormproof_contract::{BootError, Disk, DiskError, DiskResult, Open};

use super::{
    admit,
    config::Managers,
    manager::{DataManager, ManagerError, Vote},
    op::Transaction,
};
use crate::{
    ids::RecordId,
    store::{Digest, TransactionId},
};

const BOOK: &str = "book";
const TEMPORARY: &str = "book.tmp";
/// The longest book that is read.
const BYTES_MAX: u64 = 64 << 20;
/// The length of the checksum before the text: eight digits and a line end.
const CHECKSUM_BYTES: usize = 9;

/// How willing a ledger is. It counts the transactions that begin after it was made, from 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LedgerConfig {
    /// It refuses every so manieth transaction; 0 for none.
    pub refuse_every: u32,
    /// It hangs at every so manieth transaction; 0 for none.
    pub hang_every: u32,
    /// How many times it says "pending" when it hangs.
    pub hang_votes: u32,
}

/// A book of transactions. See the file's description.
pub struct Ledger {
    disk: Arc<dyn Disk>,
    config: LedgerConfig,
    book: Book,
    /// Whether the file may be another than the book.
    doubtful: bool,
    begun: BTreeMap<TransactionId, Begun>,
    count: u32,
}

/// What is on the disk.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Book {
    /// Entries of transactions that it has said yes to.
    promised: BTreeMap<TransactionId, Vec<RecordId>>,
    /// Entries of transactions that are committed.
    finished: BTreeMap<TransactionId, Vec<RecordId>>,
}

/// A transaction that has no vote yet.
struct Begun {
    entry: Vec<RecordId>,
    mood: Mood,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mood {
    Willing,
    Refusing,
    Hanging { votes: u32 },
}

impl Ledger {
    /// Opens the book on this disk.
    pub fn open(disk: Arc<dyn Disk>, config: LedgerConfig) -> Result<Ledger, BootError> {
        let retry = |error: DiskError| BootError::Retry(error.to_string().into());
        let bytes = read(&*disk).map_err(retry)?;
        // What a crash left of a book that was being written is nobody's vote.
        disk.remove(TEMPORARY)
            .or_else(|error| if error.is_not_found() { Ok(()) } else { Err(error) })
            .map_err(retry)?;
        let book = bytes.map_or(Ok(Book::default()), |bytes| Book::decode(&bytes)).map_err(BootError::Refused)?;
        Ok(Ledger { disk, config, book, doubtful: false, begun: BTreeMap::new(), count: 0 })
    }

    /// The managers of a node, all of them ledgers of one kind.
    pub fn managers(names: &[&str], config: LedgerConfig) -> Managers {
        Managers {
            names: names.iter().map(|&name| name.into()).collect(),
            make: Arc::new(move |_, disk| Ok(Box::new(Ledger::open(disk, config)?))),
        }
    }

    fn next_mood(&mut self) -> Mood {
        self.count += 1;
        let every = |n: u32| n != 0 && self.count.is_multiple_of(n);
        if every(self.config.refuse_every) {
            Mood::Refusing
        } else if every(self.config.hang_every) {
            Mood::Hanging { votes: self.config.hang_votes }
        } else {
            Mood::Willing
        }
    }

    /// Makes a changed book durable.
    fn save(&mut self, change: impl FnOnce(&mut Book)) -> Result<(), ManagerError> {
        let mut next = self.book.clone();
        change(&mut next);
        if next == self.book && !self.doubtful {
            return Ok(());
        }
        self.doubtful = true;
        write(&*self.disk, &next.encode()).map_err(|error| ManagerError(error.to_string().into()))?;
        (self.book, self.doubtful) = (next, false);
        Ok(())
    }

    fn promise(&mut self, tx: TransactionId) -> Vote {
        let Some(Begun { entry, .. }) = self.begun.remove(&tx) else {
            return Vote::No(ManagerError("a vote on a transaction that has not begun".into()));
        };
        let digest = digest(tx, &entry);
        match self.save(|book| drop(book.promised.insert(tx, entry))) {
            Ok(()) => Vote::Yes(digest),
            Err(error) => Vote::No(error),
        }
    }
}

impl DataManager for Ledger {
    fn begin(&mut self, tx: TransactionId, changes: &Transaction) -> Result<(), ManagerError> {
        let mood = self.next_mood();
        self.begun.insert(tx, Begun { entry: admit::changed(changes).collect(), mood });
        Ok(())
    }

    fn vote(&mut self, tx: TransactionId) -> Vote {
        match self.begun.get_mut(&tx).map(|begun| &mut begun.mood) {
            Some(Mood::Hanging { votes }) if *votes > 0 => {
                *votes -= 1;
                Vote::Pending
            }
            Some(Mood::Refusing) => Vote::No(ManagerError("not this one".into())),
            Some(Mood::Hanging { .. } | Mood::Willing) | None => self.promise(tx),
        }
    }

    fn finish(&mut self, tx: TransactionId) -> Result<(), ManagerError> {
        self.save(|book| {
            if let Some(entry) = book.promised.remove(&tx) {
                book.finished.insert(tx, entry);
            }
        })
    }

    fn abort(&mut self, tx: TransactionId) -> Result<(), ManagerError> {
        self.begun.remove(&tx);
        self.save(|book| drop(book.promised.remove(&tx)))
    }

    fn in_doubt(&self) -> Vec<(TransactionId, Digest)> {
        self.book.promised.iter().map(|(&tx, entry)| (tx, digest(tx, entry))).collect()
    }

    fn finished(&self) -> Vec<TransactionId> {
        self.book.finished.keys().copied().collect()
    }
}

impl Book {
    fn encode(&self) -> Vec<u8> {
        let text = serde_json::to_vec(self).expect("numbers and lists have a JSON form");
        let mut bytes = format!("{:08x}\n", crc32c::crc32c(&text)).into_bytes();
        bytes.extend_from_slice(&text);
        bytes
    }

    /// Reads a book, or says what is wrong with it.
    fn decode(bytes: &[u8]) -> Result<Book, Box<str>> {
        let (sum, text) = bytes.split_at(CHECKSUM_BYTES.min(bytes.len()));
        let expected = format!("{:08x}\n", crc32c::crc32c(text));
        if sum != expected.as_bytes() {
            let found = sum.escape_ascii();
            return Err(format!("`{BOOK}` is damaged at offset 0: expected {expected:?}, found \"{found}\"").into());
        }
        serde_json::from_slice(text).map_err(|error| format!("`{BOOK}` is no ledger: {error}").into())
    }
}

fn digest(tx: TransactionId, entry: &[RecordId]) -> Digest {
    let words = std::iter::once(tx.0).chain(entry.iter().map(|id| id.0));
    Digest::of(&words.flat_map(u64::to_le_bytes).collect::<Vec<_>>())
}

fn read(disk: &dyn Disk) -> DiskResult<Option<Vec<u8>>> {
    let file = match disk.open(BOOK, Open::Read) {
        Err(error) if error.is_not_found() => return Ok(None),
        opened => opened?,
    };
    // A longer one is cut here, and its checksum is wrong then.
    let mut bytes = vec![0; file.meta()?.len.min(BYTES_MAX) as usize];
    file.read_exact_at(0, &mut bytes)?;
    Ok(Some(bytes))
}

fn write(disk: &dyn Disk, bytes: &[u8]) -> DiskResult<()> {
    let file = disk.open(TEMPORARY, Open::Truncate)?;
    file.write_all_at(0, &[bytes])?;
    file.sync()?;
    disk.rename(TEMPORARY, BOOK)?;
    disk.sync_dir("")
}
