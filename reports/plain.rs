//! What is reported of a run that is no hunt: cases, and what came of each. The real lane's reports are of this kind.

/// A run of some cases.
#[derive(Clone, Debug)]
pub struct PlainReport {
    /// What it was.
    pub title: String,
    /// What it amounts to, in a sentence.
    pub summary: String,
    /// Case by case.
    pub outcomes: Vec<Outcome>,
}

/// What came of a case.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The case.
    pub name: String,
    /// What should hold.
    pub about: String,
    /// Whether it did.
    pub status: Status,
    /// Why not.
    pub why: Vec<String>,
    /// Whatever else is known, labelled.
    pub facts: Vec<(String, String)>,
    /// How long it took.
    pub took_ms: u64,
}

/// Whether a case held.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Status {
    /// It held.
    Held,
    /// It held, and shows less than it should.
    Unproven,
    /// It fell.
    Fell,
}

impl PlainReport {
    /// The gravest of all cases; none at all shows nothing.
    pub fn status(&self) -> Status {
        self.outcomes.iter().map(|outcome| outcome.status).max().unwrap_or(Status::Unproven)
    }
}
