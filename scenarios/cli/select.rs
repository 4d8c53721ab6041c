//! Which suites and cases are meant by the words `SUITE` and `SUITE/CASE`.

use stormproof_sim::hunt::Suite;

use super::error::CliError;

/// A suite, and those of its cases that were asked for.
pub(super) struct Chosen<'a> {
    pub(super) suite: &'a dyn Suite,
    /// By place; empty for the whole suite.
    pub(super) cases: Vec<usize>,
}

/// What the words mean; every suite if there are none. A suite named whole stays whole, whatever else is named of it.
pub(super) fn choose<'a>(suites: &'a [Box<dyn Suite>], words: &[String]) -> Result<Vec<Chosen<'a>>, CliError> {
    if words.is_empty() {
        return Ok(suites.iter().map(|suite| Chosen { suite: &**suite, cases: Vec::new() }).collect());
    }
    let mut chosen: Vec<Chosen<'a>> = Vec::new();
    for word in words {
        let (suite, case) = one(suites, word)?;
        match chosen.iter_mut().find(|known| known.suite.name() == suite.name()) {
            None => chosen.push(Chosen { suite, cases: case.into_iter().collect() }),
            Some(known) => match case {
                None => known.cases.clear(),
                Some(case) if known.cases.is_empty() || known.cases.contains(&case) => {}
                Some(case) => known.cases.push(case),
            },
        }
    }
    Ok(chosen)
}

/// What one word means.
pub(super) fn one<'a>(suites: &'a [Box<dyn Suite>], word: &str) -> Result<(&'a dyn Suite, Option<usize>), CliError> {
    let (suite, case) = word.split_once('/').map_or((word, None), |(suite, case)| (suite, Some(case)));
    let suite = find(suites, suite)?;
    let Some(case) = case else { return Ok((suite, None)) };
    let place = suite.cases().iter().position(|known| known.name == case);
    let no_case = || {
        let known: Vec<_> = suite.cases().iter().map(|case| case.name).collect();
        CliError::NoCase { suite: suite.name().into(), found: case.into(), known: known.join(", ") }
    };
    Ok((suite, Some(place.ok_or_else(no_case)?)))
}

/// The suite of this name.
pub(super) fn find<'a>(suites: &'a [Box<dyn Suite>], name: &str) -> Result<&'a dyn Suite, CliError> {
    let suite = suites.iter().find(|suite| suite.name() == name);
    let no_suite = || {
        let known: Vec<_> = suites.iter().map(|suite| suite.name()).collect();
        CliError::NoSuite { found: name.into(), known: known.join(", ") }
    };
    suite.map(|suite| &**suite).ok_or_else(no_suite)
}
