//! The exact flat index: every live row, compared one by one.
//!
//! Two maps that share their structure with their clones: from a record's id to the place of its row, and from a
//! number to a block of rows. Cloning an index copies two pointers, and no clone ever sees what is done to another. A
//! commit therefore copies the rows it adds, at most one block that is not yet full, and a few nodes of the maps.
//!
//! Invariants:
//! - a row is live if and only if the map of places leads to it, and an id has one live row at most;
//! - rows are added to the tail, the block with the highest number; a replaced or removed row is left where it is,
//!   dead, because clones may read it;
//! - every block but the tail is at least half live. When one falls below, its live rows move to the tail and the block
//!   is let go, so that dead rows neither hold more memory than live ones nor slow a scan down. A removal moves on
//!   average no more than one row, and never more than two half blocks.
//!
//! The order of blocks and rows follows from the order of the calls alone, and shows in no answer.
//!
//! A record can be known without its row ([`FlatIndex::send_away`]): its version is here, its vector lies elsewhere, and
//! whoever searches has to compare it there ([`Scan::offer`]). So what the index takes in memory has a bound.

use std::sync::Arc;

use super::block::{ALL_ROWS, Block, Pool};
use super::kernels::{Kernels, Stripe};
use super::map::PersistentMap;
use super::metric::{Shape, VectorError};
use super::scan::{Hit, Scan};
use crate::ids::{RecordId, Version};

/// Blocks are numbered in the order of their making, and no number is used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct BlockNo(pub(super) u64);

/// Where a record's row is.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// Here.
    Row { block: BlockNo, row: u8 },
    /// Elsewhere; it is of this writing.
    Away(Version),
}

/// A block, and one bit for each of its rows that is live in this clone of the index.
#[derive(Clone, Debug)]
pub(super) struct LiveBlock {
    pub(super) block: Arc<Block>,
    live: u64,
}

impl LiveBlock {
    pub(super) fn live_rows(&self) -> impl Iterator<Item = usize> + use<> {
        self.live_rows_of(ALL_ROWS)
    }

    /// Those of them that have a bit in `some`.
    pub(super) fn live_rows_of(&self, some: u64) -> impl Iterator<Item = usize> + use<> {
        let mut live = self.live & some;
        std::iter::from_fn(move || {
            let row = (live != 0).then(|| live.trailing_zeros() as usize)?;
            live &= live - 1;
            Some(row)
        })
    }

    pub(super) fn first_live_row(&self) -> Option<&[Stripe]> {
        self.live_rows().next().map(|row| self.block.stripes(row))
    }

    fn is_sparse(&self) -> bool {
        self.live.count_ones() as usize * 2 < self.block.len()
    }
}

/// See the file's description.
#[derive(Clone, Debug)]
pub struct FlatIndex {
    shape: Shape,
    kernels: Kernels,
    places: PersistentMap<RecordId, Place>,
    blocks: PersistentMap<BlockNo, LiveBlock>,
    tail: BlockNo,
    pool: Arc<Pool>,
    /// How many rows are elsewhere.
    away: usize,
}

impl FlatIndex {
    /// An empty index.
    pub fn new(shape: Shape, kernels: Kernels) -> Self {
        let mut index = Self {
            shape,
            kernels,
            places: PersistentMap::new(),
            blocks: PersistentMap::new(),
            tail: BlockNo(0),
            pool: Arc::default(),
            away: 0,
        };
        index.put_empty_tail();
        index
    }

    /// What its vectors are, and how they are compared.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// How many records it knows.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether it knows none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Of how many it has the row.
    pub fn rows(&self) -> usize {
        self.len() - self.away
    }

    /// The version of a record.
    pub fn version(&self, id: RecordId) -> Option<Version> {
        self.places.get(id).map(|place| self.version_at(*place))
    }

    /// Whether the record is known in that version and its row is elsewhere.
    pub fn is_away(&self, id: RecordId, version: Version) -> bool {
        matches!(self.places.get(id), Some(Place::Away(known)) if *known == version)
    }

    /// The row of a record, if it is here.
    pub fn get(&self, id: RecordId) -> Option<Row<'_>> {
        self.places.get(id).and_then(|place| self.row(*place))
    }

    /// All records with their versions, in ascending order of their ids.
    pub fn versions(&self) -> impl Iterator<Item = (RecordId, Version)> {
        self.places.iter().map(|(id, place)| (id, self.version_at(*place)))
    }

    /// All rows that are here, in ascending order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = Row<'_>> {
        self.places.iter().filter_map(|(_, place)| self.row(*place))
    }

    /// Puts a record's row in, in place of the one it may have, whose version is returned. A refusal changes nothing.
    pub fn upsert(&mut self, id: RecordId, version: Version, vector: &[f32]) -> Result<Option<Version>, VectorError> {
        let scale = self.shape.scale(vector)?;
        let replaced = self.remove(id);
        let place = self.append(|tail| tail.push(id, version, scale, vector));
        self.places.insert(id, place);
        Ok(replaced)
    }

    /// Forgets a record, and returns its version.
    pub fn remove(&mut self, id: RecordId) -> Option<Version> {
        match self.places.remove(id)? {
            Place::Row { block, row } => Some(self.remove_row(block, row)),
            Place::Away(version) => {
                self.away -= 1;
                Some(version)
            }
        }
    }

    /// Knows the record in that version without its row, and returns the version before.
    pub fn send_away(&mut self, id: RecordId, version: Version) -> Option<Version> {
        let before = self.remove(id);
        self.places.insert(id, Place::Away(version));
        self.away += 1;
        before
    }

    /// The `k` rows nearest to `query`, nearest first, those equally far by ascending id: exactly what comparing every
    /// row gives. All rows, if there are fewer.
    pub fn search(&self, query: &[f32], k: usize) -> Result<Vec<Hit>, VectorError> {
        self.search_where(query, k, |_, _| true)
    }

    /// The same among the rows that `keep` accepts. It is asked only about rows near enough to be among the answers.
    pub fn search_where(
        &self,
        query: &[f32],
        k: usize,
        keep: impl FnMut(RecordId, Version) -> bool,
    ) -> Result<Vec<Hit>, VectorError> {
        let mut scan = Scan::new(self.clone(), query, k)?;
        let done = scan.step_where(usize::MAX, keep);
        assert!(done, "no index has so many rows");
        Ok(scan.finish())
    }

    pub(super) fn kernels(&self) -> Kernels {
        self.kernels
    }

    pub(super) fn blocks_from(&self, from: BlockNo) -> impl Iterator<Item = (BlockNo, &LiveBlock)> {
        self.blocks.iter_from(from)
    }

    fn row(&self, place: Place) -> Option<Row<'_>> {
        let Place::Row { block, row } = place else { return None };
        let (block, row) = (self.block(block), usize::from(row));
        let (id, version) = (block.id(row), block.version(row));
        Some(Row { id, version, stripes: block.stripes(row), dim: self.shape.dim.get() })
    }

    fn version_at(&self, place: Place) -> Version {
        match place {
            Place::Row { block, row } => self.block(block).version(row.into()),
            Place::Away(version) => version,
        }
    }

    fn block(&self, block: BlockNo) -> &Block {
        &self.blocks.get(block).expect("a place names a block that is held").block
    }

    fn remove_row(&mut self, block: BlockNo, row: u8) -> Version {
        let held = self.blocks.get_mut(block).expect("a place names a block that is held");
        held.live &= !(1 << row);
        let version = held.block.version(row.into());
        self.empty_if_sparse(block);
        version
    }

    fn append(&mut self, push: impl FnOnce(&mut Block) -> usize) -> Place {
        if self.tail().block.is_full() {
            let full = self.tail;
            self.tail = BlockNo(full.0 + 1);
            self.put_empty_tail();
            self.empty_if_sparse(full); // Moves less than half a block: the new tail keeps room.
        }
        let held = self.blocks.get_mut(self.tail).expect("the tail is held");
        let row = push(Arc::make_mut(&mut held.block));
        held.live |= 1 << row;
        Place::Row { block: self.tail, row: row as u8 }
    }

    fn tail(&self) -> &LiveBlock {
        self.blocks.get(self.tail).expect("the tail is held")
    }

    fn put_empty_tail(&mut self) {
        let block = Arc::new(Block::new(self.shape.stripes(), &self.pool));
        self.blocks.insert(self.tail, LiveBlock { block, live: 0 });
    }

    fn empty_if_sparse(&mut self, number: BlockNo) {
        if number == self.tail || !self.blocks.get(number).is_some_and(LiveBlock::is_sparse) {
            return;
        }
        let sparse = self.blocks.remove(number).expect("found a line above");
        for row in sparse.live_rows() {
            let place = self.append(|tail| tail.push_from(&sparse.block, row));
            self.places.insert(sparse.block.id(row), place);
        }
    }
}

/// A record's row, as it was put in.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// The record.
    pub id: RecordId,
    /// Which writing of it.
    pub version: Version,
    stripes: &'a [Stripe],
    dim: usize,
}

impl<'a> Row<'a> {
    /// The components of its vector.
    pub fn components(&self) -> impl Iterator<Item = f32> + use<'a> {
        self.stripes.iter().flat_map(|stripe| stripe.0).take(self.dim)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Dim, Metric};
    use super::*;

    fn index(dim: usize) -> FlatIndex {
        FlatIndex::new(Shape { metric: Metric::L2, dim: Dim::new(dim).expect("a dimension") }, Kernels::scalar())
    }

    fn put(index: &mut FlatIndex, id: u64) {
        let vector = vec![id as f32; index.shape.dim.get()];
        index.upsert(RecordId(id), Version(id), &vector).expect("an admitted vector");
    }

    fn block_of(index: &FlatIndex, id: u64) -> Arc<Block> {
        let Some(Place::Row { block, .. }) = index.places.get(RecordId(id)) else { panic!("{id} has no row") };
        Arc::clone(&index.blocks.get(*block).expect("a block").block)
    }

    #[test]
    fn a_commit_after_a_snapshot_copies_no_block_but_the_tail() {
        let mut index = index(960);
        (0..200).for_each(|id| put(&mut index, id));
        let snapshot = index.clone();
        (200..264).for_each(|id| put(&mut index, id));
        let copied = (0..200).filter(|id| !Arc::ptr_eq(&block_of(&index, *id), &block_of(&snapshot, *id))).count();
        assert_eq!(copied, 200 % 17, "17 rows of 3,840 bytes fill a block");
    }

    #[test]
    fn a_removal_after_a_snapshot_copies_no_block() {
        let mut index = index(960);
        (0..200).for_each(|id| put(&mut index, id));
        let snapshot = index.clone();
        index.remove(RecordId(100));
        for id in (0..200).filter(|id| *id != 100) {
            assert!(Arc::ptr_eq(&block_of(&index, id), &block_of(&snapshot, id)));
        }
    }

    #[test]
    fn replacing_one_record_for_ever_does_not_grow_the_index() {
        for dim in [8, 960, 65_536] {
            let mut index = index(dim);
            (0..1000).for_each(|_| put(&mut index, 7));
            assert_eq!(index.blocks.len(), 1, "at {dim} components");
        }
    }

    #[test]
    fn dead_rows_are_never_more_than_the_live_ones_and_a_tail() {
        let mut index = index(8);
        (0..6400).for_each(|id| put(&mut index, id));
        for id in (0..6400).filter(|id| id % 7 != 0) {
            index.remove(RecordId(id));
            assert!(index.blocks.len() <= 2 * index.len().div_ceil(64) + 1);
        }
    }

    #[test]
    fn rows_that_are_sent_away_leave_their_blocks_and_are_still_known() {
        let mut index = index(960);
        (0..200).for_each(|id| put(&mut index, id));
        let snapshot = index.clone();
        for id in 0..100 {
            assert_eq!(index.send_away(RecordId(id), Version(id)), Some(Version(id)));
        }
        assert_eq!((index.len(), index.rows(), snapshot.rows()), (200, 100, 200));
        assert!(index.blocks.len() <= 100_usize.div_ceil(17) + 2, "{} blocks", index.blocks.len());
        assert_eq!((index.version(RecordId(7)), index.get(RecordId(7)).is_none()), (Some(Version(7)), true));
        assert!(index.is_away(RecordId(7), Version(7)) && !index.is_away(RecordId(7), Version(6)));
        put(&mut index, 7);
        assert_eq!((index.remove(RecordId(8)), index.len(), index.rows()), (Some(Version(8)), 199, 101));
    }

    #[test]
    fn a_refused_vector_leaves_the_old_row() {
        let mut index = index(2);
        put(&mut index, 1);
        assert!(index.upsert(RecordId(1), Version(9), &[f32::NAN, 0.0]).is_err());
        let row = index.get(RecordId(1)).expect("the old row");
        assert_eq!((row.version, row.components().collect()), (Version(1), vec![1.0, 1.0]));
    }
}
