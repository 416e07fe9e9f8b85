//! The servers that plans run on.
//!
//! Owns the servers of plans with server-wide faults. Such a plan leases a server of its own; servers are reused, and a
//! new one starts when none is free, so there are at most as many as plans run at once. They have few connection slots,
//! since a plan may take all of them; a storm's server has the usual number, and is not reused. All other plans share
//! one: a private one, or a given one ([`use_given`]), whose other users are not disturbed.

use std::net::{SocketAddr, ToSocketAddrs};
use std::str::FromStr;
use std::sync::{Mutex, OnceLock, PoisonError};

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions, Connection};

use crate::server::{Server, ServerError, VERSION_MIN};

/// How many places a plan's own server has: more than the plan's system, whose connections may be slow to go, and the harness
/// need.
const PLACES: &str = "30";

/// A server for one plan, or one storm.
pub enum ServerLease {
    /// The private one that everybody shares.
    Shared(&'static Server),
    /// Exclusive until this is dropped; none only then.
    Own(Option<Box<Server>>),
    /// Exclusive, with the usual number of connection slots.
    Roomy(Box<Server>),
    /// A server that is not ours.
    Given(&'static Given),
}

/// A server that is not ours.
pub struct Given {
    options: PgConnectOptions,
    address: SocketAddr,
}

/// Why a server that was given cannot be used. The URL is not repeated, since it may have a password in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GivenError {
    /// The URL cannot be read.
    #[error("the URL cannot be read ({0}): write postgres://USER:PASSWORD@HOST:PORT/DATABASE")]
    Url(String),
    /// Its host cannot be found.
    #[error("the host `{host}` cannot be found: {source}")]
    Host {
        /// The host.
        host: String,
        /// Why.
        source: std::io::Error,
    },
    /// It refuses the connection.
    #[error("the server at {address} cannot be used: {source}")]
    Connect {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: sqlx::Error,
    },
    /// It is too old.
    #[error("the server at {address} is PostgreSQL {found}: {VERSION_MIN} or later is needed")]
    TooOld {
        /// Where.
        address: SocketAddr,
        /// Its version.
        found: String,
    },
    /// No schema can be made in its database.
    #[error("no schema can be created in the database at {address}: grant CREATE on the database: {source}")]
    NoSchema {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: sqlx::Error,
    },
    /// There is no runtime to ask it on.
    #[error("the server cannot be asked: {0}")]
    Runtime(std::io::Error),
}

static GIVEN: OnceLock<Given> = OnceLock::new();

static FREE: Mutex<Vec<Server>> = Mutex::new(Vec::new());

/// From now on plans of this process run on this server, over TCP and without TLS, since the proxy reads what passes. It is
/// never stopped, restarted or signalled; its other users see schemas that come and go.
///
/// # Errors
/// [`GivenError`], one for each way in which it may not be usable.
pub fn use_given(url: &str) -> Result<(), GivenError> {
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err(GivenError::Url("it is not one of PostgreSQL's".into()));
    }
    let options = PgConnectOptions::from_str(url).map_err(|it| GivenError::Url(it.to_string()))?;
    let options = options.ssl_mode(PgSslMode::Disable);
    let (host, port) = (options.get_host().to_owned(), options.get_port());
    let found = (host.as_str(), port).to_socket_addrs().map(|mut it| it.next());
    let address = match found {
        Ok(Some(address)) => address,
        Ok(None) => return Err(GivenError::Host { host, source: std::io::ErrorKind::NotFound.into() }),
        Err(source) => return Err(GivenError::Host { host, source }),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(GivenError::Runtime)?;
    let given = Given { options, address };
    runtime.block_on(look(&given))?;
    // The first one stays.
    let _ = GIVEN.set(given);
    Ok(())
}

/// Whether plans run on a given server.
pub fn is_given() -> bool {
    GIVEN.get().is_some()
}

/// Starts the server that plans share, unless one was given, so that a failure is reported once and early.
///
/// # Errors
/// What prevented it.
pub fn ready() -> Result<(), ServerError> {
    ServerLease::take(false).map(drop)
}

async fn look(given: &Given) -> Result<(), GivenError> {
    let address = given.address;
    let connect = |source| GivenError::Connect { address, source };
    let mut connection = given.options.connect().await.map_err(connect)?;
    let version: i32 = sqlx::query_scalar("select current_setting('server_version_num')::int")
        .fetch_one(&mut connection)
        .await
        .map_err(connect)?;
    if u32::try_from(version / 10_000).unwrap_or(0) < VERSION_MIN {
        let found = format!("{}.{}", version / 10_000, version % 10_000);
        return Err(GivenError::TooOld { address, found });
    }
    let made = sqlx::raw_sql("create schema unstale_look; drop schema unstale_look").execute(&mut connection).await;
    made.map_err(|source| GivenError::NoSchema { address, source })?;
    connection.close().await.map_err(connect)
}

impl ServerLease {
    /// The server that everybody shares, or one of its own.
    ///
    /// # Errors
    /// The server could not be started.
    pub fn take(own: bool) -> Result<Self, ServerError> {
        if !own {
            return match GIVEN.get() {
                Some(given) => Ok(Self::Given(given)),
                None => Server::shared().map(Self::Shared),
            };
        }
        let free = FREE.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let server = match free {
            Some(server) => server,
            None => Server::start_with(&[("max_connections", PLACES)])?,
        };
        Ok(Self::Own(Some(Box::new(server))))
    }

    /// A server of its own for many connections.
    ///
    /// # Errors
    /// The server could not be started.
    pub fn roomy() -> Result<Self, ServerError> {
        Server::start().map(|it| Self::Roomy(Box::new(it)))
    }

    /// How to connect, straight to it.
    pub fn tcp(&self) -> PgConnectOptions {
        match self {
            Self::Given(given) => given.options.clone(),
            Self::Shared(server) => server.tcp(),
            Self::Roomy(server) => server.tcp(),
            Self::Own(server) => server.as_ref().map_or_else(PgConnectOptions::new_without_pgpass, |it| it.tcp()),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        match self {
            Self::Given(given) => given.address,
            Self::Shared(server) => server.address(),
            Self::Roomy(server) => server.address(),
            Self::Own(server) => server.as_ref().expect("only taken when it is dropped").address(),
        }
    }

    /// The server, if it is ours, to do something to.
    pub fn private(&self) -> Option<&Server> {
        match self {
            Self::Given(_) => None,
            Self::Shared(server) => Some(server),
            Self::Roomy(server) => Some(server),
            Self::Own(server) => server.as_deref(),
        }
    }
}

impl Drop for ServerLease {
    fn drop(&mut self) {
        if let Self::Own(server) = self
            && let Some(server) = server.take()
        {
            // A server may be down because its plan was abandoned during a restart; it is started again, or discarded.
            let is_up = server.processes().is_ok_and(|it| !it.is_empty()) || server.start_again().is_ok();
            if is_up {
                FREE.lock().unwrap_or_else(PoisonError::into_inner).push(*server);
            }
        }
    }
}
