//! How to open a SQLite database, and what can be wrong with it.
//!
//! Plain values. Sessions are opened from them in [`crate::open`].

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteConnectOptions;

use crate::policy::PolicyError;
use crate::source::url::scheme_of;

/// How to open a SQLite database.
#[derive(Clone)]
pub struct SqliteOptions {
    pub(super) connect: SqliteConnectOptions,
    /// The database lives in the memory of its only connection.
    pub(super) memory: bool,
    read_only: bool,
    pub(super) on_open: Option<OnOpen>,
}

pub(super) type OnOpen = Arc<dyn Fn(&mut SqliteConnection) -> BoxFuture<'_, Result<(), sqlx::Error>> + Send + Sync>;

/// Why a SQLite database cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The URL is not one of SQLite's.
    #[error("`{scheme}` is no SQLite URL: write `sqlite://path/to/file.db` or `sqlite::memory:`")]
    Scheme {
        /// The part before its first colon; the rest may hold a password. A name without any is shown as it is.
        scheme: String,
    },
    /// The URL's options cannot be read.
    #[error("the options of the SQLite URL cannot be read: {0}")]
    Options(#[source] sqlx::Error),
    /// The path is a folder.
    #[error("`{}` is a folder: name the database file in it", path.display())]
    Folder {
        /// The given path.
        path: PathBuf,
    },
    /// There is no such file, and the URL does not ask for a new one.
    #[error("there is no database `{}`: create it, or add `?mode=rwc` to the URL", path.display())]
    Missing {
        /// The given path.
        path: PathBuf,
    },
    /// The file cannot be written.
    #[error("`{}` is read-only: change its permissions, or add `?mode=ro` to the URL", path.display())]
    ReadOnly {
        /// The given path.
        path: PathBuf,
    },
    /// The file holds something else.
    #[error("`{}` is not a SQLite database", path.display())]
    NotADatabase {
        /// The given path.
        path: PathBuf,
    },
    /// The policy contradicts itself.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// SQLite refused it.
    #[error("the database cannot be opened: {0}")]
    Connect(#[source] sqlx::Error),
}

impl SqliteOptions {
    /// From a URL: `sqlite://file.db`, `sqlite://file.db?mode=rwc`, `sqlite::memory:`.
    ///
    /// # Errors
    /// [`OpenError::Scheme`], [`OpenError::Options`].
    pub fn from_url(url: &str) -> Result<Self, OpenError> {
        if !url.starts_with("sqlite:") {
            let is_name = !url.contains([':', '@']);
            return Err(OpenError::Scheme { scheme: if is_name { url.to_owned() } else { scheme_of(url) } });
        }
        let connect = SqliteConnectOptions::from_str(url).map_err(OpenError::Options)?;
        let memory = url.contains(":memory:") || url.contains("mode=memory") || url == "sqlite:" || url == "sqlite://";
        let read_only = url.contains("mode=ro") || url.contains("immutable=");
        Ok(Self { connect, memory, read_only, on_open: None })
    }

    /// From sqlx's options, for a database in a file. They do not show whether they ask for a read-only one, so a file without
    /// write permission is not refused when it is opened.
    pub fn file(connect: SqliteConnectOptions) -> Self {
        Self { connect, memory: false, read_only: true, on_open: None }
    }

    /// From sqlx's options, for a database in memory: it is kept on one connection.
    pub fn memory(connect: SqliteConnectOptions) -> Self {
        Self { connect, memory: true, read_only: false, on_open: None }
    }

    /// Runs this on every connection when it is opened: settings, functions, hooks.
    #[must_use]
    pub fn on_open(
        mut self,
        on_open: impl Fn(&mut SqliteConnection) -> BoxFuture<'_, Result<(), sqlx::Error>> + Send + Sync + 'static,
    ) -> Self {
        self.on_open = Some(Arc::new(on_open));
        self
    }

    /// The database's file; none if it is in memory.
    pub(crate) fn path(&self) -> Option<&Path> {
        (!self.memory).then(|| self.connect.get_filename())
    }

    /// Whether the file need not be writable.
    pub(crate) fn is_read_only(&self) -> bool {
        self.read_only
    }
}
