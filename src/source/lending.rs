//! The seam: the trait of sources, which lend connections.
//!
//! Owns [`Source`] alone. Code above it spawns tasks, reads the clock and draws random numbers only through it, so that
//! the real library also runs over a simulated database in virtual time. How long a caller waits, and how often it
//! retries, is decided above.

use std::ops::DerefMut;
use std::pin::Pin;
use std::time::Duration;

use super::condition::{AcquireError, Lent, Trace, Usage};
use super::connection::Connection;
use super::control::Control;
use super::error::{ConnectionError, ErrorClass};
use super::runtime::{self, TaskId};

/// Lends connections.
///
/// A lease that is dropped without [`give_back`](Source::give_back) is closed, so a lease that is lost by accident, in a
/// cancelled future say, leaves nothing behind for the next borrower. The lease of a source that [has only
/// one](Source::is_only) comes back unclean instead; only [`discard`](Source::discard) closes it.
pub trait Source: Send + Sync + 'static {
    /// The connection that is lent.
    type Connection: Connection;
    /// A connection while it is lent.
    type Lease: DerefMut<Target = Self::Connection> + Send + 'static;
    /// A connection that was opened to take the place of a silent one.
    type Spare: Send;

    /// Waits for a connection and lends it, with the [`Condition`](super::Condition) it is in. One attempt: retries, backoff and
    /// deadline are the caller's.
    ///
    /// # Errors
    /// [`AcquireError`].
    ///
    /// # Cancel safety
    /// Cancel safe: a dropped future holds no place and no connection.
    fn acquire(&self) -> impl Future<Output = Result<Lent<Self::Lease>, AcquireError>> + Send;

    /// Takes back a connection without residue.
    fn give_back(&self, lease: Self::Lease);

    /// Takes back a connection on which statements may have left residue; it is lent next as
    /// [`Condition::NeedsReset`](super::Condition::NeedsReset). Only for connections [that can be cleaned](Connection::CLEANS).
    fn give_back_needing_reset(&self, lease: Self::Lease) {
        self.discard(lease);
    }

    /// Takes back a connection that could not be cleaned; it is lent next as
    /// [`Condition::Unclean`](super::Condition::Unclean). Only for a source [that cannot give it up](Source::is_only).
    fn give_back_unclean(&self, lease: Self::Lease) {
        self.discard(lease);
    }

    /// Closes a connection without waiting for it.
    fn discard(&self, lease: Self::Lease);

    /// Closes a connection on which a call was cancelled, without waiting for it. A database that would go on with that
    /// call is asked to stop.
    fn abandon(&self, lease: Self::Lease) {
        self.discard(lease);
    }

    /// Opens a connection that can take the [place](Source::replace) of one that is lent and silent. One is opened at a time;
    /// whoever waits for it gets the failure of the one before.
    ///
    /// # Errors
    /// None could be opened; or this source opens none, and whatever is silent is dead.
    ///
    /// # Cancel safety
    /// Cancel safe: a connection that was opened is closed.
    fn spare(&self) -> impl Future<Output = Result<Self::Spare, ConnectionError>> + Send {
        std::future::ready(Err(ConnectionError::new(ErrorClass::Rejected, "this source opens no second connection")))
    }

    /// Has a spare connection serve in the place of this one, which is given up as by [`abandon`](Source::abandon).
    fn replace(&self, lease: &mut Self::Lease, spare: Self::Spare);

    /// Has the server stop what a cancelled call left running on this connection, which is kept. Returns once the
    /// server has the request; a later statement is not affected. Only for connections [that can be
    /// interrupted](Connection::INTERRUPTIBLE).
    ///
    /// # Errors
    /// The request did not reach the server.
    ///
    /// # Cancel safety
    /// Not cancel safe: the request may reach the server a little later, and stop a later statement.
    fn interrupt(&self, _lease: &Self::Lease) -> impl Future<Output = Result<(), ConnectionError>> + Send {
        std::future::ready(Err(ConnectionError::new(ErrorClass::Rejected, "this connection cannot be interrupted")))
    }

    /// Returns the trace by which [`is_over`](Source::is_over) can later tell whether the server still works for this
    /// connection; none if it cannot, or need not.
    fn trace(&self, _lease: &Self::Lease) -> Option<Trace> {
        None
    }

    /// Whether the server has stopped working for the connection of this trace.
    ///
    /// # Errors
    /// The server could not be asked.
    ///
    /// # Cancel safety
    /// Cancel safe.
    fn is_over(&self, _trace: Trace) -> impl Future<Output = Result<bool, ConnectionError>> + Send {
        std::future::ready(Ok(true))
    }

    /// Returns how long the database took to answer on this connection when it was opened: what a limit for a plain answer has to
    /// allow for. Zero where that is not known, or nothing is far away.
    fn round_trip(&self, _lease: &Self::Lease) -> Duration {
        Duration::ZERO
    }

    /// Undoes what statements have left on a connection, and sets up again what was set up when it was opened.
    ///
    /// # Errors
    /// The connection is not usable.
    ///
    /// # Cancel safety
    /// Not cancel safe.
    fn clean(&self, lease: &mut Self::Lease) -> impl Future<Output = Result<(), ConnectionError>> + Send {
        lease.control(Control::Clean)
    }

    /// Whether a connection is as it was opened after it was cleaned. If not, it is closed where it would have to be.
    fn cleans(&self) -> bool {
        Self::Connection::CLEANS
    }

    /// Whether [`Control::CleanBegin`] does all of [`clean`](Source::clean).
    fn cleans_in_begin(&self) -> bool {
        true
    }

    /// Marks a connection as healthy: it has just answered, so it is no longer suspect.
    fn mark_healthy(&self, _lease: &mut Self::Lease) {}

    /// Marks every connection that has not answered since now as suspect, because one turned out to be dead: each is probed
    /// before it is lent.
    fn suspect_all(&self);

    /// Whether the application itself has set this connection so that it writes nothing: what the library sets and undoes for a
    /// read-only transaction would undo that as well.
    fn is_read_only(&self, _lease: &Self::Lease) -> bool {
        false
    }

    /// Whether this connection, which has just refused a write as read-only, could write when it was opened: a switchover has
    /// left it behind, on a server that is not the one that new connections reach. Not if nothing is known of it.
    fn has_turned_read_only(&self, _lease: &Self::Lease) -> bool {
        false
    }

    /// Lends no connection again that was opened before this one, which has turned read-only, as all of them have.
    fn retire(&self, _lease: &Self::Lease) {}

    /// Whether there is only this one connection, and the data with it: giving it up loses the database.
    fn is_only(&self) -> bool {
        false
    }

    /// Stops lending; waiting callers get [`AcquireError::Closed`]. Lent connections stay usable.
    fn close(&self);

    /// Returns how many connections there are, and how many of them are lent.
    fn usage(&self) -> Usage;

    /// Returns how many connections this source has lent: fewer than [`Source::usage`] says where others borrow from the same pool.
    fn lent(&self) -> u32 {
        self.usage().in_use
    }

    /// Returns the time on a clock that never goes back, from an arbitrary zero. This and the following methods use the
    /// machine and tokio, unless the source is simulated.
    fn now(&self) -> Duration {
        runtime::now()
    }

    /// Waits.
    ///
    /// # Cancel safety
    /// Cancel safe.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send {
        runtime::sleep(duration)
    }

    /// Spawns a task. Returns false if there is no runtime for it; the task has then been dropped.
    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>) -> bool {
        runtime::spawn(task)
    }

    /// Returns a random number.
    fn random(&self) -> u64 {
        runtime::random()
    }

    /// Returns the running task, as far as it can be identified.
    fn task(&self) -> TaskId {
        runtime::task()
    }
}
