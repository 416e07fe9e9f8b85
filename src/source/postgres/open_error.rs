//! Why a PostgreSQL database cannot be used.
//!
//! Owns the texts. Which answer of a server means what is decided where sessions are opened.

use super::version::{self, VERSION_MIN};
use crate::policy::PolicyError;

/// Why a PostgreSQL database cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PgOpenError {
    /// The URL is not one of PostgreSQL's.
    #[error("`{scheme}` is no PostgreSQL URL: write `postgres://user@host:5432/database`")]
    Scheme {
        /// The part before its first colon; the rest may hold a password.
        scheme: String,
    },
    /// The URL's options cannot be read.
    #[error("the PostgreSQL URL cannot be read: {0}")]
    Options(#[source] sqlx::Error),
    /// There is no such database.
    #[error("there is no database `{database}` on {server}: create it, or correct the name")]
    Missing {
        /// The given database.
        database: String,
        /// The server.
        server: String,
    },
    /// The server does not let this user in.
    #[error("{server} does not let user `{user}` in: correct the name or the password ({source})")]
    Refused {
        /// The given user.
        user: String,
        /// The server.
        server: String,
        /// The server's answer.
        source: sqlx::Error,
    },
    /// No server answers there.
    #[error("{server} cannot be reached: is PostgreSQL running there? ({source})")]
    Unreachable {
        /// The server.
        server: String,
        /// Why the attempt failed.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The server is too old.
    #[error("{server} is PostgreSQL {found}: {} or later is needed", version::text(VERSION_MIN))]
    TooOld {
        /// The server.
        server: String,
        /// Its version.
        found: String,
    },
    /// The policy contradicts itself.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The server refused it.
    #[error("the database cannot be opened: {0}")]
    Connect(#[source] Box<dyn std::error::Error + Send + Sync>),
}
