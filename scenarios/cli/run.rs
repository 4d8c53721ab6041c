//! `stormproof run`: hunt, check that the hunt is repeatable, keep what failed, report.

use std::{
    num::NonZero,
    path::Path,
    thread::available_parallelism,
    time::{Duration, Instant},
};

use stormproof_reports::{
    ReplayCommand, RunReport, Trial,
    html::{self, Story},
    json, junit,
    run::exit_code,
    text,
};
use stormproof_sim::hunt::{Budget, Hunt, Run, Shard, Suite, SuiteReport};

use super::{
    args::RunArgs,
    error::CliError,
    files::Output,
    fresh,
    progress::Board,
    save, say,
    select::{Chosen, choose},
    vectors,
};
use crate::{regressions, suites};

/// One run in so many is repeated in a fresh process.
const SAMPLE_EVERY: u64 = 20;

/// The share of the time for hunting, in percent; the rest is for the self-check and for failures.
const HUNTING_PERCENT: u32 = 92;

/// For how long is hunted, if nobody says.
const TIME: Duration = Duration::from_mins(1);

/// And so many times as long at most, where it takes that long until every suite has had the seeds that it needs.
const TIMES_MAX: u32 = 3;

/// A suite with so many failing runs is left: it will not pass any more, and more of the same helps nobody.
const FAILURES_MAX: u64 = 50;

/// Runs suites, and says what came of it. Returns the exit code.
pub(super) fn run(args: &RunArgs) -> Result<u8, CliError> {
    let vectors = vectors(args.vectors.as_deref())?;
    let suites = suites::all(vectors.as_ref());
    let chosen = choose(&suites, &args.suites)?;
    let (json, junit) = (Output::open(args.json.as_deref())?, Output::open(args.junit.as_deref())?);
    let page = Output::open(args.html.as_deref())?;

    let (report, saved) = hunt(args, &chosen)?;
    say(&text::render(&report));
    json.map(|file| file.write(&json::render(&report)?)).transpose()?;
    junit.map(|file| file.write(&junit::render(&report)?)).transpose()?;
    let stories: Vec<_> = saved.iter().map(|(suite, run)| Story { suite: *suite, run }).collect();
    page.map(|file| file.write(&html::render(&report, &stories))).transpose()?;
    Ok(exit_code(&report.verdict()))
}

/// A run that failed, recorded, with its suite.
type Saved<'a> = (&'a dyn Suite, Run);

#[allow(clippy::disallowed_methods, reason = "tells a person how long it took; no run sees it")]
fn hunt<'a>(args: &RunArgs, chosen: &[Chosen<'a>]) -> Result<(RunReport<'a>, Vec<Saved<'a>>), CliError> {
    let begun = Instant::now();
    let threads = args.jobs.map_or_else(processors, usize::from);
    let board = Board::new();
    let time = args.time.unwrap_or(TIME) * HUNTING_PERCENT / 100 / chosen.len().max(1) as u32;
    board.begin("regressions");
    let regressions = regressions::play(&chosen.iter().map(|chosen| chosen.suite).collect::<Vec<_>>());
    let mut trials: Vec<_> = chosen.iter().map(|chosen| trial(args, chosen, time, threads, &board)).collect();
    board.begin("self-check");
    fresh::check(&mut trials, args.vectors.as_deref(), threads)?;
    board.close();
    let replay = replay_command(args.vectors.as_deref());
    let mut saved = Vec::new();
    for trial in &mut trials {
        let suite = trial.suite;
        saved.extend(save::failures(trial, &args.save, !args.no_shrink).into_iter().map(|run| (suite, run)));
    }
    Ok((RunReport { regressions, trials, wall: begun.elapsed(), threads, replay }, saved))
}

pub(super) fn processors() -> usize {
    available_parallelism().map_or(1, NonZero::get)
}

/// Runs one suite: whole, or case by case.
fn trial<'a>(args: &RunArgs, chosen: &Chosen<'a>, time: Duration, threads: usize, board: &Board) -> Trial<'a> {
    let suite = chosen.suite;
    board.begin(suite.name());
    let cases: Vec<_> = chosen.cases.iter().copied().map(Some).collect();
    let cases = if cases.is_empty() { vec![None] } else { cases };
    let share = time / cases.len() as u32;
    let mut report = SuiteReport::new(suite);
    for case in cases {
        let hunt = Hunt {
            budget: budget(args, suite, share),
            from: args.from,
            threads,
            shard: args.shard,
            case,
            sample_every: SAMPLE_EVERY,
            failures_max: FAILURES_MAX,
        };
        report.merge(hunt.run(suite, &|progress| board.show(progress)));
    }
    board.end(&report);
    Trial { suite, report, whole: chosen.cases.is_empty() }
}

/// What is asked for; if nothing is, enough to prove something also on a slow machine.
fn budget(args: &RunArgs, suite: &dyn Suite, share: Duration) -> Budget {
    match (args.seeds, args.time) {
        (Some(seeds), _) => Budget::Seeds(seeds_of(seeds, args.shard)),
        (None, Some(_)) => Budget::Time(share),
        (None, None) => {
            Budget::Enough { time: share, seeds: seeds_of(suite.seeds_needed(), args.shard), times_max: TIMES_MAX }
        }
    }
}

/// How many of so many seeds fall to a shard: all shards together run each of them once.
fn seeds_of(seeds: u64, shard: Shard) -> u64 {
    seeds.saturating_sub(shard.index).div_ceil(shard.of)
}

/// The words with which this very program can be called again.
pub(super) fn replay_command(vectors: Option<&Path>) -> ReplayCommand {
    let program = std::env::args().next().unwrap_or_else(|| "stormproof".into());
    let options = vectors.map(|path| format!(" --vectors {}", quoted(&path.display().to_string())));
    ReplayCommand { program: quoted(&program), options: options.unwrap_or_default() }
}

/// A word as a shell reads it back.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:@%,".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_shards_together_run_each_seed_once() {
        for (seeds, of) in [(0, 3), (1, 3), (10, 3), (12, 4), (3, 7)] {
            let shares = (0..of).map(|index| seeds_of(seeds, Shard { index, of }));
            assert_eq!(shares.sum::<u64>(), seeds, "{seeds} seeds in {of} shards");
        }
    }

    #[test]
    fn a_printed_command_survives_the_shell() {
        assert_eq!(quoted("target/release/stormproof"), "target/release/stormproof");
        assert_eq!(quoted("my data.fvecs"), "'my data.fvecs'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
