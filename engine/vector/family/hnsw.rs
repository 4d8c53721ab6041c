//! The member with layers: a hierarchical navigable small world (Malkov and Yashunin, 2018).
//!
//! Every row is in layer 0; one in `m` of those in a layer is in the next, too. In each layer a row is linked to some near
//! it in all directions. A search goes down greedily, layer by layer, each time from the nearest row it has found, and
//! looks around in layer 0.
//!
//! What differs from the paper:
//!
//! - *Levels.* Rows are numbered by a hash of their ids, and the smaller the hash the higher the level. So a layer is the
//!   first so many rows, and row 0, which is put in first, is in all of them: the entry.
//! - *Batches.* The links of some rows are sought in the graph as it was before them, by any number of threads; then they
//!   are put in one after the other. A batch is at most an eighth of what is in already, and a fiftieth of all.
//! - *Mending.* Whatever cannot be reached from row 0 within layer 0 is given a link from the nearest row that can. A search
//!   begins there as well as where it came down, so none is too far off to be found if it is wide enough.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Mutex, PoisonError};

use stormproof_contract::Pool;

use super::super::graph::{GraphError, NODES_MAX};
use super::super::kernels::Stripe;
use super::documents::Documents;
use super::rebuilt::{Query, Rows, Structure, hash};
use crate::ids::RecordId;

/// How many rows a thread does at a time.
const CHUNK: usize = 8;

/// How it is built and searched.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HnswRules {
    /// To how many others a row is linked when it is put in: 2 to 128. Links back may double that in layer 0.
    pub m: u32,
    /// How many candidates the search for a new row's neighbours keeps: 1 to 4096.
    pub ef_construction: u32,
    /// How many candidates a search keeps, at least: 1 to 4096.
    pub ef_search: u32,
}

impl Default for HnswRules {
    fn default() -> Self {
        Self { m: 16, ef_construction: 200, ef_search: 100 }
    }
}

impl HnswRules {
    /// Refuses what is out of bounds.
    pub fn check(&self) -> Result<(), GraphError> {
        let bounds = [
            ("m", self.m, 2, 128),
            ("ef_construction", self.ef_construction, 1, 4096),
            ("ef_search", self.ef_search, 1, 4096),
        ];
        match bounds.into_iter().find(|(_, found, min, max)| !(min..=max).contains(&found)) {
            Some((what, found, min, max)) => Err(GraphError::Rule { what, found, min, max }),
            None => Ok(()),
        }
    }

    /// How many links a row may have in a layer.
    fn room(self, layer: usize) -> usize {
        self.m as usize * if layer == 0 { 2 } else { 1 }
    }

    /// The highest layer of a row: each is reached by one in `m` of those in the layer below. Whole numbers only, where the
    /// paper has a logarithm: not every machine's is the same.
    fn level(self, id: RecordId) -> usize {
        let limits = std::iter::successors(Some(u64::MAX), |limit| Some(limit / u64::from(self.m)));
        limits.skip(1).take_while(|limit| hash(id) < *limit).count()
    }
}

/// A row and how far it is, as one word; smaller is nearer, and of those equally near the one with the lower number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Near(u64);

impl Near {
    fn new(distance: f32, row: u32) -> Self {
        // Ordered as `f32::total_cmp` orders: negative numbers below the others, and the other way round.
        let bits = distance.to_bits();
        let ordered = if bits >> 31 == 1 { !bits } else { bits | 1 << 31 };
        Self(u64::from(ordered) << 32 | u64::from(row))
    }

    fn row(self) -> u32 {
        self.0 as u32
    }

    fn is_nearer_than(self, other: Self) -> bool {
        self.0 >> 32 < other.0 >> 32
    }
}

/// Of one row, in each of its layers: the rows it is linked to.
type Links = Vec<Vec<u32>>;

/// See the file's description.
#[derive(Debug)]
pub(super) struct Hnsw {
    rules: HnswRules,
    /// Of the rows that are in.
    links: Vec<Links>,
}

/// What one thread needs at a time: which rows were met, one bit for each, and where bits are set.
#[derive(Debug, Default)]
struct Met {
    bits: Vec<u64>,
    rows: Vec<u32>,
}

impl Met {
    fn begin(&mut self, rows: usize) {
        self.rows.drain(..).for_each(|row| self.bits[row as usize / 64] = 0);
        self.bits.resize(rows.div_ceil(64), 0);
    }

    /// Notes that `row` is met; false if it was before.
    fn is_new(&mut self, row: u32) -> bool {
        let (word, bit) = (&mut self.bits[row as usize / 64], 1 << (row % 64));
        let new = *word & bit == 0;
        *word |= bit;
        if new {
            self.rows.push(row);
        }
        new
    }
}

impl Structure for Hnsw {
    type Rules = HnswRules;

    fn build(_: &Documents, rows: &Rows, rules: HnswRules, pool: &dyn Pool) -> Result<Self, GraphError> {
        rules.check()?;
        if rows.ids().len() > NODES_MAX {
            return Err(GraphError::TooManyNodes);
        }
        let mut hnsw = Self { rules, links: Vec::with_capacity(rows.ids().len()) };
        while hnsw.links.len() < rows.ids().len() {
            hnsw.put_batch(rows, pool);
        }
        hnsw.mend(rows);
        Ok(hnsw)
    }

    fn width(&self, k: usize) -> usize {
        k.max(self.rules.ef_search as usize)
    }

    fn candidates(&self, rows: &Rows, query: Query<'_>, width: usize) -> Vec<u32> {
        let mut met = Met::default();
        let mut near = self.entry(rows, query.stripes);
        for layer in (1..self.layers()).rev() {
            near = self.look_around(rows, query.stripes, &near, 1, layer, &mut met);
        }
        near.extend(self.entry(rows, query.stripes));
        let near = self.look_around(rows, query.stripes, &near, width, 0, &mut met);
        near.into_iter().map(Near::row).collect()
    }
}

impl Hnsw {
    fn layers(&self) -> usize {
        self.links.first().map_or(0, Vec::len)
    }

    fn entry(&self, rows: &Rows, query: &[Stripe]) -> Vec<Near> {
        (0..self.links.len().min(1) as u32).map(|row| Near::new(rows.distance(row, query), row)).collect()
    }

    /// The `ef` rows nearest to `query` that following links from `from` leads to, nearest first.
    fn look_around(
        &self,
        rows: &Rows,
        query: &[Stripe],
        from: &[Near],
        ef: usize,
        layer: usize,
        met: &mut Met,
    ) -> Vec<Near> {
        met.begin(self.links.len());
        let mut best = Best { ef, nearest: BinaryHeap::new(), to_leave: BinaryHeap::new() };
        from.iter().filter(|near| met.is_new(near.row())).for_each(|near| best.offer(*near));
        while let Some(Reverse(next)) = best.to_leave.pop() {
            if best.nearest.peek().is_none_or(|farthest| next > *farthest) {
                break;
            }
            let links = &self.links[next.row() as usize][layer];
            let fresh = links.iter().filter(|row| met.is_new(**row));
            fresh.for_each(|row| best.offer(Near::new(rows.distance(*row, query), *row)));
        }
        best.nearest.into_sorted_vec()
    }

    fn put_batch(&mut self, rows: &Rows, pool: &dyn Pool) {
        let (before, count) = (self.links.len(), rows.ids().len());
        let size = (before / 8).min(count / 50).clamp(1, count - before);
        let batch: Vec<u32> = (before as u32..).take(size).collect();
        let found: Vec<Mutex<Vec<Links>>> = batch.chunks(CHUNK).map(|_| Mutex::default()).collect();
        pool.run(found.len(), &|chunk| {
            let mut met = Met::default();
            let batch = batch.chunks(CHUNK).nth(chunk).unwrap_or_default();
            let links = batch.iter().map(|row| self.find_links(rows, *row, &mut met)).collect();
            *found[chunk].lock().unwrap_or_else(PoisonError::into_inner) = links;
        });
        let found = found.into_iter().flat_map(|links| links.into_inner().unwrap_or_else(PoisonError::into_inner));
        batch.into_iter().zip(found).for_each(|(row, links)| self.put(rows, row, links));
    }

    /// To which of the rows that are in `row` is to be linked.
    fn find_links(&self, rows: &Rows, row: u32, met: &mut Met) -> Links {
        let query = rows.row(row);
        let mut links = vec![Vec::new(); self.rules.level(rows.ids()[row as usize]) + 1];
        let mut near = self.entry(rows, query);
        for layer in (0..self.layers()).rev() {
            let ef = if layer < links.len() { self.rules.ef_construction } else { 1 };
            near = self.look_around(rows, query, &near, ef as usize, layer, met);
            if let Some(links) = links.get_mut(layer) {
                *links = select(rows, &near, self.rules.m as usize);
            }
        }
        links
    }

    /// Puts the next row in, with its links, and adds the links back. A list that overflows is selected from anew.
    fn put(&mut self, rows: &Rows, row: u32, links: Links) {
        for (layer, links) in links.iter().enumerate() {
            let room = self.rules.room(layer);
            for to in links {
                let list = &mut self.links[*to as usize][layer];
                list.push(row);
                if list.len() > room {
                    let target = rows.row(*to);
                    let near = |row: &u32| Near::new(rows.distance(*row, target), *row);
                    let mut candidates: Vec<Near> = list.iter().map(near).collect();
                    candidates.sort_unstable();
                    *list = select(rows, &candidates, room);
                }
            }
        }
        self.links.push(links);
    }

    /// See the file's description.
    fn mend(&mut self, rows: &Rows) {
        let mut reached = vec![false; self.links.len()];
        let (mut to_leave, mut met) = (Vec::new(), Met::default());
        for row in 0..self.links.len() {
            if !reached[row] {
                let (lost, query) = (row as u32, rows.row(row as u32));
                if row > 0 {
                    let ef = self.rules.ef_construction as usize;
                    let near = self.look_around(rows, query, &self.entry(rows, query), ef, 0, &mut met);
                    self.links[near[0].row() as usize][0].push(lost);
                }
                reached[row] = true;
                to_leave.push(lost);
            }
            while let Some(next) = to_leave.pop() {
                for to in &self.links[next as usize][0] {
                    if !std::mem::replace(&mut reached[*to as usize], true) {
                        to_leave.push(*to);
                    }
                }
            }
        }
    }
}

/// The nearest rows that a search has met, at most `ef`, and which of them it has not left.
#[derive(Debug)]
struct Best {
    ef: usize,
    nearest: BinaryHeap<Near>,
    to_leave: BinaryHeap<Reverse<Near>>,
}

impl Best {
    fn offer(&mut self, near: Near) {
        if self.nearest.len() == self.ef {
            if self.nearest.peek().is_some_and(|farthest| near > *farthest) {
                return;
            }
            self.nearest.pop();
        }
        self.nearest.push(near);
        self.to_leave.push(Reverse(near));
    }
}

/// Of `candidates`, nearest first, up to `room` to link to: first those to which no nearer one leads, so that links go in
/// all directions; then, if there is room, the nearest of the others.
fn select(rows: &Rows, candidates: &[Near], room: usize) -> Vec<u32> {
    let (mut kept, mut others) = (Vec::with_capacity(room), Vec::new());
    for candidate in candidates {
        if kept.len() == room {
            break;
        }
        let row = rows.row(candidate.row());
        let leads = |other: &u32| !candidate.is_nearer_than(Near::new(rows.distance(*other, row), *other));
        let list = if kept.iter().any(leads) { &mut others } else { &mut kept };
        list.push(candidate.row());
    }
    let left = room - kept.len();
    kept.extend(others.into_iter().take(left));
    kept
}

#[cfg(test)]
mod tests {
    use super::super::super::{Dim, Kernels, Metric, Shape};
    use super::super::Document;
    use super::*;

    fn built(rules: HnswRules, vectors: impl Iterator<Item = Vec<f32>>) -> Hnsw {
        let mut documents = Documents::new(Shape { metric: Metric::L2, dim: Dim::new(2).expect("a dimension") });
        for (id, vector) in vectors.enumerate() {
            documents.put(Document { id: RecordId(id as u64), vector, attributes: std::collections::BTreeMap::new() });
        }
        let rows = Rows::new(&documents, Kernels::scalar());
        Hnsw::build(&documents, &rows, rules, &stormproof_contract::OneThread).expect("rules within bounds")
    }

    #[test]
    fn words_are_ordered_as_the_distances_are() {
        let distances = [-3.0e9, -1.0, -0.0, 0.0, f32::MIN_POSITIVE, 1.0, 3.0e9];
        let words: Vec<Near> = distances.iter().map(|distance| Near::new(*distance, 7)).collect();
        assert!(words.is_sorted_by(|a, b| a < b), "{words:?}");
        assert!(Near::new(1.0, 3) < Near::new(1.0, 4) && !Near::new(1.0, 3).is_nearer_than(Near::new(1.0, 4)));
    }

    #[test]
    fn one_row_in_m_is_in_the_next_layer_and_the_first_is_in_all() {
        let hnsw = built(HnswRules { m: 4, ..HnswRules::default() }, (0..1024).map(|i| vec![i as f32, 0.0]));
        let layer = |layer: usize| hnsw.links.iter().filter(|links| links.len() > layer).count();
        assert!((200..320).contains(&layer(1)) && (40..90).contains(&layer(2)), "{} and {}", layer(1), layer(2));
        assert!(hnsw.links.is_sorted_by(|a, b| a.len() >= b.len()));
    }

    #[test]
    fn every_row_can_be_reached_from_the_first_and_no_list_overflows_by_much() {
        let rules = HnswRules { m: 2, ef_construction: 4, ef_search: 1 };
        // Many that are all equal, and a few that are far from each other.
        let hnsw = built(rules, (0..500).map(|i| vec![(i / 100 * 1000) as f32, (i % 100 / 90 * i) as f32]));
        let (mut reached, mut to_leave) = (vec![false; 500], vec![0]);
        while let Some(row) = to_leave.pop() {
            if !std::mem::replace(&mut reached[row as usize], true) {
                to_leave.extend(&hnsw.links[row as usize][0]);
            }
        }
        assert!(reached.iter().all(|reached| *reached));
        let links: usize = hnsw.links.iter().map(|links| links[0].len()).sum();
        assert!(links <= 500 * 5, "{links} links");
    }
}
