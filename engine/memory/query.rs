//! Queries: each is about one view, from its start to its end, whatever is committed meanwhile.
//!
//! They run beside the writer, or inside it when the host sends them there: the same code either way. A search
//! compares some rows and lets others run, and counts a row only if the ground truth has that version.

use std::sync::Arc;

use stormproof_contract::{Query, Reader, Reads};

use super::{
    config::Config,
    op::{Hit, Op, Refusal, Reply},
    view::{Published, View},
};
use crate::{
    ids::RecordId,
    store::Record,
    vector::{self, Scan},
};

/// Starts queries on the newest view.
pub(super) struct Queries {
    pub(super) views: Arc<Published>,
    /// See [`Config::answers_max`].
    pub(super) answers_max: u32,
    /// See [`Config::search_step_rows`].
    pub(super) step_rows: usize,
}

enum Running {
    Refused(Refusal),
    Get { view: Arc<View>, ids: Vec<RecordId> },
    Count { view: Arc<View> },
    Search { view: Arc<View>, scan: Scan, step_rows: usize },
    Answered,
}

impl Queries {
    pub(super) fn new(views: &Arc<Published>, config: &Config) -> Self {
        Queries { views: Arc::clone(views), answers_max: config.answers_max, step_rows: config.search_step_rows }
    }

    fn begin(&self, op: &Op) -> Option<Running> {
        let view = self.views.newest();
        match op {
            Op::Commit(_) => None,
            Op::Count => Some(Running::Count { view }),
            Op::Get { ids } => Some(match self.bound("ids", ids.len() as u64) {
                Ok(()) => Running::Get { view, ids: ids.clone() },
                Err(refusal) => Running::Refused(refusal),
            }),
            Op::Search { vector, k } => Some(match self.scan(&view, vector, *k) {
                Ok(scan) => Running::Search { view, scan, step_rows: self.step_rows },
                Err(refusal) => Running::Refused(refusal),
            }),
        }
    }

    fn scan(&self, view: &View, vector: &[f32], k: u32) -> Result<Scan, Refusal> {
        self.bound("k", k.into())?;
        let bad = |error: vector::VectorError| Refusal::BadVector { id: None, why: error.to_string().into() };
        Scan::new(view.index.clone(), vector, k as usize).map_err(bad)
    }

    fn bound(&self, what: &str, found: u64) -> Result<(), Refusal> {
        let max = self.answers_max.into();
        if found > max { Err(Refusal::TooLarge { what: what.into(), found, max }) } else { Ok(()) }
    }

    /// Answers `op` at once; `None` if it is no query.
    pub(super) fn answer(&self, op: &Op) -> Option<Reply> {
        let mut query = self.begin(op)?;
        let mut io = Reads::default();
        loop {
            if let Some(reply) = query.step(&mut io) {
                return Some(reply);
            }
        }
    }
}

impl Reader<Op, Reply> for Queries {
    fn start(&self, op: &Op) -> Option<Box<dyn Query<Reply>>> {
        self.begin(op).map(|running| Box::new(running) as Box<dyn Query<Reply>>)
    }
}

impl Query<Reply> for Running {
    /// Everything is in memory in this tier, so no reads are asked for.
    fn step(&mut self, _io: &mut Reads) -> Option<Reply> {
        if let Running::Search { view, scan, step_rows } = self
            && !scan.step_where(*step_rows, |id, version| view.is_current(id, version))
        {
            return None;
        }
        Some(match std::mem::replace(self, Running::Answered) {
            Running::Refused(refusal) => Reply::Refused(refusal),
            Running::Get { view, ids } => {
                let records = ids.iter().filter_map(|&id| live(&view, id).cloned()).collect();
                Reply::Records { at: view.lsn, records }
            }
            Running::Count { view } => Reply::Count { at: view.lsn, n: view.records.live() as u64 },
            Running::Search { view, scan, .. } => {
                let hits = scan.finish().into_iter().map(|hit| hydrate(&view, hit)).collect();
                Reply::Hits { at: view.lsn, hits }
            }
            Running::Answered => panic!("a query was resumed after its answer"),
        })
    }
}

fn live(view: &View, id: RecordId) -> Option<&Arc<Record>> {
    view.records.get(id).and_then(|entry| entry.record())
}

fn hydrate(view: &View, hit: vector::Hit) -> Hit {
    let record = live(view, hit.id).expect("the scan counted only rows of live records");
    Hit { distance: hit.distance, record: Arc::clone(record) }
}
