//! What the outcome of a call comes to.
//!
//! Owns what follows from the database's answer, and what is asked when the answer does not say it: after a refused statement,
//! a refused end, a connection that is gone. What the state makes of it is [`Session::transition`]'s.
//!
//! [`Session::transition`]: crate::session::Session::transition

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Entered;
use crate::error::Error;
use crate::session::{Call, Happened, Loss, State};
use crate::sessions::{Gone, control, in_transaction};
use crate::source::{Class, Connection, Control, Effect, Failure, Source};

impl<S: Source> Entered<'_, S> {
    /// Runs a statement of the library's own, under a limit.
    pub(crate) async fn control(&mut self, control: Control, limit: Duration) -> Result<(), Failure> {
        let inner = &self.queued.cell().inner;
        let Some(lease) = self.queued.session.as_mut().and_then(|it| it.lease_mut()) else {
            return Err(Failure::new(Class::Dead, "there is no connection"));
        };
        inner.in_time(limit, lease.control(control)).await
    }

    /// As [`Entered::control`], for what may be repeated without harm.
    async fn insist(&mut self, undo: Control, limit: Duration) -> Result<(), Failure> {
        let inner = &self.queued.cell().inner;
        let Some(lease) = self.queued.session.as_mut().and_then(|it| it.lease_mut()) else {
            return Err(Failure::new(Class::Dead, "there is no connection"));
        };
        inner.in_time(limit, control(lease, undo, inner.policy.attempts_max)).await
    }

    /// After the outermost end: undoes what the begin set on the connection.
    pub(crate) async fn reset(&mut self) -> Result<(), Failure> {
        let outermost = self.depth() == 1;
        if !outermost || !self.queued.session().begun().read_only {
            return Ok(());
        }
        let limit = self.queued.cell().inner.policy.end_timeout;
        if self.insist(Control::Reset, limit).await.is_err() {
            // The transaction is over all the same; the connection is not lent again.
            self.leave(Effect::ForGood("a read-only setting"));
        }
        Ok(())
    }

    /// Ends the call with its outcome, and says what it comes to.
    pub(crate) async fn finish<T>(mut self, result: Result<T, Failure>) -> Result<T, Error> {
        let failure = match result {
            Ok(value) => {
                self.unguard(Control::Commit).await?;
                self.queued.session().transition(Happened::Succeeded);
                self.queued.cell().statements_done.fetch_add(1, Ordering::AcqRel);
                return Ok(value);
            }
            Err(failure) => failure,
        };
        let depth = self.depth();
        if matches!(failure.class, Class::Dead | Class::Unknown) {
            return Err(self.died(failure));
        }
        if S::Connection::ABORTS && depth > 0 {
            // Nothing further can be done in it, not even the same once more.
            self.queued.cell().statements_done.fetch_add(1, Ordering::AcqRel);
        }
        // A test's own transaction may have gone with it, also outside of the caller's.
        if depth > 0 && !S::Connection::ABORTS || self.queued.cell().inner.joint.is_some() {
            match self.in_transaction().await {
                Ok(false) if depth > 0 => {
                    let why = failure.to_string();
                    self.queued.session().transition(Happened::TransactionOver(why.clone()));
                    return Err(self.queued.lost(self.operation, &Loss::Transaction(why)));
                }
                Ok(_) => {}
                Err(failure) => return Err(self.died(failure)),
            }
        }
        self.unguard(Control::Rollback).await?;
        self.queued.session().transition(Happened::Refused(failure.class));
        Err(failure.into())
    }

    /// Keeps or undoes, in a test, what a statement outside of a transaction did in a savepoint of its own.
    async fn unguard(&mut self, end: Control) -> Result<(), Error> {
        let alone = matches!(self.queued.session().state(), State::Calling { call: Call::Statement, depth: 0 });
        if !alone || !self.queued.session().lease_mut().is_some_and(|it| it.is_guarded()) {
            return Ok(());
        }
        let limit = self.queued.cell().inner.policy.end_timeout;
        self.control(end, limit).await.map_err(|failure| self.died(failure))
    }

    /// Ends a commit that the database did not answer with yes.
    pub(crate) async fn finish_commit(mut self, failure: Failure) -> Result<(), Error> {
        let depth = self.depth();
        if matches!(failure.class, Class::Dead | Class::Unknown) {
            return if depth == 1 { self.finish_unknown(failure).await } else { Err(self.died(failure)) };
        }
        let rolled_back = match self.in_transaction().await {
            Ok(false) if depth == 1 => Ok(()),
            Ok(false) => {
                let why = failure.to_string();
                let session = self.queued.session();
                session.transition(Happened::TransactionOver(why.clone()));
                session.transition(Happened::Acknowledged);
                return Err(self.queued.lost(self.operation, &Loss::Transaction(why)));
            }
            Ok(true) => self.undo(depth).await,
            Err(failure) => Err(failure),
        };
        if rolled_back.is_err() {
            // It was not committed, and without its connection it will not be.
            self.give_up("it could not be rolled back after its commit was refused", Gone::Silent);
        } else {
            self.queued.session().transition(Happened::NotKept(failure.class));
        }
        Err(Error::RolledBack { source: failure.source })
    }

    /// Ends a rollback: it always succeeds, since a connection that cannot do it is given up.
    pub(crate) async fn roll_back(mut self) -> Result<(), Error> {
        let depth = self.depth();
        match self.undo(depth).await {
            Ok(()) => {
                self.reset().await.map_err(Error::from)?;
                self.queued.session().transition(Happened::Succeeded);
            }
            Err(failure) => match self.in_transaction().await {
                // It had ended by itself.
                Ok(false) if depth == 1 => self.queued.session().transition(Happened::Succeeded),
                Ok(false) => {
                    let session = self.queued.session();
                    session.transition(Happened::TransactionOver(failure.to_string()));
                    session.transition(Happened::Acknowledged);
                }
                _ => self.give_up(&failure.to_string(), Gone::of(&failure)),
            },
        }
        Ok(())
    }

    async fn undo(&mut self, depth: u32) -> Result<(), Failure> {
        let limit = self.queued.cell().inner.policy.end_timeout;
        let undo = if depth == 1 { Control::Rollback } else { Control::RollbackTo(depth - 1) };
        self.insist(undo, limit).await
    }

    async fn in_transaction(&mut self) -> Result<bool, Failure> {
        let inner = &self.queued.cell().inner;
        let limit = inner.policy.settle_timeout;
        self.queued.session().ask();
        let Some(lease) = self.queued.session.as_mut().and_then(|it| it.lease_mut()) else {
            return Err(Failure::new(Class::Dead, "there is no connection"));
        };
        let answer = inner.in_time(limit, in_transaction(lease, inner.policy.attempts_max)).await;
        if answer.is_ok() {
            self.queued.session().answered();
        }
        answer
    }

    fn give_up(&mut self, why: &str, gone: Gone) {
        let inner = &self.queued.cell().inner;
        let only = inner.is_only();
        inner.lose(self.queued.session(), why.to_owned(), only, gone);
    }

    /// The connection is gone: what that means for the transaction and for the caller.
    pub(super) fn died(&mut self, failure: Failure) -> Error {
        let why = failure.to_string();
        let (call, depth) = match *self.queued.session().state() {
            State::Calling { call, depth } => (call, depth),
            _ => unreachable!("a call is finished once"),
        };
        self.give_up(&why, Gone::of(&failure));
        tracing::warn!(scope = %self.queued.cell().holder.name, operation = self.operation, %why, "a session was lost");
        match (self.queued.session().state(), call, depth) {
            (State::Lost { why: Loss::Database(why) }, ..) => Error::DatabaseLost { why: why.clone() },
            (_, Call::Commit, 1) => self.queued.lost(self.operation, &Loss::CommitUnknown(why)),
            (_, _, 0) => failure.into(),
            _ => self.queued.lost(self.operation, &Loss::Transaction(why)),
        }
    }
}
