//! PostgreSQL for the tests: a schema of its own for each, and a look at it and at the server from outside.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection, Executor, Postgres, Row};
use unstale::source::SqlxConnection;
use unstale::{
    AdoptedPgPool, ErrorClass, Handle, PgOpenError, PgOptions, PgSource, Policy, PolicyError, Scope, Sessions,
};
use unstale_wire::proxy::{Seen, Watch};
use unstale_wire::server::Server;

use crate::hazards::bed::{AdoptedBed, ConnectionOf};
pub(crate) use crate::hazards::bed::{Bed, SOON, cancel_after, own, within};

/// Watches a proxy of which nothing is to be known.
pub(crate) struct Nobody;

impl Watch for Nobody {
    fn seen(&self, _: u32, _: Seen<'_>) {}
}

/// Sessions over a schema of their own, under an application name of its own.
pub(crate) struct Fresh {
    pub(crate) sessions: Sessions<PgSource>,
    pub(crate) options: PgConnectOptions,
    pub(crate) name: String,
    schema: String,
    server: PgConnectOptions,
}

impl Fresh {
    pub(crate) async fn new() -> Self {
        Self::with(policy()).await
    }

    pub(crate) async fn with(policy: Policy) -> Self {
        Self::on(Server::shared().expect("a server"), policy).await
    }

    pub(crate) async fn on(server: &Server, policy: Policy) -> Self {
        Self::by(server.tcp(), policy).await
    }

    /// On the server that is reached so.
    pub(crate) async fn by(server: PgConnectOptions, policy: Policy) -> Self {
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
    pub(crate) async fn outside(&self) -> PgConnection {
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
    pub(crate) async fn rows(&self) -> Vec<(i64, i64)> {
        let mut outside = self.outside().await;
        let rows = sqlx::query("select k, v from kv order by k").fetch_all(&mut outside).await.expect("rows");
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    }

    /// The backends that serve these sessions, and what they are at.
    pub(crate) async fn backends(&self) -> Vec<(i32, String)> {
        let mut outside = self.outside().await;
        let sql =
            "select pid, concat_ws(' ', state, query) from pg_stat_activity where application_name = $1 order by pid";
        let rows = sqlx::query(sql).bind(&self.name).fetch_all(&mut outside).await.expect("backends");
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    }

    pub(crate) async fn pids(&self) -> Vec<i32> {
        self.backends().await.into_iter().map(|it| it.0).collect()
    }

    /// Tells every backend of these sessions to end, as an administrator does.
    pub(crate) async fn terminate(&self) {
        let mut outside = self.outside().await;
        let sql = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1";
        sqlx::query(sql).bind(&self.name).execute(&mut outside).await.expect("terminated");
    }

    /// Terminates every backend of these sessions, and waits until they are gone.
    pub(crate) async fn terminate_all(&self) {
        self.terminate().await;
        let mut outside = self.outside().await;
        let gone = "select count(*) from pg_stat_activity where application_name = $1";
        within(SOON, "backends that go", async || {
            sqlx::query_scalar::<_, i64>(gone).bind(&self.name).fetch_one(&mut outside).await.expect("a count") == 0
        })
        .await;
    }

    /// Runs this until the server is at a statement that sleeps, and drops it there.
    pub(crate) async fn cancel_asleep<T>(&self, call: impl Future<Output = T>) {
        tokio::select! {
            _ = call => panic!("it was answered while it should sleep"),
            () = self.asleep(1) => {}
        }
    }

    /// Waits until the server is at this many statements that sleep.
    pub(crate) async fn asleep(&self, statements: usize) {
        within(SOON, "statements that sleep", async || {
            let backends = self.backends().await;
            let asleep = backends.iter().filter(|(_, at)| at.starts_with("active") && at.contains("pg_sleep"));
            asleep.count() == statements
        })
        .await;
    }

    /// Opens this many connections, and gives them back.
    pub(crate) async fn fill(&self, connections: u32) {
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

/// The kind of the sessions, where a case is written for one kind.
pub(crate) type Source = PgSource;

pub(crate) type Database = Postgres;

/// Where NULL is in an ascending order.
pub(crate) const NULLS_FIRST: bool = false;

/// What the database says of a column that is not there.
pub(crate) const NO_SUCH_COLUMN: &str = "does not exist";

/// The table of the cases about tables. Read backwards, its index has equal budgets in the wrong order.
pub(crate) const ORDERS: &str = r#"create table "the ""order""" (
    id bigint primary key, name text not null, open boolean not null, budget bigint not null, score bigint, "where" text
); create index by_budget on "the ""order""" (budget)"#;

/// Few sessions, and the library's own limits, except those that a busy machine would come near.
pub(crate) fn policy() -> Policy {
    let mut policy = Policy::default();
    policy.sessions_max = 3;
    // The machine may have much else to do.
    policy.probe_timeout = Duration::from_millis(500);
    policy.connect_timeout = Duration::from_secs(10);
    policy.release_timeout = Duration::from_secs(10);
    policy
}

pub(crate) async fn put<'c>(executor: impl Executor<'c, Database = Postgres>, k: i64, v: i64) -> sqlx::Result<()> {
    sqlx::query("insert into kv values ($1, $2)").bind(k).bind(v).execute(executor).await.map(drop)
}

pub(crate) async fn pid<'c>(executor: impl Executor<'c, Database = Postgres>) -> sqlx::Result<i32> {
    sqlx::query_scalar("select pg_backend_pid()").fetch_one(executor).await
}

/// What sessions over any source of PostgreSQL connections do for the hazards.
macro_rules! statements {
    () => {
        const CONTROL: &'static [&'static str] = &["select E'\\''; commit", "prepare transaction 'x'"];
        const RESIDUE: &'static [&'static str] = &[
            "set statement_timeout = 4321",
            "set role pg_monitor",
            "create temp table mine (x int)",
            "select pg_advisory_lock(17)",
            "listen news",
            "select set_config('statement_timeout', '4321', false)",
            "select pg_catalog.set_config('my.tenant', '7', false)",
            "declare c cursor with hold for select 1",
            "select 1 as x into temp mine",
        ];
        const NO_RESIDUE: &'static str = "0 unstale 0 0 0";
        const TELLS_HOW_A_CANCELLED_COMMIT_ENDED: bool = false;

        async fn put(scope: &Scope<Self::Source>, k: i64, v: i64) -> sqlx::Result<()> {
            put(scope, k, v).await
        }

        async fn put_by(handle: &Handle<Self::Source>, k: i64, v: i64) -> sqlx::Result<()> {
            put(handle, k, v).await
        }

        async fn run(scope: &Scope<Self::Source>, sql: &'static str) -> sqlx::Result<()> {
            sqlx::query(AssertSqlSafe(sql)).execute(scope).await.map(drop)
        }

        async fn run_on(connection: &mut ConnectionOf<Self>, sql: &'static str) -> sqlx::Result<()> {
            sqlx::raw_sql(sql).execute(connection).await.map(drop)
        }

        async fn run_by(handle: &Handle<Self::Source>, sql: &'static str) -> sqlx::Result<()> {
            sqlx::query(AssertSqlSafe(sql)).execute(handle).await.map(drop)
        }

        async fn run_raw(scope: &Scope<Self::Source>, sql: &'static str) -> sqlx::Result<()> {
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(scope).await.map(drop)
        }

        async fn keys(scope: &Scope<Self::Source>) -> Vec<i64> {
            sqlx::query_scalar("select k from kv order by k").fetch_all(scope).await.expect("rows")
        }

        async fn beside_a_stream<T>(scope: &Scope<Self::Source>, beside: impl Future<Output = T>) -> T {
            let mut rows = sqlx::query("select k from kv").fetch(scope);
            rows.next().await.expect("an item").expect("a row");
            beside.await
        }

        async fn residue(scope: &Scope<Self::Source>) -> String {
            residue(scope).await
        }

        fn is_loss(error: &sqlx::Error) -> bool {
            PgConnection::class(error) == ErrorClass::Disconnected
        }
    };
}

/// What is on the connection that statements have left.
pub(crate) async fn residue<'c>(executor: impl Executor<'c, Database = Postgres>) -> String {
    let sql = "select concat_ws(' ', current_setting('statement_timeout'), current_user, to_regclass('pg_temp.mine'), \
               (select count(*) from pg_locks where pid = pg_backend_pid() and locktype = 'advisory'), \
               (select count(*) from pg_listening_channels()), current_setting('my.tenant', true), \
               (select count(*) from pg_cursors where is_holdable))";
    // The cleaning leaves an empty text where a setting of one's own was.
    let found: String = sqlx::query_scalar(sql).fetch_one(executor).await.expect("a look");
    found.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl Bed for Fresh {
    type Source = PgSource;

    statements!();

    async fn with(policy: Policy) -> Self {
        Fresh::with(policy).await
    }

    fn sessions(&self) -> &Sessions<PgSource> {
        &self.sessions
    }

    async fn rows(&self) -> Vec<(i64, i64)> {
        Fresh::rows(self).await
    }

    async fn refusal(policy: Policy) -> PolicyError {
        let server = Server::shared().expect("a server");
        match PgOptions::new(server.tcp()).open(policy).await {
            Err(PgOpenError::Policy(error)) => error,
            other => panic!("{:?}", other.map(drop)),
        }
    }

    async fn lose(&self) {
        self.terminate_all().await;
    }
}

/// Sessions over a pool of the application's.
pub(crate) struct Adopted {
    pub(crate) fresh: Fresh,
    pub(crate) pool: PgPool,
    pub(crate) sessions: Sessions<AdoptedPgPool>,
}

impl Adopted {
    /// Over a pool of this many connections.
    pub(crate) async fn over(connections: u32, policy: Policy) -> Self {
        let fresh = Fresh::with(policy.clone()).await;
        let options = PgPoolOptions::new().max_connections(connections);
        let pool = options.connect_with(fresh.options.clone()).await.expect("a pool");
        let sessions = Sessions::new(AdoptedPgPool::new(pool.clone()), policy).expect("a policy");
        Self { fresh, pool, sessions }
    }
}

impl Bed for Adopted {
    type Source = AdoptedPgPool;

    statements!();

    async fn with(policy: Policy) -> Self {
        Self::over(1, policy).await
    }

    fn sessions(&self) -> &Sessions<AdoptedPgPool> {
        &self.sessions
    }

    async fn rows(&self) -> Vec<(i64, i64)> {
        self.fresh.rows().await
    }

    async fn refusal(policy: Policy) -> PolicyError {
        Fresh::refusal(policy).await
    }

    async fn lose(&self) {
        self.fresh.terminate_all().await;
    }
}

impl AdoptedBed for Adopted {
    async fn put_past(&self, k: i64, v: i64) -> sqlx::Result<()> {
        put(&self.pool, k, v).await
    }

    async fn hold(&self) -> impl Send {
        self.pool.acquire().await.expect("a connection")
    }

    async fn leave_transaction(&self, statements: &[&'static str]) {
        let mut left = self.pool.acquire().await.expect("a connection");
        left.execute("begin").await.expect("begun");
        for sql in statements {
            let _ = left.execute(*sql).await;
        }
    }

    async fn close(&self) {
        self.pool.close().await;
    }
}
