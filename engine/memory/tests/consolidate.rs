//! Consolidation: each pass does what its rule says, and conserves the rest, whatever is committed, fails or dies beside it.
#![allow(clippy::float_cmp, reason = "the exact number is the claim")]

use stormproof_contract::{DiskErrorKind, DiskOp};

use super::{super::consolidate::EPISODE_MAX, *};

/// Rules with large, exact steps.
fn dreaming() -> Config {
    let consolidation = ConsolidationRules {
        kappa_gain: 0.5,
        link_gain: 0.5,
        rem_kappa_min: 0.25,
        rem_radius: 0.25,
        rem_members_min: 2,
        prune_kappa: 0.25,
        prune_age_ms: 0,
        ..ConsolidationRules::default()
    };
    Config { consolidation, ..small() }
}

fn put(bench: &mut Bench, drafts: Vec<Draft>) {
    let retry = 1_000_000 + u128::from(bench.asked);
    committed(&bench.commit(Transaction { upserts: drafts, ..empty(retry) }));
}

fn linked(id: u64, kappa: f32, links: &[u64]) -> Draft {
    let links = links.iter().map(|&to| Link::new(RecordId(to))).collect();
    Draft { links, kappa, ..draft(id, id as f32) }
}

fn activate(bench: &mut Bench, ids: &[u64]) {
    let ids = ids.iter().copied().map(RecordId).collect();
    let reply = bench.ask(Op::Activate { ids });
    assert!(matches!(reply, Some(Reply::Activated { .. })), "{reply:?}");
}

/// Asks for a pass and runs its job. Says how many records were changed, and how many spared.
fn pass(bench: &mut Bench, pass: Pass) -> (u64, u64) {
    match finish_pass(bench, pass) {
        Reply::Consolidated { changed, spared } => (changed, spared),
        other => panic!("{other:?}: {:?}", bench.notes),
    }
}

fn finish_pass(bench: &mut Bench, pass: Pass) -> Reply {
    let asked = bench.send(Op::Consolidate { pass });
    bench.settle();
    bench.tick();
    // A merge may come before it.
    while !bench.jobs.is_empty() {
        bench.run_jobs();
    }
    bench.reply(asked).expect("an answer")
}

/// A pass that has a proposal to make, and has not made it.
struct Pausing {
    asked: u64,
    id: JobId,
    job: Box<dyn Job>,
    word: Bytes,
}

fn pause_before_the_proposal(bench: &mut Bench, pass: Pass) -> Pausing {
    let asked = bench.send(Op::Consolidate { pass });
    bench.settle();
    bench.tick();
    let (id, spec) = bench.jobs.pop().expect("a job");
    let mut job = Engine.job(&spec).expect("a job of the engine");
    loop {
        match bench.step_job(&mut *job).expect("a step") {
            JobStep::Say(word) if word.is_empty() => bench.hear_job(id, word),
            JobStep::Say(word) => return Pausing { asked, id, job, word },
            JobStep::More => {}
            other => panic!("nothing is proposed: {other:?}"),
        }
    }
}

impl Pausing {
    fn go_on(mut self, bench: &mut Bench) -> (u64, u64) {
        bench.hear_job(self.id, self.word);
        let how = loop {
            match bench.step_job(&mut *self.job).expect("a step") {
                JobStep::Say(word) => bench.hear_job(self.id, word),
                JobStep::More => {}
                JobStep::Done(word) => break JobEnd::Done(word),
                JobStep::Waiting => panic!("it waits for a word that never comes"),
            }
        };
        bench.end_job(self.id, how);
        match bench.reply(self.asked) {
            Some(Reply::Consolidated { changed, spared }) => (changed, spared),
            other => panic!("{other:?}"),
        }
    }
}

fn ids(bench: &Bench) -> Vec<u64> {
    bench.facts().records.iter().map(|record| record.id.0).collect()
}

#[test]
fn what_was_active_becomes_firmer_and_links_learn_what_follows_what() {
    let mut bench = Bench::new(dreaming());
    put(&mut bench, vec![linked(1, 0.0, &[2, 3, 4]), linked(2, 0.5, &[1]), linked(3, 0.0, &[1])]);
    activate(&mut bench, &[1, 2, 3]);
    activate(&mut bench, &[1, 9, 1]);
    let before = bench.get(1).expect("it is there");
    assert_eq!(pass(&mut bench, Pass::Nrem), (3, 0));
    for _ in 0..2 {
        let [one, two, three] = [1, 2, 3].map(|id| bench.get(id).expect("it is there"));
        assert_eq!([one.kappa, two.kappa, three.kappa], [0.75, 0.75, 0.5]);
        let weights = |record: &Record| record.links.iter().map(|link| link.weight).collect::<Vec<_>>();
        assert_eq!(weights(&one), [0.75, 0.625, 0.5], "2 came next, 3 after it, 4 never");
        assert_eq!((weights(&two), weights(&three)), (vec![0.25], vec![0.375]), "1 came before them");
        let conserved =
            Record { version: one.version, kappa: one.kappa, links: one.links.clone(), ..(*before).clone() };
        assert_eq!(*one, conserved);
        bench.reopen();
    }
    assert_eq!(pass(&mut bench, Pass::Nrem), (0, 0), "an episode counts once");
}

#[test]
fn an_episode_has_a_bound_and_so_have_those_that_wait() {
    let mut bench = Bench::new(dreaming());
    let ids = (0..=EPISODE_MAX as u64).map(RecordId).collect();
    let reply = bench.ask(Op::Activate { ids });
    assert!(matches!(reply, Some(Reply::Refused(Refusal::TooLarge { .. }))), "{reply:?}");
    for _ in 0..4096 {
        activate(&mut bench, &[1]);
    }
    let reply = bench.ask(Op::Activate { ids: vec![RecordId(2)] });
    assert_eq!(reply, Some(Reply::Activated { waiting: 4096 }));
}

#[test]
fn episodes_that_are_many_begin_a_pass_by_themselves() {
    let rules = ConsolidationRules { nrem_episodes: 2, ..dreaming().consolidation };
    let mut bench = Bench::new(Config { consolidation: rules, ..dreaming() });
    put(&mut bench, vec![linked(1, 0.0, &[])]);
    activate(&mut bench, &[1]);
    assert!(bench.jobs.is_empty());
    activate(&mut bench, &[1]);
    bench.run_jobs();
    assert_eq!(bench.get(1).expect("it is there").kappa, 0.75);
}

#[test]
fn records_near_each_other_get_one_prototype_in_their_middle() {
    let mut bench = Bench::new(dreaming());
    let at = |id: u64, x: f32, kappa: f32| Draft { kappa, ..draft(id, x) };
    put(&mut bench, vec![at(1, 0.0, 0.5), at(2, 0.5, 0.75), at(3, 9.0, 0.5), at(4, 0.25, 0.1), at(5, 9.0, 1.0)]);
    let before = bench.facts().records;
    assert_eq!(pass(&mut bench, Pass::Rem), (2, 0));
    let after = bench.facts().records;
    assert_eq!(&after[..5], &before[..], "no record is changed");
    let told = |record: &Record| {
        let members: Vec<u64> = record.links.iter().map(|link| link.to.0).collect();
        (record.id.0, record.vector.clone(), record.kappa, members, record.attributes[PROTOTYPE].clone())
    };
    let bit = PROTOTYPES_FROM.0;
    assert_eq!(told(&after[5]), (bit | 1, vec![0.25, 1.0], 0.625, vec![1, 2], "2".to_owned()));
    assert_eq!(told(&after[6]), (bit | 3, vec![9.0, 1.0], 0.75, vec![3, 5], "2".to_owned()));
    assert_eq!(pass(&mut bench, Pass::Rem), (0, 0), "each has its prototype");
    put(&mut bench, vec![at(6, 9.0, 1.0), at(7, 9.0, 1.0)]);
    assert_eq!(pass(&mut bench, Pass::Rem), (1, 0), "the new ones get another");
    assert_eq!(ids(&bench), [1, 2, 3, 4, 5, 6, 7, bit | 1, bit | 3, bit | 6]);
}

#[test]
fn what_never_became_firm_goes_unless_it_is_linked_or_pinned_or_young() {
    let rules = ConsolidationRules { prune_age_ms: 1000, ..dreaming().consolidation };
    let mut bench = Bench::new(Config { consolidation: rules, ..dreaming() });
    let pinned = Draft { attributes: [(PINNED.to_owned(), String::new())].into(), ..linked(5, 0.0, &[]) };
    // 2 is linked by what goes itself, 7 by itself only, 8 by a record that is gone.
    put(&mut bench, vec![linked(1, 0.2, &[2]), linked(2, 0.0, &[]), linked(3, 0.25, &[4]), linked(4, 0.0, &[])]);
    put(&mut bench, vec![pinned, linked(7, 0.0, &[7]), linked(8, 0.0, &[]), linked(9, 1.0, &[8])]);
    committed(&bench.commit(delete(77, 9)));
    bench.wait(Tick::secs(1));
    put(&mut bench, vec![linked(6, 0.0, &[])]);
    let mut view = bench.node.reader().expect("a reader").start(&Op::Get { ids: vec![RecordId(1)] }).expect("a query");
    assert_eq!(pass(&mut bench, Pass::Prune), (3, 0));
    assert_eq!(ids(&bench), [2, 3, 4, 5, 6]);
    let (reply, _) = super::finish(&mut *view, &mut Reads::default());
    assert!(
        matches!(&reply, Reply::Records { records, .. } if records.len() == 1),
        "a view keeps what it had: {reply:?}"
    );
    bench.reopen();
    assert_eq!(ids(&bench), [2, 3, 4, 5, 6]);
    assert_eq!(pass(&mut bench, Pass::Prune), (1, 0), "nothing links to 2 any more");
}

#[test]
fn what_is_linked_to_while_it_is_looked_at_is_spared() {
    let mut bench = Bench::new(dreaming());
    put(&mut bench, vec![linked(1, 0.0, &[]), linked(2, 0.0, &[])]);
    let pausing = pause_before_the_proposal(&mut bench, Pass::Prune);
    put(&mut bench, vec![linked(3, 1.0, &[1])]);
    assert_eq!(pausing.go_on(&mut bench), (1, 1));
    assert_eq!(ids(&bench), [1, 3]);
}

#[test]
fn what_is_written_while_it_is_looked_at_is_spared() {
    for kind in [Pass::Nrem, Pass::Prune] {
        let mut bench = Bench::new(dreaming());
        put(&mut bench, vec![linked(1, 0.0, &[]), linked(2, 0.0, &[])]);
        activate(&mut bench, &[1, 2]);
        let pausing = pause_before_the_proposal(&mut bench, kind);
        put(&mut bench, vec![Draft { text: "newer".into(), ..linked(1, 0.0, &[]) }]);
        assert_eq!(pausing.go_on(&mut bench), (1, 1), "{kind:?}");
        let one = bench.get(1).expect("it is there");
        assert_eq!((&*one.text, one.kappa), ("newer", 0.0));
    }
}

#[test]
fn a_prototype_is_made_of_all_its_members_or_not_at_all() {
    let mut bench = Bench::new(dreaming());
    put(&mut bench, vec![Draft { kappa: 1.0, ..draft(1, 0.0) }, Draft { kappa: 1.0, ..draft(2, 0.0) }]);
    let pausing = pause_before_the_proposal(&mut bench, Pass::Rem);
    committed(&bench.commit(delete(9, 2)));
    assert_eq!(pausing.go_on(&mut bench), (0, 1));
    assert_eq!(ids(&bench), [1]);
}

#[test]
fn one_pass_at_a_time_and_whoever_asks_for_the_same_is_told_with_it() {
    let mut bench = Bench::new(dreaming());
    put(&mut bench, vec![linked(1, 0.0, &[])]);
    let asked = [bench.send(Op::Consolidate { pass: Pass::Prune }), bench.send(Op::Consolidate { pass: Pass::Prune })];
    let other = bench.send(Op::Consolidate { pass: Pass::Rem });
    bench.settle();
    bench.tick();
    assert_eq!(bench.reply(other), Some(Reply::Unavailable(Unavailable::Busy)));
    bench.run_jobs();
    for asked in asked {
        assert_eq!(bench.reply(asked), Some(Reply::Consolidated { changed: 1, spared: 0 }));
    }
}

#[test]
fn a_job_that_dies_leaves_what_it_had_proposed_and_no_more() {
    let mut bench = Bench::new(dreaming());
    put(&mut bench, vec![linked(1, 0.0, &[]), linked(2, 0.0, &[])]);
    let pausing = pause_before_the_proposal(&mut bench, Pass::Prune);
    bench.hear_job(pausing.id, pausing.word);
    bench.end_job(pausing.id, JobEnd::Killed);
    let reply = bench.reply(pausing.asked);
    assert!(matches!(reply, Some(Reply::Unavailable(Unavailable::Disk(_)))), "{reply:?}");
    assert_eq!(ids(&bench), [0_u64; 0]);
    put(&mut bench, vec![linked(3, 0.0, &[])]);
    assert_eq!(pass(&mut bench, Pass::Prune), (1, 0), "another can begin");
}

#[test]
fn a_damaged_segment_ends_the_pass_and_is_named() {
    let mut bench = Bench::new(Config { flush_records: 2, ..dreaming() });
    fill(&mut bench, 1..=2);
    let path = bench.facts().segments[0].clone();
    let mut bytes = bench.disk.bytes(&path);
    bytes[30] ^= 1;
    bench.disk.overwrite(&path, &bytes);
    match finish_pass(&mut bench, Pass::Prune) {
        Reply::Refused(Refusal::Damaged(words)) => {
            assert!(words.contains(&path) && words.contains("offset"), "{words}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn segments_are_not_taken_away_before_the_job_has_opened_them() {
    let compaction = MergeRules { run_min: 3, tombstones_percent: 100 };
    let mut bench = Bench::new(Config { flush_records: 2, compaction, ..dreaming() });
    fill(&mut bench, 1..=4);
    let asked = bench.send(Op::Consolidate { pass: Pass::Prune });
    bench.settle();
    bench.tick();
    fill(&mut bench, 5..=6);
    assert_eq!(bench.jobs.len(), 1, "three segments, and the merge waits");
    bench.run_jobs();
    assert_eq!(bench.reply(asked), Some(Reply::Consolidated { changed: 4, spared: 0 }));
    assert_eq!(bench.jobs.len(), 1, "now it goes on");
    bench.run_jobs();
    assert!(bench.noted("compacted"));
}

#[test]
fn a_merge_that_is_done_while_a_job_opens_its_segments_waits_with_the_installation() {
    let compaction = MergeRules { run_min: 3, tombstones_percent: 100 };
    let mut bench = Bench::new(Config { flush_records: 2, compaction, ..dreaming() });
    fill(&mut bench, 1..=6);
    let (merge, spec) = bench.jobs.pop().expect("a merge");
    let asked = bench.send(Op::Consolidate { pass: Pass::Prune });
    bench.settle();
    bench.tick();
    let how = bench.work(merge, &spec);
    bench.end_job(merge, how);
    assert!(!bench.noted("compacted"), "{:?}", bench.notes);
    bench.run_jobs();
    assert_eq!(bench.reply(asked), Some(Reply::Consolidated { changed: 6, spared: 0 }));
    assert!(bench.noted("compacted"), "{:?}", bench.notes);
}

#[test]
fn a_disk_that_takes_no_proposal_ends_the_pass_and_it_begins_again_after_a_while() {
    let rules = ConsolidationRules { prune_every_ms: 1, ..dreaming().consolidation };
    let mut bench = Bench::new(Config { consolidation: rules, ..dreaming() });
    put(&mut bench, vec![linked(1, 0.0, &[])]);
    let pausing = pause_before_the_proposal(&mut bench, Pass::Prune);
    bench.disk.fail_on(DiskOp::Write, "l1/", DiskErrorKind::NoSpace);
    bench.hear_job(pausing.id, pausing.word);
    let reply = bench.reply(pausing.asked);
    assert!(matches!(reply, Some(Reply::Unavailable(Unavailable::Disk(_)))), "{reply:?}");
    assert_eq!(ids(&bench), [1]);
    bench.pass(Tick::secs(1));
    bench.run_jobs();
    assert_eq!(ids(&bench), [0_u64; 0]);
}

/// The job goes on while its word is decided, and may be over first.
#[test]
fn a_pass_whose_last_proposal_came_to_nothing_did_not_get_to_its_end() {
    let mut bench = Bench::new(dreaming());
    put(&mut bench, vec![linked(1, 0.0, &[])]);
    let Pausing { asked, id, word, .. } = pause_before_the_proposal(&mut bench, Pass::Prune);
    let mut out = Effects::default();
    bench.node.handle(Input::JobSaid { job: id, bytes: word }, &mut out);
    bench.node.settle(&mut out);
    bench.hear(out);
    bench.disk.fail_on(DiskOp::Write, "l1/", DiskErrorKind::NoSpace);
    bench.end_job(id, JobEnd::Done(Bytes::default()));
    let reply = bench.reply(asked);
    assert!(matches!(reply, Some(Reply::Unavailable(Unavailable::Disk(_)))), "{reply:?}");
    assert_eq!(ids(&bench), [1]);
}

#[test]
fn a_prototype_is_as_firm_as_its_members_however_their_kappas_round() {
    for kappa in [0.45, 2e38] {
        let mut bench = Bench::new(dreaming());
        put(&mut bench, (1..=3).map(|id| Draft { kappa, ..draft(id, 0.0) }).collect());
        assert_eq!(pass(&mut bench, Pass::Rem), (1, 0));
        assert_eq!(bench.facts().records[3].kappa, kappa);
    }
}

#[test]
fn whoever_joins_a_pass_has_what_was_written_before_looked_at() {
    let mut bench = Bench::new(dreaming());
    put(&mut bench, vec![linked(1, 0.0, &[])]);
    let first = bench.send(Op::Consolidate { pass: Pass::Prune });
    let asked = bench.send(Op::Commit(Transaction { upserts: vec![linked(2, 0.0, &[])], ..empty(9) }));
    bench.settle();
    assert!(matches!(bench.reply(asked), Some(Reply::Committed { .. })));
    let second = bench.send(Op::Consolidate { pass: Pass::Prune });
    bench.settle();
    bench.tick();
    bench.run_jobs();
    for asked in [first, second] {
        assert_eq!(bench.reply(asked), Some(Reply::Consolidated { changed: 2, spared: 0 }));
    }
}

#[test]
fn rules_that_cannot_be_followed_are_refused() {
    let with = |rules| Config { consolidation: rules, ..dreaming() }.check();
    let rules = dreaming().consolidation;
    assert_eq!(with(rules), Ok(()));
    for wrong in [
        ConsolidationRules { kappa_gain: 1.5, ..rules },
        ConsolidationRules { link_gain: f32::NAN, ..rules },
        ConsolidationRules { rem_radius: f32::INFINITY, ..rules },
        ConsolidationRules { prune_kappa: f32::NEG_INFINITY, ..rules },
        ConsolidationRules { prune_kappa: 0.5, ..rules },
    ] {
        assert!(with(wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn a_pass_that_fails_anywhere_loses_nothing_and_is_done_again() {
    let calls =
        [DiskOp::Open, DiskOp::Read, DiskOp::Write, DiskOp::Sync, DiskOp::SyncDir, DiskOp::Rename, DiskOp::Point];
    let mut failed = 0;
    for op in calls {
        for after in 0..12 {
            let mut bench = Bench::new(dreaming());
            put(&mut bench, vec![linked(1, 0.0, &[2]), linked(2, 0.0, &[]), linked(3, 1.0, &[])]);
            bench.disk.fail_after(after, op, DiskErrorKind::Io);
            let asked = bench.send(Op::Consolidate { pass: Pass::Prune });
            bench.settle();
            bench.tick();
            bench.run_jobs();
            bench.disk.fail_after(usize::MAX, DiskOp::Link, DiskErrorKind::Io);
            let name = format!("{op} after {after}: {:?}", bench.notes);
            failed += u32::from(!matches!(bench.reply(asked), Some(Reply::Consolidated { spared: 0, .. })));
            if bench.halted {
                bench.reopen();
            }
            let there = ids(&bench);
            assert!(there == [1, 2, 3] || there == [2, 3], "{name}: {there:?}");
            // What failed is tried again a while later.
            bench.pass(Tick::secs(100));
            bench.run_jobs();
            for _ in 0..2 {
                pass(&mut bench, Pass::Prune);
            }
            for _ in 0..2 {
                assert_eq!(ids(&bench), [3], "{name}");
                bench.reopen();
            }
        }
    }
    assert!(failed >= 20, "only {failed} failures");
}

#[test]
fn what_is_due_is_done_without_being_asked_for() {
    let rules = ConsolidationRules { rem_every_ms: 1000, prune_every_ms: 1500, ..dreaming().consolidation };
    let mut bench = Bench::new(Config { consolidation: rules, ..dreaming() });
    put(
        &mut bench,
        vec![linked(1, 0.0, &[]), Draft { kappa: 1.0, ..draft(2, 5.0) }, Draft { kappa: 1.0, ..draft(3, 5.0) }],
    );
    bench.pass(Tick::millis(999));
    assert!(bench.jobs.is_empty());
    bench.pass(Tick::millis(1));
    bench.run_jobs();
    assert_eq!(ids(&bench), [1, 2, 3, PROTOTYPES_FROM.0 | 2]);
    bench.pass(Tick::millis(500));
    bench.run_jobs();
    assert_eq!(ids(&bench), [2, 3, PROTOTYPES_FROM.0 | 2]);
}

#[test]
fn what_comes_of_age_is_pruned_without_being_asked_for_and_then_nothing_is_done() {
    let rules = ConsolidationRules { prune_every_ms: 10, prune_age_ms: 1000, ..dreaming().consolidation };
    let mut bench = Bench::new(Config { consolidation: rules, ..dreaming() });
    put(&mut bench, vec![linked(1, 0.0, &[]), linked(2, 1.0, &[])]);
    bench.pass(Tick::millis(10));
    bench.run_jobs();
    assert_eq!(ids(&bench), [1, 2], "too young");
    bench.pass(Tick::millis(980));
    assert!(bench.jobs.is_empty() && bench.node.deadline().is_some(), "nothing can have come of age");
    bench.pass(Tick::millis(10));
    bench.run_jobs();
    assert_eq!(ids(&bench), [2]);
    for _ in 0..3 {
        bench.pass(Tick::secs(2));
        bench.run_jobs();
    }
    assert_eq!(bench.node.deadline(), None, "whoever is left was looked at when it was old enough");
}
