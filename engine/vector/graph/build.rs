//! How a graph is built: in batches, so that threads can share the work and not even their number shows.
//!
//! Nodes are put in by a fixed order that looks like chance, but for the first, which is the one nearest to the mean
//! and becomes the entry. A batch is at most as large as what is in already, and at most a fiftieth of all:
//!
//! 1. *Insert*: for each node of the batch, the graph as it was before the batch is searched, and what the search left
//!    is pruned: the node's links.
//! 2. *Link*: these links, sorted by where they lead, are added backwards. A list that overflows is pruned.
//!
//! In the end (3. *Trim*) all lists are cut to the degree, and (4. *Mend*) whatever cannot be reached from the entry is given a
//! link: many vectors that are all equal would leave a lot of it, others next to nothing.
//!
//! Each node's list is made by one call from what was frozen before, so it does not matter which thread makes it, or when.

use std::sync::{Mutex, MutexGuard, PoisonError};

use stormproof_contract::Pool;

use super::super::kernels::Kernels;
use super::codes::{CodeQuery, Codes};
use super::prune::prune;
use super::search::Graph;
use super::walk::{Links, Met, Walk};
use super::{GraphError, GraphRules, NO_LINK, room_for_links, splitmix64};

/// At least so many batches.
pub(super) const BATCHES: u64 = 50;
/// How many nodes, or lists, a thread does at a time.
const CHUNK: usize = 32;

/// See the file's description.
#[derive(Debug)]
pub struct Builder {
    codes: Codes,
    rules: GraphRules,
    kernels: Kernels,
    /// [`GraphRules::room`] for each node, then its degree.
    links: Vec<u32>,
    per_node: usize,
    /// The nodes as they are put in.
    order: Vec<u32>,
    /// How many of them make up the graph so far, and how many with the batch.
    before: usize,
    after: usize,
    /// Of the batch, the links to be added: where from in the low half, where to in the high one.
    back: Vec<u64>,
    phase: Phase,
    /// By which node a node was reached first.
    parents: Vec<u32>,
    /// All that were reached.
    reached: Vec<u32>,
    scratch: Mutex<Vec<Scratch>>,
}

/// What comes next; the number says where.
#[derive(Clone, Copy, Debug)]
enum Phase {
    Insert(usize),
    Link(usize),
    Trim(usize),
    Mend { left: usize, looked: usize },
    Done,
}

/// What one thread needs at a time. Nothing in it lasts from one node to the next.
#[derive(Debug, Default)]
struct Scratch {
    walk: Walk,
    query: CodeQuery,
    candidates: Vec<Met>,
    kept: Vec<u32>,
}

impl Builder {
    /// Nothing is done yet.
    pub fn new(codes: Codes, rules: GraphRules, kernels: Kernels) -> Result<Self, GraphError> {
        rules.check()?;
        let (nodes, per_node) = (codes.len(), rules.room());
        let order = order(&codes);
        let phase = if nodes == 0 { Phase::Done } else { Phase::Insert(1) };
        let mut links = room_for_links(nodes * per_node);
        links.resize(nodes * per_node, NO_LINK);
        Ok(Self {
            links,
            codes,
            rules,
            kernels,
            per_node,
            before: 1,
            after: nodes.min(2),
            order,
            back: Vec::new(),
            phase,
            parents: Vec::new(),
            reached: Vec::new(),
            scratch: Mutex::default(),
        })
    }

    /// How many nodes were put in, of how many.
    pub fn progress(&self) -> (usize, usize) {
        (self.before.min(self.order.len()), self.order.len())
    }

    /// Does about as much as putting in `units` nodes takes. True when all is done.
    pub fn step(&mut self, units: u32, pool: &dyn Pool) -> bool {
        let mut left = units.max(1) as usize;
        while left > 0 {
            let done = match self.phase {
                Phase::Insert(next) => self.insert(next, left, pool),
                Phase::Link(next) => self.link(next, left, pool),
                Phase::Trim(next) => self.trim(next, left, pool),
                Phase::Mend { left: from, looked } => self.mend(from, looked, left),
                Phase::Done => return true,
            };
            left = left.saturating_sub(done.max(1));
        }
        matches!(self.phase, Phase::Done)
    }

    /// The graph. What is not done yet is done by one thread.
    pub fn finish(mut self) -> Graph {
        while !self.step(u32::MAX, &stormproof_contract::OneThread) {}
        let entry = self.order.first().copied();
        Graph::from_parts(self.codes, self.links, self.rules.degree, entry, self.kernels)
            .expect("all links are of nodes")
    }

    fn insert(&mut self, next: usize, units: usize, pool: &dyn Pool) -> usize {
        let end = self.after.min(next.saturating_add(units));
        let nodes = &self.order[next..end];
        let lists: Vec<Mutex<Vec<u32>>> = nodes.chunks(CHUNK).map(|_| Mutex::default()).collect();
        pool.run(lists.len(), &|chunk| {
            let mut scratch = self.take();
            let mut lists = locked(&lists[chunk]);
            for node in nodes.chunks(CHUNK).nth(chunk).unwrap_or_default() {
                self.find_links(*node, &mut scratch);
                lists.extend(scratch.kept.iter().copied().chain([NO_LINK]));
            }
            self.give(scratch);
        });
        let lists: Vec<Vec<u32>> =
            lists.into_iter().map(|list| list.into_inner().unwrap_or_else(PoisonError::into_inner)).collect();
        let each = lists.iter().flat_map(|lists| lists.split_inclusive(|link| *link == NO_LINK));
        for (node, list) in nodes.iter().zip(each) {
            let list = &list[..list.len() - 1];
            self.links[*node as usize * self.per_node..][..list.len()].copy_from_slice(list);
            self.back.extend(list.iter().map(|to| u64::from(*to) << 32 | u64::from(*node)));
        }
        self.phase = Phase::Insert(end);
        if end == self.after {
            self.back.sort_unstable();
            self.phase = Phase::Link(0);
        }
        end - next
    }

    /// Searches for `node`, and leaves in `scratch` what it is to be linked to.
    fn find_links(&self, node: u32, scratch: &mut Scratch) {
        let Scratch { walk, query, candidates, kept } = scratch;
        self.walk_to(node, walk, query);
        candidates.clear();
        candidates.append(&mut walk.left);
        candidates.sort_unstable();
        prune(&self.codes, self.kernels, self.rules, candidates, kept, query);
    }

    fn walk_to(&self, node: u32, walk: &mut Walk, query: &mut CodeQuery) {
        self.codes.load(self.kernels, node, query);
        walk.begin(&self.codes, self.kernels, self.order[0], query, self.rules.complexity as usize);
        while walk.hop(&self.codes, self.kernels, self.links(), query) {}
    }

    fn link(&mut self, next: usize, units: usize, pool: &dyn Pool) -> usize {
        let degree = self.rules.degree as usize;
        let end = end_of_group(&self.back, next.saturating_add(units.saturating_mul(degree)));
        let mut links = std::mem::take(&mut self.links);
        let (mut rest, mut first) = (&mut links[..], 0);
        let (mut parts, mut at) = (Vec::new(), next);
        while at < end {
            // Lists of some targets that follow each other, to be had by one thread alone.
            let until = end_of_group(&self.back[..end], at + CHUNK * degree);
            let last = (self.back[until - 1] >> 32) as usize;
            let (lists, others) = rest.split_at_mut((last + 1 - first) * self.per_node);
            parts.push(Mutex::new((first, lists, &self.back[at..until])));
            (rest, first, at) = (others, last + 1, until);
        }
        pool.run(parts.len(), &|part| {
            let mut part = locked(&parts[part]);
            let (first, lists, back) = &mut *part;
            let mut scratch = self.take();
            for group in back.chunk_by(|a, b| a >> 32 == b >> 32) {
                let target = (group[0] >> 32) as u32;
                let list = &mut lists[(target as usize - *first) * self.per_node..][..self.per_node];
                self.add_links(target, list, group, &mut scratch);
            }
            self.give(scratch);
        });
        drop(parts);
        self.links = links;
        self.phase = Phase::Link(end);
        if end == self.back.len() {
            self.back.clear();
            let (nodes, limit) = (self.order.len(), self.order.len() / BATCHES as usize);
            self.before = self.after;
            self.after = nodes.min(self.before + self.before.min(limit.max(1)));
            self.phase = if self.before == nodes { Phase::Trim(0) } else { Phase::Insert(self.before) };
        }
        (end - next) / degree
    }

    /// Adds to the links of `target` those back to where `group` comes from.
    fn add_links(&self, target: u32, list: &mut [u32], group: &[u64], scratch: &mut Scratch) {
        let linked = list.partition_point(|link| *link != NO_LINK);
        let sources = group.iter().map(|pair| *pair as u32);
        if linked + group.len() <= list.len() {
            list[linked..].iter_mut().zip(sources).for_each(|(link, source)| *link = source);
            return;
        }
        scratch.kept.clear();
        scratch.kept.extend(list[..linked].iter().copied().chain(sources));
        self.choose(target, list, scratch);
    }

    /// Links `target` to the right ones of those in `scratch.kept`.
    fn choose(&self, target: u32, list: &mut [u32], scratch: &mut Scratch) {
        let Scratch { query, candidates, kept, .. } = scratch;
        self.codes.load(self.kernels, target, query);
        self.codes.distances(self.kernels, kept, query);
        candidates.clear();
        candidates.extend(kept.iter().zip(&query.distances).map(|(node, distance)| Met::new(*distance, *node)));
        candidates.sort_unstable();
        prune(&self.codes, self.kernels, self.rules, candidates, kept, query);
        list.fill(NO_LINK);
        list[..kept.len()].copy_from_slice(kept);
    }

    fn trim(&mut self, next: usize, units: usize, pool: &dyn Pool) -> usize {
        let (nodes, degree) = (self.order.len(), self.rules.degree as usize);
        let end = nodes.min(next.saturating_add(units));
        let mut links = std::mem::take(&mut self.links);
        let lists = links[next * self.per_node..end * self.per_node].chunks_mut(CHUNK * self.per_node);
        let parts: Vec<_> = lists.map(Mutex::new).collect();
        pool.run(parts.len(), &|part| {
            let mut scratch = self.take();
            for (i, list) in locked(&parts[part]).chunks_mut(self.per_node).enumerate() {
                let linked = list.partition_point(|link| *link != NO_LINK);
                if linked > degree {
                    scratch.kept.clear();
                    scratch.kept.extend(&list[..linked]);
                    self.choose((next + part * CHUNK + i) as u32, list, &mut scratch);
                }
            }
            self.give(scratch);
        });
        drop(parts);
        self.phase = Phase::Trim(end);
        if end == nodes {
            (0..nodes)
                .for_each(|node| links.copy_within(node * self.per_node..node * self.per_node + degree, node * degree));
            links.truncate(nodes * degree);
            links.shrink_to_fit();
            self.per_node = degree;
            self.parents = vec![NO_LINK; nodes];
            self.parents[self.order[0] as usize] = self.order[0];
            self.reached = vec![self.order[0]];
            self.phase = Phase::Mend { left: 0, looked: 0 };
        }
        self.links = links;
        end - next
    }

    /// Goes on from up to `units` nodes that were reached; if there is none, gives one that was not a link.
    fn mend(&mut self, mut left: usize, mut looked: usize, units: usize) -> usize {
        let start = left;
        while let Some(node) = self.reached.get(left).copied().filter(|_| left - start < units) {
            let links = Links { all: &self.links, per_node: self.per_node };
            for to in links.of(node).iter().take_while(|to| **to != NO_LINK) {
                if self.parents[*to as usize] == NO_LINK {
                    self.parents[*to as usize] = node;
                    self.reached.push(*to);
                }
            }
            left += 1;
        }
        self.phase = Phase::Mend { left, looked };
        if left == self.reached.len() {
            looked += self.parents[looked..]
                .iter()
                .position(|parent| *parent == NO_LINK)
                .unwrap_or(self.parents.len() - looked);
            self.phase = Phase::Mend { left, looked };
            if looked == self.parents.len() {
                self.phase = Phase::Done;
                (self.parents, self.reached) = (Vec::new(), Vec::new());
            } else {
                self.attach(looked as u32);
            }
        }
        left - start
    }

    /// Links the nearest node possible to `lost`, in place of a link by which nothing was reached first.
    fn attach(&mut self, lost: u32) {
        let mut scratch = self.take();
        self.walk_to(lost, &mut scratch.walk, &mut scratch.query);
        // By the last one reached, nothing was reached first.
        let hosts = scratch.walk.nearest().iter().map(|met| met.node()).chain(self.reached.last().copied());
        let spare = |host: u32| {
            let first = host as usize * self.per_node;
            let is_spare = |at: &usize| self.links[*at] == NO_LINK || self.parents[self.links[*at] as usize] != host;
            // The first that is missing, or else the farthest.
            let links = self.links().of(host);
            let missing = links.iter().position(|link| *link == NO_LINK).map(|at| first + at);
            missing.or_else(|| (first..first + self.per_node).rev().find(is_spare)).map(|at| (host, at))
        };
        let (host, at) = hosts.into_iter().find_map(spare).expect("the last one reached has links to spare");
        self.links[at] = lost;
        self.parents[lost as usize] = host;
        self.reached.push(lost);
        self.give(scratch);
    }

    fn links(&self) -> Links<'_> {
        Links { all: &self.links, per_node: self.per_node }
    }

    fn take(&self) -> Scratch {
        locked(&self.scratch).pop().unwrap_or_default()
    }

    fn give(&self, scratch: Scratch) {
        locked(&self.scratch).push(scratch);
    }
}

/// All nodes: first the one nearest to the centre, then the others as if by chance.
fn order(codes: &Codes) -> Vec<u32> {
    let mut order: Vec<u32> = (0..codes.len() as u32).collect();
    if let Some(entry) = codes.central() {
        order.swap(0, entry as usize);
    }
    for at in (2..order.len()).rev() {
        order.swap(at, 1 + (splitmix64(at as u64) % at as u64) as usize);
    }
    order
}

/// Where the group of links to one node ends that holds `at - 1`.
fn end_of_group(back: &[u64], at: usize) -> usize {
    let Some(last) = back.get(at.saturating_sub(1)).map(|pair| pair >> 32).filter(|_| at > 0) else {
        return back.len();
    };
    at + back[at..].partition_point(|pair| pair >> 32 == last)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
