//! The source: where connections come from and go back to. The seam under the library.
//!
//! | file | what it owns |
//! | --- | --- |
//! | `lending` | [`Source`], the trait of sources, which lend connections |
//! | `connection` | [`Connection`] and what some databases can do beyond it |
//! | `condition`, `control`, `error`, `settings` | the values that pass between the two and the library |
//! | `runtime` | time, tasks and randomness where the source has none of its own |
//! | `pool`, `connect_limiter`, `reaper` | idle connections of the library's own sources, how many are opened at a time, closing old ones |
//! | `sqlx_connection` | the statements and errors of a sqlx connection |
//! | `url` | what may be shown of a URL |
//! | `sqlite`, `postgres`, `adopted` | the sources |
//!
//! A source knows nothing of a connection's use: transactions and their states belong to the session.

mod adopted;
mod condition;
mod connect_limiter;
mod connection;
mod control;
mod error;
mod lending;
mod pool;
#[cfg(feature = "postgres")]
pub(crate) mod postgres;
mod reaper;
mod runtime;
mod settings;
#[cfg(feature = "sqlite")]
mod sqlite;
mod sqlx_connection;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod url;

#[cfg(feature = "postgres")]
pub use adopted::AdoptedPgPool;
#[cfg(feature = "sqlite")]
pub use adopted::AdoptedSqlitePool;
pub use adopted::{AdoptedLease, AdoptedPool};
pub use condition::{AcquireError, Condition, Lent, ServerRun, Trace, Usage};
pub use connection::{Connection, Fate, Number, Numbered, Serve};
pub use control::{Begin, Control, Isolation, Locking};
pub use error::{ConnectionError, ErrorClass};
pub use lending::Source;
#[cfg(feature = "postgres")]
pub use postgres::{PgOpenError, PgOptions, PgSource};
pub use runtime::TaskId;
pub use settings::Settings;
#[cfg(feature = "sqlite")]
pub use sqlite::{OpenError, SqliteOptions, SqliteSource};
pub use sqlx_connection::SqlxConnection;

pub use crate::statement::Effect;
