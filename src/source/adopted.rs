//! An existing `sqlx::Pool` as a source, for applications that keep their pool.
//!
//! What sqlx's own release leaves on a connection is found here: each connection is asked whether a transaction is open
//! before it is lent, which costs a round trip that the library's own sources do not have.
//!
//! What is weaker than with [`PgSource`](super::PgSource), since the pool belongs to somebody else:
//!
//! - A statement that was cut off costs the connection, but the server is not told to stop it: sqlx does not say which process it is.
//! - A connection is not known to be suspect. sqlx asks each before it lends it (`test_before_acquire`, without a limit of its own):
//!   one whose peer is silent costs the whole attempt, and with sqlx 0.9.0 perhaps its place.
//! - What others leave on a connection who use the pool directly is found only if it is an open transaction. What scopes leave is
//!   undone by a task before the connection goes back.
//! - sqlx's limits stay; reconnects are not bounded and not shared. Its release is a task of its own, so a place is free a little
//!   after its scope has ended.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{Database, Pool, Postgres, Sqlite};

use super::{
    AcquireError, Class, Condition, Connection, Control, Failure, Lent, Source, SqlxConnection, Usage,
    tokio as surroundings,
};
use crate::policy::Policy;

/// The connections of a pool that somebody else made. See the [module](self) for what is weaker than with a source of the
/// library's.
pub struct AdoptedPool<DB: Database = Sqlite> {
    pool: Pool<DB>,
    clean_max: Duration,
}

/// The connections of a `PgPool` that somebody else made.
pub type AdoptedPgPool = AdoptedPool<Postgres>;

impl<DB: Database> AdoptedPool<DB> {
    /// A source over this pool. Its own limits stay: where they are tighter than the policy's, they win.
    pub fn new(pool: Pool<DB>) -> Self {
        Self { pool, clean_max: Policy::default().release_timeout }
    }
}

impl<DB> Source for AdoptedPool<DB>
where
    DB: Database,
    DB::Connection: SqlxConnection<Database = DB>,
{
    type Connection = DB::Connection;
    type Lease = AdoptedLease<DB>;

    async fn acquire(&self) -> Result<Lent<AdoptedLease<DB>>, AcquireError> {
        let connection = self.pool.acquire().await.map_err(|error| match error {
            sqlx::Error::PoolClosed => AcquireError::Closed,
            error @ (sqlx::Error::PoolTimedOut | sqlx::Error::Io(_)) => {
                AcquireError::Connect(Failure::new(Class::NotUpYet, error))
            }
            error => AcquireError::Connect(Failure::new(DB::Connection::class(&error), error)),
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

    fn give_back(&self, lease: AdoptedLease<DB>) {
        lease.give_back();
    }

    fn give_back_owing(&self, mut lease: AdoptedLease<DB>) {
        let limit = self.clean_max;
        // Dropped unrun, or too late, it closes the connection.
        self.spawn(Box::pin(async move {
            if let Some(Ok(())) = surroundings::within(limit, lease.control(Control::Clean)).await {
                lease.give_back();
            }
        }));
    }

    fn discard(&self, lease: AdoptedLease<DB>) {
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
}

/// A connection while it is lent. Dropped, it leaves the pool and is closed.
pub struct AdoptedLease<DB: Database> {
    connection: Option<PoolConnection<DB>>,
}

impl<DB: Database> AdoptedLease<DB> {
    fn give_back(mut self) {
        let connection = self.connection.take();
        if ::tokio::runtime::Handle::try_current().is_ok() {
            drop(connection);
        } else {
            // sqlx's release is a task, and its drop panics where there is nothing to run it on.
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
