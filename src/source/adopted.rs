//! An existing `sqlx::Pool` as a source, for applications that keep their pool.
//!
//! Each connection is asked whether a transaction is open before it is lent, because sqlx's own release may leave one. That costs
//! a round trip that the library's own sources do not have.
//!
//! What is weaker than with the library's own source for PostgreSQL, since the pool belongs to the application:
//!
//! - A cancelled statement costs the connection, but the server is not told to stop it: sqlx does not show which process it is.
//! - No connection is marked as suspect. sqlx tests each before it lends it (`test_before_acquire`, without a limit of its own): one
//!   whose peer is silent costs the whole attempt, and with sqlx 0.9.0 possibly its place in the pool.
//! - What direct users of the pool leave on a connection is noticed only if it is an open transaction. One on which a
//!   scope has left something, or which has its settings, is closed: what the application sets after connecting would be undone with it.
//! - A function of the application that has the name of a built-in one is taken for that.
//! - sqlx's limits stay; reconnects are neither bounded nor shared. sqlx releases a connection in a task, so a place is free a
//!   little after its scope has ended.

use std::convert::Infallible;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use sqlx::pool::PoolConnection;
use sqlx::{Database, Pool};
use tokio::runtime::Handle;

use super::condition::{AcquireError, Condition, Lent, Usage};
use super::connection::Connection;
use super::error::{ConnectionError, ErrorClass};
use super::lending::Source;
use super::sqlx_connection::SqlxConnection;

/// The connections of a pool that the application made.
///
/// Weaker than a source of the library's own: a cancelled statement goes on in the server, connections are not known to be suspect,
/// and what direct users of the pool leave on a connection is noticed only if it is an open transaction.
pub struct AdoptedPool<DB: Database> {
    pool: Pool<DB>,
    /// As many as there are leases, and one.
    lent: Arc<()>,
}

/// The connections of a `SqlitePool` that the application made.
#[cfg(feature = "sqlite")]
pub type AdoptedSqlitePool = AdoptedPool<sqlx::Sqlite>;

/// The connections of a `PgPool` that the application made.
#[cfg(feature = "postgres")]
pub type AdoptedPgPool = AdoptedPool<sqlx::Postgres>;

impl<DB: Database> AdoptedPool<DB> {
    /// Creates a source over this pool. The pool's own limits stay: a limit that is tighter than the policy's wins.
    pub fn new(pool: Pool<DB>) -> Self {
        Self { pool, lent: Arc::default() }
    }
}

impl<DB> Source for AdoptedPool<DB>
where
    DB: Database,
    DB::Connection: SqlxConnection<Database = DB>,
{
    type Connection = DB::Connection;
    type Lease = AdoptedLease<DB>;
    type Spare = Infallible;

    async fn acquire(&self) -> Result<Lent<AdoptedLease<DB>>, AcquireError> {
        let connection = self.pool.acquire().await.map_err(|error| match error {
            sqlx::Error::PoolClosed => AcquireError::Closed,
            error @ (sqlx::Error::PoolTimedOut | sqlx::Error::Io(_)) => {
                AcquireError::Connect(ConnectionError::new(ErrorClass::Unavailable, error))
            }
            error => AcquireError::Connect(ConnectionError::new(DB::Connection::class(&error), error)),
        })?;
        let mut lease = AdoptedLease { connection: Some(connection), _lent: Arc::clone(&self.lent) };
        match lease.in_transaction().await {
            // A direct user of the pool left the transaction open: its owner is unknown, so the connection is closed.
            Ok(true) => Err(AcquireError::Connect(ConnectionError::new(
                ErrorClass::Unavailable,
                "its last borrower left a transaction",
            ))),
            Ok(false) => Ok(Lent { lease, condition: Condition::Good }),
            Err(failure) => Err(AcquireError::Connect(failure)),
        }
    }

    fn give_back(&self, lease: AdoptedLease<DB>) {
        lease.give_back();
    }

    /// What the application sets after it has connected is not known here, and cleaning would undo it.
    fn cleans(&self) -> bool {
        false
    }

    fn discard(&self, lease: AdoptedLease<DB>) {
        drop(lease);
    }

    fn replace(&self, _: &mut Self::Lease, spare: Infallible) {
        match spare {}
    }

    fn suspect_all(&self) {
        // sqlx tests each connection before it lends it.
    }

    fn close(&self) {
        // The pool is the application's. Whoever waits for it is told when it lends, or when the application closes it.
    }

    fn usage(&self) -> Usage {
        let idle = u32::try_from(self.pool.num_idle()).unwrap_or(u32::MAX);
        let size = self.pool.size();
        Usage { size, in_use: size.saturating_sub(idle), max: self.pool.options().get_max_connections() }
    }

    fn lent(&self) -> u32 {
        u32::try_from(Arc::strong_count(&self.lent) - 1).unwrap_or(u32::MAX)
    }
}

/// A connection while it is lent. When it is dropped, the connection leaves the pool and is closed.
pub struct AdoptedLease<DB: Database> {
    connection: Option<PoolConnection<DB>>,
    _lent: Arc<()>,
}

impl<DB: Database> AdoptedLease<DB> {
    fn give_back(mut self) {
        let connection = self.connection.take();
        if Handle::try_current().is_ok() {
            drop(connection);
        } else {
            // sqlx's release is a task, and its drop panics outside of a runtime.
            drop(connection.map(PoolConnection::detach));
        }
    }
}

impl<DB: Database> Deref for AdoptedLease<DB> {
    type Target = DB::Connection;

    fn deref(&self) -> &DB::Connection {
        self.connection.as_ref().expect("only taken when the lease ends")
    }
}

impl<DB: Database> DerefMut for AdoptedLease<DB> {
    fn deref_mut(&mut self) -> &mut DB::Connection {
        self.connection.as_mut().expect("only taken when the lease ends")
    }
}

impl<DB: Database> Drop for AdoptedLease<DB> {
    fn drop(&mut self) {
        drop(self.connection.take().map(PoolConnection::detach));
    }
}
