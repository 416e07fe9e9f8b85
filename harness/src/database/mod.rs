//! A fresh database per plan, watched from below the system.
//!
//! Owns what is the same for every database: how systems are given it, its faults, its hold, and the final state, which is
//! read on a connection of the harness's own. It knows nothing of systems, and of a plan only where it happens.

mod failure;
mod faults;
mod observer;
mod postgres;
mod sqlite;

pub use sqlite::Connector;

use std::collections::BTreeMap;
use std::sync::Arc;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use unstale::SqliteOptions;

use crate::history::{Mint, Recorder};
use crate::plan::{ActorId, Fault, Key, Plan, Storage, Value};
use crate::system::port::Wire;
use postgres::Postgres;
use sqlite::Sqlite;

/// The database that one plan runs on.
pub struct Database {
    place: Place,
    storage: Storage,
    connections: u8,
    fixture: bool,
    recorder: Recorder,
}

enum Place {
    Sqlite(Box<Sqlite>),
    Postgres(Box<Postgres>),
}

/// The harness could not do its own part; this is never the system's fault.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up the plan's database: {0}")]
pub struct SetupError(String);

impl SetupError {
    fn of(error: impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }
}

impl Database {
    /// Makes a fresh database with the core workload's table.
    ///
    /// # Errors
    /// [`SetupError`] if it cannot be made where the plan wants it.
    ///
    /// # Cancel safety
    /// Cancel safe: a half-made database is removed when the future is dropped.
    pub async fn create(plan: &Plan, recorder: Recorder) -> Result<Self, SetupError> {
        let Plan { storage, connections, fixture, .. } = *plan;
        let place = match storage {
            Storage::Wal | Storage::Journal | Storage::Memory => {
                Place::Sqlite(Box::new(Sqlite::create(storage, recorder.clone()).await?))
            }
            Storage::Postgres => {
                Place::Postgres(Box::new(Postgres::create(plan.owns_server(), recorder.clone()).await?))
            }
            Storage::Sim | Storage::SimOrdered | Storage::SimOnly => {
                return Err(SetupError("a simulated storage has no real database".into()));
            }
        };
        Ok(Self { place, storage, connections, fixture, recorder })
    }

    /// How many connections the system may have open at once.
    pub fn connections(&self) -> u8 {
        self.connections
    }

    /// Where it lives.
    pub fn storage(&self) -> Storage {
        self.storage
    }

    /// Whether the system is to run inside a test fixture of its own, which it ends when it is stopped.
    pub fn fixture(&self) -> bool {
        self.fixture
    }

    /// Numbers the services that the system's factories build.
    pub fn mint(&self) -> Mint {
        Mint::new(self.recorder.clone())
    }

    /// How to connect to SQLite: the plan's file or `:memory:`, without a busy time-out, since a gated run would sit in it.
    ///
    /// # Panics
    /// On another database, as everything here that names SQLite: whoever declares the capability `postgres` is given
    /// that.
    pub fn connect_options(&self) -> SqliteConnectOptions {
        self.sqlite().connect_options()
    }

    /// Options for `unstale` on SQLite, whose connections are observed from the moment they open.
    ///
    /// # Panics
    /// As [`Database::connect_options`].
    pub fn sqlite_options(&self) -> SqliteOptions {
        self.sqlite().options()
    }

    /// Options for a pool, of the plan's size, whose connections are observed from the moment they open.
    ///
    /// A system that needs an `after_connect` of its own calls [`Connector::observe`] in it.
    ///
    /// # Panics
    /// As [`Database::connect_options`].
    pub fn pool_options(&self) -> SqlitePoolOptions {
        self.sqlite().pool_options(self.connections)
    }

    /// Opens observed connections to SQLite, for systems that do their own pooling.
    ///
    /// # Panics
    /// As [`Database::connect_options`].
    pub fn connector(&self) -> Connector {
        self.sqlite().connector.clone()
    }

    /// How to connect to PostgreSQL: through the harness's proxy, which sees what any client does there, and into the
    /// plan's schema.
    ///
    /// # Panics
    /// On another database: only a system that declares the capability `postgres` is given one.
    pub fn pg_connect_options(&self) -> PgConnectOptions {
        self.postgres().connect_options()
    }

    /// Options for a pool of the plan's size; everything else is sqlx's default.
    pub fn pg_pool_options(&self) -> PgPoolOptions {
        PgPoolOptions::new().max_connections(u32::from(self.connections))
    }

    /// Runs these statements before the plan, on the harness's own connection: for a system that has tables of its own. A
    /// table or view `kv` must be there afterwards, since the final state is read from it.
    ///
    /// # Errors
    /// Whatever sqlx answers.
    ///
    /// # Cancel safety
    /// What was done stays done.
    pub async fn prepare(&self, statements: &[&'static str]) -> Result<(), sqlx::Error> {
        match &self.place {
            Place::Sqlite(it) => it.prepare(statements).await,
            Place::Postgres(it) => it.prepare(statements).await,
        }
    }

    /// All rows, read on the harness's own connection.
    ///
    /// # Errors
    /// [`SetupError`]: the harness's own read failed, so nothing can be said of the final state.
    ///
    /// # Cancel safety
    /// Cancel safe: it only reads.
    pub async fn final_state(&self) -> Result<BTreeMap<Key, Value>, SetupError> {
        match &self.place {
            Place::Sqlite(it) => it.final_state().await,
            Place::Postgres(it) => it.final_state().await,
        }
    }

    /// Nothing that the database has to say reaches the system until this is dropped.
    pub(crate) fn hold(&self) -> Held<'_> {
        match &self.place {
            Place::Sqlite(it) => Held::Sqlite { _held: it.hold() },
            Place::Postgres(it) => Held::Postgres { _held: it.hold() },
        }
    }

    /// What this actor's requests come to, where they can be seen.
    pub(crate) fn wire(&self, actor: ActorId) -> Option<Arc<Wire>> {
        match &self.place {
            Place::Sqlite(_) => None,
            Place::Postgres(it) => Some(it.wire(actor)),
        }
    }

    /// Starts a fault for the command that is about to run.
    ///
    /// # Cancel safety
    /// Not cancel safe: the fault may be left behind; the whole plan is given up then.
    pub(crate) async fn start_fault(&self, fault: Fault) {
        match &self.place {
            Place::Sqlite(it) => it.start_fault(fault).await,
            Place::Postgres(it) => it.start_fault(fault),
        }
    }

    /// Ends it, and heals what it broke.
    ///
    /// # Cancel safety
    /// Not cancel safe, as [`Database::start_fault`].
    pub(crate) async fn end_fault(&self, fault: Fault) {
        match &self.place {
            Place::Sqlite(it) => it.end_fault(fault).await,
            Place::Postgres(it) => it.end_fault(fault),
        }
    }

    /// Removes what outlives this value on a server.
    ///
    /// # Cancel safety
    /// Not cancel safe: what was not removed stays until the server goes.
    pub(crate) async fn remove(self) {
        match self.place {
            Place::Sqlite(_) => {}
            Place::Postgres(it) => it.remove().await,
        }
    }

    fn sqlite(&self) -> &Sqlite {
        match &self.place {
            Place::Sqlite(it) => it,
            Place::Postgres(_) => panic!("this plan's database is PostgreSQL: use `pg_connect_options`"),
        }
    }

    fn postgres(&self) -> &Postgres {
        match &self.place {
            Place::Postgres(it) => it,
            Place::Sqlite(_) => panic!("this plan's database is SQLite: declare the capability `postgres` for another"),
        }
    }
}

/// See [`Database::hold`].
pub(crate) enum Held<'a> {
    Sqlite { _held: crate::hold::Held<'a> },
    Postgres { _held: crate::postgres::proxy::Held<'a> },
}
