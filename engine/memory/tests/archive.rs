//! The archive: what is found through it, and what becomes of a rebuild whatever fails on the way.

use stormproof_contract::{DiskErrorKind, DiskOp};

use super::*;

/// A graph of few links, so that it is one; nothing is merged.
fn archiving() -> Config {
    let graph = GraphRules { degree: 4, complexity: 8, alpha_percent: 120 };
    let archive =
        ArchiveRules { graph, search_complexity: 8, rerank_min: 4, verify_queries: 8, ..ArchiveRules::default() };
    Config { flush_records: 16, compaction: MergeRules { run_min: 0, tombstones_percent: 100 }, archive, ..small() }
}

fn generations(bench: &Bench) -> Vec<String> {
    bench.disk.paths().into_iter().filter(|path| path.starts_with("archive/")).collect()
}

/// Asks for a rebuild, and has it done.
fn rebuild(bench: &mut Bench) -> Reply {
    let asked = bench.send(Op::Rebuild);
    bench.settle();
    bench.tick();
    bench.run_jobs();
    for _ in 0..4 {
        bench.pass(Tick::secs(1));
    }
    bench.reply(asked).expect("an answer")
}

fn rebuilt(bench: &mut Bench) -> u64 {
    match rebuild(bench) {
        Reply::Rebuilt { generation, .. } => generation,
        other => panic!("not rebuilt: {other:?}"),
    }
}

fn search(bench: &mut Bench, x: f32, k: u32, route: Route) -> Reply {
    bench.ask(Op::Search { vector: vec![x, 1.0], k, route, complexity: 0 }).expect("an answer")
}

/// What a search finds, and whether it asked the graph.
fn found(bench: &mut Bench, x: f32, k: u32, route: Route) -> (Vec<(u64, u64)>, bool) {
    match search(bench, x, k, route) {
        Reply::Hits { hits, archive, .. } => {
            (hits.iter().map(|hit| (hit.record.id.0, hit.record.version.0)).collect(), archive.is_some())
        }
        other => panic!("no hits: {other:?}"),
    }
}

fn is_idle(bench: &Bench) -> bool {
    let archive = bench.facts().archive;
    !archive.rebuilding && !archive.marked
}

#[test]
fn a_rebuild_serves_a_generation_of_all_that_there_is() {
    let mut bench = Bench::new(archiving());
    fill(&mut bench, 1..=40);
    assert_eq!(found(&mut bench, 7.2, 2, Route::Auto), (vec![(7, 1), (8, 1)], false), "there is none yet");
    let no = rebuilt(&mut bench);
    for _ in 0..2 {
        let facts = bench.facts().archive;
        assert_eq!((facts.generation, facts.records.len()), (Some(no), 40));
        assert_eq!(generations(&bench), [format!("archive/{no}")]);
        assert!(is_idle(&bench));
        assert_eq!(found(&mut bench, 7.2, 3, Route::Auto), (vec![(7, 1), (8, 1), (6, 1)], true));
        assert_eq!(found(&mut bench, 7.2, 3, Route::Archive), (vec![(7, 1), (8, 1), (6, 1)], true));
        assert_eq!(found(&mut bench, 7.2, 3, Route::Exact), (vec![(7, 1), (8, 1), (6, 1)], false));
        bench.reopen();
    }
}

#[test]
fn rows_leave_the_exact_index_and_real_time_searches_say_that_they_are_missing() {
    let mut bench = Bench::new(archiving());
    fill(&mut bench, 1..=40);
    rebuilt(&mut bench);
    assert_eq!(bench.node.views.newest().index.rows(), 0);
    committed(&bench.commit(upsert(100, 50, 7.0)));
    let Reply::Hits { hits, completeness, .. } = search(&mut bench, 7.2, 3, Route::Realtime) else { panic!("no hits") };
    assert_eq!(hits.iter().map(|hit| hit.record.id.0).collect::<Vec<_>>(), [50]);
    assert!(matches!(completeness, Completeness::WithoutArchive { .. }), "{completeness:?}");
}

#[test]
fn what_was_changed_since_is_found_at_once_and_the_graphs_version_of_it_does_not_count() {
    let mut bench = Bench::new(archiving());
    fill(&mut bench, 1..=40);
    rebuilt(&mut bench);
    committed(&bench.commit(upsert(100, 7, 30.5)));
    committed(&bench.commit(delete(101, 8)));
    committed(&bench.commit(upsert(102, 41, 7.1)));
    for round in 0..3 {
        let (hits, graph) = found(&mut bench, 7.1, 3, Route::Auto);
        assert_eq!((hits, graph), (vec![(41, 1), (6, 1), (9, 1)], true), "round {round}");
        let (hits, _) = found(&mut bench, 30.6, 2, Route::Auto);
        assert_eq!(hits, [(7, 2), (31, 1)], "round {round}");
        if round == 0 {
            // What was changed is flushed, and its rows leave the index with those of its segment.
            bench.config.l1_bytes = 0;
            bench.reopen();
            (200..=215).for_each(|id| drop(bench.commit(upsert(id, id as u64, id as f32 - 150.0))));
        } else {
            bench.reopen();
        }
    }
    let stale = bench.node.rebuild.stale;
    assert_eq!(stale, 2, "one was changed and one removed");
    rebuilt(&mut bench);
    assert_eq!((bench.node.rebuild.stale, bench.facts().archive.records.len()), (0, 56));
}

/// Rows of 16 bits, of which there is one for every eight of these numbers.
#[test]
fn rounded_rows_choose_the_candidates_and_distances_are_of_what_was_stored() {
    let mut config = archiving();
    (config.archive.rows, config.archive.search_complexity, config.archive.rerank_min) = (RowFormat::F16, 40, 40);
    let mut bench = Bench::new(config);
    for id in 1..=40 {
        committed(&bench.commit(upsert(id.into(), id, 2048.0 + 0.25 * id as f32)));
    }
    rebuilt(&mut bench);
    committed(&bench.commit(upsert(100, 41, 2053.1)));
    for _ in 0..2 {
        let Reply::Hits { hits, archive, .. } = search(&mut bench, 2052.9, 5, Route::Auto) else { panic!("no hits") };
        assert!(archive.is_some());
        // Of 2,052.5 to 2,053.5 half is written as 2,052 and half as 2,054, which is farther.
        let found: Vec<u64> = hits.iter().map(|hit| hit.record.id.0).collect();
        assert_eq!(found, [20, 19, 41, 21, 18], "exact, and what is newer has its place");
        for hit in &hits {
            let far = hit.record.vector[0] - 2052.9;
            assert!((hit.distance - far * far).abs() < 1e-6, "{hit:?}");
        }
        assert!(hits.is_sorted_by_key(|hit| hit.distance.to_bits()));
        bench.reopen();
    }
}

/// All rows are the same number; the graph is made of what they were.
#[test]
fn a_graph_of_rounded_rows_is_one_of_the_vectors() {
    let mut config = archiving();
    config.archive.rows = RowFormat::F16;
    (config.archive.search_complexity, config.archive.recall_min_percent) = (20, 0);
    let mut bench = Bench::new(config);
    for id in 1..=120 {
        committed(&bench.commit(upsert(id.into(), id, 1000.0 + 0.001 * id as f32)));
    }
    rebuilt(&mut bench);
    for id in [5, 60, 117] {
        let x = 1000.0 + 0.001 * id as f32;
        let (hits, graph) = found(&mut bench, x, 3, Route::Auto);
        assert!(graph && hits[0].0 == id, "{hits:?}");
    }
}

#[test]
fn what_has_no_place_in_rounded_rows_is_refused_by_name_and_the_generation_before_stays() {
    let mut config = archiving();
    config.archive.recall_min_percent = 0;
    let mut bench = Bench::new(config);
    fill(&mut bench, 1..=20);
    let first = rebuilt(&mut bench);
    committed(&bench.commit(upsert(100, 21, 65_520.0)));
    bench.config.archive.rows = RowFormat::F16;
    bench.reopen();
    let answer = rebuild(&mut bench);
    assert!(
        matches!(&answer, Reply::Refused(Refusal::BadVector { id: Some(RecordId(21)), why }) if why.contains("f32")),
        "{answer:?}"
    );
    assert!(is_idle(&bench));
    assert_eq!((bench.facts().archive.generation, generations(&bench).len()), (Some(first), 1));
    bench.config.archive.rows = RowFormat::F32;
    bench.reopen();
    assert!(rebuilt(&mut bench) > first);
}

#[test]
fn a_ground_truth_that_cannot_be_read_is_no_damage_of_the_archive() {
    let mut config = archiving();
    config.archive.rows = RowFormat::F16;
    let mut bench = Bench::new(config);
    fill(&mut bench, 1..=20);
    let no = rebuilt(&mut bench);
    let segments: Vec<String> = bench.disk.paths().into_iter().filter(|path| path.starts_with("segments/")).collect();
    let whole: Vec<Vec<u8>> = segments.iter().map(|path| bench.disk.bytes(path)).collect();
    for (path, bytes) in segments.iter().zip(&whole) {
        let rotten: Vec<u8> = bytes.iter().map(|byte| byte ^ 1).collect();
        bench.disk.overwrite(path, &rotten);
    }
    let answer = search(&mut bench, 7.2, 2, Route::Auto);
    assert!(!matches!(answer, Reply::Hits { .. }), "{answer:?}");
    segments.iter().zip(&whole).for_each(|(path, bytes)| bench.disk.overwrite(path, bytes));
    assert_eq!(found(&mut bench, 7.2, 2, Route::Auto), (vec![(7, 1), (8, 1)], true));
    assert_eq!(bench.facts().archive.generation, Some(no));
}

/// Looking at a new generation's records takes several slices; what is changed meanwhile is counted once.
#[test]
fn what_is_changed_while_a_new_generation_is_looked_at_is_counted_once() {
    let mut config = archiving();
    config.flush_records = 5000;
    config.archive.verify_queries = 0;
    config.l1_bytes = u64::MAX;
    let mut bench = Bench::new(config);
    for first in (0..9000).step_by(1000) {
        let upserts = (first..first + 1000).map(|id| draft(id, id as f32)).collect();
        committed(&bench.commit(Transaction { upserts, ..empty(u128::from(first) + 1) }));
    }
    bench.send(Op::Rebuild);
    bench.settle();
    while bench.jobs.is_empty() {
        bench.pass(Tick::millis(10));
    }
    let (job, spec) = bench.jobs.remove(0);
    let how = bench.work(job, &spec);
    let mut out = Effects::default();
    bench.node.handle(Input::JobEnded { job, how }, &mut out);
    bench.hear(out);
    bench.settle();
    while bench.facts().archive.generation.is_none() {
        assert!(bench.ring(), "it goes on");
    }
    assert_eq!(bench.node.rebuild.stale, 0);
    for (retry, id) in [(10_000, 10), (10_001, 8999), (10_002, 10), (10_003, 5000)] {
        let asked = bench.send(Op::Commit(upsert(retry, id, 0.5)));
        bench.settle();
        committed(&bench.reply(asked).expect("an answer"));
        bench.ring();
    }
    bench.pass(Tick::secs(1));
    assert_eq!(bench.node.rebuild.stale, 3);
    bench.reopen();
    assert_eq!(bench.node.rebuild.stale, 3, "as a boot counts them");
}

#[test]
fn two_rebuilds_leave_one_generation_and_a_third_at_the_same_time_is_refused() {
    let mut bench = Bench::new(archiving());
    fill(&mut bench, 1..=20);
    let first = rebuilt(&mut bench);
    committed(&bench.commit(upsert(100, 21, 3.0)));
    let asked = bench.send(Op::Rebuild);
    bench.settle();
    bench.tick();
    assert_eq!(bench.ask(Op::Rebuild), Some(Reply::Unavailable(Unavailable::Busy)));
    assert!(bench.facts().archive.marked);
    bench.run_jobs();
    bench.pass(Tick::secs(1));
    let Some(Reply::Rebuilt { generation, records, .. }) = bench.reply(asked) else { panic!("not rebuilt") };
    assert!(generation > first && records == 21);
    bench.pass(Tick::secs(1));
    assert_eq!(generations(&bench), [format!("archive/{generation}")]);
    assert!(is_idle(&bench));
}

#[test]
fn who_reads_the_old_generation_reads_on_and_it_goes_after_that() {
    let mut bench = Bench::new(archiving());
    fill(&mut bench, 1..=20);
    let first = rebuilt(&mut bench);
    let reader = bench.node.reader().expect("a reader");
    let mut query = reader.start(&Op::search(vec![7.2, 1.0], 2)).expect("a query");
    let mut io = Reads::default();
    assert!(query.step(&mut io).is_none() || io.is_waiting());
    let asked = bench.send(Op::Rebuild);
    bench.settle();
    bench.tick();
    bench.run_jobs();
    bench.pass(Tick::secs(1));
    assert!(matches!(bench.reply(asked), Some(Reply::Rebuilt { .. })));
    bench.pass(Tick::secs(1));
    assert_eq!(generations(&bench).len(), 2, "the old one is read");
    assert!(bench.facts().archive.marked, "the rebuild is not over before it is gone");
    let (Reply::Hits { hits, archive, .. }, _) = finish(&mut *query, &mut io) else { panic!("no hits") };
    assert_eq!(archive.map(|it| it.generation), Some(first), "a query is answered from one generation");
    assert_eq!(hits.len(), 2);
    drop(query);
    bench.pass(Tick::secs(1));
    assert_eq!(generations(&bench).len(), 1);
    assert!(is_idle(&bench));
}

#[test]
fn a_job_that_dies_or_lies_leaves_the_old_generation() {
    for how in [
        JobEnd::Killed,
        JobEnd::Failed("out of memory".into()),
        JobEnd::Done(b"nonsense"[..].into()),
        JobEnd::Done(Bytes::default()),
    ] {
        let mut bench = Bench::new(archiving());
        fill(&mut bench, 1..=20);
        let first = rebuilt(&mut bench);
        let asked = bench.send(Op::Rebuild);
        bench.settle();
        bench.tick();
        let [(job, _)] = std::mem::take(&mut bench.jobs)[..] else { panic!("one job") };
        bench.end_job(job, how.clone());
        bench.pass(Tick::secs(1));
        assert!(matches!(bench.reply(asked), Some(Reply::Unavailable(Unavailable::Disk(_)))), "{how:?}");
        assert_eq!((bench.facts().archive.generation, generations(&bench).len()), (Some(first), 1), "{how:?}");
        assert!(is_idle(&bench) && bench.noted("archive.failed"));
        assert_eq!(found(&mut bench, 7.2, 1, Route::Auto), (vec![(7, 1)], true));
        rebuilt(&mut bench);
    }
}

#[test]
fn a_file_that_is_not_what_the_job_told_of_is_not_served() {
    let mut bench = Bench::new(archiving());
    fill(&mut bench, 1..=20);
    let asked = bench.send(Op::Rebuild);
    bench.settle();
    bench.tick();
    let [(job, spec)] = std::mem::take(&mut bench.jobs).try_into().expect("one job");
    let how = bench.work(job, &spec);
    let [path] = generations(&bench).try_into().expect("one file");
    let mut bytes = bench.disk.bytes(&path);
    let at = bytes.len() - 200;
    bytes[at] ^= 4;
    bench.disk.set(&path, &bytes);
    bench.end_job(job, how);
    bench.pass(Tick::secs(1));
    let answer = bench.reply(asked);
    assert!(matches!(&answer, Some(Reply::Refused(Refusal::Damaged(words))) if words.contains(&path)), "{answer:?}");
    assert_eq!((bench.facts().archive.generation, generations(&bench).len()), (None, 0));
    assert!(is_idle(&bench));
}

#[test]
fn a_generation_that_finds_too_little_is_not_served() {
    let mut config = archiving();
    config.archive.recall_min_percent = 101;
    let mut bench = Bench::new(config);
    fill(&mut bench, 1..=20);
    assert!(matches!(rebuild(&mut bench), Reply::Refused(Refusal::Damaged(_))));
    assert!(bench.noted("archive.poor") && bench.facts().archive.generation.is_none());
}

#[test]
fn what_takes_more_memory_than_it_may_is_refused_before_anything_is_done() {
    let rules = archiving().archive;
    for archive in
        [ArchiveRules { build_memory_maximum: 100, ..rules }, ArchiveRules { search_memory_maximum: 100, ..rules }]
    {
        let mut bench = Bench::new(Config { archive, ..archiving() });
        fill(&mut bench, 1..=20);
        let answer = bench.ask(Op::Rebuild);
        assert!(
            matches!(&answer, Some(Reply::Refused(Refusal::TooLarge { what, max: 100, .. })) if what.contains("memory_maximum")),
            "{answer:?}"
        );
        assert!(bench.jobs.is_empty() && is_idle(&bench));
    }
    let mut bench = Bench::new(archiving());
    fill(&mut bench, 1..=20);
    rebuilt(&mut bench);
    bench.config.archive.search_memory_maximum = 100;
    bench.reopen();
    assert!(bench.noted("archive.too_large") && bench.facts().archive.generation.is_none());
    assert_eq!(found(&mut bench, 7.2, 1, Route::Auto), (vec![(7, 1)], false));
}

#[test]
fn a_generation_whose_rows_are_rotten_is_served_and_named_no_longer_and_nothing_is_lost_by_it() {
    let mut bench = Bench::new(archiving());
    fill(&mut bench, 1..=20);
    let path = format!("archive/{}", rebuilt(&mut bench));
    let mut bytes = bench.disk.bytes(&path);
    (0..bytes.len() / 2).step_by(16).for_each(|at| bytes[at] ^= 1);
    bench.disk.overwrite(&path, &bytes);
    bench.disk.fail_next(DiskOp::Rename, DiskErrorKind::Io);
    assert_eq!(found(&mut bench, 7.2, 2, Route::Auto), (vec![(7, 1), (8, 1)], false));
    assert_eq!(generations(&bench).len(), 1, "it is in doubt what is named");
    assert!(bench.noted("archive.damaged") && bench.facts().archive.generation.is_none());
    bench.pass(Tick::secs(1));
    assert_eq!((bench.facts().archive.named, generations(&bench).len()), (None, 0));
    bench.reopen();
    assert_eq!(found(&mut bench, 7.2, 2, Route::Auto), (vec![(7, 1), (8, 1)], false));
    let second = rebuilt(&mut bench);
    assert_eq!((bench.facts().archive.generation, generations(&bench).len()), (Some(second), 1));
}

#[test]
fn a_health_check_finds_rotten_rows_before_a_search_does() {
    let mut config = archiving();
    config.archive.recall_min_percent = 0;
    config.health.every = Tick::millis(10);
    let mut bench = Bench::new(config);
    fill(&mut bench, 1..=200);
    let path = format!("archive/{}", rebuilt(&mut bench));
    // Segments come while rows are read.
    let mut retry = 1000;
    let mut check = |bench: &mut Bench| {
        for _ in 0..100 {
            for id in 201..=216 {
                retry += 1;
                committed(&bench.commit(upsert(retry, id, id as f32)));
            }
            (0..5).for_each(|_| bench.pass(Tick::millis(10)));
        }
    };
    check(&mut bench);
    assert!(!bench.noted("archive.damaged"), "all is well");
    let mut bytes = bench.disk.bytes(&path);
    // The last row.
    bytes[199 * 8 + 3] ^= 1;
    bench.disk.overwrite(&path, &bytes);
    check(&mut bench);
    assert!(bench.noted("archive.damaged") && bench.facts().archive.generation.is_none());
    assert_eq!(found(&mut bench, 200.0, 1, Route::Auto).0[0].0, 200);
}

#[test]
fn a_generation_that_a_boot_finds_damaged_is_named_no_longer_and_one_that_it_cannot_read_waits() {
    let mut bench = Bench::new(archiving());
    fill(&mut bench, 1..=20);
    let first = rebuilt(&mut bench);
    bench.disk.fail_on(DiskOp::Open, "archive/", DiskErrorKind::Io);
    bench.reopen();
    assert!(bench.noted("archive.unread") && bench.facts().archive.generation.is_none());
    assert_eq!(found(&mut bench, 7.2, 2, Route::Auto), (vec![(7, 1), (8, 1)], false));
    bench.reopen();
    assert_eq!(bench.facts().archive.generation, Some(first));
    let path = format!("archive/{first}");
    let mut bytes = bench.disk.bytes(&path);
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    bench.disk.set(&path, &bytes);
    bench.reopen();
    assert!(bench.noted("archive.damaged"), "{:?}", bench.notes);
    assert_eq!((bench.facts().archive.named, generations(&bench).len()), (None, 0));
    assert_eq!(found(&mut bench, 7.2, 2, Route::Auto), (vec![(7, 1), (8, 1)], false));
}

#[test]
fn a_generation_that_cannot_be_read_is_asked_for_nothing_and_the_segments_answer() {
    let mut bench = Bench::new(archiving());
    fill(&mut bench, 1..=20);
    rebuilt(&mut bench);
    bench.disk.fail_on(DiskOp::Read, "archive/", DiskErrorKind::Io);
    assert_eq!(found(&mut bench, 7.2, 2, Route::Auto), (vec![(7, 1), (8, 1)], false));
    assert_eq!(found(&mut bench, 7.2, 2, Route::Auto), (vec![(7, 1), (8, 1)], true), "it can be read again");
}

#[test]
fn where_nearly_all_was_changed_everything_is_compared() {
    let mut config = archiving();
    (config.archive.search_complexity, config.archive.rerank_min) = (2, 2);
    config.flush_records = 100;
    let mut bench = Bench::new(config);
    fill(&mut bench, 1..=90);
    rebuilt(&mut bench);
    (1..=89).for_each(|id| drop(bench.commit(upsert(u128::from(id) + 1000, id, id as f32 + 500.0))));
    assert_eq!(found(&mut bench, 3.2, 2, Route::Auto), (vec![(90, 1), (1, 2)], false));
}

#[test]
fn who_asks_hears_of_a_failure_though_the_mark_cannot_be_taken_back_yet() {
    let mut bench = Bench::new(archiving());
    fill(&mut bench, 1..=20);
    let asked = bench.send(Op::Rebuild);
    bench.settle();
    bench.tick();
    let [(job, _)] = std::mem::take(&mut bench.jobs)[..] else { panic!("one job") };
    bench.disk.fail_next(DiskOp::Open, DiskErrorKind::Io);
    bench.end_job(job, JobEnd::Killed);
    assert!(matches!(bench.reply(asked), Some(Reply::Unavailable(Unavailable::Disk(_)))));
    assert!(bench.facts().archive.marked);
    bench.pass(Tick::secs(1));
    assert!(is_idle(&bench));
}

#[test]
fn a_rebuild_waits_for_its_flush_no_longer_than_for_some_that_fail() {
    let mut bench = Bench::new(archiving());
    fill(&mut bench, 1..=10);
    for _ in 0..5 {
        bench.disk.fail_on(DiskOp::Open, "segments/", DiskErrorKind::NoSpace);
    }
    let asked = bench.send(Op::Rebuild);
    bench.settle();
    bench.tick();
    (0..9).for_each(|_| bench.pass(Tick::secs(1)));
    assert_eq!(bench.reply(asked), Some(Reply::Unavailable(Unavailable::Busy)));
    bench.disk.heal();
    (0..3).for_each(|_| bench.pass(Tick::secs(9)));
    assert!(is_idle(&bench));
    rebuilt(&mut bench);
}

#[test]
fn a_mark_that_a_crash_has_left_is_taken_back_whether_it_was_flushed_or_not() {
    for flushed in [false, true] {
        let mut bench = Bench::new(archiving());
        fill(&mut bench, 1..=20);
        bench.send(Op::Rebuild);
        bench.settle();
        bench.tick();
        assert!(bench.facts().archive.marked && bench.jobs.len() == 1);
        if flushed {
            fill(&mut bench, 21..=60);
            assert!(bench.node.manifest.current().rebuilding);
        }
        // The job outlives its node.
        let [(_, spec)] = std::mem::take(&mut bench.jobs).try_into().expect("one job");
        bench.reopen();
        assert!(bench.noted("archive.abandoned") && bench.noted("swap.cleared"), "{:?}", bench.notes);
        assert!(is_idle(&bench));
        bench.work(JobId(1), &spec);
        assert_eq!(
            (generations(&bench).len(), bench.facts().archive.generation),
            (1, None),
            "an orphan publishes nothing"
        );
        bench.reopen();
        assert!(!bench.noted("archive.abandoned") && generations(&bench).is_empty());
    }
}

#[test]
fn no_merge_joins_what_the_generation_stands_for_and_what_it_does_not() {
    let merging = MergeRules { run_min: 2, tombstones_percent: 100 };
    let mut bench = Bench::new(Config { flush_records: 4, compaction: merging, ..archiving() });
    fill(&mut bench, 1..=16);
    bench.run_jobs();
    rebuilt(&mut bench);
    let covered = bench.node.views.newest().covered;
    fill(&mut bench, 17..=24);
    for round in 0..6 {
        bench.run_jobs();
        bench.pass(Tick::secs(1));
        let view = bench.node.views.newest();
        assert!(view.covered <= covered && view.covered < view.segments.len(), "round {round}");
        assert_eq!(bench.node.manifest.current().archive.map(|base| base.covers as usize), Some(view.covered));
        drop(view);
        assert_eq!(found(&mut bench, 20.2, 2, Route::Auto), (vec![(20, 1), (21, 1)], true));
        assert_eq!(found(&mut bench, 7.2, 2, Route::Auto), (vec![(7, 1), (8, 1)], true));
        bench.reopen();
    }
}

#[test]
fn rules_ask_for_rebuilds() {
    let quiet = archiving().archive;
    let many = ArchiveRules { rebuild_uncovered: 10, ..quiet };
    let stale = ArchiveRules { rebuild_stale_percent: 20, ..quiet };
    let timed = ArchiveRules { rebuild_every_ms: 500, ..quiet };
    let mut bench = Bench::new(Config { archive: many, ..archiving() });
    fill(&mut bench, 1..=9);
    bench.pass(Tick::secs(9));
    assert!(bench.jobs.is_empty());
    fill(&mut bench, 10..=10);
    bench.pass(Tick::secs(1));
    assert_eq!(bench.jobs.len(), 1, "ten are not in it");
    bench.run_jobs();
    bench.pass(Tick::secs(1));
    assert!(bench.jobs.is_empty() && is_idle(&bench));
    assert_eq!(bench.facts().archive.records.len(), 10);
    bench.config.archive = stale;
    bench.reopen();
    committed(&bench.commit(upsert(100, 1, 2.0)));
    bench.pass(Tick::secs(1));
    assert!(bench.jobs.is_empty(), "a tenth is stale");
    committed(&bench.commit(delete(101, 2)));
    bench.pass(Tick::secs(1));
    assert_eq!(bench.jobs.len(), 1, "a fifth is");
    bench.run_jobs();
    bench.pass(Tick::secs(1));
    bench.config.archive = timed;
    bench.reopen();
    bench.pass(Tick::secs(1));
    bench.run_jobs();
    bench.pass(Tick::secs(1));
    assert!(is_idle(&bench));
    bench.pass(Tick::secs(1));
    assert!(bench.jobs.is_empty(), "nothing has changed");
    committed(&bench.commit(upsert(102, 1, 3.0)));
    bench.pass(Tick::secs(1));
    assert_eq!(bench.jobs.len(), 1);
}

#[test]
fn whatever_call_fails_during_a_rebuild_all_is_found_and_the_next_one_succeeds() {
    for op in CALLS {
        for nth in 0..40 {
            let mut bench = Bench::new(archiving());
            fill(&mut bench, 1..=20);
            let first = rebuilt(&mut bench);
            committed(&bench.commit(upsert(100, 21, 7.1)));
            bench.disk.fail_after(nth, op, DiskErrorKind::Io);
            let asked = bench.send(Op::Rebuild);
            bench.settle();
            bench.tick();
            let settle = |bench: &mut Bench| {
                for _ in 0..6 {
                    bench.run_jobs();
                    bench.pass(Tick::secs(1));
                }
            };
            settle(&mut bench);
            let answer = bench.reply(asked);
            let all = bench.disk.heal();
            if bench.halted {
                bench.reopen();
            }
            let clue = format!("{op:?} {nth}: {answer:?} {:?} {:?}", bench.notes, bench.node.rebuild.state());
            settle(&mut bench);
            assert!(is_idle(&bench), "{clue}");
            let no = bench.facts().archive.generation.expect("one is served");
            assert!(no >= first, "{clue}");
            assert_eq!(found(&mut bench, 7.2, 2, Route::Auto).0, [(21, 1), (7, 1)], "{clue}");
            rebuilt(&mut bench);
            bench.reopen();
            assert_eq!(generations(&bench).len(), 1, "{clue}");
            assert_eq!(found(&mut bench, 7.2, 2, Route::Auto), (vec![(21, 1), (7, 1)], true), "{clue}");
            if all {
                break;
            }
        }
    }
}

#[test]
fn a_store_without_records_has_an_archive_of_none() {
    let mut bench = Bench::new(archiving());
    rebuilt(&mut bench);
    assert_eq!(found(&mut bench, 1.0, 3, Route::Auto), (vec![], true));
    fill(&mut bench, 1..=3);
    bench.reopen();
    assert_eq!(found(&mut bench, 1.2, 2, Route::Auto), (vec![(1, 1), (2, 1)], true));
}

#[test]
fn a_generation_is_good_to_verify_and_a_damaged_one_is_a_cache_that_is_made_again() {
    use super::super::verify::{State, verify};
    let mut bench = Bench::new(archiving());
    fill(&mut bench, 1..=20);
    let path = format!("archive/{}", rebuilt(&mut bench));
    let state_of = |disk: &Arc<TestDisk>| {
        let checked = verify(&(Arc::clone(disk) as Arc<dyn Disk>)).expect("the disk works");
        checked.into_iter().find(|file| *file.path == *path).map(|file| file.state)
    };
    assert_eq!(state_of(&bench.disk), Some(State::Good));
    let bytes = bench.disk.bytes(&path);
    for at in [3, bytes.len() / 2, bytes.len() - 3] {
        let mut bytes = bytes.clone();
        bytes[at] ^= 2;
        let copy = bench.disk.copied();
        copy.set(&path, &bytes);
        // What is between a row's end and the next one's begin belongs to nobody.
        assert!(matches!(state_of(&copy), Some(State::Stale)), "byte {at}");
        assert!(boot(&copy, &bench.clock, &bench.config, 9).is_ok(), "nothing is refused for it");
    }
    bench.disk.set("archive/77", b"left");
    let checked = verify(&(Arc::clone(&bench.disk) as Arc<dyn Disk>)).expect("the disk works");
    assert!(checked.iter().any(|file| &*file.path == "archive/77" && file.state == State::Leftover));
}
