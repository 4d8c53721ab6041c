//! What must hold of the engine, as pure functions over what clients saw and what nodes know.
//!
//! | file | what it looks at |
//! |---|---|
//! | [`claims`] | the list: ids and sentences |
//! | [`recovery`] | a node that has just booted, against what was acknowledged and what it knew before |
//! | [`contents`] | records and decisions, against what clients had asked for |
//! | [`consolidation`] | what the node would make of its memory by itself, against what is there |
//! | [`archive`] | which generation is served, what is in it, and that a rebuild ends |
//! | [`bulk`] | loads that are staged, from one batch to the next |
//! | [`degradation`] | writes that are held, from one batch to the next |
//! | [`reads`] | every answer, against the state at its LSN, made again from the decisions |
//! | [`transactions`] | the history as a whole: one serial order for all |
//! | [`judge`] | who calls them, and when |

pub mod archive;
pub mod bulk;
pub mod claims;
pub mod consolidation;
pub mod contents;
pub mod degradation;
pub mod judge;
pub mod reads;
pub mod recovery;
pub mod transactions;

pub use judge::MemoryJudge;
