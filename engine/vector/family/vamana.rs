//! The member over small codes: a [`Graph`], whose candidates are compared exactly by the rows that are kept.

use std::sync::Arc;

use stormproof_contract::Pool;

use super::super::graph::{Builder, Codec, Graph, GraphError, GraphRules, GraphSearch, Survey};
use super::documents::Documents;
use super::rebuilt::{Query, Rows, Structure};

/// How many candidates are looked at for each hit: codes tell only about who is near.
const PER_HIT: usize = 5;
/// How much is done between two looks at whether all is.
const UNITS: u32 = 4096;

/// See the file's description.
#[derive(Debug)]
pub(super) struct Vamana {
    codec: Codec,
    graph: Arc<Graph>,
    rules: GraphRules,
}

impl Structure for Vamana {
    type Rules = GraphRules;

    fn build(documents: &Documents, rows: &Rows, rules: GraphRules, pool: &dyn Pool) -> Result<Self, GraphError> {
        let vectors = || rows.ids().iter().map(|id| &documents.held(*id).vector);
        let mut survey = Survey::new(documents.shape());
        vectors().try_for_each(|vector| survey.add(vector))?;
        let codec = survey.finish();
        let mut codes = codec.codes();
        codes.reserve_exact(documents.len());
        vectors().try_for_each(|vector| codec.encode(vector, &mut codes))?;
        let mut builder = Builder::new(codes, rules, rows.kernels())?;
        while !builder.step(UNITS, pool) {}
        Ok(Self { codec, graph: Arc::new(builder.finish()), rules })
    }

    fn width(&self, k: usize) -> usize {
        k.saturating_mul(PER_HIT).max(self.rules.complexity as usize)
    }

    fn candidates(&self, _: &Rows, query: Query<'_>, width: usize) -> Vec<u32> {
        let query = self.codec.query(query.vector).expect("the query was checked");
        let mut search = GraphSearch::new(Arc::clone(&self.graph), query, width);
        while !search.step(usize::MAX) {}
        search.finish().into_iter().map(|candidate| candidate.node).collect()
    }
}
