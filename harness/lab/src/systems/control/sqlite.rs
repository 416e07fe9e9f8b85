//! The control's connection to SQLite.

use std::time::Duration;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection as _, Executor, SqliteConnection};
use tokio::sync::OnceCell;

use super::Flaw;
use super::connection::{Boundary, Connection, OnDatabase, Source};
use crate::systems::unstale::further;
use unstale_harness::database::{Connector, Database};
use unstale_harness::history::{Failure, Reply};
use unstale_harness::plan::{Command, Key, Storage, Value};
use unstale_harness::system::Capabilities;
use unstale_harness::workload::{answer, get_for_update};

/// For [`Flaw::ReadsUncommitted`]. It means something in a shared cache alone, as databases in memory have one here.
const READ_UNCOMMITTED: &str = "pragma read_uncommitted = true";

/// Opens observed connections to the plan's database.
pub struct Sqlite {
    connector: Connector,
    flaw: Option<Flaw>,
    /// How to open the connection that keeps a database in memory alive, which nobody borrows.
    keeper_options: Option<SqliteConnectOptions>,
    keeper: OnceCell<SqliteConnection>,
}

impl OnDatabase for Sqlite {
    fn of(database: &Database, flaw: Option<Flaw>) -> Self {
        let needs_keeper = database.storage() == Storage::Memory && flaw != Some(Flaw::LosesMemory);
        let keeper_options = needs_keeper.then(|| database.connect_options());
        Self { connector: database.connector(), flaw, keeper_options, keeper: OnceCell::new() }
    }
}

impl Source for Sqlite {
    type Connection = SqliteConnection;

    const NAME: &'static str = "control";
    const CALL_MAX: Option<Duration> = None;
    /// Opening reads nothing from the file.
    const OPENING_ANSWERS: bool = false;

    fn capabilities() -> Capabilities {
        Capabilities::sqlite().and(Capabilities::services()).and(further())
    }

    async fn connect(&self) -> Result<SqliteConnection, Failure> {
        if let Some(options) = &self.keeper_options {
            self.keeper.get_or_try_init(|| SqliteConnection::connect_with(options)).await?;
        }
        let mut connection = self.connector.connect().await?;
        if self.flaw == Some(Flaw::ReadsUncommitted) {
            connection.execute(READ_UNCOMMITTED).await?;
        }
        Ok(connection)
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(task);
    }
}

impl Connection for SqliteConnection {
    async fn answer(&mut self, command: &Command) -> Result<Reply, Failure> {
        Ok(answer(self, command).await?)
    }

    async fn get_for_update(&mut self, key: Key) -> Result<Option<Value>, Failure> {
        Ok(get_for_update(self, key).await?)
    }

    async fn cross(&mut self, boundary: Boundary) -> Result<(), Failure> {
        self.execute(sqlx::AssertSqlSafe(boundary.sql::<sqlx::Sqlite>())).await?;
        Ok(())
    }

    async fn probe(&mut self) -> Result<(), Failure> {
        self.execute("select count(*) from kv").await?;
        Ok(())
    }

    async fn close(self) {
        // What cannot be closed in order is closed by being dropped.
        let _ = sqlx::Connection::close(self).await;
    }

    /// What is under way is done before its thread closes.
    async fn abandon(self) {
        Connection::close(self).await;
    }
}
