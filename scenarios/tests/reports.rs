//! What each suite says of a fixed few seeds, held as snapshots in `reports/snapshots`: a changed behaviour of engine,
//! harness or suite is a diff that someone reviews.
//!
//! Nothing in them depends on a clock, a path, a thread or the kind of build: the runs are functions of their seeds.
//! A change that is meant is accepted with `INSTA_UPDATE=always cargo test -p stormproof --test reports`.

use std::fmt::Write as _;

use stormproof::suites;
use stormproof_sim::{
    hunt::{Suite, SuiteReport, Verdict},
    world::Settings,
};

/// Seeds of each suite: enough to pass every point, few enough to wait for.
const SEEDS: u64 = 60;

/// What a suite says of its seeds, and one number for all their traces.
fn report(suite: &dyn Suite) -> (SuiteReport, u64) {
    let mut report = SuiteReport::new(suite);
    let mut hash = 0_u64;
    for seed in 0..SEEDS {
        let run = suite.run_seed(seed, &Settings::default());
        hash = (hash.rotate_left(5) ^ run.result.trace_hash).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        report.add(run);
    }
    (report, hash)
}

fn text(suite: &dyn Suite) -> String {
    let (report, hash) = report(suite);
    let mut out = String::new();
    let _ = writeln!(out, "{}: {SEEDS} seeds, {} events, traces {hash:016x}", suite.name(), report.events);
    let (verdict, reasons) = match report.verdict(suite, true) {
        Verdict::Holds => ("holds", Vec::new()),
        Verdict::Warning(why) => ("warning", why),
        Verdict::Unproven(why) => ("unproven", why),
        Verdict::Fell(why) => ("fell", why),
    };
    let _ = writeln!(out, "verdict: {verdict}");
    let mut list = |title: &str, items: Vec<String>| {
        let _ = writeln!(out, "{title}:");
        for item in items {
            let _ = writeln!(out, "  {item}");
        }
    };
    list("because", reasons);
    let checked = |id| report.checked.get(id).copied().unwrap_or(0);
    let claims = suite.invariants().into_iter().map(|invariant| invariant.claim);
    list("claims", claims.map(|claim| format!("{} {}: {}", claim.id, checked(claim.id), claim.sentence)).collect());
    list("sometimes", report.probes().iter().map(|(name, times)| format!("{name} {times}")).collect());
    list("faults", report.delivered().iter().map(|(kind, times)| format!("{} {times}", kind.name())).collect());
    let steps = report.steps.iter();
    let steps = steps.map(|(step, passed)| {
        format!("{} {} after {}: {} passed, {} died", step.call, step.path, step.after, passed.times, passed.deaths)
    });
    list("steps", steps.collect());
    let failures =
        report.failures.iter().map(|(fingerprint, failure)| format!("{fingerprint} at seed {}", failure.seed));
    list("failures", failures.collect());
    out
}

#[test]
fn each_suite_says_of_the_same_seeds_what_it_said_before() {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../../reports/snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for suite in suites::all(None) {
            insta::assert_snapshot!(suite.name(), text(&*suite));
        }
    });
}
