//! Checkers: given what the clients saw, did the system keep its word?
//!
//! Every checker here is a pure function over data recorded at the client ([`history`]), so the same history always
//! gets the same verdict, in the same words. None of them knows the world that produced the history, nor the engine.
//!
//! | question | room |
//! |---|---|
//! | does each key behave as if operations happened one at a time, each between its call and its return? | [`linearizable`], with [`register`] as the model of one key |
//! | do multi-key transactions behave as if they ran one after the other? | [`isolation`] |
//! | did every request complete soon after the faults stopped? | [`liveness`] |
//! | what is claimed, what broke, and did the run go near the danger at all? | [`invariant`] |
//!
//! Two rules hold throughout. An operation whose reply was lost is *Unknown*, never failed: it may have taken effect,
//! or may yet. And a checker that gave up, or a history in which nothing overlapped, has proven nothing: both are
//! reported as such and neither is a pass.

pub mod history;
pub mod invariant;
pub mod isolation;
pub mod linearizable;
pub mod liveness;
pub mod register;
