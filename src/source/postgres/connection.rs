//! What the library says to a PostgreSQL connection, and what its errors mean.

use std::io;
use std::num::ParseIntError;

use sqlx::postgres::{PgArguments, PgConnection, PgDatabaseError, PgQueryResult, PgRow, PgSeverity};
use sqlx::{Connection as _, Executor, Postgres, Row, SqlSafeStr};

use super::sqlstate;
use crate::source::connection::{Connection, Fate, Number, Numbered};
use crate::source::control::{Begin, Control, Isolation};
use crate::source::error::{ConnectionError, ErrorClass};
use crate::source::settings::Settings;
use crate::source::sqlx_connection::SqlxConnection;
use crate::statement::postgres::RetrySafety;
use crate::statement::{self, Effect};

/// Undoes what statements leave on a connection. DISCARD ALL would also drop the prepared statements that sqlx relies on, and
/// cannot share a message with other statements.
macro_rules! clean {
    () => {
        "close all; set session authorization default; reset all; unlisten *; \
         select pg_advisory_unlock_all(); discard temp; discard sequences; \
         do $$ declare it text; begin \
             for it in select name from pg_prepared_statements where from_sql loop execute format('deallocate %I', it); end loop; \
         end $$"
    };
}

/// Sets all or none. Its names do not depend on the search path that it may set.
const SET: &str = "select pg_catalog.set_config(name, value, false) \
    from rows from (pg_catalog.unnest($1::pg_catalog.text[]), pg_catalog.unnest($2::pg_catalog.text[])) as it(name, value)";

/// The transaction's number, and when it was begun on the server's clock.
const NUMBER_LAST: &str = "; select pg_current_xact_id(), (extract(epoch from now()) * 1000000)::bigint";

/// A rollback would undo a reset inside its transaction, so the cleaning has a transaction of its own.
const CLEAN_FIRST: &str = concat!("begin; ", clean!(), "; commit; ");

impl Connection for PgConnection {
    // After a cancelled call the next one would wait for the rest of its answer.
    const ORDERED: bool = false;
    const BEGIN_PROBES: bool = true;
    const CLEANS: bool = true;
    const ABORTS: bool = true;
    const INTERRUPTIBLE: bool = true;

    async fn control(&mut self, control: Control) -> Result<(), ConnectionError> {
        let sql = match control {
            Control::Begin(begin) => begin_sql("", begin, ""),
            Control::CleanBegin(begin) => begin_sql(CLEAN_FIRST, begin, ""),
            Control::Clean => clean!().into_sql_str(),
            Control::Commit => "commit".into_sql_str(),
            // COMMIT of an aborted transaction rolls it back and is answered as a success. A statement before it is refused in
            // that case, and the COMMIT does not run.
            Control::CommitUnlessFailed => "select; commit".into_sql_str(),
            Control::Rollback => "rollback".into_sql_str(),
            // BEGIN sets it for the transaction alone.
            Control::Reset => return Ok(()),
            Control::Savepoint(depth) => savepoint("savepoint", depth),
            Control::Release(depth) => savepoint("release", depth),
            Control::RollbackTo(depth) => {
                sqlx::AssertSqlSafe(format!("rollback to unstale_{depth}; release unstale_{depth}")).into_sql_str()
            }
        };
        self.execute(sql).await.map_err(failure)?;
        Ok(())
    }

    /// A refused rollback would abort the transaction, so the statement sets a savepoint of its own first, to go back to. In a
    /// transaction that is already aborted a refusal changes nothing.
    async fn roll_back_to(&mut self, depth: u32) -> Result<bool, ConnectionError> {
        let undo = format!("rollback to unstale_{depth}; release unstale_{depth}");
        let guarded = format!("savepoint unstale_question; {undo}");
        let answer = self.execute(sqlx::AssertSqlSafe(guarded)).await;
        // in_failed_sql_transaction
        if answer.as_ref().is_err_and(|it| code(it).as_deref() == Some("25P02")) {
            let there = there(self.execute(sqlx::AssertSqlSafe(undo)).await.map(drop))?;
            if !there {
                // A cancelled question may be what aborted it.
                forget_question(self).await?;
            }
            return Ok(there);
        }
        let there = there(answer.map(drop))?;
        if !there && self.in_transaction().await? {
            forget_question(self).await?;
        }
        Ok(there)
    }

    /// SAVEPOINT is refused outside of a transaction, and in one that failed with another code.
    async fn in_transaction(&mut self) -> Result<bool, ConnectionError> {
        match self.execute("savepoint unstale_question; release unstale_question").await {
            Ok(_) => Ok(true),
            Err(error) => match code(&error).as_deref() {
                // no_active_sql_transaction
                Some("25P01") => Ok(false),
                // in_failed_sql_transaction
                Some("25P02") => Ok(true),
                _ => Err(failure(error)),
            },
        }
    }

    /// A COPY that was given up makes sqlx count one answer too many, and each statement gets its predecessor's from then on. So
    /// something is asked that nobody else can have been answered.
    async fn fall_in_step(&mut self) -> Result<(), ConnectionError> {
        let nonce = format!("unstale_{:016x}", rand::random::<u64>());
        let out_of_step = || ConnectionError::new(ErrorClass::Disconnected, OutOfStep);
        match self.fetch_one(sqlx::AssertSqlSafe(format!("select '{nonce}'"))).await {
            Ok(row) if row.try_get_unchecked::<&str, _>(0).is_ok_and(|it| it == nonce) => {}
            // In a transaction that was aborted nothing is selected, and one more refusal changes nothing.
            Err(error) if code(&error).as_deref() == Some("25P02") => {
                let answer = self.execute(sqlx::AssertSqlSafe(format!("rollback to {nonce}"))).await;
                if !answer.is_err_and(|it| it.as_database_error().is_some_and(|it| it.message().contains(&nonce))) {
                    return Err(out_of_step());
                }
            }
            _ => return Err(out_of_step()),
        }
        // Whoever had the connection may have deallocated what sqlx believes to be prepared.
        self.clear_cached_statements().await.map_err(failure)
    }

    async fn set(&mut self, settings: &Settings) -> Result<(), ConnectionError> {
        let (names, values): (Vec<&str>, Vec<&str>) = settings.iter().unzip();
        sqlx::query(SET).bind(names).bind(values).execute(self).await.map_err(failure)?;
        Ok(())
    }

    async fn probe(&mut self) -> Result<(), ConnectionError> {
        self.ping().await.map_err(failure)
    }
}

/// Why a connection is given up.
#[derive(Debug, thiserror::Error)]
#[error("answers on the connection belong to other statements, as after a COPY that was not finished")]
struct OutOfStep;

impl Numbered for PgConnection {
    async fn begin_numbered(&mut self, control: Control) -> Result<Number, ConnectionError> {
        let (first, begin) = match control {
            Control::CleanBegin(begin) => (CLEAN_FIRST, begin),
            Control::Begin(begin) => ("", begin),
            _ => return Err(ConnectionError::new(ErrorClass::Rejected, "only a begin has a number")),
        };
        let rows = self.fetch_all(begin_sql(first, begin, NUMBER_LAST)).await.map_err(failure)?;
        // The last row: the cleaning has rows of its own.
        number(rows.last()).map_err(failure)
    }

    /// 1. A transaction gets number 7 and is not committed; what it wrote to the log is not on the disk yet.
    /// 2. The server crashes and recovers. Its log has no 7, so the next transaction gets number 7 again.
    /// 3. That one commits, and so the server reports 7 as committed.
    ///
    /// The number of a real commit is on the disk and is not assigned again. So after a crash every status but *committed* can be
    /// trusted. (`synchronous_commit = off` is the wish to lose commits in a crash.)
    async fn fate(&mut self, number: Number) -> Result<Fate, ConnectionError> {
        let crashed = has_crashed(self, number.begun).await.map_err(failure)?;
        let sql = format!("select pg_xact_status('{}')", number.number);
        let status = match self.fetch_one(sqlx::raw_sql(sqlx::AssertSqlSafe(sql))).await {
            Ok(row) => row.try_get_unchecked::<Option<String>, _>(0).map_err(failure)?,
            // The number is not assigned yet, so the transaction was lost in the crash.
            Err(error) if code(&error).as_deref() == Some("22023") => {
                return Ok(if crashed { Fate::RolledBack } else { Fate::Unknown });
            }
            Err(error) => return Err(failure(error)),
        };
        Ok(match (status.as_deref(), crashed) {
            (Some("committed"), false) => Fate::Committed,
            (Some("aborted"), _) => Fate::RolledBack,
            // Ours, or after a crash another one with its number. That the server has crashed is inferred, so its end is awaited.
            (Some("in progress"), _) => Fate::UnderWay,
            _ => Fate::Unknown,
        })
    }
}

impl SqlxConnection for PgConnection {
    type Database = Postgres;

    const RETRIES: bool = true;
    /// The protocol counts them in 16 bits (<https://www.postgresql.org/docs/current/limits.html>).
    const VALUES_MAX: usize = u16::MAX as usize;

    fn sqlx(&mut self) -> &mut PgConnection {
        self
    }

    fn rows_affected(done: &PgQueryResult) -> u64 {
        done.rows_affected()
    }

    fn class(error: &sqlx::Error) -> ErrorClass {
        match error {
            sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => {
                ErrorClass::Disconnected
            }
            _ if is_outdated(error) => ErrorClass::RetryTransaction,
            sqlx::Error::Database(database) => database.code().map_or(ErrorClass::Rejected, |it| sqlstate::class(&it)),
            _ => ErrorClass::Rejected,
        }
    }

    fn is_all_or_nothing(sql: &str) -> bool {
        statement::postgres::is_all_or_nothing(sql)
    }

    fn effect(sql: &str) -> Effect {
        statement::postgres::effect(sql)
    }

    fn spare(arguments: &PgArguments) -> Option<PgArguments> {
        Some(arguments.clone())
    }

    fn is_safe_to_rerun(sql: &str) -> bool {
        statement::postgres::retry_safety(sql) == RetrySafety::Reads
    }

    /// Of a statement in autocommit, with nothing answered before the error:
    ///
    /// 1. In the extended protocol the server commits when it reads Sync, and by then it has written CommandComplete. Bytes of
    ///    one connection keep their order. So a FATAL error that comes first was written before the commit, and ends the
    ///    session: the transaction was rolled back, if it had begun at all.
    /// 2. In the simple protocol it commits, and then writes CommandComplete. Between the two it does not look for
    ///    interrupts, and 57P01, 57P04 and 57P05 are raised only where it does. If it is told to end while the commit waits
    ///    for a standby, it closes the connection without an error message.
    /// 3. So with these three codes nothing was committed. Statements whose effects a rollback does not undo (sequences, other
    ///    servers, statements that commit by themselves) are excluded by their text, as far as it shows them.
    /// 4. EPIPE is an error of writing alone, so the end of the message was not sent: its Sync, or the last byte of its text.
    ///    Without that the server does not commit. Over a Unix socket it is the only sign of a backend that was terminated.
    ///
    /// A statement that is refused because its transaction is read-only has done nothing either. It is retried once: where the
    /// next connection is read-only too, all are.
    ///
    /// A connection that broke otherwise proves nothing: a crash can cut it at any point. There only a statement that reads may be
    /// retried, and once, on a connection that answers: the statement may be what crashes the server.
    fn may_retry(sql: &str, error: &sqlx::Error, times: u32) -> bool {
        let terminated = answer(error)
            .is_some_and(|it| it.severity() == PgSeverity::Fatal && matches!(it.code(), "57P01" | "57P04" | "57P05"));
        let unsent = matches!(error, sqlx::Error::Io(io) if io.kind() == io::ErrorKind::BrokenPipe);
        let broken = matches!(error, sqlx::Error::Io(_)) && times == 0;
        let read_only = is_read_only(error) && times == 0;
        match statement::postgres::retry_safety(sql) {
            RetrySafety::Never => false,
            RetrySafety::Undone => terminated || unsent || read_only || is_outdated(error),
            RetrySafety::Reads => terminated || unsent || broken || read_only || is_outdated(error),
        }
    }

    fn is_outdated(error: &sqlx::Error) -> bool {
        is_outdated(error)
    }

    fn is_read_only(error: &sqlx::Error) -> bool {
        is_read_only(error)
    }

    async fn forget(&mut self) -> Result<(), sqlx::Error> {
        self.clear_cached_statements().await
    }

    fn effect_of(error: &sqlx::Error) -> Effect {
        if is_outdated(error) { Effect::Permanent("an outdated statement") } else { Effect::Nothing }
    }
}

/// Whether a statement was refused before it ran, because it was prepared before its tables were changed. sqlx keeps the prepared
/// statement, so on this connection it would be refused again.
fn is_outdated(error: &sqlx::Error) -> bool {
    answer(error).is_some_and(|it| it.code() == "0A000" && it.routine() == Some("RevalidateCachedQuery"))
}

/// Whether the server refused a statement because its transaction is read-only (read_only_sql_transaction). A function of the
/// application may raise the same code, and says nothing of the server by that.
fn is_read_only(error: &sqlx::Error) -> bool {
    let is_the_servers = |it: &PgDatabaseError| it.routine().is_none_or(|it| it.starts_with("PreventCommand"));
    code(error).as_deref() == Some("25006") && answer(error).is_none_or(is_the_servers)
}

fn answer(error: &sqlx::Error) -> Option<&PgDatabaseError> {
    error.as_database_error()?.try_downcast_ref()
}

/// Classifies the error of a call of the library's own.
pub(super) fn failure(error: sqlx::Error) -> ConnectionError {
    ConnectionError::new(PgConnection::class(&error), error)
}

/// Classifies the error of opening a connection.
pub(super) fn connect_failure(error: sqlx::Error) -> ConnectionError {
    let class = match &error {
        // Waiting does not help against an invalid certificate.
        sqlx::Error::Io(io) if io.kind() != io::ErrorKind::InvalidInput => ErrorClass::Unavailable,
        // invalid_password, invalid_authorization_specification: passwords and tokens are changed at the server and at its
        // clients, and never at the same time.
        sqlx::Error::Database(_) if is_login_refused(&error) => ErrorClass::Unavailable,
        // The server ended the session while it connected.
        sqlx::Error::Database(_) if PgConnection::class(&error) == ErrorClass::Disconnected => ErrorClass::Unavailable,
        _ => PgConnection::class(&error),
    };
    ConnectionError::new(class, error)
}

/// Whether the server does not let this user in.
pub(crate) fn is_login_refused(error: &sqlx::Error) -> bool {
    matches!(code(error).as_deref(), Some("28P01" | "28000"))
}

pub(crate) fn code(error: &sqlx::Error) -> Option<String> {
    error.as_database_error()?.code().map(|it| it.into_owned())
}

/// Goes back to before a refused question; whether its savepoint was there.
async fn forget_question(connection: &mut PgConnection) -> Result<bool, ConnectionError> {
    let answer = connection.execute("rollback to unstale_question; release unstale_question").await;
    there(answer.map(drop))
}

/// Whether a savepoint was there.
fn there(answer: Result<(), sqlx::Error>) -> Result<bool, ConnectionError> {
    match answer {
        Ok(()) => Ok(true),
        // invalid_savepoint_specification; no_active_sql_transaction
        Err(error) if matches!(code(&error).as_deref(), Some("3B001" | "25P01")) => Ok(false),
        Err(error) => Err(failure(error)),
    }
}

fn number(row: Option<&PgRow>) -> Result<Number, sqlx::Error> {
    let row = row.ok_or(sqlx::Error::RowNotFound)?;
    // A simple query is answered in text.
    let wrong = |error: ParseIntError| sqlx::Error::Decode(Box::new(error));
    let text = |column| row.try_get_unchecked::<&str, usize>(column);
    Ok(Number { number: text(0)?.parse().map_err(wrong)?, begun: text(1)?.parse().map_err(wrong)? })
}

/// Whether the server may have crashed since then: a crash resets its statistics, and so does whoever asks for it.
async fn has_crashed(connection: &mut PgConnection, begun: i64) -> Result<bool, sqlx::Error> {
    let sql = format!("select pg_stat_get_bgwriter_stat_reset_time() > to_timestamp({begun} / 1000000.0)");
    let row = connection.fetch_one(sqlx::raw_sql(sqlx::AssertSqlSafe(sql))).await?;
    Ok(row.try_get_unchecked::<Option<&str>, _>(0)? != Some("f"))
}

fn begin_sql(first: &'static str, begin: Begin, last: &'static str) -> sqlx::SqlStr {
    if first.is_empty() && last.is_empty() && begin.isolation.is_none() && !begin.read_only {
        return "begin".into_sql_str();
    }
    let isolation = match begin.isolation {
        None => "",
        Some(Isolation::ReadCommitted) => " isolation level read committed",
        Some(Isolation::RepeatableRead) => " isolation level repeatable read",
        Some(Isolation::Serializable) => " isolation level serializable",
    };
    let read_only = if begin.read_only { " read only" } else { "" };
    sqlx::AssertSqlSafe(format!("{first}begin{isolation}{read_only}{last}")).into_sql_str()
}

/// A statement about the savepoint of this depth.
fn savepoint(verb: &str, depth: u32) -> sqlx::SqlStr {
    sqlx::AssertSqlSafe(format!("{verb} unstale_{depth}")).into_sql_str()
}
