//! The hunt: many runs, and what they add up to.
//!
//! | room | what |
//! |---|---|
//! | [`scenario`] | what a suite is: implement [`Scenario`], get a [`Suite`] |
//! | [`trial`] | a suite from a few closures |
//! | [`atlas`] | which faults a suite claims to survive, and a way to draw them |
//! | [`mod@run`] | seeds over cores, sharded, by count or by time |
//! | [`explore`] | every crash of a bounded workload, and everything that it may leave |
//! | [`shrink`] | the smallest story that still fails |
//! | [`mod@explain`] | which faults it takes, and since when it was inevitable |
//! | [`mod@examine`] | both of these for a seed, as something to read |
//! | [`replay`] | one run again: exactly, or by a plan |
//! | [`report`] | what was proven, and what was not |

pub mod atlas;
pub mod examine;
pub mod explain;
pub mod explore;
pub mod replay;
pub mod report;
pub mod run;
pub mod scenario;
pub mod shrink;
pub mod trial;

pub use atlas::Atlas;
pub use examine::{Examined, examine};
pub use explain::{Explanation, explain};
pub use explore::{Exploration, ExploreProgress, ExploreReport};
pub use replay::{Divergence, Source, compare_exactly};
pub use report::{CaseReport, Failure, Smallest, SuiteReport, Verdict};
pub use run::{Budget, Hunt, Progress, Shard};
pub use scenario::{AnyPlan, Case, Drawn, Loaded, PlanError, Run, Scenario, Suite, failing_plan};
pub use shrink::{Shrinking, Shrunk, Size};
pub use trial::{Access, Trial};
