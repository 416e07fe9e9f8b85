//! The source over a PostgreSQL server: raw sqlx connections in the pool.
//!
//! Owns how a connection is opened and cleaned, and what happens to one on which a call was cancelled. How connections are kept is
//! the pool's.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection as _, Executor, Row};

use super::connection::{connect_failure, failure};
use super::identity::{IDENTITY, trace};
use super::options::{OnOpen, PgOptions};
use super::reading::Reading;
use super::stop::Stop;
use super::version::{TooOld, VERSION_MIN};
use crate::policy::Policy;
use crate::source::condition::{AcquireError, Lent, Trace, Usage};
use crate::source::connection::Connection;
use crate::source::control::Control;
use crate::source::error::{ConnectionError, ErrorClass, TransactionLeftOpen};
use crate::source::lending::Source;
use crate::source::pool::{ConnectionPool, Lease, Left, Open, Spare};
use crate::source::runtime;

/// Connections to one PostgreSQL database.
pub struct PgSource {
    pool: ConnectionPool<Opener>,
    stop: Arc<Stop>,
}

impl PgSource {
    /// A source under the limits of this policy. Nothing is opened yet.
    pub fn new(options: PgOptions, policy: &Policy) -> Self {
        let stop = Stop::new(options.connect.clone(), policy);
        let opener = Opener {
            connect: options.connect,
            on_open: options.on_open,
            may_write: AtomicBool::new(false),
            reading: Reading::default(),
        };
        Self { pool: ConnectionPool::new(opener, policy), stop }
    }

    fn on_open(&self) -> Option<&OnOpen> {
        self.pool.opener().on_open.as_ref()
    }
}

impl Source for PgSource {
    type Connection = PgConnection;
    type Lease = Lease<Opener>;
    type Spare = Spare<Opener>;

    async fn acquire(&self) -> Result<Lent<Self::Lease>, AcquireError> {
        self.stop.attend();
        let (lease, condition) = self.pool.acquire().await?;
        Ok(Lent { lease, condition })
    }

    fn give_back(&self, lease: Self::Lease) {
        self.pool.give_back(lease, Left::Nothing);
    }

    fn give_back_needing_reset(&self, lease: Self::Lease) {
        self.pool.give_back(lease, Left::Residue);
    }

    fn discard(&self, lease: Self::Lease) {
        lease.discard();
    }

    fn abandon(&self, lease: Self::Lease) {
        let backend = lease.mark().backend;
        lease.discard();
        self.stop.backend(backend);
    }

    async fn spare(&self) -> Result<Self::Spare, ConnectionError> {
        self.pool.spare().await
    }

    fn replace(&self, lease: &mut Self::Lease, spare: Self::Spare) {
        let backend = lease.mark().backend;
        lease.replace(spare);
        self.stop.backend(backend);
    }

    async fn interrupt(&self, lease: &Self::Lease) -> Result<(), ConnectionError> {
        self.stop.cancel(lease.mark().backend).await.map_err(connect_failure)
    }

    fn trace(&self, lease: &Self::Lease) -> Option<Trace> {
        Some(lease.mark().backend)
    }

    async fn is_over(&self, trace: Trace) -> Result<bool, ConnectionError> {
        self.stop.has_ended(trace).await
    }

    fn round_trip(&self, lease: &Self::Lease) -> Duration {
        lease.mark().round_trip
    }

    async fn clean(&self, lease: &mut Self::Lease) -> Result<(), ConnectionError> {
        lease.control(Control::Clean).await?;
        match self.on_open() {
            // Cleaning has reset its settings with all others.
            Some(on_open) => on_open(lease).await.map_err(failure),
            None => Ok(()),
        }
    }

    fn cleans_in_begin(&self) -> bool {
        self.on_open().is_none()
    }

    fn mark_healthy(&self, lease: &mut Self::Lease) {
        lease.mark_healthy();
    }

    fn suspect_all(&self) {
        self.pool.suspect_all();
    }

    fn has_turned_read_only(&self, lease: &Self::Lease) -> bool {
        // The server may have turned while this connection was being opened.
        lease.mark().can_write || self.pool.opener().may_write.load(Ordering::Acquire)
    }

    fn retire(&self, lease: &Self::Lease) {
        self.pool.opener().may_write.store(false, Ordering::Release);
        self.pool.retire(lease);
    }

    fn close(&self) {
        self.pool.close();
    }

    fn usage(&self) -> Usage {
        self.pool.usage()
    }
}

/// What is known of a connection beside itself.
pub struct Mark {
    backend: Trace,
    /// Whether it could write when it was opened.
    can_write: bool,
    /// How long the server took to say so.
    round_trip: Duration,
}

/// Opens connections to one PostgreSQL database.
pub struct Opener {
    connect: PgConnectOptions,
    on_open: Option<OnOpen>,
    /// Whether a connection that could write was opened since connections were retired.
    may_write: AtomicBool,
    reading: Reading,
}

impl Open for Opener {
    type Connection = PgConnection;
    type Mark = Mark;

    async fn open(&self) -> Result<(PgConnection, Mark), ConnectionError> {
        let mut connection = PgConnection::connect_with(&self.connect).await.map_err(connect_failure)?;
        if let Some(found) = connection.server_version_num().filter(|it| *it < VERSION_MIN) {
            return Err(ConnectionError::new(ErrorClass::Rejected, TooOld { found }));
        }
        let began = runtime::now();
        let row = connection.fetch_one(IDENTITY).await.map_err(connect_failure)?;
        let backend = trace(&row).map_err(connect_failure)?;
        let round_trip = backend.seen.saturating_sub(began);
        let can_write = row.try_get_unchecked::<&str, _>("read_only").map_err(connect_failure)? == "off";
        self.may_write.fetch_or(can_write, Ordering::AcqRel);
        self.reading.learn(&mut connection, &row).await?;
        if let Some(on_open) = &self.on_open {
            on_open(&mut connection).await.map_err(connect_failure)?;
            if connection.in_transaction().await? {
                return Err(ConnectionError::new(ErrorClass::Rejected, TransactionLeftOpen));
            }
        }
        Ok((connection, Mark { backend, can_write, round_trip }))
    }
}
