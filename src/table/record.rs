//! Records: types whose values are the rows of one table.
//!
//! Owns what is known of such a type: which table, which columns, how a row is bound. Reading a row is sqlx's [`FromRow`], and
//! [`table!`](crate::table!) declares one. The application's migrations make and change the table itself.

use sqlx::{Database, FromRow};

use super::bind::Bind;
use super::select::Select;

/// A type whose values are the rows of one table. [`table!`](crate::table!) declares it.
pub trait Record: Sized + Send + Unpin + 'static {
    /// The type of the key.
    type Key: Send + Sync;
    /// The columns, each a field under its own name.
    type Columns: 'static;
    /// The table.
    const TABLE: &'static str;
    /// The names of the columns, the key first.
    const NAMES: &'static [&'static str];
    /// The columns.
    const COLUMNS: Self::Columns;

    /// Every row of the table, to be narrowed down and sorted.
    fn all<DB: Database>() -> Select<Self, DB> {
        Select::new()
    }
}

/// A record that a database of this kind can store.
pub trait Stored<DB: Database>: Record<Key: Bind<DB>> + for<'r> FromRow<'r, DB::Row> {
    /// The values of a row, in the order of [`Record::NAMES`].
    fn values(&self) -> Vec<&dyn Bind<DB>>;
}
