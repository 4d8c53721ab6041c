//! What was asked on the command line.

use std::path::PathBuf;

use super::patch::Mutant;
use crate::error::Error;

/// How many seeds of a suite a mutant is given before it counts as missed.
const SEEDS: u64 = 6_400;

pub(super) struct Asked {
    /// Which mutants; all if there is none.
    pub(super) names: Vec<String>,
    pub(super) seeds: u64,
    pub(super) json: Option<PathBuf>,
    /// Whether the engine's own tests are run against each mutant.
    pub(super) tests: bool,
    /// Whether the copy of the tree is left.
    pub(super) keep: bool,
    /// Only whether the patches apply.
    pub(super) check: bool,
}

impl Asked {
    pub(super) fn parse(words: &[&str]) -> Result<Asked, Error> {
        let mut asked = Asked { names: Vec::new(), seeds: SEEDS, json: None, tests: true, keep: false, check: false };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| Error::Usage(format!("`{word}` needs a value")));
            match *word {
                "--seeds" => asked.seeds = number(value()?)?,
                "--json" => asked.json = Some(PathBuf::from(value()?)),
                "--no-tests" => asked.tests = false,
                "--keep" => asked.keep = true,
                "--check" => asked.check = true,
                option if option.starts_with('-') => {
                    return Err(Error::Usage(format!("`{option}` is no option of `cargo ci mutants`")));
                }
                name => asked.names.push(name.to_owned()),
            }
        }
        Ok(asked)
    }

    /// Those of the catalogue that are meant.
    pub(super) fn choose(&self, catalogue: Vec<Mutant>) -> Result<Vec<Mutant>, Error> {
        if let Some(name) = self.names.iter().find(|name| !catalogue.iter().any(|mutant| mutant.name == **name)) {
            let known: Vec<&str> = catalogue.iter().map(|mutant| mutant.name.as_str()).collect();
            return Err(Error::Usage(format!("there is no mutant `{name}`; there are: {}", known.join(" "))));
        }
        let chosen = |mutant: &Mutant| self.names.is_empty() || self.names.contains(&mutant.name);
        Ok(catalogue.into_iter().filter(chosen).collect())
    }
}

fn number(word: &str) -> Result<u64, Error> {
    let number = word.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| Error::Usage(format!("expected a number of seeds, at least 1; found `{word}`")))
}

#[cfg(test)]
mod tests {
    use super::Asked;

    #[test]
    fn options_and_names_come_in_any_order() {
        let asked = Asked::parse(&["a", "--seeds", "10", "--no-tests", "b"]).expect("well asked");
        assert_eq!((asked.names, asked.seeds, asked.tests), (vec!["a".to_owned(), "b".to_owned()], 10, false));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for words in [&["--seeds"][..], &["--seeds", "0"], &["--seeds", "many"], &["--fast"], &["--json"]] {
            assert!(Asked::parse(words).is_err(), "{words:?}");
        }
    }
}
