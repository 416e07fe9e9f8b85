//! The system under test in a storm.
//!
//! Owns the trait. A [`System`](unstale_harness::system::System) is stopped at gates on one thread; here many actors call at once, from
//! whatever thread, and everything is `Send`.

use sqlx::postgres::PgConnectOptions;

use super::work::{Answer, Begun, Task};

/// A system that many actors use at the same time.
pub trait StormSystem: Sized + Send + Sync + 'static {
    /// Its name.
    const NAME: &'static str;

    /// Makes it ready, with at most so many connections.
    ///
    /// # Errors
    /// Why not, in words.
    ///
    /// # Cancel safety
    /// It is never cancelled.
    fn start(options: PgConnectOptions, connections: u32) -> impl Future<Output = Result<Self, String>> + Send;

    /// Does one task, once: a failure is returned and not retried.
    ///
    /// # Cancel safety
    /// It is cancelled at any point, and the system has to be usable afterwards. Before it may take effect, it says so.
    fn work(&self, task: &Task, begun: &Begun) -> impl Future<Output = Answer> + Send;

    /// How many connections are lent, as the system says.
    fn lent(&self) -> u32;

    /// Closes it.
    ///
    /// # Cancel safety
    /// It is cancelled when it takes too long; the system is not used afterwards.
    fn stop(&self) -> impl Future<Output = ()> + Send;
}
