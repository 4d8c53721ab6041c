//! Reports as pages for a browser: one file each, which needs no network and says nothing to one.
//!
//! The same run gives the same bytes, but for the block `times` at the end of a hunt's page. Whatever comes of a run is
//! words and nothing else: it is escaped where it is written, and the page's policy forbids the rest.
//!
//! | room | what |
//! |---|---|
//! | [`page`](mod@page) | the frame of every page, and its parts: banner, tables, facts |
//! | [`hunt`] | a hunt: verdicts, matrices, claims, and the story of each failure |
//! | [`replay`](mod@replay) | one run played again |
//! | [`compare`](mod@compare) | a hunt beside an older one |
//! | [`explore`](mod@explore), [`explain`](mod@explain) | every crash of a workload; why a plan fails |
//! | [`plain`](mod@plain) | whatever else has cases that hold or fall |
//! | [`story`](mod@story) | one run, event by event, beside its picture |
//! | [`timeline`] | the picture |
//! | [`matrix`](mod@matrix) | faults by protocol step |
//!
//! A page of another kind is [`page()`](page::page) around [`banner`](page::banner()), [`story()`](story::story) and
//! what else it needs.

mod compare;
mod explain;
mod explore;
mod hunt;
pub mod matrix;
pub mod page;
mod plain;
mod replay;
pub mod story;
mod timeline;
mod words;

pub use compare::compare;
pub use explain::explain;
pub use explore::explore;
pub use hunt::render;
pub use matrix::matrix;
pub use maud::Markup;
pub use page::page;
pub use plain::plain;
pub use replay::replay;
pub use story::{Story, story};
