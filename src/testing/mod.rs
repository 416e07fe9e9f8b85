//! The test fixture: a test's own isolated state, on one connection that everything in the test joins.
//!
//! ```
//! use unstale::testing::{Fixture, Template};
//! use unstale::{Sessions, SqliteSource};
//!
//! static DATABASE: Template = Template::new("create table account (id integer primary key, balance integer)");
//!
//! /// The application: it commits, and knows nothing of tests.
//! async fn open_account(sessions: &Sessions<SqliteSource>, id: i64) -> Result<(), Box<dyn std::error::Error>> {
//!     let scope = sessions.scope("open an account");
//!     scope.begin().await?;
//!     sqlx::query("insert into account values (?, 0)").bind(id).execute(&scope).await?;
//!     scope.commit().await?;
//!     scope.end().await?;
//!     Ok(())
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let test = DATABASE.fixture().await?;
//! open_account(test.sessions(), 1).await?;
//! let look = test.sessions().scope("look");
//! let accounts: i64 = sqlx::query_scalar("select count(*) from account").fetch_one(&look).await?;
//! assert_eq!(accounts, 1);
//! drop(look);
//! test.end().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # What a joined scope sees
//!
//! The test has a transaction of its own. A scope's `begin` sets a savepoint in it and its `commit` releases that savepoint: what was
//! committed survives the rollback of a later transaction, and is gone after the test. Scopes take turns: a scope in a transaction
//! has the connection until its end, and a scope that waits for longer than `acquire_timeout` gets an error that names the other.
//!
//! # When it goes wrong
//!
//! | what happens | what the test sees |
//! | --- | --- |
//! | a scope waits for another that does not end its transaction | [`Error::TurnTimedOut`]: which scope waits, for which, since when |
//! | a statement ends the test's own transaction (`OR ROLLBACK`) | [`Error::IsolationLost`] from then on, and at the end |
//! | the connection dies | the same |
//! | a scope is still open at the end | [`FixtureError::StillOpen`] with its name, and where it was opened |
//! | the test panics | everything is rolled back, and the registry has its own sessions again |
//! | the fixture is dropped and its isolation was lost | a panic, unless the test panics already |
//! | two tests join one registry | [`FixtureError::RegistryInUse`] naming the other test |
//!
//! # What is not shown
//!
//! The behaviour of real transactions: constraints that are deferred to the commit, locks and isolation between two scopes,
//! read-only transactions, a commit that is refused. For these open a [`Template::database`] without a fixture.

mod error;
mod fixture;
#[cfg(feature = "postgres")]
mod pg_keeper;
#[cfg(feature = "postgres")]
mod pg_template;
#[cfg(feature = "sqlite")]
mod sqlite_template;

pub use error::FixtureError;
pub use fixture::Fixture;
#[cfg(feature = "postgres")]
pub use pg_template::{PgDatabase, PgTemplate};
#[cfg(feature = "sqlite")]
pub use sqlite_template::Template;

#[cfg(doc)]
use crate::Error;
