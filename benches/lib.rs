//! What the engine and the simulator cost, measured against a baseline in the same run.
//!
//! Nothing here passes or fails by a time: a figure means something only beside another one, from the same machine and
//! the same minute. So every measurement has its baseline, the two take turns, and what is printed is their ratio.

pub mod commit;
pub mod machine;
pub mod resilience;
pub mod scan;
pub mod world;
