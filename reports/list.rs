//! What suites say of themselves before they run: their cases, claims, faults and points, as text and as JSON.

use std::{collections::BTreeMap, fmt::Write as _};

use serde::Serialize;
use stormproof_sim::{
    hunt::Suite,
    world::fault::{FaultKind, Realm},
};

use super::{
    json::{SCHEMA, document},
    layout::{field, list, plural},
};

/// What can be listed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Topic {
    /// The suites.
    Suites,
    /// Their cases.
    Cases,
    /// What they claim.
    Invariants,
    /// What can go wrong.
    Faults,
    /// The named points of their systems.
    Points,
}

/// A list as text.
pub fn text(topic: Topic, suites: &[Box<dyn Suite>]) -> String {
    let mut out = String::new();
    match topic {
        Topic::Suites => suites.iter().for_each(|suite| suite_text(&mut out, &**suite)),
        Topic::Cases => cases(suites).iter().for_each(|case| case_text(&mut out, case)),
        Topic::Invariants => invariants(suites).iter().for_each(|claim| claim_text(&mut out, claim)),
        Topic::Faults => faults_text(&mut out),
        Topic::Points => points(suites).iter().for_each(|point| point_text(&mut out, point)),
    }
    out
}

/// A list as JSON.
pub fn json(topic: Topic, suites: &[Box<dyn Suite>]) -> Result<String, serde_json::Error> {
    match topic {
        Topic::Suites => document(&Listed { schema: SCHEMA, suites: self::suites(suites) }),
        Topic::Cases => document(&ListedCases { schema: SCHEMA, cases: cases(suites) }),
        Topic::Invariants => document(&ListedInvariants { schema: SCHEMA, invariants: invariants(suites) }),
        Topic::Faults => document(&ListedFaults { schema: SCHEMA, faults: faults().collect() }),
        Topic::Points => document(&ListedPoints { schema: SCHEMA, points: points(suites) }),
    }
}

#[derive(Serialize)]
struct Listed {
    schema: u32,
    suites: Vec<SuiteItem>,
}

#[derive(Serialize)]
struct ListedCases {
    schema: u32,
    cases: Vec<CaseItem>,
}

#[derive(Serialize)]
struct ListedInvariants {
    schema: u32,
    invariants: Vec<ClaimItem>,
}

#[derive(Serialize)]
struct ListedFaults {
    schema: u32,
    faults: Vec<FaultItem>,
}

#[derive(Serialize)]
struct ListedPoints {
    schema: u32,
    points: Vec<PointItem>,
}

#[derive(Serialize)]
struct SuiteItem {
    name: &'static str,
    about: &'static str,
    cases: Vec<&'static str>,
    claims: Vec<&'static str>,
    seeds_needed: u64,
    overlap_percent_needed: u64,
}

#[derive(Serialize)]
struct CaseItem {
    suite: &'static str,
    name: &'static str,
    hypothesis: &'static str,
    injection: &'static str,
    criterion: &'static str,
    faults_needed: &'static [FaultKind],
    sometimes: &'static [&'static str],
}

#[derive(Serialize)]
struct ClaimItem {
    id: &'static str,
    sentence: &'static str,
    suites: Vec<&'static str>,
    /// By suite, since each tries a claim in its own way.
    sometimes: BTreeMap<&'static str, Vec<&'static str>>,
}

#[derive(Serialize)]
struct FaultItem {
    name: &'static str,
    does: &'static str,
    realm: &'static str,
}

#[derive(Serialize)]
struct PointItem {
    name: &'static str,
    suites: Vec<&'static str>,
}

fn suites(suites: &[Box<dyn Suite>]) -> Vec<SuiteItem> {
    let item = |suite: &dyn Suite| SuiteItem {
        name: suite.name(),
        about: suite.about(),
        cases: suite.cases().iter().map(|case| case.name).collect(),
        claims: suite.invariants().iter().map(|invariant| invariant.claim.id).collect(),
        seeds_needed: suite.seeds_needed(),
        overlap_percent_needed: suite.overlap_percent_min(),
    };
    suites.iter().map(|suite| item(&**suite)).collect()
}

fn cases(suites: &[Box<dyn Suite>]) -> Vec<CaseItem> {
    let of_suite = |suite: &dyn Suite| {
        let name = suite.name();
        let item = |case: &stormproof_sim::hunt::Case| CaseItem {
            suite: name,
            name: case.name,
            hypothesis: case.hypothesis,
            injection: case.injection,
            criterion: case.criterion,
            faults_needed: case.faults,
            sometimes: case.sometimes,
        };
        suite.cases().iter().map(item).collect::<Vec<_>>()
    };
    suites.iter().flat_map(|suite| of_suite(&**suite)).collect()
}

fn invariants(suites: &[Box<dyn Suite>]) -> Vec<ClaimItem> {
    let mut claims: BTreeMap<&'static str, ClaimItem> = BTreeMap::new();
    for suite in suites {
        for invariant in suite.invariants() {
            let claim = invariant.claim;
            let item = claims.entry(claim.id).or_insert_with(|| ClaimItem {
                id: claim.id,
                sentence: claim.sentence,
                suites: Vec::new(),
                sometimes: BTreeMap::new(),
            });
            item.suites.push(suite.name());
            item.sometimes.entry(suite.name()).or_default().extend(invariant.sometimes);
        }
    }
    claims.into_values().collect()
}

fn faults() -> impl Iterator<Item = FaultItem> {
    FaultKind::ALL.into_iter().map(|kind| {
        let (name, does) = kind.words();
        FaultItem { name, does, realm: realm_name(kind.realm()) }
    })
}

fn realm_name(realm: Realm) -> &'static str {
    match realm {
        Realm::Disk => "disk",
        Realm::Network => "network",
        Realm::Deed => "node",
    }
}

fn points(suites: &[Box<dyn Suite>]) -> Vec<PointItem> {
    let mut points: Vec<PointItem> = Vec::new();
    for suite in suites {
        for name in suite.points() {
            match points.iter_mut().find(|point| point.name == *name) {
                Some(point) => point.suites.push(suite.name()),
                None => points.push(PointItem { name, suites: vec![suite.name()] }),
            }
        }
    }
    points
}

fn suite_text(out: &mut String, suite: &dyn Suite) {
    let _ = writeln!(out, "{}", suite.name());
    field(out, "about", suite.about());
    let cases: Vec<_> = suite.cases().iter().map(|case| case.name.to_owned()).collect();
    list(out, "cases", &cases, "none");
    let claims: Vec<_> = suite.invariants().iter().map(|invariant| invariant.claim.id.to_owned()).collect();
    list(out, "claims", &claims, "none");
    field(
        out,
        "needs",
        &format!("{} to call something unproven; with fewer it is a warning", plural(suite.seeds_needed(), "seed")),
    );
    out.push('\n');
}

fn case_text(out: &mut String, case: &CaseItem) {
    let _ = writeln!(out, "{}/{}", case.suite, case.name);
    field(out, "hypothesis", case.hypothesis);
    field(out, "injection", case.injection);
    field(out, "criterion", case.criterion);
    let faults: Vec<_> = case.faults_needed.iter().map(|kind| kind.name().to_owned()).collect();
    list(out, "faults", &faults, "none in particular");
    let sometimes: Vec<_> = case.sometimes.iter().map(|name| (*name).to_owned()).collect();
    list(out, "sometimes", &sometimes, "none of its own");
    out.push('\n');
}

fn claim_text(out: &mut String, claim: &ClaimItem) {
    let _ = writeln!(out, "{}", claim.id);
    field(out, "always", claim.sentence);
    let mut probes: Vec<String> = Vec::new();
    for name in claim.sometimes.values().flatten() {
        if !probes.iter().any(|known| known == name) {
            probes.push((*name).to_owned());
        }
    }
    list(out, "sometimes", &probes, "none: no situation is named that puts it in danger");
    let suites: Vec<_> = claim.suites.iter().map(|name| (*name).to_owned()).collect();
    list(out, "suites", &suites, "none");
    out.push('\n');
}

fn faults_text(out: &mut String) {
    for realm in [Realm::Disk, Realm::Network, Realm::Deed] {
        let _ = writeln!(out, "{}", realm_name(realm));
        for kind in FaultKind::ALL.into_iter().filter(|kind| kind.realm() == realm) {
            let (name, does) = kind.words();
            let _ = writeln!(out, "  {name:<20}{does}");
        }
    }
}

fn point_text(out: &mut String, point: &PointItem) {
    let _ = writeln!(out, "{:<44}{}", point.name, point.suites.join(", "));
}
