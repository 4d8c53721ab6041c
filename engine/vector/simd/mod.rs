//! What processor and memory are told: vector instructions, prefetches, and which pages are preferred. All `unsafe` of the
//! engine is here.
//!
//! | file | what |
//! |---|---|
//! | `floats` | distances of vectors |
//! | `codes` | distances of codes |
//! | `pages` | large pages for what is read here and there |
//!
//! None of it changes a result: each has plain code beside it that gives the same to the last bit, or is advice.

#[cfg(target_arch = "x86_64")]
pub(super) mod codes;
#[cfg(target_arch = "x86_64")]
pub(super) mod floats;
pub(super) mod pages;
