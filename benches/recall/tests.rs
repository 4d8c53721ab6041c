//! The whole on a few thousand vectors, with the engine in this process.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Mutex,
};

use super::{GIST_1M, Plan, RecallError, html, measure, report::*, target::Tuning, text};
use crate::{
    data::{DataError, Truth, write_fvecs, write_ivecs},
    scan::uniform,
};

const DIM: usize = 16;
const ROWS: usize = 3_000;
const QUERIES: usize = 40;

/// What the tests measure, with files from one directory and the store in another.
pub(super) fn plan(files: &Path, dir: &Path) -> Plan {
    Plan {
        base: files.join("gist_base.fvecs"),
        queries: files.join("gist_query.fvecs"),
        truth: None,
        save_truth: None,
        rows: None,
        queries_max: 1_000,
        threads: 2,
        dir: dir.into(),
        ram_mb: None,
        published: None,
        vouched: false,
        parameters: Parameters {
            k: 10,
            complexities: vec![64, 200],
            clients: vec![1, 2],
            turn_s: 0.05,
            recall_aim: 0.95,
            tuning: Tuning { index_mib: 64, graph_degree: 24, ..Tuning::default() },
            calls_min: 50,
        },
        jobs_in_processes: false,
    }
}

struct Files {
    dir: tempfile::TempDir,
    store: tempfile::TempDir,
}

impl Files {
    fn new() -> Files {
        let files =
            Files { dir: tempfile::tempdir().expect("a directory"), store: tempfile::tempdir().expect("a directory") };
        for (name, rows, seed) in [("gist_base.fvecs", ROWS, 1), ("gist_query.fvecs", QUERIES, 2)] {
            write_fvecs(&files.path(name), DIM, [Ok(uniform(rows * DIM, seed))]).expect("written");
        }
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn plan(&self) -> Plan {
        plan(self.dir.path(), self.store.path())
    }

    fn measure(&self, plan: &Plan) -> Result<Report, RecallError> {
        let measured = measure(plan, &|_| {});
        assert_eq!(fs::read_dir(self.store.path()).expect("there").count(), 0, "nothing is left behind");
        measured
    }
}

#[test]
fn a_run_reports_every_part_or_why_it_is_missing() {
    let files = Files::new();
    let said = Mutex::new(0);
    let plan = Plan { save_truth: Some(files.path("found.ivecs")), ..files.plan() };
    let report = measure(&plan, &|_| *said.lock().expect("nobody panics") += 1).expect("measured");
    assert!(said.into_inner().expect("nobody panics") > 3, "progress is told");
    assert_eq!((report.data.rows, report.data.queries, report.data.dim), (ROWS as u64, QUERIES, DIM));
    assert_eq!(report.data.truth, "computed");
    let Asked { curve, complexity, latency, histogram, recall, recall_100, throughput, bytes, .. } = &report.queries;
    assert!(*recall > 0.95 && recall_100.is_some_and(|it| it > 0.9), "{recall} {recall_100:?}");
    assert_eq!(curve.iter().map(|point| point.complexity).collect::<Vec<_>>(), [64, 200]);
    assert!(curve.iter().any(|point| point.complexity == *complexity));
    assert_eq!(latency.calls, 50);
    assert_eq!(histogram.iter().map(|bin| bin.calls).sum::<u64>(), 50);
    assert!(
        throughput.iter().all(|it| it.latency.calls >= QUERIES as u64 / 2 && it.per_second > 0.0),
        "{throughput:?}"
    );
    assert_eq!((throughput.len(), bytes.cold_queries), (2, QUERIES as u64 / 2));
    assert!(report.disk_bytes.values().sum::<u64>() > (ROWS * DIM * 4) as u64);
    let phases: Vec<_> = report.phases.iter().map(|phase| phase.name.trim()).collect();
    assert!(["load", "rebuild", "close", "open again"].iter().all(|name| phases.contains(name)), "{phases:?}");
    assert!(phases.contains(&"linking"), "the parts of the rebuild are told: {phases:?}");
    assert!((report.queries.by_archive - 1.0).abs() < 1e-9, "{}", report.queries.by_archive);
    assert!(
        matches!(&report.swap, Part::Measured(swap) if swap.quiet.calls > 0 && swap.recall > 0.9),
        "{:?}",
        report.swap
    );
    let rebuild = report.phases.iter().find(|phase| phase.name == "rebuild").expect("named");
    assert!(rebuild.seconds.is_some() != rebuild.skipped.is_some(), "{rebuild:?}");
    assert_eq!(rebuild.seconds.is_some(), matches!(report.swap, Part::Measured(_)));
    assert!(matches!(&report.limited, Part::Skipped(why) if why.contains("--ram-mb")));
    assert_eq!(report.targets.len(), 3);

    let words = text::text(&report);
    assert!(words.lines().all(|line| line.chars().count() <= 100), "{words}");
    for part in ["recall@10", "p99.9", "open again", "Queries while the archive is built again", "not measured"] {
        assert!(words.contains(part), "{part} is not in:\n{words}");
    }
    // Where the system has no command that tells, it is said that it was not measured.
    assert!(words.contains("page cache after others: ") || words.contains("page cache holds: "), "{words}");
    let page = html::page(&report);
    assert!(page.contains("the page cache"), "{page}");
    assert!(page.contains("<svg") && page.contains("polyline") && !page.contains("NaN"), "{page}");
    let json = serde_json::to_value(&report).expect("JSON");
    assert_eq!(json["schema"], SCHEMA);

    // What was found is what a file may say.
    let truth = Truth::read(&files.path("found.ivecs"), QUERIES).expect("well formed");
    assert_eq!((truth.k, truth.queries()), (100, QUERIES));
    let again = Plan { truth: Some(files.path("found.ivecs")), ..files.plan() };
    let again = files.measure(&again).expect("measured");
    assert_eq!(again.data.truth, "found.ivecs");
}

#[test]
fn answers_for_more_rows_than_are_loaded_are_not_used_and_the_report_says_so() {
    let files = Files::new();
    let truth = files.path("gist_groundtruth.ivecs");
    write_ivecs(&truth, 10, &[ROWS as u32 - 1; 10 * QUERIES]).expect("written");
    let plan = Plan { truth: Some(truth.clone()), rows: Some(1_000), published: Some(GIST_1M), ..files.plan() };
    let report = files.measure(&plan).expect("measured");
    assert_eq!((report.data.truth.as_str(), report.data.rows), ("computed", 1_000));
    assert_eq!(report.data.name, "stand-in for GIST-1M, 1000 x 16");
    assert!(report.data.notes.iter().any(|note| note.contains("is not used")), "{:?}", report.data.notes);
    assert!(report.data.notes.iter().any(|note| note.starts_with("not called GIST-1M")), "{:?}", report.data.notes);
    assert!(report.queries.recall > 0.95);

    // With all rows they are taken at their word, and found wanting.
    let report = files.measure(&Plan { truth: Some(truth.clone()), ..files.plan() }).expect("measured");
    assert!(report.queries.recall < 0.5, "{}", report.queries.recall);
    assert_eq!(report.queries.recall_100, None, "the file names 10 rows for each query");

    write_ivecs(&truth, 10, &[ROWS as u32; 10 * QUERIES]).expect("written");
    let error = files.measure(&Plan { truth: Some(truth), ..files.plan() }).expect_err("there is no such row");
    assert!(matches!(&error, RecallError::Data(DataError::Unlike { .. })), "{error}");
    assert!(error.to_string().ends_with("expected answers that name rows below 3000, found row 3000"), "{error}");
}

#[test]
fn queries_of_another_dimension_are_refused() {
    let files = Files::new();
    write_fvecs(&files.path("gist_query.fvecs"), DIM + 1, [Ok(uniform((DIM + 1) * 4, 2))]).expect("written");
    let error = files.measure(&files.plan()).expect_err("they do not belong together").to_string();
    assert!(error.ends_with("expected 16 components, as in the base, found 17"), "{error}");
}
