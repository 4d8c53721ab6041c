//! How a vector becomes a code.
//!
//! 1. It is put into *graph space*, where the metric's order is that of the squared Euclidean distance: as it is for L2;
//!    scaled to one length for the cosine; for the inner product with one component more, `sqrt(M² - |x|²)`, `M` being
//!    the greatest norm, so that all vectors are equally long. There a query's extra component is 0, and it is
//!    scaled to `M`, which changes no order.
//! 2. The mean of all vectors is subtracted, and the rest divided by one step for all components, in `f64`: whatever
//!    the components' size, the numbers are now around 1.
//! 3. It is rotated, by random signs and Walsh-Hadamard transforms: after that every component tells about equally much,
//!    whatever the data, and one quantiser suits them all. A transform is as long as the largest power of two
//!    that fits and is applied to the first components and then to the last, twice; so no code is longer than to the
//!    next multiple of 128 components.
//! 4. Each component is cut to 16 levels, one step apart. The step is that share of the components' root mean square
//!    which loses least of a normal distribution.
//!
//! Only additions, multiplications and roots, component by component, in an order that is written down: the same code on
//! every machine. What is not known of a vector that came after the survey is not asked: it gets the code that is nearest.

use super::super::kernels::CodeBlock;
use super::super::metric::{Metric, Shape, VectorError};
use super::codes::{CodeQuery, Codes, encode};
use super::{GraphError, splitmix64};

/// Two rounds of two transforms.
const TRANSFORMS: usize = 4;
/// The distance of two levels, as a share of the root mean square.
const STEP: f64 = 0.335;
/// No component in steps is let grow above this: sums of them stay finite.
const STEPS_MAX: f64 = 1e9;
/// Seeds the signs. Another value makes codes that existing graphs do not have.
const SEED: u64 = 0x5354_4f52_4d47_5248;

/// One pass over the vectors of an index, to know their mean and spread.
#[derive(Clone, Debug)]
pub struct Survey {
    shape: Shape,
    rows: u64,
    sums: Vec<f64>,
    squares: f64,
    /// For the inner product, of each vector its squared norm: what the extra components will be shows at the end.
    norms: Vec<f64>,
}

impl Survey {
    /// Nothing seen yet.
    pub fn new(shape: Shape) -> Self {
        Self { shape, rows: 0, sums: vec![0.0; shape.dim.get()], squares: 0.0, norms: Vec::new() }
    }

    /// Takes one vector into account. The order matters, if only to the last bit.
    pub fn add(&mut self, vector: &[f32]) -> Result<(), VectorError> {
        let scale = f64::from(self.shape.scale(vector)?);
        let mut square = 0.0;
        for (sum, x) in self.sums.iter_mut().zip(vector) {
            let x = f64::from(*x) * scale;
            *sum += x;
            square += x * x;
        }
        self.rows += 1;
        self.squares += square;
        if self.shape.metric == Metric::InnerProduct {
            self.norms.push(square);
        }
        Ok(())
    }

    /// What was learnt.
    pub fn finish(self) -> Codec {
        let rows = (self.rows as f64).max(1.0);
        let mut mean: Vec<f64> = self.sums.iter().map(|sum| sum / rows).collect();
        let mut squares = self.squares;
        let longest = self.norms.iter().fold(0.0, |longest: f64, norm| longest.max(*norm));
        if self.shape.metric == Metric::InnerProduct {
            mean.push(self.norms.iter().map(|norm| (longest - norm).sqrt()).sum::<f64>() / rows);
            squares = longest * rows;
        }
        let variance = (squares / rows - mean.iter().map(|x| x * x).sum::<f64>()).max(0.0);
        let components = components(mean.len());
        let step = STEP * (variance / components as f64).sqrt();
        // Of vectors that are all equal nothing is left but rounding errors, or nothing at all.
        let per_step = if variance > squares / rows * 1e-12 { step.recip() } else { 0.0 };
        Codec::new(self.shape, mean, longest.sqrt(), if per_step.is_finite() { per_step } else { 0.0 })
    }
}

/// How vectors of one index become codes and queries. See the file's description.
#[derive(Clone, Debug, PartialEq)]
pub struct Codec {
    shape: Shape,
    /// Of graph space.
    mean: Vec<f64>,
    /// The greatest norm, for the inner product.
    longest: f64,
    per_step: f64,
    /// For each transform, the factors before it: a sign, and what keeps lengths.
    signs: Vec<f32>,
    /// How long a transform is.
    span: usize,
}

/// How many components a code has.
pub(super) fn components(dim: usize) -> usize {
    dim.next_multiple_of(CodeBlock::LANES)
}

/// How many components a vector has in graph space.
pub(super) fn graph_dim(shape: Shape) -> usize {
    shape.dim.get() + usize::from(shape.metric == Metric::InnerProduct)
}

impl Codec {
    fn new(shape: Shape, mean: Vec<f64>, longest: f64, per_step: f64) -> Self {
        let span = 1 << components(mean.len()).ilog2();
        let keep = (1.0 / span as f64).sqrt() as f32;
        let signs = (0..(TRANSFORMS * span) as u64).map(|i| if splitmix64(SEED ^ i) & 1 == 0 { keep } else { -keep });
        Self { shape, mean, longest, per_step, signs: signs.collect(), span }
    }

    /// Of which vectors.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Room for codes, without any.
    pub fn codes(&self) -> Codes {
        Codes::new(components(self.mean.len()) / CodeBlock::LANES)
    }

    /// Adds the code of a vector to `codes`.
    pub fn encode(&self, vector: &[f32], codes: &mut Codes) -> Result<(), GraphError> {
        let scale = f64::from(self.shape.scale(vector)?);
        let square: f64 = vector.iter().map(|x| f64::from(*x) * f64::from(*x)).sum();
        let rotated = self.rotate(vector, scale, (self.longest * self.longest - square).max(0.0).sqrt());
        codes.push(encode(&rotated))
    }

    /// Makes a query of a vector.
    pub fn query(&self, vector: &[f32]) -> Result<CodeQuery, VectorError> {
        let mut scale = f64::from(self.shape.scale(vector)?);
        if self.shape.metric == Metric::InnerProduct {
            let norm = vector.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt();
            scale = if norm > 0.0 { self.longest / norm } else { 0.0 };
        }
        Ok(CodeQuery::new(&self.rotate(vector, scale, 0.0)))
    }

    /// Steps 1 to 3 of the file's description; `extra` is used only if the metric asks for it.
    fn rotate(&self, vector: &[f32], scale: f64, extra: f64) -> Vec<f32> {
        let mut steps = vec![0.0; components(self.mean.len())];
        let whole = vector.iter().map(|x| f64::from(*x) * scale).chain([extra]);
        for ((step, x), mean) in steps.iter_mut().zip(whole).zip(&self.mean) {
            *step = ((x - mean) * self.per_step).clamp(-STEPS_MAX, STEPS_MAX) as f32;
        }
        for (at, signs) in self.signs.chunks_exact(self.span).enumerate() {
            let start = if at % 2 == 0 { 0 } else { steps.len() - self.span };
            let window = &mut steps[start..][..self.span];
            window.iter_mut().zip(signs).for_each(|(x, sign)| *x *= sign);
            walsh_hadamard(window);
        }
        steps
    }

    /// What a file keeps of it, besides the shape.
    pub fn to_bytes(&self) -> Vec<u8> {
        [self.longest, self.per_step].iter().chain(&self.mean).flat_map(|x| x.to_le_bytes()).collect()
    }

    /// From what [`to_bytes`](Self::to_bytes) gave.
    pub fn from_bytes(shape: Shape, bytes: &[u8]) -> Result<Self, GraphError> {
        let expected = (2 + graph_dim(shape)) * size_of::<f64>();
        if bytes.len() != expected {
            return Err(GraphError::CodecLength { expected, found: bytes.len() });
        }
        let numbers: Vec<f64> = bytes.as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect();
        // What a survey of admitted vectors may find; there is none that overflows.
        let least = [0.0, 0.0].into_iter().chain(std::iter::repeat(-1e20));
        match numbers.iter().zip(least).position(|(number, least)| !(least..=1e60).contains(number)) {
            Some(at) => Err(GraphError::CodecNumber { at, found: numbers[at] }),
            None => Ok(Self::new(shape, numbers[2..].to_vec(), numbers[0], numbers[1])),
        }
    }
}

/// In place, a power of two of components, not scaled.
#[allow(clippy::many_single_char_names, reason = "what is added and subtracted has no other names")]
fn walsh_hadamard(components: &mut [f32]) {
    // The short strides at once: the compiler makes vector instructions of the long ones only.
    for eight in components.as_chunks_mut::<8>().0 {
        let [s, t] = [[0, 2, 4, 6], [1, 3, 5, 7]].map(|at| at.map(|i| eight[i]));
        let (s, t): ([f32; 4], [f32; 4]) = (std::array::from_fn(|i| s[i] + t[i]), std::array::from_fn(|i| s[i] - t[i]));
        for (at, [x, y, z, w]) in [s, t].into_iter().enumerate() {
            let [x, y, z, w] = [x + y, x - y, z + w, z - w];
            (eight[at], eight[at + 2], eight[at + 4], eight[at + 6]) = (x + z, y + w, x - z, y - w);
        }
    }
    let mut stride = 8;
    while stride < components.len() {
        for pair in components.chunks_exact_mut(2 * stride) {
            let (lower, upper) = pair.split_at_mut(stride);
            for (x, y) in lower.iter_mut().zip(upper) {
                (*x, *y) = (*x + *y, *x - *y);
            }
        }
        stride *= 2;
    }
}
