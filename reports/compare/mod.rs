//! Two hunts compared: what the newer one reached that the older did not, what it lost, and what fell sooner or later.
//!
//! Coverage is a set of words in a few areas, and two sets are compared: how *often* something was reached depends on
//! the number of seeds, whether it was reached at all is what a suite answers for. A hunt with fewer seeds may lose
//! something by that alone, so the number of seeds is said beside it.

pub mod read;
mod tell;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use self::read::{Document, SuiteDocument};

/// What kind of thing was covered.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Area {
    /// Steps at which somebody died.
    Deaths,
    /// Named points that were passed.
    Points,
    /// Kinds of fault behind named points.
    Strikes,
    /// Kinds of fault, by case.
    Faults,
    /// Situations that put a claim in danger.
    Sometimes,
}

/// What was covered, area by area.
pub type Covered = BTreeMap<Area, BTreeSet<String>>;

/// A hunt, alone or beside an older one.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// The verdict of the newer hunt.
    pub verdict: String,
    /// Suite by suite.
    pub suites: Vec<Compared>,
    /// Whether there was an older hunt.
    pub against: bool,
}

/// One suite.
#[derive(Clone, Debug, Serialize)]
pub struct Compared {
    /// The suite.
    pub name: String,
    /// Its verdict now; `None` if it was not run.
    pub verdict: Option<String>,
    /// Runs, now and then.
    pub seeds: Pair<u64>,
    /// How many things of each area are covered now.
    pub covered: BTreeMap<Area, u64>,
    /// What only the newer hunt covers.
    pub gained: Covered,
    /// What only the older hunt covers.
    pub lost: Covered,
    /// Whatever fell in either.
    pub failures: Vec<Detection>,
    /// Claims that fell and had not fallen.
    pub fell_anew: BTreeSet<String>,
    /// Whether runs repeated were other runs now, and had not been.
    pub newly_differs: bool,
    /// What depends on the machine.
    pub times: Speed,
}

/// Something now, and something then.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Pair<T> {
    /// In the newer hunt.
    pub new: Option<T>,
    /// In the older one.
    pub old: Option<T>,
}

/// A failure, and the lowest seed that found it.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Detection {
    /// What all failures of this cause share.
    pub fingerprint: String,
    /// `new`, `gone`, `sooner`, `later` or `same`; `fell` where there is nothing to compare with.
    pub change: &'static str,
    /// The seed.
    pub seed: Pair<u64>,
}

/// Seeds in a second of thread time.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Speed {
    /// Now and then.
    pub seeds_per_second: Pair<f64>,
    /// Now divided by then.
    pub ratio: Option<f64>,
}

impl Comparison {
    /// Compares; with nothing, if there is no older hunt.
    pub fn of(new: &Document, old: Option<&Document>) -> Self {
        let gone = old.into_iter().flat_map(|old| &old.suites).filter(|suite| new.suite(&suite.name).is_none());
        let names = new.suites.iter().chain(gone).map(|suite| suite.name.as_str());
        let suites = names.map(|name| compared(name, new, old)).collect();
        Comparison { verdict: new.verdict.clone(), suites, against: old.is_some() }
    }

    /// 1 if a claim fell that had not fallen, coverage was lost, or runs began to differ; 0 otherwise, and always where
    /// there is nothing to compare with.
    pub fn exit_code(&self) -> u8 {
        u8::from(self.against && self.suites.iter().any(Compared::is_worse))
    }
}

impl Compared {
    /// Whether the newer hunt shows less of this suite, or something worse.
    pub fn is_worse(&self) -> bool {
        !self.fell_anew.is_empty() || self.newly_differs || self.lost.values().any(|lost| !lost.is_empty())
    }
}

fn compared(name: &str, new: &Document, old: Option<&Document>) -> Compared {
    let (now, then) = (new.suite(name), old.and_then(|old| old.suite(name)));
    let (covered, before) = (now.map(covered).unwrap_or_default(), then.map(covered).unwrap_or_default());
    let is_compared = old.is_some();
    let claims = |suite: Option<&SuiteDocument>| -> BTreeSet<String> {
        suite.into_iter().flat_map(|suite| &suite.failures).map(|failure| failure.claim.clone()).collect()
    };
    let differs = |suite: Option<&SuiteDocument>| suite.is_some_and(|suite| !suite.self_check.differing.is_empty());
    let speed = Pair {
        new: now.and_then(|suite| new.speed(suite)),
        old: old.zip(then).and_then(|(old, suite)| old.speed(suite)),
    };
    Compared {
        name: name.into(),
        verdict: now.map(|suite| suite.verdict.clone()),
        seeds: Pair { new: now.map(|suite| suite.seeds), old: then.map(|suite| suite.seeds) },
        gained: if is_compared { without(&covered, &before) } else { Covered::new() },
        lost: without(&before, &covered),
        covered: covered.iter().map(|(area, words)| (*area, words.len() as u64)).collect(),
        failures: detections(now, then, is_compared),
        fell_anew: claims(now).difference(&claims(then)).filter(|_| is_compared).cloned().collect(),
        newly_differs: is_compared && differs(now) && !differs(then),
        times: Speed { seeds_per_second: speed, ratio: speed.new.zip(speed.old).map(|(new, old)| new / old) },
    }
}

/// What a suite has covered, in words.
fn covered(suite: &SuiteDocument) -> Covered {
    let deaths = suite.steps.iter().filter(|step| step.deaths > 0);
    let deaths = deaths.map(|step| format!("{} {} after {}", step.call, step.path, step.after));
    let points = suite.points.iter().filter(|point| point.passed > 0).map(|point| point.name.clone());
    let strikes = suite.strikes.iter().filter(|strike| strike.times > 0);
    let strikes = strikes.map(|strike| format!("{} after {}", strike.fault, strike.after));
    let faults = suite.cases.iter().flat_map(|case| reached(&case.faults, &case.name));
    let of_cases = suite.cases.iter().flat_map(|case| reached(&case.sometimes, &case.name));
    let of_claims = suite.claims.iter().flat_map(|claim| &claim.sometimes).filter(|(_, times)| **times > 0);
    let sometimes = of_claims.map(|(name, _)| name.clone()).chain(of_cases);
    Covered::from([
        (Area::Deaths, deaths.collect()),
        (Area::Points, points.collect()),
        (Area::Strikes, strikes.collect()),
        (Area::Faults, faults.collect()),
        (Area::Sometimes, sometimes.collect()),
    ])
}

/// What was reached in a case.
fn reached<'a>(counts: &'a BTreeMap<String, u64>, case: &'a str) -> impl Iterator<Item = String> + 'a {
    counts.iter().filter(|(_, times)| **times > 0).map(move |(name, _)| format!("{name} in {case}"))
}

fn without(some: &Covered, others: &Covered) -> Covered {
    let none = BTreeSet::new();
    let rest = |(area, words): (&Area, &BTreeSet<String>)| {
        let rest: BTreeSet<_> = words.difference(others.get(area).unwrap_or(&none)).cloned().collect();
        (!rest.is_empty()).then_some((*area, rest))
    };
    some.iter().filter_map(rest).collect()
}

fn detections(now: Option<&SuiteDocument>, then: Option<&SuiteDocument>, is_compared: bool) -> Vec<Detection> {
    let seeds = |suite: Option<&SuiteDocument>| -> BTreeMap<String, u64> {
        let failures = suite.into_iter().flat_map(|suite| &suite.failures);
        failures.map(|failure| (failure.fingerprint.clone(), failure.seed)).collect()
    };
    let (now, then) = (seeds(now), seeds(then));
    let all: BTreeSet<&String> = now.keys().chain(then.keys()).collect();
    let detection = |fingerprint: &String| {
        let seed = Pair { new: now.get(fingerprint).copied(), old: then.get(fingerprint).copied() };
        let change = match (seed.new, seed.old) {
            (Some(_), None) if is_compared => "new",
            (Some(_), None) => "fell",
            (None, _) => "gone",
            (Some(new), Some(old)) if new < old => "sooner",
            (Some(new), Some(old)) if new > old => "later",
            (Some(_), Some(_)) => "same",
        };
        Detection { fingerprint: fingerprint.clone(), change, seed }
    };
    all.into_iter().map(detection).collect()
}
