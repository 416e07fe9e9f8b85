//! PostgreSQL: a private server, and a proxy in front of it that sees and disturbs what goes over the wire.
//!
//! Owns nothing itself: the server is [`server`]'s, the wire [`proxy`]'s.

pub mod proxy;
pub mod server;
