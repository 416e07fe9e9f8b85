//! The core workload: each single statement of the alphabet, as SQL.
//!
//! Systems call [`statement`] with the connection (or transaction) that serves the actor; they open, close and begin by
//! themselves. It uses sqlx's public API and returns nothing: the port has the outcome. The [`Dialect`] has each
//! database's SQL.

use crate::database::ALL_ROWS;
pub use crate::database::{Dialect, Words};

use futures_util::TryStreamExt;
use sqlx::{Connection, Executor};

use crate::history::{Leftovers, Reply};
use crate::plan::{BeginMode, Command, Conflict, Key, Value};
use crate::spelling::text;
use crate::system::Port;

/// Runs a single-statement command on this executor. Ignores a command that is not a statement; the port records it as
/// skipped.
///
/// # Cancel safety
/// Cancels of the plan land inside; the connection is as sqlx leaves it.
pub async fn statement<'c, DB: Dialect>(
    connection: impl Executor<'c, Database = DB>,
    command: &Command,
    port: &mut Port,
) {
    if is_statement(command) {
        port.ask(answer(connection, command), Reply::clone).await;
    }
}

/// Whether a command is a single statement.
pub fn is_statement(command: &Command) -> bool {
    let by_key = matches!(command, Command::Put(..) | Command::Insert(..) | Command::Get(_) | Command::Delete(_));
    by_key
        || matches!(command, Command::Scan | Command::Stream(_) | Command::Inspect)
        || matches!(command, Command::Fail | Command::Slow | Command::Raw(..))
}

/// Runs a single-statement command and returns its answer, for systems that wrap each call. Does nothing for any other
/// command.
///
/// # Errors
/// Whatever sqlx answers.
///
/// # Cancel safety
/// As sqlx's `execute`: the statement may have been done.
pub async fn answer<'c, DB: Dialect>(
    connection: impl Executor<'c, Database = DB>,
    command: &Command,
) -> Result<Reply, sqlx::Error> {
    let plain = match *command {
        Command::Put(key, value) => return put(connection, key, value).await.map(Reply::Changed),
        Command::Insert(key, value, conflict) => {
            return insert(connection, key, value, conflict).await.map(Reply::Changed);
        }
        Command::Get(key) => return get(connection, key).await.map(Reply::Value),
        Command::Delete(key) => return delete(connection, key).await.map(Reply::Changed),
        Command::Scan => return scan(connection).await.map(Reply::Rows),
        Command::Stream(limit) => return stream(connection, limit).await.map(Reply::FirstRows),
        Command::Inspect => return inspect(connection).await.map(Reply::Residue),
        Command::Fail => "insert into kv (k, v) values (1, null)",
        Command::Slow => DB::WORDS.slow,
        Command::Raw(residue, spelling) => {
            // Written by this crate's grammar alone.
            let text = text(DB::BACKEND, residue, spelling).map(sqlx::AssertSqlSafe);
            return match text {
                Some(text) => connection.execute(text).await.map(|_| Reply::Done),
                None => Ok(Reply::Done),
            };
        }
        _ => return Ok(Reply::Done),
    };
    connection.execute(plain).await.map(|_| Reply::Done)
}

/// Returns the statement of an explicit begin.
pub fn begin_statement<DB: Dialect>(mode: BeginMode) -> Option<&'static str> {
    match mode {
        BeginMode::Plain => None,
        BeginMode::Immediate => Some(DB::WORDS.begin_immediate),
        BeginMode::Exclusive => Some(DB::WORDS.begin_exclusive),
        BeginMode::ReadOnly => DB::WORDS.begin_read_only,
    }
}

/// Writes the value, whether or not the key is there.
///
/// # Errors
/// Whatever sqlx answers.
///
/// # Cancel safety
/// As sqlx's `execute`: the statement may have been done.
pub async fn put<'c, DB: Dialect>(
    connection: impl Executor<'c, Database = DB>,
    key: Key,
    value: Value,
) -> Result<bool, sqlx::Error> {
    write(DB::WORDS.put, connection, key, value).await
}

/// Reads one key.
///
/// # Errors
/// Whatever sqlx answers.
///
/// # Cancel safety
/// Cancel safe: it only reads.
pub async fn get<'c, DB: Dialect>(
    connection: impl Executor<'c, Database = DB>,
    key: Key,
) -> Result<Option<Value>, sqlx::Error> {
    read(DB::WORDS.get, connection, key).await
}

/// Reads one key in order to write it in the same transaction.
///
/// # Errors
/// Whatever sqlx answers.
///
/// # Cancel safety
/// Cancel safe: what it locks is locked until the transaction ends.
pub async fn get_for_update<'c, DB: Dialect>(
    connection: impl Executor<'c, Database = DB>,
    key: Key,
) -> Result<Option<Value>, sqlx::Error> {
    read(DB::WORDS.get_for_update, connection, key).await
}

/// Carries out a [`Command::Swap`] on this connection: in a transaction of its own, inside one in a savepoint.
///
/// # Errors
/// Whatever sqlx answers.
///
/// # Cancel safety
/// As sqlx's transactions: dropped, it is rolled back, unless its commit is under way.
pub async fn swap<DB: Dialect>(connection: &mut DB::Connection, key: Key, value: Value) -> Result<Reply, sqlx::Error>
where
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    let mut transaction = connection.begin().await?;
    let found = get_for_update(&mut *transaction, key).await?;
    if found.is_some() {
        put(&mut *transaction, key, value).await?;
    }
    transaction.commit().await?;
    Ok(Reply::Value(found))
}

async fn read<'c, DB: Dialect>(
    sql: &'static str,
    connection: impl Executor<'c, Database = DB>,
    key: Key,
) -> Result<Option<Value>, sqlx::Error> {
    let row = DB::query(sql, &[i64::from(key.0)]).fetch_optional(connection).await?;
    Ok(row.map(|it| DB::pair(&it)).transpose()?.map(|it| it.1))
}

async fn insert<'c, DB: Dialect>(
    connection: impl Executor<'c, Database = DB>,
    key: Key,
    value: Value,
    conflict: Conflict,
) -> Result<bool, sqlx::Error> {
    write(DB::insert(conflict), connection, key, value).await
}

async fn write<'c, DB: Dialect>(
    sql: &'static str,
    connection: impl Executor<'c, Database = DB>,
    key: Key,
    value: Value,
) -> Result<bool, sqlx::Error> {
    let done = DB::query(sql, &[i64::from(key.0), i64::from(value)]).execute(connection).await?;
    Ok(DB::rows_affected(&done) > 0)
}

async fn delete<'c, DB: Dialect>(connection: impl Executor<'c, Database = DB>, key: Key) -> Result<bool, sqlx::Error> {
    let done = DB::query(DB::WORDS.delete, &[i64::from(key.0)]).execute(connection).await?;
    Ok(DB::rows_affected(&done) > 0)
}

async fn scan<'c, DB: Dialect>(connection: impl Executor<'c, Database = DB>) -> Result<Vec<(Key, Value)>, sqlx::Error> {
    let rows = connection.fetch_all(ALL_ROWS).await?;
    rows.iter().map(DB::pair).collect()
}

async fn stream<'c, DB: Dialect>(
    connection: impl Executor<'c, Database = DB>,
    limit: u8,
) -> Result<Vec<(Key, Value)>, sqlx::Error> {
    let mut stream = connection.fetch(ALL_ROWS);
    let mut rows = Vec::new();
    while rows.len() < usize::from(limit) {
        match stream.try_next().await? {
            Some(it) => rows.push(DB::pair(&it)?),
            None => break,
        }
    }
    Ok(rows)
}

async fn inspect<'c, DB: Dialect>(connection: impl Executor<'c, Database = DB>) -> Result<Leftovers, sqlx::Error> {
    Ok(DB::leftovers(&connection.fetch_one(DB::WORDS.inspect).await?))
}
