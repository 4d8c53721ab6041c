//! Dot products of 4-bit codes in vector instructions; `floats` says why this is safe, and `kernels` what is computed.
//!
//! A code is read from memory that no cache holds, mostly: while some are multiplied, the ones to come are asked for.
//! Four are multiplied at a time, which uses each part of the weights four times and waits for no sum.

#![allow(unsafe_code, reason = "vector instructions and prefetches; every block states why it is sound")]
#![allow(clippy::unused_self, reason = "to hold a proof is to use it")]

use std::arch::x86_64::{
    __m256i, __m512i, _MM_HINT_T0, _mm_add_epi32, _mm_cvtsi128_si32, _mm_prefetch, _mm_shuffle_epi32, _mm256_add_epi16,
    _mm256_add_epi32, _mm256_and_si256, _mm256_castsi256_si128, _mm256_extracti128_si256, _mm256_loadu_si256,
    _mm256_madd_epi16, _mm256_maddubs_epi16, _mm256_set1_epi8, _mm256_set1_epi16, _mm256_setzero_si256,
    _mm256_srli_epi16, _mm512_add_epi32, _mm512_and_si512, _mm512_dpbusd_epi32, _mm512_load_si512,
    _mm512_reduce_add_epi32, _mm512_set1_epi8, _mm512_setzero_si512, _mm512_srai_epi32,
};
use std::ops::Range;

use super::super::kernels::{CodeBlock, CodeParts, WeightBlock};
use super::floats::{Avx2, Avx512};

/// How many codes are multiplied at a time.
const AT_A_TIME: usize = 4;
/// How many codes ahead of those multiplied are asked for.
const AHEAD: usize = 2 * AT_A_TIME;

impl Avx2 {
    pub(in super::super) fn code_dots(
        self,
        codes: CodeParts<'_>,
        weights: &[WeightBlock],
        nodes: &[u32],
        dots: &mut Vec<i32>,
    ) {
        // SAFETY: `self` exists, so `detect` has found every feature that the function is compiled with.
        unsafe { code_dots_avx2(codes, weights, nodes, dots) }
    }
}

impl Avx512 {
    pub(in super::super) fn code_dots(
        self,
        codes: CodeParts<'_>,
        weights: &[WeightBlock],
        nodes: &[u32],
        dots: &mut Vec<i32>,
    ) {
        match self.vnni {
            // SAFETY: a `Vnni` exists, so `detect` has found every feature that the function is compiled with.
            Some(_) => unsafe { code_dots_vnni(codes, weights, nodes, dots) },
            None => self.avx2.code_dots(codes, weights, nodes, dots),
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn code_dots_vnni(codes: CodeParts<'_>, weights: &[WeightBlock], nodes: &[u32], dots: &mut Vec<i32>) {
    ask_for(codes, weights.len(), nodes, 0..AHEAD);
    let (groups, rest) = nodes.as_chunks::<AT_A_TIME>();
    for (at, group) in groups.iter().enumerate() {
        ask_for(codes, weights.len(), nodes, at * AT_A_TIME + AHEAD..(at + 1) * AT_A_TIME + AHEAD);
        dots.extend_from_slice(&dots_vnni(group.map(|node| codes.of(node, weights.len())), weights));
    }
    for node in rest {
        dots.extend_from_slice(&dots_vnni([codes.of(*node, weights.len())], weights));
    }
}

#[target_feature(enable = "avx2")]
fn code_dots_avx2(codes: CodeParts<'_>, weights: &[WeightBlock], nodes: &[u32], dots: &mut Vec<i32>) {
    ask_for(codes, weights.len(), nodes, 0..AHEAD);
    let (groups, rest) = nodes.as_chunks::<AT_A_TIME>();
    for (at, group) in groups.iter().enumerate() {
        ask_for(codes, weights.len(), nodes, at * AT_A_TIME + AHEAD..(at + 1) * AT_A_TIME + AHEAD);
        dots.extend_from_slice(&dots_avx2(group.map(|node| codes.of(node, weights.len())), weights));
    }
    for node in rest {
        dots.extend_from_slice(&dots_avx2([codes.of(*node, weights.len())], weights));
    }
}

/// Asks for the codes of some of `nodes`, as far as there are so many.
#[inline]
fn ask_for(codes: CodeParts<'_>, blocks: usize, nodes: &[u32], which: Range<usize>) {
    let soon = nodes.get(which.start..which.end.min(nodes.len())).unwrap_or_default();
    for node in soon {
        prefetch(codes.of(*node, blocks));
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn dots_vnni<const N: usize>(codes: [&[CodeBlock]; N], weights: &[WeightBlock]) -> [i32; N] {
    let (low_mask, high_mask) = (_mm512_set1_epi8(0x0f), _mm512_set1_epi8(0xf0_u8.cast_signed()));
    let codes = codes.map(|code| &code[..weights.len()]);
    let (mut lows, mut highs) = ([_mm512_setzero_si512(); N], [_mm512_setzero_si512(); N]);
    for (at, weights) in weights.iter().enumerate() {
        let [low, high] = load_weights_512(weights);
        for ((code, low_sum), high_sum) in codes.iter().zip(&mut lows).zip(&mut highs) {
            let code = load_code_512(&code[at]);
            *low_sum = _mm512_dpbusd_epi32(*low_sum, _mm512_and_si512(code, low_mask), low);
            // Not shifted down: sixteen times the sum, which fits.
            *high_sum = _mm512_dpbusd_epi32(*high_sum, _mm512_and_si512(code, high_mask), high);
        }
    }
    let mut dots = [0; N];
    for ((dot, low), high) in dots.iter_mut().zip(lows).zip(highs) {
        *dot = _mm512_reduce_add_epi32(_mm512_add_epi32(low, _mm512_srai_epi32::<4>(high)));
    }
    dots
}

#[inline]
#[target_feature(enable = "avx2")]
fn dots_avx2<const N: usize>(codes: [&[CodeBlock]; N], weights: &[WeightBlock]) -> [i32; N] {
    let (mask, ones) = (_mm256_set1_epi8(0x0f), _mm256_set1_epi16(1));
    let codes = codes.map(|code| &code[..weights.len()]);
    let mut sums = [_mm256_setzero_si256(); N];
    for (at, weights) in weights.iter().enumerate() {
        let [low, high] = load_weights_256(weights);
        for (code, sum) in codes.iter().zip(&mut sums) {
            for ((code, low), high) in load_code_256(&code[at]).into_iter().zip(low).zip(high) {
                // Of four products, none above 15 * 128: they fit in 16 bits.
                let low = _mm256_maddubs_epi16(_mm256_and_si256(code, mask), low);
                let high = _mm256_maddubs_epi16(_mm256_and_si256(_mm256_srli_epi16::<4>(code), mask), high);
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(_mm256_add_epi16(low, high), ones));
            }
        }
    }
    let mut dots = [0; N];
    for (dot, sum) in dots.iter_mut().zip(sums) {
        *dot = sum_of_256(sum);
    }
    dots
}

#[inline]
#[target_feature(enable = "avx2")]
fn sum_of_256(sum: __m256i) -> i32 {
    let four = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256::<1>(sum));
    let two = _mm_add_epi32(four, _mm_shuffle_epi32::<0b01_00_11_10>(four));
    _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32::<0b10_11_00_01>(two)))
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load_code_512(code: &CodeBlock) -> __m512i {
    // SAFETY: a block of a code is 64 bytes aligned to 64.
    unsafe { _mm512_load_si512(code.0.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load_weights_512(weights: &WeightBlock) -> [__m512i; 2] {
    // SAFETY: a block of weights is twice 64 bytes aligned to 64.
    unsafe { [_mm512_load_si512(weights.0[0].as_ptr().cast()), _mm512_load_si512(weights.0[1].as_ptr().cast())] }
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_code_256(code: &CodeBlock) -> [__m256i; 2] {
    load_halves_256(&code.0)
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_weights_256(weights: &WeightBlock) -> [[__m256i; 2]; 2] {
    [load_halves_256(&weights.0[0]), load_halves_256(&weights.0[1])]
}

/// The halves of a line of a block.
#[inline]
#[target_feature(enable = "avx2")]
fn load_halves_256<T>(line: &[T; CodeBlock::BYTES]) -> [__m256i; 2] {
    const { assert!(size_of::<T>() == 1) };
    let halves = line.as_ptr().cast::<__m256i>();
    // SAFETY: 64 bytes, of which each half is loaded whatever it is aligned to.
    unsafe { [_mm256_loadu_si256(halves), _mm256_loadu_si256(halves.add(1))] }
}

/// Asks for the cache lines of `soon`.
#[inline]
pub(in super::super) fn prefetch<T>(soon: &[T]) {
    let first = soon.as_ptr().cast::<i8>();
    for at in (0..size_of_val(soon)).step_by(CodeBlock::BYTES) {
        // SAFETY: a prefetch reads nothing and cannot fault; the address lies within the slice.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(first.add(at)) };
    }
}
