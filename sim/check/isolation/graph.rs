//! Shortest cycles in a directed graph with four kinds of edges.
//!
//! There are two kinds of nodes: transactions come first, then waypoints, through which an order over many of them is
//! told with few edges ("before everything from here on"). A path's length is the number of transactions it enters:
//! passing waypoints is free, so the proof found is the shortest to read.
//!
//! A cycle lies within one strongly connected component, so those are found first (Tarjan, 1972, without recursion:
//! histories are long) and each is then searched by breadth. Edges leave a node in order of kind, so that among
//! parallel edges the most damning is shown, and the same graph always gives the same cycle.

/// Kinds of edges, from the most damning to the least. An edge is admitted to a search by an upper bound on its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Ww,
    Wr,
    Rw,
    RealTime,
}

#[derive(Clone, Copy)]
struct Edge {
    from: usize,
    to: usize,
    kind: Kind,
}

pub(super) struct Graph {
    /// Nodes below this are transactions; the others are waypoints.
    transactions: usize,
    edges: Vec<Edge>,
    /// For each node the edges that leave it, in order of kind.
    leaving: Vec<Vec<usize>>,
}

const NONE: usize = usize::MAX;
/// No transaction depends on itself.
const CYCLE_MIN: usize = 2;

impl Graph {
    /// A graph of `nodes` nodes, of which the first are `transactions`. Edges from a transaction to itself, even by
    /// way of waypoints, are not allowed.
    pub(super) fn new(transactions: usize, nodes: usize, edges: impl Iterator<Item = (usize, usize, Kind)>) -> Self {
        let edges: Vec<Edge> = edges.map(|(from, to, kind)| Edge { from, to, kind }).collect();
        let mut leaving = vec![Vec::new(); nodes];
        for (place, edge) in edges.iter().enumerate() {
            leaving[edge.from].push(place);
        }
        for out in &mut leaving {
            out.sort_by_key(|&edge| (edges[edge].kind, edges[edge].to));
        }
        Self { transactions, edges, leaving }
    }

    /// The shortest cycle of edges up to `worst`, as places of the edges in the order given to [`Self::new`]. It
    /// begins at a transaction.
    pub(super) fn shortest_cycle(&self, worst: Kind) -> Option<Vec<usize>> {
        let mut search = Search::new(self, worst);
        let mut best: Option<Vec<usize>> = None;
        for node in 0..self.transactions {
            let length = best.as_ref().map_or(NONE, |best| self.length(best));
            if length == CYCLE_MIN {
                break;
            }
            best = search.path(node, node, worst, length - 1).or(best);
        }
        best
    }

    /// The shortest cycle that has one edge of kind `one`, which leads it, and otherwise only edges up to `worst`.
    pub(super) fn shortest_cycle_with_one(&self, one: Kind, worst: Kind) -> Option<Vec<usize>> {
        let mut search = Search::new(self, one.max(worst));
        let mut best: Option<Vec<usize>> = None;
        for (place, edge) in self.edges.iter().enumerate().filter(|(_, edge)| edge.kind == one) {
            let length = best.as_ref().map_or(NONE, |best| self.length(best));
            if length == CYCLE_MIN {
                break;
            }
            let rest = search.path(edge.to, edge.from, worst, length - 1 - self.length(&[place]));
            best = rest.map(|rest| [vec![place], rest].concat()).or(best);
        }
        best
    }

    fn length(&self, path: &[usize]) -> usize {
        path.iter().filter(|&&place| self.edges[place].to < self.transactions).count()
    }
}

/// A search by breadth, within the component that it starts in.
struct Search<'a> {
    graph: &'a Graph,
    components: Vec<usize>,
    /// By which edge a node was reached in the search under way.
    reached_by: Vec<usize>,
    reached: Vec<usize>,
}

impl<'a> Search<'a> {
    fn new(graph: &'a Graph, worst: Kind) -> Self {
        let components = Tarjan::components(graph, worst);
        Self { graph, components, reached_by: vec![NONE; graph.leaving.len()], reached: Vec::new() }
    }

    /// The shortest path of edges up to `worst`, no longer than `length_max`. From a node to itself it is a cycle.
    fn path(&mut self, from: usize, to: usize, worst: Kind, length_max: usize) -> Option<Vec<usize>> {
        let found = self.reach(from, to, worst, length_max);
        let path = found.then(|| self.walk_back(from, to));
        for node in self.reached.drain(..) {
            self.reached_by[node] = NONE;
        }
        path
    }

    fn reach(&mut self, from: usize, to: usize, worst: Kind, length_max: usize) -> bool {
        let graph = self.graph;
        let mut layer = vec![from];
        let mut length = 0;
        while !layer.is_empty() {
            let mut next = Vec::new();
            while let Some(node) = layer.pop() {
                for &place in &graph.leaving[node] {
                    let edge = graph.edges[place];
                    let new = self.reached_by[edge.to] == NONE && self.components[edge.to] == self.components[from];
                    let enters = edge.to < graph.transactions;
                    if !new || edge.kind > worst || (enters && length == length_max) {
                        continue;
                    }
                    self.reached_by[edge.to] = place;
                    self.reached.push(edge.to);
                    if edge.to == to {
                        return true;
                    }
                    if enters { &mut next } else { &mut layer }.push(edge.to);
                }
            }
            layer = next;
            length += 1;
        }
        false
    }

    fn walk_back(&self, from: usize, to: usize) -> Vec<usize> {
        let mut path = vec![self.reached_by[to]];
        while let Some(edge) = path.last().map(|&place| self.graph.edges[place]).filter(|edge| edge.from != from) {
            path.push(self.reached_by[edge.from]);
        }
        path.reverse();
        path
    }
}

/// Tarjan's algorithm: a node is the root of a component if nothing found after it reaches back beyond it.
struct Tarjan<'a> {
    graph: &'a Graph,
    worst: Kind,
    found: Vec<usize>,
    reaches: Vec<usize>,
    component: Vec<usize>,
    /// Nodes found whose component is not complete.
    open: Vec<usize>,
    next: usize,
}

impl<'a> Tarjan<'a> {
    /// For each node the component it belongs to, by edges up to `worst`.
    fn components(graph: &'a Graph, worst: Kind) -> Vec<usize> {
        let mut tarjan = Self::new(graph, worst);
        for root in 0..graph.leaving.len() {
            tarjan.visit(root);
        }
        tarjan.component
    }

    fn new(graph: &'a Graph, worst: Kind) -> Self {
        let unset = vec![NONE; graph.leaving.len()];
        Self { graph, worst, found: unset.clone(), reaches: unset.clone(), component: unset, open: Vec::new(), next: 0 }
    }

    fn visit(&mut self, root: usize) {
        if self.found[root] != NONE {
            return;
        }
        self.find(root);
        let mut path = vec![(root, 0)];
        while let Some((node, tried)) = path.last_mut() {
            let node = *node;
            let Some(&place) = self.graph.leaving[node].get(*tried) else {
                path.pop();
                self.leave(node, path.last().map(|(parent, _)| *parent));
                continue;
            };
            *tried += 1;
            let edge = self.graph.edges[place];
            if edge.kind > self.worst {
                continue;
            }
            if self.found[edge.to] == NONE {
                self.find(edge.to);
                path.push((edge.to, 0));
            } else if self.component[edge.to] == NONE {
                self.reaches[node] = self.reaches[node].min(self.found[edge.to]);
            }
        }
    }

    fn find(&mut self, node: usize) {
        self.found[node] = self.next;
        self.reaches[node] = self.next;
        self.next += 1;
        self.open.push(node);
    }

    fn leave(&mut self, node: usize, parent: Option<usize>) {
        if let Some(parent) = parent {
            self.reaches[parent] = self.reaches[parent].min(self.reaches[node]);
        }
        if self.reaches[node] != self.found[node] {
            return;
        }
        while let Some(member) = self.open.pop() {
            self.component[member] = node;
            if member == node {
                break;
            }
        }
    }
}
