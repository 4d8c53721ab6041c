//! `cargo ci mutants`: plants each bug of `scenarios/mutants` in a copy of the tree, hunts it, and says which claim fell.
//!
//! A suite that stays green proves something only if it would have turned red. So every claim has bugs here that break
//! it, each of a kind that real stores had, and this command shows that the hunt finds them: [`patch`] is the
//! catalogue, [`scratch`] the copy in which bugs are planted, [`hunt`] runs the command under test and reads what it
//! reports, [`table`] is what a person sees and [`document`] what a program reads. The tree itself is never touched.

mod asked;
mod document;
mod hunt;
mod patch;
mod scratch;
mod table;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::Verdict;
use crate::error::Error;
use asked::Asked;
use hunt::{Bench, Hunted};
use patch::Mutant;
use scratch::Scratch;

/// Where the catalogue lies.
const CATALOGUE: &str = "scenarios/mutants";

/// How many mutants have to break a claim, each on its own. One might be found by luck.
const MUTANTS_PER_CLAIM: usize = 2;

/// What became of one mutant.
struct Tried {
    mutant: Mutant,
    hunted: Hunted,
    /// Whether the engine's own tests pass with it; not known if they were not run.
    survives: Option<bool>,
}

/// What became of all of them.
struct Trial {
    tried: Vec<Tried>,
    /// The claims that must be shown red.
    claims: Vec<String>,
    /// Whether the whole catalogue was tried.
    whole: bool,
    wall: Duration,
}

/// Runs the command with the words that follow its name.
pub(crate) fn run(words: &[&str]) -> Result<Verdict, Error> {
    let asked = Asked::parse(words)?;
    let root = patch::root_of_the_catalogue()?;
    let mutants = asked.choose(patch::catalogue(&root)?)?;
    if asked.check {
        return check(&root, &mutants);
    }
    let trial = hunt_all(&asked, &root, mutants)?;
    println!("{}", table::render(&trial));
    if let Some(path) = &asked.json {
        std::fs::write(path, document::render(&trial)).map_err(|source| Error::Write { path: path.clone(), source })?;
    }
    let missing = trial.missing();
    for words in &missing {
        eprintln!("cargo ci mutants: {words}");
    }
    Ok(if missing.is_empty() { Verdict::Holds } else { Verdict::Fell })
}

/// Whether every patch can still be applied. Seconds, and no build.
fn check(root: &Path, mutants: &[Mutant]) -> Result<Verdict, Error> {
    let mut stale = 0;
    for mutant in mutants {
        if let Err(error) = scratch::would_apply(root, mutant) {
            eprintln!("{error}");
            stale += 1;
        }
    }
    eprintln!("cargo ci mutants: {} patches, {stale} of them do not apply", mutants.len());
    if stale == 0 { Ok(Verdict::Holds) } else { Err(Error::Stale { patches: stale }) }
}

fn hunt_all(asked: &Asked, root: &Path, mutants: Vec<Mutant>) -> Result<Trial, Error> {
    let begun = now();
    let scratch = Scratch::copy(root, asked.keep)?;
    let bench = Bench::new(root, &scratch, asked.seeds)?;
    let claims = unharmed(asked, &bench, &mutants)?;
    let mut tried = Vec::new();
    for mutant in mutants {
        tried.push(try_one(asked, &scratch, &bench, mutant)?);
    }
    Ok(Trial { tried, claims, whole: asked.names.is_empty(), wall: begun.elapsed() })
}

/// The engine without any bug must hold under the very hunts that are to find bugs, and pass its own tests. Returns
/// what it claims.
fn unharmed(asked: &Asked, bench: &Bench<'_>, mutants: &[Mutant]) -> Result<Vec<String>, Error> {
    bench.build()?;
    let suites: BTreeSet<&str> = mutants.iter().map(|mutant| mutant.suite.as_str()).collect();
    for suite in suites {
        eprintln!("cargo ci mutants: {suite}, without a bug");
        let fallen = bench.round("none", suite, asked.seeds)?.fallen;
        if let Some(first) = fallen.first() {
            return Err(Error::NotGreen { suite: suite.to_owned(), claim: first.claim.clone(), seed: first.seed });
        }
    }
    if asked.tests && !bench.passes_tests()? {
        return Err(Error::TestsFail);
    }
    bench.claims()
}

fn try_one(asked: &Asked, scratch: &Scratch, bench: &Bench<'_>, mutant: Mutant) -> Result<Tried, Error> {
    scratch.plant(&mutant)?;
    bench.build()?;
    let hunted = bench.hunt(&mutant)?;
    let survives = if asked.tests { Some(bench.passes_tests()?) } else { None };
    scratch.weed(&mutant)?;
    let tried = Tried { mutant, hunted, survives };
    eprintln!("cargo ci mutants: {}", table::line(&tried));
    Ok(tried)
}

#[expect(clippy::disallowed_methods, reason = "tells a person how long it took; decides nothing")]
fn now() -> Instant {
    Instant::now()
}

impl Tried {
    /// Whether a claim fell that was declared, in code that was seen running.
    fn is_caught(&self) -> bool {
        self.hunted.ran && self.named().is_some()
    }

    /// The first declared claim that fell.
    fn named(&self) -> Option<&hunt::Fallen> {
        self.hunted.fallen.iter().find(|fallen| self.mutant.declares(&fallen.claim))
    }
}

impl Trial {
    /// The mutants that broke a claim: those that declare it, and under which it fell.
    fn red(&self, claim: &str) -> Vec<&str> {
        let fell = |tried: &&Tried| {
            let fallen = tried.hunted.fallen.iter().any(|fallen| fallen.claim == claim);
            tried.is_caught() && fallen && tried.mutant.declares(claim)
        };
        self.tried.iter().filter(fell).map(|tried| tried.mutant.name.as_str()).collect()
    }

    /// What is not as it should be, in words.
    fn missing(&self) -> Vec<String> {
        let mut missing: Vec<String> = self.tried.iter().filter_map(missed).collect();
        if !self.whole {
            return missing;
        }
        for claim in &self.claims {
            let red = self.red(claim).len();
            if red < MUTANTS_PER_CLAIM {
                missing.push(format!("{claim} was shown red by {red} mutants, {MUTANTS_PER_CLAIM} are needed"));
            }
        }
        let survivors = self.tried.iter().filter(|tried| tried.survives == Some(true)).count();
        let tested = self.tried.iter().filter(|tried| tried.survives.is_some()).count();
        if survivors * 2 < tested {
            missing.push(format!("{survivors} of {tested} mutants survive the engine's own tests, half should"));
        }
        missing
    }
}

fn missed(tried: &Tried) -> Option<String> {
    let name = &tried.mutant.name;
    if !tried.hunted.ran {
        return Some(format!("{name}: its code was not seen running in {} seeds", tried.hunted.seeds));
    }
    if tried.is_caught() {
        return None;
    }
    let fell: Vec<&str> = tried.hunted.fallen.iter().map(|fallen| fallen.claim.as_str()).collect();
    let fell = if fell.is_empty() { "nothing".to_owned() } else { fell.join(" ") };
    let declared = tried.mutant.claims.join(" ");
    Some(format!("{name}: {declared} did not fall in {} seeds, {fell} did", tried.hunted.seeds))
}
