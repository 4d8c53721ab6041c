//! Explanations, held against bugs whose cause is known: what each needs was written down before it was looked at.

use stormproof_sim::{
    check::invariant::Violation,
    hunt::{AnyPlan, Explanation, Suite, explain, explain::Role},
    world::{Settings, fault::FaultKind, study::Study},
};

use crate::{shrunk::first_failure_shrunk, toy::Bug, trial::ToyTrial};

/// So often each moment is tried again with other draws.
const RESEEDS: u32 = 6;

/// A node at work is ahead of the world by the calls of one batch, and what is drawn anew counts from the next on: by so
/// much the moment after which all is lost can lie before the fault, in simulated nanoseconds.
const BATCH: u64 = 1_000_000;

/// What ends a life: a death, or a disk call whose failure makes the toy halt. A weaker kind is tried first, so a power
/// loss stays only where a kill is not enough.
const ENDS_A_LIFE: &[FaultKind] = &[
    FaultKind::Kill,
    FaultKind::OpenError,
    FaultKind::WriteError,
    FaultKind::SyncError,
    FaultKind::RenameError,
    FaultKind::RemoveError,
    FaultKind::SyncDirError,
    FaultKind::NoSpace,
];

/// What makes a client ask again, or a request arrive again.
const ASKED_AGAIN: &[FaultKind] = &[
    FaultKind::LostReply,
    FaultKind::Loss,
    FaultKind::Duplicate,
    FaultKind::Reorder,
    FaultKind::Pause,
    FaultKind::SlowDisk,
    FaultKind::DiskStall,
];

/// What a bug needs to do harm.
struct Needs {
    bug: Bug,
    case: &'static str,
    /// One fault out of each of these, and no other but...
    faults: &'static [&'static [FaultKind]],
    /// ...at most one of these.
    perhaps: &'static [FaultKind],
}

const NEEDS: &[Needs] = &[
    // The rename is in the page cache, where every later boot finds it. Only with the power it is lost; the old logs,
    // whose removal is on other names, may be gone all the same.
    Needs { bug: Bug::ForgetsDirectorySync, case: "storm", faults: &[&[FaultKind::PowerLoss]], perhaps: &[] },
    // The snapshot's bytes are in the page cache, where every query finds them. Only with the power they are lost.
    Needs { bug: Bug::RenamesBeforeSync, case: "storm", faults: &[&[FaultKind::PowerLoss]], perhaps: &[] },
    // The lock's file is found by the next boot, whatever ended the life before it.
    Needs { bug: Bug::KeepsItsLock, case: "storm", faults: &[ENDS_A_LIFE], perhaps: &[] },
    // The write is durable, the life ends, and the client asks again: because that end kept the reply from it, which is
    // one fault, or because the reply was lost or the request doubled, which is one more.
    Needs { bug: Bug::AppliesTwiceAfterRestart, case: "storm", faults: &[ENDS_A_LIFE], perhaps: ASKED_AGAIN },
    // The failed sync leaves pages that are clean and not durable. They are lost when they leave the cache: with the
    // power, or while a killed process is down.
    Needs {
        bug: Bug::BelievesARetriedSync,
        case: "torn",
        faults: &[&[FaultKind::SyncError], &[FaultKind::PowerLoss, FaultKind::Kill]],
        perhaps: &[],
    },
    // Between the first file and the second: any end of the life leaves half a write.
    Needs { bug: Bug::UpdatesTwoFilesApart, case: "storm", faults: &[ENDS_A_LIFE], perhaps: &[] },
];

/// Whether these faults are one of each list, and at most one of the last.
fn fits(mut found: Vec<FaultKind>, needs: &Needs) -> bool {
    for list in needs.faults {
        let Some(place) = found.iter().position(|kind| list.contains(kind)) else { return false };
        found.remove(place);
    }
    found.len() <= 1 && found.iter().all(|kind| needs.perhaps.contains(kind))
}

fn necessary(plan: &AnyPlan, explanation: &Explanation) -> Vec<FaultKind> {
    let ids = explanation.necessary();
    plan.faults.iter().filter(|fault| ids.contains(&fault.id)).map(|fault| fault.kind).collect()
}

#[test]
fn each_bug_takes_the_faults_that_its_code_says_it_takes() {
    let mut wrong = Vec::new();
    for needs in NEEDS {
        let suite = ToyTrial { bug: Some(needs.bug) };
        let case = suite.cases().iter().position(|case| case.name == needs.case);
        let shrunk = first_failure_shrunk(&suite, case);
        let plan = &shrunk.plan;
        let explanation = explain(&suite, plan, RESEEDS, &|_| {}).expect("the plan can be played").expect("it fails");
        let found = necessary(plan, &explanation);
        println!("| {} | {found:?} | {} |", needs.bug.words(), shrunk.fingerprint);
        if !fits(found, needs) {
            wrong.push(format!("{}: {:?}\n{}", needs.bug.words(), explanation.faults, plan.to_toml()));
        }
        no_necessary_fault_can_be_spared(&suite, plan, &explanation);
        it_parts_from_the_nearest_run_at_an_event(&explanation);
        it_was_not_inevitable_before_its_first_fault(&explanation);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn no_necessary_fault_can_be_spared(suite: &dyn Suite, plan: &AnyPlan, explanation: &Explanation) {
    let loaded = suite.load(plan).expect("the plan can be played");
    for id in explanation.necessary() {
        let others: Vec<_> = plan.faults.iter().filter(|fault| fault.id != id).cloned().collect();
        let (run, _) = loaded.run(&others, Study::default(), &Settings::default());
        let fell = run.result.violation.as_ref().map(Violation::fingerprint);
        assert_ne!(fell, Some(explanation.violation.fingerprint()), "fault {id} is not necessary");
    }
}

fn it_parts_from_the_nearest_run_at_an_event(explanation: &Explanation) {
    let Some(nearest) = &explanation.nearest else {
        let holds = |role: &Role| role.without == "it holds";
        assert!(!explanation.faults.iter().any(holds), "without one fault it holds: that is a run to compare with");
        return;
    };
    let parting = &explanation.story[nearest.common];
    assert_eq!(nearest.failing.first(), Some(&parting.words), "the first event that only the failing run has");
    assert_ne!(nearest.failing.first(), nearest.passing.first());
    assert!(nearest.common > 0 && !nearest.passing.is_empty(), "{nearest:?}");
}

fn it_was_not_inevitable_before_its_first_fault(explanation: &Explanation) {
    let first = &explanation.chances[0];
    assert!(first.failed < first.of, "it fails from the start, whatever is drawn");
    let needed = explanation.faults.iter().filter(|role| role.necessary);
    let struck = needed.filter_map(|role| role.struck).map(|struck| struck.at).min().expect("one of them struck");
    if let Some(moment) = explanation.inevitable() {
        assert!(moment.at + BATCH >= struck, "inevitable at {}, {struck} is the first fault", moment.at);
    }
}
