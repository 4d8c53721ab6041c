//! Weaker faults: milder, shorter, earlier, and said in terms of the protocol.

use crate::{
    hunt::scenario::AnyPlan,
    world::{
        coverage::Struck,
        draw::Ppm,
        fault::{Fault, FaultKind, Trigger},
        span::Time,
    },
};

/// Faults that are weaker than this one, or say better when they strike; the most telling first.
pub(super) fn weaker(fault: &Fault, struck: &[Struck]) -> Vec<Fault> {
    let kinds = milder(fault.kind).map(|kind| Fault { kind, ..fault.clone() });
    let struck = struck.iter().find(|struck| struck.fault == fault.id);
    let placed = struck.map(|struck| placed(fault, struck)).unwrap_or_default();
    let triggers = placed.into_iter().chain(earlier(&fault.at));
    let triggers = triggers.map(|at| Fault { at, ..fault.clone() });
    kinds.into_iter().chain(triggers).chain(shorter(fault)).filter(|weaker| weaker != fault).collect()
}

/// All faults one passing earlier: what is right where an operation before them has gone.
pub(super) fn sooner(mut plan: AnyPlan) -> AnyPlan {
    for fault in &mut plan.faults {
        match &mut fault.at {
            Trigger::Point { hit, .. } | Trigger::Beyond { hit, .. } if *hit > 1 => *hit -= 1,
            // Of the calls of one kind an operation makes one, as a rule.
            Trigger::Call { op: Some(_), nth, .. } if *nth > 1 => *nth -= 1,
            Trigger::Time(_)
            | Trigger::Point { .. }
            | Trigger::Call { .. }
            | Trigger::Beyond { .. }
            | Trigger::Effect { .. } => {}
        }
    }
    plan
}

/// The next milder kind of the same family.
fn milder(kind: FaultKind) -> Option<FaultKind> {
    match kind {
        FaultKind::HostLoss => Some(FaultKind::PowerLoss),
        FaultKind::PowerLoss | FaultKind::RestartLoop | FaultKind::JobOrphan => Some(FaultKind::Kill),
        FaultKind::PartitionTwoWay | FaultKind::Flapping => Some(FaultKind::PartitionOneWay),
        FaultKind::DiskStall => Some(FaultKind::SlowDisk),
        _ => None,
    }
}

/// The place where it struck, for a trigger that says a time or counts all calls of the run.
fn placed(fault: &Fault, struck: &Struck) -> Vec<Trigger> {
    let place = struck.place;
    let beyond = |nth, after| Trigger::Beyond { name: place.point.into(), hit: place.hit, nth, after };
    match &fault.at {
        Trigger::Call { op: None, path: None, after, .. } if fault.kind.is_death() => vec![beyond(place.steps, *after)],
        Trigger::Time(_) if fault.kind.is_death() && place.steps > 0 => {
            vec![beyond(place.steps, true), beyond(place.steps, false)]
        }
        Trigger::Time(_) if place.point != "boot" => {
            vec![Trigger::Point { name: place.point.into(), hit: place.hit }]
        }
        Trigger::Time(_)
        | Trigger::Point { .. }
        | Trigger::Call { .. }
        | Trigger::Beyond { .. }
        | Trigger::Effect { .. } => Vec::new(),
    }
}

fn earlier(at: &Trigger) -> Vec<Trigger> {
    match at.clone() {
        Trigger::Time(time) => lower(time.0).map(|time| Trigger::Time(Time(time))).collect(),
        Trigger::Point { name, hit } => {
            lower(hit.into()).map(|hit| Trigger::Point { name: name.clone(), hit: hit.max(1) as u32 }).collect()
        }
        Trigger::Call { op, path, nth, after } => {
            let call = |nth: u64, after| Trigger::Call { op, path: path.clone(), nth: nth.max(1) as u32, after };
            lower(nth.into()).map(|nth| call(nth, after)).chain(after.then(|| call(nth.into(), false))).collect()
        }
        Trigger::Beyond { name, hit, nth, after } => {
            let beyond = |hit: u64, nth: u64, after| Trigger::Beyond {
                name: name.clone(),
                hit: hit.max(1) as u32,
                nth: nth.max(1) as u32,
                after,
            };
            let hits = lower(hit.into()).map(|hit| beyond(hit, nth.into(), after));
            let calls = lower(nth.into()).map(|nth| beyond(hit.into(), nth, after));
            hits.chain(calls).chain(after.then(|| beyond(hit.into(), nth.into(), false))).collect()
        }
        Trigger::Effect { nth } => lower(nth.into()).map(|nth| Trigger::Effect { nth: nth.max(1) as u32 }).collect(),
    }
}

/// Numbers below one, from the lowest.
fn lower(number: u64) -> impl Iterator<Item = u64> {
    [0, 1, number / 2, number.saturating_sub(1)].into_iter().filter(move |lower| *lower < number)
}

fn shorter(fault: &Fault) -> Vec<Fault> {
    let mut list = Vec::new();
    let always = Ppm(1_000_000);
    if let Some(time) = fault.lasting {
        list.push(Fault { lasting: None, chance: always, ..fault.clone() });
        list.push(Fault { chance: always, ..fault.clone() });
        list.push(Fault { lasting: Some(Time(time.0 / 2)).filter(|time| time.0 > 1_000_000), ..fault.clone() });
    }
    list.extend(lower(fault.amount).map(|amount| Fault { amount, ..fault.clone() }));
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weakening_ends() {
        let at = Trigger::Beyond { name: "p".into(), hit: 9, nth: 30, after: true };
        let mut fault = Fault::new(1, FaultKind::HostLoss, at).lasting(Time::secs(9), Ppm(3)).amount(77);
        let mut steps = 0;
        while let Some(weaker) = weaker(&fault, &[]).pop() {
            fault = weaker;
            steps += 1;
            assert!(steps < 1_000, "{fault:?}");
        }
        assert_eq!((fault.kind, fault.amount, fault.lasting), (FaultKind::Kill, 0, None));
    }
}
