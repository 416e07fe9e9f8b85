//! Private PostgreSQL servers for tests, and a proxy in front of them that sees, holds and disturbs what passes.
//!
//! | module | owns |
//! | --- | --- |
//! | [`NetworkFault`], [`ServerFault`], [`Moment`] | the tables of faults; pure values |
//! | [`server`] | a private server: its programs, its cluster, its processes, and that nothing of it is left |
//! | [`fleet`] | the servers that plans run on: shared, exclusive, or given |
//! | [`proxy`] | what passes between clients and a server: seen, held, disturbed |
//! | [`inject`] | server faults from their injection to their healing, with the evidence that they took effect |
//! | [`monitor`] | whether a server still works at something |
//! | `trials` (feature) | tests that need a server: run, ignored with the reason, or failed where it is required |
//!
//! Architecture invariant: nothing in here knows a plan, a model or a session library.

mod fault;

#[cfg(feature = "server")]
pub mod fleet;
#[cfg(feature = "server")]
pub mod inject;
#[cfg(feature = "server")]
pub mod monitor;
#[cfg(feature = "server")]
pub mod proxy;
#[cfg(feature = "server")]
pub mod server;
#[cfg(feature = "trials")]
pub mod trials;

pub use fault::{Agent, FaultError, Moment, NetworkFault, NetworkRow, Reach, ServerFault, ServerRow};
