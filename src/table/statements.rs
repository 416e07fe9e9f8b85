//! The statements: their text, and the values bound to it.
//!
//! Names of the table and its columns are put in quotes, and whatever a caller gives is bound. Pure: who runs them is
//! [`Table`](super::Table), and what comes after `where` and `order by` is [`Select`]'s.

use std::fmt;

use sqlx::{Database, QueryBuilder};

use super::record::{Bind, Record, Stored};
use super::select::Select;

pub(super) fn insert<R: Stored<DB>, DB: Database>(row: &R) -> QueryBuilder<DB> {
    let mut query = QueryBuilder::new("insert into ");
    query.push(Quoted(R::TABLE)).push(" (");
    push_list(&mut query, R::NAMES, |query, name| {
        query.push(Quoted(name));
    });
    query.push(") values (");
    push_list(&mut query, row.values(), |query, value| value.bind(query));
    query.push(")");
    query
}

/// All columns but the key, of the row with its key.
pub(super) fn update<R: Stored<DB>, DB: Database>(row: &R) -> QueryBuilder<DB> {
    let mut query = QueryBuilder::new("update ");
    query.push(Quoted(R::TABLE)).push(" set ");
    let values = row.values();
    push_list(&mut query, R::NAMES.iter().zip(&values).skip(1), |query, (name, value)| {
        query.push(Quoted(name)).push(" = ");
        value.bind(query);
    });
    push_key::<R, DB>(&mut query, values[0]);
    query
}

pub(super) fn delete<R: Stored<DB>, DB: Database>(key: &R::Key) -> QueryBuilder<DB> {
    let mut query = QueryBuilder::new("delete from ");
    query.push(Quoted(R::TABLE));
    push_key::<R, DB>(&mut query, key);
    query
}

pub(super) fn find<R: Stored<DB>, DB: Database>(key: &R::Key) -> QueryBuilder<DB> {
    let mut query = select_rows::<R, DB>();
    push_key::<R, DB>(&mut query, key);
    query
}

pub(super) fn count<R: Record, DB: Database>(select: &Select<R, DB>) -> QueryBuilder<DB> {
    let mut query = QueryBuilder::new("select count(*) from ");
    query.push(Quoted(R::TABLE));
    select.push_where(&mut query);
    query
}

pub(super) fn list<R: Record, DB: Database>(select: &Select<R, DB>) -> QueryBuilder<DB> {
    let mut query = select_rows::<R, DB>();
    select.push_where(&mut query);
    select.push_order(&mut query);
    query
}

/// So many rows of the list at most, without so many before them.
pub(super) fn part<R: Record, DB: Database>(select: &Select<R, DB>, rows: i64, before: i64) -> QueryBuilder<DB>
where
    i64: Bind<DB>,
{
    let mut query = list(select);
    query.push(" limit ");
    rows.bind(&mut query);
    query.push(" offset ");
    before.bind(&mut query);
    query
}

fn select_rows<R: Record, DB: Database>() -> QueryBuilder<DB> {
    let mut query = QueryBuilder::new("select ");
    push_list(&mut query, R::NAMES, |query, name| {
        query.push(Qualified::of::<R>(name));
    });
    query.push(" from ").push(Quoted(R::TABLE));
    query
}

fn push_key<R: Record, DB: Database>(query: &mut QueryBuilder<DB>, key: &dyn Bind<DB>) {
    query.push(" where ").push(Qualified::of::<R>(R::NAMES[0])).push(" = ");
    key.bind(query);
}

/// Pushes these with commas between them.
pub(super) fn push_list<DB: Database, I: IntoIterator>(
    query: &mut QueryBuilder<DB>,
    items: I,
    push: impl Fn(&mut QueryBuilder<DB>, I::Item),
) {
    for (at, item) in items.into_iter().enumerate() {
        query.push(if at == 0 { "" } else { ", " });
        push(query, item);
    }
}

/// A name in quotes.
struct Quoted(&'static str);

impl fmt::Display for Quoted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.replace('"', "\"\""))
    }
}

/// A column with its table. Without, SQLite would take the quoted name of a column that is not there for a text
/// (<https://sqlite.org/quirks.html#dblquote>).
pub(super) struct Qualified {
    table: &'static str,
    column: &'static str,
}

impl Qualified {
    pub(super) fn of<R: Record>(column: &'static str) -> Self {
        Self { table: R::TABLE, column }
    }
}

impl fmt::Display for Qualified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", Quoted(self.table), Quoted(self.column))
    }
}
