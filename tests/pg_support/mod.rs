//! A schema of its own for each test on PostgreSQL, and a look at it and at the server from outside.

#![allow(dead_code, unreachable_pub, reason = "every test file takes what it needs")]

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection, Row};
use unstale::{PgOptions, PgSource, Policy, Sessions};
use unstale_wire::server::Server;

/// Sessions over a schema of their own, under an application name of its own.
pub struct Fresh {
    pub sessions: Sessions<PgSource>,
    pub options: PgConnectOptions,
    pub name: String,
    schema: String,
    server: PgConnectOptions,
}

impl Fresh {
    pub async fn new() -> Self {
        Self::with(policy()).await
    }

    pub async fn with(policy: Policy) -> Self {
        Self::on(Server::shared().expect("a server"), policy).await
    }

    pub async fn on(server: &Server, policy: Policy) -> Self {
        Self::by(server.tcp(), policy).await
    }

    /// On the server that is reached so.
    pub async fn by(server: PgConnectOptions, policy: Policy) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::SeqCst);
        let (schema, name) = (format!("s{number}"), format!("subject {number}"));
        let options = server.clone().application_name(&name).options([("search_path", schema.as_str())]);
        let mut outside = PgConnection::connect_with(&server).await.expect("a connection");
        let ddl = format!("create schema {schema}; create table {schema}.kv (k bigint primary key, v bigint not null)");
        sqlx::raw_sql(AssertSqlSafe(ddl)).execute(&mut outside).await.expect("ddl");
        let sessions = PgOptions::new(options.clone()).open(policy).await.expect("sessions");
        Self { sessions, options, name, schema, server }
    }

    /// A connection that the library does not know; a server that is starting up is waited for.
    pub async fn outside(&self) -> PgConnection {
        let options = self.server.clone().options([("search_path", self.schema.as_str())]);
        let began = Instant::now();
        loop {
            match PgConnection::connect_with(&options).await {
                Ok(connection) => return connection,
                Err(error) => assert!(began.elapsed() < Duration::from_secs(10), "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// What is committed.
    pub async fn rows(&self) -> Vec<(i64, i64)> {
        let mut outside = self.outside().await;
        let rows = sqlx::query("select k, v from kv order by k").fetch_all(&mut outside).await.expect("rows");
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    }

    /// The backends that serve these sessions, and what they are at.
    pub async fn backends(&self) -> Vec<(i32, String)> {
        let mut outside = self.outside().await;
        let sql =
            "select pid, concat_ws(' ', state, query) from pg_stat_activity where application_name = $1 order by pid";
        let rows = sqlx::query(sql).bind(&self.name).fetch_all(&mut outside).await.expect("backends");
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    }

    pub async fn pids(&self) -> Vec<i32> {
        self.backends().await.into_iter().map(|it| it.0).collect()
    }

    /// Terminates every backend of these sessions, and waits until they are gone.
    pub async fn terminate_all(&self) {
        let mut outside = self.outside().await;
        let sql = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1";
        sqlx::query(sql).bind(&self.name).execute(&mut outside).await.expect("terminated");
        let gone = "select count(*) from pg_stat_activity where application_name = $1";
        within(Duration::from_secs(5), "backends that go", async || {
            sqlx::query_scalar::<_, i64>(gone).bind(&self.name).fetch_one(&mut outside).await.expect("a count") == 0
        })
        .await;
    }

    /// Opens this many connections, and puts them on the shelf.
    pub async fn fill(&self, connections: u32) {
        let scopes: Vec<_> = (0..connections).map(|_| self.sessions.scope("filling")).collect();
        for scope in &scopes {
            scope.begin().await.expect("begin");
        }
        for scope in scopes {
            scope.end().await.expect("end");
        }
        assert_eq!(self.sessions.health().usage.size, connections);
    }
}

/// Waits until something is so.
pub async fn within(limit: Duration, what: &str, mut so: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !so().await {
        assert!(began.elapsed() < limit, "waited {limit:?} for {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

pub fn policy() -> Policy {
    let mut policy = Policy::default();
    policy.sessions_max = 3;
    // The machine may have much else to do.
    policy.probe_timeout = Duration::from_millis(500);
    policy
}

pub async fn put<'c>(executor: impl sqlx::Executor<'c, Database = sqlx::Postgres>, k: i64, v: i64) -> sqlx::Result<()> {
    sqlx::query("insert into kv values ($1, $2)").bind(k).bind(v).execute(executor).await.map(drop)
}

pub async fn pid<'c>(executor: impl sqlx::Executor<'c, Database = sqlx::Postgres>) -> sqlx::Result<i32> {
    sqlx::query_scalar("select pg_backend_pid()").fetch_one(executor).await
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
