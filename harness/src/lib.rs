//! Random interleavings of sessions, transactions and cancellations against a real database and a model.
//!
//! The front door: [`check!`] inside a test, [`explore()`] and [`replay()`] for programs, and what a system is made of. The rest of
//! the modules is machinery.
#![doc = include_str!("../README.md")]

#[cfg(not(any(feature = "sqlite", feature = "postgres")))]
compile_error!(
    "unstale-harness runs plans on a database: enable its feature `sqlite`, or `postgres`, or both (both are on by default)"
);

#[doc(hidden)]
pub mod capability;
pub mod cause;
#[doc(hidden)]
pub mod chain;
#[doc(hidden)]
pub mod check;
mod clock;
#[doc(hidden)]
pub mod coverage;
pub mod database;
#[doc(hidden)]
pub mod erased;
mod execute;
pub mod explore;
mod explored;
#[doc(hidden)]
pub mod extension;
#[cfg(feature = "sqlite")]
mod fault_switch;
mod finding_file;
pub mod generate;
mod heartbeat;
pub mod history;
#[cfg(feature = "sqlite")]
mod hold;
#[doc(hidden)]
pub mod invariant;
pub mod known;
mod known_found;
#[cfg(feature = "unstale")]
pub mod library;
#[doc(hidden)]
pub mod limits;
mod local;
#[doc(hidden)]
pub mod model;
#[doc(hidden)]
pub mod oracle;
pub mod plan;
mod plan_threads;
#[doc(hidden)]
pub mod port;
mod recorder;
pub mod report;
pub mod scenario;
pub mod shrink;
pub mod spelling;
#[doc(hidden)]
pub mod stage;
mod stillness;
#[doc(hidden)]
pub mod system;
mod table_check;
#[doc(hidden)]
pub mod verdict;
#[doc(hidden)]
pub mod worker;
pub mod workload;

#[doc(inline)]
pub use capability::{Capabilities, Capability};
#[doc(inline)]
pub use chain::{Chain, Of};
#[doc(no_inline)]
pub use database::Database;
#[doc(no_inline)]
pub use explore::{Exploration, explore};
#[doc(inline)]
pub use extension::{Extension, Judged};
#[doc(no_inline)]
pub use generate::Profile;
#[doc(no_inline)]
pub use history::{Failure, Reply};
#[doc(hidden)]
pub use local::Local;
#[doc(no_inline)]
pub use plan::{Command, PlanFile};
#[doc(inline)]
pub use port::{Ended, Port};
#[doc(no_inline)]
pub use scenario::replay;
#[doc(inline)]
pub use system::System;
#[doc(inline)]
pub use verdict::{Invariant, Verdict, Violation};

/// The examples of the workspace's README compile.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct ReadmeExamples;

/// The guide's examples compile.
#[cfg(doctest)]
#[doc = include_str!("../../docs/GUIDE.md")]
struct GuideExamples;
