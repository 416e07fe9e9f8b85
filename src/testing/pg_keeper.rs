//! Makes and drops a process's test databases, on a thread of its own.
//!
//! Owns the connection by which other processes see that this one is alive. A thread, because each test has a runtime that ends with
//! it, and a drop during a panic cannot wait.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection, Row};
use tokio::runtime::Builder;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::time::timeout;

type JobError = Box<dyn std::error::Error + Send + Sync>;
type Reply = oneshot::Sender<Result<(), JobError>>;

/// How long one statement may take: a template's SQL may have much to do.
const STATEMENT_MAX: Duration = Duration::from_secs(60);

/// The databases of keepers that are not connected any more. A keeper's name is `unstale_`, a process and a number, and the names of
/// its databases begin with it.
const LEFT_BEHIND: &str = "select db.datname from pg_database db where db.datname ~ '^unstale_[0-9]+_[0-9a-f]{8}(_[0-9]+)?$' and \
     not exists (select from pg_stat_activity where application_name = substring(db.datname from '^unstale_[0-9]+_[0-9a-f]{8}'))";

/// The handle of the thread. When it is dropped, the thread ends after its last job.
pub(super) struct Keeper {
    jobs: UnboundedSender<Job>,
}

enum Job {
    Make { name: String, sql: &'static str, reply: Reply },
    Run { sql: String, reply: Option<Reply> },
}

impl Keeper {
    pub(super) fn start(options: PgConnectOptions) -> Result<Self, JobError> {
        let (jobs, to_do) = unbounded_channel();
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let work = move || runtime.block_on(work(options, to_do));
        std::thread::Builder::new().name("unstale test databases".into()).spawn(work)?;
        Ok(Self { jobs })
    }

    /// Makes the template, and removes what ended processes left behind.
    pub(super) async fn make(&self, name: String, sql: &'static str) -> Result<(), JobError> {
        self.ask(|reply| Job::Make { name, sql, reply }).await
    }

    /// Runs a statement.
    pub(super) async fn run(&self, sql: String) -> Result<(), JobError> {
        self.ask(|reply| Job::Run { sql, reply: Some(reply) }).await
    }

    /// Runs a statement later, without waiting for it.
    pub(super) fn tell(&self, sql: String) {
        // If the thread is gone, the process is about to end: the next one removes what is left.
        let _ = self.jobs.send(Job::Run { sql, reply: None });
    }

    async fn ask(&self, job: impl FnOnce(Reply) -> Job) -> Result<(), JobError> {
        let (reply, replied) = oneshot::channel();
        let sent = self.jobs.send(job(reply)).is_ok();
        match replied.await {
            Ok(result) if sent => result,
            _ => Err("the thread of the test databases has ended".into()),
        }
    }
}

async fn work(options: PgConnectOptions, mut jobs: UnboundedReceiver<Job>) {
    let mut connection = None;
    let mut made = None;
    while let Some(job) = jobs.recv().await {
        match job {
            Job::Make { name, sql, reply } => {
                let done = make(&options, &mut connection, &name, sql).await;
                made = Some(name);
                let _ = reply.send(done);
            }
            Job::Run { sql, reply } => {
                let done = run(&options, &mut connection, sql).await;
                match (reply, done) {
                    (Some(reply), done) => drop(reply.send(done)),
                    (None, Ok(())) => {}
                    (None, Err(error)) => tracing::warn!(%error, "a test's database could not be dropped"),
                }
            }
        }
    }
    // The template was dropped, and all its copies before it.
    if let Some(name) = made {
        let _ = run(&options, &mut connection, format!("drop database if exists {name}")).await;
    }
}

async fn make(
    options: &PgConnectOptions,
    connection: &mut Option<PgConnection>,
    name: &str,
    sql: &'static str,
) -> Result<(), JobError> {
    run(options, connection, format!("create database {name}")).await?;
    if let Some(connection) = connection {
        for row in sqlx::raw_sql(LEFT_BEHIND).fetch_all(&mut *connection).await? {
            let left: String = row.try_get_unchecked(0)?;
            // The server refuses to drop a database with connections, or another user's.
            let _ =
                sqlx::raw_sql(AssertSqlSafe(format!("drop database if exists {left}"))).execute(&mut *connection).await;
        }
    }
    let filled = timeout(STATEMENT_MAX, async {
        let mut inside = PgConnection::connect_with(&options.clone().database(name)).await?;
        let filled = sqlx::raw_sql(sql).execute(&mut inside).await;
        // A database with connections cannot be copied.
        inside.close().await?;
        filled.map(drop)
    });
    match filled.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => {
            run(options, connection, format!("drop database if exists {name}")).await?;
            Err(error.into())
        }
        Err(_) => Err(format!("the template's SQL took longer than {STATEMENT_MAX:?}").into()),
    }
}

/// Runs a statement on the connection, or on a new one if that has died.
async fn run(options: &PgConnectOptions, connection: &mut Option<PgConnection>, sql: String) -> Result<(), JobError> {
    let done = timeout(STATEMENT_MAX, async {
        if let Some(kept) = connection
            && kept.ping().await.is_err()
        {
            *connection = None;
        }
        let kept = match connection {
            Some(kept) => kept,
            None => connection.insert(PgConnection::connect_with(options).await?),
        };
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(kept).await.map(drop)
    });
    match done.await {
        Ok(done) => done.map_err(JobError::from),
        Err(_) => {
            *connection = None;
            Err(format!("the server did not answer within {STATEMENT_MAX:?}").into())
        }
    }
}
