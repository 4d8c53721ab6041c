//! Writes that are held while the disk takes none, from one batch to the next.

use std::collections::{BTreeMap, BTreeSet};

use stormproof_engine::memory::{BreakerFacts, Facts, Lsn, RetryId};

/// B1: what has become of the breaker and of the queue between two looks at a living node.
pub fn is_legal(before: &Facts, now: &Facts) -> Result<(), String> {
    breaker_is_legal(before.breaker, now.breaker)?;
    let held: BTreeSet<_> = now.held.iter().collect();
    if held.len() < now.held.len() {
        return Err(format!("a write is held twice: {:?}", now.held));
    }
    let places: BTreeMap<RetryId, (Lsn, u32)> =
        now.decisions.iter().map(|(retry, decision)| (*retry, (decision.lsn, decision.place))).collect();
    if let Some(retry) = now.held.iter().find(|retry| places.contains_key(retry)) {
        return Err(format!("{:x} is decided, and held to be tried again", retry.0));
    }
    let left = before.held.iter().position(|retry| held.contains(retry)).unwrap_or(before.held.len());
    let (left, stayed) = before.held.split_at(left);
    if !now.held.starts_with(stayed) {
        return Err(format!("{stayed:?} was held, and it is {:?}", now.held));
    }
    if !stayed.is_empty() {
        // Whoever waited for managers was let in before.
        let known: BTreeSet<_> = before.decisions.iter().map(|(retry, _)| retry).collect();
        let waited = |retry: &RetryId| before.waiting.iter().any(|(waiting, _)| waiting == retry);
        let new = now.decisions.iter().map(|(retry, _)| retry).filter(|retry| !known.contains(retry));
        if let Some(retry) = new.into_iter().find(|retry| !left.contains(retry) && !waited(retry)) {
            return Err(format!("{:x} is decided, and {stayed:?} was held before it came", retry.0));
        }
    }
    let mut last = None;
    for retry in left {
        let Some(&place) = places.get(retry) else {
            return Err(format!("{:x} was held, and is forgotten", retry.0));
        };
        if last.replace(place).is_some_and(|last| last >= place) {
            return Err(format!("{:x} has taken effect at {place:?}, before one that was held before it", retry.0));
        }
    }
    Ok(())
}

/// B1: nothing has failed for long, so nothing is held any more.
pub fn is_over(facts: &Facts) -> Result<(), String> {
    match (&facts.held[..], facts.breaker) {
        ([], BreakerFacts::Closed { .. }) => Ok(()),
        (held, breaker) => Err(format!("all is well, the breaker is {breaker:?}, and {held:?} is held")),
    }
}

fn breaker_is_legal(before: BreakerFacts, now: BreakerFacts) -> Result<(), String> {
    use BreakerFacts::{Closed, HalfOpen, Open};
    // A batch of a look's time is one trial at most, so that no step is missed; of arrivals, several may have gone by.
    let legal = match (before, now) {
        (Closed { .. }, Closed { .. } | Open { .. }) | (Open { .. }, Open { .. }) | (HalfOpen { .. }, Open { .. }) => {
            true
        }
        (Open { needed } | HalfOpen { needed }, Closed { failures }) => needed == 1 && failures == 0,
        (Open { needed: before } | HalfOpen { needed: before }, HalfOpen { needed }) => {
            needed == before || needed + 1 == before
        }
        (Closed { .. }, HalfOpen { .. }) => false,
    };
    if legal { Ok(()) } else { Err(format!("the breaker was {before:?}, and is {now:?}")) }
}
