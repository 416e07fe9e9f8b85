//! How long the database's answer to a call is waited for.
//!
//! Owns the limit on a statement's answer, and the mark of a row stream that waits for its reader and not for the
//! database.

use std::time::Duration;

use crate::cell::Cell;
use crate::error::Error;
use crate::source::Source;

/// Marks whether a row stream has handed out a row and waits for its reader.
pub(crate) struct Pausing<'a, S: Source> {
    cell: &'a Cell<S>,
}

impl<'a, S: Source> Pausing<'a, S> {
    pub(super) fn of(cell: &'a Cell<S>) -> Self {
        Self { cell }
    }

    pub(crate) fn pause(&self) {
        self.cell.queue().pause();
    }

    pub(crate) fn resume(&self) {
        self.cell.queue().resume();
    }
}

/// Waits for the database's answer to a call, as long as the policy allows.
pub(crate) struct Patience<'a, S: Source> {
    cell: &'a Cell<S>,
    operation: &'static str,
}

impl<'a, S: Source> Patience<'a, S> {
    pub(super) fn of(cell: &'a Cell<S>, operation: &'static str) -> Self {
        Self { cell, operation }
    }

    /// Returns the answer. Without one in time, the call counts as cancelled when it is dropped.
    pub(crate) async fn answer<F: Future>(&self, future: F) -> Result<F::Output, Error> {
        let bounded = self.cell.lender().bounded();
        let limit = bounded.policy().statement_timeout;
        if limit == Duration::MAX {
            return Ok(future.await);
        }
        let answer = bounded.within(limit, future).await;
        answer.ok_or_else(|| {
            let operation = self.operation;
            tracing::warn!(scope = %self.cell.name(), operation, ?limit, "a statement was not answered");
            Error::NoAnswer { operation, limit }
        })
    }
}
