//! The two kinds of lease, as one connection.
//!
//! Owns the choice alone: each call goes to the scope's own connection, or to its turns on a shared one.

use super::turns::{Left, Turns, gone};
use crate::bounded::Bounded;
use crate::error::Error;
use crate::source::{Connection, ConnectionError, Control, Source};

/// The connection that a session works on.
pub(crate) enum Lease<S: Source> {
    /// A connection of its own.
    Own(S::Lease),
    /// Turns on a shared one.
    Turns(Turns<S>),
}

impl<S: Source> Lease<S> {
    /// Returns the connection, for a call whose turn it is.
    pub(crate) fn connection(&mut self) -> Option<&mut S::Connection> {
        match self {
            Self::Own(lease) => Some(lease),
            Self::Turns(turns) => turns.connection(),
        }
    }

    /// The connection's own lease, unless it is shared.
    pub(crate) fn own(&mut self) -> Option<&mut S::Lease> {
        match self {
            Self::Own(lease) => Some(lease),
            Self::Turns(_) => None,
        }
    }

    /// Waits for a turn, where several share the connection.
    pub(crate) async fn take_turn(&mut self, bounded: &Bounded<S>, operation: &'static str) -> Result<(), Error> {
        match self {
            Self::Own(_) => Ok(()),
            Self::Turns(turns) => turns.take(bounded, operation).await,
        }
    }

    /// Prepares for a statement outside of a transaction: a refused one must not abort the test's transaction.
    pub(crate) async fn guard(&mut self, bounded: &Bounded<S>) -> Result<(), Error> {
        match self {
            Self::Turns(turns) if S::Connection::ABORTS => turns.guard(bounded).await,
            _ => Ok(()),
        }
    }

    /// Whether a statement outside of a transaction has a savepoint of its own.
    pub(crate) fn is_guarded(&self) -> bool {
        matches!(self, Self::Turns(turns) if S::Connection::ABORTS && turns.has_begun())
    }

    /// Stops what a cancelled call left running on a connection that is shared, or drains it, so that it can be asked.
    pub(crate) async fn quiesce(&mut self, bounded: &Bounded<S>) -> Result<(), ConnectionError> {
        match self {
            Self::Turns(turns) if !S::Connection::ORDERED => turns.quiesce(bounded).await,
            _ => Ok(()),
        }
    }

    /// A statement may leave something on the connection: where it is shared, the next scope is to find nothing of it.
    pub(crate) fn leave_residue(&mut self) {
        if let Self::Turns(turns) = self
            && S::Connection::CLEANS
        {
            turns.leave_residue();
        }
    }

    /// Ends the turn: the next call may be another scope's.
    pub(crate) fn rest(&mut self, left: Left) {
        if let Self::Turns(turns) = self {
            turns.rest(left);
        }
    }
}

impl<S: Source> Connection for Lease<S> {
    const ORDERED: bool = S::Connection::ORDERED;
    const BEGIN_PROBES: bool = S::Connection::BEGIN_PROBES;
    const CLEANS: bool = S::Connection::CLEANS;
    const ABORTS: bool = S::Connection::ABORTS;
    const INTERRUPTIBLE: bool = S::Connection::INTERRUPTIBLE;

    async fn control(&mut self, control: Control) -> Result<(), ConnectionError> {
        match self {
            Self::Own(lease) => lease.control(control).await,
            Self::Turns(turns) => turns.control(control).await,
        }
    }

    async fn fall_in_step(&mut self) -> Result<(), ConnectionError> {
        self.connection().ok_or_else(gone)?.fall_in_step().await
    }

    async fn in_transaction(&mut self) -> Result<bool, ConnectionError> {
        match self {
            Self::Own(lease) => lease.in_transaction().await,
            Self::Turns(turns) => turns.in_transaction().await,
        }
    }

    async fn probe(&mut self) -> Result<(), ConnectionError> {
        self.connection().ok_or_else(gone)?.probe().await
    }
}
