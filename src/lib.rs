//! Sessions and scopes over sqlx in which a stale session cannot be used, and a broken one recovers where that is safe.
//!
//! # The problem
//!
//! Services hold repositories, repositories hold a database session. The session ends (a test fixture closes it, a
//! request ends, a future is cancelled) and a service still holds it. From then on the application answers "This Connection
//! is closed"; or worse, it runs on a connection that another request has borrowed meanwhile: in autocommit, or inside a
//! transaction that was never ended.
//!
//! # The smallest use
//!
//! A [`Scope`] is one unit of work. Services hold a [`Handle`], which names the scope and borrows its session for each
//! call; `&Handle` is a [`sqlx::Executor`], so queries are written as ever.
//!
//! ```
//! use unstale::{Handle, Policy, SqliteOptions, SqliteSource};
//!
//! struct Accounts {
//!     db: Handle<SqliteSource>,
//! }
//!
//! impl Accounts {
//!     async fn deposit(&self, account: i64, amount: i64) -> sqlx::Result<()> {
//!         sqlx::query("update account set balance = balance + ? where id = ?")
//!             .bind(amount)
//!             .bind(account)
//!             .execute(&self.db)
//!             .await?;
//!         Ok(())
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let sessions = SqliteOptions::from_url("sqlite::memory:")?.open(Policy::default()).await?;
//! # let setup = sessions.scope("setup");
//! # sqlx::raw_sql("create table account (id integer primary key, balance integer); insert into account values (1, 0)")
//! #     .execute(&setup).await?;
//! # setup.end().await?;
//!
//! let request = sessions.scope("request 17");
//! let accounts = Accounts { db: request.handle("Accounts") };
//! request.begin().await?;
//! accounts.deposit(1, 100).await?;
//! request.commit().await?;
//! request.end().await?;
//!
//! // The request is over, and `accounts` is still there.
//! let error = accounts.deposit(1, 5).await.expect_err("stale");
//! assert!(matches!(unstale::Error::of(&error), Some(unstale::Error::Stale(_))));
//! assert!(error.to_string().contains("the handle of `Accounts`"));
//! # Ok(())
//! # }
//! ```
//!
//! # When it goes wrong
//!
//! | what happens | what the caller sees |
//! | --- | --- |
//! | a handle is used after its scope | [`Error::Stale`]: whose it is, where it was obtained, for which call |
//! | the connection dies outside a transaction | that call's own error; the next call runs on a fresh session |
//! | the connection dies inside a transaction | [`Error::TransactionLost`] until `rollback()`; never autocommit |
//! | a statement ends the transaction by itself (`OR ROLLBACK`) | the same |
//! | a call is cancelled | nothing; the next call first asks the database how it ended |
//! | a commit is cancelled, or its answer lost | [`Error::CommitUnknown`], or an honest `rollback()` where the database can say |
//! | the database refuses a commit | [`Error::RolledBack`]; no transaction is left open |
//! | `BEGIN` or `COMMIT` as plain SQL | [`Error::TransactionControl`]; it is not run |
//! | a function needs the connection itself | [`Scope::with_connection`]; what it leaves open is rolled back, and told |
//! | an open row stream, and another call of the same task | [`Error::SessionBusy`] at once, not a deadlock |
//! | a scope is dropped | it is rolled back; what is left on its connection reaches no other scope |
//!
//! `commit()` answers `Ok` for *committed* alone, so that `?` cannot turn "rolled back" into success.
//!
//! # Services, repositories, tables
//!
//! A [`registry`] of services knows what each of them needs, and refuses a singleton that would hold something of one scope.
//!
//! A [`Repository`] gives operations a name, retries what provably was not done, and says what can be done about the rest.
//!
//! A [`Table`] is one with operations ready made for the rows that [`table!`] declares: insert, find, update, delete, count, and
//! lists with typed filters, order and pages. What it does not have is written with `query!` beside it.
//!
//! # Tests
//!
//! A [`Fixture`](testing::Fixture) lets everything that a test does join one transaction, which is gone after it.
//!
//! # Where connections come from
//!
//! [`SqliteSource`] and [`PgSource`] pool raw sqlx connections; [`AdoptedPool`] lends those of an existing `SqlitePool` or
//! `PgPool`. A [`source::Source`] of one's own is a seam for tests. Every limit is in [`Policy`]; what happened is in
//! [`Sessions::health`], in [`Sessions::listen`], and goes to `tracing` and `metrics`.
//!
//! # On PostgreSQL
//!
//! ```no_run
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use unstale::{PgOptions, Policy};
//! let sessions = PgOptions::from_url("postgres://shop@localhost/shop")?.open(Policy::default()).await?;
//! # Ok(())
//! # }
//! ```
//!
//! A begin is its own health check, and so is the first statement of a scope: if the connection turns out to have been
//! terminated, a statement that provably was not done is run on another one. A cancelled call costs the connection, and
//! in a transaction the transaction; the server is sent a cancel request. What statements leave on a connection is
//! undone before its next borrower sees it ([`Reset`]). COMMIT of a transaction that failed is [`Error::RolledBack`],
//! not `Ok`.
//!
//! # Features
//!
//! All are on by default, and at least one database is needed.
//!
//! | feature | what it brings |
//! | --- | --- |
//! | `sqlite` | [`SqliteSource`], [`AdoptedSqlitePool`], [`testing::Template`] |
//! | `postgres` | [`PgSource`], [`AdoptedPgPool`], [`testing::PgTemplate`] |
//! | `table` | [`table!`] and [`Table`] |
//! | `metrics` | the library's counters and times go to the `metrics` facade |
//!
//! # What is not here
//!
//! Joins, relations and migrations: those are sqlx's and the application's. What a trigger or a SQL function leaves on
//! a connection is not detected.

#[cfg(not(any(feature = "sqlite", feature = "postgres")))]
compile_error!("`unstale` needs a database: enable its feature `sqlite`, or `postgres`, or both");

mod atomic;
mod bounded;
mod call;
mod cell;
mod commit;
mod error;
mod events;
mod executor;
mod health;
mod lease;
mod lender;
mod lent;
mod metrics;
mod open;
mod policy;
pub mod registry;
mod repository;
mod resolver;
mod scope;
mod session;
mod sessions;
#[cfg(feature = "postgres")]
mod settings;
pub mod source;
mod statement;
mod sync;
#[cfg(feature = "table")]
pub mod table;
pub mod testing;
mod verbs;

pub use cell::Handle;
pub use error::{Ended, Error, Stale, TurnTimedOut};
pub use events::{Event, ListenerError, ListenerGuard};
pub use health::{Health, Holder, RecoveryTimes, Validity};
pub use policy::{OnLoss, Policy, PolicyError, Reset};
pub use repository::{Repository, RepositoryError};
pub use resolver::Resolver;
pub use scope::Scope;
pub use sessions::{DrainError, Sessions};
#[cfg(feature = "postgres")]
pub use source::{AdoptedPgPool, PgOpenError, PgOptions, PgSource};
pub use source::{AdoptedPool, Begin, ErrorClass, Isolation, Locking};
#[cfg(feature = "sqlite")]
pub use source::{AdoptedSqlitePool, OpenError, SqliteOptions, SqliteSource};
#[cfg(feature = "table")]
pub use table::{Page, Record, Select, Table};
