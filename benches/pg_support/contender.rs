//! Who is compared when connections are lost: plain connections, the library, and sqlx's own pool.
//!
//! All of them run the same statement, and each is known to the server by a name of its own, under which its connections can
//! be found and killed.

use std::time::{Duration, Instant};

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{Connection, Postgres};
use tokio::sync::Mutex;
use unstale::{PgOptions, PgSource, Policy, Scope, Sessions};

/// The statement of all.
pub const READ: &str = "select v from kv where k = $1";

/// After so many errors in a row something is wrong with the bench.
const ERRORS_MAX: u64 = 100;

pub struct Contender {
    pub name: &'static str,
    /// Its name on the server.
    pub application: String,
    options: PgConnectOptions,
    max: u32,
    kind: Kind,
}

enum Kind {
    /// The floor: who loses a connection opens another, and knows without looking that it has to.
    Plain(Mutex<Vec<PgConnection>>),
    Library {
        sessions: Sessions<PgSource>,
        begins: bool,
    },
    Sqlx(PgPool),
}

/// A connection on which the statement was done.
pub enum Held {
    Plain(PgConnection),
    Library(Scope<PgSource>),
    Sqlx(PoolConnection<Postgres>),
}

/// The first success after a fault.
pub struct Success {
    pub took: Duration,
    pub at: Instant,
    /// How many errors came before it.
    pub errors: u64,
}

impl Contender {
    pub fn plain(options: &PgConnectOptions, application: &str, max: u32) -> Self {
        let kind = Kind::Plain(Mutex::default());
        let name = "plain reconnect";
        let (application, options) = named(options, application);
        Self { name, application, options, max, kind }
    }

    /// With `begins`, the statement is the only one of a transaction; counted until the statement is done.
    pub async fn library(options: &PgConnectOptions, application: &str, max: u32, begins: bool) -> Self {
        let mut policy = Policy::default();
        policy.sessions_max = max;
        let (application, options) = named(options, application);
        let sessions = PgOptions::new(options.clone()).open(policy).await.expect("sessions");
        let name = if begins { "unstale, in a transaction" } else { "unstale" };
        Self { name, application, options, max, kind: Kind::Library { sessions, begins } }
    }

    pub async fn sqlx(options: &PgConnectOptions, application: &str, max: u32, tests: bool) -> Self {
        Self::sqlx_within(options, application, max, tests, Duration::from_secs(30)).await
    }

    pub async fn sqlx_within(
        options: &PgConnectOptions,
        application: &str,
        max: u32,
        tests: bool,
        acquire_timeout: Duration,
    ) -> Self {
        let (application, options) = named(options, application);
        let pool = PgPoolOptions::new()
            .max_connections(max)
            .test_before_acquire(tests)
            .acquire_timeout(acquire_timeout)
            .connect_with(options.clone())
            .await
            .expect("a pool");
        let name = if tests { "sqlx" } else { "sqlx without test_before_acquire" };
        Self { name, application, options, max, kind: Kind::Sqlx(pool) }
    }

    /// Opens connections until so many are there and idle.
    pub async fn fill(&self, connections: usize) {
        for _ in 0..ERRORS_MAX {
            let mut held = Vec::new();
            for _ in 0..connections {
                if let Ok(one) = self.attempt().await {
                    held.push(one);
                }
            }
            let all = held.len() == connections;
            for one in held {
                self.release(one).await;
            }
            if let Kind::Sqlx(pool) = &self.kind {
                // They come back by tasks.
                for _ in 0..100 {
                    if pool.num_idle() >= connections {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
            if all {
                return;
            }
        }
        panic!("{}: {connections} connections could not be had", self.name);
    }

    /// Repeats the statement until it is done. The connection is given back after the time was taken.
    pub async fn first_success(&self) -> Success {
        let began = Instant::now();
        for errors in 0..ERRORS_MAX {
            if let Ok(held) = self.attempt().await {
                let at = Instant::now();
                self.release(held).await;
                return Success { took: at - began, at, errors };
            }
        }
        panic!("{}: nothing but errors", self.name);
    }

    /// Borrows a connection, or opens one, and runs the statement once.
    pub async fn attempt(&self) -> Result<Held, String> {
        let text = |error: sqlx::Error| error.to_string();
        let read = sqlx::query(READ).bind(7_i64);
        match &self.kind {
            Kind::Plain(_) => {
                let mut connection = PgConnection::connect_with(&self.options).await.map_err(text)?;
                read.fetch_one(&mut connection).await.map_err(text)?;
                Ok(Held::Plain(connection))
            }
            Kind::Library { sessions, begins } => {
                let scope = sessions.scope("caller");
                if *begins {
                    scope.begin().await.map_err(|it| it.to_string())?;
                }
                read.fetch_one(&scope).await.map_err(text)?;
                Ok(Held::Library(scope))
            }
            Kind::Sqlx(pool) => {
                let mut connection = pool.acquire().await.map_err(text)?;
                read.fetch_one(&mut *connection).await.map_err(text)?;
                Ok(Held::Sqlx(connection))
            }
        }
    }

    /// Gives it back.
    pub async fn release(&self, held: Held) {
        match (held, &self.kind) {
            (Held::Plain(connection), Kind::Plain(all)) => all.lock().await.push(connection),
            (Held::Library(scope), _) => scope.end().await.expect("ended"),
            (other, _) => drop(other),
        }
    }

    /// Plain connections that were lost are not kept: closing them is no part of a reconnect.
    pub async fn forget(&self) {
        if let Kind::Plain(all) = &self.kind {
            all.lock().await.clear();
        }
    }

    /// Begins a statement that takes two seconds, and drops it.
    pub async fn cut_off(&self, after: Duration) {
        let slow = sqlx::query("select pg_sleep(2)");
        let done = match &self.kind {
            Kind::Plain(_) => {
                let mut connection = PgConnection::connect_with(&self.options).await.expect("a connection");
                tokio::time::timeout(after, slow.execute(&mut connection)).await.is_ok()
            }
            Kind::Library { sessions, .. } => {
                let scope = sessions.scope("cut off");
                tokio::time::timeout(after, slow.execute(&scope)).await.is_ok()
            }
            Kind::Sqlx(pool) => {
                let mut connection = pool.acquire().await.expect("a connection");
                tokio::time::timeout(after, slow.execute(&mut *connection)).await.is_ok()
            }
        };
        assert!(!done, "it was cut off");
    }

    /// The backend that serves who comes next, when nobody else does: the connections are lent in turns.
    pub async fn next_backend(&self, connections: usize) -> i32 {
        let mut first = None;
        for _ in 0..connections {
            let held = self.attempt().await.expect("a connection");
            let ask = sqlx::query_scalar("select pg_backend_pid()");
            let (pid, held): (i32, _) = match held {
                Held::Plain(mut it) => (ask.fetch_one(&mut it).await.expect("a pid"), Held::Plain(it)),
                Held::Library(it) => (ask.fetch_one(&it).await.expect("a pid"), Held::Library(it)),
                Held::Sqlx(mut it) => (ask.fetch_one(&mut *it).await.expect("a pid"), Held::Sqlx(it)),
            };
            first.get_or_insert(pid);
            self.release(held).await;
            // sqlx gives it back by a task.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        first.expect("at least one")
    }

    /// How many can be lent at the same time, where there are to be `max`.
    pub async fn at_once(&self) -> usize {
        let mut held = Vec::new();
        for _ in 0..self.max {
            if let Ok(Ok(one)) = tokio::time::timeout(Duration::from_millis(500), self.attempt()).await {
                held.push(one);
            }
        }
        let count = held.len();
        for one in held {
            self.release(one).await;
        }
        count
    }

    pub fn is_plain(&self) -> bool {
        matches!(self.kind, Kind::Plain(_))
    }

    pub fn is_library(&self) -> bool {
        matches!(self.kind, Kind::Library { .. })
    }
}

/// Nobody else's connections are called so, least of all the one that kills them.
fn named(options: &PgConnectOptions, application: &str) -> (String, PgConnectOptions) {
    let application = format!("contender: {application}");
    let options = options.clone().application_name(&application);
    (application, options)
}
