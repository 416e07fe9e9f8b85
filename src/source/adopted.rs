//! An existing `sqlx::SqlitePool` as a source, for applications that keep their pool.
//!
//! What sqlx's own release leaves on a connection is found here: each connection is asked whether a transaction is open
//! before it is lent, which costs a round trip that [`SqliteSource`](super::SqliteSource) does not have.

use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{Sqlite, SqliteConnection, SqlitePool};

use super::sqlite_connection::failure;
use super::{AcquireError, Class, Condition, Connection, Failure, Lent, Source, TaskId, Usage, tokio as surroundings};

/// The connections of a pool that somebody else made.
pub struct AdoptedPool {
    pool: SqlitePool,
}

impl AdoptedPool {
    /// A source over this pool. Its own limits stay: where they are tighter than the policy's, they win.
    pub fn new(pool: SqlitePool) -> Self {
        Self { pool }
    }
}

impl Source for AdoptedPool {
    type Connection = SqliteConnection;
    type Lease = AdoptedLease;

    async fn acquire(&self) -> Result<Lent<AdoptedLease>, AcquireError> {
        let connection = self.pool.acquire().await.map_err(|error| match error {
            sqlx::Error::PoolClosed => AcquireError::Closed,
            sqlx::Error::PoolTimedOut => AcquireError::Connect(Failure::new(Class::NotUpYet, error)),
            error => AcquireError::Connect(failure(error)),
        })?;
        let mut lease = AdoptedLease { connection: Some(connection) };
        match lease.in_transaction().await {
            // Somebody who used the pool beside us left it: whose it is cannot be known, so the connection is closed.
            Ok(true) => {
                Err(AcquireError::Connect(Failure::new(Class::NotUpYet, "its last borrower left a transaction")))
            }
            Ok(false) => Ok(Lent { lease, condition: Condition::Good }),
            Err(failure) => Err(AcquireError::Connect(failure)),
        }
    }

    fn give_back(&self, mut lease: AdoptedLease) {
        let connection = lease.connection.take();
        if ::tokio::runtime::Handle::try_current().is_ok() {
            drop(connection);
        } else {
            // sqlx's release is a task, and its drop panics where there is nothing to run it on.
            drop(connection.map(PoolConnection::detach));
        }
    }

    fn discard(&self, lease: AdoptedLease) {
        drop(lease);
    }

    fn suspect_all(&self) {
        // Each is asked before it is lent anyway.
    }

    fn close(&self) {
        // It is somebody else's pool. What waits for it is answered when its owner closes it.
    }

    fn usage(&self) -> Usage {
        let idle = u32::try_from(self.pool.num_idle()).unwrap_or(u32::MAX);
        let size = self.pool.size();
        Usage { size, in_use: size.saturating_sub(idle), max: self.pool.options().get_max_connections() }
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

/// A connection while it is lent. Dropped, it leaves the pool and is closed.
pub struct AdoptedLease {
    connection: Option<PoolConnection<Sqlite>>,
}

impl Deref for AdoptedLease {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        self.connection.as_ref().expect("only taken when the lease ends")
    }
}

impl DerefMut for AdoptedLease {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        self.connection.as_mut().expect("only taken when the lease ends")
    }
}

impl Drop for AdoptedLease {
    fn drop(&mut self) {
        drop(self.connection.take().map(PoolConnection::detach));
    }
}
