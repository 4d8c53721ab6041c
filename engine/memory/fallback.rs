//! What queries fall back on while the disk cannot be read: records that were lately written or read, the last used first.
//!
//! A record is kept with its version, and the index knows the present version of every live record, so what is given from here is
//! never old. What is not here is refused at once while the breaker of reads is open: the disk is not asked again and again by
//! everybody. Then a few queries try whether it is over.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use lru::LruCache;
use stormproof_contract::Clock;

use super::view::View;
use crate::{
    ids::RecordId,
    protocol::breaker::{self, Breaker, Input, Output, State, Ticket},
    store::Record,
};

/// However few records there are, they weigh no more together.
const BYTES_MAX: usize = 64 << 20;

/// See the file's description.
pub(super) struct Fallback {
    records_max: usize,
    clock: Arc<dyn Clock>,
    held: Mutex<Held>,
    /// How often a query was answered from here since somebody asked.
    answered: AtomicU64,
}

/// What is known of a record without the disk.
pub(super) enum AtHand {
    /// All.
    Record(Arc<Record>),
    /// That there is none.
    Gone,
    /// Not enough.
    Unknown,
}

struct Held {
    records: LruCache<RecordId, Arc<Record>>,
    bytes: usize,
    breaker: Breaker,
}

impl Fallback {
    /// An empty one, for so many records; 0: none is kept.
    pub(super) fn new(records_max: usize, breaker: breaker::Config, clock: &Arc<dyn Clock>) -> Fallback {
        let held = Held { records: LruCache::unbounded(), bytes: 0, breaker: Breaker::new(breaker) };
        Fallback { records_max, clock: Arc::clone(clock), held: Mutex::new(held), answered: AtomicU64::new(0) }
    }

    /// Keeps a record, unless a newer writing is kept: a query may be about an older view.
    pub(super) fn put(&self, record: &Arc<Record>) {
        self.with(|held| {
            if held.records.peek(&record.id).is_some_and(|known| known.version > record.version) {
                return;
            }
            held.bytes += record.weight();
            if let Some(replaced) = held.records.put(record.id, Arc::clone(record)) {
                held.bytes -= replaced.weight();
            }
            while held.records.len() > self.records_max || held.bytes > BYTES_MAX {
                let (_, oldest) = held.records.pop_lru().expect("what has bytes is held");
                held.bytes -= oldest.weight();
            }
        });
    }

    /// What a view has of a record, as far as that is known without the disk.
    pub(super) fn get(&self, view: &View, id: RecordId) -> AtHand {
        let Some(version) = view.version_of_live(id) else { return AtHand::Gone };
        let known = self.with(|held| held.records.get(&id).cloned());
        known.filter(|record| record.version == version).map_or(AtHand::Unknown, AtHand::Record)
    }

    /// Notes that a query was answered from here.
    pub(super) fn answer(&self) {
        self.answered.fetch_add(1, Ordering::Relaxed);
    }

    /// How many were since the last call.
    pub(super) fn take_answered(&self) -> u64 {
        self.answered.swap(0, Ordering::Relaxed)
    }

    /// Whether the disk may be read; then the ticket is to be handed back.
    pub(super) fn ask(&self) -> Option<Ticket> {
        let now = self.clock.now();
        self.step(Input::Ask(now)).into_iter().find_map(|output| match output {
            Output::Admit(ticket) => Some(ticket),
            Output::Refuse | Output::Changed(_) => None,
        })
    }

    /// Hears how reads ended: `None` if what they have shown says nothing about the disk.
    pub(super) fn hear(&self, ticket: Ticket, is_well: Option<bool>) {
        self.step(match is_well {
            Some(true) => Input::Succeeded(ticket),
            Some(false) => Input::Failed(ticket, self.clock.now()),
            None => Input::Excluded(ticket),
        });
    }

    /// In which state the breaker of reads is.
    pub(super) fn reads(&self) -> State {
        self.with(|held| held.breaker.state())
    }

    fn step(&self, input: Input) -> Vec<Output> {
        let mut said = Vec::new();
        self.with(|held| held.breaker.step(input, &mut said));
        said
    }

    fn with<T>(&self, work: impl FnOnce(&mut Held) -> T) -> T {
        // Nothing in here panics half-way.
        work(&mut self.held.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
