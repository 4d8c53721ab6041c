//! The hunt: many runs, and what they add up to.
//!
//! | room | what |
//! |---|---|
//! | [`scenario`] | what a suite is: implement [`Scenario`], get a [`Suite`] |
//! | [`atlas`] | which faults a suite claims to survive, and a way to draw them |
//! | [`mod@run`] | seeds over cores, sharded, by count or by time |
//! | [`replay`] | one run again: exactly, or by a plan |
//! | [`report`] | what was proven, and what was not |

pub mod atlas;
pub mod replay;
pub mod report;
pub mod run;
pub mod scenario;

pub use atlas::Atlas;
pub use replay::{Divergence, Source, compare_exactly};
pub use report::{CaseReport, Failure, SuiteReport, Verdict};
pub use run::{Budget, Hunt, Progress, Shard};
pub use scenario::{Case, Drawn, PlanError, Run, Scenario, Suite};
