//! What can be done to a PostgreSQL server and to the network in front of it, and when: one table for each of the two.
//!
//! A row stands beside its value: its word, its moments, how far it reaches, how it is healed and what proves that it landed.
//! Words, parsing, the lists in error messages and everything that is drawn come from the rows. A new fault is a row here and
//! its injection: [`crate::inject`] for the server, the proxy's `disturb` for the network. Pure values.

#[macro_use]
mod table;
mod error;
mod moment;
mod network;
mod server;

pub use error::FaultError;
pub use moment::Moment;
pub use network::{NetworkFault, NetworkRow};
pub use server::{Agent, Reach, ServerFault, ServerRow};
