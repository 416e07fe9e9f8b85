//! A fresh database per plan, observed from below the system.
//!
//! | file | owns |
//! | --- | --- |
//! | `dialect`, `failure` | the SQL of each database, and the meaning of its errors |
//! | `place` | the trait of a plan's database |
//! | `sqlite` | SQLite, watched by driver hooks |
//! | `postgres`, `observer`, `faults` | PostgreSQL, observed on the wire, and its faults |
//! | `of_plan` | the database of one plan, of any kind |
//! | `for_sqlite`, `for_postgres` | the connections and options that systems on each receive |

mod dialect;
mod failure;
#[cfg(feature = "postgres")]
mod faults;
#[cfg(feature = "postgres")]
mod for_postgres;
#[cfg(feature = "sqlite")]
mod for_sqlite;
#[cfg(feature = "postgres")]
mod observer;
mod of_plan;
mod place;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "sqlite")]
mod sqlite;

pub(crate) use dialect::ALL_ROWS;
pub use dialect::{Dialect, Words};
pub use of_plan::Database;
pub use place::SetupError;
#[cfg(feature = "sqlite")]
pub use sqlite::Connector;
