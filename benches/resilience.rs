//! What each means of resilience costs a commit: the engine with all of them beside engines that lack one, in one run.
//!
//! Each engine has a directory of its own, and they take turns, so that whatever else the machine does befalls all alike. Of each
//! turn it is known what the commits waited for, how much processor time the process took, and by how much its memory has grown.

use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use hdrhistogram::Histogram;
use serde::Serialize;
use stormproof_contract::Tick;
use stormproof_engine::{
    driver::{self, Running},
    memory::{Config, Engine, HealthConfig, MemoryNode},
};

use crate::commit::{CommitError, DIM, Plan, VECTORS, Writing, histogram, options};
use crate::scan::uniform;

/// One of the engines.
#[derive(Clone, Debug, Serialize)]
pub struct Cost {
    /// How it differs from the default configuration.
    pub variant: &'static str,
    /// Commits.
    pub commits: u64,
    /// Half of them took at most this long, in microseconds.
    pub p50_us: f64,
    /// All but one in a hundred took at most this long.
    pub p99_us: f64,
    /// Processor time of the process for each commit, in microseconds; writers included.
    pub cpu_us: f64,
    /// By how much the memory of the process has grown in its turns, for each commit, in bytes.
    pub resident_per_commit: i64,
}

struct Variant {
    name: &'static str,
    change: fn(&mut Config),
}

/// Health checks are many times as frequent as by default, or one turn would hardly see one.
const VARIANTS: [Variant; 4] = [
    Variant { name: "default", change: |_| {} },
    Variant { name: "no health checks", change: |config| config.health = health(Tick(0)) },
    Variant { name: "a health check each 10 ms", change: |config| config.health = health(Tick::millis(10)) },
    Variant { name: "no records at hand", change: |config| config.fallback_records = 0 },
];

fn health(every: Tick) -> HealthConfig {
    HealthConfig { every, ..HealthConfig::default() }
}

/// An engine that takes its turns.
struct Trial {
    variant: &'static str,
    node: Running<MemoryNode>,
    batches: Arc<Mutex<Vec<u64>>>,
    next: u64,
    latency: Histogram<u64>,
    cpu: Duration,
    resident: i64,
}

/// Measures with the first number of writers of the plan.
pub fn measure(plan: &Plan) -> Result<Vec<Cost>, CommitError> {
    let dir = plan.dir.join(format!("stormproof-bench-{}-resilience", std::process::id()));
    let costs = measure_in(plan, &dir);
    let removed = fs::remove_dir_all(&dir).map_err(|source| CommitError::Io { path: dir, source });
    let costs = costs?;
    removed.map(|()| costs)
}

fn measure_in(plan: &Plan, dir: &Path) -> Result<Vec<Cost>, CommitError> {
    let vectors: Vec<Vec<f32>> = uniform(VECTORS * DIM, 1).chunks_exact(DIM).map(<[f32]>::to_vec).collect();
    let writers = plan.writers.first().copied().unwrap_or(1);
    let mut trials = Vec::new();
    for (at, Variant { name, change }) in VARIANTS.iter().enumerate() {
        let place = dir.join(at.to_string());
        fs::create_dir_all(&place).map_err(|source| CommitError::Io { path: place.clone(), source })?;
        let mut config = Config::default();
        change(&mut config);
        let batches = Arc::new(Mutex::new(Vec::new()));
        let node = driver::open(&Engine, &config, &place, options(Arc::clone(&batches)))?;
        let (latency, cpu) = (histogram(), Duration::ZERO);
        trials.push(Trial { variant: name, node, batches, next: 1, latency, cpu, resident: 0 });
    }
    // The first round is not counted.
    for round in 0..=plan.turns {
        for trial in &mut trials {
            let (cpu, resident) = (cpu_time(), resident());
            let mut writing =
                Writing { client: trial.node.client(), vectors: &vectors, batches: &trial.batches, next: trial.next };
            let turn = writing.turn(writers, plan.turn)?;
            trial.next = writing.next;
            if round > 0 {
                trial.latency += turn.latency;
                trial.cpu += cpu_time().saturating_sub(cpu);
                trial.resident += self::resident() - resident;
            }
            trial.batches.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }
    Ok(trials.into_iter().map(Trial::cost).collect())
}

impl Trial {
    fn cost(self) -> Cost {
        self.node.stop();
        let commits = self.latency.len();
        let at = |quantile| self.latency.value_at_quantile(quantile) as f64 / 1000.0;
        Cost {
            variant: self.variant,
            commits,
            p50_us: at(0.50),
            p99_us: at(0.99),
            cpu_us: self.cpu.as_secs_f64() * 1e6 / commits.max(1) as f64,
            resident_per_commit: self.resident / commits.max(1).cast_signed(),
        }
    }
}

/// Processor time that this process has taken; zero where the system does not say.
fn cpu_time() -> Duration {
    // Ticks of a hundredth of a second, as they are on Linux.
    let read = || {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
        let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        Some(Duration::from_millis(10 * (user + system)))
    };
    read().unwrap_or_default()
}

/// The memory that this process has; zero where the system does not say.
fn resident() -> i64 {
    let read = || {
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        kib.trim().strip_suffix(" kB")?.parse::<i64>().ok().map(|kib| kib << 10)
    };
    read().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_engine_commits_and_nothing_is_left() {
        let dir = tempfile::tempdir().expect("a directory");
        let plan = Plan {
            dir: dir.path().to_owned(),
            writers: vec![2],
            turns: 1,
            turn: Duration::from_millis(50),
            health: Duration::ZERO,
            log_format: Config::default().log_format,
            merge_run_min: 4,
        };
        let costs = measure(&plan).expect("measured");
        let names: Vec<_> = costs.iter().map(|cost| cost.variant).collect();
        assert_eq!(names, VARIANTS.map(|variant| variant.name));
        assert!(costs.iter().all(|cost| cost.commits > 0), "{costs:?}");
        assert_eq!(fs::read_dir(dir.path()).expect("there").count(), 0);
    }
}
