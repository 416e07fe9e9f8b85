//! The source over a PostgreSQL server: raw sqlx connections on the shelf.
//!
//! Owns how one is opened, what is done with one on which a call was cut off, and cleaning. How connections are kept is in
//! [`crate::source::shelf`].

use std::sync::Arc;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection as _, Executor, Row};

use super::connection::{connect_failure, failure};
use super::stop::Stop;
use super::{OnOpen, PgOptions, VERSION_MIN, version};
use crate::policy::Policy;
use crate::source::shelf::{Lease, Left, Open, Shelf};
use crate::source::{
    AcquireError, Class, Connection, Control, Failure, Lent, Source, Trace, Usage, tokio as surroundings,
};

/// Connections to one PostgreSQL database.
pub struct PgSource {
    shelf: Shelf<Opener>,
    stop: Arc<Stop>,
}

impl PgSource {
    /// A source under the limits of this policy. Nothing is opened yet.
    pub fn new(options: PgOptions, policy: &Policy) -> Self {
        let stop = Stop::new(options.connect.clone(), policy);
        let opener = Opener { connect: options.connect, on_open: options.on_open };
        Self { shelf: Shelf::new(opener, policy), stop }
    }

    fn on_open(&self) -> Option<&OnOpen> {
        self.shelf.opener().on_open.as_ref()
    }
}

impl Source for PgSource {
    type Connection = PgConnection;
    type Lease = Lease<Opener>;

    async fn acquire(&self) -> Result<Lent<Self::Lease>, AcquireError> {
        let (lease, condition) = self.shelf.acquire().await?;
        Ok(Lent { lease, condition })
    }

    fn give_back(&self, lease: Self::Lease) {
        self.shelf.give_back(lease, Left::Nothing);
    }

    fn give_back_owing(&self, lease: Self::Lease) {
        self.shelf.give_back(lease, Left::Residue);
    }

    fn discard(&self, lease: Self::Lease) {
        lease.discard();
    }

    fn abandon(&self, lease: Self::Lease) {
        let backend = *lease.mark();
        lease.discard();
        self.stop.backend(backend);
    }

    async fn interrupt(&self, lease: &Self::Lease) -> Result<(), Failure> {
        self.stop.cancel(*lease.mark()).await.map_err(connect_failure)
    }

    fn trace(&self, lease: &Self::Lease) -> Option<Trace> {
        Some(*lease.mark())
    }

    async fn is_over(&self, trace: Trace) -> Result<bool, Failure> {
        self.stop.has_ended(trace).await.map_err(connect_failure)
    }

    async fn clean(&self, lease: &mut Self::Lease) -> Result<(), Failure> {
        lease.control(Control::Clean).await?;
        match self.on_open() {
            // The settings that it makes were reset with the others.
            Some(on_open) => on_open(lease).await.map_err(failure),
            None => Ok(()),
        }
    }

    fn cleans_in_begin(&self) -> bool {
        self.on_open().is_none()
    }

    fn vouch(&self, lease: &mut Self::Lease) {
        lease.vouch();
    }

    fn suspect_all(&self) {
        self.shelf.suspect_all();
    }

    fn close(&self) {
        self.shelf.close();
    }

    fn usage(&self) -> Usage {
        self.shelf.usage()
    }
}

/// Opens connections to one PostgreSQL database.
pub struct Opener {
    connect: PgConnectOptions,
    on_open: Option<OnOpen>,
}

impl Open for Opener {
    type Connection = PgConnection;
    type Mark = Trace;

    async fn open(&self) -> Result<(PgConnection, Trace), Failure> {
        let mut connection = PgConnection::connect_with(&self.connect).await.map_err(connect_failure)?;
        if let Some(found) = connection.server_version_num().filter(|it| *it < VERSION_MIN) {
            return Err(Failure::new(Class::Mistake, TooOld { found }));
        }
        // sqlx knows it and does not say. When the process began is asked only when it has to be stopped: the view that
        // knows it costs a connection a sixth of the time that opening it takes.
        let row = connection.fetch_one("select pg_backend_pid()").await.map_err(connect_failure)?;
        let backend = Trace { process: pid(&row).map_err(connect_failure)?, seen: surroundings::now() };
        if let Some(on_open) = &self.on_open {
            on_open(&mut connection).await.map_err(connect_failure)?;
        }
        Ok((connection, backend))
    }
}

fn pid(row: &sqlx::postgres::PgRow) -> Result<i32, sqlx::Error> {
    // A simple query is answered in text.
    row.try_get_unchecked(0)
}

/// The server is older than what is supported.
#[derive(Debug, thiserror::Error)]
#[error("the server is PostgreSQL {}; {} is the oldest that will do", version(*found), version(VERSION_MIN))]
pub(super) struct TooOld {
    pub(super) found: u32,
}
