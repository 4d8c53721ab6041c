//! What is shown while a hunt goes on: a bar on a terminal, a line for each suite elsewhere.

use std::io::{IsTerminal as _, stderr};

use indicatif::{ProgressBar, ProgressStyle};
use stormproof_sim::hunt::{ExploreProgress, Progress, SuiteReport};

/// The bar's steps for one suite.
const STEPS: u64 = 1_000;

/// Where progress is shown.
pub(super) struct Board {
    bar: Option<ProgressBar>,
}

impl Board {
    pub(super) fn new() -> Self {
        Board { bar: stderr().is_terminal().then(bar) }
    }

    /// A suite begins, or what else takes time.
    pub(super) fn begin(&self, what: &str) {
        match &self.bar {
            Some(bar) => {
                bar.reset();
                bar.set_prefix(what.to_owned());
                bar.set_message("");
            }
            None => eprintln!("{what} ..."),
        }
    }

    /// It has come so far.
    pub(super) fn show(&self, progress: Progress) {
        let Some(bar) = &self.bar else { return };
        // Drawing is limited by the bar itself; building the words for it is not, and runs are short.
        let step = (progress.spent * STEPS as f64) as u64;
        if step > bar.position() {
            bar.set_position(step);
            bar.set_message(format!("{} seeds, {} failed", progress.runs, progress.failed));
        }
    }

    /// An exploration has come so far.
    pub(super) fn explored(&self, progress: ExploreProgress) {
        let Some(bar) = &self.bar else { return };
        bar.set_position((progress.spent * STEPS as f64) as u64);
        bar.set_message(format!("{} recoveries, {} failed", progress.executed, progress.failed));
    }

    /// A suite has ended.
    pub(super) fn end(&self, report: &SuiteReport) {
        if self.bar.is_none() {
            eprintln!("{}: {} seeds, {} failed", report.suite, report.seeds, report.failed);
        }
    }

    /// There is nothing more to show.
    pub(super) fn close(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}

fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix:<12} [{bar:40}] {msg}").expect("the template is well-formed");
    ProgressBar::new(STEPS).with_style(style.progress_chars("=> "))
}
