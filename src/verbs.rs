//! The verbs of a handle.
//!
//! Owns the entries into `call` and `atomic`, and operations made of several calls. What a handle is bound to is in
//! `cell`; statements through sqlx are in `executor`.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::atomic;
use crate::call::{begin, enter, queue};
use crate::cell::Handle;
use crate::error::Error;
use crate::session::Call;
use crate::source::{Begin, ErrorClass, Serve, Source};

impl<S: Source> Handle<S> {
    /// Serves one request on the scope's session. See [`Serve`].
    ///
    /// # Errors
    /// As any call: [`Error`].
    ///
    /// # Cancel safety
    /// Safe for the session; whether the request was done is unknown.
    pub async fn serve(
        &self,
        request: <S::Connection as Serve>::Request,
    ) -> Result<<S::Connection as Serve>::Reply, Error>
    where
        S::Connection: Serve,
    {
        let mut call = enter(self, Call::Statement, "serve").await?;
        let result = call.patience().answer(call.connection().serve(request)).await?;
        call.finish(result).await
    }

    /// Runs several statements of which all are kept or none: in a transaction of their own, inside one in a savepoint. It is
    /// committed if `work` answers `Ok` and rolled back if not. `work` gets a handle for its statements, which is stale
    /// after it; meanwhile other calls of the scope wait.
    ///
    /// A [`Repository`](crate::Repository) has the same [with a name and retries](crate::Repository::atomic).
    ///
    /// # Errors
    /// The error of `work`; otherwise as [`Scope::begin`](crate::Scope::begin) and [`Scope::commit`](crate::Scope::commit).
    /// [`Error::SessionBusy`] for a call of the scope inside `work` that does not use its handle.
    ///
    /// # Cancel safety
    /// Safe: what was done so far is rolled back before anything else runs on the scope. Cancelled in its commit, whether that
    /// happened is unknown.
    pub async fn atomic<T, E, W>(&self, operation: &'static str, work: impl FnOnce(Self) -> W + Send) -> Result<T, E>
    where
        W: Future<Output = Result<T, E>>,
        E: From<Error>,
    {
        atomic::attempt(self, operation, work, E::from).await.map_err(|failed| failed.error)
    }

    /// Begins a transaction, or sets a savepoint.
    ///
    /// Boxed, as the other ends of a level: callers nest their futures in theirs, and the compiler follows only so deep.
    pub(crate) fn begin(&self, how: Begin) -> BoxFuture<'_, Result<(), Error>> {
        async move { begin(self, how).await.map(drop) }.boxed()
    }

    /// Commits the innermost level.
    pub(crate) fn commit(&self) -> BoxFuture<'_, Result<(), Error>> {
        async move { queue(self, "commit").await?.commit("commit").await }.boxed()
    }

    /// Rolls the innermost level back.
    pub(crate) fn rollback(&self) -> BoxFuture<'_, Result<(), Error>> {
        async move { queue(self, "rollback").await?.rollback("rollback").await }.boxed()
    }

    /// Commits the outermost level, whatever was begun inside it and not ended: that is rolled back before.
    pub(crate) async fn commit_outermost(&self) -> Result<(), Error> {
        self.roll_back_to(1, "commit").await?;
        self.commit().await
    }

    /// Rolls every level back.
    pub(crate) async fn roll_back_all(&self) -> Result<(), Error> {
        self.roll_back_to(0, "end").await
    }

    /// Rolls the levels back that were begun inside this many.
    fn roll_back_to(&self, levels: u32, operation: &'static str) -> BoxFuture<'_, Result<(), Error>> {
        async move {
            loop {
                let mut queued = queue(self, operation).await?;
                if queued.session().depth() <= levels {
                    return Ok(());
                }
                queued.rollback(operation).await?;
            }
        }
        .boxed()
    }

    /// Returns why the last call in the transaction failed, if it did.
    pub(crate) fn just_failed(&self) -> BoxFuture<'_, Option<ErrorClass>> {
        async move { queue(self, "run").await.ok()?.session().just_failed() }.boxed()
    }

    /// Whether the scope has ended a transaction: something may be kept then, whatever becomes of the next one.
    pub(crate) fn has_ended_one(&self) -> BoxFuture<'_, bool> {
        async move { queue(self, "run").await.is_ok_and(|mut queued| queued.session().has_ended_one()) }.boxed()
    }
}
