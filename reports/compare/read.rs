//! What `run --json` wrote, read again.
//!
//! Only what is compared is read. Fields that are not known are passed over, since documents of one schema may gain
//! some; kinds of fault are words here, so that a document of another version can be read.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::json::SCHEMA;

/// Why a text is no report of a hunt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ReadError {
    /// It is no JSON, or not of this shape; where, and what was expected.
    Malformed(String),
    /// It is of another schema.
    Schema(u64),
    /// Another command wrote it.
    Command(String),
}

impl std::fmt::Display for ReadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ReadError::Malformed(words) => write!(f, "expected what `run --json` writes: {words}"),
            ReadError::Schema(found) => write!(f, "expected schema {SCHEMA}, found {found}"),
            ReadError::Command(found) => {
                write!(f, "expected what `run --json` writes, found a document of `{found}`")
            }
        }
    }
}

impl std::error::Error for ReadError {}

/// What every document of this command begins with.
#[derive(Deserialize)]
struct Head {
    schema: u64,
    command: String,
}

/// A hunt.
#[derive(Clone, Debug, Deserialize)]
pub struct Document {
    /// The verdict, in a word.
    pub verdict: String,
    /// Suite by suite.
    pub suites: Vec<SuiteDocument>,
    /// What depends on the machine.
    pub times: Times,
}

/// One suite.
#[derive(Clone, Debug, Deserialize)]
pub struct SuiteDocument {
    /// Its name.
    pub name: String,
    /// Its verdict, in a word.
    pub verdict: String,
    /// Runs.
    pub seeds: u64,
    /// Its cases.
    pub cases: Vec<CaseDocument>,
    /// Its claims.
    pub claims: Vec<ClaimDocument>,
    /// Its system's named points.
    pub points: Vec<PointDocument>,
    /// Disk calls as the protocol sees them.
    pub steps: Vec<StepDocument>,
    /// Faults by point; documents of before had none.
    #[serde(default)]
    pub strikes: Vec<StrikeDocument>,
    /// The first failure of each kind.
    pub failures: Vec<FailureDocument>,
    /// Runs that were repeated.
    pub self_check: SelfCheck,
}

/// One case.
#[derive(Clone, Debug, Deserialize)]
pub struct CaseDocument {
    /// Its name.
    pub name: String,
    /// Faults delivered, by kind.
    pub faults: BTreeMap<String, u64>,
    /// Situations asked for, and how often each was reached.
    pub sometimes: BTreeMap<String, u64>,
}

/// One claim.
#[derive(Clone, Debug, Deserialize)]
pub struct ClaimDocument {
    /// Situations asked for, and how often each was reached.
    pub sometimes: BTreeMap<String, u64>,
}

/// A named point.
#[derive(Clone, Debug, Deserialize)]
pub struct PointDocument {
    /// Its name.
    pub name: String,
    /// How often it was passed.
    pub passed: u64,
}

/// A disk call.
#[derive(Clone, Debug, Deserialize)]
pub struct StepDocument {
    /// The point passed last.
    pub after: String,
    /// The call.
    pub call: String,
    /// The kind of path.
    pub path: String,
    /// Deaths at it.
    pub deaths: u64,
}

/// A kind of fault behind a point.
#[derive(Clone, Debug, Deserialize)]
pub struct StrikeDocument {
    /// The kind.
    pub fault: String,
    /// The point.
    pub after: String,
    /// How often.
    pub times: u64,
}

/// A claim that fell.
#[derive(Clone, Debug, Deserialize)]
pub struct FailureDocument {
    /// Its id.
    pub claim: String,
    /// What all failures of this cause share.
    pub fingerprint: String,
    /// The lowest seed that fails like this.
    pub seed: u64,
}

/// Runs that were repeated in a fresh process.
#[derive(Clone, Debug, Deserialize)]
pub struct SelfCheck {
    /// Seeds whose second run differed.
    pub differing: Vec<u64>,
}

/// What depends on the machine.
#[derive(Clone, Debug, Deserialize)]
pub struct Times {
    /// Time of all threads together, by suite.
    pub busy_ns: BTreeMap<String, u64>,
}

impl Document {
    /// Reads a document. Schema and command come first: of another one, the shape says nothing.
    pub fn parse(text: &str) -> Result<Document, ReadError> {
        let malformed = |error: serde_json::Error| ReadError::Malformed(error.to_string());
        let head: Head = serde_json::from_str(text).map_err(malformed)?;
        if head.schema != u64::from(SCHEMA) {
            return Err(ReadError::Schema(head.schema));
        }
        if head.command != "run" {
            return Err(ReadError::Command(head.command));
        }
        serde_json::from_str(text).map_err(malformed)
    }

    /// The suite of this name.
    pub fn suite(&self, name: &str) -> Option<&SuiteDocument> {
        self.suites.iter().find(|suite| suite.name == name)
    }

    /// Seeds of a suite in each second of thread time.
    pub fn speed(&self, suite: &SuiteDocument) -> Option<f64> {
        let busy = self.times.busy_ns.get(&suite.name).copied().filter(|busy| *busy > 0)?;
        Some(suite.seeds as f64 * 1e9 / busy as f64)
    }
}
