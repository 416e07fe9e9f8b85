//! The core workload on SQLite: what each single statement of the alphabet is, as SQL.
//!
//! Systems call [`statement`] with the connection (or transaction) that serves the actor; opening, closing and
//! transactions are their own. It goes through sqlx's public API and returns nothing: the port has the outcome.

use futures_util::TryStreamExt;
use sqlx::{Executor, Row, Sqlite};

use crate::database::row;
use crate::history::Reply;
use crate::plan::{BeginMode, Command, Conflict, Key, Residue, Value};
use crate::system::Port;

/// Runs a single-statement command on this connection, or on what stands for one. A command that is not a statement is left alone, and the port
/// records it as skipped.
///
/// # Cancel safety
/// Cancels of the plan land inside; the connection is as sqlx leaves it.
pub async fn statement<'c>(connection: impl Executor<'c, Database = Sqlite>, command: &Command, port: &mut Port) {
    match *command {
        Command::Put(key, value) => {
            port.ask(put(connection, key, value), |changed| Reply::Changed(*changed)).await;
        }
        Command::Insert(key, value, conflict) => {
            port.ask(insert(connection, key, value, conflict), |changed| Reply::Changed(*changed)).await;
        }
        Command::Get(key) => {
            port.ask(get(connection, key), |value| Reply::Value(*value)).await;
        }
        Command::Delete(key) => {
            port.ask(delete(connection, key), |changed| Reply::Changed(*changed)).await;
        }
        Command::Scan => {
            port.ask(scan(connection), |rows| Reply::Rows(rows.clone())).await;
        }
        Command::Stream(limit) => {
            port.ask(stream(connection, limit), |rows| Reply::FirstRows(rows.clone())).await;
        }
        Command::Fail => {
            port.run(connection.execute("insert into kv (k, v) values (1, null)")).await;
        }
        Command::Slow => {
            let count = "with recursive c (x) as (values (1) union all select x + 1 from c where x < 3000) \
                select count(*) from c";
            port.run(connection.execute(count)).await;
        }
        Command::Raw(residue) => {
            let sql = match residue {
                Residue::Transaction => "begin",
                Residue::Setting => "pragma recursive_triggers = on",
                Residue::TempTable => "create temp table if not exists leftover (x)",
            };
            port.run(connection.execute(sql)).await;
        }
        Command::Inspect => {
            let seen = |&(setting, temp_tables): &(bool, u32)| Reply::Residue { setting, temp_tables };
            port.ask(inspect(connection), seen).await;
        }
        _ => {}
    }
}

/// The statement that begins a transaction, for those that are not the system's own.
pub fn begin_statement(mode: BeginMode) -> Option<&'static str> {
    match mode {
        BeginMode::Plain => None,
        BeginMode::Immediate => Some("begin immediate"),
        BeginMode::Exclusive => Some("begin exclusive"),
    }
}

/// Writes the value, whether or not the key is there.
///
/// # Errors
/// Whatever sqlx answers.
///
/// # Cancel safety
/// As sqlx's `execute`: the statement may have been done.
pub async fn put<'c>(
    connection: impl Executor<'c, Database = Sqlite>,
    key: Key,
    value: Value,
) -> Result<bool, sqlx::Error> {
    write("insert into kv (k, v) values (?, ?) on conflict (k) do update set v = excluded.v", connection, key, value)
        .await
}

/// Reads one key.
///
/// # Errors
/// Whatever sqlx answers.
///
/// # Cancel safety
/// Cancel safe: it only reads.
pub async fn get<'c>(connection: impl Executor<'c, Database = Sqlite>, key: Key) -> Result<Option<Value>, sqlx::Error> {
    let value: Option<i64> =
        sqlx::query_scalar("select v from kv where k = ?").bind(i64::from(key.0)).fetch_optional(connection).await?;
    Ok(value.and_then(|it| Value::try_from(it).ok()))
}

async fn insert<'c>(
    connection: impl Executor<'c, Database = Sqlite>,
    key: Key,
    value: Value,
    conflict: Conflict,
) -> Result<bool, sqlx::Error> {
    let sql = match conflict {
        Conflict::Abort => "insert into kv (k, v) values (?, ?)",
        Conflict::Ignore => "insert or ignore into kv (k, v) values (?, ?)",
        Conflict::Replace => "insert or replace into kv (k, v) values (?, ?)",
        Conflict::Rollback => "insert or rollback into kv (k, v) values (?, ?)",
    };
    write(sql, connection, key, value).await
}

async fn write<'c>(
    sql: &'static str,
    connection: impl Executor<'c, Database = Sqlite>,
    key: Key,
    value: Value,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(sql).bind(i64::from(key.0)).bind(i64::from(value)).execute(connection).await?;
    Ok(done.rows_affected() > 0)
}

async fn delete<'c>(connection: impl Executor<'c, Database = Sqlite>, key: Key) -> Result<bool, sqlx::Error> {
    let done = sqlx::query("delete from kv where k = ?").bind(i64::from(key.0)).execute(connection).await?;
    Ok(done.rows_affected() > 0)
}

async fn scan<'c>(connection: impl Executor<'c, Database = Sqlite>) -> Result<Vec<(Key, Value)>, sqlx::Error> {
    let rows = connection.fetch_all("select k, v from kv order by k").await?;
    Ok(rows.iter().map(row).collect())
}

async fn stream<'c>(
    connection: impl Executor<'c, Database = Sqlite>,
    limit: u8,
) -> Result<Vec<(Key, Value)>, sqlx::Error> {
    let mut stream = connection.fetch("select k, v from kv order by k");
    let mut rows = Vec::new();
    while rows.len() < usize::from(limit) {
        match stream.try_next().await? {
            Some(it) => rows.push(row(&it)),
            None => break,
        }
    }
    Ok(rows)
}

async fn inspect<'c>(connection: impl Executor<'c, Database = Sqlite>) -> Result<(bool, u32), sqlx::Error> {
    let sql = "select recursive_triggers, (select count(*) from temp.sqlite_schema) from pragma_recursive_triggers";
    let row = connection.fetch_one(sql).await?;
    Ok((row.get::<i64, _>(0) != 0, row.get::<u32, _>(1)))
}
