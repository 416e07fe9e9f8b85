//! Ready-made operations for a table: insert, find, update, delete, count, and lists with filters, order and pages.
//!
//! Owns the operations. That each has a name, is tried again where nothing was done, and says what can be done about the rest
//! is the [`Repository`]'s, through which everything here goes. What is not here is written with `query!` on the same
//! [`Repository`]: joins, aggregates, keys that the database draws, changes of many rows at once.

mod record;
mod select;
mod statements;

pub use record::{Bind, Record, Stored, column_name};
pub use select::{Column, Filter, NeverNull, Nullness, Order, Select, Text, ValueOf};

use std::fmt;
use std::marker::PhantomData;

use sqlx::{ColumnIndex, Database, Decode, Executor, IntoArguments, QueryBuilder, Row, Type};

use crate::cell::Handle;
use crate::error::Error;
use crate::repository::{Repository, RepositoryError};
use crate::source::{Source, SqlxConnection};

/// The rows of one table, as values of a [`Record`]: what a repository of one table is made of.
///
/// [`table!`](crate::table!) has an example. Errors name the table. It is a service as it stands:
/// `services.scoped(Table::<Campaign, _>::new)`. A value whose own `Encode` fails is a panic before anything is run, as with
/// sqlx's [`QueryBuilder`].
pub struct Table<R, S: Source> {
    repository: Repository<S>,
    record: PhantomData<fn() -> R>,
}

/// Some of the rows that were asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<R> {
    /// The rows of this page.
    pub rows: Vec<R>,
    /// How many rows all pages have together.
    pub total: u64,
    /// How many pages there are.
    pub pages: u64,
}

impl<R, S, DB> Table<R, S>
where
    R: Stored<DB>,
    S: Source,
    S::Connection: SqlxConnection<Database = DB>,
    DB: Database,
    DB::Arguments: IntoArguments<DB>,
    i64: Bind<DB> + Type<DB> + for<'r> Decode<'r, DB>,
    usize: ColumnIndex<DB::Row>,
    for<'c> &'c Handle<S>: Executor<'c, Database = DB>,
{
    /// The table over the scope of this handle.
    pub fn new(db: Handle<S>) -> Self {
        Self { repository: Repository::new(R::TABLE, db), record: PhantomData }
    }

    /// For what is not here: operations on the same table with statements of one's own.
    pub fn repository(&self) -> &Repository<S> {
        &self.repository
    }

    /// Inserts a row.
    ///
    /// # Errors
    /// As [`Repository::call`]; that there is a row with this key is a [`Class::Mistake`](crate::Class::Mistake).
    ///
    /// # Cancel safety
    /// Safe for the session; whether it was done is unknown.
    pub async fn insert(&self, row: &R) -> Result<(), RepositoryError> {
        self.execute("insert", || statements::insert(row)).await.map(drop)
    }

    /// The row with this key.
    ///
    /// # Errors
    /// As [`Repository::call`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn find(&self, key: impl ValueOf<R::Key>) -> Result<Option<R>, RepositoryError> {
        let key = key.into_value();
        Ok(self.fetch("find", || statements::find::<R, DB>(&key)).await?.pop())
    }

    /// Gives the row with the key of this one the values of this one. False if there is no such row.
    ///
    /// # Errors
    /// As [`Repository::call`].
    ///
    /// # Cancel safety
    /// Safe for the session; whether it was done is unknown.
    pub async fn update(&self, row: &R) -> Result<bool, RepositoryError> {
        Ok(self.execute("update", || statements::update(row)).await? > 0)
    }

    /// Deletes the row with this key. False if there is no such row.
    ///
    /// # Errors
    /// As [`Repository::call`].
    ///
    /// # Cancel safety
    /// Safe for the session; whether it was done is unknown.
    pub async fn delete(&self, key: impl ValueOf<R::Key>) -> Result<bool, RepositoryError> {
        let key = key.into_value();
        Ok(self.execute("delete", || statements::delete::<R, DB>(&key)).await? > 0)
    }

    /// How many rows there are of those that are asked for.
    ///
    /// # Errors
    /// As [`Repository::call`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn count(&self, select: Select<R, DB>) -> Result<u64, RepositoryError> {
        self.total("count", &select).await
    }

    /// All rows that are asked for, however many there are.
    ///
    /// # Errors
    /// As [`Repository::call`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn list(&self, select: Select<R, DB>) -> Result<Vec<R>, RepositoryError> {
        self.fetch("list", || statements::list(&select)).await
    }

    /// The first of the rows that are asked for, `size` at most. To go on behind the last one of them without reading again
    /// what was before, and without losing count when rows come and go meanwhile, ask for keys that are more than its key:
    ///
    /// ```
    /// # use unstale::{Record, RepositoryError, SqliteSource, Table};
    /// # unstale::table! { struct Campaign in "campaign" { id: i64, name: String } }
    /// async fn behind(campaigns: &Table<Campaign, SqliteSource>, last: i64) -> Result<Vec<Campaign>, RepositoryError> {
    ///     campaigns.first(Campaign::all().filter(|it| it.id.more(last)), 20).await
    /// }
    /// ```
    ///
    /// # Errors
    /// [`Error::NoSuchPage`] if the size is 0 or more than the policy allows; else as [`Repository::call`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn first(&self, select: Select<R, DB>, size: u32) -> Result<Vec<R>, RepositoryError> {
        self.part("first", &select, 1, size).await
    }

    /// A page of the rows that are asked for, and how many there are on all pages. The first page has number 1; one behind the
    /// last is empty.
    ///
    /// As long as nothing changes, each row is on exactly one page. What is counted and what is read are two statements, which
    /// agree inside a transaction.
    ///
    /// # Errors
    /// [`Error::NoSuchPage`] if the number or the size is 0, or the size more than the policy allows; else as
    /// [`Repository::call`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn page(&self, select: Select<R, DB>, number: u32, size: u32) -> Result<Page<R>, RepositoryError> {
        let rows = self.part("page", &select, number, size).await?;
        let total = self.total("page", &select).await?;
        Ok(Page { rows, total, pages: total.div_ceil(u64::from(size)) })
    }

    async fn part(
        &self,
        operation: &'static str,
        select: &Select<R, DB>,
        number: u32,
        size: u32,
    ) -> Result<Vec<R>, RepositoryError> {
        let max = self.repository.db().lender().policy().page_rows_max;
        if number == 0 || size == 0 || size > max {
            let refused = |_| async move { Err(Error::NoSuchPage { number, size, max }.into_sqlx()) };
            return self.repository.call(operation, refused).await;
        }
        let before = i64::from(number - 1).saturating_mul(i64::from(size));
        self.fetch(operation, || statements::part(select, i64::from(size), before)).await
    }

    async fn total(&self, operation: &'static str, select: &Select<R, DB>) -> Result<u64, RepositoryError> {
        let count = |db| {
            let mut query = statements::count(select);
            async move { query.build().fetch_one(db).await?.try_get::<i64, usize>(0) }
        };
        let total = self.repository.call(operation, count).await?;
        Ok(u64::try_from(total).expect("there are no fewer rows than none"))
    }

    /// Reads the rows of a statement.
    async fn fetch(
        &self,
        operation: &'static str,
        statement: impl Fn() -> QueryBuilder<DB>,
    ) -> Result<Vec<R>, RepositoryError> {
        let fetch = |db| {
            let mut query = statement();
            // Read to the end before the first is looked at, so that one that cannot be decoded cuts nothing off.
            async move { query.build().fetch_all(db).await?.iter().map(R::from_row).collect() }
        };
        self.repository.call(operation, fetch).await
    }

    /// Runs a statement, and says how many rows it changed.
    async fn execute(
        &self,
        operation: &'static str,
        statement: impl Fn() -> QueryBuilder<DB>,
    ) -> Result<u64, RepositoryError> {
        let execute = |db| {
            let mut query = statement();
            async move { query.build().execute(db).await }
        };
        let done = self.repository.call(operation, execute).await?;
        Ok(S::Connection::rows_affected(&done))
    }
}

impl<R, S: Source> Clone for Table<R, S> {
    fn clone(&self) -> Self {
        Self { repository: self.repository.clone(), record: PhantomData }
    }
}

impl<R, S: Source> fmt::Debug for Table<R, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "table of {:?}", self.repository)
    }
}
