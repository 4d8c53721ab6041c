//! Building the archive anew.

use std::{
    io::{self, Write as _},
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use serde_json::json;

use super::{
    CommandError,
    data::{Opening, config_at, resident_words, start},
};
use crate::{
    driver::{Note, Observer},
    memory::{ArchiveRules, GraphRules, Op, Reply, RowFormat},
};

/// How often it is told that one step goes on.
const TELL_EVERY: Duration = Duration::from_secs(2);

/// By which rules.
#[derive(clap::Args)]
pub(super) struct Rules {
    /// How many records each one leads to
    #[arg(long, default_value_t = GraphRules::default().degree)]
    graph_degree: u32,
    /// How many candidates are looked at for them: more make a better graph, and take longer
    #[arg(long, default_value_t = GraphRules::default().complexity)]
    complexity: u32,
    /// How vectors are written in it: rows of f16 are half as long, and the nearest candidates are then compared by the records themselves
    #[arg(long, default_value = RowFormat::default().name(), value_name = "f32|f16")]
    row_format: RowFormat,
    /// The most MiB of memory that a search of it may take
    #[arg(long, default_value_t = ArchiveRules::default().search_memory_maximum >> 20, value_name = "MIB")]
    search_memory_maximum: u64,
    /// The most MiB of memory that building it may take
    #[arg(long, default_value_t = ArchiveRules::default().build_memory_maximum >> 20, value_name = "MIB")]
    build_memory_maximum: u64,
}

pub(super) fn run(opening: &Opening, rules: &Rules, json: bool) -> Result<ExitCode, CommandError> {
    let mut config = config_at(opening)?;
    let archive = &mut config.archive;
    (archive.graph.degree, archive.graph.complexity) = (rules.graph_degree, rules.complexity);
    archive.rows = rules.row_format;
    archive.search_memory_maximum = rules.search_memory_maximum.saturating_mul(1 << 20);
    archive.build_memory_maximum = rules.build_memory_maximum.saturating_mul(1 << 20);
    let began = Instant::now();
    let observer = opening.observer.clone();
    let watched = Opening { dir: opening.dir.clone(), observer: Some(telling(began, observer)), ..*opening };
    let store = start(&watched, config)?;
    let asked = Instant::now();
    let (generation, built, records) = match store.client().call(Op::Rebuild)? {
        Reply::Rebuilt { generation, built, records } => (generation, built, records),
        other => return Err(other.into()),
    };
    let (took, resident) = (asked.elapsed().as_secs_f64(), resident_words());
    store.stop();
    if json {
        let told =
            json!({ "format": 1, "generation": generation, "built": built, "records": records, "seconds": took });
        writeln!(io::stdout(), "{told}")?;
    } else {
        writeln!(io::stdout(), "archive/{generation}: {records} records as of {built}, in {took:.1} s{resident}")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Tells on standard error how far the job is, and whoever else wants to hear of it.
fn telling(began: Instant, other: Option<Observer>) -> Observer {
    let told = Mutex::new((0, Duration::ZERO));
    Arc::new(move |note: &Note<'_>| {
        if let Some(other) = &other {
            other(note);
        }
        let Note::Said { name, values } = note else { return };
        let value = |name: &str| values.iter().find(|(found, _)| *found == name).map_or(0, |(_, value)| *value);
        let now = began.elapsed();
        let secs = now.as_secs_f64();
        if *name == "archive.progress" {
            let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
            if value("step") == told.0 && now < told.1 + TELL_EVERY {
                return;
            }
            *told = (value("step"), now);
            let steps = ["copying vectors", "making codes", "linking", "asking", "writing"];
            let step = steps.get(value("step").saturating_sub(1) as usize).unwrap_or(&"building");
            eprintln!("{secs:8.1} s  {step}: {} of {}", value("done"), value("of"));
        } else if *name == "archive.built" {
            let percent = value("recall") as f64 / 100.0;
            eprintln!("{secs:8.1} s  built; it finds {percent:.2}% of what it is asked; reading it back");
        }
    })
}
