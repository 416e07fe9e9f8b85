//! What is done to a PostgreSQL server and its backends, with the wait until it has taken effect.
//!
//! Owns one harm from its doing to the evidence for it: a terminated backend is gone, a restarted server accepts connections.
//! It is synchronous and may block for as long as a server takes to restart; the caller's thread must not drive a runtime.
//! When it is done, and what is made of it, is the caller's business.

use std::time::{Duration, Instant};

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, PgConnection};

use super::fleet::Berth;
use super::server::{Server, Shutdown, Signal};
use crate::plan::Harm;

/// How long a backend that was told to end may take.
const GONE_MAX: Duration = Duration::from_secs(2);

/// How long a server may take until it accepts connections again.
pub(crate) const UP_MAX: Duration = Duration::from_secs(20);

/// Between two looks.
const LOOK: Duration = Duration::from_millis(2);

/// What a harm came to.
#[derive(Debug, Default)]
pub(crate) struct Struck {
    /// Whether it took effect.
    pub(crate) landed: bool,
    /// The backends that are stopped now, and have to be woken.
    pub(crate) stopped: Vec<i32>,
}

/// What is struck: how to ask it, and its processes if they are ours.
pub(crate) struct Target<'a> {
    connect: PgConnectOptions,
    ours: Option<&'a Server>,
}

impl<'a> From<&'a Server> for Target<'a> {
    fn from(server: &'a Server) -> Self {
        Self { connect: server.tcp(), ours: Some(server) }
    }
}

impl<'a> From<&'a Berth> for Target<'a> {
    fn from(berth: &'a Berth) -> Self {
        Self { connect: berth.tcp(), ours: berth.private() }
    }
}

/// Does this to these backends, or to their server. What would signal a process that is not ours is not done.
pub(crate) fn strike<'a>(target: impl Into<Target<'a>>, harm: Harm, pids: &[u32]) -> Struck {
    let Target { connect, ours } = target.into();
    let signal = |pid: i32, signal| ours.is_some_and(|it| it.signal_backend(pid, signal).is_ok());
    let restart = |how| ours.is_some_and(|it| it.restart(how).is_ok());
    let pids: Vec<i32> = pids.iter().filter_map(|it| i32::try_from(*it).ok()).collect();
    let mut stopped = Vec::new();
    let landed = match harm {
        Harm::Terminate => ask(&connect, "pg_terminate_backend", &pids, GONE_MAX),
        Harm::CancelQuery => ask(&connect, "pg_cancel_backend", &pids, Duration::ZERO),
        Harm::Stop => {
            stopped.extend(pids.iter().filter(|it| signal(**it, Signal::Stop)));
            !stopped.is_empty()
        }
        Harm::KillBackend => {
            let killed = pids.first().is_some_and(|it| signal(*it, Signal::Kill));
            killed && is_up_again(&connect)
        }
        Harm::RestartFast => restart(Shutdown::Fast),
        Harm::RestartImmediate => restart(Shutdown::Immediate),
        Harm::RestartKilled => restart(Shutdown::Kill),
    };
    Struck { landed, stopped }
}

/// Lets the server do this to these backends, and waits until they are gone; whether there was one.
fn ask(connect: &PgConnectOptions, function: &str, pids: &[i32], wait: Duration) -> bool {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return false };
    let asked = runtime.block_on(async {
        let mut connection = connect.clone().application_name("unstale-harness").connect().await?;
        let question = format!("select count(*) from unnest($1::int[]) as it where {function}(it)");
        let question = sqlx::query_scalar(sqlx::AssertSqlSafe(question)).bind(pids);
        let done: i64 = question.fetch_one(&mut connection).await?;
        let until = Instant::now() + wait;
        while Instant::now() < until && any_left(&mut connection, pids).await? {
            tokio::time::sleep(LOOK).await;
        }
        Ok::<_, sqlx::Error>(done > 0)
    });
    asked.unwrap_or(false)
}

/// Waits until the server has recovered from a crash.
fn is_up_again(connect: &PgConnectOptions) -> bool {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return false };
    let until = Instant::now() + UP_MAX;
    while Instant::now() < until {
        // The kill is noticed a moment later: until then the server still answers.
        std::thread::sleep(LOOK * 5);
        if runtime.block_on(connect.connect()).is_ok() {
            return true;
        }
    }
    false
}

async fn any_left(connection: &mut PgConnection, pids: &[i32]) -> Result<bool, sqlx::Error> {
    let question = "select exists (select from pg_stat_activity where pid = any($1))";
    sqlx::query_scalar(question).bind(pids).fetch_one(connection).await
}
