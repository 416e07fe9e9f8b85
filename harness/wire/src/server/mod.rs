//! A private PostgreSQL server.
//!
//! Owns a cluster from its creation to its removal, and the stopping, killing and freezing of its processes. It is
//! synchronous and every wait is bounded, so that it can be used in statics, in `drop` and in tests of every kind. It
//! knows nothing of plans, and never touches a server that it did not start.

mod account;
mod binaries;
mod error;
mod log;
mod place;
mod postmaster;
mod private;
mod processes;
mod settings;

pub use self::binaries::{Binaries, VERSION_MIN};
pub use self::error::ServerError;
pub use self::private::{Server, Shutdown, Signal};
