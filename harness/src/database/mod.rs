//! A fresh database per plan, watched from below the system.
//!
//! | file | owns |
//! | --- | --- |
//! | `dialect`, `failure` | what each database is told, and what its errors mean |
//! | `place` | what every database does for the plan that runs on it |
//! | `sqlite` | SQLite, watched by driver hooks |
//! | `postgres`, `observer`, `faults` | PostgreSQL, watched on the wire, and what is done to it |
//! | `of_plan` | the database of one plan, whatever it is |
//! | `for_sqlite`, `for_postgres` | what systems on each are given |

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
