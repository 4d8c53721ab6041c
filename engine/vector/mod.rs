//! Distances, and the exact flat index that serves as tier L1.
//!
//! - [`Shape`] says what a vector of the index is: its [`Dim`], its [`Metric`], and which components are refused;
//! - [`Kernels`] computes distances. Every implementation adds in one documented order, so that all of them agree to
//!   the last bit: a simulated run and a real one rank alike, on every machine;
//! - [`FlatIndex`] holds the rows. Cloning it takes two pointer copies, and a clone never changes: a clone is the view
//!   that readers search while one writer goes on, and a clone thrown away is an aborted transaction;
//! - [`Scan`] is a search cut into steps, for a query that lets others run between them;
//! - with the feature `faiss`, `by_faiss` has FAISS compare blocks of rows, which changes no answer;
//! - [`graph`] finds about the nearest of many vectors, from small codes of them;
//! - [`family`] puts whole indexes behind one trait: one exact, and two that are built as a whole and find about the nearest.
//!
//! Nothing here knows of files, transactions or time. What is durable is decided in `store`; which rows belong in the
//! index, and whether a hit is current, in `memory`.

mod block;
#[cfg(feature = "faiss")]
mod by_faiss;
pub mod family;
mod flat;
pub mod graph;
mod kernels;
mod map;
mod metric;
mod scan;
mod simd;

#[cfg(test)]
mod model;

pub use flat::{FlatIndex, Row};
pub use kernels::Kernels;
pub use metric::{Dim, Metric, Shape, VectorError};
pub use scan::{Hit, Scan};
