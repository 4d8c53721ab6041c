//! Queries: each is about one view, from its start to its end, whatever is committed meanwhile.
//!
//! They run beside the writer, or inside it when the host sends them there: the same code either way. A search
//! compares some rows and lets others run, first those in memory, then those that are away, and counts a row only if the
//! ground truth has that version.

use std::sync::Arc;

use stormproof_contract::{Query, Reader, Reads, Want};

use super::{
    away::AwayScan,
    config::Config,
    fetch::Fetch,
    op::{Hit, Op, Refusal, Reply},
    range::Range,
    view::{Published, View},
    walk::{Walk, Walked},
};
use crate::{
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
    Get {
        view: Arc<View>,
        fetch: Fetch,
    },
    Count {
        view: Arc<View>,
    },
    Range {
        view: Arc<View>,
        range: Range,
    },
    Walk {
        view: Arc<View>,
        walk: Box<Walk>,
    },
    Search {
        view: Arc<View>,
        scan: Scan,
        step_rows: usize,
    },
    /// The rows in memory were compared.
    SearchAway {
        view: Arc<View>,
        scan: Scan,
        away: AwayScan,
    },
    /// What the search found is being read.
    Hydrate {
        view: Arc<View>,
        hits: Vec<vector::Hit>,
        fetch: Fetch,
    },
    Answered,
}

impl Queries {
    pub(super) fn new(views: &Arc<Published>, config: &Config) -> Self {
        Queries { views: Arc::clone(views), answers_max: config.answers_max, step_rows: config.search_step_rows }
    }

    fn begin(&self, op: &Op) -> Option<Running> {
        let view = self.views.newest();
        match op {
            Op::Commit(_) | Op::Activate { .. } | Op::Consolidate { .. } => None,
            Op::Count => Some(Running::Count { view }),
            Op::Get { ids } => Some(match self.bound("ids", ids.len() as u64) {
                Ok(()) => Running::Get { fetch: Fetch::new(&view, ids.iter().copied()), view },
                Err(refusal) => Running::Refused(refusal),
            }),
            Op::Range { from, limit } => Some(match self.bound("limit", (*limit).into()) {
                Ok(()) => Running::Range { range: Range::new(&view, *from, *limit as usize), view },
                Err(refusal) => Running::Refused(refusal),
            }),
            Op::Walk { from, hops, limit } => Some(match self.bound("limit", (*limit).into()) {
                Ok(()) => Running::Walk { walk: Box::new(Walk::new(&view, *from, *hops, *limit as usize)), view },
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
            let got = io.wanted().iter().map(Want::read).collect();
            io.give(got);
        }
    }
}

impl Reader<Op, Reply> for Queries {
    fn start(&self, op: &Op) -> Option<Box<dyn Query<Reply>>> {
        self.begin(op).map(|running| Box::new(running) as Box<dyn Query<Reply>>)
    }
}

impl Query<Reply> for Running {
    fn step(&mut self, io: &mut Reads) -> Option<Reply> {
        match std::mem::replace(self, Running::Answered) {
            Running::Refused(refusal) => Some(Reply::Refused(refusal)),
            Running::Count { view } => Some(Reply::Count { at: view.lsn, n: view.index.len() as u64 }),
            Running::Get { view, mut fetch } => match fetch.step(&view, io) {
                Err(error) => Some(Reply::unread(&error)),
                Ok(true) => Some(Reply::Records { at: view.lsn, records: fetch.finish().flatten().collect() }),
                Ok(false) => self.go_on(Running::Get { view, fetch }),
            },
            Running::Range { view, mut range } => match range.step(&view, io) {
                Err(error) => Some(Reply::unread(&error)),
                Ok(None) => self.go_on(Running::Range { view, range }),
                Ok(Some(fetch)) => {
                    *self = Running::Get { view, fetch };
                    self.step(io)
                }
            },
            Running::Walk { view, mut walk } => match walk.step(&view, io) {
                Err(error) => Some(Reply::unread(&error)),
                Ok(None) => self.go_on(Running::Walk { view, walk }),
                Ok(Some(Walked { reached: records, more })) => Some(Reply::Reached { at: view.lsn, records, more }),
            },
            Running::Search { view, mut scan, step_rows } => {
                if !scan.step_where(step_rows, |id, version| view.is_current(id, version)) {
                    return self.go_on(Running::Search { view, scan, step_rows });
                }
                *self = Running::SearchAway { view, scan, away: AwayScan::default() };
                self.step(io)
            }
            Running::SearchAway { view, mut scan, mut away } => match away.step(&view, &mut scan, io) {
                Err(error) => Some(Reply::unread(&error)),
                Ok(false) => self.go_on(Running::SearchAway { view, scan, away }),
                Ok(true) => {
                    let hits = scan.finish();
                    let fetch = Fetch::new(&view, hits.iter().map(|hit| hit.id));
                    *self = Running::Hydrate { view, hits, fetch };
                    self.step(io)
                }
            },
            Running::Hydrate { view, hits, mut fetch } => match fetch.step(&view, io) {
                Err(error) => Some(Reply::unread(&error)),
                Ok(true) => Some(Reply::Hits { at: view.lsn, hits: hydrated(hits, fetch) }),
                Ok(false) => self.go_on(Running::Hydrate { view, hits, fetch }),
            },
            Running::Answered => panic!("a query was resumed after its answer"),
        }
    }
}

impl Running {
    fn go_on(&mut self, with: Running) -> Option<Reply> {
        *self = with;
        None
    }
}

fn hydrated(hits: Vec<vector::Hit>, fetch: Fetch) -> Vec<Hit> {
    let record = |record: Option<Arc<Record>>| record.expect("the scan counted only rows of live records");
    let records = fetch.finish().map(record);
    hits.into_iter().zip(records).map(|(hit, record)| Hit { distance: hit.distance, record }).collect()
}
