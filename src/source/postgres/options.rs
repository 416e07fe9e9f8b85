//! How a PostgreSQL database is reached.
//!
//! Plain values. Sessions are opened from them in [`crate::open`].

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use sqlx::postgres::{PgConnectOptions, PgConnection};

use super::open_error::PgOpenError;
use crate::source::url::scheme_of;

pub(super) type OnOpen = Arc<dyn Fn(&mut PgConnection) -> BoxFuture<'_, Result<(), sqlx::Error>> + Send + Sync>;

/// How to reach a PostgreSQL database.
#[derive(Clone)]
pub struct PgOptions {
    pub(super) connect: PgConnectOptions,
    pub(super) on_open: Option<OnOpen>,
}

impl PgOptions {
    /// From a URL: `postgres://user:password@host:5432/database`. What it leaves out comes from the environment, as with
    /// `psql`: `PGHOST`, `PGPASSWORD`, a `.pgpass` file.
    ///
    /// # Errors
    /// [`PgOpenError::Scheme`], [`PgOpenError::Options`].
    pub fn from_url(url: &str) -> Result<Self, PgOpenError> {
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(PgOpenError::Scheme { scheme: scheme_of(url) });
        }
        PgConnectOptions::from_str(url).map(Self::new).map_err(PgOpenError::Options)
    }

    /// From sqlx's options.
    pub fn new(connect: PgConnectOptions) -> Self {
        Self { connect, on_open: None }
    }

    /// Runs this on every connection when it is opened, and again when it was cleaned for its next borrower, so it has to be
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

    /// Where the server listens, for errors and logs.
    pub(crate) fn server(&self) -> String {
        match self.connect.get_socket() {
            Some(socket) => socket.display().to_string(),
            None => format!("{}:{}", self.connect.get_host(), self.connect.get_port()),
        }
    }

    /// As sqlx takes them.
    pub(crate) fn connect(&self) -> &PgConnectOptions {
        &self.connect
    }

    /// The same options for another database of the server.
    pub(crate) fn in_database(self, name: &str) -> Self {
        Self { connect: self.connect.database(name), ..self }
    }
}

impl fmt::Debug for PgOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { connect, on_open } = self;
        f.debug_struct("PgOptions")
            .field("server", &self.server())
            .field("user", &connect.get_username())
            .field("database", &connect.get_database())
            .field("on_open", &on_open.is_some())
            .finish_non_exhaustive()
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
        for url in [
            "mysql://me:geheim@localhost/db",
            "geheim",
            "me:geheim@localhost",
            "postgres:me:geheim@localhost/db",
            "postgres://me:geheim@local host:x/db",
        ] {
            let error = PgOptions::from_url(url).expect_err("no URL of ours");
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("geheim"), "{shown}");
        }
    }
}
