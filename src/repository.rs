//! The repository base: named operations, and errors that say what a caller can do.
//!
//! Owns the classification of failed operations, and the retries of those that provably were not done, or were undone.
//! The session, and the meaning of its loss, belong to the [scope](crate::Scope); making several statements one belongs
//! to [`crate::atomic`].

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use crate::atomic::{Failed, attempt};
use crate::cell::Handle;
use crate::error::Error;
use crate::source::{ErrorClass, Source, SqlxConnection, Usage};

/// The base of a repository: a handle, and a name for error messages.
///
/// ```
/// use unstale::{Handle, Repository, RepositoryError, SqliteSource};
///
/// struct Campaigns(Repository<SqliteSource>);
///
/// impl Campaigns {
///     fn new(db: Handle<SqliteSource>) -> Self {
///         Self(Repository::new("Campaigns", db))
///     }
///
///     async fn close(&self, id: i64) -> Result<bool, RepositoryError> {
///         self.0
///             .call("close", |db| async move {
///                 let done = sqlx::query("update campaign set open = 0 where id = ?").bind(id).execute(db).await?;
///                 Ok(done.rows_affected() > 0)
///             })
///             .await
///     }
/// }
/// ```
pub struct Repository<S: Source> {
    name: &'static str,
    db: Handle<S>,
}

/// A failed operation: which one, in which scope, and what a caller can do.
#[derive(Debug)]
pub struct RepositoryError {
    /// The repository.
    pub repository: &'static str,
    /// The operation.
    pub operation: &'static str,
    /// The scope.
    pub scope: Cow<'static, str>,
    /// The generation of its session.
    pub generation: u64,
    /// What the error means.
    pub class: ErrorClass,
    /// How many attempts were made.
    pub attempts: u32,
    /// A part of it may be done, and is kept: the statement that failed was not its first, or its text holds several.
    pub partly_done: bool,
    /// How many connections there were just after it.
    pub usage: Usage,
    /// The error itself; [`Error::of`] has the library's own.
    pub source: sqlx::Error,
}

impl<S: Source> Repository<S>
where
    S::Connection: SqlxConnection,
{
    /// Creates a repository of this name over the scope of this handle.
    pub fn new(name: &'static str, db: Handle<S>) -> Self {
        Self { name, db }
    }

    /// The handle, for queries that need no name.
    pub fn db(&self) -> &Handle<S> {
        &self.db
    }

    /// Runs an operation. It is retried, with the policy's backoff and for `retry_for` at most, if the database refused it
    /// because of a concurrent operation and nothing of it was done: it was refused its first statement, and that cannot have been
    /// done in part, as a text of several can on SQLite, and a procedure on PostgreSQL.
    ///
    /// Side effects of `work` outside of the database happen once for each attempt. It is not an `async` closure, since
    /// the future of one that borrows its argument cannot be spawned.
    ///
    /// # Errors
    /// The last attempt's.
    ///
    /// # Cancel safety
    /// Safe for the session; whether the statement under way was done is unknown.
    pub async fn call<'a, T, W>(
        &'a self,
        operation: &'static str,
        work: impl Fn(&'a Handle<S>) -> W,
    ) -> Result<T, RepositoryError>
    where
        W: Future<Output = sqlx::Result<T>>,
    {
        let mut attempts = Attempts::default();
        loop {
            let before = self.db.cell().statements_done();
            let source = match work(&self.db).await {
                Ok(value) => return Ok(value),
                Err(source) => source,
            };
            let class = class::<S>(&source);
            let untouched = self.db.cell().statements_done() == before;
            let safe = class == ErrorClass::RetryStatement && untouched;
            self.wait_for_retry(operation, &mut attempts, safe, source).await?;
        }
    }

    /// Runs an operation of several statements of which all are kept or none: in a transaction of its own, inside one in a
    /// savepoint. It is committed if `work` answers `Ok` and rolled back if not.
    ///
    /// `work` gets a handle for its statements, also for other repositories over it. The handle is stale after the operation,
    /// and meanwhile other calls of the scope wait, for `queue_timeout` at most.
    ///
    /// It is retried as in [`call`](Repository::call): what was done before the refusal is undone first. If the
    /// transaction is its own, it is also retried when the database asks for a retry of the whole transaction, or the
    /// session is lost before the commit.
    ///
    /// ```
    /// # use unstale::{Handle, Repository, RepositoryError, SqliteSource};
    /// # struct Accounts(Repository<SqliteSource>);
    /// # impl Accounts {
    /// async fn transfer(&self, from: i64, to: i64, amount: i64) -> Result<(), RepositoryError> {
    ///     self.0
    ///         .atomic("transfer", |db| async move {
    ///             let change = "update account set balance = balance + ? where id = ?";
    ///             sqlx::query(change).bind(-amount).bind(from).execute(&db).await?;
    ///             sqlx::query(change).bind(amount).bind(to).execute(&db).await?;
    ///             Ok(())
    ///         })
    ///         .await
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    /// The last attempt's. [`Error::SessionBusy`] at once for a call inside `work` that does not use its handle.
    ///
    /// # Cancel safety
    /// Safe: what was done is rolled back before anything else runs on the scope. Cancelled in its commit, whether that happened is
    /// unknown.
    pub async fn atomic<T, W>(
        &self,
        operation: &'static str,
        work: impl Fn(Handle<S>) -> W,
    ) -> Result<T, RepositoryError>
    where
        W: Future<Output = sqlx::Result<T>>,
    {
        let mut attempts = Attempts::default();
        loop {
            let Failed { error, undone } = match attempt(&self.db, operation, &work, Error::into_sqlx).await {
                Ok(value) => return Ok(value),
                Err(failed) => failed,
            };
            let safe = undone.allows_another(class::<S>(&error));
            self.wait_for_retry(operation, &mut attempts, safe, error).await?;
        }
    }

    /// Waits before the next attempt; fails with the operation's error if there may be none.
    async fn wait_for_retry(
        &self,
        operation: &'static str,
        attempts: &mut Attempts,
        safe: bool,
        error: sqlx::Error,
    ) -> Result<(), RepositoryError> {
        attempts.failed += 1;
        let (source, policy) = (self.db.lender().source(), self.db.lender().policy());
        let now = source.now();
        let in_time = now.saturating_sub(*attempts.since.get_or_insert(now)) < policy.retry_for;
        if !safe || waits_for_itself(&error) || !in_time {
            return Err(self.failed(operation, safe, attempts.failed, error));
        }
        let wait = policy.backoff(attempts.failed, source.random());
        let attempts = attempts.failed;
        tracing::debug!(repository = self.name, operation, attempts, ?wait, %error, "an operation is retried");
        source.sleep(wait).await;
        Ok(())
    }

    fn failed(&self, operation: &'static str, is_undone: bool, attempts: u32, source: sqlx::Error) -> RepositoryError {
        let class = class::<S>(&source);
        let error = RepositoryError {
            repository: self.name,
            operation,
            scope: self.db.cell().name().clone(),
            generation: self.db.generation(),
            class,
            attempts,
            partly_done: class == ErrorClass::RetryStatement && !is_undone,
            usage: self.db.lender().source().usage(),
            source,
        };
        tracing::warn!(%error, "an operation failed");
        error
    }
}

/// The retries of one operation.
#[derive(Default)]
struct Attempts {
    failed: u32,
    /// When the first attempt failed.
    since: Option<Duration>,
}

/// Classifies an error: the library's own by its variant, the database's by its code.
fn class<S: Source>(error: &sqlx::Error) -> ErrorClass
where
    S::Connection: SqlxConnection,
{
    match (Error::of(error), error) {
        (Some(own), _) => own.class(),
        // The statement was done.
        (None, sqlx::Error::RowNotFound) => ErrorClass::Rejected,
        (None, error) => S::Connection::class(error),
    }
}

/// A retry would be refused at once: the call's own task holds a row stream open.
fn waits_for_itself(error: &sqlx::Error) -> bool {
    matches!(Error::of(error), Some(Error::SessionBusy { own_task: true, .. }))
}

impl RepositoryError {
    /// Returns advice for the caller.
    pub fn hint(&self) -> &'static str {
        match Error::of(&self.source) {
            Some(Error::Stale(_)) => "ask the current scope for this repository",
            Some(Error::SessionBusy { own_task: true, .. }) => {
                "read the open row stream to its end, or drop it first; inside an atomic operation use its handle"
            }
            Some(Error::SessionLost { .. }) => "`renew()` the scope if the loss can be accepted",
            Some(Error::DatabaseLost { .. }) => "open and fill a new database",
            Some(Error::Exhausted { .. }) => "end scopes sooner, or raise `sessions_max`",
            _ => match self.class {
                ErrorClass::Disconnected => {
                    "the session was lost; outside of a transaction the next call runs on a fresh one"
                }
                ErrorClass::Unavailable => "the database does not answer; try again later",
                ErrorClass::RetryTransaction => {
                    "roll back, and run the whole transaction again, as `Sessions::run` does"
                }
                ErrorClass::RetryStatement if self.partly_done => {
                    "a part of it may be done: run it with `atomic`, which undoes that and tries again"
                }
                ErrorClass::RetryStatement => "it was not done because of a concurrent operation; try again later",
                ErrorClass::OutcomeUnknown => "look whether its effect is there before retrying it",
                ErrorClass::Rejected => "a retry would not help",
            },
        }
    }
}

impl fmt::Display for RepositoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { repository, operation, scope, generation, attempts, usage, source, .. } = self;
        write!(f, "{repository}: `{operation}` failed in scope `{scope}` (session {generation}")?;
        write!(f, ", {} of {} connections lent", usage.in_use, usage.max)?;
        if *attempts > 1 {
            write!(f, ", {attempts} attempts")?;
        }
        write!(f, "): {source}; {}", self.hint())
    }
}

impl std::error::Error for RepositoryError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

impl<S: Source> Clone for Repository<S> {
    fn clone(&self) -> Self {
        Self { name: self.name, db: self.db.clone() }
    }
}

impl<S: Source> fmt::Debug for Repository<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "repository `{}` over {:?}", self.name, self.db)
    }
}
