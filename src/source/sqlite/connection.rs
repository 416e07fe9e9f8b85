//! What the library says to a SQLite connection, and what its errors mean.

use sqlx::sqlite::SqliteQueryResult;
use sqlx::{Executor, SqlSafeStr, Sqlite, SqliteConnection};

use crate::source::connection::Connection;
use crate::source::control::{Begin, Control, Locking};
use crate::source::error::{ConnectionError, ErrorClass};
use crate::source::sqlx_connection::SqlxConnection;
use crate::statement::{self, Effect};

impl Connection for SqliteConnection {
    // Each connection has a thread that takes one call after the other.
    const ORDERED: bool = true;

    async fn control(&mut self, control: Control) -> Result<(), ConnectionError> {
        let sql = match control {
            Control::Begin(begin) => begin_sql(begin).into_sql_str(),
            Control::Commit | Control::CommitUnlessFailed => "commit".into_sql_str(),
            Control::Rollback => "rollback".into_sql_str(),
            Control::Reset => "pragma query_only = off".into_sql_str(),
            // Only closing the connection undoes what statements leave on it.
            Control::Clean => return Ok(()),
            Control::CleanBegin(begin) => begin_sql(begin).into_sql_str(),
            Control::Savepoint(depth) => savepoint("savepoint", depth),
            Control::Release(depth) => savepoint("release", depth),
            Control::RollbackTo(depth) => {
                self.execute(savepoint("rollback to", depth)).await.map_err(failure)?;
                savepoint("release", depth)
            }
        };
        self.execute(sql).await.map_err(failure)?;
        Ok(())
    }

    /// SQLite refuses a BEGIN inside a transaction, and that is the one answer with which no hook of the application's can
    /// interfere.
    async fn in_transaction(&mut self) -> Result<bool, ConnectionError> {
        match self.execute("begin").await {
            Ok(_) => {
                self.execute("rollback").await.map_err(failure)?;
                Ok(false)
            }
            Err(sqlx::Error::Database(error)) if error.message().contains("within a transaction") => Ok(true),
            Err(error) => Err(failure(error)),
        }
    }

    async fn probe(&mut self) -> Result<(), ConnectionError> {
        // It reads the file's header, so it notices a file that is not a database any more.
        match self.execute("pragma schema_version").await {
            Ok(_) => Ok(()),
            // A busy database answers.
            Err(error) if Self::class(&error) == ErrorClass::RetryStatement => Ok(()),
            Err(error) => Err(failure(error)),
        }
    }
}

impl SqlxConnection for SqliteConnection {
    type Database = Sqlite;

    fn sqlx(&mut self) -> &mut SqliteConnection {
        self
    }

    fn rows_affected(done: &SqliteQueryResult) -> u64 {
        done.rows_affected()
    }

    fn is_all_or_nothing(sql: &str) -> bool {
        statement::sqlite::is_one(sql)
    }

    fn only_reads(sql: &str) -> bool {
        statement::sqlite::only_reads(sql)
    }

    fn effect(sql: &str) -> Effect {
        statement::sqlite::effect(sql)
    }

    /// By SQLite's result codes (<https://sqlite.org/rescode.html>).
    fn class(error: &sqlx::Error) -> ErrorClass {
        match error {
            sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed | sqlx::Error::Protocol(_) => ErrorClass::Disconnected,
            sqlx::Error::Database(database) => {
                let code: i32 = database.code().and_then(|it| it.parse().ok()).unwrap_or(1);
                match code {
                    // BUSY_SNAPSHOT: the transaction's snapshot is out of date.
                    517 => ErrorClass::RetryTransaction,
                    // READONLY_DBMOVED: the file was moved or deleted under the connection.
                    1032 => ErrorClass::Disconnected,
                    _ => match code & 0xff {
                        // BUSY, LOCKED, INTERRUPT.
                        5 | 6 | 9 => ErrorClass::RetryStatement,
                        // IOERR, CORRUPT, CANTOPEN, PROTOCOL, MISUSE, NOTADB.
                        10 | 11 | 14 | 15 | 21 | 26 => ErrorClass::Disconnected,
                        // FULL, NOMEM: SQLite may have rolled back by itself; the session asks.
                        _ => ErrorClass::Rejected,
                    },
                }
            }
            _ => ErrorClass::Rejected,
        }
    }
}

/// Classifies the error of a call of the library's own.
pub(super) fn failure(error: sqlx::Error) -> ConnectionError {
    ConnectionError::new(SqliteConnection::class(&error), error)
}

fn begin_sql(begin: Begin) -> &'static str {
    match (begin.locking, begin.read_only) {
        (Locking::Deferred, false) => "begin",
        (Locking::Immediate, false) => "begin immediate",
        (Locking::Exclusive, false) => "begin exclusive",
        // A read-only transaction needs no write lock.
        (_, true) => "begin; pragma query_only = on",
    }
}

/// A statement about the savepoint of this depth.
fn savepoint(verb: &str, depth: u32) -> sqlx::SqlStr {
    sqlx::AssertSqlSafe(format!("{verb} unstale_{depth}")).into_sql_str()
}
