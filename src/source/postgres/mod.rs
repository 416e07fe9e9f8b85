//! PostgreSQL: how a server is reached, its connections, and the source over them.
//!
//! A password is in no error and no `Debug` output.

mod connection;
mod identity;
mod open_error;
mod options;
mod reading;
mod source;
mod sqlstate;
mod stop;
mod version;

pub(crate) use connection::{code, is_login_refused};
pub use open_error::PgOpenError;
pub use options::PgOptions;
pub use source::PgSource;
pub(crate) use version::TooOld;
