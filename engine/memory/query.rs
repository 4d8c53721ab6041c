//! Queries: each is about one view, from its start to its end, whatever is committed meanwhile.
//!
//! They run beside the writer, or inside it when the host sends them there: the same code either way. A search
//! compares some rows and lets others run, first those in memory, then those that are away, and counts a row only if the
//! ground truth has that version.

use std::sync::Arc;

use stormproof_contract::{Query, Reader, Reads, Want};

use super::{
    archive::{ArchiveRules, ArchiveScan},
    away::AwayScan,
    config::Config,
    fallback::Fallback,
    fetch::Fetch,
    op::{Completeness, Hit, Op, Refusal, Reply, Route, Searched, Unavailable},
    range::Range,
    view::{Published, View},
    walk::{Walk, Walked},
};
use crate::{
    ids::Lsn,
    protocol::breaker::Ticket,
    store::{Record, StoreError, StoreResult},
    vector::{self, Scan},
};

/// A query, and what it can fall back on.
struct Asked {
    running: Running,
    fallback: Arc<Fallback>,
    /// Of the breaker, once it has reads.
    ticket: Option<Ticket>,
}

/// Starts queries on the newest view.
pub(super) struct Queries {
    pub(super) views: Arc<Published>,
    pub(super) fallback: Arc<Fallback>,
    /// See [`Config::answers_max`].
    pub(super) answers_max: u32,
    /// See [`Config::search_step_rows`].
    pub(super) step_rows: usize,
    pub(super) archive: ArchiveRules,
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
        beyond: Beyond,
        step_rows: usize,
    },
    /// The rows in memory were compared.
    SearchBeyond {
        view: Arc<View>,
        scan: Scan,
        beyond: Beyond,
    },
    /// What the search found is being read.
    Hydrate {
        view: Arc<View>,
        hits: Vec<vector::Hit>,
        fetch: Fetch,
        about: About,
    },
    Answered,
}

/// What a search looks at beside the rows in memory: first the archive's graph, then the rows that are elsewhere.
struct Beyond {
    graph: Option<Box<ArchiveScan>>,
    away: AwayScan,
    searched: Option<Searched>,
    /// If it leaves out what only the archive has: the frame as of which that was built.
    partly: Option<Lsn>,
    /// What was read of the ground truth on the way.
    fetched: Vec<Arc<Record>>,
}

/// What an answer says of itself.
#[derive(Clone, Copy)]
struct About {
    archive: Option<Searched>,
    completeness: Completeness,
}

impl Beyond {
    /// Takes what was read, and states what is to be read next. True once all was looked at.
    fn step(&mut self, view: &View, scan: &mut Scan, io: &mut Reads) -> StoreResult<bool> {
        if let Some(graph) = &mut self.graph {
            let compares_all = match graph.step(view, scan, io) {
                Ok(false) => return Ok(false),
                Ok(true) => graph.gave_up(),
                Err(error) => {
                    if !error.is_passing() {
                        graph.archive().found_damaged();
                    }
                    true
                }
            };
            self.fetched = graph.take_fetched();
            if compares_all {
                // The ground truth has it all, from its first segment on, and the graph has offered nothing.
                (self.away, self.searched) = (AwayScan::default(), None);
            }
            self.graph = None;
        }
        self.away.step(view, scan, io)
    }

    fn about(&self) -> About {
        let partly = |built| Completeness::WithoutArchive { built };
        let completeness = self.partly.map_or(Completeness::Full, partly);
        About { archive: self.searched, completeness }
    }
}

impl About {
    fn answer(self, view: &View, hits: Vec<Hit>) -> Reply {
        Reply::Hits { at: view.lsn, hits, archive: self.archive, completeness: self.completeness }
    }
}

impl Queries {
    pub(super) fn new(views: &Arc<Published>, fallback: &Arc<Fallback>, config: &Config) -> Self {
        let (views, fallback) = (Arc::clone(views), Arc::clone(fallback));
        Queries {
            views,
            fallback,
            answers_max: config.answers_max,
            step_rows: config.search_step_rows,
            archive: config.archive,
        }
    }

    fn asked(&self, op: &Op) -> Option<Asked> {
        let running = self.begin(op)?;
        Some(Asked { running, fallback: Arc::clone(&self.fallback), ticket: None })
    }

    fn begin(&self, op: &Op) -> Option<Running> {
        let view = self.views.newest();
        match op {
            Op::Commit(_) | Op::Activate { .. } | Op::Consolidate { .. } | Op::Rebuild => None,
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
            Op::Search { vector, k, route, complexity } => Some(match self.scan(&view, vector, *k, *complexity) {
                Ok(scan) => {
                    let beyond = self.beyond(&view, vector, (*k, *complexity), *route);
                    Running::Search { view, scan, beyond, step_rows: self.step_rows }
                }
                Err(refusal) => Running::Refused(refusal),
            }),
        }
    }

    fn scan(&self, view: &View, vector: &[f32], k: u32, complexity: u32) -> Result<Scan, Refusal> {
        self.bound("k", k.into())?;
        self.bound("complexity", complexity.into())?;
        let bad = |error: vector::VectorError| Refusal::BadVector { id: None, why: error.to_string().into() };
        Scan::new(view.index.clone(), vector, k as usize).map_err(bad)
    }

    /// What a search looks at beside the rows in memory.
    fn beyond(&self, view: &View, vector: &[f32], asked: (u32, u32), route: Route) -> Beyond {
        match (route, &view.archive) {
            (Route::Exact, _) | (_, None) => {
                Beyond { graph: None, away: AwayScan::default(), searched: None, partly: None, fetched: Vec::new() }
            }
            (Route::Realtime, Some(archive)) => {
                let partly = (view.covered > 0).then(|| archive.name().built);
                Beyond {
                    graph: None,
                    away: AwayScan::behind(view.covered),
                    searched: None,
                    partly,
                    fetched: Vec::new(),
                }
            }
            (Route::Auto | Route::Archive, Some(archive)) => {
                let scan = ArchiveScan::new(archive, vector, asked, &self.archive);
                let searched = Some(Searched { generation: archive.name().no.0, built: archive.name().built });
                let away = AwayScan::behind(view.covered);
                Beyond { graph: Some(Box::new(scan)), away, searched, partly: None, fetched: Vec::new() }
            }
        }
    }

    fn bound(&self, what: &str, found: u64) -> Result<(), Refusal> {
        let max = self.answers_max.into();
        if found > max { Err(Refusal::TooLarge { what: what.into(), found, max }) } else { Ok(()) }
    }

    /// Answers `op` at once; `None` if it is no query.
    pub(super) fn answer(&self, op: &Op) -> Option<Reply> {
        let mut query = self.asked(op)?;
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
        self.asked(op).map(|asked| Box::new(asked) as Box<dyn Query<Reply>>)
    }
}

impl Query<Reply> for Asked {
    fn step(&mut self, io: &mut Reads) -> Option<Reply> {
        match self.running.step(io) {
            None if !io.is_waiting() || self.ticket.is_some() => None,
            None => {
                self.ticket = self.fallback.ask();
                if self.ticket.is_some() {
                    return None;
                }
                drop(io.wanted());
                Some(self.fall_back("it could not be read of late, and is not asked for a while".into()))
            }
            Some(Reply::Unavailable(Unavailable::Disk(words))) => {
                self.hear(Some(false));
                Some(self.fall_back(words))
            }
            Some(reply) => {
                self.hear((!matches!(reply, Reply::Refused(_))).then_some(true));
                self.keep(&reply);
                Some(reply)
            }
        }
    }
}

impl Asked {
    fn hear(&mut self, is_well: Option<bool>) {
        if let Some(ticket) = self.ticket.take() {
            self.fallback.hear(ticket, is_well);
        }
    }

    fn keep(&self, reply: &Reply) {
        match reply {
            Reply::Records { records, .. } => records.iter().for_each(|record| self.fallback.put(record)),
            Reply::Hits { hits, .. } => hits.iter().for_each(|hit| self.fallback.put(&hit.record)),
            _ => {}
        }
    }

    /// Answers from what is at hand, if that is enough; else says why the disk was not read.
    fn fall_back(&mut self, words: Box<str>) -> Reply {
        let known = |view: &View, fetch: Fetch| fetch.or_known(|id| self.fallback.get(view, id));
        let reply = match std::mem::replace(&mut self.running, Running::Answered) {
            Running::Get { view, fetch } => known(&view, fetch)
                .map(|records| Reply::Records { at: view.lsn, records: records.into_iter().flatten().collect() }),
            Running::Hydrate { view, hits, fetch, about } => {
                known(&view, fetch).map(|records| about.answer(&view, hydrated(hits, records.into_iter())))
            }
            _ => None,
        };
        match reply {
            Some(reply) => {
                self.fallback.answer();
                reply
            }
            None => Reply::Unavailable(Unavailable::Disk(words)),
        }
    }
}

impl Running {
    fn step(&mut self, io: &mut Reads) -> Option<Reply> {
        match std::mem::replace(self, Running::Answered) {
            Running::Refused(refusal) => Some(Reply::Refused(refusal)),
            Running::Count { view } => Some(Reply::Count { at: view.lsn, n: view.index.len() as u64 }),
            Running::Get { view, mut fetch } => match fetch.step(&view, io) {
                Err(error) => Some(self.failed(Running::Get { view, fetch }, &error)),
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
            Running::Search { view, mut scan, beyond, step_rows } => {
                if !scan.step_where(step_rows, |id, version| view.is_current(id, version)) {
                    return self.go_on(Running::Search { view, scan, beyond, step_rows });
                }
                *self = Running::SearchBeyond { view, scan, beyond };
                self.step(io)
            }
            Running::SearchBeyond { view, mut scan, mut beyond } => match beyond.step(&view, &mut scan, io) {
                Err(error) => Some(Reply::unread(&error)),
                Ok(false) => self.go_on(Running::SearchBeyond { view, scan, beyond }),
                Ok(true) => {
                    let hits = scan.finish();
                    let fetch = Fetch::new(&view, hits.iter().map(|hit| hit.id)).knowing(&beyond.fetched);
                    *self = Running::Hydrate { view, hits, fetch, about: beyond.about() };
                    self.step(io)
                }
            },
            Running::Hydrate { view, hits, mut fetch, about } => match fetch.step(&view, io) {
                Err(error) => Some(self.failed(Running::Hydrate { view, hits, fetch, about }, &error)),
                Ok(true) => Some(about.answer(&view, hydrated(hits, fetch.finish()))),
                Ok(false) => self.go_on(Running::Hydrate { view, hits, fetch, about }),
            },
            Running::Answered => panic!("a query was resumed after its answer"),
        }
    }

    /// Says what could not be read, and leaves what was for whoever falls back.
    fn failed(&mut self, with: Running, error: &StoreError) -> Reply {
        *self = with;
        Reply::unread(error)
    }

    fn go_on(&mut self, with: Running) -> Option<Reply> {
        *self = with;
        None
    }
}

fn hydrated(hits: Vec<vector::Hit>, records: impl Iterator<Item = Option<Arc<Record>>>) -> Vec<Hit> {
    let record = |record: Option<Arc<Record>>| record.expect("the scan counted only rows of live records");
    hits.into_iter().zip(records.map(record)).map(|(hit, record)| Hit { distance: hit.distance, record }).collect()
}
