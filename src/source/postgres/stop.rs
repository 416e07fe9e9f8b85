//! Tells the server to stop what a cancelled call left running.
//!
//! Owns the list of backends that have to be stopped, and the one task that stops them over a connection of its own. sqlx sends
//! no cancel request and does not show its key, and the server notices that a client is gone only when it next writes to it.
//! Nothing is told to anybody who is not proved to be ours ([`super::identity`]), and no commit is ended.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection as _, Executor, Row};

use super::connection::connect_failure;
use super::identity::{known_by, questions};
use crate::policy::Policy;
use crate::source::condition::Trace;
use crate::source::error::{ConnectionError, ErrorClass};
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

    /// Has this backend stopped soon. Outside of a runtime this waits for the next [`attend`](Self::attend) in one.
    pub(super) fn backend(self: &Arc<Self>, backend: Trace) {
        if !self.limit.is_zero() {
            self.due.with(|it| it.backends.push(backend));
            self.attend();
        }
    }

    /// Sees to it that a task is at work, if there is anything to do: the runtime of the last one may have ended.
    pub(super) fn attend(self: &Arc<Self>) {
        let is_left = self.due.with(|it| !it.backends.is_empty() && !std::mem::replace(&mut it.attended, true));
        if is_left {
            let task = Attendant { stop: Arc::clone(self), due: Vec::new(), has_ended: false };
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
    ///
    /// # Errors
    /// Also if a server answers that is neither the backend's nor has taken its place: it knows nothing of the backend.
    pub(super) async fn has_ended(&self, backend: Trace) -> Result<bool, ConnectionError> {
        let mut connection = PgConnection::connect_with(&self.options).await.map_err(connect_failure)?;
        let questions = sqlx::raw_sql(sqlx::AssertSqlSafe(questions(&backend)));
        let row = connection.fetch_one(questions).await.map_err(connect_failure)?;
        connection.close().await.map_err(connect_failure)?;
        // A simple query is answered in text.
        let is = |column| row.try_get_unchecked::<&str, _>(column).map(|it| it == "t").map_err(connect_failure);
        match (is("is_same")?, is("is_successor")?) {
            (true, _) => Ok(!is("is_there")?),
            (false, true) => Ok(true),
            (false, false) => Err(ConnectionError::new(ErrorClass::Unavailable, AnotherServer)),
        }
    }

    /// Has this backend cancel its current statement, unless it is a commit that waits for a standby. A later statement is not
    /// hit: the signal arrives before it.
    pub(super) async fn cancel(&self, backend: Trace) -> Result<(), sqlx::Error> {
        self.signal("pg_cancel_backend", &[backend]).await
    }

    /// Makes one attempt.
    async fn stop(&self, due: &[Trace]) -> Result<(), sqlx::Error> {
        self.signal("pg_terminate_backend", due).await
    }

    async fn signal(&self, function: &str, backends: &[Trace]) -> Result<(), sqlx::Error> {
        let mut connection = PgConnection::connect_with(&self.options).await?;
        let all = backends.iter().map(known_by).collect::<Vec<_>>().join(" or ");
        let sql = format!("select {function}(pid) from pg_stat_activity where ({all}) and not ({COMMITS})");
        let told = connection.fetch_all(sqlx::raw_sql(sqlx::AssertSqlSafe(sql))).await?.len();
        if told < backends.len() {
            let left = backends.len() - told;
            tracing::debug!(function, left, "processes have ended, commit, or are another server's, and were not told");
        }
        connection.close().await
    }
}

/// A commit is never ended. One that waits for a standby would be visible and *committed* at once, although no standby has it; and
/// so would a statement that commits by itself.
const COMMITS: &str =
    "state = 'active' and (wait_event is not distinct from 'SyncRep' or query ~* '^(select; *)?commit')";

/// Why it is not known what became of a process.
#[derive(Debug, thiserror::Error)]
#[error("another server answers than the one whose process this was, so it is unknown whether that has ended")]
struct AnotherServer;

/// The task. When it is dropped, by a runtime that ends say, what it has not done is left to another.
struct Attendant {
    stop: Arc<Stop>,
    /// Those that it is about to stop.
    due: Vec<Trace>,
    /// The list was empty, and the next backend starts another task.
    has_ended: bool,
}

impl Attendant {
    async fn run(mut self) {
        let stop = Arc::clone(&self.stop);
        loop {
            // The delay lets the cancelled call's successor connect first, and collects further backends.
            runtime::sleep(stop.after).await;
            self.due = stop.take();
            if self.due.is_empty() {
                self.has_ended = true;
                return;
            }
            let mut wait = stop.after;
            let done = runtime::within(stop.limit, async {
                while let Err(error) = stop.stop(&self.due).await {
                    tracing::debug!(%error, "a cancelled call could not be stopped yet");
                    runtime::sleep(wait).await;
                    wait = (wait * 2).min(stop.limit / 10);
                }
            });
            if done.await.is_none() {
                tracing::warn!(backends = self.due.len(), limit = ?stop.limit, "cancelled calls could not be stopped");
            }
            self.due.clear();
        }
    }
}

impl Drop for Attendant {
    fn drop(&mut self) {
        // Otherwise the list was empty, and another task may be at work by now.
        if !self.has_ended {
            self.stop.due.with(|it| {
                it.backends.append(&mut self.due);
                it.attended = false;
            });
        }
    }
}
