//! What a node is told at boot: the same at every boot of a directory, where it does not say otherwise.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};
use stormproof_contract::{BootError, Disk, Tick};

use super::{archive::ArchiveRules, consolidate::ConsolidationRules, manager::DataManager};
use crate::{
    protocol::{degrade, health},
    store::{
        batch::{PARTICIPANT_BYTES_MAX, VOTES_MAX},
        compact::MergeRules,
    },
    vector::{Dim, Kernels, Metric, Shape, VectorError, graph::GraphError},
};

pub use crate::store::log::LogFormat;

/// The configuration of a node. Start from [`Config::default`] and change what differs; it is checked at boot.
#[derive(Clone, Debug)]
pub struct Config {
    /// How many components a vector has. Fixed when a directory is first used.
    pub dim: usize,
    /// How vectors are compared. Fixed when a directory is first used.
    pub metric: Metric,
    /// Which machine code compares them. All give the same answers, to the last bit.
    pub kernels: KernelChoice,
    /// How frames of the log are written. A log may hold both kinds.
    pub log_format: LogFormat,
    /// How much of the log is reserved at a time.
    pub log_file_bytes: u64,
    /// How the exact index is kept on disk.
    pub l1_persist: L1Persist,
    /// What was written since the last flush is flushed to a segment when it weighs more than this.
    pub flush_bytes: usize,
    /// The same, for so many records.
    pub flush_records: usize,
    /// How much of a flush is done between two batches, about, besides twice what was written meanwhile.
    pub flush_slice_bytes: usize,
    /// When segments are merged.
    pub compaction: MergeRules,
    /// When and by which rules memory is consolidated.
    pub consolidation: ConsolidationRules,
    /// By which rules the archive is built, searched and rebuilt.
    pub archive: ArchiveRules,
    /// How many bytes of vectors of what was flushed the exact index keeps in memory: of the newest segments; a search reads
    /// the others. Rows that were replaced lately, and 64 MiB for the next ones, come on top, and short vectors take 128 bytes.
    /// Without effect in [`L1Persist::Rewrite`], which has to have all that it writes. What FAISS keeps of them counts.
    pub l1_bytes: u64,
    /// How many bytes of keys of segments are kept in memory.
    pub cache_bytes: usize,
    /// How many records are kept at hand for while the disk cannot be read: those used last.
    pub fallback_records: usize,
    /// Whether all records are kept in memory as well, so that [`inspect`](stormproof_contract::Node::inspect) can show
    /// them: for trials. Otherwise it shows nothing.
    pub inspectable: bool,
    /// Writes are refused above this many records.
    pub records_max: u64,
    /// The largest `k` of a search, and the most ids of a get.
    pub answers_max: u32,
    /// How many rows a search compares before it lets others run.
    pub search_step_rows: usize,
    /// What becomes of writes while the disk fails.
    pub degrade: degrade::Config,
    /// How often is looked whether all is well.
    pub health: health::Config,
    /// With less room than this on the disk, something is wrong.
    pub free_bytes_min: u64,
    /// Foreign managers.
    pub managers: Managers,
    /// How long a transaction waits for its managers' votes.
    pub vote_timeout: Tick,
    /// How many transactions may wait for their managers' votes at a time.
    pub waiting_max: usize,
    /// After what time a pending vote is asked for again, and a failed repair tried again.
    pub again_after: Tick,
}

/// Which machine code compares vectors.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KernelChoice {
    /// The plain one.
    Scalar,
    /// The fastest that this processor has.
    Detect,
    /// FAISS, for what the exact index has in memory, whose rows are there twice then; the fastest for all else. Takes
    /// [`Metric::L2`]. Not for simulated runs: their suites ask for [`KernelChoice::Scalar`], which executes the same everywhere.
    #[cfg(feature = "faiss")]
    Faiss,
}

/// How the exact index is kept on disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum L1Persist {
    /// Each batch writes what it changes, unsynced, since the log can redo it.
    Delta {
        /// How many such files there may be before they are merged into one, 1 or more.
        merge_after: u32,
    },
    /// Each batch writes and syncs the whole index.
    Rewrite,
}

/// Makes the foreign manager of a name, on a disk of its own that keeps what it wrote before.
pub type MakeManager = Arc<dyn Fn(&str, Arc<dyn Disk>) -> Result<Box<dyn DataManager>, BootError> + Send + Sync>;

/// The foreign managers of a node.
#[derive(Clone)]
pub struct Managers {
    /// Their names, each a single part of a path.
    pub names: Vec<Box<str>>,
    /// What makes them.
    pub make: MakeManager,
}

/// What is wrong with a configuration.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
pub enum ConfigError {
    /// No index has such vectors.
    #[error("dim: {0}")]
    Dim(VectorError),
    /// A number is outside of its range.
    #[error("{what} is {found}: it must be at least {min}")]
    TooSmall {
        /// The field.
        what: &'static str,
        /// Its value.
        found: u64,
        /// Its least value.
        min: u64,
    },
    /// A share is outside of its range.
    #[error("{what} is {found}: it must be from 0 to 1")]
    NoShare {
        /// The field.
        what: &'static str,
        /// Its value.
        found: f32,
    },
    /// A rule of the archive's graph is out of its bounds.
    #[error("archive.graph: {0}")]
    Graph(GraphError),
    /// FAISS compares by one metric only.
    #[cfg(feature = "faiss")]
    #[error("kernels: faiss compares by the metric l2 only, and the metric is {0:?}; `detect` takes any")]
    FaissMetric(Metric),
    /// A number is infinite, or none.
    #[error("consolidation.{what} is {found}: it must be a number")]
    NotFinite {
        /// The field.
        what: &'static str,
        /// Its value.
        found: f32,
    },
    /// What is firm enough for a prototype could be pruned.
    #[error(
        "consolidation.prune_kappa is {prune_kappa}: it must be at most rem_kappa_min, {rem_kappa_min}, or else prototypes \
         would be made and pruned in turn"
    )]
    PruneAboveRem {
        /// Below it a record is pruned.
        prune_kappa: f32,
        /// From it on a record gets a prototype.
        rem_kappa_min: f32,
    },
    /// There are more managers than a batch may have votes.
    #[error("{found} managers: at most {}", VOTES_MAX)]
    TooManyManagers {
        /// How many.
        found: usize,
    },
    /// A manager's name is empty, too long, taken, or no part of a path.
    #[error(
        "`{0}` cannot name a manager: it takes 1 to {PARTICIPANT_BYTES_MAX} of a-z, 0-9, `-`, `_`, each name once, and not `l1`"
    )]
    ManagerName(Box<str>),
}

impl Default for Config {
    fn default() -> Self {
        Config {
            dim: 960,
            metric: Metric::L2,
            kernels: KernelChoice::Detect,
            log_format: LogFormat::Binary,
            log_file_bytes: 64 << 20,
            l1_persist: L1Persist::Delta { merge_after: 64 },
            flush_bytes: 64 << 20,
            flush_records: 10_000,
            flush_slice_bytes: 1 << 20,
            compaction: MergeRules { run_min: 4, tombstones_percent: 20 },
            consolidation: ConsolidationRules::default(),
            archive: ArchiveRules::default(),
            l1_bytes: 1 << 30,
            cache_bytes: 32 << 20,
            fallback_records: 1000,
            inspectable: false,
            records_max: 10_000_000,
            answers_max: 10_000,
            search_step_rows: 4096,
            degrade: degrade::Config::default(),
            health: health::Config::default(),
            free_bytes_min: 256 << 20,
            managers: Managers::none(),
            vote_timeout: Tick::secs(5),
            waiting_max: 1024,
            again_after: Tick::millis(100),
        }
    }
}

impl Config {
    /// Says what is wrong with it, if anything is.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.shape()?;
        #[cfg(feature = "faiss")]
        if self.kernels == KernelChoice::Faiss && self.metric != Metric::L2 {
            return Err(ConfigError::FaissMetric(self.metric));
        }
        let least = [
            ("records_max", self.records_max, 1),
            ("flush_bytes", self.flush_bytes as u64, 1),
            ("flush_records", self.flush_records as u64, 1),
            ("flush_slice_bytes", self.flush_slice_bytes as u64, 1),
            ("answers_max", self.answers_max.into(), 1),
            ("search_step_rows", self.search_step_rows as u64, 1),
            ("waiting_max", self.waiting_max as u64, 1),
            ("health.misses_max", self.health.misses_max.into(), 1),
            ("degrade.breaker.failures_max", self.degrade.breaker.failures_max.into(), 1),
            ("degrade.breaker.trials_max", self.degrade.breaker.trials_max.into(), 1),
            ("degrade.breaker.successes_needed", self.degrade.breaker.successes_needed.into(), 1),
            ("degrade.breaker.open_for", self.degrade.breaker.open_for.0, 1),
            ("degrade.queue.writes_max", self.degrade.queue.writes_max as u64, 1),
            ("degrade.queue.bytes_max", self.degrade.queue.bytes_max as u64, 1),
            ("degrade.queue.drain_max", self.degrade.queue.drain_max as u64, 1),
            ("again_after", self.again_after.0, 1),
            ("vote_timeout", self.vote_timeout.0, 1),
        ];
        let merge_after = match self.l1_persist {
            L1Persist::Delta { merge_after } => merge_after,
            L1Persist::Rewrite => 1,
        };
        for (what, found, min) in least.into_iter().chain([("merge_after", merge_after.into(), 1)]) {
            if found < min {
                return Err(ConfigError::TooSmall { what, found, min });
            }
        }
        let ConsolidationRules { kappa_gain, link_gain, rem_kappa_min, rem_radius, prune_kappa, .. } =
            self.consolidation;
        let finite = [("rem_kappa_min", rem_kappa_min), ("rem_radius", rem_radius), ("prune_kappa", prune_kappa)];
        if let Some((what, found)) = finite.into_iter().find(|(_, number)| !number.is_finite()) {
            return Err(ConfigError::NotFinite { what, found });
        }
        if prune_kappa > rem_kappa_min {
            return Err(ConfigError::PruneAboveRem { prune_kappa, rem_kappa_min });
        }
        let shares = [("consolidation.kappa_gain", kappa_gain), ("consolidation.link_gain", link_gain)];
        if let Some((what, found)) = shares.into_iter().find(|(_, share)| !(0.0..=1.0).contains(share)) {
            return Err(ConfigError::NoShare { what, found });
        }
        self.archive.check()?;
        self.managers.check()
    }

    /// What vectors are.
    pub fn shape(&self) -> Result<Shape, ConfigError> {
        let dim = Dim::new(self.dim).map_err(ConfigError::Dim)?;
        Ok(Shape { metric: self.metric, dim })
    }

    /// How many rows of what was flushed the exact index keeps in memory.
    pub(super) fn l1_rows(&self) -> u64 {
        match self.l1_persist {
            L1Persist::Delta { .. } => self.l1_bytes / self.l1_row_bytes() as u64,
            L1Persist::Rewrite => u64::MAX,
        }
    }

    fn l1_row_bytes(&self) -> usize {
        let bytes = size_of::<f32>() * self.dim;
        #[cfg(feature = "faiss")]
        if self.kernels == KernelChoice::Faiss {
            return 2 * bytes;
        }
        bytes
    }

    /// Whether rows leave the exact index that the archive has.
    pub(super) fn trims(&self) -> bool {
        matches!(self.l1_persist, L1Persist::Delta { .. })
    }

    /// What compares them.
    pub(super) fn kernels(&self) -> Kernels {
        self.kernels.kernels()
    }

    /// What compares those of the exact index. Not those of jobs, whose memory is bounded more tightly.
    pub(super) fn l1_kernels(&self) -> Kernels {
        #[cfg(feature = "faiss")]
        if self.kernels == KernelChoice::Faiss {
            return Kernels::faiss();
        }
        self.kernels()
    }
}

impl KernelChoice {
    pub(super) fn kernels(self) -> Kernels {
        match self {
            KernelChoice::Scalar => Kernels::scalar(),
            KernelChoice::Detect => Kernels::detect(),
            #[cfg(feature = "faiss")]
            KernelChoice::Faiss => KernelChoice::Detect.kernels(),
        }
    }
}

impl Managers {
    /// No managers.
    pub fn none() -> Self {
        Managers {
            names: Vec::new(),
            make: Arc::new(|name, _| Err(BootError::Refused(format!("nothing makes a manager named `{name}`").into()))),
        }
    }

    fn check(&self) -> Result<(), ConfigError> {
        if self.names.len() >= VOTES_MAX {
            return Err(ConfigError::TooManyManagers { found: self.names.len() });
        }
        for (at, name) in self.names.iter().enumerate() {
            let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, b'-' | b'_');
            let fits = (1..=PARTICIPANT_BYTES_MAX).contains(&name.len()) && name.bytes().all(plain);
            if !fits || **name == *"l1" || self.names[..at].contains(name) {
                return Err(ConfigError::ManagerName(name.clone()));
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Managers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Managers").field(&self.names).finish()
    }
}
