//! What a running node tells those who watch it: numbers for Prometheus, and a line of tracing for each thing that it notes.
//!
//! An [`Observer`] turns notes into metrics, by the facade that most Rust programs use (`metrics`), and into events and spans
//! (`tracing`). An endpoint serves the metrics as text. A program that has a recorder of its own takes
//! [`observer`] alone.
//!
//! | metric | what |
//! |---|---|
//! | `stormproof_request_seconds{kind}` | how long requests took, as their clients saw it |
//! | `stormproof_requests_unknown_total{kind}` | requests whose outcome nobody knows: the node stopped |
//! | `stormproof_notes_total{name}` | what the node noted, by its name (`memory` lists the names) |
//! | `stormproof_batch_transactions` | transactions that shared a frame of the log |
//! | `stormproof_flushed_records_total`, `stormproof_compacted_entries_total` | records that went into segments |
//! | `stormproof_level` | 0 normal, 1 read-only |
//! | `stormproof_breaker` | 0 closed, 1 open, 2 half open |
//! | `stormproof_archive_generation`, `stormproof_archive_records` | which generation of the archive is served (0: it was damaged or too large, or could not be read; not told before there was one), and how many records it has |
//! | `stormproof_held_writes` | writes that are held until the disk takes them |
//! | `stormproof_alert{check}` | 1 while a health check (0 log, 1 segments, 2 space) has missed too often |

mod serve;

use std::{sync::Arc, time::Duration};

use metrics::{counter, gauge, histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

pub use self::serve::{Endpoint, serve};
use super::{Note, Observer};

const REQUEST_SECONDS: &str = "stormproof_request_seconds";
const BATCH_TRANSACTIONS: &str = "stormproof_batch_transactions";

/// From what a query in memory takes to what nobody waits for.
const SECONDS: [f64; 13] = [1e-5, 1e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.5, 2.0, 10.0];
const TRANSACTIONS: [f64; 8] = [1.0, 2.0, 4.0, 8.0, 16.0, 64.0, 256.0, 1024.0];

/// Makes this process record metrics, once in its life; the handle gives them as Prometheus' text. Without an endpoint, whoever
/// has it calls its `run_upkeep` now and then, or what it was told grows.
pub fn install() -> Result<PrometheusHandle, BuildError> {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Full(REQUEST_SECONDS.into()), &SECONDS)?
        .set_buckets_for_metric(Matcher::Full(BATCH_TRANSACTIONS.into()), &TRANSACTIONS)?
        .install_recorder()
}

/// Turns what a node notes into metrics and events, for [`Options::observer`](super::Options::observer).
pub fn observer() -> Observer {
    Arc::new(|note| match note {
        Note::Said { name, values } => said(name, values),
        Note::Answered { id, kind, took, known } => answered(id.op.0, kind, *took, *known),
        Note::NoPeer { .. } => counter!("stormproof_notes_total", "name" => "host.no_peer").increment(1),
        Note::DeafJob { job } => {
            counter!("stormproof_notes_total", "name" => "host.deaf_job").increment(1);
            tracing::warn!(job = job.0, "a job did not listen, and was killed");
        }
        Note::Stopped { how } => tracing::info!(?how, "stopped"),
    })
}

fn answered(request: u64, kind: &'static str, took: Duration, known: bool) {
    histogram!(REQUEST_SECONDS, "kind" => kind).record(took.as_secs_f64());
    if !known {
        counter!("stormproof_requests_unknown_total", "kind" => kind).increment(1);
    }
    tracing::debug!(request, kind, took_us = took.as_micros() as u64, known, "answered");
}

fn archive(generation: u64, records: u64) {
    gauge!("stormproof_archive_generation").set(generation as f64);
    gauge!("stormproof_archive_records").set(records as f64);
}

fn said(name: &'static str, values: &[(&'static str, u64)]) {
    let value = |wanted: &str| values.iter().find(|(key, _)| *key == wanted).map_or(0, |(_, value)| *value);
    counter!("stormproof_notes_total", "name" => name).increment(1);
    match name {
        "commit.batch" => histogram!(BATCH_TRANSACTIONS).record(value("n") as f64),
        "flush" => counter!("stormproof_flushed_records_total").increment(value("records")),
        "archive.served" | "archive.published" => archive(value("generation"), value("records")),
        "archive.damaged" | "archive.unread" | "archive.unknown_format" => archive(0, 0),
        // Said of the one that was found, and of one that was not built.
        "archive.too_large" if value("generation") > 0 => archive(0, 0),
        "compacted" => counter!("stormproof_compacted_entries_total").increment(value("entries")),
        "degraded" => gauge!("stormproof_level").set(1.0),
        "degraded.over" => {
            gauge!("stormproof_level").set(0.0);
            gauge!("stormproof_held_writes").set(0.0);
        }
        "reads.refused" => gauge!("stormproof_reads_refused").set(1.0),
        "reads.allowed" => gauge!("stormproof_reads_refused").set(0.0),
        "reads.from_memory" => counter!("stormproof_reads_from_memory_total").increment(value("n")),
        "breaker" => gauge!("stormproof_breaker").set(value("state") as f64),
        "write.queued" => gauge!("stormproof_held_writes").set(value("ahead") as f64 + 1.0),
        "write.drained" => gauge!("stormproof_held_writes").decrement(value("n") as f64),
        "health.alert" => gauge!("stormproof_alert", "check" => value("check").to_string()).set(1.0),
        "health.clear" => gauge!("stormproof_alert", "check" => value("check").to_string()).set(0.0),
        _ => {}
    }
    match name {
        "degraded" | "breaker" | "reads.refused" | "health.alert" | "health.damaged" | "flush.failed"
        | "compaction.failed" | "archive.failed" | "archive.poor" | "archive.damaged" | "archive.too_large" => {
            tracing::warn!(name, ?values, "noted");
        }
        _ => tracing::debug!(name, ?values, "noted"),
    }
}
