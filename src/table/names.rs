//! Names in a statement: in quotes, a column with its table.

use std::fmt;

use sqlx::{Database, QueryBuilder};

/// A name in quotes.
pub(super) struct Quoted(pub(super) &'static str);

impl fmt::Display for Quoted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.replace('"', "\"\""))
    }
}

/// A column with its table. Without the table, SQLite would take the quoted name of a missing column for a text
/// (<https://sqlite.org/quirks.html#dblquote>).
#[derive(Clone, Copy)]
pub(super) struct Qualified {
    pub(super) table: &'static str,
    pub(super) column: &'static str,
}

impl fmt::Display for Qualified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", Quoted(self.table), Quoted(self.column))
    }
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
