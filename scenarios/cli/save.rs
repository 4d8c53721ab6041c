//! What is kept of failing runs: the plan, which can be played and edited, and the trace, which tells two runs apart.
//!
//! A hunt keeps neither while it runs. A failing seed is therefore run once more with both switched on; if it does not
//! fail in the same way, the system on trial is not deterministic, and that is what is reported.

use std::{fmt::Write as _, fs, io, path::Path, time::Duration};

use stormproof_reports::Trial;
use stormproof_sim::{
    check::invariant::Violation,
    hunt::{AnyPlan, Run, Smallest, Suite},
    world::{Settings, trace::Line},
};

use super::shrink;

/// So many failures of a suite are shrunk; whoever has more has other worries.
const SHRUNK_MAX: usize = 6;

/// How long a failure is shrunk for.
const SHRINKING: Duration = Duration::from_secs(10);

/// Saves the first failure of each kind. Where that is impossible the failure is still a failure: it says so, and the
/// seed remains. Returns the runs that were recorded.
pub(super) fn failures(trial: &mut Trial<'_>, dir: &Path, shrinks: bool) -> Vec<Run> {
    let Trial { suite, report, .. } = trial;
    let mut runs = Vec::new();
    for (place, (fingerprint, failure)) in report.failures.iter_mut().enumerate() {
        let run = suite.run_seed(failure.seed, &Settings { words: true, record: true });
        let again = run.result.violation.as_ref().map(Violation::fingerprint);
        if again.as_ref() != Some(fingerprint) {
            report.rerun += 1;
            report.differing.push(failure.seed);
        }
        match write(suite.name(), &run, dir) {
            Ok(path) => {
                let smallest =
                    (shrinks && place < SHRUNK_MAX).then(|| smallest(*suite, &run, Path::new(&path))).transpose();
                match smallest {
                    Ok(smallest) => failure.smallest = smallest.flatten(),
                    Err(error) => eprintln!("stormproof: cannot shrink {path}: {error}"),
                }
                failure.plan = Some(path);
            }
            Err(error) => eprintln!("stormproof: cannot save a plan in {}: {error}", dir.display()),
        }
        runs.push(run);
    }
    runs
}

/// Looks for the smallest plan that fails as a run does, and saves it beside its plan.
fn smallest(suite: &dyn Suite, run: &Run, path: &Path) -> Result<Option<Smallest>, String> {
    let plan = AnyPlan::from_toml(run.plan.as_deref().unwrap_or_default())?;
    let Some(shrunk) = shrink::smaller(suite, &plan, SHRINKING)? else { return Ok(None) };
    let out = shrink::smallest(path);
    fs::write(&out, shrunk.plan.to_toml()).map_err(|error| error.to_string())?;
    let plan = out.display().to_string();
    Ok(Some(Smallest { size: shrunk.after, candidates: shrunk.candidates, finished: shrunk.finished, plan }))
}

fn write(suite: &str, run: &Run, dir: &Path) -> io::Result<String> {
    fs::create_dir_all(dir)?;
    let plan = dir.join(format!("{suite}-{}.toml", run.seed));
    fs::write(plan.with_extension("trace"), lines(&run.result.lines))?;
    fs::write(&plan, run.plan.as_deref().unwrap_or_default())?;
    Ok(plan.display().to_string())
}

/// A trace as a file: one event a line.
pub(super) fn lines(lines: &[Line]) -> String {
    lines.iter().fold(String::new(), |mut text, line| {
        let _ = writeln!(text, "{line}");
        text
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use stormproof_sim::{
        check::{
            history::Overlap,
            invariant::{Claim, Invariant, Probes},
        },
        hunt::{Case, Loaded, SuiteReport, scenario::PlanError},
        world::{
            RunResult,
            trace::{Happened, Lane},
        },
    };

    use super::*;

    const CLAIM: Claim = Claim { id: "X1", sentence: "it never fails" };
    const CASES: [Case; 1] =
        [Case { name: "one", hypothesis: "", injection: "", criterion: "", faults: &[], sometimes: &[] }];

    fn line(words: &str) -> Line {
        let (what, lane) = (Happened::Effect, Lane::Node(0));
        Line { at: 1, hash: 2, what, lane, detail: [0, 0], words: words.into() }
    }

    /// Fails when it is hunted, and when it is recorded if this is true.
    struct Fails(bool);

    impl Suite for Fails {
        fn name(&self) -> &'static str {
            "fails"
        }
        fn about(&self) -> &'static str {
            ""
        }
        fn cases(&self) -> &[Case] {
            &CASES
        }
        fn invariants(&self) -> Vec<Invariant> {
            Vec::new()
        }
        fn points(&self) -> &'static [&'static str] {
            &[]
        }
        fn seeds_needed(&self) -> u64 {
            1
        }
        fn overlap_percent_min(&self) -> u64 {
            0
        }
        fn run_seed(&self, seed: u64, settings: &Settings) -> Run {
            let fails = !settings.record || self.0;
            let result = RunResult {
                violation: fails.then(|| Violation::new(&CLAIM, "it failed", "so it was", 1)),
                trace_hash: 0,
                outcome_hash: 0,
                events: 0,
                simulated: 0,
                delivered: BTreeMap::new(),
                idle_faults: Vec::new(),
                checked: BTreeMap::new(),
                probes: Probes::default(),
                gave_up: Vec::new(),
                overlap: Overlap::default(),
                answered: [0; 3],
                steps: Vec::new(),
                struck: Vec::new(),
                strikes: BTreeMap::new(),
                lines: ["first", "second"].map(line).into(),
                unused: Vec::new(),
            };
            Run { case: 0, seed, result, plan: settings.record.then(|| "the plan".into()) }
        }
        fn run_plan(&self, _: &str, _: &Settings) -> Result<Run, PlanError> {
            unreachable!("saving plays no plan")
        }
        fn sketch(&self, _: u64) -> AnyPlan {
            unreachable!("saving plays no plan")
        }
        fn load(&self, _: &AnyPlan) -> Result<Box<dyn Loaded + '_>, PlanError> {
            unreachable!("saving plays no plan")
        }
        fn simpler(&self, _: &toml::Value) -> Vec<toml::Value> {
            Vec::new()
        }
    }

    fn saved(suite: &Fails, dir: &Path) -> SuiteReport {
        let mut report = SuiteReport::new(suite);
        report.add(suite.run_seed(5, &Settings::default()));
        let mut trial = Trial { suite, report, whole: true };
        failures(&mut trial, dir, false);
        trial.report
    }

    #[test]
    fn a_failing_run_is_saved_as_a_plan_with_its_trace_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let report = saved(&Fails(true), &dir.path().join("new"));
        let failure = report.failures.values().next().unwrap();
        let plan = Path::new(failure.plan.as_ref().unwrap());
        assert!(plan.ends_with("new/fails-5.toml"), "{}", plan.display());
        assert_eq!(fs::read_to_string(plan).unwrap(), "the plan");
        let trace = fs::read_to_string(plan.with_extension("trace")).unwrap();
        assert_eq!(trace, format!("{}\n{}\n", line("first"), line("second")));
        assert!(report.differing.is_empty());
    }

    #[test]
    fn a_failure_that_does_not_come_again_is_a_run_that_differs() {
        let dir = tempfile::tempdir().unwrap();
        let report = saved(&Fails(false), dir.path());
        assert_eq!((report.rerun, report.differing), (1, vec![5]));
    }

    #[test]
    fn a_failure_stays_one_where_nothing_can_be_saved() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let report = saved(&Fails(true), &file);
        assert_eq!((report.failures.len(), &report.failures.values().next().unwrap().plan), (1, &None));
    }
}
