//! The interface of a connection to the library itself.
//!
//! Owns the traits that a database's connection implements. How an application's statements run on it is
//! [`SqlxConnection`](super::SqlxConnection)'s; transactions and their states belong to the session.

use super::control::Control;
use super::error::{ConnectionError, ErrorClass};
use super::settings::Settings;

/// One physical connection, with the operations that the library itself needs.
pub trait Connection: Send + 'static {
    /// Whether calls on it run strictly in the order in which they were made, so that after a cancelled call the
    /// connection can still be asked for its state. If not, a connection in doubt is discarded.
    const ORDERED: bool;

    /// Whether a begin never waits for a lock, so that it can serve as a probe.
    const BEGIN_PROBES: bool = false;

    /// Whether [`Control::Clean`] can undo what statements leave on it. If not, it is closed.
    const CLEANS: bool = false;

    /// Whether a refused statement leaves its transaction open but aborted, until the transaction, or a savepoint in it, is
    /// rolled back. If not, the database has to be asked for the transaction's state.
    const ABORTS: bool = false;

    /// Whether [`Source::interrupt`](super::Source::interrupt) can stop what a cancelled call left running, so that the connection
    /// can be kept.
    const INTERRUPTIBLE: bool = false;

    /// Runs a statement of the library's own.
    ///
    /// # Errors
    /// The database's error. A [`Control::Rollback`] without an open transaction may be an error of class
    /// [`ErrorClass::Rejected`].
    ///
    /// # Cancel safety
    /// Not cancel safe: whether it ran is unknown.
    fn control(&mut self, control: Control) -> impl Future<Output = Result<(), ConnectionError>> + Send;

    /// Runs [`Control::RollbackTo`] if there is such a savepoint, and returns whether there is. If not, nothing
    /// changes.
    ///
    /// # Errors
    /// As [`Connection::control`].
    ///
    /// # Cancel safety
    /// Not cancel safe: whether it ran is unknown.
    fn roll_back_to(&mut self, depth: u32) -> impl Future<Output = Result<bool, ConnectionError>> + Send {
        async move {
            match self.control(Control::RollbackTo(depth)).await {
                Ok(()) => Ok(true),
                Err(failure) if failure.class == ErrorClass::Rejected => Ok(false),
                Err(failure) => Err(failure),
            }
        }
    }

    /// Checks that the next answer is the next question's, after somebody else has used the connection; and makes it forget what
    /// it knew of statements that may be gone. Changes nothing, also in a transaction in which a statement was refused.
    ///
    /// # Errors
    /// The connection is not usable.
    ///
    /// # Cancel safety
    /// Not cancel safe.
    fn fall_in_step(&mut self) -> impl Future<Output = Result<(), ConnectionError>> + Send {
        std::future::ready(Ok(()))
    }

    /// Asks the database itself whether a transaction is open, and changes nothing.
    ///
    /// # Errors
    /// The connection is not usable.
    ///
    /// # Cancel safety
    /// Not cancel safe.
    fn in_transaction(&mut self) -> impl Future<Output = Result<bool, ConnectionError>> + Send;

    /// Sets these, for statements outside of transactions as well as inside. [`Control::Clean`] undoes it.
    ///
    /// # Errors
    /// The database's, if it knows no such setting or refuses the value; none of them is set then.
    ///
    /// # Cancel safety
    /// Not cancel safe: whether they are set is unknown.
    fn set(&mut self, _settings: &Settings) -> impl Future<Output = Result<(), ConnectionError>> + Send {
        std::future::ready(Err(ConnectionError::new(ErrorClass::Rejected, "this database has no settings")))
    }

    /// Runs a trivial query, to see whether the connection answers.
    ///
    /// # Errors
    /// The connection is not usable.
    ///
    /// # Cancel safety
    /// Not cancel safe.
    fn probe(&mut self) -> impl Future<Output = Result<(), ConnectionError>> + Send;
}

/// A connection whose database numbers its transactions, and can say later how one ended.
pub trait Numbered: Connection {
    /// Runs a [`Control::Begin`] or [`Control::CleanBegin`], and returns the number of the transaction.
    ///
    /// # Errors
    /// As [`Connection::control`].
    ///
    /// # Cancel safety
    /// Not cancel safe: whether it ran is unknown.
    fn begin_numbered(&mut self, control: Control) -> impl Future<Output = Result<Number, ConnectionError>> + Send;

    /// Returns how the transaction with this number ended, on whichever connection it ran.
    ///
    /// # Errors
    /// The connection is not usable.
    ///
    /// # Cancel safety
    /// Not cancel safe.
    fn fate(&mut self, number: Number) -> impl Future<Output = Result<Fate, ConnectionError>> + Send;
}

/// The number of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number {
    /// The number itself.
    pub number: u64,
    /// When it was begun, in microseconds on the database's clock: a number may be assigned twice.
    pub begun: i64,
}

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It was committed.
    Committed,
    /// It was rolled back.
    RolledBack,
    /// It is not over yet.
    UnderWay,
    /// The database cannot say.
    Unknown,
}

/// A connection that serves requests of its own, for sources that are not over sqlx; a function that wants sqlx's connection gets it
/// from [`Handle::with_connection`](crate::Handle::with_connection). It is implemented beside [`Connection`], so that the connection
/// itself is never lent out: for a connection of somebody else's, sqlx's say, the compiler allows no implementation.
pub trait Serve: Connection {
    /// What it serves.
    type Request: Send;

    /// The answer.
    type Reply: Send;

    /// Serves one request.
    ///
    /// # Errors
    /// The database's error.
    ///
    /// # Cancel safety
    /// Not cancel safe: whether it ran is unknown.
    fn serve(&mut self, request: Self::Request) -> impl Future<Output = Result<Self::Reply, ConnectionError>> + Send;
}
