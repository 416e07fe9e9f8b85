//! The systems of a storm: the library, and sqlx's own pool.
//!
//! Owns how each does a task through its public API, and what its errors prove about the work. An error that proves
//! nothing is an unknown outcome; nothing is excused beyond that.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgRow};
use sqlx::{Executor, PgPool, Postgres, Row};
use unstale::{Error, PgOptions, PgSource, Policy, Sessions};

use super::system::StormSystem;
use super::work::{Answer, Begun, End, Seen, Task, Work};

const INSERT: &str = "insert into effect (actor, sequence, nth) values ($1, $2, $3)";

const CHANGE: &str = "update account set balance = balance + $1 where id = $2";

const READ: &str = "select sequence, count(*)::int4 from effect where actor = $1 and sequence >= $2 group by sequence order by sequence";

/// The library, on PostgreSQL, under its default policy.
pub struct Library {
    sessions: Sessions<PgSource>,
}

/// sqlx's own pool with its defaults, but for the wait for a connection, which is the library's.
pub struct SqlxPool {
    pool: PgPool,
}

impl StormSystem for Library {
    const NAME: &'static str = "unstale-pg";

    async fn start(options: PgConnectOptions, connections: u32) -> Result<Self, String> {
        let mut policy = Policy::default();
        policy.sessions_max = connections;
        let sessions = PgOptions::new(options).open(policy).await.map_err(|it| it.to_string())?;
        Ok(Self { sessions })
    }

    async fn work(&self, task: &Task, begun: &Begun) -> Answer {
        let scope = self.sessions.scope("task");
        if let Work::Append { end: End::Autocommit, .. } | Work::Read { .. } = task.work {
            return alone(&scope, task, begun).await;
        }
        if let Err(error) = scope.begin().await {
            return Answer::NotDone(error.to_string());
        }
        let written = match task.work {
            Work::Append { rows, .. } => {
                let mut written = Ok(());
                for nth in 1..=rows {
                    written = written.and(insert(&scope, task, nth).await);
                }
                written
            }
            Work::Move { from, to } => {
                let taken = change(&scope, from, -1).await;
                let given = if taken.is_ok() { change(&scope, to, 1).await } else { taken };
                if given.is_ok() { insert(&scope, task, 1).await } else { given }
            }
            Work::Read { .. } => Ok(()),
        };
        let answer = match written {
            // Not committed, so it is not done, whatever went wrong.
            Err(error) => Answer::NotDone(error.to_string()),
            Ok(()) if task.is_rolled_back() => match scope.rollback().await {
                Ok(()) => Answer::Done(Vec::new()),
                Err(error) => Answer::NotDone(error.to_string()),
            },
            Ok(()) => {
                begun.may_take_effect();
                match scope.commit().await {
                    Ok(()) => Answer::Done(Vec::new()),
                    Err(error) => failed(&error),
                }
            }
        };
        // Every second task leaves the cleaning to the drop.
        if task.sequence.is_multiple_of(2) {
            let _ = scope.end().await;
        }
        answer
    }

    fn lent(&self) -> u32 {
        self.sessions.health().usage.in_use
    }

    async fn stop(&self) {
        // The leak check finds any remaining connection.
        let _ = self.sessions.drain(Duration::from_secs(5)).await;
    }
}

impl StormSystem for SqlxPool {
    const NAME: &'static str = "sqlx-pool-pg";

    async fn start(options: PgConnectOptions, connections: u32) -> Result<Self, String> {
        let pool = PgPoolOptions::new().max_connections(connections).acquire_timeout(Policy::default().acquire_timeout);
        Ok(Self { pool: pool.connect_with(options).await.map_err(|it| it.to_string())? })
    }

    async fn work(&self, task: &Task, begun: &Begun) -> Answer {
        if let Work::Append { end: End::Autocommit, .. } | Work::Read { .. } = task.work {
            let mut connection = match self.pool.acquire().await {
                Ok(connection) => connection,
                Err(error) => return Answer::NotDone(error.to_string()),
            };
            return alone(&mut *connection, task, begun).await;
        }
        let mut transaction = match self.pool.begin().await {
            Ok(transaction) => transaction,
            Err(error) => return Answer::NotDone(error.to_string()),
        };
        let written = async {
            match task.work {
                Work::Append { rows, .. } => {
                    for nth in 1..=rows {
                        insert(&mut *transaction, task, nth).await?;
                    }
                }
                Work::Move { from, to } => {
                    change(&mut *transaction, from, -1).await?;
                    change(&mut *transaction, to, 1).await?;
                    insert(&mut *transaction, task, 1).await?;
                }
                Work::Read { .. } => {}
            }
            Ok::<_, sqlx::Error>(())
        };
        if let Err(error) = written.await {
            return Answer::NotDone(error.to_string());
        }
        if task.is_rolled_back() {
            return match transaction.rollback().await {
                Ok(()) => Answer::Done(Vec::new()),
                Err(error) => Answer::NotDone(error.to_string()),
            };
        }
        begun.may_take_effect();
        match transaction.commit().await {
            Ok(()) => Answer::Done(Vec::new()),
            Err(error) => refused(&error),
        }
    }

    fn lent(&self) -> u32 {
        let idle = u32::try_from(self.pool.num_idle()).unwrap_or(u32::MAX);
        self.pool.size().saturating_sub(idle)
    }

    async fn stop(&self) {
        self.pool.close().await;
    }
}

/// What is done outside of a transaction.
async fn alone<'c>(executor: impl Executor<'c, Database = Postgres>, task: &Task, begun: &Begun) -> Answer {
    if let Work::Read { since } = task.work {
        let read = sqlx::query(READ).bind(number(task.actor)).bind(number(since)).fetch_all(executor).await;
        return match read.and_then(|rows| rows.iter().map(seen).collect()) {
            Ok(seen) => Answer::Done(seen),
            Err(error) => Answer::NotDone(error.to_string()),
        };
    }
    begun.may_take_effect();
    match insert(executor, task, 1).await {
        Ok(()) => Answer::Done(Vec::new()),
        Err(error) => refused(&error),
    }
}

async fn insert<'c>(executor: impl Executor<'c, Database = Postgres>, task: &Task, nth: u32) -> sqlx::Result<()> {
    let query = sqlx::query(INSERT).bind(number(task.actor)).bind(number(task.sequence)).bind(number(nth));
    query.execute(executor).await.map(drop)
}

async fn change<'c>(executor: impl Executor<'c, Database = Postgres>, account: u16, by: i64) -> sqlx::Result<()> {
    sqlx::query(CHANGE).bind(by).bind(i32::from(account)).execute(executor).await.map(drop)
}

fn seen(row: &PgRow) -> sqlx::Result<Seen> {
    let unsigned = |it: i32| u32::try_from(it).unwrap_or(u32::MAX);
    Ok(Seen { sequence: unsigned(row.try_get(0)?), rows: unsigned(row.try_get(1)?) })
}

fn number(it: u32) -> i32 {
    i32::try_from(it).unwrap_or(i32::MAX)
}

/// What an error of the library's says of the work that may have taken effect.
fn failed(error: &Error) -> Answer {
    match error {
        Error::CommitUnknown { .. } | Error::NoAnswer { .. } => Answer::Unknown(error.to_string()),
        Error::Database { source, .. } => match source.downcast_ref() {
            Some(source) => refused(source),
            None => Answer::Unknown(error.to_string()),
        },
        // Everything else was refused before it was sent, or is known to be undone.
        _ => Answer::NotDone(error.to_string()),
    }
}

/// What an error of sqlx's says of the work that may have taken effect.
fn refused(error: &sqlx::Error) -> Answer {
    if let Some(error) = Error::of(error) {
        return failed(error);
    }
    let text = error.to_string();
    match error {
        // A statement that was refused was not done, unless the session ended with it or the server cannot say (40003).
        sqlx::Error::Database(answer) => match answer.code() {
            Some(code)
                if !["57P", "08", "XX"].iter().any(|it| code.starts_with(it))
                    && !["25P03", "40003"].contains(&&*code) =>
            {
                Answer::NotDone(text)
            }
            _ => Answer::Unknown(text),
        },
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => Answer::NotDone(text),
        _ => Answer::Unknown(text),
    }
}
