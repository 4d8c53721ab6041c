//! Codes side by side: 4 bits a component, and whole numbers as distances.
//!
//! The code `c` of a component, 0 to 15, stands for `c - 7.5`; a query's component is `t / 8` with `t` of 8 bits, which
//! says more than a code could. The distance of a code to a query is four times the sum of `(c - 7.5 - t / 8)²`. That
//! is the sum of `(2c - 15)²`, which belongs to the code and is kept, less the sum of `c t`, which the kernels compute,
//! plus what belongs to the query. (To whole numbers: the query's part is rounded up, which changes no order.)
//!
//! The code of a vector is also a query, with `t = 8 (c - 7.5)`: the distance of two codes is exact.

use super::super::kernels::{CodeBlock, CodeParts, Kernels, WeightBlock};
use super::super::simd::pages::prefer_large_pages;
use super::GraphError;

/// Node numbers are below this: one bit of a word is needed for something else.
pub const NODES_MAX: usize = (1 << 31) - 1;

/// The codes of many vectors, numbered from 0 as they are added.
#[derive(Clone, Debug)]
pub struct Codes {
    blocks: Vec<CodeBlock>,
    /// Of each code, its squared distance from the centre: of its first `head` blocks, and of all.
    norms: Vec<[i32; 2]>,
    blocks_per_code: usize,
    head: usize,
    /// By how much half of a distance may exceed what is expected, in 1024ths.
    head_slack: u32,
}

impl Codes {
    /// None yet, each to take [`bytes_per_code`](super::bytes_per_code) bytes.
    pub(super) fn new(blocks_per_code: usize) -> Self {
        let components = (blocks_per_code * CodeBlock::LANES) as u32;
        let head_slack = (1 << 10) + ((8 << 20) / components.max(1)).isqrt();
        Self { blocks: Vec::new(), norms: Vec::new(), blocks_per_code, head: blocks_per_code / 2, head_slack }
    }

    /// Makes room for so many more, which saves memory: what grows is copied into twice the room.
    pub fn reserve_exact(&mut self, more: usize) {
        self.blocks.reserve_exact(more * self.blocks_per_code);
        prefer_large_pages(self.blocks.spare_capacity_mut());
        self.norms.reserve_exact(more);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.norms.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.norms.is_empty()
    }

    /// How many bytes one takes.
    pub fn bytes_per_code(&self) -> usize {
        self.blocks_per_code * CodeBlock::BYTES
    }

    /// All codes, in pieces of 64 bytes.
    pub fn pieces(&self) -> impl ExactSizeIterator<Item = &[u8; 64]> {
        self.blocks.iter().map(|block| &block.0)
    }

    /// Adds codes that [`pieces`](Self::pieces) gave. Any bytes are codes, if there are enough for each.
    pub fn push_bytes(&mut self, bytes: &[u8]) -> Result<(), GraphError> {
        if !bytes.len().is_multiple_of(self.bytes_per_code()) {
            return Err(GraphError::CodesLength { per_code: self.bytes_per_code(), found: bytes.len() });
        }
        for code in bytes.chunks_exact(self.bytes_per_code()) {
            self.push(code.as_chunks().0.iter().map(|piece| CodeBlock(*piece)))?;
        }
        Ok(())
    }

    /// Adds all of `more`, which are of the same codec.
    pub fn append(&mut self, more: &Self) -> Result<(), GraphError> {
        if more.blocks_per_code != self.blocks_per_code || self.len() + more.len() > NODES_MAX {
            return Err(GraphError::CodesLength { per_code: self.bytes_per_code(), found: more.blocks.len() * 64 });
        }
        self.blocks.extend_from_slice(&more.blocks);
        self.norms.extend_from_slice(&more.norms);
        Ok(())
    }

    pub(super) fn push(&mut self, code: impl Iterator<Item = CodeBlock>) -> Result<(), GraphError> {
        if self.len() == NODES_MAX {
            return Err(GraphError::TooManyNodes);
        }
        let start = self.blocks.len();
        self.blocks.extend(code);
        let norm =
            |blocks: &[CodeBlock]| blocks.iter().flat_map(|block| block.0).map(|byte| SQUARES[usize::from(byte)]).sum();
        let (head, tail) = self.blocks[start..].split_at(self.head);
        let (head, tail): (i32, i32) = (norm(head), norm(tail));
        self.norms.push([head, head + tail]);
        Ok(())
    }

    /// The code nearest to the centre; of those equally near, the first.
    pub(super) fn central(&self) -> Option<u32> {
        (0..self.len()).min_by_key(|node| self.norms[*node][1]).map(|node| node as u32)
    }

    /// Asks for what the distance of `node` begins with.
    pub(super) fn prefetch(&self, kernels: Kernels, node: u32) {
        kernels.prefetch(&self.norms[node as usize..=node as usize]);
    }

    /// Makes `query` stand where `node` is.
    pub(super) fn load(&self, kernels: Kernels, node: u32, query: &mut CodeQuery) {
        let code = &self.blocks[node as usize * self.blocks_per_code..][..self.blocks_per_code];
        query.weights.clear();
        query.weights.extend(code.iter().map(|block| {
            WeightBlock([
                block.0.map(|byte| ((byte & 15) << 3).wrapping_sub(60).cast_signed()),
                block.0.map(|byte| ((byte >> 4) << 3).wrapping_sub(60).cast_signed()),
            ])
        }));
        query.constant = 0;
        query.constant = -self.distance(kernels, node, query);
    }

    /// How far `node` is from `query`.
    pub(super) fn distance(&self, kernels: Kernels, node: u32, query: &mut CodeQuery) -> i32 {
        self.distances(kernels, &[node], query);
        query.distances[0]
    }

    /// Makes `query` ready for [`distances_within`](Self::distances_within).
    pub(super) fn halve(&self, query: &mut CodeQuery) {
        query.head_constant = constant(&query.weights[..self.head]);
    }

    /// Leaves in `query` how far each of `nodes` is from it.
    pub(super) fn distances(&self, kernels: Kernels, nodes: &[u32], query: &mut CodeQuery) {
        kernels.code_dots(self.parts(0), &query.weights, nodes, &mut query.distances);
        for (distance, node) in query.distances.iter_mut().zip(nodes) {
            *distance = self.norms[*node as usize][1] + query.constant - *distance;
        }
    }

    /// The same, but drops from `nodes` most of those that are farther than `bound`, and hardly any other.
    ///
    /// The components are rotated: any half of them makes up about half of a squared distance. Of `n` components, the
    /// half's share has a relative standard deviation of `sqrt(2 / n)`, and what is too far by two of those is dropped. Most of
    /// what a search meets is, and half of its code need not be fetched from memory, which is what takes the time.
    pub(super) fn distances_within(&self, kernels: Kernels, bound: u32, nodes: &mut Vec<u32>, query: &mut CodeQuery) {
        let (head, tail) = query.weights.split_at(self.head);
        if head.is_empty() {
            return self.distances(kernels, nodes, query);
        }
        kernels.code_dots(self.parts(0), head, nodes, &mut query.heads);
        let bound = i64::from(bound) * i64::from(self.head_slack) / (2 << 10) - i64::from(query.head_constant);
        let mut kept = 0;
        for at in 0..nodes.len() {
            let (node, dot) = (nodes[at], query.heads[at]);
            (nodes[kept], query.heads[kept]) = (node, dot);
            kept += usize::from(i64::from(self.norms[node as usize][0] - dot) <= bound);
        }
        nodes.truncate(kept);
        kernels.code_dots(self.parts(self.head), tail, nodes, &mut query.distances);
        for ((distance, node), head) in query.distances.iter_mut().zip(nodes).zip(&query.heads) {
            *distance = self.norms[*node as usize][1] + query.constant - *distance - head;
        }
    }

    fn parts(&self, from: usize) -> CodeParts<'_> {
        CodeParts { blocks: &self.blocks, per_code: self.blocks_per_code, from }
    }
}

/// What both components in a byte add to the squared norm.
const SQUARES: [i32; 256] = {
    let mut squares = [0; 256];
    let mut byte = 0i32;
    while byte < 256 {
        let (low, high) = (2 * (byte & 15) - 15, 2 * (byte >> 4) - 15);
        squares[byte as usize] = low * low + high * high;
        byte += 1;
    }
    squares
};

/// A vector to which codes are compared.
#[derive(Clone, Debug, Default)]
pub struct CodeQuery {
    weights: Vec<WeightBlock>,
    /// What is added to every distance.
    constant: i32,
    /// The same for its first half, once it is known how much that is.
    head_constant: i32,
    heads: Vec<i32>,
    /// Room for what is asked of it.
    pub(super) distances: Vec<i32>,
}

impl CodeQuery {
    /// Components are in steps of a code's, and as many as a code has.
    pub(super) fn new(components: &[f32]) -> Self {
        let eighths: Vec<i8> =
            components.iter().map(|x| ((x * 8.0 + 128.5).clamp(0.0, 255.0) as i32 - 128) as i8).collect();
        let blocks = eighths.as_chunks::<{ CodeBlock::LANES }>().0;
        let weights = blocks.iter().map(|block| {
            let (low, high) = block.split_at(CodeBlock::BYTES);
            WeightBlock([low, high].map(|half| std::array::from_fn(|i| half[i])))
        });
        let weights: Vec<WeightBlock> = weights.collect();
        Self { constant: constant(&weights), weights, ..Self::default() }
    }
}

/// What belongs to the query in each of its distances.
fn constant(weights: &[WeightBlock]) -> i32 {
    let eighths = weights.iter().flat_map(|block| block.0.as_flattened()).map(|t| i64::from(*t));
    ((eighths.map(|t| (120 + t) * t).sum::<i64>() + 15) >> 4) as i32
}

/// Components are in steps, and a multiple of [`CodeBlock::LANES`] of them.
pub(super) fn encode(components: &[f32]) -> impl Iterator<Item = CodeBlock> {
    components.as_chunks::<{ CodeBlock::LANES }>().0.iter().map(|block| {
        let level = |i: usize| (block[i] + 8.0).clamp(0.0, 15.0) as u8;
        CodeBlock(std::array::from_fn(|i| level(i) | level(i + CodeBlock::BYTES) << 4))
    })
}
