//! Placeholder.

pub mod check;
pub mod world;
