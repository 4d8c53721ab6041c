//! What can be asked on the command line. Wrong words end in clap's message and exit code 2.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum, builder::RangedU64ValueParser, value_parser};
use stormproof_reports::list::Topic;
use stormproof_sim::{hunt::Shard, world::fs::Profile};

use crate::real::KILLS;

/// The highest first seed, the most seeds and the most shards. Together they stay below 2^63, the highest seed that a
/// plan can name in TOML.
const FROM_MAX: u64 = 1 << 62;
const SEEDS_MAX: u64 = 1 << 40;
const SHARDS_MAX: u64 = 1 << 12;

/// Simulated storms for storage engines: suites of scenarios that must hold under crashes, disk faults, lost messages
/// and bad clocks, each run repeatable by its seed.
#[derive(Parser)]
#[command(name = "stormproof", version, after_help = EXIT_CODES)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  all held
  1  a claim fell, or a run repeated was another run
  2  wrong use
  3  this tool failed
  4  nothing was proven: a suite met none of the dangers it exists for, or a checker gave up";

const REPORT_EXIT_CODES: &str = "\
Compared are, suite by suite: steps with crashes, points passed, faults by point and by case, situations reached; the
lowest seed that finds each failure; and seeds per second of thread time.

Exit codes:
  0  nothing was lost and nothing fell anew; always, without --against
  1  a claim fell that had not fallen, a run repeated became another run, or something covered before is not any more
  2  wrong use: a file that is missing, or is not what `run --json` writes
  3  this tool failed";

#[derive(Subcommand)]
pub(super) enum Command {
    /// Runs suites over many seeds; all suites for about a minute if nothing else is said
    Run(RunArgs),
    /// Plays one run again, from its seed or from a saved plan
    Replay(ReplayArgs),
    /// Tries every crash of a bounded workload, with everything that it may leave on the disk
    Explore(ExploreArgs),
    /// Takes everything out of a failing plan that its failure does not need
    Shrink(ShrinkArgs),
    /// Says which faults a failing plan takes, where it parts from a run that holds, and since when it was inevitable
    Explain(ExplainArgs),
    /// Lists what there is
    List(ListArgs),
    /// Kills the engine for real: as a process of its own, on a real directory
    Real(RealArgs),
    /// Tells again what `run --json` wrote, and compares it with what an older hunt wrote
    #[command(after_help = REPORT_EXIT_CODES)]
    Report(ReportArgs),
    /// Runs the seeds named on standard input and says their trace hashes: the other half of the self-check
    #[command(hide = true)]
    Rerun(RerunArgs),
}

#[derive(Args)]
pub(super) struct RunArgs {
    /// Suites, or single cases of them; all suites if there is none
    #[arg(value_name = "SUITE[/CASE]")]
    pub(super) suites: Vec<String>,
    /// Run so many seeds of each suite, or of each case that is named
    #[arg(long, value_name = "N", conflicts_with = "time", value_parser = RangedU64ValueParser::<u64>::new().range(1..=SEEDS_MAX))]
    pub(super) seeds: Option<u64>,
    /// The first seed
    #[arg(long, value_name = "SEED", default_value_t = 0, value_parser = RangedU64ValueParser::<u64>::new().range(..=FROM_MAX))]
    pub(super) from: u64,
    /// Run for so long in all, as in `90s`, `10m` or `8h`. If it is not given: a minute, and up to three where it takes that
    /// long before every suite has had the seeds that it needs
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(super) time: Option<Duration>,
    /// Threads; as many as there are processors if it is not given
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..=1024))]
    pub(super) jobs: Option<u16>,
    /// Run share I of N: the same seeds, divided among N machines
    #[arg(long, value_name = "I/N", default_value = "1/1", value_parser = shard)]
    pub(super) shard: Shard,
    /// Let clients store the vectors of this file
    #[arg(long, value_name = "F.fvecs")]
    pub(super) vectors: Option<PathBuf>,
    /// Write the report as JSON
    #[arg(long, value_name = "F")]
    pub(super) json: Option<PathBuf>,
    /// Write the report as JUnit
    #[arg(long, value_name = "F")]
    pub(super) junit: Option<PathBuf>,
    /// Write the report as a page for a browser
    #[arg(long, value_name = "F")]
    pub(super) html: Option<PathBuf>,
    /// Leave failing plans as they are, instead of looking for the smallest that fails in the same way
    #[arg(long)]
    pub(super) no_shrink: bool,
    /// Where plans and traces of failing runs are saved
    #[arg(long, value_name = "DIR", default_value = ".stormproof")]
    pub(super) save: PathBuf,
}

#[derive(Args)]
pub(super) struct ReplayArgs {
    /// A saved plan, or a suite and a seed
    #[arg(value_name = "FILE | SUITE:SEED")]
    pub(super) what: String,
    /// Compare with the trace saved beside the plan, event by event, up to the first that differs
    #[arg(long, conflicts_with = "plan")]
    pub(super) exact: bool,
    /// Play the plan with the code as it is now, and say whether it fails as it did (the default for a file)
    #[arg(long)]
    pub(super) plan: bool,
    /// Print every event
    #[arg(long)]
    pub(super) trace: bool,
    /// The vectors that the run was recorded with
    #[arg(long, value_name = "F.fvecs")]
    pub(super) vectors: Option<PathBuf>,
    /// Write the report as JSON
    #[arg(long, value_name = "F")]
    pub(super) json: Option<PathBuf>,
    /// Write the report as JUnit
    #[arg(long, value_name = "F")]
    pub(super) junit: Option<PathBuf>,
    /// Write the report as a page for a browser
    #[arg(long, value_name = "F")]
    pub(super) html: Option<PathBuf>,
}

#[derive(Args)]
pub(super) struct ExploreArgs {
    /// The suite, or one case of it
    #[arg(value_name = "SUITE[/CASE]")]
    pub(super) suite: String,
    /// Operations of the workload while crashes strike
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = RangedU64ValueParser::<usize>::new().range(1..=1_000))]
    pub(super) ops: usize,
    /// What power loss may leave of what was not synced
    #[arg(long, default_value = "weakest")]
    pub(super) profile: ProfileArg,
    /// 1: crashes; 2: crashes during the recoveries from them as well
    #[arg(long, value_name = "1|2", default_value_t = 1, value_parser = value_parser!(u32).range(1..=2))]
    pub(super) depth: u32,
    /// At most so many states of one image of the disk
    #[arg(long, value_name = "B", default_value_t = 4_096, value_parser = RangedU64ValueParser::<u64>::new().range(1..=1_000_000_000))]
    pub(super) bound: u64,
    /// Workloads of each case, with parameters of their own
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = RangedU64ValueParser::<u64>::new().range(1..=1_000_000))]
    pub(super) workloads: u64,
    /// The first seed that workloads are drawn from
    #[arg(long, value_name = "SEED", default_value_t = 0, value_parser = RangedU64ValueParser::<u64>::new().range(..=FROM_MAX))]
    pub(super) from: u64,
    /// Threads; as many as there are processors if it is not given
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..=1024))]
    pub(super) jobs: Option<u16>,
    /// Let clients store the vectors of this file
    #[arg(long, value_name = "F.fvecs")]
    pub(super) vectors: Option<PathBuf>,
    /// Write the report as JSON
    #[arg(long, value_name = "F")]
    pub(super) json: Option<PathBuf>,
    /// Write the report as JUnit
    #[arg(long, value_name = "F")]
    pub(super) junit: Option<PathBuf>,
    /// Write the report as a page for a browser
    #[arg(long, value_name = "F")]
    pub(super) html: Option<PathBuf>,
    /// Where plans of failing states are saved
    #[arg(long, value_name = "DIR", default_value = ".stormproof")]
    pub(super) save: PathBuf,
}

#[derive(Args)]
pub(super) struct ShrinkArgs {
    /// The plan
    #[arg(value_name = "PLAN")]
    pub(super) plan: PathBuf,
    /// For so long at most
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    pub(super) time: Duration,
    /// Where the smallest plan goes; beside the plan, as `.min.toml`, if it is not given
    #[arg(long, value_name = "F")]
    pub(super) out: Option<PathBuf>,
    /// The vectors that the run was recorded with
    #[arg(long, value_name = "F.fvecs")]
    pub(super) vectors: Option<PathBuf>,
    /// Write the report as JSON
    #[arg(long, value_name = "F")]
    pub(super) json: Option<PathBuf>,
}

#[derive(Args)]
pub(super) struct ExplainArgs {
    /// The plan; the smallest that fails is explained best
    #[arg(value_name = "PLAN")]
    pub(super) plan: PathBuf,
    /// So many runs are drawn anew from each moment
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = value_parser!(u32).range(1..=10_000))]
    pub(super) reseeds: u32,
    /// The vectors that the run was recorded with
    #[arg(long, value_name = "F.fvecs")]
    pub(super) vectors: Option<PathBuf>,
    /// Write the report as JSON
    #[arg(long, value_name = "F")]
    pub(super) json: Option<PathBuf>,
    /// Write the report as a page for a browser
    #[arg(long, value_name = "F")]
    pub(super) html: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
pub(super) enum ProfileArg {
    /// What POSIX promises, and no more
    Weakest,
    /// A journalling file system like ext4
    Ordered,
}

impl From<ProfileArg> for Profile {
    fn from(profile: ProfileArg) -> Profile {
        match profile {
            ProfileArg::Weakest => Profile::Weakest,
            ProfileArg::Ordered => Profile::Ordered,
        }
    }
}

#[derive(Args)]
pub(super) struct ListArgs {
    /// What to list
    pub(super) topic: Listed,
    /// As JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
pub(super) enum Listed {
    /// What can be run
    Suites,
    /// The experiments of each suite: hypothesis, injection, criterion
    Cases,
    /// What must always hold, and what puts it in danger
    Invariants,
    /// What can go wrong
    Faults,
    /// The named points of the systems on trial, at which faults can begin
    Points,
}

#[derive(Args)]
pub(super) struct RealArgs {
    /// Cases; all of them if there is none
    #[arg(value_name = "CASE")]
    pub(super) cases: Vec<String>,
    /// How often a case kills at random moments
    #[arg(long, value_name = "N", default_value_t = KILLS, value_parser = value_parser!(u32).range(1..=1_000_000))]
    pub(super) kills: u32,
    /// Let clients store the vectors of this file
    #[arg(long, value_name = "F.fvecs")]
    pub(super) vectors: Option<PathBuf>,
    /// Where the engine's directories go, and stay: a directory that is empty or not there yet
    #[arg(long, value_name = "D")]
    pub(super) dir: Option<PathBuf>,
    /// Write the report as JSON
    #[arg(long, value_name = "F")]
    pub(super) json: Option<PathBuf>,
    /// Write the report as JUnit
    #[arg(long, value_name = "F")]
    pub(super) junit: Option<PathBuf>,
    /// Write the report as a page for a browser
    #[arg(long, value_name = "F")]
    pub(super) html: Option<PathBuf>,
}

#[derive(Args)]
pub(super) struct ReportArgs {
    /// What `run --json` wrote
    #[arg(value_name = "NEW.json")]
    pub(super) new: PathBuf,
    /// What it wrote of an older hunt
    #[arg(long, value_name = "OLD.json")]
    pub(super) against: Option<PathBuf>,
    /// Write the comparison as JSON
    #[arg(long, value_name = "F")]
    pub(super) json: Option<PathBuf>,
    /// Write the comparison as a page for a browser
    #[arg(long, value_name = "F")]
    pub(super) html: Option<PathBuf>,
}

#[derive(Args)]
pub(super) struct RerunArgs {
    #[arg(long)]
    pub(super) vectors: Option<PathBuf>,
}

impl From<Listed> for Topic {
    fn from(listed: Listed) -> Topic {
        match listed {
            Listed::Suites => Topic::Suites,
            Listed::Cases => Topic::Cases,
            Listed::Invariants => Topic::Invariants,
            Listed::Faults => Topic::Faults,
            Listed::Points => Topic::Points,
        }
    }
}

/// A time as people write it: a whole number and its unit.
fn duration(words: &str) -> Result<Duration, String> {
    let digits = words.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = words.split_at(digits);
    let number: u32 = number.parse().map_err(|_| "expected a number and a unit, as in `60s`".to_owned())?;
    let duration = match unit {
        "ms" => Duration::from_millis(number.into()),
        "s" => Duration::from_secs(number.into()),
        "m" | "min" => Duration::from_secs(u64::from(number) * 60),
        "h" => Duration::from_secs(u64::from(number) * 3_600),
        _ => return Err(format!("expected the unit ms, s, m or h, found `{unit}`")),
    };
    if duration.is_zero() { Err("expected more than no time".into()) } else { Ok(duration) }
}

/// Share `I/N`, counted from 1.
fn shard(words: &str) -> Result<Shard, String> {
    let (index, of) = words.split_once('/').ok_or("expected `I/N`, as in `1/4`")?;
    let number = |words: &str| words.parse::<u64>().map_err(|_| format!("expected a number, found `{words}`"));
    let (index, of) = (number(index)?, number(of)?);
    match (index, of) {
        (_, 0) => Err("expected at least one share".into()),
        (_, SHARDS_MAX..) if of > SHARDS_MAX => Err(format!("expected at most {SHARDS_MAX} shares, found {of}")),
        (index, of) if index == 0 || index > of => Err(format!("expected a share from 1 to {of}, found {index}")),
        (index, of) => Ok(Shard { index: index - 1, of }),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_does_not_contradict_itself() {
        Cli::command().debug_assert();
    }

    #[test]
    fn times_are_read_as_people_write_them() {
        let cases = [("500ms", 500), ("60s", 60_000), ("10m", 600_000), ("2min", 120_000), ("8h", 28_800_000)];
        for (words, ms) in cases {
            assert_eq!(duration(words), Ok(Duration::from_millis(ms)));
        }
        for bad in ["", "60", "s", "-1s", "1.5s", "0s", "5000000000s", "1d"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn shards_are_counted_from_one() {
        assert_eq!(shard("1/1"), Ok(Shard { index: 0, of: 1 }));
        assert_eq!(shard("4/4"), Ok(Shard { index: 3, of: 4 }));
        for bad in ["", "1", "0/4", "5/4", "1/0", "a/b", "1/4/2", "-1/4", "1/4097"] {
            assert!(shard(bad).is_err(), "{bad}");
        }
    }
}
