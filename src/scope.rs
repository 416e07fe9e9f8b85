//! The scope: one unit of work, from its opening to its end.
//!
//! Owns what a caller can ask of a unit of work: transactions, its end, handles for others. What a handle can do by itself is in
//! `verbs`; how one call gets the session is in `call`.

use std::borrow::Cow;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;

use crate::call::{borrow, queue};
use crate::cell::{Cell, Handle};
use crate::error::Error;
use crate::session::{Happened, Loss, State};
use crate::source::{Begin, ErrorClass, Serve, Source};

/// One unit of work: a request, a job, a test. It has at most one session at a time.
///
/// Statements run in autocommit until [`begin`](Scope::begin). Dropping the scope rolls back what is open and makes every
/// handle of it stale.
pub struct Scope<S: Source> {
    handle: Handle<S>,
}

/// A failed attempt at a whole transaction.
pub(crate) struct FailedAttempt<E> {
    pub(crate) error: E,
    /// Nothing of it is kept, and another may succeed.
    pub(crate) may_retry: bool,
}

impl<S: Source> Scope<S> {
    /// Creates the scope of this cell, which has no other.
    pub(crate) fn new(cell: Cell<S>) -> Self {
        Self { handle: Handle::new(Arc::new(cell)) }
    }

    /// Returns a handle for `owner`; an error about its stale use names the owner.
    #[track_caller]
    pub fn handle(&self, owner: impl Into<Cow<'static, str>>) -> Handle<S> {
        self.handle.for_owner(owner, Location::caller())
    }

    /// The scope's number, for logs.
    pub fn id(&self) -> u64 {
        self.handle.cell().holder().id
    }

    /// How many sessions the scope has had; it grows with each recovery.
    pub fn generation(&self) -> u64 {
        self.handle.generation()
    }

    /// Begins a transaction; inside one, sets a savepoint.
    ///
    /// # Errors
    /// [`Error::NestingTooDeep`], an error of borrowing a connection, or the database's error. A connection that turns
    /// out to be dead here is replaced: nothing can be lost yet.
    ///
    /// # Cancel safety
    /// Cancel safe: a cancelled begin leaves the scope where it was; a cancelled savepoint fails its transaction.
    pub async fn begin(&self) -> Result<(), Error> {
        self.begin_with(Begin::default()).await
    }

    /// Begins a transaction in this way.
    ///
    /// # Errors
    /// As [`Scope::begin`]; [`Error::SavepointOptions`] inside a transaction.
    ///
    /// # Cancel safety
    /// As [`Scope::begin`].
    pub async fn begin_with(&self, begin: Begin) -> Result<(), Error> {
        self.handle.begin(begin).await
    }

    /// Commits the transaction, or releases the innermost savepoint. Either way it is over.
    ///
    /// # Errors
    /// [`Error::RolledBack`]: certainly nothing was kept. [`Error::CommitUnknown`]: the outcome is unknown. [`Error::TransactionLost`]: the transaction was lost before the commit.
    ///
    /// # Cancel safety
    /// Safe for the session, but whether the commit happened is unknown to the caller. The scope refuses everything
    /// else until [`rollback`](Scope::rollback) is called; with a [resolver](crate::Sessions::resolving) the next
    /// `commit` reports the outcome.
    pub async fn commit(&self) -> Result<(), Error> {
        self.handle.commit().await
    }

    /// Rolls the transaction back, or undoes everything since the innermost savepoint.
    ///
    /// # Errors
    /// [`Error::CommitUnknown`] after a commit without an answer that may have happened, [`Error::AlreadyCommitted`] after one
    /// that is known to have happened; the transaction is over then.
    ///
    /// # Cancel safety
    /// Safe for the session: the next call completes a cancelled rollback. For the caller the transaction remains until
    /// a rollback returns: call it again.
    pub async fn rollback(&self) -> Result<(), Error> {
        self.handle.rollback().await
    }

    /// Accepts that the session was lost: the next call runs on a fresh one.
    ///
    /// # Errors
    /// [`Error::DatabaseLost`]: no session can replace the lost one.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn renew(&self) -> Result<(), Error> {
        let mut queued = queue(&self.handle, "renew").await?;
        match queued.session().state() {
            State::Lost { why: Loss::Database(why) } => Err(Error::DatabaseLost { why: why.clone() }),
            State::Lost { .. } => {
                queued.session().transition(Happened::Acknowledged);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Ends the scope: waits for calls in flight, rolls back what is open, gives the connection back.
    ///
    /// # Errors
    /// The rollback's error; the scope has ended all the same.
    ///
    /// # Cancel safety
    /// Cancel safe: a dropped future ends the scope as dropping the scope does.
    pub async fn end(self) -> Result<(), Error> {
        let rolled_back = self.handle.roll_back_all().await;
        drop(self);
        rolled_back
    }

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
        self.handle.serve(request).await
    }

    /// Borrows a connection, if the scope has none.
    pub(crate) async fn borrow(&self) -> Result<(), Error> {
        borrow(&self.handle, "open").await
    }

    /// Makes one attempt at a whole transaction.
    pub(crate) async fn attempt<T, E: From<Error>>(
        &self,
        work: &impl AsyncFn(&Self) -> Result<T, E>,
    ) -> Result<T, FailedAttempt<E>> {
        if let Err(error) = self.begin().await {
            let may_retry = error.class() == ErrorClass::RetryStatement;
            return Err(FailedAttempt { error: error.into(), may_retry });
        }
        let done = work(self).await;
        // Then it would happen again.
        let has_ended_one = self.handle.has_ended_one().await;
        let error = match done {
            Ok(value) => match self.handle.commit_outermost().await {
                Ok(()) => return Ok(value),
                Err(error @ Error::CommitUnknown { .. }) => {
                    return Err(FailedAttempt { error: error.into(), may_retry: false });
                }
                Err(error) => error.into(),
            },
            Err(error) => error,
        };
        let may_retry = !has_ended_one
            && matches!(
                self.handle.just_failed().await,
                Some(ErrorClass::RetryTransaction | ErrorClass::RetryStatement)
            );
        // The rollback comes before the next attempt, which may want the same locks. A connection that cannot roll back
        // is discarded.
        let _ = self.handle.roll_back_all().await;
        Err(FailedAttempt { error, may_retry })
    }

    pub(crate) fn as_handle(&self) -> &Handle<S> {
        &self.handle
    }
}

impl<S: Source> Drop for Scope<S> {
    fn drop(&mut self) {
        self.handle.cell().end();
    }
}

impl<S: Source> fmt::Debug for Scope<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "scope `{}` #{}", self.handle.cell().name(), self.handle.cell().holder().id)
    }
}
