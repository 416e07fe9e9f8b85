//! The control's connection to PostgreSQL.
//!
//! A network costs more care than a file: a connection that is given up is closed on the server as well, by telling the
//! process behind it to end. That process may wait for a lock, or hold one, and would not look at its connection before.
//!
//! A server that turns read-only disconnects nobody, and whoever connects later can write. Once a connection has refused a write
//! for this reason, each one of before is asked, before it is lent again, whether it can write.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection as _, Executor, PgConnection, Row};
use tokio::time::{sleep, timeout};

use super::Flaw;
use super::connection::{Boundary, Connection, OnDatabase, Source};
use unstale_harness::database::Database;
use unstale_harness::history::{Failure, FailureClass, Reply};
use unstale_harness::plan::{BeginMode, Command, Key, Value};
use unstale_harness::system::{Capabilities, Capability};
use unstale_harness::workload::{Dialect, answer, get_for_update};

/// Longer than anything takes here, and well below the wait that the harness takes for one without an end.
const CALL_MAX: Duration = Duration::from_secs(4);

/// How often the server is asked to end a process that has not ended.
const TRIES_MAX: u32 = 4;

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(10);

/// For [`Flaw::PreparesOnce`].
const PREPARE: &str = "prepare get_kv (bigint) as select k, v from kv where k = $1";

/// Opens connections to the plan's schema.
pub struct Postgres {
    options: Arc<PgConnectOptions>,
    flaw: Option<Flaw>,
    /// For [`Flaw::PreparesOnce`]: how many more connections the statement is prepared on.
    to_prepare: Cell<u8>,
    /// How often a write was refused because its connection is read-only.
    read_only: Arc<AtomicU32>,
    /// For [`Flaw::RemembersRefusedLogin`].
    is_refused: Cell<bool>,
}

/// A connection.
pub struct PostgresConnection {
    connection: PgConnection,
    options: Arc<PgConnectOptions>,
    flaw: Option<Flaw>,
    /// The server's process behind it.
    pid: i32,
    /// How often a write had been refused on any connection when this one was opened, or was asked whether it can write.
    asked: u32,
    read_only: Arc<AtomicU32>,
}

impl PostgresConnection {
    /// The answer as it is, and what it says of all connections.
    fn noted<T>(&self, answer: Result<T, sqlx::Error>) -> Result<T, Failure> {
        let answer = answer.map_err(Failure::from);
        if answer.as_ref().is_err_and(|failure| failure.class == FailureClass::ReadOnly) {
            self.read_only.fetch_add(1, Ordering::AcqRel);
        }
        answer
    }
}

impl OnDatabase for Postgres {
    fn of(database: &Database, flaw: Option<Flaw>) -> Self {
        let options = database.pg_connect_options();
        // What is kept prepared is refused when its tables have changed.
        let keeps = flaw == Some(Flaw::DiscardsStatements);
        let options = Arc::new(if keeps { options } else { options.statement_cache_capacity(0) });
        let prepares = flaw == Some(Flaw::PreparesOnce);
        let to_prepare = Cell::new(if prepares { database.connections() } else { 0 });
        Self { options, flaw, to_prepare, read_only: Arc::default(), is_refused: Cell::new(false) }
    }
}

impl Source for Postgres {
    type Connection = PostgresConnection;

    const NAME: &'static str = "control-pg";
    const CALL_MAX: Option<Duration> = Some(CALL_MAX);
    const OPENING_ANSWERS: bool = true;

    fn capabilities() -> Capabilities {
        Capabilities::postgres().and(Capabilities::of([
            Capability::ReadOnlyBegin,
            Capability::Retention,
            Capability::Sharing,
            Capability::Autonomous,
            Capability::Swaps,
        ]))
    }

    async fn connect(&self) -> Result<PostgresConnection, Failure> {
        let asked = self.read_only.load(Ordering::Acquire);
        if self.is_refused.get() {
            return Err(Failure::new(FailureClass::Mistake, "the login was refused: correct the password"));
        }
        let opened = self.options.connect().await;
        let code = opened.as_ref().err().and_then(|it| it.as_database_error()?.code());
        if code.is_some_and(|it| it == "28P01") && self.flaw == Some(Flaw::RemembersRefusedLogin) {
            self.is_refused.set(true);
        }
        let mut connection = opened?;
        let pid = sqlx::query_scalar("select pg_backend_pid()").fetch_one(&mut connection).await?;
        if let Some(left) = self.to_prepare.get().checked_sub(1) {
            self.to_prepare.set(left);
            connection.execute(PREPARE).await?;
        }
        let (options, read_only) = (Arc::clone(&self.options), Arc::clone(&self.read_only));
        Ok(PostgresConnection { connection, options, flaw: self.flaw, pid, asked, read_only })
    }

    async fn sleep(&self, duration: Duration) {
        sleep(duration).await;
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(task);
    }
}

impl Connection for PostgresConnection {
    async fn answer(&mut self, command: &Command) -> Result<Reply, Failure> {
        if let (Command::Get(key), Some(Flaw::PreparesOnce)) = (command, self.flaw) {
            let sql = sqlx::AssertSqlSafe(format!("execute get_kv({})", key.0));
            let row = self.connection.fetch_optional(sql).await?;
            let pair = row.map(|row| sqlx::Postgres::pair(&row)).transpose()?;
            return Ok(Reply::Value(pair.map(|pair| pair.1)));
        }
        let answer = answer(&mut self.connection, command).await;
        self.noted(answer)
    }

    async fn get_for_update(&mut self, key: Key) -> Result<Option<Value>, Failure> {
        let found = get_for_update(&mut self.connection, key).await;
        self.noted(found)
    }

    /// A statement without parameters is one round trip.
    async fn number(&mut self, sql: &str) -> Result<Option<i64>, Failure> {
        let row = self.connection.fetch_optional(sqlx::AssertSqlSafe(sql.to_owned())).await;
        let row = self.noted(row)?;
        Ok(row.map(|row| row.try_get(0)).transpose()?)
    }

    /// A COMMIT of a transaction that has failed answers that it is done and rolls back; a statement before it in the same
    /// message is refused instead.
    async fn cross(&mut self, boundary: Boundary) -> Result<(), Failure> {
        let sql = match boundary {
            Boundary::Commit if self.flaw == Some(Flaw::BelievesCommits) => "commit".to_owned(),
            Boundary::Commit => "select 1; commit".to_owned(),
            Boundary::Begin(BeginMode::ReadOnly) if self.flaw == Some(Flaw::StaysReadOnly) => {
                "set session characteristics as transaction read only; begin".to_owned()
            }
            boundary => boundary.sql::<sqlx::Postgres>(),
        };
        self.connection.execute(sqlx::AssertSqlSafe(sql)).await?;
        Ok(())
    }

    async fn probe(&mut self) -> Result<(), Failure> {
        let refused = self.read_only.load(Ordering::Acquire);
        if refused != self.asked && self.flaw != Some(Flaw::KeepsReadOnly) {
            let asked = "select current_setting('default_transaction_read_only')::bool";
            if sqlx::query_scalar(asked).fetch_one(&mut self.connection).await? {
                return Err(Failure::new(FailureClass::Dead, "the connection has turned read-only"));
            }
            self.asked = refused;
        }
        let probe = match self.flaw {
            Some(Flaw::DiscardsStatements) => "discard all",
            Some(Flaw::ResetsSettingsAlone) => "reset all",
            _ => "select 1",
        };
        self.connection.execute(probe).await?;
        Ok(())
    }

    async fn close(self) {
        // What cannot be closed in order is closed by being dropped.
        let _ = timeout(CALL_MAX, self.connection.close()).await;
    }

    async fn abandon(self) {
        let Self { connection, options, pid, flaw, .. } = self;
        drop(connection);
        if flaw == Some(Flaw::LeavesBackends) {
            return;
        }
        for _ in 0..TRIES_MAX {
            if let Ok(Ok(())) = timeout(CALL_MAX, end(&options, pid)).await {
                return;
            }
            sleep(PAUSE).await;
        }
    }
}

/// Tells a process to end until it is gone. It must be one of ours: what has ended may have left its number to another.
async fn end(options: &PgConnectOptions, pid: i32) -> Result<(), sqlx::Error> {
    let mut connection = options.connect().await?;
    let told = "select pg_terminate_backend(pid) from pg_stat_activity \
        where pid = $1 and application_name = current_setting('application_name')";
    while sqlx::query(told).bind(pid).fetch_optional(&mut connection).await?.is_some() {
        sleep(PAUSE / 5).await;
    }
    connection.close().await
}
