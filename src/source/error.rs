//! An error of the database, with its meaning for the session and for the requested work.
//!
//! Owns the classes. Each database assigns its errors to them.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

/// An error of the database with its meaning.
#[derive(Debug)]
pub struct ConnectionError {
    /// Its meaning for the caller.
    pub class: ErrorClass,
    /// The error itself.
    pub source: Box<dyn StdError + Send + Sync>,
}

impl ConnectionError {
    /// Creates an error of this class.
    pub fn new(class: ErrorClass, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self { class, source: source.into() }
    }

    /// Creates the error of an answer that did not come within this limit.
    pub(crate) fn no_answer(limit: Duration) -> Self {
        Self::new(ErrorClass::Disconnected, NoAnswer(limit))
    }

    /// Whether no answer came in time, so that the connection may still be working.
    pub(crate) fn is_no_answer(&self) -> bool {
        self.source.is::<NoAnswer>()
    }
}

/// What `on_open` has done.
#[derive(Debug, thiserror::Error)]
#[error("`on_open` has left a transaction open, in which every scope's work would be: end it there")]
pub(super) struct TransactionLeftOpen;

#[derive(Debug, thiserror::Error)]
#[error("no answer within {0:?}")]
struct NoAnswer(Duration);

impl fmt::Display for ConnectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}

/// What a caller can do about an error of the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// The connection is gone, or its answers cannot be trusted: it is discarded.
    Disconnected,
    /// The database does not accept connections yet: a later attempt may succeed.
    Unavailable,
    /// The transaction is over and can be retried as a whole; the session is usable.
    RetryTransaction,
    /// The statement was not done and can be retried; the session is usable.
    RetryStatement,
    /// Whether the work was done is unknown.
    OutcomeUnknown,
    /// The statement was refused: a retry would be refused too.
    Rejected,
}

impl ErrorClass {
    /// Whether the connection is given up for it.
    pub(crate) fn is_loss(self) -> bool {
        matches!(self, Self::Disconnected | Self::OutcomeUnknown)
    }
}
