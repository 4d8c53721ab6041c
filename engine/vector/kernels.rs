//! Distance kernels: one order of summation, written once as plain code and again for each instruction set.
//!
//! **The order.** Components are dealt to 32 lanes: lane `i` adds up the terms of components `i`, `i + 32`, `i + 64`, …
//! from first to last. Then the upper half of the lanes is added onto the lower half, until one lane is left. A product
//! is rounded before it is added: no fused multiply-add, which some machines lack. A vector is padded with zeros, whose
//! terms change no sum. IEEE 754 fixes the result of each step, so every implementation gives the same bits, and which
//! one runs can show only in a clock. The fused form would be faster in registers, but a scan waits for memory.
//!
//! **Giving up early.** Every term of a squared distance is at least 0, and rounded addition is monotone, so the lanes
//! folded half-way are never above the lanes folded at the end. Once they exceed the bound, the distance must, and the
//! rest of the row need not be read. What is returned then is above the bound too, which is all that a search asks.
//!
//! **Codes.** The graph compares codes of 4 bits a component, in whole numbers: the order of summation cannot show.
//!
//! `simd` holds the versions for particular processors, and all `unsafe`.

#[cfg(target_arch = "x86_64")]
use super::simd::{codes, floats};

/// Components at one position of all lanes. Aligned as the widest vector registers and the cache lines are.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(align(64))]
pub(super) struct Stripe(pub(super) [f32; Stripe::LANES]);

impl Stripe {
    /// How many partial sums are kept apart.
    pub(super) const LANES: usize = 32;

    /// No component: padding.
    pub(super) const ZERO: Self = Self([0.0; Self::LANES]);

    /// Deals `components`, each multiplied by `scale`, to `stripes`, which are zero and enough to hold them.
    pub(super) fn fill(stripes: &mut [Self], components: &[f32], scale: f32) {
        for (stripe, part) in stripes.iter_mut().zip(components.chunks(Self::LANES)) {
            for (lane, component) in stripe.0.iter_mut().zip(part) {
                *lane = component * scale;
            }
        }
    }
}

/// 128 components of a code, 4 bits each: those below 64 in the low halves of the bytes, the others in the high halves.
/// One cache line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(align(64))]
pub(super) struct CodeBlock(pub(super) [u8; CodeBlock::BYTES]);

impl CodeBlock {
    pub(super) const BYTES: usize = 64;
    /// How many components it holds.
    pub(super) const LANES: usize = 2 * Self::BYTES;
}

/// What a [`CodeBlock`] is multiplied with: the components for its low halves, then those for its high halves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(align(64))]
pub(super) struct WeightBlock(pub(super) [[i8; CodeBlock::BYTES]; 2]);

/// Codes that lie one after another, and from which of its blocks each is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct CodeParts<'a> {
    pub(super) blocks: &'a [CodeBlock],
    pub(super) per_code: usize,
    pub(super) from: usize,
}

impl<'a> CodeParts<'a> {
    /// So many blocks of a node's code.
    #[inline]
    pub(super) fn of(self, node: u32, blocks: usize) -> &'a [CodeBlock] {
        &self.blocks[node as usize * self.per_code + self.from..][..blocks]
    }
}

/// How many stripes of a row are added between two looks at the bound: 256 components, 1 KiB.
pub(super) const STRIPES_PER_LOOK: usize = 8;

/// The implementation of the distance kernels to use. All give the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kernels {
    level: Level,
    /// Whether FAISS says which rows of a block are worth comparing (`by_faiss`).
    #[cfg(feature = "faiss")]
    pub(super) by_faiss: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Scalar,
    #[cfg(target_arch = "x86_64")]
    Avx2(floats::Avx2),
    #[cfg(target_arch = "x86_64")]
    Avx512(floats::Avx512),
}

impl Kernels {
    /// Plain code, the reference. What a simulated run uses, so that it executes the same instructions everywhere.
    pub fn scalar() -> Self {
        Self::of(Level::Scalar)
    }

    /// The fastest that this processor has. Ask once and pass the answer on.
    pub fn detect() -> Self {
        Self::available().pop().expect("the scalar kernels are always available")
    }

    /// All that this processor has, slowest first.
    pub fn available() -> Vec<Self> {
        let levels = std::iter::once(Level::Scalar);
        #[cfg(target_arch = "x86_64")]
        let levels =
            levels.chain(floats::Avx2::detect().map(Level::Avx2)).chain(floats::Avx512::detect().map(Level::Avx512));
        levels.map(Self::of).collect()
    }

    /// The fastest, for what FAISS does not dismiss: an index of the metric L2 has FAISS compare the rows of its full blocks. Under
    /// any other metric these are the fastest and nothing else.
    #[cfg(feature = "faiss")]
    pub fn faiss() -> Self {
        Self { by_faiss: true, ..Self::detect() }
    }

    fn of(level: Level) -> Self {
        Self {
            level,
            #[cfg(feature = "faiss")]
            by_faiss: false,
        }
    }

    /// The instruction set in use, or FAISS, for reports.
    pub fn name(self) -> &'static str {
        #[cfg(feature = "faiss")]
        if self.by_faiss {
            return "faiss";
        }
        match self.level {
            Level::Scalar => "scalar",
            #[cfg(target_arch = "x86_64")]
            Level::Avx2(_) => "avx2",
            #[cfg(target_arch = "x86_64")]
            Level::Avx512(_) => "avx512",
        }
    }

    /// The sum of `(row * scale - query)²`, if that is at most `bound`; otherwise some number above `bound`.
    ///
    /// `next`, of the same length, is fetched into the cache meanwhile, as far as `row` is read.
    pub(super) fn squared_l2(self, row: &[Stripe], scale: f32, query: &[Stripe], bound: f32, next: &[Stripe]) -> f32 {
        debug_assert!(row.len() == query.len() && row.len() == next.len());
        match self.level {
            Level::Scalar => squared_l2(row, scale, query, bound),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2(cpu) => cpu.squared_l2(row, scale, query, bound, next),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512(cpu) => cpu.squared_l2(row, scale, query, bound, next),
        }
    }

    /// The sum of `row * query`. `next` as above.
    pub(super) fn dot(self, row: &[Stripe], query: &[Stripe], next: &[Stripe]) -> f32 {
        debug_assert!(row.len() == query.len() && row.len() == next.len());
        match self.level {
            Level::Scalar => dot(row, query),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2(cpu) => cpu.dot(row, query, next),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512(cpu) => cpu.dot(row, query, next),
        }
    }

    /// Puts into `dots` the sums of code times weight, for each of `nodes`.
    pub(super) fn code_dots(self, codes: CodeParts<'_>, weights: &[WeightBlock], nodes: &[u32], dots: &mut Vec<i32>) {
        dots.clear();
        match self.level {
            Level::Scalar => dots.extend(nodes.iter().map(|node| code_dot(codes.of(*node, weights.len()), weights))),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2(cpu) => cpu.code_dots(codes, weights, nodes, dots),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512(cpu) => cpu.code_dots(codes, weights, nodes, dots),
        }
    }

    /// Asks for what will be read soon. The plain code does without.
    pub(super) fn prefetch<T>(self, soon: &[T]) {
        match self.level {
            Level::Scalar => {}
            #[cfg(target_arch = "x86_64")]
            Level::Avx2(_) | Level::Avx512(_) => codes::prefetch(soon),
        }
    }
}

/// No product is above 15 * 128 and no code has more than 2^17 components: nothing wraps.
fn code_dot(code: &[CodeBlock], weights: &[WeightBlock]) -> i32 {
    code.iter().zip(weights).fold(0, |sum: i32, (code, WeightBlock([low, high]))| {
        code.0.iter().zip(low).zip(high).fold(sum, |sum, ((code, low), high)| {
            let low = i32::from(code & 15) * i32::from(*low);
            sum.wrapping_add(low).wrapping_add(i32::from(code >> 4) * i32::from(*high))
        })
    })
}

fn squared_l2(row: &[Stripe], scale: f32, query: &[Stripe], bound: f32) -> f32 {
    let mut sums = [0.0; Stripe::LANES];
    for (row, query) in row.chunks(STRIPES_PER_LOOK).zip(query.chunks(STRIPES_PER_LOOK)) {
        for (row, query) in row.iter().zip(query) {
            for ((sum, x), y) in sums.iter_mut().zip(row.0).zip(query.0) {
                let difference = x * scale - y;
                *sum += difference * difference;
            }
        }
        if fold(sums) > bound {
            break;
        }
    }
    fold(sums)
}

fn dot(row: &[Stripe], query: &[Stripe]) -> f32 {
    let mut sums = [0.0; Stripe::LANES];
    for (row, query) in row.iter().zip(query) {
        for ((sum, x), y) in sums.iter_mut().zip(row.0).zip(query.0) {
            *sum += x * y;
        }
    }
    fold(sums)
}

fn fold(mut lanes: [f32; Stripe::LANES]) -> f32 {
    let mut half = Stripe::LANES / 2;
    while half > 0 {
        let (lower, upper) = lanes.split_at_mut(half);
        for (sum, term) in lower.iter_mut().zip(upper) {
            *sum += *term;
        }
        half /= 2;
    }
    lanes[0]
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "the exact number is the claim")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stripes(components: &[f32]) -> Vec<Stripe> {
        let mut stripes = vec![Stripe::ZERO; components.len().div_ceil(Stripe::LANES)];
        Stripe::fill(&mut stripes, components, 1.0);
        stripes
    }

    /// Two vectors of one of the dimensions worth trying: every remainder of a stripe, and those in use.
    fn pairs() -> impl Strategy<Value = (Vec<f32>, Vec<f32>)> {
        let component = prop_oneof![-1.0f32..1.0, -1e16f32..1e16, -1e-30f32..1e-30, Just(0.0), Just(-0.0)];
        prop_oneof![1usize..=70, Just(128), Just(960)].prop_flat_map(move |dim| {
            (proptest::collection::vec(component.clone(), dim), proptest::collection::vec(component.clone(), dim))
        })
    }

    proptest! {
        #[test]
        fn every_instruction_set_gives_the_bits_of_the_scalar_code((a, b) in pairs(), scale in 1e-3f32..1e3) {
            let (a, b) = (stripes(&a), stripes(&b));
            let l2 = Kernels::scalar().squared_l2(&a, scale, &b, f32::INFINITY, &a);
            let dot = Kernels::scalar().dot(&a, &b, &a);
            for kernels in Kernels::available() {
                let found = kernels.squared_l2(&a, scale, &b, f32::INFINITY, &a);
                prop_assert_eq!(found.to_bits(), l2.to_bits(), "l2 by {}", kernels.name());
                prop_assert_eq!(kernels.dot(&a, &b, &a).to_bits(), dot.to_bits(), "dot by {}", kernels.name());
            }
        }

        #[test]
        fn giving_up_early_never_hides_a_distance_within_the_bound((a, b) in pairs(), share in 0.0f32..1.5) {
            let (a, b) = (stripes(&a), stripes(&b));
            let exact = Kernels::scalar().squared_l2(&a, 1.0, &b, f32::INFINITY, &a);
            for kernels in Kernels::available() {
                for bound in [exact * share, exact, exact.next_down()] {
                    let found = kernels.squared_l2(&a, 1.0, &b, bound, &a);
                    let holds = if exact <= bound { found == exact } else { bound < found && found <= exact };
                    prop_assert!(holds, "{found} for {exact} within {bound}, by {}", kernels.name());
                }
            }
        }

        #[test]
        fn the_scalar_sum_is_near_the_true_one((a, b) in pairs()) {
            let l2: f64 = a.iter().zip(&b).map(|(x, y)| (f64::from(*x) - f64::from(*y)).powi(2)).sum();
            let (a, b) = (stripes(&a), stripes(&b));
            let found = f64::from(Kernels::scalar().squared_l2(&a, 1.0, &b, f32::INFINITY, &a));
            // Each term is rounded three times, and each sum at most as often as a lane is added to: 30 + 5.
            prop_assert!((found - l2).abs() <= 40.0 * f64::from(f32::EPSILON) * l2 + f64::from(f32::MIN_POSITIVE));
        }
    }

    #[test]
    fn a_far_row_is_given_up_after_its_first_kilobyte() {
        let mut row = vec![1.0; 960];
        row[300] = 1e9;
        let (row, query) = (stripes(&row), stripes(&[0.0; 960]));
        for kernels in Kernels::available() {
            assert_eq!(kernels.squared_l2(&row, 1.0, &query, 10.0, &row), 256.0, "by {}", kernels.name());
        }
    }

    proptest! {
        #[test]
        fn every_instruction_set_gives_the_dot_products_of_the_scalar_code(
            blocks in prop_oneof![1usize..=3, Just(8), Just(40)], nodes in 1u32..=21, bytes in any::<[u8; 7]>(), extreme in any::<bool>(), skipped in 0usize..=4,
        ) {
            let byte = |i: usize| if extreme { [0, 127, 128, 255][i % 4] } else { bytes[i % 7].wrapping_mul(i as u8) };
            let codes: Vec<_> = (0..blocks * nodes as usize)
                .map(|at| CodeBlock(std::array::from_fn(|i| if extreme { 255 } else { byte(at * 64 + i) })))
                .collect();
            let weights: Vec<_> = (0..blocks)
                .map(|at| WeightBlock([0, 1].map(|half| std::array::from_fn(|i| byte(at * 128 + half * 64 + i).cast_signed()))))
                .collect();
            let asked: Vec<u32> = (0..nodes).rev().collect();
            let (mut expected, mut found) = (vec![7], vec![]);
            let codes = CodeParts { blocks: &codes, per_code: blocks, from: skipped.min(blocks - 1) };
            let weights = &weights[codes.from..];
            Kernels::scalar().code_dots(codes, weights, &asked, &mut expected);
            for kernels in Kernels::available() {
                kernels.code_dots(codes, weights, &asked, &mut found);
                prop_assert_eq!(&found, &expected, "by {}", kernels.name());
            }
        }
    }

    #[test]
    fn the_largest_sums_of_codes_do_not_wrap() {
        let blocks = (1 << 17) / CodeBlock::LANES;
        let codes = vec![CodeBlock([255; CodeBlock::BYTES]); blocks];
        for (weight, sum) in [(-128i8, -15 * 128 * (1 << 17)), (127, 15 * 127 * (1 << 17))] {
            let weights = vec![WeightBlock([[weight; CodeBlock::BYTES]; 2]); blocks];
            for kernels in Kernels::available() {
                let mut found = vec![];
                kernels.code_dots(CodeParts { blocks: &codes, per_code: blocks, from: 0 }, &weights, &[0], &mut found);
                assert_eq!(found, [sum], "by {}", kernels.name());
            }
        }
    }

    #[test]
    fn the_fastest_kernels_are_the_last_of_those_available() {
        assert_eq!(Kernels::available().first(), Some(&Kernels::scalar()));
        assert_eq!(Kernels::available().last(), Some(&Kernels::detect()));
    }
}
