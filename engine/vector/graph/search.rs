//! A graph, and searches in it.

use std::sync::Arc;

use super::super::kernels::Kernels;
use super::codes::{CodeQuery, Codes};
use super::walk::{Links, Walk};
use super::{GraphError, NO_LINK};

/// Codes and their links. Never changes.
#[derive(Debug)]
pub struct Graph {
    codes: Codes,
    links: Vec<u32>,
    degree: u32,
    entry: Option<u32>,
    kernels: Kernels,
}

impl Graph {
    /// A graph of what [`codes`](Self::codes), [`links`](Self::links) and [`entry`](Self::entry) gave of one.
    pub fn from_parts(
        codes: Codes,
        links: Vec<u32>,
        degree: u32,
        entry: Option<u32>,
        kernels: Kernels,
    ) -> Result<Self, GraphError> {
        let nodes = codes.len();
        if links.len() as u64 != nodes as u64 * u64::from(degree) {
            return Err(GraphError::LinksLength { nodes, degree, found: links.len() });
        }
        if let Some(at) = links.iter().position(|link| *link as usize >= nodes && *link != NO_LINK) {
            return Err(GraphError::LinkOutOfRange { at, found: links[at], nodes });
        }
        if entry.map_or(nodes > 0, |entry| entry as usize >= nodes) {
            return Err(GraphError::EntryOutOfRange { found: entry, nodes });
        }
        Ok(Self { codes, links, degree, entry, kernels })
    }

    /// Its nodes' codes.
    pub fn codes(&self) -> &Codes {
        &self.codes
    }

    /// Where each node leads, [`degree`](Self::degree) numbers for each; [`NO_LINK`] for those it has not, which are its last.
    pub fn links(&self) -> &[u32] {
        &self.links
    }

    /// How many links a node may have.
    pub fn degree(&self) -> u32 {
        self.degree
    }

    /// Where searches begin. There is none if there are no nodes.
    pub fn entry(&self) -> Option<u32> {
        self.entry
    }
}

/// A node that a search has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its number.
    pub node: u32,
    /// How far its code is, in units that mean nothing beyond this search.
    pub distance: u32,
}

/// A search under way: a value that follows some links at a time, so that others may run between its steps.
#[derive(Debug)]
pub struct GraphSearch {
    graph: Arc<Graph>,
    query: CodeQuery,
    walk: Walk,
}

impl GraphSearch {
    /// Starts a search for `width` nodes, 1 or more, near `query`, which the codec of the graph's codes has made. The nearer ones are the
    /// more surely found: to find most of the nearest ten takes a width of some fifty.
    pub fn new(graph: Arc<Graph>, mut query: CodeQuery, width: usize) -> Self {
        let mut walk = Walk::default();
        if let Some(entry) = graph.entry {
            walk.begin(&graph.codes, graph.kernels, entry, &mut query, width.clamp(1, graph.codes.len()));
        }
        Self { graph, query, walk }
    }

    /// Leaves up to `hops` nodes for their neighbours. True when the search has ended.
    pub fn step(&mut self, hops: usize) -> bool {
        let Graph { codes, links, degree, kernels, .. } = &*self.graph;
        let links = Links { all: links, per_node: *degree as usize };
        !(0..hops.max(1)).all(|_| self.walk.hop(codes, *kernels, links, &mut self.query))
    }

    /// The nearest nodes met so far, nearest first, those equally far by ascending number.
    pub fn finish(self) -> Vec<Candidate> {
        let candidate = |met: &super::walk::Met| Candidate { node: met.node(), distance: met.distance() };
        self.walk.nearest().iter().map(candidate).collect()
    }
}
