//! What is reported of an exploration: points, states, recoveries run and saved, and what the bound has left out.

use std::{fmt::Write as _, time::Duration};

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use serde::Serialize;
use stormproof_sim::{
    hunt::{
        Suite,
        explore::{DepthReport, ExploreReport, Found},
    },
    world::fs::Profile,
};

use super::{
    json::{SCHEMA, document},
    junit::RenderError,
    layout::{count, duration, field, plural, table, verbatim},
    run::{ReplayCommand, sentence},
};

/// What the rows of an exploration say.
pub(crate) const HEADS: [&str; 8] =
    ["workload", "ops", "crashes", "points", "states", "recoveries run", "saved", "left out"];

/// An exploration, and how to play again what it has found.
pub struct Explored<'a> {
    /// The suite.
    pub suite: &'a dyn Suite,
    /// What came of it.
    pub report: &'a ExploreReport,
    /// How long it took, in nanoseconds.
    pub wall_ns: u64,
    /// On how many threads.
    pub threads: usize,
    /// How a plan is played again.
    pub replay: ReplayCommand,
}

impl Explored<'_> {
    /// 1 if a claim fell, 4 if nothing was proven, else 0.
    pub fn exit_code(&self) -> u8 {
        match (self.report.failures.is_empty(), self.report.unproven.is_empty()) {
            (false, _) => 1,
            (true, false) => 4,
            (true, true) => 0,
        }
    }

    fn verdict(&self) -> &'static str {
        match self.exit_code() {
            0 => "holds",
            1 => "fell",
            _ => "unproven",
        }
    }

    /// Recoveries a minute, over all threads.
    fn per_minute(&self) -> u64 {
        let executed = u128::from(self.report.total().executed);
        (executed * 60_000_000_000 / u128::from(self.wall_ns.max(1))) as u64
    }

    /// The report as text.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let report = self.report;
        let _ = writeln!(out, "{}, explored: {}", report.suite, self.verdict());
        field(&mut out, "about", self.suite.about());
        out.push('\n');
        let head = HEADS.map(Into::into).to_vec();
        table(&mut out, &[vec![head], self.rows()].concat());
        out.push('\n');
        self.facts().iter().for_each(|(label, value)| field(&mut out, label, value));
        field(&mut out, "time", &self.speed());
        report.unproven.iter().for_each(|why| field(&mut out, "UNPROVEN", why));
        for found in report.failures.values() {
            self.fallen(&mut out, found);
        }
        out
    }

    /// A row for each depth of each workload, under [`HEADS`].
    pub(crate) fn rows(&self) -> Vec<Vec<String>> {
        let mut rows = Vec::new();
        for workload in &self.report.workloads {
            for (place, depth) in workload.depths.iter().enumerate() {
                let name = format!("{}:{} ({})", self.report.suite, workload.seed, workload.case);
                let numbers = [depth.points, depth.states, depth.executed, depth.saved, depth.left_out];
                let which = if place == 0 { "in the run" } else { "in recovery" };
                let how = if workload.kills_only { format!("{which}, kills only") } else { which.into() };
                let known = [name, count(workload.operations), how];
                rows.push(known.into_iter().chain(numbers.map(count)).collect());
            }
        }
        rows
    }

    /// What was looked at and what was not, labelled.
    pub(crate) fn facts(&self) -> [(&'static str, String); 4] {
        let DepthReport { points, states, executed, saved, left_out, .. } = self.report.total();
        let profile = match self.report.profile {
            Profile::Weakest => "weakest: what POSIX promises, and no more",
            Profile::Ordered => "ordered: a journalling file system",
        };
        let looked = format!(
            "{} of {} crash points, {} states of the disk, at most {} of one image",
            count(points),
            count(points),
            count(states),
            count(self.report.bound)
        );
        let left = match left_out {
            0 => "nothing, for these workloads".to_owned(),
            some => format!("at least {} by the bound: NOT all states were looked at", plural(some, "state")),
        };
        let lying = self.report.workloads.iter().any(|workload| workload.kills_only);
        let power =
            if lying { "; power loss where the disk lies, which may take the last trace of the lie" } else { "" };
        let left = format!("{left}{power}");
        let recoveries = format!("{} run, {} saved by what they have in common", count(executed), count(saved));
        [("profile", profile.into()), ("explored", looked), ("recoveries", recoveries), ("left out", left)]
    }

    /// How long it took, in words.
    pub(crate) fn speed(&self) -> String {
        let (wall, threads) = (duration(self.wall_ns), plural(self.threads as u64, "thread"));
        format!("{wall} on {threads}: {} recoveries a minute", count(self.per_minute()))
    }

    fn fallen(&self, out: &mut String, found: &Found) {
        let violation = &found.violation;
        let _ = writeln!(out, "\nFELL: {} in {}/{}", violation.claim, self.report.suite, found.case);
        field(out, "claim", &format!("{}: {}", violation.claim, sentence(self.suite, violation.claim)));
        field(out, "broken by", &violation.kind);
        field(out, "states", &format!("{} failed like this", count(found.states)));
        verbatim(out, "evidence", &violation.witness);
        if !found.reproduced {
            field(out, "WARNING", "its plan does not fail in the same way: the system is not deterministic");
        }
        if let Some(plan) = &found.saved {
            field(out, "plan", plan);
            verbatim(out, "replay", &self.replay.of_plan(plan));
        }
    }

    /// The report as JUnit: a test case per workload, and one for what is unproven.
    pub fn junit(&self) -> Result<String, RenderError> {
        let mut suite = TestSuite::new(format!("explore {}", self.report.suite));
        for workload in &self.report.workloads {
            let fell = self.report.failures.values().filter(|found| found.case == workload.case);
            let told: Vec<String> = fell.map(|found| found.violation.to_string()).collect();
            let mut case = TestCase::new(format!("{}:{}", workload.case, workload.seed), status("fell", &told));
            case.set_classname(format!("stormproof.explore.{}", self.report.suite));
            suite.add_test_case(case);
        }
        suite.add_test_case(TestCase::new("(the whole suite)", status("unproven", &self.report.unproven)));
        suite.set_time(Duration::from_nanos(self.wall_ns));
        let mut report = Report::new("stormproof");
        report.add_test_suite(suite);
        report.to_string()
    }

    /// The report as JSON.
    pub fn json(&self) -> Result<String, serde_json::Error> {
        document(&Document {
            schema: SCHEMA,
            command: "explore",
            verdict: self.verdict(),
            exit_code: self.exit_code(),
            total: self.report.total(),
            explored: self.report,
            times: Times {
                wall_ns: self.wall_ns,
                busy_ns: self.report.busy_ns,
                threads: self.threads,
                recoveries_per_minute: self.per_minute(),
            },
        })
    }
}

fn status(kind: &str, why: &[String]) -> TestCaseStatus {
    let [first, ..] = why else { return TestCaseStatus::success() };
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
    status.set_type(kind);
    status.set_message(first.lines().next().unwrap_or_default());
    status.set_description(why.join("\n\n"));
    status
}

/// What `explore --json` writes.
#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    /// Always `explore`.
    command: &'static str,
    /// `holds`, `unproven` or `fell`.
    verdict: &'static str,
    exit_code: u8,
    total: DepthReport,
    #[serde(flatten)]
    explored: &'a ExploreReport,
    times: Times,
}

/// Everything that another machine would answer differently.
#[derive(Serialize)]
struct Times {
    wall_ns: u64,
    busy_ns: u64,
    threads: usize,
    recoveries_per_minute: u64,
}
