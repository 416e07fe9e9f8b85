//! What follows from the database's answer to a call.
//!
//! Owns the outcome of every call but an end, and what is asked when the answer does not say it: after a refused statement, and
//! after a connection is gone. What the state makes of it is [`Session::transition`](crate::session::Session::transition)'s.

use std::time::Duration;

use super::flight::InFlight;
use crate::bounded::{InTransaction, Repeatable};
use crate::error::Error;
use crate::lender::Gone;
use crate::session::{Call, Happened, Loss, State};
use crate::source::{Connection, ConnectionError, Control, ErrorClass, Source};

impl<S: Source> InFlight<'_, S> {
    /// Ends the call with its outcome, as its caller is told.
    pub(crate) async fn finish<T>(mut self, result: Result<T, ConnectionError>) -> Result<T, Error> {
        let failure = match result {
            Ok(value) => {
                self.unguard(Control::Commit).await?;
                self.queued.session().transition(Happened::Succeeded);
                self.queued.cell().count_statement();
                return Ok(value);
            }
            Err(failure) => failure,
        };
        let depth = self.depth();
        if matches!(failure.class, ErrorClass::Disconnected | ErrorClass::OutcomeUnknown) {
            return Err(self.died(failure));
        }
        if S::Connection::ABORTS && depth > 0 {
            // Nothing further can be done in it, not even the same once more.
            self.queued.cell().count_statement();
        }
        // A test's own transaction may have gone with it, also outside of the caller's.
        if depth > 0 && !S::Connection::ABORTS || self.queued.cell().lender().joint().is_some() {
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

    /// Runs a statement of the library's own, under a limit.
    pub(super) async fn control(&mut self, control: Control, limit: Duration) -> Result<(), ConnectionError> {
        let bounded = self.queued.cell().lender().bounded();
        let lease = self.queued.session().lease_mut().ok_or_else(gone)?;
        bounded.in_time(limit, lease.control(control)).await
    }

    /// As [`InFlight::control`], and retries it where it was interrupted.
    pub(super) async fn insist(&mut self, control: Control, limit: Duration) -> Result<(), ConnectionError> {
        let bounded = self.queued.cell().lender().bounded();
        let lease = self.queued.session().lease_mut().ok_or_else(gone)?;
        bounded.in_time(limit, bounded.ask(lease, Repeatable(control))).await
    }

    /// Asks the database whether a transaction is open.
    pub(super) async fn in_transaction(&mut self) -> Result<bool, ConnectionError> {
        let bounded = self.queued.cell().lender().bounded();
        let session = self.queued.session();
        session.ask();
        let lease = session.lease_mut().ok_or_else(gone)?;
        let answer = bounded.in_time(bounded.policy().settle_timeout, bounded.ask(lease, InTransaction)).await;
        if answer.is_ok() {
            session.answered();
        }
        answer
    }

    pub(super) fn give_up(&mut self, why: String, gone: Gone) {
        let lender = self.queued.cell().lender();
        lender.lose(self.queued.session(), why, gone);
    }

    /// The connection is gone: what that means for the transaction and for the caller.
    pub(super) fn died(&mut self, failure: ConnectionError) -> Error {
        let why = failure.to_string();
        let (call, depth) = match *self.queued.session().state() {
            State::Calling { call, depth } => (call, depth),
            _ => unreachable!("a call is finished once"),
        };
        self.give_up(why.clone(), Gone::of(&failure));
        tracing::warn!(scope = %self.queued.cell().name(), operation = self.operation, %why, "a session was lost");
        match (self.queued.session().state(), call, depth) {
            (State::Lost { why: Loss::Database(why) }, ..) => Error::DatabaseLost { why: why.clone() },
            (_, Call::Commit, 1) => self.queued.lost(self.operation, &Loss::CommitUnknown(why)),
            (_, _, 0) => failure.into(),
            _ => self.queued.lost(self.operation, &Loss::Transaction(why)),
        }
    }

    /// Keeps or undoes, in a test, what a statement outside of a transaction did in a savepoint of its own.
    async fn unguard(&mut self, end: Control) -> Result<(), Error> {
        let alone = matches!(self.queued.session().state(), State::Calling { call: Call::Statement, depth: 0 });
        if !alone || !self.queued.session().lease_mut().is_some_and(|lease| lease.is_guarded()) {
            return Ok(());
        }
        let limit = self.queued.cell().lender().policy().end_timeout;
        self.control(end, limit).await.map_err(|failure| self.died(failure))
    }
}

fn gone() -> ConnectionError {
    ConnectionError::new(ErrorClass::Disconnected, "there is no connection")
}
