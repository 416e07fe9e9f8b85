//! What an application over `unstale` needs to be a [`System`](crate::system::System), with the feature `unstale`.
//!
//! Owns the translation of the library's errors for the harness, and how a scope runs the transaction commands of a
//! plan, so that an application needs no translation of its own. Not here: the library as a system under test.

#[cfg(feature = "sqlite")]
use unstale::OpenError;
#[cfg(feature = "postgres")]
use unstale::PgOpenError;
use unstale::registry::{BuildError, ResolveError};
use unstale::source::Source;
use unstale::testing::FixtureError;
use unstale::{Begin, Error, Locking, PolicyError, RepositoryError, Scope};

use crate::history::{Failure, FailureClass};
use crate::plan::{BeginMode, Command};
use crate::port::{Ended, Port};

/// Begins or ends a transaction of a scope, as a careful caller does. Ignores other commands.
///
/// # Cancel safety
/// Cancels of the plan land inside; the scope is as the library leaves it.
pub async fn transaction<S: Source>(scope: &Scope<S>, command: &Command, port: &mut Port) {
    match command {
        Command::Begin(mode) => {
            let read_only = *mode == BeginMode::ReadOnly;
            let begin = Begin { locking: locking(*mode), read_only, ..Begin::default() };
            port.run(scope.begin_with(begin)).await;
            return;
        }
        Command::Commit => port.run(scope.commit()).await,
        Command::Rollback | Command::Drop => port.run(scope.rollback()).await,
        _ => return,
    };
    if port.last() == Ended::Cancelled {
        // A cancelled end was not answered, so the caller rolls back. The result of that rollback is not used: the
        // model does not know either whether a commit happened.
        let _ = scope.rollback().await;
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Database { class, source } => match source.downcast::<sqlx::Error>() {
                Ok(error) => (*error).into(),
                Err(source) => Self::new(of_class(class), source),
            },
            error => Self::new(class(&error), &error),
        }
    }
}

impl From<RepositoryError> for Failure {
    fn from(error: RepositoryError) -> Self {
        let message = error.to_string();
        Self { message, ..Self::from(error.source) }
    }
}

impl From<ResolveError> for Failure {
    fn from(error: ResolveError) -> Self {
        let class = if matches!(error, ResolveError::Stale(_)) { FailureClass::Stale } else { FailureClass::Mistake };
        Self::new(class, error)
    }
}

/// Classifies errors from before anything runs.
macro_rules! mistakes {
    ($($error:ty),*) => {
        $(impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::new(FailureClass::Mistake, error)
            }
        })*
    };
}

mistakes!(PolicyError, BuildError, FixtureError);
#[cfg(feature = "sqlite")]
mistakes!(OpenError);
#[cfg(feature = "postgres")]
mistakes!(PgOpenError);

/// Classifies the library's own errors; the database's are classified by their codes.
pub(crate) fn class(error: &Error) -> FailureClass {
    match error {
        Error::Stale(_) => FailureClass::Stale,
        Error::Exhausted { .. } | Error::Unavailable { .. } => FailureClass::Exhausted,
        Error::TransactionLost { .. } | Error::NoTransaction { .. } | Error::RolledBack { .. } => {
            FailureClass::NoTransaction
        }
        Error::SessionBusy { .. } | Error::TurnTimedOut(_) => FailureClass::Busy,
        Error::SessionLost { .. } | Error::IsolationLost { .. } | Error::Closed => FailureClass::Closed,
        Error::CommitUnknown { .. } | Error::NoAnswer { .. } | Error::DatabaseLost { .. } => FailureClass::Dead,
        Error::Database { class, .. } => of_class(*class),
        _ => FailureClass::Mistake,
    }
}

fn of_class(class: unstale::ErrorClass) -> FailureClass {
    match class {
        unstale::ErrorClass::Disconnected | unstale::ErrorClass::OutcomeUnknown => FailureClass::Dead,
        unstale::ErrorClass::Unavailable => FailureClass::Exhausted,
        unstale::ErrorClass::RetryTransaction => FailureClass::NoTransaction,
        unstale::ErrorClass::RetryStatement => FailureClass::Busy,
        _ => FailureClass::Mistake,
    }
}

fn locking(mode: BeginMode) -> Locking {
    match mode {
        BeginMode::Plain | BeginMode::ReadOnly => Locking::Deferred,
        BeginMode::Immediate => Locking::Immediate,
        BeginMode::Exclusive => Locking::Exclusive,
    }
}
