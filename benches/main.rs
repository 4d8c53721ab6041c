//! `stormproof-bench`: measures, and prints what it measured beside its baseline.

use std::{error::Error, fs, path::PathBuf, process::ExitCode, time::Duration};

use clap::{Parser, Subcommand};
use serde::Serialize;
use serde_json::json;
use stormproof_bench::{
    commit::{self, DIM, Plan, Row},
    machine::{self, Machine},
    peers::{self, Compare},
    recall::command::{self as recalls, DataSet, Gist, Recall},
    resilience::{self, Cost},
    scan::{HITS, ScanRatio, scan_ratio},
    world::{self, Speed},
};
use stormproof_engine::{
    driver,
    memory::{Engine, LogFormat},
    vector::Metric,
};
use stormproof_sim::world::span::Time;

/// Measures the engine and the simulator, each beside a baseline in the same run.
#[derive(Parser)]
#[command(name = "stormproof-bench", version)]
struct Cli {
    #[command(subcommand)]
    what: What,
}

/// How measurements are printed that are not written to files.
#[derive(Clone, Copy, clap::Args)]
struct Printing {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Subcommand)]
enum What {
    /// Round trips of the simulated world, without pauses and with pauses of 100 ms
    World {
        /// How many, of each kind
        #[arg(long, default_value_t = 1_000_000)]
        round_trips: u64,
        /// What `benches/referees/run.sh` printed on this machine
        #[arg(long, value_name = "FILE")]
        referees: Option<PathBuf>,
        #[command(flatten)]
        printing: Printing,
    },
    /// Commits of the real engine on a real disk
    Commit {
        /// On which disk; where the program was started if it is not given
        #[arg(long, value_name = "D", default_value = ".")]
        dir: PathBuf,
        /// How many writers
        #[arg(long, value_delimiter = ',', default_values_t = [1, 8, 64])]
        writers: Vec<usize>,
        /// Turns of engine and baseline
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
        turns: u32,
        /// Milliseconds of a turn
        #[arg(long, default_value_t = 1_000)]
        turn_ms: u64,
        /// Milliseconds between two health checks; 0: none
        #[arg(long, default_value_t = 30_000)]
        health_ms: u64,
        /// How the log is written
        #[arg(long, value_enum, default_value_t = LogFormatName::Binary)]
        log_format: LogFormatName,
        /// How many segments are merged at least; 0: none ever are
        #[arg(long, default_value_t = 4)]
        merge_run_min: usize,
        #[command(flatten)]
        printing: Printing,
    },
    /// What each means of resilience costs a commit
    Resilience {
        /// On which disk; where the program was started if it is not given
        #[arg(long, value_name = "D", default_value = ".")]
        dir: PathBuf,
        /// How many writers
        #[arg(long, default_value_t = 8)]
        writers: usize,
        /// Turns of each engine
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
        turns: u32,
        /// Milliseconds of a turn
        #[arg(long, default_value_t = 1_000)]
        turn_ms: u64,
        #[command(flatten)]
        printing: Printing,
    },
    /// Searches of the exact index
    Scan {
        /// How many vectors
        #[arg(long, value_delimiter = ',', default_values_t = [10_000, 100_000])]
        rows: Vec<usize>,
        /// Searches, and reads
        #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u16).range(1..))]
        turns: u16,
        #[command(flatten)]
        printing: Printing,
    },
    /// The archive on a data set: build, recall, latency
    Recall(Box<Recall>),
    /// The same on a directory with the files of GIST-1M
    Gist(Box<Gist>),
    /// Other projects' indexes beside the archive; takes bash, Python 3.11 or later and a network
    Compare(Compare),
    /// Writes a data set that a package brings as .fvecs, with exact answers
    Data {
        #[command(subcommand)]
        which: DataSet,
    },
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum LogFormatName {
    Binary,
    JsonLines,
}

fn main() -> ExitCode {
    if let Some(dir) = driver::job_child_dir() {
        return driver::run_job_child(&Engine, &dir);
    }
    if recalls::is_child() {
        return recalls::child();
    }
    let cli = Cli::parse();
    let printed = match &cli.what {
        What::World { round_trips, referees, printing } => world(printing.json, *round_trips, referees.as_deref()),
        What::Commit { dir, writers, turns, turn_ms, health_ms, log_format, merge_run_min, printing } => {
            let plan = Plan {
                dir: dir.clone(),
                writers: writers.clone(),
                turns: *turns,
                turn: Duration::from_millis(*turn_ms),
                health: Duration::from_millis(*health_ms),
                log_format: match log_format {
                    LogFormatName::Binary => LogFormat::Binary,
                    LogFormatName::JsonLines => LogFormat::JsonLines,
                },
                merge_run_min: *merge_run_min,
            };
            commit(printing.json, &plan)
        }
        What::Resilience { dir, writers, turns, turn_ms, printing } => {
            let plan = Plan {
                dir: dir.clone(),
                writers: vec![*writers],
                turns: *turns,
                turn: Duration::from_millis(*turn_ms),
                health: Duration::from_secs(30),
                log_format: LogFormat::Binary,
                merge_run_min: 4,
            };
            resilience(printing.json, &plan)
        }
        What::Scan { rows, turns, printing } => scan(printing.json, rows, (*turns).into()),
        What::Recall(asked) => return recalls::recall(asked),
        What::Gist(asked) => return recalls::gist(asked),
        What::Compare(asked) => return peers::compare(asked),
        What::Data { which } => return recalls::data(which),
    };
    match printed {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("stormproof-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

type Printed = Result<(), Box<dyn Error>>;

fn world(json: bool, round_trips: u64, referees: Option<&std::path::Path>) -> Printed {
    let read = |path| -> Result<Vec<Speed>, Box<dyn Error>> { Ok(world::referees(&fs::read_to_string(path)?)?) };
    let theirs = referees.map(read).transpose()?.unwrap_or_default();
    let ours = [Time(0), Time::millis(100)].map(|pause| world::round_trips(round_trips, pause));
    if json {
        let lines = ours.iter().chain(&theirs);
        lines.map(serde_json::to_string).try_for_each(|line| line.map(|line| println!("{line}")))?;
    } else {
        print!("{}\n{}\n", Machine::this(), world::table(&ours, &theirs).trim_end());
    }
    Ok(())
}

fn commit(json: bool, plan: &Plan) -> Printed {
    let file_system = machine::file_system(&plan.dir);
    if json {
        let rows = commit::measure(plan, |_| {})?;
        println!("{}", json!({ "machine": Machine::this(), "file_system": file_system, "commits": rows }));
        return Ok(());
    }
    println!("{}", Machine::this());
    println!("{DIM} components, {file_system}; baseline: the same batches, one write and fdatasync each");
    println!(
        "{:>7}{:>11}{:>9}{:>9}{:>9} |{:>11}{:>9}{:>9} |{:>7}  least-most",
        "writers", "commits/s", "batch", "p50 us", "p99 us", "base/s", "p50 us", "p99 us", "ratio"
    );
    commit::measure(plan, |row| {
        let Row { writers, per_second, batch, p50_us, p99_us, baseline_per_second, ratio, .. } = row;
        let (base_p50, base_p99, (least, most)) = (row.baseline_p50_us, row.baseline_p99_us, row.ratio_range);
        println!(
            "{writers:>7}{per_second:>11.0}{batch:>9.1}{p50_us:>9.0}{p99_us:>9.0} |{baseline_per_second:>11.0}\
             {base_p50:>9.0}{base_p99:>9.0} |{ratio:>7.2}  {least:.2}-{most:.2}"
        );
    })?;
    Ok(())
}

fn resilience(json: bool, plan: &Plan) -> Printed {
    let (file_system, costs) = (machine::file_system(&plan.dir), resilience::measure(plan)?);
    if json {
        println!("{}", json!({ "machine": Machine::this(), "file_system": file_system, "costs": costs }));
        return Ok(());
    }
    println!("{}\n{DIM} components, {file_system}, {} writers", Machine::this(), plan.writers[0]);
    println!(
        "{:<27}{:>9}{:>9}{:>9}{:>8}{:>9}{:>15}",
        "", "commits", "p50 us", "p99 us", "cpu us", "cpu", "memory/commit"
    );
    let usual = costs[0].cpu_us;
    for Cost { variant, commits, p50_us, p99_us, cpu_us, resident_per_commit } in &costs {
        let ratio = cpu_us / usual;
        println!(
            "{variant:<27}{commits:>9}{p50_us:>9.0}{p99_us:>9.0}{cpu_us:>8.0}{ratio:>9.2}{resident_per_commit:>15}"
        );
    }
    Ok(())
}

/// A search of the exact index beside a read of the same bytes.
#[derive(Serialize)]
struct Measured {
    metric: Metric,
    rows: usize,
    dim: usize,
    scan_ns: u64,
    read_ns: u64,
}

fn scan(json: bool, rows: &[usize], turns: usize) -> Printed {
    let mut scans = Vec::new();
    if !json {
        println!("{}", Machine::this());
        println!("{DIM} components, {HITS} hits, one thread; baseline: the faster of two reads of the same bytes");
        println!("{:<14}{:>9}{:>11}{:>11}{:>8}", "metric", "rows", "scan ms", "read ms", "ratio");
    }
    for &rows in rows {
        for metric in [Metric::L2, Metric::Cosine, Metric::InnerProduct] {
            let ScanRatio { scan_ns, read_ns } = scan_ratio(metric, rows, DIM, turns)?;
            if !json {
                let (scan_ms, read_ms) = (scan_ns as f64 / 1e6, read_ns as f64 / 1e6);
                let name = format!("{metric:?}");
                println!("{name:<14}{rows:>9}{scan_ms:>11.3}{read_ms:>11.3}{:>8.2}", read_ms / scan_ms);
            }
            scans.push(Measured { metric, rows, dim: DIM, scan_ns, read_ns });
        }
    }
    if json {
        println!("{}", json!({ "machine": Machine::this(), "scans": scans }));
    }
    Ok(())
}
