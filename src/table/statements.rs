//! The statements: their text, and the values bound to it.
//!
//! Names of the table and its columns are put in quotes, and whatever a caller gives is bound. Pure: [`Table`](super::Table) runs
//! them, and what comes after `where` and `order by` is [`Select`]'s.

use std::fmt;

use sqlx::{Database, QueryBuilder};

use super::bind::Bind;
use super::names::{Qualified, Quoted, push_list};
use super::record::{Record, Stored};
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
    select.push_order(column::<R>(R::NAMES[0]), &mut query);
    query
}

/// At most `rows` rows of the list, without the first `before`.
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
        query.push(column::<R>(name));
    });
    query.push(" from ").push(Quoted(R::TABLE));
    query
}

fn push_key<R: Record, DB: Database>(query: &mut QueryBuilder<DB>, key: &dyn Bind<DB>) {
    query.push(" where ").push(column::<R>(R::NAMES[0])).push(" = ");
    key.bind(query);
}

fn column<R: Record>(name: &'static str) -> Qualified {
    Qualified { table: R::TABLE, column: name }
}

/// Its SQL, without the bound values.
impl<R: Record, DB: Database> fmt::Debug for Select<R, DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&list(self).into_string())
    }
}
