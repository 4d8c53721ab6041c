//! The documents of an index: which are taken, and which are held.

use std::collections::{BTreeMap, BTreeSet};

use super::super::Shape;
use super::{Document, IndexError};
use crate::ids::RecordId;

/// See the file's description.
#[derive(Debug)]
pub(super) struct Documents {
    shape: Shape,
    by_id: BTreeMap<RecordId, Document>,
}

impl Documents {
    pub(super) fn new(shape: Shape) -> Self {
        Self { shape, by_id: BTreeMap::new() }
    }

    pub(super) fn shape(&self) -> Shape {
        self.shape
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn get(&self, id: RecordId) -> Option<&Document> {
        self.by_id.get(&id)
    }

    /// A document that is known to be held.
    pub(super) fn held(&self, id: RecordId) -> &Document {
        self.get(id).expect("what is searched is about the documents held")
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = RecordId> {
        self.by_id.keys().copied()
    }

    /// Whether a document can be put in.
    pub(super) fn check(&self, document: &Document) -> Result<(), IndexError> {
        self.shape.check(&document.vector)?;
        if self.by_id.contains_key(&document.id) { Err(IndexError::Duplicate(document.id)) } else { Ok(()) }
    }

    /// Whether all can be put in. An id that a batch gives twice is a duplicate, too.
    pub(super) fn check_batch(&self, batch: &[Document]) -> Result<(), IndexError> {
        let mut ids = BTreeSet::new();
        for (at, document) in batch.iter().enumerate() {
            let id = document.id;
            let checked = self
                .check(document)
                .and_then(|()| if ids.insert(id) { Ok(()) } else { Err(IndexError::Duplicate(id)) });
            checked.map_err(|cause| IndexError::InBatch { at, id, cause: Box::new(cause) })?;
        }
        Ok(())
    }

    /// Puts in a document that was checked.
    pub(super) fn put(&mut self, document: Document) {
        let before = self.by_id.insert(document.id, document);
        assert!(before.is_none(), "the document was checked");
    }

    pub(super) fn delete(&mut self, id: RecordId) -> Result<(), IndexError> {
        self.by_id.remove(&id).map(|_| ()).ok_or(IndexError::Unknown(id))
    }

    pub(super) fn clear(&mut self) {
        self.by_id.clear();
    }
}
