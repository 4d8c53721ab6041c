//! By which rules the archive is built, searched and rebuilt.

use serde::{Deserialize, Serialize};

use crate::{memory::config::ConfigError, store::archive::RowFormat, vector::graph::GraphRules};

/// See the file's description. The defaults: 64 links; a candidate list of 64 for building ([`GraphRules`] says why not 100), and of 100 for
/// searching. There is no beam width, which says how many nodes of a graph on disk are read at a time: this graph is in memory, and all
/// rows that a search reads are one batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArchiveRules {
    /// How a graph is built.
    pub graph: GraphRules,
    /// How the vectors are written that candidates are compared by.
    #[serde(default)]
    pub rows: RowFormat,
    /// How many candidates a search keeps, where it does not say so itself: more find more, and take longer.
    pub search_complexity: u32,
    /// How many of them are compared by their vectors, which are read for it, at least; twice what is asked for otherwise.
    pub rerank_min: u32,
    /// The most bytes of memory that a generation may take while it is searched. A larger one is not built, and one that is
    /// there is not served.
    pub search_memory_maximum: u64,
    /// The most bytes of memory that building one may take.
    pub build_memory_maximum: u64,
    /// How many of its own records a new generation is asked for, before it is served; 0: none.
    pub verify_queries: u32,
    /// How many of the ten nearest it has to find of those, in percent. One that finds fewer is not served. Among rows that are rounded one
    /// counts as found that may be as near.
    pub recall_min_percent: u32,
    /// It is rebuilt every so often, if something has changed; 0: never by time.
    pub rebuild_every_ms: u64,
    /// It is rebuilt once so many records are not in it; 0: never for that.
    pub rebuild_uncovered: u64,
    /// It is rebuilt once so many of its records, in percent, were changed or removed since; 0: never for that.
    pub rebuild_stale_percent: u32,
}

impl Default for ArchiveRules {
    fn default() -> Self {
        ArchiveRules {
            graph: GraphRules::default(),
            rows: RowFormat::default(),
            search_complexity: 100,
            rerank_min: 20,
            search_memory_maximum: 2 << 30,
            build_memory_maximum: 4 << 30,
            verify_queries: 100,
            recall_min_percent: 90,
            rebuild_every_ms: 0,
            rebuild_uncovered: 0,
            rebuild_stale_percent: 0,
        }
    }
}

impl ArchiveRules {
    /// Says what is wrong with them, if anything is.
    pub(in crate::memory) fn check(&self) -> Result<(), ConfigError> {
        self.graph.check().map_err(ConfigError::Graph)?;
        let least = [
            ("archive.search_complexity", self.search_complexity.into(), 1),
            ("archive.rerank_min", self.rerank_min.into(), 1),
        ];
        match least.into_iter().find(|(_, found, min)| found < min) {
            Some((what, found, min)) => Err(ConfigError::TooSmall { what, found, min }),
            None => Ok(()),
        }
    }

    /// How many candidates a search for `k` keeps that asks for `complexity`, and how many of them are read.
    pub(super) fn of_search(&self, k: u32, complexity: u32) -> (usize, usize) {
        let reads = k.saturating_mul(2).max(self.rerank_min);
        let asked = if complexity == 0 { self.search_complexity } else { complexity };
        // Who asks for a list shorter than that wants it so, as long as it holds what was asked for.
        let width = asked.max(k);
        (width as usize, reads.min(width) as usize)
    }
}
