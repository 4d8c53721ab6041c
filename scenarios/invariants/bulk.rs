//! Bulk loads that are staged, from one batch to the next.

use std::collections::{BTreeMap, BTreeSet};

use stormproof_engine::memory::{Facts, Lsn, Outcome, RetryId};

/// B2: what has become of what was staged between two looks at a living node.
pub fn is_legal(before: &Facts, now: &Facts) -> Result<(), String> {
    let staged: BTreeSet<_> = now.staged.iter().collect();
    if staged.len() < now.staged.len() {
        return Err(format!("a load is staged twice: {:?}", now.staged));
    }
    let places: BTreeMap<RetryId, Lsn> = now.decisions.iter().map(|(retry, it)| (*retry, it.lsn)).collect();
    if let Some(retry) = now.staged.iter().find(|retry| places.contains_key(retry)) {
        return Err(format!("{:x} is decided, and staged", retry.0));
    }
    let left = before.staged.iter().position(|retry| staged.contains(retry)).unwrap_or(before.staged.len());
    let (left, stayed) = before.staged.split_at(left);
    if !now.staged.starts_with(stayed) {
        return Err(format!("{stayed:?} was staged, and it is {:?}", now.staged));
    }
    let mut last = before.lsn;
    for retry in left {
        let decided = now.decisions.iter().find(|(decided, _)| decided == retry);
        let Some((_, decision)) = decided.filter(|(_, it)| matches!(it.outcome, Outcome::Committed { .. })) else {
            return Err(format!("{:x} was staged, and did not take effect", retry.0));
        };
        if decision.lsn <= last {
            return Err(format!("{:x} has taken effect at {}, and {last} was over", retry.0, decision.lsn));
        }
        last = decision.lsn;
    }
    Ok(())
}

/// B2: nothing has failed for long, so nothing is staged any more.
pub fn is_over(facts: &Facts) -> Result<(), String> {
    if facts.staged.is_empty() { Ok(()) } else { Err(format!("all is well, and {:?} is staged", facts.staged)) }
}
