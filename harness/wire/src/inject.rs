//! Server faults, from their injection to their healing.
//!
//! [`inject`] does what a fault of [`ServerFault`]'s table says, and waits until it has taken effect: a terminated
//! backend is gone, a restarted server accepts connections, a full one refuses them. [`Undo`] heals what it leaves
//! behind. Both are synchronous and may block for as long as a server takes to restart; the caller's thread must not
//! drive a runtime. The caller decides when a fault is injected.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Executor, PgConnection};

use crate::fault::ServerFault;
use crate::fleet::ServerLease;
use crate::server::{Shutdown, Signal};

/// How long a backend that was told to end may take.
const GONE_MAX: Duration = Duration::from_secs(2);

/// How long a server may take until it accepts connections again.
pub const UP_MAX: Duration = Duration::from_secs(20);

/// The name under which connections take the server's places.
const FILLER: &str = "unstale-filler";

/// More places than any server has here.
const FILLERS_MAX: usize = 1000;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(2);

/// The result of an injection.
#[derive(Debug, Default)]
#[must_use = "what a fault left behind has to be healed"]
pub struct Injected {
    /// Whether it took effect, as the fault's row says what proves that. Of [`ServerFault::CancelQuery`] it says only that the
    /// server has told the backend: what proves that it hit, the refusal of the statement, is seen by its client.
    pub landed: bool,
    /// What it left behind.
    pub undo: Undo,
    /// What it left behind for good, of [`ServerFault::ReadOnly`]; whether that is met is seen by clients.
    pub read_only: Option<ReadOnly>,
}

/// Sessions that are read-only from their next transaction on. They stay so; when this is dropped the server itself is as it
/// was.
#[must_use = "sessions may learn of it as long as it is there"]
pub struct ReadOnly {
    server: Arc<ServerLease>,
}

impl ReadOnly {
    /// Makes the sessions of these backends read-only; none if there is none of them.
    fn of(server: &Arc<ServerLease>, pids: &[i32]) -> Option<Self> {
        let ours = server.private()?;
        ours.begin_read_only().ok()?;
        let read_only = Self { server: Arc::clone(server) };
        let told = pids.iter().filter(|pid| ours.signal_backend(**pid, Signal::Reload).is_ok()).count();
        (told > 0).then_some(read_only)
    }
}

impl std::fmt::Debug for ReadOnly {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ReadOnly")
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        if let Some(ours) = self.server.private() {
            ours.end_read_only();
        }
    }
}

/// The effects that last until they are healed.
#[derive(Debug, Default)]
pub struct Undo {
    /// The backends that are stopped.
    stopped: Vec<i32>,
    /// Connections that take the server's places.
    fillers: Vec<PgConnection>,
}

/// Where faults are injected.
#[derive(Clone)]
pub struct Target {
    /// The server.
    pub server: Arc<ServerLease>,
    /// How to ask it, in the schema of the workload.
    pub connect: PgConnectOptions,
    /// The column whose type may change, and its table.
    pub column: (&'static str, &'static str),
}

/// Injects this fault into these backends, or into their server. Never signals a process that is not ours.
pub fn inject(target: &Target, fault: ServerFault, pids: &[u32]) -> Injected {
    let ours = target.server.private();
    let connect = target.connect.clone().application_name("unstale-harness");
    let signal = |pid: i32, signal| ours.is_some_and(|server| server.signal_backend(pid, signal).is_ok());
    let restart = |how| ours.is_some_and(|server| server.restart(how).is_ok());
    let pids: Vec<i32> = pids.iter().filter_map(|pid| i32::try_from(*pid).ok()).collect();
    let (mut undo, mut read_only) = (Undo::default(), None);
    let landed = match fault {
        ServerFault::Terminate => ask(&connect, "pg_terminate_backend", &pids, GONE_MAX),
        ServerFault::CancelQuery => ask(&connect, "pg_cancel_backend", &pids, Duration::ZERO),
        ServerFault::Stop => {
            undo.stopped.extend(pids.iter().filter(|pid| signal(**pid, Signal::Stop)));
            !undo.stopped.is_empty()
        }
        ServerFault::KillBackend => {
            let killed = pids.first().is_some_and(|pid| signal(*pid, Signal::Kill));
            killed && is_up_again(&connect)
        }
        ServerFault::RestartFast => restart(Shutdown::Fast),
        ServerFault::RestartImmediate => restart(Shutdown::Immediate),
        ServerFault::RestartKilled => restart(Shutdown::Kill),
        ServerFault::AlterTable => wait_for(alter(&connect, target.column)).is_ok(),
        // The proxy does it: `Proxy::time_out_idle`.
        ServerFault::IdleTimeOut => false,
        ServerFault::ConnectionLimit => wait_for(fill(&connect, &mut undo.fillers)).unwrap_or(false),
        ServerFault::ReadOnly => {
            read_only = ReadOnly::of(&target.server, &pids);
            false
        }
    };
    Injected { landed, undo, read_only }
}

impl Undo {
    /// Whether nothing has to be healed.
    pub fn is_empty(&self) -> bool {
        self.stopped.is_empty() && self.fillers.is_empty()
    }

    /// The backends that are stopped.
    pub fn stopped(&self) -> &[i32] {
        &self.stopped
    }

    /// What both have to heal.
    pub fn extend(&mut self, other: Self) {
        self.stopped.extend(other.stopped);
        self.fillers.extend(other.fillers);
    }

    /// Heals it: stopped backends go on, and the server's places are free when this returns.
    pub fn heal(self, target: &Target) {
        for pid in self.stopped {
            // One that has ended meanwhile needs no waking.
            let _ = target.server.private().map(|server| server.signal_backend(pid, Signal::Continue));
        }
        if !self.fillers.is_empty() {
            leave(target, self.fillers);
        }
    }
}

/// Ends these connections, and waits until their places are free.
fn leave(target: &Target, fillers: Vec<PgConnection>) {
    drop(fillers);
    let until = Instant::now() + UP_MAX;
    let left = "select exists (select from pg_stat_activity where application_name = $1)";
    // An error is a server that is full, or gone.
    let is_left = async || {
        let mut connection = target.connect.connect().await?;
        sqlx::query_scalar(left).bind(FILLER).fetch_one(&mut connection).await
    };
    while wait_for(is_left()).unwrap_or(true) && Instant::now() < until {
        std::thread::sleep(LOOK);
    }
}

/// Lets the column's type become a domain over itself, or what it was again. In one message, so that it is done or not.
async fn alter(connect: &PgConnectOptions, (table, column): (&str, &str)) -> Result<(), sqlx::Error> {
    let mut connection = connect.connect().await?;
    let question = "select format_type(nullif(typbasetype, 0), null), format_type(pg_type.oid, null) \
        from pg_attribute join pg_type on pg_type.oid = atttypid where attrelid = $1::regclass and attname = $2";
    let types: (Option<String>, String) =
        sqlx::query_as(question).bind(table).bind(column).fetch_one(&mut connection).await?;
    // A session that works on the table is not waited for, since it may wait for us.
    let limit = "set lock_timeout = 10";
    let changed = match types {
        (Some(base), domain) => {
            format!("{limit}; alter table {table} alter column {column} type {base}; drop domain {domain}")
        }
        (None, base) => format!(
            "{limit}; create domain {column}_again as {base}; alter table {table} alter column {column} type {column}_again"
        ),
    };
    connection.execute(AssertSqlSafe(changed)).await.map(drop)
}

/// Takes every place that the server has; whether it says that there is none left.
async fn fill(connect: &PgConnectOptions, fillers: &mut Vec<PgConnection>) -> Result<bool, sqlx::Error> {
    let connect = connect.clone().application_name(FILLER);
    while fillers.len() < FILLERS_MAX {
        match connect.connect().await {
            Ok(connection) => fillers.push(connection),
            // too_many_connections
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("53300") => return Ok(true),
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

/// Lets the server do this to these backends, and waits until they are gone; whether there was one.
fn ask(connect: &PgConnectOptions, function: &str, pids: &[i32], wait: Duration) -> bool {
    let asked = wait_for(async {
        let mut connection = connect.connect().await?;
        let question = format!("select count(*) from unnest($1::int[]) as it where {function}(it)");
        let question = sqlx::query_scalar(AssertSqlSafe(question)).bind(pids);
        let done: i64 = question.fetch_one(&mut connection).await?;
        let until = Instant::now() + wait;
        while Instant::now() < until && any_left(&mut connection, pids).await? {
            tokio::time::sleep(LOOK).await;
        }
        Ok(done > 0)
    });
    asked.unwrap_or(false)
}

/// Waits until the server has recovered from a crash.
fn is_up_again(connect: &PgConnectOptions) -> bool {
    let until = Instant::now() + UP_MAX;
    while Instant::now() < until {
        // The kill is noticed a moment later: until then the server still answers.
        std::thread::sleep(LOOK * 5);
        if wait_for(connect.connect()).is_ok() {
            return true;
        }
    }
    false
}

/// Waits for it on this thread.
fn wait_for<T>(future: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(future)
}

async fn any_left(connection: &mut PgConnection, pids: &[i32]) -> Result<bool, sqlx::Error> {
    let question = "select exists (select from pg_stat_activity where pid = any($1))";
    sqlx::query_scalar(question).bind(pids).fetch_one(connection).await
}
