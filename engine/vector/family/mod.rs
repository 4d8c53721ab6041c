//! A family of indexes of documents, behind one trait.
//!
//! ```text
//! Family.make ─▶ Box<dyn Index>     Exact   the flat index: always right, never dirty
//!                                   Hnsw    layers of links   ┐ built as a whole of what is held,
//!                                   Vamana  links over codes  ┘ and dirty from the next change on
//! ```
//!
//! - `documents` holds the documents, and says which are taken;
//! - `exact` compares the query to every one of them;
//! - `rebuilt` is all that the other two have in common: being dirty, filters, and the order of the hits;
//! - `hnsw` and `vamana` say which documents may be near.
//!
//! All are plain values: no locks, no threads, no clock. Whoever shares one puts a lock around it, and the mark that says
//! dirty lies behind the same lock as what it speaks of.
//!
//! Invariants:
//! - what is refused changes nothing, the mark included;
//! - a search that succeeds is about exactly the documents held at that moment: what was deleted is never found, and
//!   what was inserted may be;
//! - distances are exact, to the bit those of [`Shape::distance`]; hits are in their order, ties by id;
//! - `k` hits are found if `k` documents pass the filter, and all that pass if they are fewer;
//! - the same documents give the same hits: in whatever order they came, on every processor, with any number of threads.

mod documents;
mod exact;
mod hnsw;
mod rebuilt;
#[cfg(test)]
mod tests;
mod vamana;

use std::collections::BTreeMap;
use std::fmt::Debug;

use stormproof_contract::Pool;

pub use hnsw::HnswRules;

use super::graph::{GraphError, GraphRules};
use super::{Hit, Kernels, Shape, VectorError};
use crate::ids::RecordId;

/// What an index holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// Its name. No two documents of an index share one.
    pub id: RecordId,
    /// By what it is found.
    pub vector: Vec<f32>,
    /// What filters may ask about.
    pub attributes: BTreeMap<String, String>,
}

/// Says which documents may be found. Asked about some, in no particular order, and maybe twice about one.
pub type Filter<'a> = &'a dyn Fn(&Document) -> bool;

/// See the room's description.
pub trait Index: Debug + Send + Sync {
    /// What its vectors are, and how they are compared.
    fn shape(&self) -> Shape;

    /// Puts a document in. An id that is there already is refused.
    fn insert(&mut self, document: Document) -> Result<(), IndexError>;

    /// Puts all documents in, or none. The error says which is the first at fault.
    fn insert_batch(&mut self, documents: Vec<Document>) -> Result<(), IndexError>;

    /// Takes a document out. An id that is not there is an error.
    fn delete(&mut self, id: RecordId) -> Result<(), IndexError>;

    /// A copy of a document, as it was put in.
    fn get(&self, id: RecordId) -> Option<Document>;

    /// How many documents there are.
    fn count(&self) -> usize;

    /// Takes all documents out. An empty index is not dirty.
    fn clear(&mut self);

    /// The `k` documents nearest to `query` that pass the filter, nearest first, those equally far by ascending id; about
    /// the nearest, unless the index is exact. A dirty index does what [`WhenDirty`] says. All hits are of version 0.
    fn search(
        &mut self,
        query: &[f32],
        k: usize,
        filter: Option<Filter<'_>>,
        pool: &dyn Pool,
    ) -> Result<Vec<Hit>, IndexError>;

    /// The same for those who share the index and may only read: if it is dirty they are refused, whatever was configured.
    fn search_clean(&self, query: &[f32], k: usize, filter: Option<Filter<'_>>) -> Result<Vec<Hit>, IndexError>;

    /// Builds anew of the documents held, dirty or not. The answers depend on the documents only, never on the pool.
    fn force_rebuild(&mut self, pool: &dyn Pool) -> Result<(), IndexError>;

    /// Whether documents have come or gone since the index was built.
    fn is_dirty(&self) -> bool;
}

/// What a search does that finds its index dirty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenDirty {
    /// It fails: when to pay for a rebuild is decided elsewhere.
    Refuse,
    /// It rebuilds first.
    Rebuild,
}

/// Which member of the family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// Compares every document.
    Exact,
    /// A hierarchy of graphs over the vectors themselves.
    Hnsw(HnswRules),
    /// One graph over small codes of the vectors.
    Vamana(GraphRules),
}

impl Family {
    /// An empty index. Rules out of their bounds are refused.
    pub fn make(self, shape: Shape, kernels: Kernels, when_dirty: WhenDirty) -> Result<Box<dyn Index>, IndexError> {
        Ok(match self {
            Family::Exact => Box::new(exact::Exact::new(shape, kernels)),
            Family::Hnsw(rules) => Box::new(rebuilt::Rebuilt::<hnsw::Hnsw>::new(shape, kernels, rules, when_dirty)?),
            Family::Vamana(rules) => {
                Box::new(rebuilt::Rebuilt::<vamana::Vamana>::new(shape, kernels, rules, when_dirty)?)
            }
        })
    }
}

/// Why an index does not do what it is asked to.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum IndexError {
    /// Ids are given once.
    #[error("document {} is there already", .0.0)]
    Duplicate(RecordId),
    /// No document of that id.
    #[error("there is no document {}", .0.0)]
    Unknown(RecordId),
    /// A vector, of a document or a query, that does not fit.
    #[error(transparent)]
    Vector(#[from] VectorError),
    /// A document of a batch, the first at fault.
    #[error("document {} at position {at} of the batch: {cause}", id.0)]
    InBatch {
        /// Its position, from 0.
        at: usize,
        /// Its id.
        id: RecordId,
        /// What is wrong with it.
        #[source]
        cause: Box<IndexError>,
    },
    /// Documents have come or gone since the index was built.
    #[error("the index is dirty: documents have come or gone since it was built, and a search does not rebuild it")]
    Dirty,
    /// A rule out of its bounds, or more documents than a graph can have.
    #[error(transparent)]
    Graph(#[from] GraphError),
}
