//! An index of about the nearest vectors: a Vamana graph over 4-bit codes.
//!
//! ```text
//! vectors ─▶ Survey ─▶ Codec ─encode─▶ Codes ─▶ Builder.step … ─▶ Graph
//!                        └────query──▶ CodeQuery ─▶ GraphSearch.step … ─▶ Candidates, to be compared exactly
//! ```
//!
//! - [`Survey`] looks at all vectors once, and says by which [`Codec`] they become [`Codes`], an eighth as large;
//! - [`Builder`] links each code to some near it in all directions, so that who follows the links always towards a
//!   query comes near it soon;
//! - [`GraphSearch`] does that. It finds what is near by the codes: whoever asks compares the candidates' vectors, which
//!   are not here.
//!
//! All are values without a disk, a clock or threads: storage takes their parts and gives them back ([`Codec::to_bytes`],
//! [`Codes::pieces`], [`Graph::links`]), threads are lent by a [`Pool`](stormproof_contract::Pool), and what takes long is cut into steps.
//!
//! Invariants:
//! - the same vectors in the same order and the same rules give the same graph and the same candidates, to the last bit: on
//!   every processor, with any number of threads, however steps are cut. Distances are whole numbers and ties go
//!   to the lower number;
//! - every node of a built graph can be reached from its entry;
//! - a graph from parts may be a bad one, if they are: but its searches end, and stay within it.

mod build;
mod codec;
mod codes;
mod prune;
mod search;
#[cfg(test)]
mod tests;
mod walk;

pub use build::Builder;
pub use codec::{Codec, Survey};
pub use codes::{CodeQuery, Codes, NODES_MAX};
pub use search::{Candidate, Graph, GraphSearch};

use super::VectorError;
use super::metric::Shape;
use super::simd::pages::prefer_large_pages;

/// In place of a link that a node has not.
pub const NO_LINK: u32 = u32::MAX;

/// How a graph is built.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GraphRules {
    /// How many links a node may have: 2 to 256.
    pub degree: u32,
    /// How many candidates the search for a new node's neighbours keeps: 1 to 4096.
    pub complexity: u32,
    /// How much nearer, in percent of a squared distance, a neighbour must be to a candidate than the node itself is, for the candidate to
    /// need no link: 100 to 200. More makes more links, and shorter ways.
    pub alpha_percent: u32,
}

impl Default for GraphRules {
    /// A million vectors of 960 components are linked in 161 s by two threads; with a complexity of 100, which the specification gives as an
    /// example, in 263 s, and the whole build takes 301 s where it wants 300. Of the nearest ten a search 100 wide finds 0.954 to 0.959, or then 0.965.
    /// With a degree of 48 it finds less by 0.013, with an alpha of 1.1 or 1.4 by 0.004 at least (100,000 vectors).
    fn default() -> Self {
        Self { degree: 64, complexity: 64, alpha_percent: 120 }
    }
}

impl GraphRules {
    /// Refuses what is out of bounds.
    pub fn check(&self) -> Result<(), GraphError> {
        let bounds = [
            ("degree", self.degree, 2, 256),
            ("complexity", self.complexity, 1, 4096),
            ("alpha_percent", self.alpha_percent, 100, 200),
        ];
        match bounds.into_iter().find(|(_, found, min, max)| !(min..=max).contains(&found)) {
            Some((what, found, min, max)) => Err(GraphError::Rule { what, found, min, max }),
            None => Ok(()),
        }
    }

    /// How many links a node may have while the graph is built: to cut a list back at each new link would take long.
    fn room(self) -> usize {
        self.degree as usize * 13 / 10
    }
}

/// Why something is not taken, or no graph.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum GraphError {
    /// A rule out of its bounds.
    #[error("{what} is {found}: it must be from {min} to {max}")]
    Rule {
        /// The field.
        what: &'static str,
        /// Its value.
        found: u32,
        /// Its least value.
        min: u32,
        /// Its greatest value.
        max: u32,
    },
    /// Not a vector of the index.
    #[error(transparent)]
    Vector(#[from] VectorError),
    /// More codes than can be numbered.
    #[error("a graph has at most {NODES_MAX} nodes")]
    TooManyNodes,
    /// No whole number of codes.
    #[error("{found} bytes of codes: each takes {per_code}")]
    CodesLength {
        /// How many bytes one takes.
        per_code: usize,
        /// How many there are.
        found: usize,
    },
    /// Not a codec of that shape.
    #[error("{found} bytes of a codec: one of this shape takes {expected}")]
    CodecLength {
        /// How many one takes.
        expected: usize,
        /// How many there are.
        found: usize,
    },
    /// A number that no survey finds.
    #[error("number {at} of a codec is {found:e}")]
    CodecNumber {
        /// Which, from 0.
        at: usize,
        /// Its value.
        found: f64,
    },
    /// Not as many links as nodes have.
    #[error("{found} links: {nodes} nodes of degree {degree} have {}", *nodes as u64 * u64::from(*degree))]
    LinksLength {
        /// How many nodes there are.
        nodes: usize,
        /// How many links each has.
        degree: u32,
        /// How many links there are.
        found: usize,
    },
    /// A link to nowhere.
    #[error("link {at} leads to node {found}: there are {nodes}")]
    LinkOutOfRange {
        /// Which link, from 0.
        at: usize,
        /// Where it leads.
        found: u32,
        /// How many nodes there are.
        nodes: usize,
    },
    /// No such entry.
    #[error("the entry is {found:?}: there are {nodes} nodes")]
    EntryOutOfRange {
        /// The entry.
        found: Option<u32>,
        /// How many nodes there are.
        nodes: usize,
    },
}

/// How many bytes the code of a vector takes.
pub fn bytes_per_code(shape: Shape) -> usize {
    codec::components(codec::graph_dim(shape)) / 2
}

/// About how much memory a search needs: the graph's, nearly all.
pub fn bytes_needed_to_search(nodes: u64, shape: Shape, rules: GraphRules) -> u64 {
    nodes.saturating_mul(bytes_per_code(shape) as u64 + 8 + 4 * u64::from(rules.degree)).saturating_add(nodes / 8)
}

/// About how much memory it needs to build a graph, its codes included, with one thread; others take little.
pub fn bytes_needed_to_build(nodes: u64, shape: Shape, rules: GraphRules) -> u64 {
    let batch = nodes / build::BATCHES + 1;
    let links = batch.saturating_mul(8 * u64::from(rules.degree));
    let per_node = bytes_per_code(shape) as u64 + 8 + 4 * rules.room() as u64 + 8;
    nodes.saturating_mul(per_node).saturating_add(links).saturating_add(nodes / 8)
}

/// No links yet, and room for so many, which will be read here and there.
pub fn room_for_links(count: usize) -> Vec<u32> {
    let mut links = Vec::with_capacity(count);
    prefer_large_pages(links.spare_capacity_mut());
    links
}

/// A number that looks like chance, and is the same for the same `state`.
pub(super) fn splitmix64(state: u64) -> u64 {
    let mut z = state.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
