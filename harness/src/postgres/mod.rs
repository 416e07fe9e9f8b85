//! PostgreSQL: a private server, and a proxy in front of it that sees and disturbs what goes over the wire.
//!
//! Owns nothing itself: the server is [`server`]'s, and those that plans have for themselves [`fleet`]'s; the wire is
//! [`proxy`]'s; `monitor` asks a server whether it still works; `strike` harms one; tests that need a server are run by
//! [`trials`].

pub mod fleet;
pub(crate) mod monitor;
pub mod proxy;
pub mod server;
pub(crate) mod strike;
pub mod trials;
