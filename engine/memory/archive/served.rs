//! A generation that is searched: its graph in memory, and where the vectors are. What is read of it becomes codes as it arrives: at the
//! end, between two batches, only links and ids are looked through.

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
        archive::{Generation, GenerationName, Loading},
    },
    vector::{
        Kernels, Shape,
        graph::{self, Codec, Codes, Graph, GraphError, GraphSearch},
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

/// A generation that is being read.
pub(super) struct Arriving {
    loading: Loading,
    shape: Shape,
    /// What has come of it, once it is known how vectors were made into codes.
    coded: Option<(Codec, Codes)>,
    links: Vec<u32>,
}

impl Arriving {
    /// Of vectors of that shape, whose file was opened.
    pub(super) fn new(loading: Loading, shape: Shape) -> Arriving {
        // Its file is as long as so many take.
        let links = graph::room_for_links(loading.about().0.records as usize * loading.degree());
        Arriving { loading, shape, coded: None, links }
    }

    /// Reads the next `blocks`; true once all was read.
    pub(super) fn step(&mut self, blocks: usize) -> StoreResult<bool> {
        let all = self.loading.step(blocks)?;
        self.take_parts().map_err(|error| foreign(self.loading.about().0, &error))?;
        Ok(all)
    }

    /// What was read, all of it being read, if it is a graph.
    pub(super) fn finish(self, kernels: Kernels) -> StoreResult<Archive> {
        let (generation, parts) = self.loading.finish()?;
        let name = *generation.name();
        let (codec, codes) = self.coded.expect("a body begins with its codec");
        let entry = (!codes.is_empty()).then_some(parts.entry);
        let graph = Graph::from_parts(codes, self.links, parts.degree, entry, kernels);
        let graph = Arc::new(graph.map_err(|error| foreign(name, &error))?);
        Ok(Archive { generation, codec, graph, damaged: AtomicBool::new(false) })
    }

    fn take_parts(&mut self) -> Result<(), GraphError> {
        let (records, found) = (self.loading.about().0.records as usize, self.loading.code_bytes());
        let (codec, pieces, links) = self.loading.take_parts();
        if codec.is_empty() {
            return Ok(());
        }
        if self.coded.is_none() {
            let codec = Codec::from_bytes(self.shape, codec)?;
            let mut codes = codec.codes();
            let per_code = codes.bytes_per_code();
            if per_code != found {
                return Err(GraphError::CodesLength { per_code, found });
            }
            // Its file is as long as so many take.
            codes.reserve_exact(records);
            self.coded = Some((codec, codes));
        }
        let (_, codes) = self.coded.as_mut().expect("it was made if there was none");
        self.links.extend_from_slice(&links);
        pieces.iter().try_for_each(|piece| codes.push_bytes(piece))
    }
}

/// Every checksum was right: another program has written it.
fn foreign(name: GenerationName, error: &GraphError) -> StoreError {
    StoreError::Foreign {
        path: name.no.path().into(),
        offset: 0,
        expected: "a graph over codes".into(),
        found: error.to_string().into(),
    }
}

impl Archive {
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

    /// Some of its records, by id: those of at most `max` nodes from one on.
    pub(super) fn records_from(&self, node: usize, max: usize) -> impl Iterator<Item = (RecordId, Version)> {
        let end = self.generation.len().min(node.saturating_add(max));
        (node..end).map(|node| self.generation.record(node))
    }

    /// The node of this version of a record.
    pub(super) fn node_of(&self, id: RecordId, version: Version) -> Option<usize> {
        self.generation.node_of(id).filter(|node| self.generation.record(*node).1 == version)
    }

    /// How many records it has.
    pub(in crate::memory) fn len(&self) -> usize {
        self.generation.len()
    }

    /// Reads the rows of at most `max` nodes from one on. If one is damaged, the node serves it no longer.
    pub(in crate::memory) fn check_rows(&self, node: usize, max: usize) -> StoreResult<()> {
        let end = self.len().min(node.saturating_add(max));
        let read = (node..end).try_for_each(|node| self.generation.read_vector(node).map(drop));
        if read.as_ref().is_err_and(|error| !error.is_passing()) {
            self.found_damaged();
        }
        read
    }

    pub(super) fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::Relaxed)
    }

    /// A search has found that it is.
    pub(in crate::memory) fn found_damaged(&self) {
        self.damaged.store(true, Ordering::Relaxed);
    }
}

impl fmt::Debug for Archive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Archive").field("name", self.name()).finish_non_exhaustive()
    }
}
