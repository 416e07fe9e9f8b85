//! SQLite for the tests: a fresh database for each, a look at it from outside, and gates at which its driver can be held.

use std::future::Future;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use futures_util::StreamExt;
use sqlx::sqlite::SqlitePoolOptions;
use sqlx::{AssertSqlSafe, Connection, Executor, Row, Sqlite, SqliteConnection, SqlitePool};
use tempfile::TempDir;
use tokio::sync::Notify;
use unstale::{
    AdoptedSqlitePool, Handle, OpenError, Policy, PolicyError, Scope, Sessions, SqliteOptions, SqliteSource,
};

use crate::hazards::bed::{AdoptedBed, ConnectionOf};
pub(crate) use crate::hazards::bed::{Bed, cancel_after, own, policy, within};

/// A database in a folder of its own.
pub(crate) struct Fresh {
    pub(crate) folder: TempDir,
    pub(crate) sessions: Sessions<SqliteSource>,
    /// Where the driver comes by after a row was changed, and before it answers.
    pub(crate) changes: Gate,
    /// Where it comes by after a transaction was rolled back, and before it answers.
    pub(crate) rollbacks: Gate,
    /// What is in the file while it is broken.
    whole: Mutex<Option<Vec<u8>>>,
}

impl Fresh {
    pub(crate) async fn new() -> Self {
        Self::with(policy()).await
    }

    pub(crate) async fn with(policy: Policy) -> Self {
        Self::in_mode(policy, "pragma journal_mode = wal").await
    }

    /// With a rollback journal: each transaction reads the file's header, so damage to the file is noticed.
    pub(crate) async fn without_wal(policy: Policy) -> Self {
        Self::in_mode(policy, "pragma journal_mode = delete").await
    }

    async fn in_mode(policy: Policy, mode: &'static str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let url = format!("sqlite://{}?mode=rwc", folder.path().join("db").display());
        let (changes, rollbacks) = (Gate::default(), Gate::default());
        let gates = (changes.clone(), rollbacks.clone());
        let options = SqliteOptions::from_url(&url).expect("a URL").on_open(move |connection| {
            let (changes, rollbacks) = gates.clone();
            Box::pin(async move {
                sqlx::raw_sql(mode).execute(&mut *connection).await?;
                sqlx::raw_sql("pragma busy_timeout = 0; pragma foreign_keys = on").execute(&mut *connection).await?;
                let mut driver = connection.lock_handle().await?;
                driver.set_update_hook(move |_| changes.pass());
                driver.set_rollback_hook(move || rollbacks.pass());
                Ok(())
            })
        });
        let sessions = options.open(policy).await.expect("a database");
        let scope = sessions.scope("schema");
        sqlx::query(KV).execute(&scope).await.expect("ddl");
        scope.end().await.expect("end");
        Self { folder, sessions, changes, rollbacks, whole: Mutex::default() }
    }

    pub(crate) fn url(&self) -> String {
        format!("sqlite://{}", self.folder.path().join("db").display())
    }

    /// What is committed, seen by a connection that the library does not know.
    pub(crate) async fn rows(&self) -> Vec<(i64, i64)> {
        let mut connection = SqliteConnection::connect(&self.url()).await.expect("a second connection");
        let rows = sqlx::query("select k, v from kv order by k").fetch_all(&mut connection).await.expect("rows");
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    }

    /// Overwrites the file: SQLite answers NOTADB, and the connection is given up.
    pub(crate) fn break_file(&self) {
        let path = self.folder.path().join("db");
        let bytes = std::fs::read(&path).expect("the file");
        std::fs::write(&path, vec![0x5a; bytes.len()]).expect("garbage");
        *self.whole.lock().expect("no panic") = Some(bytes);
    }

    pub(crate) fn repair_file(&self) {
        let bytes = self.whole.lock().expect("no panic").take().expect("it is broken");
        std::fs::write(self.folder.path().join("db"), bytes).expect("the old bytes");
    }
}

/// The kind of the sessions, where a case is written for one kind.
pub(crate) type Source = SqliteSource;

pub(crate) type Database = Sqlite;

/// Where NULL is in an ascending order.
pub(crate) const NULLS_FIRST: bool = true;

/// What the database says of a column that is not there.
pub(crate) const NO_SUCH_COLUMN: &str = "no such column";

/// The table of the cases about tables. Read backwards, its index has equal budgets in the wrong order.
pub(crate) const ORDERS: &str = r#"create table "the ""order""" (
    id integer primary key, name text not null, open integer not null, budget integer not null, score integer, "where" text
); create index by_budget on "the ""order""" (budget)"#;

const KV: &str = "create table kv (k integer primary key, v integer not null)";

/// An in-memory database with the table.
pub(crate) async fn memory() -> Sessions<SqliteSource> {
    let sessions = SqliteOptions::from_url("sqlite::memory:").expect("a URL").open(policy()).await.expect("a database");
    let scope = sessions.scope("schema");
    sqlx::query(KV).execute(&scope).await.expect("ddl");
    scope.end().await.expect("end");
    sessions
}

pub(crate) async fn put<'c>(executor: impl Executor<'c, Database = Sqlite>, k: i64, v: i64) -> sqlx::Result<()> {
    sqlx::query("insert into kv values (?, ?)").bind(k).bind(v).execute(executor).await.map(drop)
}

/// A table whose rows need a parent when they are committed, not before.
pub(crate) async fn deferred_child(scope: &Scope<SqliteSource>) {
    let ddl = "create table child (k integer references kv (k) deferrable initially deferred)";
    sqlx::query(ddl).execute(scope).await.expect("ddl");
}

/// A place that the driver's thread comes by in the middle of a statement. Closed, it holds the thread there: the statement has
/// run, and is not answered.
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<GateState>);

#[derive(Default)]
struct GateState {
    /// How often the driver may still pass; `None` is for ever.
    passes: Mutex<Option<u32>>,
    opened: Condvar,
    reached: Notify,
}

/// A test that fails with a closed gate lets the driver go on after this time.
const HELD_MAX: Duration = Duration::from_secs(60);

impl Gate {
    /// Lets the driver pass this often, and holds it the next time.
    pub(crate) fn close_after(&self, passes: u32) {
        *self.0.passes.lock().expect("no panic") = Some(passes);
    }

    pub(crate) fn open(&self) {
        *self.0.passes.lock().expect("no panic") = None;
        self.0.opened.notify_all();
    }

    /// Lets this go on until the driver is held at the closed gate, and drops it there.
    pub(crate) async fn cancel<T>(&self, call: impl Future<Output = T>) {
        tokio::select! {
            biased;
            _ = call => panic!("it was answered, and the driver did not come by"),
            () = self.0.reached.notified() => {}
        }
    }

    fn pass(&self) {
        let mut passes = self.0.passes.lock().expect("no panic");
        match &mut *passes {
            None => {}
            Some(0) => {
                self.0.reached.notify_one();
                let held = self.0.opened.wait_timeout_while(passes, HELD_MAX, |passes| passes.is_some());
                drop(held.expect("no panic"));
            }
            Some(left) => *left -= 1,
        }
    }
}

/// What sessions over any source of SQLite connections do for the hazards.
macro_rules! statements {
    () => {
        const CONTROL: &'static [&'static str] = &["end", "release a", "create table trigger (x); commit"];
        const RESIDUE: &'static [&'static str] = &["create temp table mine (x)", "create table 'temp'.mine (x)"];
        const NO_RESIDUE: &'static str = "0";
        const TELLS_HOW_A_CANCELLED_COMMIT_ENDED: bool = true;

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
            let count: i64 =
                sqlx::query_scalar("select count(*) from temp.sqlite_schema").fetch_one(scope).await.expect("count");
            count.to_string()
        }

        fn is_loss(error: &sqlx::Error) -> bool {
            error.to_string().contains("not a database")
        }
    };
}

impl Bed for Fresh {
    type Source = SqliteSource;

    statements!();

    async fn with(policy: Policy) -> Self {
        Fresh::with(policy).await
    }

    async fn fragile(policy: Policy) -> Self {
        Fresh::without_wal(policy).await
    }

    fn sessions(&self) -> &Sessions<SqliteSource> {
        &self.sessions
    }

    async fn rows(&self) -> Vec<(i64, i64)> {
        Fresh::rows(self).await
    }

    async fn refusal(policy: Policy) -> PolicyError {
        let options = SqliteOptions::from_url("sqlite::memory:").expect("a URL");
        match options.open(policy).await {
            Err(OpenError::Policy(error)) => error,
            other => panic!("{:?}", other.map(drop)),
        }
    }

    async fn lose(&self) {
        self.break_file();
    }

    fn repair(&self) {
        self.repair_file();
    }
}

/// Sessions over a pool of the application's.
pub(crate) struct Adopted {
    fresh: Fresh,
    pool: SqlitePool,
    sessions: Sessions<AdoptedSqlitePool>,
}

impl Bed for Adopted {
    type Source = AdoptedSqlitePool;

    statements!();

    async fn with(policy: Policy) -> Self {
        let fresh = Fresh::with(policy.clone()).await;
        let pool = SqlitePoolOptions::new().max_connections(1).connect(&fresh.url()).await.expect("a pool");
        let sessions = Sessions::new(AdoptedSqlitePool::new(pool.clone()), policy).expect("a policy");
        Self { fresh, pool, sessions }
    }

    fn sessions(&self) -> &Sessions<AdoptedSqlitePool> {
        &self.sessions
    }

    async fn rows(&self) -> Vec<(i64, i64)> {
        self.fresh.rows().await
    }

    async fn refusal(policy: Policy) -> PolicyError {
        Fresh::refusal(policy).await
    }

    async fn lose(&self) {
        self.fresh.break_file();
    }

    fn repair(&self) {
        self.fresh.repair_file();
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
