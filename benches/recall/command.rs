//! The subcommands `recall`, `gist` and `data`: their arguments, where their reports go, and what their exit codes say.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | measured; with `--enforce`: and every target was met |
//! | 1 | with `--enforce`: a target was missed, or could not be measured |
//! | 2 | wrong use, or a file that is missing or malformed |
//! | 3 | this tool failed, or the engine did |

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
    time::Instant,
};

use clap::{Args, Subcommand};
use stormproof_engine::memory::RowFormat;

use super::{
    GIST_1M, Plan, RecallError, html, limited, measure,
    report::{Parameters, Verdict},
    target::{COMPLEXITIES, Tuning},
    text::text,
};
use crate::data::{DataError, FASHION_DIR, Format, Made, fashion_mnist};

/// What of a run can be chosen whatever its data set is.
#[derive(Args)]
pub struct Choices {
    /// Rows of the base that are loaded at most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    rows: Option<u64>,
    /// Queries that are asked at most
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(2..=1_000_000))]
    queries: u64,
    /// How many records a query asks for
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    k: u32,
    /// Threads that find exact answers; as many as there are processors if it is not given
    #[arg(long, value_name = "T", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    /// Search list sizes to choose from
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = COMPLEXITIES.iter().copied())]
    complexity: Vec<u32>,
    /// How many clients ask at once, one measurement after another
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [1, 2, 4, 8])]
    clients: Vec<u16>,
    /// Milliseconds of each of those measurements, and of those before and after a rebuild
    #[arg(long, value_name = "N", default_value_t = 3_000, value_parser = clap::value_parser!(u32).range(1..))]
    turn_ms: u32,
    /// MiB of vectors that the exact index keeps in memory
    #[arg(long, value_name = "MIB", default_value_t = Tuning::default().index_mib, value_parser = clap::value_parser!(u64).range(..=1 << 20))]
    index_mib: u64,
    /// How many records each one of the archive leads to
    #[arg(long, value_name = "N", default_value_t = Tuning::default().graph_degree, value_parser = clap::value_parser!(u32).range(2..=256))]
    graph_degree: u32,
    /// How many candidates are looked at for them
    #[arg(long, value_name = "N", default_value_t = Tuning::default().graph_complexity, value_parser = clap::value_parser!(u32).range(1..=4_096))]
    graph_complexity: u32,
    /// How the vectors are written in it
    #[arg(long, value_name = "f32|f16", default_value = RowFormat::default().name())]
    row_format: RowFormat,
    /// The most MiB of memory that searching the archive may take
    #[arg(long, value_name = "MIB", default_value_t = Tuning::default().search_memory_mib, value_parser = clap::value_parser!(u64).range(..=1 << 20))]
    search_memory_maximum: u64,
    /// The most MiB of memory that building it may take
    #[arg(long, value_name = "MIB", default_value_t = Tuning::default().build_memory_mib, value_parser = clap::value_parser!(u64).range(..=1 << 20))]
    build_memory_maximum: u64,
    /// Ask the queries once more in a process that may have so many MiB of memory
    #[arg(long, value_name = "M", value_parser = clap::value_parser!(u32).range(1..))]
    ram_mb: Option<u32>,
    /// Where the store is made for the time of the run
    #[arg(long, value_name = "D", default_value = ".")]
    dir: PathBuf,
    /// Write exact answers that had to be found, as .ivecs
    #[arg(long, value_name = "F")]
    save_truth: Option<PathBuf>,
    /// Write the report as JSON
    #[arg(long, value_name = "F")]
    json: Option<PathBuf>,
    /// Write the report as a page for a browser
    #[arg(long, value_name = "F")]
    html: Option<PathBuf>,
    /// Exit with 1 if a target is not met
    #[arg(long)]
    enforce: bool,
}

/// Arguments of `recall`.
#[derive(Args)]
pub struct Recall {
    /// The vectors to load: .fvecs, .bvecs, .npy or .idx, each also with .gz; or .hdf5, where the feature hdf5 is built in
    #[arg(long, value_name = "F")]
    base: PathBuf,
    /// The vectors to search for; if it is not given, those in the .hdf5 of the base, with their answers
    #[arg(long, value_name = "F")]
    query: Option<PathBuf>,
    /// Their exact answers: .ivecs, or .hdf5
    #[arg(long, value_name = "F")]
    truth: Option<PathBuf>,
    #[command(flatten)]
    choices: Choices,
}

/// Arguments of `gist`.
#[derive(Args)]
pub struct Gist {
    /// Where `gist_base.fvecs`, `gist_query.fvecs` and `gist_groundtruth.ivecs` are
    set: PathBuf,
    /// The files are the published ones: you vouch for it. Otherwise the report does not call them so, whatever their shape
    #[arg(long)]
    published: bool,
    #[command(flatten)]
    choices: Choices,
}

/// Which data set to make.
#[derive(Subcommand)]
pub enum DataSet {
    /// Images of clothes, from Debian's package dataset-fashion-mnist: 60,000 and 10,000 rows of 784
    FashionMnist {
        /// Where the package's files are
        #[arg(long, value_name = "DIR", default_value = FASHION_DIR)]
        from: PathBuf,
        /// Where to write `fashion-mnist_base.fvecs`, `_query.fvecs` and `_groundtruth.ivecs`
        #[arg(long, value_name = "DIR", default_value = ".")]
        out: PathBuf,
        /// Threads; as many as there are processors if it is not given
        #[arg(long, value_name = "T", value_parser = clap::value_parser!(u16).range(1..))]
        threads: Option<u16>,
    },
}

/// Whether the arguments of this process ask for what only this program asks of itself: the queries, within less memory.
pub fn is_child() -> bool {
    let mut arguments = std::env::args_os().skip(1);
    arguments.next().is_some_and(|it| it == limited::SUBCOMMAND) && arguments.next().is_none()
}

/// Does that.
pub fn child() -> ExitCode {
    ended(limited::child().map(|()| ExitCode::SUCCESS))
}

/// Does `recall`.
pub fn recall(asked: &Recall) -> ExitCode {
    let Recall { base, query, truth, choices } = asked;
    let (queries, truth) = match query {
        Some(queries) => (queries, truth.as_ref()),
        None if matches!(Format::of(base), Ok(Format::Hdf5)) => (base, truth.as_ref().or(Some(base))),
        None => {
            let why = "--query: a file of queries is needed; only a base in .hdf5 has some of its own";
            return ended(Err(RecallError::Wrong(why.into())));
        }
    };
    let mut plan = plan(choices, base.clone(), queries.clone());
    plan.truth = truth.cloned();
    ended(run(&plan, choices))
}

/// Does `gist`.
pub fn gist(asked: &Gist) -> ExitCode {
    let file = |name: &str| asked.set.join(name);
    let mut plan = plan(&asked.choices, file("gist_base.fvecs"), file("gist_query.fvecs"));
    plan.truth = Some(file("gist_groundtruth.ivecs")).filter(|path| path.exists());
    (plan.published, plan.vouched) = (Some(GIST_1M), asked.published);
    ended(run(&plan, &asked.choices))
}

/// Does `data`.
pub fn data(DataSet::FashionMnist { from, out, threads }: &DataSet) -> ExitCode {
    let made = fashion_mnist(from, out, of_machine(*threads), |done, rows| {
        eprintln!("{done} of {rows} rows compared");
    });
    ended(made.map_err(RecallError::from).map(|Made { rows, queries, dim, k }| {
        println!("{rows} rows and {queries} queries of {dim}, with the {k} nearest of each, in {}", out.display());
        ExitCode::SUCCESS
    }))
}

fn of_machine(threads: Option<u16>) -> usize {
    threads.map_or_else(|| thread::available_parallelism().map_or(1, usize::from), usize::from)
}

fn plan(choices: &Choices, base: PathBuf, queries: PathBuf) -> Plan {
    Plan {
        base,
        queries,
        truth: None,
        save_truth: choices.save_truth.clone(),
        rows: choices.rows,
        queries_max: choices.queries,
        threads: of_machine(choices.threads),
        dir: choices.dir.clone(),
        ram_mb: choices.ram_mb.map(u64::from),
        published: None,
        vouched: false,
        parameters: Parameters {
            k: choices.k,
            // A list that is shorter than what is asked for cannot hold it.
            complexities: choices.complexity.iter().copied().filter(|it| *it == 0 || *it >= choices.k).collect(),
            clients: choices.clients.iter().copied().map(usize::from).filter(|clients| *clients > 0).collect(),
            turn_s: f64::from(choices.turn_ms) / 1e3,
            recall_aim: 0.95,
            tuning: Tuning {
                index_mib: choices.index_mib,
                graph_degree: choices.graph_degree,
                graph_complexity: choices.graph_complexity,
                row_format: choices.row_format,
                search_memory_mib: choices.search_memory_maximum,
                build_memory_mib: choices.build_memory_maximum,
            },
            calls_min: 1_000,
        },
        jobs_in_processes: true,
    }
}

#[allow(clippy::disallowed_methods, reason = "progress is told with the time it was made in")]
fn run(plan: &Plan, choices: &Choices) -> Result<ExitCode, RecallError> {
    // What can be wrong with a name is said before minutes have gone by.
    for path in [&plan.base, &plan.queries] {
        Format::of(path)?;
    }
    if plan.parameters.complexities.is_empty() {
        let why = format!("--complexity: one of them must be {} at least, which is --k, or 0", plan.parameters.k);
        return Err(RecallError::Wrong(why));
    }
    if !plan.dir.is_dir() {
        return Err(RecallError::Wrong(format!("{}: no such directory", plan.dir.display())));
    }
    let begun = Instant::now();
    let report = measure(plan, &|words| eprintln!("{:>8.1} s  {words}", begun.elapsed().as_secs_f64()))?;
    print!("{}", text(&report));
    let write = |path: &Option<PathBuf>, text: &dyn Fn() -> Result<String, serde_json::Error>| match path {
        Some(path) => put(path, &text()?),
        None => Ok(()),
    };
    write(&choices.json, &|| Ok(serde_json::to_string_pretty(&report)? + "\n"))?;
    write(&choices.html, &|| Ok(html::page(&report)))?;
    let is_met = report.targets.iter().all(|aim| aim.verdict == Verdict::Met);
    Ok(if is_met || !choices.enforce { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn put(path: &Path, text: &str) -> Result<(), RecallError> {
    fs::write(path, text).map_err(|source| RecallError::Io { path: path.into(), source })
}

fn ended(done: Result<ExitCode, RecallError>) -> ExitCode {
    done.unwrap_or_else(|error| {
        eprintln!("stormproof-bench: {error}");
        ExitCode::from(match error {
            RecallError::Data(DataError::Io { source, .. }) if source.kind() != io::ErrorKind::NotFound => 3,
            RecallError::Wrong(_) | RecallError::Data(_) => 2,
            RecallError::Target(_) | RecallError::Io { .. } | RecallError::Json(_) => 3,
        })
    })
}
