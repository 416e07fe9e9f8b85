//! The database of a storm: a private server with the workload's tables, seen on the harness's own connections.
//!
//! Owns the tables, and what is read of them and of the server's backends. These connections go straight to the server, past
//! the proxy, and are made anew each time: the server was restarted meanwhile.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions, Executor, PgConnection, Row};

use super::work::ACCOUNTS;
use unstale_wire::fleet::ServerLease;
use unstale_wire::inject::Target;

/// Under which name the system is connected.
const APPLICATION: &str = "unstale-storm";

/// How long backends of closed connections may take to go.
const GONE_MAX: Duration = Duration::from_secs(5);

/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// One server and one schema for one storm.
pub(super) struct StormDatabase {
    server: Arc<ServerLease>,
    schema: String,
}

impl StormDatabase {
    /// Makes the tables.
    ///
    /// # Errors
    /// What the server answered.
    pub(super) async fn prepare(server: Arc<ServerLease>) -> Result<Self, sqlx::Error> {
        let schema = format!("storm_{:08x}", rand::random::<u32>());
        let database = Self { server, schema };
        let mut own = database.own().await?;
        let Self { schema, .. } = &database;
        let made = format!(
            "create schema {schema}; \
             create table effect (actor int not null, sequence int not null, nth int not null); \
             create index on effect (actor, sequence); \
             create table account (id int primary key, balance bigint not null); \
             insert into account select it, 0 from generate_series(0, {}) as it",
            ACCOUNTS - 1
        );
        own.execute(AssertSqlSafe(made)).await?;
        Ok(database)
    }

    /// How the system connects: through the proxy on this port.
    pub(super) fn options(&self, port: u16) -> PgConnectOptions {
        self.straight().application_name(APPLICATION).host("127.0.0.1").port(port).ssl_mode(PgSslMode::Disable)
    }

    /// Where faults are injected.
    pub(super) fn target(&self) -> Target {
        Target { server: Arc::clone(&self.server), connect: self.straight(), column: ("effect", "sequence") }
    }

    /// Every row, and how often it is there.
    pub(super) async fn rows(&self) -> Result<BTreeMap<(u32, u32, u32), u64>, sqlx::Error> {
        let question = "select actor, sequence, nth, count(*) from effect group by actor, sequence, nth";
        let rows = self.own().await?.fetch_all(question).await?;
        let unsigned = |it: i32| u32::try_from(it).unwrap_or(u32::MAX);
        rows.iter()
            .map(|row| {
                let [actor, sequence, nth] = [row.try_get(0)?, row.try_get(1)?, row.try_get(2)?].map(unsigned);
                let count: i64 = row.try_get(3)?;
                Ok(((actor, sequence, nth), u64::try_from(count).unwrap_or(0)))
            })
            .collect()
    }

    /// Every account.
    pub(super) async fn balances(&self) -> Result<BTreeMap<u16, i64>, sqlx::Error> {
        let rows = self.own().await?.fetch_all("select id, balance from account").await?;
        let balance = |row: &sqlx::postgres::PgRow| {
            let id: i32 = row.try_get(0)?;
            Ok((u16::try_from(id).unwrap_or(u16::MAX), row.try_get(1)?))
        };
        rows.iter().map(balance).collect()
    }

    /// The backends that serve the system, and how many of them are in a transaction; after they had time to become this few.
    pub(super) async fn backends(&self, wanted: u32, in_transaction: u32) -> Result<(u32, u32), sqlx::Error> {
        let question = "select count(*), count(*) filter (where xact_start is not null) \
            from pg_stat_activity where application_name = $1";
        let mut own = self.own().await?;
        let mut waited = Duration::ZERO;
        loop {
            let row = sqlx::query(question).bind(APPLICATION).fetch_one(&mut own).await?;
            let [all, open] =
                [row.try_get::<i64, _>(0)?, row.try_get(1)?].map(|it| u32::try_from(it).unwrap_or(u32::MAX));
            if (all <= wanted && open <= in_transaction) || waited >= GONE_MAX {
                return Ok((all, open));
            }
            tokio::time::sleep(LOOK).await;
            waited += LOOK;
        }
    }

    async fn own(&self) -> Result<PgConnection, sqlx::Error> {
        self.straight().application_name("unstale-harness").connect().await
    }

    fn straight(&self) -> PgConnectOptions {
        self.server.tcp().options([("search_path", &self.schema)])
    }
}
