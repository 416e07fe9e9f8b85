//! The default source for SQLite: raw sqlx connections on the shelf.
//!
//! Owns opening, and the look at a database file before anything is opened. A `:memory:` database is one connection, and is
//! never given up. How connections are kept is in `source/shelf`.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::BoxFuture;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection as _, SqliteConnection};

use super::shelf::{Lease, Left, Open, Shelf};
use super::sqlite_connection::failure;
use super::{AcquireError, Class, Condition, Failure, Lent, Source, Usage};
use crate::policy::{Policy, PolicyError};
use crate::sessions::Sessions;

/// Connections to one SQLite database.
pub struct SqliteSource {
    shelf: Shelf<Opener>,
}

/// How to open a SQLite database.
#[derive(Clone)]
pub struct SqliteOptions {
    connect: SqliteConnectOptions,
    memory: bool,
    read_only: bool,
    on_open: Option<OnOpen>,
}

type OnOpen = Arc<dyn Fn(&mut SqliteConnection) -> BoxFuture<'_, Result<(), sqlx::Error>> + Send + Sync>;

/// Why a SQLite database cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The URL is not one of SQLite's.
    #[error("`{url}` is no SQLite URL: write `sqlite://path/to/file.db` or `sqlite::memory:`")]
    Scheme {
        /// What was given.
        url: String,
    },
    /// The URL's options cannot be read.
    #[error("the options of the SQLite URL cannot be read: {0}")]
    Options(#[source] sqlx::Error),
    /// The path is a folder.
    #[error("`{}` is a folder: name the database file in it", path.display())]
    Folder {
        /// What was given.
        path: PathBuf,
    },
    /// There is no such file, and it was not to be created.
    #[error("there is no database `{}`: create it, or add `?mode=rwc` to the URL", path.display())]
    Missing {
        /// What was given.
        path: PathBuf,
    },
    /// The file cannot be written.
    #[error("`{}` is read-only: change its permissions, or add `?mode=ro` to the URL", path.display())]
    ReadOnly {
        /// What was given.
        path: PathBuf,
    },
    /// The file holds something else.
    #[error("`{}` is not a SQLite database", path.display())]
    NotADatabase {
        /// What was given.
        path: PathBuf,
    },
    /// The policy contradicts itself.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// SQLite's answer.
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
            return Err(OpenError::Scheme { url: url.to_owned() });
        }
        let connect = SqliteConnectOptions::from_str(url).map_err(OpenError::Options)?;
        let memory = url.contains(":memory:") || url.contains("mode=memory") || url == "sqlite:" || url == "sqlite://";
        let read_only = url.contains("mode=ro") || url.contains("immutable=");
        Ok(Self { connect, memory, read_only, on_open: None })
    }

    /// From sqlx's options, for a database in a file. Whether they ask for a read-only one cannot be seen, so a file without
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

    /// Sessions over this database. Opens one connection to see that it can be used, and keeps it.
    ///
    /// # Errors
    /// [`OpenError`] says what is wrong with the file.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn open(self, policy: Policy) -> Result<Sessions<SqliteSource>, OpenError> {
        let path = (!self.memory).then(|| self.connect.get_filename().to_path_buf());
        if let Some(path) = &path {
            look(path, self.read_only)?;
        }
        let source = SqliteSource::new(self, &policy);
        let sessions = Sessions::new(source, policy)?;
        let source = sessions.source();
        match source.acquire().await {
            Ok(mut lent) => {
                super::Connection::probe(&mut *lent.lease).await.map_err(|it| refused(it, path.as_deref()))?;
                source.give_back(lent.lease);
                Ok(sessions)
            }
            Err(AcquireError::Closed) => Err(OpenError::Connect(sqlx::Error::PoolClosed)),
            Err(AcquireError::Connect(failure)) => Err(refused(failure, path.as_deref())),
        }
    }
}

/// What can be said of the file before SQLite sees it.
fn look(path: &Path, read_only: bool) -> Result<(), OpenError> {
    let Ok(metadata) = std::fs::metadata(path) else {
        // It may be created; if not, SQLite says so.
        return Ok(());
    };
    if metadata.is_dir() {
        return Err(OpenError::Folder { path: path.to_owned() });
    }
    if metadata.permissions().readonly() && !read_only {
        return Err(OpenError::ReadOnly { path: path.to_owned() });
    }
    Ok(())
}

fn refused(failure: Failure, path: Option<&Path>) -> OpenError {
    let error = match failure.source.downcast::<sqlx::Error>() {
        Ok(error) => *error,
        Err(other) => sqlx::Error::Protocol(other.to_string()),
    };
    let code: i32 = error.as_database_error().and_then(|it| it.code()?.parse().ok()).unwrap_or(0);
    match (path, code & 0xff) {
        (Some(path), 26) => OpenError::NotADatabase { path: path.to_owned() },
        (Some(path), 8) => OpenError::ReadOnly { path: path.to_owned() },
        (Some(path), 14) if !path.exists() => OpenError::Missing { path: path.to_owned() },
        _ => OpenError::Connect(error),
    }
}

impl SqliteSource {
    /// A source under the limits of this policy. Nothing is opened yet.
    pub fn new(options: SqliteOptions, policy: &Policy) -> Self {
        Self { shelf: Shelf::new(Opener { options, opened_before: AtomicBool::new(false) }, policy) }
    }

    fn options(&self) -> &SqliteOptions {
        &self.shelf.opener().options
    }
}

impl Source for SqliteSource {
    type Connection = SqliteConnection;
    type Lease = Lease<Opener>;

    async fn acquire(&self) -> Result<Lent<Self::Lease>, AcquireError> {
        loop {
            let (lease, condition) = self.shelf.acquire().await?;
            if condition == Condition::Suspect && FileId::of(self.options().connect.get_filename()) != *lease.mark() {
                // The file was deleted or replaced: what this connection writes, nobody will find.
                lease.discard();
                continue;
            }
            return Ok(Lent { lease, condition });
        }
    }

    fn give_back(&self, lease: Self::Lease) {
        self.shelf.give_back(lease, Left::Nothing);
    }

    fn give_back_unclean(&self, lease: Self::Lease) {
        self.shelf.give_back(lease, Left::Transaction);
    }

    fn discard(&self, lease: Self::Lease) {
        lease.discard();
    }

    fn vouch(&self, lease: &mut Self::Lease) {
        lease.vouch();
    }

    fn suspect_all(&self) {
        self.shelf.suspect_all();
    }

    fn is_only(&self) -> bool {
        self.options().memory
    }

    fn close(&self) {
        self.shelf.close();
    }

    fn usage(&self) -> Usage {
        self.shelf.usage()
    }
}

/// Opens connections to one SQLite database.
pub struct Opener {
    options: SqliteOptions,
    /// An in-memory database is opened once.
    opened_before: AtomicBool,
}

impl Open for Opener {
    type Connection = SqliteConnection;
    /// Which file it has open, where the system can say.
    type Mark = Option<FileId>;

    fn is_only(&self) -> bool {
        self.options.memory
    }

    async fn open(&self) -> Result<(SqliteConnection, Option<FileId>), Failure> {
        let options = &self.options;
        if options.memory && self.opened_before.load(Ordering::Acquire) {
            let gone = "the in-memory database went with its only connection";
            return Err(Failure::new(Class::Mistake, gone));
        }
        let mut connection = SqliteConnection::connect_with(&options.connect).await.map_err(connect_failure)?;
        if let Some(on_open) = &options.on_open {
            on_open(&mut connection).await.map_err(failure)?;
        }
        self.opened_before.store(true, Ordering::Release);
        let file = if options.memory { None } else { FileId::of(options.connect.get_filename()) };
        Ok((connection, file))
    }
}

/// A file that is not there may appear; what SQLite says of one that is there stays so.
fn connect_failure(error: sqlx::Error) -> Failure {
    let failure = failure(error);
    if failure.class == Class::Dead { Failure { class: Class::NotUpYet, ..failure } } else { failure }
}

/// Which file is open, as far as the operating system tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    #[cfg(unix)]
    fn of(path: &Path) -> Option<Self> {
        use std::os::unix::fs::MetadataExt;
        let metadata = std::fs::metadata(path).ok()?;
        Some(Self { device: metadata.dev(), inode: metadata.ino() })
    }

    #[cfg(not(unix))]
    fn of(_: &Path) -> Option<Self> {
        None
    }
}
