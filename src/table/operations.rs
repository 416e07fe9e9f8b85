//! A table and its operations.
//!
//! Each operation has a name, is retried where nothing was done, and says what a caller can do about an error, because it goes
//! through a [`Repository`]. The text of its statement is in `statements`.

use std::fmt;
use std::marker::PhantomData;

use sqlx::{ColumnIndex, Database, Decode, Executor, IntoArguments, QueryBuilder, Row, Type};

use super::bind::Bind;
use super::column::ValueOf;
use super::record::Stored;
use super::select::Select;
use super::statements;
use crate::cell::Handle;
use crate::error::Error;
use crate::repository::{Repository, RepositoryError};
use crate::source::{Source, SqlxConnection};

/// The rows of one table, as values of a [`Record`](super::Record): what a repository of one table is made of.
///
/// [`table!`](crate::table!) has an example. Errors name the table. It is a service as it stands:
/// `services.scoped(Table::<Campaign, _>::new)`. A value whose own `Encode` fails is a panic before anything is run, as with
/// sqlx's [`QueryBuilder`].
pub struct Table<R, S: Source> {
    repository: Repository<S>,
    record: PhantomData<fn() -> R>,
}

/// One page of the selected rows.
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

    /// For operations on the same table with statements of one's own.
    pub fn repository(&self) -> &Repository<S> {
        &self.repository
    }

    /// Inserts a row.
    ///
    /// # Errors
    /// As [`Repository::call`]; a row with the same key is a [`ErrorClass::Rejected`](crate::ErrorClass::Rejected).
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

    /// Replaces the values of the row with this row's key. False if there is no such row.
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

    /// How many rows are selected.
    ///
    /// # Errors
    /// As [`Repository::call`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn count(&self, select: Select<R, DB>) -> Result<u64, RepositoryError> {
        self.total("count", &select).await
    }

    /// All selected rows, however many there are.
    ///
    /// # Errors
    /// As [`Repository::call`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn list(&self, select: Select<R, DB>) -> Result<Vec<R>, RepositoryError> {
        self.fetch("list", || statements::list(&select)).await
    }

    /// The first of the selected rows, `size` at most. To continue after the last of them, without reading earlier rows again and
    /// without skipping any when rows are inserted or deleted meanwhile, select keys that are greater than its key:
    ///
    /// ```
    /// # use unstale::{Record, RepositoryError, SqliteSource, Table};
    /// # unstale::table! { struct Campaign in "campaign" { id: i64, name: String } }
    /// async fn behind(campaigns: &Table<Campaign, SqliteSource>, last: i64) -> Result<Vec<Campaign>, RepositoryError> {
    ///     campaigns.first(Campaign::all().filter(|row| row.id.more(last)), 20).await
    /// }
    /// ```
    ///
    /// # Errors
    /// [`Error::NoSuchPage`] if the size is 0 or more than the policy allows; otherwise as [`Repository::call`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn first(&self, select: Select<R, DB>, size: u32) -> Result<Vec<R>, RepositoryError> {
        self.part("first", &select, 1, size).await
    }

    /// A page of the selected rows, and how many rows all pages have. The first page has number 1; a page after the last is empty.
    ///
    /// As long as nothing changes, each row is on exactly one page. Counting and reading are two statements, which agree inside a
    /// transaction.
    ///
    /// # Errors
    /// [`Error::NoSuchPage`] if the number or the size is 0, or the size more than the policy allows; otherwise as
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
            // All rows are read before the first is decoded, so that a decoding error leaves no reply half read.
            async move { query.build().fetch_all(db).await?.iter().map(R::from_row).collect() }
        };
        self.repository.call(operation, fetch).await
    }

    /// Runs a statement, and returns how many rows it changed.
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
