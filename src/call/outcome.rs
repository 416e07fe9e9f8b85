//! The consequences of the database's answer to a call.
//!
//! Owns the outcome of every call but an end, and the questions that are asked if the answer leaves it open: after a
//! refused statement, and after a lost connection. The state itself changes in
//! [`Session::transition`](crate::session::Session::transition).

use std::time::Duration;

use super::flight::InFlight;
use crate::bounded::{InTransaction, Repeatable};
use crate::error::Error;
use crate::lender::Gone;
use crate::session::{Call, Happened, Loss, State};
use crate::source::{Connection, ConnectionError, Control, ErrorClass, Source};

impl<S: Source> InFlight<'_, S> {
    /// Ends the call with its outcome and returns what the caller gets.
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
        if failure.class.is_loss() {
            return Err(self.died(failure));
        }
        if S::Connection::ABORTS && depth > 0 {
            // The transaction accepts nothing further, not even a retry of the same statement.
            self.queued.cell().count_statement();
        }
        // A test's own transaction may be lost as well, even outside of the caller's.
        if depth > 0 && !S::Connection::ABORTS || self.queued.cell().lender().joint().is_some() {
            match self.in_transaction().await {
                Ok(false) if depth > 0 => {
                    let why = Loss::Transaction(failure.to_string());
                    self.queued.session().transition(Happened::TransactionOver(why.clone()));
                    return Err(self.queued.lost(self.operation, &why));
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

    /// As [`InFlight::control`], with a retry if it was interrupted.
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

    /// Gives up a lost connection and returns the caller's error.
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

pub(super) fn gone() -> ConnectionError {
    ConnectionError::new(ErrorClass::Disconnected, "there is no connection")
}
