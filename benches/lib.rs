//! What the engine and the simulator cost, measured against a baseline in the same run.

pub mod scan;
