//! Databases in memory for tests, each a copy of one that is made once.
//!
//! Owns the copying. What a test does on its copy, and whether it joins a fixture, is not known here.

use std::panic::Location;

use futures_util::FutureExt;
use sqlx::sqlite::{SqliteConnectOptions, SqliteOwnedBuf};
use sqlx::{Connection, SqliteConnection};
use tokio::sync::OnceCell;

use super::error::FixtureError;
use super::fixture::Fixture;
use crate::policy::Policy;
use crate::sessions::Sessions;
use crate::source::{SqliteOptions, SqliteSource};

/// The initial state of every test's database. It is made once, by the first test that needs it, and copied for each test, so that
/// tests run in parallel.
pub struct Template {
    sql: &'static str,
    image: OnceCell<Vec<u8>>,
}

impl Template {
    /// A template that this SQL makes: the schema, and rows that every test needs. With migrations in files,
    /// `include_str!` them.
    pub const fn new(sql: &'static str) -> Self {
        Self { sql, image: OnceCell::const_new() }
    }

    /// A test on a copy of its own. See [`Fixture`].
    ///
    /// # Errors
    /// [`FixtureError::Template`] with what is wrong in the SQL, or those of [`Fixture::begin`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    #[track_caller]
    pub fn fixture(&self) -> impl Future<Output = Result<Fixture<SqliteSource>, FixtureError>> + Send {
        let opened = Location::caller();
        async move { Fixture::begin_at(self.database(Policy::for_tests()).await?, opened).await }
    }

    /// Sessions over a copy, for a test that needs real transactions. There is one connection, which a scope keeps until it ends;
    /// the copy is gone with the last of these sessions.
    ///
    /// # Errors
    /// [`FixtureError::Template`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn database(&self, policy: Policy) -> Result<Sessions<SqliteSource>, FixtureError> {
        let image = self.image.get_or_try_init(|| self.make()).await?;
        let copy = image.clone();
        let options = SqliteOptions::memory(in_memory()).on_open(move |connection| {
            let copy = SqliteOwnedBuf::try_from(&*copy);
            async move { connection.deserialize(None, copy?, false).await }.boxed()
        });
        Ok(options.open(policy).await?)
    }

    async fn make(&self) -> Result<Vec<u8>, FixtureError> {
        let made = async {
            let mut connection = SqliteConnection::connect_with(&in_memory()).await?;
            sqlx::raw_sql(self.sql).execute(&mut connection).await?;
            let image = connection.serialize(None).await?;
            connection.close().await?;
            Ok(image.as_ref().to_vec())
        };
        made.await.map_err(|it: sqlx::Error| FixtureError::Template(Box::new(it)))
    }
}

fn in_memory() -> SqliteConnectOptions {
    SqliteConnectOptions::new().in_memory(true)
}
