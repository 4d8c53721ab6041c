//! Searching a generation: its graph says which records are near, by their codes; then the vectors of the nearest are read and
//! compared like any other row. Where the generation has rounded them, they only say which candidates are the nearest, and the
//! ground truth is read for those that may be: answers are what they would be without rounding.
//!
//! The graph knows what was there when it was built. A candidate counts only if the view has that version of the record, and not
//! its row, which was compared already. If too few of them do, the list of candidates is made longer, and if that does not help, everything
//! is compared instead.

use std::sync::Arc;

use stormproof_contract::{Bytes, DiskResult, Reads};

use super::{rules::ArchiveRules, served::Archive};
use crate::{
    memory::{fetch::Fetch, recover::foreign_vector, view::View},
    store::{Record, StoreError, StoreResult},
    vector::{Scan, Shape, VectorError, graph::GraphSearch},
};

/// Nodes that a search goes to before it lets others run.
const STEP_NODES: usize = 64;
/// By how much a list of candidates is made longer, and how often at most. Beyond that to compare everything is less work.
const LONGER: usize = 4;
const LONGER_MAX: u32 = 2;

/// A search on its way. See the file's description.
pub(in crate::memory) struct ArchiveScan {
    archive: Arc<Archive>,
    query: Box<[f32]>,
    k: usize,
    width: usize,
    reads: usize,
    /// How often the list was made longer.
    longer: u32,
    /// Whether too little of what is near is still there.
    gave_up: bool,
    /// What the ground truth has of those it has offered, if it was asked.
    fetched: Vec<Arc<Record>>,
    at: At,
}

enum At {
    /// The graph is searched.
    Walking(Box<GraphSearch>),
    /// The rows of these nodes are being read.
    Reading(Vec<u32>),
    /// The ground truth is read for the nearest, by their rows.
    Fetching(Fetch),
    Done,
}

impl ArchiveScan {
    pub(in crate::memory) fn new(
        archive: &Arc<Archive>,
        query: &[f32],
        asked: (u32, u32),
        rules: &ArchiveRules,
    ) -> ArchiveScan {
        let (width, reads) = rules.of_search(asked.0, asked.1);
        let search = archive.search(query, width);
        let (archive, query, k) = (Arc::clone(archive), query.into(), asked.0 as usize);
        let at = At::Walking(Box::new(search));
        ArchiveScan { archive, query, k, width, reads, longer: 0, gave_up: false, fetched: Vec::new(), at }
    }

    pub(in crate::memory) fn archive(&self) -> &Arc<Archive> {
        &self.archive
    }

    /// Whether it has offered nothing, since too little of what is near is still there: whoever asks has to compare everything.
    pub(in crate::memory) fn gave_up(&self) -> bool {
        self.gave_up
    }

    /// What it has read of the ground truth.
    pub(in crate::memory) fn take_fetched(&mut self) -> Vec<Arc<Record>> {
        std::mem::take(&mut self.fetched)
    }

    /// Takes what was read, and states what is to be read next. True once it has nothing more to offer.
    pub(in crate::memory) fn step(&mut self, view: &View, scan: &mut Scan, io: &mut Reads) -> StoreResult<bool> {
        match std::mem::replace(&mut self.at, At::Done) {
            At::Walking(mut search) => {
                if !search.step(STEP_NODES) {
                    self.at = At::Walking(search);
                    return Ok(false);
                }
                let found: Vec<u32> = search.finish().into_iter().map(|candidate| candidate.node).collect();
                let is_current = |node: &&u32| {
                    let (id, version) = self.archive.generation.record(**node as usize);
                    view.index.version(id) == Some(version)
                };
                // Each look may miss every cache: no more of them than it takes.
                let current = found.iter().filter(is_current).take(self.reads).count();
                if current < self.reads && found.len() == self.width && found.len() < self.archive.generation.len() {
                    // Too many of them are of the past.
                    if self.longer == LONGER_MAX {
                        self.gave_up = true;
                        return Ok(true);
                    }
                    self.longer += 1;
                    self.width = self.width.saturating_mul(LONGER);
                    self.at = At::Walking(Box::new(self.archive.search(&self.query, self.width)));
                    return Ok(false);
                }
                let nodes: Vec<u32> =
                    found.into_iter().filter(|node| self.counts(view, *node)).take(self.reads).collect();
                if nodes.is_empty() {
                    return Ok(true);
                }
                for node in &nodes {
                    let span = self.archive.generation.row_span(*node as usize);
                    io.want(self.archive.generation.file(), span.offset, span.len);
                }
                self.at = At::Reading(nodes);
                Ok(false)
            }
            At::Reading(nodes) => {
                // All or none: if one is damaged, everything is compared elsewhere.
                let rows = nodes.into_iter().zip(io.take());
                let row = |(node, read)| self.row(node as usize, read, view.index.shape());
                let rows: Vec<(usize, Vec<f32>)> = rows.map(row).collect::<StoreResult<_>>()?;
                if self.archive.generation.format().is_exact() {
                    for (node, vector) in rows {
                        let (id, version) = self.archive.generation.record(node);
                        scan.offer(id, version, &vector).expect("it was checked");
                    }
                    return Ok(true);
                }
                let nearest = self.nearest(rows, view.index.shape(), scan);
                let ids = nearest.into_iter().map(|node| self.archive.generation.record(node).0);
                self.at = At::Fetching(Fetch::new(view, ids));
                self.step(view, scan, io)
            }
            At::Fetching(mut fetch) => match fetch.step(view, io) {
                Ok(false) => {
                    self.at = At::Fetching(fetch);
                    Ok(false)
                }
                Ok(true) => {
                    let records: Vec<Arc<Record>> = fetch.finish().flatten().collect();
                    if records.iter().any(|record| view.index.shape().check(&record.vector).is_err()) {
                        self.gave_up = true;
                        return Ok(true);
                    }
                    for record in &records {
                        scan.offer(record.id, record.version, &record.vector).expect("it was checked");
                    }
                    self.fetched = records;
                    Ok(true)
                }
                // Nothing is wrong with the archive. Whoever compares everything comes upon it, and says so.
                Err(_) => {
                    self.gave_up = true;
                    Ok(true)
                }
            },
            At::Done => Ok(true),
        }
    }

    fn counts(&self, view: &View, node: u32) -> bool {
        let (id, version) = self.archive.generation.record(node as usize);
        view.index.is_away(id, version)
    }

    fn row(&self, node: usize, read: DiskResult<Bytes>, shape: Shape) -> StoreResult<(usize, Vec<f32>)> {
        let vector = self.archive.generation.vector(node, &read?)?;
        shape.check(&vector).map_err(|error| self.foreign(node, error))?;
        Ok((node, vector))
    }

    /// The nodes whose vectors may be among the nearest that are asked for, by what their rows say.
    fn nearest(&self, rows: Vec<(usize, Vec<f32>)>, shape: Shape, scan: &mut Scan) -> Vec<usize> {
        let format = self.archive.generation.format();
        let mut around = Vec::with_capacity(rows.len());
        for (node, row) in rows {
            let distance = scan.distance(&row).expect("it was checked");
            around.push((shape.around(distance, &row, format.off(&row), &self.query), node));
        }
        let mut highs: Vec<f64> = around.iter().map(|((_, high), _)| *high).collect();
        highs.sort_by(f64::total_cmp);
        // So many are not farther than that.
        let bound = highs.get(self.k.saturating_sub(1)).copied().unwrap_or(f64::INFINITY);
        around.into_iter().filter(|((low, _), _)| *low <= bound).map(|(_, node)| node).collect()
    }

    fn foreign(&self, node: usize, error: VectorError) -> StoreError {
        let generation = &self.archive.generation;
        foreign_vector(generation.path().into(), generation.row_span(node).offset, generation.record(node).0, error)
    }
}
