//! `sqlx-pool`: sqlx's own [`Pool`] and [`Transaction`], unmodified, on SQLite and on PostgreSQL.
//!
//! The pool is built from the harness's options; on SQLite their `after_connect` sets the driver hooks. Everything else is
//! sqlx's default. Nothing here works around what sqlx does: this is the system under test.

use std::convert::Infallible;

use sqlx::{Connection, Database as SqlxDatabase, Executor, Pool, Postgres, Sqlite, Transaction};

use unstale_harness::database::Database;
use unstale_harness::history::{Failure, Reply};
use unstale_harness::plan::{BeginMode, Command};
use unstale_harness::system::{Capabilities, Capability, Port, System};
use unstale_harness::workload::{Dialect, answer, begin_statement, statement, swap};

/// A plain `SqlitePool`.
pub struct SqlxPool {
    pool: Pool<Sqlite>,
}

/// A plain `PgPool`.
pub struct SqlxPgPool {
    pool: Pool<Postgres>,
}

/// A `PgPool` that believes its idle connections: `test_before_acquire(false)`, as busy applications set it.
pub struct SqlxPgPoolTrusting {
    pool: Pool<Postgres>,
}

impl System for SqlxPool {
    const NAME: &'static str = "sqlx-pool";

    fn capabilities() -> Capabilities {
        Capabilities::sqlite().and(further())
    }

    async fn start(database: &Database) -> Result<Self, Failure> {
        Ok(Self { pool: database.pool_options().connect_lazy_with(database.connect_options()) })
    }

    async fn actor(&self, port: Port) {
        actor(&self.pool, port).await;
    }

    async fn stop(&self) {
        self.pool.close().await;
    }
}

impl System for SqlxPgPool {
    const NAME: &'static str = "sqlx-pool-pg";

    fn capabilities() -> Capabilities {
        Capabilities::postgres().with(Capability::ReadOnlyBegin).and(further())
    }

    async fn start(database: &Database) -> Result<Self, Failure> {
        Ok(Self { pool: database.pg_pool_options().connect_lazy_with(database.pg_connect_options()) })
    }

    async fn actor(&self, port: Port) {
        actor(&self.pool, port).await;
    }

    async fn stop(&self) {
        self.pool.close().await;
    }
}

impl System for SqlxPgPoolTrusting {
    const NAME: &'static str = "sqlx-pool-trusting-pg";

    fn capabilities() -> Capabilities {
        Capabilities::postgres().with(Capability::ReadOnlyBegin).and(further())
    }

    async fn start(database: &Database) -> Result<Self, Failure> {
        let options = database.pg_pool_options().test_before_acquire(false);
        Ok(Self { pool: options.connect_lazy_with(database.pg_connect_options()) })
    }

    async fn actor(&self, port: Port) {
        actor(&self.pool, port).await;
    }

    async fn stop(&self) {
        self.pool.close().await;
    }
}

/// What is made of several calls, on every database.
fn further() -> Capabilities {
    Capabilities::of([Capability::Autonomous, Capability::Swaps])
}

async fn actor<DB: Dialect>(pool: &Pool<DB>, mut port: Port)
where
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    while let Some(command) = port.next().await {
        match command {
            Command::Open => {
                if let Some(mut connection) = port.run(pool.acquire()).await {
                    let unhandled = session(pool, &mut connection, &mut port).await;
                    close(connection, unhandled, &mut port).await;
                }
            }
            Command::ClosePool => {
                port.run(close_pool(pool)).await;
            }
            _ => {}
        }
    }
}

async fn close_pool<DB: SqlxDatabase>(pool: &Pool<DB>) -> Result<(), Failure> {
    pool.close().await;
    Ok(())
}

async fn close(connection: impl Sized, command: Option<Command>, port: &mut Port) {
    let release = async move {
        drop(connection);
        Ok::<_, Infallible>(())
    };
    match command {
        Some(Command::Close) => {
            port.run(release).await;
        }
        _ => drop(release),
    }
}

/// Serves a session until it is closed or the actor ends; answers the command that it did not handle.
async fn session<DB: Dialect>(pool: &Pool<DB>, connection: &mut DB::Connection, port: &mut Port) -> Option<Command>
where
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    while let Some(command) = port.next().await {
        match command {
            Command::Close => return Some(command),
            Command::Begin(mode) => {
                if let Some(transaction) = port.run(begin::<DB>(connection, mode)).await
                    && let Some(Command::Close) = serve(pool, transaction, port).await
                {
                    return Some(Command::Close);
                }
            }
            command => request(pool, &mut *connection, &command, port).await,
        }
    }
    None
}

/// Serves a transaction until it ends; answers a close that its session has to carry out.
async fn serve<DB: Dialect>(pool: &Pool<DB>, mut transaction: Transaction<'_, DB>, port: &mut Port) -> Option<Command>
where
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    while let Some(command) = port.next().await {
        match command {
            Command::Close => return Some(command),
            Command::Commit => {
                port.run(transaction.commit()).await;
                return None;
            }
            Command::Rollback => {
                port.run(transaction.rollback()).await;
                return None;
            }
            Command::Drop => {
                port.run(async move {
                    drop(transaction);
                    Ok::<_, Infallible>(())
                })
                .await;
                return None;
            }
            Command::Begin(mode) => {
                if let Some(inner) = port.run(begin::<DB>(&mut transaction, mode)).await
                    && let Some(Command::Close) = Box::pin(serve(pool, inner, port)).await
                {
                    return Some(Command::Close);
                }
            }
            command => request(pool, &mut transaction, &command, port).await,
        }
    }
    None
}

/// A statement, on this connection or, where it is to be autonomous, on another one of the pool.
async fn request<DB: Dialect>(pool: &Pool<DB>, connection: &mut DB::Connection, command: &Command, port: &mut Port)
where
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    if let Command::Swap(key, value) = *command {
        port.ask(swap(connection, key, value), Reply::clone).await;
        return;
    }
    let Command::Autonomous(usage) = command else { return statement(connection, command, port).await };
    let autonomous = async {
        let mut connection = pool.acquire().await?;
        answer(&mut *connection, &Command::from(*usage)).await
    };
    port.ask(autonomous, Reply::clone).await;
}

async fn begin<DB: Dialect>(
    connection: &mut DB::Connection,
    mode: BeginMode,
) -> Result<Transaction<'_, DB>, sqlx::Error> {
    match begin_statement::<DB>(mode) {
        None => connection.begin().await,
        Some(statement) => connection.begin_with(statement).await,
    }
}
