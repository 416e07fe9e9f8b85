//! A fresh database for each test, and a look at it from outside.

#![allow(dead_code, unreachable_pub, reason = "every test file takes what it needs")]

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use sqlx::{Connection, Row, SqliteConnection};
use tempfile::TempDir;
use unstale::{Policy, Sessions, SqliteOptions, SqliteSource};

/// A database in a folder of its own.
pub struct Fresh {
    pub folder: TempDir,
    pub sessions: Sessions<SqliteSource>,
}

impl Fresh {
    pub async fn new() -> Self {
        Self::with(policy()).await
    }

    pub async fn with(policy: Policy) -> Self {
        Self::in_mode(policy, "pragma journal_mode = wal").await
    }

    /// With a rollback journal: each transaction reads the file's header, so damage to the file is noticed.
    pub async fn without_wal(policy: Policy) -> Self {
        Self::in_mode(policy, "pragma journal_mode = delete").await
    }

    async fn in_mode(policy: Policy, mode: &'static str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let url = format!("sqlite://{}?mode=rwc", folder.path().join("db").display());
        let options = SqliteOptions::from_url(&url).expect("a URL").on_open(move |connection| {
            Box::pin(async move {
                sqlx::raw_sql(mode).execute(&mut *connection).await?;
                sqlx::raw_sql("pragma busy_timeout = 0; pragma foreign_keys = on").execute(connection).await.map(drop)
            })
        });
        let sessions = options.open(policy).await.expect("a database");
        let scope = sessions.scope("schema");
        sqlx::query("create table kv (k integer primary key, v integer not null)").execute(&scope).await.expect("ddl");
        scope.end().await.expect("end");
        Self { folder, sessions }
    }

    /// What is committed, seen by a connection that the library does not know.
    pub async fn rows(&self) -> Vec<(i64, i64)> {
        let url = format!("sqlite://{}", self.folder.path().join("db").display());
        let mut connection = SqliteConnection::connect(&url).await.expect("a second connection");
        let rows = sqlx::query("select k, v from kv order by k").fetch_all(&mut connection).await.expect("rows");
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    }
}

pub fn policy() -> Policy {
    let mut policy = Policy::default();
    policy.sessions_max = 3;
    policy.acquire_timeout = Duration::from_millis(500);
    policy.probe_timeout = Duration::from_millis(500);
    policy.queue_timeout = Duration::from_millis(200);
    policy
}

/// An in-memory database with the table.
pub async fn memory() -> Sessions<SqliteSource> {
    let sessions = SqliteOptions::from_url("sqlite::memory:").expect("a URL").open(policy()).await.expect("a database");
    let scope = sessions.scope("schema");
    sqlx::query("create table kv (k integer primary key, v integer not null)").execute(&scope).await.expect("ddl");
    scope.end().await.expect("end");
    sessions
}

pub async fn put<'c>(executor: impl sqlx::Executor<'c, Database = sqlx::Sqlite>, k: i64, v: i64) -> sqlx::Result<()> {
    sqlx::query("insert into kv values (?, ?)").bind(k).bind(v).execute(executor).await.map(drop)
}

/// The library's own error inside an error of sqlx's.
pub fn own<T: std::fmt::Debug>(result: sqlx::Result<T>) -> String {
    let error = result.expect_err("an error");
    unstale::Error::of(&error).map_or_else(|| format!("not ours: {error}"), ToString::to_string)
}

/// Polls a future this often and drops it; whether it was done.
pub async fn cut_off<T>(polls: u32, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        future.as_mut().poll(context).map(Some)
    })
    .await
}

/// A table whose rows need a parent when they are committed, not before.
pub async fn deferred_child(scope: &unstale::Scope<SqliteSource>) {
    let ddl = "create table child (k integer references kv (k) deferrable initially deferred)";
    sqlx::query(ddl).execute(scope).await.expect("ddl");
}
