//! What is reported of shrinking a plan.

use serde::Serialize;
use stormproof_sim::hunt::{Shrunk, Size};

use super::{
    json::{SCHEMA, document},
    layout::{count, duration, field, plural, verbatim},
    run::ReplayCommand,
};

/// A shrinking that is over.
pub struct ShrinkReport<'a> {
    /// What came of it.
    pub shrunk: &'a Shrunk,
    /// Where the smallest plan was saved.
    pub plan: &'a str,
    /// How long it took, in nanoseconds.
    pub wall_ns: u64,
    /// How a plan is played again.
    pub replay: ReplayCommand,
}

/// A size in words.
pub(crate) fn size(size: Size) -> String {
    let Size { faults, operations, clients, draws } = size;
    let [faults, operations] = [(faults, "fault"), (operations, "operation")].map(|(n, word)| plural(n as u64, word));
    let [clients, draws] = [(clients, "client"), (draws, "unusual draw")].map(|(n, word)| plural(n as u64, word));
    format!("{faults}, {operations} of {clients}, {draws}")
}

impl ShrinkReport<'_> {
    /// The report as text.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let Shrunk { fingerprint, before, after, candidates, finished, .. } = self.shrunk;
        field(&mut out, "fails", fingerprint);
        field(&mut out, "from", &size(*before));
        field(&mut out, "to", &size(*after));
        let end = if *finished { "nothing more can be taken out" } else { "the time was up: more may be possible" };
        field(&mut out, "tried", &format!("{} candidates in {}; {end}", count(*candidates), duration(self.wall_ns)));
        field(&mut out, "plan", self.plan);
        verbatim(&mut out, "replay", &self.replay.of_plan(self.plan));
        verbatim(&mut out, "explain", &self.replay.explain(self.plan));
        out
    }

    /// The report as JSON.
    pub fn json(&self) -> Result<String, serde_json::Error> {
        let (wall_ns, plan) = (self.wall_ns, self.plan);
        document(&Document { schema: SCHEMA, command: "shrink", shrunk: self.shrunk, plan, times: Times { wall_ns } })
    }
}

/// What `shrink --json` writes.
#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    /// Always `shrink`.
    command: &'static str,
    #[serde(flatten)]
    shrunk: &'a Shrunk,
    plan: &'a str,
    times: Times,
}

#[derive(Serialize)]
struct Times {
    wall_ns: u64,
}
