//! What is done to a PostgreSQL server and its backends, with the wait until it has taken effect.
//!
//! Owns one harm from its doing to the evidence for it: a terminated backend is gone, a restarted server accepts connections.
//! It is synchronous and may block for as long as a server takes to restart; the caller's thread must not drive a runtime.
//! When it is done, and what is made of it, is the caller's business.

use std::time::{Duration, Instant};

use sqlx::{ConnectOptions, PgConnection};

use super::server::{Server, Shutdown, Signal};
use crate::plan::Harm;

/// How long a backend that was told to end may take.
const GONE_MAX: Duration = Duration::from_secs(2);

/// How long a server may take until it accepts connections again.
const UP_MAX: Duration = Duration::from_secs(20);

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

/// Does this to these backends, or to their server.
pub(crate) fn strike(server: &Server, harm: Harm, pids: &[u32]) -> Struck {
    let pids: Vec<i32> = pids.iter().filter_map(|it| i32::try_from(*it).ok()).collect();
    let mut stopped = Vec::new();
    let landed = match harm {
        Harm::Terminate => ask(server, "pg_terminate_backend", &pids, GONE_MAX),
        Harm::CancelQuery => ask(server, "pg_cancel_backend", &pids, Duration::ZERO),
        Harm::Stop => {
            stopped.extend(pids.iter().filter(|it| server.signal_backend(**it, Signal::Stop).is_ok()));
            !stopped.is_empty()
        }
        Harm::KillBackend => {
            let killed = pids.first().is_some_and(|it| server.signal_backend(*it, Signal::Kill).is_ok());
            killed && is_up_again(server)
        }
        Harm::RestartFast => server.restart(Shutdown::Fast).is_ok(),
        Harm::RestartImmediate => server.restart(Shutdown::Immediate).is_ok(),
        Harm::RestartKilled => server.restart(Shutdown::Kill).is_ok(),
    };
    Struck { landed, stopped }
}

/// Lets the server do this to these backends, and waits until they are gone; whether there was one.
fn ask(server: &Server, function: &str, pids: &[i32], wait: Duration) -> bool {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return false };
    let asked = runtime.block_on(async {
        let mut connection = server.tcp().application_name("unstale-harness").connect().await?;
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
fn is_up_again(server: &Server) -> bool {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return false };
    let until = Instant::now() + UP_MAX;
    while Instant::now() < until {
        // The kill is noticed a moment later: until then the server still answers.
        std::thread::sleep(LOOK * 5);
        if runtime.block_on(server.tcp().connect()).is_ok() {
            return true;
        }
    }
    false
}

async fn any_left(connection: &mut PgConnection, pids: &[i32]) -> Result<bool, sqlx::Error> {
    let question = "select exists (select from pg_stat_activity where pid = any($1))";
    sqlx::query_scalar(question).bind(pids).fetch_one(connection).await
}
