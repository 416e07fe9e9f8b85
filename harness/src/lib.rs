//! Random interleavings of sessions, transactions and cancellations against a real database and a model.
//!
//! ```text
//! profile ──generate──▶ Plan ──execute──▶ History ──check──▶ Verdict ──(violation)──shrink──▶ Counterexample ──report
//! ```
//!
//! Four plain values and four functions, composed in one place: [`chain`].

pub mod chain;
pub mod check;
pub mod coverage;
pub mod database;
pub mod execute;
pub mod explore;
pub mod free;
pub mod generate;
pub mod history;
mod hold;
pub mod model;
pub mod oracle;
pub mod plan;
pub mod postgres;
pub mod report;
pub mod scenario;
pub mod shrink;
pub mod sim;
mod stillness;
pub mod system;
pub mod systems;
pub mod worker;
pub mod workload;
pub mod zoo;

/// The README's examples compile.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct ReadmeExamples;

/// The guide's examples compile.
#[cfg(doctest)]
#[doc = include_str!("../../docs/GUIDE.md")]
struct GuideExamples;
