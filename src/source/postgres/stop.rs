//! Tells the server to stop what a cancelled call left running.
//!
//! Owns the list of backends that have to be stopped, and the one task that stops them over a connection of its own. sqlx sends
//! no cancel request and does not show its key, and the server notices that a client is gone only when it next writes to it.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection as _, Executor};

use crate::policy::Policy;
use crate::source::condition::Trace;
use crate::source::runtime;
use crate::sync::Shared;

/// Stops backends, soon and together.
pub(super) struct Stop {
    options: PgConnectOptions,
    after: Duration,
    limit: Duration,
    due: Shared<Due>,
}

#[derive(Default)]
struct Due {
    backends: Vec<Trace>,
    /// A task is at work on them.
    attended: bool,
}

impl Stop {
    pub(super) fn new(options: PgConnectOptions, policy: &Policy) -> Arc<Self> {
        Arc::new(Self { options, after: policy.stop_after, limit: policy.stop_timeout, due: Shared::default() })
    }

    /// Has this backend stopped soon. Outside of a runtime this does nothing.
    pub(super) fn backend(self: &Arc<Self>, backend: Trace) {
        if self.limit.is_zero() {
            return;
        }
        let attended = self.due.with(|it| {
            it.backends.push(backend);
            std::mem::replace(&mut it.attended, true)
        });
        if !attended {
            let task = Attendant { stop: Arc::clone(self), done: false };
            runtime::spawn(Box::pin(async move { task.run().await }));
        }
    }

    fn take(&self) -> Vec<Trace> {
        self.due.with(|it| {
            if it.backends.is_empty() {
                it.attended = false;
            }
            std::mem::take(&mut it.backends)
        })
    }

    /// Whether this backend has ended.
    pub(super) async fn has_ended(&self, backend: Trace) -> Result<bool, sqlx::Error> {
        let mut connection = PgConnection::connect_with(&self.options).await?;
        let sql = format!("select from pg_stat_activity where {}", known_by(&backend));
        let found = connection.fetch_optional(sqlx::raw_sql(sqlx::AssertSqlSafe(sql))).await?;
        connection.close().await?;
        Ok(found.is_none())
    }

    /// Has this backend cancel its current statement. A later statement is not hit: the signal arrives before it.
    pub(super) async fn cancel(&self, backend: Trace) -> Result<(), sqlx::Error> {
        let mut connection = PgConnection::connect_with(&self.options).await?;
        let sql = format!("select pg_cancel_backend(pid) from pg_stat_activity where {}", known_by(&backend));
        connection.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(sql))).await?;
        connection.close().await
    }

    /// Makes one attempt.
    async fn stop(&self, due: &[Trace]) -> Result<(), sqlx::Error> {
        let mut connection = PgConnection::connect_with(&self.options).await?;
        let all = due.iter().map(known_by).collect::<Vec<_>>().join(" or ");
        let sql = format!("select pg_terminate_backend(pid) from pg_stat_activity where {all}");
        connection.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(sql))).await?;
        connection.close().await
    }
}

/// Selects the process of this number that had begun when it was seen: another process with the same number is younger.
fn known_by(backend: &Trace) -> String {
    let ago = runtime::now().saturating_sub(backend.seen).as_micros();
    format!("pid = {} and backend_start <= clock_timestamp() - interval '{ago} us'", backend.process)
}

/// The task. When it is dropped, by a runtime that ends say, the next backend starts another.
struct Attendant {
    stop: Arc<Stop>,
    /// The list was empty, and the next backend starts another task.
    done: bool,
}

impl Attendant {
    async fn run(mut self) {
        let stop = Arc::clone(&self.stop);
        loop {
            // The delay lets the cancelled call's successor connect first, and collects further backends.
            runtime::sleep(stop.after).await;
            let due = stop.take();
            if due.is_empty() {
                self.done = true;
                return;
            }
            let mut wait = stop.after;
            let done = runtime::within(stop.limit, async {
                while let Err(error) = stop.stop(&due).await {
                    tracing::debug!(%error, "a cancelled call could not be stopped yet");
                    runtime::sleep(wait).await;
                    wait = (wait * 2).min(stop.limit / 10);
                }
            });
            if done.await.is_none() {
                tracing::warn!(backends = due.len(), limit = ?stop.limit, "cancelled calls could not be stopped");
            }
        }
    }
}

impl Drop for Attendant {
    fn drop(&mut self) {
        if !self.done {
            self.stop.due.with(|it| *it = Due::default());
        }
    }
}
