//! The distance kernels in vector instructions.
//!
//! Each type here is a proof: it can be had only from its `detect`, so whoever holds one runs on a processor that has
//! those instructions. That is what makes its methods safe to call.
//!
//! The order of summation, why a loop may end early, and the tests that compare every version with plain code bit for
//! bit, are in `kernels`. There is no version for aarch64: its baseline includes 128-bit vectors, which the compiler
//! uses for the plain code.
//!
//! Rows are prefetched one ahead, cache line by cache line as the current row is read: the processor's own prefetchers
//! stop at each 4 KiB page, of which a row of 960 components fills nearly one.

#![allow(unsafe_code, reason = "vector instructions and prefetches; every block states why it is sound")]
#![allow(clippy::unused_self, reason = "to hold a proof is to use it")]

use std::arch::x86_64::{
    __m128, __m256, __m512, _MM_HINT_T0, _mm_add_ps, _mm_add_ss, _mm_cvtss_f32, _mm_movehl_ps, _mm_prefetch,
    _mm_shuffle_ps, _mm256_add_ps, _mm256_castps256_ps128, _mm256_extractf128_ps, _mm256_load_ps, _mm256_mul_ps,
    _mm256_set1_ps, _mm256_setzero_ps, _mm256_sub_ps, _mm512_add_ps, _mm512_castps512_ps256, _mm512_extractf32x8_ps,
    _mm512_load_ps, _mm512_mul_ps, _mm512_set1_ps, _mm512_setzero_ps, _mm512_sub_ps,
};

use super::super::kernels::{STRIPES_PER_LOOK, Stripe};

/// Proof that the processor has AVX2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Avx2(());

impl Avx2 {
    pub(in super::super) fn detect() -> Option<Self> {
        is_x86_feature_detected!("avx2").then_some(Self(()))
    }

    pub(in super::super) fn squared_l2(
        self,
        row: &[Stripe],
        scale: f32,
        query: &[Stripe],
        bound: f32,
        next: &[Stripe],
    ) -> f32 {
        // SAFETY: `self` exists, so `detect` has found every feature that the function is compiled with.
        unsafe { squared_l2_avx2(row, scale, query, bound, next) }
    }

    pub(in super::super) fn dot(self, row: &[Stripe], query: &[Stripe], next: &[Stripe]) -> f32 {
        // SAFETY: `self` exists, so `detect` has found every feature that the function is compiled with.
        unsafe { dot_avx2(row, query, next) }
    }
}

/// Proof that the processor has AVX2 and AVX-512 F and DQ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Avx512 {
    pub(in super::super) avx2: Avx2,
    /// Not every one of them has these.
    pub(in super::super) vnni: Option<Vnni>,
}

/// Proof that the processor has AVX-512 F, BW and VNNI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Vnni(());

impl Avx512 {
    pub(in super::super) fn detect() -> Option<Self> {
        let [f, dq] = [is_x86_feature_detected!("avx512f"), is_x86_feature_detected!("avx512dq")];
        let [bw, vnni] = [is_x86_feature_detected!("avx512bw"), is_x86_feature_detected!("avx512vnni")];
        Avx2::detect().filter(|_| f && dq).map(|avx2| Self { avx2, vnni: (bw && vnni).then_some(Vnni(())) })
    }

    pub(in super::super) fn squared_l2(
        self,
        row: &[Stripe],
        scale: f32,
        query: &[Stripe],
        bound: f32,
        next: &[Stripe],
    ) -> f32 {
        // SAFETY: `self` exists, so `detect` has found every feature that the function is compiled with.
        unsafe { squared_l2_avx512(row, scale, query, bound, next) }
    }

    pub(in super::super) fn dot(self, row: &[Stripe], query: &[Stripe], next: &[Stripe]) -> f32 {
        // SAFETY: `self` exists, so `detect` has found every feature that the function is compiled with.
        unsafe { dot_avx512(row, query, next) }
    }
}

#[target_feature(enable = "avx512f,avx512dq")]
fn squared_l2_avx512(row: &[Stripe], scale: f32, query: &[Stripe], bound: f32, next: &[Stripe]) -> f32 {
    let scale = _mm512_set1_ps(scale);
    let mut sums = [_mm512_setzero_ps(); 2];
    let looks = row.chunks(STRIPES_PER_LOOK).zip(query.chunks(STRIPES_PER_LOOK)).zip(next.chunks(STRIPES_PER_LOOK));
    for ((row, query), next) in looks {
        for ((row, query), next) in row.iter().zip(query).zip(next) {
            prefetch(next);
            for ((sum, x), y) in sums.iter_mut().zip(load_avx512(row)).zip(load_avx512(query)) {
                let difference = _mm512_sub_ps(_mm512_mul_ps(x, scale), y);
                *sum = _mm512_add_ps(*sum, _mm512_mul_ps(difference, difference));
            }
        }
        if fold_avx512(sums) > bound {
            break;
        }
    }
    fold_avx512(sums)
}

#[target_feature(enable = "avx512f,avx512dq")]
fn dot_avx512(row: &[Stripe], query: &[Stripe], next: &[Stripe]) -> f32 {
    let mut sums = [_mm512_setzero_ps(); 2];
    for ((row, query), next) in row.iter().zip(query).zip(next) {
        prefetch(next);
        for ((sum, x), y) in sums.iter_mut().zip(load_avx512(row)).zip(load_avx512(query)) {
            *sum = _mm512_add_ps(*sum, _mm512_mul_ps(x, y));
        }
    }
    fold_avx512(sums)
}

#[target_feature(enable = "avx2")]
fn squared_l2_avx2(row: &[Stripe], scale: f32, query: &[Stripe], bound: f32, next: &[Stripe]) -> f32 {
    let scale = _mm256_set1_ps(scale);
    let mut sums = [_mm256_setzero_ps(); 4];
    let looks = row.chunks(STRIPES_PER_LOOK).zip(query.chunks(STRIPES_PER_LOOK)).zip(next.chunks(STRIPES_PER_LOOK));
    for ((row, query), next) in looks {
        for ((row, query), next) in row.iter().zip(query).zip(next) {
            prefetch(next);
            for ((sum, x), y) in sums.iter_mut().zip(load_avx2(row)).zip(load_avx2(query)) {
                let difference = _mm256_sub_ps(_mm256_mul_ps(x, scale), y);
                *sum = _mm256_add_ps(*sum, _mm256_mul_ps(difference, difference));
            }
        }
        if fold_avx2(sums) > bound {
            break;
        }
    }
    fold_avx2(sums)
}

#[target_feature(enable = "avx2")]
fn dot_avx2(row: &[Stripe], query: &[Stripe], next: &[Stripe]) -> f32 {
    let mut sums = [_mm256_setzero_ps(); 4];
    for ((row, query), next) in row.iter().zip(query).zip(next) {
        prefetch(next);
        for ((sum, x), y) in sums.iter_mut().zip(load_avx2(row)).zip(load_avx2(query)) {
            *sum = _mm256_add_ps(*sum, _mm256_mul_ps(x, y));
        }
    }
    fold_avx2(sums)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load_avx512(stripe: &Stripe) -> [__m512; 2] {
    let lanes = stripe.0.as_ptr();
    // SAFETY: a stripe is 32 floats aligned to 64 bytes: both halves lie within it and are so aligned.
    unsafe { [_mm512_load_ps(lanes), _mm512_load_ps(lanes.add(16))] }
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_avx2(stripe: &Stripe) -> [__m256; 4] {
    let lanes = stripe.0.as_ptr();
    // SAFETY: a stripe is 32 floats aligned to 64 bytes: its quarters lie within it and are aligned to 32.
    unsafe {
        [
            _mm256_load_ps(lanes),
            _mm256_load_ps(lanes.add(8)),
            _mm256_load_ps(lanes.add(16)),
            _mm256_load_ps(lanes.add(24)),
        ]
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
fn fold_avx512([lower, upper]: [__m512; 2]) -> f32 {
    let sum = _mm512_add_ps(lower, upper);
    fold_256(_mm256_add_ps(_mm512_castps512_ps256(sum), _mm512_extractf32x8_ps::<1>(sum)))
}

#[inline]
#[target_feature(enable = "avx2")]
fn fold_avx2([a, b, c, d]: [__m256; 4]) -> f32 {
    fold_256(_mm256_add_ps(_mm256_add_ps(a, c), _mm256_add_ps(b, d)))
}

#[inline]
#[target_feature(enable = "avx")]
fn fold_256(sum: __m256) -> f32 {
    let four: __m128 = _mm_add_ps(_mm256_castps256_ps128(sum), _mm256_extractf128_ps::<1>(sum));
    let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
}

/// Asks for both cache lines of a stripe.
#[inline]
fn prefetch(stripe: &Stripe) {
    let line = stripe.0.as_ptr().cast::<i8>();
    // SAFETY: a prefetch reads nothing and cannot fault; both addresses lie within the stripe.
    unsafe {
        _mm_prefetch::<_MM_HINT_T0>(line);
        _mm_prefetch::<_MM_HINT_T0>(line.add(64));
    }
}
