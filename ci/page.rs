//! `cargo ci page`: a report as a page, used in a real browser.
//!
//! The test lies with the command whose page it is, and is ignored there: it takes a browser, which not every machine
//! has. Where there is none the test says `SKIPPED` with its name and the reason, and holds.

use std::process::Command;

use crate::Verdict;
use crate::error::Error;

const ARGUMENTS: &[&str] =
    &["test", "--quiet", "--package", "stormproof", "--test", "page", "--", "--ignored", "--nocapture"];

pub(crate) fn run() -> Result<Verdict, Error> {
    let status = Command::new("cargo")
        .args(ARGUMENTS)
        .status()
        .map_err(|source| Error::Start { arguments: ARGUMENTS.join(" "), source })?;
    Ok(if status.success() { Verdict::Holds } else { Verdict::Fell })
}
