//! PostgreSQL: options, what can be wrong when it is opened, and the source over it.
//!
//! Owns the way from a URL to sessions. A password is in no error and no `Debug` output.

mod connection;
mod source;
mod sqlstate;
mod stop;

pub use source::PgSource;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use sqlx::postgres::{PgConnectOptions, PgConnection};

use self::connection::code;
use self::source::TooOld;
use super::{Class, Failure, Source};
use crate::policy::{Policy, PolicyError};
use crate::sessions::Sessions;

/// PostgreSQL 13, as sqlx counts.
const VERSION_MIN: u32 = 130_000;

type OnOpen = Arc<dyn Fn(&mut PgConnection) -> BoxFuture<'_, Result<(), sqlx::Error>> + Send + Sync>;

/// How to reach a PostgreSQL database.
#[derive(Clone)]
pub struct PgOptions {
    connect: PgConnectOptions,
    on_open: Option<OnOpen>,
}

/// Why a PostgreSQL database cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PgOpenError {
    /// The URL is not one of PostgreSQL's.
    #[error("`{scheme}` is no PostgreSQL URL: write `postgres://user@host:5432/database`")]
    Scheme {
        /// What stands before its first colon; the rest may hold a password.
        scheme: String,
    },
    /// The URL's options cannot be read.
    #[error("the PostgreSQL URL cannot be read: {0}")]
    Options(#[source] sqlx::Error),
    /// There is no such database.
    #[error("there is no database `{database}` on {server}: create it, or correct the name")]
    Missing {
        /// What was given.
        database: String,
        /// Where.
        server: String,
    },
    /// The server does not let this user in.
    #[error("{server} does not let user `{user}` in: correct the name or the password ({source})")]
    Refused {
        /// Who was given.
        user: String,
        /// Where.
        server: String,
        /// The server's answer.
        source: sqlx::Error,
    },
    /// Nobody answers there.
    #[error("{server} cannot be reached: is PostgreSQL running there? ({source})")]
    Unreachable {
        /// What was given.
        server: String,
        /// What came of the attempt.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The server is too old.
    #[error("{server} is PostgreSQL {found}: {} or later is needed", version(VERSION_MIN))]
    TooOld {
        /// What was given.
        server: String,
        /// What it says.
        found: String,
    },
    /// The policy contradicts itself.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The server's answer.
    #[error("the database cannot be opened: {0}")]
    Connect(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl PgOptions {
    /// From a URL: `postgres://user:password@host:5432/database`. What it leaves out comes from the environment, as with
    /// `psql`: `PGHOST`, `PGPASSWORD`, a `.pgpass` file.
    ///
    /// # Errors
    /// [`PgOpenError::Scheme`], [`PgOpenError::Options`].
    pub fn from_url(url: &str) -> Result<Self, PgOpenError> {
        let (scheme, _) = url.split_once(':').unwrap_or(("", url));
        if !matches!(scheme, "postgres" | "postgresql") {
            // What is no URL at all may be anything, also a password.
            let is_scheme = scheme.chars().all(|it| it.is_ascii_alphanumeric() || matches!(it, '+' | '-' | '.'));
            let scheme = if is_scheme && url.contains("://") { format!("{scheme}:") } else { "…".to_owned() };
            return Err(PgOpenError::Scheme { scheme });
        }
        PgConnectOptions::from_str(url).map(Self::new).map_err(PgOpenError::Options)
    }

    /// From sqlx's options.
    pub fn new(connect: PgConnectOptions) -> Self {
        Self { connect, on_open: None }
    }

    /// Runs this on every connection when it is opened, and again when it was cleaned for its next borrower: it has to be
    /// repeatable. Settings are better given with [`PgConnectOptions::options`]: those survive the cleaning, which then can
    /// travel in the message of the next begin.
    #[must_use]
    pub fn on_open(
        mut self,
        on_open: impl Fn(&mut PgConnection) -> BoxFuture<'_, Result<(), sqlx::Error>> + Send + Sync + 'static,
    ) -> Self {
        self.on_open = Some(Arc::new(on_open));
        self
    }

    pub(crate) fn connect(&self) -> &PgConnectOptions {
        &self.connect
    }

    /// The same in another database of the server.
    pub(crate) fn in_database(self, name: &str) -> Self {
        Self { connect: self.connect.database(name), ..self }
    }

    /// Sessions over this database. Opens one connection to see that it can be used, and keeps it. A server that is starting
    /// up, or has no place just now, is waited for.
    ///
    /// # Errors
    /// [`PgOpenError`] says what is wrong.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn open(self, policy: Policy) -> Result<Sessions<PgSource>, PgOpenError> {
        let connect = self.connect.clone();
        let sessions = Sessions::new(PgSource::new(self, &policy), policy)?;
        match sessions.lender().first_connection().await {
            Ok(lease) => {
                sessions.source().give_back(lease);
                Ok(sessions)
            }
            Err(error) => Err(refused(error, &connect)),
        }
    }
}

impl fmt::Debug for PgOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { connect, on_open } = self;
        f.debug_struct("PgOptions")
            .field("server", &server(connect))
            .field("user", &connect.get_username())
            .field("database", &connect.get_database())
            .field("on_open", &on_open.is_some())
            .finish_non_exhaustive()
    }
}

fn server(options: &PgConnectOptions) -> String {
    match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    }
}

fn refused(error: Failure, options: &PgConnectOptions) -> PgOpenError {
    let server = server(options);
    let source = match error.source.downcast::<sqlx::Error>() {
        Ok(error) => *error,
        Err(source) => {
            return match source.downcast::<TooOld>() {
                Ok(old) => PgOpenError::TooOld { server, found: version(old.found) },
                Err(source) if error.class == Class::NotUpYet => PgOpenError::Unreachable { server, source },
                Err(source) => PgOpenError::Connect(source),
            };
        }
    };
    let user = options.get_username().to_owned();
    match code(&source).as_deref() {
        // invalid_catalog_name
        Some("3D000") => PgOpenError::Missing { database: options.get_database().unwrap_or(&user).to_owned(), server },
        // invalid_password, invalid_authorization_specification
        Some("28P01" | "28000") => PgOpenError::Refused { user, server, source },
        None if error.class == Class::NotUpYet => PgOpenError::Unreachable { server, source: source.into() },
        _ => PgOpenError::Connect(source.into()),
    }
}

/// A version as people write it.
fn version(number: u32) -> String {
    if number >= 100_000 {
        (number / 10_000).to_string()
    } else {
        format!("{}.{}", number / 10_000, number / 100 % 100)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_is_shown() {
        let options = PgOptions::from_url("postgres://me:geheim@localhost:1/db").expect("a URL");
        let shown = format!("{options:?}");
        assert!(shown.contains("localhost:1") && !shown.contains("geheim"), "{shown}");
        for url in
            ["mysql://me:geheim@localhost/db", "geheim", "me:geheim@localhost", "postgres://me:geheim@local host:x/db"]
        {
            let error = PgOptions::from_url(url).expect_err("no URL of ours");
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("geheim"), "{shown}");
        }
    }

    #[test]
    fn versions_are_written_as_people_do() {
        assert_eq!([90_624, 120_001, 150_019].map(version), ["9.6", "12", "15"]);
    }
}
