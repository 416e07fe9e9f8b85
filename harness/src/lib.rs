//! Random interleavings of sessions, transactions and cancellations against a real database and a model.
//!
//! ```text
//! profile ──generate──▶ Plan ──execute──▶ History ──check──▶ Verdict ──(violation)──shrink──▶ Counterexample ──report
//! ```
//!
//! Four plain values and four functions, composed in one place: [`chain`].

#[cfg(not(any(feature = "sqlite", feature = "postgres")))]
compile_error!(
    "unstale-harness runs plans on a database: enable its feature `sqlite`, or `postgres`, or both (both are on by default)"
);

pub mod capability;
pub mod chain;
pub mod check;
pub mod coverage;
pub mod database;
pub mod erased;
pub mod execute;
pub mod explore;
pub mod extension;
pub mod generate;
pub mod history;
#[cfg(feature = "sqlite")]
mod hold;
pub mod invariant;
#[cfg(feature = "unstale")]
pub mod library;
pub mod limits;
mod local;
pub mod model;
pub mod oracle;
pub mod plan;
pub mod port;
pub mod report;
pub mod scenario;
pub mod shrink;
mod stillness;
pub mod system;
pub mod verdict;
pub use local::Local;

pub mod worker;
pub mod workload;

/// The README's examples compile.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct ReadmeExamples;

/// The guide's examples compile.
#[cfg(doctest)]
#[doc = include_str!("../../docs/GUIDE.md")]
struct GuideExamples;
