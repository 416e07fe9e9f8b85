//! PostgreSQL: a private server, and a proxy in front of it that sees and disturbs what goes over the wire.
//!
//! Owns nothing itself: the server is [`server`]'s, the wire [`proxy`]'s, and tests that need them are run by [`trials`].

pub mod proxy;
pub mod server;
pub mod trials;
