//! What a hunt found, told four ways: as text for a person, as a page for a browser, as JSON for a program, as JUnit for
//! a CI server.
//!
//! All of it is functions from a finished run to a string. Nothing here runs a suite, reads a clock or writes a file:
//! the same run always gets the same words, so reports can be compared in a diff.
//!
//! | room | what |
//! |---|---|
//! | [`run`] | what is reported of a hunt: [`RunReport`], [`Trial`] |
//! | [`replay`] | what is reported of one run played again |
//! | [`compare`] | a hunt beside an older one, read from what `json` wrote |
//! | [`list`] | what a suite says of itself before it runs |
//! | [`explore`], [`shrink`], [`explain`] | what is reported of an exploration, of a smaller plan, of its causes |
//! | [`plain`] | what is reported of cases that have no trace |
//! | [`text`], [`json`], [`junit`], [`html`] | each of the four forms |

pub mod compare;
pub mod explain;
pub mod explore;
pub mod html;
pub mod json;
pub mod junit;
mod layout;
pub mod list;
pub mod plain;
pub mod replay;
pub mod run;
pub mod shrink;
pub mod text;

pub use replay::{Mode, ReplayReport};
pub use run::{ReplayCommand, RunReport, Trial};
