//! The system under test: the trait [`System`], its [`Capabilities`] and its [`Extension`].
//!
//! A system is asked to start on a fresh database, to run any number of actors, and to stop. An actor is one async
//! function that *pulls* its commands from a [`Port`]; so it can keep borrowed things alive across commands (a
//! transaction, a row stream), and a nested transaction is a nested call. The harness polls that function itself and
//! decides at every gate which actor goes on.

pub use crate::capability::{Capabilities, Capability, needed};
pub use crate::extension::{Extension, Judged};
pub use crate::port::{Ended, Port};

use crate::database::Database;
use crate::history::{Failure, Report};

/// A system that lends sessions: a pool, a library, an application.
pub trait System: Sized + 'static {
    /// The name that `--system` takes.
    const NAME: &'static str;

    /// What it can do. Commands and invariants that need more are neither generated nor counted; a capability that is
    /// declared and never exercised makes an exploration inconclusive.
    fn capabilities() -> Capabilities;

    /// Its further commands, if it has any.
    fn extension() -> Option<&'static dyn Extension> {
        None
    }

    /// Starts on a fresh database that has the table `kv` with the columns `k` (its primary key) and `v`, both of integers of 8 bytes
    /// (`integer` in SQLite, `bigint` in PostgreSQL). A system that puts another table or a view in its place keeps these columns.
    ///
    /// # Errors
    /// An error here makes the plan `Inconclusive`: nothing was tried.
    ///
    /// # Cancel safety
    /// The harness never drops this future unfinished.
    fn start(database: &Database) -> impl Future<Output = Result<Self, Failure>>;

    /// Runs one actor until its port has no more commands.
    ///
    /// # Cancel safety
    /// The future is dropped unfinished when a command hangs or the plan is abandoned.
    fn actor(&self, port: Port) -> impl Future<Output = ()>;

    /// Returns the system's report about itself: its health, and its listeners. Called after all actors have ended and
    /// before the stop, for a system that has [`Capability::Reports`].
    ///
    /// # Cancel safety
    /// The future is dropped when it does not end.
    fn report(&self) -> impl Future<Output = Report> {
        std::future::ready(Report::default())
    }

    /// Gives everything back; afterwards no connection may be open.
    ///
    /// # Cancel safety
    /// The future is dropped when it does not end within the limit; that is a `no-hang` violation.
    fn stop(&self) -> impl Future<Output = ()>;
}
