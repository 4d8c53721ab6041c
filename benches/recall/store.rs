//! A store of all rows, and what it took: loading, building the archive, opening it again.
#![allow(clippy::disallowed_methods, reason = "a benchmark asks the machine's clock, and its loaders are threads")]

use std::{
    path::Path,
    sync::{Mutex, PoisonError, atomic::AtomicU64, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

use super::{
    RecallError, Say,
    report::Phase,
    target::{Asker, Rebuild, Settings, Target},
    vitals::{Memory, cpu_s},
};
use crate::data::Vectors;

/// While the engine writes a part, the next is read.
const LOADERS: usize = 2;
const EVERY: Duration = Duration::from_secs(5);

/// What came of it.
pub(super) struct Built {
    /// Rows that were loaded.
    pub(super) rows: u64,
    /// What building the archive took, if there is one.
    pub(super) build_s: Option<f64>,
    pub(super) phases: Vec<Phase>,
}

/// Loads all rows under their numbers, builds the archive, and closes and opens the store once; it is closed afterwards.
pub(super) fn build(
    base: Vectors,
    dir: &Path,
    settings: &Settings,
    rows: Option<u64>,
    say: Say<'_>,
) -> Result<Built, RecallError> {
    let mut phases = Vec::new();
    let target = Target::open(dir, settings)?;
    let expected = base.expected().or(rows);
    let loaded = timed("load", &mut phases, || load(base, &target, expected, say))?;
    let found = target.asker().count()?;
    if found != loaded {
        return Err(RecallError::Wrong(format!("{loaded} rows were loaded, and the engine counts {found} records")));
    }
    say(&format!("{loaded} rows loaded; building the archive"));
    let rebuilt = timed("rebuild", &mut phases, || Ok(target.asker().rebuild()?))?;
    let build_s = match rebuilt {
        Rebuild::Done { phases: parts } => {
            let build_s = phases.last().and_then(|phase| phase.seconds);
            let part = |(name, seconds)| Phase {
                name: format!("  {name}"),
                seconds: Some(seconds),
                cpu_s: None,
                skipped: None,
                memory: None,
            };
            phases.extend(parts.into_iter().map(part));
            build_s
        }
        Rebuild::Refused(why) => {
            phases.pop();
            phases.push(Phase { name: "rebuild".into(), seconds: None, cpu_s: None, skipped: Some(why), memory: None });
            None
        }
    };
    timed("close", &mut phases, || Ok(target.close()?))?;
    say("closing and opening again");
    let target = timed("open again", &mut phases, || Ok(Target::open(dir, settings)?))?;
    target.close()?;
    Ok(Built { rows: loaded, build_s, phases })
}

fn timed<T>(
    name: &str,
    phases: &mut Vec<Phase>,
    work: impl FnOnce() -> Result<T, RecallError>,
) -> Result<T, RecallError> {
    Memory::forget_peak();
    let (begun, cpu_before) = (Instant::now(), cpu_s());
    let done = work()?;
    let seconds = Some(begun.elapsed().as_secs_f64());
    let cpu_s = cpu_before.zip(cpu_s()).map(|(before, after)| after - before);
    phases.push(Phase { name: name.into(), seconds, cpu_s, skipped: None, memory: Some(Memory::now()) });
    Ok(done)
}

fn load(base: Vectors, target: &Target, expected: Option<u64>, say: Say<'_>) -> Result<u64, RecallError> {
    let dim = base.dim();
    let of = expected.map_or_else(String::new, |rows| format!(" of {rows}"));
    let (source, done, begun) = (Mutex::new(Some(base)), AtomicU64::new(0), Instant::now());
    let held = || source.lock().unwrap_or_else(PoisonError::into_inner);
    let load_some = |asker: Asker| -> Result<(), RecallError> {
        loop {
            // Once a loader has failed there is nothing left to take.
            let Some((first, rows)) = held().as_mut().map(take).transpose()? else { return Ok(()) };
            if rows.is_empty() {
                return Ok(());
            }
            asker.load(first, dim, &rows)?;
            done.fetch_add((rows.len() / dim) as u64, Ordering::Relaxed);
        }
    };
    thread::scope(|scope| {
        let loaders: Vec<_> = (0..LOADERS)
            .map(|_| {
                let (asker, load_some) = (target.asker(), &load_some);
                scope.spawn(move || {
                    let loaded = load_some(asker);
                    if loaded.is_err() {
                        *held() = None;
                    }
                    loaded
                })
            })
            .collect();
        let mut told = Instant::now();
        while loaders.iter().any(|loader| !loader.is_finished()) {
            thread::sleep(Duration::from_millis(20));
            if told.elapsed() > EVERY {
                told = Instant::now();
                let rows = done.load(Ordering::Relaxed);
                let rate = rows as f64 / begun.elapsed().as_secs_f64();
                say(&format!("{rows}{of} rows loaded, {rate:.0} a second"));
            }
        }
        loaders.into_iter().try_for_each(|loader| loader.join().expect("a loader does not panic"))
    })?;
    Ok(done.into_inner())
}

/// The next rows, and the number of the first.
fn take(base: &mut Vectors) -> Result<(u64, Vec<f32>), RecallError> {
    let first = base.read();
    Ok((first, base.block(Asker::part_rows(base.dim()))?))
}
