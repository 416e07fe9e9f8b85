//! The default source for SQLite: raw sqlx connections in deadpool's managed pool.
//!
//! Owns opening, the shelf, a connection's age, and the look at a database file before anything is opened. A `:memory:`
//! database is one connection, and is never given up.

use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use deadpool::managed::{self, Metrics, Object, Pool, RecycleError, RecycleResult};
use futures_util::future::BoxFuture;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection as _, SqliteConnection};

use super::sqlite_connection::failure;
use super::{AcquireError, Class, Condition, Failure, Lent, Source, TaskId, Usage, tokio as surroundings};
use crate::policy::{Policy, PolicyError};
use crate::sessions::Sessions;

/// Connections to one SQLite database.
pub struct SqliteSource {
    pool: Pool<Opener>,
    max: u32,
    probe_idle_after: Duration,
    /// Whatever was opened before this moment has to be probed; microseconds on the source's clock.
    suspect_before: AtomicU64,
    /// The database is the connection.
    only: bool,
    file: PathBuf,
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
        // The database is the connection: a second one would be another database.
        let max = if options.memory { 1 } else { policy.sessions_max };
        let only = options.memory;
        let file = options.connect.get_filename().to_path_buf();
        let opener = Opener {
            options,
            lifetime_max: if only { Duration::MAX } else { policy.lifetime_max },
            lifetime_jitter: policy.lifetime_jitter,
            opened_before: AtomicU64::new(0),
        };
        let size = usize::try_from(max.max(1)).unwrap_or(usize::MAX);
        let pool = Pool::builder(opener).max_size(size).build().expect("a pool without time-outs needs no runtime");
        Self { pool, max, probe_idle_after: policy.probe_idle_after, suspect_before: AtomicU64::new(0), only, file }
    }
}

impl Source for SqliteSource {
    type Connection = SqliteConnection;
    type Lease = SqliteLease;

    async fn acquire(&self) -> Result<Lent<SqliteLease>, AcquireError> {
        loop {
            let object = self.pool.get().await.map_err(|error| match error {
                managed::PoolError::Backend(failure) => AcquireError::Connect(failure),
                managed::PoolError::Closed => AcquireError::Closed,
                other => AcquireError::Connect(Failure::new(Class::NotUpYet, other.to_string())),
            })?;
            let condition = self.condition(&object);
            if condition == Condition::Suspect && FileId::of(&self.file) != object.file {
                // The file was deleted or replaced: what this connection writes, nobody will find.
                drop(Object::take(object));
                continue;
            }
            return Ok(Lent { lease: SqliteLease { object: Some(object) }, condition });
        }
    }

    fn give_back(&self, mut lease: SqliteLease) {
        if let Some(mut object) = lease.object.take() {
            object.idle_since = surroundings::now();
            object.unclean = false;
        }
    }

    fn give_back_unclean(&self, mut lease: SqliteLease) {
        if let Some(mut object) = lease.object.take() {
            object.unclean = true;
        }
    }

    fn discard(&self, mut lease: SqliteLease) {
        drop(lease.object.take().map(Object::take));
    }

    fn suspect_all(&self) {
        self.suspect_before.store(micros(surroundings::now()), Ordering::Release);
    }

    fn is_only(&self) -> bool {
        self.only
    }

    fn close(&self) {
        self.pool.close();
    }

    fn usage(&self) -> Usage {
        let status = self.pool.status();
        let count = |it: usize| u32::try_from(it).unwrap_or(u32::MAX);
        Usage { size: count(status.size), in_use: count(status.size.saturating_sub(status.available)), max: self.max }
    }

    fn now(&self) -> Duration {
        surroundings::now()
    }

    async fn sleep(&self, duration: Duration) {
        surroundings::sleep(duration).await;
    }

    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>) -> bool {
        surroundings::spawn(task)
    }

    fn random(&self) -> u64 {
        surroundings::random()
    }

    fn task(&self) -> TaskId {
        surroundings::task()
    }
}

impl SqliteSource {
    fn condition(&self, pooled: &Pooled) -> Condition {
        let idle = surroundings::now().saturating_sub(pooled.idle_since);
        let suspect = micros(pooled.opened) < self.suspect_before.load(Ordering::Acquire);
        if pooled.unclean {
            Condition::Unclean
        } else if !self.only && !pooled.is_new() && (suspect || idle > self.probe_idle_after) {
            Condition::Suspect
        } else {
            Condition::Good
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// A connection while it is lent. Dropped, it is closed, and its place is free at once; the only one to a database in
/// memory comes back, to be cleaned before it is lent again.
pub struct SqliteLease {
    object: Option<Object<Opener>>,
}

impl Deref for SqliteLease {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.object.as_ref().expect("only taken when the lease ends").connection
    }
}

impl DerefMut for SqliteLease {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.object.as_mut().expect("only taken when the lease ends").connection
    }
}

impl Drop for SqliteLease {
    fn drop(&mut self) {
        match self.object.take() {
            Some(mut object) if object.only => object.unclean = true,
            Some(object) => drop(Object::take(object)),
            None => {}
        }
    }
}

/// What stands on the shelf.
struct Pooled {
    connection: SqliteConnection,
    opened: Duration,
    lifetime: Duration,
    idle_since: Duration,
    /// Its last borrower could not clean it.
    unclean: bool,
    /// The database is in memory, and gone with it.
    only: bool,
    /// Which file it has open, where the system can say.
    file: Option<FileId>,
}

impl Pooled {
    fn is_new(&self) -> bool {
        self.opened == self.idle_since
    }
}

/// Opens connections for the pool, and decides which are too old.
struct Opener {
    options: SqliteOptions,
    lifetime_max: Duration,
    lifetime_jitter: f64,
    /// How many were opened: an in-memory database is opened once.
    opened_before: AtomicU64,
}

impl managed::Manager for Opener {
    type Type = Pooled;
    type Error = Failure;

    async fn create(&self) -> Result<Pooled, Failure> {
        if self.options.memory && self.opened_before.load(Ordering::Acquire) > 0 {
            let gone = "the in-memory database went with its only connection";
            return Err(Failure::new(Class::Mistake, gone));
        }
        let mut connection = SqliteConnection::connect_with(&self.options.connect).await.map_err(connect_failure)?;
        if let Some(on_open) = &self.options.on_open {
            on_open(&mut connection).await.map_err(failure)?;
        }
        self.opened_before.fetch_add(1, Ordering::AcqRel);
        let opened = surroundings::now();
        let spread = self.lifetime_jitter * rand::random::<f64>();
        let lifetime = if self.options.memory { Duration::MAX } else { self.lifetime_max.mul_f64(1.0 - spread) };
        let file = if self.options.memory { None } else { FileId::of(self.options.connect.get_filename()) };
        Ok(Pooled { connection, opened, lifetime, idle_since: opened, unclean: false, only: self.options.memory, file })
    }

    async fn recycle(&self, pooled: &mut Pooled, _: &Metrics) -> RecycleResult<Failure> {
        let age = surroundings::now().saturating_sub(pooled.opened);
        if age > pooled.lifetime {
            return Err(RecycleError::message("older than its lifetime"));
        }
        Ok(())
    }
}

/// A file that is not there may appear; what SQLite says of one that is there stays so.
fn connect_failure(error: sqlx::Error) -> Failure {
    let failure = failure(error);
    if failure.class == Class::Dead { Failure { class: Class::NotUpYet, ..failure } } else { failure }
}

/// Which file is open, as far as the operating system tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileId {
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
