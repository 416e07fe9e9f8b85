//! What the library's errors mean to the harness: nothing of an application has to be translated by hand.

use unstale::registry::{BuildError, ResolveError};
use unstale::testing::FixtureError;
use unstale::{Error, OpenError, PolicyError, RepositoryError};

use crate::history::{Class, Failure};

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
        let class = if matches!(error, ResolveError::Stale(_)) { Class::Stale } else { Class::Mistake };
        Self::new(class, error)
    }
}

/// Errors of what is wrong before anything runs.
macro_rules! mistakes {
    ($($error:ty),*) => {
        $(impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::new(Class::Mistake, error)
            }
        })*
    };
}

mistakes!(OpenError, PolicyError, BuildError, FixtureError);

/// What the library's own errors mean; the database's are classed by their codes.
pub(crate) fn class(error: &Error) -> Class {
    match error {
        Error::Stale(_) => Class::Stale,
        Error::Exhausted { .. } | Error::Unavailable { .. } => Class::Exhausted,
        Error::TransactionLost { .. } | Error::NoTransaction { .. } | Error::RolledBack { .. } => Class::NoTransaction,
        Error::SessionBusy { .. } | Error::TurnTimedOut(_) => Class::Busy,
        Error::SessionLost { .. } | Error::IsolationLost { .. } | Error::Closed => Class::Closed,
        Error::CommitUnknown { .. } | Error::NoAnswer { .. } | Error::DatabaseLost { .. } => Class::Dead,
        Error::Database { class, .. } => of_class(*class),
        _ => Class::Mistake,
    }
}

fn of_class(class: unstale::Class) -> Class {
    match class {
        unstale::Class::Dead | unstale::Class::Unknown => Class::Dead,
        unstale::Class::NotUpYet => Class::Exhausted,
        unstale::Class::TransactionLost => Class::NoTransaction,
        unstale::Class::StatementLost => Class::Busy,
        _ => Class::Mistake,
    }
}
