//! The connection itself, for functions that want one.
//!
//! Owns lending it for the time of one call. What is asked of it afterwards is in `call`; what it needs before its next borrower
//! gets it is the release gate's.

use futures_util::FutureExt;
use sqlx::Database;

use crate::atomic;
use crate::call::{InFlight, enter, enter_outside};
use crate::cell::Handle;
use crate::error::Error;
use crate::executor::DatabaseOf;
use crate::scope::Scope;
use crate::session::Call;
use crate::source::{Effect, Source, SqlxConnection};

/// What sqlx calls a connection of this source's database.
type ConnectionOf<S> = <DatabaseOf<S> as Database>::Connection;

impl<S: Source> Handle<S>
where
    S::Connection: SqlxConnection,
{
    /// Lends the connection itself to a function that wants `&mut PgConnection`, `&mut SqliteConnection` or an `Acquire`: a
    /// migration, COPY, an advisory lock. In plain sqlx this is `&mut *pool.acquire().await?` or `&mut *transaction`.
    ///
    /// Nothing that the function does is seen. So the connection is asked afterwards, and is given nobody else before it was cleaned
    /// (on SQLite: it is closed):
    ///
    /// - Outside of a transaction, one that the function has left open is rolled back, and that is
    ///   [`Error::TransactionLeftOpen`].
    /// - Inside of one the function has a savepoint, as in [`Handle::atomic`]: an error undoes what it did. Where it has ended the
    ///   transaction, that is [`Error::CommitUnknown`] until `rollback()`.
    ///
    /// A lost connection is the function's own error, and nothing is retried: what the function may have left on it is lost as well,
    /// so the scope goes on after [`Scope::renew`]. `statement_timeout` does not bound the function. It must not swap the connection
    /// for another, or use the names of the library's savepoints (`unstale_…`).
    ///
    /// ```
    /// # use unstale::{Policy, SqliteOptions};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let sessions = SqliteOptions::from_url("sqlite::memory:")?.open(Policy::default()).await?;
    /// async fn count(connection: &mut sqlx::SqliteConnection) -> sqlx::Result<i64> {
    ///     sqlx::query_scalar("select count(*) from sqlite_master").fetch_one(connection).await
    /// }
    ///
    /// let scope = sessions.scope("request 17");
    /// let tables = scope.with_connection("count", async |connection| count(connection).await).await?;
    /// assert_eq!(tables, 0);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The function's own. If it had none: [`Error::TransactionLeftOpen`], [`Error::CommitUnknown`]; [`Error::RolledBack`] for a
    /// transaction in which it swallowed an error of PostgreSQL's; or an error of borrowing a connection.
    ///
    /// # Cancel safety
    /// Safe for the session, as any statement; whether the function's work was done is unknown.
    pub async fn with_connection<T, E, W>(&self, operation: &'static str, work: W) -> Result<T, E>
    where
        W: AsyncFnOnce(&mut ConnectionOf<S>) -> Result<T, E>,
        E: From<Error>,
    {
        // Decided while the call has the session: a begin may be waiting for it.
        if let Some(call) = enter_outside(self, Call::Statement, operation).boxed().await? {
            return lend(self, call, operation, work).await;
        }
        let lent = async |inside: Self| {
            let call = enter(&inside, Call::Statement, operation).boxed().await?;
            lend(&inside, call, operation, work).await
        };
        atomic::attempt(self, operation, lent, E::from).await.map_err(|failed| failed.error)
    }
}

impl<S: Source> Scope<S>
where
    S::Connection: SqlxConnection,
{
    /// As [`Handle::with_connection`].
    ///
    /// # Errors
    /// As [`Handle::with_connection`].
    ///
    /// # Cancel safety
    /// As [`Handle::with_connection`].
    pub async fn with_connection<T, E, W>(&self, operation: &'static str, work: W) -> Result<T, E>
    where
        W: AsyncFnOnce(&mut ConnectionOf<S>) -> Result<T, E>,
        E: From<Error>,
    {
        self.as_handle().with_connection(operation, work).await
    }
}

async fn lend<S: Source, T, E, W>(
    handle: &Handle<S>,
    call: InFlight<'_, S>,
    operation: &'static str,
    work: W,
) -> Result<T, E>
where
    S::Connection: SqlxConnection,
    W: AsyncFnOnce(&mut ConnectionOf<S>) -> Result<T, E>,
    E: From<Error>,
{
    let mut call = call.probe().boxed().await?;
    // Whatever comes of it, a part may be done.
    handle.cell().count_statement();
    // It may be a lock for which others wait.
    call.lend_out(Effect::Lock(operation));
    let done = work(call.connection().sqlx()).await;
    if sqlx::Connection::is_in_transaction(&*call.connection().sqlx()) {
        // A transaction of sqlx's that was never dropped: it would count the next borrower's as one inside of it.
        call.leave(Effect::Permanent(operation));
    }
    let ended = call.finish_lent(done.is_err()).boxed().await;
    let value = done?;
    ended?;
    Ok(value)
}
