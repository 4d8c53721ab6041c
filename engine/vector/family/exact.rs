//! The exact member: every document is compared, so nothing is ever built and nothing is ever dirty.

use stormproof_contract::Pool;

use super::super::{FlatIndex, Hit, Kernels, Shape};
use super::documents::Documents;
use super::{Document, Filter, Index, IndexError};
use crate::ids::{RecordId, Version};

/// See the file's description.
#[derive(Debug)]
pub(super) struct Exact {
    documents: Documents,
    /// A row for each document.
    flat: FlatIndex,
}

impl Exact {
    pub(super) fn new(shape: Shape, kernels: Kernels) -> Self {
        Self { documents: Documents::new(shape), flat: FlatIndex::new(shape, kernels) }
    }

    fn put(&mut self, document: Document) {
        self.flat.upsert(document.id, Version(0), &document.vector).expect("the document was checked");
        self.documents.put(document);
    }
}

impl Index for Exact {
    fn shape(&self) -> Shape {
        self.documents.shape()
    }

    fn insert(&mut self, document: Document) -> Result<(), IndexError> {
        self.documents.check(&document)?;
        self.put(document);
        Ok(())
    }

    fn insert_batch(&mut self, documents: Vec<Document>) -> Result<(), IndexError> {
        self.documents.check_batch(&documents)?;
        for document in documents {
            self.put(document);
        }
        Ok(())
    }

    fn delete(&mut self, id: RecordId) -> Result<(), IndexError> {
        self.documents.delete(id)?;
        self.flat.remove(id);
        Ok(())
    }

    fn get(&self, id: RecordId) -> Option<Document> {
        self.documents.get(id).cloned()
    }

    fn count(&self) -> usize {
        self.documents.len()
    }

    fn clear(&mut self) {
        self.documents.clear();
        self.flat = FlatIndex::new(self.flat.shape(), self.flat.kernels());
    }

    fn search(
        &mut self,
        query: &[f32],
        k: usize,
        filter: Option<Filter<'_>>,
        _: &dyn Pool,
    ) -> Result<Vec<Hit>, IndexError> {
        self.search_clean(query, k, filter)
    }

    fn search_clean(&self, query: &[f32], k: usize, filter: Option<Filter<'_>>) -> Result<Vec<Hit>, IndexError> {
        let passes = |id, _| filter.is_none_or(|filter| filter(self.documents.held(id)));
        Ok(self.flat.search_where(query, k, passes)?)
    }

    fn force_rebuild(&mut self, _: &dyn Pool) -> Result<(), IndexError> {
        Ok(())
    }

    fn is_dirty(&self) -> bool {
        false
    }
}
