//! Private PostgreSQL servers for tests, and a proxy in front of them that sees, holds and disturbs what passes.
//!
//! | module | owns |
//! | --- | --- |
//! | [`NetworkFault`], [`ServerFault`], [`Moment`] | the names of faults, and which go together; pure values |
//! | [`server`] | a private server: its programs, its cluster, its processes, and that nothing of it is left |
//! | [`fleet`] | which server is whose: shared by all, one's own, or given by somebody else |
//! | [`proxy`] | what passes between clients and a server: seen, held, disturbed |
//! | [`inject`] | what is done to a server and its backends, with the evidence that it took effect |
//! | [`monitor`] | whether a server still works at something |
//! | [`trials`] | tests that need a server: run, ignored with the reason, or failed where it is required |
//!
//! Architecture invariant: nothing in here knows a plan, a model or a session library.

mod network_fault;
mod server_fault;

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

pub use network_fault::{FaultError, Moment, NetworkFault};
pub use server_fault::ServerFault;
