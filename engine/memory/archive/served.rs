//! A generation that is searched: its graph in memory, and where the vectors are.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::{
    ids::{RecordId, Version},
    store::{
        StoreError, StoreResult,
        archive::{Generation, GenerationName, GraphParts},
    },
    vector::{
        Kernels, Shape,
        graph::{Codec, Graph, GraphError, GraphSearch},
    },
};

/// See the file's description.
pub(in crate::memory) struct Archive {
    pub(super) generation: Generation,
    codec: Codec,
    graph: Arc<Graph>,
    /// Whether a search has found damage in it. The node then serves it no longer.
    damaged: AtomicBool,
}

impl Archive {
    /// What was read, if it is a graph.
    pub(super) fn of_parts(
        generation: Generation,
        parts: GraphParts,
        shape: Shape,
        kernels: Kernels,
    ) -> StoreResult<Archive> {
        match graph_of(parts, shape, kernels) {
            Ok((codec, graph)) => {
                Ok(Archive { generation, codec, graph: Arc::new(graph), damaged: AtomicBool::new(false) })
            }
            // Every checksum was right: another program has written it.
            Err(error) => Err(StoreError::Foreign {
                path: generation.path().into(),
                offset: 0,
                expected: "a graph over codes".into(),
                found: error.to_string().into(),
            }),
        }
    }

    /// Begins to look for about the nearest `width` nodes of a vector that was admitted as a query.
    pub(super) fn search(&self, vector: &[f32], width: usize) -> GraphSearch {
        let query = self.codec.query(vector).expect("the exact index has taken it as a query");
        GraphSearch::new(Arc::clone(&self.graph), query, width)
    }

    pub(in crate::memory) fn name(&self) -> &GenerationName {
        self.generation.name()
    }

    /// Its records, by id.
    pub(in crate::memory) fn records(&self) -> impl Iterator<Item = (RecordId, Version)> {
        self.generation.records()
    }

    /// Whether it has this version of a record.
    pub(in crate::memory) fn has(&self, id: RecordId, version: Version) -> bool {
        self.generation.node_of(id).is_some_and(|node| self.generation.record(node).1 == version)
    }

    pub(super) fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::Relaxed)
    }

    /// A search has found that it is.
    pub(in crate::memory) fn found_damaged(&self) {
        self.damaged.store(true, Ordering::Relaxed);
    }
}

fn graph_of(parts: GraphParts, shape: Shape, kernels: Kernels) -> Result<(Codec, Graph), GraphError> {
    let GraphParts { codec, codes: pieces, links, entry, degree } = parts;
    let codec = Codec::from_bytes(shape, &codec)?;
    let mut codes = codec.codes();
    codes.reserve_exact(links.len() / degree.max(1) as usize);
    for piece in pieces {
        codes.push_bytes(&piece)?;
    }
    let entry = (!codes.is_empty()).then_some(entry);
    Ok((codec, Graph::from_parts(codes, links, degree, entry, kernels)?))
}

impl fmt::Debug for Archive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Archive").field("name", self.name()).finish_non_exhaustive()
    }
}
