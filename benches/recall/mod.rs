//! The archive on a data set: how long it takes to build, how fast it answers, and how many of the true neighbours it finds.
//!
//! | file | what |
//! |---|---|
//! | `command` | the arguments, and which exit code says what |
//! | `plan` | what to measure |
//! | `truth` | exact answers: read, or found; and what the data set may be called |
//! | `store` | loading and building, with what each takes |
//! | `phase`, `ask` | the queries |
//! | `swap` | queries while the archive is built again |
//! | `limited` | the queries in a process that may not have more memory |
//! | `target` | the engine |
//! | `latency`, `vitals`, `cached` | what is measured with |
//! | `report`, `text`, `html`, `chart` | what is said of it |
//!
//! # Invariants
//! - The engine is asked through its public client, as any caller asks it.
//! - Parameters are chosen by one half of the queries and reported on the other.
//! - A part that could not be measured is named with the reason; it is never left out in silence.
//! - A published data set is named only if it is that one.

mod ask;
mod cached;
mod chart;
pub mod command;
mod html;
mod latency;
mod limited;
mod phase;
mod plan;
mod report;
mod store;
mod swap;
mod target;
#[cfg(test)]
mod tests;
mod text;
mod truth;
mod vitals;

use std::{fs, io, path::PathBuf, time::Duration};

use ask::{How, Queries};
use report::{Aim, Asked, Data, Part, Report, SCHEMA};
use target::{Settings, TargetError};

use crate::{
    data::{DataError, HELD_MAX, Vectors},
    machine::{Machine, file_system},
};

pub use plan::{GIST_1M, Plan, Published};

/// Hears what is being done.
pub type Say<'a> = &'a (dyn Fn(&str) + Sync);

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum RecallError {
    /// A file of the data set.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The engine.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// A file of the benchmark's own.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What is written or read between two processes.
    #[error("between two processes: {0}")]
    Json(#[from] serde_json::Error),
    /// What was asked for cannot be done.
    #[error("{0}")]
    Wrong(String),
}

/// Measures in a directory of its own below that of the plan, which is removed afterwards.
pub fn measure(plan: &Plan, say: Say<'_>) -> Result<Report, RecallError> {
    let dir = plan.dir.join(format!("stormproof-bench-{}-recall", std::process::id()));
    let io = |source| RecallError::Io { path: dir.clone(), source };
    fs::create_dir_all(&dir).map_err(io)?;
    let report = measure_in(plan, &dir, say);
    let removed = fs::remove_dir_all(&dir).map_err(io);
    let report = report?;
    removed.map(|()| report)
}

fn measure_in(plan: &Plan, dir: &std::path::Path, say: Say<'_>) -> Result<Report, RecallError> {
    let base = Vectors::open(&plan.base, plan.rows)?;
    let asked = Vectors::open_queries(&plan.queries, Some(plan.queries_max))?;
    let dim = base.dim();
    if asked.dim() != dim {
        let (expected, found) = (format!("{dim} components, as in the base"), asked.dim().to_string());
        return Err(DataError::Unlike { path: plan.queries.clone(), expected, found }.into());
    }
    let vectors = asked.all(HELD_MAX)?;
    let count = vectors.len() / dim;
    if count < 2 {
        return Err(RecallError::Wrong(format!("{}: 2 queries at least, one for each half", plan.queries.display())));
    }
    let (known, mut notes) = truth::truth(plan, &base, &vectors, say)?;
    let settings = Settings { dim, jobs_in_processes: plan.jobs_in_processes, tuning: plan.parameters.tuning };
    let queries = Queries::new(&vectors, dim, &known.truth);

    let store = dir.join("store");
    let built = store::build(base, &store, &settings, plan.rows, say)?;
    truth::check(&known, built.rows, &plan.base)?;
    let (asked, target) = phase::ask(&store, &settings, &queries, &plan.parameters, say)?;
    say("queries while the archive is built again");
    let (_, other) = queries.halves();
    let how = How { k: plan.parameters.k, complexity: asked.complexity };
    let swap = swap::measure(&target, &other, how, Duration::from_secs_f64(plan.parameters.turn_s))?;
    target.close()?;
    let limited = limited::measure(plan, dir, &settings, &known.truth, say)?;

    let io = |source| RecallError::Io { path: store.clone(), source };
    let disk_bytes = vitals::on_disk(&store).map_err(io)?;
    if count < 1_000 {
        notes.push(format!("{count} queries: fewer than 1,000 tell little of the slowest ones"));
    }
    let file = |path: &std::path::Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let (name, why) = truth::name(plan, built.rows, dim, count, &known);
    notes.extend(why);
    Ok(Report {
        schema: SCHEMA,
        data: Data {
            name,
            base: file(&plan.base),
            queries_file: file(&plan.queries),
            truth: known.from,
            rows: built.rows,
            dim,
            queries: count,
            notes,
        },
        machine: Machine::this(),
        file_system: file_system(dir),
        parameters: plan.parameters.clone(),
        targets: Aim::all(built.build_s, plan.parameters.k, &asked, &limited),
        not_measured: not_measured(&asked),
        phases: built.phases,
        queries: asked,
        limited,
        swap,
        disk_bytes,
    })
}

fn not_measured(asked: &Asked) -> Vec<String> {
    let cached = match &asked.page_cache {
        Part::Measured(_) => None,
        Part::Skipped(why) | Part::Failed(why) => Some(format!("how much of the store the page cache holds: {why}")),
    };
    let children = "memory of work in processes of its own: no file of the system sums it up for their parent";
    cached.into_iter().chain([children.into()]).collect()
}
