//! What to measure.

use std::path::PathBuf;

use super::report::Parameters;

/// What to measure, and with what.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The vectors that are loaded.
    pub base: PathBuf,
    /// Those that are searched for.
    pub queries: PathBuf,
    /// Their exact answers, if they are known.
    pub truth: Option<PathBuf>,
    /// Where exact answers are written that had to be found.
    pub save_truth: Option<PathBuf>,
    /// How many rows of the base are loaded at most.
    pub rows: Option<u64>,
    /// How many queries are asked at most.
    pub queries_max: u64,
    /// How many threads find exact answers.
    pub threads: usize,
    /// Where the store is made, in a directory of its own. It must exist.
    pub dir: PathBuf,
    /// Mebibytes of the process in which the queries are asked once more, if they are.
    pub ram_mb: Option<u64>,
    /// The set that the files are said to be.
    pub published: Option<Published>,
    /// Whether somebody vouches for it. Shape and answers cannot: another set may have the same.
    pub vouched: bool,
    /// The rest, which the report repeats.
    pub parameters: Parameters,
    /// Whether the engine does long work in processes of its own. Only a program whose main function knows of it can.
    pub jobs_in_processes: bool,
}

/// A data set that has a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Published {
    /// The name.
    pub name: &'static str,
    /// Rows of its base.
    pub rows: u64,
    /// Components of each.
    pub dim: usize,
    /// Its queries.
    pub queries: usize,
}

/// A million descriptors of images (<http://corpus-texmex.irisa.fr>).
pub const GIST_1M: Published = Published { name: "GIST-1M", rows: 1_000_000, dim: 960, queries: 1_000 };
