//! What all suites of a single node share: how the engine is configured, and how a stage is set for it.

use std::{ops::RangeInclusive, sync::Arc};

use serde::{Deserialize, Serialize};
use stormproof_contract::{Role, Tick};
use stormproof_engine::memory::{
    ArchiveRules, Config, ConsolidationRules, Engine, GraphRules, HealthConfig, KernelChoice, L1Persist, Ledger,
    LedgerConfig, LogFormat, Managers, MergeRules, Metric, RowFormat, breaker, degrade,
};
use stormproof_sim::{
    check::invariant::Invariant,
    hunt::{Case, Drawn, Scenario},
    world::{
        dice::Dice,
        fault::{Fault, FaultKind, Trigger},
        span::Time,
        stage::{NodeSpec, Stage},
        tuning::Tuning,
    },
};

use crate::{
    invariants::MemoryJudge,
    vectors::Vectors,
    workloads::{Clients, Habits, Mix},
};

/// What differs between runs, apart from tuning and faults.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// How vectors are compared.
    pub metric: Metric,
    /// How the log is written.
    pub log_format: LogFormat,
    /// How the exact index is kept.
    pub l1_persist: L1Persist,
    /// How much of the log is reserved at a time.
    pub log_file_bytes: u64,
    /// How many records are written before they are flushed.
    #[serde(default = "flush_records")]
    pub flush_records: usize,
    /// How much of a flush is done between two batches, about.
    #[serde(default = "flush_slice_bytes")]
    pub flush_slice_bytes: usize,
    /// How many segments are merged at least; 0: none ever are.
    #[serde(default)]
    pub merge_run_min: usize,
    /// The share of removals above which all segments are merged.
    #[serde(default)]
    pub tombstones_percent: u64,
    /// By which rules memory is consolidated.
    #[serde(default)]
    pub consolidation: ConsolidationRules,
    /// By which rules the archive is built, searched and rebuilt.
    #[serde(default)]
    pub archive: ArchiveRules,
    /// How many rows of what was flushed the exact index keeps in memory.
    #[serde(default = "l1_rows")]
    pub l1_rows: u64,
    /// How many bytes of keys are kept in memory.
    #[serde(default)]
    pub cache_bytes: usize,
    /// How many records are kept at hand for while the disk cannot be read.
    #[serde(default)]
    pub fallback_records: usize,
    /// How writes are held while the disk takes none.
    #[serde(default)]
    pub degrade: Degrading,
    /// How many rows a search compares before it lets others run.
    #[serde(default = "search_step_rows")]
    pub search_step_rows: usize,
    /// How willing foreign managers are.
    pub ledger: LedgerConfig,
    /// What clients do.
    pub habits: Habits,
}

/// How writes are held while the disk takes none.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Degrading {
    /// So many batches in a row have to fail.
    pub failures_max: u32,
    /// So many have to go well before it is over.
    pub successes_needed: u32,
    /// For how long nothing is tried.
    pub open_ms: u64,
    /// How many writes are held.
    pub queue_writes: usize,
    /// How many are tried at a time.
    pub drain_max: usize,
    /// How often is looked whether all is well; 0: never.
    #[serde(default)]
    pub health_ms: u64,
}

impl Default for Degrading {
    /// Plans of before held nothing.
    fn default() -> Self {
        Degrading {
            failures_max: u32::MAX,
            successes_needed: 2,
            open_ms: 60_000,
            queue_writes: 10_000,
            drain_max: 100,
            health_ms: 0,
        }
    }
}

impl Degrading {
    fn config(self) -> degrade::Config {
        let breaker = breaker::Config {
            failures_max: self.failures_max,
            open_for: Tick::millis(self.open_ms),
            trials_max: 2,
            successes_needed: self.successes_needed,
        };
        let queue = degrade::QueueConfig {
            writes_max: self.queue_writes,
            drain_max: self.drain_max,
            ..degrade::QueueConfig::default()
        };
        degrade::Config { breaker, queue }
    }
}

/// A suite for a single node.
pub struct Single {
    /// The name on the command line.
    pub name: &'static str,
    /// What it is about.
    pub about: &'static str,
    /// Its cases.
    pub cases: &'static [Case],
    /// What it claims.
    pub invariants: &'static [Invariant],
    /// Fewer seeds prove nothing.
    pub seeds_needed: u64,
    /// The share of operations that must overlap.
    pub overlap_percent_min: u64,
    /// Draws a run of a case.
    pub draw: fn(usize, &mut Dice) -> Drawn<Params>,
    /// Where embeddings come from, if not from chance.
    pub vectors: Option<Arc<Vectors>>,
}

/// Plans of before do not name it.
fn search_step_rows() -> usize {
    64
}

/// Plans of before have all rows in memory.
fn l1_rows() -> u64 {
    1 << 20
}

/// Plans of before flushed in one go.
fn flush_slice_bytes() -> usize {
    1 << 20
}

/// Plans of before did not flush.
pub(super) fn flush_records() -> usize {
    10_000
}

impl Params {
    /// A small store and a few clients.
    pub fn draw(dice: &mut Dice) -> Self {
        let merge_after = dice.between(1, 6) as u32;
        let l1_persist = if dice.percent(70) { L1Persist::Delta { merge_after } } else { L1Persist::Rewrite };
        Params {
            metric: *dice.pick(&[Metric::L2, Metric::L2, Metric::Cosine, Metric::InnerProduct]),
            log_format: *dice.pick(&[LogFormat::Binary, LogFormat::Binary, LogFormat::JsonLines]),
            l1_persist,
            log_file_bytes: *dice.pick(&[4096, 16_384, 65_536]),
            flush_records: *dice.pick(&[2, 5, 16, flush_records(), flush_records()]),
            flush_slice_bytes: *dice.pick(&[1, 200, flush_slice_bytes()]),
            merge_run_min: *dice.pick(&[2, 4]),
            tombstones_percent: *dice.pick(&[20, 100]),
            consolidation: ConsolidationRules::default(),
            archive: ArchiveRules::default(),
            l1_rows: *dice.pick(&[0, 3, 8, l1_rows()]),
            cache_bytes: *dice.pick(&[0, 700, 1 << 20]),
            fallback_records: *dice.pick(&[0, 2, 1000]),
            degrade: Degrading { failures_max: 5, open_ms: 20, ..Degrading::default() },
            search_step_rows: search_step_rows(),
            ledger: LedgerConfig::default(),
            habits: Habits {
                clients: dice.between(1, 4) as u32,
                ops_per_client: dice.between(3, 10) as u32,
                keys: dice.between(2, 8),
                dim: *dice.pick(&[2, 8]),
                offset: 0,
                text_bytes: 0,
                mix: Mix::even(),
                managers: Vec::new(),
                managers_percent: 0,
            },
        }
    }

    fn config(&self, vectors: Option<&Arc<Vectors>>) -> Config {
        let managers: Vec<&str> = self.habits.managers.iter().map(String::as_str).collect();
        let managers = if managers.is_empty() { Managers::none() } else { Ledger::managers(&managers, self.ledger) };
        let dim = vectors.map_or(self.habits.dim, |vectors| vectors.dim());
        Config {
            dim,
            metric: self.metric,
            kernels: KernelChoice::Scalar,
            log_format: self.log_format,
            log_file_bytes: self.log_file_bytes,
            l1_persist: self.l1_persist,
            flush_records: self.flush_records,
            flush_slice_bytes: self.flush_slice_bytes,
            compaction: MergeRules { run_min: self.merge_run_min, tombstones_percent: self.tombstones_percent },
            degrade: self.degrade.config(),
            health: HealthConfig { every: Tick::millis(self.degrade.health_ms), ..HealthConfig::default() },
            consolidation: self.consolidation,
            archive: self.archive,
            l1_bytes: self.l1_rows * (size_of::<f32>() * dim) as u64,
            cache_bytes: self.cache_bytes,
            fallback_records: self.fallback_records,
            inspectable: true,
            search_step_rows: self.search_step_rows,
            managers,
            vote_timeout: Tick::millis(50),
            again_after: Tick::millis(5),
            ..Config::default()
        }
    }
}

/// A store that does all that it does, in little time: it flushes, merges and consolidates, and not all of its rows are in
/// memory.
pub(super) fn busy(dice: &mut Dice) -> Params {
    let mut params = Params::draw(dice);
    params.flush_records = dice.between(1, 3) as usize;
    params.merge_run_min = dice.between(2, 3) as usize;
    params.l1_rows = *dice.pick(&[0, 3, params.l1_rows]);
    params.consolidation = ConsolidationRules {
        kappa_gain: 0.25,
        rem_kappa_min: 0.2,
        rem_radius: 4.0,
        rem_members_min: 2,
        prune_kappa: *dice.pick(&[0.0, 0.2]),
        prune_age_ms: 0,
        ..ConsolidationRules::default()
    };
    params.habits.clients = params.habits.clients.max(2);
    params.habits.ops_per_client += 6;
    params.habits.mix = Mix { delete: 20, get: 20, search: 20, activate: 10, consolidate: 8, ..params.habits.mix };
    params
}

/// A store with an archive of so few links that it is a graph, over more records than others have; its rows leave the index.
pub(super) fn archiving(dice: &mut Dice) -> Params {
    let mut params = Params::draw(dice);
    let graph = GraphRules {
        degree: dice.between(2, 4) as u32,
        complexity: dice.between(2, 8) as u32,
        alpha_percent: *dice.pick(&[100, 120]),
    };
    params.archive = ArchiveRules {
        graph,
        rows: *dice.pick(&[RowFormat::F32, RowFormat::F16]),
        search_complexity: *dice.pick(&[4, 8, 20]),
        rerank_min: *dice.pick(&[1, 4, 20]),
        verify_queries: *dice.pick(&[0, 4]),
        // What few links find is looked at in the answers.
        recall_min_percent: 0,
        rebuild_every_ms: *dice.pick(&[0, 0, 30]),
        rebuild_uncovered: *dice.pick(&[0, 0, 6]),
        rebuild_stale_percent: *dice.pick(&[0, 0, 40]),
        ..ArchiveRules::default()
    };
    params.habits.offset = *dice.pick(&[0, 1024]);
    params.l1_persist = L1Persist::Delta { merge_after: dice.between(1, 6) as u32 };
    params.flush_records = *dice.pick(&[2, 5, 16, 10_000]);
    params.l1_rows = *dice.pick(&[0, 3, l1_rows()]);
    params.habits.keys = dice.between(6, 30);
    params.habits.clients = params.habits.clients.max(2);
    params.habits.ops_per_client += 8;
    params
}

/// A world for a single node: short waits, so that a run is over soon.
pub(super) fn tuning(dice: &mut Dice) -> Tuning {
    Tuning { heal_at: Time::secs(5), encore: true, ..Tuning::swarm(dice) }
}

/// A death of one of these kinds: before or after one of the `calls` disk calls and points that follow the `hit`-th passing
/// of a point.
pub(super) fn death_behind(id: u32, kinds: &[FaultKind], point: &str, hit: u32, calls: u64, dice: &mut Dice) -> Fault {
    let nth = dice.between(1, calls) as u32;
    let at = Trigger::Beyond { name: point.into(), hit, nth, after: dice.percent(50) };
    Fault::new(id, *dice.pick(kinds), at)
}

/// One to three deaths, each at one of the `calls` disk calls behind one of these steps; or, for one of them, in a recovery.
/// From one to the next up to `hits` passings of a step go by.
pub(super) fn deaths(steps: &[&str], hits: u64, calls: u64, dice: &mut Dice) -> Vec<Fault> {
    let mut hit = 0;
    let mut faults = Vec::new();
    for id in 1..=dice.between(1, 3) as u32 {
        hit += dice.between(1, hits) as u32;
        let name = if id > 1 && dice.percent(30) { "recover.begun" } else { dice.pick(steps) };
        faults.push(death_behind(id, &DEATHS, name, hit, calls, dice));
    }
    faults
}

/// A kill some commits later: when the batch before it is done.
pub(super) fn death_later(id: u32, hits: RangeInclusive<u64>, dice: &mut Dice) -> Fault {
    let hit = dice.between(*hits.start(), *hits.end()) as u32;
    Fault::new(id, FaultKind::Kill, Trigger::Point { name: "commit.finish.published".into(), hit })
}

/// What ends a process.
pub(super) const DEATHS: [FaultKind; 2] = [FaultKind::Kill, FaultKind::PowerLoss];

impl Scenario for Single {
    type System = Engine;
    type Params = Params;
    type Workload = Clients;
    type Judge = MemoryJudge;

    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn cases(&self) -> &[Case] {
        self.cases
    }

    fn seeds_needed(&self) -> u64 {
        self.seeds_needed
    }

    fn overlap_percent_min(&self) -> u64 {
        self.overlap_percent_min
    }

    fn draw(&self, case: usize, dice: &mut Dice) -> Drawn<Params> {
        (self.draw)(case, dice)
    }

    fn simpler(&self, params: &Params) -> Vec<Params> {
        let with = |change: &dyn Fn(&mut Params)| {
            let mut simpler = params.clone();
            change(&mut simpler);
            simpler
        };
        let plain = L1Persist::Delta { merge_after: 6 };
        let tried = [
            with(&|simpler| simpler.habits.clients -= u32::from(simpler.habits.clients > 1)),
            with(&|simpler| simpler.habits.managers.clear()),
            with(&|simpler| drop(simpler.habits.managers.pop())),
            with(&|simpler| simpler.ledger = LedgerConfig::default()),
            with(&|simpler| simpler.metric = Metric::L2),
            with(&|simpler| simpler.log_format = LogFormat::Binary),
            with(&|simpler| simpler.log_file_bytes = 65_536),
            with(&|simpler| simpler.l1_persist = plain),
            with(&|simpler| simpler.merge_run_min = 0),
            with(&|simpler| simpler.flush_slice_bytes = flush_slice_bytes()),
            with(&|simpler| simpler.consolidation = ConsolidationRules::default()),
            with(&|simpler| simpler.archive = ArchiveRules::default()),
            with(&|simpler| simpler.l1_rows = l1_rows()),
            with(&|simpler| simpler.cache_bytes = 0),
            with(&|simpler| simpler.fallback_records = 0),
            with(&|simpler| simpler.degrade = Degrading::default()),
            with(&|simpler| simpler.flush_records = flush_records()),
            with(&|simpler| simpler.habits.offset = 0),
            with(&|simpler| simpler.habits.keys = 1),
            with(&|simpler| simpler.habits.mix = Mix::even()),
        ];
        let is_new = |simpler: &Params| toml::Value::try_from(simpler) != toml::Value::try_from(params);
        tried.into_iter().filter(is_new).collect()
    }

    fn stage(
        &self,
        _: usize,
        params: &Params,
        tuning: Tuning,
        faults: Vec<Fault>,
    ) -> Stage<Engine, Clients, MemoryJudge> {
        let config = params.config(self.vectors.as_ref());
        let habits = params.habits.clone();
        Stage {
            system: Engine,
            nodes: vec![NodeSpec { machine: 0, role: Role(0), config }],
            clients: habits.clients,
            workload: Clients::new(
                Habits { dim: self.vectors.as_ref().map_or(habits.dim, |v| v.dim()), ..habits },
                self.vectors.clone(),
            ),
            judge: MemoryJudge::new(self.invariants.to_vec()),
            tuning,
            faults,
        }
    }
}
