//! The source: where connections come from and go back to. The seam under the library.
//!
//! Owns the traits. Above them nothing is spawned, no clock is read and no random number drawn but through a
//! [`Source`], so that the real library also runs over a simulated database in virtual time. What a connection is
//! *for* is not known here: transactions and their states belong to the session.

pub mod adopted;
pub mod postgres;
mod shelf;
pub mod sqlite;
mod sqlite_connection;
mod sqlx_connection;
pub(crate) mod tokio;

use self::tokio as surroundings;
pub use adopted::{AdoptedPgPool, AdoptedPool};
pub use postgres::{PgOpenError, PgOptions, PgSource};
pub use sqlite::{OpenError, SqliteOptions, SqliteSource};
pub use sqlx_connection::{Effect, SqlxConnection};

use std::error::Error as StdError;
use std::fmt;
use std::ops::DerefMut;
use std::pin::Pin;
use std::time::Duration;

/// Lends connections.
///
/// A lease that is dropped without [`give_back`](Source::give_back) is closed: whoever drops it by accident, in a
/// cancelled future say, leaves nothing behind for anybody else. The lease of a source that [has only
/// one](Source::is_only) comes back unclean instead; only [`discard`](Source::discard) closes it.
pub trait Source: Send + Sync + 'static {
    /// What is lent.
    type Connection: Connection;
    /// A connection while it is lent.
    type Lease: DerefMut<Target = Self::Connection> + Send + 'static;

    /// Waits for a connection and lends it, with the [`Condition`] it is in. One attempt: repetition, backoff and
    /// deadline are the caller's.
    ///
    /// # Errors
    /// [`AcquireError`].
    ///
    /// # Cancel safety
    /// Cancel safe: a dropped future holds no place and no connection.
    fn acquire(&self) -> impl Future<Output = Result<Lent<Self::Lease>, AcquireError>> + Send;

    /// Takes back a connection on which nothing is left.
    fn give_back(&self, lease: Self::Lease);

    /// Takes back a connection on which statements may have left something; it is lent next as [`Condition::Owing`]. Only
    /// for connections [that can be cleaned](Connection::CLEANS).
    fn give_back_owing(&self, lease: Self::Lease) {
        self.discard(lease);
    }

    /// Takes back a connection that could not be cleaned; it is lent next as [`Condition::Unclean`]. Only for a source
    /// [that cannot give it up](Source::is_only).
    fn give_back_unclean(&self, lease: Self::Lease) {
        self.discard(lease);
    }

    /// Closes a connection without waiting for it.
    fn discard(&self, lease: Self::Lease);

    /// Closes a connection on which a call was cut off, without waiting for it. Where the database would go on with that call,
    /// it is told to stop.
    fn abandon(&self, lease: Self::Lease) {
        self.discard(lease);
    }

    /// Has the server stop what a call that was cut off left running on this connection, which is kept. Done when it was told; a
    /// statement after it is not hit. Only for connections [of which that can be asked](Connection::INTERRUPTIBLE).
    ///
    /// # Errors
    /// It could not be told.
    ///
    /// # Cancel safety
    /// Not cancel safe: it may be told a little later, and hit a statement after it.
    fn interrupt(&self, _lease: &Self::Lease) -> impl Future<Output = Result<(), Failure>> + Send {
        std::future::ready(Err(Failure::new(Class::Mistake, "it cannot be told to stop")))
    }

    /// By what it can be found out later whether the server still works for this connection; none where it cannot, or need not.
    fn trace(&self, _lease: &Self::Lease) -> Option<Trace> {
        None
    }

    /// Whether the server does nothing any more for the connection of this trace.
    ///
    /// # Errors
    /// It could not be asked.
    ///
    /// # Cancel safety
    /// Cancel safe.
    fn is_over(&self, _trace: Trace) -> impl Future<Output = Result<bool, Failure>> + Send {
        std::future::ready(Ok(true))
    }

    /// Undoes what statements have left on a connection, and sets up again what was set up when it was opened.
    ///
    /// # Errors
    /// The connection is not usable.
    ///
    /// # Cancel safety
    /// Not cancel safe.
    fn clean(&self, lease: &mut Self::Lease) -> impl Future<Output = Result<(), Failure>> + Send {
        lease.control(Control::Clean)
    }

    /// Whether [`Control::CleanBegin`] does all of [`clean`](Source::clean).
    fn cleans_in_begin(&self) -> bool {
        true
    }

    /// A connection has answered just now: it is not suspect any more.
    fn vouch(&self, _lease: &mut Self::Lease) {}

    /// A connection turned out to be dead: whatever is older than now has to be probed before it is lent.
    fn suspect_all(&self);

    /// Whether there is only this one connection, and the data with it: giving it up loses the database.
    fn is_only(&self) -> bool {
        false
    }

    /// Lends nothing from now on; waiting callers are answered [`AcquireError::Closed`]. What is lent stays usable.
    fn close(&self);

    /// How many connections there are, and how many of them are lent.
    fn usage(&self) -> Usage;

    /// A clock that never goes back; its zero means nothing. This and what follows is the machine's and tokio's, unless the
    /// source has a world of its own.
    fn now(&self) -> Duration {
        surroundings::now()
    }

    /// Waits.
    ///
    /// # Cancel safety
    /// Cancel safe.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send {
        surroundings::sleep(duration)
    }

    /// Runs a task beside the caller. False if there is nothing to run it on; then the task has been dropped.
    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>) -> bool {
        surroundings::spawn(task)
    }

    /// A random number.
    fn random(&self) -> u64 {
        surroundings::random()
    }

    /// The task that is running, as far as it can be told.
    fn task(&self) -> TaskId {
        surroundings::task()
    }
}

/// One physical connection, as far as the library has to speak to it itself.
pub trait Connection: Send + 'static {
    /// Whether calls on it run strictly in the order in which they were made, so that after one that was cut off the
    /// connection can still be asked how it stands. If not, a connection in doubt is given up.
    const ORDERED: bool;

    /// Whether a begin waits for nobody, so that it tells as well as a probe whether the connection answers.
    const BEGIN_PROBES: bool = false;

    /// Whether what statements leave on it can be undone, by [`Control::Clean`]. If not, it is closed.
    const CLEANS: bool = false;

    /// Whether a refused statement leaves its transaction open and of no use, until it, or a savepoint in it, is rolled back.
    /// If not, the database has to be asked what became of it.
    const ABORTS: bool = false;

    /// Whether what a call that was cut off left running can be stopped, by [`Source::interrupt`], so that the connection can be
    /// kept.
    const INTERRUPTIBLE: bool = false;

    /// Runs a statement of the library's own.
    ///
    /// # Errors
    /// What the database answered. A [`Control::Rollback`] where no transaction is open may be an error of class
    /// [`Class::Mistake`].
    ///
    /// # Cancel safety
    /// Not cancel safe: whether it ran is unknown.
    fn control(&mut self, control: Control) -> impl Future<Output = Result<(), Failure>> + Send;

    /// As [`Control::RollbackTo`] if there is such a savepoint; whether there is. If not, things are left as they are.
    ///
    /// # Errors
    /// As [`Connection::control`].
    ///
    /// # Cancel safety
    /// Not cancel safe: whether it ran is unknown.
    fn roll_back_to(&mut self, depth: u32) -> impl Future<Output = Result<bool, Failure>> + Send {
        async move {
            match self.control(Control::RollbackTo(depth)).await {
                Ok(()) => Ok(true),
                Err(failure) if failure.class == Class::Mistake => Ok(false),
                Err(failure) => Err(failure),
            }
        }
    }

    /// Asks the database itself whether a transaction is open. It leaves things as they are.
    ///
    /// # Errors
    /// The connection is not usable.
    ///
    /// # Cancel safety
    /// Not cancel safe.
    fn in_transaction(&mut self) -> impl Future<Output = Result<bool, Failure>> + Send;

    /// A simple query, to see whether the connection answers.
    ///
    /// # Errors
    /// The connection is not usable.
    ///
    /// # Cancel safety
    /// Not cancel safe.
    fn probe(&mut self) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// A connection whose database numbers its transactions, and can say later what became of one.
pub trait Numbered: Connection {
    /// Runs a [`Control::Begin`] or [`Control::CleanBegin`], and says the number of the transaction.
    ///
    /// # Errors
    /// As [`Connection::control`].
    ///
    /// # Cancel safety
    /// Not cancel safe: whether it ran is unknown.
    fn begin_numbered(&mut self, control: Control) -> impl Future<Output = Result<Number, Failure>> + Send;

    /// What became of the transaction with this number, of whichever connection.
    ///
    /// # Errors
    /// The connection is not usable.
    ///
    /// # Cancel safety
    /// Not cancel safe.
    fn fate(&mut self, number: Number) -> impl Future<Output = Result<Fate, Failure>> + Send;
}

/// The number of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number {
    /// The number itself.
    pub number: u64,
    /// When it was begun, in microseconds on the database's clock: a number may be given away twice.
    pub begun: i64,
}

/// What became of a transaction.
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

/// By what a connection's process on the server is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The number of the process.
    pub process: i32,
    /// When it is known to have served the connection, on the source's clock.
    pub seen: Duration,
}

/// A connection that was just lent.
#[derive(Debug)]
pub struct Lent<L> {
    /// The connection.
    pub lease: L,
    /// What has to be done before it is used.
    pub condition: Condition,
}

/// What has to be done with a connection before it is used, from nothing to the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Condition {
    /// Nothing.
    Good,
    /// It answered not long ago, and may have died since: a statement whose loss would be seen has to be preceded by a probe.
    Recent,
    /// It was idle for long, or is older than one that turned out to be dead: it has to answer a probe.
    Suspect,
    /// Statements may have left something on it: it is cleaned.
    Owing {
        /// Also, it has to show that it answers.
        suspect: bool,
    },
    /// Its last borrower could not clean it: what is open on it is rolled back.
    Unclean,
}

impl Condition {
    /// Whether nothing has to be done, unless by who cannot bear a loss.
    pub(crate) fn is_fit(self) -> bool {
        self <= Self::Recent
    }

    /// Whether it may be dead.
    pub(crate) fn is_suspect(self) -> bool {
        matches!(self, Self::Suspect | Self::Owing { suspect: true })
    }
}

/// Why no connection was lent.
#[derive(Debug)]
pub enum AcquireError {
    /// The source was closed.
    Closed,
    /// A connection could not be opened.
    Connect(Failure),
}

/// A statement of the library's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// Begins a transaction.
    Begin(Begin),
    /// Ends it and keeps its effects. Every statement in it was done.
    Commit,
    /// The same where a statement in it was refused: a transaction that has failed by that is not to be rolled back and
    /// answered as if all was well.
    CommitUnlessFailed,
    /// Ends it and undoes its effects.
    Rollback,
    /// Undoes what [`Begin::read_only`] has set on the connection itself, if anything; sent after each transaction that was
    /// begun so, and to a connection that is cleaned.
    Reset,
    /// Undoes what statements have left: settings, locks, temporary tables, cursors, what is listened to. Only for
    /// connections [that can be cleaned](Connection::CLEANS).
    Clean,
    /// As [`Control::Clean`] and then [`Control::Begin`], in one message.
    CleanBegin(Begin),
    /// Sets the savepoint of this depth; the first inside a transaction is 1.
    Savepoint(u32),
    /// Forgets it and keeps its effects.
    Release(u32),
    /// Undoes what came after it, and forgets it.
    RollbackTo(u32),
}

/// How a transaction is begun.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Begin {
    /// When locks are taken.
    pub locking: Locking,
    /// How far it is kept apart from concurrent ones; the database's default if none is given.
    pub isolation: Option<Isolation>,
    /// Whether writing statements are refused.
    pub read_only: bool,
}

/// When a SQLite transaction takes its locks. Other databases have no such choice and ignore it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Locking {
    /// With the first statement that needs them.
    #[default]
    Deferred,
    /// The write lock at once.
    Immediate,
    /// Every lock at once.
    Exclusive,
}

/// The isolation levels of SQL. A database may give more than was asked for; SQLite is always serializable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Isolation {
    /// Each statement sees what was committed when it began.
    ReadCommitted,
    /// Each transaction sees what was committed when it began.
    RepeatableRead,
    /// As if transactions ran one after the other.
    Serializable,
}

/// How many connections there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Open ones.
    pub size: u32,
    /// Those of them that are lent.
    pub in_use: u32,
    /// The most that may be open.
    pub max: u32,
}

/// What an asynchronous call is made by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TaskId {
    /// A task of tokio's.
    Tokio(::tokio::task::Id),
    /// A task of somebody else's.
    Task(u64),
    /// Outside of any task: the thread.
    Thread(std::thread::ThreadId),
}

/// An error of the database with what it means.
#[derive(Debug)]
pub struct Failure {
    /// What it means.
    pub class: Class,
    /// The error itself.
    pub source: Box<dyn StdError + Send + Sync>,
}

impl Failure {
    /// An error that means this.
    pub fn new(class: Class, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self { class, source: source.into() }
    }

    /// There was no answer in time.
    pub(crate) fn no_answer(limit: Duration) -> Self {
        Self::new(Class::Dead, NoAnswer(limit))
    }

    /// Whether there was no answer in time, so that the connection may be at work still.
    pub(crate) fn is_no_answer(&self) -> bool {
        self.source.is::<NoAnswer>()
    }
}

#[derive(Debug, thiserror::Error)]
#[error("no answer within {0:?}")]
struct NoAnswer(Duration);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}

/// What an error of the database means for the session and for the work that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// The connection is gone, or nothing it says can be believed: it is given up.
    Dead,
    /// The database does not accept connections yet: worth another attempt.
    NotUpYet,
    /// The transaction is over and has to be tried again as a whole; the session is good.
    TransactionLost,
    /// The statement was not done and may be tried again; the session is good.
    StatementLost,
    /// Whether the work was done cannot be known.
    Unknown,
    /// The caller's mistake; trying again would not help.
    Mistake,
}

/// A connection that serves requests of this type; implemented by whoever implements [`Connection`], so that the
/// connection itself is never lent out.
pub trait Serve<Q>: Connection {
    /// What is answered.
    type Reply: Send;

    /// Serves one request.
    ///
    /// # Errors
    /// What the database answered.
    ///
    /// # Cancel safety
    /// Not cancel safe: whether it ran is unknown.
    fn serve(&mut self, request: Q) -> impl Future<Output = Result<Self::Reply, Failure>> + Send;
}
