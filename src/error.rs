//! What can go wrong, and what the caller can do about it.
//!
//! One enum for every error of a [`Scope`](crate::Scope) or [`Handle`](crate::Handle). An error travels through
//! sqlx as [`sqlx::Error::Database`] and is found again with [`Error::of`].

use std::borrow::Cow;
use std::fmt;
use std::panic::Location;
use std::time::Duration;

use crate::health::Holder;
use crate::source::{ConnectionError, ErrorClass, Usage};

/// Why a call failed, or why its outcome is unknown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The handle outlived its scope, operation or session. The call was not made.
    #[error(transparent)]
    Stale(#[from] Box<Stale>),

    /// Another call of the same scope has the session, and this one waited for `queue_timeout`, or would wait for ever for an
    /// open row stream, or an atomic operation, of its own task. The call was not made: read the stream to its end, or drop
    /// it; inside the operation use the handle that it was given.
    #[error("{operation}: the session is busy with `{holder}`{}; the call was not made", if *own_task { " of the same task: read it to its end or drop it first; inside an atomic operation use its handle" } else { "" })]
    SessionBusy {
        /// The call that was refused.
        operation: &'static str,
        /// The call that has the session.
        holder: &'static str,
        /// Whether that is a row stream, or an atomic operation, of this very task.
        own_task: bool,
    },

    /// The database did not answer within `statement_timeout`. Whether the statement was done is unknown: check whether
    /// its effect is there, or allow it more time.
    #[error(
        "{operation}: no answer within {limit:?} (`statement_timeout`), so the call was cancelled; whether it was done is unknown"
    )]
    NoAnswer {
        /// The call that was cancelled.
        operation: &'static str,
        /// How long the call waited.
        limit: Duration,
    },

    /// Every connection is lent, and none came back within `acquire_timeout`. Nothing was done: end scopes sooner, or
    /// raise `sessions_max`.
    #[error("no connection came back within {waited:?}: {} of {} are lent", usage.in_use, usage.max)]
    Exhausted {
        /// How many connections are in use, and the most there can be.
        usage: Usage,
        /// How long the call waited.
        waited: Duration,
    },

    /// No connection could be opened. Nothing was done.
    #[error("no connection could be opened in {attempts} attempts within {waited:?}: {source}")]
    Unavailable {
        /// The number of attempts.
        attempts: u32,
        /// For how long.
        waited: Duration,
        /// The error of the last attempt.
        source: Box<dyn std::error::Error + Send + Sync>,
    },

    /// The transaction is over, and nothing of it is kept. Call `rollback()`; then begin again.
    #[error(
        "{operation}: the transaction of scope `{scope}` was lost ({why}); nothing of it is kept: roll back, then begin again"
    )]
    TransactionLost {
        /// The call that was refused or failed.
        operation: &'static str,
        /// The scope.
        scope: Cow<'static, str>,
        /// What ended it.
        why: String,
    },

    /// The commit was refused: the transaction, or the savepoint, was rolled back.
    #[error("not committed, everything since the begin was rolled back: {source}")]
    RolledBack {
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },

    /// The commit was not answered, and whether it happened is unknown. Do not retry it blindly: check whether its
    /// effect is there.
    #[error(
        "whether the transaction of scope `{scope}` was committed is unknown ({why}): look whether its effect is there before retrying it"
    )]
    CommitUnknown {
        /// The scope.
        scope: Cow<'static, str>,
        /// Why there was no answer.
        why: String,
    },

    /// The commit was not answered but did happen: there is nothing to roll back.
    #[error("the transaction of scope `{scope}` cannot be rolled back: its commit was not answered, and has happened")]
    AlreadyCommitted {
        /// The scope.
        scope: Cow<'static, str>,
    },

    /// The session was lost outside a transaction, and it had something on it that a fresh one would not have, or the policy
    /// reports losses. [`Scope::renew`](crate::Scope::renew) accepts the loss.
    #[error("{operation}: the session of scope `{scope}` was lost ({why}); `renew()` accepts the loss")]
    SessionLost {
        /// The call that was refused.
        operation: &'static str,
        /// The scope.
        scope: Cow<'static, str>,
        /// What happened.
        why: String,
    },

    /// The only connection to an in-memory database is gone, and the data with it. Nothing can be recovered: open a new one.
    #[error("the in-memory database is gone with its only connection ({why}): open and fill a new one")]
    DatabaseLost {
        /// What happened.
        why: String,
    },

    /// A function that had the connection itself has left a transaction open, outside of the scope's own. It was rolled back: end
    /// it in the function, or use `begin()` and `commit()` of the scope around it.
    #[error(
        "{operation}: the transaction that was left open on the connection was rolled back: end it where it was begun, or use begin() and commit() of the scope around it"
    )]
    TransactionLeftOpen {
        /// The call that had the connection.
        operation: &'static str,
    },

    /// There is no transaction to end.
    #[error("{operation}: scope `{scope}` is in no transaction; call `begin()` first")]
    NoTransaction {
        /// The call that was refused.
        operation: &'static str,
        /// The scope.
        scope: Cow<'static, str>,
    },

    /// One savepoint more than the policy allows. Nothing was done.
    #[error("a transaction may hold {max} savepoints (`savepoints_max`), and all of them are open")]
    NestingTooDeep {
        /// The most.
        max: u32,
    },

    /// A savepoint has no options of its own: locks, isolation and read-only belong to the outermost begin. Nothing was done.
    #[error(
        "a begin inside a transaction sets a savepoint, which has no locking, isolation or read-only of its own: use begin()"
    )]
    SavepointOptions,

    /// The statement would begin or end a transaction behind the scope's back. It was not run: use `begin()`, `commit()` and
    /// `rollback()` of the scope.
    #[error("`{keyword}` was not run: use begin(), commit() and rollback() of the scope")]
    TransactionControl {
        /// Its first word.
        keyword: &'static str,
    },

    /// The statement would leave something on a connection that all scopes use: the only one of an in-memory database,
    /// or a test's. It was not run: set it in the connect options.
    #[error(
        "`{keyword}` was not run: it would stay on the one connection that all scopes use; set it in the connect options"
    )]
    WouldLeaveResidue {
        /// Its first word.
        keyword: &'static str,
    },

    /// In a test whose scopes share a connection, this scope waited for its turn longer than `acquire_timeout`. The
    /// call was not made.
    #[error(transparent)]
    TurnTimedOut(#[from] Box<TurnTimedOut>),

    /// The test is no longer isolated, so nothing runs on its connection: its work so far may be lost.
    #[error("the isolation of test `{test}` is lost: {why}; nothing runs in it any more")]
    IsolationLost {
        /// The test.
        test: Cow<'static, str>,
        /// How.
        why: String,
    },

    /// Pages are numbered from 1 and hold from 1 row to `page_rows_max`. Nothing was read.
    #[error(
        "page {number} of {size} rows was not read: pages are numbered from 1 and hold 1 to {max} rows (`page_rows_max`)"
    )]
    NoSuchPage {
        /// The requested page.
        number: u32,
        /// The requested number of rows.
        size: u32,
        /// The most.
        max: u32,
    },

    /// The sessions were closed or are being drained. Nothing was done.
    #[error("the sessions are closed")]
    Closed,

    /// The database's answer.
    #[error("{source}")]
    Database {
        /// What it means.
        class: ErrorClass,
        /// The answer itself.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// A handle that outlived its scope, operation or session: its owner, where it was obtained, and the refused call.
#[derive(Debug)]
pub struct Stale {
    /// The owner for which the handle was made.
    pub owner: Cow<'static, str>,
    /// The scope it belongs to.
    pub scope: Cow<'static, str>,
    /// The scope's number.
    pub id: u64,
    /// The call that was refused.
    pub operation: &'static str,
    /// Where the handle was obtained.
    pub obtained: &'static Location<'static>,
    /// What has ended.
    pub ended: Ended,
}

/// The ended thing to which a stale handle was bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The scope.
    Scope,
    /// The operation that was given the handle.
    Operation {
        /// Its name.
        operation: &'static str,
    },
    /// The session to which the handle was pinned.
    Session {
        /// The generation that it was pinned to.
        pinned: u64,
        /// The scope's generation now.
        current: u64,
    },
}

/// A wait for a test's connection that took too long: the scope that waited, and the scope that it waited for.
#[derive(Debug)]
pub struct TurnTimedOut {
    /// The test.
    pub test: Holder,
    /// The scope that waited.
    pub scope: Holder,
    /// Its call.
    pub operation: &'static str,
    /// For how long.
    pub waited: Duration,
    /// The scope that has the turn, the call that took it, and for how long it has had it; none if it just ended.
    pub holder: Option<(Holder, &'static str, Duration)>,
    /// Whether the turn was taken by the very task that waited.
    pub own_task: bool,
}

impl std::error::Error for TurnTimedOut {}

impl fmt::Display for TurnTimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { test, scope, operation, waited, holder, own_task } = self;
        write!(f, "{operation}: scope {scope} waited {waited:?} for its turn on the connection of test {test}")?;
        let Some((holder, call, since)) = holder else {
            return f.write_str(", which other scopes kept taking; raise `acquire_timeout`");
        };
        write!(f, ", which scope {holder} has had for {since:?}, since its `{call}`")?;
        if *own_task {
            f.write_str("; both run in the same task, so one waits for the other")?;
        }
        f.write_str(
            ": end that transaction, or read its row stream to the end, before this call, or use one scope for both",
        )
    }
}

impl std::error::Error for Stale {}

impl fmt::Display for Stale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { owner, scope, id, operation, obtained, ended } = self;
        write!(f, "{operation}: the handle of `{owner}`, obtained at {obtained}, is stale: ")?;
        match ended {
            Ended::Scope => write!(f, "scope `{scope}` #{id} has ended; ask the current scope for a handle"),
            Ended::Operation { operation: of } => {
                write!(f, "it was for `{of}` alone, which has ended; ask scope `{scope}` #{id} for a handle")
            }
            Ended::Session { pinned, current } => write!(
                f,
                "it is pinned to session {pinned} of scope `{scope}` #{id}, which is at session {current}; \
                 ask for a new one and set up again what the session had"
            ),
        }
    }
}

impl From<ConnectionError> for Error {
    fn from(failure: ConnectionError) -> Self {
        Self::Database { class: failure.class, source: failure.source }
    }
}

impl Error {
    /// Returns the library's own error inside one that came through sqlx.
    pub fn of(error: &sqlx::Error) -> Option<&Self> {
        error.as_database_error()?.try_downcast_ref()
    }

    /// The error as sqlx's callers know it: the database's own answer as it came, everything else as
    /// [`sqlx::Error::Database`].
    pub(crate) fn into_sqlx(self) -> sqlx::Error {
        match self {
            Self::Database { class, source } => match source.downcast::<sqlx::Error>() {
                Ok(own) => *own,
                Err(source) => Self::Database { class, source }.into(),
            },
            error => error.into(),
        }
    }

    /// What the error means for the work that was asked for.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Database { class, .. } => *class,
            Self::TransactionLost { .. } | Self::RolledBack { .. } => ErrorClass::RetryTransaction,
            Self::CommitUnknown { .. } | Self::NoAnswer { .. } => ErrorClass::OutcomeUnknown,
            Self::SessionLost { .. } | Self::DatabaseLost { .. } | Self::IsolationLost { .. } => {
                ErrorClass::Disconnected
            }
            Self::Unavailable { .. } | Self::Exhausted { .. } => ErrorClass::Unavailable,
            Self::SessionBusy { .. } | Self::TurnTimedOut(_) => ErrorClass::RetryStatement,
            Self::Stale(_)
            | Self::NoTransaction { .. }
            | Self::TransactionLeftOpen { .. }
            | Self::AlreadyCommitted { .. }
            | Self::NestingTooDeep { .. }
            | Self::SavepointOptions
            | Self::TransactionControl { .. }
            | Self::WouldLeaveResidue { .. }
            | Self::NoSuchPage { .. }
            | Self::Closed => ErrorClass::Rejected,
        }
    }
}

/// An error keeps its type on its way through sqlx.
impl sqlx::error::DatabaseError for Error {
    fn message(&self) -> &str {
        "refused by the session; `unstale::Error::of` has the reason"
    }

    fn as_error(&self) -> &(dyn std::error::Error + Send + Sync + 'static) {
        self
    }

    fn as_error_mut(&mut self) -> &mut (dyn std::error::Error + Send + Sync + 'static) {
        self
    }

    fn into_error(self: Box<Self>) -> Box<dyn std::error::Error + Send + Sync + 'static> {
        self
    }

    fn kind(&self) -> sqlx::error::ErrorKind {
        sqlx::error::ErrorKind::Other
    }
}
