//! `sqlx-pool`: sqlx's own [`SqlitePool`] and [`Transaction`], unmodified.
//!
//! The pool is built from the harness's options, whose `after_connect` sets the driver hooks; everything else is
//! sqlx's default. Nothing here works around what sqlx does: this is the system under test.

use std::convert::Infallible;

use sqlx::{Acquire, Connection, Sqlite, SqliteConnection, SqlitePool, Transaction};

use crate::database::Database;
use crate::history::Failure;
use crate::plan::{BeginMode, Command};
use crate::system::{Capabilities, Port, System};
use crate::workload::{begin_statement, statement};

/// A plain `SqlitePool`.
pub struct SqlxPool {
    pool: SqlitePool,
}

impl System for SqlxPool {
    const NAME: &'static str = "sqlx-pool";

    fn capabilities() -> Capabilities {
        Capabilities::sqlite()
    }

    async fn start(database: &Database) -> Result<Self, Failure> {
        Ok(Self { pool: database.pool_options().connect_lazy_with(database.connect_options()) })
    }

    async fn actor(&self, mut port: Port) {
        while let Some(command) = port.next().await {
            match command {
                Command::Open => {
                    if let Some(mut connection) = port.run(self.pool.acquire()).await {
                        let unhandled = session(&mut connection, &mut port).await;
                        close(connection, unhandled, &mut port).await;
                    }
                }
                Command::ClosePool => {
                    port.run(close_pool(&self.pool)).await;
                }
                _ => {}
            }
        }
    }

    async fn stop(&self) {
        self.pool.close().await;
    }
}

async fn close_pool(pool: &SqlitePool) -> Result<(), Failure> {
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
async fn session(connection: &mut SqliteConnection, port: &mut Port) -> Option<Command> {
    while let Some(command) = port.next().await {
        match command {
            Command::Close => return Some(command),
            Command::Begin(mode) => {
                if let Some(transaction) = port.run(begin(connection, mode)).await
                    && let Some(Command::Close) = serve(transaction, port).await
                {
                    return Some(Command::Close);
                }
            }
            command => statement(&mut *connection, &command, port).await,
        }
    }
    None
}

/// Serves a transaction until it ends; answers a close that its session has to carry out.
async fn serve(mut transaction: Transaction<'_, Sqlite>, port: &mut Port) -> Option<Command> {
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
                if let Some(inner) = port.run(begin(&mut transaction, mode)).await
                    && let Some(Command::Close) = Box::pin(serve(inner, port)).await
                {
                    return Some(Command::Close);
                }
            }
            command => statement(&mut *transaction, &command, port).await,
        }
    }
    None
}

async fn begin(connection: &mut SqliteConnection, mode: BeginMode) -> Result<Transaction<'_, Sqlite>, sqlx::Error> {
    match begin_statement(mode) {
        None => Acquire::begin(connection).await,
        Some(statement) => connection.begin_with(statement).await,
    }
}
