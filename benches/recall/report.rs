//! What was measured, as the JSON file has it. `benches/README.md` describes the fields; a change to their meaning takes a new
//! [`SCHEMA`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    ask::Throughput,
    latency::{Bin, Percentiles},
    target::Tuning,
    vitals::Memory,
};
use crate::machine::Machine;

/// The version of the JSON file.
pub(super) const SCHEMA: u32 = 1;

/// The whole.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// What was searched.
    pub data: Data,
    /// On what.
    pub machine: Machine,
    /// The file system of the store.
    pub file_system: String,
    /// What was chosen before anything was measured.
    pub parameters: Parameters,
    /// What was done before the first query.
    pub phases: Vec<Phase>,
    /// The queries.
    pub queries: Asked,
    /// The same with less memory.
    pub limited: Part<Limited>,
    /// Queries while the archive is built again.
    pub swap: Part<Swap>,
    /// Bytes of the store's files, by directory.
    pub disk_bytes: BTreeMap<String, u64>,
    /// What is not measured, and why.
    pub not_measured: Vec<String>,
    /// The targets.
    pub targets: Vec<Aim>,
}

/// The data set.
#[derive(Clone, Debug, Serialize)]
pub struct Data {
    /// What it is. A published set is only named if it is that set.
    pub name: String,
    /// The file of the base, without its directory.
    pub base: String,
    /// The file of the queries.
    pub queries_file: String,
    /// Where exact answers come from: a file, or `computed`.
    pub truth: String,
    /// Rows of the base that were loaded.
    pub rows: u64,
    /// Components of each.
    pub dim: usize,
    /// How many queries there are.
    pub queries: usize,
    /// What else is to be known of it.
    pub notes: Vec<String>,
}

/// What a run was asked to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Parameters {
    /// How many records a query asks for.
    pub k: u32,
    /// Search list sizes that are tried.
    pub complexities: Vec<u32>,
    /// How many clients ask at once, one measurement after another.
    pub clients: Vec<usize>,
    /// How long each of those measurements is, in seconds.
    pub turn_s: f64,
    /// The recall that the search list size is chosen for.
    pub recall_aim: f64,
    /// What was set of the engine.
    pub tuning: Tuning,
    /// How often each latency is measured at least.
    pub calls_min: usize,
}

/// Something that is done once.
#[derive(Clone, Debug, Serialize)]
pub struct Phase {
    /// What.
    pub name: String,
    /// What it took; nothing if it was not done.
    pub seconds: Option<f64>,
    /// Processor time of the process and of those that it waited for, in seconds.
    pub cpu_s: Option<f64>,
    /// Why it was not done.
    pub skipped: Option<String>,
    /// Memory of the process afterwards; the peak is that of the phase. Work in processes of its own is not in it.
    pub memory: Option<Memory>,
}

/// A part of the report, if it could be measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part<T> {
    /// It was.
    Measured(T),
    /// It was not tried, for this reason.
    Skipped(String),
    /// It was tried, and came to nothing, for this reason.
    Failed(String),
}

/// What the queries came to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Asked {
    /// Each search list size, narrowest first.
    pub curve: Vec<Point>,
    /// The one that was chosen, by the first half of the queries. All below is of the other half.
    pub complexity: u32,
    /// What one client waits for each answer.
    pub latency: Percentiles,
    /// The same as ranges.
    pub histogram: Vec<Bin>,
    /// The share of the `k` nearest records that were found.
    pub recall: f64,
    /// The share of these queries that the archive's graph was searched for.
    pub by_archive: f64,
    /// The share of the 100 nearest, if there are answers to compare with.
    pub recall_100: Option<f64>,
    /// Several clients at once.
    pub throughput: Vec<Throughput>,
    /// What queries read.
    pub bytes: Bytes,
    /// Bytes of the store that the page cache held after the queries of one client, by the directories of [`Report::disk_bytes`].
    pub page_cache: Part<BTreeMap<String, u64>>,
    /// How long it took to open the store when its pages had been forgotten.
    pub open_cold_s: f64,
    /// Memory of the process at the end; the peak is that of the queries.
    pub memory: Memory,
}

/// A search list size.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Point {
    /// The size; 0: as the engine is configured.
    pub complexity: u32,
    /// Recall of the first half of the queries.
    pub recall_chosen_by: f64,
    /// Recall of the other half.
    pub recall: f64,
    /// Answers in a second, to one client.
    pub per_second: f64,
    /// Half of them took at most this long.
    pub p50_us: f64,
    /// All but one in a hundred took at most this long.
    pub p99_us: f64,
}

/// Bytes that a query reads, on average.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Bytes {
    /// How many queries were asked just after the pages had been forgotten.
    pub cold_queries: u64,
    /// What they read through calls.
    pub cold_called: Option<f64>,
    /// What they read from the disk.
    pub cold_disk: Option<f64>,
    /// The same for queries asked after others.
    pub warm_called: Option<f64>,
    /// From the disk.
    pub warm_disk: Option<f64>,
}

/// The queries in a process that may not have more memory.
#[derive(Clone, Debug, Serialize)]
pub struct Limited {
    /// How much it may have, page cache included.
    pub ram_mb: u64,
    /// Mebibytes of vectors that the exact index keeps in memory: no more than a quarter of all.
    pub index_mib: u64,
    /// What limits it.
    pub by: String,
    /// The most that was used, page cache included, if the system tells.
    pub peak: Option<u64>,
    /// What the queries came to.
    pub queries: Asked,
}

/// Queries of one client while the archive is built again.
#[derive(Clone, Debug, Serialize)]
pub struct Swap {
    /// What the rebuild took.
    pub rebuild_s: f64,
    /// Before it.
    pub quiet: Percentiles,
    /// Those that began while it went on.
    pub during: Percentiles,
    /// Those within half a second of its end, when the new generation takes the old one's place.
    pub across: Percentiles,
    /// After it.
    pub after: Percentiles,
    /// `during` beside `quiet`.
    pub p50_ratio: f64,
    /// `during` beside `quiet`.
    pub p99_ratio: f64,
    /// `across` beside `quiet`.
    pub p99_ratio_across: f64,
    /// The share of the nearest records found by all of these queries.
    pub recall: f64,
}

/// A target.
#[derive(Clone, Debug, Serialize)]
pub struct Aim {
    /// What it is of.
    pub name: String,
    /// What is wanted, in words.
    pub target: String,
    /// What was found.
    pub found: Option<f64>,
    /// Whether that is it.
    pub verdict: Verdict,
}

/// Whether a target was met.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It was.
    Met,
    /// It was not.
    Missed,
    /// Nobody knows.
    NotMeasured,
}

impl Aim {
    fn new(name: String, target: &str, found: Option<f64>, is_met: impl Fn(f64) -> bool) -> Aim {
        let verdict = match found {
            None => Verdict::NotMeasured,
            Some(found) if is_met(found) => Verdict::Met,
            Some(_) => Verdict::Missed,
        };
        Aim { name, target: target.into(), found, verdict }
    }

    /// All of a run: of the build, and of the queries with and without a limit.
    pub fn all(build_s: Option<f64>, k: u32, queries: &Asked, limited: &Part<Limited>) -> Vec<Aim> {
        let of = |queries: Option<&Asked>, whose: &str| {
            let p99 = queries.map(|it| it.latency.p99_us / 1e3);
            let recall = queries.map(|it| it.recall);
            let latency = Aim::new(format!("p99{whose}, ms"), "< 5", p99, |it| it < 5.0);
            [latency, Aim::new(format!("recall@{k}{whose}"), "> 0.95", recall, |it| it > 0.95)]
        };
        let mut aims = vec![Aim::new("build, s".into(), "< 300", build_s, |it| it < 300.0)];
        aims.extend(of(Some(queries), ""));
        match limited {
            Part::Measured(limited) => aims.extend(of(Some(&limited.queries), " in little memory")),
            Part::Failed(_) => aims.extend(of(None, " in little memory")),
            Part::Skipped(_) => {}
        }
        aims
    }
}
