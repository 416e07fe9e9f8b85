//! The interface of a database to the control: a source that opens connections, and the operations of a connection.
//!
//! A database joins the control by implementing both traits. Pooling, transactions and doubt are not in here: they are the
//! same everywhere.

use std::time::Duration;

use super::Flaw;
use unstale_harness::database::Database;
use unstale_harness::history::{Failure, FailureClass, Reply};
use unstale_harness::plan::{BeginMode, Command, Key, Value};
use unstale_harness::system::Capabilities;
use unstale_harness::workload::{Dialect, begin_statement};

/// Opens connections to one database.
pub trait Source: 'static {
    /// What it opens.
    type Connection: Connection;

    /// The control's name on this database.
    const NAME: &'static str;

    /// The longest that a call may take; none where nothing keeps a call from being answered.
    const CALL_MAX: Option<Duration>;

    /// Whether a connection has answered when it has been opened; where it has not, it is probed before it is used.
    const OPENING_ANSWERS: bool;

    /// What the control can do on this database.
    fn capabilities() -> Capabilities;

    /// Opens a connection.
    ///
    /// # Errors
    /// Why there is none.
    ///
    /// # Cancel safety
    /// Cancel safe: a connection that is not returned is closed.
    fn connect(&self) -> impl Future<Output = Result<Self::Connection, Failure>>;

    /// Lets this time pass.
    ///
    /// # Cancel safety
    /// Cancel safe.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()>;

    /// Runs a task that nobody waits for.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static);
}

/// A source of connections to a real database.
pub trait OnDatabase: Source {
    /// The source of this plan's database.
    fn of(database: &Database, flaw: Option<Flaw>) -> Self;
}

/// A connection. Dropped, it is closed.
pub trait Connection: Send + 'static {
    /// Runs a command that is a single statement.
    ///
    /// # Errors
    /// Whatever the database answers.
    ///
    /// # Cancel safety
    /// The statement may have been done.
    fn answer(&mut self, command: &Command) -> impl Future<Output = Result<Reply, Failure>> + Send;

    /// Reads a row in order to write it in the same transaction.
    ///
    /// # Errors
    /// Whatever the database answers.
    ///
    /// # Cancel safety
    /// What it locks is locked until the transaction ends.
    fn get_for_update(&mut self, key: Key) -> impl Future<Output = Result<Option<Value>, Failure>> + Send;

    /// Runs one statement given as text, and returns the number in its first row, if it has one.
    ///
    /// # Errors
    /// Whatever the database answers; a mistake where statements are not given as text.
    ///
    /// # Cancel safety
    /// The statement may have been done.
    fn number(&mut self, sql: &str) -> impl Future<Output = Result<Option<i64>, Failure>> + Send {
        let refused = Failure::new(FailureClass::Mistake, format!("no statement as text here: {sql}"));
        std::future::ready(Err(refused))
    }

    /// Begins or ends a transaction, or part of one.
    ///
    /// # Errors
    /// Whatever the database answers.
    ///
    /// # Cancel safety
    /// The statement may have been done.
    fn cross(&mut self, boundary: Boundary) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Asks whether it answers.
    ///
    /// # Errors
    /// Whatever the database answers.
    ///
    /// # Cancel safety
    /// Cancel safe: it only reads.
    fn probe(&mut self) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Closes it in order: nothing is under way on it.
    ///
    /// # Cancel safety
    /// Cancel safe: dropped, it is closed as well.
    fn close(self) -> impl Future<Output = ()> + Send;

    /// Closes it, and ends what may still be under way on it.
    ///
    /// # Cancel safety
    /// Dropped, it is closed; what was under way may go on.
    fn abandon(self) -> impl Future<Output = ()> + Send;
}

/// Where a transaction, or part of one, begins or ends. Savepoints are numbered by their depth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Boundary {
    /// A transaction begins.
    Begin(BeginMode),
    /// It ends, and stays.
    Commit,
    /// It ends, and is undone.
    Rollback,
    /// A savepoint is set.
    Savepoint(u32),
    /// What came after a savepoint stays.
    Release(u32),
    /// What came after a savepoint is undone, and the savepoint is gone.
    RollbackTo(u32),
}

impl Boundary {
    /// The statement.
    pub(super) fn sql<DB: Dialect>(self) -> String {
        match self {
            Self::Begin(mode) => begin_statement::<DB>(mode).unwrap_or("begin").to_owned(),
            Self::Commit => "commit".to_owned(),
            Self::Rollback => "rollback".to_owned(),
            Self::Savepoint(depth) => format!("savepoint s{depth}"),
            Self::Release(depth) => format!("release s{depth}"),
            Self::RollbackTo(depth) => format!("rollback to s{depth}; release s{depth}"),
        }
    }
}

/// Whether an error says that the statement was refused, and the connection is as good as before.
pub(super) fn is_refusal(failure: &Failure) -> bool {
    matches!(
        failure.class,
        FailureClass::Mistake
            | FailureClass::Busy
            | FailureClass::Interrupted
            | FailureClass::NoTransaction
            | FailureClass::ReadOnly
    )
}

/// The result of a call, if it is there within the limit. Whether one that is not answered in time was done is unknown.
pub(super) async fn within<T>(
    max: Option<Duration>,
    call: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let Some(max) = max else { return call.await };
    let late = |_| Err(Failure::new(FailureClass::Dead, format!("no answer within {max:?}")));
    tokio::time::timeout(max, call).await.unwrap_or_else(late)
}
