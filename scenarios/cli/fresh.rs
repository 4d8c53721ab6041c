//! The self-check: a share of the runs again, in fresh processes. The same seed must give the same trace.
//!
//! What differs from process to process, and must not reach a run: addresses, the seeds of hash maps, the order of
//! threads, the time of day. A run that differs shows that one of them did, and then no seed can be trusted.
//!
//! A child reads `SUITE SEED` lines to the end of its input, then answers each with `SUITE SEED HASH`, in order. It
//! writes nothing before it has read everything, so neither side can block the other.

use std::{
    fmt::Write as _,
    io::{Read as _, Write as _, stdin},
    path::Path,
    process::{Child, Command, Stdio},
};

use stormproof_reports::Trial;
use stormproof_sim::world::Settings;

use super::{args::RerunArgs, error::CliError, say, select::find, vectors};
use crate::suites;

/// A run to repeat: the place of its trial, its suite, seed and hash.
#[derive(Clone)]
struct Sampled {
    trial: usize,
    suite: String,
    seed: u64,
    hash: u64,
}

/// Repeats the sampled runs of every trial, and notes there which differ.
pub(super) fn check(trials: &mut [Trial<'_>], vectors: Option<&Path>, processes: usize) -> Result<(), CliError> {
    let sampled = sampled(trials);
    let processes = processes.min(sampled.len());
    let share = |place| -> Vec<Sampled> { sampled.iter().skip(place).step_by(processes).cloned().collect() };
    let shares: Vec<_> = (0..processes).map(share).collect();
    let children: Vec<_> = shares.iter().map(|share| start(share, vectors)).collect::<Result<_, _>>()?;
    for (child, share) in children.into_iter().zip(&shares) {
        let answers = answers(child)?;
        compare(trials, share, &answers)?;
    }
    for trial in trials {
        trial.report.differing.sort_unstable();
    }
    Ok(())
}

fn sampled(trials: &[Trial<'_>]) -> Vec<Sampled> {
    let of_trial = |(place, trial): (usize, &Trial<'_>)| {
        let suite = trial.report.suite.clone();
        let run =
            move |(seed, hash): &(u64, u64)| Sampled { trial: place, suite: suite.clone(), seed: *seed, hash: *hash };
        trial.report.sample.iter().map(run).collect::<Vec<_>>()
    };
    trials.iter().enumerate().flat_map(of_trial).collect()
}

fn start(share: &[Sampled], vectors: Option<&Path>) -> Result<Child, CliError> {
    let failed = |error: std::io::Error| CliError::Fresh { words: error.to_string() };
    let mut command = Command::new(std::env::current_exe().map_err(failed)?);
    command.arg("rerun").stdin(Stdio::piped()).stdout(Stdio::piped());
    if let Some(path) = vectors {
        command.arg("--vectors").arg(path);
    }
    let mut child = command.spawn().map_err(failed)?;
    let mut lines = String::new();
    for run in share {
        let _ = writeln!(lines, "{} {}", run.suite, run.seed);
    }
    // Taken, so that it is closed: the child waits for the end of its input.
    if let Some(mut input) = child.stdin.take() {
        input.write_all(lines.as_bytes()).map_err(failed)?;
    }
    Ok(child)
}

fn answers(child: Child) -> Result<String, CliError> {
    let output = child.wait_with_output().map_err(|error| CliError::Fresh { words: error.to_string() })?;
    if !output.status.success() {
        return Err(CliError::Fresh { words: format!("it ended with {}", output.status) });
    }
    String::from_utf8(output.stdout).map_err(|error| CliError::Fresh { words: error.to_string() })
}

fn compare(trials: &mut [Trial<'_>], share: &[Sampled], answers: &str) -> Result<(), CliError> {
    let mut lines = answers.lines();
    for run in share {
        let asked = format!("{} {} ", run.suite, run.seed);
        let hash = lines.next().and_then(|line| line.strip_prefix(&asked));
        let hash = hash.ok_or_else(|| CliError::Fresh { words: format!("no answer for {asked}") })?;
        let report = &mut trials[run.trial].report;
        report.rerun += 1;
        if hash != format!("{:016x}", run.hash) {
            report.differing.push(run.seed);
        }
    }
    Ok(())
}

/// The other side: runs what it is told, and answers.
pub(super) fn child(args: &RerunArgs) -> Result<u8, CliError> {
    let vectors = vectors(args.vectors.as_deref())?;
    let suites = suites::all(vectors.as_ref());
    let unread = |error: std::io::Error| CliError::Fresh { words: error.to_string() };
    let mut asked = String::new();
    stdin().read_to_string(&mut asked).map_err(unread)?;
    for line in asked.lines() {
        let wrong = || CliError::Fresh { words: format!("expected `SUITE SEED`, found `{line}`") };
        let (suite, seed) = line.split_once(' ').ok_or_else(wrong)?;
        let seed = seed.parse().map_err(|_| wrong())?;
        let run = find(&suites, suite)?.run_seed(seed, &Settings::default());
        say(&format!("{suite} {seed} {:016x}\n", run.result.trace_hash));
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use stormproof_sim::hunt::SuiteReport;

    use super::*;

    fn compared(answers: &str) -> Result<SuiteReport, CliError> {
        let suites = suites::all(None);
        let suite = &*suites[0];
        let share = [(7, 0xa), (9, 0xb)].map(|(seed, hash)| Sampled { trial: 0, suite: "s".into(), seed, hash });
        let mut trials = [Trial { suite, report: SuiteReport::new(suite), whole: true }];
        compare(&mut trials, &share, answers)?;
        let [trial] = trials;
        Ok(trial.report)
    }

    #[test]
    fn a_run_with_another_hash_is_counted_as_differing() {
        let report = compared("s 7 000000000000000a\ns 9 000000000000000c\n").unwrap();
        assert_eq!((report.rerun, report.differing), (2, vec![9]));
    }

    #[test]
    fn an_answer_that_is_missing_is_a_failure_of_the_tool() {
        let error = compared("s 7 000000000000000a\n").unwrap_err();
        assert_eq!(error.exit_code(), 3);
        assert!(error.to_string().contains("s 9"), "{error}");
    }
}
