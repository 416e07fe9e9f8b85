//! The source over a SQLite database: raw sqlx connections in the pool.
//!
//! Owns how a connection is opened, and that a file that was replaced is noticed. A `:memory:` database is one connection, and is
//! never given up. How connections are kept is the pool's.

use std::convert::Infallible;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use sqlx::{Connection as _, SqliteConnection};

use super::connection::failure;
use super::options::SqliteOptions;
use crate::policy::Policy;
use crate::source::condition::{AcquireError, Condition, Lent, Usage};
use crate::source::connection::Connection;
use crate::source::control::Control;
use crate::source::error::{ConnectionError, ErrorClass, TransactionLeftOpen};
use crate::source::lending::Source;
use crate::source::pool::{ConnectionPool, Lease, Left, Open};

/// Connections to one SQLite database.
pub struct SqliteSource {
    pool: ConnectionPool<Opener>,
}

impl SqliteSource {
    /// A source under the limits of this policy. Nothing is opened yet.
    pub fn new(options: SqliteOptions, policy: &Policy) -> Self {
        Self { pool: ConnectionPool::new(Opener { options, opened_before: AtomicBool::new(false) }, policy) }
    }

    fn options(&self) -> &SqliteOptions {
        &self.pool.opener().options
    }
}

impl Source for SqliteSource {
    type Connection = SqliteConnection;
    type Lease = Lease<Opener>;
    type Spare = Infallible;

    async fn acquire(&self) -> Result<Lent<Self::Lease>, AcquireError> {
        loop {
            let (lease, condition) = self.pool.acquire().await?;
            if condition == Condition::Suspect && FileId::of(self.options().connect.get_filename()) != lease.mark().file
            {
                // The file was deleted or replaced: what this connection writes would be lost.
                lease.discard();
                continue;
            }
            return Ok(Lent { lease, condition });
        }
    }

    fn give_back(&self, lease: Self::Lease) {
        self.pool.give_back(lease, Left::Nothing);
    }

    fn give_back_unclean(&self, lease: Self::Lease) {
        self.pool.give_back(lease, Left::Transaction);
    }

    fn discard(&self, lease: Self::Lease) {
        lease.discard();
    }

    fn mark_healthy(&self, lease: &mut Self::Lease) {
        lease.mark_healthy();
    }

    fn is_read_only(&self, lease: &Self::Lease) -> bool {
        lease.mark().read_only
    }

    fn replace(&self, _: &mut Self::Lease, spare: Infallible) {
        match spare {}
    }

    fn suspect_all(&self) {
        self.pool.suspect_all();
    }

    fn is_only(&self) -> bool {
        self.options().memory
    }

    fn close(&self) {
        self.pool.close();
    }

    fn usage(&self) -> Usage {
        self.pool.usage()
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
    /// The file that it has open, where the system can say.
    type Mark = Mark;

    fn is_only(&self) -> bool {
        self.options.memory
    }

    async fn open(&self) -> Result<(SqliteConnection, Mark), ConnectionError> {
        let options = &self.options;
        if options.memory && self.opened_before.load(Ordering::Acquire) {
            let gone = "the in-memory database was lost with its only connection";
            return Err(ConnectionError::new(ErrorClass::Rejected, gone));
        }
        let mut connection = SqliteConnection::connect_with(&options.connect).await.map_err(connect_failure)?;
        if let Some(on_open) = &options.on_open {
            on_open(&mut connection).await.map_err(failure)?;
        }
        let read_only = found(&mut connection, options.on_open.is_some()).await?;
        self.opened_before.store(true, Ordering::Release);
        let file = if options.memory { None } else { FileId::of(options.connect.get_filename()) };
        Ok((connection, Mark { file, read_only }))
    }
}

/// A missing file may still appear; any other refusal is final.
fn connect_failure(error: sqlx::Error) -> ConnectionError {
    let failure = failure(error);
    if failure.class == ErrorClass::Disconnected {
        ConnectionError { class: ErrorClass::Unavailable, ..failure }
    } else {
        failure
    }
}

/// Interrupts in a row that are nobody's aim.
const ATTEMPTS_MAX: u32 = 8;

/// Whether the application has set it so that it writes nothing; where it has done something `on_open`, also that it has left no
/// transaction. Asked again if that was interrupted: a database in memory goes with its connection.
async fn found(connection: &mut SqliteConnection, on_open: bool) -> Result<bool, ConnectionError> {
    let mut attempts = 1;
    loop {
        let answer = async {
            if on_open && connection.in_transaction().await? {
                if attempts == 1 {
                    return Err(ConnectionError::new(ErrorClass::Rejected, TransactionLeftOpen));
                }
                // The question before this one was interrupted, and has begun it.
                connection.control(Control::Rollback).await?;
            }
            sqlx::query_scalar("pragma query_only").fetch_one(&mut *connection).await.map_err(connect_failure)
        };
        match answer.await {
            Err(failure) if failure.class == ErrorClass::RetryStatement && attempts < ATTEMPTS_MAX => attempts += 1,
            answer => return answer,
        }
    }
}

/// What is known of a connection beside itself.
#[derive(Debug)]
pub struct Mark {
    file: Option<FileId>,
    /// The application has set it so that it writes nothing.
    read_only: bool,
}

/// The identity of a file, as far as the operating system tells.
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
