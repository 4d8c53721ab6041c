//! What a run of the real lane has shown, as text and as JSON.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use serde::Serialize;
use stormproof_engine::memory::{Op, Reply};
use stormproof_sim::check::history::{History, Outcome, Overlap};

use super::{
    process::Notes,
    trial::{Broken, Checked},
};

/// What a run has shown.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Case by case.
    pub cases: Vec<CaseReport>,
    /// What moments and places were drawn from. Processes of a real machine make no two runs alike.
    pub seed: u64,
    /// How long it took.
    pub wall_ms: u64,
}

/// What a case has shown.
#[derive(Clone, Debug, Default, Serialize)]
pub struct CaseReport {
    /// The case.
    pub name: &'static str,
    /// What it holds to be true.
    pub hypothesis: &'static str,
    /// What is done to the engine.
    pub injection: &'static str,
    /// When it has failed.
    pub criterion: &'static str,
    /// What happened.
    #[serde(flatten)]
    pub tally: Tally,
    /// The claim that fell, if one did. It ended the case.
    pub failure: Option<Failure>,
    /// Why it proves less than it should.
    pub unproven: Vec<String>,
    /// How long it took.
    pub wall_ms: u64,
}

/// A claim that fell.
#[derive(Clone, Debug, Serialize)]
pub struct Failure {
    /// Its id.
    pub claim: &'static str,
    /// Its sentence.
    pub sentence: &'static str,
    /// How it broke, in a few words.
    pub kind: &'static str,
    /// The evidence.
    pub witness: String,
    /// Where the engine's directory was kept, as it was found.
    pub directory: PathBuf,
}

/// How a process was killed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kill {
    /// At a named point.
    Point,
    /// Before a disk call.
    DiskCall,
    /// At a random moment.
    Moment,
}

/// What happened in a case.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Tally {
    /// Processes started.
    pub lives: u64,
    /// Kills, by kind.
    pub kills: BTreeMap<Kill, u64>,
    /// Deaths by failpoint, by its name.
    pub points: BTreeMap<String, u64>,
    /// Faults other than kills, by what they were.
    pub faults: BTreeMap<String, u64>,
    /// Times that the directory was opened and looked at.
    pub reopenings: u64,
    /// Commits that were acknowledged.
    pub acknowledged: u64,
    /// Operations that were refused, or in conflict.
    pub refused: u64,
    /// Commits of which nobody knows what came, except by looking.
    pub unknown: u64,
    /// Attempts made again after a death.
    pub asked_again: u64,
    /// Queries that were answered.
    pub answers: u64,
    /// How much clients asked at the same time.
    pub overlap: Overlap,
    /// The most transactions in one batch.
    pub batch_max: u64,
    /// What the engine noted, by name.
    pub notes: BTreeMap<String, u64>,
    /// How often each claim was checked, by id.
    pub checked: Checked,
}

impl Tally {
    pub(super) fn count_kill(&mut self, kill: Kill) {
        *self.kills.entry(kill).or_default() += 1;
    }

    pub(super) fn count_fault(&mut self, what: &str) {
        *self.faults.entry(what.to_owned()).or_default() += 1;
    }

    pub(super) fn add_notes(&mut self, notes: &Notes) {
        for (name, count) in &notes.counts {
            *self.notes.entry(name.clone()).or_default() += count;
        }
        self.batch_max = self.batch_max.max(notes.batch_max);
    }

    pub(super) fn add_checked(&mut self, checked: &Checked) {
        for (claim, times) in checked {
            *self.checked.entry(claim).or_default() += times;
        }
    }

    pub(super) fn add_history(&mut self, history: &History<Op, Reply>) {
        self.overlap.merge(history.overlap());
        for operation in history.operations() {
            match (&operation.op, &operation.outcome) {
                (Op::Commit(_), Outcome::Ok { .. }) => self.acknowledged += 1,
                (_, Outcome::Ok { .. }) => self.answers += 1,
                (_, Outcome::Fail { .. }) => self.refused += 1,
                (Op::Commit(_), Outcome::Unknown { .. } | Outcome::Open) => self.unknown += 1,
                (_, Outcome::Unknown { .. } | Outcome::Open) => {}
            }
        }
    }
}

impl Failure {
    pub(super) fn new(broken: &Broken, directory: PathBuf) -> Self {
        let Broken { claim, kind, witness } = broken;
        Failure { claim: claim.id, sentence: claim.sentence, kind, witness: witness.clone(), directory }
    }
}

impl Report {
    /// What the command should exit with: 0 if all held, 1 if a claim fell, 4 if a case proves nothing.
    pub fn exit_code(&self) -> u8 {
        if self.cases.iter().any(|case| case.failure.is_some()) {
            1
        } else if self.cases.iter().any(|case| !case.unproven.is_empty()) {
            4
        } else {
            0
        }
    }
}

impl Report {
    /// What it amounts to, in a sentence.
    pub(super) fn summary(&self) -> String {
        let (lives, kills) = self.cases.iter().fold((0, 0), |(lives, kills), case| {
            (lives + case.tally.lives, kills + case.tally.kills.values().sum::<u64>())
        });
        let verdict = match self.exit_code() {
            0 => "all held",
            1 => "a claim fell",
            _ => "something was not proven",
        };
        let seconds = self.wall_ms as f64 / 1000.0;
        let cases = self.cases.len();
        format!("{verdict}: {cases} cases, {lives} lives, {kills} kills in {seconds:.1} s, seed {}", self.seed)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cases.iter().try_for_each(|case| writeln!(f, "{case}"))?;
        writeln!(f, "{}", self.summary())
    }
}

impl fmt::Display for CaseReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match (&self.failure, self.unproven.is_empty()) {
            (Some(_), _) => "FAILED",
            (None, false) => "not proven",
            (None, true) => "held",
        };
        writeln!(f, "{}: {verdict} ({:.1} s)", self.name, self.wall_ms as f64 / 1000.0)?;
        writeln!(f, "  {}", self.hypothesis)?;
        write!(f, "{}", self.tally)?;
        if let Some(failure) = &self.failure {
            writeln!(f, "  {}: {}", failure.claim, failure.sentence)?;
            writeln!(f, "  {}: {}", failure.kind, failure.witness)?;
            writeln!(f, "  kept in {}", failure.directory.display())?;
        }
        self.unproven.iter().try_for_each(|why| writeln!(f, "  not proven: {why}"))
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kill = |kill| self.kills.get(&kill).copied().unwrap_or(0);
        writeln!(
            f,
            "  {} lives, {} reopenings; kills: {} at points, {} before disk calls, {} at random moments",
            self.lives,
            self.reopenings,
            kill(Kill::Point),
            kill(Kill::DiskCall),
            kill(Kill::Moment),
        )?;
        writeln!(
            f,
            "  commits: {} acknowledged, {} refused, {} unknown, {} asked again; up to {} in a batch",
            self.acknowledged, self.refused, self.unknown, self.asked_again, self.batch_max,
        )?;
        writeln!(f, "  queries: {} answered; {}", self.answers, self.overlap)?;
        line(f, "died at", &self.points)?;
        line(f, "faults", &self.faults)?;
        line(f, "notes", &self.notes)?;
        line(f, "checked", &self.checked)
    }
}

/// Names and counts, if there are any.
fn line<K: fmt::Display>(f: &mut fmt::Formatter<'_>, title: &str, counts: &BTreeMap<K, u64>) -> fmt::Result {
    if counts.is_empty() {
        return Ok(());
    }
    let list: Vec<String> = counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
    writeln!(f, "  {title}: {}", list.join(", "))
}
