//! A small application over `unstale`: a warehouse that counts its articles.
//!
//! Owns the schema, one repository, one service over it, and the list of services. The command line is `main.rs`;
//! `tests/receiving.rs` shows a test of the application, `tests/harness.rs` puts it under the harness.

use unstale::registry::{BuildError, Dep, Registry};
use unstale::{Handle, Repository, RepositoryError, Sessions, SqliteSource, Table};

/// What the database begins with.
pub const SCHEMA: &str = "create table if not exists stock (article integer primary key, count integer not null)";

unstale::table! {
    /// How many there are of an article.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Stock in "stock" {
        /// Which one.
        pub article: i64,
        /// How many there are.
        pub count: i64,
    }
}

/// The repository.
pub struct Stocks(Table<Stock, SqliteSource>);

impl Stocks {
    /// Over the scope of this handle.
    pub fn new(db: Handle<SqliteSource>) -> Self {
        Self(Table::new(db))
    }

    /// The ready-made operations.
    pub fn table(&self) -> &Table<Stock, SqliteSource> {
        &self.0
    }

    /// How many there are of the article, if it is known.
    ///
    /// # Errors
    /// As [`Repository::call`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn count(&self, article: i64) -> Result<Option<u32>, RepositoryError> {
        Ok(self.0.find(article).await?.and_then(|it| it.count.try_into().ok()))
    }

    /// There are this many of the article from now on.
    ///
    /// # Errors
    /// As [`Repository::call`].
    ///
    /// # Cancel safety
    /// Safe for the session; whether it was done is unknown.
    pub async fn set(&self, article: i64, count: i64) -> Result<(), RepositoryError> {
        let repository: &Repository<SqliteSource> = self.0.repository();
        let upsert = "insert into stock values (?, ?) on conflict (article) do update set count = excluded.count";
        let set = |db| sqlx::query(upsert).bind(article).bind(count).execute(db);
        repository.call("set", set).await.map(drop)
    }
}

/// How much fits.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The most of one article.
    pub most: i64,
}

/// Takes goods in.
pub struct Receiving {
    stocks: Dep<Stocks>,
    limits: Dep<Limits>,
}

impl Receiving {
    /// Adds to what is there, as far as it fits; how much was taken in. In the transaction of its scope, if there is one.
    ///
    /// # Errors
    /// As [`Repository::call`].
    ///
    /// # Cancel safety
    /// As that of a statement: whether the last one was done is unknown.
    pub async fn take_in(&self, article: i64, count: i64) -> Result<i64, RepositoryError> {
        let there = self.stocks.table().find(article).await?.map_or(0, |it| it.count);
        let taken = count.min(self.limits.most - there).max(0);
        self.stocks.set(article, there + taken).await?;
        Ok(taken)
    }
}

/// The services of the application. What belongs to a scope takes its handle; what everybody shares could not.
///
/// # Errors
/// If they do not fit together.
pub fn services(sessions: Sessions<SqliteSource>, limits: Limits) -> Result<Registry<SqliteSource>, BuildError> {
    let mut services = Registry::builder();
    services.instance(sessions);
    services.instance(limits);
    services.scoped(Stocks::new);
    services.scoped(|stocks: Dep<Stocks>, limits: Dep<Limits>| Receiving { stocks, limits });
    services.build()
}

/// One request: takes goods in, in a transaction of its own.
///
/// # Errors
/// Whatever a service or the scope answers; then nothing was taken in, unless the commit is unknown.
///
/// # Cancel safety
/// Cancel safe: what was not committed is rolled back.
pub async fn receive(
    services: &Registry<SqliteSource>,
    article: i64,
    count: i64,
) -> Result<i64, Box<dyn std::error::Error + Send + Sync>> {
    let scope = services.resolve::<Sessions<SqliteSource>>().await?.scope("receive");
    scope.begin().await?;
    let taken = services.enter(&scope).resolve::<Receiving>().await?.take_in(article, count).await?;
    scope.commit().await?;
    Ok(taken)
}
