//! Classifies errors of sqlx for the harness.

#[cfg(feature = "postgres")]
use sqlx::postgres::PgDatabaseError;

use sqlx::error::DatabaseError;

use crate::history::{Failure, FailureClass};

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        #[cfg(feature = "unstale")]
        if let Some(own) = unstale::Error::of(&error) {
            return Self::new(crate::library::class(own), own);
        }
        let class = match &error {
            sqlx::Error::PoolClosed => FailureClass::Closed,
            sqlx::Error::PoolTimedOut => FailureClass::Exhausted,
            sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) => {
                FailureClass::Dead
            }
            sqlx::Error::InvalidSavePointStatement | sqlx::Error::BeginFailed => FailureClass::NoTransaction,
            sqlx::Error::Database(database) => database_class(&**database),
            _ => FailureClass::Mistake,
        };
        Self::new(class, error)
    }
}

fn database_class(error: &dyn DatabaseError) -> FailureClass {
    #[cfg(feature = "postgres")]
    if let Some(error) = error.try_downcast_ref::<PgDatabaseError>() {
        return postgres(error.code());
    }
    sqlite(error.code().and_then(|code| code.parse().ok()).unwrap_or(1), error.message())
}

/// By SQLite's result codes (<https://sqlite.org/rescode.html>).
fn sqlite(code: i32, message: &str) -> FailureClass {
    match code & 0xff {
        5 | 6 => FailureClass::Busy,
        9 => FailureClass::Interrupted,
        10 | 11 | 13 | 14 | 21 | 26 => FailureClass::Dead,
        1 if message.contains("transaction") || message.contains("no such savepoint") => FailureClass::NoTransaction,
        _ => FailureClass::Mistake,
    }
}

/// By PostgreSQL's SQLSTATE (appendix A of its manual).
#[cfg(feature = "postgres")]
fn postgres(code: &str) -> FailureClass {
    match code {
        // serialization_failure, deadlock_detected, lock_not_available.
        "40001" | "40P01" | "55P03" => FailureClass::Busy,
        "57014" => FailureClass::Interrupted,
        // read_only_sql_transaction.
        "25006" => FailureClass::ReadOnly,
        // The states of transactions, and a savepoint that is not there.
        "25000" | "25001" | "25P01" | "25P02" | "3B001" => FailureClass::NoTransaction,
        // idle_in_transaction_session_timeout; admin_shutdown, crash_shutdown, database_dropped, idle_session_timeout;
        // statement_completion_unknown.
        "25P03" | "57P01" | "57P02" | "57P04" | "57P05" | "40003" => FailureClass::Dead,
        // cannot_connect_now, too_many_connections, and a login that is refused: nothing ran.
        "57P03" | "53300" | "28P01" | "28000" => FailureClass::Exhausted,
        code if code.starts_with("08") => FailureClass::Dead,
        _ => FailureClass::Mistake,
    }
}
