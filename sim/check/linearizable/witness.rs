//! The evidence of a violation, for people: the first reply that no order explains.

use std::fmt::{self, Debug};

use super::super::history::{OpId, Operation, Outcome};
use super::Model;
use super::schedule::Schedule;

/// How many of the operations that completed last before the offender are shown.
const BEFORE_MAX: usize = 8;
/// How many of the states it was tried in are shown.
const STATES_MAX: usize = 16;

/// One operation, with the words for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Which operation.
    pub id: OpId,
    /// Client, times, question and answer.
    pub words: String,
}

/// The smallest prefix of one key's history that has no order: it ends with the return of `offender`.
///
/// Every reply returned before is explained by some order. Operations still pending at that return are taken with the
/// reply they got later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witness {
    /// The key.
    pub key: String,
    /// The operation whose reply cannot be explained.
    pub offender: Line,
    /// The key's possible states when it returned, each reached by an order that explains all the earlier replies.
    /// The reply fits none of them.
    pub states: Vec<String>,
    /// Operations that overlapped the offender and might have been placed before it.
    pub concurrent: Vec<Line>,
    /// The last operations that returned before it, oldest first.
    pub before: Vec<Line>,
    /// The whole prefix: every operation on the key that was invoked before the offender returned.
    pub prefix: Vec<OpId>,
}

impl Witness {
    pub(super) fn new<M: Model>(key: &M::Key, schedule: &Schedule<'_, M>, level: usize, states: &[M::State]) -> Self {
        let offender = &schedule.answered[level];
        let answered = |place: &usize| schedule.answered[*place].operation;
        let open = || schedule.unanswered[..offender.unanswered].iter().map(|open| open.operation);
        let mut prefix: Vec<OpId> = schedule.answered[..level].iter().map(|done| done.operation.id).collect();
        prefix.extend(offender.pending.iter().map(answered).chain(open()).map(|operation| operation.id));
        prefix.sort();
        Self {
            key: format!("{key:?}"),
            offender: line(offender.operation),
            states: states.iter().map(|state| format!("{state:?}")).collect(),
            concurrent: offender.pending[1..].iter().map(answered).chain(open()).map(line).collect(),
            before: schedule.answered[level.saturating_sub(BEFORE_MAX)..level]
                .iter()
                .map(|done| line(done.operation))
                .collect(),
            prefix,
        }
    }
}

fn line<Op: Debug, Reply: Debug>(operation: &Operation<Op, Reply>) -> Line {
    let Operation { id, client, invoked, op, outcome } = operation;
    let asked = format!("op{} of client {client}, tick {}", id.0, invoked.at);
    let words = match outcome {
        Outcome::Ok { reply, at } => format!("{asked} to {}: {op:?} -> {reply:?}", at.at),
        Outcome::Fail { at } => format!("{asked} to {}: {op:?} -> failed", at.at),
        Outcome::Unknown { at } => format!("{asked}, given up at {}: {op:?} -> unknown", at.at),
        Outcome::Open => format!("{asked}, still open: {op:?} -> unknown"),
    };
    Line { id: *id, words }
}

impl fmt::Display for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "key {}: no order of its operations explains this reply:", self.key)?;
        writeln!(f, "  {}", self.offender.words)?;
        let shown = &self.states[..self.states.len().min(STATES_MAX)];
        write!(f, "the key could then hold only: {}", shown.join(" or "))?;
        match self.states.len() - shown.len() {
            0 => writeln!(f)?,
            more => writeln!(f, ", or {more} more")?,
        }
        section(f, "overlapping it, or never answered", &self.concurrent)?;
        section(f, "last to return before it", &self.before)?;
        write!(f, "the first {} operations on the key are enough to show it", self.prefix.len())
    }
}

fn section(f: &mut fmt::Formatter<'_>, title: &str, lines: &[Line]) -> fmt::Result {
    if lines.is_empty() {
        return Ok(());
    }
    writeln!(f, "{title}:")?;
    lines.iter().try_for_each(|line| writeln!(f, "  {}", line.words))
}
