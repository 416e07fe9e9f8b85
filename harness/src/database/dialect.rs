//! The SQL of each database for the core workload.

use sqlx::query::Query;
use sqlx::{Database, IntoArguments, Row};
#[cfg(feature = "postgres")]
use sqlx::{Postgres, postgres::PgRow};
#[cfg(feature = "sqlite")]
use sqlx::{Sqlite, sqlite::SqliteRow};

use crate::history::Leftovers;
use crate::plan::{Backend, Conflict, Key, Value};

/// Every row, in the order of its key.
pub(crate) const ALL_ROWS: &str = "select k, v from kv order by k";

/// A database on which the core workload can run.
pub trait Dialect: Database<Arguments: IntoArguments<Self>> {
    /// What it is one of.
    const BACKEND: Backend;

    /// Its statements.
    const WORDS: Words;

    /// The statement that inserts a row.
    fn insert(conflict: Conflict) -> &'static str;

    /// A statement with its numbers.
    fn query(sql: &'static str, numbers: &[i64]) -> Query<'static, Self, Self::Arguments>;

    /// How many rows a statement changed.
    fn rows_affected(done: &Self::QueryResult) -> u64;

    /// A row of the workload's table.
    ///
    /// # Errors
    /// The table is the system's own, and a column is of another type.
    fn pair(row: &Self::Row) -> Result<(Key, Value), sqlx::Error>;

    /// The answer to [`Words::inspect`].
    fn leftovers(row: &Self::Row) -> Leftovers;
}

/// The statements that differ between databases.
#[derive(Clone, Copy, Debug)]
pub struct Words {
    /// Writes a row, whether or not it is there.
    pub put: &'static str,
    /// Reads one.
    pub get: &'static str,
    /// Reads one in order to write it: others that would do the same wait for the end of the transaction, where that is not so anyway.
    pub get_for_update: &'static str,
    /// Deletes one.
    pub delete: &'static str,
    /// Takes long.
    pub slow: &'static str,
    /// Reads what raw SQL has left on the connection.
    pub inspect: &'static str,
    /// Two explicit ways to begin a transaction.
    pub begin_immediate: &'static str,
    /// The other one.
    pub begin_exclusive: &'static str,
    /// Begins a transaction that is read-only, where one statement does it.
    pub begin_read_only: Option<&'static str>,
}

#[cfg(feature = "sqlite")]
impl Dialect for Sqlite {
    const BACKEND: Backend = Backend::Sqlite;

    const WORDS: Words = Words {
        put: "insert into kv (k, v) values (?, ?) on conflict (k) do update set v = excluded.v",
        get: "select k, v from kv where k = ?",
        get_for_update: "select k, v from kv where k = ?",
        delete: "delete from kv where k = ?",
        slow: "with recursive c (x) as (values (1) union all select x + 1 from c where x < 3000) select count(*) from c",
        inspect: "select recursive_triggers, (select count(*) from temp.sqlite_schema), \
            (select count(*) from pragma_database_list where name = 'leftover') from pragma_recursive_triggers",
        begin_immediate: "begin immediate",
        begin_exclusive: "begin exclusive",
        begin_read_only: None,
    };

    fn insert(conflict: Conflict) -> &'static str {
        match conflict {
            Conflict::Abort => "insert into kv (k, v) values (?, ?)",
            Conflict::Ignore => "insert or ignore into kv (k, v) values (?, ?)",
            Conflict::Replace => "insert or replace into kv (k, v) values (?, ?)",
            Conflict::Rollback => "insert or rollback into kv (k, v) values (?, ?)",
        }
    }

    fn query(sql: &'static str, numbers: &[i64]) -> Query<'static, Self, Self::Arguments> {
        numbers.iter().fold(sqlx::query(sql), |query, number| query.bind(*number))
    }

    fn rows_affected(done: &Self::QueryResult) -> u64 {
        done.rows_affected()
    }

    fn pair(row: &SqliteRow) -> Result<(Key, Value), sqlx::Error> {
        Ok(pair(row.try_get(0)?, row.try_get(1)?))
    }

    fn leftovers(row: &SqliteRow) -> Leftovers {
        let (setting, attached) = (row.get::<i64, _>(0) != 0, row.get::<i64, _>(2) != 0);
        Leftovers { setting, temp_tables: row.get(1), attached, ..Leftovers::default() }
    }
}

#[cfg(feature = "postgres")]
impl Dialect for Postgres {
    const BACKEND: Backend = Backend::Postgres;

    const WORDS: Words = Words {
        put: "insert into kv (k, v) values ($1, $2) on conflict (k) do update set v = excluded.v",
        get: "select k, v from kv where k = $1",
        get_for_update: "select k, v from kv where k = $1 for update",
        delete: "delete from kv where k = $1",
        slow: "select pg_sleep(0.02)",
        inspect: "select current_setting('default_statistics_target') = '77', \
            (select count(*) from pg_class where relpersistence = 't' and relnamespace = pg_my_temp_schema() \
                and relkind = 'r'), \
            (select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()), \
            exists (select from pg_listening_channels() it where it = 'leftover'), \
            exists (select from pg_cursors where name = 'leftover'), \
            exists (select from pg_prepared_statements where name = 'leftover')",
        begin_immediate: "begin read write",
        begin_exclusive: "begin isolation level read committed",
        begin_read_only: Some("begin read only"),
    };

    /// Of SQLite's conflict clauses it has one; the others are not asked for.
    fn insert(conflict: Conflict) -> &'static str {
        match conflict {
            Conflict::Abort | Conflict::Replace | Conflict::Rollback => "insert into kv (k, v) values ($1, $2)",
            Conflict::Ignore => "insert into kv (k, v) values ($1, $2) on conflict do nothing",
        }
    }

    fn query(sql: &'static str, numbers: &[i64]) -> Query<'static, Self, Self::Arguments> {
        numbers.iter().fold(sqlx::query(sql), |query, number| query.bind(*number))
    }

    fn rows_affected(done: &Self::QueryResult) -> u64 {
        done.rows_affected()
    }

    fn pair(row: &PgRow) -> Result<(Key, Value), sqlx::Error> {
        Ok(pair(row.try_get(0)?, row.try_get(1)?))
    }

    fn leftovers(row: &PgRow) -> Leftovers {
        let count = |at| u32::try_from(row.get::<i64, _>(at)).unwrap_or(u32::MAX);
        Leftovers {
            setting: row.get(0),
            temp_tables: count(1),
            locks: count(2),
            channel: row.get(3),
            cursor: row.get(4),
            prepared: row.get(5),
            ..Leftovers::default()
        }
    }
}

fn pair(key: i64, value: i64) -> (Key, Value) {
    (Key(u8::try_from(key).unwrap_or(u8::MAX)), Value::try_from(value).unwrap_or(Value::MAX))
}
