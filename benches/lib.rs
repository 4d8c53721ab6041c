//! What the engine and the simulator cost, measured against a baseline in the same run.
//!
//! A figure means something only beside another one, from the same machine and the same minute. So every measurement has its
//! baseline, the two take turns, and what is printed is their ratio; nothing passes or fails by a time. [`recall`] alone is
//! different: it measures on a data set of the reader's, says whether targets are met, and lets them decide only when told to.

pub mod commit;
pub mod data;
pub mod graphs;
pub mod machine;
pub mod peers;
pub mod recall;
pub mod resilience;
pub mod scan;
pub mod world;
