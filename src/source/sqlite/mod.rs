//! SQLite: how a database is opened, its connections, and the source over them.

mod connection;
mod options;
mod source;

pub use options::{OpenError, SqliteOptions};
pub use source::SqliteSource;
