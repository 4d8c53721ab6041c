//! What the members that are built as a whole have in common.
//!
//! Building makes two things of the documents: their [`Rows`], which are what is compared, and a [`Structure`], which says
//! whom to compare. The first change throws both away: what is dirty is not there, so that no search can use it
//! by mistake.
//!
//! A search asks the structure for more candidates than it needs, compares those that pass the filter, and asks for four
//! times as many as long as too few pass. When that would be all, it asks no more and compares every row: so a
//! structure may miss something, but none can keep a search from finding `k`.

use std::fmt::Debug;

use stormproof_contract::{OneThread, Pool};

use super::super::graph::{GraphError, splitmix64};
use super::super::kernels::Stripe;
use super::super::{Hit, Kernels, Shape};
use super::documents::Documents;
use super::{Document, Filter, Index, IndexError, WhenDirty};
use crate::ids::{RecordId, Version};

/// Looks like chance. No two ids have the same.
pub(super) fn hash(id: RecordId) -> u64 {
    splitmix64(id.0)
}

/// The vectors as they are compared, numbered by the hashes of their ids: whatever ids mean, neighbours are not put in one
/// after the other, and when a document came shows nowhere.
#[derive(Debug)]
pub(super) struct Rows {
    shape: Shape,
    kernels: Kernels,
    ids: Vec<RecordId>,
    /// As the shape prepares a query, so that each can be one.
    stripes: Vec<Stripe>,
}

impl Rows {
    pub(super) fn new(documents: &Documents, kernels: Kernels) -> Self {
        let shape = documents.shape();
        let mut ids: Vec<RecordId> = documents.ids().collect();
        ids.sort_unstable_by_key(|id| hash(*id));
        let mut stripes = vec![Stripe::ZERO; ids.len() * shape.stripes()];
        for (row, id) in stripes.chunks_exact_mut(shape.stripes()).zip(&ids) {
            let vector = &documents.held(*id).vector;
            Stripe::fill(row, vector, shape.scale(vector).expect("the document was checked"));
        }
        Self { shape, kernels, ids, stripes }
    }

    pub(super) fn kernels(&self) -> Kernels {
        self.kernels
    }

    /// Whose rows they are.
    pub(super) fn ids(&self) -> &[RecordId] {
        &self.ids
    }

    pub(super) fn row(&self, row: u32) -> &[Stripe] {
        &self.stripes[row as usize * self.shape.stripes()..][..self.shape.stripes()]
    }

    /// Multiplied by 1 a row stays what it is: the bits are those that comparing the vector and its scale would give.
    pub(super) fn distance(&self, row: u32, query: &[Stripe]) -> f32 {
        let row = self.row(row);
        self.shape.measure(self.kernels, row, 1.0, query, f32::INFINITY, row)
    }
}

/// A query, as it came and as rows are compared to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Query<'a> {
    pub(super) vector: &'a [f32],
    pub(super) stripes: &'a [Stripe],
}

/// What is built of all rows, to say which may be near.
pub(super) trait Structure: Debug + Send + Sync + Sized {
    type Rules: Copy + Debug + Send + Sync;

    /// The same for any pool. Of nothing, something is built unless a rule is out of its bounds.
    fn build(documents: &Documents, rows: &Rows, rules: Self::Rules, pool: &dyn Pool) -> Result<Self, GraphError>;

    /// How many candidates are worth looking at for `k` hits.
    fn width(&self, k: usize) -> usize;

    /// About the `width` rows nearest to `query`, each once, in any order.
    fn candidates(&self, rows: &Rows, query: Query<'_>, width: usize) -> Vec<u32>;
}

/// See the file's description.
#[derive(Debug)]
pub(super) struct Rebuilt<S: Structure> {
    documents: Documents,
    kernels: Kernels,
    rules: S::Rules,
    when_dirty: WhenDirty,
    /// `None` is dirty.
    built: Option<(Rows, S)>,
}

impl<S: Structure> Rebuilt<S> {
    pub(super) fn new(
        shape: Shape,
        kernels: Kernels,
        rules: S::Rules,
        when_dirty: WhenDirty,
    ) -> Result<Self, IndexError> {
        let mut empty = Self { documents: Documents::new(shape), kernels, rules, when_dirty, built: None };
        empty.force_rebuild(&OneThread)?;
        Ok(empty)
    }
}

impl<S: Structure> Index for Rebuilt<S> {
    fn shape(&self) -> Shape {
        self.documents.shape()
    }

    fn insert(&mut self, document: Document) -> Result<(), IndexError> {
        self.documents.check(&document)?;
        self.documents.put(document);
        self.built = None;
        Ok(())
    }

    fn insert_batch(&mut self, documents: Vec<Document>) -> Result<(), IndexError> {
        self.documents.check_batch(&documents)?;
        // An empty batch changes nothing.
        self.built.take_if(|_| !documents.is_empty());
        for document in documents {
            self.documents.put(document);
        }
        Ok(())
    }

    fn delete(&mut self, id: RecordId) -> Result<(), IndexError> {
        self.documents.delete(id)?;
        self.built = None;
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
        self.force_rebuild(&OneThread).expect("the rules were in their bounds when the index was made");
    }

    fn search(
        &mut self,
        query: &[f32],
        k: usize,
        filter: Option<Filter<'_>>,
        pool: &dyn Pool,
    ) -> Result<Vec<Hit>, IndexError> {
        // A query that will be refused is not worth a rebuild.
        self.shape().check(query)?;
        if self.is_dirty() && self.when_dirty == WhenDirty::Rebuild {
            self.force_rebuild(pool)?;
        }
        self.search_clean(query, k, filter)
    }

    fn search_clean(&self, query: &[f32], k: usize, filter: Option<Filter<'_>>) -> Result<Vec<Hit>, IndexError> {
        let stripes = self.shape().prepare_query(query)?;
        let query = Query { vector: query, stripes: &stripes };
        let (rows, structure) = self.built.as_ref().ok_or(IndexError::Dirty)?;
        let (k, count) = (k.min(self.count()), self.count());
        if k == 0 {
            return Ok(Vec::new());
        }
        let passes = |id: RecordId| filter.is_none_or(|filter| filter(self.documents.held(id)));
        let mut width = structure.width(k);
        loop {
            let all = width >= count;
            let candidates = if all { (0..count as u32).collect() } else { structure.candidates(rows, query, width) };
            let passing =
                candidates.into_iter().map(|row| (row, rows.ids()[row as usize])).filter(|(_, id)| passes(*id));
            let hit = |(row, id)| Hit { id, version: Version(0), distance: rows.distance(row, query.stripes) };
            let mut hits: Vec<Hit> = passing.map(hit).collect();
            if all || hits.len() >= k {
                hits.sort_unstable_by(|a, b| a.distance.total_cmp(&b.distance).then(a.id.cmp(&b.id)));
                hits.truncate(k);
                return Ok(hits);
            }
            width = width.saturating_mul(4);
        }
    }

    fn force_rebuild(&mut self, pool: &dyn Pool) -> Result<(), IndexError> {
        // Before, not after: there is no need to hold two.
        self.built = None;
        let rows = Rows::new(&self.documents, self.kernels);
        let structure = S::build(&self.documents, &rows, self.rules, pool)?;
        self.built = Some((rows, structure));
        Ok(())
    }

    fn is_dirty(&self) -> bool {
        self.built.is_none()
    }
}
